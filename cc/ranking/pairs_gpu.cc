#include "ranking/pairs_gpu-inl.h"
#include "ranking/ranking.h"
#include "tile/explicit_walk_gpu-inl.h"

namespace tf_pairwise {
namespace {

ExplicitGpuLayout LayOut(Scratch& scratch, const PairwiseRankingLoss& problem) {
  constexpr int kEach = RankingPairsKernel<float, LogisticPair>::kThreads;
  return {scratch, problem.n, kEach};
}

template <typename S, class Pair>
Status RunPairs(const PairwiseRankingLoss& problem,
                const PairwiseRankingArrays& arrays,
                const ExplicitGpuLayout& layout, const Stream& stream) {
  using K = RankingPairsKernel<S, Pair>;
  using T = typename K::T;
  typename K::Arguments arguments = {};
  arguments.positive = static_cast<const S*>(arrays.positive);
  arguments.negative = static_cast<const S*>(arrays.negative);
  arguments.weights = static_cast<const T*>(arrays.weights);
  arguments.margin = static_cast<T>(problem.margin);
  arguments.inverse_temperature = InverseTemperature<T>(problem.temperature);
  if (problem.reduction == Reduction::kNone) {
    arguments.losses = static_cast<T*>(arrays.loss);
  }
  arguments.positive_grad = static_cast<T*>(arrays.positive_grad);
  arguments.negative_grad = static_cast<T*>(arrays.negative_grad);
  arguments.n = problem.n;
  return ReduceExplicit(
      problem.dtype, problem.reduction, problem.n, arrays.weights,
      arrays.positive_grad != nullptr, arrays.loss, layout, stream,
      [&](const double* scale, bool gradient, LossSums* parts) {
        arguments.scale = scale;
        arguments.with_gradient = gradient;
        arguments.parts = parts;
        return Launch<K>(stream, {layout.blocks, 1, 1}, arguments);
      });
}

}  // namespace

int64_t PairwiseRankingLossGpuScratchBytes(const PairwiseRankingLoss& problem) {
  Scratch scratch(nullptr);
  LayOut(scratch, problem);
  return scratch.bytes();
}

Status PairwiseRankingLossGpu(const PairwiseRankingLoss& problem,
                              const PairwiseRankingArrays& arrays, void* base,
                              const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  Scratch scratch(base);
  const ExplicitGpuLayout layout = LayOut(scratch, problem);
  return VisitGpuType(problem.dtype, [&](auto type) {
    using S = decltype(type);
    switch (problem.term) {
      case RankingTerm::kHinge:
        return RunPairs<S, HingePair>(problem, arrays, layout, stream);
      case RankingTerm::kSoftZeroOne:
        return RunPairs<S, SoftZeroOnePair>(problem, arrays, layout, stream);
      default:  // Check has refused kMse
        return RunPairs<S, LogisticPair>(problem, arrays, layout, stream);
    }
  });
}

}  // namespace tf_pairwise

#include "contrastive/contrastive.h"
#include "core/reduce.h"
#include "core/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "contrastive/contrastive_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "contrastive/contrastive_pair-inl.h"
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "tile/explicit_walk.h"

// The loss of explicit pairs.

#ifndef TF_PAIRWISE_CONTRASTIVE_CPU_ONCE_
#define TF_PAIRWISE_CONTRASTIVE_CPU_ONCE_
namespace tf_pairwise {
namespace {

struct Table {
  // Pairs [begin, end): their losses (with kNone), their gradients times
  // `scale`, and their sums.
  LossSums (*pairs)(const ContrastiveLoss& problem,
                    const ContrastiveArrays& arrays, int64_t begin, int64_t end,
                    double scale, bool with_gradient);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_CONTRASTIVE_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename S>
LossSums PairsOf(const ContrastiveLoss& problem,
                 const ContrastiveArrays& arrays, int64_t begin, int64_t end,
                 double scale, bool with_gradient) {
  using T = Compute<S>;
  const int64_t d = problem.d;
  const Metric metric = problem.metric;
  LossSums sums;
  for (int64_t i = begin; i < end; ++i) {
    const S* a = static_cast<const S*>(arrays.x1) + i * d;
    const S* b = static_cast<const S*>(arrays.x2) + i * d;
    const DirectPair pair = MakePair(metric, a, b, d, with_gradient);
    double pair_loss, slope;
    SoftContrastivePair(
        pair.distance,
        static_cast<double>(static_cast<const T*>(arrays.dissimilarity)[i]),
        problem.margin, pair_loss, slope);
    const double weight = LoadCompute(problem.dtype, arrays.weights, i);
    const double loss = sums.Add(weight, pair_loss);
    if (problem.reduction == Reduction::kNone && arrays.loss != nullptr) {
      StoreCompute(problem.dtype, loss, arrays.loss, i);
    }
    if (!with_gradient) continue;
    const double w = SlopeWeight(scale, weight, slope);
    T* a_grad = static_cast<T*>(arrays.x1_grad) + i * d;
    T* b_grad = static_cast<T*>(arrays.x2_grad) + i * d;
    if (w == 0) {
      for (int64_t k = 0; k < d; ++k) a_grad[k] = b_grad[k] = 0;
      continue;
    }
    StoreSlope(metric, pair, w, a, b, d, a_grad);
    StoreSlope(metric, Exchanged(pair), w, b, a, d, b_grad);
  }
  return sums;
}

LossSums Pairs(const ContrastiveLoss& problem, const ContrastiveArrays& arrays,
               int64_t begin, int64_t end, double scale, bool with_gradient) {
  LossSums sums;
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    sums = PairsOf<decltype(type)>(problem, arrays, begin, end, scale,
                                   with_gradient);
  });
  return sums;
}

constexpr Table kTable = {&Pairs};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels(){TF_PAIRWISE_DISPATCH()}

LossSums* LayOutSums(Scratch& scratch, const ContrastiveLoss& problem) {
  return scratch.Take<LossSums>(ExplicitBlocks(problem.n, problem.d));
}

}  // namespace

int64_t ContrastiveLossScratchBytes(const ContrastiveLoss& problem, int) {
  Scratch scratch(nullptr);
  LayOutSums(scratch, problem);
  return scratch.bytes();
}

Status ContrastiveLossCpu(const ContrastiveLoss& problem,
                          const ContrastiveArrays& arrays, void* base,
                          const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  Scratch scratch(base);
  const Table& kernels = Kernels();
  ReduceExplicit(
      problem.dtype, problem.reduction, problem.n, problem.d, arrays.weights,
      arrays.x1_grad != nullptr, arrays.loss, LayOutSums(scratch, problem),
      parallel, [&](int64_t begin, int64_t end, double scale, bool gradient) {
        return kernels.pairs(problem, arrays, begin, end, scale, gradient);
      });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

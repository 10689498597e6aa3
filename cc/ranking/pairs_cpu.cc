// The loss of explicit pairs of scores.

#include "core/float_mode.h"
#include "core/scratch.h"
#include "ranking/ranking.h"
#include "tile/explicit_walk.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ranking/pairs_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "ranking/ranking_pair-inl.h"
#include "simd/convert-inl.h"
#include "simd/dispatch.h"

#ifndef TF_PAIRWISE_RANKING_PAIRS_CPU_ONCE_
#define TF_PAIRWISE_RANKING_PAIRS_CPU_ONCE_
namespace tf_pairwise {
namespace {

// Pairs [begin, end) of a call: their losses, their gradients times `scale`,
// and their sums.
struct PairsBlock {
  const PairwiseRankingLoss* problem;
  const PairwiseRankingArrays* arrays;
  int64_t begin, end;
  double scale;
  bool with_gradient;
};

struct Table {
  LossSums (*pairs)(const PairsBlock& block);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_RANKING_PAIRS_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <class Pair, typename S>
LossSums PairsOf(const PairsBlock& block) {
  using T = Compute<S>;
  const Tag<T> tag;
  const PairwiseRankingLoss& problem = *block.problem;
  const PairwiseRankingArrays& arrays = *block.arrays;
  const S* positive = static_cast<const S*>(arrays.positive) + block.begin;
  const S* negative = static_cast<const S*>(arrays.negative) + block.begin;
  const auto at = [&](void* array) {
    return array == nullptr ? nullptr : static_cast<T*>(array) + block.begin;
  };
  const T* weights = at(const_cast<void*>(arrays.weights));
  T* losses = problem.reduction == Reduction::kNone ? at(arrays.loss) : nullptr;
  T* positive_grad = at(arrays.positive_grad);
  T* negative_grad = at(arrays.negative_grad);
  const T inverse = InverseTemperature<T>(problem.temperature);
  const VecT<T> one = hn::Set(tag, T(1));
  const VecT<T> margin = hn::Set(tag, static_cast<T>(problem.margin));
  const VecT<T> inverse_temperature = hn::Set(tag, inverse);
  const VecT<T> factor = hn::Set(tag, static_cast<T>(block.scale * inverse));
  const bool count_nonzero = problem.reduction == Reduction::kMeanNonzero;
  VecT<double> sum = hn::Zero(Tag<double>());
  VecT<double> counted = sum, nonzero = sum;
  ForEachVector<T>(block.end - block.begin, [&](int64_t k,
                                                int64_t some) HWY_ATTR {
    const VecT<T> p = LoadCount(positive + k, some);
    const VecT<T> n = LoadCount(negative + k, some);
    // The differences with themselves make a NaN of an Inf.
    const VecT<T> x = hn::Add(hn::Mul(hn::Sub(n, p), inverse_temperature),
                              hn::Add(hn::Sub(p, p), hn::Sub(n, n)));
    const VecT<T> weight =
        weights != nullptr
            ? LoadCount(weights + k, some)
            : hn::IfThenElseZero(hn::FirstN(tag, static_cast<size_t>(some)),
                                 one);
    VecT<T> loss, slope;
    Pair::Of(x, margin, loss, slope);
    if (weights != nullptr) {
      // A pair of weight 0 is none, whatever is in it.
      const auto is_none = hn::Eq(weight, hn::Zero(tag));
      loss = hn::IfThenZeroElse(is_none, loss);
      slope = hn::IfThenZeroElse(is_none, slope);
    }
    AddProductToDouble(tag, weight, loss, sum);
    AddProductToDouble(tag, weight, one, counted);
    if (count_nonzero) {
      const auto out = hn::Le(loss, hn::Zero(tag));
      AddProductToDouble(tag, weight, hn::IfThenZeroElse(out, one), nonzero);
    }
    if (losses != nullptr) {
      StoreCount(hn::Mul(weight, loss), losses + k, some);
    }
    if (block.with_gradient) {
      const VecT<T> gradient = hn::Mul(factor, hn::Mul(weight, slope));
      StoreCount(hn::Neg(gradient), positive_grad + k, some);
      StoreCount(gradient, negative_grad + k, some);
    }
  });
  const Tag<double> wide;
  return {hn::ReduceSum(wide, sum), hn::ReduceSum(wide, counted),
          hn::ReduceSum(wide, nonzero)};
}

LossSums Pairs(const PairsBlock& block) {
  LossSums sums;
  VisitDType(block.problem->dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    switch (block.problem->term) {
      case RankingTerm::kLogistic:
        sums = PairsOf<LogisticPair, S>(block);
        break;
      case RankingTerm::kHinge:
        sums = PairsOf<HingePair, S>(block);
        break;
      case RankingTerm::kSoftZeroOne:
        sums = PairsOf<SoftZeroOnePair, S>(block);
        break;
      case RankingTerm::kMse:
        break;  // refused by Check
    }
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

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }

}  // namespace

int64_t PairwiseRankingLossScratchBytes(const PairwiseRankingLoss& problem) {
  Scratch scratch(nullptr);
  scratch.Take<LossSums>(ExplicitBlocks(problem.n, 0));
  return scratch.bytes();
}

Status PairwiseRankingLossCpu(const PairwiseRankingLoss& problem,
                              const PairwiseRankingArrays& arrays, void* base,
                              const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  Scratch scratch(base);
  LossSums* sums = scratch.Take<LossSums>(ExplicitBlocks(problem.n, 0));
  const Table& kernels = Kernels();
  ReduceExplicit(
      problem.dtype, problem.reduction, problem.n, /*d=*/0, arrays.weights,
      arrays.positive_grad != nullptr, arrays.loss, sums, parallel,
      [&](int64_t begin, int64_t end, double scale, bool gradient) {
        return kernels.pairs({&problem, &arrays, begin, end, scale, gradient});
      });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

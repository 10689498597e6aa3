// Blocks of anchors of a labelled batch: what their rows of distances come to,
// and the weights of the gradient. Included once per target.

#if defined(TF_PAIRWISE_TRIPLET_BATCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_TRIPLET_BATCH_INL_H_
#undef TF_PAIRWISE_TRIPLET_BATCH_INL_H_
#else
#define TF_PAIRWISE_TRIPLET_BATCH_INL_H_
#endif

#include "core/block.h"
#include "core/classes.h"
#include "core/reduce.h"
#include "metric/metric-inl.h"
#include "triplet/every-inl.h"
#include "triplet/hard-inl.h"
#include "triplet/semi_hard-inl.h"
#include "triplet/triplet.h"

#ifndef TF_PAIRWISE_TRIPLET_BATCH_ONCE_
#define TF_PAIRWISE_TRIPLET_BATCH_ONCE_
namespace tf_pairwise {
namespace {

// The two pairs of each anchor's hardest triplet, its positive's and its
// negative's: the reference, or -1 for none, and the weight V.
template <typename T>
struct HardPairs {
  int32_t* index = nullptr;  // [2 n]
  T* weight = nullptr;       // [2 n]
};

// A call's anchors.
template <typename T>
struct Anchors {
  const BatchTripletLoss* problem;
  const Classes<LaneOf<T>>* classes;
  const T* weights;  // [n], or null for ones
  bool with_gradient;
  LossSums* sums;      // [n], out
  HardPairs<T> pairs;  // out, of hard mining with a gradient

  double WeightOf(int64_t i) const {
    return weights == nullptr ? 1 : static_cast<double>(weights[i]);
  }
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TRIPLET_BATCH_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// ---- hard mining: an anchor has one triplet ----

// What anchor i comes to. One of weight 0 does not exist.
template <class Slope, typename T>
HWY_INLINE void TakeHard(const Anchors<T>& anchors, int64_t i,
                         const HardTriplet<T>& hard) {
  const double weight = anchors.WeightOf(i);
  const HardPairs<T>& pairs = anchors.pairs;
  anchors.sums[i] = LossSums();
  if (anchors.with_gradient) pairs.index[2 * i] = pairs.index[2 * i + 1] = -1;
  if (hard.positive < 0 || weight == 0) return;
  const TripletValue<double> value =
      TripletOf(*anchors.problem, static_cast<double>(hard.to_positive),
                static_cast<double>(hard.to_negative));
  anchors.sums[i].Add(weight, value.loss);
  // A negative beyond the type's range has no slope.
  if (!anchors.with_gradient || value.slope == 0 ||
      hard.to_negative == Infinity<T>()) {
    return;
  }
  pairs.index[2 * i] = hard.positive;
  pairs.index[2 * i + 1] = hard.negative;
  pairs.weight[2 * i] =
      Slope::Of(static_cast<T>(weight * value.slope), hard.to_positive);
  pairs.weight[2 * i + 1] =
      Slope::Of(static_cast<T>(-weight * value.slope), hard.to_negative);
}

template <typename T>
void HardAnchors(const Anchors<T>& anchors, const Hardest<T>& hardest) {
  const BatchTripletLoss& problem = *anchors.problem;
  VisitSlope(problem.metric, [&](auto slope) HWY_ATTR {
    for (int64_t i = 0; i < problem.n; ++i) {
      HardTriplet<T> hard;
      int64_t members;
      anchors.classes->MembersOf(i, &members);
      if (members > 1 && members < problem.n) {
        hard = {hardest.farthest_index[i], hardest.nearest_index[i],
                hardest.farthest[i], hardest.nearest[i]};
      }
      TakeHard<decltype(slope)>(anchors, i, hard);
    }
  });
}

// ---- the other minings: a row of weights ----

template <typename T>
HWY_INLINE AnchorSums RowOf(const AnchorRow<T>& row, bool with_gradient) {
  switch (row.problem->mining) {
    case Mining::kHard:
      break;
    case Mining::kSemiHard:
      return SemiHardRow(row, with_gradient);
    case Mining::kAll:
      return row.problem->soft ? SoftRow(row) : HingeRow<EveryTriplet>(row);
    case Mining::kSemiHardAll:
      return HingeRow<EverySemiHard>(row);
    case Mining::kHardAll:
      return HingeRow<EveryHard>(row);
  }
  return AnchorSums();
}

// distances = V, of the slopes d loss / d D that the buffers hold.
template <class Slope, typename T>
HWY_INLINE void StoreWeights(const AnchorRow<T>& row, double weight,
                             T* distances) {
  const VecT<T> factor = hn::Set(Tag<T>(), static_cast<T>(weight));
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> slope = factor * LoadAs(row.buffers.weights + k);
    StoreCount(Slope::Of(slope, LoadCount(distances + k, some)), distances + k,
               some);
  });
}

template <class Slope, typename T>
HWY_INLINE void RowsOf(const Anchors<T>& anchors, const Block& block,
                       const TileView<T>& tile, const RowBuffers<T>& buffers) {
  const BatchTripletLoss& problem = *anchors.problem;
  AnchorRow<T> row(problem, *anchors.classes, buffers);
  for (int64_t r = 0; r < block.rows; ++r) {
    const int64_t i = block.row + r;
    const double weight = anchors.WeightOf(i);
    T* distances = tile.Row(r);
    row.MoveTo(i, distances, *anchors.classes);
    if (problem.mining == Mining::kHard) {
      TakeHard<Slope>(anchors, i,
                      weight == 0 ? HardTriplet<T>() : HardLossRow(row));
      continue;
    }
    // An anchor of weight 0 does not exist, whatever is in it.
    if (weight == 0) {
      anchors.sums[i] = LossSums();
      for (int64_t k = 0; anchors.with_gradient && k < problem.m; ++k) {
        distances[k] = 0;
      }
      continue;
    }
    const AnchorSums sums = RowOf(row, anchors.with_gradient);
    anchors.sums[i] = {weight * sums.sum,
                       weight * static_cast<double>(sums.counted),
                       weight * static_cast<double>(sums.nonzero)};
    if (anchors.with_gradient) StoreWeights<Slope>(row, weight, distances);
  }
}

template <typename T>
void Rows(const Anchors<T>& anchors, const Block& block,
          const TileView<T>& tile, const RowBuffers<T>& buffers) {
  VisitSlope(anchors.problem->metric, [&](auto slope) HWY_ATTR {
    RowsOf<decltype(slope)>(anchors, block, tile, buffers);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_TRIPLET_BATCH_INL_H_

// A tile of the contrastive loss over all pairs of a batch. Included once per
// target.

#if defined(TF_PAIRWISE_CONTRASTIVE_BATCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_CONTRASTIVE_BATCH_INL_H_
#undef TF_PAIRWISE_CONTRASTIVE_BATCH_INL_H_
#else
#define TF_PAIRWISE_CONTRASTIVE_BATCH_INL_H_
#endif

#include "contrastive/contrastive.h"
#include "contrastive/contrastive_pair-inl.h"
#include "core/block.h"
#include "core/classes.h"
#include "metric/metric-inl.h"
#include "simd/convert-inl.h"

#ifndef TF_PAIRWISE_CONTRASTIVE_BATCH_ONCE_
#define TF_PAIRWISE_CONTRASTIVE_BATCH_ONCE_
namespace tf_pairwise {
namespace {

// A tile's distances, which become the weights of the gradient.
template <typename T>
struct ContrastiveTile {
  const BatchContrastiveLoss* problem;
  int64_t rows, columns;
  TileView<T> distances;
  const LaneOf<T>* row_classes;     // [rows]
  const LaneOf<T>* column_classes;  // [columns]
  const T* row_weights;             // [rows], or null for ones
  const T* column_weights;          // [columns], or null for ones
  bool both_orders;  // (j, i) belongs to the tile as much as (i, j)
  bool diagonal;     // both are in the tile: each order is counted once
  int64_t self;      // the column of row 0's own point, may be out of range
  bool with_gradient;
  // What a similar and a dissimilar pair's slope is multiplied by.
  T similar_scale, dissimilar_scale;
  // With kNone, per anchor: sums to add to, or null.
  double* row_sums;
  double* column_sums;
  T* column_buffer;  // [columns + a vector]

  // Whether the columns' sums take the pairs of the tile too.
  bool adds_columns() const {
    return row_sums != nullptr && both_orders && !diagonal;
  }
};

// Sums of the loss and weighted counts of the losses above zero.
struct PairSums {
  double similar = 0, dissimilar = 0;
  double similar_nonzero = 0, dissimilar_nonzero = 0;
};

enum class TileMode {
  kPlain,      // every anchor's weight is 1
  kWeighted,   // anchors have weights
  kPerAnchor,  // weights or none, and each anchor's sum by itself
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_CONTRASTIVE_BATCH_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// The four sums of a tile: lanes of a few rows in T, then in double.
template <typename T>
struct TileSums {
  VecT<T> similar, dissimilar, similar_count, dissimilar_count;
  VecT<double> wide_similar, wide_dissimilar;
  VecT<double> wide_similar_count, wide_dissimilar_count;

  HWY_INLINE TileSums() {
    similar = dissimilar = hn::Zero(Tag<T>());
    similar_count = dissimilar_count = similar;
    wide_similar = wide_dissimilar = hn::Zero(Tag<double>());
    wide_similar_count = wide_dissimilar_count = wide_similar;
  }

  template <class M>
  HWY_INLINE void Add(M is_similar, VecT<T> loss, VecT<T> count) {
    similar = hn::Add(similar, hn::IfThenElseZero(is_similar, loss));
    dissimilar = hn::Add(dissimilar, hn::IfThenZeroElse(is_similar, loss));
    similar_count =
        hn::Add(similar_count, hn::IfThenElseZero(is_similar, count));
    dissimilar_count =
        hn::Add(dissimilar_count, hn::IfThenZeroElse(is_similar, count));
  }

  HWY_INLINE void Widen() {
    const Tag<T> tag;
    AddToDouble(tag, similar, wide_similar);
    AddToDouble(tag, dissimilar, wide_dissimilar);
    AddToDouble(tag, similar_count, wide_similar_count);
    AddToDouble(tag, dissimilar_count, wide_dissimilar_count);
    similar = dissimilar = hn::Zero(tag);
    similar_count = dissimilar_count = hn::Zero(tag);
  }

  // `each`: what all of them are multiplied by.
  HWY_INLINE PairSums Total(double each) const {
    const Tag<double> wide;
    return {each * hn::ReduceSum(wide, wide_similar),
            each * hn::ReduceSum(wide, wide_dissimilar),
            each * hn::ReduceSum(wide, wide_similar_count),
            each * hn::ReduceSum(wide, wide_dissimilar_count)};
  }
};

// Row r of a tile.
template <class Slope, bool kSquared, TileMode kMode, typename T>
struct TileRow {
  using V = VecT<T>;
  const ContrastiveTile<T>& tile;
  T* distances;
  V margin, positive_margin, similar_scale, dissimilar_scale;
  V row_weight;
  V sum;  // kPerAnchor
  VecT<LaneOf<T>> row_class;

  HWY_INLINE explicit TileRow(const ContrastiveTile<T>& t)
      : tile(t), distances(t.distances.data) {
    const Tag<T> tag;
    margin = hn::Set(tag, static_cast<T>(tile.problem->margin));
    positive_margin =
        hn::Set(tag, static_cast<T>(tile.problem->positive_margin));
    // Without weights, a slope stands for both orders or for one.
    const T orders = kMode == TileMode::kPlain && tile.both_orders ? 2 : 1;
    similar_scale = hn::Set(tag, orders * tile.similar_scale);
    dissimilar_scale = hn::Set(tag, orders * tile.dissimilar_scale);
    row_weight = hn::Set(tag, T(1));
    sum = hn::Zero(tag);
    row_class = hn::Zero(Tag<LaneOf<T>>());
  }

  HWY_INLINE void Start(int64_t r) {
    const Tag<T> tag;
    distances = tile.distances.Row(r);
    row_class = hn::Set(Tag<LaneOf<T>>(), tile.row_classes[r]);
    if (kMode != TileMode::kPlain && tile.row_weights != nullptr) {
      row_weight = hn::Set(tag, tile.row_weights[r]);
    }
    sum = hn::Zero(tag);
    const int64_t self = tile.self + r;
    if (self < 0 || self >= tile.columns) return;
    // A point is in no pair with itself: a distance at which no hinge acts.
    distances[self] = static_cast<T>(
        tile.column_classes[self] == tile.row_classes[r] ? -__builtin_inf()
                                                         : __builtin_inf());
  }

  // The weights of (i, j) and, where the tile stands for it, of (j, i): in a
  // gradient and, each order once, in sums.
  HWY_INLINE V GradientWeight(int64_t k, int64_t some) const {
    if (!tile.both_orders) return row_weight;
    return hn::Add(row_weight, tile.column_weights == nullptr
                                   ? hn::Set(Tag<T>(), T(1))
                                   : LoadCount(tile.column_weights + k, some));
  }

  HWY_INLINE void Vector(int64_t k, int64_t some, TileSums<T>& sums) {
    const Tag<T> tag;
    const auto similar =
        SameClass(LoadClasses(tile.column_classes + k, some), row_class);
    // Tiles are padded to whole vectors.
    const V distance = hn::LoadU(tag, distances + k);
    V h = ContrastiveHinge(distance, similar, margin, positive_margin);
    if (some != LanesOf<T>()) {
      h = hn::IfThenElseZero(hn::FirstN(tag, static_cast<size_t>(some)), h);
    }
    const V loss = HingeLoss<kSquared>(h);
    // A NaN counts, which hn::Ne denies on some targets.
    const auto counts = hn::Not(hn::Eq(loss, hn::Zero(tag)));
    V slope = ContrastiveSlope<kSquared>(h, similar);
    const V scale = hn::IfThenElse(similar, similar_scale, dissimilar_scale);
    if constexpr (kMode == TileMode::kPlain) {
      sums.Add(similar, loss, hn::IfThenElseZero(counts, hn::Set(tag, T(1))));
      slope = hn::Mul(slope, scale);
    } else {
      const V both = GradientWeight(k, some);
      const V weight = tile.diagonal ? row_weight : both;
      sums.Add(similar, Weighted(weight, loss),
               hn::IfThenElseZero(counts, weight));
      slope = Weighted(hn::Mul(both, scale), slope);
    }
    if constexpr (kMode == TileMode::kPerAnchor) {
      sum = hn::Add(sum, loss);
      if (tile.adds_columns()) {
        T* buffer = tile.column_buffer + k;
        hn::StoreU(hn::Add(hn::LoadU(tag, buffer), loss), tag, buffer);
      }
    }
    if (tile.with_gradient) {
      hn::StoreU(Slope::Of(slope, distance), tag, distances + k);
    }
  }

 private:
  static HWY_INLINE VecT<LaneOf<T>> LoadClasses(const LaneOf<T>* classes,
                                                int64_t some) {
    const Tag<LaneOf<T>> tag;
    return some == LanesOf<T>()
               ? hn::LoadU(tag, classes)
               : hn::LoadN(tag, classes, static_cast<size_t>(some));
  }
};

template <class Slope, bool kSquared, TileMode kMode, typename T>
HWY_NOINLINE PairSums TileOf(const ContrastiveTile<T>& tile) {
  constexpr int64_t kRowsInT = 8;
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  TileSums<T> sums;
  TileRow<Slope, kSquared, kMode, T> row(tile);
  if (tile.adds_columns()) {
    for (int64_t k = 0; k < tile.columns; k += lanes) {
      hn::StoreU(hn::Zero(tag), tag, tile.column_buffer + k);
    }
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    row.Start(r);
    ForEachVector<T>(tile.columns, [&](int64_t k, int64_t some)
                                       HWY_ATTR { row.Vector(k, some, sums); });
    if (r % kRowsInT == kRowsInT - 1 || r == tile.rows - 1) sums.Widen();
    if constexpr (kMode == TileMode::kPerAnchor) {
      tile.row_sums[r] += SumToDouble(tag, row.sum);
    }
  }
  if (tile.adds_columns()) {
    for (int64_t k = 0; k < tile.columns; ++k) {
      tile.column_sums[k] += static_cast<double>(tile.column_buffer[k]);
    }
  }
  const bool twice =
      kMode == TileMode::kPlain && tile.both_orders && !tile.diagonal;
  return sums.Total(twice ? 2 : 1);
}

template <class Slope, TileMode kMode, typename T>
PairSums TileOfForm(const ContrastiveTile<T>& tile) {
  return tile.problem->squared ? TileOf<Slope, true, kMode>(tile)
                               : TileOf<Slope, false, kMode>(tile);
}

template <typename T>
PairSums RunTile(const ContrastiveTile<T>& tile) {
  return VisitSlope(tile.problem->metric, [&](auto slope) HWY_ATTR {
    using Slope = decltype(slope);
    if (tile.row_sums != nullptr) {
      return TileOfForm<Slope, TileMode::kPerAnchor>(tile);
    }
    return tile.row_weights == nullptr
               ? TileOfForm<Slope, TileMode::kPlain>(tile)
               : TileOfForm<Slope, TileMode::kWeighted>(tile);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_CONTRASTIVE_BATCH_INL_H_

// Hard mining: an anchor's farthest positive and nearest negative, from its row
// or, in a batch against itself, from the tiles that hold it as a row or as a
// column.

#if defined(TF_PAIRWISE_TRIPLET_HARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_TRIPLET_HARD_INL_H_
#undef TF_PAIRWISE_TRIPLET_HARD_INL_H_
#else
#define TF_PAIRWISE_TRIPLET_HARD_INL_H_
#endif

#include "triplet/anchor_row-inl.h"

#ifndef TF_PAIRWISE_TRIPLET_HARD_ONCE_
#define TF_PAIRWISE_TRIPLET_HARD_ONCE_
namespace tf_pairwise {
namespace {

// The hardest triplet of an anchor; positive < 0 where it has none.
template <typename T>
struct HardTriplet {
  int32_t positive = -1, negative = -1;
  T to_positive = 0, to_negative = 0;  // the distances
};

// The best of each anchor so far, arrays [n + a vector]. Those of a tile's rows
// and columns are updated by one worker at a time.
template <typename T>
struct Hardest {
  T* farthest = nullptr;  // -inf before the first
  int32_t* farthest_index = nullptr;
  T* nearest = nullptr;  // +inf before the first
  int32_t* nearest_index = nullptr;

  void LayOut(Scratch& scratch, int64_t n) {
    constexpr int64_t kVector = 64;
    farthest = scratch.Take<T>(n + kVector);
    nearest = scratch.Take<T>(n + kVector);
    farthest_index = scratch.Take<int32_t>(n);
    nearest_index = scratch.Take<int32_t>(n);
  }
  void Clear(int64_t n) {
    const T infinity = static_cast<T>(__builtin_inf());
    for (int64_t i = 0; i < n; ++i) {
      farthest[i] = -infinity;
      nearest[i] = infinity;
      farthest_index[i] = nearest_index[i] = -1;
    }
  }
};

// A tile of a symmetric walk.
template <typename T>
struct HardTile {
  Block block;
  TileView<T> tile;
  bool diagonal;             // the columns are the rows
  const LaneOf<T>* classes;  // [n]
  Hardest<T> hardest;
  T* column_farthest;  // [columns + a vector]
  T* column_nearest;

  const LaneOf<T>* RowClasses() const { return classes + block.row; }
  const LaneOf<T>* ColumnClasses() const { return classes + block.column; }
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TRIPLET_HARD_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// The row's triplet, of distances that are no NaN.
template <typename T>
HardTriplet<T> HardRow(const AnchorRow<T>& row, const Negatives& found) {
  const Tag<T> tag;
  const T* negatives = row.buffers.negatives;
  HardTriplet<T> hard;
  if (found.count == 0) return hard;
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t j = row.positives[e];
    if (!row.IsPositive(j)) continue;
    if (hard.positive < 0 ||
        Farthest::Better(row.distances[j], hard.to_positive)) {
      hard.to_positive = row.distances[j];
      hard.positive = j;
    }
  }
  if (hard.positive < 0) return hard;
  VecT<T> least = hn::Set(tag, Infinity<T>());
  for (int64_t k = 0; k < row.m; k += LanesOf<T>()) {
    least = hn::Min(least, hn::LoadU(tag, negatives + k));
  }
  hard.to_negative = hn::ReduceMin(tag, least);
  hard.negative = hard.to_negative == Infinity<T>()
                      ? FindInfinite(row)
                      : FindFirst(negatives, row.m, hard.to_negative);
  return hard;
}

// The row's triplet for the loss, of which a NaN takes hold.
template <typename T>
HardTriplet<T> HardLossRow(const AnchorRow<T>& row) {
  const Negatives found = GatherNegatives(row, Infinity<T>());
  if (!found.nan) return HardRow(row, found);
  HardTriplet<T> hard;
  const AnchorSums sums = NanRow(row, &hard.positive, &hard.negative);
  if (sums.counted == 0) return HardTriplet<T>();
  hard.to_positive = hard.to_negative = static_cast<T>(sums.sum);
  return hard;
}

// Takes (value, index) as an anchor's best where it is: of equals the lowest
// index, so that the order of tiles does not matter.
template <class Pick, typename T>
HWY_INLINE void TakeBest(T value, int64_t index, T* best, int32_t* best_index) {
  if (Pick::Better(value, *best) || (value == *best && index < *best_index)) {
    *best = value;
    *best_index = static_cast<int32_t>(index);
  }
}

// The first column of a tile's row that holds `value` and is of the row's class
// (or, without kSame, of another), `itself` apart; -1 where there is none.
template <bool kSame, typename T>
HWY_INLINE int64_t FindInTile(const HardTile<T>& tile, int64_t r, T value,
                              int64_t itself) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const T* row = tile.tile.Row(r);
  const VecT<T> wanted = hn::Set(tag, value);
  const auto own = hn::Set(lane_tag, tile.RowClasses()[r]);
  int64_t column = -1;
  for (int64_t k = 0; k < tile.block.columns && column < 0; k += LanesOf<T>()) {
    const int64_t some = Least(tile.block.columns - k, LanesOf<T>());
    // LoadN fills up with 0, which FirstN leaves out.
    const auto same = SameClass(hn::LoadN(lane_tag, tile.ColumnClasses() + k,
                                          static_cast<size_t>(some)),
                                own);
    auto hit = hn::And(hn::LoadU(tag, row + k) == wanted,
                       kSame ? same : hn::Not(same));
    hit = hn::And(hit, hn::FirstN(tag, static_cast<size_t>(some)));
    if (hn::AllFalse(tag, hit)) continue;
    for (int64_t lane = 0; lane < some; ++lane) {
      const bool of_class =
          (tile.ColumnClasses()[k + lane] == tile.RowClasses()[r]) == kSame;
      if (row[k + lane] == value && of_class && k + lane != itself) {
        column = k + lane;
        break;
      }
    }
  }
  return column;
}

// The anchors of kRows rows from r on take their best in the tile, and the
// columns' best so far take the rows.
template <int kRows, bool kDiagonal, typename T>
HWY_INLINE void HardRowsOfTile(const HardTile<T>& tile, int64_t r) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  using Lane = LaneOf<T>;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> infinity = hn::Set(tag, Infinity<T>());
  const VecT<T> none = hn::Set(tag, -Infinity<T>());
  VecT<T> most[kRows], least[kRows];
  hn::Vec<hn::RebindToSigned<Tag<T>>> own[kRows];
  for (int i = 0; i < kRows; ++i) {
    most[i] = none;
    least[i] = infinity;
    own[i] = hn::Set(lane_tag, tile.RowClasses()[r + i]);
  }
  ForEachVector<T>(tile.block.columns, [&](int64_t k, int64_t some) HWY_ATTR {
    const auto classes = some == lanes
                             ? hn::LoadU(lane_tag, tile.ColumnClasses() + k)
                             : hn::LoadN(lane_tag, tile.ColumnClasses() + k,
                                         static_cast<size_t>(some));
    T* far = tile.column_farthest + k;
    T* near = tile.column_nearest + k;
    VecT<T> column_most = none, column_least = infinity;
    if constexpr (!kDiagonal) {
      column_most = hn::LoadU(tag, far);
      column_least = hn::LoadU(tag, near);
    }
    for (int i = 0; i < kRows; ++i) {
      const auto same = SameClass(classes, own[i]);
      const VecT<T> d = hn::LoadU(tag, tile.tile.Row(r + i) + k);
      VecT<T> positive = hn::IfThenElse(same, d, none);
      VecT<T> negative = hn::IfThenElse(same, infinity, d);
      if (some != lanes) {
        const auto valid = hn::FirstN(tag, static_cast<size_t>(some));
        positive = hn::IfThenElse(valid, positive, none);
        negative = hn::IfThenElse(valid, negative, infinity);
      }
      if constexpr (kDiagonal) {
        const auto itself =
            SameClass(hn::Iota(lane_tag, static_cast<Lane>(k)),
                      hn::Set(lane_tag, static_cast<Lane>(r + i)));
        positive = hn::IfThenElse(itself, none, positive);
      } else {
        column_most = hn::Max(column_most, positive);
        column_least = hn::Min(column_least, negative);
      }
      most[i] = hn::Max(most[i], positive);
      least[i] = hn::Min(least[i], negative);
    }
    if constexpr (!kDiagonal) {
      hn::StoreU(column_most, tag, far);
      hn::StoreU(column_least, tag, near);
    }
  });
  const Hardest<T>& hardest = tile.hardest;
  for (int i = 0; i < kRows; ++i) {
    const int64_t anchor = tile.block.row + r + i;
    const T far = hn::ReduceMax(tag, most[i]);
    if (far >= hardest.farthest[anchor] && far > -Infinity<T>()) {
      const int64_t k =
          FindInTile<true>(tile, r + i, far, kDiagonal ? r + i : -1);
      TakeBest<Farthest>(far, tile.block.column + k, hardest.farthest + anchor,
                         hardest.farthest_index + anchor);
    }
    const T near = hn::ReduceMin(tag, least[i]);
    if (near <= hardest.nearest[anchor] && near < Infinity<T>()) {
      const int64_t k = FindInTile<false>(tile, r + i, near, -1);
      TakeBest<Nearest>(near, tile.block.column + k, hardest.nearest + anchor,
                        hardest.nearest_index + anchor);
    }
  }
}

// The anchors of a vector of columns from k on take the columns' best.
template <typename T>
HWY_INLINE void HardColumnsOfTile(const HardTile<T>& tile, int64_t k) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  using Lane = LaneOf<T>;
  const Hardest<T>& hardest = tile.hardest;
  const int64_t anchor = tile.block.column + k;
  const VecT<T> far = hn::LoadU(tag, tile.column_farthest + k);
  const VecT<T> near = hn::LoadU(tag, tile.column_nearest + k);
  // What is missing, past the tile's columns too, is at an infinity.
  auto far_left = hn::And(far >= hn::LoadU(tag, hardest.farthest + anchor),
                          far > hn::Set(tag, -Infinity<T>()));
  auto near_left = hn::And(near <= hn::LoadU(tag, hardest.nearest + anchor),
                           near < hn::Set(tag, Infinity<T>()));
  const uint64_t far_bits = BitsOf<T>(far_left);
  const uint64_t near_bits = BitsOf<T>(near_left);
  if (HWY_LIKELY((far_bits | near_bits) == 0)) return;
  const auto classes = hn::LoadN(
      lane_tag, tile.ColumnClasses() + k,
      static_cast<size_t>(Least(tile.block.columns - k, LanesOf<T>())));
  auto far_row = hn::Zero(lane_tag), near_row = hn::Zero(lane_tag);
  for (int64_t r = 0; r < tile.block.rows; ++r) {
    const VecT<T> d = hn::LoadU(tag, tile.tile.Row(r) + k);
    const auto same =
        SameClass(classes, hn::Set(lane_tag, tile.RowClasses()[r]));
    const auto far_hit = hn::And(hn::And(far_left, d == far), same);
    const auto near_hit = hn::And(hn::And(near_left, d == near), hn::Not(same));
    if (HWY_LIKELY(hn::AllFalse(tag, hn::Or(far_hit, near_hit)))) continue;
    const auto here = hn::Set(lane_tag, static_cast<Lane>(r));
    far_row = hn::IfThenElse(hn::RebindMask(lane_tag, far_hit), here, far_row);
    near_row =
        hn::IfThenElse(hn::RebindMask(lane_tag, near_hit), here, near_row);
    far_left = hn::AndNot(far_hit, far_left);
    near_left = hn::AndNot(near_hit, near_left);
    if (hn::AllFalse(tag, hn::Or(far_left, near_left))) break;
  }
  HWY_ALIGN Lane far_rows[HWY_MAX_BYTES / sizeof(T)];
  HWY_ALIGN Lane near_rows[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(far_row, lane_tag, far_rows);
  hn::Store(near_row, lane_tag, near_rows);
  for (uint64_t bits = far_bits; bits != 0; bits &= bits - 1) {
    const int lane = __builtin_ctzll(bits);
    TakeBest<Farthest>(tile.column_farthest[k + lane],
                       tile.block.row + far_rows[lane],
                       hardest.farthest + anchor + lane,
                       hardest.farthest_index + anchor + lane);
  }
  for (uint64_t bits = near_bits; bits != 0; bits &= bits - 1) {
    const int lane = __builtin_ctzll(bits);
    TakeBest<Nearest>(
        tile.column_nearest[k + lane], tile.block.row + near_rows[lane],
        hardest.nearest + anchor + lane, hardest.nearest_index + anchor + lane);
  }
}

template <bool kDiagonal, typename T>
HWY_INLINE void HardTileOf(const HardTile<T>& tile) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  for (int64_t k = 0; !kDiagonal && k < tile.block.columns; k += lanes) {
    hn::StoreU(hn::Set(tag, -Infinity<T>()), tag, tile.column_farthest + k);
    hn::StoreU(hn::Set(tag, Infinity<T>()), tag, tile.column_nearest + k);
  }
  int64_t r = 0;
  for (; r + 2 <= tile.block.rows; r += 2)
    HardRowsOfTile<2, kDiagonal>(tile, r);
  for (; r < tile.block.rows; ++r) HardRowsOfTile<1, kDiagonal>(tile, r);
  for (int64_t k = 0; !kDiagonal && k < tile.block.columns; k += lanes) {
    HardColumnsOfTile(tile, k);
  }
}
template <typename T>
void RunHardTile(const HardTile<T>& tile) {
  if (tile.diagonal) {
    HardTileOf<true>(tile);
  } else {
    HardTileOf<false>(tile);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_TRIPLET_HARD_INL_H_

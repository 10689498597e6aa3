#include <cmath>
#include <type_traits>

#include "core/checks.h"
#include "core/classes.h"
#include "core/reduce.h"
#include "core/scratch.h"
#include "core/sort.h"
#include "triplet/triplet.h"
#include "triplet/triplet_pair.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "triplet/triplet_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "tile/explicit_walk.h"
#include "tile/row_walk.h"
#include "tile/tile_walk.h"

#ifndef TF_PAIRWISE_TRIPLET_CPU_ONCE_
#define TF_PAIRWISE_TRIPLET_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct SortedPositive {
  T distance;
  int32_t index;
};

// One anchor's row of distances and the worker's buffers, each of m elements
// unless said.
template <typename T>
struct AnchorRow {
  Mining mining;
  double margin;
  bool soft;
  bool with_gradient;
  int64_t m;
  const T* distances;
  int64_t self;  // the reference that is the anchor, or -1
  LaneOf<T> own_class;
  const LaneOf<T>* of_ref;
  const int32_t* positives;  // may hold self, which does not count
  int64_t positives_count;
  T* negatives;  // [m + vector]: D of the negatives, +inf elsewhere
  T* weights;    // [m + vector]: out: d loss / d D
  T* sorted;     // [2 m + 2]: distances of the positives
  SortedPositive<T>* items;
  SortedPositive<T>* item_buffer;
  int32_t* histogram;   // [4 (m + 2)]
  T* best;              // [m + 2]
  int32_t* best_index;  // [m + 2]
};

struct AnchorResult {
  double sum = 0;
  int64_t counted = 0;
  int64_t nonzero = 0;
  // kHard: the mined pairs and the loss's slope.
  int32_t positive = -1, negative = -1;
  double slope = 0;
};

// A tile of a symmetric walk under hard mining: updates the farthest positive
// and the nearest negative of its rows' anchors and of its columns'.
template <typename T>
struct HardTile {
  int64_t rows, columns;
  const T* distances;
  int64_t stride;
  int64_t row, column;       // of the batch
  bool diagonal;             // the columns are the rows
  const LaneOf<T>* classes;  // [n]
  T* farthest;               // [n], -inf before the first
  int32_t* farthest_index;   // [n]
  T* nearest;                // [n], +inf before the first
  int32_t* nearest_index;    // [n]
  T* column_farthest;        // [columns + a vector]
  T* column_nearest;
};

struct TripletKernels {
  void (*narrow_hard_tile)(const HardTile<float>& tile);
  void (*wide_hard_tile)(const HardTile<double>& tile);
  AnchorResult (*narrow_row)(const AnchorRow<float>& row);
  AnchorResult (*wide_row)(const AnchorRow<double>& row);
  LossSums (*explicit_block)(const TripletLoss& problem,
                             const TripletArrays& arrays, int64_t begin,
                             int64_t end, double scale, bool with_gradient);
  void (*narrow_slopes)(Metric metric, int64_t count, const float* weights,
                        float* distances);
  void (*wide_slopes)(Metric metric, int64_t count, const double* weights,
                      double* distances);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TRIPLET_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
HWY_INLINE T Infinity() {
  return static_cast<T>(__builtin_inf());
}

// The lanes that are references of another class than the anchor's.
template <typename T>
HWY_INLINE hn::Mask<Tag<T>> OtherClass(const AnchorRow<T>& row, int64_t k,
                                       int64_t count) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const auto classes =
      hn::LoadN(lane_tag, row.of_ref + k, static_cast<size_t>(count));
  const auto own = hn::Set(lane_tag, row.own_class);
  const auto other = hn::RebindMask(tag, hn::Ne(classes, own));
  return count == LanesOf<T>()
             ? other
             : hn::And(other, hn::FirstN(tag, static_cast<size_t>(count)));
}

// Fills row.negatives; returns how many there are, or -1 where a distance to
// one of them, or to a positive, is NaN.
template <typename T>
HWY_INLINE int64_t GatherNegatives(const AnchorRow<T>& row) {
  const Tag<T> tag;
  const VecT<T> infinity = hn::Set(tag, Infinity<T>());
  int64_t count = 0;
  auto nan = hn::Zero(tag);
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const auto other = OtherClass(row, k, some);
    const VecT<T> d = LoadCount(row.distances + k, some);
    count += static_cast<int64_t>(hn::CountTrue(tag, other));
    // Buffers have room for a whole last vector.
    StoreAs(hn::IfThenElse(other, d, infinity), row.negatives + k);
    nan = hn::Or(nan, hn::IfThenElseZero(hn::IsNaN(d), infinity));
  });
  if (row.self >= 0 && row.own_class != row.of_ref[row.self]) {
    row.negatives[row.self] = Infinity<T>();
    --count;
  }
  if (HWY_UNLIKELY(!hn::AllTrue(tag, hn::Eq(nan, hn::Zero(tag))))) {
    for (int64_t j = 0; j < row.m; ++j) {
      if (j != row.self && row.distances[j] != row.distances[j]) return -1;
    }
  }
  return count;
}

// The first index at which values equals value.
template <typename T>
HWY_INLINE int32_t FindFirst(const T* values, int64_t m, T value) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> wanted = hn::Set(tag, value);
  for (int64_t k = 0; k < m; k += lanes) {
    const auto hit = hn::Eq(hn::LoadU(tag, values + k), wanted);
    const intptr_t lane = hn::FindFirstTrue(tag, hit);
    if (lane >= 0) return static_cast<int32_t>(k + lane);
  }
  return -1;
}

template <typename T>
HWY_INLINE void ClearWeights(const AnchorRow<T>& row) {
  const Tag<T> tag;
  for (int64_t k = 0; k < row.m; k += LanesOf<T>()) {
    hn::StoreU(hn::Zero(tag), tag, row.weights + k);
  }
}

// Every pair that the row touches takes a NaN.
template <typename T>
AnchorResult NanRow(const AnchorRow<T>& row) {
  AnchorResult result;
  int64_t positives = 0, negatives = 0;
  ClearWeights(row);
  for (int64_t j = 0; j < row.m; ++j) {
    if (j == row.self) continue;
    (row.of_ref[j] == row.own_class ? positives : negatives) += 1;
  }
  if (positives == 0 || negatives == 0) return result;
  for (int64_t j = 0; j < row.m; ++j) {
    if (j != row.self) row.weights[j] = static_cast<T>(std::nan(""));
  }
  result.sum = std::nan("");
  result.counted = result.nonzero = 1;
  result.slope = std::nan("");
  for (int64_t j = row.m - 1; j >= 0; --j) {
    if (j == row.self) continue;
    (row.of_ref[j] == row.own_class ? result.positive : result.negative) =
        static_cast<int32_t>(j);
  }
  return result;
}

// ---- hard: the farthest positive and the nearest negative ----

template <typename T>
AnchorResult HardRow(const AnchorRow<T>& row) {
  const Tag<T> tag;
  AnchorResult result;
  const int64_t negatives = GatherNegatives(row);
  if (negatives < 0) return NanRow(row);
  if (negatives == 0) return result;
  T farthest = 0;
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t j = row.positives[e];
    if (j == row.self) continue;
    if (result.positive < 0 || row.distances[j] > farthest) {
      farthest = row.distances[j];
      result.positive = j;
    }
  }
  if (result.positive < 0) return result;
  VecT<T> least = hn::Set(tag, Infinity<T>());
  for (int64_t k = 0; k < row.m; k += LanesOf<T>()) {
    least = hn::Min(least, hn::LoadU(tag, row.negatives + k));
  }
  const T nearest = hn::ReduceMin(tag, least);
  const TripletTerm term =
      MakeTripletTerm(farthest, nearest, row.margin, row.soft);
  result.sum = term.loss;
  result.counted = 1;
  result.nonzero = term.loss > 0;
  result.slope = term.slope;
  if (row.with_gradient) {
    result.negative = FindFirst(row.negatives, row.m, nearest);
    // A negative beyond the type's range: any of them, and no slope.
    if (result.negative < 0 || nearest == Infinity<T>()) {
      result.negative = -1;
    }
  }
  return result;
}

// Takes (value, index) as the anchor's farthest or nearest, where it is: of
// equal ones the lowest index, so that the order of tiles does not matter.
template <bool kFarthest, typename T>
HWY_INLINE void TakeBest(T value, int64_t index, T* best, int32_t* best_index) {
  const bool better = kFarthest ? value > *best : value < *best;
  if (better || (value == *best && index < *best_index)) {
    *best = value;
    *best_index = static_cast<int32_t>(index);
  }
}

template <typename T>
void RunHardTile(const HardTile<T>& tile) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const int64_t lanes = LanesOf<T>();
  const T inf = Infinity<T>();
  const VecT<T> infinity = hn::Set(tag, inf), none = hn::Set(tag, -inf);
  const LaneOf<T>* row_classes = tile.classes + tile.row;
  const LaneOf<T>* column_classes = tile.classes + tile.column;
  if (!tile.diagonal) {
    for (int64_t k = 0; k < tile.columns; k += lanes) {
      hn::StoreU(none, tag, tile.column_farthest + k);
      hn::StoreU(infinity, tag, tile.column_nearest + k);
    }
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    const T* row = tile.distances + r * tile.stride;
    const auto own = hn::Set(lane_tag, row_classes[r]);
    VecT<T> most = none, least = infinity;
    ForEachVector<T>(tile.columns, [&](int64_t k, int64_t some) HWY_ATTR {
      const auto classes = some == lanes
                               ? hn::LoadU(lane_tag, column_classes + k)
                               : hn::LoadN(lane_tag, column_classes + k,
                                           static_cast<size_t>(some));
      const auto same = hn::RebindMask(tag, hn::Eq(classes, own));
      const VecT<T> d = hn::LoadU(tag, row + k);
      VecT<T> positive = hn::IfThenElse(same, d, none);
      VecT<T> negative = hn::IfThenElse(same, infinity, d);
      if (some != lanes) {
        const auto valid = hn::FirstN(tag, static_cast<size_t>(some));
        positive = hn::IfThenElse(valid, positive, none);
        negative = hn::IfThenElse(valid, negative, infinity);
      }
      if (!tile.diagonal) {
        T* far = tile.column_farthest + k;
        T* near = tile.column_nearest + k;
        hn::StoreU(hn::Max(hn::LoadU(tag, far), positive), tag, far);
        hn::StoreU(hn::Min(hn::LoadU(tag, near), negative), tag, near);
      } else if (r >= k && r < k + some) {
        // The anchor itself.
        const auto self = hn::RebindMask(
            tag, hn::Eq(hn::Iota(lane_tag, static_cast<LaneOf<T>>(k)),
                        hn::Set(lane_tag, static_cast<LaneOf<T>>(r))));
        positive = hn::IfThenElse(self, none, positive);
      }
      most = hn::Max(most, positive);
      least = hn::Min(least, negative);
    });
    const int64_t i = tile.row + r;
    const T far = hn::ReduceMax(tag, most);
    if (far >= tile.farthest[i] && far > -inf) {
      for (int64_t k = 0; k < tile.columns; ++k) {
        if (row[k] == far && column_classes[k] == row_classes[r] &&
            !(tile.diagonal && k == r)) {
          TakeBest<true>(far, tile.column + k, tile.farthest + i,
                         tile.farthest_index + i);
          break;
        }
      }
    }
    const T near = hn::ReduceMin(tag, least);
    if (near <= tile.nearest[i] && near < inf) {
      for (int64_t k = 0; k < tile.columns; ++k) {
        if (row[k] == near && column_classes[k] != row_classes[r]) {
          TakeBest<false>(near, tile.column + k, tile.nearest + i,
                          tile.nearest_index + i);
          break;
        }
      }
    }
  }
  if (tile.diagonal) return;
  for (int64_t k = 0; k < tile.columns; ++k) {
    const int64_t j = tile.column + k;
    const T far = tile.column_farthest[k];
    if (far >= tile.farthest[j] && far > -inf) {
      for (int64_t r = 0; r < tile.rows; ++r) {
        if (tile.distances[r * tile.stride + k] == far &&
            row_classes[r] == column_classes[k]) {
          TakeBest<true>(far, tile.row + r, tile.farthest + j,
                         tile.farthest_index + j);
          break;
        }
      }
    }
    const T near = tile.column_nearest[k];
    if (near <= tile.nearest[j] && near < inf) {
      for (int64_t r = 0; r < tile.rows; ++r) {
        if (tile.distances[r * tile.stride + k] == near &&
            row_classes[r] != column_classes[k]) {
          TakeBest<false>(near, tile.row + r, tile.nearest + j,
                          tile.nearest_index + j);
          break;
        }
      }
    }
  }
}

// ---- the sorted positives, and where a distance falls among them ----

// Sorts the anchor's positives; returns their number K. row.sorted holds their
// distances and then +inf up to a power of two less one.
template <typename T>
HWY_INLINE int64_t SortPositives(const AnchorRow<T>& row) {
  int64_t count = 0;
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t j = row.positives[e];
    if (j != row.self) row.items[count++] = {row.distances[j], j};
  }
  MergeSort(row.items, row.item_buffer, count,
            [](const SortedPositive<T>& a, const SortedPositive<T>& b)
                HWY_ATTR { return a.distance < b.distance; });
  for (int64_t r = 0; r < count; ++r) row.sorted[r] = row.items[r].distance;
  int64_t padded = 1;
  while (padded < count + 1) padded *= 2;
  for (int64_t r = count; r < padded; ++r) row.sorted[r] = Infinity<T>();
  return count;
}

// Per lane, how many of sorted[0, count) are < value (or <= with kOrEqual).
template <bool kOrEqual, typename T>
HWY_INLINE hn::Vec<hn::RebindToSigned<Tag<T>>> CountBelow(const T* sorted,
                                                          int64_t count,
                                                          VecT<T> value) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  using Lane = LaneOf<T>;
  auto position = hn::Zero(lane_tag);
  int64_t step = 1;
  while (step < count + 1) step *= 2;
  for (step /= 2; step > 0; step /= 2) {
    const auto next =
        hn::Add(position, hn::Set(lane_tag, static_cast<Lane>(step)));
    const VecT<T> probe =
        hn::GatherIndex(tag, sorted, hn::Sub(next, hn::Set(lane_tag, Lane(1))));
    const auto below = kOrEqual ? hn::Le(probe, value) : hn::Lt(probe, value);
    position = hn::IfThenElse(hn::RebindMask(lane_tag, below), next, position);
  }
  // A value of +inf may have counted the padding.
  return hn::Min(position, hn::Set(lane_tag, static_cast<Lane>(count)));
}

// ---- semi-hard: per positive, the nearest negative farther than it ----

// Positives up to this number are taken one by one against all negatives;
// beyond it, sorting them and searching is cheaper.
constexpr int64_t kFewPositives = 48;

template <typename T>
HWY_INLINE void AddSemiHard(const AnchorRow<T>& row, T positive,
                            int32_t positive_index, T negative,
                            int32_t negative_index, AnchorResult& result) {
  const TripletTerm term =
      MakeTripletTerm(positive, negative, row.margin, row.soft);
  result.sum += term.loss;
  result.nonzero += term.loss > 0;
  if (row.with_gradient && term.slope != 0 && negative_index >= 0) {
    row.weights[positive_index] += static_cast<T>(term.slope);
    row.weights[negative_index] -= static_cast<T>(term.slope);
  }
}

template <typename T>
AnchorResult SemiHardRow(const AnchorRow<T>& row) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const T infinity = Infinity<T>();
  AnchorResult result;
  if (row.positives_count == 0 ||
      (row.positives_count == 1 && row.positives[0] == row.self)) {
    ClearWeights(row);
    return result;
  }
  const int64_t negatives = GatherNegatives(row);
  if (negatives < 0) return NanRow(row);
  ClearWeights(row);
  if (negatives == 0) return result;
  // The farthest negative, for positives that lie beyond all of them.
  T farthest = 0;
  int32_t farthest_index = -2;  // not looked for yet
  const auto beyond = [&](T positive, int32_t j) HWY_ATTR {
    if (farthest_index == -2) {
      VecT<T> most = hn::Set(tag, -infinity);
      for (int64_t k = 0; k < row.m; k += lanes) {
        const VecT<T> d = hn::LoadU(tag, row.negatives + k);
        most = hn::Max(most, hn::IfThenElse(hn::Lt(d, hn::Set(tag, infinity)),
                                            d, hn::Set(tag, -infinity)));
      }
      farthest = hn::ReduceMax(tag, most);
      farthest_index = FindFirst(row.negatives, row.m, farthest);
      if (farthest_index < 0) farthest = infinity;
    }
    AddSemiHard(row, positive, j, farthest, farthest_index, result);
  };
  if (row.positives_count <= kFewPositives) {
    for (int64_t e = 0; e < row.positives_count;) {
      constexpr int kTogether = 4;
      T distance[kTogether];
      int32_t index[kTogether];
      int together = 0;
      for (; e < row.positives_count && together < kTogether; ++e) {
        const int32_t j = row.positives[e];
        if (j == row.self) continue;
        distance[together] = row.distances[j];
        index[together++] = j;
      }
      if (together == 0) break;
      for (int p = together; p < kTogether; ++p) distance[p] = infinity;
      VecT<T> least0 = hn::Set(tag, infinity), least1 = least0, least2 = least0,
              least3 = least0;
      const VecT<T> p0 = hn::Set(tag, distance[0]),
                    p1 = hn::Set(tag, distance[1]),
                    p2 = hn::Set(tag, distance[2]),
                    p3 = hn::Set(tag, distance[3]);
      for (int64_t k = 0; k < row.m; k += lanes) {
        const VecT<T> d = hn::LoadU(tag, row.negatives + k);
        least0 = hn::IfThenElse(hn::Gt(d, p0), hn::Min(least0, d), least0);
        least1 = hn::IfThenElse(hn::Gt(d, p1), hn::Min(least1, d), least1);
        least2 = hn::IfThenElse(hn::Gt(d, p2), hn::Min(least2, d), least2);
        least3 = hn::IfThenElse(hn::Gt(d, p3), hn::Min(least3, d), least3);
      }
      const T nearest[kTogether] = {
          hn::ReduceMin(tag, least0), hn::ReduceMin(tag, least1),
          hn::ReduceMin(tag, least2), hn::ReduceMin(tag, least3)};
      for (int p = 0; p < together; ++p) {
        ++result.counted;
        if (nearest[p] == infinity) {
          beyond(distance[p], index[p]);
          continue;
        }
        const TripletTerm term =
            MakeTripletTerm(distance[p], nearest[p], row.margin, row.soft);
        const bool used = row.with_gradient && term.slope != 0;
        AddSemiHard(row, distance[p], index[p], nearest[p],
                    used ? FindFirst(row.negatives, row.m, nearest[p]) : -1,
                    result);
      }
    }
    return result;
  }
  // best[b]: the nearest negative that lies above exactly b positives. Then
  // the one for the positive of rank r is the least of best[r + 1 .. K].
  const int64_t count = SortPositives(row);
  for (int64_t b = 0; b <= count; ++b) {
    row.best[b] = infinity;
    row.best_index[b] = -1;
  }
  const hn::RebindToSigned<Tag<T>> lane_tag;
  for (int64_t k = 0; k < row.m; k += lanes) {
    const VecT<T> d = hn::LoadU(tag, row.negatives + k);
    HWY_ALIGN LaneOf<T> above[HWY_MAX_BYTES / sizeof(T)];
    hn::Store(CountBelow<false>(row.sorted, count, d), lane_tag, above);
    const int64_t some = row.m - k < lanes ? row.m - k : lanes;
    for (int64_t lane = 0; lane < some; ++lane) {
      const T value = row.negatives[k + lane];
      if (value < row.best[above[lane]]) {
        row.best[above[lane]] = value;
        row.best_index[above[lane]] = static_cast<int32_t>(k + lane);
      }
    }
  }
  T nearest = infinity;
  int32_t nearest_index = -1;
  for (int64_t r = count - 1; r >= 0; --r) {
    const T value = row.best[r + 1];
    const int32_t index = row.best_index[r + 1];
    if (value < nearest ||
        (value == nearest && index >= 0 && index < nearest_index)) {
      nearest = value;
      nearest_index = index;
    }
    ++result.counted;
    if (nearest_index < 0) {
      beyond(row.items[r].distance, row.items[r].index);
    } else {
      AddSemiHard(row, row.items[r].distance, row.items[r].index, nearest,
                  nearest_index, result);
    }
  }
  return result;
}

// ---- every triplet of a kind, under the hinge ----

// For a negative at distance D with threshold t = D - margin, the triplets
// whose loss is above zero are those of a range of the positives P in order:
//   all             P > t
//   semi-hard all   t < P < D     (counted: t <= P < D)
//   hard all        P >= D, P > t (counted: P >= D)
// So a row needs counts only: the loss is sum_p c_p P - sum_n c_n t, where c
// is how many such triplets a positive or a negative is in, and c_p and -c_n
// are the slopes.
template <Mining kMining, typename T>
AnchorResult FewPositivesRow(const AnchorRow<T>& row, int64_t negatives) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> margin = hn::Set(tag, static_cast<T>(row.margin));
  const VecT<T> one = hn::Set(tag, T(1));
  AnchorResult result;
  double sum = 0;
  int64_t counted = 0, active = 0, positives = 0;
  for (int64_t e = 0; e < row.positives_count;) {
    constexpr int kTogether = 4;
    T distance[kTogether];
    int32_t index[kTogether];
    int together = 0;
    for (; e < row.positives_count && together < kTogether; ++e) {
      const int32_t j = row.positives[e];
      if (j == row.self) continue;
      distance[together] = row.distances[j];
      index[together++] = j;
    }
    if (together == 0) break;
    positives += together;
    // A positive at -inf is in no triplet.
    for (int p = together; p < kTogether; ++p) distance[p] = -Infinity<T>();
    VecT<T> p[kTogether], c[kTogether];
    for (int i = 0; i < kTogether; ++i) {
      p[i] = hn::Set(tag, distance[i]);
      c[i] = hn::Zero(tag);
    }
    VecT<T> all_counted = hn::Zero(tag);
    for (int64_t k = 0; k < row.m; k += lanes) {
      const VecT<T> d = hn::LoadU(tag, row.negatives + k);
      const VecT<T> t = hn::Sub(d, margin);
      VecT<T> w = hn::LoadU(tag, row.weights + k);
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i) {
        auto in = hn::Gt(p[i], t);
        if constexpr (kMining == Mining::kSemiHardAll) {
          const auto below = hn::Lt(p[i], d);
          all_counted =
              hn::Add(all_counted,
                      hn::IfThenElseZero(hn::And(below, hn::Ge(p[i], t)), one));
          in = hn::And(in, below);
        } else if constexpr (kMining == Mining::kHardAll) {
          const auto above = hn::Ge(p[i], d);
          all_counted = hn::Add(all_counted, hn::IfThenElseZero(above, one));
          in = hn::And(in, above);
        }
        const VecT<T> ones = hn::IfThenElseZero(in, one);
        c[i] = hn::Add(c[i], ones);
        w = hn::Sub(w, ones);
      }
      hn::StoreU(w, tag, row.weights + k);
    }
    if constexpr (kMining != Mining::kAll) {
      counted += static_cast<int64_t>(SumToDouble(tag, all_counted));
    }
    for (int i = 0; i < together; ++i) {
      const double count = SumToDouble(tag, c[i]);
      active += static_cast<int64_t>(count);
      if (count != 0) sum += count * static_cast<double>(distance[i]);
      // A positive's slot is past every negative's pass: it is +inf there.
      row.weights[index[i]] = static_cast<T>(count);
    }
  }
  // The weights of the negatives are minus their counts.
  VecT<double> thresholds = hn::Zero(Tag<double>());
  for (int64_t k = 0; k < row.m; k += lanes) {
    const VecT<T> w = hn::LoadU(tag, row.weights + k);
    const VecT<T> t = hn::Sub(hn::LoadU(tag, row.negatives + k), margin);
    const auto negative = hn::Lt(w, hn::Zero(tag));
    // Products of an integer below 2^24 and t, summed in double: promote
    // first, so that they are exact.
    AddProductToDouble(tag, w, hn::IfThenElseZero(negative, t), thresholds);
  }
  result.sum = sum + hn::ReduceSum(Tag<double>(), thresholds);
  result.counted = kMining == Mining::kAll ? positives * negatives : counted;
  result.nonzero = active;
  return result;
}

template <Mining kMining, typename T>
AnchorResult ManyPositivesRow(const AnchorRow<T>& row, int64_t negatives) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  using Lane = LaneOf<T>;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> margin = hn::Set(tag, static_cast<T>(row.margin));
  AnchorResult result;
  const int64_t count = SortPositives(row);
  // Four histograms in turn, so that equal neighbours do not wait for each
  // other's store.
  constexpr int kHistograms = 4;
  const int64_t bins = count + 2;
  for (int64_t b = 0; b < kHistograms * bins; ++b) row.histogram[b] = 0;
  VecT<double> thresholds = hn::Zero(Tag<double>());
  int64_t counted = 0, active = 0;
  for (int64_t k = 0; k < row.m; k += lanes) {
    const VecT<T> d = hn::LoadU(tag, row.negatives + k);
    const VecT<T> t = hn::Sub(d, margin);
    // The range [low, high) of the positives with a loss above zero.
    auto low = CountBelow<true>(row.sorted, count, t);
    auto high = hn::Set(lane_tag, static_cast<Lane>(count));
    if constexpr (kMining != Mining::kAll) {
      const auto below = CountBelow<false>(row.sorted, count, d);
      if constexpr (kMining == Mining::kSemiHardAll) {
        const auto from = CountBelow<false>(row.sorted, count, t);
        counted += static_cast<int64_t>(hn::ReduceSum(
            lane_tag, hn::Max(hn::Sub(below, from), hn::Zero(lane_tag))));
        high = hn::Max(below, low);
      } else {
        counted +=
            static_cast<int64_t>(hn::ReduceSum(lane_tag, hn::Sub(high, below)));
        low = hn::Max(low, below);
      }
    }
    const auto in = hn::Sub(high, low);
    const VecT<T> w = hn::ConvertTo(tag, hn::Neg(in));
    hn::StoreU(w, tag, row.weights + k);
    AddProductToDouble(tag, w, hn::IfThenElseZero(hn::Lt(w, hn::Zero(tag)), t),
                       thresholds);
    active += static_cast<int64_t>(hn::ReduceSum(lane_tag, in));
    HWY_ALIGN Lane low_lanes[HWY_MAX_BYTES / sizeof(T)];
    hn::Store(low, lane_tag, low_lanes);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      ++row.histogram[(lane % kHistograms) * bins + low_lanes[lane]];
    }
    if constexpr (kMining == Mining::kSemiHardAll) {
      hn::Store(high, lane_tag, low_lanes);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        --row.histogram[(lane % kHistograms) * bins + low_lanes[lane]];
      }
    }
  }
  // A range that starts at rank b holds every rank from b on.
  int64_t running = 0;
  double sum = 0;
  for (int64_t r = 0; r < count; ++r) {
    for (int h = 0; h < kHistograms; ++h) {
      running += row.histogram[h * bins + r];
    }
    if (running != 0) {
      sum += static_cast<double>(running) * static_cast<double>(row.sorted[r]);
    }
    row.weights[row.items[r].index] = static_cast<T>(running);
  }
  result.sum = sum + hn::ReduceSum(Tag<double>(), thresholds);
  result.counted = kMining == Mining::kAll ? count * negatives : counted;
  result.nonzero = active;
  return result;
}

template <Mining kMining, typename T>
AnchorResult HingeRow(const AnchorRow<T>& row) {
  const int64_t negatives = GatherNegatives(row);
  if (negatives < 0) return NanRow(row);
  ClearWeights(row);
  if (negatives == 0) return AnchorResult();
  return row.positives_count <= kFewPositives
             ? FewPositivesRow<kMining>(row, negatives)
             : ManyPositivesRow<kMining>(row, negatives);
}

// ---- every triplet, under the soft margin ----

template <typename T>
AnchorResult SoftRow(const AnchorRow<T>& row) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  AnchorResult result;
  const int64_t negatives = GatherNegatives(row);
  if (negatives < 0) return NanRow(row);
  ClearWeights(row);
  if (negatives == 0) return result;
  constexpr int64_t kBlock = 64;  // vectors summed in T before double
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t j = row.positives[e];
    if (j == row.self) continue;
    const VecT<T> p = hn::Set(tag, row.distances[j]);
    double slope = 0, nonzero = 0;
    for (int64_t begin = 0; begin < row.m; begin += kBlock * lanes) {
      const int64_t end =
          begin + kBlock * lanes < row.m ? begin + kBlock * lanes : row.m;
      VecT<T> losses = hn::Zero(tag), slopes = hn::Zero(tag),
              positive = hn::Zero(tag);
      for (int64_t k = begin; k < end; k += lanes) {
        const VecT<T> n = hn::LoadU(tag, row.negatives + k);
        VecT<T> loss, sigmoid;
        SoftplusAndSigmoid(hn::Sub(p, n), loss, sigmoid);
        losses = hn::Add(losses, loss);
        slopes = hn::Add(slopes, sigmoid);
        positive =
            hn::Add(positive, hn::IfThenElseZero(hn::Gt(loss, hn::Zero(tag)),
                                                 hn::Set(tag, T(1))));
        hn::StoreU(hn::Sub(hn::LoadU(tag, row.weights + k), sigmoid), tag,
                   row.weights + k);
      }
      result.sum += SumToDouble(tag, losses);
      slope += SumToDouble(tag, slopes);
      nonzero += SumToDouble(tag, positive);
    }
    result.counted += negatives;
    result.nonzero += static_cast<int64_t>(nonzero);
    // +inf among the negatives, so no pass has touched this slot.
    row.weights[j] = static_cast<T>(slope);
  }
  return result;
}

template <typename T>
AnchorResult Row(const AnchorRow<T>& row) {
  switch (row.mining) {
    case Mining::kHard:
      return HardRow(row);
    case Mining::kSemiHard:
      return SemiHardRow(row);
    case Mining::kAll:
      return row.soft ? SoftRow(row) : HingeRow<Mining::kAll>(row);
    case Mining::kSemiHardAll:
      return HingeRow<Mining::kSemiHardAll>(row);
    case Mining::kHardAll:
      return HingeRow<Mining::kHardAll>(row);
  }
  return AnchorResult();
}

// ---- explicit triplets ----

LossSums ExplicitBlock(const TripletLoss& problem, const TripletArrays& arrays,
                       int64_t begin, int64_t end, double scale,
                       bool with_gradient) {
  LossSums sums;
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const int64_t d = problem.d;
    const Metric metric = problem.metric;
    const T* weights = static_cast<const T*>(arrays.weights);
    for (int64_t i = begin; i < end; ++i) {
      const S* a = static_cast<const S*>(arrays.anchors) + i * d;
      const S* p = static_cast<const S*>(arrays.positives) + i * d;
      const S* n = static_cast<const S*>(arrays.negatives) + i * d;
      const DirectPair ap = MakePair(metric, a, p, d, with_gradient);
      DirectPair n_pair = MakePair(metric, a, n, d, with_gradient);
      bool swapped = false;
      if (problem.swap) {
        const DirectPair pn = MakePair(metric, p, n, d, with_gradient);
        if (pn.distance < n_pair.distance || pn.distance != pn.distance) {
          n_pair = pn;
          swapped = true;
        }
      }
      const TripletTerm term = MakeTripletTerm(ap.distance, n_pair.distance,
                                               problem.margin, problem.soft);
      const double weight =
          weights == nullptr ? 1.0 : static_cast<double>(weights[i]);
      sums.sum += weight * term.loss;
      sums.counted += weight;
      sums.nonzero += term.loss > 0 || term.loss != term.loss ? weight : 0;
      if (problem.reduction == Reduction::kNone && arrays.loss != nullptr) {
        static_cast<T*>(arrays.loss)[i] = static_cast<T>(weight * term.loss);
      }
      if (!with_gradient) continue;
      const double w = scale * weight * term.slope;
      T* a_grad = static_cast<T*>(arrays.anchors_grad) + i * d;
      T* p_grad = static_cast<T*>(arrays.positives_grad) + i * d;
      T* n_grad = static_cast<T*>(arrays.negatives_grad) + i * d;
      if (w == 0) {
        for (int64_t k = 0; k < d; ++k) a_grad[k] = p_grad[k] = n_grad[k] = 0;
        continue;
      }
      StoreSlope(metric, ap, w, a, p, d, a_grad);
      StoreSlope(metric, Exchanged(ap), w, p, a, d, p_grad);
      const S* near = swapped ? p : a;
      AddSlope(metric, n_pair, -w, near, n, d, swapped ? p_grad : a_grad);
      StoreSlope(metric, Exchanged(n_pair), -w, n, near, d, n_grad);
    }
  });
  return sums;
}

// distances = the weights V.
template <typename T>
void Slopes(Metric metric, int64_t count, const T* weights, T* distances) {
  VisitSlope(metric, [&](auto slope) HWY_ATTR {
    ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
      StoreCount(decltype(slope)::Of(LoadCount(weights + k, some),
                                     LoadCount(distances + k, some)),
                 distances + k, some);
    });
  });
}

constexpr TripletKernels kTable = {
    &RunHardTile<float>, &RunHardTile<double>, &Row<float>,    &Row<double>,
    &ExplicitBlock,      &Slopes<float>,       &Slopes<double>};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const TripletKernels& Kernels(){TF_PAIRWISE_DISPATCH()}

AnchorResult RunRow(const AnchorRow<float>& row) {
  return Kernels().narrow_row(row);
}
AnchorResult RunRow(const AnchorRow<double>& row) {
  return Kernels().wide_row(row);
}
void MakeSlopes(Metric metric, int64_t count, const float* weights,
                float* distances) {
  Kernels().narrow_slopes(metric, count, weights, distances);
}
void MakeSlopes(Metric metric, int64_t count, const double* weights,
                double* distances) {
  Kernels().wide_slopes(metric, count, weights, distances);
}
void RunTile(const HardTile<float>& tile) { Kernels().narrow_hard_tile(tile); }
void RunTile(const HardTile<double>& tile) { Kernels().wide_hard_tile(tile); }

Status CheckCommon(DType dtype, Metric metric, Reduction reduction,
                   double margin, bool soft) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(dtype));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMetric(metric));
  if (static_cast<int32_t>(reduction) < 0 ||
      reduction > Reduction::kMeanNonzero) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean or mean_nonzero",
        static_cast<int>(reduction));
  }
  if (!soft && !(margin >= 0 && margin <= 1.7976931348623157e308)) {
    return InvalidArgument(
        "margin: got %g, expected a finite number, 0 or more, or none for the "
        "soft margin",
        margin);
  }
  return Ok();
}

// ---- the triplets of a batch ----

template <typename T>
struct BatchPlan {
  RowWalk<T> driver;
  bool dense = false;
  Classes<LaneOf<T>> classes;
  double* sums;     // [n], weighted losses
  double* counted;  // [n], weighted counts
  double* nonzero;  // [n]
  // hard, the batch against itself: distances are symmetric, so a walk over
  // half of the tiles finds what is mined.
  TileWalk<T> tiles;
  bool symmetric = false;
  T* farthest = nullptr;  // [n], as in HardTile
  T* nearest = nullptr;
  int32_t* farthest_index = nullptr;
  int32_t* nearest_index = nullptr;
  T* columns = nullptr;  // [workers, 2, columns_size]
  int64_t columns_size = 0;
  // hard: the two pairs of each anchor and, by reference, who points at it.
  int32_t* pair_index = nullptr;    // [2 n]
  T* pair_weight = nullptr;         // [2 n]
  int32_t* by_ref_begin = nullptr;  // [m + 2]
  int32_t* by_ref_anchor = nullptr;
  T* by_ref_weight = nullptr;

  BatchPlan(const BatchTripletLoss& problem, bool gradient, bool mine,
            Scratch& scratch, int workers) {
    const int64_t n = problem.n, m = problem.m;
    dense = gradient && problem.mining != Mining::kHard;
    Scratch counter(nullptr);
    AnchorRow<T> row;
    LayOutRow(counter, problem, mine, &row);
    constexpr int64_t kHeldElements = 2 << 20;
    RowWalkOptions options;
    options.gradient = gradient;
    options.weights = dense;
    options.held_elements = kHeldElements;
    options.worker_bytes = counter.bytes();
    driver.LayOut(scratch,
                  {problem.dtype, problem.metric, problem.metric, n, m,
                   problem.d, problem.self},
                  options, workers);
    classes.LayOut(scratch, n, m, problem.self);
    symmetric = problem.self && problem.mining == Mining::kHard && !mine;
    if (symmetric) {
      tiles.LayOutTiles(scratch, n, m, true, workers);
      farthest = scratch.Take<T>(n);
      nearest = scratch.Take<T>(n);
      farthest_index = scratch.Take<int32_t>(n);
      nearest_index = scratch.Take<int32_t>(n);
      columns_size = tiles.tile_columns() + 64;
      columns = scratch.Take<T>(workers * 2 * columns_size);
    }
    if (gradient && !dense) {
      pair_index = scratch.Take<int32_t>(2 * n);
      pair_weight = scratch.Take<T>(2 * n);
      by_ref_begin = scratch.Take<int32_t>(m + 2);
      by_ref_anchor = scratch.Take<int32_t>(2 * n);
      by_ref_weight = scratch.Take<T>(2 * n);
    }
    sums = scratch.Take<double>(n);
    counted = scratch.Take<double>(n);
    nonzero = scratch.Take<double>(n);
  }

  // A worker's buffers for a row.
  void LayOutRow(Scratch& scratch, const BatchTripletLoss& problem, bool mine,
                 AnchorRow<T>* row) const {
    const int64_t m = problem.m;
    constexpr int64_t kVector = 64;  // room for a whole last vector
    if (mine) return;
    row->negatives = scratch.Take<T>(m + kVector);
    row->weights = scratch.Take<T>(m + kVector);
    if (problem.mining == Mining::kHard) return;
    row->sorted = scratch.Take<T>(2 * m + 2);
    row->items = scratch.Take<SortedPositive<T>>(m);
    row->item_buffer = scratch.Take<SortedPositive<T>>(m);
    if (problem.mining == Mining::kSemiHard) {
      row->best = scratch.Take<T>(m + 2);
      row->best_index = scratch.Take<int32_t>(m + 2);
    } else {
      row->histogram = scratch.Take<int32_t>(4 * (m + 2));
    }
  }
};

int64_t SelfOf(const BatchTripletLoss& problem, int64_t i) {
  if (problem.self) return i;
  const int64_t self = i + problem.self_offset;
  return problem.self_offset >= 0 && self < problem.m ? self : -1;
}

int64_t DiagonalOf(const BatchTripletLoss& problem) {
  return problem.self ? 0 : problem.self_offset;
}

template <typename T>
void PreparePlan(BatchPlan<T>& plan, const BatchTripletLoss& problem,
                 const BatchTripletArrays& arrays,
                 const ParallelFor& parallel) {
  plan.driver.sides.Prepare(arrays.anchors, arrays.refs, parallel);
  plan.classes.Build(arrays.labels, problem.n, arrays.ref_labels, problem.m,
                     problem.self);
}

// Hard mining's gradient: each anchor has two pairs, each reference the pairs
// that point at it, in the anchors' order.
template <typename T>
void AddMinedPairs(BatchPlan<T>& plan, const BatchTripletLoss& problem,
                   const ParallelFor& parallel) {
  const int64_t n = problem.n, m = problem.m;
  int32_t* begin = plan.by_ref_begin;
  for (int64_t j = 0; j <= m + 1; ++j) begin[j] = 0;
  for (int64_t e = 0; e < 2 * n; ++e) {
    if (plan.pair_index[e] >= 0) ++begin[plan.pair_index[e] + 2];
  }
  for (int64_t j = 2; j <= m + 1; ++j) begin[j] += begin[j - 1];
  // begin[j + 1] is now where j's next pair goes, and ends as j's end.
  for (int64_t e = 0; e < 2 * n; ++e) {
    const int32_t j = plan.pair_index[e];
    if (j < 0) continue;
    const int32_t at = begin[j + 1]++;
    plan.by_ref_anchor[at] = static_cast<int32_t>(e / 2);
    plan.by_ref_weight[at] = plan.pair_weight[e];
  }
  constexpr int64_t kRows = 64;
  const double cost = kRows * 4.0 * PairCost(problem.d);
  const Operand<T>& anchors = plan.driver.sides.x;
  const Operand<T>& refs = plan.driver.sides.right();
  parallel(Blocks(n, kRows), cost, [&](int64_t unit, int) {
    const int64_t row = unit * kRows;
    const int64_t rows = n - row < kRows ? n - row : kRows;
    Sides<T>::ClearRows(anchors, plan.driver.sides.x_sums, row, rows);
    for (int64_t i = row; i < row + rows; ++i) {
      if (plan.pair_index[2 * i] < 0) continue;
      AccumulatePairs<T>(anchors, refs, i, 2, plan.pair_index + 2 * i,
                         plan.pair_weight + 2 * i, plan.driver.sides.x_sums);
    }
  });
  parallel(Blocks(m, kRows), cost, [&](int64_t unit, int) {
    const int64_t row = unit * kRows;
    const int64_t rows = m - row < kRows ? m - row : kRows;
    if (!problem.self)
      Sides<T>::ClearRows(refs, plan.driver.sides.y_sums, row, rows);
    for (int64_t j = row; j < row + rows; ++j) {
      AccumulatePairs<T>(refs, anchors, j, begin[j + 1] - begin[j],
                         plan.by_ref_anchor + begin[j],
                         plan.by_ref_weight + begin[j],
                         plan.driver.sides.y_sums);
    }
  });
}

// Hard mining of a batch against itself: fills the plan's farthest and nearest.
template <typename T>
void MineSymmetric(BatchPlan<T>& plan, const BatchTripletLoss& problem,
                   const ParallelFor& parallel) {
  const T infinity = static_cast<T>(__builtin_inf());
  for (int64_t i = 0; i < problem.n; ++i) {
    plan.farthest[i] = -infinity;
    plan.nearest[i] = infinity;
    plan.farthest_index[i] = plan.nearest_index[i] = -1;
  }
  plan.tiles.UseSides(plan.driver.sides);
  plan.tiles.Run(
      0, false, parallel,
      [&](const typename TileWalk<T>::Tile& at, int worker) {
        HardTile<T> tile;
        tile.rows = at.block.rows;
        tile.columns = at.block.columns;
        tile.distances = at.tile.data;
        tile.stride = at.tile.stride;
        tile.row = at.block.row;
        tile.column = at.block.column;
        tile.diagonal = at.diagonal;
        tile.classes = plan.classes.of_ref;
        tile.farthest = plan.farthest;
        tile.farthest_index = plan.farthest_index;
        tile.nearest = plan.nearest;
        tile.nearest_index = plan.nearest_index;
        tile.column_farthest = plan.columns + worker * 2 * plan.columns_size;
        tile.column_nearest = tile.column_farthest + plan.columns_size;
        RunTile(tile);
      });
}

template <typename T>
void RunBatch(const BatchTripletLoss& problem, const BatchTripletArrays& arrays,
              void* base, const ParallelFor& parallel) {
  const int64_t n = problem.n, m = problem.m;
  // Without anchors their gradient is an empty array, which may be null.
  const bool with_gradient =
      arrays.anchors_grad != nullptr || arrays.refs_grad != nullptr;
  Scratch scratch(base);
  BatchPlan<T> plan(problem, with_gradient, false, scratch, parallel.workers);
  PreparePlan(plan, problem, arrays, parallel);
  const bool dense = plan.dense;
  const auto weight_of = [&](int64_t i) {
    return LoadCompute(problem.dtype, arrays.weights, i);
  };
  // What an anchor's row comes to; `distance_of(j)` is its distance to j.
  const auto take_result = [&](int64_t i, const AnchorResult& result,
                               const auto& distance_of) {
    const double weight = weight_of(i);
    // A weight of zero takes a NaN anchor out as well.
    plan.sums[i] = weight == 0 ? 0 : weight * result.sum;
    plan.counted[i] = weight * static_cast<double>(result.counted);
    plan.nonzero[i] = weight * static_cast<double>(result.nonzero);
    if (!with_gradient || dense) return;
    const bool used = result.positive >= 0 && result.negative >= 0 &&
                      result.slope != 0 && weight != 0;
    const int32_t indices[2] = {result.positive, result.negative};
    const double slopes[2] = {weight * result.slope, -weight * result.slope};
    for (int side = 0; side < 2; ++side) {
      plan.pair_index[2 * i + side] = used ? indices[side] : -1;
      if (!used) continue;
      const T slope = static_cast<T>(slopes[side]);
      T value = distance_of(indices[side]);
      MakeSlopes(problem.metric, 1, &slope, &value);
      plan.pair_weight[2 * i + side] = value;
    }
  };
  if (plan.symmetric && plan.driver.sides.x.finite()) {
    MineSymmetric(plan, problem, parallel);
    for (int64_t i = 0; i < n; ++i) {
      AnchorResult result;
      int64_t members;
      plan.classes.MembersOf(i, &members);
      if (members > 1 && members < n) {
        const TripletTerm term = MakeTripletTerm(
            plan.farthest[i], plan.nearest[i], problem.margin, problem.soft);
        result = {term.loss,
                  1,
                  term.loss > 0,
                  plan.farthest_index[i],
                  plan.nearest_index[i],
                  term.slope};
      }
      take_result(i, result, [&](int32_t j) {
        return j == result.positive ? plan.farthest[i] : plan.nearest[i];
      });
    }
  } else {
    plan.driver.Run(
        DiagonalOf(problem), parallel,
        [&](const typename RowWalk<T>::Rows& rows) {
          AnchorRow<T> anchor = {};
          Scratch worker_scratch(rows.scratch);
          plan.LayOutRow(worker_scratch, problem, false, &anchor);
          anchor.mining = problem.mining;
          anchor.margin = problem.margin;
          anchor.soft = problem.soft;
          anchor.with_gradient = with_gradient;
          anchor.m = m;
          anchor.of_ref = plan.classes.of_ref;
          for (int64_t r = 0; r < rows.block.rows; ++r) {
            const int64_t i = rows.block.row + r;
            T* distances = rows.tile.Row(r);
            anchor.distances = distances;
            anchor.self = SelfOf(problem, i);
            anchor.own_class = plan.classes.of_anchor[i];
            anchor.positives =
                plan.classes.MembersOf(i, &anchor.positives_count);
            take_result(i, RunRow(anchor),
                        [&](int32_t j) { return distances[j]; });
            if (!dense) continue;
            const double weight = weight_of(i);
            if (weight != 1) {
              for (int64_t j = 0; j < m; ++j) {
                anchor.weights[j] =
                    weight == 0 ? T(0)
                                : static_cast<T>(weight) * anchor.weights[j];
              }
            }
            MakeSlopes(problem.metric, m, anchor.weights, distances);
          }
        });
  }
  LossSums total;
  for (int64_t i = 0; i < n; ++i) {
    total.Add({plan.sums[i], plan.counted[i], plan.nonzero[i]});
  }
  const double scale = ScaleOf(problem.reduction, total);
  if (arrays.counted != nullptr) {
    *arrays.counted = DivisorOf(problem.reduction, total);
  }
  if (arrays.loss != nullptr) {
    if (problem.reduction == Reduction::kNone) {
      for (int64_t i = 0; i < n; ++i) {
        static_cast<T*>(arrays.loss)[i] = static_cast<T>(plan.sums[i]);
      }
    } else {
      StoreLoss(problem.dtype, scale == 0 ? 0 : total.sum * scale, arrays.loss);
    }
  }
  if (!with_gradient) return;
  if (!dense) AddMinedPairs(plan, problem, parallel);
  plan.driver.sides.Finish(scale, arrays.anchors_grad, arrays.refs_grad,
                           parallel);
}

template <typename T>
int64_t BatchBytes(const BatchTripletLoss& problem, bool with_gradient,
                   bool mine, int workers) {
  Scratch scratch(nullptr);
  BatchPlan<T> plan(problem, with_gradient, mine, scratch, workers);
  // Mining also keeps where each anchor's triplets begin.
  if (mine) scratch.Take<int64_t>(problem.n + 1);
  return scratch.bytes();
}

// ---- mining ----

// Calls `take(p, n)` for each triplet of the anchor, in order.
template <typename T, typename Take>
void ForEachTriplet(const BatchTripletLoss& problem, const BatchPlan<T>& plan,
                    int64_t i, const T* distances, const Take& take) {
  int64_t count;
  const int32_t* positives = plan.classes.MembersOf(i, &count);
  const int64_t self = SelfOf(problem, i), m = problem.m;
  const auto own = plan.classes.of_anchor[i];
  const auto negative = [&](int64_t j) {
    return plan.classes.of_ref[j] != own && j != self &&
           distances[j] == distances[j];
  };
  const auto positive = [&](int32_t j) {
    return j != self && distances[j] == distances[j];
  };
  if (problem.mining == Mining::kHard) {
    int64_t best_positive = -1, best_negative = -1;
    for (int64_t e = 0; e < count; ++e) {
      const int32_t j = positives[e];
      if (positive(j) &&
          (best_positive < 0 || distances[j] > distances[best_positive])) {
        best_positive = j;
      }
    }
    if (best_positive < 0) return;
    for (int64_t j = 0; j < m; ++j) {
      if (negative(j) &&
          (best_negative < 0 || distances[j] < distances[best_negative])) {
        best_negative = j;
      }
    }
    if (best_negative >= 0) take(best_positive, best_negative);
    return;
  }
  for (int64_t e = 0; e < count; ++e) {
    const int32_t p = positives[e];
    if (!positive(p)) continue;
    if (problem.mining == Mining::kSemiHard) {
      int64_t nearest = -1, farthest = -1;
      for (int64_t j = 0; j < m; ++j) {
        if (!negative(j)) continue;
        if (distances[j] > distances[p] &&
            (nearest < 0 || distances[j] < distances[nearest])) {
          nearest = j;
        }
        if (farthest < 0 || distances[j] > distances[farthest]) farthest = j;
      }
      if (nearest >= 0) {
        take(p, nearest);
      } else if (farthest >= 0) {
        take(p, farthest);
      }
      continue;
    }
    for (int64_t j = 0; j < m; ++j) {
      if (!negative(j)) continue;
      const T threshold = distances[j] - static_cast<T>(problem.margin);
      const bool taken =
          problem.mining == Mining::kAll ||
          (problem.mining == Mining::kSemiHardAll
               ? IsSemiHard(distances[p], distances[j], threshold)
               : IsHard(distances[p], distances[j]));
      if (taken) take(p, j);
    }
  }
}

template <typename T>
void RunMine(const BatchTripletLoss& problem, const BatchTripletArrays& arrays,
             const TripletSink& sink, void* base, const ParallelFor& parallel) {
  const int64_t n = problem.n;
  Scratch scratch(base);
  BatchPlan<T> plan(problem, false, true, scratch, parallel.workers);
  int64_t* begin = scratch.Take<int64_t>(n + 1);
  PreparePlan(plan, problem, arrays, parallel);
  int64_t* triplets = nullptr;
  // Twice over the anchors: to count, and, when there is room, to write.
  for (int pass = 0; pass < 2; ++pass) {
    plan.driver.Run(DiagonalOf(problem), parallel,
                    [&](const typename RowWalk<T>::Rows& rows) {
                      for (int64_t r = 0; r < rows.block.rows; ++r) {
                        const int64_t i = rows.block.row + r;
                        const T* distances = rows.tile.Row(r);
                        if (pass == 0) {
                          int64_t count = 0;
                          ForEachTriplet(problem, plan, i, distances,
                                         [&](int64_t, int64_t) { ++count; });
                          begin[i + 1] = count;
                          continue;
                        }
                        int64_t* out = triplets + 3 * begin[i];
                        ForEachTriplet(problem, plan, i, distances,
                                       [&](int64_t p, int64_t q) {
                                         out[0] = i;
                                         out[1] = p;
                                         out[2] = q;
                                         out += 3;
                                       });
                      }
                    });
    if (pass == 1) break;
    begin[0] = 0;
    for (int64_t i = 0; i < n; ++i) begin[i + 1] += begin[i];
    triplets = sink.allocate(sink.context, begin[n]);
    if (triplets == nullptr || begin[n] == 0) return;
  }
}

}  // namespace

Status Check(const TripletLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric,
                                          problem.reduction, problem.margin,
                                          problem.soft));
  if (problem.n < 0 || problem.d < 0) {
    return InvalidArgument("anchors: got shape [%lld, %lld]",
                           static_cast<long long>(problem.n),
                           static_cast<long long>(problem.d));
  }
  return Ok();
}

int64_t TripletLossScratchBytes(const TripletLoss& problem, int) {
  return ExplicitBlocks(problem.n, problem.d) *
         static_cast<int64_t>(sizeof(LossSums));
}

Status TripletLossCpu(const TripletLoss& problem, const TripletArrays& arrays,
                      void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const TripletKernels& kernels = Kernels();
  ReduceExplicit(problem.dtype, problem.reduction, problem.n, problem.d,
                 arrays.weights, arrays.anchors_grad != nullptr, arrays.loss,
                 static_cast<LossSums*>(scratch), parallel,
                 [&](int64_t begin, int64_t end, double scale, bool gradient) {
                   return kernels.explicit_block(problem, arrays, begin, end,
                                                 scale, gradient);
                 });
  return Ok();
}

Status Check(const BatchTripletLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric,
                                          problem.reduction, problem.margin,
                                          problem.soft));
  if (static_cast<int32_t>(problem.mining) < 0 ||
      problem.mining > Mining::kHardAll) {
    return InvalidArgument("mining: got the unknown value %d",
                           static_cast<int>(problem.mining));
  }
  if (problem.soft && (problem.mining == Mining::kSemiHardAll ||
                       problem.mining == Mining::kHardAll)) {
    return InvalidArgument(
        "margin: got none, the soft margin, expected a number: mining "
        "\"semi_hard_all\" and \"hard_all\" are defined by the margin");
  }
  constexpr int64_t kMost = int64_t{1} << 31;
  if (problem.n < 0 || problem.m < 0 || problem.d < 0 || problem.n >= kMost ||
      problem.m >= kMost) {
    return InvalidArgument(
        "embeddings: got %lld anchors, %lld references and %lld columns, "
        "expected 0 to 2^31 - 1 rows",
        static_cast<long long>(problem.n), static_cast<long long>(problem.m),
        static_cast<long long>(problem.d));
  }
  return CheckReferences(problem.self, problem.self_offset, problem.n,
                         problem.m);
}

int64_t BatchTripletLossScratchBytes(const BatchTripletLoss& problem,
                                     bool with_gradient, int workers) {
  return problem.dtype == DType::kFloat64
             ? BatchBytes<double>(problem, with_gradient, false, workers)
             : BatchBytes<float>(problem, with_gradient, false, workers);
}

Status BatchTripletLossCpu(const BatchTripletLoss& problem,
                           const BatchTripletArrays& arrays, void* scratch,
                           const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.dtype == DType::kFloat64) {
    RunBatch<double>(problem, arrays, scratch, parallel);
  } else {
    RunBatch<float>(problem, arrays, scratch, parallel);
  }
  return Ok();
}

int64_t MineTripletsScratchBytes(const BatchTripletLoss& problem, int workers) {
  return problem.dtype == DType::kFloat64
             ? BatchBytes<double>(problem, false, true, workers)
             : BatchBytes<float>(problem, false, true, workers);
}

Status MineTripletsCpu(const BatchTripletLoss& problem,
                       const BatchTripletArrays& arrays,
                       const TripletSink& sink, void* scratch,
                       const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.dtype == DType::kFloat64) {
    RunMine<double>(problem, arrays, sink, scratch, parallel);
  } else {
    RunMine<float>(problem, arrays, sink, scratch, parallel);
  }
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

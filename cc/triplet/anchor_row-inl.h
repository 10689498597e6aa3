// An anchor's row of distances, and what the minings do with one alike: pick
// out the negatives, sort the positives, search among them.

#if defined(TF_PAIRWISE_TRIPLET_ANCHOR_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_TRIPLET_ANCHOR_ROW_INL_H_
#undef TF_PAIRWISE_TRIPLET_ANCHOR_ROW_INL_H_
#else
#define TF_PAIRWISE_TRIPLET_ANCHOR_ROW_INL_H_
#endif

#include "core/block.h"
#include "core/classes.h"
#include "core/rounds.h"
#include "core/scratch.h"
#include "core/sort.h"
#include "simd/convert-inl.h"
#include "triplet/triplet.h"
#include "triplet/triplet_pair-inl.h"

#ifndef TF_PAIRWISE_TRIPLET_ANCHOR_ROW_ONCE_
#define TF_PAIRWISE_TRIPLET_ANCHOR_ROW_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct SortedPositive {
  T distance;
  int32_t index;
};

// A worker's buffers for the row that it is at. Those of m elements and more
// have room for a whole last vector.
template <typename T>
struct RowBuffers {
  T* negatives = nullptr;  // distances of the negatives
  T* weights = nullptr;    // d loss / d D
  T* sorted = nullptr;     // distances of the positives, padded
  SortedPositive<T>* items = nullptr;
  SortedPositive<T>* item_buffer = nullptr;
  int32_t* histogram = nullptr;   // of the positives' ranks, four times
  T* best = nullptr;              // by the positives' ranks
  int32_t* best_index = nullptr;  // by ranks
  int32_t* chosen = nullptr;      // by references: the negative of a positive

  void LayOut(Scratch& scratch, const BatchTripletLoss& problem) {
    const int64_t m = problem.m;
    constexpr int64_t kVector = 64;
    negatives = scratch.Take<T>(m + kVector);
    if (problem.mining == Mining::kHard) return;
    weights = scratch.Take<T>(m + kVector);
    sorted = scratch.Take<T>(2 * m + 2);
    items = scratch.Take<SortedPositive<T>>(m);
    item_buffer = scratch.Take<SortedPositive<T>>(m);
    if (problem.mining == Mining::kSemiHard) {
      best = scratch.Take<T>(m + 2);
      best_index = scratch.Take<int32_t>(m + 2);
      chosen = scratch.Take<int32_t>(m);
    } else {
      histogram = scratch.Take<int32_t>(4 * (m + 2));
    }
  }
};

// One anchor's row.
template <typename T>
struct AnchorRow {
  const BatchTripletLoss* problem;
  const T* distances;
  int64_t m;
  int64_t itself;  // the reference that is the anchor, or -1
  LaneOf<T> own_class;
  const LaneOf<T>* of_ref;
  const int32_t* positives;  // may hold the anchor, which does not count
  int64_t positives_count;
  RowBuffers<T> buffers;

  AnchorRow(const BatchTripletLoss& of, const Classes<LaneOf<T>>& classes,
            const RowBuffers<T>& worker)
      : problem(&of), m(of.m), of_ref(classes.of_ref), buffers(worker) {}

  void MoveTo(int64_t i, const T* row, const Classes<LaneOf<T>>& classes) {
    distances = row;
    itself = ItselfOf(*problem, i);
    own_class = classes.of_anchor[i];
    positives = classes.MembersOf(i, &positives_count);
  }
  bool IsPositive(int32_t j) const {
    return j != itself && distances[j] == distances[j];
  }
  bool IsNegative(int64_t j) const {
    return of_ref[j] != own_class && j != itself &&
           distances[j] == distances[j];
  }
};

// What an anchor's triplets come to, before its weight.
struct AnchorSums {
  double sum = 0;
  int64_t counted = 0;
  int64_t nonzero = 0;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TRIPLET_ANCHOR_ROW_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
HWY_INLINE T Infinity() {
  return static_cast<T>(__builtin_inf());
}

// The bits of a mask.
template <typename T>
HWY_INLINE uint64_t BitsOf(hn::Mask<Tag<T>> mask) {
  uint8_t bytes[8] = {0};
  hn::StoreMaskBits(Tag<T>(), mask, bytes);
  uint64_t bits = 0;
  __builtin_memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

// The loss of one triplet of the problem, for an anchor's tail.
HWY_INLINE TripletValue<double> TripletOf(const BatchTripletLoss& problem,
                                          double positive, double negative) {
  return problem.soft ? SoftTriplet(positive, negative)
                      : HingeTriplet(positive, negative, problem.margin);
}

struct Negatives {
  int64_t count = 0;
  bool nan = false;  // there is a NaN distance, to a negative or a positive
};

// Fills buffers.negatives with the distances of the negatives, and with
// `absent` where there is none or it is NaN.
template <typename T>
HWY_INLINE Negatives GatherNegatives(const AnchorRow<T>& row, T absent) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const VecT<T> none = hn::Set(tag, absent);
  const auto own = hn::Set(lane_tag, row.own_class);
  Negatives found;
  auto all_ordered = hn::FirstN(tag, hn::Lanes(tag));
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const auto classes =
        some == LanesOf<T>()
            ? hn::LoadU(lane_tag, row.of_ref + k)
            : hn::LoadN(lane_tag, row.of_ref + k, static_cast<size_t>(some));
    const VecT<T> d = LoadCount(row.distances + k, some);
    const auto ordered = d == d;
    all_ordered = hn::And(all_ordered, ordered);
    auto other = hn::And(ordered, hn::Not(SameClass(classes, own)));
    if (some != LanesOf<T>()) {
      other = hn::And(other, hn::FirstN(tag, static_cast<size_t>(some)));
    }
    found.count += static_cast<int64_t>(hn::CountTrue(tag, other));
    // Buffers have room for a whole last vector.
    StoreAs(hn::IfThenElse(other, d, none), row.buffers.negatives + k);
  });
  if (row.itself >= 0 && row.of_ref[row.itself] != row.own_class) {
    row.buffers.negatives[row.itself] = absent;
    found.count -= row.distances[row.itself] == row.distances[row.itself];
  }
  if (HWY_UNLIKELY(!hn::AllTrue(tag, all_ordered))) {
    for (int64_t j = 0; j < row.m; ++j) {
      found.nan |= j != row.itself && row.distances[j] != row.distances[j];
    }
  }
  return found;
}

// The first index at which values equals value; -1 where there is none.
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

// The first negative that is farther than the type's range; -1 where there is
// none. The buffers hold such a one like an absent one.
template <typename T>
HWY_NOINLINE int32_t FindInfinite(const AnchorRow<T>& row) {
  for (int64_t j = 0; j < row.m; ++j) {
    if (row.IsNegative(j) && row.distances[j] == Infinity<T>()) {
      return static_cast<int32_t>(j);
    }
  }
  return -1;
}

template <typename T>
HWY_INLINE void ClearWeights(const AnchorRow<T>& row) {
  const Tag<T> tag;
  for (int64_t k = 0; k < row.m; k += LanesOf<T>()) {
    hn::StoreU(hn::Zero(tag), tag, row.buffers.weights + k);
  }
}

// A row with a NaN distance: where it has a triplet, its loss is NaN, and every
// pair takes one. Returns in first_positive and first_negative (where wanted)
// the first of each, -1 without.
template <typename T>
HWY_NOINLINE AnchorSums NanRow(const AnchorRow<T>& row, int32_t* first_positive,
                               int32_t* first_negative) {
  const double nan = __builtin_nan("");
  *first_positive = *first_negative = -1;
  for (int64_t j = row.m - 1; j >= 0; --j) {
    if (j == row.itself) continue;
    *(row.of_ref[j] == row.own_class ? first_positive : first_negative) =
        static_cast<int32_t>(j);
  }
  const bool any = *first_positive >= 0 && *first_negative >= 0;
  if (row.buffers.weights != nullptr) {
    for (int64_t j = 0; j < row.m; ++j) {
      row.buffers.weights[j] =
          any && j != row.itself ? static_cast<T>(nan) : T(0);
    }
  }
  return any ? AnchorSums{nan, 1, 1} : AnchorSums();
}
template <typename T>
AnchorSums NanRow(const AnchorRow<T>& row) {
  int32_t positive, negative;
  return NanRow(row, &positive, &negative);
}

// Sorts the anchor's positives, NaN left out; returns their number K.
// buffers.sorted holds their distances and then +inf up to a power of two less
// one.
template <typename T>
HWY_INLINE int64_t SortPositives(const AnchorRow<T>& row) {
  const RowBuffers<T>& buffers = row.buffers;
  int64_t count = 0;
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t j = row.positives[e];
    if (row.IsPositive(j)) buffers.items[count++] = {row.distances[j], j};
  }
  MergeSort(buffers.items, buffers.item_buffer, count,
            [](const SortedPositive<T>& a, const SortedPositive<T>& b)
                HWY_ATTR { return a.distance < b.distance; });
  for (int64_t r = 0; r < count; ++r) {
    buffers.sorted[r] = buffers.items[r].distance;
  }
  int64_t padded = 1;
  while (padded < count + 1) padded *= 2;
  for (int64_t r = count; r < padded; ++r) buffers.sorted[r] = Infinity<T>();
  return count;
}

// Per lane, how many of sorted[0, count) have the property: `has(sorted)` is
// true up to some rank, and for none from there on.
template <typename T, typename Has>
HWY_INLINE hn::Vec<hn::RebindToSigned<Tag<T>>> CountSorted(const T* sorted,
                                                           int64_t count,
                                                           const Has& has) {
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
    position =
        hn::IfThenElse(hn::RebindMask(lane_tag, has(probe)), next, position);
  }
  // The padding may have it too.
  return hn::Min(position, hn::Set(lane_tag, static_cast<Lane>(count)));
}

// Up to kTogether positives at a time: `function(count, distances, indices)`,
// the distances filled up with `absent`.
template <int kTogether, typename T, typename Function>
HWY_INLINE void ForEachPositives(const AnchorRow<T>& row, T absent,
                                 const Function& function) {
  T distances[kTogether];
  int32_t indices[kTogether];
  for (int64_t e = 0; e < row.positives_count;) {
    int count = 0;
    for (; e < row.positives_count && count < kTogether; ++e) {
      const int32_t j = row.positives[e];
      if (!row.IsPositive(j)) continue;
      distances[count] = row.distances[j];
      indices[count++] = j;
    }
    if (count == 0) return;
    for (int p = count; p < kTogether; ++p) distances[p] = absent;
    function(count, distances, indices);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_TRIPLET_ANCHOR_ROW_INL_H_

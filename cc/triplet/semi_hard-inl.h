// Semi-hard mining: per positive the nearest negative beyond it, and where none
// is, the farthest.

#if defined(TF_PAIRWISE_TRIPLET_SEMI_HARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_TRIPLET_SEMI_HARD_INL_H_
#undef TF_PAIRWISE_TRIPLET_SEMI_HARD_INL_H_
#else
#define TF_PAIRWISE_TRIPLET_SEMI_HARD_INL_H_
#endif

#include "triplet/anchor_row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// Positives up to this number are taken one by one against all negatives;
// beyond it, sorting them and searching is cheaper.
constexpr int64_t kFewPositives = 48;

// A negative and its distance.
template <typename T>
struct Chosen {
  T distance = 0;
  int32_t index = -1;
};

// The negative of positives beyond all that the buffers hold.
template <typename T>
class Beyond {
 public:
  explicit Beyond(const AnchorRow<T>& row) : row_(row) {}

  HWY_INLINE Chosen<T> Of(T positive) {
    if (!looked_) Look();
    const bool take_infinite =
        infinite_.index >= 0 &&
        (farthest_.index < 0 || IsBeyond(positive, infinite_.distance));
    return take_infinite ? infinite_ : farthest_;
  }

 private:
  HWY_NOINLINE void Look() {
    const Tag<T> tag;
    const T* negatives = row_.buffers.negatives;
    const VecT<T> infinity = hn::Set(tag, Infinity<T>());
    const VecT<T> none = hn::Set(tag, -Infinity<T>());
    VecT<T> most = none;
    for (int64_t k = 0; k < row_.m; k += LanesOf<T>()) {
      const VecT<T> d = hn::LoadU(tag, negatives + k);
      most = hn::Max(most, hn::IfThenElse(d < infinity, d, none));
    }
    farthest_.distance = hn::ReduceMax(tag, most);
    farthest_.index = FindFirst(negatives, row_.m, farthest_.distance);
    infinite_ = {Infinity<T>(), FindInfinite(row_)};
    looked_ = true;
  }

  const AnchorRow<T>& row_;
  bool looked_ = false;
  Chosen<T> farthest_;  // of those within the type's range
  Chosen<T> infinite_;  // the first beyond it
};

// The nearest beyond each of four positives; +inf where none is.
template <typename T>
HWY_INLINE void NearestBeyond(const T* negatives, int64_t m,
                              const T (&positives)[4], T (&nearest)[4]) {
  const Tag<T> tag;
  const VecT<T> infinity = hn::Set(tag, Infinity<T>());
  VecT<T> least0 = infinity, least1 = infinity, least2 = infinity,
          least3 = infinity;
  const VecT<T> p0 = hn::Set(tag, positives[0]),
                p1 = hn::Set(tag, positives[1]),
                p2 = hn::Set(tag, positives[2]),
                p3 = hn::Set(tag, positives[3]);
  for (int64_t k = 0; k < m; k += LanesOf<T>()) {
    const VecT<T> d = hn::LoadU(tag, negatives + k);
    least0 = hn::IfThenElse(IsBeyond(p0, d), hn::Min(least0, d), least0);
    least1 = hn::IfThenElse(IsBeyond(p1, d), hn::Min(least1, d), least1);
    least2 = hn::IfThenElse(IsBeyond(p2, d), hn::Min(least2, d), least2);
    least3 = hn::IfThenElse(IsBeyond(p3, d), hn::Min(least3, d), least3);
  }
  nearest[0] = hn::ReduceMin(tag, least0);
  nearest[1] = hn::ReduceMin(tag, least1);
  nearest[2] = hn::ReduceMin(tag, least2);
  nearest[3] = hn::ReduceMin(tag, least3);
}

// The row's triplets: `take(positive, j, negative, index)` for each positive,
// at distance `positive` and index j; `index()` finds the negative's.
template <typename T, typename Take>
HWY_INLINE void ForEachFewSemiHard(const AnchorRow<T>& row, const Take& take) {
  const T* negatives = row.buffers.negatives;
  Beyond<T> beyond(row);
  ForEachPositives<4>(
      row, Infinity<T>(),
      [&](int count, const T(&positives)[4], const int32_t (&indices)[4])
          HWY_ATTR {
            T nearest[4];
            NearestBeyond(negatives, row.m, positives, nearest);
            for (int p = 0; p < count; ++p) {
              if (nearest[p] == Infinity<T>()) {
                const Chosen<T> chosen = beyond.Of(positives[p]);
                take(positives[p], indices[p], chosen.distance,
                     [&]() { return chosen.index; });
              } else {
                const T value = nearest[p];
                take(positives[p], indices[p], value, [&]() HWY_ATTR {
                  return FindFirst(negatives, row.m, value);
                });
              }
            }
          });
}

// best[b]: the nearest negative that lies beyond exactly b positives. Then the
// one of the positive of rank r is the least of best[r + 1 .. K].
template <typename T>
HWY_INLINE void NearestByRank(const AnchorRow<T>& row, int64_t count) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const int64_t lanes = LanesOf<T>();
  const RowBuffers<T>& buffers = row.buffers;
  for (int64_t b = 0; b <= count; ++b) {
    buffers.best[b] = Infinity<T>();
    buffers.best_index[b] = -1;
  }
  for (int64_t k = 0; k < row.m; k += lanes) {
    const VecT<T> d = hn::LoadU(tag, buffers.negatives + k);
    HWY_ALIGN LaneOf<T> rank[HWY_MAX_BYTES / sizeof(T)];
    hn::Store(CountSorted(buffers.sorted, count,
                          [&](VecT<T> positive)
                              HWY_ATTR { return IsBeyond(positive, d); }),
              lane_tag, rank);
    const int64_t some = Least(row.m - k, lanes);
    for (int64_t lane = 0; lane < some; ++lane) {
      const T value = buffers.negatives[k + lane];
      if (Nearest::Better(value, buffers.best[rank[lane]])) {
        buffers.best[rank[lane]] = value;
        buffers.best_index[rank[lane]] = static_cast<int32_t>(k + lane);
      }
    }
  }
}

template <typename T, typename Take>
HWY_INLINE void ForEachManySemiHard(const AnchorRow<T>& row, const Take& take) {
  const RowBuffers<T>& buffers = row.buffers;
  const int64_t count = SortPositives(row);
  NearestByRank(row, count);
  Beyond<T> beyond(row);
  Chosen<T> nearest = {Infinity<T>(), -1};
  for (int64_t r = count - 1; r >= 0; --r) {
    const T value = buffers.best[r + 1];
    const int32_t index = buffers.best_index[r + 1];
    if (Nearest::Better(value, nearest.distance) ||
        (value == nearest.distance && index >= 0 && index < nearest.index)) {
      nearest = {value, index};
    }
    const T positive = buffers.items[r].distance;
    const Chosen<T> chosen = nearest.index < 0 ? beyond.Of(positive) : nearest;
    take(positive, buffers.items[r].index, chosen.distance,
         [&]() { return chosen.index; });
  }
}

template <typename T, typename Take>
HWY_INLINE void ForEachSemiHard(const AnchorRow<T>& row, const Take& take) {
  if (row.positives_count <= kFewPositives) {
    ForEachFewSemiHard(row, take);
  } else {
    ForEachManySemiHard(row, take);
  }
}

template <typename T>
AnchorSums SemiHardRow(const AnchorRow<T>& row, bool with_gradient) {
  T* weights = row.buffers.weights;
  AnchorSums result;
  const bool lone =
      row.positives_count == 0 ||
      (row.positives_count == 1 && row.positives[0] == row.itself);
  if (lone) {
    ClearWeights(row);
    return result;
  }
  const Negatives found = GatherNegatives(row, Infinity<T>());
  if (found.nan) return NanRow(row);
  ClearWeights(row);
  if (found.count == 0) return result;
  ForEachSemiHard(
      row, [&](T positive, int32_t j, T negative, auto index) HWY_ATTR {
        const TripletValue<double> value =
            TripletOf(*row.problem, static_cast<double>(positive),
                      static_cast<double>(negative));
        result.sum += value.loss;
        result.counted += 1;
        result.nonzero += value.loss > 0;
        // A negative beyond the type's range has no slope.
        if (!with_gradient || value.slope == 0 || negative == Infinity<T>())
          return;
        const int32_t q = index();
        weights[j] += static_cast<T>(value.slope);
        weights[q] -= static_cast<T>(value.slope);
      });
  return result;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_TRIPLET_SEMI_HARD_INL_H_

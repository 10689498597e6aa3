// The nearest keys of queries, found in tiles of distances that come in the
// order of the keys. Included once per target.

#if defined(TF_PAIRWISE_NEIGHBORS_CANDIDATES_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_NEIGHBORS_CANDIDATES_INL_H_
#undef TF_PAIRWISE_NEIGHBORS_CANDIDATES_INL_H_
#else
#define TF_PAIRWISE_NEIGHBORS_CANDIDATES_INL_H_
#endif

#include <cmath>

#include "core/block.h"
#include "core/classes.h"
#include "core/radix.h"
#include "metric/direct-inl.h"
#include "neighbors/neighbors.h"
#include "tile/operand.h"

#ifndef TF_PAIRWISE_NEIGHBORS_CANDIDATES_ONCE_
#define TF_PAIRWISE_NEIGHBORS_CANDIDATES_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct Neighbor {
  T distance;
  int32_t index;
};

// A query's candidates. The nearest so far, in order, then those that came
// since. Keys come in ascending order, so that what is stable in their arrival
// gives ties to the lower index.
template <typename T>
struct Candidates {
  Neighbor<T>* items;  // [capacity]
  int64_t kept;        // nearest so far, at most k
  int64_t count;       // of items
  T threshold;         // a distance has to be less to count
  T limit;             // a tile's value has to be this or less to count
};

// Where candidates may be and what they are made of.
template <typename T>
struct Search {
  const Operand<T>* queries;
  const Operand<T>* keys;
  // The tile holds squared distances, to be rooted where they count: fewer
  // roots than pairs.
  bool squares;
  Only only;
  const LaneOf<T>* query_classes;  // kAny: null
  const LaneOf<T>* key_classes;
  int64_t k;         // at most the number of keys
  int64_t capacity;  // of Candidates::items
};

// A worker's tile of a block of queries. Pairs that are none hold NaN.
template <typename T>
struct TileOfPairs {
  Block block;                // columns: a multiple of 64
  TileView<T> values;         // squares: the near ones are made again
  Candidates<T>* candidates;  // [rows]
  Neighbor<T>* buffer;        // [capacity]
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_NEIGHBORS_CANDIDATES_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE float Towards(float from, float to) {
  return __builtin_nextafterf(from, to);
}
HWY_INLINE double Towards(double from, double to) {
  return __builtin_nextafter(from, to);
}

template <typename T>
constexpr T kInfinity = static_cast<T>(__builtin_inf());

// The largest value of a tile whose distance may lie below the threshold.
template <typename T>
T LimitOf(bool squares, T threshold) {
  if (!squares) return Towards(threshold, -kInfinity<T>);
  if (!(threshold > 0)) return -1;
  // Beyond these, squares leave the range, and the points have the last word.
  if (!(threshold < static_cast<T>(sizeof(T) == 4 ? 1e18 : 1e150))) {
    return kInfinity<T>;
  }
  if (threshold < static_cast<T>(sizeof(T) == 4 ? 1e-14 : 1e-140)) {
    return static_cast<T>(sizeof(T) == 4 ? 1e-28 : 1e-280);
  }
  // The least square whose root reaches the threshold: a square that was
  // rounded up may be this one, none is above.
  T limit = threshold * threshold;
  while (std::sqrt(limit) < threshold) limit = Towards(limit, kInfinity<T>);
  for (T less = Towards(limit, T(0)); !(std::sqrt(less) < threshold);) {
    limit = less;
    less = Towards(limit, T(0));
  }
  return limit;
}

// Up to this many neighbours, a candidate is moved to its place one by one;
// beyond it, all are sorted.
constexpr int64_t kShortList = 24;

// Reduces the candidates to the k nearest, in order, and lowers the threshold.
template <typename T>
HWY_NOINLINE void Settle(const Search<T>& search, Candidates<T>& candidates,
                         Neighbor<T>* buffer) {
  Neighbor<T>* items = candidates.items;
  const int64_t k = search.k, count = candidates.count;
  int64_t kept = candidates.kept;
  if (count == kept) return;
  if (k <= kShortList) {
    for (int64_t e = kept; e < count; ++e) {
      const Neighbor<T> item = items[e];
      if (kept == k && !(item.distance < items[k - 1].distance)) continue;
      int64_t j = kept < k ? kept++ : k - 1;
      for (; j > 0 && item.distance < items[j - 1].distance; --j) {
        items[j] = items[j - 1];
      }
      items[j] = item;
    }
  } else {
    const Neighbor<T>* sorted = RadixSort(
        items, buffer, count,
        [](const Neighbor<T>& item) { return OrderOf(item.distance); });
    kept = count < k ? count : k;
    if (sorted != items) {
      for (int64_t e = 0; e < kept; ++e) items[e] = sorted[e];
    }
  }
  candidates.kept = candidates.count = kept;
  if (kept == k) {
    candidates.threshold = items[k - 1].distance;
    candidates.limit = LimitOf(search.squares, candidates.threshold);
  }
}

// Adds the lanes of `hits` to the query's candidates.
template <typename T>
HWY_NOINLINE void AddCandidates(const Search<T>& search, int64_t query,
                                int64_t column, const T* values,
                                const uint64_t* near, uint64_t hits,
                                Candidates<T>& candidates,
                                Neighbor<T>* buffer) {
  constexpr int64_t kMost = 64;  // bits of `hits`
  if (candidates.count + kMost > search.capacity) {
    Settle(search, candidates, buffer);
  }
  for (; hits != 0; hits &= hits - 1) {
    const int lane = __builtin_ctzll(hits);
    T distance = values[lane];
    if (search.squares) {
      if (HWY_UNLIKELY((*near >> lane) & 1)) {
        const int64_t d = search.queries->d;
        distance = static_cast<T>(
            DirectPairOf<Euclidean>(search.queries->source + query * d,
                                    search.keys->source + (column + lane) * d,
                                    d, false)
                .distance);
      } else {
        distance = std::sqrt(distance);
      }
    }
    if (!(distance < candidates.threshold)) continue;
    candidates.items[candidates.count++] = {
        distance, static_cast<int32_t>(column + lane)};
  }
}

// Up to this many neighbours, the first columns give a limit to begin with:
// of the least values of 32 groups, the k-th has k pairs at or below it.
constexpr int64_t kFewNeighbors = 16;
constexpr int64_t kGroups = 32;

template <typename T>
HWY_INLINE T FirstLimit(const Search<T>& search, const T* least) {
  const Tag<T> tag;
  T found = kInfinity<T>;
  for (int64_t g = 0; g < kGroups; ++g) {
    const VecT<T> value = hn::Set(tag, least[g]);
    int64_t below = 0;
    for (int64_t v = 0; v < kGroups; v += LanesOf<T>()) {
      below += static_cast<int64_t>(
          hn::CountTrue(tag, hn::Le(hn::LoadU(tag, least + v), value)));
    }
    found = below >= search.k && least[g] < found ? least[g] : found;
  }
  if (!search.squares || found == kInfinity<T>) return found;
  // Squares that differ may have the same root. (Not by the least number above
  // zero, which TensorFlow's threads take for zero.)
  const T root = std::sqrt(found);
  return root > 0 ? LimitOf(true, Towards(root, kInfinity<T>))
                  : LimitOf(true, static_cast<T>(1e-30));
}

template <Only kOnly, typename T>
void CollectOnly(const Search<T>& search, const TileOfPairs<T>& tile) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const int64_t lanes = LanesOf<T>();
  constexpr int64_t kGroup = 64;
  for (int64_t r = 0; r < tile.block.rows; ++r) {
    const int64_t query = tile.block.row + r;
    Candidates<T>& candidates = tile.candidates[r];
    const T* values = tile.values.Row(r);
    const auto own = hn::Set(
        lane_tag, kOnly == Only::kAny ? 0 : search.query_classes[query]);
    const auto is_below = [&](int64_t k, VecT<T> most) HWY_ATTR {
      const auto below = hn::Le(hn::LoadU(tag, values + k), most);
      if constexpr (kOnly == Only::kAny) {
        return below;
      } else {
        const auto classes =
            hn::LoadU(lane_tag, search.key_classes + tile.block.column + k);
        const auto wanted = kOnly == Only::kSameLabel ? hn::Eq(classes, own)
                                                      : hn::Ne(classes, own);
        return hn::And(below, hn::RebindMask(tag, wanted));
      }
    };
    if (tile.block.column == 0 && search.k <= kFewNeighbors) {
      HWY_ALIGN T least[kGroups];
      for (int64_t g = 0; g < kGroups; g += lanes) {
        VecT<T> group = hn::Set(tag, kInfinity<T>);
        for (int64_t k = g; k < tile.block.columns; k += kGroups) {
          group = hn::IfThenElse(is_below(k, group), hn::LoadU(tag, values + k),
                                 group);
        }
        hn::Store(group, tag, least + g);
      }
      candidates.limit = FirstLimit(search, least);
    }
    VecT<T> limit = hn::Set(tag, candidates.limit);
    const auto hit = [&](int64_t k) HWY_ATTR { return is_below(k, limit); };
    for (int64_t k = 0; k < tile.block.columns; k += kGroup) {
      auto any = hit(k);
      for (int64_t v = lanes; v < kGroup; v += lanes) {
        any = hn::Or(any, hit(k + v));
      }
      if (HWY_LIKELY(hn::AllFalse(tag, any))) continue;
      uint64_t hits = 0;
      for (int64_t v = 0; v < kGroup; v += lanes) {
        uint8_t bytes[8] = {0};
        hn::StoreMaskBits(tag, hit(k + v), bytes);
        uint64_t bits = 0;
        __builtin_memcpy(&bits, bytes, sizeof(bits));
        hits |= bits << v;
      }
      const uint64_t* near =
          search.squares ? tile.values.Near(r) + k / 64 : nullptr;
      AddCandidates(search, query, tile.block.column + k, values + k, near,
                    hits, candidates, tile.buffer);
      limit = hn::Set(tag, candidates.limit);
    }
  }
}

template <typename T>
void Collect(const Search<T>& search, const TileOfPairs<T>& tile) {
  switch (search.only) {
    case Only::kAny:
      return CollectOnly<Only::kAny, T>(search, tile);
    case Only::kSameLabel:
      return CollectOnly<Only::kSameLabel, T>(search, tile);
    case Only::kOtherLabel:
      return CollectOnly<Only::kOtherLabel, T>(search, tile);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_NEIGHBORS_CANDIDATES_INL_H_

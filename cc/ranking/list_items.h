#ifndef TF_PAIRWISE_RANKING_LIST_ITEMS_H_
#define TF_PAIRWISE_RANKING_LIST_ITEMS_H_

#include <cstdint>
#include <type_traits>

#include "core/radix.h"
#include "core/scratch.h"
#include "core/sort.h"
#include "ranking/list_tiles.h"
#include "ranking/ranking.h"
#include "ranking/ranking_pair-inl.h"

// The existing items of one list: gathered from the caller's arrays, sorted by
// relevance and by score, with their gains and discounts.

namespace tf_pairwise {

inline bool NeedsRanks(const ListRankingLoss& problem) {
  return problem.lambda == LambdaWeight::kDcg ||
         problem.lambda == LambdaWeight::kNdcg;
}

// Whether every pair is made, in tiles; else the loss is sorted or closed.
inline bool InTiles(const ListRankingLoss& problem) {
  switch (problem.term) {
    case RankingTerm::kLogistic:
    case RankingTerm::kSoftZeroOne:
      return true;
    case RankingTerm::kHinge:
      return NeedsRanks(problem);
    case RankingTerm::kMse:
      break;
  }
  return false;
}

struct SortKey {
  double key;
  int32_t offset;    // in the list
  int32_t position;  // by relevance
};

// Sums over items of one or several groups with s_j + margin > s_i, as the
// sweep goes down to ever lower scores s_i. All that `excess` adds up is
// positive: nothing cancels.
struct SweepSums {
  double count;
  double relevance;         // above the list's least
  double excess;            // s_j + margin - at
  double relevance_excess;  // their products
  double at;                // the score that they were last seen from
};

// The arrays of a list's computation, for up to `capacity` items.
template <typename T>
struct ListLayout {
  Items<T> items;
  float* widened;  // of halves
  SortKey *keys, *buffer;
  int32_t* order;     // positions by score
  double* relevance;  // descending
  int32_t* group;     // of equal relevance: 0 for the least
  SweepSums* sums;    // [capacity + 1]

  ListLayout(const ListRankingLoss& problem, int64_t capacity,
             Scratch& scratch) {
    items.scores = scratch.Take<T>(capacity + kListPadding);
    items.gains = scratch.Take<T>(capacity + kListPadding);
    items.discounts = scratch.Take<T>(capacity + kListPadding);
    items.weights = scratch.Take<T>(capacity);
    items.lower = scratch.Take<int32_t>(capacity);
    items.loss = scratch.Take<double>(capacity);
    items.slope = scratch.Take<double>(capacity);
    items.nonzero = scratch.Take<double>(capacity);
    items.pulled = scratch.Take<double>(capacity);
    widened = scratch.Take<float>(SizeOf(problem.dtype) == 2 ? capacity : 0);
    keys = scratch.Take<SortKey>(capacity);
    buffer = scratch.Take<SortKey>(capacity);
    order = scratch.Take<int32_t>(capacity);
    relevance = scratch.Take<double>(capacity);
    group = scratch.Take<int32_t>(capacity);
    const bool sweeps =
        problem.term == RankingTerm::kHinge && !InTiles(problem);
    sums = scratch.Take<SweepSums>(sweeps ? capacity + 1 : 0);
  }
};

// A list in the caller's arrays.
template <typename T>
struct ListInput {
  int64_t size = 0;
  const T* scores = nullptr;
  const double* relevance = nullptr;
  const bool* mask = nullptr;  // null for all
  const T* weights = nullptr;  // null for ones
};

// Whether an item exists: it has a relevance, the mask lets it be, and it is
// not one of weight 0 whose score is no number.
template <typename T>
bool Exists(const ListInput<T>& input, int64_t k) {
  if (!(input.relevance[k] >= 0)) return false;
  if (input.mask != nullptr && !input.mask[k]) return false;
  return input.weights == nullptr || input.weights[k] != 0 ||
         input.scores[k] - input.scores[k] == 0;
}

// Keys, stable and descending.
inline void SortByRelevance(SortKey* keys, SortKey* buffer, int64_t count) {
  // Grades are most often small integers, and then it takes two passes.
  constexpr int kGrades = 64;
  bool grades = true;
  for (int64_t p = 0; p < count; ++p) {
    const double key = keys[p].key;
    grades = grades && key < kGrades && key == static_cast<int>(key);
  }
  if (!grades) {
    MergeSort(keys, buffer, count,
              [](const SortKey& a, const SortKey& b) { return a.key > b.key; });
    return;
  }
  int32_t begin[kGrades + 1] = {0};
  for (int64_t p = 0; p < count; ++p) {
    buffer[p] = keys[p];
    ++begin[kGrades - 1 - static_cast<int>(keys[p].key)];
  }
  int32_t next = 0;
  for (int grade = 0; grade < kGrades; ++grade) {
    const int32_t size = begin[grade];
    begin[grade] = next;
    next += size;
  }
  for (int64_t p = 0; p < count; ++p) {
    keys[begin[kGrades - 1 - static_cast<int>(buffer[p].key)]++] = buffer[p];
  }
}

// Where each item's lower relevances begin, and the number of its group, from
// the last to the first.
template <typename T>
void GroupByRelevance(ListLayout<T>& list) {
  const int64_t count = list.items.count;
  int64_t lower = count;
  int32_t group = 0;
  for (int64_t p = count - 1; p >= 0; --p) {
    if (p + 1 < count && list.relevance[p] != list.relevance[p + 1]) {
      lower = p + 1;
      ++group;
    }
    list.items.lower[p] = static_cast<int32_t>(lower);
    list.group[p] = group;
  }
}

// The keys of the existing items, descending but for mse, which has no order;
// false where they make no pair.
template <typename T>
bool TakeKeys(const ListRankingLoss& problem, ListInput<T> input,
              ListLayout<T>& list) {
  SortKey* keys = list.keys;
  int64_t count = 0;
  bool ordered = true;
  for (int64_t k = 0; k < input.size; ++k) {
    if (!Exists(input, k)) continue;
    const double relevance = input.relevance[k];
    keys[count] = {relevance, static_cast<int32_t>(k), 0};
    ordered = ordered && (count == 0 || keys[count - 1].key >= relevance);
    ++count;
  }
  list.items.count = count;
  if (count < 2) return false;
  if (problem.term == RankingTerm::kMse) return true;
  if (!ordered) SortByRelevance(keys, list.buffer, count);
  return keys[0].key != keys[count - 1].key;
}

// The existing items by relevance; false where they make no pair. `finite`:
// whether all their scores are.
template <typename T>
bool GatherItems(const ListRankingLoss& problem, ListInput<T> input,
                 ListLayout<T>& list, bool* finite) {
  if (!TakeKeys(problem, input, list)) return false;
  const Items<T> items = list.items;  // whose pointers stay in registers
  const int64_t count = items.count;
  T check = 0;
  for (int64_t p = 0; p < count; ++p) {
    const int32_t k = list.keys[p].offset;
    list.keys[p].position = static_cast<int32_t>(p);
    const T score = input.scores[k];
    items.scores[p] = score;
    check += score - score;  // NaN of a NaN and of an Inf
    items.weights[p] = input.weights == nullptr ? T(1) : input.weights[k];
    list.relevance[p] = list.keys[p].key;
    items.loss[p] = items.slope[p] = 0;
    items.nonzero[p] = items.pulled[p] = 0;
  }
  for (int64_t p = count; p < count + kListPadding; ++p) {
    items.scores[p] = items.gains[p] = items.discounts[p] = 0;
  }
  *finite = check == 0;
  if (problem.term == RankingTerm::kMse) return true;
  GroupByRelevance(list);
  if (problem.lambda == LambdaWeight::kLabelDiff) {
    for (int64_t p = 0; p < count; ++p) {
      items.gains[p] = static_cast<T>(list.relevance[p]);
    }
  }
  return true;
}

// The number of pairs in which the item at a position is preferred.
template <typename T>
double PairsOfItem(const ListRankingLoss& problem, const Items<T>& items,
                   int64_t p) {
  return static_cast<double>(problem.term == RankingTerm::kMse
                                 ? items.count - 1
                                 : items.count - items.lower[p]);
}

// list.order: positions by score, descending, ties in input order; by the
// bytes of the scores, in the reverse of their order.
inline void SortByScoreBytes(int64_t size, ListLayout<float>& list) {
  struct Score {
    uint32_t key;
    int32_t position;
  };
  static_assert(2 * sizeof(Score) == sizeof(SortKey));
  const int64_t count = list.items.count;
  Score* scores = reinterpret_cast<Score*>(list.buffer);
  // In input order, which a stable sort keeps.
  for (int64_t k = 0; k < size; ++k) list.order[k] = -1;
  for (int64_t p = 0; p < count; ++p) {
    list.order[list.keys[p].offset] = static_cast<int32_t>(p);
  }
  int64_t next = 0;
  for (int64_t k = 0; k < size; ++k) {
    const int32_t p = list.order[k];
    if (p >= 0) scores[next++] = {~OrderOf(list.items.scores[p]), p};
  }
  const Score* sorted = RadixSort(scores, scores + count, count,
                                  [](const Score& score) { return score.key; });
  for (int64_t r = 0; r < count; ++r) list.order[r] = sorted[r].position;
}

// The same. `size`: of the list, missing items included.
template <typename T>
void SortByScore(int64_t size, ListLayout<T>& list) {
  const int64_t count = list.items.count;
  if constexpr (std::is_same_v<T, float>) {
    if (count >= 64) return SortByScoreBytes(size, list);
  }
  SortKey* sorted = list.buffer;
  for (int64_t p = 0; p < count; ++p) {
    sorted[p] = {static_cast<double>(list.items.scores[p]), list.keys[p].offset,
                 static_cast<int32_t>(p)};
  }
  // What the keys held is in the items' arrays by now, but for the offsets,
  // which are put back.
  MergeSort(sorted, list.keys, count, [](const SortKey& a, const SortKey& b) {
    return a.key > b.key || (a.key == b.key && a.offset < b.offset);
  });
  for (int64_t r = 0; r < count; ++r) {
    list.order[r] = sorted[r].position;
    list.keys[sorted[r].position].offset = sorted[r].offset;
  }
}

// Gains and discounts of the lambda weights, the discounts of ranks from 1
// given.
template <typename T>
void RankItems(const ListRankingLoss& problem, const double* discounts,
               int64_t size, ListLayout<T>& list) {
  Items<T>& items = list.items;
  SortByScore(size, list);
  for (int64_t r = 0; r < items.count; ++r) {
    items.discounts[list.order[r]] = static_cast<T>(discounts[r]);
  }
  // Relative to the greatest, so that an ideal DCG is finite whatever the
  // relevances.
  const bool ideal = problem.lambda == LambdaWeight::kNdcg;
  const double greatest = ideal ? list.relevance[0] : 0;
  constexpr double kMost =
      sizeof(T) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308;
  double dcg = 0, gain = 0;
  for (int64_t p = 0; p < items.count; ++p) {
    if (p == 0 || list.group[p] != list.group[p - 1]) {
      gain = RelativeGain(list.relevance[p], greatest);
      gain = gain < kMost ? gain : kMost;
    }
    items.slope[p] = gain;
    dcg += gain * discounts[p];
  }
  const double factor = ideal ? InverseOrZero(dcg) : 1;
  for (int64_t p = 0; p < items.count; ++p) {
    items.gains[p] = static_cast<T>(items.slope[p] * factor);
    items.slope[p] = 0;
  }
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_ITEMS_H_

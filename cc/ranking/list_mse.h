#ifndef TF_PAIRWISE_RANKING_LIST_MSE_H_
#define TF_PAIRWISE_RANKING_LIST_MSE_H_

#include <cstdint>

#include "ranking/list_items.h"

// The squared differences of the errors e = s - y over all pairs of a list,
// from the errors' moments: O(L), and O(L log L) to count those that differ.

namespace tf_pairwise {

// items.nonzero, which holds the errors: all pairs but those of equal errors.
template <typename T>
void CountUnequal(ListLayout<T>& list) {
  const int64_t count = list.items.count;
  SortKey* sorted = list.buffer;
  for (int64_t p = 0; p < count; ++p) {
    sorted[p] = {list.items.nonzero[p], list.keys[p].offset,
                 static_cast<int32_t>(p)};
  }
  MergeSort(sorted, list.keys, count,
            [](const SortKey& a, const SortKey& b) { return a.key < b.key; });
  for (int64_t r = 0; r < count;) {
    int64_t end = r + 1;
    while (end < count && sorted[end].key == sorted[r].key) ++end;
    for (int64_t q = r; q < end; ++q) {
      list.items.nonzero[sorted[q].position] =
          static_cast<double>(count - end + r);
    }
    r = end;
  }
  for (int64_t r = 0; r < count; ++r) {
    list.keys[sorted[r].position].offset = sorted[r].offset;
  }
}

template <typename T>
void MeanSquares(const ListRankingLoss& problem, ListLayout<T>& list) {
  const Items<T> items = list.items;
  const int64_t count = items.count;
  const double n = static_cast<double>(count);
  double* errors = items.nonzero;  // for now
  double centre = 0;
  for (int64_t p = 0; p < count; ++p) {
    errors[p] = static_cast<double>(items.scores[p]) - list.relevance[p];
    centre += errors[p] / n;
  }
  double first = 0, second = 0, weights = 0, weighted = 0;
  for (int64_t p = 0; p < count; ++p) {
    const double error = errors[p] - centre;
    const double weight = static_cast<double>(items.weights[p]);
    first += error;
    second += error * error;
    weights += weight;
    weighted += weight * error;
  }
  for (int64_t p = 0; p < count; ++p) {
    const double error = errors[p] - centre;
    SquaresOfItem(error, n, first, second, items.loss[p], items.slope[p]);
    items.pulled[p] = SquaresPull(error, weights, weighted);
  }
  if (problem.reduction == Reduction::kMeanNonzero) CountUnequal(list);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_MSE_H_

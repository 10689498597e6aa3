#ifndef TF_PAIRWISE_RANKING_LIST_OUTPUT_H_
#define TF_PAIRWISE_RANKING_LIST_OUTPUT_H_

#include <cmath>
#include <cstdint>

#include "core/reduce.h"
#include "ranking/list_items.h"

// From a list's items to the caller's arrays and to the list's sums.

namespace tf_pairwise {

// Where a list's results go; null for what is not wanted.
template <typename T>
struct ListOutput {
  T* losses;
  T* gradient;
};

// A list with a score that is not finite. There is no order then, and so no
// loss, but where no pair has a weight.
template <typename T>
LossSums AllNan(const ListRankingLoss& problem, const ListLayout<T>& list,
                const ListOutput<T>& output) {
  const T nan = static_cast<T>(std::nan(""));
  LossSums sums;
  bool there = false;
  for (int64_t p = 0; p < list.items.count; ++p) {
    const double weight = static_cast<double>(list.items.weights[p]) *
                          PairsOfItem(problem, list.items, p);
    there = there || weight != 0;
    sums.counted += weight;
  }
  if (!there) return LossSums();
  sums.nonzero = sums.counted;
  sums.sum = std::nan("");
  for (int64_t p = 0; p < list.items.count; ++p) {
    const int32_t k = list.keys[p].offset;
    const double pairs = PairsOfItem(problem, list.items, p);
    const double weight = static_cast<double>(list.items.weights[p]);
    if (output.losses != nullptr && pairs > 0 && weight != 0) {
      output.losses[k] = nan;
    }
    if (output.gradient != nullptr) output.gradient[k] = nan;
  }
  return sums;
}

// From the items by relevance to the caller's order.
template <typename T>
LossSums StoreItems(const ListRankingLoss& problem, double slope_scale,
                    const ListLayout<T>& list, const ListOutput<T>& output) {
  const Items<T> items = list.items;
  LossSums sums;
  for (int64_t p = 0; p < items.count; ++p) {
    const int32_t k = list.keys[p].offset;
    const double weight = static_cast<double>(items.weights[p]);
    double loss = 0, slope = 0;
    if (weight != 0) {  // else there is no loss, whatever it is
      loss = weight * items.loss[p];
      slope = weight * items.slope[p];
      sums.sum += loss;
      sums.counted += weight * PairsOfItem(problem, items, p);
      sums.nonzero += weight * items.nonzero[p];
    }
    if (output.losses != nullptr) output.losses[k] = static_cast<T>(loss);
    if (output.gradient != nullptr) {
      output.gradient[k] =
          static_cast<T>(slope_scale * (items.pulled[p] - slope));
    }
  }
  return sums;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_OUTPUT_H_

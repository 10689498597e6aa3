#ifndef TF_PAIRWISE_RANKING_LIST_GPU_INL_H_
#define TF_PAIRWISE_RANKING_LIST_GPU_INL_H_

#include "core/integers.h"
#include "core/numerics-inl.h"
#include "core/reduce.h"
#include "core/rounds.h"
#include "cuda/block.h"

// Lists on a GPU, as the kernels hand them to each other. Blocks own a few
// items of one list and go over all of its items, so that a long list is many
// blocks' work and every sum is made by one thread, in an order of its own.

namespace tf_pairwise {

// Items that a block owns, and items that it has before it at a time.
constexpr int kListRows = 32;
constexpr int kListTile = 256;

// Where the lists are.
struct GpuLists {
  int64_t lists, list_size;
  const int64_t* row_splits;  // on the device, or null for list_size

  TF_PAIRWISE_HOST_DEVICE int64_t Begin(int64_t list) const {
    return row_splits == nullptr ? list * list_size : row_splits[list];
  }
  TF_PAIRWISE_HOST_DEVICE int64_t Size(int64_t list) const {
    return Begin(list + 1) - Begin(list);
  }
  // The first of the list's blocks, which are enough for its size, and are some
  // more than that for many.
  TF_PAIRWISE_HOST_DEVICE int64_t FirstBlock(int64_t list) const {
    return Begin(list) / kListRows + list;
  }
};

enum class ListState : int32_t {
  kNoPair,     // of any weight, where a score is not finite
  kFinite,     // all scores are
  kNotFinite,  // a score is not
};

struct ListHead {
  int64_t count;    // of existing items
  double greatest;  // relevance
  ListState state;
};

// The existing items of each list, in input order from the list's begin on.
template <typename T>
struct GpuItems {
  GpuLists lists;
  ListHead* heads;    // [lists]
  int32_t* list_of;   // [blocks]
  T* scores;          // [items], as those below
  T* weights;         // null for ones
  double* relevance;  // no -0
  int32_t* offsets;   // in the list
  double* gains;      // of kDcg and kNdcg, as discounts
  T* discounts;
  double* ideal;     // [blocks]: what its items add to the ideal DCG
  int32_t* unequal;  // of kMse: items with another error

  TF_PAIRWISE_DEVICE T Weight(int64_t i) const {
    return weights == nullptr ? T(1) : weights[i];
  }
};

// The items that a block owns.
struct ListRows {
  int64_t list;
  int64_t begin;  // of the list
  int64_t first;  // own item, in the list
  int64_t count;  // of the list's existing items
  ListState state;

  TF_PAIRWISE_DEVICE bool IsIdle() const {
    return first >= count || state == ListState::kNoPair;
  }
};

template <typename T>
TF_PAIRWISE_DEVICE ListRows RowsOfBlock(const GpuItems<T>& items,
                                        int64_t block) {
  const int64_t list = items.list_of[block];
  return {list, items.lists.Begin(list),
          (block - items.lists.FirstBlock(list)) * kListRows,
          items.heads[list].count, items.heads[list].state};
}

// A thread of a block that goes over tiles: one own item, and every
// kListSlices-th of a tile.
constexpr int kListThreads = 256;
constexpr int kListSlices = kListThreads / kListRows;
static_assert(kListTile == kListThreads, "a thread loads an item of a tile");

TF_PAIRWISE_DEVICE int RowOfThread(int thread) { return thread % kListRows; }
TF_PAIRWISE_DEVICE int SliceOfThread(int thread) { return thread / kListRows; }

// The order of relevances, which are not negative, as that of integers.
TF_PAIRWISE_DEVICE int64_t RelevanceKey(double relevance) {
  int64_t key;
  TF_PAIRWISE_MEMCPY(&key, &relevance, 8);
  return key;
}

// Where a call's results go; null for what is not wanted. The gradient is that
// of the sum.
template <typename T>
struct GpuListOutput {
  T* losses;
  T* gradient;
};

// An item's sums over its pairs, as Items has them (list_tiles.h).
struct ItemSums {
  double pairs, nonzero, loss, slope, pulled;
};

// list_output.h's twin: writes own item i of the arrays (of any list that has a
// pair) and returns its part of the list's sums.
template <typename T>
TF_PAIRWISE_DEVICE LossSums StoreItem(const GpuItems<T>& items,
                                      const ListRows& rows, int64_t i,
                                      const ItemSums& item, double slope_scale,
                                      const GpuListOutput<T>& output) {
  const double weight = static_cast<double>(items.Weight(i));
  const int64_t k = rows.begin + items.offsets[i];
  LossSums sums;
  double loss = 0, gradient = 0;
  if (rows.state == ListState::kNotFinite) {
    const double nan = NotANumber();
    sums.sum = gradient = nan;
    sums.counted = sums.nonzero = weight * item.pairs;
    if (item.pairs > 0 && weight != 0) loss = nan;
  } else {
    double slope = 0;
    if (weight != 0) {  // else there is no loss, whatever it is
      loss = weight * item.loss;
      slope = weight * item.slope;
      sums.sum = loss;
      sums.counted = weight * item.pairs;
      sums.nonzero = weight * item.nonzero;
    }
    gradient = slope_scale * (item.pulled - slope);
  }
  if (output.losses != nullptr) output.losses[k] = static_cast<T>(loss);
  if (output.gradient != nullptr) output.gradient[k] = static_cast<T>(gradient);
  return sums;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_GPU_INL_H_

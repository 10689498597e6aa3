#ifndef TF_PAIRWISE_RANKING_LIST_TILES_H_
#define TF_PAIRWISE_RANKING_LIST_TILES_H_

#include <cstdint>

#include "core/block.h"
#include "ranking/ranking.h"

// Tiles of the pairs of a list's items, for the losses and lambda weights that
// need every pair.

namespace tf_pairwise {

// Items of a tile's side. Rounding depends on it, so it is fixed.
constexpr int64_t kListBlock = 256;
// Elements that a vector may be read or written past an array's end.
constexpr int64_t kListPadding = 16;

// A list's existing items by relevance, descending: item i is preferred to
// items [lower[i], count), and the tile of rows and columns needs no mask.
// Arrays have `count` elements, those of T kListPadding more.
template <typename T>
struct Items {
  int64_t count = 0;
  T* scores = nullptr;
  T* gains = nullptr;      // of kLabelDiff (relevances), kDcg and kNdcg
  T* discounts = nullptr;  // of kDcg and kNdcg
  T* weights = nullptr;
  int32_t* lower = nullptr;
  // Sums over an item's pairs, in double. As the preferred item, without its
  // weight: losses, slopes, and pairs whose loss is not zero. As the other
  // item: the slopes times the preferred item's weight.
  double* loss = nullptr;
  double* slope = nullptr;
  double* nonzero = nullptr;
  double* pulled = nullptr;
};

// Adds the pairs of a block's rows with its columns, of at most kListBlock
// each, to the items' sums.
template <typename T>
void AddListTile(const ListRankingLoss& problem, bool with_gradient,
                 const Items<T>& items, const Block& block);

// Halves to floats.
void WidenScores(DType dtype, int64_t count, const void* scores, float* out);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_TILES_H_

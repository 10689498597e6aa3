#ifndef TF_PAIRWISE_CORE_BLOCK_H_
#define TF_PAIRWISE_CORE_BLOCK_H_

#include "core/integers.h"

namespace tf_pairwise {

// The pairs of rows [row, row + rows) with columns [column, column + columns).
struct Block {
  int64_t row = 0, rows = 0;
  int64_t column = 0, columns = 0;
};

// A tile of distances or weights in memory: element (r, c) of a block is at
// data[r * stride + c]. `near`, where not null, has a bit per element at
// [r * near_stride + c / 64]: set where the pair's distance was too small for
// the product form to be exact, so that its gradient has to be made from the
// difference of the points.
template <typename T>
struct TileView {
  T* data = nullptr;
  int64_t stride = 0;
  uint64_t* near = nullptr;
  int64_t near_stride = 0;

  T* Row(int64_t r) const { return data + r * stride; }
  uint64_t* Near(int64_t r) const { return near + r * near_stride; }
  // The tile from element (r, c) on; c is a multiple of 64 where there are
  // bits.
  TileView From(int64_t r, int64_t c) const {
    return {data + r * stride + c, stride,
            near == nullptr ? nullptr : near + r * near_stride + c / 64,
            near_stride};
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_BLOCK_H_

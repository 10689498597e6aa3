#ifndef TF_PAIRWISE_TILE_SHAPE_GPU_INL_H_
#define TF_PAIRWISE_TILE_SHAPE_GPU_INL_H_

#include "cuda/block.h"
#include "metric/metric-inl.h"

// What the kernels over a strip have in common.

namespace tf_pairwise {

// A block's tile: kTile x kTile sums, kSide * kSide to a thread (8 warps as 4 x
// 2), made kDepth terms at a time.
template <typename T>
struct TileShape {
  static constexpr int kThreads = 256;
  static constexpr int kTile = sizeof(T) == 8 ? 64 : 128;
  static constexpr int kSide = kTile / 16;
  static constexpr int kDepth = 16;

  // How many of a tile's rows or columns there are, where `count` are left.
  static TF_PAIRWISE_DEVICE int UpToTile(int64_t count) {
    return static_cast<int>(count < kTile ? count : kTile);
  }
};

// Whether a pair's sum over coordinates is a product of its points.
template <class M>
constexpr bool IsProduct() {
  return M::kForm == GradientForm::kDifference ||
         M::kForm == GradientForm::kProduct;
}

#if !defined(__CUDACC__)
inline const char* MetricName(Euclidean) { return "euclidean"; }
inline const char* MetricName(SquaredEuclidean) { return "squared_euclidean"; }
inline const char* MetricName(Cosine) { return "cosine"; }
inline const char* MetricName(Manhattan) { return "manhattan"; }
inline const char* MetricName(Dot) { return "dot"; }
inline const char* MetricName(Chebyshev) { return "chebyshev"; }
#endif

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_SHAPE_GPU_INL_H_

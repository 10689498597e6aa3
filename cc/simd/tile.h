#ifndef TF_PAIRWISE_SIMD_TILE_H_
#define TF_PAIRWISE_SIMD_TILE_H_

#include <cstdint>

#include "core/parallel.h"
#include "core/types.h"
#include "simd/operand.h"

// The tile driver's parts, behind one table per compute type, so that they are
// compiled once per target and every family calls the same code.

namespace tf_pairwise {

// A block of the weights V of a gradient: element (i, j) at
// [i * stride + j]; i is an own row of the left points, j of the right ones.
// `near`, where not null, has a bit per element, [i * near_stride + j / 64]:
// set where the pair's distance was too small for the product to be exact, and
// its gradient is then made from the difference of the points.
template <typename T>
struct WeightBlock {
  const T* weights = nullptr;
  int64_t stride = 0;
  const uint64_t* near = nullptr;
  int64_t near_stride = 0;
};

// The running gradient of a set of points: raw sums, which FinishGradient
// turns into the gradient.
template <typename T>
struct GradientSums {
  T* sums = nullptr;  // [n, stride], stride as the operand's
  T* own = nullptr;   // [n], the factor of the point itself
};

template <typename T>
struct TileKernels {
  // Fills `operand` from points [n, d] of `dtype`. The centre is made from
  // `points` where `centre` is null, else it is that one (both sides of a
  // distance need the same).
  void (*prepare)(Operand<T>& operand, DType dtype, const void* points,
                  const T* centre, const ParallelFor& parallel);

  // distances[(i - row) * stride + (j - column)] for rows [row, row + rows) of
  // x and columns [column, column + columns) of y; both column numbers are
  // multiples of Operand::kRowPadding, and padding columns hold any finite
  // number. j == i + diagonal is the same point, at distance exactly zero
  // (diagonal < 0: none). near, if not null, as in WeightBlock, is set whole;
  // a bit is relative to `column`.
  void (*distances)(const Operand<T>& x, const Operand<T>& y, int64_t row,
                    int64_t rows, int64_t column, int64_t columns,
                    int64_t diagonal, T* distances, int64_t stride,
                    uint64_t* near, int64_t near_stride);

  // Adds to the sums of x's rows [row, row + rows) the pairs with y's rows
  // [column, column + columns), block (0, 0) being pair (row, column).
  // `pack` is scratch of kPackSize elements.
  void (*accumulate_rows)(const Operand<T>& x, const Operand<T>& y, int64_t row,
                          int64_t rows, int64_t column, int64_t columns,
                          const WeightBlock<T>& block,
                          const GradientSums<T>& sums, T* pack);

  // The same for the sums of y's rows, over x's rows.
  void (*accumulate_columns)(const Operand<T>& x, const Operand<T>& y,
                             int64_t row, int64_t rows, int64_t column,
                             int64_t columns, const WeightBlock<T>& block,
                             const GradientSums<T>& sums, T* pack);

  // Adds to the sums of row i of x its pairs with rows indices[0, count) of y,
  // weighted by weights: for gradients that touch few pairs.
  void (*accumulate_pairs)(const Operand<T>& x, const Operand<T>& y, int64_t i,
                           int64_t count, const int32_t* indices,
                           const T* weights, const GradientSums<T>& sums);

  // gradient[i, :] of type T = scale * the gradient of row i, for rows
  // [row, row + rows).
  void (*finish_gradient)(const Operand<T>& x, int64_t row, int64_t rows,
                          const GradientSums<T>& sums, double scale,
                          T* gradient);

  // weights[j] *= PairSlope(metric, distances[j]), in place of distances.
  void (*weights_from_slopes)(Metric metric, int64_t count, const T* weights,
                              T* distances);

  // Rows of an output of `dtype` from rows of T. `past_caches`: the output is
  // larger than the caches, and need not be read into them to be written.
  void (*store_rows)(DType dtype, int64_t rows, int64_t columns, const T* from,
                     int64_t from_stride, void* to, int64_t to_stride,
                     bool past_caches);
};

// Rows and columns of the blocks that accumulate_* cut their work into.
constexpr int64_t kAccumulateRows = 96;
constexpr int64_t kAccumulateColumns = 256;
constexpr int64_t kPackSize = kAccumulateRows * (kAccumulateColumns + 16);

struct TileTable {
  TileKernels<float> narrow;
  TileKernels<double> wide;
};

// The chosen target's kernels; the argument only names the type.
const TileKernels<float>& Tiles(float);
const TileKernels<double>& Tiles(double);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SIMD_TILE_H_

#ifndef TF_PAIRWISE_TILE_TILE_H_
#define TF_PAIRWISE_TILE_TILE_H_

#include <cstdint>

#include "core/block.h"
#include "core/parallel.h"
#include "core/types.h"
#include "tile/operand.h"

// The tile engine: what all walks over pairs are made of. Every function here
// is compiled once per target and compute type T, float or double, and every
// family calls the same code.
//
//   operand_cpu.cc    PreparePoints
//   distances_cpu.cc  MakeDistances, StoreRows
//   gradients_cpu.cc  AccumulateRows, AccumulateColumns, AccumulatePairs,
//                     FinishGradient

namespace tf_pairwise {

// Fills `operand` from points [n, d] of `dtype`. The centre is made from
// `points` where `centre` is null, else it is that one (both sides of a
// distance need the same).
template <typename T>
void PreparePoints(Operand<T>& operand, DType dtype, const void* points,
                   const T* centre, const ParallelFor& parallel);

// The values of x.product of a block's pairs, rows of x and columns of y, into
// `tile`. block.column is a multiple of Operand::kRowPadding, and columns up to
// the next multiple are written: padding columns hold any finite number.
// j == i + diagonal is the same point, at distance exactly zero (diagonal < 0:
// none). tile.near, if not null, is set whole.
template <typename T>
void MakeDistances(const Operand<T>& x, const Operand<T>& y, const Block& block,
                   int64_t diagonal, const TileView<T>& tile);

// Rows [rows, columns] of an output of `dtype` from rows of T. `past_caches`:
// the output is larger than the caches, and is written by non-temporal stores.
template <typename T>
void StoreRows(DType dtype, int64_t rows, int64_t columns, const T* from,
               int64_t from_stride, void* to, int64_t to_stride,
               bool past_caches);

// The running gradient of a set of points: raw sums over pairs, which
// FinishGradient turns into the gradient.
template <typename T>
struct GradientSums {
  T* sums = nullptr;    // [n, stride], stride as the operand's
  T* factor = nullptr;  // [n], the factor of the point itself
};

// Rows and columns of the blocks that the accumulations cut their work into,
// and the elements of scratch that they take.
constexpr int64_t kAccumulateRows = 96;
constexpr int64_t kAccumulateColumns = 256;
constexpr int64_t kPackSize = kAccumulateRows * (kAccumulateColumns + 16);

// Adds to the sums of x's rows their pairs with y's rows of the block. `tile`
// holds the weights V of the pairs: the derivative of the loss with respect to
// the distance, times the metric's slope (metric/metric.h). A weight of 0
// leaves its pair out.
template <typename T>
void AccumulateRows(const Operand<T>& x, const Operand<T>& y,
                    const Block& block, const TileView<T>& tile,
                    const GradientSums<T>& sums, T* pack);

// The same for the sums of y's rows, over x's rows.
template <typename T>
void AccumulateColumns(const Operand<T>& x, const Operand<T>& y,
                       const Block& block, const TileView<T>& tile,
                       const GradientSums<T>& sums, T* pack);

// Adds to the sums of row i of x its pairs with rows indices[0, count) of y,
// weighted by weights: for gradients that touch few pairs.
template <typename T>
void AccumulatePairs(const Operand<T>& x, const Operand<T>& y, int64_t i,
                     int64_t count, const int32_t* indices, const T* weights,
                     const GradientSums<T>& sums);

// gradient[i, :] of type T = scale * the gradient of row i, for rows
// [row, row + rows).
template <typename T>
void FinishGradient(const Operand<T>& x, int64_t row, int64_t rows,
                    const GradientSums<T>& sums, double scale, T* gradient);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_TILE_H_

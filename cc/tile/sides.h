#ifndef TF_PAIRWISE_TILE_SIDES_H_
#define TF_PAIRWISE_TILE_SIDES_H_

#include <cstdint>

#include "core/parallel.h"
#include "core/rounds.h"
#include "core/scratch.h"
#include "tile/operand.h"
#include "tile/tile.h"

namespace tf_pairwise {

// All pairs of n points with m others, or with themselves.
struct PairSet {
  DType dtype = DType::kFloat32;
  Metric metric{};   // of the points and their gradients
  Metric product{};  // of a tile's values
  int64_t n = 0, m = 0, d = 0;
  bool self = true;  // the columns are the rows: n == m
};

// Cycles that a pair costs in a walk, for ParallelFor's estimates.
inline double PairCost(int64_t d) { return static_cast<double>(d) / 8 + 4; }

// The two sides of a walk over pairs: rows x and columns y, and with a gradient
// their sums. With `self`, y is x.
template <typename T>
struct Sides {
  Operand<T> x, y;
  bool self = true;
  DType dtype = DType::kFloat32;
  GradientSums<T> x_sums, y_sums;  // y_sums is x_sums with `self`

  const Operand<T>& right() const { return self ? x : y; }

  // `x_panels`: x is the columns' side of another walk too.
  void LayOut(Scratch& scratch, const PairSet& pairs, bool x_panels,
              bool gradient) {
    self = pairs.self;
    dtype = pairs.dtype;
    x = LayOutOperand<T>(scratch, dtype, pairs.metric, pairs.product, pairs.n,
                         pairs.d, self || x_panels);
    if (!self) {
      y = LayOutOperand<T>(scratch, dtype, pairs.metric, pairs.product, pairs.m,
                           pairs.d, true);
    }
    if (!gradient) return;
    x_sums = LayOutSums(scratch, x);
    y_sums = self ? x_sums : LayOutSums(scratch, y);
  }

  void Prepare(const void* x_points, const void* y_points,
               const ParallelFor& parallel) {
    PreparePoints<T>(x, dtype, x_points, nullptr, parallel);
    if (!self) PreparePoints<T>(y, dtype, y_points, x.centre, parallel);
  }

  // The rows as columns and the columns as rows.
  Sides Exchanged() const {
    Sides other = *this;
    other.x = right();
    other.y = x;
    other.x_sums = y_sums;
    other.y_sums = x_sums;
    return other;
  }

  void ClearSums(const ParallelFor& parallel) const {
    ClearOf(x, x_sums, parallel);
    if (!self) ClearOf(y, y_sums, parallel);
  }

  static void ClearRows(const Operand<T>& operand, const GradientSums<T>& sums,
                        int64_t row, int64_t rows) {
    T* out = sums.sums + row * operand.stride;
    for (int64_t k = 0; k < rows * operand.stride; ++k) out[k] = 0;
    for (int64_t i = row; i < row + rows; ++i) sums.factor[i] = 0;
  }

  // The gradients of both sides, scaled; y_gradient is not written with `self`.
  void Finish(double scale, void* x_gradient, void* y_gradient,
              const ParallelFor& parallel) const {
    FinishOf(x, x_sums, scale, x_gradient, parallel);
    if (!self && y_gradient != nullptr) {
      FinishOf(y, y_sums, scale, y_gradient, parallel);
    }
  }

 private:
  static constexpr int64_t kRows = 256;

  static GradientSums<T> LayOutSums(Scratch& scratch,
                                    const Operand<T>& operand) {
    GradientSums<T> sums;
    sums.sums = scratch.Take<T>(operand.n * operand.stride);
    sums.factor = scratch.Take<T>(operand.padded_n);
    return sums;
  }

  static void ClearOf(const Operand<T>& operand, const GradientSums<T>& sums,
                      const ParallelFor& parallel) {
    parallel(Blocks(operand.n, kRows),
             kRows * (static_cast<double>(operand.stride) / 4),
             [&](int64_t unit, int) {
               const int64_t row = unit * kRows;
               ClearRows(operand, sums, row, Least(operand.n - row, kRows));
             });
  }

  static void FinishOf(const Operand<T>& operand, const GradientSums<T>& sums,
                       double scale, void* gradient,
                       const ParallelFor& parallel) {
    parallel(Blocks(operand.n, kRows),
             kRows * (static_cast<double>(operand.d) / 4 + 8),
             [&](int64_t unit, int) {
               const int64_t row = unit * kRows;
               FinishGradient<T>(operand, row, Least(operand.n - row, kRows),
                                 sums, scale, static_cast<T*>(gradient));
             });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_SIDES_H_

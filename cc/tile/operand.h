#ifndef TF_PAIRWISE_TILE_OPERAND_H_
#define TF_PAIRWISE_TILE_OPERAND_H_

#include <cstdint>

#include "core/rounds.h"
#include "core/scratch.h"
#include "core/types.h"
#include "metric/traits.h"
#include "tile/closeness.h"

namespace tf_pairwise {

// A set of points made ready for tiles. T is the compute type.
//
// The tile products run on `rows`: the points less a common centre for the
// metrics of |x - y|, divided by their norms for cosine, as they are for the
// rest. A pair's raw value is then term_i + term_j - f rows_i.rows_j, and
// rows whose term is NaN (a coordinate that is not finite, or a norm that
// would overflow) fail the closeness test and are made again from `source`.
//
// Two metrics: `metric` says how points are prepared and what a gradient is
// with respect to them, `product` what a tile's values are. They differ where a
// loss reads the dot products of normalised points (cosine, dot), and where
// squares do for an order (euclidean, squared euclidean).
template <typename T>
struct Operand {
  // Rows are padded to this many, so that a panel of any target is whole.
  static constexpr int64_t kRowPadding = 64;

  Metric metric{};
  Metric product{};
  int64_t n = 0, d = 0;
  int64_t padded_n = 0;
  int64_t stride = 0;         // of rows, in elements; columns padded with 0
  T* rows = nullptr;          // [padded_n, stride]
  T* panels = nullptr;        // [padded_n / NR][d][NR], NR a target's own
  T* term = nullptr;          // [padded_n]
  T* inverse_norm = nullptr;  // [padded_n], cosine: 1 / |x|, 0 for zero
  const T* source = nullptr;  // [n, d], the points themselves
  T* converted = nullptr;     // halves: the scratch behind `source`
  T* centre = nullptr;        // [d]

  // Whether no row's term is NaN, once prepared.
  bool finite() const {
    for (int64_t i = 0; i < n; ++i) {
      if (term[i] != term[i]) return false;
    }
    return true;
  }
};

// Columns padded to whole vectors of every target, and skewed so that
// consecutive rows do not fall on the same cache sets.
inline int64_t PaddedStride(int64_t columns) {
  int64_t stride = (columns + 15) / 16 * 16;
  if (stride % 128 == 0) stride += 16;
  return stride;
}

template <typename T>
Operand<T> LayOutOperand(Scratch& scratch, DType dtype, Metric metric,
                         Metric product, int64_t n, int64_t d,
                         bool with_panels) {
  Operand<T> operand;
  operand.metric = metric;
  operand.product = product;
  operand.n = n;
  operand.d = d;
  operand.padded_n = RoundUp(n, Operand<T>::kRowPadding);
  operand.stride = PaddedStride(d);
  operand.rows = scratch.Take<T>(operand.padded_n * operand.stride);
  if (with_panels) operand.panels = scratch.Take<T>(operand.padded_n * d);
  operand.term = scratch.Take<T>(operand.padded_n);
  if (KeepsNorms(metric)) {
    operand.inverse_norm = scratch.Take<T>(operand.padded_n);
  }
  if (IsHalf(dtype)) {
    operand.converted = scratch.Take<T>(n * d);
  }
  operand.centre = scratch.Take<T>(d);
  return operand;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_OPERAND_H_

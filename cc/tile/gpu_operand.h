#ifndef TF_PAIRWISE_TILE_GPU_OPERAND_H_
#define TF_PAIRWISE_TILE_GPU_OPERAND_H_

#include <cstdint>

#include "core/rounds.h"
#include "core/scratch.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"
#include "metric/traits.h"
#include "tile/sides.h"

// A set of points made ready for a GPU's tiles, and the gradient sums over it:
// Operand, GradientSums and Sides (operand.h, sides.h) where all arrays are the
// device's. No panels: kernels read rows.

namespace tf_pairwise {

// What makes the products of points and of weights on a GPU.
enum class GpuProducts {
  kCudaCores,
  // Tensor cores: points that are tf32, which halves are, and floats as two of
  // them each. Both are as exact as floats.
  kTf32,
  kTf32x3,
};

// That of points of a type and metric on the current device. Halves are
// multiplied by tensor cores where it has them for tf32: as one where tiles
// read them as they are, as two where they were centred or normalised. Floats
// are by CUDA cores. TF_PAIRWISE_GPU_PRODUCTS=cuda_cores or tensor_cores has
// all that can be by one of them.
GpuProducts ProductsFor(DType dtype, Metric metric);

template <typename T>
struct GpuOperand {
  // Rows are padded to this many, columns to kColumnPadding, with zeros.
  static constexpr int64_t kRowPadding = 128;
  static constexpr int64_t kColumnPadding = 16;

  DType dtype = DType::kFloat32;
  Metric metric{};   // of the points and their gradients
  Metric product{};  // of the values of pairs
  GpuProducts products = GpuProducts::kCudaCores;
  int64_t n = 0, d = 0;
  int64_t padded_n = 0;
  int64_t stride = 0;
  T* rows = nullptr;          // [padded_n, stride]
  T* term = nullptr;          // [padded_n]
  T* inverse_norm = nullptr;  // [padded_n], cosine: 1 / |x|, 0 for zero
  const T* source = nullptr;  // [n, d], the points themselves
  T* converted = nullptr;     // halves: the scratch behind `source`
  T* centre = nullptr;        // [d]
  // With a gradient, as many as add up to it:
  int64_t splits = 1;
  T* sums = nullptr;    // [splits, padded_n, stride]
  T* factor = nullptr;  // [splits, padded_n], the factor of the point itself

  void LayOut(Scratch& scratch, const PairSet& pairs, int64_t count,
              bool gradient, int64_t sums_splits);
  // The centre is made from the points where `common` is null.
  Status Prepare(const void* points, const T* common, const Stream& stream);
  Status ClearSums(const Stream& stream) const;
  // gradient [n, d] = *scale times the gradient; a null scale is 1.
  Status Finish(const double* scale, void* gradient,
                const Stream& stream) const;
};

template <typename T>
struct GpuSides {
  GpuOperand<T> x, y;
  bool self = true;

  const GpuOperand<T>& right() const { return self ? x : y; }

  void LayOut(Scratch& scratch, const PairSet& pairs, bool gradient,
              int64_t x_splits = 1, int64_t y_splits = 1) {
    self = pairs.self;
    x.LayOut(scratch, pairs, pairs.n, gradient, x_splits);
    if (!self) y.LayOut(scratch, pairs, pairs.m, gradient, y_splits);
  }
  Status Prepare(const void* x_points, const void* y_points,
                 const Stream& stream) {
    TF_PAIRWISE_RETURN_IF_ERROR(x.Prepare(x_points, nullptr, stream));
    return self ? Ok() : y.Prepare(y_points, x.centre, stream);
  }
  // For results that hang on which of two distances is less.
  void UseCudaCores() { x.products = y.products = GpuProducts::kCudaCores; }
  GpuSides Exchanged() const {
    GpuSides other = *this;
    other.x = right();
    other.y = x;
    return other;
  }
  Status ClearSums(const Stream& stream) const {
    TF_PAIRWISE_RETURN_IF_ERROR(x.ClearSums(stream));
    return self ? Ok() : y.ClearSums(stream);
  }
  Status Finish(const double* scale, void* x_gradient, void* y_gradient,
                const Stream& stream) const {
    TF_PAIRWISE_RETURN_IF_ERROR(x.Finish(scale, x_gradient, stream));
    return self || y_gradient == nullptr ? Ok()
                                         : y.Finish(scale, y_gradient, stream);
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_GPU_OPERAND_H_

#ifndef TF_PAIRWISE_TILE_STRIP_WALK_H_
#define TF_PAIRWISE_TILE_STRIP_WALK_H_

#include <cstdint>

#include "core/rounds.h"
#include "core/scratch.h"
#include "core/status.h"
#include "core/stream.h"
#include "tile/gpu_operand.h"
#include "tile/sides.h"

namespace tf_pairwise {

// A strip of distances on a GPU: all columns of some rows, in the device's
// memory. A family's kernel, a block to a row, reads them or, for a gradient,
// turns them into the weights V of the pairs: dL/dD times the metric's slope
// (M::Slope::Of(weight, distance)), 0 for a pair that has no part.
template <typename T>
struct Strip {
  int64_t row = 0, rows = 0;  // of the left side's
  int64_t columns = 0;        // all of the right side's
  // j == i + diagonal is the same point, at distance exactly zero; < 0: none.
  int64_t diagonal = -1;
  T* values = nullptr;  // [rows, stride]; columns beyond are not to be read
  int64_t stride = 0;
};

// A bit per pair of a strip, set where the gradient has to be made from the
// points, and whether a tile of it has any.
struct NearBits {
  uint32_t* bits = nullptr;  // [rows, stride], or null where not wanted
  int64_t stride = 0;
  int32_t* tiles = nullptr;
  int64_t tiles_stride = 0;
};

// The distances of strip.rows rows of x, from strip.row on (a multiple of
// GpuOperand::kRowPadding), with strip.columns columns of y, which begin with
// the first.
template <typename T>
Status MakeGpuDistances(const GpuOperand<T>& x, const GpuOperand<T>& y,
                        const Strip<T>& strip, const NearBits& near,
                        const Stream& stream);

struct StripOptions {
  bool gradient = false;
  // Without, strips are not filled before the family's kernel writes them.
  bool distances = true;
  // The sides will be exchanged for a second walk (RunExchanged).
  bool exchanged = false;
};

// RowWalk's twin on a GPU: strips of rows one after another on a stream,
// whatever D, metric and dtype. Memory: a strip and the points.
template <typename T>
class StripWalk {
 public:
  GpuSides<T> sides;

  void LayOut(Scratch& scratch, const PairSet& pairs,
              const StripOptions& options);

  // The points made ready (gpu_operand.h).
  Status Prepare(const void* x_points, const void* y_points,
                 const Stream& stream) {
    return sides.Prepare(x_points, y_points, stream);
  }

  // `rows(strip)` puts the family's kernels for a strip on the stream, after
  // the kernels that make its distances. With `weights` (options.gradient), the
  // gradient sums of both sides then take what they leave in the strip; the
  // sums are cleared first.
  template <class Rows>
  Status Run(int64_t diagonal, bool weights, const Stream& stream,
             const Rows& rows) const {
    if (weights) TF_PAIRWISE_RETURN_IF_ERROR(sides.ClearSums(stream));
    return RunRows(sides, diagonal, weights, stream, rows);
  }
  // The columns as rows, for their statistics: nothing is accumulated.
  template <class Rows>
  Status RunExchanged(int64_t diagonal, const Stream& stream,
                      const Rows& rows) const {
    return RunRows(sides.Exchanged(), diagonal, false, stream, rows);
  }

  // The gradients of both sides, of the compute type, times *scale (the
  // device's memory; null for 1); y_gradient is not written with `self`.
  Status Finish(const double* scale, void* x_gradient, void* y_gradient,
                const Stream& stream) const {
    return sides.Finish(scale, x_gradient, y_gradient, stream);
  }

 private:
  template <class Rows>
  Status RunRows(const GpuSides<T>& of, int64_t diagonal, bool weights,
                 const Stream& stream, const Rows& rows) const {
    for (int64_t first = 0; first < of.x.n; first += strip_rows_) {
      Strip<T> strip;
      strip.row = first;
      strip.rows = Least(of.x.n - first, strip_rows_);
      strip.columns = of.right().n;
      strip.diagonal = diagonal;
      strip.values = values_;
      strip.stride = stride_;
      if (distances_) {
        TF_PAIRWISE_RETURN_IF_ERROR(MakeGpuDistances(
            of.x, of.right(), strip, weights ? near_ : NearBits(), stream));
      }
      TF_PAIRWISE_RETURN_IF_ERROR(rows(static_cast<const Strip<T>&>(strip)));
      if (weights) TF_PAIRWISE_RETURN_IF_ERROR(TakeStrip(of, strip, stream));
    }
    return Ok();
  }

  // Both sides' sums take the weights.
  Status TakeStrip(const GpuSides<T>& of, const Strip<T>& strip,
                   const Stream& stream) const;

  bool distances_ = true;
  int64_t strip_rows_ = 0;
  int64_t stride_ = 0;
  T* values_ = nullptr;
  NearBits near_;
  T* partials_ = nullptr;  // of the sums of rows, where columns are split
  int64_t splits_ = 1;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_STRIP_WALK_H_

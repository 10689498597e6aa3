#ifndef TF_PAIRWISE_TILE_PAIR_WALK_H_
#define TF_PAIRWISE_TILE_PAIR_WALK_H_

#include <cstdint>

#include "core/scratch.h"
#include "core/status.h"
#include "core/stream.h"
#include "cuda/driver.h"
#include "tile/gpu_operand.h"
#include "tile/pair_tiles_gpu-inl.h"
#include "tile/sides.h"

namespace tf_pairwise {

// How the columns of a walk's rows are split among blocks: by the shape alone,
// until there are enough blocks to keep a GPU busy for some rounds (512, or
// TF_PAIRWISE_GPU_BLOCKS, for measurements and tests: it changes the last
// bits).
struct PairSplits {
  int64_t row_blocks = 0;
  int64_t splits = 1;
  int64_t split_columns = 0;
};

// The coordinates that a kernel for points of d has room for: 64, 128 or 256;
// 0 where there is none.
int PairTilesWidth(int64_t d);
PairSplits SplitPairs(int64_t rows, int64_t columns, int width);

// No less than the shared memory of a kernel, whatever its family.
template <class P, int kWidth>
constexpr int64_t PairTilesBytes() {
  constexpr int64_t kLine = LinePacks(kWidth) * sizeof(Pack<float>);
  constexpr int64_t kColumns = kWidth > 128 ? 32 : 64;
  constexpr int64_t kBuffers = P::kIsTensor ? 2 : 1;
  return (64 + kBuffers * kColumns) * (kLine + 36) +
         4 * sizeof(typename P::Own) + 5 * 1024;
}

// TileWalk's twin on a GPU, for a weight that hangs on the pair alone: a kernel
// to a side (pair_tiles_gpu-inl.h), which stores no distance. Floats and
// halves, D <= 256, metrics that are made of products, where TakesPairTiles
// says so; else StripWalk. Memory: the points and some of their sums.
class PairWalk {
 public:
  GpuSides<float> sides;

  // Whether there is a kernel for these pairs on the current device.
  static bool Fits(const PairSet& pairs);
  // Whether that is the way to take them, for both sides' gradients: a batch
  // with itself, 4 n^2 D operations for a strip's 6, or one whose products cost
  // so little that a strip's distances would cost more (each side makes them
  // anew: 8 n m D).
  static bool Takes(const PairSet& pairs);

  // `split_sums`: gradient sums are made by the walk, a part for each split.
  void LayOut(Scratch& scratch, const PairSet& pairs, bool gradient,
              bool split_sums = true);
  Status Prepare(const void* x_points, const void* y_points,
                 const Stream& stream) {
    return sides.Prepare(x_points, y_points, stream);
  }

  // j == i + diagonal of row i and column j is no pair; < 0: all are.
  // How many results the rows have; what is kept of rows, and of columns, is
  // made in so many parts.
  int64_t results() const { return rows_.row_blocks * rows_.splits; }
  int64_t row_splits() const { return rows_.splits; }
  int64_t column_splits() const { return columns_.splits; }

  // The rows' results (null: not wanted) and, with `gradient`, their sums.
  template <class Family>
  Status Run(int64_t diagonal, bool gradient,
             const typename Family::Arguments& family,
             typename Family::Sums* results, const Stream& stream) const {
    return RunSide<Family>(sides.x, sides.right(), rows_, diagonal >= 0,
                           diagonal, gradient, family, results, stream);
  }
  // The columns' sums: `family` has the columns as rows.
  template <class Family>
  Status RunColumns(int64_t diagonal, bool gradient,
                    const typename Family::Arguments& family,
                    const Stream& stream) const {
    return RunSide<Family>(sides.right(), sides.x, columns_, diagonal >= 0,
                           -diagonal, gradient, family, nullptr, stream);
  }

  Status Finish(const double* scale, void* x_gradient, void* y_gradient,
                const Stream& stream) const {
    return sides.Finish(scale, x_gradient, y_gradient, stream);
  }

 private:
  template <class Family>
  Status RunSide(const GpuOperand<float>& x, const GpuOperand<float>& y,
                 const PairSplits& splits, bool has_diagonal, int64_t diagonal,
                 bool gradient, const typename Family::Arguments& family,
                 typename Family::Sums* results, const Stream& stream) const {
    const PairTilesArguments<Family> arguments = {x.rows,
                                                  y.rows,
                                                  x.term,
                                                  y.term,
                                                  x.source,
                                                  y.source,
                                                  x.n,
                                                  y.n,
                                                  x.d,
                                                  x.padded_n,
                                                  static_cast<int>(x.stride),
                                                  has_diagonal,
                                                  diagonal,
                                                  splits.split_columns,
                                                  x.product,
                                                  ProductOf(x.product),
                                                  gradient,
                                                  x.sums,
                                                  x.factor,
                                                  family,
                                                  results};
    switch (x.products) {
      case GpuProducts::kCudaCores:
        return LaunchWidth<Family, CudaCores>(splits, arguments, stream);
      case GpuProducts::kTf32:
        return LaunchWidth<Family, Tf32>(splits, arguments, stream);
      case GpuProducts::kTf32x3:
        break;
    }
    return LaunchWidth<Family, Tf32x3>(splits, arguments, stream);
  }

  template <class Family, class P>
  Status LaunchWidth(const PairSplits& splits,
                     const PairTilesArguments<Family>& arguments,
                     const Stream& stream) const {
    const Grid grid = {splits.row_blocks, splits.splits};
    const int width = PairTilesWidth(arguments.d);
    using Middle = PairTilesKernel<Family, P, 128>;
    using Wide = PairTilesKernel<Family, P, 256>;
    static_assert(sizeof(typename Middle::Shared) <= PairTilesBytes<P, 128>() &&
                  sizeof(typename Wide::Shared) <= PairTilesBytes<P, 256>());
    if constexpr (Family::kLeastWidth == 64) {
      if (width == 64) {
        return Launch<PairTilesKernel<Family, P, 64>>(stream, grid, arguments);
      }
    }
    return width <= 128 ? Launch<Middle>(stream, grid, arguments)
                        : Launch<Wide>(stream, grid, arguments);
  }

  static ProductMetric ProductOf(Metric metric);

  PairSplits rows_, columns_;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_PAIR_WALK_H_

#include "core/classes.h"
#include "core/reduce.h"
#include "core/scratch.h"
#include "triplet/triplet.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "triplet/batch_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/dispatch.h"
#include "tile/row_walk.h"
#include "tile/tile_walk.h"
#include "triplet/batch-inl.h"

// The triplets of a labelled batch.

#ifndef TF_PAIRWISE_TRIPLET_BATCH_CPU_ONCE_
#define TF_PAIRWISE_TRIPLET_BATCH_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  // The sums of a block's anchors from their whole rows of distances, which
  // with a gradient become the weights V (or, of hard mining, their pairs).
  void (*rows)(const Anchors<T>& anchors, const Block& block,
               const TileView<T>& tile, const RowBuffers<T>& buffers);
  // Hard mining by tiles: a tile, and then what all anchors come to.
  void (*hard_tile)(const HardTile<T>& tile);
  void (*hard_anchors)(const Anchors<T>& anchors, const Hardest<T>& hardest);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TRIPLET_BATCH_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
constexpr TableOf<T> kTableOf = {&Rows<T>, &RunHardTile<T>, &HardAnchors<T>};
constexpr Table kTable = {kTableOf<float>, kTableOf<double>};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }
const TableOf<float>& Kernels(float) { return Kernels().narrow; }
const TableOf<double>& Kernels(double) { return Kernels().wide; }

// What a call has in its scratch.
template <typename T>
struct BatchLayout {
  RowWalk<T> walk;
  Classes<LaneOf<T>> classes;
  LossSums* sums = nullptr;  // [n]
  // The gradient is a row of weights of each anchor (`dense`), or hard mining's
  // pairs and, by reference, who points at it.
  bool dense = false;
  HardPairs<T> pairs;
  int32_t* by_ref_begin = nullptr;   // [m + 2]
  int32_t* by_ref_anchor = nullptr;  // [2 n]
  T* by_ref_weight = nullptr;        // [2 n]
  // Hard mining of a batch against itself: distances are symmetric, so a walk
  // over half of the tiles finds it all.
  bool symmetric = false;
  TileWalk<T> tiles;
  Hardest<T> hardest;
  T* columns = nullptr;  // [workers, 2, columns_size]
  int64_t columns_size = 0;

  void LayOut(Scratch& scratch, const BatchTripletLoss& problem, bool gradient,
              int workers) {
    const int64_t n = problem.n, m = problem.m;
    const bool hard = problem.mining == Mining::kHard;
    dense = gradient && !hard;
    Scratch counter(nullptr);
    RowBuffers<T>().LayOut(counter, problem);
    RowWalkOptions options;
    options.gradient = gradient;
    options.weights = dense;
    options.held_elements = 2 << 20;
    options.worker_bytes = counter.bytes();
    walk.LayOut(scratch,
                {problem.dtype, problem.metric, problem.metric, n, m, problem.d,
                 problem.self},
                options, workers);
    classes.LayOut(scratch, n, m, problem.self);
    sums = scratch.Take<LossSums>(n);
    symmetric = problem.self && hard;
    if (symmetric) {
      tiles.LayOutTiles(scratch, n, m, true, workers);
      hardest.LayOut(scratch, n);
      columns_size = tiles.tile_columns() + 64;
      columns = scratch.Take<T>(workers * 2 * columns_size);
    }
    if (gradient && hard) {
      pairs.index = scratch.Take<int32_t>(2 * n);
      pairs.weight = scratch.Take<T>(2 * n);
      by_ref_begin = scratch.Take<int32_t>(m + 2);
      by_ref_anchor = scratch.Take<int32_t>(2 * n);
      by_ref_weight = scratch.Take<T>(2 * n);
    }
  }
};

// The pairs by reference, in the anchors' order.
template <typename T>
void SortPairs(const BatchLayout<T>& layout, int64_t n, int64_t m) {
  const HardPairs<T>& pairs = layout.pairs;
  int32_t* begin = layout.by_ref_begin;
  for (int64_t j = 0; j <= m + 1; ++j) begin[j] = 0;
  for (int64_t e = 0; e < 2 * n; ++e) {
    if (pairs.index[e] >= 0) ++begin[pairs.index[e] + 2];
  }
  for (int64_t j = 2; j <= m + 1; ++j) begin[j] += begin[j - 1];
  // begin[j + 1] is now where j's next pair goes, and ends as j's end.
  for (int64_t e = 0; e < 2 * n; ++e) {
    const int32_t j = pairs.index[e];
    if (j < 0) continue;
    const int32_t at = begin[j + 1]++;
    layout.by_ref_anchor[at] = static_cast<int32_t>(e / 2);
    layout.by_ref_weight[at] = pairs.weight[e];
  }
}

// Hard mining's gradient: the anchors' sums take their two pairs each, and the
// references' those that point at them.
template <typename T>
void AddPairs(const BatchLayout<T>& layout, const BatchTripletLoss& problem,
              const ParallelFor& parallel) {
  const int64_t n = problem.n, m = problem.m;
  SortPairs(layout, n, m);
  constexpr int64_t kRows = 64;
  const double cost = kRows * 4.0 * PairCost(problem.d);
  const Sides<T>& sides = layout.walk.sides;
  parallel(Blocks(n, kRows), cost, [&](int64_t unit, int) {
    const int64_t row = unit * kRows, rows = Least(n - row, kRows);
    Sides<T>::ClearRows(sides.x, sides.x_sums, row, rows);
    for (int64_t i = row; i < row + rows; ++i) {
      if (layout.pairs.index[2 * i] < 0) continue;
      AccumulatePairs<T>(sides.x, sides.right(), i, 2,
                         layout.pairs.index + 2 * i,
                         layout.pairs.weight + 2 * i, sides.x_sums);
    }
  });
  parallel(Blocks(m, kRows), cost, [&](int64_t unit, int) {
    const int64_t row = unit * kRows, rows = Least(m - row, kRows);
    if (!problem.self) {
      Sides<T>::ClearRows(sides.right(), sides.y_sums, row, rows);
    }
    const int32_t* begin = layout.by_ref_begin;
    for (int64_t j = row; j < row + rows; ++j) {
      AccumulatePairs<T>(sides.right(), sides.x, j, begin[j + 1] - begin[j],
                         layout.by_ref_anchor + begin[j],
                         layout.by_ref_weight + begin[j], sides.y_sums);
    }
  });
}

template <typename T>
void RunTiles(BatchLayout<T>& layout, const Anchors<T>& anchors,
              const ParallelFor& parallel) {
  layout.hardest.Clear(anchors.problem->n);
  layout.tiles.UseSides(layout.walk.sides);
  layout.tiles.Run(0, false, parallel,
                   [&](const typename TileWalk<T>::Tile& at, int worker) {
                     HardTile<T> tile = {at.block, at.tile, at.diagonal};
                     tile.classes = layout.classes.of_ref;
                     tile.hardest = layout.hardest;
                     tile.column_farthest =
                         layout.columns + worker * 2 * layout.columns_size;
                     tile.column_nearest =
                         tile.column_farthest + layout.columns_size;
                     Kernels(T()).hard_tile(tile);
                   });
  Kernels(T()).hard_anchors(anchors, layout.hardest);
}

template <typename T>
void RunRows(const BatchLayout<T>& layout, const Anchors<T>& anchors,
             const ParallelFor& parallel) {
  layout.walk.Run(DiagonalOf(*anchors.problem), parallel,
                  [&](const typename RowWalk<T>::Rows& rows) {
                    Scratch worker(rows.scratch);
                    RowBuffers<T> buffers;
                    buffers.LayOut(worker, *anchors.problem);
                    Kernels(T()).rows(anchors, rows.block, rows.tile, buffers);
                  });
}

template <typename T>
void RunBatch(const BatchTripletLoss& problem, const BatchTripletArrays& arrays,
              void* base, const ParallelFor& parallel) {
  // Without anchors their gradient is an empty array, which may be null.
  const bool with_gradient =
      arrays.anchors_grad != nullptr || arrays.refs_grad != nullptr;
  Scratch scratch(base);
  BatchLayout<T> layout;
  layout.LayOut(scratch, problem, with_gradient, parallel.workers);
  const Sides<T>& sides = layout.walk.sides;
  layout.walk.sides.Prepare(arrays.anchors, arrays.refs, parallel);
  layout.classes.Build(arrays.labels, problem.n, arrays.ref_labels, problem.m,
                       problem.self);
  const Anchors<T> anchors = {
      &problem,      &layout.classes, static_cast<const T*>(arrays.weights),
      with_gradient, layout.sums,     layout.pairs};
  // Tiles leave no row to look for a NaN in.
  if (layout.symmetric && sides.x.finite()) {
    RunTiles(layout, anchors, parallel);
  } else {
    RunRows(layout, anchors, parallel);
  }
  const double scale = ReduceAnchors(problem, layout.sums, arrays);
  if (!with_gradient || parallel.Stopped()) return;
  if (!layout.dense) AddPairs(layout, problem, parallel);
  sides.Finish(scale, arrays.anchors_grad, arrays.refs_grad, parallel);
}

}  // namespace

int64_t BatchTripletLossScratchBytes(const BatchTripletLoss& problem,
                                     bool with_gradient, int workers) {
  return VisitCompute(problem.dtype, [&](auto type) {
    Scratch scratch(nullptr);
    BatchLayout<decltype(type)> layout;
    layout.LayOut(scratch, problem, with_gradient, workers);
    return scratch.bytes();
  });
}

Status BatchTripletLossCpu(const BatchTripletLoss& problem,
                           const BatchTripletArrays& arrays, void* scratch,
                           const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  VisitCompute(problem.dtype, [&](auto type) {
    RunBatch<decltype(type)>(problem, arrays, scratch, parallel);
  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

#include "contrastive/contrastive.h"
#include "core/classes.h"
#include "core/reduce.h"
#include "core/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "contrastive/batch_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "contrastive/batch-inl.h"
#include "simd/dispatch.h"
#include "tile/tile_walk.h"

// The loss over all pairs of a batch.

#ifndef TF_PAIRWISE_CONTRASTIVE_BATCH_CPU_ONCE_
#define TF_PAIRWISE_CONTRASTIVE_BATCH_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  PairSums (*tile)(const ContrastiveTile<T>& tile);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_CONTRASTIVE_BATCH_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

constexpr Table kTable = {{&RunTile<float>}, {&RunTile<double>}};

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

template <typename T>
struct BatchLayout {
  TileWalk<T> walk;
  Classes<LaneOf<T>> classes;
  PairSums* tiles;      // per tile
  double* anchor_sums;  // [n], kNone
  T* buffers;           // [workers, block + a vector]
  int64_t buffer_size;

  BatchLayout(const BatchContrastiveLoss& problem, bool gradient,
              Scratch& scratch, int workers) {
    walk.LayOut(scratch,
                {problem.dtype, problem.metric, problem.metric, problem.n,
                 problem.m, problem.d, problem.self},
                {gradient}, workers);
    classes.LayOut(scratch, problem.n, problem.m, problem.self);
    tiles = scratch.Take<PairSums>(walk.tile_count());
    const bool per_anchor = problem.reduction == Reduction::kNone;
    anchor_sums = per_anchor ? scratch.Take<double>(problem.n) : nullptr;
    buffer_size = walk.tile_columns() + 64;
    buffers = per_anchor ? scratch.Take<T>(workers * buffer_size) : nullptr;
  }
};

// What a similar and a dissimilar pair's slope is multiplied by.
struct SlopeScales {
  double similar = 1, dissimilar = 1;
};

template <typename T>
ContrastiveTile<T> MakeTile(const BatchLayout<T>& layout,
                            const BatchContrastiveLoss& problem,
                            const T* weights, const SlopeScales& scales,
                            const typename TileWalk<T>::Tile& at, int worker) {
  const Block& block = at.block;
  const int64_t diagonal = problem.self ? 0 : problem.self_offset;
  ContrastiveTile<T> tile = {};
  tile.problem = &problem;
  tile.rows = block.rows;
  tile.columns = block.columns;
  tile.distances = at.tile;
  tile.row_classes = layout.classes.of_anchor + block.row;
  tile.column_classes = layout.classes.of_ref + block.column;
  if (weights != nullptr) {
    tile.row_weights = weights + block.row;
    if (problem.self) tile.column_weights = weights + block.column;
  }
  tile.both_orders = problem.self;
  tile.diagonal = at.diagonal;
  // Without a self pair, far outside of every tile.
  tile.self =
      diagonal >= 0 ? block.row + diagonal - block.column : -(int64_t{1} << 40);
  tile.similar_scale = static_cast<T>(scales.similar);
  tile.dissimilar_scale = static_cast<T>(scales.dissimilar);
  if (layout.anchor_sums != nullptr) {
    tile.row_sums = layout.anchor_sums + block.row;
    tile.column_sums = layout.anchor_sums + block.column;
    tile.column_buffer = layout.buffers + worker * layout.buffer_size;
  }
  return tile;
}

// One walk over all tiles.
template <typename T>
PairSums RunTiles(const BatchLayout<T>& layout,
                  const BatchContrastiveLoss& problem, const void* weights,
                  bool with_gradient, const SlopeScales& scales,
                  const ParallelFor& parallel) {
  const TileWalk<T>& walk = layout.walk;
  const TableOf<T>& kernels = Kernels(T());
  for (int64_t t = 0; t < walk.tile_count(); ++t) layout.tiles[t] = PairSums();
  for (int64_t i = 0; layout.anchor_sums != nullptr && i < problem.n; ++i) {
    layout.anchor_sums[i] = 0;
  }
  walk.Run(problem.self ? 0 : problem.self_offset, with_gradient, parallel,
           [&](const typename TileWalk<T>::Tile& at, int worker) {
             ContrastiveTile<T> tile =
                 MakeTile(layout, problem, static_cast<const T*>(weights),
                          scales, at, worker);
             tile.with_gradient = with_gradient;
             layout.tiles[at.number] = kernels.tile(tile);
           });
  PairSums total;
  for (int64_t t = 0; t < walk.tile_count(); ++t) {
    total.similar += layout.tiles[t].similar;
    total.dissimilar += layout.tiles[t].dissimilar;
    total.similar_nonzero += layout.tiles[t].similar_nonzero;
    total.dissimilar_nonzero += layout.tiles[t].dissimilar_nonzero;
  }
  return total;
}

// The two means of kBalancedMean are over losses above zero.
SlopeScales BalancedScales(const PairSums& sums) {
  return {InverseOf(sums.similar_nonzero), InverseOf(sums.dissimilar_nonzero)};
}

double BalancedLoss(const PairSums& sums) {
  const SlopeScales scales = BalancedScales(sums);
  return (scales.similar == 0 ? 0 : scales.similar * sums.similar) +
         (scales.dissimilar == 0 ? 0 : scales.dissimilar * sums.dissimilar);
}

// What the reductions other than kBalancedMean are made of.
LossSums TotalOf(const BatchContrastiveLoss& problem, const void* weights,
                 const PairSums& sums) {
  LossSums total;
  total.sum = sums.similar + sums.dissimilar;
  total.nonzero = sums.similar_nonzero + sums.dissimilar_nonzero;
  const double pairs = static_cast<double>(PairsPerAnchor(problem));
  for (int64_t i = 0; i < problem.n; ++i) {
    total.counted += LoadCompute(problem.dtype, weights, i) * pairs;
  }
  return total;
}

template <typename T>
void StoreLosses(const BatchLayout<T>& layout,
                 const BatchContrastiveLoss& problem,
                 const BatchContrastiveArrays& arrays, const PairSums& sums,
                 const LossSums& total) {
  if (problem.reduction == Reduction::kNone) {
    for (int64_t i = 0; i < problem.n; ++i) {
      const double weight = LoadCompute(problem.dtype, arrays.weights, i);
      StoreCompute(problem.dtype,
                   weight == 0 ? 0 : weight * layout.anchor_sums[i],
                   arrays.loss, i);
    }
    return;
  }
  StoreLoss(problem.dtype,
            problem.reduction == Reduction::kBalancedMean
                ? BalancedLoss(sums)
                : ReducedLoss(ScaleOf(problem.reduction, total), total),
            arrays.loss);
}

template <typename T>
void RunBatch(const BatchContrastiveLoss& problem,
              const BatchContrastiveArrays& arrays, void* base,
              const ParallelFor& parallel) {
  const bool with_gradient =
      arrays.anchors_grad != nullptr || arrays.refs_grad != nullptr;
  Scratch scratch(base);
  BatchLayout<T> layout(problem, with_gradient, scratch, parallel.workers);
  layout.walk.sides.Prepare(arrays.anchors, arrays.refs, parallel);
  layout.classes.Build(arrays.labels, problem.n, arrays.ref_labels, problem.m,
                       problem.self);
  SlopeScales scales;
  if (problem.reduction == Reduction::kBalancedMean && with_gradient) {
    // The two means' divisors come first: one walk for them alone.
    scales = BalancedScales(
        RunTiles(layout, problem, arrays.weights, false, scales, parallel));
  }
  const PairSums sums = RunTiles(layout, problem, arrays.weights, with_gradient,
                                 scales, parallel);
  const LossSums total = TotalOf(problem, arrays.weights, sums);
  if (arrays.counted != nullptr) {
    *arrays.counted = DivisorOf(problem.reduction, total);
  }
  if (arrays.loss != nullptr) {
    StoreLosses(layout, problem, arrays, sums, total);
  }
  if (!with_gradient) return;
  layout.walk.sides.Finish(ScaleOf(problem.reduction, total),
                           arrays.anchors_grad, arrays.refs_grad, parallel);
}

}  // namespace

int64_t BatchContrastiveLossScratchBytes(const BatchContrastiveLoss& problem,
                                         bool with_gradient, int workers) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    BatchLayout<decltype(compute)> layout(problem, with_gradient, scratch,
                                          workers);
    return scratch.bytes();
  });
}

Status BatchContrastiveLossCpu(const BatchContrastiveLoss& problem,
                               const BatchContrastiveArrays& arrays, void* base,
                               const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  VisitCompute(problem.dtype, [&](auto compute) {
    RunBatch<decltype(compute)>(problem, arrays, base, parallel);
  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

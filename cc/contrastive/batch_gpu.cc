#include <utility>

#include "contrastive/batch_gpu-inl.h"
#include "contrastive/contrastive.h"
#include "core/scratch.h"
#include "cuda/driver.h"
#include "tile/pair_walk.h"
#include "tile/strip_walk.h"

// The loss over all pairs of a batch.

namespace tf_pairwise {
namespace {

PairSet PairsOf(const BatchContrastiveLoss& problem) {
  return {problem.dtype, problem.metric, problem.metric, problem.n,
          problem.m,     problem.d,      problem.self};
}

// Pair tiles are for what ContrastivePairs says.
bool TakesPairTiles(const BatchContrastiveLoss& problem) {
  return problem.squared && problem.reduction != Reduction::kNone &&
         problem.reduction != Reduction::kBalancedMean &&
         PairWalk::Takes(PairsOf(problem));
}

int64_t DiagonalOf(const BatchContrastiveLoss& problem) {
  return problem.self ? 0 : problem.self_offset;
}

template <typename T>
struct BatchGpuLayout {
  bool in_tiles;  // by `tiles`, else by `walk`
  PairWalk tiles;
  StripWalk<T> walk;
  int64_t parts;     // of sums
  AnchorSums* sums;  // [parts]: anchors, or blocks of tiles
  double* scale;
  SlopeScales* scales;

  BatchGpuLayout(const BatchContrastiveLoss& problem, bool gradient,
                 Scratch& scratch)
      : in_tiles(TakesPairTiles(problem)) {
    if (in_tiles) {
      tiles.LayOut(scratch, PairsOf(problem), gradient);
      parts = tiles.results();
    } else {
      StripOptions options;
      options.gradient = gradient;
      walk.LayOut(scratch, PairsOf(problem), options);
      parts = problem.n;
    }
    sums = scratch.Take<AnchorSums>(parts);
    scale = scratch.Take<double>(1);
    scales = scratch.Take<SlopeScales>(1);
  }
};

// One walk over all strips.
template <typename T>
Status RunStrips(const BatchGpuLayout<T>& layout,
                 const BatchContrastiveLoss& problem,
                 const BatchContrastiveArrays& arrays, bool with_gradient,
                 const SlopeScales* scales, const Stream& stream) {
  using K = ContrastiveStripKernel<T>;
  typename K::Arguments arguments = {};
  arguments.labels = arrays.labels;
  arguments.ref_labels = problem.self ? arrays.labels : arrays.ref_labels;
  arguments.weights = static_cast<const T*>(arrays.weights);
  arguments.margin = problem.margin;
  arguments.positive_margin = problem.positive_margin;
  arguments.pairs_per_anchor = PairsPerAnchor(problem);
  arguments.metric = problem.metric;
  arguments.squared = problem.squared;
  arguments.with_gradient = with_gradient;
  arguments.scales = scales;
  arguments.sums = layout.sums;
  if (problem.reduction == Reduction::kNone) {
    arguments.loss = static_cast<T*>(arrays.loss);
  }
  return layout.walk.Run(DiagonalOf(problem), with_gradient, stream,
                         [&](const Strip<T>& strip) {
                           arguments.values = strip.values;
                           arguments.stride = strip.stride;
                           arguments.first = strip.row;
                           arguments.columns = strip.columns;
                           arguments.diagonal = strip.diagonal;
                           return Launch<K>(stream, {strip.rows}, arguments);
                         });
}

// One walk over all tiles, of both sides where both have a gradient.
Status RunTiles(const PairWalk& walk, const BatchContrastiveLoss& problem,
                const BatchContrastiveArrays& arrays, bool with_gradient,
                AnchorSums* sums, const Stream& stream) {
  ContrastivePairs::Arguments pairs = {};
  pairs.row_labels = arrays.labels;
  pairs.column_labels = problem.self ? arrays.labels : arrays.ref_labels;
  pairs.weights = static_cast<const float*>(arrays.weights);
  pairs.rows_are_anchors = true;
  pairs.columns_are_anchors = problem.self;
  pairs.margin = static_cast<float>(problem.margin);
  pairs.positive_margin = static_cast<float>(problem.positive_margin);
  pairs.pairs_per_anchor = static_cast<double>(PairsPerAnchor(problem));
  const int64_t diagonal = DiagonalOf(problem);
  TF_PAIRWISE_RETURN_IF_ERROR(
      walk.Run<ContrastivePairs>(diagonal, with_gradient, pairs, sums, stream));
  if (problem.self || !with_gradient) return Ok();
  std::swap(pairs.row_labels, pairs.column_labels);
  std::swap(pairs.rows_are_anchors, pairs.columns_are_anchors);
  return walk.RunColumns<ContrastivePairs>(diagonal, true, pairs, stream);
}

template <typename T>
Status RunBatchGpu(const BatchContrastiveLoss& problem,
                   const BatchContrastiveArrays& arrays, void* base,
                   const Stream& stream) {
  const bool gradient =
      arrays.anchors_grad != nullptr || arrays.refs_grad != nullptr;
  Scratch scratch(base);
  BatchGpuLayout<T> layout(problem, gradient, scratch);
  TF_PAIRWISE_RETURN_IF_ERROR(
      layout.in_tiles
          ? layout.tiles.Prepare(arrays.anchors, arrays.refs, stream)
          : layout.walk.Prepare(arrays.anchors, arrays.refs, stream));
  using Total = ContrastiveTotalKernel;
  Total::Arguments total = {layout.sums, layout.parts, problem.dtype,
                            problem.reduction};
  const SlopeScales* scales = nullptr;
  if (problem.reduction == Reduction::kBalancedMean && gradient) {
    // The two means' divisors come first: one walk for them alone.
    TF_PAIRWISE_RETURN_IF_ERROR(
        RunStrips(layout, problem, arrays, false, nullptr, stream));
    total.scales = layout.scales;
    TF_PAIRWISE_RETURN_IF_ERROR(Launch<Total>(stream, Grid(), total));
    total.scales = nullptr;
    scales = layout.scales;
  }
  TF_PAIRWISE_RETURN_IF_ERROR(
      layout.in_tiles
          ? RunTiles(layout.tiles, problem, arrays, gradient, layout.sums,
                     stream)
          : RunStrips(layout, problem, arrays, gradient, scales, stream));
  if (problem.reduction != Reduction::kNone) total.loss = arrays.loss;
  total.counted = arrays.counted;
  total.scale = layout.scale;
  TF_PAIRWISE_RETURN_IF_ERROR(Launch<Total>(stream, Grid(), total));
  if (!gradient) return Ok();
  return layout.in_tiles
             ? layout.tiles.Finish(layout.scale, arrays.anchors_grad,
                                   arrays.refs_grad, stream)
             : layout.walk.Finish(layout.scale, arrays.anchors_grad,
                                  arrays.refs_grad, stream);
}

}  // namespace

int64_t BatchContrastiveLossGpuScratchBytes(const BatchContrastiveLoss& problem,
                                            bool with_gradient) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    BatchGpuLayout<decltype(compute)> layout(problem, with_gradient, scratch);
    return scratch.bytes();
  });
}

Status BatchContrastiveLossGpu(const BatchContrastiveLoss& problem,
                               const BatchContrastiveArrays& arrays, void* base,
                               const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return VisitCompute(problem.dtype, [&](auto compute) {
    return RunBatchGpu<decltype(compute)>(problem, arrays, base, stream);
  });
}

}  // namespace tf_pairwise

#include "contrastive/batch_gpu-inl.h"
#include "contrastive/contrastive.h"
#include "core/scratch.h"
#include "cuda/driver.h"
#include "tile/strip_walk.h"

// The loss over all pairs of a batch.

namespace tf_pairwise {
namespace {

template <typename T>
struct BatchGpuLayout {
  StripWalk<T> walk;
  AnchorSums* sums;  // [n]
  double* scale;
  SlopeScales* scales;

  BatchGpuLayout(const BatchContrastiveLoss& problem, bool gradient,
                 Scratch& scratch) {
    StripOptions options;
    options.gradient = gradient;
    walk.LayOut(scratch,
                {problem.dtype, problem.metric, problem.metric, problem.n,
                 problem.m, problem.d, problem.self},
                options);
    sums = scratch.Take<AnchorSums>(problem.n);
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
  return layout.walk.Run(problem.self ? 0 : problem.self_offset, with_gradient,
                         stream, [&](const Strip<T>& strip) {
                           arguments.values = strip.values;
                           arguments.stride = strip.stride;
                           arguments.first = strip.row;
                           arguments.columns = strip.columns;
                           arguments.diagonal = strip.diagonal;
                           return Launch<K>(stream, {strip.rows}, arguments);
                         });
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
      layout.walk.Prepare(arrays.anchors, arrays.refs, stream));
  using Total = ContrastiveTotalKernel;
  Total::Arguments total = {layout.sums, problem.n, problem.dtype,
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
      RunStrips(layout, problem, arrays, gradient, scales, stream));
  if (problem.reduction != Reduction::kNone) total.loss = arrays.loss;
  total.counted = arrays.counted;
  total.scale = layout.scale;
  TF_PAIRWISE_RETURN_IF_ERROR(Launch<Total>(stream, Grid(), total));
  if (!gradient) return Ok();
  return layout.walk.Finish(layout.scale, arrays.anchors_grad, arrays.refs_grad,
                            stream);
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

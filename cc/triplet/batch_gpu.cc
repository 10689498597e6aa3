#include <cstdint>

#include "core/rounds.h"
#include "core/scratch.h"
#include "cuda/driver.h"
#include "cuda/sums.h"
#include "triplet/every_gpu-inl.h"
#include "triplet/hard_gpu-inl.h"
#include "triplet/hard_tiles.h"
#include "triplet/labelled_strip.h"
#include "triplet/semi_hard_gpu-inl.h"
#include "triplet/triplet.h"

// The triplets of a labelled batch on a GPU: strips of distances, a block to an
// anchor.

namespace tf_pairwise {
namespace {

// What a call has in its scratch.
template <typename T>
struct BatchLayout {
  StripWalk<T> walk;
  LossSums* sums = nullptr;  // [n]
  double* scale = nullptr;   // the gradient's, one value
  // Of rows that may have more positives than a chunk: whether one has, and
  // the slopes of those in flight.
  int32_t* left = nullptr;  // [n]
  T* slopes = nullptr;      // [slope_rows, m]
  int64_t slope_rows = 0;

  BatchLayout(Scratch& scratch, const BatchTripletLoss& problem,
              bool gradient) {
    StripOptions options;
    options.gradient = gradient;
    walk.LayOut(scratch,
                {problem.dtype, problem.metric, problem.metric, problem.n,
                 problem.m, problem.d, problem.self},
                options);
    sums = scratch.Take<LossSums>(problem.n);
    scale = scratch.Take<double>(1);
    if (!gradient || problem.mining == Mining::kHard ||
        problem.m <= kChunk<T>) {
      return;
    }
    left = scratch.Take<int32_t>(problem.n);
    // Enough blocks for a GPU, as long as they are no more memory than a strip.
    constexpr int64_t kMostRows = 512, kElements = int64_t{1} << 23;
    slope_rows = Least(kElements / problem.m, Least(problem.n, kMostRows));
    if (slope_rows == 0) slope_rows = 1;
    slopes = scratch.Take<T>(slope_rows * problem.m);
  }
};

template <typename T>
AnchorArguments<T> ArgumentsOf(const BatchTripletLoss& problem,
                               const BatchTripletArrays& arrays,
                               const BatchLayout<T>& layout,
                               const Strip<T>& strip, bool gradient) {
  AnchorArguments<T> a = {};
  a.strip = LabelStrip(problem, arrays, strip);
  a.rows = strip.rows;
  a.weights = static_cast<const T*>(arrays.weights);
  a.metric = problem.metric;
  a.margin = problem.margin;
  a.soft = problem.soft;
  a.gradient = gradient;
  a.sums = layout.sums;
  if (problem.reduction == Reduction::kNone) {
    a.losses = static_cast<T*>(arrays.loss);
  }
  a.left = layout.left;
  return a;
}

// The rows of a strip, and those of them that have many positives.
template <class K, typename T>
Status LaunchRows(const BatchLayout<T>& layout, AnchorArguments<T> a,
                  const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Launch<K>(stream, {a.rows, 1, 1}, a));
  if (layout.slopes == nullptr) return Ok();
  a.slopes = layout.slopes;
  return Launch<K>(stream, {Least(a.rows, layout.slope_rows), 1, 1}, a);
}

template <typename T>
Status LaunchMining(const BatchTripletLoss& problem,
                    const BatchLayout<T>& layout, const AnchorArguments<T>& a,
                    const Stream& stream) {
  switch (problem.mining) {
    case Mining::kHard:
      return Launch<HardAnchorsKernel<T>>(stream, {a.rows, 1, 1}, a);
    case Mining::kSemiHard:
      return LaunchRows<AnchorsKernel<T, SemiHardMining<T>>>(layout, a, stream);
    case Mining::kAll:
      return problem.soft
                 ? LaunchRows<AnchorsKernel<T, SoftMining<T>>>(layout, a,
                                                               stream)
                 : LaunchRows<AnchorsKernel<T, HingeMining<T, EveryTriplet>>>(
                       layout, a, stream);
    case Mining::kSemiHardAll:
      return LaunchRows<AnchorsKernel<T, HingeMining<T, EverySemiHard>>>(
          layout, a, stream);
    case Mining::kHardAll:
      break;
  }
  return LaunchRows<AnchorsKernel<T, HingeMining<T, EveryHard>>>(layout, a,
                                                                 stream);
}

template <typename T>
Status RunBatch(const BatchTripletLoss& problem,
                const BatchTripletArrays& arrays, void* base,
                const Stream& stream) {
  // Without anchors their gradient is an empty array, which may be null.
  const bool gradient =
      arrays.anchors_grad != nullptr || arrays.refs_grad != nullptr;
  Scratch scratch(base);
  BatchLayout<T> layout(scratch, problem, gradient);
  TF_PAIRWISE_RETURN_IF_ERROR(
      layout.walk.Prepare(arrays.anchors, arrays.refs, stream));
  if (layout.left != nullptr) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        FillBytes(stream, layout.left, 0,
                  problem.n * static_cast<int64_t>(sizeof(*layout.left))));
  }
  TF_PAIRWISE_RETURN_IF_ERROR(layout.walk.Run(
      DiagonalOf(problem), gradient, stream, [&](const Strip<T>& strip) {
        return LaunchMining(
            problem, layout,
            ArgumentsOf(problem, arrays, layout, strip, gradient), stream);
      }));
  ReducedSums out;
  if (problem.reduction != Reduction::kNone) out.loss = arrays.loss;
  if (gradient) out.scale = layout.scale;
  out.counted = arrays.counted;
  TF_PAIRWISE_RETURN_IF_ERROR(ReduceSums(
      stream, problem.dtype, problem.reduction, layout.sums, problem.n, out));
  if (!gradient) return Ok();
  return layout.walk.Finish(layout.scale, arrays.anchors_grad, arrays.refs_grad,
                            stream);
}

}  // namespace

int64_t BatchTripletLossGpuScratchBytes(const BatchTripletLoss& problem,
                                        bool with_gradient) {
  if (TakesHardTiles(problem)) {
    return HardTilesScratchBytes(problem, with_gradient);
  }
  return VisitCompute(problem.dtype, [&](auto type) {
    Scratch scratch(nullptr);
    BatchLayout<decltype(type)> layout(scratch, problem, with_gradient);
    return scratch.bytes();
  });
}

Status BatchTripletLossGpu(const BatchTripletLoss& problem,
                           const BatchTripletArrays& arrays, void* scratch,
                           const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (TakesHardTiles(problem)) {
    return RunHardTiles(problem, arrays, scratch, stream);
  }
  return VisitCompute(problem.dtype, [&](auto type) {
    return RunBatch<decltype(type)>(problem, arrays, scratch, stream);
  });
}

}  // namespace tf_pairwise

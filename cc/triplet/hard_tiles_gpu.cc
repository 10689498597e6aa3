#include "cuda/driver.h"
#include "cuda/sums.h"
#include "metric/traits.h"
#include "tile/pair_walk.h"
#include "triplet/hard_tiles.h"
#include "triplet/hard_tiles_gpu-inl.h"

namespace tf_pairwise {
namespace {

PairSet PairsOf(const BatchTripletLoss& problem) {
  return {problem.dtype, problem.metric, WithoutRoot(problem.metric),
          problem.n,     problem.m,      problem.d,
          problem.self};
}

struct HardLayout {
  PairWalk walk;
  HardPair<float>* parts;          // [splits, n]
  HardPick* picks = nullptr;       // [n]
  HardWeights* weights = nullptr;  // [n]
  LossSums* sums;                  // [n]
  double* scale;

  HardLayout(Scratch& scratch, const BatchTripletLoss& problem, bool gradient) {
    walk.LayOut(scratch, PairsOf(problem), gradient, false);
    parts = scratch.Take<HardPair<float>>(walk.row_splits() * problem.n);
    if (gradient) {
      picks = scratch.Take<HardPick>(problem.n);
      weights = scratch.Take<HardWeights>(problem.n);
    }
    sums = scratch.Take<LossSums>(problem.n);
    scale = scratch.Take<double>(1);
  }
};

Status MakeGradient(const BatchTripletLoss& problem, const HardLayout& layout,
                    bool of_anchors, const Stream& stream) {
  const GpuSides<float>& sides = layout.walk.sides;
  const GpuOperand<float>& own = of_anchors ? sides.x : sides.right();
  const GpuOperand<float>& other = of_anchors ? sides.right() : sides.x;
  using K = HardGradientKernel;
  K::Arguments a = {};
  a.own = {own.source, own.rows};
  a.other = {other.source, other.rows};
  a.anchors = of_anchors;
  a.found = !of_anchors || sides.self;
  a.picks = layout.picks;
  a.weights = layout.weights;
  a.count = own.n;
  a.n = problem.n;
  a.d = problem.d;
  a.stride = own.stride;
  a.difference = VisitMetric(problem.metric, [](auto metric) {
    return decltype(metric)::kForm == GradientForm::kDifference;
  });
  a.sums = own.sums;
  a.factor = own.factor;
  return Launch<K>(stream, {Blocks(own.n, K::kPoints)}, a);
}

}  // namespace

bool TakesHardTiles(const BatchTripletLoss& problem) {
  constexpr int64_t kMost = 0x7fffffff;  // columns, numbered by an int
  return problem.mining == Mining::kHard && problem.m <= kMost &&
         PairWalk::Fits(PairsOf(problem));
}

int64_t HardTilesScratchBytes(const BatchTripletLoss& problem,
                              bool with_gradient) {
  Scratch scratch(nullptr);
  HardLayout layout(scratch, problem, with_gradient);
  return scratch.bytes();
}

Status RunHardTiles(const BatchTripletLoss& problem,
                    const BatchTripletArrays& arrays, void* base,
                    const Stream& stream) {
  const bool gradient =
      arrays.anchors_grad != nullptr || arrays.refs_grad != nullptr;
  Scratch scratch(base);
  HardLayout layout(scratch, problem, gradient);
  const PairWalk& walk = layout.walk;
  TF_PAIRWISE_RETURN_IF_ERROR(
      layout.walk.Prepare(arrays.anchors, arrays.refs, stream));
  const int64_t* const ref_labels =
      problem.self ? arrays.labels : arrays.ref_labels;
  const int64_t diagonal = DiagonalOf(problem);
  TF_PAIRWISE_RETURN_IF_ERROR(walk.Run<HardSearch>(
      diagonal, false, {arrays.labels, ref_labels, problem.n, layout.parts},
      nullptr, stream));
  HardTotalsKernel::Arguments totals = {};
  totals.anchors.strip = {0, problem.m,     diagonal,  nullptr,
                          0, arrays.labels, ref_labels};
  totals.anchors.rows = problem.n;
  totals.anchors.weights = static_cast<const float*>(arrays.weights);
  totals.anchors.metric = problem.metric;
  totals.anchors.margin = problem.margin;
  totals.anchors.soft = problem.soft;
  totals.anchors.sums = layout.sums;
  if (problem.reduction == Reduction::kNone) {
    totals.anchors.losses = static_cast<float*>(arrays.loss);
  }
  totals.parts = layout.parts;
  totals.splits = walk.row_splits();
  totals.picks = layout.picks;
  totals.weights = layout.weights;
  TF_PAIRWISE_RETURN_IF_ERROR(Launch<HardTotalsKernel>(
      stream, {Blocks(problem.n, HardTotalsKernel::kThreads)}, totals));
  ReducedSums out;
  if (problem.reduction != Reduction::kNone) out.loss = arrays.loss;
  if (gradient) out.scale = layout.scale;
  out.counted = arrays.counted;
  TF_PAIRWISE_RETURN_IF_ERROR(ReduceSums(
      stream, problem.dtype, problem.reduction, layout.sums, problem.n, out));
  if (!gradient) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(MakeGradient(problem, layout, true, stream));
  if (!problem.self) {
    TF_PAIRWISE_RETURN_IF_ERROR(MakeGradient(problem, layout, false, stream));
  }
  return walk.Finish(layout.scale, arrays.anchors_grad, arrays.refs_grad,
                     stream);
}

}  // namespace tf_pairwise

#include <utility>

#include "core/scratch.h"
#include "cuda/driver.h"
#include "metric/traits.h"
#include "softmax/kinds_gpu-inl.h"
#include "softmax/softmax.h"
#include "softmax/tiles_gpu-inl.h"
#include "softmax/totals_gpu-inl.h"
#include "tile/pair_walk.h"
#include "tile/strip_walk.h"

namespace tf_pairwise {
namespace {

PairSet PairsOf(const SoftmaxLoss& problem) {
  return {problem.dtype,      PointsOfProducts(problem.normalize),
          kProducts,          problem.n,
          problem.m,          problem.d,
          !ReadsKeys(problem)};
}

template <typename T>
struct SoftmaxGpuLayout {
  StripWalk<T> walk;
  SoftmaxScalars* scalars;
  SoftmaxResult* results;        // [n]
  int32_t* positives = nullptr;  // [n], where the kind has labels
  T* column_largest = nullptr;   // [n], symmetric
  T* column_log_sum = nullptr;   // [n], symmetric

  SoftmaxGpuLayout(const SoftmaxLoss& problem, bool gradient,
                   Scratch& scratch) {
    const int64_t n = problem.n;
    StripOptions options;
    options.gradient = gradient;
    options.exchanged = problem.symmetric;
    walk.LayOut(scratch, PairsOf(problem), options);
    scalars = scratch.Take<SoftmaxScalars>(1);
    results = scratch.Take<SoftmaxResult>(n);
    if (IsLabelled(problem)) positives = scratch.Take<int32_t>(n);
    if (problem.symmetric) {
      column_largest = scratch.Take<T>(n);
      column_log_sum = scratch.Take<T>(n);
    }
  }
};

// The number of a row's own column less the row's; negative for none.
int64_t DiagonalOf(const SoftmaxLoss& problem) {
  return problem.n == 0 ? -1 : OwnColumn(problem, 0);
}

template <typename T>
Status LaunchRows(const SoftmaxLoss& problem,
                  const SoftmaxRowsArguments<T>& arguments, const Grid& grid,
                  const Stream& stream) {
  switch (problem.kind) {
    case SoftmaxKind::kInfoNce:
      return problem.symmetric ? Launch<SoftmaxRowsKernel<SymmetricRow, T>>(
                                     stream, grid, arguments)
                               : Launch<SoftmaxRowsKernel<InfoNceRow, T>>(
                                     stream, grid, arguments);
    case SoftmaxKind::kSupervised:
      return Launch<SoftmaxRowsKernel<SupervisedRow, T>>(stream, grid,
                                                         arguments);
    case SoftmaxKind::kNtXent:
      return Launch<SoftmaxRowsKernel<NtXentRow, T>>(stream, grid, arguments);
    case SoftmaxKind::kSigmoid:
      break;
  }
  return Launch<SoftmaxRowsKernel<SigmoidRow, T>>(stream, grid, arguments);
}

// What the rows have in common: counts, scale and the caller's scalars.
template <typename T>
Status PrepareRows(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                   int32_t* positives, SoftmaxScalars* scalars,
                   const Stream& stream) {
  const int64_t n = problem.n;
  if (IsLabelled(problem)) {
    using K = CountPositivesKernel;
    TF_PAIRWISE_RETURN_IF_ERROR(Launch<K>(
        stream, {Blocks(n, K::kRows), 1, 1},
        {arrays.labels, problem.self ? arrays.labels : arrays.key_labels, n,
         problem.m, DiagonalOf(problem), positives}));
  }
  return Launch<SoftmaxScalarsKernel<T>>(
      stream, Grid(),
      {static_cast<const T*>(arrays.weights), positives,
       problem.kind == SoftmaxKind::kNtXent, n, problem.reduction,
       static_cast<const T*>(arrays.temperature),
       static_cast<const T*>(arrays.scale), static_cast<const T*>(arrays.bias),
       scalars, arrays.counted});
}

template <typename T>
Status RunSoftmax(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                  void* base, const Stream& stream) {
  // Without queries their gradient is an empty array, which may be null.
  const bool with_gradient =
      arrays.queries_grad != nullptr || arrays.keys_grad != nullptr;
  const bool reduced = problem.reduction != Reduction::kNone;
  Scratch scratch(base);
  SoftmaxGpuLayout<T> layout(problem, with_gradient, scratch);
  StripWalk<T>& walk = layout.walk;
  TF_PAIRWISE_RETURN_IF_ERROR(
      walk.Prepare(arrays.queries, arrays.keys, stream));
  TF_PAIRWISE_RETURN_IF_ERROR(PrepareRows<T>(problem, arrays, layout.positives,
                                             layout.scalars, stream));
  SoftmaxRowsArguments<T> all = {};
  all.diagonal = DiagonalOf(problem);
  all.with_gradient = with_gradient;
  all.scalars = layout.scalars;
  all.weights = static_cast<const T*>(arrays.weights);
  if (IsLabelled(problem)) {
    all.labels = arrays.labels;
    all.key_labels = problem.self ? arrays.labels : arrays.key_labels;
  }
  all.positives = layout.positives;
  all.column_largest = layout.column_largest;
  all.column_log_sum = layout.column_log_sum;
  all.losses = reduced ? nullptr : static_cast<T*>(arrays.loss);
  all.results = layout.results;
  const auto of = [&](const Strip<T>& strip) {
    SoftmaxRowsArguments<T> arguments = all;
    arguments.row = strip.row;
    arguments.columns = strip.columns;
    arguments.values = strip.values;
    arguments.stride = strip.stride;
    return arguments;
  };
  if (problem.symmetric) {
    // The other direction's log-sum-exps: a walk with the sides exchanged.
    TF_PAIRWISE_RETURN_IF_ERROR(
        walk.RunExchanged(-1, stream, [&](const Strip<T>& strip) {
          return Launch<SoftmaxColumnsKernel<T>>(stream, {strip.rows, 1, 1},
                                                 of(strip));
        }));
  }
  TF_PAIRWISE_RETURN_IF_ERROR(
      walk.Run(-1, with_gradient, stream, [&](const Strip<T>& strip) {
        return LaunchRows<T>(problem, of(strip), {strip.rows, 1, 1}, stream);
      }));
  TF_PAIRWISE_RETURN_IF_ERROR(Launch<SoftmaxTotalsKernel<T>>(
      stream, Grid(),
      {layout.results, problem.n, layout.scalars,
       reduced ? static_cast<T*>(arrays.loss) : nullptr,
       static_cast<T*>(arrays.temperature_grad),
       static_cast<T*>(arrays.scale_grad), static_cast<T*>(arrays.bias_grad)}));
  if (!with_gradient) return Ok();
  return walk.Finish(nullptr, arrays.queries_grad, arrays.keys_grad, stream);
}

// ---- in pair tiles ----

// Where products cost little: log-sum-exps first, and both sides' gradients by
// themselves, are 10 n m D operations for a strip's 6. NT-Xent's slopes need a
// third walk.
bool TakesPairTiles(const SoftmaxLoss& problem) {
  return problem.kind != SoftmaxKind::kNtXent &&
         (problem.kind != SoftmaxKind::kSigmoid ||
          problem.reduction != Reduction::kNone) &&
         ProductsFor(problem.dtype, PointsOfProducts(problem.normalize)) !=
             GpuProducts::kCudaCores &&
         PairWalk::Takes(PairsOf(problem));
}

// What is kept of one side's points.
struct SideLogits {
  RowLogits* parts = nullptr;   // [splits, count]
  RowLogits* logits = nullptr;  // [count]
  SoftmaxPoint* points = nullptr;

  void LayOut(Scratch& scratch, int64_t count, int64_t splits) {
    parts = scratch.Take<RowLogits>(splits * count);
    logits = scratch.Take<RowLogits>(count);
    points = scratch.Take<SoftmaxPoint>(count);
  }
};

struct SoftmaxTilesLayout {
  PairWalk walk;
  SoftmaxScalars* scalars;
  SoftmaxResult* results;  // [n], of rows, and walk.results() of the gradient
  int32_t* positives = nullptr;
  SideLogits rows, columns;

  SoftmaxTilesLayout(const SoftmaxLoss& problem, bool gradient,
                     Scratch& scratch) {
    walk.LayOut(scratch, PairsOf(problem), gradient);
    scalars = scratch.Take<SoftmaxScalars>(1);
    results = scratch.Take<SoftmaxResult>(problem.n + walk.results());
    if (IsLabelled(problem)) positives = scratch.Take<int32_t>(problem.n);
    if (problem.kind == SoftmaxKind::kSigmoid) return;
    rows.LayOut(scratch, problem.n, walk.row_splits());
    if (problem.symmetric) {
      columns.LayOut(scratch, problem.m, walk.column_splits());
    }
  }
};

// The walks of a soft-max, whose positives labels tell or not.
template <bool kLabelled>
Status RunSoftmaxTiles(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                       const SoftmaxTilesLayout& layout, bool with_gradient,
                       const Stream& stream) {
  const PairWalk& walk = layout.walk;
  const int64_t diagonal = DiagonalOf(problem);
  using Logits = LogitSums<kLabelled>;
  typename Logits::Arguments logits = {};
  logits.row_labels = arrays.labels;
  logits.column_labels = problem.self ? arrays.labels : arrays.key_labels;
  logits.scalars = layout.scalars;
  logits.rows = problem.n;
  logits.parts = layout.rows.parts;
  TF_PAIRWISE_RETURN_IF_ERROR(
      walk.Run<Logits>(diagonal, false, logits, nullptr, stream));
  SoftmaxLogitsKernel::Arguments made = {};
  made.n = problem.n;
  made.scalars = layout.scalars;
  made.weights = static_cast<const float*>(arrays.weights);
  made.positives = layout.positives;
  made.symmetric = problem.symmetric;
  const Grid grid = {Blocks(problem.n, SoftmaxLogitsKernel::kThreads)};
  if (problem.symmetric) {
    logits.rows = problem.m;
    logits.parts = layout.columns.parts;
    TF_PAIRWISE_RETURN_IF_ERROR(
        walk.RunColumns<Logits>(diagonal, false, logits, stream));
    made.parts = layout.columns.parts;
    made.splits = walk.column_splits();
    made.logits = layout.columns.logits;
    made.points = layout.columns.points;
    TF_PAIRWISE_RETURN_IF_ERROR(
        Launch<SoftmaxLogitsKernel>(stream, grid, made));
    made.of_columns = layout.columns.logits;
  }
  made.parts = layout.rows.parts;
  made.splits = walk.row_splits();
  made.logits = layout.rows.logits;
  made.points = layout.rows.points;
  made.results = layout.results;
  if (problem.reduction == Reduction::kNone) {
    made.losses = static_cast<float*>(arrays.loss);
  }
  TF_PAIRWISE_RETURN_IF_ERROR(Launch<SoftmaxLogitsKernel>(stream, grid, made));
  if (!with_gradient) return Ok();
  using Pairs = SoftmaxPairs<kLabelled>;
  const bool self = walk.sides.self;
  const SideLogits& columns = self ? layout.rows : layout.columns;
  typename Pairs::Arguments pairs = {};
  pairs.row_points = layout.rows.points;
  pairs.row_logits = layout.rows.logits;
  pairs.column_points = columns.points;
  pairs.column_logits = columns.logits;
  pairs.row_labels = logits.row_labels;
  pairs.column_labels = logits.column_labels;
  pairs.scalars = layout.scalars;
  pairs.columns_count = problem.symmetric;
  TF_PAIRWISE_RETURN_IF_ERROR(walk.Run<Pairs>(
      diagonal, true, pairs, layout.results + problem.n, stream));
  if (self) return Ok();
  std::swap(pairs.row_points, pairs.column_points);
  std::swap(pairs.row_logits, pairs.column_logits);
  std::swap(pairs.row_labels, pairs.column_labels);
  return walk.RunColumns<Pairs>(diagonal, true, pairs, stream);
}

Status RunSigmoidTiles(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                       const SoftmaxTilesLayout& layout, bool with_gradient,
                       const Stream& stream) {
  const int64_t diagonal = DiagonalOf(problem);
  SigmoidPairs::Arguments pairs = {static_cast<const float*>(arrays.weights),
                                   true, layout.scalars};
  TF_PAIRWISE_RETURN_IF_ERROR(layout.walk.Run<SigmoidPairs>(
      diagonal, with_gradient, pairs, layout.results, stream));
  if (!with_gradient) return Ok();
  pairs.rows_are_queries = false;
  return layout.walk.RunColumns<SigmoidPairs>(diagonal, true, pairs, stream);
}

Status RunTiles(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                void* base, const Stream& stream) {
  const bool with_gradient =
      arrays.queries_grad != nullptr || arrays.keys_grad != nullptr;
  Scratch scratch(base);
  SoftmaxTilesLayout layout(problem, with_gradient, scratch);
  TF_PAIRWISE_RETURN_IF_ERROR(
      layout.walk.Prepare(arrays.queries, arrays.keys, stream));
  TF_PAIRWISE_RETURN_IF_ERROR(PrepareRows<float>(
      problem, arrays, layout.positives, layout.scalars, stream));
  int64_t results = 0;
  if (problem.kind == SoftmaxKind::kSigmoid) {
    results = layout.walk.results();
    TF_PAIRWISE_RETURN_IF_ERROR(
        RunSigmoidTiles(problem, arrays, layout, with_gradient, stream));
  } else {
    results = problem.n + (with_gradient ? layout.walk.results() : 0);
    TF_PAIRWISE_RETURN_IF_ERROR(
        IsLabelled(problem) ? RunSoftmaxTiles<true>(problem, arrays, layout,
                                                    with_gradient, stream)
                            : RunSoftmaxTiles<false>(problem, arrays, layout,
                                                     with_gradient, stream));
  }
  const bool reduced = problem.reduction != Reduction::kNone;
  TF_PAIRWISE_RETURN_IF_ERROR(Launch<SoftmaxTotalsKernel<float>>(
      stream, Grid(),
      {layout.results, results, layout.scalars,
       reduced ? static_cast<float*>(arrays.loss) : nullptr,
       static_cast<float*>(arrays.temperature_grad),
       static_cast<float*>(arrays.scale_grad),
       static_cast<float*>(arrays.bias_grad)}));
  if (!with_gradient) return Ok();
  return layout.walk.Finish(nullptr, arrays.queries_grad, arrays.keys_grad,
                            stream);
}

}  // namespace

int64_t SoftmaxLossGpuScratchBytes(const SoftmaxLoss& problem,
                                   bool with_gradient) {
  if (TakesPairTiles(problem)) {
    Scratch scratch(nullptr);
    SoftmaxTilesLayout layout(problem, with_gradient, scratch);
    return scratch.bytes();
  }
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    SoftmaxGpuLayout<decltype(compute)> layout(problem, with_gradient, scratch);
    return scratch.bytes();
  });
}

Status SoftmaxLossGpu(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                      void* scratch, const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (TakesPairTiles(problem))
    return RunTiles(problem, arrays, scratch, stream);
  return VisitCompute(problem.dtype, [&](auto compute) {
    return RunSoftmax<decltype(compute)>(problem, arrays, scratch, stream);
  });
}

}  // namespace tf_pairwise

#include "core/scratch.h"
#include "cuda/driver.h"
#include "metric/traits.h"
#include "softmax/kinds_gpu-inl.h"
#include "softmax/softmax.h"
#include "softmax/totals_gpu-inl.h"
#include "tile/strip_walk.h"

namespace tf_pairwise {
namespace {

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
    walk.LayOut(scratch,
                {problem.dtype, PointsOfProducts(problem.normalize), kProducts,
                 n, problem.m, problem.d, !ReadsKeys(problem)},
                options);
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
                   const SoftmaxGpuLayout<T>& layout, const Stream& stream) {
  const int64_t n = problem.n;
  if (IsLabelled(problem)) {
    using K = CountPositivesKernel;
    TF_PAIRWISE_RETURN_IF_ERROR(Launch<K>(
        stream, {Blocks(n, K::kRows), 1, 1},
        {arrays.labels, problem.self ? arrays.labels : arrays.key_labels, n,
         problem.m, DiagonalOf(problem), layout.positives}));
  }
  return Launch<SoftmaxScalarsKernel<T>>(
      stream, Grid(),
      {static_cast<const T*>(arrays.weights), layout.positives,
       problem.kind == SoftmaxKind::kNtXent, n, problem.reduction,
       static_cast<const T*>(arrays.temperature),
       static_cast<const T*>(arrays.scale), static_cast<const T*>(arrays.bias),
       layout.scalars, arrays.counted});
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
  TF_PAIRWISE_RETURN_IF_ERROR(PrepareRows(problem, arrays, layout, stream));
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

}  // namespace

int64_t SoftmaxLossGpuScratchBytes(const SoftmaxLoss& problem,
                                   bool with_gradient) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    SoftmaxGpuLayout<decltype(compute)> layout(problem, with_gradient, scratch);
    return scratch.bytes();
  });
}

Status SoftmaxLossGpu(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                      void* scratch, const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return VisitCompute(problem.dtype, [&](auto compute) {
    return RunSoftmax<decltype(compute)>(problem, arrays, scratch, stream);
  });
}

}  // namespace tf_pairwise

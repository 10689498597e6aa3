#include "core/classes.h"
#include "core/reduce.h"
#include "core/scratch.h"
#include "metric/traits.h"
#include "softmax/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "softmax/softmax_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/dispatch.h"
#include "softmax/rows-inl.h"
#include "tile/row_walk.h"

#ifndef TF_PAIRWISE_SOFTMAX_CPU_ONCE_
#define TF_PAIRWISE_SOFTMAX_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  // Of a block of whole rows; `buffer` is a worker's.
  void (*rows)(const SoftmaxRows<T>& all, const Block& block,
               const TileView<T>& tile, T* buffer);
  void (*columns)(const SoftmaxRows<T>& all, const Block& block,
                  const TileView<T>& tile, T* buffer);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_SOFTMAX_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
constexpr TableOf<T> kTableOf = {&RunRows<T>, &SumColumns<T>};
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

// A worker's exponentials and hidden distances of a row, each of m and a
// vector.
template <typename T>
T* TakeBuffer(Scratch& scratch, int64_t m) {
  return scratch.Take<T>(2 * (m + 64));
}

template <typename T>
struct SoftmaxLayout {
  RowWalk<T> walk;
  Classes<LaneOf<T>> classes;
  double* losses;        // [n]
  double* slopes;        // [n]
  double* slope_logits;  // [n]
  T* column_largest;     // [n], symmetric
  T* column_log_sum;     // [n], symmetric

  SoftmaxLayout(const SoftmaxLoss& problem, bool gradient, Scratch& scratch,
                int workers) {
    const int64_t n = problem.n, m = problem.m;
    constexpr int64_t kHeldElements = 512 << 10;
    Scratch counter(nullptr);
    TakeBuffer<T>(counter, m);
    RowWalkOptions options;
    options.x_panels = problem.symmetric;
    options.gradient = options.weights = gradient;
    options.held_elements = kHeldElements;
    options.worker_bytes = counter.bytes();
    walk.LayOut(scratch,
                {problem.dtype, PointsOfProducts(problem.normalize), kProducts,
                 n, m, problem.d, !ReadsKeys(problem)},
                options, workers);
    if (IsLabelled(problem)) classes.LayOut(scratch, n, m, problem.self);
    losses = scratch.Take<double>(n);
    slopes = scratch.Take<double>(n);
    slope_logits = scratch.Take<double>(n);
    column_largest = problem.symmetric ? scratch.Take<T>(n) : nullptr;
    column_log_sum = problem.symmetric ? scratch.Take<T>(n) : nullptr;
  }
};

// The row's positives, itself not among them.
template <typename Lane>
int64_t PositivesOf(const SoftmaxLoss& problem, const Classes<Lane>& classes,
                    int64_t i) {
  if (!IsLabelled(problem)) return 1;
  int64_t positives;
  classes.MembersOf(i, &positives);
  const int64_t own = OwnColumn(problem, i);
  return own >= 0 && classes.of_ref[own] == classes.of_anchor[i] ? positives - 1
                                                                 : positives;
}

// What the mean divides by, which is known before any distance, and whether
// any row exists.
template <typename Lane>
LossSums CountRows(const SoftmaxLoss& problem, const void* weights,
                   const Classes<Lane>& classes, bool* any) {
  LossSums total;
  *any = false;
  for (int64_t i = 0; i < problem.n; ++i) {
    const double weight = LoadCompute(problem.dtype, weights, i);
    total.counted +=
        weight * CountOf(problem, PositivesOf(problem, classes, i));
    *any = *any || weight != 0;
  }
  return total;
}

void StoreResults(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                  double temperature, const double* losses,
                  const double* slopes, const double* slope_logits) {
  const DType dtype = problem.dtype;
  double loss = 0, slope = 0, slope_logit = 0;
  for (int64_t i = 0; i < problem.n; ++i) {
    loss += losses[i];
    slope += slopes[i];
    slope_logit += slope_logits[i];
  }
  if (arrays.loss != nullptr && problem.reduction == Reduction::kNone) {
    for (int64_t i = 0; i < problem.n; ++i) {
      StoreCompute(dtype, losses[i], arrays.loss, i);
    }
  } else if (arrays.loss != nullptr) {
    StoreLoss(dtype, loss, arrays.loss);
  }
  if (arrays.temperature_grad != nullptr) {
    StoreLoss(dtype, -slope_logit / temperature, arrays.temperature_grad);
  }
  if (arrays.scale_grad != nullptr) {
    StoreLoss(dtype, slope_logit, arrays.scale_grad);
  }
  if (arrays.bias_grad != nullptr) StoreLoss(dtype, slope, arrays.bias_grad);
}

template <typename T>
void RunSoftmax(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                void* base, const ParallelFor& parallel) {
  // Without queries their gradient is an empty array, which may be null.
  const bool with_gradient =
      arrays.queries_grad != nullptr || arrays.keys_grad != nullptr;
  Scratch scratch(base);
  SoftmaxLayout<T> layout(problem, with_gradient, scratch, parallel.workers);
  const RowWalk<T>& walk = layout.walk;
  layout.walk.sides.Prepare(arrays.queries, arrays.keys, parallel);
  if (IsLabelled(problem)) {
    layout.classes.Build(arrays.labels, problem.n, arrays.key_labels, problem.m,
                         problem.self);
  }
  bool any;
  const LossSums total =
      CountRows(problem, arrays.weights, layout.classes, &any);
  if (arrays.counted != nullptr) *arrays.counted = total.counted;
  double temperature = 1;
  SoftmaxRows<T> all = {};
  all.problem = &problem;
  all.with_gradient = with_gradient;
  all.classes = &layout.classes;
  all.weights = static_cast<const T*>(arrays.weights);
  if (problem.kind == SoftmaxKind::kSigmoid) {
    all.scale = LoadCompute(problem.dtype, arrays.scale, 0);
    all.bias = LoadCompute(problem.dtype, arrays.bias, 0);
  } else {
    temperature = LoadCompute(problem.dtype, arrays.temperature, 0);
    all.inverse_temperature = 1 / temperature;
  }
  all.loss_scale = any ? ScaleOf(problem.reduction, total) : 0;
  all.column_largest = layout.column_largest;
  all.column_log_sum = layout.column_log_sum;
  all.losses = layout.losses;
  all.slopes = layout.slopes;
  all.slope_logits = layout.slope_logits;
  const TableOf<T>& kernels = Kernels(T());
  const auto over = [&](auto kernel) {
    return [&, kernel](const typename RowWalk<T>::Rows& rows) {
      Scratch worker(rows.scratch);
      kernel(all, rows.block, rows.tile, TakeBuffer<T>(worker, problem.m));
    };
  };
  if (problem.symmetric) {
    // The other direction's log-sum-exps: a walk with the sides exchanged.
    walk.RunExchanged(parallel, over(kernels.columns));
  }
  walk.Run(-1, parallel, over(kernels.rows));
  StoreResults(problem, arrays, temperature, layout.losses, layout.slopes,
               layout.slope_logits);
  if (!with_gradient) return;
  walk.sides.Finish(1, arrays.queries_grad, arrays.keys_grad, parallel);
}

}  // namespace

int64_t SoftmaxLossScratchBytes(const SoftmaxLoss& problem, bool with_gradient,
                                int workers) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    SoftmaxLayout<decltype(compute)> layout(problem, with_gradient, scratch,
                                            workers);
    return scratch.bytes();
  });
}

Status SoftmaxLossCpu(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                      void* base, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.kind != SoftmaxKind::kSigmoid) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        CheckTemperature(LoadCompute(problem.dtype, arrays.temperature, 0)));
  }
  const FloatMode mode;
  VisitCompute(problem.dtype, [&](auto compute) {
    RunSoftmax<decltype(compute)>(problem, arrays, base, parallel);
  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

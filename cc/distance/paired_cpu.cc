#include "distance/distance.h"
#include "tile/explicit_walk.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distance/paired_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"

#ifndef TF_PAIRWISE_DISTANCE_PAIRED_CPU_ONCE_
#define TF_PAIRWISE_DISTANCE_PAIRED_CPU_ONCE_
namespace tf_pairwise {
namespace {

// Pairs [begin, end).
struct Table {
  void (*distances)(const PairedDistance& problem, int64_t begin, int64_t end,
                    const void* x, const void* y, void* distances);
  void (*gradient)(const PairedDistance& problem, int64_t begin, int64_t end,
                   const void* x, const void* y, const void* upstream,
                   void* x_grad, void* y_grad);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_DISTANCE_PAIRED_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

void Distances(const PairedDistance& problem, int64_t begin, int64_t end,
               const void* x, const void* y, void* distances) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    const int64_t d = problem.d;
    for (int64_t i = begin; i < end; ++i) {
      const DirectPair pair =
          MakePair(problem.metric, static_cast<const S*>(x) + i * d,
                   static_cast<const S*>(y) + i * d, d, false);
      StoreScalar(pair.distance, static_cast<S*>(distances) + i);
    }
  });
}

void Gradient(const PairedDistance& problem, int64_t begin, int64_t end,
              const void* x, const void* y, const void* upstream, void* x_grad,
              void* y_grad) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    const int64_t d = problem.d;
    for (int64_t i = begin; i < end; ++i) {
      const S* a = static_cast<const S*>(x) + i * d;
      const S* b = static_cast<const S*>(y) + i * d;
      const double g = LoadScalar(static_cast<const S*>(upstream) + i);
      const DirectPair pair = MakePair(problem.metric, a, b, d, true);
      StoreSlope(problem.metric, pair, g, a, b, d,
                 static_cast<S*>(x_grad) + i * d);
      StoreSlope(problem.metric, Exchanged(pair), g, b, a, d,
                 static_cast<S*>(y_grad) + i * d);
    }
  });
}

constexpr Table kTable = {&Distances, &Gradient};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }

}  // namespace

Status PairedDistanceCpu(const PairedDistance& problem, const void* x,
                         const void* y, void* distances,
                         const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  ForEachExplicit(problem.n, problem.d, parallel,
                  [&](int64_t begin, int64_t end, int) {
                    Kernels().distances(problem, begin, end, x, y, distances);
                  });
  return Ok();
}

Status PairedDistanceGradCpu(const PairedDistance& problem, const void* x,
                             const void* y, const void* upstream, void* x_grad,
                             void* y_grad, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  ForEachExplicit(
      problem.n, problem.d, parallel, [&](int64_t begin, int64_t end, int) {
        Kernels().gradient(problem, begin, end, x, y, upstream, x_grad, y_grad);
      });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

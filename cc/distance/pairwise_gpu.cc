#include "core/scale.h"
#include "cuda/driver.h"
#include "distance/batch.h"
#include "distance/distance.h"
#include "distance/pairwise_gpu-inl.h"
#include "distance/rows_gpu-inl.h"
#include "tile/strip_walk.h"

// All distances between two sets of points, and their gradient: the problems of
// a batch one after another or, where they are small, all in one launch.

namespace tf_pairwise {
namespace {

// ---- the distances ----

// What one problem takes. Distances of the compute type go where they are to
// be; halves through strips.
template <typename T>
struct DistanceLayout {
  StripWalk<T> walk;  // halves
  GpuSides<T> sides;  // the rest

  DistanceLayout(const PairwiseDistance& problem, Scratch& scratch) {
    if (IsHalf(problem.dtype)) {
      walk.LayOut(scratch, PairsOf(problem), {});
    } else {
      sides.LayOut(scratch, PairsOf(problem), false);
    }
  }
};

template <typename T>
Status DistancesOfOne(const PairwiseDistance& problem, const void* x,
                      const void* y, void* distances, void* base,
                      const Stream& stream) {
  Scratch scratch(base);
  DistanceLayout<T> layout(problem, scratch);
  const int64_t diagonal = problem.self ? 0 : -1;
  if (!IsHalf(problem.dtype)) {
    TF_PAIRWISE_RETURN_IF_ERROR(layout.sides.Prepare(x, y, stream));
    const Strip<T> all = {
        0,        problem.n, problem.m, diagonal, static_cast<T*>(distances),
        problem.m};
    return MakeGpuDistances(layout.sides.x, layout.sides.right(), all,
                            NearBits(), stream);
  }
  TF_PAIRWISE_RETURN_IF_ERROR(layout.walk.Prepare(x, y, stream));
  return layout.walk.Run(diagonal, false, stream, [&](const Strip<T>& strip) {
    return VisitGpuType(problem.dtype, [&](auto type) {
      using S = decltype(type);
      if constexpr (std::is_same_v<Computed<S>, T>) {
        return Launch<StoreStripKernel<S>>(
            stream, {strip.columns == 0 ? 0 : strip.rows},
            {strip.values, strip.stride, strip.row, strip.columns,
             static_cast<S*>(distances)});
      } else {
        return Ok();
      }
    });
  });
}

// ---- the gradient ----

template <typename T>
struct GradientLayout {
  StripWalk<T> walk;
  // Halves: the gradients before they are rounded.
  T* x_grad = nullptr;
  T* y_grad = nullptr;

  GradientLayout(const PairwiseDistance& problem, Scratch& scratch) {
    StripOptions options;
    options.gradient = true;
    options.distances = VisitMetric(problem.metric, [](auto m) {
      return decltype(m)::kForm == GradientForm::kDifference;
    });
    walk.LayOut(scratch, PairsOf(problem), options);
    if (!IsHalf(problem.dtype)) return;
    x_grad = scratch.Take<T>(problem.n * problem.d);
    if (!problem.self) y_grad = scratch.Take<T>(problem.m * problem.d);
  }
};

template <typename T>
Status GradientOfOne(const PairwiseDistance& problem, const void* x,
                     const void* y, const void* upstream, void* x_grad,
                     void* y_grad, void* base, const Stream& stream) {
  Scratch scratch(base);
  GradientLayout<T> layout(problem, scratch);
  StripWalk<T>& walk = layout.walk;
  const bool constant = problem.self && VisitMetric(problem.metric, [](auto m) {
                          return decltype(m)::kZeroToItself;
                        });
  TF_PAIRWISE_RETURN_IF_ERROR(walk.Prepare(x, y, stream));
  TF_PAIRWISE_RETURN_IF_ERROR(
      walk.Run(problem.self ? 0 : -1, true, stream, [&](const Strip<T>& strip) {
        return VisitGpuType(problem.dtype, [&](auto type) {
          using S = decltype(type);
          if constexpr (std::is_same_v<Computed<S>, T>) {
            return Launch<UpstreamKernel<S>>(
                stream, {strip.rows},
                {strip.values, strip.stride, strip.row, strip.columns,
                 static_cast<const S*>(upstream), problem.metric,
                 constant ? strip.row : -1});
          } else {
            return Ok();
          }
        });
      }));
  if (!IsHalf(problem.dtype)) {
    return walk.Finish(nullptr, x_grad, y_grad, stream);
  }
  TF_PAIRWISE_RETURN_IF_ERROR(
      walk.Finish(nullptr, layout.x_grad, layout.y_grad, stream));
  TF_PAIRWISE_RETURN_IF_ERROR(Scale(problem.dtype, problem.n * problem.d,
                                    layout.x_grad, nullptr, x_grad, stream));
  if (problem.self) return Ok();
  return Scale(problem.dtype, problem.m * problem.d, layout.y_grad, nullptr,
               y_grad, stream);
}

// ---- small problems ----

// Strips take some launches each, a small problem less time than those. Decided
// by the shape alone; where to draw the line nobody has measured.
bool IsSmall(const PairwiseDistance& problem) {
  constexpr double kMost = 4e6;
  return problem.batch > 1 && static_cast<double>(problem.n) *
                                      static_cast<double>(problem.m) *
                                      static_cast<double>(problem.d) <=
                                  kMost;
}

Status SmallDistances(const PairwiseDistance& problem, const void* x,
                      const void* y, void* distances, const Stream& stream) {
  return VisitGpuType(problem.dtype, [&](auto type) {
    using S = decltype(type);
    using K = RowDistancesKernel<S>;
    const int64_t pairs = problem.batch * problem.n * problem.m;
    return Launch<K>(
        stream, {Least(Blocks(pairs, K::kWarps), 65536)},
        {static_cast<const S*>(x), static_cast<const S*>(problem.self ? x : y),
         problem.batch, problem.n, problem.m, problem.d, problem.metric,
         static_cast<S*>(distances)});
  });
}

// ---- scratch ----

template <template <typename> class Layout>
int64_t BytesOf(const PairwiseDistance& problem) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    const Layout<decltype(compute)> layout(problem, scratch);
    return scratch.bytes();
  });
}

}  // namespace

int64_t PairwiseDistanceGpuScratchBytes(const PairwiseDistance& problem) {
  return IsSmall(problem) ? 0 : BytesOf<DistanceLayout>(problem);
}

Status PairwiseDistanceGpu(const PairwiseDistance& problem, const void* x,
                           const void* y, void* distances, void* scratch,
                           const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (IsSmall(problem)) {
    return SmallDistances(problem, x, y, distances, stream);
  }
  for (int64_t b = 0; b < problem.batch; ++b) {
    const Part part(problem, b);
    TF_PAIRWISE_RETURN_IF_ERROR(VisitCompute(problem.dtype, [&](auto compute) {
      return DistancesOfOne<decltype(compute)>(
          problem, At(x, part.x_bytes), At(y, part.y_bytes),
          At(distances, part.pair_bytes), scratch, stream);
    }));
  }
  return Ok();
}

int64_t PairwiseDistanceGradGpuScratchBytes(const PairwiseDistance& problem) {
  return IsSmall(problem) ? RowSumsScratchBytes(problem)
                          : BytesOf<GradientLayout>(problem);
}

Status PairwiseDistanceGradGpu(const PairwiseDistance& problem, const void* x,
                               const void* y, const void*, const void* upstream,
                               void* x_grad, void* y_grad, void* scratch,
                               const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (IsSmall(problem)) {
    RowSumsCall call{x, y, upstream};
    call.x_out = x_grad;
    call.y_out = y_grad;
    return RunRowSums<FirstOfPair>(problem, call, scratch, stream);
  }
  for (int64_t b = 0; b < problem.batch; ++b) {
    const Part part(problem, b);
    TF_PAIRWISE_RETURN_IF_ERROR(VisitCompute(problem.dtype, [&](auto compute) {
      return GradientOfOne<decltype(compute)>(
          problem, At(x, part.x_bytes), At(y, part.y_bytes),
          At(upstream, part.pair_bytes), At(x_grad, part.x_bytes),
          At(y_grad, part.y_bytes), scratch, stream);
    }));
  }
  return Ok();
}

}  // namespace tf_pairwise

#include "core/rounds.h"
#include "cuda/driver.h"
#include "distance/distance.h"
#include "distance/paired_gpu-inl.h"

namespace tf_pairwise {
namespace {

// The arrays of a call, of no type.
struct Untyped {
  const void* x = nullptr;
  const void* y = nullptr;
  void* distances = nullptr;
  const void* upstream = nullptr;
  const void* u = nullptr;
  const void* w = nullptr;
  void* upstream_out = nullptr;
  void* x_out = nullptr;
  void* y_out = nullptr;
};

template <class Pair>
Status LaunchPaired(const PairedDistance& problem, const Untyped& arrays,
                    const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return VisitGpuType(problem.dtype, [&](auto type) {
    using S = decltype(type);
    using K = PairedKernel<Pair, S>;
    const auto in = [](const void* p) { return static_cast<const S*>(p); };
    const auto out = [](void* p) { return static_cast<S*>(p); };
    // A warp takes a few pairs where there are many.
    const Grid grid = {Least(Blocks(problem.n, K::kWarps), 65536), 1, 1};
    return Launch<K>(
        stream, grid,
        {problem.metric, problem.n, problem.d, in(arrays.x), in(arrays.y),
         out(arrays.distances), in(arrays.upstream), in(arrays.u), in(arrays.w),
         out(arrays.upstream_out), out(arrays.x_out), out(arrays.y_out)});
  });
}

}  // namespace

Status PairedDistanceGpu(const PairedDistance& problem, const void* x,
                         const void* y, void* distances, const Stream& stream) {
  Untyped arrays;
  arrays.x = x;
  arrays.y = y;
  arrays.distances = distances;
  return LaunchPaired<PairedDistances>(problem, arrays, stream);
}

Status PairedDistanceGradGpu(const PairedDistance& problem, const void* x,
                             const void* y, const void* upstream, void* x_grad,
                             void* y_grad, const Stream& stream) {
  Untyped arrays;
  arrays.x = x;
  arrays.y = y;
  arrays.upstream = upstream;
  arrays.x_out = x_grad;
  arrays.y_out = y_grad;
  return LaunchPaired<PairedGradients>(problem, arrays, stream);
}

int64_t PairedDistanceGradGradGpuScratchBytes(const PairedDistance&) {
  return 0;
}

Status PairedDistanceGradGradGpu(const PairedDistance& problem, const void* x,
                                 const void* y, const void* upstream,
                                 const void* u, const void* w,
                                 void* upstream_out, void* x_out, void* y_out,
                                 void*, const Stream& stream) {
  return LaunchPaired<PairedSeconds>(
      problem, {x, y, nullptr, upstream, u, w, upstream_out, x_out, y_out},
      stream);
}

}  // namespace tf_pairwise

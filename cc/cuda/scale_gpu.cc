#include "core/rounds.h"
#include "core/scale.h"
#include "cuda/driver.h"
#include "cuda/scale_gpu-inl.h"

namespace tf_pairwise {
namespace {

// A thread has a few values where there are many.
Grid GridOf(int64_t count, int threads) {
  return {Least(Blocks(count, threads), 4096), 1, 1};
}

}  // namespace

Status Scale(DType dtype, int64_t count, const void* in, const void* scale,
             void* out, const Stream& stream) {
  return VisitGpuType(dtype, [&](auto type) {
    using K = ScaleKernel<decltype(type)>;
    using T = typename K::T;
    return Launch<K>(
        stream, GridOf(count, K::kThreads),
        {count, static_cast<const T*>(in), static_cast<const T*>(scale),
         static_cast<decltype(type)*>(out)});
  });
}

Status Multiply(DType dtype, int64_t count, const void* a, const void* b,
                void* out, const Stream& stream) {
  return VisitCompute(dtype, [&](auto compute) {
    using T = decltype(compute);
    using K = MultiplyKernel<T>;
    return Launch<K>(stream, GridOf(count, K::kThreads),
                     {count, static_cast<const T*>(a), static_cast<const T*>(b),
                      static_cast<T*>(out)});
  });
}

}  // namespace tf_pairwise

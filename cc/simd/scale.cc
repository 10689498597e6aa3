#include "core/scale.h"

#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/scale.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/convert-inl.h"
#include "simd/dispatch.h"

namespace tf_pairwise {
#ifndef TF_PAIRWISE_SIMD_SCALE_ONCE_
#define TF_PAIRWISE_SIMD_SCALE_ONCE_
namespace {
using ScaleFunction = void(DType dtype, int64_t count, const void* in,
                           double scale, void* out);
}  // namespace
#endif
}  // namespace tf_pairwise

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

void Scale(DType dtype, int64_t count, const void* in, double scale,
           void* out) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const VecT<T> factor = hn::Set(Tag<T>(), static_cast<T>(scale));
    const T* from = static_cast<const T*>(in);
    S* to = static_cast<S*>(out);
    ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
      StoreCount(hn::Mul(factor, LoadCount(from + k, some)), to + k, some);
    });
  });
}

ScaleFunction* const kTable = &Scale;

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

ScaleFunction* Kernel() { TF_PAIRWISE_DISPATCH() }

}  // namespace

void ScaleCpu(DType dtype, int64_t count, const void* in, double scale,
              void* out, const ParallelFor& parallel) {
  constexpr int64_t kUnit = 16384;
  ScaleFunction* const kernel = Kernel();
  const int64_t compute_size = SizeOfCompute(dtype), size = SizeOf(dtype);
  parallel((count + kUnit - 1) / kUnit, kUnit / 2.0, [&](int64_t unit, int) {
    const int64_t begin = unit * kUnit;
    kernel(dtype, count - begin < kUnit ? count - begin : kUnit,
           static_cast<const char*>(in) + begin * compute_size, scale,
           static_cast<char*>(out) + begin * size);
  });
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

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

// As Scale and Multiply (core/scale.h), of one unit.
struct Table {
  void (*scale)(DType dtype, int64_t count, const void* in, const void* scale,
                void* out);
  void (*multiply)(DType dtype, int64_t count, const void* a, const void* b,
                   void* out);
};

}  // namespace
#endif
}  // namespace tf_pairwise

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

void ScaleUnit(DType dtype, int64_t count, const void* in, const void* scale,
               void* out) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const VecT<T> factor =
        hn::Set(Tag<T>(), scale == nullptr ? 1 : *static_cast<const T*>(scale));
    const T* from = static_cast<const T*>(in);
    S* to = static_cast<S*>(out);
    ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
      StoreCount(hn::Mul(factor, LoadCount(from + k, some)), to + k, some);
    });
  });
}

void MultiplyUnit(DType dtype, int64_t count, const void* a, const void* b,
                  void* out) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using T = Compute<decltype(type)>;
    const T* left = static_cast<const T*>(a);
    const T* right = static_cast<const T*>(b);
    T* to = static_cast<T*>(out);
    ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
      const VecT<T> factor =
          left == nullptr ? hn::Set(Tag<T>(), 1) : LoadCount(left + k, some);
      StoreCount(hn::Mul(factor, LoadCount(right + k, some)), to + k, some);
    });
  });
}

constexpr Table kTable = {&ScaleUnit, &MultiplyUnit};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }

// `function(begin, count)` for the units of [0, count).
template <typename Function>
void ForEachUnit(int64_t count, const ParallelFor& parallel,
                 const Function& function) {
  constexpr int64_t kUnit = 16384;
  parallel((count + kUnit - 1) / kUnit, kUnit / 2.0, [&](int64_t unit, int) {
    const int64_t begin = unit * kUnit;
    function(begin, count - begin < kUnit ? count - begin : kUnit);
  });
}

const void* At(const void* array, int64_t bytes) {
  return array == nullptr ? nullptr : static_cast<const char*>(array) + bytes;
}

}  // namespace

Status Scale(DType dtype, int64_t count, const void* in, const void* scale,
             void* out, const ParallelFor& launcher) {
  const Table& table = Kernels();
  const int64_t compute_size = SizeOfCompute(dtype), size = SizeOf(dtype);
  ForEachUnit(count, launcher, [&](int64_t begin, int64_t some) {
    table.scale(dtype, some, At(in, begin * compute_size), scale,
                static_cast<char*>(out) + begin * size);
  });
  return Ok();
}

Status Multiply(DType dtype, int64_t count, const void* a, const void* b,
                void* out, const ParallelFor& launcher) {
  const Table& table = Kernels();
  const int64_t size = SizeOfCompute(dtype);
  ForEachUnit(count, launcher, [&](int64_t begin, int64_t some) {
    table.multiply(dtype, some, At(a, begin * size), At(b, begin * size),
                   static_cast<char*>(out) + begin * size);
  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

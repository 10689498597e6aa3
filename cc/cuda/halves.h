#ifndef TF_PAIRWISE_CUDA_HALVES_H_
#define TF_PAIRWISE_CUDA_HALVES_H_

#include "core/types.h"
#include "cuda/block.h"

#if !defined(__CUDACC__)
#include <string>
#include <type_traits>
#endif

// The types that a GPU's arrays hold, and the compute type that they are read
// into: float for the halves, which are rounded to nearest even on their way
// out. The same bits on a host.

namespace tf_pairwise {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <typename S>
struct ComputedAs {
  using Type = float;
};
template <>
struct ComputedAs<double> {
  using Type = double;
};
template <typename S>
using Computed = typename ComputedAs<S>::Type;

TF_PAIRWISE_DEVICE uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  TF_PAIRWISE_MEMCPY(&bits, &value, 4);
  return bits;
}
TF_PAIRWISE_DEVICE float FloatOfBits(uint32_t bits) {
  float value;
  TF_PAIRWISE_MEMCPY(&value, &bits, 4);
  return value;
}

TF_PAIRWISE_DEVICE float Load(const float* p) { return *p; }
TF_PAIRWISE_DEVICE double Load(const double* p) { return *p; }
TF_PAIRWISE_DEVICE float Load(const BFloat16* p) {
  return FloatOfBits(uint32_t{p->bits} << 16);
}
TF_PAIRWISE_DEVICE float Load(const Float16* p) {
#if defined(__CUDACC__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(p->bits));
  return value;
#else
  const uint32_t sign = uint32_t{p->bits} >> 15 << 31;
  const uint32_t exponent = (p->bits >> 10) & 31, mantissa = p->bits & 1023;
  if (exponent == 31) return FloatOfBits(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) {
    return FloatOfBits(sign | (exponent + 112) << 23 | mantissa << 13);
  }
  const float small = static_cast<float>(mantissa) * (1.0f / 16777216.0f);
  return FloatOfBits(sign | BitsOfFloat(small));
#endif
}

TF_PAIRWISE_DEVICE void Store(float value, float* p) { *p = value; }
TF_PAIRWISE_DEVICE void Store(double value, double* p) { *p = value; }
TF_PAIRWISE_DEVICE void Store(float value, BFloat16* p) {
  const uint32_t bits = BitsOfFloat(value);
  p->bits =
      value != value
          ? static_cast<uint16_t>(bits >> 16 | 64)
          : static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
TF_PAIRWISE_DEVICE void Store(float value, Float16* p) {
#if defined(__CUDACC__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(p->bits) : "f"(value));
#else
  const uint32_t bits = BitsOfFloat(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {  // 65,520 and more
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // 2^-14
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  } else {
    // The sum with 0.5 has its last bit at 2^-24, and rounds there.
    half = BitsOfFloat(FloatOfBits(magnitude) + 0.5f) - 0x3f000000u;
  }
  p->bits = static_cast<uint16_t>(sign | half);
#endif
}

#if !defined(__CUDACC__)

template <typename S>
std::string TypeName() {
  return std::is_same_v<S, Float16>    ? "f16"
         : std::is_same_v<S, BFloat16> ? "bf16"
         : sizeof(S) == 8              ? "f64"
                                       : "f32";
}

// Calls `function(S())` with the type of `dtype`.
template <typename Function>
auto VisitGpuType(DType dtype, const Function& function) {
  switch (dtype) {
    case DType::kFloat16:
      return function(Float16());
    case DType::kBFloat16:
      return function(BFloat16());
    case DType::kFloat32:
      return function(float());
    default:
      return function(double());
  }
}

#endif

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_HALVES_H_

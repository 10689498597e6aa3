// Loads and stores between the caller's types and the compute types, with
// tails. Included once per target.

#if defined(TF_PAIRWISE_SIMD_CONVERT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_SIMD_CONVERT_INL_H_
#undef TF_PAIRWISE_SIMD_CONVERT_INL_H_
#else
#define TF_PAIRWISE_SIMD_CONVERT_INL_H_
#endif

#include "core/types.h"
#include "simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {

// float for the halves and float, double for double.
template <typename S>
struct ComputeOf {
  using Type = float;
};
template <>
struct ComputeOf<double> {
  using Type = double;
};
template <typename S>
using Compute = typename ComputeOf<S>::Type;

// The vector of compute type at p.
template <typename T>
HWY_INLINE VecT<T> LoadAs(const T* HWY_RESTRICT p) {
  return hn::LoadU(Tag<T>(), p);
}
template <typename T>
HWY_INLINE VecT<T> LoadAsN(const T* HWY_RESTRICT p, int64_t count) {
  return hn::LoadN(Tag<T>(), p, static_cast<size_t>(count));
}
template <typename T>
HWY_INLINE void StoreAs(VecT<T> v, T* HWY_RESTRICT p) {
  hn::StoreU(v, Tag<T>(), p);
}
template <typename T>
HWY_INLINE void StoreAsN(VecT<T> v, T* HWY_RESTRICT p, int64_t count) {
  hn::StoreN(v, Tag<T>(), p, static_cast<size_t>(count));
}

#define TF_PAIRWISE_HALF_LOADS_(Half)                                         \
  HWY_INLINE VecT<float> LoadAs(const Half* HWY_RESTRICT p) {                 \
    const hn::Rebind<Half, Tag<float>> half;                                  \
    return hn::PromoteTo(Tag<float>(), hn::LoadU(half, p));                   \
  }                                                                           \
  HWY_INLINE VecT<float> LoadAsN(const Half* HWY_RESTRICT p, int64_t count) { \
    const hn::Rebind<Half, Tag<float>> half;                                  \
    return hn::PromoteTo(Tag<float>(),                                        \
                         hn::LoadN(half, p, static_cast<size_t>(count)));     \
  }                                                                           \
  HWY_INLINE void StoreAs(VecT<float> v, Half* HWY_RESTRICT p) {              \
    const hn::Rebind<Half, Tag<float>> half;                                  \
    hn::StoreU(hn::DemoteTo(half, v), half, p);                               \
  }                                                                           \
  HWY_INLINE void StoreAsN(VecT<float> v, Half* HWY_RESTRICT p,               \
                           int64_t count) {                                   \
    const hn::Rebind<Half, Tag<float>> half;                                  \
    hn::StoreN(hn::DemoteTo(half, v), half, p, static_cast<size_t>(count));   \
  }
TF_PAIRWISE_HALF_LOADS_(hwy::float16_t)
TF_PAIRWISE_HALF_LOADS_(hwy::bfloat16_t)
#undef TF_PAIRWISE_HALF_LOADS_

// `function(k, count)` for each whole vector of [0, n), and once for the tail.
template <typename T, typename Function>
HWY_INLINE void ForEachVector(int64_t n, const Function& function) {
  const int64_t lanes = LanesOf<T>();
  int64_t k = 0;
  for (; k + lanes <= n; k += lanes) function(k, lanes);
  if (k < n) function(k, n - k);
}

// Load and store that know a tail by its count.
template <typename S>
HWY_INLINE VecT<Compute<S>> LoadCount(const S* p, int64_t count) {
  return count == LanesOf<Compute<S>>() ? LoadAs(p) : LoadAsN(p, count);
}
template <typename S>
HWY_INLINE void StoreCount(VecT<Compute<S>> v, S* p, int64_t count) {
  if (count == LanesOf<Compute<S>>()) {
    StoreAs(v, p);
  } else {
    StoreAsN(v, p, count);
  }
}

// Calls `function(S())` with the C++ type of dtype.
template <typename Function>
HWY_INLINE void VisitDType(DType dtype, const Function& function) {
  switch (dtype) {
    case DType::kFloat16:
      return function(hwy::float16_t());
    case DType::kBFloat16:
      return function(hwy::bfloat16_t());
    case DType::kFloat32:
      return function(float());
    case DType::kFloat64:
      return function(double());
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_SIMD_CONVERT_INL_H_

// Vector vocabulary on top of Highway: types, sums and the transcendental
// functions of the losses. Included once per target.

#if defined(TF_PAIRWISE_SIMD_VEC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_SIMD_VEC_INL_H_
#undef TF_PAIRWISE_SIMD_VEC_INL_H_
#else
#define TF_PAIRWISE_SIMD_VEC_INL_H_
#endif

#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
using Tag = hn::ScalableTag<T>;
template <typename T>
using VecT = hn::Vec<Tag<T>>;

template <typename T>
HWY_INLINE int64_t LanesOf() {
  return static_cast<int64_t>(hn::Lanes(Tag<T>()));
}

// The lanes' sum in double, so that long sums of float blocks stay exact to
// float's last bits.
HWY_INLINE double SumToDouble(Tag<double> d, VecT<double> v) {
  return hn::ReduceSum(d, v);
}
HWY_INLINE double SumToDouble(Tag<float> d, VecT<float> v) {
  const hn::Half<decltype(d)> half;
  const Tag<double> wide;
  return hn::ReduceSum(wide,
                       hn::Add(hn::PromoteTo(wide, hn::LowerHalf(half, v)),
                               hn::PromoteTo(wide, hn::UpperHalf(half, v))));
}

// sum += v lane-wise in double.
HWY_INLINE void AddToDouble(Tag<double>, VecT<double> v, VecT<double>& sum) {
  sum = hn::Add(sum, v);
}
HWY_INLINE void AddToDouble(Tag<float> d, VecT<float> v, VecT<double>& sum) {
  const hn::Half<decltype(d)> half;
  const Tag<double> wide;
  sum = hn::Add(sum, hn::Add(hn::PromoteTo(wide, hn::LowerHalf(half, v)),
                             hn::PromoteTo(wide, hn::UpperHalf(half, v))));
}

// sum += a b lane-wise in double, exact for floats.
HWY_INLINE void AddProductToDouble(Tag<double>, VecT<double> a, VecT<double> b,
                                   VecT<double>& sum) {
  sum = hn::MulAdd(a, b, sum);
}
HWY_INLINE void AddProductToDouble(Tag<float> d, VecT<float> a, VecT<float> b,
                                   VecT<double>& sum) {
  const hn::Half<decltype(d)> half;
  const Tag<double> wide;
  sum = hn::MulAdd(hn::PromoteTo(wide, hn::LowerHalf(half, a)),
                   hn::PromoteTo(wide, hn::LowerHalf(half, b)), sum);
  sum = hn::MulAdd(hn::PromoteTo(wide, hn::UpperHalf(half, a)),
                   hn::PromoteTo(wide, hn::UpperHalf(half, b)), sum);
}

template <typename T>
struct MathConstants;
template <>
struct MathConstants<float> {
  static constexpr float kLn2High = 0.693145751953125f;
  static constexpr float kLn2Low = 1.42860682030941723212e-6f;
  static constexpr float kUnderflow = -87.0f;  // exp below is taken as 0
  static constexpr float kOverflow = 88.0f;
  static constexpr int kExpDegree = 7;
  static constexpr int kAtanhTerms = 7;
};
template <>
struct MathConstants<double> {
  static constexpr double kLn2High = 0.693147180369123816490;
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kUnderflow = -708.0;
  static constexpr double kOverflow = 709.0;
  static constexpr int kExpDegree = 13;
  static constexpr int kAtanhTerms = 17;
};

// exp(x): 0 below kUnderflow (where the result would be subnormal), the value
// at kOverflow above it; NaN for NaN. Within 2 ULP: x = k ln 2 + r by two-step
// reduction, a Taylor polynomial on |r| <= ln 2 / 2, k added to the exponent.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  using T = hn::TFromD<D>;
  using C = MathConstants<T>;
  const hn::RebindToSigned<D> di;
  const V clamped =
      hn::Min(hn::Max(x, hn::Set(d, C::kUnderflow)), hn::Set(d, C::kOverflow));
  const V k = hn::Round(
      hn::Mul(clamped, hn::Set(d, static_cast<T>(1.4426950408889634074))));
  V r = hn::NegMulAdd(k, hn::Set(d, C::kLn2High), clamped);
  r = hn::NegMulAdd(k, hn::Set(d, C::kLn2Low), r);
  constexpr double kInverseFactorial[14] = {1.0,
                                            1.0,
                                            1.0 / 2,
                                            1.0 / 6,
                                            1.0 / 24,
                                            1.0 / 120,
                                            1.0 / 720,
                                            1.0 / 5040,
                                            1.0 / 40320,
                                            1.0 / 362880,
                                            1.0 / 3628800,
                                            1.0 / 39916800,
                                            1.0 / 479001600,
                                            1.0 / 6227020800.0};
  V p = hn::Set(d, static_cast<T>(kInverseFactorial[C::kExpDegree]));
  for (int i = C::kExpDegree - 1; i >= 0; --i) {
    p = hn::MulAdd(p, r, hn::Set(d, static_cast<T>(kInverseFactorial[i])));
  }
  constexpr int kMantissaBits = sizeof(T) == 4 ? 23 : 52;
  const auto exponent = hn::ShiftLeft<kMantissaBits>(hn::ConvertTo(di, k));
  const V value = hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));
  const V flushed =
      hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, C::kUnderflow)), value);
  return hn::IfThenElse(hn::IsNaN(x), x, flushed);
}

// log(1 + y) for y in [0, 1], within 2 ULP: 2 atanh(y / (2 + y)) as an odd
// series, whose terms fall by 1/9 or faster.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Log1pUnit(D d, V y) {
  using T = hn::TFromD<D>;
  constexpr int kTerms = MathConstants<T>::kAtanhTerms;
  const V s = hn::Div(y, hn::Add(y, hn::Set(d, T(2))));
  const V s2 = hn::Mul(s, s);
  V p = hn::Set(d, static_cast<T>(2.0 / (2 * kTerms - 1)));
  for (int i = kTerms - 2; i >= 1; --i) {
    p = hn::MulAdd(p, s2, hn::Set(d, static_cast<T>(2.0 / (2 * i + 1))));
  }
  // 2 s + s^3 p: the leading term is added last, so that it is not rounded.
  return hn::MulAdd(hn::Mul(s, s2), p, hn::Add(s, s));
}

// ---- the names that formulas use (core/lanes-inl.h), for vectors ----

template <class V>
HWY_INLINE V Zero(V) {
  return hn::Zero(hn::DFromV<V>());
}
template <class V>
HWY_INLINE V Like(V, double c) {
  return hn::Set(hn::DFromV<V>(), static_cast<hn::TFromV<V>>(c));
}
template <class M, class V>
HWY_INLINE V Select(M m, V a, V b) {
  return hn::IfThenElse(m, a, b);
}
template <class M, class V>
HWY_INLINE V ZeroIf(M m, V x) {
  return hn::IfThenZeroElse(m, x);
}
template <class V>
HWY_INLINE V Negate(V x) {
  return hn::Neg(x);
}
template <class V>
HWY_INLINE V FlipSign(V x, V by) {
  return hn::Xor(x, hn::And(by, hn::SignBit(hn::DFromV<V>())));
}
template <class V>
HWY_INLINE bool IsWide(V) {
  return sizeof(hn::TFromV<V>) == 8;
}
template <class V>
HWY_INLINE V Exp(V x) {
  return Exp(hn::DFromV<V>(), x);
}
template <class V>
HWY_INLINE V Log1p(V x) {
  return Log1pUnit(hn::DFromV<V>(), x);
}
// Of vectors of classes, a mask for distances.
template <class V>
HWY_INLINE auto SameClass(V a, V b) {
  return hn::RebindMask(hn::RebindToFloat<hn::DFromV<V>>(), hn::Eq(a, b));
}

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

// After the vectors' names, which formulas look up where they are defined.
#include "core/numerics-inl.h"
#include "core/pairs-inl.h"

#endif  // TF_PAIRWISE_SIMD_VEC_INL_H_

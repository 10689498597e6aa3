// The few names that a formula needs beside the operators + - * / and the
// comparisons, for one lane: a float or a double on the host or a device. A
// target's vectors have the same names from Highway, found by their type, and
// from simd/vec-inl.h.
//
//   Zero(x), Like(x, c)    0 and the constant c, in x's type
//   Select(m, a, b)        a where m, else b
//   ZeroIf(m, x)           0 where m, else x: cheaper in vectors than Select
//   And(m, n), Or(m, n), Not(m)
//   Negate(x) = -x, Sqrt(x), Abs(x), Max(x, y) of numbers
//   FlipSign(x, by)        x sign(by)
//   MulAdd(a, b, c)        a b + c; NegMulAdd(a, b, c) = c - a b
//   Exp(x), and Log1p(x) for x in [0, 1]
//   Log(x), Exp2(x), Log2(x)  of one lane only
//   IsWide(x)              whether x's lanes are doubles
//   NotANumber(), PlusInfinity()  doubles
//
// A formula is a function marked TF_PAIRWISE_FORMULA between
// TF_PAIRWISE_FORMULAS_BEGIN and _END, in an -inl.h file with the guard below:
// a file that is compiled per target reads it once for each, after
// simd/vec-inl.h, and sees vectors and single lanes; any other file, and the
// CUDA compiler, reads it once and sees single lanes. What is read per target
// may only be called from per-target code.

#if defined(TF_PAIRWISE_CORE_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_CORE_LANES_INL_H_
#undef TF_PAIRWISE_CORE_LANES_INL_H_
#else
#define TF_PAIRWISE_CORE_LANES_INL_H_
#endif

#include "core/host_device.h"

#undef TF_PAIRWISE_FORMULA
#undef TF_PAIRWISE_FORMULAS_BEGIN
#undef TF_PAIRWISE_FORMULAS_END
// Highway has been read: this is per-target code.
#if defined(HWY_BEFORE_NAMESPACE)
#define TF_PAIRWISE_FORMULA HWY_INLINE
#define TF_PAIRWISE_FORMULAS_BEGIN \
  HWY_BEFORE_NAMESPACE();          \
  namespace tf_pairwise {          \
  namespace HWY_NAMESPACE {
#define TF_PAIRWISE_FORMULAS_END \
  }                              \
  }                              \
  HWY_AFTER_NAMESPACE();
#else
#define TF_PAIRWISE_FORMULA TF_PAIRWISE_HOST_DEVICE
#define TF_PAIRWISE_FORMULAS_BEGIN namespace tf_pairwise {
#define TF_PAIRWISE_FORMULAS_END }
#endif

#if defined(__CUDACC__)
#define TF_PAIRWISE_MATH_(name) ::name
#else
#define TF_PAIRWISE_MATH_(name) __builtin_##name
#endif

TF_PAIRWISE_FORMULAS_BEGIN

template <class T>
TF_PAIRWISE_FORMULA T Select(bool m, T a, T b) {
  return m ? a : b;
}
template <class T>
TF_PAIRWISE_FORMULA T ZeroIf(bool m, T x) {
  return m ? T(0) : x;
}
TF_PAIRWISE_FORMULA bool And(bool m, bool n) { return m && n; }
TF_PAIRWISE_FORMULA bool Or(bool m, bool n) { return m || n; }
TF_PAIRWISE_FORMULA bool Not(bool m) { return !m; }

TF_PAIRWISE_FORMULA float Zero(float) { return 0; }
TF_PAIRWISE_FORMULA double Zero(double) { return 0; }
TF_PAIRWISE_FORMULA float Like(float, double c) {
  return static_cast<float>(c);
}
TF_PAIRWISE_FORMULA double Like(double, double c) { return c; }

TF_PAIRWISE_FORMULA double NotANumber() { return TF_PAIRWISE_MATH_(nan)(""); }

#if defined(__CUDACC__)
TF_PAIRWISE_FORMULA double PlusInfinity() {
  return __longlong_as_double(0x7FF0000000000000LL);
}
#else
TF_PAIRWISE_FORMULA double PlusInfinity() { return __builtin_inf(); }
#endif

TF_PAIRWISE_FORMULA bool IsWide(float) { return false; }
TF_PAIRWISE_FORMULA bool IsWide(double) { return true; }

TF_PAIRWISE_FORMULA float Negate(float x) { return -x; }
TF_PAIRWISE_FORMULA double Negate(double x) { return -x; }
TF_PAIRWISE_FORMULA float Sqrt(float x) { return TF_PAIRWISE_MATH_(sqrtf)(x); }
TF_PAIRWISE_FORMULA double Sqrt(double x) { return TF_PAIRWISE_MATH_(sqrt)(x); }
TF_PAIRWISE_FORMULA float Abs(float x) { return TF_PAIRWISE_MATH_(fabsf)(x); }
TF_PAIRWISE_FORMULA double Abs(double x) { return TF_PAIRWISE_MATH_(fabs)(x); }
TF_PAIRWISE_FORMULA float Exp(float x) { return TF_PAIRWISE_MATH_(expf)(x); }
TF_PAIRWISE_FORMULA double Exp(double x) { return TF_PAIRWISE_MATH_(exp)(x); }
TF_PAIRWISE_FORMULA float Log1p(float x) {
  return TF_PAIRWISE_MATH_(log1pf)(x);
}
TF_PAIRWISE_FORMULA double Log1p(double x) {
  return TF_PAIRWISE_MATH_(log1p)(x);
}

TF_PAIRWISE_FORMULA float Log(float x) { return TF_PAIRWISE_MATH_(logf)(x); }
TF_PAIRWISE_FORMULA double Log(double x) { return TF_PAIRWISE_MATH_(log)(x); }

TF_PAIRWISE_FORMULA float Max(float x, float y) { return x < y ? y : x; }
TF_PAIRWISE_FORMULA double Max(double x, double y) { return x < y ? y : x; }
TF_PAIRWISE_FORMULA float FlipSign(float x, float by) {
  return by < 0 ? -x : x;
}
TF_PAIRWISE_FORMULA double FlipSign(double x, double by) {
  return by < 0 ? -x : x;
}

TF_PAIRWISE_FORMULA double Exp2(double x) { return TF_PAIRWISE_MATH_(exp2)(x); }
TF_PAIRWISE_FORMULA double Log2(double x) { return TF_PAIRWISE_MATH_(log2)(x); }

// On a GPU one instruction, whatever a and b are: 2 b would be made b + b.
#if defined(__CUDACC__)
TF_PAIRWISE_FORMULA float MulAdd(float a, float b, float c) {
  return fmaf(a, b, c);
}
TF_PAIRWISE_FORMULA double MulAdd(double a, double b, double c) {
  return fma(a, b, c);
}
#else
TF_PAIRWISE_FORMULA float MulAdd(float a, float b, float c) {
  return a * b + c;
}
TF_PAIRWISE_FORMULA double MulAdd(double a, double b, double c) {
  return a * b + c;
}
#endif
TF_PAIRWISE_FORMULA float NegMulAdd(float a, float b, float c) {
  return MulAdd(-a, b, c);
}
TF_PAIRWISE_FORMULA double NegMulAdd(double a, double b, double c) {
  return MulAdd(-a, b, c);
}

TF_PAIRWISE_FORMULAS_END

#undef TF_PAIRWISE_MATH_

#endif  // TF_PAIRWISE_CORE_LANES_INL_H_

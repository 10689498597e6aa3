// The stated errors of the vector functions, on every target of the processor:
// Exp and Log1pUnit within 2 units in the last place of the type, softplus and
// its slope within 4.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/vec_test.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/dispatch.h"
#include "simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// The distance of made from truth in units of T's last place at the truth.
template <typename T>
double Ulps(T made, long double truth) {
  const T rounded = static_cast<T>(truth);
  const long double unit =
      std::fabs(static_cast<long double>(
                    std::nextafter(rounded, static_cast<T>(__builtin_inf()))) -
                static_cast<long double>(rounded));
  return static_cast<double>(std::fabs(static_cast<long double>(made) - truth) /
                             unit);
}

// The largest error of a vector function over points from low to high.
template <typename T, typename Made, typename Truth>
double Largest(double low, double high, const Made& made, const Truth& truth) {
  const Tag<T> tag;
  constexpr int64_t kPoints = 400000;
  double largest = 0;
  HWY_ALIGN T in[HWY_MAX_BYTES / sizeof(T)], out[HWY_MAX_BYTES / sizeof(T)];
  for (int64_t i = 0; i < kPoints; i += LanesOf<T>()) {
    for (int64_t lane = 0; lane < LanesOf<T>(); ++lane) {
      in[lane] = static_cast<T>(
          low + (high - low) * static_cast<double>(i + lane) / kPoints);
    }
    hn::Store(made(hn::Load(tag, in)), tag, out);
    for (int64_t lane = 0; lane < LanesOf<T>(); ++lane) {
      const double error =
          Ulps(out[lane], truth(static_cast<long double>(in[lane])));
      if (!(error <= largest)) largest = error;
    }
  }
  return largest;
}

template <typename T>
int TestType(const char* name) {
  const Tag<T> tag;
  using C = MathConstants<T>;
  int failures = 0;
  const auto check = [&](const char* function, double error, double most) {
    std::printf("%-6s %-10s %-8s %.3f ulp (at most %g)\n", ChosenIsa(), name,
                function, error, most);
    if (!(error <= most)) ++failures;
  };
  const auto exp_of = [&](VecT<T> x) HWY_ATTR { return Exp(tag, x); };
  check("exp",
        Largest<T>(C::kUnderflow, C::kOverflow, exp_of,
                   [](long double x) { return std::exp(x); }),
        2);
  check("log1p",
        Largest<T>(
            0, 1, [&](VecT<T> x) HWY_ATTR { return Log1pUnit(tag, x); },
            [](long double x) { return std::log1p(x); }),
        2);
  check("softplus",
        Largest<T>(
            -80, 80,
            [&](VecT<T> x) HWY_ATTR {
              VecT<T> softplus, sigmoid;
              SoftplusAndSigmoid(x, softplus, sigmoid);
              return softplus;
            },
            [](long double x) { return std::log1p(std::exp(x)); }),
        4);
  check("sigmoid",
        Largest<T>(
            -80, 80,
            [&](VecT<T> x) HWY_ATTR {
              VecT<T> softplus, sigmoid;
              SoftplusAndSigmoid(x, softplus, sigmoid);
              return sigmoid;
            },
            [](long double x) { return 1 / (1 + std::exp(-x)); }),
        4);
  // The ends: nothing but a NaN makes a NaN.
  HWY_ALIGN T in[HWY_MAX_BYTES / sizeof(T)] = {},
                                 out[HWY_MAX_BYTES / sizeof(T)];
  const T infinity = static_cast<T>(__builtin_inf());
  const T ends[] = {-infinity, infinity, T(1e30), T(-1e30),
                    static_cast<T>(std::nan(""))};
  for (const T end : ends) {
    in[0] = end;
    VecT<T> softplus, sigmoid;
    SoftplusAndSigmoid(hn::Load(tag, in), softplus, sigmoid);
    hn::Store(softplus, tag, out);
    const bool right = end != end ? out[0] != out[0]
                       : end > 0  ? out[0] == end
                                  : out[0] == 0;
    if (!right) {
      std::printf("softplus(%g) is %g\n", static_cast<double>(end),
                  static_cast<double>(out[0]));
      ++failures;
    }
  }
  return failures;
}

int Test() { return TestType<float>("float32") + TestType<double>("float64"); }

using Function = int();
Function* const kTable = &Test;

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

int (*Chosen())() { TF_PAIRWISE_DISPATCH() }

}  // namespace
}  // namespace tf_pairwise

// The target is TF_PAIRWISE_ISA's, or the processor's best.
int main() { return tf_pairwise::Chosen()() == 0 ? 0 : 1; }
#endif  // HWY_ONCE

// The triplet formulas, for one lane and for vectors of every target, in float
// and double: losses against formulas written out in long double, slopes
// against central differences, kinks and NaN; and which triplets a mining takes
// against the definitions, with ties everywhere.
//
// Tolerances: 8 units of the type's rounding, relative; 1e-6 of differences.

#include <cmath>
#include <cstdint>
#include <cstdio>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "triplet/triplet_pair_test.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/dispatch.h"
#include "simd/vec-inl.h"
#include "triplet/triplet_pair-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

int failures = 0;

void Expect(const char* what, double p, double n, double made, double truth,
            double tolerance) {
  const bool nan = truth != truth && made != made;
  if (nan || made == truth ||
      std::fabs(made - truth) <= tolerance * std::fabs(truth)) {
    return;
  }
  std::printf("%s: %s at %g, %g: made %.17g, expected %.17g\n", ChosenIsa(),
              what, p, n, made, truth);
  ++failures;
}

long double HingeTruth(long double p, long double n, long double margin) {
  const long double z = p - n + margin;
  return z > 0 ? z : 0;
}
long double SoftTruth(long double p, long double n) {
  const long double z = p - n;
  return z > 0 ? z + log1pl(expl(-z)) : log1pl(expl(z));
}

template <typename T>
T Last(VecT<T> v) {
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(v, Tag<T>(), lanes);
  return lanes[LanesOf<T>() - 1];
}
template <typename T>
T Last(T v) {
  return v;
}
template <typename T>
bool LastOf(hn::Mask<Tag<T>> mask) {
  return hn::AllTrue(Tag<T>(), mask);
}
template <typename T>
bool LastOf(bool mask) {
  return mask;
}

// `make(x)` is x as the value type under test.
template <typename T, typename Make>
void TestLosses(const Make& make) {
  const double unit = sizeof(T) == 8 ? 2.3e-16 : 1.2e-7;
  const double values[] = {0, 0.25, 0.5, 1, 1.75, 3, 40};
  const T margin = static_cast<T>(0.75);
  for (const double p : values) {
    for (const double n : values) {
      const auto hinge = HingeTriplet(make(p), make(n), make(margin));
      Expect("hinge", p, n, Last<T>(hinge.loss),
             static_cast<double>(HingeTruth(p, n, margin)), 8 * unit);
      Expect("slope of the hinge", p, n, Last<T>(hinge.slope),
             p - n + margin > 0 ? 1 : 0, 0);
      const auto soft = SoftTriplet(make(p), make(n));
      Expect("soft", p, n, Last<T>(soft.loss),
             static_cast<double>(SoftTruth(p, n)), 8 * unit);
      const long double h = 1e-5L;
      Expect("slope of the soft", p, n, 1 + Last<T>(soft.slope),
             1 + static_cast<double>(
                     (SoftTruth(p + h, n) - SoftTruth(p - h, n)) / (2 * h)),
             1e-6);
    }
  }
  const double nan = std::nan("");
  const auto lost = HingeTriplet(make(nan), make(1), make(margin));
  Expect("hinge of a NaN", nan, 1, Last<T>(lost.loss), nan, 0);
  Expect("slope of a NaN", nan, 1, Last<T>(lost.slope), nan, 0);
}

template <typename T, typename Make>
void TestMinings(const Make& make) {
  const double nan = std::nan("");
  const double values[] = {0, 0.25, 0.5, 0.75, 1, 1.25, 2, nan};
  const double margin = 0.5;
  for (const double p : values) {
    for (const double n : values) {
      const auto threshold = ThresholdOf(make(n), make(margin));
      const bool there = p == p && n == n;
      const auto takes = [&](auto rule) {
        return LastOf<T>(Takes(rule, make(p), make(n), threshold)) ? 1.0 : 0.0;
      };
      Expect("every", p, n, takes(EveryTriplet()), there, 0);
      Expect("semi-hard", p, n, takes(EverySemiHard()),
             there && 0 < n - p && n - p <= margin, 0);
      Expect("hard", p, n, takes(EveryHard()), there && n <= p, 0);
      Expect("has a loss", p, n, LastOf<T>(HasLoss(make(p), threshold)),
             there && p - n + margin > 0, 0);
      Expect("beyond", p, n, LastOf<T>(IsBeyond(make(p), make(n))),
             there && n > p, 0);
      Expect("farther", p, n, LastOf<T>(Farthest::Better(make(p), make(n))),
             there && p > n, 0);
      Expect("nearer", p, n, LastOf<T>(Nearest::Better(make(p), make(n))),
             there && p < n, 0);
    }
  }
}

template <typename T>
void TestType() {
  const auto lane = [](double x) { return static_cast<T>(x); };
  const auto vector = [](double x) HWY_ATTR {
    return hn::Set(Tag<T>(), static_cast<T>(x));
  };
  TestLosses<T>(lane);
  TestLosses<T>(vector);
  TestMinings<T>(lane);
  TestMinings<T>(vector);
}

int RunAll() {
  failures = 0;
  TestType<float>();
  TestType<double>();
  return failures;
}

using Test = int();
Test* const kTable = &RunAll;

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

int main() { return tf_pairwise::Chosen()() == 0 ? 0 : 1; }
#endif  // HWY_ONCE

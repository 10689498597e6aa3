// The contrastive formulas, for one lane and for vectors of every target, in
// float and double: values against formulas written out in double, slopes
// against central differences, and what happens at kinks, zeros and NaN.
//
// Tolerances: 8 units of the type's rounding relative to the largest part of a
// value; 1e-5 of differences of double.

#include <cmath>
#include <cstdint>
#include <cstdio>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "contrastive/contrastive_pair_test.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "contrastive/contrastive_pair-inl.h"
#include "simd/dispatch.h"
#include "simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

int failures = 0;

void Expect(bool holds, const char* what, double a, double b, double c) {
  if (holds) return;
  std::printf("%s: %s at %g, %g, %g\n", ChosenIsa(), what, a, b, c);
  ++failures;
}

// Whether `made` is `truth` to `tolerance` of `size`; a NaN is a NaN.
bool Is(double made, double truth, double tolerance, double size) {
  if (truth != truth) return made != made;
  return made == truth || std::fabs(made - truth) <= tolerance * size;
}

double Square(double x) { return x * x; }
double Ramp(double x) { return x != x ? x : x > 0 ? x : 0; }

// The loss of a pair, written by itself.
double BatchTruth(double d, bool similar, double margin, double positive_margin,
                  bool squared) {
  const double h = Ramp(similar ? d - positive_margin : margin - d);
  return squared ? Square(h) / 2 : h;
}
double SoftTruth(double d, double y, double margin) {
  double loss = 0;
  if (y != 1) loss += (1 - y) * Square(d) / 2;
  if (y != 0) loss += y * Square(Ramp(margin - d)) / 2;
  return loss;
}

// A batch's pair and a soft one by the formulas.
struct Made {
  double loss, slope;
};

// For one lane.
template <typename T>
struct Lane {
  template <bool kSquared>
  static Made Batch(double d, bool similar, double margin, double positive) {
    const T h =
        ContrastiveHinge(static_cast<T>(d), similar, static_cast<T>(margin),
                         static_cast<T>(positive));
    return {HingeLoss<kSquared>(h), ContrastiveSlope<kSquared>(h, similar)};
  }
  static Made Soft(double d, double y, double margin) {
    T loss, slope;
    SoftContrastivePair(static_cast<T>(d), static_cast<T>(y),
                        static_cast<T>(margin), loss, slope);
    return {loss, slope};
  }
};

// For a vector, whose lanes must all be the same.
template <typename T>
struct Vector {
  static double Only(VecT<T> v) {
    HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
    hn::Store(v, Tag<T>(), lanes);
    for (int64_t i = 1; i < LanesOf<T>(); ++i) {
      const bool nan = lanes[0] != lanes[0] && lanes[i] != lanes[i];
      Expect(nan || lanes[i] == lanes[0], "lanes differ", lanes[0], lanes[i],
             static_cast<double>(i));
    }
    return static_cast<double>(lanes[0]);
  }
  static VecT<T> All(double x) { return hn::Set(Tag<T>(), static_cast<T>(x)); }
  template <bool kSquared>
  static Made Batch(double d, bool similar, double margin, double positive) {
    const auto mask = hn::Eq(All(similar ? 1 : 0), All(1));
    const VecT<T> h =
        ContrastiveHinge(All(d), mask, All(margin), All(positive));
    return {Only(HingeLoss<kSquared>(h)),
            Only(ContrastiveSlope<kSquared>(h, mask))};
  }
  static Made Soft(double d, double y, double margin) {
    VecT<T> loss, slope;
    SoftContrastivePair(All(d), All(y), All(margin), loss, slope);
    return {Only(loss), Only(slope)};
  }
};

// Numbers that both types hold, so that the truth is of the same ones.
constexpr double kDistances[] = {-3.25, -0.5, 0,    0.125, 0.25, 0.5,
                                 0.75,  1,    1.75, 2,     7.5,  1048576};
constexpr double kMargins[] = {0, 0.25, 1, 2};

template <class Form, bool kSquared>
void TestBatch(double unit) {
  const double nan = std::nan("");
  for (const double margin : kMargins) {
    for (const double positive : {-0.5, 0.0, 0.25}) {
      for (const bool similar : {false, true}) {
        const auto truth = [&](double d) {
          return BatchTruth(d, similar, margin, positive, kSquared);
        };
        for (const double d : kDistances) {
          const Made made =
              Form::template Batch<kSquared>(d, similar, margin, positive);
          const double size = Square(std::fabs(d) + margin + 1);
          Expect(Is(made.loss, truth(d), 8 * unit, size), "loss of a batch", d,
                 margin, positive);
          if (d == (similar ? positive : margin)) {
            Expect(made.slope == 0, "slope at the kink", d, margin, positive);
            continue;
          }
          const double step = 1e-4;
          const double difference =
              (truth(d + step) - truth(d - step)) / (2 * step);
          Expect(Is(made.slope, difference, 1e-5, std::sqrt(size)),
                 "slope of a batch", d, margin, positive);
        }
        const Made lost =
            Form::template Batch<kSquared>(nan, similar, margin, positive);
        Expect(lost.loss != lost.loss && lost.slope != lost.slope,
               "a NaN is lost", nan, margin, positive);
        // A pair that is at no distance at which its hinge acts.
        const Made apart = Form::template Batch<kSquared>(
            similar ? -__builtin_inf() : __builtin_inf(), similar, margin,
            positive);
        Expect(apart.loss == 0 && apart.slope == 0, "an idle pair", similar,
               margin, positive);
      }
    }
  }
}

template <class Form>
void TestSoft(double unit) {
  const double nan = std::nan(""), infinity = __builtin_inf();
  for (const double margin : kMargins) {
    for (const double y : {0.0, 0.25, 0.5, 1.0}) {
      for (const double d : kDistances) {
        const Made made = Form::Soft(d, y, margin);
        const double size = Square(std::fabs(d) + margin + 1);
        Expect(Is(made.loss, SoftTruth(d, y, margin), 8 * unit, size),
               "loss of a soft pair", d, y, margin);
        const double step = 1e-4;
        const double difference =
            (SoftTruth(d + step, y, margin) - SoftTruth(d - step, y, margin)) /
            (2 * step);
        // Half a step off where the hinge's slope has its corner.
        Expect(Is(made.slope, difference, d == margin ? 1e-4 : 1e-5,
                  std::sqrt(size)),
               "slope of a soft pair", d, y, margin);
      }
      const Made lost = Form::Soft(nan, y, margin);
      Expect(lost.loss != lost.loss && lost.slope != lost.slope,
             "a NaN distance is lost", nan, y, margin);
    }
    const Made lost = Form::Soft(0.5, nan, margin);
    Expect(lost.loss != lost.loss && lost.slope != lost.slope,
           "a NaN label is lost", 0.5, nan, margin);
    // A part whose factor is 0 makes no NaN of the other.
    const Made far = Form::Soft(infinity, 1, margin);
    Expect(far.loss == 0 && far.slope == 0, "an infinite distance", infinity, 1,
           margin);
    const Made below = Form::Soft(-infinity, 0, margin);
    Expect(below.loss == infinity && below.slope == -infinity,
           "an infinite distance", -infinity, 0, margin);
  }
}

template <class Form>
void TestForm(double unit) {
  TestBatch<Form, true>(unit);
  TestBatch<Form, false>(unit);
  TestSoft<Form>(unit);
}

int Test() {
  TestForm<Lane<float>>(6e-8);
  TestForm<Lane<double>>(1.2e-16);
  TestForm<Vector<float>>(6e-8);
  TestForm<Vector<double>>(1.2e-16);
  // Halving comes first: 0.5 h^2 is a number, h^2 is not.
  Expect(HingeLoss<true>(1.5e154) < __builtin_inf(), "a large hinge", 1.5e154,
         0, 0);
  std::printf("%s: %d failures\n", ChosenIsa(), failures);
  return failures;
}

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

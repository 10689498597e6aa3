// The ranking formulas, for one lane and for vectors of every target, in float
// and double: values against formulas written out in long double, slopes
// against central differences, kinks, far ends and NaN; gains, discounts and
// the closed form of the squares against a sum over pairs.
//
// Tolerances: 8 units of the type's rounding, relative; 1e-6 of differences.

#include <cmath>
#include <cstdint>
#include <cstdio>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ranking/ranking_pair_test.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "ranking/ranking_pair-inl.h"
#include "simd/dispatch.h"
#include "simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

int failures = 0;

void Expect(const char* what, double at, double made, double truth,
            double tolerance) {
  const bool nan = truth != truth && made != made;
  if (nan || made == truth ||
      std::fabs(made - truth) <= tolerance * std::fabs(truth)) {
    return;
  }
  std::printf("%s: %s at %g: made %.17g, expected %.17g\n", ChosenIsa(), what,
              at, made, truth);
  ++failures;
}

using Truth = long double (*)(long double x, long double margin);

long double LogisticTruth(long double x, long double) {
  return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}
long double HingeTruth(long double x, long double margin) {
  return margin + x > 0 ? margin + x : 0;
}
long double SoftTruth(long double x, long double) { return 1 / (1 + expl(-x)); }

template <class Pair, typename T>
void OneLane(T x, T margin, T* loss, T* slope) {
  Pair::Of(x, margin, *loss, *slope);
}
template <class Pair, typename T>
void Lanes(T x, T margin, T* loss, T* slope) {
  const Tag<T> tag;
  VecT<T> losses, slopes;
  Pair::Of(hn::Set(tag, x), hn::Set(tag, margin), losses, slopes);
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(losses, tag, lanes);
  *loss = lanes[LanesOf<T>() - 1];
  hn::Store(slopes, tag, lanes);
  *slope = lanes[LanesOf<T>() - 1];
}

template <class Pair, typename T>
void TestPair(const char* name, Truth truth, void (*make)(T, T, T*, T*)) {
  const double unit = sizeof(T) == 8 ? 2.3e-16 : 1.2e-7;
  const T margin = static_cast<T>(0.75);
  for (const double at : {-60.0, -8.0, -1.25, -0.75, -0.5, -0.0, 0.0, 0.125,
                          0.5, 1.0, 3.0, 17.0, 60.0}) {
    const T x = static_cast<T>(at);
    T loss, slope;
    make(x, margin, &loss, &slope);
    Expect(name, at, loss, static_cast<double>(truth(x, margin)), 8 * unit);
    if (margin + x == 0 && truth == &HingeTruth) {
      Expect("slope at the kink", at, slope, 0, 0);
      continue;
    }
    const long double h = 1e-5L;
    const double difference = static_cast<double>(
        (truth(x + h, margin) - truth(x - h, margin)) / (2 * h));
    Expect("slope", at, 1 + slope, 1 + difference, 1e-6);
  }
  T loss, slope;
  make(static_cast<T>(std::nan("")), margin, &loss, &slope);
  Expect("loss of a NaN", 0, loss, std::nan(""), 0);
}

template <typename T>
void TestPairs() {
  TestPair<LogisticPair, T>("logistic", &LogisticTruth,
                            &OneLane<LogisticPair, T>);
  TestPair<LogisticPair, T>("logistic", &LogisticTruth,
                            &Lanes<LogisticPair, T>);
  TestPair<HingePair, T>("hinge", &HingeTruth, &OneLane<HingePair, T>);
  TestPair<HingePair, T>("hinge", &HingeTruth, &Lanes<HingePair, T>);
  TestPair<SoftZeroOnePair, T>("soft zero-one", &SoftTruth,
                               &OneLane<SoftZeroOnePair, T>);
  TestPair<SoftZeroOnePair, T>("soft zero-one", &SoftTruth,
                               &Lanes<SoftZeroOnePair, T>);
}

void TestLambda() {
  const double gains[] = {7, 3}, discounts[] = {0.5, 1};
  Expect("no lambda", 0,
         NoLambda::Of(gains[0], gains[1], discounts[0], discounts[1]), 1, 0);
  Expect("label difference", 0,
         LabelDiffLambda::Of(gains[0], gains[1], discounts[0], discounts[1]), 4,
         0);
  Expect("dcg", 0,
         DcgLambda::Of(gains[0], gains[1], discounts[0], discounts[1]), 2, 0);
  for (const double y : {0.0, 1.0, 3.0, 4.5}) {
    Expect("gain", y, RelativeGain(y, 0), std::pow(2.0, y) - 1, 1e-15);
    Expect("relative gain", y, RelativeGain(y, 5), (std::pow(2.0, y) - 1) / 32,
           1e-15);
  }
  Expect("gain of a large relevance", 5000, RelativeGain(5000, 5000), 1, 1e-15);
  for (const double rank : {1.0, 2.0, 3.0, 10.0}) {
    const double truth = std::log(2.0) / std::log(1 + rank);
    Expect("discount", rank, RankDiscount(rank, 0), truth, 1e-15);
    Expect("discount at 3", rank, RankDiscount(rank, 3), rank > 3 ? 0 : truth,
           1e-15);
  }
}

void TestSquares() {
  constexpr int kItems = 5;
  const double errors[kItems] = {0.5, -1.25, 2, 2, -3.5};
  const double weights[kItems] = {1, 0, 2.5, 0.5, 3};
  double first = 0, second = 0, sum = 0, weighted = 0;
  for (int i = 0; i < kItems; ++i) {
    first += errors[i];
    second += errors[i] * errors[i];
    sum += weights[i];
    weighted += weights[i] * errors[i];
  }
  for (int i = 0; i < kItems; ++i) {
    double loss, slope, loss_truth = 0, slope_truth = 0, pull_truth = 0;
    SquaresOfItem(errors[i], double{kItems}, first, second, loss, slope);
    for (int j = 0; j < kItems; ++j) {
      const double difference = errors[i] - errors[j];
      loss_truth += difference * difference;
      slope_truth -= 2 * difference;
      pull_truth += 2 * weights[j] * difference;
    }
    Expect("squares", errors[i], loss, loss_truth, 1e-14);
    Expect("slope of squares", errors[i], slope, slope_truth, 1e-14);
    Expect("pull of squares", errors[i], SquaresPull(errors[i], sum, weighted),
           pull_truth, 1e-14);
  }
}

int RunAll() {
  failures = 0;
  TestPairs<float>();
  TestPairs<double>();
  TestLambda();
  TestSquares();
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

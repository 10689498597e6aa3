// Every metric, on every target, in float and double: a pair by itself against
// long double, its gradient and second derivative against central differences,
// the slopes at zero, tiny and NaN distances and at weight 0, the product form
// against the truth; points of norms from 1e-30 to 1e30.
//
// Tolerances are of the largest number, relative: 1e-6 in float, 1e-12 in
// double for distances and gradients, 1e-4 against differences.

#include <cmath>
#include <cstdint>
#include <cstdio>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "metric/metric_test.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/second-inl.h"
#include "simd/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kMostD = 24;
int failures = 0;

// Within `tolerance` of `size`, or both no numbers.
void Expect(const char* what, Metric metric, double made, double truth,
            double size, double tolerance) {
  if (made == truth || (made != made && truth != truth) ||
      std::fabs(made - truth) <= tolerance * size) {
    return;
  }
  if (++failures < 20) {
    std::printf("%s: %s of metric %d: made %.17g, expected %.17g\n",
                ChosenIsa(), what, static_cast<int>(metric), made, truth);
  }
}

// The definitions, in long double.
long double Truth(Metric metric, const long double* x, const long double* y,
                  int64_t d) {
  long double squares = 0, sum = 0, most = 0, xy = 0, xx = 0, yy = 0;
  for (int64_t k = 0; k < d; ++k) {
    const long double r = fabsl(x[k] - y[k]);
    squares += r * r;
    sum += r;
    most = r > most ? r : most;
    xy += x[k] * y[k];
    xx += x[k] * x[k];
    yy += y[k] * y[k];
  }
  switch (metric) {
    case Metric::kEuclidean:
      return sqrtl(squares);
    case Metric::kSquaredEuclidean:
      return squares;
    case Metric::kCosine:
      return xx == 0 || yy == 0 ? 1 : 1 - xy / (sqrtl(xx) * sqrtl(yy));
    case Metric::kManhattan:
      return sum;
    case Metric::kDot:
      return -xy;
    case Metric::kChebyshev:
      return most;
  }
  return 0;
}

// A point's coordinates, one after another the same ones.
struct Draw {
  uint32_t state;
  double operator()() {
    state = state * 1664525u + 1013904223u;
    return static_cast<double>(state >> 8) / (1 << 23) - 1;
  }
};

template <typename T>
struct Case {
  Metric metric;
  int64_t d;
  double scale, tangent;  // of the points, and of what they are moved by
  T x[kMostD], y[kMostD], u[kMostD], w[kMostD];
  long double at_x[kMostD], at_y[kMostD];

  Case(Metric m, int64_t size, double s, double t, uint32_t seed)
      : metric(m), d(size), scale(s), tangent(t) {
    Draw draw = {seed};
    for (int64_t k = 0; k < d; ++k) {
      x[k] = static_cast<T>(scale * draw());
      y[k] = static_cast<T>(scale * draw());
      u[k] = static_cast<T>(tangent * draw());
      w[k] = static_cast<T>(tangent * draw());
      at_x[k] = x[k];
      at_y[k] = y[k];
    }
  }
  // The truth where x is moved by h along coordinate k.
  long double Moved(int64_t k, long double h) const {
    long double moved[kMostD];
    for (int64_t i = 0; i < d; ++i) moved[i] = at_x[i] + (i == k ? h : 0);
    return Truth(metric, moved, at_y, d);
  }
  long double Slope(int64_t k) const {
    const long double h = scale * 1e-6L;
    return (Moved(k, h) - Moved(k, -h)) / (2 * h);
  }
};

template <typename T>
void TestDirect(const Case<T>& at) {
  const double unit = sizeof(T) == 8 ? 1e-12 : 1e-6;
  const double truth =
      static_cast<double>(Truth(at.metric, at.at_x, at.at_y, at.d));
  const DirectPair pair = MakePair(at.metric, at.x, at.y, at.d, true);
  const double size = at.metric == Metric::kDot
                          ? at.scale * at.scale * static_cast<double>(at.d)
                          : std::fabs(truth);
  Expect("distance", at.metric, pair.distance, truth, size, unit);
  T gradient[kMostD];
  StoreSlope(at.metric, pair, 1.0, at.x, at.y, at.d, gradient);
  double most = 0;
  for (int64_t k = 0; k < at.d; ++k) {
    most = std::fmax(most, std::fabs(static_cast<double>(at.Slope(k))));
  }
  for (int64_t k = 0; k < at.d; ++k) {
    Expect("gradient", at.metric, gradient[k], static_cast<double>(at.Slope(k)),
           most, 1e-4);
  }
  // Of y, for x and y exchanged.
  const Metric metric = at.metric;
  T of_y[kMostD], exchanged[kMostD];
  StoreSlope(metric, Exchanged(pair), 1.0, at.y, at.x, at.d, of_y);
  const DirectPair other = MakePair(metric, at.y, at.x, at.d, true);
  StoreSlope(metric, other, 1.0, at.y, at.x, at.d, exchanged);
  for (int64_t k = 0; k < at.d; ++k) {
    Expect("gradient of y", metric, of_y[k], exchanged[k], most, unit);
  }
}

// Against differences of gradients in double: of g (u.dD/dx + w.dD/dy).
template <typename T>
double Directional(const Case<T>& at, int64_t moved, double h) {
  double x[kMostD], y[kMostD], x_grad[kMostD], y_grad[kMostD];
  for (int64_t k = 0; k < at.d; ++k) {
    x[k] = static_cast<double>(at.x[k]) + (k == moved ? h : 0);
    y[k] = static_cast<double>(at.y[k]);
  }
  const DirectPair pair = MakePair(at.metric, x, y, at.d, true);
  StoreSlope(at.metric, pair, 1.0, x, y, at.d, x_grad);
  StoreSlope(at.metric, Exchanged(pair), 1.0, y, x, at.d, y_grad);
  double sum = 0;
  for (int64_t k = 0; k < at.d; ++k) {
    sum += static_cast<double>(at.u[k]) * x_grad[k] +
           static_cast<double>(at.w[k]) * y_grad[k];
  }
  return sum;
}

template <typename T>
void TestSecond(const Case<T>& at) {
  constexpr double kUpstream = 0.75;
  // What a second derivative is the size of; beyond the type's range there is
  // nothing to compare.
  double natural = at.tangent;
  if (at.metric == Metric::kEuclidean) natural /= at.scale;
  if (at.metric == Metric::kCosine) natural /= at.scale * at.scale;
  if (sizeof(T) == 4 && (natural < 1e-36 || natural > 1e36)) return;
  T sums[kMostD] = {0};
  const double with_g =
      AddPairSecond(at.metric, at.x, at.y, at.u, at.w, at.d, kUpstream, sums);
  const double directional = Directional(at, -1, 0);
  Expect("second derivative of g", at.metric, with_g, directional,
         std::fabs(directional) + 1e-3 * at.tangent / at.scale, 1e-5);
  double truth[kMostD], most = 0;
  const double h = at.scale * 1e-5;
  for (int64_t k = 0; k < at.d; ++k) {
    truth[k] =
        kUpstream * (Directional(at, k, h) - Directional(at, k, -h)) / (2 * h);
    most = std::fmax(most, std::fabs(truth[k]));
  }
  for (int64_t k = 0; k < at.d; ++k) {
    Expect("second derivative", at.metric, sums[k], truth[k], most + natural,
           1e-4);
  }
}

template <typename T>
void TestSlopes(Metric metric) {
  const T tiny = TinyDistance(T()), nan = static_cast<T>(std::nan(""));
  VisitSlope(metric, [&](auto slope) HWY_ATTR {
    using Slope = decltype(slope);
    for (const T distance : {T(0), tiny, T(0.5), T(3), nan}) {
      const Tag<T> tag;
      const T lane = Slope::Of(T(2), distance);
      const T vector =
          hn::GetLane(Slope::Of(hn::Set(tag, T(2)), hn::Set(tag, distance)));
      Expect("slope of a vector", metric, vector, lane, 1, 0);
      T truth = 2;
      if (metric == Metric::kSquaredEuclidean) truth = 4;
      if (metric == Metric::kEuclidean) {
        truth = distance <= tiny ? T(0) : 2 / distance;
      }
      Expect("slope", metric, lane, truth, 0, 0);
      Expect("slope of weight 0", metric, Slope::Of(T(0), distance), 0, 0, 0);
    }
  });
}

// What a tile makes of prepared points, for those that need no preparing.
template <typename T>
void TestProductForm(const Case<T>& at) {
  VisitMetric(at.metric, [&](auto m) HWY_ATTR {
    using M = decltype(m);
    if constexpr (M::kPreparation != Preparation::kNormalised) {
      T sum = 0, xx = 0, yy = 0;
      for (int64_t k = 0; k < at.d; ++k) {
        sum = M::Step(at.x[k], at.y[k], sum);
        xx += at.x[k] * at.x[k];
        yy += at.y[k] * at.y[k];
      }
      const T terms = static_cast<T>(M::Term(xx) + M::Term(yy));
      const double truth =
          static_cast<double>(Truth(at.metric, at.at_x, at.at_y, at.d));
      const T distance = M::Distance(M::Raw(sum, terms));
      Expect("product form", at.metric, distance, truth,
             std::fabs(truth) + at.scale * at.scale, 1e-4);
      Expect("raw", at.metric, M::Distance(M::RawOf(distance)), distance,
             std::fabs(static_cast<double>(distance)), 1e-6);
    }
  });
}

// A point with itself, zero vectors, and what is no number.
template <typename T>
void TestEnds(Metric metric) {
  const T zero[3] = {0, 0, 0}, point[3] = {1, -2, 0.5};
  const T lost[3] = {1, static_cast<T>(std::nan("")), 0};
  const bool dot = metric == Metric::kDot;
  const double itself = MakePair(metric, point, point, 3, true).distance;
  Expect("itself", metric, itself, dot ? -5.25 : 0, 1, 1e-12);
  Expect("zeros", metric, MakePair(metric, zero, zero, 3, true).distance,
         metric == Metric::kCosine ? 1 : 0, 1, 0);
  Expect("a NaN", metric, MakePair(metric, point, lost, 3, true).distance,
         std::nan(""), 0, 0);
  if (!dot && metric != Metric::kManhattan && metric != Metric::kChebyshev) {
    const T far[3] = {1, -std::numeric_limits<T>::infinity(), 0};
    Expect("an infinity", metric,
           MakePair(metric, point, far, 3, true).distance, std::nan(""), 0, 0);
  }
  T gradient[3];
  StoreSlope(metric, MakePair(metric, point, point, 3, true), 1.0, point, point,
             3, gradient);
  for (int k = 0; k < 3 && !dot; ++k) {
    Expect("gradient at itself", metric, gradient[k], 0, 1, 1e-6);
  }
}

// Of equals the first largest coordinate has the slope.
void TestFirstLargest() {
  const float x[4] = {0, 3, -3, 3}, y[4] = {0, 0, 0, 0};
  float gradient[4];
  StoreSlope(Metric::kChebyshev, MakePair(Metric::kChebyshev, x, y, 4, true),
             2.0, x, y, 4, gradient);
  for (int k = 0; k < 4; ++k) {
    Expect("first largest", Metric::kChebyshev, gradient[k], k == 1 ? 2 : 0, 0,
           0);
  }
}

template <typename T>
void TestMetric(Metric metric) {
  TestSlopes<T>(metric);
  TestEnds<T>(metric);
  uint32_t seed = 1;
  for (const int64_t d : {1, 2, 3, 7, 16, 17, 24}) {
    for (const double scale : {1e-30, 1e-22, 1e-14, 1.0, 1e12, 1e18, 1e25}) {
      // Squares and products have to be in the type's range.
      const bool squares =
          metric == Metric::kSquaredEuclidean || metric == Metric::kDot;
      if (squares && sizeof(T) == 4 && (scale < 1e-17 || scale > 1e17))
        continue;
      // In one dimension a cosine is constant, and its gradient rounding.
      if (metric == Metric::kCosine && d == 1) continue;
      const Case<T> at(metric, d, scale, 1, ++seed);
      TestDirect(at);
      TestSecond(at);
      TestSecond(Case<T>(metric, d, scale, scale, ++seed));
      if (scale == 1) TestProductForm(at);
    }
  }
}

int RunAll() {
  failures = 0;
  for (int metric = 0; metric <= static_cast<int>(kLastMetric); ++metric) {
    TestMetric<float>(static_cast<Metric>(metric));
    TestMetric<double>(static_cast<Metric>(metric));
  }
  TestFirstLargest();
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

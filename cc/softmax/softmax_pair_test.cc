// The soft-max formulas, for one lane and for vectors of every target, in float
// and double: values against sums written out in double, slopes against central
// differences of them, and what happens to NaN and to sums of nothing.
//
// Tolerances: 16 units of the type's rounding, of the largest part of a value;
// 1e-6 of differences of double, plus that.

#include <cmath>
#include <cstdint>
#include <cstdio>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "softmax/softmax_pair_test.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/dispatch.h"
#include "simd/vec-inl.h"
#include "softmax/softmax_pair-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

int failures = 0;

void Expect(bool holds, const char* what, double a, double b) {
  if (holds) return;
  std::printf("%s: %s: %.17g, expected %.17g\n", ChosenIsa(), what, a, b);
  ++failures;
}

void ExpectNear(double made, double truth, double tolerance, const char* what) {
  const bool nans = made != made && truth != truth;
  Expect(nans || made == truth ||
             std::fabs(made - truth) <=
                 tolerance * (1 > std::fabs(truth) ? 1 : std::fabs(truth)),
         what, made, truth);
}

constexpr double kStep = 1e-5;
constexpr int kLogits = 7;
// Whose values both types hold.
constexpr double kRows[][kLogits] = {
    {0.5, -1.25, 2, 2, 0, -3.5, 1.75},
    {40, -40, 39.5, 0, -8, 40, 12},
    {-0.25, -0.25, -0.25, -0.25, -0.25, -0.25, -0.25},
};

double LogSumTruth(const double* logits, int begin, int end) {
  double largest = -__builtin_inf(), sum = 0;
  for (int j = begin; j < end; ++j) largest = std::fmax(largest, logits[j]);
  for (int j = begin; j < end; ++j) sum += std::exp(logits[j] - largest);
  return largest + std::log(sum);
}

// d f / d logits[j].
template <typename Function>
double Difference(const double* logits, int j, const Function& f) {
  double moved[kLogits];
  for (int k = 0; k < kLogits; ++k) moved[k] = logits[k];
  moved[j] = logits[j] + kStep;
  const double above = f(moved);
  moved[j] = logits[j] - kStep;
  return (above - f(moved)) / (2 * kStep);
}

// How a number becomes the formulas' value type, and back.
template <typename T>
struct Lane {
  using V = T;
  static V Of(double x) { return static_cast<T>(x); }
  static double Only(V x) { return static_cast<double>(x); }
};
template <typename T>
struct Vector {
  using V = VecT<T>;
  static V Of(double x) { return hn::Set(Tag<T>(), static_cast<T>(x)); }
  static double Only(V v) {
    HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
    hn::Store(v, Tag<T>(), lanes);
    for (int64_t i = 1; i < LanesOf<T>(); ++i) {
      const bool nan = lanes[0] != lanes[0] && lanes[i] != lanes[i];
      Expect(nan || lanes[i] == lanes[0], "lanes differ",
             static_cast<double>(lanes[i]), static_cast<double>(lanes[0]));
    }
    return static_cast<double>(lanes[0]);
  }
};

// The log-sum-exp of logits [begin, end), one at a time.
template <class F>
LogSum<typename F::V> SumOf(const double* logits, int begin, int end) {
  using V = typename F::V;
  LogSum<V> sums = EmptyLogSum(F::Of(0));
  for (int j = begin; j < end; ++j) {
    const LogSum<V> one = {F::Of(logits[j]), F::Of(1)};
    sums = Merged(sums, one);
  }
  return sums;
}

template <class F>
double LogOf(const LogSum<typename F::V>& sums) {
  return F::Only(sums.largest) + std::log(F::Only(sums.sum));
}

template <class F>
void TestLogSum(double unit) {
  for (const auto& row : kRows) {
    const auto all = SumOf<F>(row, 0, kLogits);
    ExpectNear(LogOf<F>(all), LogSumTruth(row, 0, kLogits), 16 * unit,
               "log-sum-exp");
    for (int cut = 0; cut <= kLogits; ++cut) {
      const auto parts =
          Merged(SumOf<F>(row, 0, cut), SumOf<F>(row, cut, kLogits));
      ExpectNear(F::Only(parts.largest), F::Only(all.largest), 0,
                 "largest of two parts");
      ExpectNear(LogOf<F>(parts), LogOf<F>(all), 16 * unit, "two parts");
    }
    for (int j = 0; j < kLogits; ++j) {
      const auto exponential = ShiftedExp(F::Of(row[j]), all.largest);
      const double slope = Difference(row, j, [](const double* logits) {
        return LogSumTruth(logits, 0, kLogits);
      });
      const double share = F::Only(RowShare(exponential, F::Of(1) / all.sum));
      ExpectNear(share, slope, 1e-6 + 16 * unit, "slope of a row");
      const double column = F::Only(ColumnShare(
          F::Of(row[j]), all.largest, F::Of(std::log(F::Only(all.sum)))));
      ExpectNear(column, slope, 1e-6 + 16 * unit, "slope of a column");
    }
  }
  const auto none = Merged(EmptyLogSum(F::Of(0)), EmptyLogSum(F::Of(0)));
  Expect(F::Only(none.largest) == -__builtin_inf() && F::Only(none.sum) == 0,
         "two empty sums", F::Only(none.sum), 0);
  // What one side lost the other keeps.
  const LogSum<typename F::V> lost = {F::Of(1), F::Of(std::nan(""))};
  for (const auto& sums : {Merged(lost, SumOf<F>(kRows[0], 0, 3)),
                           Merged(SumOf<F>(kRows[0], 0, 3), lost),
                           Merged(EmptyLogSum(F::Of(0)), lost)}) {
    const double sum = F::Only(sums.sum);
    Expect(sum != sum, "a NaN is lost", sum, std::nan(""));
  }
}

// The losses of rows, which are of one lane.
template <typename T>
void TestRows(double unit) {
  using F = Lane<T>;
  for (const auto& row : kRows) {
    const LogSum<T> all = SumOf<F>(row, 0, kLogits);
    const double truth = LogSumTruth(row, 0, kLogits);
    const double size = 1 + std::fabs(truth) + 40;
    ExpectNear(CrossEntropy(all, F::Of(row[1])), truth - row[1],
               16 * unit * size, "cross entropy");
    ExpectNear(SupervisedLoss(all, F::Of(row[0] + row[2]), F::Of(2)),
               truth - (row[0] + row[2]) / 2, 16 * unit * size,
               "supervised loss");
    const auto supervised = [](const double* logits) {
      return LogSumTruth(logits, 0, kLogits) - (logits[0] + logits[2]) / 2;
    };
    const T exponential = ShiftedExp(F::Of(row[2]), all.largest);
    ExpectNear(SupervisedPositiveSlope(exponential, all.sum, F::Of(0.5)),
               Difference(row, 2, supervised), 1e-6 + 16 * unit,
               "slope of a supervised positive");
  }
}

template <class F>
void TestNtXent(double unit) {
  using V = typename F::V;
  // Two positives, the others negatives.
  const auto truth = [](const double* logits) {
    const double negatives = LogSumTruth(logits, 2, kLogits);
    return std::log1p(std::exp(negatives - logits[0])) +
           std::log1p(std::exp(negatives - logits[1]));
  };
  for (const auto& row : kRows) {
    const auto sums = SumOf<F>(row, 2, kLogits);
    const V negatives = F::Of(LogOf<F>(sums));
    V loss[2], share[2];
    for (int p = 0; p < 2; ++p) {
      NtXentPositive(F::Of(row[p]), negatives, loss[p], share[p]);
      ExpectNear(F::Only(NtXentSlope(F::Of(0) - share[p], F::Of(99))),
                 Difference(row, p, truth), 1e-6 + 64 * unit * 40,
                 "slope of a positive");
    }
    ExpectNear(F::Only(loss[0]) + F::Only(loss[1]), truth(row), 64 * unit * 40,
               "NT-Xent");
    const V shares = (share[0] + share[1]) / sums.sum;
    for (int n = 2; n < kLogits; ++n) {
      ExpectNear(
          F::Only(NtXentSlope(ShiftedExp(F::Of(row[n]), sums.largest), shares)),
          Difference(row, n, truth), 1e-6 + 64 * unit * 40,
          "slope of a negative");
    }
  }
}

template <class F>
void TestSigmoid(double unit) {
  const auto truth = [](double l, double z) {
    return std::fmax(-z * l, 0.0) + std::log1p(std::exp(-std::fabs(l)));
  };
  for (const double l : {-40.0, -2.5, -0.125, 0.0, 0.25, 3.0, 50.0}) {
    typename F::V loss, slope;
    SigmoidPair<true>(F::Of(l), loss, slope);
    ExpectNear(F::Only(loss), truth(l, 1), 16 * unit, "positive");
    ExpectNear(F::Only(slope),
               (truth(l + kStep, 1) - truth(l - kStep, 1)) / (2 * kStep), 1e-5,
               "slope of a positive logit");
    SigmoidPair<false>(F::Of(l), loss, slope);
    ExpectNear(F::Only(loss), truth(l, -1), 16 * unit, "negative");
    ExpectNear(F::Only(slope),
               (truth(l + kStep, -1) - truth(l - kStep, -1)) / (2 * kStep),
               1e-5, "slope of a negative logit");
  }
  typename F::V loss, slope;
  SigmoidPair<true>(F::Of(std::nan("")), loss, slope);
  const double made = F::Only(loss);
  Expect(made != made, "a NaN logit is lost", made, std::nan(""));
}

template <class F>
void TestForm(double unit) {
  TestLogSum<F>(unit);
  TestNtXent<F>(unit);
  TestSigmoid<F>(unit);
}

int Test() {
  TestForm<Lane<float>>(6e-8);
  TestForm<Lane<double>>(1.2e-16);
  TestForm<Vector<float>>(6e-8);
  TestForm<Vector<double>>(1.2e-16);
  TestRows<float>(6e-8);
  TestRows<double>(1.2e-16);
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

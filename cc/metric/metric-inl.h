// Distances between points. A metric is one file here: how points are prepared
// for tiles, the distance of a product, its slope, the pair by itself, the
// second derivative. tile/ and the families read nothing else of a metric than
// the struct below.
//
// clang-format off
//   euclidean          D = |x - y|                 dD/dx = (x - y) / D
//   squared euclidean  D = |x - y|^2               dD/dx = 2 (x - y)
//   cosine             D = 1 - c, c = x.y/|x||y|   dD/dx = (c x/|x| - y/|y|) / |x|
//   manhattan          D = sum_k |x_k - y_k|       dD/dx = sign(x - y)
//   dot                D = -x.y                    dD/dx = -y
//   chebyshev          D = max_k |x_k - y_k|       dD/dx_k = sign(x_k - y_k), k the first largest
// clang-format on
//
// A slope is 0 where D has none: D = 0 for euclidean (and D up to TinyDistance,
// whose reciprocal could overflow), equal coordinates for manhattan and
// chebyshev, a zero
// vector for cosine, which is at distance 1 from everything.
//
//   struct Name {
//     // How points are prepared, and whether they are at distance 0 from
//     // themselves whatever they are.
//     static constexpr Preparation kPreparation;
//     static constexpr bool kZeroToItself;
//     // The term of a prepared point of this squared norm.
//     static double Term(double squares);
//     // A tile's sum over coordinates, and of two parts of it.
//     static V Step(V x, V y, V sum);
//     static V Join(V sum, V part);
//     // The raw value of a pair: of its sum and the sum of its terms; whether
//     // it cancels, so that what is small beside the terms is made again from
//     // the points; the distance that it stands for, and back.
//     static V Raw(V sum, V terms);
//     static constexpr bool kCancels;
//     static V Distance(V raw);
//     static V RawOf(V distance);
//     // The factor of a pair's weight before the sum over pairs is made.
//     using Slope = RootSlope | SquareSlope | UnitSlope;
//     // The sum over pairs that a gradient is made of: what a pair of weight w
//     // adds to it, at a coordinate of the prepared points.
//     static constexpr GradientForm kForm;
//     static V Part(V w, V x, V y);
//     // A pair by itself, of points as they are: `Points` of direct-inl.h.
//     static DirectPair Direct(const Points& points, bool with_gradient);
//     // Its gradient with respect to x at a coordinate, times a weight; with
//     // GradientForm::kLargest it is Part, at pair.largest.
//     template <class V> struct DirectPart;  // (like, pair, weight), (x, y)
//     // The second derivative: see second-inl.h.
//     static SecondForm Second(const Quad& quad, double g);
//     template <class V> struct SecondPart;  // (like, form), (x, y, u, w)
//   };

#if defined(TF_PAIRWISE_METRIC_METRIC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_METRIC_INL_H_
#undef TF_PAIRWISE_METRIC_METRIC_INL_H_
#else
#define TF_PAIRWISE_METRIC_METRIC_INL_H_
#endif

#include "core/types.h"
#include "metric/chebyshev-inl.h"
#include "metric/cosine-inl.h"
#include "metric/dot-inl.h"
#include "metric/l2-inl.h"
#include "metric/manhattan-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// Calls `function(M())` with the struct of a metric.
template <class Function>
TF_PAIRWISE_FORMULA auto VisitMetric(Metric metric, const Function& function) {
  switch (metric) {
    case Metric::kEuclidean:
      return function(Euclidean());
    case Metric::kSquaredEuclidean:
      return function(SquaredEuclidean());
    case Metric::kCosine:
      return function(Cosine());
    case Metric::kManhattan:
      return function(Manhattan());
    case Metric::kDot:
      return function(Dot());
    case Metric::kChebyshev:
      break;
  }
  return function(Chebyshev());
}

// Calls `function(Slope())`: of the few slopes that metrics share.
template <class Function>
struct SlopeVisitor {
  const Function& function;
  template <class M>
  TF_PAIRWISE_FORMULA auto operator()(M) const {
    return function(typename M::Slope());
  }
};
template <class Function>
TF_PAIRWISE_FORMULA auto VisitSlope(Metric metric, const Function& function) {
  return VisitMetric(metric, SlopeVisitor<Function>{function});
}

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_METRIC_METRIC_INL_H_

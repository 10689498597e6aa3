// |x - y| and |x - y|^2: see metric-inl.h.

#if defined(TF_PAIRWISE_METRIC_L2_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_L2_INL_H_
#undef TF_PAIRWISE_METRIC_L2_INL_H_
#else
#define TF_PAIRWISE_METRIC_L2_INL_H_
#endif

#include "metric/form-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// What the two have in common: |x - y|^2 = |x|^2 + |y|^2 - 2 x.y, of points
// less a common one.
struct L2 : SumOfProducts {
  static constexpr Preparation kPreparation = Preparation::kCentred;
  static constexpr bool kZeroToItself = true;
  static constexpr bool kCancels = true;
  static constexpr GradientForm kForm = GradientForm::kDifference;

  static TF_PAIRWISE_FORMULA double Term(double squares) { return squares; }
  template <class V>
  static TF_PAIRWISE_FORMULA V Raw(V sum, V terms) {
    return NegMulAdd(Like(sum, 2), sum, terms);
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V Part(V w, V x, V y) {
    return w * (x - y);
  }

  // |x - y|^2 where its squares neither overflow nor vanish; else, for doubles,
  // |x - y| over the largest difference, which `scale` then is.
  template <class Points>
  static TF_PAIRWISE_FORMULA double Squares(const Points& points,
                                            double* scale) {
    *scale = 1;
    const double narrow = points.Sum(SquareElement());
    const double low = points.kDoubles ? 1e-280 : 1e-28;
    const double high = points.kDoubles ? 1e300 : 1e36;
    if (narrow >= low && narrow <= high) return narrow;
    const double squares = points.SumWide(SquareElement());
    if (InDoubleRange(squares)) return squares;
    // Narrower types are in a double's range, but for an infinite coordinate.
    if (!points.kDoubles) return squares - squares;
    // Halved, so that the difference of two finite doubles is finite.
    double largest = 0, sum = 0;
    for (int64_t k = 0; k < points.d; ++k) {
      largest = Max(largest, Abs(0.5 * points.X(k) - 0.5 * points.Y(k)));
    }
    if (largest == 0 || !points.IsFinite()) return squares - squares;
    for (int64_t k = 0; k < points.d; ++k) {
      const double r = (0.5 * points.X(k) - 0.5 * points.Y(k)) / largest;
      sum += r * r;
    }
    *scale = 2 * largest;
    return sum;
  }

  template <class V>
  struct DirectPart {
    V w;
    TF_PAIRWISE_FORMULA DirectPart(V like, const DirectPair& pair,
                                   double weight)
        : w(Like(like, weight * pair.slope)) {}
    TF_PAIRWISE_FORMULA V operator()(V x, V y) const { return Part(w, x, y); }
  };
  // of_u (u - w) + of_x (x - y) / |x - y|.
  template <class V>
  struct SecondPart {
    V a, b, inverse;
    TF_PAIRWISE_FORMULA SecondPart(V like, const SecondForm& form)
        : a(Like(like, form.of_u)),
          b(Like(like, form.of_x)),
          inverse(Like(like, form.inverse_x)) {}
    TF_PAIRWISE_FORMULA V operator()(V x, V y, V u, V w) const {
      return MulAdd(a, u - w, b * ((x - y) * inverse));
    }
  };
};

struct Euclidean : L2 {
  using Slope = RootSlope;

  template <class V>
  static TF_PAIRWISE_FORMULA V Distance(V raw) {
    return Sqrt(raw);
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V RawOf(V distance) {
    return distance * distance;
  }
  template <class Points>
  static TF_PAIRWISE_FORMULA DirectPair Direct(const Points& points,
                                               bool with_gradient) {
    using T = typename Points::T;
    DirectPair pair;
    double scale;
    const double squares = Squares(points, &scale);
    pair.distance = scale * Sqrt(squares);
    if (with_gradient) {
      pair.slope = RootSlope::Of(T(1), static_cast<T>(pair.distance));
    }
    return pair;
  }
  // With r = x - y and p = u - w: g p / D - g (r.p) r / D^3.
  template <class Quad>
  static TF_PAIRWISE_FORMULA SecondForm Second(const Quad& quad, double g) {
    SecondForm form;
    double scale;
    const double squares = Squares(quad.points, &scale);
    const double distance = scale * Sqrt(squares);
    if (distance == 0) return form;
    const double along = quad.DifferenceProduct(distance);
    form.with_g = along;
    form.of_u = g / distance;
    form.of_x = -g * along / distance;
    form.inverse_x = 1 / distance;
    return form;
  }
};

struct SquaredEuclidean : L2, RawIsDistance {
  using Slope = SquareSlope;

  template <class Points>
  static TF_PAIRWISE_FORMULA DirectPair Direct(const Points& points, bool) {
    DirectPair pair;
    double scale;
    const double squares = Squares(points, &scale);
    pair.distance = scale == 1 ? squares : scale * scale * squares;
    pair.slope = 2;
    return pair;
  }
  template <class Quad>
  static TF_PAIRWISE_FORMULA SecondForm Second(const Quad& quad, double g) {
    SecondForm form;
    form.with_g = 2 * quad.DifferenceProduct(1);
    form.of_u = 2 * g;
    return form;
  }
};

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_METRIC_L2_INL_H_

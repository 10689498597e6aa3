// 1 - x.y / (|x| |y|): see metric-inl.h.

#if defined(TF_PAIRWISE_METRIC_COSINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_COSINE_INL_H_
#undef TF_PAIRWISE_METRIC_COSINE_INL_H_
#else
#define TF_PAIRWISE_METRIC_COSINE_INL_H_
#endif

#include "metric/form-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// On normalised points p and q: 1/2 + 1/2 - p.q. The sums of the gradient are
// over those; FinishGradient projects them.
struct Cosine : MinusProduct {
  static constexpr Preparation kPreparation = Preparation::kNormalised;
  static constexpr bool kZeroToItself = true;
  static constexpr bool kCancels = true;

  static TF_PAIRWISE_FORMULA double Term(double) { return 0.5; }

  // 1 / |x|, 0 for zero, of the sum of squares that came of x.
  template <class Side>
  static TF_PAIRWISE_FORMULA double InverseNorm(const Side& side) {
    const double squares = side.Squares();
    if (InDoubleRange(squares)) return 1 / Sqrt(squares);
    if (squares != squares) return squares;
    // Doubles whose squares leave the range are scaled first.
    const double largest = side.Largest();
    if (largest == 0) return 0;
    const double norm = Sqrt(side.Squares(largest));
    return 1 / largest / norm;
  }

  // An element of |x/|x| - y/|y||^2, which does not cancel, and of the product.
  struct DifferenceElement {
    double inverse_x, inverse_y;
    template <class V>
    TF_PAIRWISE_FORMULA V operator()(V x, V y) const {
      const V r = x * Like(x, inverse_x) - y * Like(y, inverse_y);
      return r * r;
    }
  };
  struct CosineElement {
    double inverse_x, inverse_y;
    template <class V>
    TF_PAIRWISE_FORMULA V operator()(V x, V y) const {
      return (x * Like(x, inverse_x)) * (y * Like(y, inverse_y));
    }
  };

  template <class Points>
  static TF_PAIRWISE_FORMULA DirectPair Direct(const Points& points, bool) {
    DirectPair pair;
    pair.inverse_x = InverseNorm(points.x_side());
    pair.inverse_y = InverseNorm(points.y_side());
    if (pair.inverse_x == 0 || pair.inverse_y == 0) {
      pair.distance = 1;
      if (!points.IsFinite()) pair.distance = pair.cosine = NotANumber();
      pair.inverse_x = pair.inverse_y = 0;
      return pair;
    }
    pair.cosine = points.SumWide(CosineElement{pair.inverse_x, pair.inverse_y});
    pair.distance = 1 - pair.cosine;
    if (pair.distance < 0.02) {
      pair.distance = 0.5 * points.SumWide(DifferenceElement{pair.inverse_x,
                                                             pair.inverse_y});
      pair.cosine = 1 - pair.distance;
    }
    return pair;
  }

  // (c x/|x| - y/|y|) / |x|. The norms are taken out of the points first: their
  // squares may be outside of the type's range.
  template <class V>
  struct DirectPart {
    V own, cross, inverse_x, inverse_y;
    TF_PAIRWISE_FORMULA DirectPart(V like, const DirectPair& pair,
                                   double weight)
        : own(Like(like, weight * pair.inverse_x * pair.cosine)),
          cross(Like(like, weight * pair.inverse_x)),
          inverse_x(Like(like, pair.inverse_x)),
          inverse_y(Like(like, pair.inverse_y)) {}
    TF_PAIRWISE_FORMULA V operator()(V x, V y) const {
      return NegMulAdd(cross, y * inverse_y, own * (x * inverse_x));
    }
  };

  // With a = 1/|x|, b = 1/|y|, p and q the normalised points:
  // with respect to x, g a [a (u.q - 3 c u.p) + b (w.p - c w.q)] p
  //   + g a [a u.p + b w.q] q + g a^2 c u - g a b w.
  template <class Quad>
  static TF_PAIRWISE_FORMULA SecondForm Second(const Quad& quad, double g) {
    SecondForm form;
    const double a = InverseNorm(quad.points.x_side());
    const double b = InverseNorm(quad.points.y_side());
    if (a == 0 || b == 0) return form;
    const double c = quad.points.SumWide(CosineElement{a, b});
    const double u_x = quad.UX(a), u_y = quad.UY(b);
    const double w_x = quad.WX(a), w_y = quad.WY(b);
    form.with_g = a * (c * u_x - u_y) + b * (c * w_y - w_x);
    form.of_x = g * a * (a * (u_y - 3 * c * u_x) + b * (w_x - c * w_y));
    form.of_y = g * a * (a * u_x + b * w_y);
    form.of_u = g * a * c;
    form.of_w = -g * a;
    form.inverse_x = a;
    form.inverse_y = b;
    return form;
  }
  template <class V>
  struct SecondPart {
    V of_x, of_y, of_u, of_w, inverse_x, inverse_y;
    TF_PAIRWISE_FORMULA SecondPart(V like, const SecondForm& form)
        : of_x(Like(like, form.of_x)),
          of_y(Like(like, form.of_y)),
          of_u(Like(like, form.of_u)),
          of_w(Like(like, form.of_w)),
          inverse_x(Like(like, form.inverse_x)),
          inverse_y(Like(like, form.inverse_y)) {}
    TF_PAIRWISE_FORMULA V operator()(V x, V y, V u, V w) const {
      const V points = MulAdd(of_x, x * inverse_x, of_y * (y * inverse_y));
      return MulAdd(of_w, w * inverse_y, MulAdd(of_u, u * inverse_x, points));
    }
  };
};

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_METRIC_COSINE_INL_H_

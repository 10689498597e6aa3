// max |x_k - y_k|: see metric-inl.h.

#if defined(TF_PAIRWISE_METRIC_CHEBYSHEV_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_CHEBYSHEV_INL_H_
#undef TF_PAIRWISE_METRIC_CHEBYSHEV_INL_H_
#else
#define TF_PAIRWISE_METRIC_CHEBYSHEV_INL_H_
#endif

#include "metric/form-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

struct Chebyshev : OfAbsolutes {
  // At the first of the largest coordinates, so that it is one slope of the
  // maximum's many, and always the same.
  static constexpr GradientForm kForm = GradientForm::kLargest;

  template <class V>
  static TF_PAIRWISE_FORMULA V Step(V x, V y, V sum) {
    return Max(sum, Abs(x - y));
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V Join(V sum, V part) {
    return Max(sum, part);
  }

  template <class Points>
  static TF_PAIRWISE_FORMULA DirectPair Direct(const Points& points, bool) {
    DirectPair pair;
    pair.slope = 1;
    pair.distance = points.Largest(AbsoluteElement(), &pair.largest);
    // A maximum may lose a NaN; a sum does not.
    const double poison = points.SumWide(PoisonElement());
    if (poison != 0) pair.distance = NotANumber();
    return pair;
  }

  template <class Quad>
  static TF_PAIRWISE_FORMULA SecondForm Second(const Quad& quad, double) {
    SecondForm form;
    int64_t k;
    quad.points.Largest(AbsoluteElement(), &k);
    if (k >= 0) {
      form.with_g =
          SignedWeight(quad.Tangent(k), quad.points.X(k), quad.points.Y(k));
    }
    return form;
  }
};

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_METRIC_CHEBYSHEV_INL_H_

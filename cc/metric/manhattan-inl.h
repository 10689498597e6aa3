// sum |x_k - y_k|: see metric-inl.h.

#if defined(TF_PAIRWISE_METRIC_MANHATTAN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_MANHATTAN_INL_H_
#undef TF_PAIRWISE_METRIC_MANHATTAN_INL_H_
#else
#define TF_PAIRWISE_METRIC_MANHATTAN_INL_H_
#endif

#include "metric/form-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

struct Manhattan : OfAbsolutes {
  static constexpr GradientForm kForm = GradientForm::kCoordinates;

  template <class V>
  static TF_PAIRWISE_FORMULA V Step(V x, V y, V sum) {
    return sum + Abs(x - y);
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V Join(V sum, V part) {
    return sum + part;
  }

  template <class Points>
  static TF_PAIRWISE_FORMULA DirectPair Direct(const Points& points, bool) {
    DirectPair pair;
    pair.slope = 1;
    const double narrow = points.Sum(AbsoluteElement());
    pair.distance = narrow <= 1e36 ? narrow : points.SumWide(AbsoluteElement());
    // A sum beyond every double.
    if (!(pair.distance <= 1.7976931348623157e308)) {
      pair.distance = NotANumber();
    }
    return pair;
  }
  template <class V>
  struct DirectPart {
    V w;
    TF_PAIRWISE_FORMULA DirectPart(V like, const DirectPair&, double weight)
        : w(Like(like, weight)) {}
    TF_PAIRWISE_FORMULA V operator()(V x, V y) const { return Part(w, x, y); }
  };

  template <class Quad>
  static TF_PAIRWISE_FORMULA SecondForm Second(const Quad& quad, double) {
    SecondForm form;
    form.with_g = quad.SignedDifferences();
    return form;
  }
};

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_METRIC_MANHATTAN_INL_H_

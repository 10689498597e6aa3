// -x.y: see metric-inl.h.

#if defined(TF_PAIRWISE_METRIC_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_DOT_INL_H_
#undef TF_PAIRWISE_METRIC_DOT_INL_H_
#else
#define TF_PAIRWISE_METRIC_DOT_INL_H_
#endif

#include "metric/form-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

struct Dot : MinusProduct {
  static constexpr Preparation kPreparation = Preparation::kNone;
  static constexpr bool kZeroToItself = false;
  static constexpr bool kCancels = false;

  static TF_PAIRWISE_FORMULA double Term(double) { return 0; }

  template <class Points>
  static TF_PAIRWISE_FORMULA DirectPair Direct(const Points& points, bool) {
    DirectPair pair;
    const double product = points.SumWide(ProductElement());
    pair.distance = product - product == 0 ? -product : NotANumber();
    pair.slope = 1;
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
  static TF_PAIRWISE_FORMULA SecondForm Second(const Quad& quad, double g) {
    SecondForm form;
    form.with_g = -(quad.UY(1) + quad.WX(1));
    form.of_w = -g;
    return form;
  }
  template <class V>
  struct SecondPart {
    V of_w;
    TF_PAIRWISE_FORMULA SecondPart(V like, const SecondForm& form)
        : of_w(Like(like, form.of_w)) {}
    TF_PAIRWISE_FORMULA V operator()(V, V, V, V w) const { return of_w * w; }
  };
};

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_METRIC_DOT_INL_H_

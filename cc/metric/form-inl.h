// What the metrics' files say things in: see metric-inl.h.

#if defined(TF_PAIRWISE_METRIC_FORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_FORM_INL_H_
#undef TF_PAIRWISE_METRIC_FORM_INL_H_
#else
#define TF_PAIRWISE_METRIC_FORM_INL_H_
#endif

#include "core/integers.h"
#include "core/numerics-inl.h"

#ifndef TF_PAIRWISE_METRIC_FORM_ONCE_
#define TF_PAIRWISE_METRIC_FORM_ONCE_
namespace tf_pairwise {

enum class Preparation {
  kNone,        // points as they are
  kCentred,     // less a common point
  kNormalised,  // over their norms
};

enum class GradientForm {
  // sum_j V (x - y_j): the sum of the weights times x, less a product.
  kDifference,
  kProduct,      // -sum_j V y_j: a product
  kCoordinates,  // sum_j Part(V, x, y_j), coordinate by coordinate
  kLargest,      // like it, at the pair's first largest coordinate alone
};

// A pair of points by itself: its distance, and what its gradient is made of.
struct DirectPair {
  double distance = 0;
  double slope = 0;  // dD/dx is slope (x - y), or a metric's own form
  // Cosine: of the normalised points.
  double cosine = 0, inverse_x = 0, inverse_y = 0;
  int64_t largest = -1;  // the coordinate, where the form is kLargest
};

// The pair with x and y exchanged.
inline DirectPair Exchanged(const DirectPair& pair) {
  DirectPair other = pair;
  other.inverse_x = pair.inverse_y;
  other.inverse_y = pair.inverse_x;
  return other;
}

// The second derivative of a pair: the derivative of g (u.dD/dx + w.dD/dy) with
// respect to g, and coefficients of that with respect to x.
struct SecondForm {
  double with_g = 0;
  double of_x = 0, of_y = 0, of_u = 0, of_w = 0;
  double inverse_x = 0, inverse_y = 0;  // what x and y are multiplied by
};

}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_METRIC_FORM_ONCE_

TF_PAIRWISE_FORMULAS_BEGIN

// A euclidean distance up to this counts as zero where it is divided by: its
// reciprocal could overflow.
template <class V>
TF_PAIRWISE_FORMULA V TinyDistance(V like) {
  return Like(like, IsWide(like) ? 1e-300 : 1e-37);
}

// Squares outside of these have lost digits, or are no numbers any more.
TF_PAIRWISE_FORMULA bool InDoubleRange(double squares) {
  return squares >= 1e-280 && squares <= 1e300;
}

// The slopes: V of a pair's weight dL/dD and its distance. A pair without
// weight stays without, whatever its distance; a NaN distance has a NaN slope.
struct RootSlope {
  template <class V>
  static TF_PAIRWISE_FORMULA V Of(V weight, V distance) {
    return ZeroIf(
        Or(distance <= TinyDistance(distance), weight == Zero(weight)),
        weight / distance);
  }
};
struct SquareSlope {
  template <class V>
  static TF_PAIRWISE_FORMULA V Of(V weight, V) {
    return weight + weight;
  }
};
struct UnitSlope {
  template <class V>
  static TF_PAIRWISE_FORMULA V Of(V weight, V) {
    return weight;
  }
};

// Elements of the sums over a pair's coordinates.
struct ProductElement {
  template <class V>
  TF_PAIRWISE_FORMULA V operator()(V a, V b) const {
    return a * b;
  }
};
struct SquareElement {
  template <class V>
  TF_PAIRWISE_FORMULA V operator()(V a, V b) const {
    const V r = a - b;
    return r * r;
  }
};
struct AbsoluteElement {
  template <class V>
  TF_PAIRWISE_FORMULA V operator()(V a, V b) const {
    return Abs(a - b);
  }
};

// 0, or NaN where a coordinate is not finite.
struct PoisonElement {
  template <class V>
  TF_PAIRWISE_FORMULA V operator()(V a, V b) const {
    return (a - a) + (b - b);
  }
};

// sign(x - y) w.
template <class V>
TF_PAIRWISE_FORMULA V SignedWeight(V w, V x, V y) {
  const V r = x - y;
  return ZeroIf(r == Zero(r), FlipSign(w, r));
}

// What metrics have in common. A distance that is what its sum makes:
struct RawIsDistance {
  template <class V>
  static TF_PAIRWISE_FORMULA V Distance(V raw) {
    return raw;
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V RawOf(V distance) {
    return distance;
  }
};

// Sums of products x_k y_k.
struct SumOfProducts {
  template <class V>
  static TF_PAIRWISE_FORMULA V Step(V x, V y, V sum) {
    return MulAdd(x, y, sum);
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V Join(V sum, V part) {
    return sum + part;
  }
};

// The terms less the product of two points, with a product for its gradient.
struct MinusProduct : SumOfProducts, RawIsDistance {
  using Slope = UnitSlope;
  static constexpr GradientForm kForm = GradientForm::kProduct;

  template <class V>
  static TF_PAIRWISE_FORMULA V Raw(V sum, V terms) {
    return terms - sum;
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V Part(V w, V, V y) {
    return NegMulAdd(w, y, Zero(w));
  }
};

// Made of |x_k - y_k|. The slope, a sign, is constant where there is one.
struct OfAbsolutes : RawIsDistance {
  static constexpr Preparation kPreparation = Preparation::kNone;
  static constexpr bool kZeroToItself = true;
  static constexpr bool kCancels = false;
  using Slope = UnitSlope;

  static TF_PAIRWISE_FORMULA double Term(double) { return 0; }
  template <class V>
  static TF_PAIRWISE_FORMULA V Raw(V sum, V terms) {
    return sum + terms;
  }
  template <class V>
  static TF_PAIRWISE_FORMULA V Part(V w, V x, V y) {
    return SignedWeight(w, x, y);
  }
  template <class V>
  struct SecondPart {
    TF_PAIRWISE_FORMULA SecondPart(V, const SecondForm&) {}
    TF_PAIRWISE_FORMULA V operator()(V x, V, V, V) const { return Zero(x); }
  };
};

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_METRIC_FORM_INL_H_

// Functions of one value in forms that neither overflow nor cancel, over lanes:
// one text for a vector, a double and a device thread (core/lanes-inl.h).

#if defined(TF_PAIRWISE_CORE_NUMERICS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_CORE_NUMERICS_INL_H_
#undef TF_PAIRWISE_CORE_NUMERICS_INL_H_
#else
#define TF_PAIRWISE_CORE_NUMERICS_INL_H_
#endif

#include "core/lanes-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// max(0, x) that keeps a NaN.
template <class V>
TF_PAIRWISE_FORMULA V Positive(V x) {
  return ZeroIf(x <= Zero(x), x);
}

// softplus(x) = log(1 + e^x) and its slope, the sigmoid 1 / (1 + e^-x), from
// one exponential. Within 4 ULP in vectors; vec_test.cc measures that.
template <class V>
TF_PAIRWISE_FORMULA void SoftplusAndSigmoid(V x, V& softplus, V& sigmoid) {
  const V one = Like(x, 1);
  const V e = Exp(Negate(Abs(x)));
  const auto negative = x < Zero(x);
  softplus = ZeroIf(negative, x) + Log1p(e);
  const V inverse = one / (one + e);
  sigmoid = Select(negative, e * inverse, inverse);
}

template <class V>
TF_PAIRWISE_FORMULA V Softplus(V x) {
  V softplus, sigmoid;
  SoftplusAndSigmoid(x, softplus, sigmoid);
  return softplus;
}

template <class V>
TF_PAIRWISE_FORMULA V Sigmoid(V x) {
  V softplus, sigmoid;
  SoftplusAndSigmoid(x, softplus, sigmoid);
  return sigmoid;
}

// 1 / x, and 0 for 0.
template <class V>
TF_PAIRWISE_FORMULA V InverseOrZero(V x) {
  const V zero = Zero(x), one = Like(x, 1);
  const auto none = x == zero;
  return ZeroIf(none, one / Select(none, one, x));
}

// weight * value, where a weight of 0 takes out whatever it stands before, a
// NaN included: the rule of weight 0, wherever a formula multiplies by one.
template <class V>
TF_PAIRWISE_FORMULA V Weighted(V weight, V value) {
  return ZeroIf(weight == Zero(weight), weight * value);
}

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_CORE_NUMERICS_INL_H_

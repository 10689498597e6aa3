// Triplets over lanes: the loss of one, and which of a batch's a mining takes.
// A triplet is given by its two distances, `positive` = D(anchor, positive) and
// `negative` = D(anchor, negative).

#if defined(TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_INL_H_
#undef TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_INL_H_
#else
#define TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_INL_H_
#endif

#include "core/numerics-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// ---- the loss ----

template <class V>
struct TripletValue {
  V loss;
  V slope;  // d loss / d positive = -d loss / d negative
};

// max(0, positive - negative + margin), whose slope at the kink is 0. A NaN
// distance makes a NaN loss and slope.
template <class V>
TF_PAIRWISE_FORMULA TripletValue<V> HingeTriplet(V positive, V negative,
                                                 V margin) {
  const V z = positive - negative + margin, zero = Zero(z), one = Like(z, 1);
  return {Positive(z), Select(z > zero, one, ZeroIf(z <= zero, z))};
}

// softplus(positive - negative): the soft margin.
template <class V>
TF_PAIRWISE_FORMULA TripletValue<V> SoftTriplet(V positive, V negative) {
  TripletValue<V> value;
  SoftplusAndSigmoid(positive - negative, value.loss, value.slope);
  return value;
}

// ---- minings that take one negative ----

// Semi-hard negatives are beyond the positive.
template <class V>
TF_PAIRWISE_FORMULA auto IsBeyond(V positive, V negative) {
  return positive < negative;
}

// Hard mining takes the farthest positive and the nearest negative; of equals
// the one of the lowest index.
struct Farthest {
  template <class V>
  static TF_PAIRWISE_FORMULA V Worst(V like) {
    return Like(like, -PlusInfinity());
  }
  template <class V>
  static TF_PAIRWISE_FORMULA auto Better(V value, V best) {
    return value > best;
  }
};
struct Nearest {
  template <class V>
  static TF_PAIRWISE_FORMULA V Worst(V like) {
    return Like(like, PlusInfinity());
  }
  template <class V>
  static TF_PAIRWISE_FORMULA auto Better(V value, V best) {
    return value < best;
  }
};

// ---- minings that take every triplet of a kind ----

// The threshold of a negative: what a positive has to exceed for a loss above
// zero. Rounded once, in the compute type: all devices compare with it, so that
// they agree on ties.
template <class V>
TF_PAIRWISE_FORMULA V ThresholdOf(V negative, V margin) {
  return negative - margin;
}
template <class V>
TF_PAIRWISE_FORMULA auto HasLoss(V positive, V threshold) {
  return positive > threshold;
}

// Which triplets count. In the order of an anchor's positives, those that a
// negative is in a triplet with are a range: the ones that are Reached, which
// all later ones are too, as long as they are Within, which all earlier ones
// are. A NaN is in no triplet. kBegins, kEnds: whether the range begins after
// the first positive or ends before the last.
struct EveryTriplet {
  static constexpr bool kBegins = false, kEnds = false;
  template <class V>
  static TF_PAIRWISE_FORMULA auto Reached(V positive, V, V) {
    return positive == positive;
  }
  template <class V>
  static TF_PAIRWISE_FORMULA auto Within(V, V negative, V) {
    return negative == negative;
  }
};
// positive < negative, and negative - margin <= positive.
struct EverySemiHard {
  static constexpr bool kBegins = true, kEnds = true;
  template <class V>
  static TF_PAIRWISE_FORMULA auto Reached(V positive, V, V threshold) {
    return positive >= threshold;
  }
  template <class V>
  static TF_PAIRWISE_FORMULA auto Within(V positive, V negative, V) {
    return IsBeyond(positive, negative);
  }
};
// negative <= positive.
struct EveryHard {
  static constexpr bool kBegins = true, kEnds = false;
  template <class V>
  static TF_PAIRWISE_FORMULA auto Reached(V positive, V negative, V) {
    return positive >= negative;
  }
  template <class V>
  static TF_PAIRWISE_FORMULA auto Within(V, V negative, V) {
    return negative == negative;
  }
};

// Whether a mining takes the triplet.
template <class Rule, class V>
TF_PAIRWISE_FORMULA auto Takes(Rule, V positive, V negative, V threshold) {
  return And(Rule::Reached(positive, negative, threshold),
             Rule::Within(positive, negative, threshold));
}

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_INL_H_

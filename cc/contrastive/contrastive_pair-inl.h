// The contrastive loss of a pair, over lanes (core/lanes-inl.h): of its hinge
//
//   h = max(0, D - positive_margin)   of a similar pair
//   h = max(0, margin - D)            of a dissimilar one
//
// 0.5 h^2, or h in the linear form. A NaN distance has a NaN hinge, loss and
// slope; at the kink the slope is 0.

#if defined(TF_PAIRWISE_CONTRASTIVE_PAIR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_CONTRASTIVE_PAIR_INL_H_
#undef TF_PAIRWISE_CONTRASTIVE_PAIR_INL_H_
#else
#define TF_PAIRWISE_CONTRASTIVE_PAIR_INL_H_
#endif

#include "core/numerics-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

template <class V, class M>
TF_PAIRWISE_FORMULA V ContrastiveHinge(V distance, M similar, V margin,
                                       V positive_margin) {
  return Positive(
      Select(similar, distance - positive_margin, margin - distance));
}

template <bool kSquared, class V>
TF_PAIRWISE_FORMULA V HingeLoss(V h) {
  // Halved first, so that only a loss that is too large overflows.
  return kSquared ? (Like(h, 0.5) * h) * h : h;
}

// d loss / d h.
template <bool kSquared, class V>
TF_PAIRWISE_FORMULA V HingeSlope(V h) {
  if constexpr (kSquared) {
    return h;
  } else {
    const V zero = Zero(h);
    return Select(h > zero, Like(h, 1), h);
  }
}

// d loss / d D: of a dissimilar pair, the hinge's slope turned around.
template <bool kSquared, class V, class M>
TF_PAIRWISE_FORMULA V ContrastiveSlope(V h, M similar) {
  const V slope = HingeSlope<kSquared>(h);
  return Select(similar, slope, Zero(slope) - slope);
}

// A pair that is dissimilar to the part y: 0.5 (1 - y) D^2 + 0.5 y h^2, and its
// slope d loss / d D. A similar pair has no hinge: D^2 counts below zero too. A
// part whose factor is 0 is no part, whatever is in it.
template <class V>
TF_PAIRWISE_FORMULA void SoftContrastivePair(V distance, V y, V margin, V& loss,
                                             V& slope) {
  const V similar = Like(y, 1) - y;
  const V h = Positive(margin - distance);
  loss = Weighted(similar, HingeLoss<true>(distance)) +
         Weighted(y, HingeLoss<true>(h));
  slope = Weighted(similar, distance) - Weighted(y, HingeSlope<true>(h));
}

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_CONTRASTIVE_PAIR_INL_H_

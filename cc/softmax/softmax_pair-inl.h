// The losses over dot products, over lanes (core/lanes-inl.h): what a row's
// soft-max is made of, the loss of a row, and the slope of an element with
// respect to its logit l.

#if defined(TF_PAIRWISE_SOFTMAX_PAIR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_SOFTMAX_PAIR_INL_H_
#undef TF_PAIRWISE_SOFTMAX_PAIR_INL_H_
#else
#define TF_PAIRWISE_SOFTMAX_PAIR_INL_H_
#endif

#include "core/numerics-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// ---- a row's log-sum-exp ----

// The largest logit of some, and the sum of e^(l - largest) over them. Apart,
// because log(sum) + largest would round away what a large logit's exponential
// is made of. Of no logits: -inf and 0.
template <class V>
struct LogSum {
  V largest, sum;
};

template <class V>
TF_PAIRWISE_FORMULA LogSum<V> EmptyLogSum(V like) {
  return {Like(like, -PlusInfinity()), Zero(like)};
}

// What a logit adds to the sum.
template <class V>
TF_PAIRWISE_FORMULA V ShiftedExp(V logit, V largest) {
  return Exp(logit - largest);
}

// Of both sets of logits.
template <class V>
TF_PAIRWISE_FORMULA LogSum<V> Merged(const LogSum<V>& a, const LogSum<V>& b) {
  const V none = Like(a.sum, -PlusInfinity());
  const V largest = Select(a.largest < b.largest, b.largest, a.largest);
  // -inf less itself is no number: an empty set's sum stays as it is.
  const V of_a =
      Select(a.largest == none, a.sum, a.sum * ShiftedExp(a.largest, largest));
  const V of_b =
      Select(b.largest == none, b.sum, b.sum * ShiftedExp(b.largest, largest));
  return {largest, of_a + of_b};
}

// log sum e^l; -inf of no logits.
template <class V>
TF_PAIRWISE_FORMULA V LogOfSum(const LogSum<V>& row) {
  return row.largest + Log(row.sum);
}

// ---- info_nce: log sum_j e^l_j - l_p ----

template <class V>
TF_PAIRWISE_FORMULA V CrossEntropy(const LogSum<V>& row, V positive) {
  return row.largest - positive + Log(row.sum);
}

// Its slope is the soft-max, less 1 at the positive. Of the row, from what a
// logit adds to the sum:
template <class V>
TF_PAIRWISE_FORMULA V RowShare(V exponential, V inverse_sum) {
  return exponential * inverse_sum;
}
// and of the other direction, from what is kept of each column, log_sum being
// the log of its sum:
template <class V>
TF_PAIRWISE_FORMULA V ColumnShare(V logit, V largest, V log_sum) {
  return Exp(logit - largest - log_sum);
}

// ---- supervised: log sum_j e^l_j - mean_p l_p ----

template <class V>
TF_PAIRWISE_FORMULA V SupervisedLoss(const LogSum<V>& row, V positives_sum,
                                     V positives) {
  return LogOfSum(row) - positives_sum / positives;
}

// The soft-max, less the positives' mean at each of them.
template <class V>
TF_PAIRWISE_FORMULA V SupervisedPositiveSlope(V exponential, V sum,
                                              V positives_inverse) {
  return exponential / sum - positives_inverse;
}

// ---- nt_xent: sum_p log(1 + sum_n e^l_n / e^l_p) ----

// Of one positive: its loss, and how much of it the negatives have, whose
// log-sum-exp is `negatives`. The positive's slope is -share; a negative's is
// its part of the negatives' sum times the shares of all positives.
template <class V>
TF_PAIRWISE_FORMULA void NtXentPositive(V logit, V negatives, V& loss,
                                        V& share) {
  SoftplusAndSigmoid(negatives - logit, loss, share);
}

// An element's slope, of the exponentials of negatives, which are 0 or more,
// and the slopes of positives, which are below.
template <class V>
TF_PAIRWISE_FORMULA V NtXentSlope(V element, V shares_over_sum) {
  return Select(element < Zero(element), element, element * shares_over_sum);
}

// ---- sigmoid: -log sigmoid(z l), z = 1 of a positive, else -1 ----

template <bool kPositive, class V>
TF_PAIRWISE_FORMULA void SigmoidPair(V logit, V& loss, V& slope) {
  if constexpr (kPositive) {
    const V zero = Zero(logit);
    SoftplusAndSigmoid(zero - logit, loss, slope);
    slope = zero - slope;
  } else {
    SoftplusAndSigmoid(logit, loss, slope);
  }
}

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_SOFTMAX_PAIR_INL_H_

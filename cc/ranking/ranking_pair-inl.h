// The ranking losses of a pair, over lanes (core/lanes-inl.h). With
// x = (s_other - s_preferred) / temperature, a struct for each loss:
//
//   LogisticPair     softplus(x)
//   HingePair        max(0, margin + x), whose slope at the kink is 0
//   SoftZeroOnePair  sigmoid(x)
//
// and the mean squared error of all of an item's pairs at once. A NaN is kept.

#if defined(TF_PAIRWISE_RANKING_PAIR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_RANKING_PAIR_INL_H_
#undef TF_PAIRWISE_RANKING_PAIR_INL_H_
#else
#define TF_PAIRWISE_RANKING_PAIR_INL_H_
#endif

#include "core/numerics-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// `slope` is d loss / d x.
struct LogisticPair {
  template <class V>
  static TF_PAIRWISE_FORMULA void Of(V x, V, V& loss, V& slope) {
    SoftplusAndSigmoid(x, loss, slope);
  }
};

struct HingePair {
  template <class V>
  static TF_PAIRWISE_FORMULA void Of(V x, V margin, V& loss, V& slope) {
    loss = Positive(margin + x);
    const V zero = Zero(x);
    slope = Select(loss > zero, Like(x, 1), loss);
  }
};

struct SoftZeroOnePair {
  template <class V>
  static TF_PAIRWISE_FORMULA void Of(V x, V, V& loss, V& slope) {
    const V one = Like(x, 1);
    const V e = Exp(Negate(Abs(x)));
    const V inverse = one / (one + e);
    const V other = e * inverse;
    loss = Select(x < Zero(x), other, inverse);
    slope = other * inverse;
  }
};

// ---- lambda weights: what a pair's loss is multiplied by ----
//
// Of the preferred item i and the other j, whose gains are ordered: gain_i >=
// gain_j.

struct NoLambda {
  static constexpr bool kGains = false, kDiscounts = false;
  template <class V>
  static TF_PAIRWISE_FORMULA V Of(V gain_i, V, V, V) {
    return Like(gain_i, 1);
  }
};

// |y_i - y_j|, the gains being the relevances.
struct LabelDiffLambda {
  static constexpr bool kGains = true, kDiscounts = false;
  template <class V>
  static TF_PAIRWISE_FORMULA V Of(V gain_i, V gain_j, V, V) {
    return gain_i - gain_j;
  }
};

// |g_i - g_j| |d_i - d_j|: the change of DCG when the two change places. Of
// NDCG, with gains that are divided by the list's ideal DCG.
struct DcgLambda {
  static constexpr bool kGains = true, kDiscounts = true;
  template <class V>
  static TF_PAIRWISE_FORMULA V Of(V gain_i, V gain_j, V discount_i,
                                  V discount_j) {
    return (gain_i - gain_j) * Abs(discount_i - discount_j);
  }
};

// The gain 2^y - 1 over 2^greatest, which keeps it finite whatever the
// relevance. One lane.
TF_PAIRWISE_FORMULA double RelativeGain(double relevance, double greatest) {
  return Exp2(relevance - greatest) - Exp2(-greatest);
}

// The discount of a rank, 1 for the first: 1 / log2(1 + rank), and 0 beyond
// topn, which is 0 for no limit. One lane.
TF_PAIRWISE_FORMULA double RankDiscount(double rank, double topn) {
  return topn > 0 && rank > topn ? 0.0 : 1.0 / Log2(1.0 + rank);
}

// ---- mse: of errors e = s - y, (e_i - e_j)^2 over all j of a list ----

// With the sums over the list of the errors' first and second powers: the
// item's loss, sum_j (e - e_j)^2, which is not negative, and its slope with
// respect to -e.
template <class V>
TF_PAIRWISE_FORMULA void SquaresOfItem(V error, V count, V first, V second,
                                       V& loss, V& slope) {
  const V sum = error * (count * error - Like(error, 2) * first) + second;
  loss = ZeroIf(sum < Zero(sum), sum);
  slope = Like(error, -2) * (count * error - first);
}

// What the pairs in which the item is the other one add to its gradient, of
// the sums of the preferred items' weights, and of weight times error.
template <class V>
TF_PAIRWISE_FORMULA V SquaresPull(V error, V weights, V weighted) {
  return Like(error, 2) * (weights * error - weighted);
}

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_RANKING_PAIR_INL_H_

// Everything that a kernel will read, compiled for a GPU in every build (no GPU
// is needed): the vocabulary of core/, every metric and every pair formula,
// called in float and double so that templates have bodies. What does not
// compile for a device is found here, not by the first kernel.

#include "contrastive/contrastive_pair-inl.h"
#include "core/block.h"
#include "core/lanes-inl.h"
#include "core/numerics-inl.h"
#include "core/pairs-inl.h"
#include "core/radix.h"
#include "core/rounds.h"
#include "core/types.h"
#include "cuda/second.h"
#include "metric/metric-inl.h"
#include "ranking/ranking_pair-inl.h"
#include "softmax/softmax_pair-inl.h"
#include "triplet/triplet_pair-inl.h"

namespace tf_pairwise {

// All of a metric, on one pair.
template <class S>
struct UseMetric {
  WarpQuad<S> quad;
  S* out;

  template <class M>
  S operator()(M) const {
    const WarpPoints<S>& points = quad.points;
    S sum = Zero(S());
    for (int64_t k = 0; k < points.d; ++k) {
      sum = M::Step(points.x[k], points.y[k], sum);
    }
    const S terms = S(M::Term(1) + M::Term(2));
    const S distance = M::Distance(M::Raw(M::Join(sum, sum), terms));
    const DirectPair pair = M::Direct(points, true);
    const SecondForm second = M::Second(quad, 0.5);
    const typename M::template SecondPart<S> second_part(S(), second);
    for (int64_t k = 0; k < points.d; ++k) {
      out[k] = Gradient<M>(pair, k) +
               M::Part(M::Slope::Of(S(1), distance), points.x[k], points.y[k]) +
               second_part(points.x[k], points.y[k], quad.u[k], quad.w[k]);
    }
    return M::RawOf(distance) + S(pair.distance);
  }

  template <class M>
  S Gradient(const DirectPair& pair, int64_t k) const {
    const S x = quad.points.x[k], y = quad.points.y[k];
    if constexpr (M::kForm == GradientForm::kLargest) {
      return k == pair.largest ? M::Part(S(2), x, y) : S(0);
    } else {
      return typename M::template DirectPart<S>(S(), Exchanged(pair), 2)(x, y);
    }
  }
};

template <class S>
void UseNumerics(S x, S* out) {
  S softplus, sigmoid;
  SoftplusAndSigmoid(x, softplus, sigmoid);
  out[0] = softplus + sigmoid + Softplus(x) + Sigmoid(x);
  out[1] = Positive(x) + InverseOrZero(x) + Weighted(x, x);
}

template <class S>
void UseContrastive(S x, S* out) {
  const S h = ContrastiveHinge(x, x < S(1), S(1), S(0));
  out[0] = HingeLoss<true>(h) + HingeLoss<false>(h) +
           ContrastiveSlope<true>(h, true) + ContrastiveSlope<false>(h, false);
  S loss, slope;
  SoftContrastivePair(x, S(0.5), S(1), loss, slope);
  out[1] = loss + slope;
}

template <class Pair, class S>
S UsePair(S x) {
  S loss, slope;
  Pair::Of(x, S(1), loss, slope);
  return loss + slope;
}

template <class S>
void UseRanking(S x, S* out) {
  out[0] = UsePair<LogisticPair>(x) + UsePair<HingePair>(x) +
           UsePair<SoftZeroOnePair>(x);
  out[1] = NoLambda::Of(x, x, x, x) + LabelDiffLambda::Of(x, x, x, x) +
           DcgLambda::Of(x, x, x, x);
  S loss, slope;
  SquaresOfItem(x, x, x, x, loss, slope);
  out[2] = loss + slope + SquaresPull(x, x, x) +
           S(RelativeGain(x, 4) + RankDiscount(x, 10));
}

template <class S>
void UseSoftmax(S x, S* out) {
  const LogSum<S> row = Merged(EmptyLogSum(x), LogSum<S>{x, ShiftedExp(x, x)});
  out[0] =
      S(LogOfSum(LogSum<double>{row.largest, row.sum}) +
        CrossEntropy(LogSum<double>{row.largest, row.sum}, double(x)) +
        SupervisedLoss(LogSum<double>{row.largest, row.sum}, double(x), 2.0));
  out[1] = RowShare(x, x) + ColumnShare(x, x, x) +
           SupervisedPositiveSlope(x, x, x) + NtXentSlope(x, x);
  S loss, slope;
  NtXentPositive(x, x, loss, slope);
  out[2] = loss + slope;
  SigmoidPair<true>(x, loss, slope);
  out[2] += loss + slope;
  SigmoidPair<false>(x, loss, slope);
  out[2] += loss + slope;
}

template <class Rule, class S>
bool UseRule(S x) {
  return Takes(Rule(), x, x, ThresholdOf(x, S(1)));
}

template <class S>
void UseTriplet(S x, S* out) {
  const TripletValue<S> hinge = HingeTriplet(x, x, S(1));
  const TripletValue<S> soft = SoftTriplet(x, x);
  out[0] = hinge.loss + hinge.slope + soft.loss + soft.slope +
           Farthest::Worst(x) + Nearest::Worst(x);
  out[1] = UseRule<EveryTriplet>(x) + UseRule<EverySemiHard>(x) +
           UseRule<EveryHard>(x) + HasLoss(x, x) + IsBeyond(x, x) +
           Farthest::Better(x, x) + Nearest::Better(x, x);
}

template <class S>
void UseAll(Metric metric, int64_t d, const S* points, S* out) {
  const WarpQuad<S> quad = {
      {points, points + d, d}, points + 2 * d, points + 3 * d};
  out[0] = VisitMetric(metric, UseMetric<S>{quad, out + 16});
  UseNumerics(points[0], out + 1);
  UseContrastive(points[1], out + 3);
  UseRanking(points[1], out + 5);
  UseSoftmax(points[1], out + 8);
  UseTriplet(points[1], out + 13);
  const bool same = SameClass(int64_t(1), int64_t(2));
  const bool itself = IsItself(1, 2, 1);
  out[12] = IsPositive(same, itself, true) + IsNegative(same, itself, true);
  const TileRounds rounds = {true, 3, 3};
  int64_t row, column;
  const Block block = {0, RoundUp(d, 4), 0, Blocks(d, 4)};
  const TileView<S> tile = {out, 4};
  if (rounds.Tile(1, 0, &row, &column)) {
    tile.Row(row)[block.column] = S(OrderOf(points[0]) & 1);
  }
}

}  // namespace tf_pairwise

extern "C" __global__ void use_all(int metric, long long d, const float* narrow,
                                   const double* wide, float* narrow_out,
                                   double* wide_out) {
  tf_pairwise::UseAll<float>(static_cast<tf_pairwise::Metric>(metric), d,
                             narrow, narrow_out);
  tf_pairwise::UseAll<double>(static_cast<tf_pairwise::Metric>(metric), d, wide,
                              wide_out);
}

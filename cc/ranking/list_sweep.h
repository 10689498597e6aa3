#ifndef TF_PAIRWISE_RANKING_LIST_SWEEP_H_
#define TF_PAIRWISE_RANKING_LIST_SWEEP_H_

#include <cstdint>

#include "ranking/list_items.h"

// The hinge over all pairs of a list without ranks, O(L log L): two sweeps over
// the sorted scores. As the preferred item i: the others j, of lower groups,
// whose scores come within the margin; from the highest score down, more and
// more do. As the other item j: the weights of the preferred ones i, of higher
// groups, from the lowest score up.

namespace tf_pairwise {

// How far down, finite, so that it times a count of zero is zero.
inline double SweepStep(double from, double to) {
  const double step = from - to;
  constexpr double kMost = 1.7976931348623157e308;
  return step < kMost ? step : kMost;
}

// Sums over all lower groups, for few groups: each has its own, brought up to
// date together, without branches.
constexpr int kFewGroups = 8;

template <bool kLabels>
class FewGroups {
 public:
  FewGroups(SweepSums*, int64_t, double at) : at_(at), score_(at) {}

  void MoveTo(double score) { score_ = score; }

  void Add(int32_t group, double weight, double relevance, double excess) {
    const double* above = kAbove + kFewGroups - 1 - group;
    const double product = relevance * excess;
    const double step = SweepStep(at_, score_);
    for (int x = 0; x < kFewGroups; ++x) {
      excess_[x] += count_[x] * step + above[x] * excess;
      count_[x] += above[x] * weight;
      if (kLabels) {
        relevance_excess_[x] += relevance_[x] * step + above[x] * product;
        relevance_[x] += above[x] * relevance;
      }
    }
    at_ = score_;
  }

  SweepSums Below(int32_t group) const {
    const double step = SweepStep(at_, score_);
    return {count_[group], relevance_[group],
            excess_[group] + count_[group] * step,
            relevance_excess_[group] + relevance_[group] * step, score_};
  }

 private:
  // kAbove[kFewGroups - 1 - g + x] is 1 where x > g.
  static constexpr double kAbove[2 * kFewGroups] = {0, 0, 0, 0, 0, 0, 0, 0,
                                                    1, 1, 1, 1, 1, 1, 1, 1};
  double count_[kFewGroups] = {0};
  double relevance_[kFewGroups] = {0};
  double excess_[kFewGroups] = {0};
  double relevance_excess_[kFewGroups] = {0};
  double at_;     // the score that the sums were last seen from
  double score_;  // the score of the sweep
};

// The same for many groups: a tree of sums over groups [x - (x & -x), x), each
// brought up to date when it is met.
template <bool kLabels>
class Fenwick {
 public:
  Fenwick(SweepSums* sums, int64_t groups, double at)
      : sums_(sums), groups_(groups), at_(at) {
    for (int64_t x = 0; x <= groups; ++x) sums_[x] = {0, 0, 0, 0, at};
  }

  void MoveTo(double score) { at_ = score; }

  void Add(int32_t group, double weight, double relevance, double excess) {
    for (int64_t x = group + 1; x <= groups_; x += x & -x) {
      SweepSums& sums = sums_[x];
      const double step = SweepStep(sums.at, at_);
      sums.excess += sums.count * step + excess;
      sums.relevance_excess += sums.relevance * step + relevance * excess;
      sums.count += weight;
      sums.relevance += relevance;
      sums.at = at_;
    }
  }

  SweepSums Below(int32_t group) const {
    SweepSums sum = {0, 0, 0, 0, at_};
    for (int64_t x = group; x > 0; x -= x & -x) {
      const SweepSums& sums = sums_[x];
      const double step = SweepStep(sums.at, at_);
      sum.count += sums.count;
      sum.relevance += sums.relevance;
      sum.excess += sums.excess + sums.count * step;
      sum.relevance_excess += sums.relevance_excess + sums.relevance * step;
    }
    return sum;
  }

 private:
  SweepSums* sums_;
  int64_t groups_;
  double at_;
};

// What both sweeps go over. Handed over as a copy: in a function's own
// variables the pointers stay in registers.
template <typename T>
struct Sweep {
  int64_t count;
  const T *scores, *weights;
  const int32_t *order, *group;
  const double* relevance;
  double margin;  // in scores
  double least;   // relevance
  double *loss, *slope, *nonzero, *pulled;
  SweepSums* sums;

  Sweep(const ListRankingLoss& problem, const ListLayout<T>& list)
      : count(list.items.count),
        scores(list.items.scores),
        weights(list.items.weights),
        order(list.order),
        group(list.group),
        relevance(list.relevance),
        margin(problem.margin * problem.temperature),
        least(list.relevance[list.items.count - 1]),
        loss(list.items.loss),
        slope(list.items.slope),
        nonzero(list.items.nonzero),
        pulled(list.items.pulled),
        sums(list.sums) {}

  double Score(int64_t r) const {
    return static_cast<double>(scores[order[r]]);
  }
  double Above(int64_t p) const { return relevance[p] - least; }
};

// Losses and slopes of the items as the preferred ones.
template <bool kLabels, template <bool> class Sums, typename T>
void SweepDown(double inverse_temperature, Sweep<T> list) {
  Sums<kLabels> others(list.sums, list.group[0] + 1, list.Score(0));
  int64_t next = 0;
  for (int64_t r = 0; r < list.count; ++r) {
    const double score = list.Score(r);
    const int64_t i = list.order[r];
    others.MoveTo(score);
    for (; next < list.count; ++next) {
      const double excess = (list.Score(next) - score) + list.margin;
      if (!(excess > 0)) break;
      const int64_t j = list.order[next];
      others.Add(list.group[j], 1, kLabels ? list.Above(j) : 0, excess);
    }
    const SweepSums sum = others.Below(list.group[i]);
    const double above = kLabels ? list.Above(i) : 0;
    list.loss[i] =
        inverse_temperature *
        (kLabels ? above * sum.excess - sum.relevance_excess : sum.excess);
    list.slope[i] = kLabels ? above * sum.count - sum.relevance : sum.count;
    list.nonzero[i] = sum.count;
  }
}

// What the preferred items pull the others with.
template <bool kLabels, template <bool> class Sums, typename T>
void SweepUp(Sweep<T> list) {
  const int32_t greatest = list.group[0];
  Sums<kLabels> preferred(list.sums, greatest + 1, 0);
  int64_t next = list.count - 1;
  for (int64_t r = list.count - 1; r >= 0; --r) {
    const int64_t j = list.order[r];
    const double score = list.Score(r);
    for (; next >= 0; --next) {
      if (!((score - list.Score(next)) + list.margin > 0)) break;
      const int64_t i = list.order[next];
      const double weight = static_cast<double>(list.weights[i]);
      preferred.Add(greatest - list.group[i], weight,
                    kLabels ? weight * list.Above(i) : 0, 0);
    }
    const SweepSums sum = preferred.Below(greatest - list.group[j]);
    list.pulled[j] =
        kLabels ? sum.relevance - list.Above(j) * sum.count : sum.count;
  }
}

template <bool kLabels, template <bool> class Sums, typename T>
void SweepBoth(const ListRankingLoss& problem, bool with_gradient,
               const Sweep<T>& sweep) {
  SweepDown<kLabels, Sums>(InverseTemperature<double>(problem.temperature),
                           sweep);
  if (with_gradient) SweepUp<kLabels, Sums>(sweep);
}

// The hinge's sums of a list that is sorted by score.
template <typename T>
void SweepHinge(const ListRankingLoss& problem, bool with_gradient,
                const ListLayout<T>& list) {
  const Sweep<T> sweep(problem, list);
  const bool labels = problem.lambda == LambdaWeight::kLabelDiff;
  if (list.group[0] >= kFewGroups) {
    labels ? SweepBoth<true, Fenwick>(problem, with_gradient, sweep)
           : SweepBoth<false, Fenwick>(problem, with_gradient, sweep);
  } else {
    labels ? SweepBoth<true, FewGroups>(problem, with_gradient, sweep)
           : SweepBoth<false, FewGroups>(problem, with_gradient, sweep);
  }
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_SWEEP_H_

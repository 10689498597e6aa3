// The minings that take every triplet of a kind. Under the hinge the triplets
// of a row are counted, under the soft margin they are summed.

#if defined(TF_PAIRWISE_TRIPLET_EVERY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_TRIPLET_EVERY_INL_H_
#undef TF_PAIRWISE_TRIPLET_EVERY_INL_H_
#else
#define TF_PAIRWISE_TRIPLET_EVERY_INL_H_
#endif

#include "triplet/anchor_row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// The hinge's loss of a row is sum_p c_p D_p - sum_n c_n t_n, where t is the
// negatives' threshold and c is how many triplets with a loss above zero a
// positive or a negative is in: c_p and -c_n are the slopes. Up to this number,
// positives are compared one by one with all negatives; beyond it, they are
// sorted and negatives search for their range.
constexpr int64_t kFewCounted = 48;

// counts + 1 in the lanes of the mask.
template <typename T>
HWY_INLINE VecT<T> CountMask(VecT<T> counts, hn::Mask<Tag<T>> mask) {
  const Tag<T> tag;
  return hn::Add(counts, hn::IfThenElseZero(mask, hn::Set(tag, T(1))));
}

// What some positives of a row come to; the negatives' weights are counted down
// and those of the positives set.
template <class Rule, int kTogether, typename T>
HWY_INLINE void CountPositives(const AnchorRow<T>& row, int count,
                               const T (&distances)[kTogether],
                               const int32_t (&indices)[kTogether],
                               AnchorSums& result) {
  constexpr bool kCounts = Rule::kBegins || Rule::kEnds;
  const Tag<T> tag;
  T* weights = row.buffers.weights;
  const VecT<T> margin = hn::Set(tag, static_cast<T>(row.problem->margin));
  const VecT<T> one = hn::Set(tag, T(1));
  VecT<T> p[kTogether], c[kTogether];
  for (int i = 0; i < kTogether; ++i) {
    p[i] = hn::Set(tag, distances[i]);
    c[i] = hn::Zero(tag);
  }
  VecT<T> taken = hn::Zero(tag);
  for (int64_t k = 0; k < row.m; k += LanesOf<T>()) {
    const VecT<T> d = hn::LoadU(tag, row.buffers.negatives + k);
    const VecT<T> t = ThresholdOf(d, margin);
    VecT<T> w = hn::LoadU(tag, weights + k);
#pragma GCC unroll 8
    for (int i = 0; i < kTogether; ++i) {
      auto in = HasLoss(p[i], t);
      if constexpr (kCounts) {
        const auto takes = Takes(Rule(), p[i], d, t);
        taken = CountMask<T>(taken, takes);
        in = hn::And(in, takes);
      }
      const VecT<T> ones = hn::IfThenElseZero(in, one);
      c[i] = hn::Add(c[i], ones);
      w = hn::Sub(w, ones);
    }
    hn::StoreU(w, tag, weights + k);
  }
  result.counted += static_cast<int64_t>(SumToDouble(tag, taken));
  for (int i = 0; i < count; ++i) {
    const double active = SumToDouble(tag, c[i]);
    result.nonzero += static_cast<int64_t>(active);
    if (active != 0) result.sum += active * static_cast<double>(distances[i]);
    // No negative's pass has touched a positive's place: it is +inf there.
    weights[indices[i]] = static_cast<T>(active);
  }
}

template <class Rule, typename T>
AnchorSums FewPositivesRow(const AnchorRow<T>& row, int64_t negatives) {
  constexpr int kTogether = 4;
  const Tag<T> tag;
  AnchorSums result;
  int64_t positives = 0;
  // A positive at -inf is in no triplet with a loss, and a mining that counts
  // takes it with none.
  ForEachPositives<kTogether>(
      row, -Infinity<T>(),
      [&](int count, const T(&distances)[kTogether],
          const int32_t (&indices)[kTogether]) HWY_ATTR {
        CountPositives<Rule>(row, count, distances, indices, result);
        positives += count;
      });
  if constexpr (!Rule::kBegins && !Rule::kEnds) {
    result.counted = positives * negatives;
  }
  const VecT<T> margin = hn::Set(tag, static_cast<T>(row.problem->margin));
  VecT<double> thresholds = hn::Zero(Tag<double>());
  for (int64_t k = 0; k < row.m; k += LanesOf<T>()) {
    const VecT<T> w = hn::LoadU(tag, row.buffers.weights + k);
    const VecT<T> t =
        ThresholdOf(hn::LoadU(tag, row.buffers.negatives + k), margin);
    // Products of an integer below 2^24 and t, summed in double: promote
    // first, so that they are exact.
    const auto negative = hn::Lt(w, hn::Zero(tag));
    AddProductToDouble(tag, w, hn::IfThenElseZero(negative, t), thresholds);
  }
  result.sum += hn::ReduceSum(Tag<double>(), thresholds);
  return result;
}

// The ranks of the positives that a vector of negatives is in a triplet with a
// loss with, [low, high), and how many triplets a mining takes of each.
template <typename T>
struct RankRange {
  using Ranks = hn::Vec<hn::RebindToSigned<Tag<T>>>;
  Ranks low, high, taken;
};
template <class Rule, typename T>
HWY_INLINE RankRange<T> RangeOf(const T* sorted, int64_t count, VecT<T> d,
                                VecT<T> t) {
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const auto zero = hn::Zero(lane_tag);
  RankRange<T> range;
  range.low = CountSorted(sorted, count, [&](VecT<T> p) HWY_ATTR {
    return hn::Not(HasLoss(p, t));
  });
  range.high = hn::Set(lane_tag, static_cast<LaneOf<T>>(count));
  range.taken = zero;
  if constexpr (Rule::kEnds) {
    range.high = CountSorted(sorted, count, [&](VecT<T> p) HWY_ATTR {
      return Rule::Within(p, d, t);
    });
  }
  if constexpr (Rule::kBegins) {
    const auto begin = CountSorted(sorted, count, [&](VecT<T> p) HWY_ATTR {
      return hn::Not(Rule::Reached(p, d, t));
    });
    range.taken = hn::Max(hn::Sub(range.high, begin), zero);
    range.low = hn::Max(range.low, begin);
  }
  range.high = hn::Max(range.high, range.low);
  return range;
}

// How many ranges a rank is in, as differences by rank: four histograms in
// turn, so that equal neighbours do not wait for each other's store.
struct RankHistogram {
  static constexpr int kHistograms = 4;
  int32_t* counts;
  int64_t bins;

  HWY_INLINE void Clear() const {
    for (int64_t b = 0; b < kHistograms * bins; ++b) counts[b] = 0;
  }
  template <typename Lane, class V>
  HWY_INLINE void Add(V ranks, int32_t step) const {
    const hn::DFromV<V> tag;
    constexpr int64_t kMost = HWY_MAX_BYTES / sizeof(Lane);
    HWY_ALIGN Lane lanes[kMost];
    hn::Store(ranks, tag, lanes);
    for (int64_t lane = 0; lane < static_cast<int64_t>(hn::Lanes(tag));
         ++lane) {
      counts[(lane % kHistograms) * bins + lanes[lane]] += step;
    }
  }
  HWY_INLINE int64_t At(int64_t rank) const {
    int64_t sum = 0;
    for (int h = 0; h < kHistograms; ++h) sum += counts[h * bins + rank];
    return sum;
  }
};

template <class Rule, typename T>
AnchorSums ManyPositivesRow(const AnchorRow<T>& row, int64_t negatives) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  using Lane = LaneOf<T>;
  const RowBuffers<T>& buffers = row.buffers;
  const VecT<T> margin = hn::Set(tag, static_cast<T>(row.problem->margin));
  AnchorSums result;
  const int64_t count = SortPositives(row);
  const RankHistogram histogram = {buffers.histogram, count + 2};
  histogram.Clear();
  VecT<double> thresholds = hn::Zero(Tag<double>());
  for (int64_t k = 0; k < row.m; k += LanesOf<T>()) {
    const VecT<T> d = hn::LoadU(tag, buffers.negatives + k);
    const VecT<T> t = ThresholdOf(d, margin);
    const RankRange<T> range = RangeOf<Rule>(buffers.sorted, count, d, t);
    const auto in = hn::Sub(range.high, range.low);
    const VecT<T> w = hn::ConvertTo(tag, hn::Neg(in));
    hn::StoreU(w, tag, buffers.weights + k);
    AddProductToDouble(tag, w, hn::IfThenElseZero(hn::Lt(w, hn::Zero(tag)), t),
                       thresholds);
    if constexpr (Rule::kBegins) {
      result.counted +=
          static_cast<int64_t>(hn::ReduceSum(lane_tag, range.taken));
    }
    result.nonzero += static_cast<int64_t>(hn::ReduceSum(lane_tag, in));
    histogram.Add<Lane>(range.low, 1);
    if constexpr (Rule::kEnds) histogram.Add<Lane>(range.high, -1);
  }
  if constexpr (!Rule::kBegins && !Rule::kEnds) {
    result.counted = count * negatives;
  }
  // A range that starts at a rank holds every later one up to its end.
  int64_t running = 0;
  for (int64_t r = 0; r < count; ++r) {
    running += histogram.At(r);
    if (running != 0) {
      result.sum +=
          static_cast<double>(running) * static_cast<double>(buffers.sorted[r]);
    }
    buffers.weights[buffers.items[r].index] = static_cast<T>(running);
  }
  result.sum += hn::ReduceSum(Tag<double>(), thresholds);
  return result;
}

template <class Rule, typename T>
AnchorSums HingeRow(const AnchorRow<T>& row) {
  const Negatives found = GatherNegatives(row, Infinity<T>());
  if (found.nan) return NanRow(row);
  ClearWeights(row);
  if (found.count == 0) return AnchorSums();
  return row.positives_count <= kFewCounted
             ? FewPositivesRow<Rule>(row, found.count)
             : ManyPositivesRow<Rule>(row, found.count);
}

// ---- under the soft margin ----

template <typename T>
AnchorSums SoftRow(const AnchorRow<T>& row) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  T* weights = row.buffers.weights;
  AnchorSums result;
  const Negatives found = GatherNegatives(row, Infinity<T>());
  if (found.nan) return NanRow(row);
  ClearWeights(row);
  if (found.count == 0) return result;
  constexpr int64_t kBlock = 64;  // vectors summed in T before double
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t j = row.positives[e];
    if (j == row.itself) continue;
    const VecT<T> p = hn::Set(tag, row.distances[j]);
    double slope = 0, nonzero = 0;
    for (int64_t begin = 0; begin < row.m; begin += kBlock * lanes) {
      const int64_t end = Least(begin + kBlock * lanes, row.m);
      VecT<T> losses = hn::Zero(tag), slopes = hn::Zero(tag),
              positive = hn::Zero(tag);
      for (int64_t k = begin; k < end; k += lanes) {
        const TripletValue<VecT<T>> value =
            SoftTriplet(p, hn::LoadU(tag, row.buffers.negatives + k));
        losses = hn::Add(losses, value.loss);
        slopes = hn::Add(slopes, value.slope);
        positive = CountMask<T>(positive, hn::Gt(value.loss, hn::Zero(tag)));
        hn::StoreU(hn::Sub(hn::LoadU(tag, weights + k), value.slope), tag,
                   weights + k);
      }
      result.sum += SumToDouble(tag, losses);
      slope += SumToDouble(tag, slopes);
      nonzero += SumToDouble(tag, positive);
    }
    result.counted += found.count;
    result.nonzero += static_cast<int64_t>(nonzero);
    // +inf among the negatives, so no pass has touched this place.
    weights[j] = static_cast<T>(slope);
  }
  return result;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_TRIPLET_EVERY_INL_H_

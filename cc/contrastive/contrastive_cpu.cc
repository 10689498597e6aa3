#include <cmath>
#include <type_traits>

#include "contrastive/contrastive.h"
#include "contrastive/contrastive_pair.h"
#include "core/checks.h"
#include "core/classes.h"
#include "core/reduce.h"
#include "core/scratch.h"
#include "softmax/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "contrastive/contrastive_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "tile/explicit_walk.h"
#include "tile/row_walk.h"
#include "tile/tile_walk.h"

#ifndef TF_PAIRWISE_CONTRASTIVE_CPU_ONCE_
#define TF_PAIRWISE_CONTRASTIVE_CPU_ONCE_
namespace tf_pairwise {
namespace {

// A tile of the loss over all pairs. Distances become the weights of the
// gradient.
template <typename T>
struct ContrastiveTile {
  const BatchContrastiveLoss* problem;
  int64_t rows, columns;
  T* distances;
  int64_t stride;
  const LaneOf<T>* row_classes;     // [rows]
  const LaneOf<T>* column_classes;  // [columns]
  const T* row_weights;             // [rows], or null for ones
  const T* column_weights;          // [columns], or null for ones
  bool both_orders;  // (j, i) belongs to the tile as much as (i, j)
  bool diagonal;     // both are in the tile: each order is counted once
  int64_t self;      // the column of row 0's own point, may be out of range
  bool with_gradient;
  // What a similar and a dissimilar pair's slope is multiplied by.
  T similar_scale, dissimilar_scale;
  // With kNone, per anchor: sums to add to, or null.
  double* row_sums;
  double* column_sums;
  T* column_buffer;  // [columns + a vector]
};

// Sums of the loss and weighted counts of the losses above zero.
struct PairSums {
  double similar = 0, dissimilar = 0;
  double similar_nonzero = 0, dissimilar_nonzero = 0;
};

// An anchor's row of a loss over dot products: D = -s, which becomes the
// gradient's weights.
template <typename T>
struct SoftmaxRow {
  SoftmaxKind kind;
  bool symmetric;
  bool with_gradient;
  int64_t m;
  // The column of the row's own positive, or of itself; negative for none.
  int64_t own;
  T* distances;
  T* exponentials;           // [m + a vector]
  const LaneOf<T>* classes;  // kSupervised and kNtXent
  LaneOf<T> own_class;
  const int32_t* positives;  // may hold `own`
  int64_t positives_count;
  // kInfoNce symmetric: of each column, the largest logit and the log of the
  // sum of e^(logit - largest). Apart, because their sum would round away what
  // a large logit's exponential is made of.
  const T* column_largest;
  const T* column_log_sum;
  double inverse_temperature, scale, bias;
  double weight;  // what the row's loss is multiplied by
  // kInfoNce symmetric: the weights of the row and of each column (null for
  // ones), since a column's soft-max is its own row's; `weight` is then what
  // all of them have in common.
  double own_weight;
  const T* column_weights;
};

struct SoftmaxResult {
  double loss = 0;
  double slope_logit = 0;  // sum of d loss / d logit times the logit (or s)
  double slope = 0;        // sum of d loss / d logit
  double largest = 0;      // logit
  double log_sum = 0;      // log of the sum of e^(logit - largest)
};

struct ContrastiveKernels {
  PairSums (*narrow_tile)(const ContrastiveTile<float>& tile);
  PairSums (*wide_tile)(const ContrastiveTile<double>& tile);
  SoftmaxResult (*narrow_row)(const SoftmaxRow<float>& row);
  SoftmaxResult (*wide_row)(const SoftmaxRow<double>& row);
  SoftmaxResult (*narrow_lse)(const SoftmaxRow<float>& row);
  SoftmaxResult (*wide_lse)(const SoftmaxRow<double>& row);
  LossSums (*explicit_block)(const ContrastiveLoss& problem,
                             const ContrastiveArrays& arrays, int64_t begin,
                             int64_t end, double scale, bool with_gradient);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_CONTRASTIVE_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// ---- all pairs of a batch ----

template <Metric kMetric, bool kSquared, bool kPerAnchor, typename T>
PairSums TileOf(const ContrastiveTile<T>& tile) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> zero = hn::Zero(tag), one = hn::Set(tag, T(1));
  const VecT<T> margin = hn::Set(tag, static_cast<T>(tile.problem->margin));
  const VecT<T> positive_margin =
      hn::Set(tag, static_cast<T>(tile.problem->positive_margin));
  const VecT<T> similar_scale = hn::Set(tag, tile.similar_scale);
  const VecT<T> dissimilar_scale = hn::Set(tag, -tile.dissimilar_scale);
  const VecT<T> tiny = TinyDistance(zero);
  const VecT<T> half = hn::Set(tag, static_cast<T>(0.5));
  const bool weighted = tile.row_weights != nullptr;
  // Lane sums of a few rows in T, then in double.
  constexpr int64_t kRowsInT = 8;
  const Tag<double> wide;
  VecT<double> similar_sum = hn::Zero(wide), dissimilar_sum = similar_sum,
               similar_count = similar_sum, dissimilar_count = similar_sum;
  VecT<T> s_sum = zero, d_sum = zero, s_count = zero, d_count = zero;
  if (kPerAnchor && tile.both_orders && !tile.diagonal) {
    for (int64_t k = 0; k < tile.columns; k += lanes) {
      hn::StoreU(zero, tag, tile.column_buffer + k);
    }
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    T* row = tile.distances + r * tile.stride;
    const LaneOf<T> row_class = tile.row_classes[r];
    const int64_t self = tile.self + r;
    if (self >= 0 && self < tile.columns) {
      // A point is in no pair with itself: a distance at which no hinge acts.
      row[self] = static_cast<T>(tile.column_classes[self] == row_class
                                     ? -__builtin_inf()
                                     : __builtin_inf());
    }
    const auto own_class = hn::Set(lane_tag, row_class);
    const VecT<T> row_weight =
        hn::Set(tag, weighted ? tile.row_weights[r] : T(1));
    VecT<T> row_sum = zero;
    for (int64_t k = 0; k < tile.columns; k += lanes) {
      const int64_t some = tile.columns - k < lanes ? tile.columns - k : lanes;
      const bool whole = some == lanes;
      const auto classes = whole ? hn::LoadU(lane_tag, tile.column_classes + k)
                                 : hn::LoadN(lane_tag, tile.column_classes + k,
                                             static_cast<size_t>(some));
      const auto similar = hn::RebindMask(tag, hn::Eq(classes, own_class));
      // Tiles are padded to whole vectors.
      const VecT<T> distance = hn::LoadU(tag, row + k);
      VecT<T> h = hn::IfThenElse(similar, hn::Sub(distance, positive_margin),
                                 hn::Sub(margin, distance));
      // max(0, h) that keeps a NaN.
      h = hn::IfThenZeroElse(hn::Le(h, zero), h);
      if (!whole) {
        h = hn::IfThenElseZero(hn::FirstN(tag, static_cast<size_t>(some)), h);
      }
      const auto active = hn::Ne(h, zero);
      const VecT<T> loss = kSquared ? hn::Mul(half, hn::Mul(h, h)) : h;
      // The weight of the pair in sums: of (i, j), and of (j, i) where the
      // tile stands for both.
      VecT<T> pair_weight = row_weight;
      VecT<T> gradient_weight = row_weight;
      if (tile.both_orders) {
        const VecT<T> column_weight =
            weighted ? LoadCount(tile.column_weights + k, some) : one;
        gradient_weight = hn::Add(row_weight, column_weight);
        if (!tile.diagonal) pair_weight = gradient_weight;
      }
      const VecT<T> weighted_loss = hn::Mul(pair_weight, loss);
      s_sum = hn::Add(s_sum, hn::IfThenElseZero(similar, weighted_loss));
      d_sum = hn::Add(d_sum, hn::IfThenZeroElse(similar, weighted_loss));
      const VecT<T> counted = hn::IfThenElseZero(active, pair_weight);
      s_count = hn::Add(s_count, hn::IfThenElseZero(similar, counted));
      d_count = hn::Add(d_count, hn::IfThenZeroElse(similar, counted));
      if constexpr (kPerAnchor) {
        row_sum = hn::Add(row_sum, loss);
        if (tile.both_orders && !tile.diagonal) {
          T* buffer = tile.column_buffer + k;
          hn::StoreU(hn::Add(hn::LoadU(tag, buffer), loss), tag, buffer);
        }
      }
      if (!tile.with_gradient) continue;
      VecT<T> slope = kSquared ? h : hn::IfThenElseZero(active, one);
      if (!kSquared) {
        slope = hn::IfThenElse(hn::IsNaN(h), h, slope);
      }
      slope = hn::Mul(
          slope, hn::Mul(gradient_weight, hn::IfThenElse(similar, similar_scale,
                                                         dissimilar_scale)));
      if constexpr (kMetric == Metric::kEuclidean) {
        slope =
            hn::IfThenZeroElse(hn::Or(hn::Le(distance, tiny), hn::Not(active)),
                               hn::Div(slope, distance));
      } else if constexpr (kMetric == Metric::kSquaredEuclidean) {
        slope = hn::Add(slope, slope);
      }
      hn::StoreU(slope, tag, row + k);
    }
    if (r % kRowsInT == kRowsInT - 1 || r == tile.rows - 1) {
      AddToDouble(tag, s_sum, similar_sum);
      AddToDouble(tag, d_sum, dissimilar_sum);
      AddToDouble(tag, s_count, similar_count);
      AddToDouble(tag, d_count, dissimilar_count);
      s_sum = d_sum = s_count = d_count = zero;
    }
    if constexpr (kPerAnchor) tile.row_sums[r] += SumToDouble(tag, row_sum);
  }
  if (kPerAnchor && tile.both_orders && !tile.diagonal) {
    for (int64_t k = 0; k < tile.columns; ++k) {
      tile.column_sums[k] += static_cast<double>(tile.column_buffer[k]);
    }
  }
  return {hn::ReduceSum(wide, similar_sum), hn::ReduceSum(wide, dissimilar_sum),
          hn::ReduceSum(wide, similar_count),
          hn::ReduceSum(wide, dissimilar_count)};
}

template <Metric kMetric, typename T>
PairSums TileOfMetric(const ContrastiveTile<T>& tile) {
  if (tile.row_sums != nullptr) {
    return tile.problem->squared ? TileOf<kMetric, true, true>(tile)
                                 : TileOf<kMetric, false, true>(tile);
  }
  return tile.problem->squared ? TileOf<kMetric, true, false>(tile)
                               : TileOf<kMetric, false, false>(tile);
}

template <typename T>
PairSums RunTile(const ContrastiveTile<T>& tile) {
  switch (tile.problem->metric) {
    case Metric::kEuclidean:
      return TileOfMetric<Metric::kEuclidean>(tile);
    case Metric::kSquaredEuclidean:
      return TileOfMetric<Metric::kSquaredEuclidean>(tile);
    case Metric::kCosine:
    case Metric::kManhattan:
    case Metric::kDot:
      break;
  }
  return TileOfMetric<Metric::kDot>(tile);
}

// ---- rows of dot products ----

// Calls `function(k, some, logits, s)` along the row; logits of lanes past the
// end are -inf.
template <typename T, typename Function>
HWY_INLINE void ForEachLogit(const SoftmaxRow<T>& row, double factor,
                             double offset, const Function& function) {
  const Tag<T> tag;
  const VecT<T> f = hn::Set(tag, static_cast<T>(-factor));
  const VecT<T> o = hn::Set(tag, static_cast<T>(offset));
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> d = LoadCount(row.distances + k, some);
    VecT<T> l = hn::MulAdd(f, d, o);
    if (some != LanesOf<T>()) {
      l = hn::IfThenElse(hn::FirstN(tag, static_cast<size_t>(some)), l,
                         hn::Set(tag, static_cast<T>(-__builtin_inf())));
    }
    function(k, some, l, hn::Neg(d));
  });
}

// The largest logit and the sum of e^(logit - largest); the exponentials are
// kept. Where `others_only`, over the columns of another class.
template <typename T>
HWY_INLINE void SumExponentials(const SoftmaxRow<T>& row, bool others_only,
                                double* largest, double* sum) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const VecT<T> none = hn::Set(tag, static_cast<T>(-__builtin_inf()));
  const auto own_class = hn::Set(lane_tag, row.own_class);
  const auto left_out = [&](int64_t k, int64_t some, VecT<T> l) HWY_ATTR {
    if (!others_only) return l;
    const auto classes =
        hn::LoadN(lane_tag, row.classes + k, static_cast<size_t>(some));
    return hn::IfThenElse(hn::RebindMask(tag, hn::Eq(classes, own_class)), none,
                          l);
  };
  VecT<T> most = none;
  ForEachLogit(row, row.inverse_temperature, 0,
               [&](int64_t k, int64_t some, VecT<T> l, VecT<T>)
                   HWY_ATTR { most = hn::Max(most, left_out(k, some, l)); });
  const T top = hn::ReduceMax(tag, most);
  *largest = static_cast<double>(top);
  *sum = 0;
  if (top == static_cast<T>(-__builtin_inf())) {
    ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
      StoreCount(hn::Zero(tag), row.exponentials + k, some);
    });
    // Nothing to sum, or NaNs that the maximum lost.
    ForEachLogit(row, row.inverse_temperature, 0,
                 [&](int64_t k, int64_t some, VecT<T> l, VecT<T>) HWY_ATTR {
                   const auto lost = hn::IsNaN(left_out(k, some, l));
                   if (!hn::AllFalse(tag, lost)) *sum = __builtin_nan("");
                 });
    return;
  }
  const VecT<T> shift = hn::Set(tag, top);
  VecT<double> total = hn::Zero(Tag<double>());
  ForEachLogit(row, row.inverse_temperature, 0,
               [&](int64_t k, int64_t some, VecT<T> l, VecT<T>) HWY_ATTR {
                 const VecT<T> e =
                     Exp(tag, hn::Sub(left_out(k, some, l), shift));
                 AddToDouble(tag, e, total);
                 StoreCount(e, row.exponentials + k, some);
               });
  *sum = hn::ReduceSum(Tag<double>(), total);
}

template <typename T>
SoftmaxResult LseRow(const SoftmaxRow<T>& row) {
  SoftmaxResult result;
  double sum;
  SumExponentials(row, false, &result.largest, &sum);
  result.log_sum = std::log(sum);
  return result;
}

// A logit with the rounding that it has in SumExponentials: what is left of two
// large ones has to be nothing where they are equal.
template <typename T>
HWY_INLINE double LogitAt(const SoftmaxRow<T>& row, int64_t j) {
  return static_cast<T>(-row.inverse_temperature) * row.distances[j];
}

// distances = d loss / d D of slopes d loss / d logit = weight * slopes, and
// the sum of slopes times logits.
template <typename T, typename Slopes>
HWY_INLINE double StoreSlopes(const SoftmaxRow<T>& row, const Slopes& slopes) {
  const Tag<T> tag;
  const VecT<T> to_weight =
      hn::Set(tag, static_cast<T>(-row.weight * row.inverse_temperature));
  VecT<double> total = hn::Zero(Tag<double>());
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> d = LoadCount(row.distances + k, some);
    const VecT<T> g = slopes(k, some, d);
    AddProductToDouble(tag, g, d, total);
    StoreCount(hn::Mul(g, to_weight), row.distances + k, some);
  });
  return -hn::ReduceSum(Tag<double>(), total) * row.inverse_temperature *
         row.weight;
}

template <typename T>
SoftmaxResult InfoNceRow(const SoftmaxRow<T>& row) {
  const Tag<T> tag;
  SoftmaxResult result;
  double largest, sum;
  SumExponentials(row, false, &largest, &sum);
  const double own = LogitAt(row, row.own);
  const double weight = row.weight * row.own_weight;
  result.loss = weight * (largest - own + std::log(sum));
  double column_largest = 0, column_log_sum = 0;
  if (row.symmetric) {
    column_largest = static_cast<double>(row.column_largest[row.own]);
    column_log_sum = static_cast<double>(row.column_log_sum[row.own]);
    result.loss =
        0.5 * (result.loss + weight * (column_largest - own + column_log_sum));
  }
  if (weight == 0) result.loss = 0;
  if (!row.with_gradient) return result;
  const double share = row.symmetric ? 0.5 : 1;
  const VecT<T> inverse =
      hn::Set(tag, static_cast<T>(share * row.own_weight / sum));
  const VecT<T> factor = hn::Set(tag, static_cast<T>(-row.inverse_temperature));
  // The row's own column: its slope has the positive taken off.
  const T own_exponential = row.exponentials[row.own];
  double own_slope = share * static_cast<double>(own_exponential) / sum;
  if (row.symmetric) {
    own_slope += share * std::exp(own - column_largest - column_log_sum);
  }
  const double own_distance = static_cast<double>(row.distances[row.own]);
  result.slope_logit =
      StoreSlopes(row, [&](int64_t k, int64_t some, VecT<T> d) HWY_ATTR {
        VecT<T> g = hn::Mul(LoadCount(row.exponentials + k, some), inverse);
        if (row.symmetric) {
          const VecT<T> above =
              hn::Sub(hn::MulAdd(factor, d, hn::Zero(tag)),
                      LoadCount(row.column_largest + k, some));
          const VecT<T> log_sum = LoadCount(row.column_log_sum + k, some);
          VecT<T> half = hn::Set(tag, static_cast<T>(0.5));
          if (row.column_weights != nullptr) {
            half = hn::Mul(half, LoadCount(row.column_weights + k, some));
          }
          g = hn::MulAdd(half, Exp(tag, hn::Sub(above, log_sum)), g);
        }
        return g;
      });
  // own_slope - 1 without the cancellation that a sum of lanes would have.
  row.distances[row.own] =
      static_cast<T>(-weight * row.inverse_temperature * (own_slope - 1));
  result.slope_logit += weight * own_distance * row.inverse_temperature;
  return result;
}

// SumExponentials without the row's own column, whose exponential is then 0 and
// whose distance is one that nothing comes of.
template <typename T>
HWY_INLINE void SumOtherExponentials(const SoftmaxRow<T>& row, bool others_only,
                                     double* largest, double* sum) {
  if (row.own >= 0) row.distances[row.own] = static_cast<T>(__builtin_inf());
  SumExponentials(row, others_only, largest, sum);
  if (row.own >= 0) row.distances[row.own] = 0;
}

template <typename T>
SoftmaxResult SupervisedRow(const SoftmaxRow<T>& row) {
  const Tag<T> tag;
  SoftmaxResult result;
  int64_t count = 0;
  double positives = 0;
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t p = row.positives[e];
    if (p == row.own) continue;
    positives += LogitAt(row, p);
    ++count;
  }
  if (count == 0) {
    ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
      StoreCount(hn::Zero(tag), row.distances + k, some);
    });
    return result;
  }
  double largest, sum;
  SumOtherExponentials(row, false, &largest, &sum);
  result.loss = row.weight * (largest + std::log(sum) - positives / count);
  if (!row.with_gradient) return result;
  const VecT<T> inverse = hn::Set(tag, static_cast<T>(1 / sum));
  result.slope_logit =
      StoreSlopes(row, [&](int64_t k, int64_t some, VecT<T>) HWY_ATTR {
        return hn::Mul(LoadCount(row.exponentials + k, some), inverse);
      });
  result.slope_logit -= row.weight * positives / count;
  const double share = 1.0 / static_cast<double>(count);
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t p = row.positives[e];
    if (p == row.own) continue;
    row.distances[p] = static_cast<T>(
        -row.weight * row.inverse_temperature *
        (static_cast<double>(row.exponentials[p]) / sum - share));
  }
  return result;
}

template <typename T>
SoftmaxResult NtXentRow(const SoftmaxRow<T>& row) {
  const Tag<T> tag;
  SoftmaxResult result;
  double largest, sum;
  SumOtherExponentials(row, true, &largest, &sum);
  // log sum of the negatives; -inf without any.
  const double negatives =
      sum == 0 ? -__builtin_inf() : largest + std::log(sum);
  double negative_share = 0;
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t p = row.positives[e];
    if (p == row.own) continue;
    const double own = LogitAt(row, p);
    if (sum == 0) continue;  // log(e / e)
    result.loss += row.weight * Softplus(negatives - own);
    negative_share += Sigmoid(negatives - own);
  }
  if (!row.with_gradient) return result;
  // The positives' slopes read their distances, so they are made first, into
  // the exponentials, which are zero for the anchor's class.
  for (int64_t e = 0; e < row.positives_count; ++e) {
    const int32_t p = row.positives[e];
    if (p == row.own || sum == 0) continue;
    const double own = LogitAt(row, p);
    row.exponentials[p] = static_cast<T>(-Sigmoid(negatives - own));
  }
  const VecT<T> share =
      hn::Set(tag, static_cast<T>(sum == 0 ? 0 : negative_share / sum));
  result.slope_logit =
      StoreSlopes(row, [&](int64_t k, int64_t some, VecT<T>) HWY_ATTR {
        const VecT<T> e = LoadCount(row.exponentials + k, some);
        // Negatives are >= 0 and take the share; positives are < 0 already.
        return hn::IfThenElse(hn::Lt(e, hn::Zero(tag)), e, hn::Mul(e, share));
      });
  return result;
}

template <typename T>
SoftmaxResult SigmoidRow(const SoftmaxRow<T>& row) {
  const Tag<T> tag;
  SoftmaxResult result;
  const double own_s = -static_cast<double>(row.distances[row.own]);
  const double own_logit = row.scale * own_s + row.bias;
  VecT<double> loss = hn::Zero(Tag<double>());
  VecT<double> slopes = hn::Zero(Tag<double>());
  VecT<double> slopes_s = hn::Zero(Tag<double>());
  const VecT<T> to_weight =
      hn::Set(tag, static_cast<T>(-row.weight * row.scale));
  T own_softplus = 0, own_sigmoid = 0;
  ForEachLogit(row, row.scale, row.bias,
               [&](int64_t k, int64_t some, VecT<T> u, VecT<T> s) HWY_ATTR {
                 VecT<T> softplus, sigmoid;
                 SoftplusAndSigmoid(u, softplus, sigmoid);
                 AddToDouble(tag, softplus, loss);
                 AddToDouble(tag, sigmoid, slopes);
                 AddProductToDouble(tag, sigmoid, s, slopes_s);
                 if (row.own >= k && row.own < k + some) {
                   HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
                   hn::Store(softplus, tag, lanes);
                   own_softplus = lanes[row.own - k];
                   hn::Store(sigmoid, tag, lanes);
                   own_sigmoid = lanes[row.own - k];
                 }
                 if (row.with_gradient) {
                   StoreCount(hn::Mul(sigmoid, to_weight), row.distances + k,
                              some);
                 }
               });
  // The positive's is softplus(-u), whose slope is sigmoid(u) - 1.
  const double total = hn::ReduceSum(Tag<double>(), loss) -
                       static_cast<double>(own_softplus) + Softplus(-own_logit);
  const double own_slope = -Sigmoid(-own_logit);
  result.loss = row.weight * total;
  const double correction = own_slope - static_cast<double>(own_sigmoid);
  result.slope =
      row.weight * (hn::ReduceSum(Tag<double>(), slopes) + correction);
  result.slope_logit = row.weight * (hn::ReduceSum(Tag<double>(), slopes_s) +
                                     correction * own_s);
  if (row.with_gradient) {
    row.distances[row.own] =
        static_cast<T>(-row.weight * row.scale * own_slope);
  }
  return result;
}

template <typename T>
SoftmaxResult RunSoftmaxRow(const SoftmaxRow<T>& row) {
  switch (row.kind) {
    case SoftmaxKind::kInfoNce:
      return InfoNceRow(row);
    case SoftmaxKind::kSupervised:
      return SupervisedRow(row);
    case SoftmaxKind::kNtXent:
      return NtXentRow(row);
    case SoftmaxKind::kSigmoid:
      return SigmoidRow(row);
  }
  return SoftmaxResult();
}

// ---- explicit pairs ----

LossSums ExplicitBlock(const ContrastiveLoss& problem,
                       const ContrastiveArrays& arrays, int64_t begin,
                       int64_t end, double scale, bool with_gradient) {
  LossSums sums;
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const int64_t d = problem.d;
    const Metric metric = problem.metric;
    const T* weights = static_cast<const T*>(arrays.weights);
    for (int64_t i = begin; i < end; ++i) {
      const S* a = static_cast<const S*>(arrays.x1) + i * d;
      const S* b = static_cast<const S*>(arrays.x2) + i * d;
      const DirectPair pair = MakePair(metric, a, b, d, with_gradient);
      // A similar pair has no hinge: D^2 counts below zero too.
      const double distance = pair.distance;
      const ContrastiveTerm term =
          arrays.labels[i] == problem.similar_label
              ? ContrastiveTerm{0.5 * distance * distance, distance}
              : MakeContrastiveTerm(distance, false, problem.margin, 0, true);
      const double weight =
          weights == nullptr ? 1.0 : static_cast<double>(weights[i]);
      // A weight of zero takes a NaN out as well.
      const double loss = weight == 0 ? 0 : weight * term.loss;
      sums.Add({loss, weight, term.loss == 0 ? 0 : weight});
      if (problem.reduction == Reduction::kNone && arrays.loss != nullptr) {
        static_cast<T*>(arrays.loss)[i] = static_cast<T>(loss);
      }
      if (!with_gradient) continue;
      const double w = weight == 0 ? 0 : scale * weight * term.slope;
      T* a_grad = static_cast<T*>(arrays.x1_grad) + i * d;
      T* b_grad = static_cast<T*>(arrays.x2_grad) + i * d;
      if (w == 0) {
        for (int64_t k = 0; k < d; ++k) a_grad[k] = b_grad[k] = 0;
        continue;
      }
      StoreSlope(metric, pair, w, a, b, d, a_grad);
      StoreSlope(metric, Exchanged(pair), w, b, a, d, b_grad);
    }
  });
  return sums;
}

constexpr ContrastiveKernels kTable = {
    &RunTile<float>,        &RunTile<double>, &RunSoftmaxRow<float>,
    &RunSoftmaxRow<double>, &LseRow<float>,   &LseRow<double>,
    &ExplicitBlock};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const ContrastiveKernels& Kernels(){TF_PAIRWISE_DISPATCH()}

PairSums RunTile(const ContrastiveTile<float>& tile) {
  return Kernels().narrow_tile(tile);
}
PairSums RunTile(const ContrastiveTile<double>& tile) {
  return Kernels().wide_tile(tile);
}
SoftmaxResult RunRow(const SoftmaxRow<float>& row) {
  return Kernels().narrow_row(row);
}
SoftmaxResult RunRow(const SoftmaxRow<double>& row) {
  return Kernels().wide_row(row);
}
SoftmaxResult RunLse(const SoftmaxRow<float>& row) {
  return Kernels().narrow_lse(row);
}
SoftmaxResult RunLse(const SoftmaxRow<double>& row) {
  return Kernels().wide_lse(row);
}

Status CheckCommon(DType dtype, Metric metric) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(dtype));
  return CheckMetric(metric);
}

Status CheckMargin(const char* name, double margin, double least) {
  if (margin >= least && margin <= 1.7976931348623157e308) return Ok();
  return InvalidArgument("%s: got %g, expected a finite number%s", name, margin,
                         least == 0 ? ", 0 or more" : "");
}

Status CheckRows(const char* name, int64_t n, int64_t d) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (n >= 0 && n < kMost && d >= 0) return Ok();
  return InvalidArgument(
      "%s: got shape [%lld, %lld], expected 0 to 2^31 - 1 rows", name,
      static_cast<long long>(n), static_cast<long long>(d));
}

// ---- all pairs of a batch ----

template <typename T>
struct BatchPlan {
  TileWalk<T> driver;
  Classes<LaneOf<T>> classes;
  PairSums* tiles;      // per tile
  double* anchor_sums;  // [n], kNone
  T* buffers;           // [workers, block + a vector]
  int64_t buffer_size;

  BatchPlan(const BatchContrastiveLoss& problem, bool gradient,
            Scratch& scratch, int workers) {
    driver.LayOut(scratch,
                  {problem.dtype, problem.metric, problem.metric, problem.n,
                   problem.m, problem.d, problem.self},
                  {gradient}, workers);
    classes.LayOut(scratch, problem.n, problem.m, problem.self);
    tiles = scratch.Take<PairSums>(driver.tile_count());
    const bool per_anchor = problem.reduction == Reduction::kNone;
    anchor_sums = per_anchor ? scratch.Take<double>(problem.n) : nullptr;
    buffer_size = driver.tile_columns() + 64;
    buffers = per_anchor ? scratch.Take<T>(workers * buffer_size) : nullptr;
  }
};

// One walk over all tiles.
template <typename T>
PairSums RunTiles(BatchPlan<T>& plan, const BatchContrastiveLoss& problem,
                  const BatchContrastiveArrays& arrays, bool with_gradient,
                  double similar_scale, double dissimilar_scale,
                  const ParallelFor& parallel) {
  TileWalk<T>& driver = plan.driver;
  for (int64_t t = 0; t < driver.tile_count(); ++t) plan.tiles[t] = PairSums();
  if (plan.anchor_sums != nullptr) {
    for (int64_t i = 0; i < problem.n; ++i) plan.anchor_sums[i] = 0;
  }
  const T* weights = static_cast<const T*>(arrays.weights);
  const int64_t diagonal = problem.self ? 0 : problem.self_offset;
  driver.Run(diagonal, with_gradient, parallel,
             [&](const typename TileWalk<T>::Tile& at, int worker) {
               ContrastiveTile<T> tile = {};
               tile.problem = &problem;
               tile.rows = at.block.rows;
               tile.columns = at.block.columns;
               tile.distances = at.tile.data;
               tile.stride = at.tile.stride;
               tile.row_classes = plan.classes.of_anchor + at.block.row;
               tile.column_classes = plan.classes.of_ref + at.block.column;
               tile.row_weights =
                   weights == nullptr ? nullptr : weights + at.block.row;
               tile.column_weights = weights == nullptr || !problem.self
                                         ? nullptr
                                         : weights + at.block.column;
               tile.both_orders = problem.self;
               tile.diagonal = at.diagonal;
               // Without a self pair, far outside of every tile.
               tile.self = diagonal >= 0
                               ? at.block.row + diagonal - at.block.column
                               : -(int64_t{1} << 40);
               tile.with_gradient = with_gradient;
               tile.similar_scale = static_cast<T>(similar_scale);
               tile.dissimilar_scale = static_cast<T>(dissimilar_scale);
               if (plan.anchor_sums != nullptr) {
                 tile.row_sums = plan.anchor_sums + at.block.row;
                 tile.column_sums = plan.anchor_sums + at.block.column;
                 tile.column_buffer = plan.buffers + worker * plan.buffer_size;
               }
               plan.tiles[at.number] = RunTile(tile);
             });
  PairSums total;
  for (int64_t t = 0; t < driver.tile_count(); ++t) {
    total.similar += plan.tiles[t].similar;
    total.dissimilar += plan.tiles[t].dissimilar;
    total.similar_nonzero += plan.tiles[t].similar_nonzero;
    total.dissimilar_nonzero += plan.tiles[t].dissimilar_nonzero;
  }
  return total;
}

double Inverse(double divisor) { return divisor == 0 ? 0 : 1 / divisor; }

template <typename T>
void RunBatch(const BatchContrastiveLoss& problem,
              const BatchContrastiveArrays& arrays, void* base,
              const ParallelFor& parallel) {
  const bool with_gradient =
      arrays.anchors_grad != nullptr || arrays.refs_grad != nullptr;
  const int64_t n = problem.n, m = problem.m;
  Scratch scratch(base);
  BatchPlan<T> plan(problem, with_gradient, scratch, parallel.workers);
  plan.driver.sides.Prepare(arrays.anchors, arrays.refs, parallel);
  plan.classes.Build(arrays.labels, n, arrays.ref_labels, m, problem.self);
  const bool balanced = problem.reduction == Reduction::kBalancedMean;
  double similar_scale = 1, dissimilar_scale = 1;
  if (balanced && with_gradient) {
    // The two means' divisors come first: one walk for them alone.
    const PairSums sums =
        RunTiles(plan, problem, arrays, false, 1, 1, parallel);
    similar_scale = Inverse(sums.similar_nonzero);
    dissimilar_scale = Inverse(sums.dissimilar_nonzero);
  }
  const PairSums sums = RunTiles(plan, problem, arrays, with_gradient,
                                 similar_scale, dissimilar_scale, parallel);
  LossSums total;
  total.sum = sums.similar + sums.dissimilar;
  total.nonzero = sums.similar_nonzero + sums.dissimilar_nonzero;
  const bool offset = !problem.self && problem.self_offset >= 0;
  const double pairs =
      static_cast<double>(m - (problem.self || offset ? 1 : 0));
  for (int64_t i = 0; i < n; ++i) {
    total.counted += LoadCompute(problem.dtype, arrays.weights, i) * pairs;
  }
  const double scale = ScaleOf(problem.reduction, total);
  if (arrays.counted != nullptr) {
    *arrays.counted = DivisorOf(problem.reduction, total);
  }
  if (arrays.loss != nullptr) {
    if (problem.reduction == Reduction::kNone) {
      for (int64_t i = 0; i < n; ++i) {
        const double weight = LoadCompute(problem.dtype, arrays.weights, i);
        static_cast<T*>(arrays.loss)[i] =
            weight == 0 ? T(0) : static_cast<T>(weight * plan.anchor_sums[i]);
      }
    } else if (balanced) {
      const double similar = Inverse(sums.similar_nonzero);
      const double dissimilar = Inverse(sums.dissimilar_nonzero);
      StoreLoss(problem.dtype,
                (similar == 0 ? 0 : similar * sums.similar) +
                    (dissimilar == 0 ? 0 : dissimilar * sums.dissimilar),
                arrays.loss);
    } else {
      StoreLoss(problem.dtype, scale == 0 ? 0 : scale * total.sum, arrays.loss);
    }
  }
  if (!with_gradient) return;
  plan.driver.sides.Finish(scale, arrays.anchors_grad, arrays.refs_grad,
                           parallel);
}

template <typename T>
int64_t BatchBytes(const BatchContrastiveLoss& problem, bool with_gradient,
                   int workers) {
  Scratch scratch(nullptr);
  BatchPlan<T> plan(problem, with_gradient, scratch, workers);
  return scratch.bytes();
}

// ---- losses over dot products ----

template <typename T>
struct SoftmaxPlan {
  RowWalk<T> driver;
  Classes<LaneOf<T>> classes;
  double* losses;        // [n]
  double* slopes;        // [n]
  double* slope_logits;  // [n]
  T* column_largest;     // [n], symmetric
  T* column_log_sum;     // [n], symmetric

  SoftmaxPlan(const SoftmaxLoss& problem, bool gradient, Scratch& scratch,
              int workers) {
    const int64_t n = problem.n, m = problem.m;
    constexpr int64_t kHeldElements = 512 << 10;
    Scratch counter(nullptr);
    counter.Take<T>(m + 64);
    RowWalkOptions options;
    options.x_panels = problem.symmetric;
    options.gradient = options.weights = gradient;
    options.held_elements = kHeldElements;
    options.worker_bytes = counter.bytes();
    driver.LayOut(
        scratch,
        {problem.dtype, problem.normalize ? Metric::kCosine : Metric::kDot,
         Metric::kDot, n, m, problem.d, !ReadsKeys(problem)},
        options, workers);
    if (IsLabelled(problem)) classes.LayOut(scratch, n, m, problem.self);
    losses = scratch.Take<double>(n);
    slopes = scratch.Take<double>(n);
    slope_logits = scratch.Take<double>(n);
    column_largest = problem.symmetric ? scratch.Take<T>(n) : nullptr;
    column_log_sum = problem.symmetric ? scratch.Take<T>(n) : nullptr;
  }
};

// The row's column that is its own: its positive's, or itself; -1 for none.
int64_t OwnColumn(const SoftmaxLoss& problem, int64_t i) {
  if (!IsLabelled(problem)) return i + problem.positive_offset;
  if (problem.self) return i;
  return problem.self_offset < 0 ? -1 : i + problem.self_offset;
}

// What a row counts for in the mean, but for its weight.
template <typename T>
double CountOf(const SoftmaxLoss& problem, const Classes<LaneOf<T>>& classes,
               int64_t i) {
  if (!IsLabelled(problem)) return 1;
  int64_t positives;
  classes.MembersOf(i, &positives);
  const int64_t own = OwnColumn(problem, i);
  if (own >= 0 && classes.of_ref[own] == classes.of_anchor[i]) --positives;
  if (problem.kind == SoftmaxKind::kNtXent) {
    return static_cast<double>(positives);
  }
  return positives > 0 ? 1 : 0;
}

template <typename T>
void RunSoftmax(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                void* base, const ParallelFor& parallel) {
  const int64_t n = problem.n, m = problem.m;
  // Without queries their gradient is an empty array, which may be null.
  const bool with_gradient =
      arrays.queries_grad != nullptr || arrays.keys_grad != nullptr;
  const bool labelled = IsLabelled(problem);
  Scratch scratch(base);
  SoftmaxPlan<T> plan(problem, with_gradient, scratch, parallel.workers);
  RowWalk<T>& driver = plan.driver;
  driver.sides.Prepare(arrays.queries, arrays.keys, parallel);
  if (labelled) {
    plan.classes.Build(arrays.labels, n, arrays.key_labels, m, problem.self);
  }

  SoftmaxRow<T> shared = {};
  shared.kind = problem.kind;
  shared.symmetric = problem.symmetric;
  shared.with_gradient = with_gradient;
  shared.m = m;
  shared.classes = labelled ? plan.classes.of_ref : nullptr;
  shared.column_largest = plan.column_largest;
  shared.column_log_sum = plan.column_log_sum;
  double temperature = 1;
  if (problem.kind == SoftmaxKind::kSigmoid) {
    shared.scale = LoadCompute(problem.dtype, arrays.scale, 0);
    shared.bias = LoadCompute(problem.dtype, arrays.bias, 0);
  } else {
    temperature = LoadCompute(problem.dtype, arrays.temperature, 0);
    shared.inverse_temperature = 1 / temperature;
  }
  const auto weight_of = [&](int64_t i) {
    return LoadCompute(problem.dtype, arrays.weights, i);
  };
  // What the mean divides by is known before any distance.
  LossSums total;
  for (int64_t i = 0; i < n; ++i) {
    total.counted += weight_of(i) * CountOf<T>(problem, plan.classes, i);
  }
  if (arrays.counted != nullptr) *arrays.counted = total.counted;
  const double scale = ScaleOf(problem.reduction, total);
  shared.own_weight = 1;
  if (problem.symmetric) {
    shared.column_weights = static_cast<const T*>(arrays.weights);
  }
  const auto buffer = [](const typename RowWalk<T>::Rows& rows) {
    Scratch own(rows.scratch);
    return own.Take<T>(0);
  };
  if (problem.symmetric) {
    // The other direction's log-sum-exps: a walk with the sides exchanged.
    driver.RunExchanged(parallel, [&](const typename RowWalk<T>::Rows& rows) {
      for (int64_t r = 0; r < rows.block.rows; ++r) {
        const int64_t i = rows.block.row + r;
        SoftmaxRow<T> row = shared;
        row.distances = rows.tile.Row(r);
        row.exponentials = buffer(rows);
        const SoftmaxResult sums = RunLse(row);
        plan.column_largest[i] = static_cast<T>(sums.largest);
        plan.column_log_sum[i] = static_cast<T>(sums.log_sum);
      }
    });
  }
  driver.Run(-1, parallel, [&](const typename RowWalk<T>::Rows& rows) {
    for (int64_t r = 0; r < rows.block.rows; ++r) {
      const int64_t i = rows.block.row + r;
      T* distances = rows.tile.Row(r);
      SoftmaxRow<T> row = shared;
      row.weight = scale;
      (problem.symmetric ? row.own_weight : row.weight) *= weight_of(i);
      SoftmaxResult result;
      if (row.weight == 0) {
        // Takes a NaN row out as well.
        for (int64_t j = 0; with_gradient && j < m; ++j) {
          distances[j] = 0;
        }
      } else {
        row.distances = distances;
        row.exponentials = buffer(rows);
        row.own = OwnColumn(problem, i);
        if (labelled) {
          row.own_class = plan.classes.of_anchor[i];
          row.positives = plan.classes.MembersOf(i, &row.positives_count);
        }
        result = RunRow(row);
      }
      plan.losses[i] = result.loss;
      plan.slopes[i] = result.slope;
      plan.slope_logits[i] = result.slope_logit;
    }
  });
  double slope = 0, slope_logit = 0;
  for (int64_t i = 0; i < n; ++i) {
    total.sum += plan.losses[i];
    slope += plan.slopes[i];
    slope_logit += plan.slope_logits[i];
  }
  if (arrays.loss != nullptr) {
    if (problem.reduction == Reduction::kNone) {
      for (int64_t i = 0; i < n; ++i) {
        static_cast<T*>(arrays.loss)[i] = static_cast<T>(plan.losses[i]);
      }
    } else {
      StoreLoss(problem.dtype, total.sum, arrays.loss);
    }
  }
  if (arrays.temperature_grad != nullptr) {
    StoreLoss(problem.dtype, -slope_logit / temperature,
              arrays.temperature_grad);
  }
  if (arrays.scale_grad != nullptr) {
    StoreLoss(problem.dtype, slope_logit, arrays.scale_grad);
  }
  if (arrays.bias_grad != nullptr) {
    StoreLoss(problem.dtype, slope, arrays.bias_grad);
  }
  if (!with_gradient) return;
  driver.sides.Finish(1, arrays.queries_grad, arrays.keys_grad, parallel);
}

template <typename T>
int64_t SoftmaxBytes(const SoftmaxLoss& problem, bool with_gradient,
                     int workers) {
  Scratch scratch(nullptr);
  SoftmaxPlan<T> plan(problem, with_gradient, scratch, workers);
  return scratch.bytes();
}

}  // namespace

Status Check(const ContrastiveLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMargin("margin", problem.margin, 0));
  if (static_cast<int32_t>(problem.reduction) < 0 ||
      problem.reduction > Reduction::kMeanNonzero) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean or mean_nonzero",
        static_cast<int>(problem.reduction));
  }
  return CheckRows("x1", problem.n, problem.d);
}

int64_t ContrastiveLossScratchBytes(const ContrastiveLoss& problem, int) {
  return ExplicitBlocks(problem.n, problem.d) *
         static_cast<int64_t>(sizeof(LossSums));
}

Status ContrastiveLossCpu(const ContrastiveLoss& problem,
                          const ContrastiveArrays& arrays, void* scratch,
                          const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const ContrastiveKernels& kernels = Kernels();
  ReduceExplicit(problem.dtype, problem.reduction, problem.n, problem.d,
                 arrays.weights, arrays.x1_grad != nullptr, arrays.loss,
                 static_cast<LossSums*>(scratch), parallel,
                 [&](int64_t begin, int64_t end, double scale, bool gradient) {
                   return kernels.explicit_block(problem, arrays, begin, end,
                                                 scale, gradient);
                 });
  return Ok();
}

Status Check(const BatchContrastiveLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMargin("margin", problem.margin, 0));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMargin(
      "positive_margin", problem.positive_margin, -1.7976931348623157e308));
  if (static_cast<int32_t>(problem.reduction) < 0 ||
      problem.reduction > Reduction::kBalancedMean) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean, mean_nonzero or "
        "balanced_mean",
        static_cast<int>(problem.reduction));
  }
  TF_PAIRWISE_RETURN_IF_ERROR(CheckRows("embeddings", problem.n, problem.d));
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckRows("ref_embeddings", problem.m, problem.d));
  return CheckReferences(problem.self, problem.self_offset, problem.n,
                         problem.m);
}

int64_t BatchContrastiveLossScratchBytes(const BatchContrastiveLoss& problem,
                                         bool with_gradient, int workers) {
  return problem.dtype == DType::kFloat64
             ? BatchBytes<double>(problem, with_gradient, workers)
             : BatchBytes<float>(problem, with_gradient, workers);
}

Status BatchContrastiveLossCpu(const BatchContrastiveLoss& problem,
                               const BatchContrastiveArrays& arrays,
                               void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.dtype == DType::kFloat64) {
    RunBatch<double>(problem, arrays, scratch, parallel);
  } else {
    RunBatch<float>(problem, arrays, scratch, parallel);
  }
  return Ok();
}

Status Check(const SoftmaxLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, Metric::kDot));
  if (static_cast<int32_t>(problem.kind) < 0 ||
      problem.kind > SoftmaxKind::kSigmoid) {
    return InvalidArgument("kind: got the unknown value %d",
                           static_cast<int>(problem.kind));
  }
  if (static_cast<int32_t>(problem.reduction) < 0 ||
      problem.reduction > Reduction::kMean) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum or mean",
        static_cast<int>(problem.reduction));
  }
  const bool labelled = IsLabelled(problem);
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckRows(labelled ? "embeddings" : "queries", problem.n, problem.d));
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckRows(labelled ? "ref_embeddings" : "keys", problem.m, problem.d));
  if (problem.symmetric && problem.kind != SoftmaxKind::kInfoNce) {
    return InvalidArgument(
        "symmetric: got true, expected false but for info_nce_loss");
  }
  if (labelled) {
    return CheckReferences(problem.self, problem.self_offset, problem.n,
                           problem.m);
  }
  if (problem.symmetric ? problem.m != problem.n : problem.m < problem.n) {
    return InvalidArgument(
        "keys: got %lld rows, expected the %lld of queries%s",
        static_cast<long long>(problem.m), static_cast<long long>(problem.n),
        problem.symmetric ? ", since symmetric is true" : ", or more");
  }
  if (problem.symmetric && problem.positive_offset != 0) {
    return InvalidArgument(
        "positive_offset: got %lld, expected 0, since symmetric is true",
        static_cast<long long>(problem.positive_offset));
  }
  // As a difference, which cannot overflow.
  if (problem.positive_offset < 0 ||
      problem.positive_offset > problem.m - problem.n) {
    return InvalidArgument(
        "positive_offset: got %lld with %lld queries and %lld keys, expected 0 "
        "to the difference",
        static_cast<long long>(problem.positive_offset),
        static_cast<long long>(problem.n), static_cast<long long>(problem.m));
  }
  return Ok();
}

Status CheckTemperature(double temperature) {
  if (temperature > 0 && temperature <= 1.7976931348623157e308) return Ok();
  return InvalidArgument("temperature: got %g, expected a finite number > 0",
                         temperature);
}

int64_t SoftmaxLossScratchBytes(const SoftmaxLoss& problem, bool with_gradient,
                                int workers) {
  return problem.dtype == DType::kFloat64
             ? SoftmaxBytes<double>(problem, with_gradient, workers)
             : SoftmaxBytes<float>(problem, with_gradient, workers);
}

Status SoftmaxLossCpu(const SoftmaxLoss& problem, const SoftmaxArrays& arrays,
                      void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.kind != SoftmaxKind::kSigmoid) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        CheckTemperature(LoadCompute(problem.dtype, arrays.temperature, 0)));
  }
  if (problem.dtype == DType::kFloat64) {
    RunSoftmax<double>(problem, arrays, scratch, parallel);
  } else {
    RunSoftmax<float>(problem, arrays, scratch, parallel);
  }
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

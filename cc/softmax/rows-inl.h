// The soft-max losses of blocks of rows, whose distances D = -s become the
// weights of the gradient. Included once per target.

#if defined(TF_PAIRWISE_SOFTMAX_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_SOFTMAX_ROWS_INL_H_
#undef TF_PAIRWISE_SOFTMAX_ROWS_INL_H_
#else
#define TF_PAIRWISE_SOFTMAX_ROWS_INL_H_
#endif

#include "core/block.h"
#include "core/classes.h"
#include "core/rounds.h"
#include "simd/convert-inl.h"
#include "softmax/softmax.h"
#include "softmax/softmax_pair-inl.h"

#ifndef TF_PAIRWISE_SOFTMAX_ROWS_ONCE_
#define TF_PAIRWISE_SOFTMAX_ROWS_ONCE_
namespace tf_pairwise {
namespace {

// What all rows of a call have in common.
template <typename T>
struct SoftmaxRows {
  const SoftmaxLoss* problem;
  bool with_gradient;
  const Classes<LaneOf<T>>* classes;  // where the kind has labels
  const T* weights;                   // [n], or null for ones
  // kSigmoid: l = scale s + bias; else l = s inverse_temperature.
  double inverse_temperature, scale, bias;
  double loss_scale;  // what all losses are multiplied by
  // Symmetric: what each column's soft-max is made of.
  T* column_largest;  // [n]
  T* column_log_sum;  // [n]
  // Per row: the loss, and its slopes summed over the logits, alone and each
  // times s / temperature (kSigmoid: times s).
  double* losses;
  double* slopes;
  double* slope_logits;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_SOFTMAX_ROWS_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// A row, its weight in `weight`.
template <typename T>
struct SoftmaxRow {
  const SoftmaxRows<T>& all;
  int64_t i;
  int64_t m;
  int64_t itself;  // the column of its positive, or of itself; negative: none
  T* distances;
  T* exponentials;  // [m + a vector]
  T* hidden;        // [m]
  double weight;

  HWY_INLINE double factor() const { return -all.inverse_temperature; }
  // With the rounding that a logit has in SumExponentials: what is left of two
  // large ones has to be nothing where they are equal.
  HWY_INLINE double LogitOf(T distance) const {
    return static_cast<T>(factor()) * distance;
  }
  HWY_INLINE double LogitAt(int64_t j) const { return LogitOf(distances[j]); }
  // What a slope with respect to the logit is multiplied by.
  HWY_INLINE double to_weight() const {
    return -weight * all.inverse_temperature;
  }
};

struct RowResult {
  double loss = 0, slope = 0, slope_logit = 0;
};

template <typename T>
HWY_INLINE void ClearRow(const SoftmaxRow<T>& row) {
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    StoreCount(hn::Zero(Tag<T>()), row.distances + k, some);
  });
}

// The least distance, whose logit is the largest, to the last bit: rounding
// keeps the order. NaNs may be lost.
template <typename T>
HWY_INLINE T LeastDistance(const T* distances, int64_t m) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> none = hn::Set(tag, static_cast<T>(__builtin_inf()));
  VecT<T> least0 = none, least1 = none;
  int64_t k = 0;
  for (; k + 2 * lanes <= m; k += 2 * lanes) {
    least0 = hn::Min(least0, hn::LoadU(tag, distances + k));
    least1 = hn::Min(least1, hn::LoadU(tag, distances + k + lanes));
  }
  for (; k < m; k += lanes) {
    const int64_t some = Least(m - k, lanes);
    VecT<T> d = LoadCount(distances + k, some);
    if (some != lanes) {
      d = hn::IfThenElse(hn::FirstN(tag, static_cast<size_t>(some)), d, none);
    }
    least0 = hn::Min(least0, d);
  }
  return hn::ReduceMin(tag, hn::Min(least0, least1));
}

// The row's log-sum-exp, in two passes; the exponentials are kept.
template <typename T>
HWY_INLINE LogSum<double> SumExponentials(const SoftmaxRow<T>& row) {
  const Tag<T> tag;
  const T factor = static_cast<T>(row.factor());
  const T least = LeastDistance(row.distances, row.m);
  LogSum<double> sums = EmptyLogSum(0.0);
  if (least == static_cast<T>(__builtin_inf())) {
    // Nothing to sum, or NaNs that the minimum lost.
    ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
      const auto lost = hn::IsNaN(LoadCount(row.distances + k, some));
      if (!hn::AllFalse(tag, lost)) sums.sum = __builtin_nan("");
      StoreCount(hn::Zero(tag), row.exponentials + k, some);
    });
    return sums;
  }
  const T largest = factor * least;
  const VecT<T> shift = hn::Set(tag, largest), f = hn::Set(tag, factor);
  VecT<double> total = hn::Zero(Tag<double>());
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> d = LoadCount(row.distances + k, some);
    VecT<T> e = ShiftedExp(hn::Mul(f, d), shift);
    if (some != LanesOf<T>()) {
      e = hn::IfThenElseZero(hn::FirstN(tag, static_cast<size_t>(some)), e);
    }
    AddToDouble(tag, e, total);
    StoreCount(e, row.exponentials + k, some);
  });
  sums.largest = static_cast<double>(largest);
  sums.sum = hn::ReduceSum(Tag<double>(), total);
  return sums;
}

// distances = the gradient's weights of the slopes d loss / d logit = weight *
// slopes; returns the sum of slopes times logits.
template <typename T, typename Slopes>
HWY_INLINE double StoreSlopes(const SoftmaxRow<T>& row, const Slopes& slopes) {
  const Tag<T> tag;
  const VecT<T> to_weight = hn::Set(tag, static_cast<T>(row.to_weight()));
  VecT<double> total = hn::Zero(Tag<double>());
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> d = LoadCount(row.distances + k, some);
    const VecT<T> g = slopes(k, some, d);
    AddProductToDouble(tag, g, d, total);
    StoreCount(hn::Mul(g, to_weight), row.distances + k, some);
  });
  return -hn::ReduceSum(Tag<double>(), total) * row.all.inverse_temperature *
         row.weight;
}

// ---- info_nce ----

template <typename T>
RowResult InfoNceRow(SoftmaxRow<T> row) {
  RowResult result;
  const LogSum<double> sums = SumExponentials(row);
  const double positive = row.LogitAt(row.itself);
  result.loss = row.weight * CrossEntropy(sums, positive);
  if (!row.all.with_gradient) return result;
  const T of_positive = row.exponentials[row.itself];
  const double slope = static_cast<double>(of_positive) / sums.sum - 1;
  const double distance = static_cast<double>(row.distances[row.itself]);
  const VecT<T> inverse = hn::Set(Tag<T>(), static_cast<T>(1 / sums.sum));
  result.slope_logit =
      StoreSlopes(row, [&](int64_t k, int64_t some, VecT<T>) HWY_ATTR {
        return RowShare(LoadCount(row.exponentials + k, some), inverse);
      });
  // Soft-max less 1 without the cancellation that a sum of lanes would have.
  row.distances[row.itself] = static_cast<T>(row.to_weight() * slope);
  result.slope_logit += row.weight * distance * row.all.inverse_temperature;
  return result;
}

// The mean of both directions. A column's soft-max is its own row's, whose
// weight it has; row.weight is what all of them have in common.
template <typename T>
RowResult SymmetricRow(SoftmaxRow<T> row) {
  const Tag<T> tag;
  const SoftmaxRows<T>& all = row.all;
  RowResult result;
  const double own_weight = all.weights == nullptr ? 1.0 : all.weights[row.i];
  const double weight = row.weight * own_weight;
  const LogSum<double> sums = SumExponentials(row);
  const double positive = row.LogitAt(row.itself);
  const double column_largest = all.column_largest[row.itself];
  const double column_log_sum = all.column_log_sum[row.itself];
  result.loss =
      0.5 * (Weighted(weight, CrossEntropy(sums, positive)) +
             Weighted(weight, column_largest - positive + column_log_sum));
  if (!all.with_gradient) return result;
  const T of_positive = row.exponentials[row.itself];
  const double slope =
      0.5 * static_cast<double>(of_positive) / sums.sum +
      0.5 * ColumnShare(positive, column_largest, column_log_sum) - 1;
  const double distance = static_cast<double>(row.distances[row.itself]);
  const VecT<T> inverse =
      hn::Set(tag, static_cast<T>(0.5 * own_weight / sums.sum));
  const VecT<T> f = hn::Set(tag, static_cast<T>(row.factor()));
  result.slope_logit = StoreSlopes(row, [&](int64_t k, int64_t some,
                                            VecT<T> d) HWY_ATTR {
    VecT<T> half = hn::Set(tag, static_cast<T>(0.5));
    if (all.weights != nullptr) {
      half = hn::Mul(half, LoadCount(all.weights + k, some));
    }
    const VecT<T> column =
        ColumnShare(hn::Mul(f, d), LoadCount(all.column_largest + k, some),
                    LoadCount(all.column_log_sum + k, some));
    return hn::MulAdd(half, column,
                      RowShare(LoadCount(row.exponentials + k, some), inverse));
  });
  row.distances[row.itself] =
      static_cast<T>(-weight * all.inverse_temperature * slope);
  result.slope_logit += weight * distance * all.inverse_temperature;
  return result;
}

// ---- the labelled kinds ----

// Calls `function(e, p)` for the row's positives p, number e of its members.
template <typename T, typename Function>
HWY_INLINE void ForEachPositive(const SoftmaxRow<T>& row,
                                const Function& function) {
  int64_t size;
  const int32_t* members = row.all.classes->MembersOf(row.i, &size);
  for (int64_t e = 0; e < size; ++e) {
    if (members[e] != row.itself) function(e, int64_t{members[e]});
  }
}

// Where no logit comes of it, and, after the sum, no slope times logit.
template <typename T>
HWY_INLINE void HideItself(const SoftmaxRow<T>& row) {
  if (row.itself >= 0) {
    row.distances[row.itself] = static_cast<T>(__builtin_inf());
  }
}
template <typename T>
HWY_INLINE void ClearItself(const SoftmaxRow<T>& row) {
  if (row.itself >= 0) row.distances[row.itself] = 0;
}

template <typename T>
RowResult SupervisedRow(SoftmaxRow<T> row) {
  RowResult result;
  int64_t count = 0;
  double positives = 0;
  ForEachPositive(row, [&](int64_t, int64_t p) HWY_ATTR {
    positives += row.LogitAt(p);
    ++count;
  });
  if (count == 0) {
    if (row.all.with_gradient) ClearRow(row);
    return result;
  }
  HideItself(row);
  const LogSum<double> sums = SumExponentials(row);
  ClearItself(row);
  result.loss =
      row.weight * SupervisedLoss(sums, positives, static_cast<double>(count));
  if (!row.all.with_gradient) return result;
  const VecT<T> inverse = hn::Set(Tag<T>(), static_cast<T>(1 / sums.sum));
  result.slope_logit =
      StoreSlopes(row, [&](int64_t k, int64_t some, VecT<T>) HWY_ATTR {
        return RowShare(LoadCount(row.exponentials + k, some), inverse);
      });
  result.slope_logit -= row.weight * positives / static_cast<double>(count);
  const double share = 1.0 / static_cast<double>(count);
  ForEachPositive(row, [&](int64_t, int64_t p) HWY_ATTR {
    row.distances[p] = static_cast<T>(
        row.to_weight() *
        SupervisedPositiveSlope(static_cast<double>(row.exponentials[p]),
                                sums.sum, share));
  });
  return result;
}

template <typename T>
RowResult NtXentRow(SoftmaxRow<T> row) {
  RowResult result;
  // The sum is over the negatives.
  ForEachPositive(row, [&](int64_t e, int64_t p) HWY_ATTR {
    row.hidden[e] = row.distances[p];
    row.distances[p] = static_cast<T>(__builtin_inf());
  });
  HideItself(row);
  const LogSum<double> sums = SumExponentials(row);
  ClearItself(row);
  const bool alone = sums.sum == 0;  // no negatives: log(e / e)
  const double negatives =
      alone ? sums.largest : static_cast<double>(LogOfSum(sums));
  double shares = 0;
  // The exponentials of positives, which are 0, become their slopes.
  ForEachPositive(row, [&](int64_t e, int64_t p) HWY_ATTR {
    row.distances[p] = row.hidden[e];
    if (alone) return;
    double loss, share;
    NtXentPositive(row.LogitOf(row.hidden[e]), negatives, loss, share);
    result.loss += row.weight * loss;
    shares += share;
    row.exponentials[p] = static_cast<T>(-share);
  });
  if (!row.all.with_gradient) return result;
  const VecT<T> shares_over_sum =
      hn::Set(Tag<T>(), static_cast<T>(alone ? 0 : shares / sums.sum));
  result.slope_logit = StoreSlopes(row, [&](int64_t k, int64_t some,
                                            VecT<T>) HWY_ATTR {
    return NtXentSlope(LoadCount(row.exponentials + k, some), shares_over_sum);
  });
  return result;
}

// ---- sigmoid ----

template <typename T>
RowResult SigmoidRow(SoftmaxRow<T> row) {
  const Tag<T> tag;
  const SoftmaxRows<T>& all = row.all;
  RowResult result;
  const int64_t positive = row.itself;
  const double s = -static_cast<double>(row.distances[positive]);
  const VecT<T> f = hn::Set(tag, static_cast<T>(-all.scale));
  const VecT<T> bias = hn::Set(tag, static_cast<T>(all.bias));
  const VecT<T> to_weight =
      hn::Set(tag, static_cast<T>(-row.weight * all.scale));
  VecT<double> losses = hn::Zero(Tag<double>());
  VecT<double> slopes = losses, slopes_s = losses;
  // All but the positive, which would hide what is small beside its parts.
  ForEachVector<T>(row.m, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> d = LoadCount(row.distances + k, some);
    VecT<T> loss, slope;
    SigmoidPair<false>(hn::MulAdd(f, d, bias), loss, slope);
    if (some != LanesOf<T>()) {
      const auto there = hn::FirstN(tag, static_cast<size_t>(some));
      loss = hn::IfThenElseZero(there, loss);
      slope = hn::IfThenElseZero(there, slope);
    }
    if (positive >= k && positive < k + some) {
      HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
      const auto without = [&](VecT<T>& values) HWY_ATTR {
        hn::Store(values, tag, lanes);
        lanes[positive - k] = 0;
        values = hn::Load(tag, lanes);
      };
      without(loss);
      without(slope);
    }
    AddToDouble(tag, loss, losses);
    AddToDouble(tag, slope, slopes);
    AddProductToDouble(tag, slope, hn::Neg(d), slopes_s);
    if (all.with_gradient) {
      StoreCount(hn::Mul(slope, to_weight), row.distances + k, some);
    }
  });
  double own_loss, own_slope;
  SigmoidPair<true>(all.scale * s + all.bias, own_loss, own_slope);
  result.loss = row.weight * (hn::ReduceSum(Tag<double>(), losses) + own_loss);
  result.slope =
      row.weight * (hn::ReduceSum(Tag<double>(), slopes) + own_slope);
  result.slope_logit =
      row.weight * (hn::ReduceSum(Tag<double>(), slopes_s) + own_slope * s);
  if (all.with_gradient) {
    row.distances[positive] =
        static_cast<T>(-row.weight * all.scale * own_slope);
  }
  return result;
}

// ---- blocks ----

template <typename T>
HWY_INLINE SoftmaxRow<T> RowOf(const SoftmaxRows<T>& all, const Block& block,
                               const TileView<T>& tile, T* buffer, int64_t r) {
  return {all,
          block.row + r,
          block.columns,
          OwnColumn(*all.problem, block.row + r),
          tile.Row(r),
          buffer,
          buffer + block.columns + 64,
          1};
}

// `of(row)` makes a row. One of weight 0 is none, whatever is in it.
template <typename T, typename RowFunction>
HWY_INLINE void ForEachRow(const SoftmaxRows<T>& all, const Block& block,
                           const TileView<T>& tile, T* buffer, bool symmetric,
                           const RowFunction& of) {
  for (int64_t r = 0; r < block.rows; ++r) {
    SoftmaxRow<T> row = RowOf(all, block, tile, buffer, r);
    row.weight = all.loss_scale;
    if (!symmetric && all.weights != nullptr) {
      row.weight *= static_cast<double>(all.weights[row.i]);
    }
    RowResult result;
    if (row.weight != 0) {
      result = of(row);
    } else if (all.with_gradient) {
      ClearRow(row);
    }
    all.losses[row.i] = result.loss;
    all.slopes[row.i] = result.slope;
    all.slope_logits[row.i] = result.slope_logit;
  }
}

template <typename T>
void RunRows(const SoftmaxRows<T>& all, const Block& block,
             const TileView<T>& tile, T* buffer) {
  const auto run = [&](RowResult (*of)(SoftmaxRow<T>)) {
    ForEachRow(all, block, tile, buffer, all.problem->symmetric, of);
  };
  switch (all.problem->kind) {
    case SoftmaxKind::kInfoNce:
      return run(all.problem->symmetric ? &SymmetricRow<T> : &InfoNceRow<T>);
    case SoftmaxKind::kSupervised:
      return run(&SupervisedRow<T>);
    case SoftmaxKind::kNtXent:
      return run(&NtXentRow<T>);
    case SoftmaxKind::kSigmoid:
      return run(&SigmoidRow<T>);
  }
}

// The log-sum-exps of a block of columns, which stand in the tile's rows.
template <typename T>
void SumColumns(const SoftmaxRows<T>& all, const Block& block,
                const TileView<T>& tile, T* buffer) {
  for (int64_t r = 0; r < block.rows; ++r) {
    const SoftmaxRow<T> row = RowOf(all, block, tile, buffer, r);
    const LogSum<double> sums = SumExponentials(row);
    all.column_largest[row.i] = static_cast<T>(sums.largest);
    all.column_log_sum[row.i] = static_cast<T>(Log(sums.sum));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_SOFTMAX_ROWS_INL_H_

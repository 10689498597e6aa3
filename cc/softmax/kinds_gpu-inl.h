#ifndef TF_PAIRWISE_SOFTMAX_KINDS_GPU_INL_H_
#define TF_PAIRWISE_SOFTMAX_KINDS_GPU_INL_H_

#include "core/numerics-inl.h"
#include "softmax/rows_gpu-inl.h"

// The kinds of soft-max losses on a GPU, a block to a row:
//
//   struct Kind {
//     TF_PAIRWISE_KERNEL_NAME("kind");
//     // Whether its rows have a part whatever their weight, which is what all
//     // rows have in common then.
//     static constexpr bool kSharedWeight;
//     // Turns the row's distances into the gradient's weights.
//     static SoftmaxResult Of(B& block, const SoftmaxRow& row);
//   };

namespace tf_pairwise {

struct InfoNceRow {
  TF_PAIRWISE_KERNEL_NAME("info_nce");
  static constexpr bool kSharedWeight = false;

  template <class B, typename T, int kThreads>
  static TF_PAIRWISE_DEVICE SoftmaxResult
  Of(B& block, const SoftmaxRow<T, kThreads>& row) {
    const RowSums sums = Sums(block, row);
    SoftmaxResult result;
    result.loss = row.weight * CrossEntropy(sums.all, sums.positives);
    if (!row.all.with_gradient) return result;
    const T largest = static_cast<T>(sums.all.largest);
    const T inverse = static_cast<T>(1 / sums.all.sum);
    result.slope_logit = row.StoreSlopes(block, [&](int64_t j, T& d) {
      const T e = ShiftedExp(row.LogitOf(d), largest);
      // Soft-max less 1 as it is where the positive has all of the sum.
      return j == row.own
                 ? static_cast<T>(static_cast<double>(e) / sums.all.sum - 1)
                 : RowShare(e, inverse);
    });
    return result;
  }

  // Of all logits; the positive's is that of the row's own column.
  template <class B, typename T, int kThreads>
  static TF_PAIRWISE_DEVICE RowSums Sums(B& block,
                                         const SoftmaxRow<T, kThreads>& row) {
    return row.SumExponentials(block, [&](int64_t j, double& positives) {
      const T logit = row.LogitOf(row.distances[j]);
      if (j == row.own) positives += static_cast<double>(logit);
      return logit;
    });
  }
};

// The mean of both directions. A column's soft-max is its own row's, whose
// weight it has.
struct SymmetricRow {
  TF_PAIRWISE_KERNEL_NAME("symmetric");
  static constexpr bool kSharedWeight = true;

  template <class B, typename T, int kThreads>
  static TF_PAIRWISE_DEVICE SoftmaxResult
  Of(B& block, const SoftmaxRow<T, kThreads>& row) {
    const SoftmaxRowsArguments<T>& all = row.all;
    const double own_weight = row.OwnWeight();
    const double weight = row.weight * own_weight;
    const RowSums sums = InfoNceRow::Sums(block, row);
    // The positive's column is number i.
    const double column_largest = all.column_largest[row.i];
    const double column_log_sum = all.column_log_sum[row.i];
    SoftmaxResult result;
    result.loss =
        0.5 *
        (Weighted(weight, CrossEntropy(sums.all, sums.positives)) +
         Weighted(weight, column_largest - sums.positives + column_log_sum));
    if (!all.with_gradient) return result;
    const T largest = static_cast<T>(sums.all.largest);
    const T inverse = static_cast<T>(0.5 * own_weight / sums.all.sum);
    result.slope_logit = row.StoreSlopes(block, [&](int64_t j, T& d) {
      const T logit = row.LogitOf(d);
      const T e = ShiftedExp(logit, largest);
      const T column =
          ColumnShare(logit, all.column_largest[j], all.column_log_sum[j]);
      if (j == row.own) {
        return static_cast<T>(own_weight *
                              (0.5 * static_cast<double>(e) / sums.all.sum +
                               0.5 * static_cast<double>(column) - 1));
      }
      T half = static_cast<T>(0.5);
      if (all.weights != nullptr) half *= all.weights[j];
      return MulAdd(half, column, RowShare(e, inverse));
    });
    return result;
  }
};

struct SupervisedRow {
  TF_PAIRWISE_KERNEL_NAME("supervised");
  static constexpr bool kSharedWeight = false;

  template <class B, typename T, int kThreads>
  static TF_PAIRWISE_DEVICE SoftmaxResult
  Of(B& block, const SoftmaxRow<T, kThreads>& row) {
    const double count = row.all.positives[row.i];
    if (count == 0) return row.ClearRow(block);
    const RowSums sums =
        row.SumExponentials(block, [&](int64_t j, double& positives) {
          if (j == row.own) return NoLogit<T>();
          const T logit = row.LogitOf(row.distances[j]);
          if (row.HasLabel(j)) positives += static_cast<double>(logit);
          return logit;
        });
    SoftmaxResult result;
    result.loss = row.weight * SupervisedLoss(sums.all, sums.positives, count);
    if (!row.all.with_gradient) return result;
    const T largest = static_cast<T>(sums.all.largest);
    const T inverse = static_cast<T>(1 / sums.all.sum);
    const double share = 1 / count;
    result.slope_logit = row.StoreSlopes(block, [&](int64_t j, T& d) {
      T e = ShiftedExp(row.LogitOf(d), largest);
      if (j == row.own) {
        e = d = 0;
      } else if (row.HasLabel(j)) {
        return static_cast<T>(SupervisedPositiveSlope(static_cast<double>(e),
                                                      sums.all.sum, share));
      }
      return RowShare(e, inverse);
    });
    return result;
  }
};

struct NtXentRow {
  TF_PAIRWISE_KERNEL_NAME("nt_xent");
  static constexpr bool kSharedWeight = false;

  template <class B, typename T, int kThreads>
  static TF_PAIRWISE_DEVICE SoftmaxResult
  Of(B& block, const SoftmaxRow<T, kThreads>& row) {
    // The sum is over the negatives.
    const RowSums sums = row.SumExponentials(block, [&](int64_t j, double&) {
      return j == row.own || row.HasLabel(j) ? NoLogit<T>()
                                             : row.LogitOf(row.distances[j]);
    });
    // No negatives: log(e / e).
    if (sums.all.sum == 0) return row.ClearRow(block);
    const double negatives = LogOfSum(sums.all);
    // Their difference in double, the rest in T.
    const auto of_positive = [&](T logit, T& loss, T& share) {
      const double difference = static_cast<double>(logit) - negatives;
      NtXentPositive(static_cast<T>(difference), T(0), loss, share);
    };
    const LossAndShares positives = block.Reduce(
        [&](int thread, typename B::Shared&, typename B::ThreadRegisters&) {
          LossAndShares own = {0, 0};
          for (int64_t j = thread; j < row.all.columns; j += kThreads) {
            if (j == row.own || !row.HasLabel(j)) continue;
            T loss, share;
            of_positive(row.LogitOf(row.distances[j]), loss, share);
            own.loss += static_cast<double>(loss);
            own.shares += static_cast<double>(share);
          }
          return own;
        },
        PlusLossAndShares());
    SoftmaxResult result;
    result.loss = row.weight * positives.loss;
    if (!row.all.with_gradient) return result;
    const T largest = static_cast<T>(sums.all.largest);
    const T shares_over_sum = static_cast<T>(positives.shares / sums.all.sum);
    result.slope_logit = row.StoreSlopes(block, [&](int64_t j, T& d) {
      const T logit = row.LogitOf(d);
      T element = ShiftedExp(logit, largest);
      if (j == row.own) {
        element = d = 0;
      } else if (row.HasLabel(j)) {
        T loss, share;
        of_positive(logit, loss, share);
        element = -share;
      }
      return NtXentSlope(element, shares_over_sum);
    });
    return result;
  }

  struct LossAndShares {
    double loss, shares;
  };
  struct PlusLossAndShares {
    TF_PAIRWISE_DEVICE LossAndShares operator()(const LossAndShares& a,
                                                const LossAndShares& b) const {
      return {a.loss + b.loss, a.shares + b.shares};
    }
  };
};

struct SigmoidRow {
  TF_PAIRWISE_KERNEL_NAME("sigmoid");
  static constexpr bool kSharedWeight = false;

  template <class B, typename T, int kThreads>
  static TF_PAIRWISE_DEVICE SoftmaxResult
  Of(B& block, const SoftmaxRow<T, kThreads>& row) {
    using Row = SoftmaxRow<T, kThreads>;
    const double scale = row.all.scalars->scale, bias = row.all.scalars->bias;
    const T f = static_cast<T>(-scale), b = static_cast<T>(bias);
    const T to_weight = static_cast<T>(-row.weight * scale);
    const int64_t columns = row.all.columns;
    SoftmaxResult result = block.Reduce(
        [&](int thread, typename B::Shared&, typename B::ThreadRegisters&) {
          SoftmaxResult own;
          for (int64_t first = thread; first < columns; first += Row::kStep) {
            T losses = 0, slopes = 0, slopes_d = 0;
            TF_PAIRWISE_UNROLL for (int u = 0; u < Row::kAtOnce; ++u) {
              const int64_t j = first + u * kThreads;
              if (j >= columns || j == row.own) continue;
              const T d = row.distances[j];
              T loss, slope;
              SigmoidPair<false>(MulAdd(f, d, b), loss, slope);
              losses += loss;
              slopes += slope;
              slopes_d += slope * d;
              if (row.all.with_gradient) row.distances[j] = slope * to_weight;
            }
            own.loss += static_cast<double>(losses);
            own.slope += static_cast<double>(slopes);
            own.slope_logit -= static_cast<double>(slopes_d);
          }
          if (row.own % kThreads != thread) return own;
          // The positive, whose part is the largest at first: in double.
          const double s = -static_cast<double>(row.distances[row.own]);
          double loss, slope;
          SigmoidPair<true>(scale * s + bias, loss, slope);
          own.loss += loss;
          own.slope += slope;
          own.slope_logit += slope * s;
          if (row.all.with_gradient) {
            row.distances[row.own] =
                static_cast<T>(-row.weight * scale * slope);
          }
          return own;
        },
        PlusOf());
    result.loss *= row.weight;
    result.slope *= row.weight;
    result.slope_logit *= row.weight;
    return result;
  }
};

// A block a row of the strip.
template <class Kind, typename T>
struct SoftmaxRowsKernel {
  TF_PAIRWISE_KERNEL_NAME("softmax_" + Kind::Name() + "_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = sizeof(T) == 8 ? 2 : 4;
  using Arguments = SoftmaxRowsArguments<T>;
  struct Shared {};
  using ThreadRegisters = ThreadLogits<T>;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    SoftmaxRow<T, kThreads> row(a, block.x());
    if (!Kind::kSharedWeight) row.weight *= row.OwnWeight();
    // A row of weight 0 is none, whatever is in it.
    const SoftmaxResult result =
        row.weight == 0 ? row.ClearRow(block) : Kind::Of(block, row);
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      a.results[row.i] = result;
      if (a.losses != nullptr) a.losses[row.i] = static_cast<T>(result.loss);
    });
  }
};

// The log-sum-exps of columns, which stand in the strip's rows.
template <typename T>
struct SoftmaxColumnsKernel {
  TF_PAIRWISE_KERNEL_NAME("softmax_columns_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = sizeof(T) == 8 ? 2 : 4;
  using Arguments = SoftmaxRowsArguments<T>;
  struct Shared {};
  using ThreadRegisters = ThreadLogits<T>;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const SoftmaxRow<T, kThreads> row(a, block.x());
    const RowSums sums = InfoNceRow::Sums(block, row);
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      a.column_largest[row.i] = static_cast<T>(sums.all.largest);
      a.column_log_sum[row.i] = static_cast<T>(Log(sums.all.sum));
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SOFTMAX_KINDS_GPU_INL_H_

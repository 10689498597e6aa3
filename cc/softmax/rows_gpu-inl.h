#ifndef TF_PAIRWISE_SOFTMAX_ROWS_GPU_INL_H_
#define TF_PAIRWISE_SOFTMAX_ROWS_GPU_INL_H_

#include "core/lanes-inl.h"
#include "cuda/block.h"
#include "cuda/halves.h"
#include "cuda/rounded.h"
#include "softmax/softmax_pair-inl.h"
#include "softmax/totals_gpu-inl.h"

// A row of a soft-max loss on a GPU, a block's: its log-sum-exp, and the slopes
// that take the place of its distances D = -s. What rows-inl.h is on the CPU.
//
// A thread has every 256th column of a row, some of them at a time: these are
// added in T, and their sums in double.

namespace tf_pairwise {

template <typename T>
struct SoftmaxRowsArguments {
  int64_t row;       // the first of the strip
  int64_t columns;   // all
  int64_t diagonal;  // j == i + diagonal is the row's own column, its positive
                     // or itself; negative: none is
  bool with_gradient;
  T* values;  // the strip's, [rows, stride]
  int64_t stride;
  const SoftmaxScalars* scalars;
  const T* weights;           // [n], or null for ones
  const int64_t* labels;      // [n], where the kind has labels; so are
  const int64_t* key_labels;  // [m]
  const int32_t* positives;   // [n]
  T* column_largest;          // [n], symmetric: what each column's soft-max is
  T* column_log_sum;          // [n]  made of
  T* losses;                  // [n], without a reduction
  SoftmaxResult* results;     // [n]
};

template <typename T>
TF_PAIRWISE_DEVICE T NoLogit() {
  return static_cast<T>(-PlusInfinity());
}

// What a thread keeps of its columns: their largest logit, and the sum of
// e^(l - largest).
template <typename T>
struct ThreadLogits {
  T largest;
  double sum;

  TF_PAIRWISE_DEVICE void Clear() {
    largest = NoLogit<T>();
    sum = 0;
  }
  template <int kCount>
  TF_PAIRWISE_DEVICE void Add(const T (&logits)[kCount]) {
    T most = largest;
    TF_PAIRWISE_UNROLL for (int u = 0; u < kCount; ++u) {
      most = Max(most, logits[u]);
    }
    if (most > largest) {
      sum *= static_cast<double>(ShiftedExp(largest, most));
      largest = most;
    }
    // -inf less itself is no number.
    const T shift = largest == NoLogit<T>() ? T(0) : largest;
    T part = 0;
    TF_PAIRWISE_UNROLL for (int u = 0; u < kCount; ++u) {
      part += ShiftedExp(logits[u], shift);
    }
    sum += static_cast<double>(part);
  }
  // The sum against another largest logit.
  TF_PAIRWISE_DEVICE double SumAgainst(T all) const {
    return largest == NoLogit<T>()
               ? sum
               : sum * static_cast<double>(ShiftedExp(largest, all));
  }
};

// The largest logit, and the sum of the positives' logits.
template <typename T>
struct LargestAndPositives {
  T largest;
  double positives;
};
struct JoinLargest {
  template <typename T>
  TF_PAIRWISE_DEVICE LargestAndPositives<T> operator()(
      const LargestAndPositives<T>& a, const LargestAndPositives<T>& b) const {
    return {Max(a.largest, b.largest), a.positives + b.positives};
  }
};

struct RowSums {
  LogSum<double> all;
  double positives;  // the sum of their logits
};

// A row of weight `weight`, of a block of kThreads with ThreadLogits<T>.
template <typename T, int kThreads>
struct SoftmaxRow {
  static constexpr int kAtOnce = 8;  // a thread's columns
  static constexpr int64_t kStep = int64_t{kThreads} * kAtOnce;

  const SoftmaxRowsArguments<T>& all;
  int64_t i;
  int64_t own;  // column; negative: none
  int64_t label;
  double weight;
  double inverse_temperature;
  T* distances;

  TF_PAIRWISE_DEVICE SoftmaxRow(const SoftmaxRowsArguments<T>& a, int64_t r)
      : all(a),
        i(a.row + r),
        own(a.diagonal < 0 ? -1 : a.row + r + a.diagonal),
        label(a.labels == nullptr ? 0 : a.labels[a.row + r]),
        weight(a.scalars->loss_scale),
        inverse_temperature(a.scalars->inverse_temperature),
        distances(a.values + r * a.stride) {}

  TF_PAIRWISE_DEVICE double OwnWeight() const {
    return all.weights == nullptr ? 1.0 : static_cast<double>(all.weights[i]);
  }
  TF_PAIRWISE_DEVICE bool HasLabel(int64_t j) const {
    return all.key_labels[j] == label;
  }
  // What is left of two large logits has to be nothing where they are equal.
  TF_PAIRWISE_DEVICE T LogitOf(T distance) const {
    return Product(static_cast<T>(-inverse_temperature), distance);
  }
  // What a slope with respect to the logit is multiplied by.
  TF_PAIRWISE_DEVICE T ToWeight() const {
    return static_cast<T>(-weight * inverse_temperature);
  }

  // logit(j, &positives) is that of column j, NoLogit() where it has no part;
  // it may add to the sum of the positives'.
  template <class B, class Logit>
  TF_PAIRWISE_DEVICE RowSums SumExponentials(B& block,
                                             const Logit& logit) const {
    using Shared = typename B::Shared;
    using Registers = typename B::ThreadRegisters;
    const LargestAndPositives<T> row = block.Reduce(
        [&](int thread, Shared&, Registers& own) {
          double positives = 0;
          own.Clear();
          for (int64_t first = thread; first < all.columns; first += kStep) {
            T logits[kAtOnce];
            TF_PAIRWISE_UNROLL for (int u = 0; u < kAtOnce; ++u) {
              const int64_t j = first + u * kThreads;
              logits[u] = j < all.columns ? logit(j, positives) : NoLogit<T>();
            }
            own.Add(logits);
          }
          return LargestAndPositives<T>{own.largest, positives};
        },
        JoinLargest());
    const double sum = block.Sum([&](int, Shared&, Registers& own) {
      return own.SumAgainst(row.largest);
    });
    return {{static_cast<double>(row.largest), sum}, row.positives};
  }

  // slope(j, d) is d loss / d logit of column j, but for the weight; it may
  // clear d, the distance. The gradient's weights take the place of the
  // distances; returns the sum of slopes times logits.
  template <class B, class Slope>
  TF_PAIRWISE_DEVICE double StoreSlopes(B& block, const Slope& slope) const {
    const T to_weight = ToWeight();
    const double total = block.Sum(
        [&](int thread, typename B::Shared&, typename B::ThreadRegisters&) {
          double sum = 0;
          for (int64_t first = thread; first < all.columns; first += kStep) {
            T part = 0;
            TF_PAIRWISE_UNROLL for (int u = 0; u < kAtOnce; ++u) {
              const int64_t j = first + u * kThreads;
              if (j >= all.columns) continue;
              T d = distances[j];
              const T g = slope(j, d);
              part += g * d;
              distances[j] = g * to_weight;
            }
            sum += static_cast<double>(part);
          }
          return sum;
        });
    return -total * inverse_temperature * weight;
  }

  // No pair has a part. Returns no result.
  template <class B>
  TF_PAIRWISE_DEVICE SoftmaxResult ClearRow(B& block) const {
    if (all.with_gradient) {
      block.Each(
          [&](int thread, typename B::Shared&, typename B::ThreadRegisters&) {
            for (int64_t j = thread; j < all.columns; j += kThreads) {
              distances[j] = 0;
            }
          });
    }
    return SoftmaxResult();
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SOFTMAX_ROWS_GPU_INL_H_

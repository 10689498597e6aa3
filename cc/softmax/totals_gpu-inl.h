#ifndef TF_PAIRWISE_SOFTMAX_TOTALS_GPU_INL_H_
#define TF_PAIRWISE_SOFTMAX_TOTALS_GPU_INL_H_

#include "core/lanes-inl.h"
#include "core/pairs-inl.h"
#include "core/reduce.h"
#include "cuda/block.h"
#include "cuda/halves.h"

// What comes before and after the rows of a soft-max loss on a GPU: how many
// positives they have, what all of them have in common, and the sums of their
// results.

namespace tf_pairwise {

// What all rows of a call have in common.
struct SoftmaxScalars {
  double temperature, inverse_temperature;
  double scale, bias;
  double loss_scale;  // what all losses are multiplied by
};

// Of a row: the loss, and its slopes summed over the logits, alone and each
// times s / temperature (kSigmoid: times s).
struct SoftmaxResult {
  double loss = 0, slope = 0, slope_logit = 0;
};

TF_PAIRWISE_DEVICE SoftmaxResult operator+(const SoftmaxResult& a,
                                           const SoftmaxResult& b) {
  SoftmaxResult both;
  both.loss = a.loss + b.loss;
  both.slope = a.slope + b.slope;
  both.slope_logit = a.slope_logit + b.slope_logit;
  return both;
}

// How many references have an anchor's label, but for the anchor itself. A
// block has a few rows, for each of which it reads a label once.
struct CountPositivesKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("softmax_count_positives");
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kRows = 8;
  struct Arguments {
    const int64_t* labels;      // [n]
    const int64_t* key_labels;  // [m]
    int64_t n, m;
    int64_t diagonal;    // j == i + diagonal is the anchor; negative: none is
    int32_t* positives;  // [n]
  };

  struct Counts {
    int32_t of[kRows];
  };
  struct PlusCounts {
    TF_PAIRWISE_DEVICE Counts operator()(Counts a, const Counts& b) const {
      TF_PAIRWISE_UNROLL for (int r = 0; r < kRows; ++r) a.of[r] += b.of[r];
      return a;
    }
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const int64_t first = block.x() * kRows;
    const Counts counts = block.Reduce(
        [&](int thread, Shared&, ThreadRegisters&) {
          Counts own;
          int64_t labels[kRows];
          TF_PAIRWISE_UNROLL for (int r = 0; r < kRows; ++r) {
            own.of[r] = 0;
            // Rows past the end count what nobody reads.
            labels[r] = a.labels[first + r < a.n ? first + r : first];
          }
          for (int64_t j = thread; j < a.m; j += kThreads) {
            const int64_t label = a.key_labels[j];
            TF_PAIRWISE_UNROLL for (int r = 0; r < kRows; ++r) {
              own.of[r] += static_cast<int32_t>(
                  label == labels[r] && !IsItself(first + r, j, a.diagonal));
            }
          }
          return own;
        },
        PlusCounts());
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      TF_PAIRWISE_UNROLL for (int r = 0; r < kRows; ++r) {
        if (thread == r && first + r < a.n)
          a.positives[first + r] = counts.of[r];
      }
    });
  }
};

// One block makes what the rows have in common.
template <typename T>
struct SoftmaxScalarsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("softmax_scalars_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const T* weights;          // [n], or null for ones
    const int32_t* positives;  // [n], or null where every row counts for one
    bool each_positive;        // a row counts for as many as it has, else for 1
    int64_t n;
    Reduction reduction;
    const T* temperature;  // null for 1; so are the others
    const T* scale;
    const T* bias;
    SoftmaxScalars* scalars;
    double* counted;  // what a mean divides by, or null
  };

  // What is no temperature makes losses that are no numbers.
  static TF_PAIRWISE_DEVICE double Inverse(double temperature) {
    const bool valid = temperature > 0 && temperature < PlusInfinity();
    return valid ? 1 / temperature : NotANumber();
  }
  static TF_PAIRWISE_DEVICE double ValueOf(const T* scalar) {
    return scalar == nullptr ? 1.0 : static_cast<double>(*scalar);
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const auto weight = [&](int64_t i) {
      return a.weights == nullptr ? 1.0 : static_cast<double>(a.weights[i]);
    };
    const bool any = block.Any([&](int thread, Shared&, ThreadRegisters&) {
      bool own = false;
      for (int64_t i = thread; i < a.n; i += kThreads) {
        own = own || weight(i) != 0;
      }
      return own;
    });
    LossSums total;
    total.counted = block.Sum([&](int thread, Shared&, ThreadRegisters&) {
      double sum = 0;
      for (int64_t i = thread; i < a.n; i += kThreads) {
        const int32_t positives = a.positives == nullptr ? 1 : a.positives[i];
        const double count =
            a.each_positive ? positives : (positives > 0 ? 1 : 0);
        sum += weight(i) * count;
      }
      return sum;
    });
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      SoftmaxScalars scalars;
      scalars.temperature = ValueOf(a.temperature);
      scalars.inverse_temperature = Inverse(scalars.temperature);
      scalars.scale = ValueOf(a.scale);
      scalars.bias = ValueOf(a.bias);
      scalars.loss_scale = any ? ScaleOf(a.reduction, total) : 0;
      *a.scalars = scalars;
      if (a.counted != nullptr) *a.counted = total.counted;
    });
  }
};

// One block adds up the rows' results.
template <typename T>
struct SoftmaxTotalsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("softmax_totals_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const SoftmaxResult* results;  // [n]
    int64_t n;
    const SoftmaxScalars* scalars;
    // One value each, or null.
    T* loss;
    T* temperature_grad;
    T* scale_grad;
    T* bias_grad;
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const SoftmaxResult total = block.Reduce(
        [&](int thread, Shared&, ThreadRegisters&) {
          SoftmaxResult own;
          for (int64_t i = thread; i < a.n; i += kThreads) {
            own = own + a.results[i];
          }
          return own;
        },
        PlusOf());
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      const auto store = [](double value, T* to) {
        if (to != nullptr) *to = static_cast<T>(value);
      };
      store(total.loss, a.loss);
      store(-total.slope_logit / a.scalars->temperature, a.temperature_grad);
      store(total.slope_logit, a.scale_grad);
      store(total.slope, a.bias_grad);
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SOFTMAX_TOTALS_GPU_INL_H_

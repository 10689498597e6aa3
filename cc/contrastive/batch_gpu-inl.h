#ifndef TF_PAIRWISE_CONTRASTIVE_BATCH_GPU_INL_H_
#define TF_PAIRWISE_CONTRASTIVE_BATCH_GPU_INL_H_

#include "contrastive/contrastive_pair-inl.h"
#include "core/pairs-inl.h"
#include "core/reduce.h"
#include "cuda/block.h"
#include "cuda/halves.h"
#include "metric/metric-inl.h"
#include "tile/pair_family_gpu-inl.h"

// The loss over all pairs of a batch on a GPU: batch-inl.h's twin. A block
// takes an anchor's row of a strip.

namespace tf_pairwise {

// An anchor's sums, times its weight.
struct AnchorSums {
  double similar = 0, dissimilar = 0;
  double similar_nonzero = 0, dissimilar_nonzero = 0;
  double counted = 0;  // its pairs, whatever their loss

  TF_PAIRWISE_DEVICE AnchorSums Times(double weight) const {
    return {weight * similar, weight * dissimilar, weight * similar_nonzero,
            weight * dissimilar_nonzero, weight * counted};
  }
};

TF_PAIRWISE_DEVICE AnchorSums operator+(const AnchorSums& a,
                                        const AnchorSums& b) {
  return {a.similar + b.similar, a.dissimilar + b.dissimilar,
          a.similar_nonzero + b.similar_nonzero,
          a.dissimilar_nonzero + b.dissimilar_nonzero, a.counted + b.counted};
}

// What a similar and a dissimilar pair's slope is multiplied by.
struct SlopeScales {
  double similar = 1, dissimilar = 1;
};

template <typename T>
struct ContrastiveStripKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("contrastive_strip_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = sizeof(T) == 8 ? 3 : 4;
  // Pairs of a thread whose sums are made in T.
  static constexpr int kInT = 16;
  struct Arguments {
    T* values;  // the strip's distances, which become weights
    int64_t stride;
    int64_t first, columns;
    int64_t diagonal;           // < 0: none
    const int64_t* labels;      // [n]
    const int64_t* ref_labels;  // [columns]
    const T* weights;           // [n], or null for ones
    double margin, positive_margin;
    int64_t pairs_per_anchor;
    Metric metric;
    bool squared, with_gradient;
    const SlopeScales* scales;  // null for ones
    AnchorSums* sums;           // [n]
    T* loss;                    // [n], or null
  };

  // A thread's part of a row.
  struct RowOf {
    const Arguments& a;
    int64_t row;
    int thread;

    template <class Slope>
    TF_PAIRWISE_DEVICE AnchorSums operator()(Slope) const {
      return a.squared ? Sums<Slope, true>() : Sums<Slope, false>();
    }

    template <class Slope, bool kSquared>
    TF_PAIRWISE_DEVICE AnchorSums Sums() const {
      const int64_t i = a.first + row;
      T* const values = a.values + row * a.stride;
      const int64_t label = a.labels[i];
      const T weight = a.weights == nullptr ? T(1) : a.weights[i];
      const T margin = static_cast<T>(a.margin);
      const T positive_margin = static_cast<T>(a.positive_margin);
      T similar_weight = weight, dissimilar_weight = weight;
      if (a.scales != nullptr) {
        similar_weight *= static_cast<T>(a.scales->similar);
        dissimilar_weight *= static_cast<T>(a.scales->dissimilar);
      }
      AnchorSums sums;
      for (int64_t begin = thread; begin < a.columns;
           begin += kInT * kThreads) {
        T similar_sum = 0, dissimilar_sum = 0;
        int similar_count = 0, dissimilar_count = 0;
        const int64_t end = begin + kInT * kThreads < a.columns
                                ? begin + kInT * kThreads
                                : a.columns;
        for (int64_t j = begin; j < end; j += kThreads) {
          if (IsItself(i, j, a.diagonal)) {
            values[j] = 0;
            continue;
          }
          const bool similar = SameClass(a.ref_labels[j], label);
          const T distance = values[j];
          const T h =
              ContrastiveHinge(distance, similar, margin, positive_margin);
          const T loss = HingeLoss<kSquared>(h);
          (similar ? similar_sum : dissimilar_sum) += loss;
          (similar ? similar_count : dissimilar_count) += loss != 0;
          if (!a.with_gradient) continue;
          const T slope = Weighted(similar ? similar_weight : dissimilar_weight,
                                   ContrastiveSlope<kSquared>(h, similar));
          values[j] = Slope::Of(slope, distance);
        }
        sums.similar += static_cast<double>(similar_sum);
        sums.dissimilar += static_cast<double>(dissimilar_sum);
        sums.similar_nonzero += similar_count;
        sums.dissimilar_nonzero += dissimilar_count;
      }
      return sums;
    }
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const AnchorSums sums =
        block.Sum([&](int thread, Shared&, ThreadRegisters&) {
          return VisitSlope(a.metric, RowOf{a, block.x(), thread});
        });
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      const int64_t i = a.first + block.x();
      const double weight =
          a.weights == nullptr ? 1 : static_cast<double>(a.weights[i]);
      AnchorSums own = sums;
      own.counted = static_cast<double>(a.pairs_per_anchor);
      own = weight == 0 ? AnchorSums() : own.Times(weight);
      a.sums[i] = own;
      if (a.loss != nullptr) {
        a.loss[i] = static_cast<T>(own.similar + own.dissimilar);
      }
    });
  }
};

// The same of pair tiles, for the loss and reductions that people use: 0.5 h^2,
// one sum of losses for similar and dissimilar pairs. An anchor's weight is in
// the pair's slope, and in a batch with itself, where a row's pairs are those
// that it is the reference of too, the sum of both anchors' is.
struct ContrastivePairs {
  TF_PAIRWISE_KERNEL_NAME("contrastive");
  struct Arguments {
    const int64_t* row_labels;
    const int64_t* column_labels;
    const float* weights;  // of the anchors, or null for ones
    bool rows_are_anchors, columns_are_anchors;
    float margin, positive_margin;
    double pairs_per_anchor;
  };
  struct Point {
    int64_t label;
    float weight;  // as an anchor
  };
  struct Parts {
    float loss = 0, nonzero = 0;
  };
  using Sums = AnchorSums;
  using Row = NoRegisters;
  struct Common {
    float margin, positive_margin;
  };
  static constexpr OwnPair kOwn = OwnPair::kNone;
  static constexpr bool kByRow = false, kRoots = true, kRescues = true;
  static constexpr int kLeastWidth = 64;

  static TF_PAIRWISE_DEVICE Common CommonOf(const Arguments& a) {
    return {a.margin, a.positive_margin};
  }
  static TF_PAIRWISE_DEVICE float WeightOf(const Arguments& a, int64_t i) {
    return a.weights == nullptr ? 1 : a.weights[i];
  }
  static TF_PAIRWISE_DEVICE Point RowOf(const Arguments& a, int64_t i) {
    return {a.row_labels[i], a.rows_are_anchors ? WeightOf(a, i) : 0};
  }
  static TF_PAIRWISE_DEVICE Point ColumnOf(const Arguments& a, int64_t j) {
    return {a.column_labels[j], a.columns_are_anchors ? WeightOf(a, j) : 0};
  }
  static TF_PAIRWISE_DEVICE Sums SumsOf(const Parts& parts) {
    return {parts.loss, 0, parts.nonzero, 0, 0};
  }
  static TF_PAIRWISE_DEVICE Sums RowSums(const Arguments& a, int64_t i) {
    Sums sums;
    sums.counted = static_cast<double>(WeightOf(a, i)) * a.pairs_per_anchor;
    return sums;
  }

  static TF_PAIRWISE_DEVICE float Slope(const Common& common, const Point& row,
                                        const Point& column, float distance,
                                        bool is, Parts& parts) {
    const bool similar = SameClass(row.label, column.label);
    float h = ContrastiveHinge(distance, similar, common.margin,
                               common.positive_margin);
    h = is ? h : 0;
    const float loss = HingeLoss<true>(h);
    parts.loss = MulAdd(row.weight, row.weight == 0 ? 0 : loss, parts.loss);
    if (loss != 0) parts.nonzero += row.weight;
    return Weighted(row.weight + column.weight,
                    ContrastiveSlope<true>(h, similar));
  }
  static TF_PAIRWISE_DEVICE float DirectSlope(const Arguments& a, int64_t i,
                                              int64_t j, float distance,
                                              Sums& sums) {
    Parts parts;
    const float slope =
        Slope(CommonOf(a), RowOf(a, i), ColumnOf(a, j), distance, true, parts);
    sums = sums + SumsOf(parts);
    return slope;
  }
};

// One block makes the loss of all anchors' sums.
struct ContrastiveTotalKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("contrastive_total");
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const AnchorSums* sums;  // [n]
    int64_t n;
    DType dtype;
    Reduction reduction;
    void* loss;           // one value, or null
    double* counted;      // or null
    double* scale;        // of the gradient, or null
    SlopeScales* scales;  // of kBalancedMean, or null
  };

  static TF_PAIRWISE_DEVICE double Times(double scale, double sum) {
    return scale == 0 ? 0 : scale * sum;
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const AnchorSums all =
        block.Sum([&](int thread, Shared&, ThreadRegisters&) {
          AnchorSums sums;
          for (int64_t i = thread; i < a.n; i += kThreads) {
            sums = sums + a.sums[i];
          }
          return sums;
        });
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      LossSums total;
      total.sum = all.similar + all.dissimilar;
      total.nonzero = all.similar_nonzero + all.dissimilar_nonzero;
      total.counted = all.counted;
      const double scale = ScaleOf(a.reduction, total);
      // The two means are over losses above zero.
      const SlopeScales scales = {InverseOf(all.similar_nonzero),
                                  InverseOf(all.dissimilar_nonzero)};
      if (a.scales != nullptr) *a.scales = scales;
      if (a.scale != nullptr) *a.scale = scale;
      if (a.counted != nullptr) *a.counted = DivisorOf(a.reduction, total);
      if (a.loss == nullptr) return;
      StoreLoss(a.dtype,
                a.reduction == Reduction::kBalancedMean
                    ? Times(scales.similar, all.similar) +
                          Times(scales.dissimilar, all.dissimilar)
                    : ReducedLoss(scale, total),
                a.loss);
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CONTRASTIVE_BATCH_GPU_INL_H_

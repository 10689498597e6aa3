#ifndef TF_PAIRWISE_SOFTMAX_TILES_GPU_INL_H_
#define TF_PAIRWISE_SOFTMAX_TILES_GPU_INL_H_

#include "softmax/rows_gpu-inl.h"
#include "softmax/softmax_pair-inl.h"
#include "softmax/totals_gpu-inl.h"
#include "tile/pair_family_gpu-inl.h"

// The soft-max losses in pair tiles (tile/pair_tiles_gpu-inl.h). A walk makes
// the log-sum-exps of the rows, and of the columns where the loss is symmetric;
// a kernel makes losses of them, and what the slopes of a row's pairs are made
// of; a second walk makes the gradients. The slope of a pair with respect to
// its logit is the sum of a part of its row and a part of its column, each of
//
//   weight (e^(logit - largest) / sum - share, of a positive)
//
// so that a batch with itself, where a pair is one of both points, and a
// symmetric loss, whose other direction is the columns', are the same text.

namespace tf_pairwise {

// What is kept of a row, or of a part of its columns.
struct RowLogits {
  double largest = -PlusInfinity(), sum = 0;
  double positives = 0;  // the sum of their logits

  TF_PAIRWISE_DEVICE RowLogits operator+(const RowLogits& b) const {
    const LogSum<double> both =
        Merged(LogSum<double>{largest, sum}, LogSum<double>{b.largest, b.sum});
    return {both.largest, both.sum, positives + b.positives};
  }
};

// A point as a row or column of the gradient's walk: weight 0 has no part. What
// is left of two numbers that are nearly the same, of a positive that has all
// of the sum, takes what floats lack of them.
struct SoftmaxPoint {
  float largest = 0, inverse = 0, share = 0, weight = 0;
  float inverse_rest = 0, share_rest = 0;
};

// kLabelled: positives are those of the same label, and a row's own pair is
// none; else its own pair is its positive.
template <bool kLabelled>
struct LogitSums {
  TF_PAIRWISE_KERNEL_NAME(kLabelled ? "labelled_logits" : "logits");
  struct Arguments {
    const int64_t* row_labels;  // kLabelled
    const int64_t* column_labels;
    const SoftmaxScalars* scalars;
    int64_t rows;
    RowLogits* parts;  // [splits, rows]
  };
  struct Point {
    int64_t label;
  };
  struct Common {
    float factor;  // of a distance, for its logit
  };
  struct Row {
    ThreadLogits<float> logits;
    double positives;

    TF_PAIRWISE_DEVICE Row operator+(const Row& b) const {
      const LogSum<double> both = Merged(
          LogSum<double>{static_cast<double>(logits.largest), logits.sum},
          LogSum<double>{static_cast<double>(b.logits.largest), b.logits.sum});
      return {{static_cast<float>(both.largest), both.sum},
              positives + b.positives};
    }
  };
  using Sums = NoRegisters;
  static constexpr bool kByRow = true, kRoots = false, kRescues = false;
  static constexpr int kLeastWidth = 128;
  static constexpr OwnPair kOwn =
      kLabelled ? OwnPair::kNone : OwnPair::kIncluded;

  static TF_PAIRWISE_DEVICE Row None() { return {{NoLogit<float>(), 0}, 0}; }
  static TF_PAIRWISE_DEVICE Point RowOf(const Arguments& a, int64_t i) {
    return {kLabelled ? a.row_labels[i] : 0};
  }
  static TF_PAIRWISE_DEVICE Point ColumnOf(const Arguments& a, int64_t j) {
    return {kLabelled ? a.column_labels[j] : 0};
  }
  static TF_PAIRWISE_DEVICE Common CommonOf(const Arguments& a) {
    return {static_cast<float>(-a.scalars->inverse_temperature)};
  }

  template <int kCount, class At>
  static TF_PAIRWISE_DEVICE void Add(const Common& common, const Point& row,
                                     const Point (&columns)[kCount],
                                     const float (&distances)[kCount],
                                     unsigned there, unsigned own, const At&,
                                     Row& sums) {
    float logits[kCount];
    float positives = 0;
    TF_PAIRWISE_UNROLL for (int j = 0; j < kCount; ++j) {
      const bool is = (there >> j & 1) != 0;
      const bool positive = kLabelled
                                ? SameClass(row.label, columns[j].label) && is
                                : (own >> j & 1) != 0;
      const float logit = Product(common.factor, distances[j]);
      logits[j] = is ? logit : NoLogit<float>();
      if (positive) positives += logit;
    }
    sums.logits.Add(logits);
    sums.positives += static_cast<double>(positives);
  }
  static TF_PAIRWISE_DEVICE void AddDirect(const Arguments&, int64_t, int64_t,
                                           float, Row&) {}
  static TF_PAIRWISE_DEVICE void Store(const Arguments& a, int64_t split,
                                       int64_t i, const Row& sums) {
    a.parts[split * a.rows + i] = {static_cast<double>(sums.logits.largest),
                                   sums.logits.sum, sums.positives};
  }
};

// Rows' logits, of the splits in order, and what is made of them, a thread to a
// row.
struct SoftmaxLogitsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("softmax_logits");
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 4;
  struct Arguments {
    const RowLogits* parts;  // [splits, n]
    int64_t splits, n;
    const SoftmaxScalars* scalars;
    const float* weights;         // [n], or null for ones
    const int32_t* positives;     // [n], labelled; else null: one each
    bool symmetric;               // each direction is half of the loss
    const RowLogits* of_columns;  // [n], symmetric: the other direction's;
                                  // null: no losses are made
    RowLogits* logits;            // [n]
    SoftmaxPoint* points;         // [n]
    SoftmaxResult* results;       // [n], or null: no losses are made
    float* losses;                // [n], or null
  };

  static TF_PAIRWISE_DEVICE float RestOf(double value, float rounded) {
    return static_cast<float>(value - static_cast<double>(rounded));
  }

  static TF_PAIRWISE_DEVICE double LossOf(const Arguments& a, int64_t i,
                                          double count, const RowLogits& row) {
    const LogSum<double> all = {row.largest, row.sum};
    if (a.positives != nullptr) {
      return SupervisedLoss(all, row.positives, count);
    }
    const double loss = CrossEntropy(all, row.positives);
    if (!a.symmetric) return loss;
    const RowLogits& column = a.of_columns[i];
    return 0.5 *
           (loss + CrossEntropy(LogSum<double>{column.largest, column.sum},
                                row.positives));
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      const int64_t i = block.x() * kThreads + thread;
      if (i >= a.n) return;
      RowLogits row = a.parts[i];
      for (int64_t split = 1; split < a.splits; ++split) {
        row = row + a.parts[split * a.n + i];
      }
      a.logits[i] = row;
      const double count = a.positives == nullptr ? 1 : a.positives[i];
      double weight = a.scalars->loss_scale;
      if (a.weights != nullptr) weight *= static_cast<double>(a.weights[i]);
      if (count == 0) weight = 0;
      SoftmaxPoint point;
      if (weight != 0) {
        point.largest = static_cast<float>(row.largest);
        point.inverse = static_cast<float>(1 / row.sum);
        point.inverse_rest = RestOf(1 / row.sum, point.inverse);
        point.share = static_cast<float>(1 / count);
        point.share_rest = RestOf(1 / count, point.share);
        point.weight = static_cast<float>(a.symmetric ? 0.5 * weight : weight);
      }
      a.points[i] = point;
      if (a.results == nullptr) return;
      SoftmaxResult result;
      if (weight != 0) result.loss = weight * LossOf(a, i, count, row);
      a.results[i] = result;
      if (a.losses != nullptr) a.losses[i] = static_cast<float>(result.loss);
    });
  }
};

// The gradient's walk.
template <bool kLabelled>
struct SoftmaxPairs {
  TF_PAIRWISE_KERNEL_NAME(kLabelled ? "labelled_softmax" : "softmax");
  struct Arguments {
    const SoftmaxPoint* row_points;     // or null: rows have no part
    const SoftmaxPoint* column_points;  // the same
    const RowLogits* row_logits;        // where there are points
    const RowLogits* column_logits;
    const int64_t* row_labels;  // kLabelled
    const int64_t* column_labels;
    const SoftmaxScalars* scalars;
    bool columns_count;  // in the sum of slopes times logits
  };
  struct Point {
    SoftmaxPoint softmax;
    int64_t label;
  };
  struct Parts {
    float slope_logit = 0;
  };
  using Sums = SoftmaxResult;
  struct Common {
    float factor;         // of a distance, for its logit
    float columns_count;  // 1 or 0
  };
  using Row = NoRegisters;
  static constexpr bool kByRow = false, kRoots = false, kRescues = true;
  static constexpr int kLeastWidth = 128;
  static constexpr OwnPair kOwn = kLabelled ? OwnPair::kNone : OwnPair::kApart;

  static TF_PAIRWISE_DEVICE Point PointOf(const SoftmaxPoint* points,
                                          const int64_t* labels, int64_t i) {
    return {points == nullptr ? SoftmaxPoint() : points[i],
            kLabelled ? labels[i] : 0};
  }
  static TF_PAIRWISE_DEVICE Point RowOf(const Arguments& a, int64_t i) {
    return PointOf(a.row_points, a.row_labels, i);
  }
  static TF_PAIRWISE_DEVICE Point ColumnOf(const Arguments& a, int64_t j) {
    return PointOf(a.column_points, a.column_labels, j);
  }
  static TF_PAIRWISE_DEVICE Common CommonOf(const Arguments& a) {
    return {static_cast<float>(-a.scalars->inverse_temperature),
            a.columns_count ? 1.0f : 0.0f};
  }
  static TF_PAIRWISE_DEVICE Sums SumsOf(const Parts& parts) {
    SoftmaxResult sums;
    sums.slope_logit = static_cast<double>(parts.slope_logit);
    return sums;
  }
  static TF_PAIRWISE_DEVICE Sums RowSums(const Arguments&, int64_t) {
    return {};
  }

  static TF_PAIRWISE_DEVICE float PartOf(const SoftmaxPoint& point, float logit,
                                         bool positive) {
    const float e = ShiftedExp(logit, point.largest);
    float slope = MulAdd(e, point.inverse, positive ? -point.share : 0);
    if (kLabelled) {
      slope += MulAdd(e, point.inverse_rest, positive ? -point.share_rest : 0);
    }
    return Weighted(point.weight, slope);
  }
  static TF_PAIRWISE_DEVICE float Slope(const Common& common, const Point& row,
                                        const Point& column, float distance,
                                        bool is, Parts& parts) {
    const bool positive = kLabelled && SameClass(row.label, column.label);
    const float logit = Product(common.factor, distance);
    const float of_row = PartOf(row.softmax, logit, positive);
    const float of_column = PartOf(column.softmax, logit, positive);
    const float counted = Weighted(common.columns_count, of_column) + of_row;
    parts.slope_logit += is ? Weighted(counted, logit) : 0;
    return (of_row + of_column) * common.factor;
  }

  // A positive may have all of the sum: in double, and with the logit that is
  // in that sum.
  static TF_PAIRWISE_DEVICE double DirectPartOf(const SoftmaxPoint* points,
                                                const RowLogits* logits,
                                                int64_t i,
                                                double& slope_logit) {
    if (points == nullptr || points[i].weight == 0) return 0;
    const RowLogits& row = logits[i];
    const double share = ShiftedExp(row.positives, row.largest) / row.sum;
    const double slope = static_cast<double>(points[i].weight) * (share - 1);
    slope_logit += slope * row.positives;
    return slope;
  }
  static TF_PAIRWISE_DEVICE float DirectSlope(const Arguments& a, int64_t i,
                                              int64_t j, float, Sums& sums) {
    double uncounted = 0;
    const double slope =
        DirectPartOf(a.row_points, a.row_logits, i, sums.slope_logit) +
        DirectPartOf(a.column_points, a.column_logits, j,
                     a.columns_count ? sums.slope_logit : uncounted);
    return static_cast<float>(-slope * a.scalars->inverse_temperature);
  }
};

// The sigmoid loss, whose slopes hang on the pair alone. The positive's part is
// the largest at first: in double.
struct SigmoidPairs {
  TF_PAIRWISE_KERNEL_NAME("sigmoid");
  struct Arguments {
    const float* weights;  // of the queries, or null for ones
    bool rows_are_queries;
    const SoftmaxScalars* scalars;
  };
  struct Point {
    float weight;  // as a query
  };
  struct Parts {
    float loss = 0, slope = 0, slope_distance = 0;
  };
  using Sums = SoftmaxResult;
  struct Common {
    float factor, bias;  // of the logit of a distance
  };
  using Row = NoRegisters;
  static constexpr bool kByRow = false, kRoots = false, kRescues = true;
  static constexpr int kLeastWidth = 128;
  static constexpr OwnPair kOwn = OwnPair::kApart;

  static TF_PAIRWISE_DEVICE float WeightOf(const Arguments& a, int64_t i) {
    const float scale = static_cast<float>(a.scalars->loss_scale);
    return a.weights == nullptr ? scale : scale * a.weights[i];
  }
  static TF_PAIRWISE_DEVICE Point RowOf(const Arguments& a, int64_t i) {
    return {a.rows_are_queries ? WeightOf(a, i) : 0};
  }
  static TF_PAIRWISE_DEVICE Point ColumnOf(const Arguments& a, int64_t j) {
    return {a.rows_are_queries ? 0 : WeightOf(a, j)};
  }
  static TF_PAIRWISE_DEVICE Common CommonOf(const Arguments& a) {
    return {static_cast<float>(-a.scalars->scale),
            static_cast<float>(a.scalars->bias)};
  }
  static TF_PAIRWISE_DEVICE Sums SumsOf(const Parts& parts) {
    SoftmaxResult sums;
    sums.loss = static_cast<double>(parts.loss);
    sums.slope = static_cast<double>(parts.slope);
    sums.slope_logit = -static_cast<double>(parts.slope_distance);
    return sums;
  }
  static TF_PAIRWISE_DEVICE Sums RowSums(const Arguments&, int64_t) {
    return {};
  }

  static TF_PAIRWISE_DEVICE float Slope(const Common& common, const Point& row,
                                        const Point& column, float distance,
                                        bool is, Parts& parts) {
    float loss, slope;
    SigmoidPair<false>(MulAdd(common.factor, distance, common.bias), loss,
                       slope);
    const float weight = is ? row.weight : 0;
    const float counted = Weighted(weight, slope);
    parts.loss += Weighted(weight, loss);
    parts.slope += counted;
    parts.slope_distance += Weighted(counted, distance);
    return Weighted(row.weight + column.weight, slope) * common.factor;
  }
  static TF_PAIRWISE_DEVICE float DirectSlope(const Arguments& a, int64_t i,
                                              int64_t j, float distance,
                                              Sums& sums) {
    const double row = RowOf(a, i).weight, column = ColumnOf(a, j).weight;
    const double s = -static_cast<double>(distance);
    double loss, slope;
    SigmoidPair<true>(a.scalars->scale * s + a.scalars->bias, loss, slope);
    if (row != 0) {
      sums.loss += row * loss;
      sums.slope += row * slope;
      sums.slope_logit += row * slope * s;
    }
    if (row + column == 0) return 0;
    return static_cast<float>(-(row + column) * slope * a.scalars->scale);
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SOFTMAX_TILES_GPU_INL_H_

#ifndef TF_PAIRWISE_TRIPLET_ANCHOR_ROW_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_ANCHOR_ROW_GPU_INL_H_

#include "core/integers.h"
#include "core/pairs-inl.h"
#include "core/reduce.h"
#include "cuda/block.h"
#include "metric/metric-inl.h"
#include "triplet/triplet_pair-inl.h"

// An anchor's row of distances in a strip, which a block of threads has, and
// what it comes to: anchor_row-inl.h's twin on a GPU.

namespace tf_pairwise {

constexpr int kAnchorThreads = 256;

// A strip's rows, with labels.
template <typename T>
struct LabelledStrip {
  int64_t row;  // the anchor of its first row
  int64_t m;
  int64_t diagonal;
  T* distances;  // [rows, stride]
  int64_t stride;
  const int64_t* labels;      // [n]
  const int64_t* ref_labels;  // [m]
};

template <typename T>
struct LabelledRow {
  T* distances;
  int64_t i, m, diagonal;
  int64_t label;
  const int64_t* ref_labels;

  // Row r of the strip.
  TF_PAIRWISE_DEVICE LabelledRow(const LabelledStrip<T>& strip, int64_t r)
      : distances(strip.distances + r * strip.stride),
        i(strip.row + r),
        m(strip.m),
        diagonal(strip.diagonal),
        label(strip.labels[strip.row + r]),
        ref_labels(strip.ref_labels) {}

  TF_PAIRWISE_DEVICE bool Itself(int64_t j) const {
    return IsItself(i, j, diagonal);
  }
  TF_PAIRWISE_DEVICE bool Positive(int64_t j) const {
    return IsPositive(SameClass(ref_labels[j], label), Itself(j), true);
  }
  TF_PAIRWISE_DEVICE bool Negative(int64_t j) const {
    return IsNegative(SameClass(ref_labels[j], label), Itself(j), true);
  }
};

// f(j) for the columns that a thread of a block has.
template <class F>
TF_PAIRWISE_DEVICE void EachColumn(int thread, int64_t m, const F& f) {
  for (int64_t j = thread; j < m; j += kAnchorThreads) f(j);
}

// What a call's anchors are given and leave.
template <typename T>
struct AnchorArguments {
  LabelledStrip<T> strip;
  int64_t rows;
  const T* weights;  // [n], or null for ones
  Metric metric;
  double margin;
  bool soft;
  bool gradient;   // the distances become the weights V
  LossSums* sums;  // [n]
  T* losses;       // [n], or null where the loss is reduced
  // Whether an anchor is left for a second kernel, [n], or null; and that
  // kernel's slopes, [grid, m].
  int32_t* left;
  T* slopes;
};

// An anchor of the loss.
template <typename T>
struct AnchorRow : LabelledRow<T> {
  double weight;
  Metric metric;
  double margin;
  bool soft;
  bool gradient;

  TF_PAIRWISE_DEVICE AnchorRow(const AnchorArguments<T>& a, int64_t r)
      : LabelledRow<T>(a.strip, r),
        weight(a.weights == nullptr
                   ? 1.0
                   : static_cast<double>(a.weights[a.strip.row + r])),
        metric(a.metric),
        margin(a.margin),
        soft(a.soft),
        gradient(a.gradient) {}

  // V of a pair of this d loss / d D; and of this slope, before the weight.
  TF_PAIRWISE_DEVICE T PairWeight(T derivative, T distance) const {
    return VisitSlope(metric, [&](auto slope) {
      return decltype(slope)::Of(derivative, distance);
    });
  }
  TF_PAIRWISE_DEVICE T WeightOf(T slope, T distance) const {
    return PairWeight(static_cast<T>(weight) * slope, distance);
  }
  // The loss of a triplet.
  TF_PAIRWISE_DEVICE TripletValue<double> TripletOf(double positive,
                                                    double negative) const {
    return soft ? SoftTriplet(positive, negative)
                : HingeTriplet(positive, negative, margin);
  }
};

// What an anchor's triplets come to, before its weight.
struct TripletSums {
  double sum = 0;
  int64_t counted = 0;
  int64_t nonzero = 0;

  TF_PAIRWISE_DEVICE TripletSums operator+(const TripletSums& other) const {
    return {sum + other.sum, counted + other.counted, nonzero + other.nonzero};
  }
};

template <class B, typename T>
TF_PAIRWISE_DEVICE void StoreSums(B& block, const AnchorArguments<T>& a,
                                  int64_t i, const LossSums& sums) {
  block.Each([&](int thread, auto&, auto&) {
    if (thread != 0) return;
    a.sums[i] = sums;
    if (a.losses != nullptr) a.losses[i] = static_cast<T>(sums.sum);
  });
}

template <class B, typename T>
TF_PAIRWISE_DEVICE void ClearRow(B& block, const AnchorRow<T>& row) {
  if (!row.gradient) return;
  block.Each([&](int thread, auto&, auto&) {
    EachColumn(thread, row.m, [&](int64_t j) { row.distances[j] = 0; });
  });
}

// A reference and its distance.
template <typename T>
struct Candidate {
  int64_t index = -1;
  T distance = 0;
};

// The better of two candidates; of equals the one of the lowest index.
template <class Best>
struct BetterOf {
  template <typename T>
  TF_PAIRWISE_DEVICE Candidate<T> operator()(const Candidate<T>& a,
                                             const Candidate<T>& b) const {
    if (a.index < 0) return b;
    if (b.index < 0) return a;
    if (Best::Better(a.distance, b.distance)) return a;
    if (Best::Better(b.distance, a.distance)) return b;
    return a.index < b.index ? a : b;
  }
};

// The best of the candidates that `of(j)` makes of a row's columns.
template <class Best, typename T, class B, class Of>
TF_PAIRWISE_DEVICE Candidate<T> BestOfRow(B& block, int64_t m, const Of& of) {
  return block.Reduce(
      [&](int thread, auto&, auto&) {
        Candidate<T> best;
        EachColumn(thread, m,
                   [&](int64_t j) { best = BetterOf<Best>()(best, of(j)); });
        return best;
      },
      BetterOf<Best>());
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_ANCHOR_ROW_GPU_INL_H_

#ifndef TF_PAIRWISE_CORE_REDUCE_H_
#define TF_PAIRWISE_CORE_REDUCE_H_

#include <cstdint>

#include "core/parallel.h"
#include "core/types.h"

// What the reductions have in common: sums to a loss and its gradient's scale,
// and the walk over explicit pairs or triplets.

namespace tf_pairwise {

// Sums over what is counted, each item times its weight.
struct LossSums {
  double sum = 0;
  double counted = 0;
  double nonzero = 0;  // of those with loss > 0 (or NaN)

  void Add(const LossSums& other) {
    sum += other.sum;
    counted += other.counted;
    nonzero += other.nonzero;
  }
};

// What a mean divides by.
inline double DivisorOf(Reduction reduction, const LossSums& sums) {
  return reduction == Reduction::kMeanNonzero ? sums.nonzero : sums.counted;
}

// What a reduced loss is multiplied by: 1, or one over the mean's divisor, or 0
// where there is nothing to count, so that loss and gradient are 0 and not NaN.
inline double ScaleOf(Reduction reduction, const LossSums& sums) {
  if (reduction != Reduction::kMean && reduction != Reduction::kMeanNonzero) {
    return 1;
  }
  const double divisor = DivisorOf(reduction, sums);
  return divisor == 0 ? 0 : 1 / divisor;
}

// Writes value i of an array of the compute type of `dtype`.
inline void StoreCompute(DType dtype, double value, void* array, int64_t i) {
  if (dtype == DType::kFloat64) {
    static_cast<double*>(array)[i] = value;
  } else {
    static_cast<float*>(array)[i] = static_cast<float>(value);
  }
}

inline void StoreLoss(DType dtype, double value, void* loss) {
  StoreCompute(dtype, value, loss, 0);
}

// Value i of an array of the compute type of `dtype`; 1 for a null array.
inline double LoadCompute(DType dtype, const void* array, int64_t i) {
  if (array == nullptr) return 1;
  return dtype == DType::kFloat64
             ? static_cast<const double*>(array)[i]
             : static_cast<double>(static_cast<const float*>(array)[i]);
}

// Rows of a unit of work over explicit pairs or triplets of d coordinates.
inline int64_t ExplicitRows(int64_t d) {
  const int64_t rows = 65536 / (d + 16);
  return rows < 1 ? 1 : rows;
}

inline int64_t ExplicitBlocks(int64_t n, int64_t d) {
  const int64_t rows = ExplicitRows(d);
  return (n + rows - 1) / rows;
}

// An explicit loss of n items: `block(begin, end, scale, with_gradient)` makes
// the items' losses (with kNone) and, multiplied by scale, their gradients, and
// returns their sums. `sums` is scratch of ExplicitBlocks(n, d).
//
// One pass; two where a gradient's scale is known only after the first, the
// mean over losses above zero.
template <typename Block>
void ReduceExplicit(DType dtype, Reduction reduction, int64_t n, int64_t d,
                    const void* weights, bool with_gradient, void* loss,
                    LossSums* sums, const ParallelFor& parallel,
                    const Block& block) {
  const int64_t rows = ExplicitRows(d), units = ExplicitBlocks(n, d);
  const auto pass = [&](double scale, bool gradient) {
    parallel(units,
             static_cast<double>(rows) * (2 * static_cast<double>(d) + 96),
             [&](int64_t unit, int) {
               const int64_t begin = unit * rows;
               sums[unit] = block(begin, begin + rows < n ? begin + rows : n,
                                  scale, gradient);
             });
    LossSums total;
    for (int64_t unit = 0; unit < units; ++unit) total.Add(sums[unit]);
    return total;
  };
  double scale = 1;
  if (with_gradient && reduction == Reduction::kMean) {
    // The mean's divisor is known before the pass.
    LossSums all;
    for (int64_t i = 0; i < n; ++i) {
      all.counted += LoadCompute(dtype, weights, i);
    }
    scale = ScaleOf(reduction, all);
  } else if (with_gradient && reduction == Reduction::kMeanNonzero) {
    scale = ScaleOf(reduction, pass(1, false));
  }
  const LossSums total = pass(scale, with_gradient);
  if (reduction != Reduction::kNone && loss != nullptr) {
    const double factor = ScaleOf(reduction, total);
    StoreLoss(dtype, factor == 0 ? 0 : total.sum * factor, loss);
  }
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_REDUCE_H_

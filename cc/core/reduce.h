#ifndef TF_PAIRWISE_CORE_REDUCE_H_
#define TF_PAIRWISE_CORE_REDUCE_H_

#include "core/types.h"

// What the reductions have in common: sums to a loss and its gradient's scale,
// and the rule of weight 0: what has a weight of 0 does not exist, whatever is
// in it, a NaN included, in value, count and gradient. (Per-target code has the
// same rule as Weighted in core/numerics-inl.h.)

namespace tf_pairwise {

// Sums over what is counted, each item times its weight.
struct LossSums {
  double sum = 0;
  double counted = 0;
  double nonzero = 0;  // of those with loss > 0 (or NaN)

  // An item of this weight and loss; returns its weighted loss.
  double Add(double weight, double loss) {
    if (weight == 0) return 0;
    sum += weight * loss;
    counted += weight;
    nonzero += loss <= 0 ? 0 : weight;
    return weight * loss;
  }
  void Add(const LossSums& other) {
    sum += other.sum;
    counted += other.counted;
    nonzero += other.nonzero;
  }
};

// What an item's slope is multiplied by to be its part of a gradient.
inline double SlopeWeight(double scale, double weight, double slope) {
  return weight == 0 ? 0 : scale * weight * slope;
}

// 1 / divisor, and 0 for 0: with nothing to count, loss and gradient are 0 and
// not NaN.
inline double InverseOf(double divisor) {
  return divisor == 0 ? 0 : 1 / divisor;
}

// What a mean divides by.
inline double DivisorOf(Reduction reduction, const LossSums& sums) {
  return reduction == Reduction::kMeanNonzero ? sums.nonzero : sums.counted;
}

// What a reduced loss is multiplied by: 1, or one over the mean's divisor.
inline double ScaleOf(Reduction reduction, const LossSums& sums) {
  if (reduction != Reduction::kMean && reduction != Reduction::kMeanNonzero) {
    return 1;
  }
  return InverseOf(DivisorOf(reduction, sums));
}

// The reduced loss of these sums, of which `scale` is ScaleOf.
inline double ReducedLoss(double scale, const LossSums& sums) {
  return scale == 0 ? 0 : sums.sum * scale;
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

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_REDUCE_H_

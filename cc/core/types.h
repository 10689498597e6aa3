#ifndef TF_PAIRWISE_CORE_TYPES_H_
#define TF_PAIRWISE_CORE_TYPES_H_

#include "core/integers.h"

namespace tf_pairwise {

// What the caller's arrays hold. Halves are computed in float.
enum class DType : int32_t { kFloat16, kBFloat16, kFloat32, kFloat64 };

enum class Metric : int32_t {
  kEuclidean,         // |x - y|
  kSquaredEuclidean,  // |x - y|^2
  kCosine,            // 1 - x.y / (|x| |y|); 1 where either is zero
  kManhattan,         // sum |x_k - y_k|
  kDot,               // -x.y
  kChebyshev,         // max |x_k - y_k|
};

constexpr Metric kLastMetric = Metric::kChebyshev;

enum class Reduction : int32_t {
  kNone,
  kSum,
  kMean,
  kMeanNonzero,
  kBalancedMean,  // batch contrastive loss only
  kMeanLists,     // list ranking loss only
};

inline int64_t SizeOf(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}

// Size of the type a loss of `dtype` inputs is computed and returned in:
// double for double, float for the rest.
inline int64_t SizeOfCompute(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : 4;
}

// Whether arrays of `dtype` hold less than they are computed in.
inline bool IsHalf(DType dtype) {
  return SizeOf(dtype) != SizeOfCompute(dtype);
}

// Calls `function(T())` with the compute type of `dtype`.
template <typename Function>
auto VisitCompute(DType dtype, const Function& function) {
  return dtype == DType::kFloat64 ? function(double()) : function(float());
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_TYPES_H_

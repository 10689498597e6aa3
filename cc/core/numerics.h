#ifndef TF_PAIRWISE_CORE_NUMERICS_H_
#define TF_PAIRWISE_CORE_NUMERICS_H_

#include <cmath>

#include "core/host_device.h"

// Scalar functions in forms that neither overflow nor cancel.

namespace tf_pairwise {

// log(1 + e^x).
TF_PAIRWISE_HOST_DEVICE double Softplus(double x) {
  // Written so that a NaN comes through.
  return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
}

// 1 / (1 + e^-x), the slope of softplus.
TF_PAIRWISE_HOST_DEVICE double Sigmoid(double x) {
  const double e = exp(-fabs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_NUMERICS_H_

#ifndef TF_PAIRWISE_DISTANCE_DISTANCE_PAIR_H_
#define TF_PAIRWISE_DISTANCE_DISTANCE_PAIR_H_

#include <cmath>
#include <cstdint>

#include "core/host_device.h"
#include "core/types.h"

// The formulas of one pair of points, for every device and the unit test.
//
//   euclidean          D = |x - y|              dD/dx = (x - y) / D
//   squared euclidean  D = |x - y|^2            dD/dx = 2 (x - y)
//   cosine             D = 1 - c, c = x.y/|x||y|  dD/dx = (c x/|x| - y/|y|) /
//   |x| manhattan          D = sum |x_k - y_k|      dD/dx = sign(x - y) dot D =
//   -x.y                 dD/dx = -y
//
// All slopes are 0 where D's own formula has none: D = 0 for euclidean, equal
// coordinates for manhattan, a zero vector for cosine (which is at distance 1
// from everything).

namespace tf_pairwise {

TF_PAIRWISE_HOST_DEVICE constexpr bool IsDifferenceL2(Metric metric) {
  return metric == Metric::kEuclidean || metric == Metric::kSquaredEuclidean;
}

// A euclidean distance up to this counts as zero where it is divided by: its
// reciprocal could overflow.
template <typename T>
TF_PAIRWISE_HOST_DEVICE constexpr T TinyDistance() {
  return sizeof(T) == 4 ? T(1e-37) : T(1e-300);
}

// The factor v of v (x - y) for the two metrics of |x - y|, 1 for the rest:
// what a pair's weight is multiplied by before the sum over pairs is made.
template <typename T>
TF_PAIRWISE_HOST_DEVICE T PairSlope(Metric metric, T distance) {
  if (metric == Metric::kEuclidean) {
    // A NaN distance has a NaN slope.
    return distance <= TinyDistance<T>() ? T(0) : T(1) / distance;
  }
  return metric == Metric::kSquaredEuclidean ? T(2) : T(1);
}

// The distance of two points in double, safe from overflow, underflow and
// cancellation: for the pairs that the fast kernels hand over. NaN where a
// coordinate is not finite.
template <typename T>
TF_PAIRWISE_HOST_DEVICE double ExactDistance(Metric metric, const T* x,
                                             const T* y, int64_t d) {
  double largest_x = 0, largest_y = 0, largest_difference = 0;
  bool finite = true;
  for (int64_t k = 0; k < d; ++k) {
    const double a = std::fabs(static_cast<double>(x[k]));
    const double b = std::fabs(static_cast<double>(y[k]));
    // Halved, so that the difference of two finite doubles is finite.
    const double c = std::fabs(0.5 * static_cast<double>(x[k]) -
                               0.5 * static_cast<double>(y[k]));
    finite =
        finite && a <= 1.7976931348623157e308 && b <= 1.7976931348623157e308;
    largest_x = a > largest_x ? a : largest_x;
    largest_y = b > largest_y ? b : largest_y;
    largest_difference = c > largest_difference ? c : largest_difference;
  }
  if (!finite) return std::nan("");
  switch (metric) {
    case Metric::kEuclidean:
    case Metric::kSquaredEuclidean: {
      if (largest_difference == 0) return 0;
      double sum = 0;
      for (int64_t k = 0; k < d; ++k) {
        const double r = (0.5 * static_cast<double>(x[k]) -
                          0.5 * static_cast<double>(y[k])) /
                         largest_difference;
        sum += r * r;
      }
      const double distance = 2 * largest_difference * std::sqrt(sum);
      return metric == Metric::kEuclidean ? distance : distance * distance;
    }
    case Metric::kCosine: {
      if (largest_x == 0 || largest_y == 0) return 1;
      double xx = 0, yy = 0;
      for (int64_t k = 0; k < d; ++k) {
        const double a = static_cast<double>(x[k]) / largest_x;
        const double b = static_cast<double>(y[k]) / largest_y;
        xx += a * a;
        yy += b * b;
      }
      // 1 - c = |x/|x| - y/|y||^2 / 2 does not cancel.
      const double x_norm = std::sqrt(xx), y_norm = std::sqrt(yy);
      double sum = 0;
      for (int64_t k = 0; k < d; ++k) {
        const double r = static_cast<double>(x[k]) / largest_x / x_norm -
                         static_cast<double>(y[k]) / largest_y / y_norm;
        sum += r * r;
      }
      return 0.5 * sum;
    }
    case Metric::kManhattan: {
      double sum = 0;
      for (int64_t k = 0; k < d; ++k) {
        sum += std::fabs(static_cast<double>(x[k]) - static_cast<double>(y[k]));
      }
      return sum;
    }
    case Metric::kDot: {
      double sum = 0;
      for (int64_t k = 0; k < d; ++k) {
        sum += static_cast<double>(x[k]) * static_cast<double>(y[k]);
      }
      return -sum;
    }
  }
  return 0;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_DISTANCE_PAIR_H_

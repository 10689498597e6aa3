#ifndef TF_PAIRWISE_METRIC_TRAITS_H_
#define TF_PAIRWISE_METRIC_TRAITS_H_

#include "core/types.h"

// What code that is not compiled per target asks of a metric.

namespace tf_pairwise {

// Whether prepared points keep their inverse norms (Preparation::kNormalised).
constexpr bool KeepsNorms(Metric metric) { return metric == Metric::kCosine; }

// The metric of the same order whose distances cost no root.
constexpr Metric WithoutRoot(Metric metric) {
  return metric == Metric::kEuclidean ? Metric::kSquaredEuclidean : metric;
}

// Losses over dot products s = -D: of normalised points, or of the points as
// they are. Both as the metric of the points (Operand::metric).
constexpr Metric PointsOfProducts(bool normalize) {
  return normalize ? Metric::kCosine : Metric::kDot;
}
constexpr Metric kProducts = Metric::kDot;

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_METRIC_TRAITS_H_

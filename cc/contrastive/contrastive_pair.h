#ifndef TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_PAIR_H_
#define TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_PAIR_H_

#include "core/host_device.h"
#include "core/numerics.h"

// The formula of one pair, for every device and the unit test.

namespace tf_pairwise {

struct ContrastiveTerm {
  double loss;
  double slope;  // d loss / d D
};

// With h = max(0, D - positive_margin) for a similar pair, max(0, margin - D)
// for a dissimilar one: 0.5 h^2, or h where not `squared`. The slope at a kink
// is 0; a NaN distance makes a NaN loss and slope.
TF_PAIRWISE_HOST_DEVICE ContrastiveTerm
MakeContrastiveTerm(double distance, bool similar, double margin,
                    double positive_margin, bool squared) {
  const double h = similar ? distance - positive_margin : margin - distance;
  if (h != h) return {h, h};
  if (!(h > 0)) return {0, 0};
  const double slope = squared ? h : 1;
  return {squared ? 0.5 * h * h : h, similar ? slope : -slope};
}

// log(e^a + e^b).
TF_PAIRWISE_HOST_DEVICE double LogAddExp(double a, double b) {
  if (a == b) return a + 0.69314718055994530942;  // infinities too
  return a > b ? a + log1p(exp(b - a)) : b + log1p(exp(a - b));
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_PAIR_H_

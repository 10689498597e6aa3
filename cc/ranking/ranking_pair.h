#ifndef TF_PAIRWISE_RANKING_RANKING_PAIR_H_
#define TF_PAIRWISE_RANKING_RANKING_PAIR_H_

#include "core/host_device.h"
#include "core/numerics.h"

// The formulas of one pair, for every device and the unit test. (The CPU
// kernels evaluate the same for a vector of pairs.)

namespace tf_pairwise {

struct RankingPair {
  double loss;
  double slope;  // d loss / d x
};

// x = (s_other - s_preferred) / temperature in all three.

TF_PAIRWISE_HOST_DEVICE RankingPair LogisticPair(double x) {
  return {Softplus(x), Sigmoid(x)};
}

// max(0, margin + x), whose slope at the kink is 0.
TF_PAIRWISE_HOST_DEVICE RankingPair HingePair(double x, double margin) {
  const double z = margin + x;
  if (z != z) return {z, z};
  return z > 0 ? RankingPair{z, 1} : RankingPair{0, 0};
}

TF_PAIRWISE_HOST_DEVICE RankingPair SoftZeroOnePair(double x) {
  const double e = exp(-fabs(x));
  const double inverse = 1.0 / (1.0 + e);
  return {(x < 0 ? e : 1.0) * inverse, e * inverse * inverse};
}

// ((s_i - s_j) - (y_i - y_j))^2 with errors e = s - y; slope is d loss / d e_i.
TF_PAIRWISE_HOST_DEVICE RankingPair MsePair(double error_i, double error_j) {
  const double difference = error_i - error_j;
  return {difference * difference, 2 * difference};
}

// The discount of a rank, 1 for the first; topn 0 for no limit.
TF_PAIRWISE_HOST_DEVICE double RankDiscount(long long rank, long long topn) {
  return topn > 0 && rank > topn ? 0.0
                                 : 1.0 / log2(1.0 + static_cast<double>(rank));
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_RANKING_PAIR_H_

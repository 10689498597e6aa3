#ifndef TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_H_
#define TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_H_

#include "core/host_device.h"
#include "core/numerics.h"

// The formula of one triplet, for every device and the unit test.

namespace tf_pairwise {

struct TripletTerm {
  double loss;
  double slope;  // d loss / d D(a, p) = -d loss / d D(a, n)
};

// max(0, D_ap - D_an + margin), whose slope at the kink is 0, or with `soft`
// softplus(D_ap - D_an). A NaN distance makes a NaN loss and slope.
TF_PAIRWISE_HOST_DEVICE TripletTerm MakeTripletTerm(double positive,
                                                    double negative,
                                                    double margin, bool soft) {
  if (soft) {
    const double z = positive - negative;
    return {Softplus(z), Sigmoid(z)};
  }
  const double z = positive - negative + margin;
  if (z != z) return {z, z};
  return z > 0 ? TripletTerm{z, 1} : TripletTerm{0, 0};
}

// Whether a mining that takes every triplet of a kind takes this one.
// `threshold` is D_an - margin, rounded once in the compute type: the form in
// which all devices compare, so that they agree on ties.
template <typename T>
TF_PAIRWISE_HOST_DEVICE bool IsSemiHard(T positive, T negative, T threshold) {
  return positive < negative && positive >= threshold;
}
template <typename T>
TF_PAIRWISE_HOST_DEVICE bool IsHard(T positive, T negative) {
  return negative <= positive;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_TRIPLET_PAIR_H_

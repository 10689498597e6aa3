#ifndef TF_PAIRWISE_TRIPLET_EXPLICIT_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_EXPLICIT_GPU_INL_H_

#include "cuda/direct.h"
#include "tile/explicit_walk_gpu-inl.h"
#include "triplet/triplet_pair-inl.h"

// The loss of explicit triplets: the items of explicit_walk_gpu-inl.h.

namespace tf_pairwise {

template <typename S>
struct ExplicitTriplets {
  TF_PAIRWISE_KERNEL_NAME("explicit_triplets_" + TypeName<S>());
  using T = Computed<S>;
  struct Items {
    int64_t d;
    Metric metric;
    double margin;
    bool soft, swap;
    const S* anchors;
    const S* positives;
    const S* negatives;
    const T* weights;  // null for ones
    T* loss;           // null but for kNone
    T* anchors_grad;
    T* positives_grad;
    T* negatives_grad;
  };

  // The points of a triplet, and its distances.
  struct Triplet {
    const S *a, *p, *n;
    DirectPair positive, negative;
    bool swapped = false;  // the negative is the positive's
  };

  static TF_PAIRWISE_DEVICE void Item(const Items& items, int64_t i,
                                      double scale, bool with_gradient,
                                      LossSums* sums) {
    const Triplet triplet = Read(items, i, with_gradient);
    const TripletValue<double> value =
        items.soft
            ? SoftTriplet(triplet.positive.distance, triplet.negative.distance)
            : HingeTriplet(triplet.positive.distance, triplet.negative.distance,
                           items.margin);
    const double weight = WeightAt(items.weights, i);
    const double loss = sums->Add(weight, value.loss);
    if (items.loss != nullptr) StoreOnce(loss, items.loss + i);
    if (with_gradient) {
      Gradients(items, i, triplet, SlopeWeight(scale, weight, value.slope));
    }
  }

 private:
  static TF_PAIRWISE_DEVICE Triplet Read(const Items& items, int64_t i,
                                         bool with_gradient) {
    const int64_t at = i * items.d;
    Triplet t;
    t.a = items.anchors + at;
    t.p = items.positives + at;
    t.n = items.negatives + at;
    // One text for all three pairs, which is long.
    for (int which = 0; which < (items.swap ? 3 : 2); ++which) {
      const DirectPair pair =
          MakePair(items.metric, which == 2 ? t.p : t.a, which == 0 ? t.p : t.n,
                   items.d, with_gradient);
      if (which == 0) t.positive = pair;
      if (which == 1) t.negative = pair;
      if (which == 2) {
        t.swapped = pair.distance < t.negative.distance ||
                    pair.distance != pair.distance;
        if (t.swapped) t.negative = pair;
      }
    }
    return t;
  }

  static TF_PAIRWISE_DEVICE void Gradients(const Items& items, int64_t i,
                                           const Triplet& t, double w) {
    const int64_t at = i * items.d;
    T* const a_grad = items.anchors_grad + at;
    T* const p_grad = items.positives_grad + at;
    T* const n_grad = items.negatives_grad + at;
    if (w == 0) {
      EachCoordinate(items.d,
                     [&](int64_t k) { a_grad[k] = p_grad[k] = n_grad[k] = 0; });
      return;
    }
    VisitMetric(items.metric, [&](auto m) {
      using Slope = PairSlope<decltype(m), T>;
      const Slope of_a(t.positive, w), of_p(Exchanged(t.positive), w);
      const Slope of_near(t.negative, -w), of_n(Exchanged(t.negative), -w);
      EachCoordinate(items.d, [&](int64_t k) {
        const T a = Load(t.a + k), p = Load(t.p + k), n = Load(t.n + k);
        const T near = t.swapped ? p : a;
        const T of_negative = of_near(k, near, n);
        const T toward_a = of_a(k, a, p), toward_p = of_p(k, p, a);
        a_grad[k] = t.swapped ? toward_a : toward_a + of_negative;
        p_grad[k] = t.swapped ? toward_p + of_negative : toward_p;
        n_grad[k] = of_n(k, n, near);
      });
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_EXPLICIT_GPU_INL_H_

#ifndef TF_PAIRWISE_CUDA_DIRECT_H_
#define TF_PAIRWISE_CUDA_DIRECT_H_

#include "cuda/points.h"
#include "metric/metric-inl.h"

// metric/direct-inl.h's twin: one pair of points by itself, by a warp.

namespace tf_pairwise {

// The pair's distance, the same in all lanes; its gradient's coefficients too
// where `with_gradient`. NaN where a coordinate is not finite.
template <typename S>
TF_PAIRWISE_DEVICE DirectPair MakePair(Metric metric, const S* x, const S* y,
                                       int64_t d, bool with_gradient) {
  const WarpPoints<S> points = {x, y, d};
  return VisitMetric(metric, [&](auto m) {
    return decltype(m)::Direct(points, with_gradient);
  });
}

// weight * dD/dx at a coordinate k. That of y: Exchanged(pair), x and y
// exchanged.
template <class M, typename T,
          bool kLargest = M::kForm == GradientForm::kLargest>
struct PairSlope {
  typename M::template DirectPart<T> part;

  TF_PAIRWISE_DEVICE PairSlope(const DirectPair& pair, double weight)
      : part(T(0), pair, weight) {}
  TF_PAIRWISE_DEVICE T operator()(int64_t, T x, T y) const {
    return part(x, y);
  }
};
template <class M, typename T>
struct PairSlope<M, T, true> {
  int64_t largest;
  T weight;

  TF_PAIRWISE_DEVICE PairSlope(const DirectPair& pair, double w)
      : largest(pair.largest), weight(static_cast<T>(w)) {}
  TF_PAIRWISE_DEVICE T operator()(int64_t k, T x, T y) const {
    return k == largest ? M::Part(weight, x, y) : T(0);
  }
};

// f(k) for all coordinates, shared out among a warp's lanes.
template <class F>
TF_PAIRWISE_DEVICE void EachCoordinate(int64_t d, const F& f) {
  EachLane([&](int lane) {
    TF_PAIRWISE_UNROLL_BY(2)
    for (int64_t k = lane; k < d; k += kWarp) f(k);
  });
}

// Writes a value that all of a warp's lanes have.
template <typename S>
TF_PAIRWISE_DEVICE void StoreOnce(double value, S* p) {
  EachLane([&](int lane) {
    if (lane == 0) Store(static_cast<Computed<S>>(value), p);
  });
}

// Both gradients of a pair, times `weight`.
template <typename S, typename G>
TF_PAIRWISE_DEVICE void StoreSlopes(Metric metric, const DirectPair& pair,
                                    double weight, const S* x, const S* y,
                                    int64_t d, G* x_grad, G* y_grad) {
  VisitMetric(metric, [&](auto m) {
    using Slope = PairSlope<decltype(m), Computed<S>>;
    const Slope of_x(pair, weight), of_y(Exchanged(pair), weight);
    EachCoordinate(d, [&](int64_t k) {
      const Computed<S> a = Load(x + k), b = Load(y + k);
      Store(of_x(k, a, b), x_grad + k);
      Store(of_y(k, b, a), y_grad + k);
    });
  });
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_DIRECT_H_

#ifndef TF_PAIRWISE_CUDA_SECOND_H_
#define TF_PAIRWISE_CUDA_SECOND_H_

#include "cuda/points.h"
#include "metric/metric-inl.h"

// metric/second-inl.h's twin: the second derivatives of a pair, by a warp.

namespace tf_pairwise {

// Points x and y and the tangents u and w that their gradients are multiplied
// by: the inner products that the metrics' recipes ask for.
template <typename S>
struct WarpQuad {
  using T = Computed<S>;
  WarpPoints<S> points;
  const S* u;
  const S* w;

  // The quad with x and y exchanged.
  TF_PAIRWISE_DEVICE WarpQuad Exchanged() const {
    return {{points.y, points.x, points.d}, w, u};
  }

  // u - w at a coordinate.
  TF_PAIRWISE_DEVICE double Tangent(int64_t k) const {
    return static_cast<double>(Load(u + k)) - static_cast<double>(Load(w + k));
  }

  // u.x a, u.y b, w.x a, w.y b: a and b take the norm out of the point.
  TF_PAIRWISE_DEVICE double UX(double a) const { return Inner(u, points.x, a); }
  TF_PAIRWISE_DEVICE double UY(double b) const { return Inner(u, points.y, b); }
  TF_PAIRWISE_DEVICE double WX(double a) const { return Inner(w, points.x, a); }
  TF_PAIRWISE_DEVICE double WY(double b) const { return Inner(w, points.y, b); }

  // (x - y).(u - w) / scale.
  TF_PAIRWISE_DEVICE double DifferenceProduct(double scale) const {
    const double inverse = 1 / scale;
    return Sum([&](int64_t k) {
      return (points.X(k) - points.Y(k)) * inverse * Tangent(k);
    });
  }

  // sum sign(x_k - y_k) (u_k - w_k).
  TF_PAIRWISE_DEVICE double SignedDifferences() const {
    return Sum([&](int64_t k) {
      return SignedWeight(Tangent(k), points.X(k), points.Y(k));
    });
  }

 private:
  TF_PAIRWISE_DEVICE double Inner(const S* a, const S* b, double scale) const {
    return Sum([&](int64_t k) {
      return static_cast<double>(Load(a + k)) *
             (static_cast<double>(Load(b + k)) * scale);
    });
  }

  template <class F>
  TF_PAIRWISE_DEVICE double Sum(const F& f) const {
    return OverLanes(
        [&](int lane) {
          double sum = 0;
          TF_PAIRWISE_UNROLL_BY(2)
          for (int64_t k = lane; k < points.d; k += kWarp) sum += f(k);
          return sum;
        },
        PlusOf());
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_SECOND_H_

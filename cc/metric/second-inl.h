// The second derivatives of a pair's distance, in vectors. Included once per
// target.

#if defined(TF_PAIRWISE_METRIC_SECOND_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_SECOND_INL_H_
#undef TF_PAIRWISE_METRIC_SECOND_INL_H_
#else
#define TF_PAIRWISE_METRIC_SECOND_INL_H_
#endif

#include "metric/direct-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {

// Points x and y and the tangents u and w that their gradients are multiplied
// by: the inner products that the metrics' recipes ask for.
template <typename S>
struct Quad {
  using T = Compute<S>;
  Points<S> points;
  const S* u;
  const S* w;

  // u - w at a coordinate.
  HWY_INLINE double Tangent(int64_t k) const {
    return LoadScalar(u + k) - LoadScalar(w + k);
  }

  // u.x a, u.y b, w.x a, w.y b: a and b take the norm out of the point.
  HWY_INLINE double UX(double a) const { return Inner(u, points.x, a); }
  HWY_INLINE double UY(double b) const { return Inner(u, points.y, b); }
  HWY_INLINE double WX(double a) const { return Inner(w, points.x, a); }
  HWY_INLINE double WY(double b) const { return Inner(w, points.y, b); }

  // (x - y).(u - w) / scale.
  HWY_INLINE double DifferenceProduct(double scale) const {
    const Tag<double> tag;
    const VecT<double> inverse = hn::Set(tag, 1 / scale);
    VecT<double> sum = hn::Zero(tag);
    ForEachVector<double>(points.d, [&](int64_t k, int64_t count) HWY_ATTR {
      const VecT<double> r =
          LoadWide(points.x + k, count) - LoadWide(points.y + k, count);
      const VecT<double> p = LoadWide(u + k, count) - LoadWide(w + k, count);
      sum = hn::MulAdd(r * inverse, p, sum);
    });
    return hn::ReduceSum(tag, sum);
  }

  // sum sign(x_k - y_k) (u_k - w_k).
  HWY_INLINE double SignedDifferences() const {
    const Tag<double> tag;
    VecT<double> sum = hn::Zero(tag);
    ForEachVector<double>(points.d, [&](int64_t k, int64_t count) HWY_ATTR {
      const VecT<double> p = LoadWide(u + k, count) - LoadWide(w + k, count);
      sum = hn::Add(sum, SignedWeight(p, LoadWide(points.x + k, count),
                                      LoadWide(points.y + k, count)));
    });
    return hn::ReduceSum(tag, sum);
  }

 private:
  HWY_INLINE double Inner(const S* a, const S* b, double scale) const {
    const Tag<double> tag;
    const VecT<double> factor = hn::Set(tag, scale);
    VecT<double> sum = hn::Zero(tag);
    ForEachVector<double>(points.d, [&](int64_t k, int64_t count) HWY_ATTR {
      sum = hn::MulAdd(LoadWide(a + k, count), LoadWide(b + k, count) * factor,
                       sum);
    });
    return hn::ReduceSum(tag, sum);
  }
};

// One pair of the function sum g (u.dD/dx + w.dD/dy): its derivative with
// respect to g is returned, that with respect to x is added to sums.
template <typename S>
HWY_INLINE double AddPairSecond(Metric metric, const S* x, const S* y,
                                const S* u, const S* w, int64_t d, double g,
                                Compute<S>* sums) {
  using T = Compute<S>;
  return VisitMetric(metric, [&](auto m) HWY_ATTR {
    using M = decltype(m);
    const SecondForm form = M::Second(Quad<S>{{x, y, d}, u, w}, g);
    const typename M::template SecondPart<VecT<T>> part(hn::Zero(Tag<T>()),
                                                        form);
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      const VecT<T> v = part(LoadCount(x + k, count), LoadCount(y + k, count),
                             LoadCount(u + k, count), LoadCount(w + k, count));
      StoreCount(hn::Add(LoadCount(sums + k, count), v), sums + k, count);
    });
    return form.with_g;
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_METRIC_SECOND_INL_H_

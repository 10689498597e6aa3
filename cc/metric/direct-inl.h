// One pair of points, read directly: its distance and its gradient, with no
// product of norms in between. For the explicit losses and for the pairs that
// the tiles hand over. S is the type that the caller's arrays hold. Included
// once per target.

#if defined(TF_PAIRWISE_METRIC_DIRECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_METRIC_DIRECT_INL_H_
#undef TF_PAIRWISE_METRIC_DIRECT_INL_H_
#else
#define TF_PAIRWISE_METRIC_DIRECT_INL_H_
#endif

#include "metric/metric-inl.h"
#include "simd/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {

// The vector of doubles at p.
HWY_INLINE VecT<double> LoadWide(const double* p, int64_t count) {
  return LoadCount(p, count);
}
HWY_INLINE VecT<double> LoadWide(const float* p, int64_t count) {
  const Tag<double> d;
  const hn::Rebind<float, Tag<double>> narrow;
  return hn::PromoteTo(d, hn::LoadN(narrow, p, static_cast<size_t>(count)));
}
template <typename Half>
HWY_INLINE VecT<double> LoadWide(const Half* p, int64_t count) {
  const Tag<double> d;
  const hn::Rebind<float, Tag<double>> narrow;
  const hn::Rebind<Half, Tag<double>> half;
  return hn::PromoteTo(
      d, hn::PromoteTo(narrow, hn::LoadN(half, p, static_cast<size_t>(count))));
}

template <typename S>
HWY_INLINE double LoadScalar(const S* p) {
  return static_cast<double>(hn::GetLane(LoadAsN(p, 1)));
}
template <typename S>
HWY_INLINE void StoreScalar(double value, S* out) {
  StoreAsN(hn::Set(Tag<Compute<S>>(), static_cast<Compute<S>>(value)), out, 1);
}

// sum f(x_k, y_k) of a function of vectors f, lane sums in T for blocks short
// enough to keep their last bits, the blocks' sums in double.
template <typename S, typename Function>
HWY_INLINE double SumOver(const S* x, const S* y, int64_t d,
                          const Function& function) {
  using T = Compute<S>;
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const int64_t block = 64 * lanes;
  double total = 0;
  for (int64_t begin = 0; begin < d; begin += block) {
    const int64_t end = begin + block < d ? begin + block : d;
    VecT<T> sum0 = hn::Zero(tag), sum1 = hn::Zero(tag);
    int64_t k = begin;
    for (; k + 2 * lanes <= end; k += 2 * lanes) {
      sum0 = hn::Add(sum0, function(LoadAs(x + k), LoadAs(y + k)));
      sum1 =
          hn::Add(sum1, function(LoadAs(x + k + lanes), LoadAs(y + k + lanes)));
    }
    for (; k < end; k += lanes) {
      const int64_t count = end - k < lanes ? end - k : lanes;
      sum0 = hn::Add(
          sum0, function(LoadCount(x + k, count), LoadCount(y + k, count)));
    }
    total += SumToDouble(tag, hn::Add(sum0, sum1));
  }
  return total;
}

// The same of vectors of doubles.
template <typename S, typename Function>
HWY_INLINE double SumOverWide(const S* x, const S* y, int64_t d,
                              const Function& function) {
  const Tag<double> tag;
  const int64_t lanes = LanesOf<double>();
  VecT<double> sum = hn::Zero(tag);
  for (int64_t k = 0; k < d; k += lanes) {
    const int64_t count = d - k < lanes ? d - k : lanes;
    sum =
        hn::Add(sum, function(LoadWide(x + k, count), LoadWide(y + k, count)));
  }
  return hn::ReduceSum(tag, sum);
}

// One point: what its norm is made of.
template <typename S>
struct Side {
  const S* x;
  int64_t d;

  HWY_INLINE double Squares() const {
    return SumOverWide(x, x, d, ProductElement());
  }
  // Of the point over `scale`.
  HWY_INLINE double Squares(double scale) const {
    double sum = 0;
    for (int64_t k = 0; k < d; ++k) {
      const double a = LoadScalar(x + k) / scale;
      sum += a * a;
    }
    return sum;
  }
  HWY_INLINE double Largest() const {
    double largest = 0;
    for (int64_t k = 0; k < d; ++k)
      largest = Max(largest, Abs(LoadScalar(x + k)));
    return largest;
  }
  HWY_INLINE bool IsFinite() const {
    double poison = 0;
    for (int64_t k = 0; k < d; ++k) poison += 0 * LoadScalar(x + k);
    return poison == 0;
  }
};

// Two points of the type S that the caller's arrays hold, for the metrics'
// recipes.
template <typename S>
struct Points {
  using T = Compute<S>;
  static constexpr bool kDoubles = sizeof(T) == 8;
  const S* x;
  const S* y;
  int64_t d;

  HWY_INLINE double X(int64_t k) const { return LoadScalar(x + k); }
  HWY_INLINE double Y(int64_t k) const { return LoadScalar(y + k); }
  HWY_INLINE Side<S> x_side() const { return {x, d}; }
  HWY_INLINE Side<S> y_side() const { return {y, d}; }
  HWY_INLINE bool IsFinite() const {
    return x_side().IsFinite() && y_side().IsFinite();
  }
  // sum f(x_k, y_k): to T's last bits, and to double's.
  template <typename Function>
  HWY_INLINE double Sum(const Function& function) const {
    return SumOver(x, y, d, function);
  }
  template <typename Function>
  HWY_INLINE double SumWide(const Function& function) const {
    return SumOverWide(x, y, d, function);
  }
  // The largest f(x_k, y_k) >= 0 of doubles, and the first k that has it; -1
  // without coordinates.
  template <typename Function>
  HWY_INLINE double Largest(const Function& function, int64_t* first) const {
    const Tag<double> tag;
    VecT<double> most = hn::Zero(tag);
    ForEachVector<double>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      most = hn::Max(most,
                     function(LoadWide(x + k, count), LoadWide(y + k, count)));
    });
    const double largest = hn::ReduceMax(tag, most);
    *first = -1;
    for (int64_t k = 0; k < d && *first < 0; ++k) {
      if (function(X(k), Y(k)) == largest) *first = k;
    }
    return largest;
  }
};

// The pair's distance; its gradient's coefficients too where `with_gradient`.
// NaN where a coordinate is not finite.
template <class M, typename S>
HWY_NOINLINE DirectPair DirectPairOf(const S* x, const S* y, int64_t d,
                                     bool with_gradient) {
  return M::Direct(Points<S>{x, y, d}, with_gradient);
}
template <typename S>
HWY_INLINE DirectPair MakePair(Metric metric, const S* x, const S* y, int64_t d,
                               bool with_gradient) {
  return VisitMetric(metric, [&](auto m) HWY_ATTR {
    return DirectPairOf<decltype(m)>(x, y, d, with_gradient);
  });
}

// `place(k, count, v)` takes the vector v = weight * dD/dx at coordinate k. For
// the gradient of y: x and y exchanged, and Exchanged(pair).
template <class M, typename S, typename Place>
HWY_INLINE void ForEachPart(const DirectPair& pair, double weight, const S* x,
                            const S* y, int64_t d, const Place& place) {
  using T = Compute<S>;
  const Tag<T> tag;
  if constexpr (M::kForm == GradientForm::kLargest) {
    ForEachVector<T>(d, [&](int64_t k, int64_t count)
                            HWY_ATTR { place(k, count, hn::Zero(tag)); });
    const int64_t k = pair.largest;
    if (k < 0) return;
    const VecT<T> w = hn::Set(tag, static_cast<T>(weight));
    place(k, 1, M::Part(w, LoadCount(x + k, 1), LoadCount(y + k, 1)));
    return;
  } else {
    const typename M::template DirectPart<VecT<T>> part(hn::Zero(tag), pair,
                                                        weight);
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      place(k, count, part(LoadCount(x + k, count), LoadCount(y + k, count)));
    });
  }
}

template <typename S, typename G>
HWY_INLINE void StoreSlope(Metric metric, const DirectPair& pair, double weight,
                           const S* x, const S* y, int64_t d, G* gradient) {
  VisitMetric(metric, [&](auto m) HWY_ATTR {
    ForEachPart<decltype(m)>(
        pair, weight, x, y, d,
        [gradient](int64_t k, int64_t count, auto v)
            HWY_ATTR { StoreCount(v, gradient + k, count); });
  });
}

template <typename S, typename G>
HWY_INLINE void AddSlope(Metric metric, const DirectPair& pair, double weight,
                         const S* x, const S* y, int64_t d, G* gradient) {
  VisitMetric(metric, [&](auto m) HWY_ATTR {
    ForEachPart<decltype(m)>(
        pair, weight, x, y, d,
        [gradient](int64_t k, int64_t count, auto v) HWY_ATTR {
          StoreCount(hn::Add(LoadCount(gradient + k, count), v), gradient + k,
                     count);
        });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_METRIC_DIRECT_INL_H_

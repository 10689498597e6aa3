// One pair of points, read directly: its distance and its gradient, with no
// product of norms in between. For the explicit losses and for the pairs that
// the tiles hand over. S is the type that the caller's arrays hold. Included
// once per target.

#if defined(TF_PAIRWISE_SIMD_DIRECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_SIMD_DIRECT_INL_H_
#undef TF_PAIRWISE_SIMD_DIRECT_INL_H_
#else
#define TF_PAIRWISE_SIMD_DIRECT_INL_H_
#endif

#include <cmath>

#include "distance/distance_pair.h"
#include "simd/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {

// A pair's distance and what its gradient is made of: with respect to x,
//   v (x - y)           euclidean, squared euclidean
//   own_x x - cross y   cosine, dot
//   sign(x - y)         manhattan
// and with respect to y with x and y (and own_x and own_y) exchanged.
struct Pair {
  double distance = 0;
  double v = 0;
  double own_x = 0, own_y = 0, cross = 0;
};

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

// sum f(x_k, y_k) of a vector function f, lane sums in T for blocks short
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

template <typename S>
HWY_INLINE double ExactScalar(Metric metric, const S* x, const S* y,
                              int64_t d) {
  return ExactDistance(metric, x, y, d);
}
// Halves cannot leave double's range, so the wide sums are the last word.
HWY_INLINE double ExactScalar(Metric, const hwy::float16_t*,
                              const hwy::float16_t*, int64_t) {
  return std::nan("");
}
HWY_INLINE double ExactScalar(Metric metric, const hwy::bfloat16_t* x,
                              const hwy::bfloat16_t* y, int64_t d) {
  // bfloat16 has float's range, whose squares double holds.
  (void)metric, (void)x, (void)y, (void)d;
  return std::nan("");
}

// |x - y|^2, exact in double's last bits but for sums outside its range.
template <typename S>
HWY_INLINE double SquaredDifference(const S* x, const S* y, int64_t d) {
  using T = Compute<S>;
  const double narrow = SumOver(x, y, d, [](VecT<T> a, VecT<T> b) HWY_ATTR {
    const VecT<T> r = hn::Sub(a, b);
    return hn::Mul(r, r);
  });
  const double low = sizeof(T) == 4 ? 1e-28 : 1e-280;
  const double high = sizeof(T) == 4 ? 1e36 : 1e300;
  if (narrow >= low && narrow <= high) return narrow;
  return SumOverWide(x, y, d, [](VecT<double> a, VecT<double> b) HWY_ATTR {
    const VecT<double> r = hn::Sub(a, b);
    return hn::Mul(r, r);
  });
}

HWY_INLINE bool InDoubleRange(double squares) {
  return squares >= 1e-280 && squares <= 1e300;
}

// The pair's distance; its gradient's coefficients too where `with_gradient`.
template <typename S>
HWY_NOINLINE Pair MakePair(Metric metric, const S* x, const S* y, int64_t d,
                           bool with_gradient) {
  using T = Compute<S>;
  Pair pair;
  switch (metric) {
    case Metric::kEuclidean:
    case Metric::kSquaredEuclidean: {
      const double squares = SquaredDifference(x, y, d);
      if (InDoubleRange(squares)) {
        pair.distance =
            metric == Metric::kEuclidean ? std::sqrt(squares) : squares;
      } else {
        pair.distance =
            squares == 0 && sizeof(T) == 4 ? 0 : ExactScalar(metric, x, y, d);
      }
      if (with_gradient) {
        pair.v = PairSlope(metric, static_cast<T>(pair.distance));
      }
      return pair;
    }
    case Metric::kManhattan: {
      const double narrow = SumOver(x, y, d, [](VecT<T> a, VecT<T> b) HWY_ATTR {
        return hn::Abs(hn::Sub(a, b));
      });
      pair.distance =
          narrow <= 1e36
              ? narrow
              : SumOverWide(x, y, d,
                            [](VecT<double> a, VecT<double> b)
                                HWY_ATTR { return hn::Abs(hn::Sub(a, b)); });
      if (!(pair.distance <= 1.7976931348623157e308)) {
        pair.distance = std::nan("");
      }
      pair.v = 1;
      return pair;
    }
    case Metric::kDot:
    case Metric::kCosine:
      break;
  }
  const auto product = [](VecT<double> a, VecT<double> b)
                           HWY_ATTR { return hn::Mul(a, b); };
  const double xy = SumOverWide(x, y, d, product);
  if (metric == Metric::kDot) {
    pair.distance = xy - xy == 0 ? -xy : std::nan("");
    pair.cross = 1;
    return pair;
  }
  const double xx = SumOverWide(x, x, d, product);
  const double yy = SumOverWide(y, y, d, product);
  if (xx == 0 || yy == 0) {
    // A zero vector, unless its squares vanished (doubles below 1e-160).
    pair.distance = sizeof(T) == 4 ? 1 : ExactScalar(metric, x, y, d);
    if (!(xx - xx == 0 && yy - yy == 0)) pair.distance = std::nan("");
    return pair;
  }
  if (!InDoubleRange(xx) || !InDoubleRange(yy)) {
    pair.distance = ExactScalar(metric, x, y, d);
  } else {
    const double c = xy / (std::sqrt(xx) * std::sqrt(yy));
    pair.distance = 1 - c;
    if (pair.distance < 0.02) {
      // 1 - c = |x/|x| - y/|y||^2 / 2 does not cancel.
      const Tag<double> tag;
      const auto ix = hn::Set(tag, 1 / std::sqrt(xx));
      const auto iy = hn::Set(tag, 1 / std::sqrt(yy));
      pair.distance =
          0.5 * SumOverWide(
                    x, y, d, [ix, iy](VecT<double> a, VecT<double> b) HWY_ATTR {
                      const auto r = hn::Sub(hn::Mul(a, ix), hn::Mul(b, iy));
                      return hn::Mul(r, r);
                    });
    }
  }
  if (with_gradient) {
    pair.own_x = (1 - pair.distance) / xx;
    pair.own_y = (1 - pair.distance) / yy;
    pair.cross = 1 / (std::sqrt(xx) * std::sqrt(yy));
  }
  return pair;
}

// g = w dD/dx (plus g where `add`), for a pair made with its gradient. For the
// gradient of y: x, y and own_x, own_y exchanged, which Swapped does.
HWY_INLINE Pair Swapped(const Pair& pair) {
  Pair swapped = pair;
  swapped.own_x = pair.own_y;
  swapped.own_y = pair.own_x;
  return swapped;
}

// `place(k, count, v)` takes the vector of the gradient at coordinate k.
template <typename S, typename Place>
HWY_INLINE void ForEachSlope(Metric metric, const Pair& pair, double weight,
                             const S* x, const S* y, int64_t d,
                             const Place& place) {
  using T = Compute<S>;
  const Tag<T> tag;
  if (IsDifferenceL2(metric)) {
    const VecT<T> v = hn::Set(tag, static_cast<T>(weight * pair.v));
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      place(k, count,
            hn::Mul(v,
                    hn::Sub(LoadCount(x + k, count), LoadCount(y + k, count))));
    });
  } else if (metric == Metric::kManhattan) {
    const VecT<T> w = hn::Set(tag, static_cast<T>(weight));
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      const VecT<T> a = LoadCount(x + k, count);
      const VecT<T> b = LoadCount(y + k, count);
      const VecT<T> zero = hn::Zero(tag);
      const VecT<T> positive = hn::IfThenElseZero(hn::Gt(a, b), w);
      place(k, count, hn::Sub(positive, hn::IfThenElse(hn::Lt(a, b), w, zero)));
    });
  } else {
    const VecT<T> own = hn::Set(tag, static_cast<T>(weight * pair.own_x));
    const VecT<T> cross = hn::Set(tag, static_cast<T>(weight * pair.cross));
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      place(k, count,
            hn::NegMulAdd(cross, LoadCount(y + k, count),
                          hn::Mul(own, LoadCount(x + k, count))));
    });
  }
}

template <typename S, typename G>
HWY_INLINE void StoreSlope(Metric metric, const Pair& pair, double weight,
                           const S* x, const S* y, int64_t d, G* gradient) {
  ForEachSlope(metric, pair, weight, x, y, d,
               [gradient](int64_t k, int64_t count, auto v)
                   HWY_ATTR { StoreCount(v, gradient + k, count); });
}

template <typename S, typename G>
HWY_INLINE void AddSlope(Metric metric, const Pair& pair, double weight,
                         const S* x, const S* y, int64_t d, G* gradient) {
  ForEachSlope(metric, pair, weight, x, y, d,
               [gradient](int64_t k, int64_t count, auto v) HWY_ATTR {
                 StoreCount(hn::Add(LoadCount(gradient + k, count), v),
                            gradient + k, count);
               });
}

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_SIMD_DIRECT_INL_H_

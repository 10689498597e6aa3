#ifndef TF_PAIRWISE_CUDA_POINTS_H_
#define TF_PAIRWISE_CUDA_POINTS_H_

#include "cuda/block.h"
#include "cuda/halves.h"

// Points as the metrics' recipes read them (metric/metric-inl.h), a warp at a
// pair: lane l has the coordinates l, l + 32, ... For EachWarp's phases. The
// loops are many and mostly rare: unrolled little, kernels of all metrics stay
// small, and their registers few, which is worth more to a sum that waits for
// memory.

namespace tf_pairwise {

template <typename V>
struct LargestAt {
  V value = -1;
  int64_t first = -1;
};

struct LargestOf {
  template <typename V>
  TF_PAIRWISE_DEVICE LargestAt<V> operator()(const LargestAt<V>& a,
                                             const LargestAt<V>& b) const {
    if (a.value > b.value) return a;
    if (b.value > a.value) return b;
    return b.first < 0 || (a.first >= 0 && a.first < b.first) ? a : b;
  }
};

// One point: what its norm is made of.
template <typename S>
struct WarpSide {
  const S* x;
  int64_t d;

  // Of the point over `scale`.
  TF_PAIRWISE_DEVICE double Squares(double scale = 1) const {
    return OverLanes(
        [&](int lane) {
          double sum = 0;
          TF_PAIRWISE_UNROLL_BY(2)
          for (int64_t k = lane; k < d; k += kWarp) {
            const double v = static_cast<double>(Load(x + k)) / scale;
            sum += v * v;
          }
          return sum;
        },
        PlusOf());
  }
  TF_PAIRWISE_DEVICE double Largest() const {
    return OverLanes(
        [&](int lane) {
          double largest = 0;
          TF_PAIRWISE_LOOP
          for (int64_t k = lane; k < d; k += kWarp) {
            const double v = static_cast<double>(Load(x + k));
            const double size = v < 0 ? -v : v;
            if (size > largest) largest = size;
          }
          return largest;
        },
        [](double a, double b) { return a > b ? a : b; });
  }
  TF_PAIRWISE_DEVICE bool IsFinite() const {
    return OverLanes(
               [&](int lane) {
                 double poison = 0;
                 TF_PAIRWISE_LOOP
                 for (int64_t k = lane; k < d; k += kWarp) {
                   poison += 0 * static_cast<double>(Load(x + k));
                 }
                 return poison;
               },
               PlusOf()) == 0;
  }
};

// Two points of the type S that the caller's arrays hold.
template <typename S>
struct WarpPoints {
  using T = Computed<S>;
  static constexpr bool kDoubles = sizeof(S) == 8;
  const S* x;
  const S* y;
  int64_t d;

  TF_PAIRWISE_DEVICE double X(int64_t k) const { return Load(x + k); }
  TF_PAIRWISE_DEVICE double Y(int64_t k) const { return Load(y + k); }
  TF_PAIRWISE_DEVICE WarpSide<S> x_side() const { return {x, d}; }
  TF_PAIRWISE_DEVICE WarpSide<S> y_side() const { return {y, d}; }
  TF_PAIRWISE_DEVICE bool IsFinite() const {
    return x_side().IsFinite() && y_side().IsFinite();
  }
  // sum f(x_k, y_k): to T's last bits, and to double's.
  template <class Function>
  TF_PAIRWISE_DEVICE double Sum(const Function& function) const {
    return SumAs<T>(function);
  }
  template <class Function>
  TF_PAIRWISE_DEVICE double SumWide(const Function& function) const {
    return SumAs<double>(function);
  }
  // The largest f(x_k, y_k) >= 0 of doubles, and the first k that has it; -1
  // without coordinates.
  template <class Function>
  TF_PAIRWISE_DEVICE double Largest(const Function& function,
                                    int64_t* first) const {
    const LargestAt<double> largest = OverLanes(
        [&](int lane) {
          LargestAt<double> own;
          TF_PAIRWISE_UNROLL_BY(2)
          for (int64_t k = lane; k < d; k += kWarp) {
            const double value = function(X(k), Y(k));
            if (value > own.value) own = {value, k};
          }
          return own;
        },
        LargestOf());
    *first = largest.first;
    return largest.value < 0 ? 0 : largest.value;
  }

 private:
  // A lane's sum is of 64 coordinates at the most before it goes into a double.
  template <typename V, class Function>
  TF_PAIRWISE_DEVICE double SumAs(const Function& function) const {
    return OverLanes(
        [&](int lane) {
          constexpr int64_t kPart = 64 * kWarp;
          double sum = 0;
          for (int64_t begin = 0; begin < d; begin += kPart) {
            const int64_t end = begin + kPart < d ? begin + kPart : d;
            V part = 0;
            TF_PAIRWISE_UNROLL_BY(2)
            for (int64_t k = begin + lane; k < end; k += kWarp) {
              part += function(static_cast<V>(Load(x + k)),
                               static_cast<V>(Load(y + k)));
            }
            sum += static_cast<double>(part);
          }
          return sum;
        },
        PlusOf());
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_POINTS_H_

#ifndef TF_PAIRWISE_DISTANCE_PAIRED_GPU_INL_H_
#define TF_PAIRWISE_DISTANCE_PAIRED_GPU_INL_H_

#include "cuda/direct.h"
#include "cuda/second.h"

// Points taken in pairs, a warp at a pair: their distances, and the first and
// the second derivatives.

namespace tf_pairwise {

// Null what is not read or written.
template <typename S>
struct PairedArrays {
  Metric metric;
  int64_t n, d;
  const S* x;
  const S* y;
  S* distances;
  // Of sum(upstream * distances), and the second derivative's tangents.
  const S* upstream;
  const S* u;
  const S* w;
  S* upstream_out;
  S* x_out;
  S* y_out;
};

// A kernel of a function of a pair, Pair::Of(arrays, i).
template <class Pair, typename S>
struct PairedKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME(Pair::Name() + "_" + TypeName<S>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kWarps = kThreads / kWarp;
  using Arguments = PairedArrays<S>;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.EachWarp([&](int warp, Shared&, WarpRegisters&) {
      for (int64_t i = block.x() * kWarps + warp; i < a.n;
           i += block.grid_x() * kWarps) {
        Pair::Of(a, i);
      }
    });
  }
};

struct PairedDistances {
  TF_PAIRWISE_KERNEL_NAME(std::string("paired_distances"));
  template <typename S>
  static TF_PAIRWISE_DEVICE void Of(const PairedArrays<S>& a, int64_t i) {
    const int64_t at = i * a.d;
    const DirectPair pair = MakePair(a.metric, a.x + at, a.y + at, a.d, false);
    StoreOnce(pair.distance, a.distances + i);
  }
};

struct PairedGradients {
  TF_PAIRWISE_KERNEL_NAME(std::string("paired_gradients"));
  template <typename S>
  static TF_PAIRWISE_DEVICE void Of(const PairedArrays<S>& a, int64_t i) {
    const int64_t at = i * a.d;
    const S* x = a.x + at;
    const S* y = a.y + at;
    const DirectPair pair = MakePair(a.metric, x, y, a.d, true);
    StoreSlopes(a.metric, pair, static_cast<double>(Load(a.upstream + i)), x, y,
                a.d, a.x_out + at, a.y_out + at);
  }
};

struct PairedSeconds {
  TF_PAIRWISE_KERNEL_NAME(std::string("paired_seconds"));
  template <typename S>
  static TF_PAIRWISE_DEVICE void Of(const PairedArrays<S>& a, int64_t i) {
    using T = Computed<S>;
    const int64_t at = i * a.d;
    const S* x = a.x + at;
    const S* y = a.y + at;
    const S* u = a.u + at;
    const S* w = a.w + at;
    const WarpQuad<S> quad = {{x, y, a.d}, u, w};
    const double g = static_cast<double>(Load(a.upstream + i));
    VisitMetric(a.metric, [&](auto m) {
      using M = decltype(m);
      using Part = typename M::template SecondPart<T>;
      const SecondForm form = M::Second(quad, g);
      const Part of_x(T(0), form), of_y(T(0), M::Second(quad.Exchanged(), g));
      StoreOnce(form.with_g, a.upstream_out + i);
      EachCoordinate(a.d, [&](int64_t k) {
        const T p = Load(x + k), q = Load(y + k);
        const T s = Load(u + k), t = Load(w + k);
        Store(of_x(p, q, s, t), a.x_out + at + k);
        Store(of_y(q, p, t, s), a.y_out + at + k);
      });
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_PAIRED_GPU_INL_H_

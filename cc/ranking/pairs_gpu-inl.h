#ifndef TF_PAIRWISE_RANKING_PAIRS_GPU_INL_H_
#define TF_PAIRWISE_RANKING_PAIRS_GPU_INL_H_

#include "core/reduce.h"
#include "cuda/block.h"
#include "cuda/halves.h"
#include "cuda/sums_gpu-inl.h"
#include "ranking/ranking_pair-inl.h"

namespace tf_pairwise {

#if !defined(__CUDACC__)
template <class Pair>
std::string TermName() {
  return std::is_same_v<Pair, LogisticPair> ? "logistic_"
         : std::is_same_v<Pair, HingePair>  ? "hinge_"
                                            : "soft_zero_one_";
}
#endif

// A loss, of which one below the smallest normal number is 0, about as on the
// host (core/float_mode.h): a mean over losses above zero hangs on it.
template <typename V>
TF_PAIRWISE_DEVICE V Flushed(V loss) {
  constexpr double kLeast =
      sizeof(V) == 4 ? 1.1754943508222875e-38 : 2.2250738585072014e-308;
  return ZeroIf(loss < Like(loss, kLeast), loss);
}

// The loss of explicit pairs of scores: a thread a pair, over the whole grid.
template <typename S, class Pair>
struct RankingPairsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("ranking_pairs_" + TermName<Pair>() + TypeName<S>());
  using T = Computed<S>;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 4;
  struct Arguments {
    const S* positive;
    const S* negative;
    const T* weights;  // null for ones
    T margin, inverse_temperature;
    T* losses;  // null for what is not wanted
    T* positive_grad;
    T* negative_grad;
    int64_t n;
    bool with_gradient;
    const double* scale;  // of the gradients, null for 1
    LossSums* parts;      // of blocks, or null
  };

  static TF_PAIRWISE_DEVICE void Item(const Arguments& a, int64_t i, T factor,
                                      LossSums* sums) {
    const T p = Load(a.positive + i), n = Load(a.negative + i);
    // The differences with themselves make a NaN of an Inf.
    const T x = (n - p) * a.inverse_temperature + ((p - p) + (n - n));
    T loss, slope;
    Pair::Of(x, a.margin, loss, slope);
    loss = Flushed(loss);
    const T weight = a.weights == nullptr ? T(1) : a.weights[i];
    sums->Add(static_cast<double>(weight), static_cast<double>(loss));
    if (a.losses != nullptr) a.losses[i] = Weighted(weight, loss);
    if (!a.with_gradient) return;
    const T gradient = factor * Weighted(weight, slope);
    a.positive_grad[i] = -gradient;
    a.negative_grad[i] = gradient;
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const LossSums sums = block.Reduce(
        [&](int thread, Shared&, ThreadRegisters&) {
          const double scale = a.scale == nullptr ? 1 : *a.scale;
          const T factor = static_cast<T>(
              scale * static_cast<double>(a.inverse_temperature));
          LossSums own;
          for (int64_t i = block.x() * kThreads + thread; i < a.n;
               i += block.grid_x() * kThreads) {
            Item(a, i, factor, &own);
          }
          return own;
        },
        PlusSums());
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread == 0 && a.parts != nullptr) a.parts[block.x()] = sums;
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_PAIRS_GPU_INL_H_

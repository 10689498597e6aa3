#ifndef TF_PAIRWISE_CONTRASTIVE_PAIRS_GPU_INL_H_
#define TF_PAIRWISE_CONTRASTIVE_PAIRS_GPU_INL_H_

#include "contrastive/contrastive_pair-inl.h"
#include "cuda/direct.h"
#include "tile/explicit_walk_gpu-inl.h"

// The loss of explicit pairs: the items of explicit_walk_gpu-inl.h.

namespace tf_pairwise {

template <typename S>
struct ContrastivePairs {
  TF_PAIRWISE_KERNEL_NAME("contrastive_pairs_" + TypeName<S>());
  using T = Computed<S>;
  struct Items {
    int64_t d;
    Metric metric;
    double margin;
    const S* x1;
    const S* x2;
    const T* dissimilarity;
    const T* weights;  // null for ones
    T* loss;           // null but for kNone
    T* x1_grad;
    T* x2_grad;
  };

  static TF_PAIRWISE_DEVICE void Item(const Items& items, int64_t i,
                                      double scale, bool with_gradient,
                                      LossSums* sums) {
    const int64_t d = items.d;
    const S* x1 = items.x1 + i * d;
    const S* x2 = items.x2 + i * d;
    const DirectPair pair = MakePair(items.metric, x1, x2, d, with_gradient);
    double pair_loss, slope;
    SoftContrastivePair(pair.distance,
                        static_cast<double>(items.dissimilarity[i]),
                        items.margin, pair_loss, slope);
    const double weight = WeightAt(items.weights, i);
    const double loss = sums->Add(weight, pair_loss);
    if (items.loss != nullptr) StoreOnce(loss, items.loss + i);
    if (!with_gradient) return;
    const double w = SlopeWeight(scale, weight, slope);
    T* x1_grad = items.x1_grad + i * d;
    T* x2_grad = items.x2_grad + i * d;
    if (w == 0) {
      EachCoordinate(d, [&](int64_t k) { x1_grad[k] = x2_grad[k] = 0; });
      return;
    }
    StoreSlopes(items.metric, pair, w, x1, x2, d, x1_grad, x2_grad);
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CONTRASTIVE_PAIRS_GPU_INL_H_

// The soft-max losses in pair tiles, by tensor cores alone, which have tf32
// from sm_80 on.

#include "cuda/kernel.h"
#include "softmax/tiles_gpu-inl.h"
#include "tile/pair_tiles_gpu-inl.h"

TF_PAIRWISE_KERNEL(softmax_logits, tf_pairwise::SoftmaxLogitsKernel)

#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 800

#define TF_PAIRWISE_PAIR_TILES_(family, Family, products, policy, width) \
  TF_PAIRWISE_KERNEL(family##_pair_tiles_##products##_##width,           \
                     tf_pairwise::PairTilesKernel<tf_pairwise::Family,   \
                                                  tf_pairwise::policy, width>)
#define TF_PAIRWISE_PAIR_TILES_BY_(products, policy, width)                   \
  TF_PAIRWISE_PAIR_TILES_(logits, LogitSums<false>, products, policy, width)  \
  TF_PAIRWISE_PAIR_TILES_(labelled_logits, LogitSums<true>, products, policy, \
                          width)                                              \
  TF_PAIRWISE_PAIR_TILES_(softmax, SoftmaxPairs<false>, products, policy,     \
                          width)                                              \
  TF_PAIRWISE_PAIR_TILES_(labelled_softmax, SoftmaxPairs<true>, products,     \
                          policy, width)                                      \
  TF_PAIRWISE_PAIR_TILES_(sigmoid, SigmoidPairs, products, policy, width)

TF_PAIRWISE_PAIR_TILES_BY_(tf32, Tf32, 128)
TF_PAIRWISE_PAIR_TILES_BY_(tf32, Tf32, 256)
TF_PAIRWISE_PAIR_TILES_BY_(tf32x3, Tf32x3, 128)
TF_PAIRWISE_PAIR_TILES_BY_(tf32x3, Tf32x3, 256)

#endif

#include "contrastive/batch_gpu-inl.h"
#include "cuda/kernel.h"

TF_PAIRWISE_KERNEL(contrastive_strip_f32,
                   tf_pairwise::ContrastiveStripKernel<float>)
TF_PAIRWISE_KERNEL(contrastive_strip_f64,
                   tf_pairwise::ContrastiveStripKernel<double>)
TF_PAIRWISE_KERNEL(contrastive_total, tf_pairwise::ContrastiveTotalKernel)

#define TF_PAIRWISE_PAIR_TILES_(products, policy, width)          \
  TF_PAIRWISE_KERNEL(                                             \
      contrastive_pair_tiles_##products##width,                   \
      tf_pairwise::PairTilesKernel<tf_pairwise::ContrastivePairs, \
                                   tf_pairwise::policy, width>)
#define TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(width) \
  TF_PAIRWISE_PAIR_TILES_(, CudaCores, width)   \
  TF_PAIRWISE_PAIR_TILES_(tf32_, Tf32, width)   \
  TF_PAIRWISE_PAIR_TILES_(tf32x3_, Tf32x3, width)

TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(64)
TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(128)
TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(256)

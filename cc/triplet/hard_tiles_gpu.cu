// Hard mining in pair tiles.

#include "cuda/kernel.h"
#include "tile/pair_tiles_gpu-inl.h"
#include "triplet/hard_tiles_gpu-inl.h"

TF_PAIRWISE_KERNEL(hard_totals, tf_pairwise::HardTotalsKernel)
TF_PAIRWISE_KERNEL(hard_gradient, tf_pairwise::HardGradientKernel)

#define TF_PAIRWISE_PAIR_TILES_(products, policy, width)                   \
  TF_PAIRWISE_KERNEL(hard_pair_tiles_##products##width,                    \
                     tf_pairwise::PairTilesKernel<tf_pairwise::HardSearch, \
                                                  tf_pairwise::policy, width>)

TF_PAIRWISE_PAIR_TILES_(, CudaCores, 128)
TF_PAIRWISE_PAIR_TILES_(, CudaCores, 256)

// Tensor cores have tf32 from sm_80 on.
#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 800
TF_PAIRWISE_PAIR_TILES_(tf32_, Tf32, 128)
TF_PAIRWISE_PAIR_TILES_(tf32_, Tf32, 256)
TF_PAIRWISE_PAIR_TILES_(tf32x3_, Tf32x3, 128)
TF_PAIRWISE_PAIR_TILES_(tf32x3_, Tf32x3, 256)
#endif

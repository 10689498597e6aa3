#include "contrastive/pairs_gpu-inl.h"
#include "cuda/kernel.h"

#define TF_PAIRWISE_KERNELS(name, S) \
  TF_PAIRWISE_KERNEL(                \
      contrastive_pairs_##name,      \
      tf_pairwise::ExplicitKernel<tf_pairwise::ContrastivePairs<S>>)

TF_PAIRWISE_KERNELS(f16, tf_pairwise::Float16)
TF_PAIRWISE_KERNELS(bf16, tf_pairwise::BFloat16)
TF_PAIRWISE_KERNELS(f32, float)
TF_PAIRWISE_KERNELS(f64, double)

#include "cuda/kernel.h"
#include "triplet/explicit_gpu-inl.h"

#define TF_PAIRWISE_KERNELS(name, S) \
  TF_PAIRWISE_KERNEL(                \
      explicit_triplets_##name,      \
      tf_pairwise::ExplicitKernel<tf_pairwise::ExplicitTriplets<S>>)

TF_PAIRWISE_KERNELS(f16, tf_pairwise::Float16)
TF_PAIRWISE_KERNELS(bf16, tf_pairwise::BFloat16)
TF_PAIRWISE_KERNELS(f32, float)
TF_PAIRWISE_KERNELS(f64, double)

#include "cuda/kernel.h"
#include "distance/paired_gpu-inl.h"

#define TF_PAIRWISE_KERNELS(name, S)                              \
  TF_PAIRWISE_KERNEL(                                             \
      paired_distances_##name,                                    \
      tf_pairwise::PairedKernel<tf_pairwise::PairedDistances, S>) \
  TF_PAIRWISE_KERNEL(                                             \
      paired_gradients_##name,                                    \
      tf_pairwise::PairedKernel<tf_pairwise::PairedGradients, S>) \
  TF_PAIRWISE_KERNEL(paired_seconds_##name,                       \
                     tf_pairwise::PairedKernel<tf_pairwise::PairedSeconds, S>)

TF_PAIRWISE_KERNELS(f16, tf_pairwise::Float16)
TF_PAIRWISE_KERNELS(bf16, tf_pairwise::BFloat16)
TF_PAIRWISE_KERNELS(f32, float)
TF_PAIRWISE_KERNELS(f64, double)

#include "cuda/kernel.h"
#include "neighbors/nearest_gpu-inl.h"

TF_PAIRWISE_KERNEL(nearest_neighbors_f16,
                   tf_pairwise::NearestKernel<tf_pairwise::Float16>)
TF_PAIRWISE_KERNEL(nearest_neighbors_bf16,
                   tf_pairwise::NearestKernel<tf_pairwise::BFloat16>)
TF_PAIRWISE_KERNEL(nearest_neighbors_f32, tf_pairwise::NearestKernel<float>)
TF_PAIRWISE_KERNEL(nearest_neighbors_f64, tf_pairwise::NearestKernel<double>)

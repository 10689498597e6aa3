#include "cuda/kernel.h"
#include "distance/second_gpu-inl.h"

TF_PAIRWISE_KERNEL(pairwise_seconds_f16,
                   tf_pairwise::SecondKernel<tf_pairwise::Float16>)
TF_PAIRWISE_KERNEL(pairwise_seconds_bf16,
                   tf_pairwise::SecondKernel<tf_pairwise::BFloat16>)
TF_PAIRWISE_KERNEL(pairwise_seconds_f32, tf_pairwise::SecondKernel<float>)
TF_PAIRWISE_KERNEL(pairwise_seconds_f64, tf_pairwise::SecondKernel<double>)

#include "cuda/kernel.h"
#include "cuda/scale_gpu-inl.h"

TF_PAIRWISE_KERNEL(scale_f16, tf_pairwise::ScaleKernel<tf_pairwise::Float16>)
TF_PAIRWISE_KERNEL(scale_bf16, tf_pairwise::ScaleKernel<tf_pairwise::BFloat16>)
TF_PAIRWISE_KERNEL(scale_f32, tf_pairwise::ScaleKernel<float>)
TF_PAIRWISE_KERNEL(scale_f64, tf_pairwise::ScaleKernel<double>)
TF_PAIRWISE_KERNEL(multiply_f32, tf_pairwise::MultiplyKernel<float>)
TF_PAIRWISE_KERNEL(multiply_f64, tf_pairwise::MultiplyKernel<double>)

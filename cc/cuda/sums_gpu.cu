#include "cuda/kernel.h"
#include "cuda/sums_gpu-inl.h"

TF_PAIRWISE_KERNEL(reduce_sums, tf_pairwise::ReduceSumsKernel)
TF_PAIRWISE_KERNEL(scale_of_mean_f32, tf_pairwise::ScaleOfMeanKernel<float>)
TF_PAIRWISE_KERNEL(scale_of_mean_f64, tf_pairwise::ScaleOfMeanKernel<double>)

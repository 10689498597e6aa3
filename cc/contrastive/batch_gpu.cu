#include "contrastive/batch_gpu-inl.h"
#include "cuda/kernel.h"

TF_PAIRWISE_KERNEL(contrastive_strip_f32,
                   tf_pairwise::ContrastiveStripKernel<float>)
TF_PAIRWISE_KERNEL(contrastive_strip_f64,
                   tf_pairwise::ContrastiveStripKernel<double>)
TF_PAIRWISE_KERNEL(contrastive_total, tf_pairwise::ContrastiveTotalKernel)

#include "cuda/kernel.h"
#include "distance/pairwise_gpu-inl.h"
#include "distance/rows_gpu-inl.h"

#define TF_PAIRWISE_PAIRWISE_(type, suffix)                                \
  TF_PAIRWISE_KERNEL(store_strip_##suffix,                                 \
                     tf_pairwise::StoreStripKernel<type>)                  \
  TF_PAIRWISE_KERNEL(upstream_##suffix, tf_pairwise::UpstreamKernel<type>) \
  TF_PAIRWISE_KERNEL(pairwise_rows_##suffix,                               \
                     tf_pairwise::RowDistancesKernel<type>)                \
  TF_PAIRWISE_KERNEL(                                                      \
      pairwise_firsts_##suffix,                                            \
      tf_pairwise::RowSumsKernel<tf_pairwise::FirstOfPair, type>)

TF_PAIRWISE_PAIRWISE_(tf_pairwise::Float16, f16)
TF_PAIRWISE_PAIRWISE_(tf_pairwise::BFloat16, bf16)
TF_PAIRWISE_PAIRWISE_(float, f32)
TF_PAIRWISE_PAIRWISE_(double, f64)

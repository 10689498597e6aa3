#include "cuda/kernel.h"
#include "softmax/kinds_gpu-inl.h"
#include "softmax/totals_gpu-inl.h"

#define TF_PAIRWISE_SOFTMAX_KERNELS(type, T)                         \
  TF_PAIRWISE_KERNEL(softmax_scalars_##type,                         \
                     tf_pairwise::SoftmaxScalarsKernel<T>)           \
  TF_PAIRWISE_KERNEL(softmax_columns_##type,                         \
                     tf_pairwise::SoftmaxColumnsKernel<T>)           \
  TF_PAIRWISE_KERNEL(                                                \
      softmax_info_nce_##type,                                       \
      tf_pairwise::SoftmaxRowsKernel<tf_pairwise::InfoNceRow, T>)    \
  TF_PAIRWISE_KERNEL(                                                \
      softmax_symmetric_##type,                                      \
      tf_pairwise::SoftmaxRowsKernel<tf_pairwise::SymmetricRow, T>)  \
  TF_PAIRWISE_KERNEL(                                                \
      softmax_supervised_##type,                                     \
      tf_pairwise::SoftmaxRowsKernel<tf_pairwise::SupervisedRow, T>) \
  TF_PAIRWISE_KERNEL(                                                \
      softmax_nt_xent_##type,                                        \
      tf_pairwise::SoftmaxRowsKernel<tf_pairwise::NtXentRow, T>)     \
  TF_PAIRWISE_KERNEL(                                                \
      softmax_sigmoid_##type,                                        \
      tf_pairwise::SoftmaxRowsKernel<tf_pairwise::SigmoidRow, T>)    \
  TF_PAIRWISE_KERNEL(softmax_totals_##type, tf_pairwise::SoftmaxTotalsKernel<T>)

TF_PAIRWISE_KERNEL(softmax_count_positives, tf_pairwise::CountPositivesKernel)
TF_PAIRWISE_SOFTMAX_KERNELS(f32, float)
TF_PAIRWISE_SOFTMAX_KERNELS(f64, double)

#include "cuda/kernel.h"
#include "softmax/kinds_gpu-inl.h"
#include "softmax/tiles_gpu-inl.h"
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

// In pair tiles, by tensor cores alone.
TF_PAIRWISE_KERNEL(softmax_logits, tf_pairwise::SoftmaxLogitsKernel)

#define TF_PAIRWISE_PAIR_TILES_(family, Family, products, policy, width) \
  TF_PAIRWISE_KERNEL(family##_pair_tiles_##products##_##width,           \
                     tf_pairwise::PairTilesKernel<tf_pairwise::Family,   \
                                                  tf_pairwise::policy, width>)
#define TF_PAIRWISE_PAIR_TILES_BY_(products, policy, width)                   \
  TF_PAIRWISE_PAIR_TILES_(logits, LogitSums<false>, products, policy, width)  \
  TF_PAIRWISE_PAIR_TILES_(labelled_logits, LogitSums<true>, products, policy, \
                          width)                                              \
  TF_PAIRWISE_PAIR_TILES_(softmax, SoftmaxPairs<false>, products, policy,     \
                          width)                                              \
  TF_PAIRWISE_PAIR_TILES_(labelled_softmax, SoftmaxPairs<true>, products,     \
                          policy, width)                                      \
  TF_PAIRWISE_PAIR_TILES_(sigmoid, SigmoidPairs, products, policy, width)
#define TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(width) \
  TF_PAIRWISE_PAIR_TILES_BY_(tf32, Tf32, width) \
  TF_PAIRWISE_PAIR_TILES_BY_(tf32x3, Tf32x3, width)

TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(64)
TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(128)
TF_PAIRWISE_PAIR_TILES_OF_WIDTH_(256)

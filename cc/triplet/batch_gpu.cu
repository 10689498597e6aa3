#include "cuda/kernel.h"
#include "triplet/every_gpu-inl.h"
#include "triplet/hard_gpu-inl.h"
#include "triplet/semi_hard_gpu-inl.h"

// The triplets of a labelled batch, by compute type and mining.

#define TF_PAIRWISE_BATCH_TRIPLET(T, type)                             \
  TF_PAIRWISE_KERNEL(batch_triplet_hard_##type,                        \
                     tf_pairwise::HardAnchorsKernel<T>)                \
  TF_PAIRWISE_KERNEL(                                                  \
      batch_triplet_semi_hard_##type,                                  \
      tf_pairwise::AnchorsKernel<T, tf_pairwise::SemiHardMining<T>>)   \
  TF_PAIRWISE_KERNEL(                                                  \
      batch_triplet_all_##type,                                        \
      tf_pairwise::AnchorsKernel<                                      \
          T, tf_pairwise::HingeMining<T, tf_pairwise::EveryTriplet>>)  \
  TF_PAIRWISE_KERNEL(                                                  \
      batch_triplet_semi_hard_all_##type,                              \
      tf_pairwise::AnchorsKernel<                                      \
          T, tf_pairwise::HingeMining<T, tf_pairwise::EverySemiHard>>) \
  TF_PAIRWISE_KERNEL(                                                  \
      batch_triplet_hard_all_##type,                                   \
      tf_pairwise::AnchorsKernel<                                      \
          T, tf_pairwise::HingeMining<T, tf_pairwise::EveryHard>>)     \
  TF_PAIRWISE_KERNEL(                                                  \
      batch_triplet_all_soft_##type,                                   \
      tf_pairwise::AnchorsKernel<T, tf_pairwise::SoftMining<T>>)

TF_PAIRWISE_BATCH_TRIPLET(float, f32)
TF_PAIRWISE_BATCH_TRIPLET(double, f64)

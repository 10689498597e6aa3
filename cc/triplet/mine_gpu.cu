#include "cuda/kernel.h"
#include "triplet/mine_gpu-inl.h"

// The miner, by compute type and mining.

#define TF_PAIRWISE_MINER(mining, type, T, ...)                        \
  TF_PAIRWISE_KERNEL(count_triplets_##mining##_##type,                 \
                     tf_pairwise::CountTripletsKernel<T, __VA_ARGS__>) \
  TF_PAIRWISE_KERNEL(write_triplets_##mining##_##type,                 \
                     tf_pairwise::WriteTripletsKernel<T, __VA_ARGS__>)

#define TF_PAIRWISE_MINERS(T, type)                                        \
  TF_PAIRWISE_MINER(hard, type, T, tf_pairwise::MineHard<T>)               \
  TF_PAIRWISE_MINER(semi_hard, type, T, tf_pairwise::MineSemiHard<T>)      \
  TF_PAIRWISE_MINER(all, type, T,                                          \
                    tf_pairwise::MineEvery<T, tf_pairwise::EveryTriplet>)  \
  TF_PAIRWISE_MINER(semi_hard_all, type, T,                                \
                    tf_pairwise::MineEvery<T, tf_pairwise::EverySemiHard>) \
  TF_PAIRWISE_MINER(hard_all, type, T,                                     \
                    tf_pairwise::MineEvery<T, tf_pairwise::EveryHard>)

TF_PAIRWISE_MINERS(float, f32)
TF_PAIRWISE_MINERS(double, f64)
TF_PAIRWISE_KERNEL(begin_triplets, tf_pairwise::BeginTripletsKernel)

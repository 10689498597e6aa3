#include "cuda/kernel.h"
#include "ranking/list_gather_gpu-inl.h"
#include "ranking/list_mse_gpu-inl.h"
#include "ranking/list_pairs_gpu-inl.h"
#include "ranking/list_ranks_gpu-inl.h"
#include "ranking/list_splits_gpu-inl.h"
#include "ranking/list_sums_gpu-inl.h"
#include "ranking/pairs_gpu-inl.h"

#define TF_PAIRWISE_PAIRS(term, Pair, name, S)      \
  TF_PAIRWISE_KERNEL(ranking_pairs_##term##_##name, \
                     tf_pairwise::RankingPairsKernel<S, tf_pairwise::Pair>)
#define TF_PAIRWISE_OF_SCORES(name, S)                       \
  TF_PAIRWISE_PAIRS(logistic, LogisticPair, name, S)         \
  TF_PAIRWISE_PAIRS(hinge, HingePair, name, S)               \
  TF_PAIRWISE_PAIRS(soft_zero_one, SoftZeroOnePair, name, S) \
  TF_PAIRWISE_KERNEL(list_gather_##name, tf_pairwise::ListGatherKernel<S>)

TF_PAIRWISE_OF_SCORES(f16, tf_pairwise::Float16)
TF_PAIRWISE_OF_SCORES(bf16, tf_pairwise::BFloat16)
TF_PAIRWISE_OF_SCORES(f32, float)
TF_PAIRWISE_OF_SCORES(f64, double)

#define TF_PAIRWISE_LIST(term, Pair, lambda, Lambda, name, T) \
  TF_PAIRWISE_KERNEL(                                         \
      list_pairs_##term##_##lambda##_##name,                  \
      tf_pairwise::ListPairsKernel<T, tf_pairwise::Pair, tf_pairwise::Lambda>)
#define TF_PAIRWISE_LISTS(term, Pair, name, T)                       \
  TF_PAIRWISE_LIST(term, Pair, none, NoLambda, name, T)              \
  TF_PAIRWISE_LIST(term, Pair, label_diff, LabelDiffLambda, name, T) \
  TF_PAIRWISE_LIST(term, Pair, dcg, DcgLambda, name, T)
#define TF_PAIRWISE_COMPUTED(name, T)                                        \
  TF_PAIRWISE_LISTS(logistic, LogisticPair, name, T)                         \
  TF_PAIRWISE_LISTS(hinge, HingePair, name, T)                               \
  TF_PAIRWISE_LISTS(soft_zero_one, SoftZeroOnePair, name, T)                 \
  TF_PAIRWISE_KERNEL(list_ranks_##name, tf_pairwise::ListRanksKernel<T>)     \
  TF_PAIRWISE_KERNEL(list_unequal_##name, tf_pairwise::ListUnequalKernel<T>) \
  TF_PAIRWISE_KERNEL(list_squares_##name, tf_pairwise::ListSquaresKernel<T>) \
  TF_PAIRWISE_KERNEL(list_scale_##name, tf_pairwise::ListScaleKernel<T>)

TF_PAIRWISE_COMPUTED(f32, float)
TF_PAIRWISE_COMPUTED(f64, double)

TF_PAIRWISE_KERNEL(list_splits, tf_pairwise::ListSplitsKernel)
TF_PAIRWISE_KERNEL(list_sums, tf_pairwise::ListSumsKernel)
TF_PAIRWISE_KERNEL(list_loss, tf_pairwise::ListLossKernel)

#include "adapters/xla.h"
#include "ranking/ranking_op.h"

// The XLA lowerings of the ranking family.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("PairwiseRankingLoss",
                         LossOp<PairwiseRankingLossSpec>);
TF_PAIRWISE_REGISTER_XLA("PairwiseRankingLossGrad",
                         LossGradOp<PairwiseRankingLossSpec>);
TF_PAIRWISE_REGISTER_XLA("ListRankingLoss", LossOp<ListRankingLossSpec>);
TF_PAIRWISE_REGISTER_XLA("ListRankingLossGrad",
                         LossGradOp<ListRankingLossSpec>);

}  // namespace
}  // namespace tf_pairwise

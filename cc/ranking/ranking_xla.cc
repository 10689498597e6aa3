#include "adapters/xla.h"
#include "ranking/ranking_op.h"

// The XLA lowerings of the ranking family.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("PairwiseRankingLoss", LossOp<PairwiseRankingFamily>);
TF_PAIRWISE_REGISTER_XLA("PairwiseRankingLossGrad",
                         LossGradOp<PairwiseRankingFamily>);
TF_PAIRWISE_REGISTER_XLA("ListRankingLoss", LossOp<ListRankingFamily>);
TF_PAIRWISE_REGISTER_XLA("ListRankingLossGrad", LossGradOp<ListRankingFamily>);

}  // namespace
}  // namespace tf_pairwise

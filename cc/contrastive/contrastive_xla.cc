#include "adapters/xla.h"
#include "contrastive/contrastive_op.h"

// The XLA lowerings of the contrastive family.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("ContrastiveLoss", LossOp<ContrastiveFamily>);
TF_PAIRWISE_REGISTER_XLA("ContrastiveLossGrad", LossGradOp<ContrastiveFamily>);
TF_PAIRWISE_REGISTER_XLA("BatchContrastiveLoss",
                         LossOp<BatchContrastiveFamily>);
TF_PAIRWISE_REGISTER_XLA("BatchContrastiveLossGrad",
                         LossGradOp<BatchContrastiveFamily>);
TF_PAIRWISE_REGISTER_XLA("SoftmaxLoss", LossOp<SoftmaxFamily>);
TF_PAIRWISE_REGISTER_XLA("SoftmaxLossGrad", LossGradOp<SoftmaxFamily>);

}  // namespace
}  // namespace tf_pairwise

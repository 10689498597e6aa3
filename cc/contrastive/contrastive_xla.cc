#include "adapters/xla.h"
#include "contrastive/contrastive_op.h"

// The XLA lowerings of the contrastive family.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("ContrastiveLoss", LossOp<ContrastiveLossSpec>);
TF_PAIRWISE_REGISTER_XLA("ContrastiveLossGrad",
                         LossGradOp<ContrastiveLossSpec>);
TF_PAIRWISE_REGISTER_XLA("BatchContrastiveLoss",
                         LossOp<BatchContrastiveLossSpec>);
TF_PAIRWISE_REGISTER_XLA("BatchContrastiveLossGrad",
                         LossGradOp<BatchContrastiveLossSpec>);

}  // namespace
}  // namespace tf_pairwise

#include "adapters/xla.h"
#include "softmax/softmax_op.h"

// The XLA lowerings of the soft-max family.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("SoftmaxLoss", LossOp<SoftmaxLossSpec>);
TF_PAIRWISE_REGISTER_XLA("SoftmaxLossGrad", LossGradOp<SoftmaxLossSpec>);

}  // namespace
}  // namespace tf_pairwise

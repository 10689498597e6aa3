#include "adapters/xla.h"
#include "distance/distance_op.h"

// The XLA lowerings of the distance family.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("PairwiseDistance", PairwiseDistanceOp);
TF_PAIRWISE_REGISTER_XLA("PairwiseDistanceGrad", PairwiseDistanceGradOp);
TF_PAIRWISE_REGISTER_XLA("PairwiseDistanceGradGrad",
                         PairwiseDistanceGradGradOp);
TF_PAIRWISE_REGISTER_XLA("PairedDistance", PairedDistanceOp);
TF_PAIRWISE_REGISTER_XLA("PairedDistanceGrad", PairedDistanceGradOp);
TF_PAIRWISE_REGISTER_XLA("PairedDistanceGradGrad", PairedDistanceGradGradOp);

}  // namespace
}  // namespace tf_pairwise

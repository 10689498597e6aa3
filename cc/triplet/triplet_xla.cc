#include "adapters/xla.h"
#include "triplet/triplet_op.h"

// The XLA lowerings of the triplet family. MineTriplets has one for its error
// alone: how many triplets there are is known when they are found.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("TripletLoss", LossOp<TripletLossSpec>);
TF_PAIRWISE_REGISTER_XLA("TripletLossGrad", LossGradOp<TripletLossSpec>);
TF_PAIRWISE_REGISTER_XLA("BatchTripletLoss", LossOp<BatchTripletLossSpec>);
TF_PAIRWISE_REGISTER_XLA("BatchTripletLossGrad",
                         LossGradOp<BatchTripletLossSpec>);
TF_PAIRWISE_REGISTER_XLA("MineTriplets", MineTripletsOp);

}  // namespace
}  // namespace tf_pairwise

#include "adapters/xla.h"
#include "neighbors/neighbors_op.h"

// The XLA lowerings of the neighbors family.

namespace tf_pairwise {
namespace {

TF_PAIRWISE_REGISTER_XLA("NearestNeighbors", NearestNeighborsOp);

}  // namespace
}  // namespace tf_pairwise

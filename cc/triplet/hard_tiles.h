#ifndef TF_PAIRWISE_TRIPLET_HARD_TILES_H_
#define TF_PAIRWISE_TRIPLET_HARD_TILES_H_

#include "core/scratch.h"
#include "core/status.h"
#include "core/stream.h"
#include "triplet/triplet.h"

// Hard mining on a GPU without a stored distance, where TakesHardTiles says so
// (D <= 256, floats and halves, metrics that are made of products): 2 n m D
// operations for value and gradient. Else batch_gpu.cc's strips.

namespace tf_pairwise {

bool TakesHardTiles(const BatchTripletLoss& problem);
int64_t HardTilesScratchBytes(const BatchTripletLoss& problem,
                              bool with_gradient);
Status RunHardTiles(const BatchTripletLoss& problem,
                    const BatchTripletArrays& arrays, void* scratch,
                    const Stream& stream);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_HARD_TILES_H_

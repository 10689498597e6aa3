#ifndef TF_PAIRWISE_TRIPLET_LABELLED_STRIP_H_
#define TF_PAIRWISE_TRIPLET_LABELLED_STRIP_H_

#include "tile/strip_walk.h"
#include "triplet/anchor_row_gpu-inl.h"
#include "triplet/triplet.h"

namespace tf_pairwise {

// A strip as the kernels of labelled batches get it.
template <typename T>
LabelledStrip<T> LabelStrip(const BatchTripletLoss& problem,
                            const BatchTripletArrays& arrays,
                            const Strip<T>& strip) {
  return {strip.row,
          strip.columns,
          strip.diagonal,
          strip.values,
          strip.stride,
          arrays.labels,
          problem.self ? arrays.labels : arrays.ref_labels};
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_LABELLED_STRIP_H_

#include "distance/distance.h"
#include "distance/second_gpu-inl.h"

namespace tf_pairwise {

int64_t PairwiseDistanceGradGradGpuScratchBytes(
    const PairwiseDistance& problem) {
  return RowSumsScratchBytes(problem);
}

Status PairwiseDistanceGradGradGpu(const PairwiseDistance& problem,
                                   const void* x, const void* y,
                                   const void* upstream, const void* u,
                                   const void* w, void* upstream_out,
                                   void* x_out, void* y_out, void* scratch,
                                   const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return RunRowSums<SecondOfPair>(
      problem, {x, y, upstream, u, w, upstream_out, x_out, y_out}, scratch,
      stream);
}

}  // namespace tf_pairwise

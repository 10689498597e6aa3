#include "triplet/explicit_gpu-inl.h"
#include "triplet/triplet.h"

namespace tf_pairwise {

int64_t TripletLossGpuScratchBytes(const TripletLoss& problem) {
  return ExplicitGpuScratchBytes(problem.n);
}

Status TripletLossGpu(const TripletLoss& problem, const TripletArrays& arrays,
                      void* base, const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  Scratch scratch(base);
  const ExplicitGpuLayout layout(scratch, problem.n);
  return VisitGpuType(problem.dtype, [&](auto type) {
    using S = decltype(type);
    using T = Computed<S>;
    void* const losses =
        problem.reduction == Reduction::kNone ? arrays.loss : nullptr;
    return RunExplicit<ExplicitTriplets<S>>(
        {problem.d, problem.metric, problem.margin, problem.soft, problem.swap,
         static_cast<const S*>(arrays.anchors),
         static_cast<const S*>(arrays.positives),
         static_cast<const S*>(arrays.negatives),
         static_cast<const T*>(arrays.weights), static_cast<T*>(losses),
         static_cast<T*>(arrays.anchors_grad),
         static_cast<T*>(arrays.positives_grad),
         static_cast<T*>(arrays.negatives_grad)},
        problem.dtype, problem.reduction, problem.n, arrays.weights,
        arrays.anchors_grad != nullptr, arrays.loss, layout, stream);
  });
}

}  // namespace tf_pairwise

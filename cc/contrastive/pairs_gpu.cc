#include "contrastive/contrastive.h"
#include "contrastive/pairs_gpu-inl.h"

namespace tf_pairwise {

int64_t ContrastiveLossGpuScratchBytes(const ContrastiveLoss& problem) {
  return ExplicitGpuScratchBytes(problem.n);
}

Status ContrastiveLossGpu(const ContrastiveLoss& problem,
                          const ContrastiveArrays& arrays, void* base,
                          const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  Scratch scratch(base);
  const ExplicitGpuLayout layout(scratch, problem.n);
  return VisitGpuType(problem.dtype, [&](auto type) {
    using S = decltype(type);
    using T = Computed<S>;
    void* const losses =
        problem.reduction == Reduction::kNone ? arrays.loss : nullptr;
    return RunExplicit<ContrastivePairs<S>>(
        {problem.d, problem.metric, problem.margin,
         static_cast<const S*>(arrays.x1), static_cast<const S*>(arrays.x2),
         static_cast<const T*>(arrays.dissimilarity),
         static_cast<const T*>(arrays.weights), static_cast<T*>(losses),
         static_cast<T*>(arrays.x1_grad), static_cast<T*>(arrays.x2_grad)},
        problem.dtype, problem.reduction, problem.n, arrays.weights,
        arrays.x1_grad != nullptr, arrays.loss, layout, stream);
  });
}

}  // namespace tf_pairwise

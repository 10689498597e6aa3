#include "cuda/driver.h"
#include "cuda/sums.h"
#include "cuda/sums_gpu-inl.h"

namespace tf_pairwise {

Status ReduceSums(const Stream& stream, DType dtype, Reduction reduction,
                  const LossSums* parts, int64_t count,
                  const ReducedSums& out) {
  return Launch<ReduceSumsKernel>(
      stream, Grid(),
      {parts, count, dtype, reduction, out.loss, out.scale, out.counted});
}

Status ScaleOfMean(const Stream& stream, DType dtype, const void* weights,
                   int64_t n, double each, double* scale) {
  return VisitCompute(dtype, [&](auto compute) {
    using T = decltype(compute);
    return Launch<ScaleOfMeanKernel<T>>(
        stream, Grid(), {static_cast<const T*>(weights), n, each, scale});
  });
}

}  // namespace tf_pairwise

#ifndef TF_PAIRWISE_CUDA_SUMS_H_
#define TF_PAIRWISE_CUDA_SUMS_H_

#include <cstdint>

#include "core/reduce.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// The end of a loss on a GPU: the sums that blocks have left become the loss,
// and the scale of its gradient, without the host. Sums are made in one order
// whatever runs, so that bits are the same from run to run.

namespace tf_pairwise {

// What ReduceSums makes of the parts, where it is not null; on the device.
struct ReducedSums {
  void* loss = nullptr;       // one value of the compute type: ReducedLoss
  double* scale = nullptr;    // ScaleOf, what a gradient is multiplied by
  double* counted = nullptr;  // DivisorOf
};

// The total of parts[0, count), reduced (core/reduce.h): kNone, kSum, kMean or
// kMeanNonzero.
Status ReduceSums(const Stream& stream, DType dtype, Reduction reduction,
                  const LossSums* parts, int64_t count, const ReducedSums& out);

// *scale = ScaleOf(kMean) of items that each count for `each` times their
// weight: what can be known before there is a loss. `weights` is [n], of the
// compute type, or null for ones.
Status ScaleOfMean(const Stream& stream, DType dtype, const void* weights,
                   int64_t n, double each, double* scale);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_SUMS_H_

#ifndef TF_PAIRWISE_CORE_SCALE_H_
#define TF_PAIRWISE_CORE_SCALE_H_

#include <cstdint>

#include "core/export.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// What an op does to an array around its kernel. The arrays, scalars included,
// are where the launcher's are: ParallelFor's on the host, a Stream's on a GPU.

namespace tf_pairwise {

// out[i] = *scale * in[i], from the compute type of `dtype` to `dtype`: the
// last step of a loss's gradient, which is kept unscaled in the compute type so
// that a small gradient does not vanish in a half before the loss scale reaches
// it. `scale` is one value of the compute type, or null for 1. `in` and `out`
// may be the same array where the types are.
TF_PAIRWISE_EXPORT Status Scale(DType dtype, int64_t count, const void* in,
                                const void* scale, void* out,
                                const ParallelFor& launcher);
TF_PAIRWISE_EXPORT Status Scale(DType dtype, int64_t count, const void* in,
                                const void* scale, void* out,
                                const Stream& launcher);

// out[i] = a[i] * b[i], all of the compute type of `dtype`; a null `a` is all
// ones.
TF_PAIRWISE_EXPORT Status Multiply(DType dtype, int64_t count, const void* a,
                                   const void* b, void* out,
                                   const ParallelFor& launcher);
TF_PAIRWISE_EXPORT Status Multiply(DType dtype, int64_t count, const void* a,
                                   const void* b, void* out,
                                   const Stream& launcher);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_SCALE_H_

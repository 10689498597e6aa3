#ifndef TF_PAIRWISE_CORE_SCALE_H_
#define TF_PAIRWISE_CORE_SCALE_H_

#include <cstdint>

#include "core/export.h"
#include "core/parallel.h"
#include "core/types.h"

namespace tf_pairwise {

// out[i] = scale * in[i], from the compute type of `dtype` to `dtype`: the last
// step of a loss's gradient, which is kept unscaled in the compute type so that
// a small gradient does not vanish in a half before the loss scale reaches it.
// `in` and `out` may be the same array where the types are.
TF_PAIRWISE_EXPORT void ScaleCpu(DType dtype, int64_t count, const void* in,
                                 double scale, void* out,
                                 const ParallelFor& parallel);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_SCALE_H_

// The instruction sets that each multi-target file is compiled for. Included
// after HWY_TARGET_INCLUDE is defined, in place of hwy/foreach_target.h. It has
// no include guard: foreach_target.h includes the file again for each target.

#ifndef TF_PAIRWISE_SIMD_TARGETS_ONCE_
#define TF_PAIRWISE_SIMD_TARGETS_ONCE_
#if defined(__x86_64__)
// TensorFlow itself does not run below SSE4.2, so that is the floor here; the
// AVX-512 sub-targets add nothing that these kernels use.
#define HWY_BASELINE_TARGETS HWY_SSE4
#define HWY_DISABLED_TARGETS                                           \
  (HWY_SSE2 | HWY_SSSE3 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | \
   HWY_AVX10_2)
#elif defined(__aarch64__)
#define HWY_DISABLED_TARGETS (HWY_ALL_SVE | HWY_NEON_BF16)
#endif
#endif  // TF_PAIRWISE_SIMD_TARGETS_ONCE_

#include "hwy/foreach_target.h"
// First of all, so that formulas (core/lanes-inl.h) see that they are read per
// target.
#include "simd/vec-inl.h"

#ifndef TF_PAIRWISE_SIMD_DISPATCH_H_
#define TF_PAIRWISE_SIMD_DISPATCH_H_

#include <cstdint>

#include "core/export.h"

// Which instruction set the kernels run on. A multi-target file ends with
//
//   const Table& Kernels() { TF_PAIRWISE_DISPATCH() }
//
// where each target's namespace defines `kTable`.

namespace tf_pairwise {

// The Highway target in use: the best of the processor's, or the one that the
// environment variable TF_PAIRWISE_ISA names (sse4, avx2, avx512, neon) where
// the processor has it. Chosen once per process.
TF_PAIRWISE_EXPORT int64_t ChosenTarget();

// Its name: "sse4", "avx2", "avx512" or "neon".
TF_PAIRWISE_EXPORT const char* ChosenIsa();

}  // namespace tf_pairwise

#define TF_PAIRWISE_DISPATCH_CASE_(target, target_namespace) \
  if (chosen == target) return target_namespace::kTable;

#define TF_PAIRWISE_DISPATCH()                          \
  const int64_t chosen = ::tf_pairwise::ChosenTarget(); \
  HWY_VISIT_TARGETS(TF_PAIRWISE_DISPATCH_CASE_)         \
  return HWY_STATIC_NAMESPACE::kTable;

#endif  // TF_PAIRWISE_SIMD_DISPATCH_H_

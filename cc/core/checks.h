#ifndef TF_PAIRWISE_CORE_CHECKS_H_
#define TF_PAIRWISE_CORE_CHECKS_H_

#include <cstdint>

#include "core/status.h"
#include "core/types.h"

// Checks that the problems of several families have in common.

namespace tf_pairwise {

inline Status CheckDType(DType dtype) {
  if (static_cast<int32_t>(dtype) >= 0 && dtype <= DType::kFloat64) return Ok();
  return InvalidArgument("dtype: got the unknown value %d",
                         static_cast<int>(dtype));
}

inline Status CheckMetric(Metric metric) {
  if (static_cast<int32_t>(metric) >= 0 && metric <= kLastMetric) return Ok();
  return InvalidArgument("metric: got the unknown value %d",
                         static_cast<int>(metric));
}

// Points [n, d], whose numbers are int32.
inline Status CheckRows(const char* name, int64_t n, int64_t d) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (n >= 0 && n < kMost && d >= 0) return Ok();
  return InvalidArgument(
      "%s: got shape [%lld, %lld], expected 0 to 2^31 - 1 rows", name,
      static_cast<long long>(n), static_cast<long long>(d));
}

// The references of a batch of n anchors: themselves, or m others, of which
// anchor i is number i + self_offset (negative: none is).
inline Status CheckReferences(bool self, int64_t self_offset, int64_t n,
                              int64_t m) {
  if (self && n != m) {
    return InvalidArgument(
        "ref_embeddings: got %lld rows, expected the %lld of embeddings, which "
        "are their own references",
        static_cast<long long>(m), static_cast<long long>(n));
  }
  // As a difference, which cannot overflow.
  if (!self && self_offset >= 0 && self_offset > m - n) {
    return InvalidArgument(
        "self_offset: got %lld with %lld anchors and %lld references, expected "
        "at most the difference",
        static_cast<long long>(self_offset), static_cast<long long>(n),
        static_cast<long long>(m));
  }
  return Ok();
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_CHECKS_H_

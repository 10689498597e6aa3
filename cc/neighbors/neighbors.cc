#include "neighbors/neighbors.h"

#include "core/checks.h"

namespace tf_pairwise {

Status Check(const NearestNeighbors& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(problem.dtype));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMetric(problem.metric));
  if (static_cast<int32_t>(problem.only) < 0 ||
      problem.only > Only::kOtherLabel) {
    return InvalidArgument("only: got the unknown value %d",
                           static_cast<int>(problem.only));
  }
  constexpr int64_t kMost = int64_t{1} << 31;
  if (problem.k < 1 || problem.k >= kMost) {
    return InvalidArgument("k: got %lld, expected 1 to 2^31 - 1",
                           static_cast<long long>(problem.k));
  }
  TF_PAIRWISE_RETURN_IF_ERROR(CheckRows("queries", problem.n, problem.d));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckRows("keys", problem.m, problem.d));
  if (problem.self && problem.n != problem.m) {
    return InvalidArgument(
        "keys: got %lld rows, expected the %lld of queries, which are their "
        "own keys",
        static_cast<long long>(problem.m), static_cast<long long>(problem.n));
  }
  return Ok();
}

}  // namespace tf_pairwise

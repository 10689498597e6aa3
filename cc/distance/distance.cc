#include "distance/distance.h"

#include "core/checks.h"

// What no device owns: which problems there are.

namespace tf_pairwise {
namespace {

Status CheckCommon(Metric metric, DType dtype, int64_t d) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMetric(metric));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(dtype));
  if (d < 0) {
    return InvalidArgument("x: got %lld columns, expected 0 or more",
                           static_cast<long long>(d));
  }
  return Ok();
}

}  // namespace

Status Check(const PairwiseDistance& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckCommon(problem.metric, problem.dtype, problem.d));
  if (problem.batch < 0 || problem.n < 0 || problem.m < 0) {
    return InvalidArgument(
        "x, y: got batch %lld, %lld and %lld rows, expected 0 or more",
        static_cast<long long>(problem.batch),
        static_cast<long long>(problem.n), static_cast<long long>(problem.m));
  }
  if (problem.self && problem.n != problem.m) {
    return InvalidArgument(
        "y: got %lld rows, expected the %lld of x, which is taken against "
        "itself",
        static_cast<long long>(problem.m), static_cast<long long>(problem.n));
  }
  return Ok();
}

Status Check(const PairedDistance& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckCommon(problem.metric, problem.dtype, problem.d));
  if (problem.n < 0) {
    return InvalidArgument("x: got %lld rows, expected 0 or more",
                           static_cast<long long>(problem.n));
  }
  return Ok();
}

}  // namespace tf_pairwise

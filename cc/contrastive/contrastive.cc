#include "contrastive/contrastive.h"

#include "core/checks.h"

// What no device owns: checks, and what is counted.

namespace tf_pairwise {
namespace {

constexpr double kLargest = 1.7976931348623157e308;

Status CheckCommon(DType dtype, Metric metric) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(dtype));
  return CheckMetric(metric);
}

Status CheckMargin(const char* name, double margin, double least) {
  if (margin >= least && margin <= kLargest) return Ok();
  return InvalidArgument("%s: got %g, expected a finite number%s", name, margin,
                         least == 0 ? ", 0 or more" : "");
}

}  // namespace

Status Check(const ContrastiveLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMargin("margin", problem.margin, 0));
  if (static_cast<int32_t>(problem.reduction) < 0 ||
      problem.reduction > Reduction::kMeanNonzero) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean or mean_nonzero",
        static_cast<int>(problem.reduction));
  }
  return CheckRows("x1", problem.n, problem.d);
}

Status Check(const BatchContrastiveLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMargin("margin", problem.margin, 0));
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckMargin("positive_margin", problem.positive_margin, -kLargest));
  if (static_cast<int32_t>(problem.reduction) < 0 ||
      problem.reduction > Reduction::kBalancedMean) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean, mean_nonzero or "
        "balanced_mean",
        static_cast<int>(problem.reduction));
  }
  TF_PAIRWISE_RETURN_IF_ERROR(CheckRows("embeddings", problem.n, problem.d));
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckRows("ref_embeddings", problem.m, problem.d));
  return CheckReferences(problem.self, problem.self_offset, problem.n,
                         problem.m);
}

int64_t PairsPerAnchor(const BatchContrastiveLoss& problem) {
  return problem.m - (problem.self || problem.self_offset >= 0 ? 1 : 0);
}

}  // namespace tf_pairwise

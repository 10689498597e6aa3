#include "triplet/triplet.h"

#include "core/checks.h"

// What no device owns: checks, and what a batch's losses come to.

namespace tf_pairwise {
namespace {

Status CheckCommon(DType dtype, Metric metric, Reduction reduction,
                   double margin, bool soft) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(dtype));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMetric(metric));
  if (static_cast<int32_t>(reduction) < 0 ||
      reduction > Reduction::kMeanNonzero) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean or mean_nonzero",
        static_cast<int>(reduction));
  }
  if (!soft && !(margin >= 0 && margin <= 1.7976931348623157e308)) {
    return InvalidArgument(
        "margin: got %g, expected a finite number, 0 or more, or none for the "
        "soft margin",
        margin);
  }
  return Ok();
}

}  // namespace

Status Check(const TripletLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric,
                                          problem.reduction, problem.margin,
                                          problem.soft));
  if (problem.n < 0 || problem.d < 0) {
    return InvalidArgument("anchors: got shape [%lld, %lld]",
                           static_cast<long long>(problem.n),
                           static_cast<long long>(problem.d));
  }
  return Ok();
}

Status Check(const BatchTripletLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.metric,
                                          problem.reduction, problem.margin,
                                          problem.soft));
  if (static_cast<int32_t>(problem.mining) < 0 ||
      problem.mining > Mining::kHardAll) {
    return InvalidArgument("mining: got the unknown value %d",
                           static_cast<int>(problem.mining));
  }
  if (problem.soft && (problem.mining == Mining::kSemiHardAll ||
                       problem.mining == Mining::kHardAll)) {
    return InvalidArgument(
        "margin: got none, the soft margin, expected a number: mining "
        "\"semi_hard_all\" and \"hard_all\" are defined by the margin");
  }
  TF_PAIRWISE_RETURN_IF_ERROR(CheckRows("embeddings", problem.n, problem.d));
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckRows("ref_embeddings", problem.m, problem.d));
  return CheckReferences(problem.self, problem.self_offset, problem.n,
                         problem.m);
}

int64_t DiagonalOf(const BatchTripletLoss& problem) {
  return problem.self ? 0 : problem.self_offset;
}

int64_t ItselfOf(const BatchTripletLoss& problem, int64_t i) {
  const int64_t diagonal = DiagonalOf(problem);
  return diagonal >= 0 && i + diagonal < problem.m ? i + diagonal : -1;
}

double ReduceAnchors(const BatchTripletLoss& problem, const LossSums* anchors,
                     const BatchTripletArrays& arrays) {
  LossSums total;
  for (int64_t i = 0; i < problem.n; ++i) total.Add(anchors[i]);
  const double scale = ScaleOf(problem.reduction, total);
  if (arrays.counted != nullptr) {
    *arrays.counted = DivisorOf(problem.reduction, total);
  }
  if (arrays.loss == nullptr) return scale;
  if (problem.reduction != Reduction::kNone) {
    StoreLoss(problem.dtype, ReducedLoss(scale, total), arrays.loss);
    return scale;
  }
  for (int64_t i = 0; i < problem.n; ++i) {
    StoreCompute(problem.dtype, anchors[i].sum, arrays.loss, i);
  }
  return scale;
}

}  // namespace tf_pairwise

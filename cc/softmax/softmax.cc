#include "softmax/softmax.h"

#include "core/checks.h"

// What no device owns: checks, and what is counted.

namespace tf_pairwise {
namespace {

// Of the kinds whose positives the order of the keys says.
Status CheckPositives(const SoftmaxLoss& problem) {
  if (problem.symmetric ? problem.m != problem.n : problem.m < problem.n) {
    return InvalidArgument(
        "keys: got %lld rows, expected the %lld of queries%s",
        static_cast<long long>(problem.m), static_cast<long long>(problem.n),
        problem.symmetric ? ", since symmetric is true" : ", or more");
  }
  if (problem.symmetric && problem.positive_offset != 0) {
    return InvalidArgument(
        "positive_offset: got %lld, expected 0, since symmetric is true",
        static_cast<long long>(problem.positive_offset));
  }
  // As a difference, which cannot overflow.
  if (problem.positive_offset < 0 ||
      problem.positive_offset > problem.m - problem.n) {
    return InvalidArgument(
        "positive_offset: got %lld with %lld queries and %lld keys, expected 0 "
        "to the difference",
        static_cast<long long>(problem.positive_offset),
        static_cast<long long>(problem.n), static_cast<long long>(problem.m));
  }
  return Ok();
}

}  // namespace

Status Check(const SoftmaxLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(problem.dtype));
  if (static_cast<int32_t>(problem.kind) < 0 ||
      problem.kind > SoftmaxKind::kSigmoid) {
    return InvalidArgument("kind: got the unknown value %d",
                           static_cast<int>(problem.kind));
  }
  if (static_cast<int32_t>(problem.reduction) < 0 ||
      problem.reduction > Reduction::kMean) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum or mean",
        static_cast<int>(problem.reduction));
  }
  const bool labelled = IsLabelled(problem);
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckRows(labelled ? "embeddings" : "queries", problem.n, problem.d));
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckRows(labelled ? "ref_embeddings" : "keys", problem.m, problem.d));
  if (problem.symmetric && problem.kind != SoftmaxKind::kInfoNce) {
    return InvalidArgument(
        "symmetric: got true, expected false but for info_nce_loss");
  }
  return labelled ? CheckReferences(problem.self, problem.self_offset,
                                    problem.n, problem.m)
                  : CheckPositives(problem);
}

Status CheckTemperature(double temperature) {
  if (temperature > 0 && temperature <= 1.7976931348623157e308) return Ok();
  return InvalidArgument("temperature: got %g, expected a finite number > 0",
                         temperature);
}

int64_t OwnColumn(const SoftmaxLoss& problem, int64_t i) {
  if (!IsLabelled(problem)) return i + problem.positive_offset;
  if (problem.self) return i;
  return problem.self_offset < 0 ? -1 : i + problem.self_offset;
}

double CountOf(const SoftmaxLoss& problem, int64_t positives) {
  if (!IsLabelled(problem)) return 1;
  if (problem.kind == SoftmaxKind::kNtXent) {
    return static_cast<double>(positives);
  }
  return positives > 0 ? 1 : 0;
}

}  // namespace tf_pairwise

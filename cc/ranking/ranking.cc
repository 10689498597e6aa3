#include "ranking/ranking.h"

#include "core/checks.h"

namespace tf_pairwise {
namespace {

bool IsFinite(double value) { return value - value == 0; }

Status CheckCommon(DType dtype, RankingTerm loss, Reduction reduction,
                   double margin, double temperature, bool lists) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(dtype));
  if (static_cast<int32_t>(loss) < 0 || loss > RankingTerm::kMse ||
      (!lists && loss == RankingTerm::kMse)) {
    return InvalidArgument(
        "loss: got value %d, expected logistic, hinge or soft_zero_one%s",
        static_cast<int>(loss), lists ? ", or mse" : "");
  }
  const bool common = static_cast<int32_t>(reduction) >= 0 &&
                      reduction <= Reduction::kMeanNonzero;
  if (!common && !(lists && reduction == Reduction::kMeanLists)) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean%s or mean_nonzero",
        static_cast<int>(reduction), lists ? ", mean_lists" : "");
  }
  if (!(margin >= 0 && IsFinite(margin))) {
    return InvalidArgument(
        "margin: got %g, expected a finite number, 0 or more", margin);
  }
  if (!(temperature > 0 && IsFinite(temperature))) {
    return InvalidArgument(
        "temperature: got %g, expected a finite number above 0", temperature);
  }
  return Ok();
}

constexpr int64_t kMost = (int64_t{1} << 31) - 1;

Status CheckSplits(const ListRankingLoss& problem) {
  const int64_t* splits = problem.row_splits;
  if (problem.lists < 0) {
    return InvalidArgument("row_splits: got none, expected 1 or more");
  }
  if (splits[0] != 0 || splits[problem.lists] != problem.items) {
    return InvalidArgument(
        "row_splits: got %lld to %lld, expected 0 to %lld, the number of "
        "scores",
        static_cast<long long>(splits[0]),
        static_cast<long long>(splits[problem.lists]),
        static_cast<long long>(problem.items));
  }
  for (int64_t list = 0; list < problem.lists; ++list) {
    const int64_t size = splits[list + 1] - splits[list];
    if (size < 0 || size > kMost) {
      return InvalidArgument(
          "row_splits: got a list of %lld items, expected 0 to 2^31",
          static_cast<long long>(size));
    }
  }
  return Ok();
}

}  // namespace

Status Check(const PairwiseRankingLoss& problem) {
  return CheckCommon(problem.dtype, problem.term, problem.reduction,
                     problem.margin, problem.temperature, /*lists=*/false);
}

Status Check(const ListRankingLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.term,
                                          problem.reduction, problem.margin,
                                          problem.temperature, /*lists=*/true));
  if (static_cast<int32_t>(problem.lambda) < 0 ||
      problem.lambda > LambdaWeight::kNdcg) {
    return InvalidArgument("lambda_weight: got the unknown value %d",
                           static_cast<int>(problem.lambda));
  }
  if (problem.term == RankingTerm::kMse &&
      problem.lambda != LambdaWeight::kNone) {
    return InvalidArgument(
        "lambda_weight: got one with the loss mse, expected none: mse has no "
        "preferred items");
  }
  if (problem.topn < 0) {
    return InvalidArgument("topn: got %lld, expected 1 or more, or 0 for all",
                           static_cast<long long>(problem.topn));
  }
  if (problem.ragged) return CheckSplits(problem);
  if (problem.list_size > kMost) {
    return InvalidArgument("scores: got lists of %lld, expected at most 2^31",
                           static_cast<long long>(problem.list_size));
  }
  return Ok();
}

}  // namespace tf_pairwise

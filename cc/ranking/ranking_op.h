#ifndef TF_PAIRWISE_RANKING_RANKING_OP_H_
#define TF_PAIRWISE_RANKING_RANKING_OP_H_

#include <cstdint>

#include "adapters/call.h"
#include "adapters/loss_op.h"
#include "ranking/ranking.h"

// What the ops of the ranking family do in every binding. What a loss op does
// around its kernel is in adapters/loss_op.h; here is what is the family's own.

namespace tf_pairwise {

// ---- explicit pairs ----

struct PairwiseRankingLossSpec {
  using Problem = PairwiseRankingLoss;
  using Arrays = PairwiseRankingArrays;
  static constexpr int kPoints[] = {0, 1};
  static constexpr int kInputs = 3;
  static constexpr int kWeight = 2;

  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes, Problem* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "kind", ParseRankingTerm, &problem->term));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadMargin(attributes, "margin", &problem->margin));
    return ReadMargin(attributes, "temperature", &problem->temperature);
  }

  template <typename Inputs>
  static Status MatchShapes(const Problem&, const Inputs& inputs,
                            ShapeMatcher* match) {
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("scores_pos", inputs(0), "..."));
    return (*match)("scores_neg", inputs(1), "...");
  }

  template <typename Call>
  static void Bind(const Call& call, const ShapeMatcher& match,
                   Problem* problem, Arrays* arrays) {
    problem->n = match.batch();
    arrays->positive = call.input(0);
    arrays->negative = call.input(1);
  }

  static bool HasGradient(const Problem&, int) { return true; }

  static void SetGradient(Arrays* arrays, int i, void* gradient) {
    (i == 0 ? arrays->positive_grad : arrays->negative_grad) = gradient;
  }

  static int64_t ScratchBytes(const Problem& problem, bool,
                              const ParallelFor&) {
    return PairwiseRankingLossScratchBytes(problem);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& launcher) {
    return PairwiseRankingLossCpu(problem, arrays, scratch, launcher);
  }

  static int64_t ScratchBytes(const Problem& problem, bool, const Stream&) {
    return PairwiseRankingLossGpuScratchBytes(problem);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const Stream& launcher) {
    return PairwiseRankingLossGpu(problem, arrays, scratch, launcher);
  }
};

// ---- all pairs of a list ----

struct ListRankingLossSpec {
  using Problem = ListRankingLoss;
  using Arrays = ListRankingArrays;
  enum { kScores, kRelevance, kRowSplits, kMask, kWeight, kInputs };
  static constexpr int kPoints[] = {kScores};
  static constexpr HostInput kHostInput = {kRowSplits, "row_splits"};

  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes, Problem* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "kind", ParseRankingTerm, &problem->term));
    TF_PAIRWISE_RETURN_IF_ERROR(ReadName(attributes, "lambda_weight",
                                         ParseLambdaWeight, &problem->lambda));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadMargin(attributes, "margin", &problem->margin));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadMargin(attributes, "temperature", &problem->temperature));
    TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr("topn", &problem->topn));
    TF_PAIRWISE_RETURN_IF_ERROR(
        attributes->GetAttr("masked", &problem->masked));
    return attributes->GetAttr("ragged", &problem->ragged);
  }

  // Dense lists are [b, l], ragged ones [n] with the splits [k].
  template <typename Inputs>
  static Status MatchShapes(const Problem& problem, const Inputs& inputs,
                            ShapeMatcher* match) {
    const char* items = ItemsPattern(problem);
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("scores", inputs(kScores), items));
    TF_PAIRWISE_RETURN_IF_ERROR(
        (*match)("relevance", inputs(kRelevance), items));
    if (problem.masked) {
      TF_PAIRWISE_RETURN_IF_ERROR((*match)("mask", inputs(kMask), items));
    }
    if (!problem.ragged) return Ok();
    const Shape splits = inputs(kRowSplits);
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("row_splits", splits, "k"));
    if (splits.known_rank && splits.sizes[0] == 0) {
      return InvalidArgument("row_splits: got shape [0], expected 1 or more");
    }
    return Ok();
  }

  static const char* ItemsPattern(const Problem& problem) {
    return problem.ragged ? "n" : "bl";
  }

  template <typename Call>
  static void Bind(const Call& call, const ShapeMatcher& match,
                   Problem* problem, Arrays* arrays) {
    problem->items = call.shape(kScores).elements();
    if (problem->ragged) {
      problem->lists = match['k'] - 1;
      problem->row_splits = In<int64_t>(call, kRowSplits);
    } else {
      problem->lists = match['b'];
      problem->list_size = match['l'];
    }
    arrays->scores = call.input(kScores);
    arrays->relevance = In<double>(call, kRelevance);
    if (problem->masked) {
      arrays->mask = In<bool>(call, kMask);
    }
  }

  static bool HasGradient(const Problem&, int) { return true; }

  static void SetGradient(Arrays* arrays, int, void* gradient) {
    arrays->scores_grad = gradient;
  }

  static int64_t ScratchBytes(const Problem& problem, bool,
                              const ParallelFor& launcher) {
    return ListRankingLossScratchBytes(problem, launcher.workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& launcher) {
    return ListRankingLossCpu(problem, arrays, scratch, launcher);
  }

  static int64_t ScratchBytes(const Problem& problem, bool, const Stream&) {
    return ListRankingLossGpuScratchBytes(problem);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const Stream& launcher) {
    return ListRankingLossGpu(problem, arrays, scratch, launcher);
  }
};

// The losses and weights of explicit pairs have the pairs' shape, those of
// lists the items'.
inline const char* LossPattern(const PairwiseRankingLoss& problem) {
  return problem.reduction == Reduction::kNone ? "..." : "";
}
inline const char* LossPattern(const ListRankingLoss& problem) {
  return problem.reduction == Reduction::kNone
             ? ListRankingLossSpec::ItemsPattern(problem)
             : "";
}
inline const char* WeightPattern(const PairwiseRankingLoss&) { return "..."; }
inline const char* WeightName(const ListRankingLoss&) { return "item_weight"; }
inline const char* WeightPattern(const ListRankingLoss& problem) {
  return ListRankingLossSpec::ItemsPattern(problem);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_RANKING_OP_H_

#include <string>

#include "adapters/loss_op.h"
#include "adapters/tensorflow.h"
#include "ranking/ranking.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the ranking family. What a loss op does around its kernel
// is in adapters/loss_op.h; here is what is the family's own.

namespace tf_pairwise {
namespace {

// ---- explicit pairs ----

struct PairwiseRankingFamily {
  using Problem = PairwiseRankingLoss;
  using Arrays = PairwiseRankingArrays;
  static constexpr int kPoints[] = {0, 1};
  static constexpr int kInputs = 3;
  static constexpr int kWeight = 2;

  template <typename Context>
  static absl::Status ReadAttributes(Context* context, Problem* problem) {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadName(context, "kind", ParseRankingTerm, &problem->term));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadMargin(context, "margin", &problem->margin));
    return ReadMargin(context, "temperature", &problem->temperature);
  }

  template <typename Inputs>
  static Status MatchShapes(const Problem&, const Inputs& inputs,
                            ShapeMatcher* match) {
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("scores_pos", inputs(0), "..."));
    return (*match)("scores_neg", inputs(1), "...");
  }

  static absl::Status Bind(OpKernelContext* context, const ShapeMatcher& match,
                           Problem* problem, Arrays* arrays) {
    problem->n = match.batch();
    arrays->positive = Data(context->input(0));
    arrays->negative = Data(context->input(1));
    return absl::OkStatus();
  }

  static bool HasGradient(const Problem&, int) { return true; }

  static void SetGradient(Arrays* arrays, int i, void* gradient) {
    (i == 0 ? arrays->positive_grad : arrays->negative_grad) = gradient;
  }

  static int64_t ScratchBytes(const Problem& problem, bool, int) {
    return PairwiseRankingLossScratchBytes(problem);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& parallel) {
    return PairwiseRankingLossCpu(problem, arrays, scratch, parallel);
  }
};

// ---- all pairs of a list ----

struct ListRankingFamily {
  using Problem = ListRankingLoss;
  using Arrays = ListRankingArrays;
  enum { kScores, kRelevance, kRowSplits, kMask, kWeight, kInputs };
  static constexpr int kPoints[] = {kScores};

  template <typename Context>
  static absl::Status ReadAttributes(Context* context, Problem* problem) {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadName(context, "kind", ParseRankingTerm, &problem->term));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadName(
        context, "lambda_weight", ParseLambdaWeight, &problem->lambda));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadMargin(context, "margin", &problem->margin));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadMargin(context, "temperature", &problem->temperature));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(context->GetAttr("topn", &problem->topn));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        context->GetAttr("masked", &problem->masked));
    return context->GetAttr("ragged", &problem->ragged);
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

  static absl::Status Bind(OpKernelContext* context, const ShapeMatcher& match,
                           Problem* problem, Arrays* arrays) {
    problem->items = context->input(kScores).NumElements();
    if (problem->ragged) {
      problem->lists = match['k'] - 1;
      problem->row_splits = context->input(kRowSplits).flat<int64_t>().data();
    } else {
      problem->lists = match['b'];
      problem->list_size = match['l'];
    }
    arrays->scores = Data(context->input(kScores));
    arrays->relevance = context->input(kRelevance).flat<double>().data();
    if (problem->masked) {
      arrays->mask = context->input(kMask).flat<bool>().data();
    }
    return absl::OkStatus();
  }

  static bool HasGradient(const Problem&, int) { return true; }

  static void SetGradient(Arrays* arrays, int, void* gradient) {
    arrays->scores_grad = gradient;
  }

  static int64_t ScratchBytes(const Problem& problem, bool, int workers) {
    return ListRankingLossScratchBytes(problem, workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& parallel) {
    return ListRankingLossCpu(problem, arrays, scratch, parallel);
  }
};

}  // namespace

// The losses and weights of explicit pairs have the pairs' shape, those of
// lists the items'.
inline const char* LossPattern(const PairwiseRankingLoss& problem) {
  return problem.reduction == Reduction::kNone ? "..." : "";
}
inline const char* LossPattern(const ListRankingLoss& problem) {
  return problem.reduction == Reduction::kNone
             ? ListRankingFamily::ItemsPattern(problem)
             : "";
}
inline const char* WeightPattern(const PairwiseRankingLoss&) { return "..."; }
inline const char* WeightName(const ListRankingLoss&) { return "item_weight"; }
inline const char* WeightPattern(const ListRankingLoss& problem) {
  return ListRankingFamily::ItemsPattern(problem);
}

namespace {

// ---- registration ----

#define TF_PAIRWISE_RANKING_ATTRS(losses, reductions) \
  .Attr(TF_PAIRWISE_ATTR_T)                           \
      .Attr(TF_PAIRWISE_ATTR_ACC)                     \
      .Attr("kind: " losses)                          \
      .Attr("reduction: " reductions)                 \
      .Attr("margin: string")                         \
      .Attr("temperature: string")                    \
      .Attr("weighted: bool")

#define TF_PAIRWISE_PAIR_ATTRS                                        \
  TF_PAIRWISE_RANKING_ATTRS("{'logistic', 'hinge', 'soft_zero_one'}", \
                            "{'none', 'sum', 'mean', 'mean_nonzero'}")

#define TF_PAIRWISE_LIST_ATTRS                                      \
  TF_PAIRWISE_RANKING_ATTRS(                                        \
      "{'logistic', 'hinge', 'soft_zero_one', 'mse'}",              \
      "{'none', 'sum', 'mean', 'mean_nonzero', 'mean_lists'}")      \
      .Attr("lambda_weight: {'none', 'label_diff', 'dcg', 'ndcg'}") \
      .Attr("topn: int >= 0")                                       \
      .Attr("ragged: bool")                                         \
      .Attr("masked: bool")

REGISTER_OP("TfPairwise>PairwiseRankingLoss")
    .Input("scores_pos: T")
    .Input("scores_neg: T")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("pos_grad: Acc")
    .Output("neg_grad: Acc") TF_PAIRWISE_PAIR_ATTRS.Attr("with_gradient: bool")
    .SetShapeFn(LossShape<PairwiseRankingFamily>)
    .Doc(R"doc(
The loss of explicit pairs of scores, of x = (neg - pos) / temperature.

scores_pos: [...].
scores_neg: [...].
sample_weight: [...], or anything without `weighted`.
loss: [] or, for the reduction none, [...].
pos_grad: The gradient of the loss in its own type, or [0] without
  `with_gradient`. So is neg_grad.
margin: A double as text, because attributes of type float are float32 and would
  round it. So is temperature.
weighted: Whether sample_weight is there.
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

REGISTER_OP("TfPairwise>PairwiseRankingLossGrad")
    .Input("scores_pos: T")
    .Input("scores_neg: T")
    .Input("sample_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_pos_grad: Acc")
    .Input("cached_neg_grad: Acc")
    .Output("pos_grad: T")
    .Output("neg_grad: T") TF_PAIRWISE_PAIR_ATTRS.Attr("cached: bool")
    .SetShapeFn(LossGradShape<PairwiseRankingFamily>)
    .Doc(R"doc(
The gradient of sum(upstream * PairwiseRankingLoss(scores_pos, scores_neg)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

REGISTER_OP("TfPairwise>ListRankingLoss")
    .Input("scores: T")
    .Input("relevance: double")
    .Input("row_splits: int64")
    .Input("mask: bool")
    .Input("item_weight: Acc")
    .Output("loss: Acc")
    .Output("scores_grad: Acc") TF_PAIRWISE_LIST_ATTRS
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<ListRankingFamily>)
    .Doc(R"doc(
The ranking loss over the pairs of items of each list.

scores: [b, l], or, with `ragged`, [n].
relevance: As scores. Below 0 or NaN: the item does not exist.
row_splits: [b + 1]: where the lists begin and end, or anything without
  `ragged`.
mask: As scores, or anything without `masked`. False: the item does not exist.
item_weight: As scores, or anything without `weighted`.
loss: [] or, for the reduction none, as scores.
scores_grad: The gradient of the loss in its own type, or [0] without
  `with_gradient`.
margin: A double as text, because attributes of type float are float32 and would
  round it. So is temperature.
topn: Ranks above it have no discount; 0 for all.
weighted: Whether item_weight is there.
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

REGISTER_OP("TfPairwise>ListRankingLossGrad")
    .Input("scores: T")
    .Input("relevance: double")
    .Input("row_splits: int64")
    .Input("mask: bool")
    .Input("item_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_scores_grad: Acc")
    .Output("scores_grad: T") TF_PAIRWISE_LIST_ATTRS.Attr("cached: bool")
    .SetShapeFn(LossGradShape<ListRankingFamily>)
    .Doc(R"doc(
The gradient of sum(upstream * ListRankingLoss(scores, ...)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

#define TF_PAIRWISE_REGISTER_CPU(name, ...) \
  REGISTER_KERNEL_BUILDER(                  \
      Name("TfPairwise>" name).Device(tensorflow::DEVICE_CPU), __VA_ARGS__)

TF_PAIRWISE_REGISTER_CPU("PairwiseRankingLoss",
                         LossOp<PairwiseRankingFamily, CpuDevice>);
TF_PAIRWISE_REGISTER_CPU("PairwiseRankingLossGrad",
                         LossGradOp<PairwiseRankingFamily, CpuDevice>);
TF_PAIRWISE_REGISTER_CPU("ListRankingLoss",
                         LossOp<ListRankingFamily, CpuDevice>);
TF_PAIRWISE_REGISTER_CPU("ListRankingLossGrad",
                         LossGradOp<ListRankingFamily, CpuDevice>);

}  // namespace
}  // namespace tf_pairwise

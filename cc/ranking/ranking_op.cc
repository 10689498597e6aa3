#include "ranking/ranking_op.h"

#include "adapters/loss_shape.h"
#include "adapters/op_kernel.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the ranking family.

namespace tf_pairwise {
namespace {

OpBuilder RankingAttributes(OpBuilder op, const char* kind,
                            const char* reduction) {
  op.Attr(kTypeAttr)
      .Attr(kAccAttr)
      .Attr(kind)
      .Attr(reduction)
      .Attr("margin: string")
      .Attr("temperature: string")
      .Attr("weighted: bool");
  return op;
}

OpBuilder PairAttributes(OpBuilder op) {
  return RankingAttributes(op, "kind: {'logistic', 'hinge', 'soft_zero_one'}",
                           kReductionAttr);
}

OpBuilder ListAttributes(OpBuilder op) {
  op = RankingAttributes(
      op, "kind: {'logistic', 'hinge', 'soft_zero_one', 'mse'}",
      "reduction: {'none', 'sum', 'mean', 'mean_nonzero', 'mean_lists'}");
  op.Attr("lambda_weight: {'none', 'label_diff', 'dcg', 'ndcg'}")
      .Attr("topn: int >= 0")
      .Attr("ragged: bool")
      .Attr("masked: bool");
  return op;
}

TF_PAIRWISE_REGISTER_OP("PairwiseRankingLoss", PairAttributes)
    .Input("scores_pos: T")
    .Input("scores_neg: T")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("pos_grad: Acc")
    .Output("neg_grad: Acc")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<PairwiseRankingLossSpec>)
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

TF_PAIRWISE_REGISTER_OP("PairwiseRankingLossGrad", PairAttributes)
    .Input("scores_pos: T")
    .Input("scores_neg: T")
    .Input("sample_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_pos_grad: Acc")
    .Input("cached_neg_grad: Acc")
    .Output("pos_grad: T")
    .Output("neg_grad: T")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<PairwiseRankingLossSpec>)
    .Doc(R"doc(
The gradient of sum(upstream * PairwiseRankingLoss(scores_pos, scores_neg)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

TF_PAIRWISE_REGISTER_OP("ListRankingLoss", ListAttributes)
    .Input("scores: T")
    .Input("relevance: double")
    .Input("row_splits: int64")
    .Input("mask: bool")
    .Input("item_weight: Acc")
    .Output("loss: Acc")
    .Output("scores_grad: Acc")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<ListRankingLossSpec>)
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

TF_PAIRWISE_REGISTER_OP("ListRankingLossGrad", ListAttributes)
    .Input("scores: T")
    .Input("relevance: double")
    .Input("row_splits: int64")
    .Input("mask: bool")
    .Input("item_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_scores_grad: Acc")
    .Output("scores_grad: T")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<ListRankingLossSpec>)
    .Doc(R"doc(
The gradient of sum(upstream * ListRankingLoss(scores, ...)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

TF_PAIRWISE_REGISTER_KERNELS("PairwiseRankingLoss",
                             LossOp<PairwiseRankingLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("PairwiseRankingLossGrad",
                             LossGradOp<PairwiseRankingLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("ListRankingLoss", LossOp<ListRankingLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("ListRankingLossGrad",
                             LossGradOp<ListRankingLossSpec>);

}  // namespace
}  // namespace tf_pairwise

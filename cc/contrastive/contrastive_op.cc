#include "contrastive/contrastive_op.h"

#include "adapters/loss_shape.h"
#include "adapters/op_kernel.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the contrastive family.

namespace tf_pairwise {
namespace {

OpBuilder ContrastiveAttributes(OpBuilder op) {
  return DistanceLossAttributes(op, kReductionAttr);
}

OpBuilder BatchContrastiveAttributes(OpBuilder op) {
  op = DistanceLossAttributes(op,
                              "reduction: {'none', 'sum', 'mean', "
                              "'mean_nonzero', 'balanced_mean'}");
  op.Attr("positive_margin: string").Attr("squared: bool").Attr("self: bool");
  return op;
}

TF_PAIRWISE_REGISTER_OP("ContrastiveLoss", ContrastiveAttributes)
    .Input("x1: T")
    .Input("x2: T")
    .Input("labels: Acc")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("x1_grad: Acc")
    .Output("x2_grad: Acc")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<ContrastiveLossSpec>)
    .Doc(R"doc(
The contrastive loss of explicit pairs:
0.5 (1 - y) D^2 + 0.5 y max(0, margin - D)^2, y the label.

x1: [n, d].
x2: [n, d].
labels: [n] or [n, 1]: 0 of a similar pair, 1 of a dissimilar one.
sample_weight: [n], or anything without `weighted`.
loss: [] or, for the reduction none, [n].
x1_grad: The gradient of the loss in its own type, or [0] without
  `with_gradient`. So is x2_grad.
margin: A double as text, because attributes of type float are float32 and would
  round it.
weighted: Whether sample_weight is there.
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

TF_PAIRWISE_REGISTER_OP("ContrastiveLossGrad", ContrastiveAttributes)
    .Input("x1: T")
    .Input("x2: T")
    .Input("labels: Acc")
    .Input("sample_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_x1_grad: Acc")
    .Input("cached_x2_grad: Acc")
    .Output("x1_grad: T")
    .Output("x2_grad: T")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<ContrastiveLossSpec>)
    .Doc(R"doc(
The gradient of sum(upstream * ContrastiveLoss(x1, x2, labels)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

TF_PAIRWISE_REGISTER_OP("BatchContrastiveLoss", BatchContrastiveAttributes)
    .Input("embeddings: T")
    .Input("labels: int64")
    .Input("ref_embeddings: T")
    .Input("ref_labels: int64")
    .Input("self_offset: int64")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("embeddings_grad: Acc")
    .Output("refs_grad: Acc")
    .Output("counted: double")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<BatchContrastiveLossSpec>)
    .Doc(R"doc(
The contrastive loss over all pairs of a labelled batch: of the hinges
h = max(0, D - positive_margin) of equal labels, max(0, margin - D) of others.

embeddings: [n, d].
labels: [n] or [n, 1].
ref_embeddings: [m, d]: the other ends of the pairs. With `self` the embeddings,
  passed again; so are ref_labels.
ref_labels: [m] or [m, 1].
self_offset: []: anchor i is reference i + self_offset, a pair that is left out;
  negative for none. Not read with `self`.
sample_weight: [n], one per anchor, or anything without `weighted`.
loss: [] or, for the reduction none, [n].
embeddings_grad: The gradient of the loss in its own type, or [0] without
  `with_gradient`.
refs_grad: So for ref_embeddings; [0] with `self` too, where embeddings_grad is
  the whole gradient.
counted: [], what a mean divides by.
reduction: balanced_mean is the mean over similar pairs plus the mean over
  dissimilar pairs, each over those with loss > 0.
margin: A double as text, because attributes of type float are float32 and would
  round it. So is positive_margin.
weighted: Whether sample_weight is there.
squared: The loss of a pair is h^2 / 2, else h.
self: The embeddings are their own references.
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

TF_PAIRWISE_REGISTER_OP("BatchContrastiveLossGrad", BatchContrastiveAttributes)
    .Input("embeddings: T")
    .Input("labels: int64")
    .Input("ref_embeddings: T")
    .Input("ref_labels: int64")
    .Input("self_offset: int64")
    .Input("sample_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_embeddings_grad: Acc")
    .Input("cached_refs_grad: Acc")
    .Output("embeddings_grad: T")
    .Output("refs_grad: T")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<BatchContrastiveLossSpec>)
    .Doc(R"doc(
The gradient of sum(upstream * BatchContrastiveLoss(embeddings, labels, ...)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
refs_grad: [0] with `self`.
)doc");

TF_PAIRWISE_REGISTER_KERNELS("ContrastiveLoss", LossOp<ContrastiveLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("ContrastiveLossGrad",
                             LossGradOp<ContrastiveLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("BatchContrastiveLoss",
                             LossOp<BatchContrastiveLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("BatchContrastiveLossGrad",
                             LossGradOp<BatchContrastiveLossSpec>);

}  // namespace
}  // namespace tf_pairwise

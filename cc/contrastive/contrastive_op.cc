#include "contrastive/contrastive_op.h"

#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the contrastive family.

namespace tf_pairwise {
namespace {

#define TF_PAIRWISE_ATTR_BATCH_REDUCTION \
  "reduction: {'none', 'sum', 'mean', 'mean_nonzero', 'balanced_mean'}"

#define TF_PAIRWISE_BATCH_CONTRASTIVE_ATTRS                   \
  TF_PAIRWISE_LOSS_ATTRS_OF(TF_PAIRWISE_ATTR_BATCH_REDUCTION) \
      .Attr("positive_margin: string")                        \
      .Attr("squared: bool")                                  \
      .Attr("self: bool")

#define TF_PAIRWISE_SOFTMAX_ATTRS                                     \
  .Attr(TF_PAIRWISE_ATTR_T)                                           \
      .Attr(TF_PAIRWISE_ATTR_ACC)                                     \
      .Attr("kind: {'info_nce', 'supervised', 'nt_xent', 'sigmoid'}") \
      .Attr("reduction: {'none', 'sum', 'mean'}")                     \
      .Attr("normalize: bool")                                        \
      .Attr("symmetric: bool")                                        \
      .Attr("weighted: bool")                                         \
      .Attr("self: bool")

REGISTER_OP("TfPairwise>ContrastiveLoss")
    .Input("x1: T")
    .Input("x2: T")
    .Input("labels: Acc")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("x1_grad: Acc")
    .Output("x2_grad: Acc") TF_PAIRWISE_LOSS_ATTRS.Attr("with_gradient: bool")
    .SetShapeFn(LossShape<ContrastiveFamily>)
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

REGISTER_OP("TfPairwise>ContrastiveLossGrad")
    .Input("x1: T")
    .Input("x2: T")
    .Input("labels: Acc")
    .Input("sample_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_x1_grad: Acc")
    .Input("cached_x2_grad: Acc")
    .Output("x1_grad: T")
    .Output("x2_grad: T") TF_PAIRWISE_LOSS_ATTRS.Attr("cached: bool")
    .SetShapeFn(LossGradShape<ContrastiveFamily>)
    .Doc(R"doc(
The gradient of sum(upstream * ContrastiveLoss(x1, x2, labels)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

REGISTER_OP("TfPairwise>BatchContrastiveLoss")
    .Input("embeddings: T")
    .Input("labels: int64")
    .Input("ref_embeddings: T")
    .Input("ref_labels: int64")
    .Input("self_offset: int64")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("embeddings_grad: Acc")
    .Output("refs_grad: Acc")
    .Output("counted: double") TF_PAIRWISE_BATCH_CONTRASTIVE_ATTRS
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<BatchContrastiveFamily>)
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

REGISTER_OP("TfPairwise>BatchContrastiveLossGrad")
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
    .Output("refs_grad: T") TF_PAIRWISE_BATCH_CONTRASTIVE_ATTRS
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<BatchContrastiveFamily>)
    .Doc(R"doc(
The gradient of sum(upstream * BatchContrastiveLoss(embeddings, labels, ...)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
refs_grad: [0] with `self`.
)doc");

REGISTER_OP("TfPairwise>SoftmaxLoss")
    .Input("queries: T")
    .Input("labels: int64")
    .Input("keys: T")
    .Input("key_labels: int64")
    .Input("offset: int64")
    .Input("sample_weight: Acc")
    .Input("temperature: Acc")
    .Input("scale: Acc")
    .Input("bias: Acc")
    .Output("loss: Acc")
    .Output("queries_grad: Acc")
    .Output("keys_grad: Acc")
    .Output("temperature_grad: Acc")
    .Output("scale_grad: Acc")
    .Output("bias_grad: Acc")
    .Output("counted: double") TF_PAIRWISE_SOFTMAX_ATTRS
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<SoftmaxFamily>)
    .Doc(R"doc(
A loss over the dot products s_ij of a batch, with log-sum-exp made online. The
kinds are tf_pairwise's info_nce_loss, supervised_contrastive_loss, nt_xent_loss
and sigmoid_contrastive_loss.

queries: [n, d]; the embeddings of the kinds supervised and nt_xent.
labels: [n] or [n, 1], of the kinds supervised and nt_xent.
keys: [m, d]; the references of the kinds supervised and nt_xent, with `self`
  the embeddings, passed again; so are key_labels.
key_labels: [m] or [m, 1], of the kinds supervised and nt_xent.
offset: []. Of the kinds info_nce and sigmoid the positive of query i is key
  i + offset. Of the others anchor i is reference i + offset, a pair that is left
  out; negative for none, and not read with `self`.
sample_weight: [n], one per row, or anything without `weighted`.
temperature: [], of all kinds but sigmoid.
scale: [], of the kind sigmoid. So is bias.
loss: [] or, for the reduction none, [n].
queries_grad: The gradient of the loss in its own type, or [0] without
  `with_gradient`, and for what the kind does not read. So are the others.
keys_grad: With `self` [0], where queries_grad is the whole gradient.
counted: [], what a mean divides by.
normalize: s_ij is of the L2-normalised points, else of the points as they are.
symmetric: The mean of both directions, of the kind info_nce; m is n, and offset
  0.
weighted: Whether sample_weight is there.
self: The embeddings are their own references; of the kinds supervised and
  nt_xent.
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

REGISTER_OP("TfPairwise>SoftmaxLossGrad")
    .Input("queries: T")
    .Input("labels: int64")
    .Input("keys: T")
    .Input("key_labels: int64")
    .Input("offset: int64")
    .Input("sample_weight: Acc")
    .Input("temperature: Acc")
    .Input("scale: Acc")
    .Input("bias: Acc")
    .Input("upstream: Acc")
    .Input("cached_queries_grad: Acc")
    .Input("cached_keys_grad: Acc")
    .Input("cached_temperature_grad: Acc")
    .Input("cached_scale_grad: Acc")
    .Input("cached_bias_grad: Acc")
    .Output("queries_grad: T")
    .Output("keys_grad: T")
    .Output("temperature_grad: Acc")
    .Output("scale_grad: Acc")
    .Output("bias_grad: Acc") TF_PAIRWISE_SOFTMAX_ATTRS.Attr("cached: bool")
    .SetShapeFn(LossGradShape<SoftmaxFamily>)
    .Doc(R"doc(
The gradient of sum(upstream * SoftmaxLoss(queries, labels, keys, ...)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
keys_grad: [0], as all that follow, for what the kind does not read; with `self`
  too.
)doc");

TF_PAIRWISE_REGISTER_CPU("ContrastiveLoss", LossOp<ContrastiveFamily>);
TF_PAIRWISE_REGISTER_CPU("ContrastiveLossGrad", LossGradOp<ContrastiveFamily>);
TF_PAIRWISE_REGISTER_CPU("BatchContrastiveLoss",
                         LossOp<BatchContrastiveFamily>);
TF_PAIRWISE_REGISTER_CPU("BatchContrastiveLossGrad",
                         LossGradOp<BatchContrastiveFamily>);
TF_PAIRWISE_REGISTER_CPU("SoftmaxLoss", LossOp<SoftmaxFamily>);
TF_PAIRWISE_REGISTER_CPU("SoftmaxLossGrad", LossGradOp<SoftmaxFamily>);

}  // namespace
}  // namespace tf_pairwise

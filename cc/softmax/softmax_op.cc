#include "softmax/softmax_op.h"

#include "adapters/loss_shape.h"
#include "adapters/op_kernel.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the soft-max family.

namespace tf_pairwise {
namespace {

OpBuilder SoftmaxAttributes(OpBuilder op) {
  op.Attr(kTypeAttr)
      .Attr(kAccAttr)
      .Attr("kind: {'info_nce', 'supervised', 'nt_xent', 'sigmoid'}")
      .Attr("reduction: {'none', 'sum', 'mean'}")
      .Attr("normalize: bool")
      .Attr("symmetric: bool")
      .Attr("weighted: bool")
      .Attr("self: bool");
  return op;
}

TF_PAIRWISE_REGISTER_OP("SoftmaxLoss", SoftmaxAttributes)
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
    .Output("counted: double")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<SoftmaxLossSpec>)
    .Doc(R"doc(
A loss over the dot products s_ij of a batch, none of which is kept. The kinds
are tf_pairwise's info_nce_loss, supervised_contrastive_loss, nt_xent_loss and
sigmoid_contrastive_loss.

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

TF_PAIRWISE_REGISTER_OP("SoftmaxLossGrad", SoftmaxAttributes)
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
    .Output("bias_grad: Acc")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<SoftmaxLossSpec>)
    .Doc(R"doc(
The gradient of sum(upstream * SoftmaxLoss(queries, labels, keys, ...)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
keys_grad: [0], as all that follow, for what the kind does not read; with `self`
  too.
)doc");

TF_PAIRWISE_REGISTER_KERNELS("SoftmaxLoss", LossOp<SoftmaxLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("SoftmaxLossGrad", LossGradOp<SoftmaxLossSpec>);

}  // namespace
}  // namespace tf_pairwise

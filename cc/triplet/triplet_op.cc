#include "triplet/triplet_op.h"

#include "adapters/loss_shape.h"
#include "adapters/op_kernel.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the triplet family.

namespace tf_pairwise {
namespace {

constexpr char kMiningAttr[] =
    "mining: {'all', 'hard', 'semi_hard', 'semi_hard_all', 'hard_all'}";

OpBuilder TripletAttributes(OpBuilder op) {
  op = DistanceLossAttributes(op, kReductionAttr);
  op.Attr("swap: bool");
  return op;
}

OpBuilder BatchTripletAttributes(OpBuilder op) {
  op = DistanceLossAttributes(op, kReductionAttr);
  op.Attr(kMiningAttr).Attr("self: bool");
  return op;
}

TF_PAIRWISE_REGISTER_OP("TripletLoss", TripletAttributes)
    .Input("anchors: T")
    .Input("positives: T")
    .Input("negatives: T")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("anchors_grad: Acc")
    .Output("positives_grad: Acc")
    .Output("negatives_grad: Acc")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<TripletLossSpec>)
    .Doc(R"doc(
The loss of explicit triplets, max(0, D(a, p) - D(a, n) + margin).

anchors: [n, d].
positives: [n, d].
negatives: [n, d].
sample_weight: [n], or anything without `weighted`.
loss: [] or, for the reduction none, [n].
anchors_grad: The gradient of the loss in its own type, or [0] without
  `with_gradient`. So are the other two.
margin: A double as text, because attributes of type float are float32 and would
  round it; or "soft" for softplus(D(a, p) - D(a, n)).
weighted: Whether sample_weight is there.
swap: D(a, n) is replaced by min(D(a, n), D(p, n)).
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

TF_PAIRWISE_REGISTER_OP("TripletLossGrad", TripletAttributes)
    .Input("anchors: T")
    .Input("positives: T")
    .Input("negatives: T")
    .Input("sample_weight: Acc")
    .Input("upstream: Acc")
    .Input("cached_anchors_grad: Acc")
    .Input("cached_positives_grad: Acc")
    .Input("cached_negatives_grad: Acc")
    .Output("anchors_grad: T")
    .Output("positives_grad: T")
    .Output("negatives_grad: T")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<TripletLossSpec>)
    .Doc(R"doc(
The gradient of sum(upstream * TripletLoss(anchors, positives, negatives)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

TF_PAIRWISE_REGISTER_OP("BatchTripletLoss", BatchTripletAttributes)
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
    .SetShapeFn(LossShape<BatchTripletLossSpec>)
    .Doc(R"doc(
The triplet loss over the triplets that `mining` takes of a labelled batch.

embeddings: [n, d].
labels: [n] or [n, 1].
ref_embeddings: [m, d]: what positives and negatives are taken from. With `self`
  the embeddings, passed again; so are ref_labels.
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
margin: A double as text, because attributes of type float are float32 and would
  round it; or "soft" for softplus(D(a, p) - D(a, n)).
weighted: Whether sample_weight is there.
self: The embeddings are their own references.
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

TF_PAIRWISE_REGISTER_OP("BatchTripletLossGrad", BatchTripletAttributes)
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
    .SetShapeFn(LossGradShape<BatchTripletLossSpec>)
    .Doc(R"doc(
The gradient of sum(upstream * BatchTripletLoss(embeddings, labels, ...)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
refs_grad: [0] with `self`.
)doc");

REGISTER_OP("TfPairwise>MineTriplets")
    .Input("embeddings: T")
    .Input("labels: int64")
    .Input("ref_embeddings: T")
    .Input("ref_labels: int64")
    .Input("self_offset: int64")
    .Output("triplets: int64")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .Attr("margin: string")
    .Attr(kMiningAttr)
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      BatchTripletLoss problem;
      NodeAttributes<InferenceContext> attributes(context);
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(BatchTripletLossSpec::ReadAttributes(&attributes, &problem)));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(BatchTripletLossSpec::MatchShapes(
          problem, InferenceInputs{context}, &match)));
      context->set_output(0, ToHandle(context, Shape{true, {kUnknownSize, 3}}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The triplets that BatchTripletLoss with the same arguments counts.

triplets: [t, 3]: indices of the anchor, of the positive and of the negative
  among the references, in lexicographic order.
)doc");

TF_PAIRWISE_REGISTER_KERNELS("TripletLoss", LossOp<TripletLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("TripletLossGrad", LossGradOp<TripletLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("BatchTripletLoss", LossOp<BatchTripletLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("BatchTripletLossGrad",
                             LossGradOp<BatchTripletLossSpec>);
TF_PAIRWISE_REGISTER_KERNELS("MineTriplets", MineTripletsOp);

}  // namespace
}  // namespace tf_pairwise

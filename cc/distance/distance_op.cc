#include "distance/distance_op.h"

#include "adapters/op_kernel.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the distance family.

namespace tf_pairwise {
namespace {

absl::Status ReadSelf(InferenceContext* context, bool* self) {
  return context->GetAttr("self", self);
}

ShapeHandle GradientOfY(InferenceContext* context, bool self) {
  return self ? context->MakeShape({context->MakeDim(0)}) : context->input(1);
}

REGISTER_OP("TfPairwise>PairwiseDistance")
    .Input("x: T")
    .Input("y: T")
    .Output("distances: T")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      bool self;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadSelf(context, &self));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairwise(InferenceInputs{context}, self, &match)));
      context->set_output(0, ToHandle(context, match(DistancePattern(self))));
      return absl::OkStatus();
    })
    .Doc(R"doc(
All distances between the points of x and of y.

x: [..., n, d].
y: [..., m, d]. With `self` it is x, passed again.
distances: [..., n, m].
self: x against itself: the diagonal is exact, and x's gradient is the whole.
)doc");

REGISTER_OP("TfPairwise>PairwiseDistanceGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("distances: T")
    .Input("upstream: T")
    .Output("x_grad: T")
    .Output("y_grad: T")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      bool self;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadSelf(context, &self));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairwiseGrad(InferenceInputs{context}, self, &match)));
      context->set_output(0, context->input(0));
      context->set_output(1, GradientOfY(context, self));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(upstream * PairwiseDistance(x, y)).

distances: the output of PairwiseDistance(x, y), kept to save its computation.
upstream: [..., n, m].
y_grad: empty with `self`.
)doc");

REGISTER_OP("TfPairwise>PairwiseDistanceGradGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("upstream: T")
    .Input("u: T")
    .Input("w: T")
    .Output("upstream_out: T")
    .Output("x_out: T")
    .Output("y_out: T")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      bool self;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadSelf(context, &self));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(
          MatchPairwiseGradGrad(InferenceInputs{context}, self, &match)));
      context->set_output(0, context->input(2));
      context->set_output(1, context->input(0));
      context->set_output(2, GradientOfY(context, self));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(u * x_grad) + sum(w * y_grad), where x_grad and y_grad are
the outputs of PairwiseDistanceGrad(x, y, distances, upstream).

u: [..., n, d].
w: [..., m, d]. Not read with `self`.
y_out: empty with `self`.
)doc");

REGISTER_OP("TfPairwise>PairedDistance")
    .Input("x: T")
    .Input("y: T")
    .Output("distances: T")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPaired(InferenceInputs{context}, &match)));
      context->set_output(0, ToHandle(context, match("...")));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The distances of points taken in pairs.

x: [..., d].
y: [..., d].
distances: [...].
)doc");

REGISTER_OP("TfPairwise>PairedDistanceGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("upstream: T")
    .Output("x_grad: T")
    .Output("y_grad: T")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairedGrad(InferenceInputs{context}, &match)));
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(upstream * PairedDistance(x, y)).

upstream: [...].
)doc");

REGISTER_OP("TfPairwise>PairedDistanceGradGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("upstream: T")
    .Input("u: T")
    .Input("w: T")
    .Output("upstream_out: T")
    .Output("x_out: T")
    .Output("y_out: T")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairedGradGrad(InferenceInputs{context}, &match)));
      context->set_output(0, context->input(2));
      context->set_output(1, context->input(0));
      context->set_output(2, context->input(1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(u * x_grad) + sum(w * y_grad), where x_grad and y_grad are
the outputs of PairedDistanceGrad(x, y, upstream).

u: [..., d].
w: [..., d].
)doc");

TF_PAIRWISE_REGISTER_KERNELS("PairwiseDistance", PairwiseDistanceOp);
TF_PAIRWISE_REGISTER_KERNELS("PairwiseDistanceGrad", PairwiseDistanceGradOp);
TF_PAIRWISE_REGISTER_KERNELS("PairwiseDistanceGradGrad",
                             PairwiseDistanceGradGradOp);
TF_PAIRWISE_REGISTER_KERNELS("PairedDistance", PairedDistanceOp);
TF_PAIRWISE_REGISTER_KERNELS("PairedDistanceGrad", PairedDistanceGradOp);
TF_PAIRWISE_REGISTER_KERNELS("PairedDistanceGradGrad",
                             PairedDistanceGradGradOp);

}  // namespace
}  // namespace tf_pairwise

#include "neighbors/neighbors_op.h"

#include "adapters/op_kernel.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's op of the neighbors family.

namespace tf_pairwise {
namespace {

REGISTER_OP("TfPairwise>NearestNeighbors")
    .Input("queries: T")
    .Input("keys: T")
    .Input("query_labels: int64")
    .Input("key_labels: int64")
    .Output("distances: T")
    .Output("indices: int64")
    .Attr(kTypeAttr)
    .Attr(MetricAttr())
    .Attr("k: int >= 1")
    .Attr("only: {'any', 'same_label', 'other_label'}")
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      NearestNeighbors problem;
      NodeAttributes<InferenceContext> attributes(context);
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(NearestNeighborsOp::ReadAttributes(&attributes, &problem)));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(NearestNeighborsOp::MatchShapes(
          problem, InferenceInputs{context}, &match)));
      const ShapeHandle shape =
          ToHandle(context, NearestNeighborsOp::Neighbors(match, problem.k));
      context->set_output(0, shape);
      context->set_output(1, shape);
      return absl::OkStatus();
    })
    .Doc(R"doc(
The k nearest keys of each query.

queries: [n, d].
keys: [m, d]. With `self` the queries, passed again; so are key_labels.
query_labels: [n] or [n, 1], or anything where `only` is any.
key_labels: [m] or [m, 1], or anything where `only` is any.
distances: [n, k], ascending; +inf where there are fewer keys than k.
indices: [n, k], rows of keys, the lower first where distances are equal; -1
  where there are fewer keys than k.
only: The keys a query may have: of its label, or of another.
self: The queries are their own keys, and none is its own neighbour.
)doc");

TF_PAIRWISE_REGISTER_KERNELS("NearestNeighbors", NearestNeighborsOp);

}  // namespace
}  // namespace tf_pairwise

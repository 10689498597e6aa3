#include "adapters/tensorflow.h"
#include "neighbors/neighbors.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's op of the neighbors family.

namespace tf_pairwise {
namespace {

enum { kQueries, kKeys, kQueryLabels, kKeyLabels };

template <typename Context>
absl::Status ReadProblem(Context* context, NearestNeighbors* problem) {
  tensorflow::DataType type;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(context->GetAttr("T", &type));
  problem->dtype = ToDType(type);
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      ReadName(context, "metric", ParseMetric, &problem->metric));
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      ReadName(context, "only", ParseOnly, &problem->only));
  TF_PAIRWISE_TF_RETURN_IF_ERROR(context->GetAttr("self", &problem->self));
  return context->GetAttr("k", &problem->k);
}

// With `self`, keys are the queries again: m is n.
template <typename Inputs>
Status MatchShapes(const NearestNeighbors& problem, const Inputs& inputs,
                   ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR((*match)("queries", inputs(kQueries), "nd"));
  TF_PAIRWISE_RETURN_IF_ERROR(
      (*match)("keys", inputs(kKeys), problem.self ? "nd" : "md"));
  if (problem.only == Only::kAny) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(
      (*match)("query_labels", inputs(kQueryLabels), "n|n1"));
  return (*match)("key_labels", inputs(kKeyLabels),
                  problem.self ? "n|n1" : "m|m1");
}

Shape Neighbors(const ShapeMatcher& match, int64_t k) {
  return Shape{true, {match['n'], k}};
}

class NearestNeighborsOp : public tensorflow::OpKernel {
 public:
  explicit NearestNeighborsOp(OpKernelConstruction* construction)
      : OpKernel(construction) {
    OP_REQUIRES_OK(construction, ReadProblem(construction, &problem_));
  }

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    NearestNeighbors problem = problem_;
    OP_REQUIRES_OK(context,
                   ToAbsl(MatchShapes(problem, KernelInputs{context}, &match)));
    problem.n = match['n'];
    problem.m = problem.self ? problem.n : match['m'];
    problem.d = match['d'];
    OP_REQUIRES_OK(context, ToAbsl(Check(problem)));

    NearestNeighborsArrays arrays;
    arrays.queries = Data(context->input(kQueries));
    arrays.keys = Data(context->input(kKeys));
    arrays.query_labels = context->input(kQueryLabels).flat<int64_t>().data();
    arrays.key_labels = context->input(kKeyLabels).flat<int64_t>().data();
    const Shape shape = Neighbors(match, problem.k);
    Tensor *distances, *indices;
    OP_REQUIRES_OK(context, Allocate(context, 0, shape, &distances));
    OP_REQUIRES_OK(context, Allocate(context, 1, shape, &indices));
    arrays.distances = Data(distances);
    arrays.indices = indices->flat<int64_t>().data();

    const CpuDevice device(context);
    Tensor holder;
    void* scratch = nullptr;
    OP_REQUIRES_OK(context, AllocateScratch(context,
                                            NearestNeighborsScratchBytes(
                                                problem, device.workers()),
                                            &holder, &scratch));
    OP_REQUIRES_OK(context, ToAbsl(NearestNeighborsCpu(problem, arrays, scratch,
                                                       device.launcher())));
  }

 private:
  NearestNeighbors problem_;
};

REGISTER_OP("TfPairwise>NearestNeighbors")
    .Input("queries: T")
    .Input("keys: T")
    .Input("query_labels: int64")
    .Input("key_labels: int64")
    .Output("distances: T")
    .Output("indices: int64")
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .Attr("k: int >= 1")
    .Attr("only: {'any', 'same_label', 'other_label'}")
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      NearestNeighbors problem;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadProblem(context, &problem));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchShapes(problem, InferenceInputs{context}, &match)));
      const ShapeHandle shape = ToHandle(context, Neighbors(match, problem.k));
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

REGISTER_KERNEL_BUILDER(
    Name("TfPairwise>NearestNeighbors").Device(tensorflow::DEVICE_CPU),
    NearestNeighborsOp);

}  // namespace
}  // namespace tf_pairwise

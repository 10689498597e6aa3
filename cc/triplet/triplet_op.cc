#include <string>

#include "adapters/batch_op.h"
#include "adapters/loss_op.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"
#include "triplet/triplet.h"

// TensorFlow's ops of the triplet family. What a loss op does around its
// kernel is in adapters/loss_op.h; here is what is the family's own.

namespace tf_pairwise {
namespace {

// ---- explicit triplets ----

struct TripletFamily {
  using Problem = TripletLoss;
  using Arrays = TripletArrays;
  static constexpr int kPoints[] = {0, 1, 2};
  static constexpr int kInputs = 4;
  static constexpr int kWeight = 3;

  template <typename Context>
  static absl::Status ReadAttributes(Context* context, Problem* problem) {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadName(context, "metric", ParseMetric, &problem->metric));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadMargin(context, "margin", &problem->margin, &problem->soft));
    return context->GetAttr("swap", &problem->swap);
  }

  template <typename Inputs>
  static Status MatchShapes(const Problem&, const Inputs& inputs,
                            ShapeMatcher* match) {
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("anchors", inputs(0), "nd"));
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("positives", inputs(1), "nd"));
    return (*match)("negatives", inputs(2), "nd");
  }

  static absl::Status Bind(OpKernelContext* context, const ShapeMatcher& match,
                           Problem* problem, Arrays* arrays) {
    problem->n = match['n'];
    problem->d = match['d'];
    arrays->anchors = Data(context->input(0));
    arrays->positives = Data(context->input(1));
    arrays->negatives = Data(context->input(2));
    return absl::OkStatus();
  }

  static bool HasGradient(const Problem&, int) { return true; }

  static void SetGradient(Arrays* arrays, int i, void* gradient) {
    (i == 0   ? arrays->anchors_grad
     : i == 1 ? arrays->positives_grad
              : arrays->negatives_grad) = gradient;
  }

  static int64_t ScratchBytes(const Problem& problem, bool, int workers) {
    return TripletLossScratchBytes(problem, workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& parallel) {
    return TripletLossCpu(problem, arrays, scratch, parallel);
  }
};

// ---- the triplets of a labelled batch ----

struct BatchTripletFamily : BatchFamily<BatchTripletLoss, BatchTripletArrays> {
  template <typename Context>
  static absl::Status ReadAttributes(Context* context, Problem* problem) {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadName(context, "metric", ParseMetric, &problem->metric));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadMargin(context, "margin", &problem->margin, &problem->soft));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(context->GetAttr("self", &problem->self));
    return ReadName(context, "mining", ParseMining, &problem->mining);
  }

  static int64_t ScratchBytes(const Problem& problem, bool with_gradient,
                              int workers) {
    return BatchTripletLossScratchBytes(problem, with_gradient, workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& parallel) {
    return BatchTripletLossCpu(problem, arrays, scratch, parallel);
  }
};

// ---- the indices of the mined triplets ----

class MineTripletsOp : public tensorflow::OpKernel {
 public:
  explicit MineTripletsOp(OpKernelConstruction* construction)
      : OpKernel(construction) {
    OP_REQUIRES_OK(construction,
                   ReadProblem<BatchTripletFamily>(construction, &problem_));
  }

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    BatchTripletLoss problem = problem_;
    BatchTripletArrays arrays;
    OP_REQUIRES_OK(context, ToAbsl(BatchTripletFamily::MatchShapes(
                                problem, KernelInputs{context}, &match)));
    OP_REQUIRES_OK(context,
                   BatchTripletFamily::Bind(context, match, &problem, &arrays));
    OP_REQUIRES_OK(context, ToAbsl(Check(problem)));

    const CpuDevice device(context);
    Tensor holder;
    void* scratch = nullptr;
    OP_REQUIRES_OK(context, AllocateScratch(context,
                                            MineTripletsScratchBytes(
                                                problem, device.workers()),
                                            &holder, &scratch));
    Output output{context, absl::OkStatus()};
    const TripletSink sink{Output::Allocate, &output};
    const Status mined =
        MineTripletsCpu(problem, arrays, sink, scratch, device.launcher());
    OP_REQUIRES_OK(context, output.status);
    OP_REQUIRES_OK(context, ToAbsl(mined));
  }

 private:
  struct Output {
    OpKernelContext* context;
    absl::Status status;

    static int64_t* Allocate(void* output, int64_t count) {
      auto* self = static_cast<Output*>(output);
      Tensor* triplets;
      self->status = tf_pairwise::Allocate(self->context, 0,
                                           Shape{true, {count, 3}}, &triplets);
      return self->status.ok() ? triplets->flat<int64_t>().data() : nullptr;
    }
  };

  BatchTripletLoss problem_;
};

// ---- registration ----

#define TF_PAIRWISE_ATTR_MINING \
  "mining: {'all', 'hard', 'semi_hard', 'semi_hard_all', 'hard_all'}"

REGISTER_OP("TfPairwise>TripletLoss")
    .Input("anchors: T")
    .Input("positives: T")
    .Input("negatives: T")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("anchors_grad: Acc")
    .Output("positives_grad: Acc")
    .Output("negatives_grad: Acc") TF_PAIRWISE_LOSS_ATTRS.Attr("swap: bool")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<TripletFamily>)
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

REGISTER_OP("TfPairwise>TripletLossGrad")
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
    .Output("negatives_grad: T") TF_PAIRWISE_LOSS_ATTRS.Attr("swap: bool")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<TripletFamily>)
    .Doc(R"doc(
The gradient of sum(upstream * TripletLoss(anchors, positives, negatives)).

upstream: The loss's shape.
cached: The loss op made the gradient, and has only to be scaled here.
)doc");

REGISTER_OP("TfPairwise>BatchTripletLoss")
    .Input("embeddings: T")
    .Input("labels: int64")
    .Input("ref_embeddings: T")
    .Input("ref_labels: int64")
    .Input("self_offset: int64")
    .Input("sample_weight: Acc")
    .Output("loss: Acc")
    .Output("embeddings_grad: Acc")
    .Output("refs_grad: Acc") TF_PAIRWISE_LOSS_ATTRS
    .Attr(TF_PAIRWISE_ATTR_MINING)
    .Attr("self: bool")
    .Attr("with_gradient: bool")
    .SetShapeFn(LossShape<BatchTripletFamily>)
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
margin: A double as text, because attributes of type float are float32 and would
  round it; or "soft" for softplus(D(a, p) - D(a, n)).
weighted: Whether sample_weight is there.
self: The embeddings are their own references.
with_gradient: Make the gradient in the same pass. Not for the reduction none.
)doc");

REGISTER_OP("TfPairwise>BatchTripletLossGrad")
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
    .Output("refs_grad: T") TF_PAIRWISE_LOSS_ATTRS.Attr(TF_PAIRWISE_ATTR_MINING)
    .Attr("self: bool")
    .Attr("cached: bool")
    .SetShapeFn(LossGradShape<BatchTripletFamily>)
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
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .Attr("margin: string")
    .Attr(TF_PAIRWISE_ATTR_MINING)
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      BatchTripletLoss problem;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          BatchTripletFamily::ReadAttributes(context, &problem));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(BatchTripletFamily::MatchShapes(
          problem, InferenceInputs{context}, &match)));
      context->set_output(0, ToHandle(context, Shape{true, {kUnknownSize, 3}}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The triplets that BatchTripletLoss with the same arguments counts.

triplets: [t, 3]: indices of the anchor, of the positive and of the negative
  among the references, in lexicographic order.
)doc");

#define TF_PAIRWISE_REGISTER_CPU(name, ...) \
  REGISTER_KERNEL_BUILDER(                  \
      Name("TfPairwise>" name).Device(tensorflow::DEVICE_CPU), __VA_ARGS__)

TF_PAIRWISE_REGISTER_CPU("TripletLoss", LossOp<TripletFamily, CpuDevice>);
TF_PAIRWISE_REGISTER_CPU("TripletLossGrad",
                         LossGradOp<TripletFamily, CpuDevice>);
TF_PAIRWISE_REGISTER_CPU("BatchTripletLoss",
                         LossOp<BatchTripletFamily, CpuDevice>);
TF_PAIRWISE_REGISTER_CPU("BatchTripletLossGrad",
                         LossGradOp<BatchTripletFamily, CpuDevice>);
TF_PAIRWISE_REGISTER_CPU("MineTriplets", MineTripletsOp);

}  // namespace
}  // namespace tf_pairwise

#ifndef TF_PAIRWISE_ADAPTERS_LOSS_SHAPE_H_
#define TF_PAIRWISE_ADAPTERS_LOSS_SHAPE_H_

#include "absl/status/status.h"
#include "adapters/loss_op.h"
#include "adapters/shape_matcher.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// What TensorFlow is told of the ops in loss_op.h: the attributes that losses
// share, and what their shapes are.

namespace tf_pairwise {

// ---- attributes ----

using OpBuilder = tensorflow::register_op::OpDefBuilderWrapper;

// REGISTER_OP of an op whose first attributes are those that the function `add`
// adds to an OpBuilder. Their order is that of the arguments in Python.
#define TF_PAIRWISE_REGISTER_OP(name, add) \
  TF_NEW_ID_FOR_INIT(TF_PAIRWISE_REGISTER_OP_, name, add)
#define TF_PAIRWISE_REGISTER_OP_(counter, name, add)                  \
  static const ::tensorflow::InitOnStartupMarker register_op##counter \
      TF_ATTRIBUTE_UNUSED =                                           \
          ::tensorflow::InitOnStartupMarker{}                         \
          << ::tf_pairwise::add(::tf_pairwise::OpBuilder("TfPairwise>" name))

// What losses come in.
constexpr char kAccAttr[] = "Acc: {float, double}";
constexpr char kReductionAttr[] =
    "reduction: {'none', 'sum', 'mean', 'mean_nonzero'}";

// Of the losses of distances.
inline OpBuilder DistanceLossAttributes(OpBuilder op, const char* reduction) {
  op.Attr(kTypeAttr)
      .Attr(kAccAttr)
      .Attr(MetricAttr())
      .Attr(reduction)
      .Attr("margin: string")
      .Attr("weighted: bool");
  return op;
}

// ---- shape functions ----

template <typename Spec>
absl::Status MatchLossShapes(InferenceContext* context, ShapeMatcher* match,
                             typename Spec::Problem* problem) {
  NodeAttributes<InferenceContext> attributes(context);
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      ToAbsl(Spec::ReadAttributes(&attributes, problem)));
  bool weighted = false;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      ToAbsl(ReadReduction(&attributes, problem, &weighted)));
  return ToAbsl(
      MatchLoss<Spec>(*problem, weighted, InferenceInputs{context}, match));
}

// The gradients of the points, in outputs from `first` on.
template <typename Spec>
void SetGradientShapes(InferenceContext* context,
                       const typename Spec::Problem& problem, bool made,
                       int first) {
  for (int i = 0; i < kGradients<Spec>; ++i) {
    context->set_output(first + i, made && Spec::HasGradient(problem, i)
                                       ? context->input(Spec::kPoints[i])
                                       : ToHandle(context, NoGradient()));
  }
}

template <typename Spec>
absl::Status LossShape(InferenceContext* context) {
  ShapeMatcher match;
  typename Spec::Problem problem;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      MatchLossShapes<Spec>(context, &match, &problem));
  bool with_gradient;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      context->GetAttr("with_gradient", &with_gradient));
  context->set_output(0, ToHandle(context, match(LossPattern(problem))));
  SetGradientShapes<Spec>(context, problem, with_gradient, 1);
  if constexpr (kCounts<Spec>) {
    context->set_output(1 + kGradients<Spec>, context->Scalar());
  }
  return absl::OkStatus();
}

template <typename Spec>
absl::Status LossGradShape(InferenceContext* context) {
  ShapeMatcher match;
  typename Spec::Problem problem;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      MatchLossShapes<Spec>(context, &match, &problem));
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      ToAbsl(match("upstream", ToShape(context, context->input(Spec::kInputs)),
                   LossPattern(problem))));
  SetGradientShapes<Spec>(context, problem, /*made=*/true, 0);
  return absl::OkStatus();
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_LOSS_SHAPE_H_

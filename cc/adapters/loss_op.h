#ifndef TF_PAIRWISE_ADAPTERS_LOSS_OP_H_
#define TF_PAIRWISE_ADAPTERS_LOSS_OP_H_

#include <cstdint>
#include <iterator>
#include <string>

#include "adapters/options.h"
#include "adapters/tensorflow.h"
#include "core/scale.h"

// What every loss op does around its kernel. A family says what is its own in
// a struct of static functions:
//
//   struct Family {
//     using Problem = ...;  // sizes and options: dtype, metric, reduction ...
//     using Arrays = ...;   // pointers: weights, loss, gradients ...
//     // Which inputs have gradients, how many the loss op has, and which is
//     // sample_weight; kNoWeight for a loss that is always a scalar, and has
//     // neither weights nor a reduction.
//     static constexpr int kPoints[] = ...;
//     static constexpr int kInputs = ...;
//     static constexpr int kWeight = ...;
//     // The family's attributes: all but T, Acc, reduction and weighted.
//     template <typename Context>
//     static absl::Status ReadAttributes(Context*, Problem*);
//     // What shapes the inputs have to have; see ShapeMatcher.
//     template <typename Inputs>
//     static Status MatchShapes(const Problem&, const Inputs&, ShapeMatcher*);
//     // Fills sizes and input pointers of a call whose shapes matched.
//     static absl::Status Bind(OpKernelContext*, const ShapeMatcher&, Problem*,
//                              Arrays*);
//     // False where the gradient of kPoints[i] is part of another's.
//     static bool HasGradient(const Problem&, int i);
//     static void SetGradient(Arrays*, int i, void* gradient);
//     static int64_t ScratchBytes(const Problem&, bool with_gradient,
//                                 int workers);
//     static Status Run(const Problem&, const Arrays&, void* scratch,
//                       const ParallelFor&);
//   };
//
// and `Check(Problem)`, from the family's contract. The letter n stands for the
// number of weights, and of losses that are not reduced.
//
//   LossOp      inputs -> loss, a gradient per point
//   LossGradOp  inputs, upstream, a cached gradient per point -> a gradient per
//               point
//
// With the attribute `with_gradient`, LossOp makes the gradient in the same
// pass, in the compute type and not scaled yet. LossGradOp has `cached` then,
// and only scales it; otherwise it makes the gradient itself. It leaves in its
// point's own type.

namespace tf_pairwise {

// The attributes that the losses of distances share.
#define TF_PAIRWISE_LOSS_ATTRS_OF(reduction) \
  .Attr(TF_PAIRWISE_ATTR_T)                  \
      .Attr(TF_PAIRWISE_ATTR_ACC)            \
      .Attr(TF_PAIRWISE_ATTR_METRIC)         \
      .Attr(reduction)                       \
      .Attr("margin: string")                \
      .Attr("weighted: bool")
#define TF_PAIRWISE_LOSS_ATTRS \
  TF_PAIRWISE_LOSS_ATTRS_OF(TF_PAIRWISE_ATTR_REDUCTION)

constexpr int kNoWeight = -1;

// ---- on the CPU ----

inline double ToDouble(const Tensor& scalar) {
  return scalar.dtype() == tensorflow::DT_DOUBLE ? scalar.scalar<double>()()
                                                 : scalar.scalar<float>()();
}

// out = weights * upstream, or upstream alone where there are no weights.
template <typename T>
void MultiplyWeights(const Tensor* weights, const Tensor& upstream,
                     Tensor* out) {
  const auto from = upstream.flat<T>();
  auto to = out->flat<T>();
  if (weights == nullptr) {
    for (int64_t i = 0; i < from.size(); ++i) to(i) = from(i);
  } else {
    const auto weight = weights->flat<T>();
    for (int64_t i = 0; i < from.size(); ++i) to(i) = weight(i) * from(i);
  }
}

template <typename Family>
constexpr int kGradients = std::size(Family::kPoints);

template <typename Family>
constexpr bool kWeighted = Family::kWeight != kNoWeight;

template <typename Family>
bool IsReduced(const typename Family::Problem& problem) {
  if constexpr (kWeighted<Family>) {
    return problem.reduction != Reduction::kNone;
  } else {
    return true;
  }
}

// The shape of the loss, and of the gradient that comes in for it.
template <typename Problem>
const char* LossPattern(const Problem& problem) {
  return problem.reduction == Reduction::kNone ? "n" : "";
}

// `Context` is an OpKernelConstruction or an InferenceContext.
template <typename Context>
absl::Status ReadMargin(Context* context, const char* attribute, double* margin,
                        bool* soft = nullptr) {
  std::string text;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(context->GetAttr(attribute, &text));
  return ToAbsl(ParseMargin(attribute, text.c_str(), margin, soft));
}

template <typename Family, typename Context>
absl::Status ReadReduction(Context* context,
                           typename Family::Problem* problem) {
  if constexpr (kWeighted<Family>) {
    return ReadName(context, "reduction", ParseReduction, &problem->reduction);
  } else {
    return absl::OkStatus();
  }
}

template <typename Family, typename Context>
absl::Status ReadWeighted(Context* context, bool* weighted) {
  *weighted = false;
  if constexpr (kWeighted<Family>) {
    return context->GetAttr("weighted", weighted);
  } else {
    return absl::OkStatus();
  }
}

// The name of the weights and their shape. A family whose weights are others
// has overloads for its problem, as it may have of LossPattern.
template <typename Problem>
const char* WeightName(const Problem&) {
  return "sample_weight";
}
template <typename Problem>
const char* WeightPattern(const Problem&) {
  return "n";
}

// Reads what the ops of all losses and miners have in common.
template <typename Family>
absl::Status ReadProblem(OpKernelConstruction* construction,
                         typename Family::Problem* problem) {
  tensorflow::DataType type;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(construction->GetAttr("T", &type));
  problem->dtype = ToDType(type);
  return Family::ReadAttributes(construction, problem);
}

template <typename Family>
absl::Status ReadLoss(OpKernelConstruction* construction,
                      typename Family::Problem* problem) {
  TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadProblem<Family>(construction, problem));
  tensorflow::DataType acc;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(construction->GetAttr("Acc", &acc));
  if (acc != ComputeType(problem->dtype)) {
    return absl::InvalidArgumentError(
        "Acc: expected double where T is double, else float");
  }
  return ReadReduction<Family>(construction, problem);
}

// Matches the shapes of a loss's inputs, sample_weight included.
template <typename Family, typename Inputs>
Status MatchLoss(const typename Family::Problem& problem, bool weighted,
                 const Inputs& inputs, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR(Family::MatchShapes(problem, inputs, match));
  if (!weighted) return Ok();
  return (*match)(WeightName(problem), inputs(Family::kWeight),
                  WeightPattern(problem));
}

// A call that is ready but for its outputs.
template <typename Family>
absl::Status BindLoss(OpKernelContext* context, bool weighted,
                      ShapeMatcher* match, typename Family::Problem* problem,
                      typename Family::Arrays* arrays) {
  TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(
      MatchLoss<Family>(*problem, weighted, KernelInputs{context}, match)));
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      Family::Bind(context, *match, problem, arrays));
  if constexpr (kWeighted<Family>) {
    if (weighted) arrays->weights = Data(context->input(Family::kWeight));
  }
  return ToAbsl(Check(*problem));
}

template <typename Family, typename Device>
absl::Status RunLoss(OpKernelContext* context, const Device& device,
                     const typename Family::Problem& problem,
                     const typename Family::Arrays& arrays,
                     bool with_gradient) {
  Tensor holder;
  void* scratch = nullptr;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(AllocateScratch(
      context, Family::ScratchBytes(problem, with_gradient, device.workers()),
      &holder, &scratch));
  return ToAbsl(Family::Run(problem, arrays, scratch, device.launcher()));
}

template <typename Family, typename Device>
class LossOp : public tensorflow::OpKernel {
 public:
  explicit LossOp(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, ReadLoss<Family>(construction, &problem_));
    OP_REQUIRES_OK(construction,
                   ReadWeighted<Family>(construction, &weighted_));
    OP_REQUIRES_OK(construction,
                   construction->GetAttr("with_gradient", &with_gradient_));
    OP_REQUIRES(
        construction, !with_gradient_ || IsReduced<Family>(problem_),
        absl::InvalidArgumentError(
            "with_gradient: got true, expected false where reduction is "
            "none"));
  }

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    typename Family::Problem problem = problem_;
    typename Family::Arrays arrays;
    OP_REQUIRES_OK(context, BindLoss<Family>(context, weighted_, &match,
                                             &problem, &arrays));
    Tensor* loss;
    OP_REQUIRES_OK(context,
                   Allocate(context, 0, match(LossPattern(problem)), &loss));
    arrays.loss = Data(loss);
    for (int i = 0; i < kGradients<Family>; ++i) {
      const bool made = with_gradient_ && Family::HasGradient(problem, i);
      Tensor* gradient;
      OP_REQUIRES_OK(context,
                     context->allocate_output(
                         1 + i,
                         made ? context->input(Family::kPoints[i]).shape()
                              : TensorShape({0}),
                         &gradient));
      if (made) Family::SetGradient(&arrays, i, Data(gradient));
    }
    OP_REQUIRES_OK(context, RunLoss<Family>(context, Device(context), problem,
                                            arrays, with_gradient_));
  }

 private:
  typename Family::Problem problem_;
  bool weighted_ = false;
  bool with_gradient_ = false;
};

template <typename Family, typename Device>
class LossGradOp : public tensorflow::OpKernel {
 public:
  static constexpr int kUpstream = Family::kInputs;
  static constexpr int kCached = Family::kInputs + 1;

  explicit LossGradOp(OpKernelConstruction* construction)
      : OpKernel(construction) {
    OP_REQUIRES_OK(construction, ReadLoss<Family>(construction, &problem_));
    OP_REQUIRES_OK(construction,
                   ReadWeighted<Family>(construction, &weighted_));
    OP_REQUIRES_OK(construction, construction->GetAttr("cached", &cached_));
  }

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    typename Family::Problem problem = problem_;
    typename Family::Arrays arrays;
    OP_REQUIRES_OK(context, BindLoss<Family>(context, weighted_, &match,
                                             &problem, &arrays));
    OP_REQUIRES_OK(
        context,
        ToAbsl(match("upstream", ToShape(context->input(kUpstream).shape()),
                     LossPattern(problem))));
    for (int i = 0; i < kGradients<Family>; ++i) {
      if (Family::HasGradient(problem, i)) continue;
      Tensor* empty;
      OP_REQUIRES_OK(context,
                     context->allocate_output(i, TensorShape({0}), &empty));
    }
    const Device device(context);
    OP_REQUIRES_OK(context, cached_
                                ? ScaleCached(context, device, problem)
                                : Recompute(context, device, problem, arrays));
  }

 private:
  using Problem = typename Family::Problem;
  using Arrays = typename Family::Arrays;

  // Gradients are made in the compute type, and leave in the points' own.
  static DType PointType(OpKernelContext* context, int i) {
    return ToDType(context->input(Family::kPoints[i]).dtype());
  }

  static bool SameType(DType dtype) {
    return SizeOf(dtype) == SizeOfCompute(dtype);
  }

  absl::Status ScaleCached(OpKernelContext* context, const Device& device,
                           const Problem& problem) {
    const double scale = ToDouble(context->input(kUpstream));
    for (int i = 0; i < kGradients<Family>; ++i) {
      if (!Family::HasGradient(problem, i)) continue;
      const Tensor& cached = context->input(kCached + i);
      const TensorShape& shape = context->input(Family::kPoints[i]).shape();
      const DType dtype = PointType(context, i);
      if (cached.shape() != shape) {
        return absl::InvalidArgumentError(
            "cached: got a gradient of another shape than its input, expected "
            "an output of the loss op with with_gradient");
      }
      if (SameType(dtype) && scale == 1.0) {
        context->set_output(i, cached);
        continue;
      }
      Tensor* gradient;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          SameType(dtype) ? context->forward_input_or_allocate_output(
                                {kCached + i}, i, shape, &gradient)
                          : context->allocate_output(i, shape, &gradient));
      ScaleCpu(dtype, shape.num_elements(), Data(cached), scale, Data(gradient),
               device.launcher());
    }
    return absl::OkStatus();
  }

  absl::Status Recompute(OpKernelContext* context, const Device& device,
                         const Problem& problem, Arrays arrays) {
    // Without a reduction, upstream is one more weight.
    const Tensor& upstream = context->input(kUpstream);
    double scale = 1.0;
    Tensor weights;
    if (IsReduced<Family>(problem)) {
      scale = ToDouble(upstream);
    } else if constexpr (kWeighted<Family>) {
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          context->allocate_temp(upstream.dtype(), upstream.shape(), &weights));
      const Tensor* given =
          weighted_ ? &context->input(Family::kWeight) : nullptr;
      if (upstream.dtype() == tensorflow::DT_DOUBLE) {
        MultiplyWeights<double>(given, upstream, &weights);
      } else {
        MultiplyWeights<float>(given, upstream, &weights);
      }
      arrays.weights = Data(weights);
    }

    Tensor* outputs[kGradients<Family>];
    Tensor gradients[kGradients<Family>];
    for (int i = 0; i < kGradients<Family>; ++i) {
      if (!Family::HasGradient(problem, i)) continue;
      const TensorShape& shape = context->input(Family::kPoints[i]).shape();
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          context->allocate_output(i, shape, &outputs[i]));
      if (SameType(PointType(context, i))) {
        gradients[i] = *outputs[i];
      } else {
        TF_PAIRWISE_TF_RETURN_IF_ERROR(
            context->allocate_temp(upstream.dtype(), shape, &gradients[i]));
      }
      Family::SetGradient(&arrays, i, Data(&gradients[i]));
    }
    TF_PAIRWISE_TF_RETURN_IF_ERROR(RunLoss<Family>(
        context, device, problem, arrays, /*with_gradient=*/true));

    for (int i = 0; i < kGradients<Family>; ++i) {
      if (!Family::HasGradient(problem, i)) continue;
      const DType dtype = PointType(context, i);
      if (SameType(dtype) && scale == 1.0) continue;
      ScaleCpu(dtype, gradients[i].NumElements(), Data(gradients[i]), scale,
               Data(outputs[i]), device.launcher());
    }
    return absl::OkStatus();
  }

  typename Family::Problem problem_;
  bool weighted_ = false;
  bool cached_ = false;
};

// ---- shape functions ----

template <typename Family>
absl::Status MatchLossShapes(InferenceContext* context, ShapeMatcher* match,
                             typename Family::Problem* problem) {
  TF_PAIRWISE_TF_RETURN_IF_ERROR(Family::ReadAttributes(context, problem));
  TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadReduction<Family>(context, problem));
  bool weighted;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadWeighted<Family>(context, &weighted));
  return ToAbsl(
      MatchLoss<Family>(*problem, weighted, InferenceInputs{context}, match));
}

// The gradients of the points, in outputs from `first` on.
template <typename Family>
void SetGradientShapes(InferenceContext* context,
                       const typename Family::Problem& problem, bool made,
                       int first) {
  for (int i = 0; i < kGradients<Family>; ++i) {
    context->set_output(first + i,
                        made && Family::HasGradient(problem, i)
                            ? context->input(Family::kPoints[i])
                            : context->MakeShape({context->MakeDim(0)}));
  }
}

template <typename Family>
absl::Status LossShape(InferenceContext* context) {
  ShapeMatcher match;
  typename Family::Problem problem;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      MatchLossShapes<Family>(context, &match, &problem));
  bool with_gradient;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      context->GetAttr("with_gradient", &with_gradient));
  context->set_output(0, ToHandle(context, match(LossPattern(problem))));
  SetGradientShapes<Family>(context, problem, with_gradient, 1);
  return absl::OkStatus();
}

template <typename Family>
absl::Status LossGradShape(InferenceContext* context) {
  ShapeMatcher match;
  typename Family::Problem problem;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      MatchLossShapes<Family>(context, &match, &problem));
  TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(
      match("upstream", ToShape(context, context->input(Family::kInputs)),
            LossPattern(problem))));
  SetGradientShapes<Family>(context, problem, /*made=*/true, 0);
  return absl::OkStatus();
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_LOSS_OP_H_

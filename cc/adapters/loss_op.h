#ifndef TF_PAIRWISE_ADAPTERS_LOSS_OP_H_
#define TF_PAIRWISE_ADAPTERS_LOSS_OP_H_

#include <cstdint>
#include <iterator>
#include <string>
#include <type_traits>
#include <utility>

#include "adapters/call.h"
#include "adapters/options.h"
#include "adapters/tensorflow.h"
#include "core/reduce.h"
#include "core/scale.h"

// What every loss op does around its kernel. A family says what is its own in
// a struct of static functions:
//
//   struct Family {
//     using Problem = ...;  // sizes and options: dtype, metric, reduction ...
//     using Arrays = ...;   // pointers: weights, loss, gradients ...
//     // Which inputs have gradients, how many the loss op has, and which is
//     // sample_weight.
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
//     template <typename Call>
//     static void Bind(const Call&, const ShapeMatcher&, Problem*, Arrays*);
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
//   LossOp      inputs -> loss, a gradient per point, and, where the arrays
//   have
//               `counted`, that
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

template <typename Family>
constexpr int kGradients = std::size(Family::kPoints);

// Whether the loss op says what it counted.
template <typename Arrays, typename = void>
constexpr bool kHasCounted = false;
template <typename Arrays>
constexpr bool
    kHasCounted<Arrays, std::void_t<decltype(std::declval<Arrays>().counted)>> =
        true;
template <typename Family>
constexpr bool kCounts = kHasCounted<typename Family::Arrays>;

template <typename Problem>
bool IsReduced(const Problem& problem) {
  return problem.reduction != Reduction::kNone;
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

// The reduction, and whether there are weights.
template <typename Context, typename Problem>
absl::Status ReadReduction(Context* context, Problem* problem, bool* weighted) {
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      ReadName(context, "reduction", ParseReduction, &problem->reduction));
  return context->GetAttr("weighted", weighted);
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
template <typename Family, typename Context>
absl::Status ReadProblem(Context* context, typename Family::Problem* problem) {
  tensorflow::DataType type;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(context->GetAttr("T", &type));
  problem->dtype = ToDType(type);
  return Family::ReadAttributes(context, problem);
}

template <typename Family, typename Context>
absl::Status ReadLoss(Context* context, typename Family::Problem* problem,
                      bool* weighted) {
  TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadProblem<Family>(context, problem));
  tensorflow::DataType acc;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(context->GetAttr("Acc", &acc));
  if (acc != ComputeType(problem->dtype)) {
    return absl::InvalidArgumentError(
        "Acc: expected double where T is double, else float");
  }
  return ReadReduction(context, problem, weighted);
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
template <typename Family, typename Call>
absl::Status BindLoss(const Call& call, bool weighted, ShapeMatcher* match,
                      typename Family::Problem* problem,
                      typename Family::Arrays* arrays) {
  TF_PAIRWISE_TF_RETURN_IF_ERROR(
      ToAbsl(MatchLoss<Family>(*problem, weighted, InputsOf(call), match)));
  Family::Bind(call, *match, problem, arrays);
  if (weighted) arrays->weights = call.input(Family::kWeight);
  return ToAbsl(Check(*problem));
}

template <typename Family, typename Call>
absl::Status RunLoss(Call& call, const typename Family::Problem& problem,
                     const typename Family::Arrays& arrays,
                     bool with_gradient) {
  void* scratch = nullptr;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(call.Scratch(
      Family::ScratchBytes(problem, with_gradient, call.workers()), &scratch));
  return ToAbsl(Family::Run(problem, arrays, scratch, call.launcher()));
}

template <typename Family>
class LossOp {
 public:
  template <typename Context>
  absl::Status Read(Context* context) {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadLoss<Family>(context, &problem_, &weighted_));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        context->GetAttr("with_gradient", &with_gradient_));
    if (with_gradient_ && !IsReduced(problem_)) {
      return absl::InvalidArgumentError(
          "with_gradient: got true, expected false where reduction is none");
    }
    return absl::OkStatus();
  }

  template <typename Call>
  absl::Status Run(Call& call) const {
    ShapeMatcher match;
    typename Family::Problem problem = problem_;
    typename Family::Arrays arrays;
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        BindLoss<Family>(call, weighted_, &match, &problem, &arrays));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        call.Output(0, match(LossPattern(problem)), &arrays.loss));
    for (int i = 0; i < kGradients<Family>; ++i) {
      const bool made = with_gradient_ && Family::HasGradient(problem, i);
      void* gradient = nullptr;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(call.Output(
          1 + i, made ? call.shape(Family::kPoints[i]) : Shape{true, {0}},
          &gradient));
      if (made) Family::SetGradient(&arrays, i, gradient);
    }
    if constexpr (kCounts<Family>) {
      void* counted = nullptr;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          call.Output(1 + kGradients<Family>, Shape(), &counted));
      arrays.counted = static_cast<double*>(counted);
    }
    return RunLoss<Family>(call, problem, arrays, with_gradient_);
  }

 private:
  typename Family::Problem problem_;
  bool weighted_ = false;
  bool with_gradient_ = false;
};

template <typename Family>
class LossGradOp {
 public:
  static constexpr int kUpstream = Family::kInputs;
  static constexpr int kCached = Family::kInputs + 1;

  template <typename Context>
  absl::Status Read(Context* context) {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ReadLoss<Family>(context, &problem_, &weighted_));
    return context->GetAttr("cached", &cached_);
  }

  template <typename Call>
  absl::Status Run(Call& call) const {
    ShapeMatcher match;
    Problem problem = problem_;
    Arrays arrays;
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        BindLoss<Family>(call, weighted_, &match, &problem, &arrays));
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        ToAbsl(match("upstream", call.shape(kUpstream), LossPattern(problem))));
    for (int i = 0; i < kGradients<Family>; ++i) {
      if (Family::HasGradient(problem, i)) continue;
      void* empty = nullptr;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(call.Output(i, Shape{true, {0}}, &empty));
    }
    return cached_ ? ScaleCached(call, problem)
                   : Recompute(call, problem, arrays);
  }

 private:
  using Problem = typename Family::Problem;
  using Arrays = typename Family::Arrays;

  // Gradients are made in the compute type, and leave in the points' own.
  static bool SameType(DType dtype) {
    return SizeOf(dtype) == SizeOfCompute(dtype);
  }

  template <typename Call>
  static double Upstream(const Call& call) {
    return LoadCompute(call.dtype(kUpstream), call.input(kUpstream), 0);
  }

  template <typename Call>
  absl::Status ScaleCached(Call& call, const Problem& problem) const {
    const double scale = Upstream(call);
    for (int i = 0; i < kGradients<Family>; ++i) {
      if (!Family::HasGradient(problem, i)) continue;
      const Shape shape = call.shape(Family::kPoints[i]);
      const DType dtype = call.dtype(Family::kPoints[i]);
      if (call.shape(kCached + i).sizes != shape.sizes) {
        return absl::InvalidArgumentError(
            "cached: got a gradient of another shape than its input, expected "
            "an output of the loss op with with_gradient");
      }
      if (SameType(dtype) && scale == 1.0 && call.Pass(kCached + i, i)) {
        continue;
      }
      void* gradient = nullptr;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          SameType(dtype) ? call.OutputOver(kCached + i, i, &gradient)
                          : call.Output(i, shape, &gradient));
      ScaleCpu(dtype, shape.elements(), call.input(kCached + i), scale,
               gradient, call.launcher());
    }
    return absl::OkStatus();
  }

  template <typename Call>
  absl::Status Recompute(Call& call, const Problem& problem,
                         Arrays arrays) const {
    // Without a reduction, upstream is one more weight.
    double scale = 1.0;
    if (IsReduced(problem)) {
      scale = Upstream(call);
    } else {
      const int64_t n = call.shape(kUpstream).elements();
      void* weights = nullptr;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          call.Scratch(n * SizeOfCompute(problem.dtype), &weights));
      for (int64_t i = 0; i < n; ++i) {
        StoreCompute(problem.dtype,
                     LoadCompute(problem.dtype, arrays.weights, i) *
                         LoadCompute(problem.dtype, call.input(kUpstream), i),
                     weights, i);
      }
      arrays.weights = weights;
    }

    void* outputs[kGradients<Family>];
    void* gradients[kGradients<Family>];
    for (int i = 0; i < kGradients<Family>; ++i) {
      if (!Family::HasGradient(problem, i)) continue;
      const Shape shape = call.shape(Family::kPoints[i]);
      const DType dtype = call.dtype(Family::kPoints[i]);
      TF_PAIRWISE_TF_RETURN_IF_ERROR(call.Output(i, shape, &outputs[i]));
      gradients[i] = outputs[i];
      if (!SameType(dtype)) {
        TF_PAIRWISE_TF_RETURN_IF_ERROR(call.Scratch(
            shape.elements() * SizeOfCompute(dtype), &gradients[i]));
      }
      Family::SetGradient(&arrays, i, gradients[i]);
    }
    TF_PAIRWISE_TF_RETURN_IF_ERROR(
        RunLoss<Family>(call, problem, arrays, /*with_gradient=*/true));

    for (int i = 0; i < kGradients<Family>; ++i) {
      if (!Family::HasGradient(problem, i)) continue;
      const DType dtype = call.dtype(Family::kPoints[i]);
      if (SameType(dtype) && scale == 1.0) continue;
      ScaleCpu(dtype, call.shape(Family::kPoints[i]).elements(), gradients[i],
               scale, outputs[i], call.launcher());
    }
    return absl::OkStatus();
  }

  Problem problem_;
  bool weighted_ = false;
  bool cached_ = false;
};

// ---- shape functions ----

template <typename Family>
absl::Status MatchLossShapes(InferenceContext* context, ShapeMatcher* match,
                             typename Family::Problem* problem) {
  TF_PAIRWISE_TF_RETURN_IF_ERROR(Family::ReadAttributes(context, problem));
  bool weighted = false;
  TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadReduction(context, problem, &weighted));
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
  if constexpr (kCounts<Family>) {
    context->set_output(1 + kGradients<Family>, context->Scalar());
  }
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

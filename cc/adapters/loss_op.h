#ifndef TF_PAIRWISE_ADAPTERS_LOSS_OP_H_
#define TF_PAIRWISE_ADAPTERS_LOSS_OP_H_

#include <cstdint>
#include <iterator>
#include <type_traits>
#include <utility>

#include "adapters/call.h"
#include "adapters/options.h"
#include "adapters/shape_matcher.h"
#include "core/scale.h"
#include "core/status.h"
#include "core/types.h"

// What every loss op does around its kernel. What is one loss's own is a struct
// of static functions:
//
// clang-format off
//   struct Spec {
//     using Problem = ...;  // sizes and options: dtype, reduction ...
//     using Arrays = ...;   // pointers: weights, loss, gradients ...
//     // Which inputs have gradients, how many inputs the loss op has, and which
//     // of them is sample_weight.
//     static constexpr int kPoints[] = ...;
//     static constexpr int kInputs = ...;
//     static constexpr int kWeight = ...;
//     // The loss's attributes: all but T, Acc, reduction and weighted.
//     template <typename Attributes>
//     static Status ReadAttributes(Attributes*, Problem*);
//     // What shapes the inputs have to have; see ShapeMatcher.
//     template <typename Inputs>
//     static Status MatchShapes(const Problem&, const Inputs&, ShapeMatcher*);
//     // Fills sizes and input pointers of a call whose shapes matched.
//     template <typename Call>
//     static void Bind(const Call&, const ShapeMatcher&, Problem*, Arrays*);
//     // False where the gradient of kPoints[i] is part of another's.
//     static bool HasGradient(const Problem&, int i);
//     static void SetGradient(Arrays*, int i, void* gradient);
//     // Overloaded on the launcher: one pair of these for each kind of device.
//     static int64_t ScratchBytes(const Problem&, bool with_gradient,
//                                 const ParallelFor& launcher);
//     static Status Run(const Problem&, const Arrays&, void* scratch,
//                       const ParallelFor& launcher);
//   };
// clang-format on
//
// and `Check(Problem)`, from the contract. The letter n stands for the number
// of weights, and of losses that are not reduced. The ops are
//
// clang-format off
//   LossOp             inputs -> loss, a gradient per point, and `counted` where
//                      the arrays have it
//   LossGradOp         inputs, upstream, a cached gradient per point
//                      -> a gradient per point
//   LossAndGradientOp  inputs -> loss, a gradient per point
// clang-format on
//
// With the attribute `with_gradient`, LossOp makes the gradient in the same
// pass, in the compute type and not scaled yet. LossGradOp has `cached` then,
// and only scales it; otherwise it makes the gradient itself. It leaves in its
// point's own type. LossAndGradientOp is for callers that have nothing to scale
// it by: both at once, for every reduction; without `with_gradient` the loss
// alone.
//
// Nothing here reads an element of an array: a device may have it.

namespace tf_pairwise {

template <typename Spec>
constexpr int kGradients = std::size(Spec::kPoints);

// Whether the loss op says what it counted.
template <typename Arrays, typename = void>
constexpr bool kHasCounted = false;
template <typename Arrays>
constexpr bool
    kHasCounted<Arrays, std::void_t<decltype(std::declval<Arrays>().counted)>> =
        true;
template <typename Spec>
constexpr bool kCounts = kHasCounted<typename Spec::Arrays>;

template <typename Problem>
bool IsReduced(const Problem& problem) {
  return problem.reduction != Reduction::kNone;
}

// The shape of the loss, and of the gradient that comes in for it.
template <typename Problem>
const char* LossPattern(const Problem& problem) {
  return IsReduced(problem) ? "" : "n";
}

// The name of the weights and their shape. A spec whose weights are others has
// overloads for its problem, as it may have of LossPattern.
template <typename Problem>
const char* WeightName(const Problem&) {
  return "sample_weight";
}
template <typename Problem>
const char* WeightPattern(const Problem&) {
  return "n";
}

// The shape of a gradient that is not made.
inline Shape NoGradient() { return Shape{true, {0}}; }

// ---- attributes ----

// The reduction, and whether there are weights.
template <typename Attributes, typename Problem>
Status ReadReduction(Attributes* attributes, Problem* problem, bool* weighted) {
  TF_PAIRWISE_RETURN_IF_ERROR(
      ReadName(attributes, "reduction", ParseReduction, &problem->reduction));
  return attributes->GetAttr("weighted", weighted);
}

// What the ops of all losses and miners have in common.
template <typename Spec, typename Attributes>
Status ReadProblem(Attributes* attributes, typename Spec::Problem* problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr("T", &problem->dtype));
  return Spec::ReadAttributes(attributes, problem);
}

template <typename Spec, typename Attributes>
Status ReadLoss(Attributes* attributes, typename Spec::Problem* problem,
                bool* weighted) {
  TF_PAIRWISE_RETURN_IF_ERROR(ReadProblem<Spec>(attributes, problem));
  DType acc;
  TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr("Acc", &acc));
  if (acc != ComputeType(problem->dtype)) {
    return InvalidArgument(
        "Acc: expected double where T is double, else float");
  }
  return ReadReduction(attributes, problem, weighted);
}

// ---- inputs ----

// Matches the shapes of a loss's inputs, sample_weight included.
template <typename Spec, typename Inputs>
Status MatchLoss(const typename Spec::Problem& problem, bool weighted,
                 const Inputs& inputs, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR(Spec::MatchShapes(problem, inputs, match));
  if (!weighted) return Ok();
  return (*match)(WeightName(problem), inputs(Spec::kWeight),
                  WeightPattern(problem));
}

// A call that is ready but for its outputs.
template <typename Spec, typename Call>
Status BindLoss(const Call& call, bool weighted, ShapeMatcher* match,
                typename Spec::Problem* problem,
                typename Spec::Arrays* arrays) {
  TF_PAIRWISE_RETURN_IF_ERROR(
      MatchLoss<Spec>(*problem, weighted, InputsOf(call), match));
  Spec::Bind(call, *match, problem, arrays);
  if (weighted) arrays->weights = call.input(Spec::kWeight);
  return Check(*problem);
}

template <typename Spec, typename Call>
Status RunLoss(Call& call, const typename Spec::Problem& problem,
               const typename Spec::Arrays& arrays, bool with_gradient) {
  const auto& launcher = call.launcher();
  void* scratch = nullptr;
  TF_PAIRWISE_RETURN_IF_ERROR(call.Scratch(
      Spec::ScratchBytes(problem, with_gradient, launcher), &scratch));
  return Spec::Run(problem, arrays, scratch, launcher);
}

// ---- gradients ----

// Gradients are made in the compute type, and leave in the points' own.
inline bool IsComputeType(DType dtype) { return dtype == ComputeType(dtype); }

// The gradients that an op makes and puts out from its output `first` on.
template <typename Spec>
class PointGradients {
 public:
  using Problem = typename Spec::Problem;

  template <typename Call>
  Status Allocate(Call& call, const Problem& problem, int first,
                  typename Spec::Arrays* arrays) {
    for (int i = 0; i < kGradients<Spec>; ++i) {
      if (!Spec::HasGradient(problem, i)) {
        TF_PAIRWISE_RETURN_IF_ERROR(call.NoOutput(first + i));
        continue;
      }
      const Shape shape = call.shape(Spec::kPoints[i]);
      const DType dtype = call.dtype(Spec::kPoints[i]);
      TF_PAIRWISE_RETURN_IF_ERROR(call.Output(first + i, shape, &outputs_[i]));
      made_[i] = outputs_[i];
      if (!IsComputeType(dtype)) {
        TF_PAIRWISE_RETURN_IF_ERROR(
            call.Scratch(shape.elements() * SizeOfCompute(dtype), &made_[i]));
      }
      Spec::SetGradient(arrays, i, made_[i]);
    }
    return Ok();
  }

  // What the kernel made, times *scale; a null scale is 1.
  template <typename Call>
  Status Finish(Call& call, const Problem& problem, const void* scale) const {
    for (int i = 0; i < kGradients<Spec>; ++i) {
      if (!Spec::HasGradient(problem, i)) continue;
      if (scale == nullptr && made_[i] == outputs_[i]) continue;
      TF_PAIRWISE_RETURN_IF_ERROR(Scale(
          call.dtype(Spec::kPoints[i]), call.shape(Spec::kPoints[i]).elements(),
          made_[i], scale, outputs_[i], call.launcher()));
    }
    return Ok();
  }

 private:
  void* outputs_[kGradients<Spec>] = {};
  void* made_[kGradients<Spec>] = {};
};

// ---- the ops ----

template <typename Spec>
class LossOp {
 public:
  static constexpr HostInput kHostInput = kHostInputOf<Spec>;

  template <typename Attributes>
  Status Read(Attributes* attributes) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadLoss<Spec>(attributes, &problem_, &weighted_));
    TF_PAIRWISE_RETURN_IF_ERROR(
        attributes->GetAttr("with_gradient", &with_gradient_));
    if (with_gradient_ && !IsReduced(problem_)) {
      return InvalidArgument(
          "with_gradient: got true, expected false where reduction is none");
    }
    return Ok();
  }

  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    typename Spec::Problem problem = problem_;
    typename Spec::Arrays arrays;
    TF_PAIRWISE_RETURN_IF_ERROR(
        BindLoss<Spec>(call, weighted_, &match, &problem, &arrays));
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Output(0, match(LossPattern(problem)), &arrays.loss));
    for (int i = 0; i < kGradients<Spec>; ++i) {
      const bool made = with_gradient_ && Spec::HasGradient(problem, i);
      void* gradient = nullptr;
      TF_PAIRWISE_RETURN_IF_ERROR(
          call.Output(1 + i, made ? call.shape(Spec::kPoints[i]) : NoGradient(),
                      &gradient));
      if (made) Spec::SetGradient(&arrays, i, gradient);
    }
    if constexpr (kCounts<Spec>) {
      void* counted = nullptr;
      TF_PAIRWISE_RETURN_IF_ERROR(
          call.Output(1 + kGradients<Spec>, Shape(), &counted));
      arrays.counted = static_cast<double*>(counted);
    }
    return RunLoss<Spec>(call, problem, arrays, with_gradient_);
  }

 private:
  typename Spec::Problem problem_;
  bool weighted_ = false;
  bool with_gradient_ = false;
};

template <typename Spec>
class LossGradOp {
 public:
  static constexpr HostInput kHostInput = kHostInputOf<Spec>;
  static constexpr int kUpstream = Spec::kInputs;
  static constexpr int kCached = Spec::kInputs + 1;

  template <typename Attributes>
  Status Read(Attributes* attributes) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadLoss<Spec>(attributes, &problem_, &weighted_));
    return attributes->GetAttr("cached", &cached_);
  }

  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    Problem problem = problem_;
    Arrays arrays;
    TF_PAIRWISE_RETURN_IF_ERROR(
        BindLoss<Spec>(call, weighted_, &match, &problem, &arrays));
    TF_PAIRWISE_RETURN_IF_ERROR(
        match("upstream", call.shape(kUpstream), LossPattern(problem)));
    return cached_ ? ScaleCached(call, problem)
                   : Recompute(call, problem, arrays);
  }

 private:
  using Problem = typename Spec::Problem;
  using Arrays = typename Spec::Arrays;

  template <typename Call>
  Status ScaleCached(Call& call, const Problem& problem) const {
    const bool one = call.IsOne(kUpstream);
    for (int i = 0; i < kGradients<Spec>; ++i) {
      void* gradient = nullptr;
      if (!Spec::HasGradient(problem, i)) {
        TF_PAIRWISE_RETURN_IF_ERROR(call.Output(i, NoGradient(), &gradient));
        continue;
      }
      const Shape shape = call.shape(Spec::kPoints[i]);
      const DType dtype = call.dtype(Spec::kPoints[i]);
      if (call.shape(kCached + i).sizes != shape.sizes) {
        return InvalidArgument(
            "cached: got a gradient of another shape than its input, expected "
            "an output of the loss op with with_gradient");
      }
      if (IsComputeType(dtype)) {
        if (one && call.Pass(kCached + i, i)) continue;
        TF_PAIRWISE_RETURN_IF_ERROR(call.OutputOver(kCached + i, i, &gradient));
      } else {
        TF_PAIRWISE_RETURN_IF_ERROR(call.Output(i, shape, &gradient));
      }
      TF_PAIRWISE_RETURN_IF_ERROR(
          Scale(dtype, shape.elements(), call.input(kCached + i),
                call.input(kUpstream), gradient, call.launcher()));
    }
    return Ok();
  }

  template <typename Call>
  Status Recompute(Call& call, const Problem& problem, Arrays arrays) const {
    const void* scale = nullptr;
    if (IsReduced(problem)) {
      if (!call.IsOne(kUpstream)) scale = call.input(kUpstream);
    } else {
      // Without a reduction, upstream is one more weight.
      const int64_t n = call.shape(kUpstream).elements();
      void* weights = nullptr;
      TF_PAIRWISE_RETURN_IF_ERROR(
          call.Scratch(n * SizeOfCompute(problem.dtype), &weights));
      TF_PAIRWISE_RETURN_IF_ERROR(Multiply(problem.dtype, n, arrays.weights,
                                           call.input(kUpstream), weights,
                                           call.launcher()));
      arrays.weights = weights;
    }
    PointGradients<Spec> gradients;
    TF_PAIRWISE_RETURN_IF_ERROR(
        gradients.Allocate(call, problem, /*first=*/0, &arrays));
    TF_PAIRWISE_RETURN_IF_ERROR(
        RunLoss<Spec>(call, problem, arrays, /*with_gradient=*/true));
    return gradients.Finish(call, problem, scale);
  }

  Problem problem_;
  bool weighted_ = false;
  bool cached_ = false;
};

template <typename Spec>
class LossAndGradientOp {
 public:
  static constexpr HostInput kHostInput = kHostInputOf<Spec>;

  template <typename Attributes>
  Status Read(Attributes* attributes) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadLoss<Spec>(attributes, &problem_, &weighted_));
    return attributes->GetAttr("with_gradient", &with_gradient_);
  }

  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    typename Spec::Problem problem = problem_;
    typename Spec::Arrays arrays;
    TF_PAIRWISE_RETURN_IF_ERROR(
        BindLoss<Spec>(call, weighted_, &match, &problem, &arrays));
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Output(0, match(LossPattern(problem)), &arrays.loss));
    PointGradients<Spec> gradients;
    if (with_gradient_) {
      TF_PAIRWISE_RETURN_IF_ERROR(
          gradients.Allocate(call, problem, /*first=*/1, &arrays));
    }
    TF_PAIRWISE_RETURN_IF_ERROR(
        RunLoss<Spec>(call, problem, arrays, with_gradient_));
    if (!with_gradient_) return Ok();
    return gradients.Finish(call, problem, /*scale=*/nullptr);
  }

 private:
  typename Spec::Problem problem_;
  bool weighted_ = false;
  bool with_gradient_ = false;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_LOSS_OP_H_

#ifndef TF_PAIRWISE_SOFTMAX_SOFTMAX_OP_H_
#define TF_PAIRWISE_SOFTMAX_SOFTMAX_OP_H_

#include <cstdint>

#include "adapters/batch_op.h"
#include "adapters/call.h"
#include "adapters/loss_op.h"
#include "softmax/softmax.h"

// What the ops of the soft-max family do in every binding. What a loss op does
// around its kernel is in adapters/loss_op.h; here is what is the family's own.

namespace tf_pairwise {

// One op for all of them, with the inputs of a labelled batch's: keys are its
// references. Inputs that a kind does not read are passed all the same, and
// have no gradient.
struct SoftmaxLossSpec : BatchLossSpec<SoftmaxLoss, SoftmaxArrays> {
  enum {
    kQueries = kEmbeddings,
    kKeys = kRefs,
    kKeyLabels = kRefLabels,
    kOffset = kSelfOffset,
    kTemperature = BatchLossSpec::kInputs,
    kScale,
    kBias,
    kInputs
  };
  static constexpr int kPoints[] = {kQueries, kKeys, kTemperature, kScale,
                                    kBias};
  static constexpr HostInput kHostInput = {kOffset, "offset"};

  static bool IsSigmoid(const Problem& problem) {
    return problem.kind == SoftmaxKind::kSigmoid;
  }

  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes, Problem* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "kind", ParseSoftmaxKind, &problem->kind));
    TF_PAIRWISE_RETURN_IF_ERROR(
        attributes->GetAttr("normalize", &problem->normalize));
    TF_PAIRWISE_RETURN_IF_ERROR(
        attributes->GetAttr("symmetric", &problem->symmetric));
    return attributes->GetAttr("self", &problem->self);
  }

  template <typename Inputs>
  static Status MatchShapes(const Problem& problem, const Inputs& inputs,
                            ShapeMatcher* match) {
    if (IsLabelled(problem)) {
      TF_PAIRWISE_RETURN_IF_ERROR(
          BatchLossSpec::MatchShapes(problem, inputs, match));
    } else {
      TF_PAIRWISE_RETURN_IF_ERROR((*match)("queries", inputs(kQueries), "nd"));
      TF_PAIRWISE_RETURN_IF_ERROR(
          problem.symmetric ? (*match)("keys", inputs(kKeys), "nd")
                            : match->AtLeast("keys", inputs(kKeys), "nd", 'm'));
      TF_PAIRWISE_RETURN_IF_ERROR(
          (*match)("positive_offset", inputs(kOffset), ""));
    }
    if (IsSigmoid(problem)) {
      TF_PAIRWISE_RETURN_IF_ERROR((*match)("scale", inputs(kScale), ""));
      return (*match)("bias", inputs(kBias), "");
    }
    return (*match)("temperature", inputs(kTemperature), "");
  }

  template <typename Call>
  static void Bind(const Call& call, const ShapeMatcher& match,
                   Problem* problem, Arrays* arrays) {
    problem->n = match['n'];
    problem->d = match['d'];
    arrays->queries = call.input(kQueries);
    if (IsLabelled(*problem)) arrays->labels = In<int64_t>(call, kLabels);
    const bool keys = ReadsKeys(*problem);
    problem->m = keys && !problem->symmetric ? match['m'] : match['n'];
    if (keys) {
      arrays->keys = call.input(kKeys);
      (IsLabelled(*problem) ? problem->self_offset : problem->positive_offset) =
          HostInteger(call, kOffset);
      if (IsLabelled(*problem)) {
        arrays->key_labels = In<int64_t>(call, kKeyLabels);
      }
    }
    if (IsSigmoid(*problem)) {
      arrays->scale = call.input(kScale);
      arrays->bias = call.input(kBias);
    } else {
      arrays->temperature = call.input(kTemperature);
    }
  }

  static bool HasGradient(const Problem& problem, int i) {
    switch (kPoints[i]) {
      case kQueries:
        return true;
      case kKeys:
        return ReadsKeys(problem);
      case kTemperature:
        return !IsSigmoid(problem);
      default:
        return IsSigmoid(problem);
    }
  }

  static void SetGradient(Arrays* arrays, int i, void* gradient) {
    switch (kPoints[i]) {
      case kQueries:
        arrays->queries_grad = gradient;
        break;
      case kKeys:
        arrays->keys_grad = gradient;
        break;
      case kTemperature:
        arrays->temperature_grad = gradient;
        break;
      case kScale:
        arrays->scale_grad = gradient;
        break;
      default:
        arrays->bias_grad = gradient;
    }
  }

  static int64_t ScratchBytes(const Problem& problem, bool with_gradient,
                              const ParallelFor& launcher) {
    return SoftmaxLossScratchBytes(problem, with_gradient, launcher.workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& launcher) {
    return SoftmaxLossCpu(problem, arrays, scratch, launcher);
  }

  static int64_t ScratchBytes(const Problem& problem, bool with_gradient,
                              const Stream&) {
    return SoftmaxLossGpuScratchBytes(problem, with_gradient);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const Stream& stream) {
    return SoftmaxLossGpu(problem, arrays, scratch, stream);
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SOFTMAX_SOFTMAX_OP_H_

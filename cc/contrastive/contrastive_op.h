#ifndef TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_OP_H_
#define TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_OP_H_

#include <cstdint>

#include "adapters/batch_op.h"
#include "adapters/call.h"
#include "adapters/loss_op.h"
#include "contrastive/contrastive.h"
#include "core/names.h"

// What the ops of the contrastive family do in every binding. What a loss op
// does around its kernel is in adapters/loss_op.h; here is what is the family's
// own.

namespace tf_pairwise {

// ---- explicit pairs ----

struct ContrastiveLossSpec {
  using Problem = ContrastiveLoss;
  using Arrays = ContrastiveArrays;
  enum { kX1, kX2, kLabels, kWeight, kInputs };
  static constexpr int kPoints[] = {kX1, kX2};

  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes, Problem* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "metric", ParseMetric, &problem->metric));
    return ReadMargin(attributes, "margin", &problem->margin);
  }

  template <typename Inputs>
  static Status MatchShapes(const Problem&, const Inputs& inputs,
                            ShapeMatcher* match) {
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("x1", inputs(kX1), "nd"));
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("x2", inputs(kX2), "nd"));
    return (*match)("labels", inputs(kLabels), "n|n1");
  }

  template <typename Call>
  static void Bind(const Call& call, const ShapeMatcher& match,
                   Problem* problem, Arrays* arrays) {
    problem->n = match['n'];
    problem->d = match['d'];
    arrays->x1 = call.input(kX1);
    arrays->x2 = call.input(kX2);
    arrays->dissimilarity = call.input(kLabels);
  }

  static bool HasGradient(const Problem&, int) { return true; }

  static void SetGradient(Arrays* arrays, int i, void* gradient) {
    (i == 0 ? arrays->x1_grad : arrays->x2_grad) = gradient;
  }

  static int64_t ScratchBytes(const Problem& problem, bool,
                              const ParallelFor& launcher) {
    return ContrastiveLossScratchBytes(problem, launcher.workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& launcher) {
    return ContrastiveLossCpu(problem, arrays, scratch, launcher);
  }

  static int64_t ScratchBytes(const Problem& problem, bool, const Stream&) {
    return ContrastiveLossGpuScratchBytes(problem);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const Stream& launcher) {
    return ContrastiveLossGpu(problem, arrays, scratch, launcher);
  }
};

// ---- all pairs of a labelled batch ----

struct BatchContrastiveLossSpec
    : BatchLossSpec<BatchContrastiveLoss, BatchContrastiveArrays> {
  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes, Problem* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "metric", ParseMetric, &problem->metric));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadMargin(attributes, "margin", &problem->margin));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadMargin(attributes, "positive_margin", &problem->positive_margin));
    TF_PAIRWISE_RETURN_IF_ERROR(
        attributes->GetAttr("squared", &problem->squared));
    return attributes->GetAttr("self", &problem->self);
  }

  static int64_t ScratchBytes(const Problem& problem, bool with_gradient,
                              const ParallelFor& launcher) {
    return BatchContrastiveLossScratchBytes(problem, with_gradient,
                                            launcher.workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& launcher) {
    return BatchContrastiveLossCpu(problem, arrays, scratch, launcher);
  }

  static int64_t ScratchBytes(const Problem& problem, bool with_gradient,
                              const Stream&) {
    return BatchContrastiveLossGpuScratchBytes(problem, with_gradient);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const Stream& launcher) {
    return BatchContrastiveLossGpu(problem, arrays, scratch, launcher);
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_OP_H_

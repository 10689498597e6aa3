#ifndef TF_PAIRWISE_ADAPTERS_BATCH_OP_H_
#define TF_PAIRWISE_ADAPTERS_BATCH_OP_H_

#include <cstdint>

#include "adapters/call.h"
#include "adapters/shape_matcher.h"

// The inputs of the losses over a labelled batch, which are the anchors and
// their references in all of them: the base of a spec for loss_op.h.

namespace tf_pairwise {

template <typename ProblemType, typename ArraysType>
struct BatchLossSpec {
  using Problem = ProblemType;
  using Arrays = ArraysType;
  enum {
    kEmbeddings,
    kLabels,
    kRefs,
    kRefLabels,
    kSelfOffset,
    kWeight,
    kInputs
  };
  static constexpr int kPoints[] = {kEmbeddings, kRefs};
  static constexpr HostInput kHostInput = {kSelfOffset, "self_offset"};

  // With `self`, refs are the embeddings again: m is n.
  template <typename Inputs>
  static Status MatchShapes(const Problem& problem, const Inputs& inputs,
                            ShapeMatcher* match) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        (*match)("embeddings", inputs(kEmbeddings), "nd"));
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("labels", inputs(kLabels), "n|n1"));
    TF_PAIRWISE_RETURN_IF_ERROR(
        (*match)("ref_embeddings", inputs(kRefs), problem.self ? "nd" : "md"));
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("ref_labels", inputs(kRefLabels),
                                         problem.self ? "n|n1" : "m|m1"));
    return (*match)("self_offset", inputs(kSelfOffset), "");
  }

  template <typename Call>
  static void Bind(const Call& call, const ShapeMatcher& match,
                   Problem* problem, Arrays* arrays) {
    problem->n = match['n'];
    problem->m = problem->self ? match['n'] : match['m'];
    problem->d = match['d'];
    if (!problem->self) problem->self_offset = HostInteger(call, kSelfOffset);
    arrays->anchors = call.input(kEmbeddings);
    arrays->labels = In<int64_t>(call, kLabels);
    arrays->refs = call.input(kRefs);
    arrays->ref_labels = In<int64_t>(call, kRefLabels);
  }

  static bool HasGradient(const Problem& problem, int i) {
    return i == 0 || !problem.self;
  }

  static void SetGradient(Arrays* arrays, int i, void* gradient) {
    (i == 0 ? arrays->anchors_grad : arrays->refs_grad) = gradient;
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_BATCH_OP_H_

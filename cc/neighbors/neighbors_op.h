#ifndef TF_PAIRWISE_NEIGHBORS_NEIGHBORS_OP_H_
#define TF_PAIRWISE_NEIGHBORS_NEIGHBORS_OP_H_

#include "adapters/call.h"
#include "adapters/options.h"
#include "adapters/shape_matcher.h"
#include "core/names.h"
#include "neighbors/neighbors.h"

// What the op of the neighbors family does in every binding.

namespace tf_pairwise {

class NearestNeighborsOp {
 public:
  enum { kQueries, kKeys, kQueryLabels, kKeyLabels };

  template <typename Attributes>
  Status Read(Attributes* attributes) {
    return ReadAttributes(attributes, &problem_);
  }

  // Of a graph that is traced as well: the shape function reads them, too.
  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes,
                               NearestNeighbors* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr("T", &problem->dtype));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "metric", ParseMetric, &problem->metric));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "only", ParseOnly, &problem->only));
    TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr("self", &problem->self));
    return attributes->GetAttr("k", &problem->k);
  }

  // With `self`, keys are the queries again: m is n.
  template <typename Inputs>
  static Status MatchShapes(const NearestNeighbors& problem,
                            const Inputs& inputs, ShapeMatcher* match) {
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("queries", inputs(kQueries), "nd"));
    TF_PAIRWISE_RETURN_IF_ERROR(
        (*match)("keys", inputs(kKeys), problem.self ? "nd" : "md"));
    if (problem.only == Only::kAny) return Ok();
    TF_PAIRWISE_RETURN_IF_ERROR(
        (*match)("query_labels", inputs(kQueryLabels), "n|n1"));
    return (*match)("key_labels", inputs(kKeyLabels),
                    problem.self ? "n|n1" : "m|m1");
  }

  static Shape Neighbors(const ShapeMatcher& match, int64_t k) {
    return Shape{true, {match['n'], k}};
  }

  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    NearestNeighbors problem = problem_;
    TF_PAIRWISE_RETURN_IF_ERROR(MatchShapes(problem, InputsOf(call), &match));
    problem.n = match['n'];
    problem.m = problem.self ? problem.n : match['m'];
    problem.d = match['d'];
    TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));

    NearestNeighborsArrays arrays;
    arrays.queries = call.input(kQueries);
    arrays.keys = call.input(kKeys);
    arrays.query_labels = In<int64_t>(call, kQueryLabels);
    arrays.key_labels = In<int64_t>(call, kKeyLabels);
    const Shape shape = Neighbors(match, problem.k);
    void *indices = nullptr, *scratch = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(0, shape, &arrays.distances));
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(1, shape, &indices));
    arrays.indices = static_cast<int64_t*>(indices);
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Scratch(ScratchBytes(problem, call.launcher()), &scratch));
    return Find(problem, arrays, scratch, call.launcher());
  }

 private:
  // Overloaded on the launcher.
  static int64_t ScratchBytes(const NearestNeighbors& problem,
                              const ParallelFor& launcher) {
    return NearestNeighborsScratchBytes(problem, launcher.workers);
  }
  static int64_t ScratchBytes(const NearestNeighbors& problem, const Stream&) {
    return NearestNeighborsGpuScratchBytes(problem);
  }
  static Status Find(const NearestNeighbors& problem,
                     const NearestNeighborsArrays& arrays, void* scratch,
                     const ParallelFor& launcher) {
    return NearestNeighborsCpu(problem, arrays, scratch, launcher);
  }
  static Status Find(const NearestNeighbors& problem,
                     const NearestNeighborsArrays& arrays, void* scratch,
                     const Stream& launcher) {
    return NearestNeighborsGpu(problem, arrays, scratch, launcher);
  }

  NearestNeighbors problem_;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_NEIGHBORS_NEIGHBORS_OP_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "adapters/loss_op.h"
#include "adapters/numpy.h"
#include "contrastive/contrastive_op.h"
#include "distance/distance_op.h"
#include "neighbors/neighbors_op.h"
#include "ranking/ranking_op.h"
#include "simd/dispatch.h"
#include "softmax/softmax_op.h"
#include "triplet/triplet_op.h"

// The ops on NumPy arrays, without TensorFlow: the module behind
// python/tf_pairwise/numpy/_native.py. Ops, inputs and outputs have the names,
// the order and the types of TensorFlow's registrations (*_op.cc); a loss's
// gradients are finished (LossAndGradientOp).

namespace tf_pairwise {
namespace {

constexpr Element kT = Element::kT, kAcc = Element::kAcc,
                  kDouble = Element::kDouble, kInt64 = Element::kInt64,
                  kBool = Element::kBool;

using Arguments = std::vector<NumpyCall::Argument>;

// The inputs of the ops over a labelled batch, and what else one has.
Arguments Batch(const Arguments& more) {
  Arguments all = {{"embeddings", kT},
                   {"labels", kInt64},
                   {"ref_embeddings", kT},
                   {"ref_labels", kInt64},
                   {"self_offset", kInt64}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// The loss of a spec, and a gradient for each of its points.
template <typename Spec>
NumpyOp Loss(Arguments inputs) {
  std::vector<Element> outputs = {kAcc};
  for (const int point : Spec::kPoints) {
    outputs.push_back(inputs[point].element);
  }
  return {std::move(inputs), std::move(outputs),
          &RunNumpyOp<LossAndGradientOp<Spec>>};
}

const std::map<std::string, NumpyOp>& Ops() {
  static const auto* const ops = new std::map<std::string, NumpyOp>{
      {"PairwiseDistance",
       {{{"x", kT}, {"y", kT}}, {kT}, &RunNumpyOp<PairwiseDistanceOp>}},
      {"PairwiseDistanceGrad",
       {{{"x", kT}, {"y", kT}, {"distances", kT}, {"upstream", kT}},
        {kT, kT},
        &RunNumpyOp<PairwiseDistanceGradOp>}},
      {"PairedDistance",
       {{{"x", kT}, {"y", kT}}, {kT}, &RunNumpyOp<PairedDistanceOp>}},
      {"PairedDistanceGrad",
       {{{"x", kT}, {"y", kT}, {"upstream", kT}},
        {kT, kT},
        &RunNumpyOp<PairedDistanceGradOp>}},
      {"ContrastiveLoss", Loss<ContrastiveLossSpec>({{"x1", kT},
                                                     {"x2", kT},
                                                     {"labels", kAcc},
                                                     {"sample_weight", kAcc}})},
      {"BatchContrastiveLoss",
       Loss<BatchContrastiveLossSpec>(Batch({{"sample_weight", kAcc}}))},
      {"SoftmaxLoss", Loss<SoftmaxLossSpec>(Batch({{"sample_weight", kAcc},
                                                   {"temperature", kAcc},
                                                   {"scale", kAcc},
                                                   {"bias", kAcc}}))},
      {"TripletLoss", Loss<TripletLossSpec>({{"anchors", kT},
                                             {"positives", kT},
                                             {"negatives", kT},
                                             {"sample_weight", kAcc}})},
      {"BatchTripletLoss",
       Loss<BatchTripletLossSpec>(Batch({{"sample_weight", kAcc}}))},
      {"MineTriplets", {Batch({}), {kInt64}, &RunNumpyOp<MineTripletsOp>}},
      {"NearestNeighbors",
       {{{"queries", kT},
         {"keys", kT},
         {"query_labels", kInt64},
         {"key_labels", kInt64}},
        {kT, kInt64},
        &RunNumpyOp<NearestNeighborsOp>}},
      {"PairwiseRankingLoss",
       Loss<PairwiseRankingLossSpec>(
           {{"scores_pos", kT}, {"scores_neg", kT}, {"sample_weight", kAcc}})},
      {"ListRankingLoss", Loss<ListRankingLossSpec>({{"scores", kT},
                                                     {"relevance", kDouble},
                                                     {"row_splits", kInt64},
                                                     {"mask", kBool},
                                                     {"item_weight", kAcc}})},
  };
  return *ops;
}

py::tuple Run(const std::string& op, const py::dict& attributes,
              const py::sequence& inputs, int threads) {
  const auto found = Ops().find(op);
  if (found == Ops().end()) throw py::key_error(op);
  return found->second.Run(attributes, inputs, threads);
}

}  // namespace

PYBIND11_MODULE(_numpy, module) {
  module.doc() = "The ops on NumPy arrays; see tf_pairwise.numpy.";
  module.def("isa", &ChosenIsa);
  module.def("run", &Run, R"doc(
Runs an op: its outputs as a tuple of arrays.

op: TensorFlow's name of it, without "TfPairwise>".
attributes: the op's, by name, and the name of the points' dtype as "T".
inputs: the op's, C-contiguous; None for one that the attributes leave out.
threads: how many to run on.
)doc");
}

}  // namespace tf_pairwise

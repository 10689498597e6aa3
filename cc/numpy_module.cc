#include <map>
#include <string>
#include <utility>
#include <vector>

#include "adapters/loss_op.h"
#include "adapters/numpy.h"
#include "adapters/numpy_gpu.h"
#include "contrastive/contrastive_op.h"
#include "distance/distance_op.h"
#include "neighbors/neighbors_op.h"
#include "ranking/ranking_op.h"
#include "simd/dispatch.h"
#include "softmax/softmax_op.h"
#include "triplet/triplet_op.h"

// The ops on NumPy arrays, and on those of a GPU, without TensorFlow: the
// module behind python/tf_pairwise/numpy/_native.py. Ops, inputs and outputs
// have the names, the order and the types of TensorFlow's registrations
// (*_op.cc); a loss's gradients are finished (LossAndGradientOp).

namespace tf_pairwise {
namespace {

constexpr Element kT = Element::kT, kAcc = Element::kAcc,
                  kDouble = Element::kDouble, kInt64 = Element::kInt64,
                  kHostInt64 = Element::kHostInt64, kBool = Element::kBool;

using Arguments = std::vector<NumpyArgument>;

template <typename Op>
NumpyOp Make(Arguments inputs, std::vector<Element> outputs) {
  return {std::move(inputs), std::move(outputs), &RunNumpyOp<Op, NumpyCall>,
          &RunNumpyOp<Op, GpuCall>};
}

// The inputs of the ops over a labelled batch, and what else one has.
Arguments Batch(const Arguments& more) {
  Arguments all = {{"embeddings", kT},
                   {"labels", kInt64},
                   {"ref_embeddings", kT},
                   {"ref_labels", kInt64},
                   {"self_offset", kHostInt64}};
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
  return Make<LossAndGradientOp<Spec>>(std::move(inputs), std::move(outputs));
}

const std::map<std::string, NumpyOp>& Ops() {
  static const auto* const ops = new std::map<std::string, NumpyOp>{
      {"PairwiseDistance",
       Make<PairwiseDistanceOp>({{"x", kT}, {"y", kT}}, {kT})},
      {"PairwiseDistanceGrad",
       Make<PairwiseDistanceGradOp>(
           {{"x", kT}, {"y", kT}, {"distances", kT}, {"upstream", kT}},
           {kT, kT})},
      {"PairedDistance", Make<PairedDistanceOp>({{"x", kT}, {"y", kT}}, {kT})},
      {"PairedDistanceGrad",
       Make<PairedDistanceGradOp>({{"x", kT}, {"y", kT}, {"upstream", kT}},
                                  {kT, kT})},
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
      {"MineTriplets", Make<MineTripletsOp>(Batch({}), {kInt64})},
      {"NearestNeighbors", Make<NearestNeighborsOp>({{"queries", kT},
                                                     {"keys", kT},
                                                     {"query_labels", kInt64},
                                                     {"key_labels", kInt64}},
                                                    {kT, kInt64})},
      {"PairwiseRankingLoss",
       Loss<PairwiseRankingLossSpec>(
           {{"scores_pos", kT}, {"scores_neg", kT}, {"sample_weight", kAcc}})},
      {"ListRankingLoss", Loss<ListRankingLossSpec>({{"scores", kT},
                                                     {"relevance", kDouble},
                                                     {"row_splits", kHostInt64},
                                                     {"mask", kBool},
                                                     {"item_weight", kAcc}})},
  };
  return *ops;
}

const NumpyOp& Find(const std::string& op) {
  const auto found = Ops().find(op);
  if (found == Ops().end()) throw py::key_error(op);
  return found->second;
}

py::tuple Run(const std::string& op, const py::dict& attributes,
              const py::sequence& inputs, int threads) {
  return Find(op).Run(attributes, inputs, threads);
}

std::vector<std::string> OpNames() {
  std::vector<std::string> names;
  for (const auto& [name, op] : Ops()) names.push_back(name);
  return names;
}

py::tuple OnGpu(const std::string& op, const py::dict& attributes,
                const py::sequence& inputs, uintptr_t stream,
                const py::object& kept) {
  return RunOnGpu(Find(op), attributes, inputs, stream, kept);
}

}  // namespace

PYBIND11_MODULE(_numpy, module) {
  module.doc() = "The ops on NumPy arrays; see tf_pairwise.numpy.";
  module.def("isa", &ChosenIsa);
  module.def("ops", &OpNames, "The names of the ops.");
  module.def("run", &Run, R"doc(
Runs an op: its outputs as a tuple of arrays.

op: TensorFlow's name of it, without "TfPairwise>".
attributes: the op's, by name, and the name of the points' dtype as "T".
inputs: the op's, C-contiguous; None for one that the attributes leave out.
threads: how many to run on.
)doc");
  DefineGpuArray(module);
  module.def("run_on_gpu", &OnGpu, R"doc(
Runs an op on a GPU: its outputs as a tuple of GpuArray.

inputs: GpuArray, or None; NumPy's for what is a number or read on the host.
stream: the handle of the stream to put the work on, which is not waited for.
kept: an object that lives as long as the outputs, for the stream's sake.
)doc");
}

}  // namespace tf_pairwise

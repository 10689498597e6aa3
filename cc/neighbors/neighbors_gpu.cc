#include "cuda/driver.h"
#include "neighbors/nearest_gpu-inl.h"
#include "neighbors/neighbors.h"
#include "tile/strip_walk.h"

namespace tf_pairwise {
namespace {

// Distances as they are: two squares may have one root, and then the lower
// index comes first.
template <typename T>
StripWalk<T> WalkOf(const NearestNeighbors& problem, Scratch& scratch) {
  StripWalk<T> walk;
  walk.LayOut(scratch,
              {problem.dtype, problem.metric, problem.metric, problem.n,
               problem.m, problem.d, problem.self},
              StripOptions());
  walk.sides.UseCudaCores();
  return walk;
}

template <typename S>
Status RunNearest(const NearestNeighbors& problem,
                  const NearestNeighborsArrays& arrays, void* base,
                  const Stream& stream) {
  using K = NearestKernel<S>;
  using T = typename K::T;
  Scratch scratch(base);
  StripWalk<T> walk = WalkOf<T>(problem, scratch);
  TF_PAIRWISE_RETURN_IF_ERROR(
      walk.Prepare(arrays.queries, arrays.keys, stream));
  typename K::Arguments arguments = {};
  arguments.self = problem.self;
  arguments.same = problem.only == Only::kSameLabel;
  if (problem.only != Only::kAny) {
    arguments.query_labels = arrays.query_labels;
    arguments.key_labels =
        problem.self ? arrays.query_labels : arrays.key_labels;
  }
  arguments.k = problem.k;
  arguments.distances = static_cast<S*>(arrays.distances);
  arguments.indices = arrays.indices;
  return walk.Run(problem.self ? 0 : -1, false, stream,
                  [&](const Strip<T>& strip) {
                    arguments.values = strip.values;
                    arguments.stride = strip.stride;
                    arguments.row = strip.row;
                    arguments.columns = static_cast<int>(strip.columns);
                    return Launch<K>(stream, {strip.rows, 1, 1}, arguments);
                  });
}

}  // namespace

int64_t NearestNeighborsGpuScratchBytes(const NearestNeighbors& problem) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    WalkOf<decltype(compute)>(problem, scratch);
    return scratch.bytes();
  });
}

Status NearestNeighborsGpu(const NearestNeighbors& problem,
                           const NearestNeighborsArrays& arrays, void* scratch,
                           const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return VisitGpuType(problem.dtype, [&](auto type) {
    return RunNearest<decltype(type)>(problem, arrays, scratch, stream);
  });
}

}  // namespace tf_pairwise

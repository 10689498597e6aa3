#include <cstdint>

#include "core/scratch.h"
#include "cuda/driver.h"
#include "triplet/labelled_strip.h"
#include "triplet/mine_gpu-inl.h"
#include "triplet/triplet.h"

// The miner on a GPU.

namespace tf_pairwise {
namespace {

template <typename T>
struct MineLayout {
  StripWalk<T> walk;
  int64_t* begin;  // [n + 1], where each anchor's triplets begin

  MineLayout(Scratch& scratch, const BatchTripletLoss& problem) {
    walk.LayOut(scratch,
                {problem.dtype, problem.metric, problem.metric, problem.n,
                 problem.m, problem.d, problem.self},
                StripOptions());
    walk.sides.UseCudaCores();
    begin = scratch.Take<int64_t>(problem.n + 1);
  }
};

// Calls `function(Miner())` with the problem's.
template <typename T, typename Function>
Status VisitMiner(Mining mining, const Function& function) {
  switch (mining) {
    case Mining::kHard:
      return function(MineHard<T>());
    case Mining::kSemiHard:
      return function(MineSemiHard<T>());
    case Mining::kAll:
      return function(MineEvery<T, EveryTriplet>());
    case Mining::kSemiHardAll:
      return function(MineEvery<T, EverySemiHard>());
    case Mining::kHardAll:
      break;
  }
  return function(MineEvery<T, EveryHard>());
}

template <typename T>
Status RunMine(const BatchTripletLoss& problem,
               const BatchTripletArrays& arrays, const TripletSink& sink,
               void* base, const Stream& stream) {
  Scratch scratch(base);
  MineLayout<T> layout(scratch, problem);
  TF_PAIRWISE_RETURN_IF_ERROR(
      layout.walk.Prepare(arrays.anchors, arrays.refs, stream));
  int64_t* triplets = nullptr;
  const auto arguments = [&](const Strip<T>& strip) {
    return MineArguments<T>{LabelStrip(problem, arrays, strip),
                            static_cast<T>(problem.margin), layout.begin,
                            triplets};
  };
  const int64_t diagonal = DiagonalOf(problem);
  return VisitMiner<T>(problem.mining, [&](auto miner) {
    using Miner = decltype(miner);
    TF_PAIRWISE_RETURN_IF_ERROR(
        layout.walk.Run(diagonal, false, stream, [&](const Strip<T>& strip) {
          return Launch<CountTripletsKernel<T, Miner>>(
              stream, {strip.rows, 1, 1}, arguments(strip));
        }));
    TF_PAIRWISE_RETURN_IF_ERROR(
        Launch<BeginTripletsKernel>(stream, Grid(), {problem.n, layout.begin}));
    int64_t count = 0;
    TF_PAIRWISE_RETURN_IF_ERROR(
        CopyToHost(stream, &count, layout.begin + problem.n, sizeof(count)));
    triplets = sink.allocate(sink.context, count);
    if (triplets == nullptr || count == 0) return Ok();
    return layout.walk.Run(diagonal, false, stream, [&](const Strip<T>& strip) {
      return Launch<WriteTripletsKernel<T, Miner>>(stream, {strip.rows, 1, 1},
                                                   arguments(strip));
    });
  });
}

}  // namespace

int64_t MineTripletsGpuScratchBytes(const BatchTripletLoss& problem) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    MineLayout<decltype(compute)> layout(scratch, problem);
    return scratch.bytes();
  });
}

Status MineTripletsGpu(const BatchTripletLoss& problem,
                       const BatchTripletArrays& arrays,
                       const TripletSink& sink, void* scratch,
                       const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return VisitCompute(problem.dtype, [&](auto compute) {
    return RunMine<decltype(compute)>(problem, arrays, sink, scratch, stream);
  });
}

}  // namespace tf_pairwise

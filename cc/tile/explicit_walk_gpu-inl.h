#ifndef TF_PAIRWISE_TILE_EXPLICIT_WALK_GPU_INL_H_
#define TF_PAIRWISE_TILE_EXPLICIT_WALK_GPU_INL_H_

#include "core/reduce.h"
#include "core/rounds.h"
#include "cuda/block.h"
#include "cuda/halves.h"

#if !defined(__CUDACC__)
#include "core/scratch.h"
#include "cuda/driver.h"
#include "cuda/sums.h"
#endif

// explicit_walk.h's twin: the losses of explicit tuples, a warp at a tuple.
//
//   struct Name {
//     static std::string Name();   // on the host
//     struct Items {...};          // options and arrays, plain
//     // Of item i: its loss (with kNone), its part of the sums and, with
//     // `with_gradient`, its gradients times `scale`. For EachWarp's phases.
//     static void Item(const Items& items, int64_t i, double scale,
//                      bool with_gradient, LossSums* sums);
//   };

namespace tf_pairwise {

constexpr int kExplicitWarps = 8;  // of a block

// Weight i, 1 for null.
template <typename T>
TF_PAIRWISE_DEVICE double WeightAt(const T* weights, int64_t i) {
  return weights == nullptr ? 1 : static_cast<double>(weights[i]);
}

template <class Loss>
struct ExplicitKernel {
  TF_PAIRWISE_KERNEL_NAME(Loss::Name());
  static constexpr int kThreads = kWarp * kExplicitWarps;
  static constexpr int kBlocks = 2;
  struct Arguments {
    typename Loss::Items items;
    int64_t n;
    bool with_gradient;
    const double* scale;  // null for 1
    LossSums* parts;      // of blocks, or null
  };
  struct Shared {
    LossSums sums[kExplicitWarps];
  };
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.EachWarp([&](int warp, Shared& shared, WarpRegisters&) {
      const double scale = a.scale == nullptr ? 1 : *a.scale;
      LossSums sums;
      for (int64_t i = block.x() * kExplicitWarps + warp; i < a.n;
           i += block.grid_x() * kExplicitWarps) {
        Loss::Item(a.items, i, scale, a.with_gradient, &sums);
      }
      EachLane([&](int lane) {
        if (lane == 0) shared.sums[warp] = sums;
      });
    });
    block.Each([&](int thread, Shared& shared, ThreadRegisters&) {
      if (thread != 0 || a.parts == nullptr) return;
      LossSums sums;
      for (int w = 0; w < kExplicitWarps; ++w) sums.Add(shared.sums[w]);
      a.parts[block.x()] = sums;
    });
  }
};

#if !defined(__CUDACC__)

// Blocks for n items, `each` of which a block takes at a time; by the shape
// alone, because sums are made of theirs.
inline int64_t ExplicitGpuBlocks(int64_t n, int each) {
  return Least(Blocks(n, each), 4096);
}

// The scratch of a loss of n items.
struct ExplicitGpuLayout {
  int64_t blocks;
  LossSums* parts;
  double* scale;

  ExplicitGpuLayout(Scratch& scratch, int64_t n, int each = kExplicitWarps)
      : blocks(ExplicitGpuBlocks(n, each)),
        parts(scratch.Take<LossSums>(blocks)),
        scale(scratch.Take<double>(1)) {}
};

inline int64_t ExplicitGpuScratchBytes(int64_t n) {
  Scratch scratch(nullptr);
  ExplicitGpuLayout(scratch, n);
  return scratch.bytes();
}

// `pass(scale, with_gradient, parts)` puts the items' losses on the stream: the
// gradients times *scale (null for 1), the blocks' sums to `parts` where it is
// not null.
//
// One pass; two where a gradient's scale is known only after the first, the
// mean over losses above zero.
template <class Pass>
Status ReduceExplicit(DType dtype, Reduction reduction, int64_t n,
                      const void* weights, bool with_gradient, void* loss,
                      const ExplicitGpuLayout& layout, const Stream& stream,
                      const Pass& pass) {
  const auto reduce = [&](const ReducedSums& out) {
    return ReduceSums(stream, dtype, reduction, layout.parts, layout.blocks,
                      out);
  };
  ReducedSums out;
  out.loss = reduction == Reduction::kNone ? nullptr : loss;
  if (with_gradient && reduction == Reduction::kMeanNonzero) {
    out.scale = layout.scale;
    TF_PAIRWISE_RETURN_IF_ERROR(pass(nullptr, false, layout.parts));
    TF_PAIRWISE_RETURN_IF_ERROR(reduce(out));
    return pass(layout.scale, true, nullptr);
  }
  const double* scale = nullptr;
  if (with_gradient && reduction == Reduction::kMean) {
    // The mean's divisor is known before the pass.
    scale = layout.scale;
    TF_PAIRWISE_RETURN_IF_ERROR(
        ScaleOfMean(stream, dtype, weights, n, 1, layout.scale));
  }
  if (out.loss == nullptr) return pass(scale, with_gradient, nullptr);
  TF_PAIRWISE_RETURN_IF_ERROR(pass(scale, with_gradient, layout.parts));
  return reduce(out);
}

// The same of a loss in the form above.
template <class Loss>
Status RunExplicit(const typename Loss::Items& items, DType dtype,
                   Reduction reduction, int64_t n, const void* weights,
                   bool with_gradient, void* loss,
                   const ExplicitGpuLayout& layout, const Stream& stream) {
  return ReduceExplicit(
      dtype, reduction, n, weights, with_gradient, loss, layout, stream,
      [&](const double* scale, bool gradient, LossSums* parts) {
        return Launch<ExplicitKernel<Loss>>(stream, {layout.blocks, 1, 1},
                                            {items, n, gradient, scale, parts});
      });
}

#endif

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_EXPLICIT_WALK_GPU_INL_H_

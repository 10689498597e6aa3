#ifndef TF_PAIRWISE_RANKING_LIST_SUMS_GPU_INL_H_
#define TF_PAIRWISE_RANKING_LIST_SUMS_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/halves.h"
#include "cuda/sums_gpu-inl.h"
#include "ranking/list_gpu-inl.h"

// From the sums of blocks to those of lists, to the loss and to the gradient's
// scale.

namespace tf_pairwise {

constexpr int kListSumsWarps = 8;  // of a block

// A warp a list: its sums, and what the block's lists add to the total.
struct ListSumsKernel {
  TF_PAIRWISE_KERNEL_NAME("list_sums");
  static constexpr int kThreads = kWarp * kListSumsWarps;
  static constexpr int kBlocks = 2;
  struct Arguments {
    GpuLists lists;
    const LossSums* parts;  // of the lists' blocks, or null: sums are there
    LossSums* sums;         // [lists]
    bool means;             // the total is of the lists' means, counted
    LossSums* totals;       // of this kernel's blocks
  };
  struct Shared {
    LossSums totals[kListSumsWarps];
  };
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;

  static TF_PAIRWISE_DEVICE LossSums SumsOf(const Arguments& a, int64_t list) {
    if (a.parts == nullptr) return a.sums[list];
    const int64_t end = a.lists.FirstBlock(list + 1);
    const LossSums sums = OverLanes(
        [&](int lane) {
          LossSums part;
          for (int64_t b = a.lists.FirstBlock(list) + lane; b < end;
               b += kWarp) {
            part.Add(a.parts[b]);
          }
          return part;
        },
        PlusSums());
    EachLane([&](int lane) {
      if (lane == 0) a.sums[list] = sums;
    });
    return sums;
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.EachWarp([&](int warp, Shared& shared, WarpRegisters&) {
      LossSums total;
      for (int64_t list = block.x() * kListSumsWarps + warp;
           list < a.lists.lists; list += block.grid_x() * kListSumsWarps) {
        LossSums sums = SumsOf(a, list);
        if (a.means) {
          if (sums.counted == 0) continue;
          sums.sum /= sums.counted;
          sums.counted = sums.nonzero = 1;
        }
        total.Add(sums);
      }
      EachLane([&](int lane) {
        if (lane == 0) shared.totals[warp] = total;
      });
    });
    block.Each([&](int thread, Shared& shared, ThreadRegisters&) {
      if (thread != 0) return;
      LossSums total;
      for (int w = 0; w < kListSumsWarps; ++w) total.Add(shared.totals[w]);
      a.totals[block.x()] = total;
    });
  }
};

// One block: the loss, and the gradient's scale.
struct ListLossKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("list_loss");
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const LossSums* totals;
    int64_t count;
    DType dtype;
    Reduction reduction;
    void* loss;  // or null
    double* scale;
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const LossSums total = TotalOf(block, a.totals, a.count);
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      const double scale = a.reduction == Reduction::kMeanLists
                               ? InverseOf(total.counted)
                               : ScaleOf(a.reduction, total);
      *a.scale = scale;
      if (a.loss == nullptr) return;
      // A score that is not finite is seen, whatever the weights add up to.
      const bool nothing = scale == 0 && total.sum == total.sum;
      StoreLoss(a.dtype, nothing ? 0 : total.sum * scale, a.loss);
    });
  }
};

// The gradient of the sum becomes that of the loss. With the lists' sums, a
// block a list; without, the grid goes over all items.
template <typename T>
struct ListScaleKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("list_scale_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  struct Arguments {
    GpuLists lists;
    int64_t items;
    const LossSums* sums;  // of the lists, whose mean is the loss; or null
    const double* scale;
    T* gradient;
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      int64_t begin = block.x() * kThreads, end = a.items;
      int64_t step = block.grid_x() * kThreads;
      double factor = *a.scale;
      if (a.sums != nullptr) {
        begin = a.lists.Begin(block.x());
        end = a.lists.Begin(block.x() + 1);
        step = kThreads;
        factor *= InverseOf(a.sums[block.x()].counted);
      }
      for (int64_t k = begin + thread; k < end; k += step) {
        a.gradient[k] =
            factor == 0 ? T(0) : static_cast<T>(factor * a.gradient[k]);
      }
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_SUMS_GPU_INL_H_

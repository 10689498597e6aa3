#ifndef TF_PAIRWISE_RANKING_LIST_SPLITS_GPU_INL_H_
#define TF_PAIRWISE_RANKING_LIST_SPLITS_GPU_INL_H_

#include "core/integers.h"
#include "cuda/block.h"

namespace tf_pairwise {

// Where lists begin, from the host's memory to the device's, in a kernel's own
// arguments: a copy would wait, or, from pinned memory, read it after the
// caller has it back.
struct ListSplitsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("list_splits");
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  static constexpr int kMost = 960;  // arguments have 4 KB
  struct Arguments {
    int64_t* to;
    int64_t begin;
    int32_t count;
    uint32_t offsets[kMost];  // from `begin`
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      for (int k = thread; k < a.count; k += kThreads) {
        a.to[k] = a.begin + static_cast<int64_t>(a.offsets[k]);
      }
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_SPLITS_GPU_INL_H_

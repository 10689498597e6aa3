#ifndef TF_PAIRWISE_CUDA_SCALE_GPU_INL_H_
#define TF_PAIRWISE_CUDA_SCALE_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/halves.h"

// Scale and Multiply (core/scale.h): a thread a value, over the whole grid.

namespace tf_pairwise {

template <typename S>
struct ScaleKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("scale_" + TypeName<S>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 4;
  using T = Computed<S>;
  struct Arguments {
    int64_t count;
    const T* in;
    const T* scale;  // null for 1
    S* out;
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      const T scale = a.scale == nullptr ? T(1) : *a.scale;
      for (int64_t i = block.x() * kThreads + thread; i < a.count;
           i += block.grid_x() * kThreads) {
        Store(scale * a.in[i], a.out + i);
      }
    });
  }
};

template <typename T>
struct MultiplyKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("multiply_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 4;
  struct Arguments {
    int64_t count;
    const T* a;  // null for ones
    const T* b;
    T* out;
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      for (int64_t i = block.x() * kThreads + thread; i < a.count;
           i += block.grid_x() * kThreads) {
        a.out[i] = (a.a == nullptr ? T(1) : a.a[i]) * a.b[i];
      }
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_SCALE_GPU_INL_H_

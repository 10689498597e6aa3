#ifndef TF_PAIRWISE_CUDA_SUMS_GPU_INL_H_
#define TF_PAIRWISE_CUDA_SUMS_GPU_INL_H_

#include "core/reduce.h"
#include "cuda/block.h"
#include "cuda/halves.h"

namespace tf_pairwise {

struct PlusSums {
  TF_PAIRWISE_DEVICE LossSums operator()(LossSums a, const LossSums& b) const {
    a.Add(b);
    return a;
  }
};

// One block adds up the parts.
struct ReduceSumsKernel {
  TF_PAIRWISE_KERNEL_NAME("reduce_sums");
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const LossSums* parts;
    int64_t count;
    DType dtype;
    Reduction reduction;
    void* loss;
    double* scale;
    double* counted;
  };
  struct Shared {};
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const LossSums total = block.Reduce(
        [&](int thread, Shared&, ThreadRegisters&) {
          LossSums sums;
          for (int64_t i = thread; i < a.count; i += kThreads) {
            sums.Add(a.parts[i]);
          }
          return sums;
        },
        PlusSums());
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread != 0) return;
      const double scale = ScaleOf(a.reduction, total);
      if (a.loss != nullptr) {
        StoreLoss(a.dtype, ReducedLoss(scale, total), a.loss);
      }
      if (a.scale != nullptr) *a.scale = scale;
      if (a.counted != nullptr) *a.counted = DivisorOf(a.reduction, total);
    });
  }
};

// One block adds up the weights.
template <typename T>
struct ScaleOfMeanKernel {
  TF_PAIRWISE_KERNEL_NAME("scale_of_mean_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const T* weights;
    int64_t n;
    double each;
    double* scale;
  };
  struct Shared {};
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const double counted =
        block.Sum([&](int thread, Shared&, ThreadRegisters&) {
          if (a.weights == nullptr) {
            return thread == 0 ? a.each * static_cast<double>(a.n) : 0.0;
          }
          double sum = 0;
          for (int64_t i = thread; i < a.n; i += kThreads) {
            sum += static_cast<double>(a.weights[i]) * a.each;
          }
          return sum;
        });
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread == 0) *a.scale = InverseOf(counted);
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_SUMS_GPU_INL_H_

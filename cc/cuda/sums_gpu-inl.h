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

// The total of parts[0, count), by one block.
template <class B>
TF_PAIRWISE_DEVICE LossSums TotalOf(B& block, const LossSums* parts,
                                    int64_t count) {
  return block.Reduce(
      [&](int thread, auto&, auto&) {
        LossSums sums;
        for (int64_t i = thread; i < count; i += B::kThreads) {
          sums.Add(parts[i]);
        }
        return sums;
      },
      PlusSums());
}

// One block adds up the parts.
struct ReduceSumsKernel : KeepsNothing {
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

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const LossSums total = TotalOf(block, a.parts, a.count);
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
struct ScaleOfMeanKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("scale_of_mean_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const T* weights;
    int64_t n;
    double each;
    double* scale;
  };

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

#ifndef TF_PAIRWISE_CUDA_KERNEL_H_
#define TF_PAIRWISE_CUDA_KERNEL_H_

#include "cuda/block.h"

// TF_PAIRWISE_KERNEL(name, K) makes a kernel of a struct K (block.h): on a
// device an entry point of that name, on a host an entry in the list that the
// tests' driver looks kernels up in. In a .cu file alone.

#if defined(__CUDACC__)

#define TF_PAIRWISE_KERNEL(name, ...)                                         \
  extern "C" __global__ void __launch_bounds__(__VA_ARGS__::kThreads,         \
                                               __VA_ARGS__::kBlocks)          \
      name(const __grid_constant__ typename __VA_ARGS__::Arguments a) {       \
    extern __shared__ __align__(16) char tf_pairwise_shared[];                \
    tf_pairwise::ThreadBlock<__VA_ARGS__> block(                              \
        reinterpret_cast<typename __VA_ARGS__::Shared*>(tf_pairwise_shared)); \
    __VA_ARGS__::Run(block, a);                                               \
  }

#else

#include <map>
#include <string>

namespace tf_pairwise {

// A kernel as the host runs it.
struct HostKernel {
  int threads;
  int64_t shared_bytes;
  int64_t argument_bytes;
  // One block, of a grid of grid_x in x, with its shared memory.
  void (*run)(void* shared, const void* arguments, int64_t x, int64_t y,
              int64_t z, int64_t grid_x);
};

inline std::map<std::string, HostKernel>& HostKernels() {
  static auto* const kernels = new std::map<std::string, HostKernel>;
  return *kernels;
}

template <class K>
void RunHostBlock(void* shared, const void* arguments, int64_t x, int64_t y,
                  int64_t z, int64_t grid_x) {
  ThreadBlock<K> block(static_cast<typename K::Shared*>(shared), x, y, z,
                       grid_x);
  K::Run(block, *static_cast<const typename K::Arguments*>(arguments));
}

template <class K>
bool AddHostKernel(const char* name) {
  HostKernels()[name] = {K::kThreads, sizeof(typename K::Shared),
                         sizeof(typename K::Arguments), &RunHostBlock<K>};
  return true;
}

}  // namespace tf_pairwise

#define TF_PAIRWISE_KERNEL(name, ...)                  \
  [[maybe_unused]] static const bool name##_is_added = \
      ::tf_pairwise::AddHostKernel<__VA_ARGS__>(#name);

#endif

#endif  // TF_PAIRWISE_CUDA_KERNEL_H_

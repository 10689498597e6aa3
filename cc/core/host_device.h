#ifndef TF_PAIRWISE_CORE_HOST_DEVICE_H_
#define TF_PAIRWISE_CORE_HOST_DEVICE_H_

// Functions that both the host compiler and nvcc compile for their device.
#if defined(__CUDACC__)
#define TF_PAIRWISE_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define TF_PAIRWISE_HOST_DEVICE inline __attribute__((always_inline))
#endif

#endif  // TF_PAIRWISE_CORE_HOST_DEVICE_H_

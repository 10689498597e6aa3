#ifndef TF_PAIRWISE_CORE_HOST_DEVICE_H_
#define TF_PAIRWISE_CORE_HOST_DEVICE_H_

// Functions that both the host compiler and the CUDA compiler compile for their
// device, and the one built-in function that the two spell differently.
#if defined(__CUDACC__)
#define TF_PAIRWISE_HOST_DEVICE __host__ __device__ __forceinline__
#define TF_PAIRWISE_MEMCPY memcpy
#else
#define TF_PAIRWISE_HOST_DEVICE inline __attribute__((always_inline))
#define TF_PAIRWISE_MEMCPY __builtin_memcpy
#endif

#endif  // TF_PAIRWISE_CORE_HOST_DEVICE_H_

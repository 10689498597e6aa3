#ifndef TF_PAIRWISE_CUDA_API_H_
#define TF_PAIRWISE_CUDA_API_H_

#include <cstddef>

#include "core/status.h"

// The functions of the NVIDIA driver that we call, declared as cuda.h declares
// them (CUDA 12.0), which is not needed.

namespace tf_pairwise {

using CuResult = int;
using CuDevice = int;
using CuContext = void*;
using CuStream = void*;
using CuLibrary = void*;
using CuKernel = void*;
using CuPointer = unsigned long long;  // NOLINT

enum CuConstants {
  kCuOutOfMemory = 2,
  kCuMaxSharedBytes = 8,  // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
  kCuMajor = 75,          // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
  kCuMinor = 76,
  kCuSharedOnDemand = 97,  // ..._MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
  kCuPointerContext = 1,   // CU_POINTER_ATTRIBUTE_CONTEXT
  kCuPointerDevice = 9,    // CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
};

// name(arguments), and the symbol that has its current version.
#define TF_PAIRWISE_CU_FUNCTIONS(F)                                            \
  F(cuGetErrorName, cuGetErrorName, (CuResult, const char**))                  \
  F(cuGetErrorString, cuGetErrorString, (CuResult, const char**))              \
  F(cuInit, cuInit, (unsigned))                                                \
  F(cuDriverGetVersion, cuDriverGetVersion, (int*))                            \
  F(cuDeviceGetCount, cuDeviceGetCount, (int*))                                \
  F(cuDeviceGet, cuDeviceGet, (CuDevice*, int))                                \
  F(cuDeviceGetName, cuDeviceGetName, (char*, int, CuDevice))                  \
  F(cuDeviceGetAttribute, cuDeviceGetAttribute, (int*, int, CuDevice))         \
  F(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain,                        \
    (CuContext*, CuDevice))                                                    \
  F(cuCtxGetCurrent, cuCtxGetCurrent, (CuContext*))                            \
  F(cuCtxGetDevice, cuCtxGetDevice, (CuDevice*))                               \
  F(cuCtxPushCurrent, cuCtxPushCurrent_v2, (CuContext))                        \
  F(cuCtxPopCurrent, cuCtxPopCurrent_v2, (CuContext*))                         \
  F(cuPointerGetAttribute, cuPointerGetAttribute, (void*, int, CuPointer))     \
  F(cuLibraryLoadData, cuLibraryLoadData,                                      \
    (CuLibrary*, const void*, int*, void**, unsigned, int*, void**, unsigned)) \
  F(cuLibraryGetKernel, cuLibraryGetKernel,                                    \
    (CuKernel*, CuLibrary, const char*))                                       \
  F(cuKernelSetAttribute, cuKernelSetAttribute,                                \
    (int, int, CuKernel, CuDevice))                                            \
  F(cuLaunchKernel, cuLaunchKernel,                                            \
    (CuKernel, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,     \
     unsigned, CuStream, void**, void**))                                      \
  F(cuMemsetD8Async, cuMemsetD8Async,                                          \
    (CuPointer, unsigned char, size_t, CuStream))                              \
  F(cuMemcpyDtoDAsync, cuMemcpyDtoDAsync_v2,                                   \
    (CuPointer, CuPointer, size_t, CuStream))                                  \
  F(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2,                                   \
    (void*, CuPointer, size_t, CuStream))                                      \
  F(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2,                                   \
    (CuPointer, const void*, size_t, CuStream))                                \
  F(cuMemAllocAsync, cuMemAllocAsync, (CuPointer*, size_t, CuStream))          \
  F(cuMemFreeAsync, cuMemFreeAsync, (CuPointer, CuStream))                     \
  F(cuStreamSynchronize, cuStreamSynchronize, (CuStream))

struct CuApi {
#define TF_PAIRWISE_CU_MEMBER(name, symbol, arguments) \
  CuResult(*name) arguments = nullptr;
  TF_PAIRWISE_CU_FUNCTIONS(TF_PAIRWISE_CU_MEMBER)
#undef TF_PAIRWISE_CU_MEMBER
};

// The driver, looked for and initialised at the first call; `status` says why
// there is none, in which case its functions may be null.
struct Driver {
  CuApi api;
  Status status;
  int devices = 0;
};
const Driver& TheDriver();

// What a call of the driver answered; `call` may say what for: "cuLaunchKernel
// of reduce_sums".
Status StatusOf(const CuApi& api, CuResult result, const char* call,
                const char* of = nullptr);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_API_H_

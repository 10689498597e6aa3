#ifndef TF_PAIRWISE_CUDA_DRIVER_H_
#define TF_PAIRWISE_CUDA_DRIVER_H_

#include <cstdint>
#include <string>

#include "core/export.h"
#include "core/status.h"
#include "core/stream.h"

// The NVIDIA driver, which is looked for at the first call (libcuda.so.1) and
// not linked: without one, nothing changes for who computes on the CPU, and a
// call here says what is missing. The kernels, machine code for some
// architectures and PTX for newer ones, are in this library
// (cmake/device.cmake).

namespace tf_pairwise {

// Whether the library holds kernels, a driver is there and new enough, and it
// sees a GPU; the status says what is missing.
TF_PAIRWISE_EXPORT Status GpuReady();

// The architectures that kernels are built for, "sm_70 sm_80 ...", or "" where
// the library was built without.
TF_PAIRWISE_EXPORT const char* GpuArchitectures();

// The GPUs: their number (0 without a driver), name and compute capability.
TF_PAIRWISE_EXPORT int GpuCount();
TF_PAIRWISE_EXPORT Status DescribeGpu(int number, char* name, int64_t bytes,
                                      int* major, int* minor);
// Whether there are kernels that a GPU of this compute capability runs.
TF_PAIRWISE_EXPORT bool GpuSupported(int major, int minor);

// What the current device can do, 0 where there is none.
struct GpuLimits {
  int capability = 0;        // 90 for 9.0
  int64_t shared_bytes = 0;  // of a block, at the most
};
GpuLimits CurrentGpuLimits();

struct Grid {
  int64_t x = 1, y = 1, z = 1;
};

// Puts a kernel on a stream. An empty grid is nothing to do. The arguments are
// read before it returns.
Status LaunchKernel(const Stream& stream, const char* name, const Grid& grid,
                    int threads, int64_t shared_bytes, const void* arguments,
                    int64_t argument_bytes);

// Puts a kernel K (block.h) on a stream.
template <class K>
Status Launch(const Stream& stream, const Grid& grid,
              const typename K::Arguments& arguments) {
  static const std::string name = K::Name();
  return LaunchKernel(stream, name.c_str(), grid, K::kThreads,
                      sizeof(typename K::Shared), &arguments,
                      sizeof(typename K::Arguments));
}

// Bytes of the device's memory are set, on the stream.
TF_PAIRWISE_EXPORT Status FillBytes(const Stream& stream, void* memory,
                                    uint8_t value, int64_t bytes);
// Copies on the stream, `from` and `to` on the device.
TF_PAIRWISE_EXPORT Status CopyOnGpu(const Stream& stream, void* to,
                                    const void* from, int64_t bytes);
// Copies to host memory, and waits for it and all before it: for what an
// output's size hangs on, and nothing else.
TF_PAIRWISE_EXPORT Status CopyToHost(const Stream& stream, void* to,
                                     const void* from, int64_t bytes);
TF_PAIRWISE_EXPORT Status CopyToGpu(const Stream& stream, void* to,
                                    const void* from, int64_t bytes);

// Memory of the current device in the order of a stream, for callers that have
// no allocator of their own (NumPy's).
TF_PAIRWISE_EXPORT Status AllocateOnGpu(const Stream& stream, int64_t bytes,
                                        void** memory);
TF_PAIRWISE_EXPORT Status FreeOnGpu(const Stream& stream, void* memory);
TF_PAIRWISE_EXPORT Status WaitForStream(const Stream& stream);

// Makes the context that a pointer's memory belongs to, or the device's first,
// the thread's own while it lives: for callers whose thread may have none.
class TF_PAIRWISE_EXPORT GpuScope {
 public:
  explicit GpuScope(const void* memory);
  ~GpuScope();
  GpuScope(const GpuScope&) = delete;
  GpuScope& operator=(const GpuScope&) = delete;

  const Status& status() const { return status_; }
  int device() const { return device_; }

 private:
  Status status_;
  int device_ = 0;
  bool pushed_ = false;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_DRIVER_H_

#ifndef TF_PAIRWISE_CUDA_IMAGES_H_
#define TF_PAIRWISE_CUDA_IMAGES_H_

// The compiled kernels that the library holds: cmake/embed_kernels.py writes
// these tables, which are empty where no device code was compiled.

namespace tf_pairwise {

// What one .cu file was compiled to for one architecture.
struct DeviceImage {
  int file;          // which .cu
  int architecture;  // 10 x major + minor
  bool is_ptx;       // and runs on all that come after; else machine code
  const char* code;
};
extern const int kDeviceImageCount;
extern const DeviceImage kDeviceImages[];

struct DeviceKernel {
  const char* name;
  int file;
};
// In the order of their names.
extern const int kDeviceKernelCount;
extern const DeviceKernel kDeviceKernels[];

extern const char kDeviceArchitectures[];

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_IMAGES_H_

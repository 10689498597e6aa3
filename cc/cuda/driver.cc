#include "cuda/driver.h"

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "cuda/api.h"
#include "cuda/images.h"

namespace tf_pairwise {
namespace {

Status Ready() {
  if (kDeviceImageCount == 0) {
    return Error(Status::kUnimplemented,
                 "tf_pairwise was built without kernels for a GPU "
                 "(TF_PAIRWISE_CUDA=OFF, or no NVRTC at the build)");
  }
  return TheDriver().status;
}

// Calls a function of the driver; `of`, if not null, says what for.
#define TF_PAIRWISE_CU_OF(of, function, ...) \
  TF_PAIRWISE_RETURN_IF_ERROR(StatusOf(      \
      TheDriver().api, TheDriver().api.function(__VA_ARGS__), #function, of))
#define TF_PAIRWISE_CU(function, ...) \
  TF_PAIRWISE_CU_OF(nullptr, function, __VA_ARGS__)

CuPointer PointerOf(const void* memory) {
  return reinterpret_cast<CuPointer>(memory);
}

Status CapabilityOf(CuDevice device, int* major, int* minor) {
  TF_PAIRWISE_CU(cuDeviceGetAttribute, major, kCuMajor, device);
  TF_PAIRWISE_CU(cuDeviceGetAttribute, minor, kCuMinor, device);
  return Ok();
}

const DeviceKernel* FindKernel(const char* name) {
  int low = 0, high = kDeviceKernelCount;
  while (low < high) {
    const int middle = (low + high) / 2;
    const int order = std::strcmp(kDeviceKernels[middle].name, name);
    if (order == 0) return kDeviceKernels + middle;
    (order < 0 ? low : high) = order < 0 ? middle + 1 : middle;
  }
  return nullptr;
}

// What a device takes best: machine code of its own major version, that of the
// highest minor version that it has; else the newest PTX that is not too new.
const DeviceImage* FindImage(int file, int major, int minor) {
  const int capability = 10 * major + minor;
  const DeviceImage* best = nullptr;
  for (int i = 0; i < kDeviceImageCount; ++i) {
    const DeviceImage* const image = kDeviceImages + i;
    const bool runs = image->file == file &&
                      image->architecture <= capability &&
                      (image->is_ptx || image->architecture / 10 == major);
    if (!runs) continue;
    const bool better =
        best == nullptr || (best->is_ptx != image->is_ptx
                                ? best->is_ptx
                                : best->architecture < image->architecture);
    if (better) best = image;
  }
  return best;
}

// The kernels that were used, by device and name. A library of the driver's
// belongs to no context: the driver itself loads it into each that launches
// from it, and it outlives them.
class Kernels {
 public:
  // `shared_bytes` are what it will be launched with.
  Status Find(CuDevice device, const char* name, int64_t shared_bytes,
              CuKernel* kernel) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = kernels_.find({device, name});
    if (found != kernels_.end()) {
      *kernel = found->second;
      return Ok();
    }
    TF_PAIRWISE_RETURN_IF_ERROR(Load(device, name, kernel));
    // More than 48 KB a block are had on demand only.
    TF_PAIRWISE_CU_OF(name, cuKernelSetAttribute, kCuMaxSharedBytes,
                      static_cast<int>(shared_bytes), *kernel, device);
    kernels_[{device, name}] = *kernel;
    return Ok();
  }

 private:
  Status Load(CuDevice device, const char* name, CuKernel* kernel) {
    const DeviceKernel* const entry = FindKernel(name);
    if (entry == nullptr) {
      return Error(Status::kInternal, "no kernel is named %s", name);
    }
    int major, minor;
    TF_PAIRWISE_RETURN_IF_ERROR(CapabilityOf(device, &major, &minor));
    const DeviceImage* const image = FindImage(entry->file, major, minor);
    if (image == nullptr) {
      return Error(Status::kUnimplemented,
                   "compute capability of the GPU: got %d.%d, expected one "
                   "that tf_pairwise was built for (%s); on the CPU it runs "
                   "all the same (in TensorFlow: with tf.device('CPU'))",
                   major, minor, kDeviceArchitectures);
    }
    CuLibrary& library = libraries_[image];
    if (library == nullptr) {
      TF_PAIRWISE_CU_OF(name, cuLibraryLoadData, &library, image->code, nullptr,
                        nullptr, 0, nullptr, nullptr, 0);
    }
    TF_PAIRWISE_CU_OF(name, cuLibraryGetKernel, kernel, library, name);
    return Ok();
  }

  std::mutex mutex_;
  std::map<std::pair<CuDevice, std::string>, CuKernel> kernels_;
  std::map<const DeviceImage*, CuLibrary> libraries_;
};

Kernels& TheKernels() {
  static auto* const kernels = new Kernels;
  return *kernels;
}

// The context of the CUDA runtime, and so of TensorFlow and others. Kept, once
// asked for.
Status PrimaryContext(int number, CuContext* context) {
  static std::mutex mutex;
  static auto* const contexts = new std::map<int, CuContext>;
  const std::lock_guard<std::mutex> lock(mutex);
  CuContext& kept = (*contexts)[number];
  if (kept == nullptr) {
    CuDevice device;
    TF_PAIRWISE_CU(cuDeviceGet, &device, number);
    TF_PAIRWISE_CU(cuDevicePrimaryCtxRetain, &kept, device);
  }
  *context = kept;
  return Ok();
}

// The context that a scope needs, or null where the current one will do.
Status ContextFor(const void* memory, CuContext* context) {
  *context = nullptr;
  CuContext current = nullptr;
  TF_PAIRWISE_CU(cuCtxGetCurrent, &current);
  if (memory == nullptr) {
    return current != nullptr ? Ok() : PrimaryContext(0, context);
  }
  const CuApi& api = TheDriver().api;
  CuContext owner = nullptr;
  const CuPointer pointer = PointerOf(memory);
  // Memory of a pool has no context, but a device.
  if (api.cuPointerGetAttribute(&owner, kCuPointerContext, pointer) != 0 ||
      owner == nullptr) {
    int device = 0;
    const CuResult result =
        api.cuPointerGetAttribute(&device, kCuPointerDevice, pointer);
    if (result != 0) {
      return StatusOf(api, result, "cuPointerGetAttribute",
                      "what should be a GPU's memory");
    }
    TF_PAIRWISE_RETURN_IF_ERROR(PrimaryContext(device, &owner));
  }
  if (owner != current) *context = owner;
  return Ok();
}

}  // namespace

Status GpuReady() { return Ready(); }

const char* GpuArchitectures() { return kDeviceArchitectures; }

int GpuCount() { return TheDriver().devices; }

Status DescribeGpu(int number, char* name, int64_t bytes, int* major,
                   int* minor) {
  TF_PAIRWISE_RETURN_IF_ERROR(TheDriver().status);
  CuDevice device;
  TF_PAIRWISE_CU(cuDeviceGet, &device, number);
  TF_PAIRWISE_CU(cuDeviceGetName, name, static_cast<int>(bytes), device);
  return CapabilityOf(device, major, minor);
}

bool GpuSupported(int major, int minor) {
  return FindImage(0, major, minor) != nullptr;
}

GpuLimits CurrentGpuLimits() {
  static std::mutex mutex;
  static auto* const known = new std::map<CuDevice, GpuLimits>;
  const CuApi& api = TheDriver().api;
  CuDevice device;
  if (!Ready().ok() || api.cuCtxGetDevice(&device) != 0) return {};
  const std::lock_guard<std::mutex> lock(mutex);
  GpuLimits& limits = (*known)[device];
  if (limits.capability == 0) {
    int major, minor, shared;
    if (!CapabilityOf(device, &major, &minor).ok() ||
        api.cuDeviceGetAttribute(&shared, kCuSharedOnDemand, device) != 0) {
      return {};
    }
    limits = {10 * major + minor, shared};
  }
  return limits;
}

Status LaunchKernel(const Stream& stream, const char* name, const Grid& grid,
                    int threads, int64_t shared_bytes, const void* arguments,
                    int64_t argument_bytes) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return Ok();
  if (grid.x < 0 || grid.x > 0x7fffffff || grid.y < 0 || grid.y > 0xffff ||
      grid.z < 0 || grid.z > 0xffff) {
    return Error(Status::kInvalidArgument,
                 "blocks of %s: got %lld x %lld x %lld, expected at most "
                 "2147483647 x 65535 x 65535",
                 name, static_cast<long long>(grid.x),  // NOLINT
                 static_cast<long long>(grid.y),        // NOLINT
                 static_cast<long long>(grid.z));       // NOLINT
  }
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  CuDevice device;
  TF_PAIRWISE_CU_OF(name, cuCtxGetDevice, &device);
  CuKernel kernel;
  TF_PAIRWISE_RETURN_IF_ERROR(
      TheKernels().Find(device, name, shared_bytes, &kernel));
  // CU_LAUNCH_PARAM_BUFFER_POINTER, _SIZE and _END: all arguments as they lie.
  size_t bytes = argument_bytes;
  void* extra[] = {reinterpret_cast<void*>(1), const_cast<void*>(arguments),
                   reinterpret_cast<void*>(2), &bytes, nullptr};
  TF_PAIRWISE_CU_OF(name, cuLaunchKernel, kernel, grid.x, grid.y, grid.z,
                    threads, 1, 1, shared_bytes, stream.handle, nullptr, extra);
  return Ok();
}

Status FillBytes(const Stream& stream, void* memory, uint8_t value,
                 int64_t bytes) {
  if (bytes == 0) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  TF_PAIRWISE_CU(cuMemsetD8Async, PointerOf(memory), value, bytes,
                 stream.handle);
  return Ok();
}

Status CopyOnGpu(const Stream& stream, void* to, const void* from,
                 int64_t bytes) {
  if (bytes == 0) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  TF_PAIRWISE_CU(cuMemcpyDtoDAsync, PointerOf(to), PointerOf(from), bytes,
                 stream.handle);
  return Ok();
}

Status CopyToHost(const Stream& stream, void* to, const void* from,
                  int64_t bytes) {
  if (bytes == 0) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  TF_PAIRWISE_CU(cuMemcpyDtoHAsync, to, PointerOf(from), bytes, stream.handle);
  return WaitForStream(stream);
}

Status CopyToGpu(const Stream& stream, void* to, const void* from,
                 int64_t bytes) {
  if (bytes == 0) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  TF_PAIRWISE_CU(cuMemcpyHtoDAsync, PointerOf(to), from, bytes, stream.handle);
  return Ok();
}

Status AllocateOnGpu(const Stream& stream, int64_t bytes, void** memory) {
  *memory = nullptr;
  if (bytes == 0) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  CuPointer pointer = 0;
  TF_PAIRWISE_CU(cuMemAllocAsync, &pointer, bytes, stream.handle);
  *memory = reinterpret_cast<void*>(pointer);
  return Ok();
}

Status FreeOnGpu(const Stream& stream, void* memory) {
  if (memory == nullptr) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  TF_PAIRWISE_CU(cuMemFreeAsync, PointerOf(memory), stream.handle);
  return Ok();
}

Status WaitForStream(const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Ready());
  TF_PAIRWISE_CU(cuStreamSynchronize, stream.handle);
  return Ok();
}

GpuScope::GpuScope(const void* memory) {
  status_ = Ready();
  CuContext context = nullptr;
  if (status_.ok()) status_ = ContextFor(memory, &context);
  if (!status_.ok()) return;
  const CuApi& api = TheDriver().api;
  if (context != nullptr) {
    status_ = StatusOf(api, api.cuCtxPushCurrent(context), "cuCtxPushCurrent");
    pushed_ = status_.ok();
  }
  if (status_.ok()) {
    status_ = StatusOf(api, api.cuCtxGetDevice(&device_), "cuCtxGetDevice");
  }
}

GpuScope::~GpuScope() {
  CuContext context;
  if (pushed_) TheDriver().api.cuCtxPopCurrent(&context);
}

}  // namespace tf_pairwise

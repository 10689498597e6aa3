#ifndef TF_PAIRWISE_TESTS_CUDA_HOST_FAKE_CALLS_H_
#define TF_PAIRWISE_TESTS_CUDA_HOST_FAKE_CALLS_H_

#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

// The fake driver (fake_driver.cc) as TensorFlow's and XLA's stand-ins call it:
// what fails ends the process.

namespace fake {

// A function of the driver that TF_PAIRWISE_CUDA_DRIVER names.
template <typename... Arguments>
int Call(const char* name, Arguments... arguments) {
  static void* const driver = [] {
    const char* const path = std::getenv("TF_PAIRWISE_CUDA_DRIVER");
    void* const opened = path == nullptr ? nullptr : dlopen(path, RTLD_NOW);
    if (opened != nullptr) {
      reinterpret_cast<int (*)(unsigned)>(dlsym(opened, "cuInit"))(0);
    }
    return opened;
  }();
  void* const function = driver == nullptr ? nullptr : dlsym(driver, name);
  if (function == nullptr) {
    std::fprintf(stderr, "no fake driver, or none with %s\n", name);
    std::abort();
  }
  return reinterpret_cast<int (*)(Arguments...)>(function)(arguments...);
}

template <typename... Arguments>
void Must(const char* name, Arguments... arguments) {
  const int result = Call(name, arguments...);
  if (result == 0) return;
  std::fprintf(stderr, "fake driver: %s: %d\n", name, result);
  std::abort();
}

using Address = unsigned long long;  // NOLINT
inline Address AddressOf(const void* memory) {
  return reinterpret_cast<Address>(memory);
}

// The context of a device is a thread's while this lives.
class Context {
 public:
  Context() {
    void* context = nullptr;
    Must("cuDevicePrimaryCtxRetain", &context, 0);
    Must("cuCtxPushCurrent_v2", context);
  }
  ~Context() {
    void* context = nullptr;
    Must("cuCtxPopCurrent_v2", &context);
  }
};

// Memory that comes and goes in a stream's order; null for no bytes.
inline void* Allocate(size_t bytes, void* stream) {
  if (bytes == 0) return nullptr;
  const Context context;
  Address address = 0;
  const int result = Call("cuMemAllocAsync", &address, bytes, stream);
  return result == 0 ? reinterpret_cast<void*>(address) : nullptr;
}
inline void Free(void* memory, void* stream) {
  if (memory != nullptr) Must("cuMemFreeAsync", AddressOf(memory), stream);
}

// To the device, and, once all that is on the stream is done, back.
inline int CopyIn(void* to, const void* from, size_t bytes, void* stream) {
  if (bytes == 0) return 0;
  return Call("cuMemcpyHtoDAsync_v2", AddressOf(to), from, bytes, stream);
}
inline int CopyOut(void* to, const void* from, size_t bytes, void* stream) {
  if (bytes == 0) return Call("cuStreamSynchronize", stream);
  return Call("cuMemcpyDtoHAsync_v2", to, AddressOf(from), bytes, stream);
}

}  // namespace fake

#endif  // TF_PAIRWISE_TESTS_CUDA_HOST_FAKE_CALLS_H_

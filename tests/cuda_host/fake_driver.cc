// libfake_cuda.so: a libcuda.so.1 whose device is this host. It runs our
// kernels, the cc/*/*_gpu.cu compiled as C++ (cuda/kernel.h), block by block,
// and is made to show what a real one hides: see memory.h, and
//
//   - work on a stream is done when the host waits for that stream, or copies
//     from it, and not before;
//   - shared memory is 0xFF before each block (0x3F in the third order: numbers
//     like any, for kernels that mend what is none), and bytes behind it are
//     watched;
//   - copies into shared memory that nobody waited for are lost;
//   - TF_PAIRWISE_FAKE_ORDER: blocks and threads run in order (0), backwards
//     (1) or shuffled (2);
//   - TF_PAIRWISE_FAKE_FAIL=cuLaunchKernel:3: the third call of it fails;
//   - TF_PAIRWISE_FAKE_CAPABILITY=8.6: that of the device, which is else 9.0;
//   - TF_PAIRWISE_FAKE_DEVICES, TF_PAIRWISE_FAKE_VERSION: 1 and 12050.
//
// An error that a launch meets is the answer to all calls from then on, as on a
// GPU. Loaded by TF_PAIRWISE_CUDA_DRIVER.

#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "cuda/kernel.h"
#include "memory.h"

#define FAKE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

enum Result {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kInvalidDevice = 101,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kNoBinary = 209,
  kNotFound = 500,
  kIllegalAddress = 700,
  kUnknown = 999,
};

using Address = unsigned long long;  // NOLINT
using HostKernel = tf_pairwise::HostKernel;
using NamedKernel = std::pair<const std::string, HostKernel>;

struct Driver {
  std::recursive_mutex mutex;
  fake::Memory memory;
  // What was put on a stream and is not done.
  std::map<void*, std::vector<std::function<void()>>> streams;
  std::map<std::string, int> calls;
  bool initialised = false;
  int sticky = kSuccess;
  int context = 0;  // its address is that of the one context
  int64_t launches = 0;
  int image = 0;  // that of the last library: 90, or -90 of PTX
};

Driver& TheDriver() {
  static auto* const driver = new Driver;
  return *driver;
}

thread_local std::vector<void*> contexts;

int Setting(const char* name, int otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value ? std::atoi(value) : otherwise;
}

int Complain(int result, const char* what, const char* of) {
  std::fprintf(stderr, "fake driver: %s: %s\n", of, what);
  return result;
}

// The result that a call begins with: that it is to fail, or a launch's error.
int Begin(const char* function) {
  Driver& driver = TheDriver();
  const int count = ++driver.calls[function];
  const char* const fail = std::getenv("TF_PAIRWISE_FAKE_FAIL");
  if (fail != nullptr &&
      fail == std::string(function) + ":" + std::to_string(count)) {
    return std::string(function) == "cuMemAllocAsync" ? kOutOfMemory : kUnknown;
  }
  if (!driver.initialised) return kNotInitialized;
  return driver.sticky;
}

// Begins a function of the driver, which has a lock until its end.
#define FAKE_BEGIN(function)                                           \
  const std::lock_guard<std::recursive_mutex> lock(TheDriver().mutex); \
  if (const int begun = Begin(#function); begun != kSuccess) return begun

// ---- running ----

const char* running = nullptr;

void OnCrash(int signal) {
  if (running != nullptr) {
    const char* const words = "\nfake driver: crashed in the kernel ";
    (void)!write(2, words, std::strlen(words));
    (void)!write(2, running, std::strlen(running));
    (void)!write(2, "\n", 1);
  } else {
    const char* const words =
        "\nfake driver: crashed outside of kernels; was a GPU's memory read on "
        "the host?\n";
    (void)!write(2, words, std::strlen(words));
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// A permutation of [0, count).
int64_t Turn(int order, int64_t i, int64_t count) {
  if (order == 0) return i;
  if (order == 1) return count - 1 - i;
  int64_t step = count * 5 / 8 + 1;
  while (std::gcd(step, count) != 1) ++step;
  return (i * step + count / 3) % count;
}

void ForgetCopies(int threads) {
  for (int t = 0; t < threads; ++t) {
    tf_pairwise::TurnOf() = t;
    tf_pairwise::CopiesOfTurn().clear();
  }
}

int RunGrid(const NamedKernel& named, int64_t gx, int64_t gy, int64_t gz,
            const void* arguments) {
  const HostKernel& kernel = named.second;
  const int order = Setting("TF_PAIRWISE_FAKE_ORDER", 0);
  tf_pairwise::ThreadOrder() = order;
  const int poison = order == 2 ? 0x3f : 0xff;
  constexpr int64_t kBehind = 64;
  std::vector<tf_pairwise::Pack<char>> shared(
      (kernel.shared_bytes + kBehind) / 16 + 2);
  char* const bytes = reinterpret_cast<char*>(shared.data());
  const int64_t blocks = gx * gy * gz;
  running = named.first.c_str();
  int result = kSuccess;
  for (int64_t i = 0; i < blocks && result == kSuccess; ++i) {
    const int64_t block = Turn(order, i, blocks);
    std::memset(bytes, poison, kernel.shared_bytes + kBehind);
    ForgetCopies(kernel.threads);
    kernel.run(bytes, arguments, block % gx, block / gx % gy, block / gx / gy,
               gx);
    for (int64_t b = 0; b < kBehind; ++b) {
      if (bytes[kernel.shared_bytes + b] == static_cast<char>(poison)) continue;
      result =
          Complain(kIllegalAddress, "wrote behind its shared memory", running);
      break;
    }
  }
  running = nullptr;
  return result;
}

void Put(void* stream, std::function<void()> work) {
  TheDriver().streams[stream].push_back(std::move(work));
}

void DoWorkOf(void* stream) {
  Driver& driver = TheDriver();
  auto& queue = driver.streams[stream];
  if (queue.empty()) return;
  const auto crash = std::signal(SIGSEGV, OnCrash);
  driver.memory.Open();
  std::vector<std::function<void()>> work;
  work.swap(queue);
  for (const auto& one : work) {
    if (driver.sticky == kSuccess) one();
  }
  driver.memory.Close();
  std::signal(SIGSEGV, crash);
}

int WorkOff(void* stream) {
  Driver& driver = TheDriver();
  // The default stream waits for the others, and they for it.
  if (stream == nullptr) {
    for (const auto& [other, queue] : driver.streams) {
      if (other != nullptr) DoWorkOf(other);
    }
  }
  DoWorkOf(nullptr);
  DoWorkOf(stream);
  return driver.sticky;
}

}  // namespace

// ---- what it is ----

FAKE_EXPORT int cuGetErrorName(int result, const char** name) {
  *name = result == kInvalidValue     ? "CUDA_ERROR_INVALID_VALUE"
          : result == kOutOfMemory    ? "CUDA_ERROR_OUT_OF_MEMORY"
          : result == kNotInitialized ? "CUDA_ERROR_NOT_INITIALIZED"
          : result == kInvalidDevice  ? "CUDA_ERROR_INVALID_DEVICE"
          : result == kInvalidImage   ? "CUDA_ERROR_INVALID_IMAGE"
          : result == kInvalidContext ? "CUDA_ERROR_INVALID_CONTEXT"
          : result == kNoBinary       ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
          : result == kNotFound       ? "CUDA_ERROR_NOT_FOUND"
          : result == kIllegalAddress ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                      : "CUDA_ERROR_UNKNOWN";
  return kSuccess;
}

FAKE_EXPORT int cuGetErrorString(int, const char** text) {
  *text = "said by the fake driver";
  return kSuccess;
}

FAKE_EXPORT int cuInit(unsigned) {
  TheDriver().initialised = true;
  FAKE_BEGIN(cuInit);
  return kSuccess;
}

FAKE_EXPORT int cuDriverGetVersion(int* version) {
  *version = Setting("TF_PAIRWISE_FAKE_VERSION", 12050);
  return kSuccess;
}

FAKE_EXPORT int cuDeviceGetCount(int* count) {
  FAKE_BEGIN(cuDeviceGetCount);
  *count = Setting("TF_PAIRWISE_FAKE_DEVICES", 1);
  return kSuccess;
}

FAKE_EXPORT int cuDeviceGet(int* device, int number) {
  FAKE_BEGIN(cuDeviceGet);
  *device = number;
  const int devices = Setting("TF_PAIRWISE_FAKE_DEVICES", 1);
  return number >= 0 && number < devices ? kSuccess : kInvalidDevice;
}

FAKE_EXPORT int cuDeviceGetName(char* name, int bytes, int) {
  FAKE_BEGIN(cuDeviceGetName);
  std::snprintf(name, bytes, "Fake GPU");
  return kSuccess;
}

static void Capability(int* major, int* minor) {
  const char* const said = std::getenv("TF_PAIRWISE_FAKE_CAPABILITY");
  *major = 9;
  *minor = 0;
  if (said != nullptr) std::sscanf(said, "%d.%d", major, minor);
}

// Shared memory that a block may ask for, in KB: the programming guide's table
// of compute capabilities.
static int SharedBytes() {
  int major, minor;
  Capability(&major, &minor);
  const int capability = 10 * major + minor;
  const int kilobytes = capability == 70                       ? 96
                        : capability == 75                     ? 64
                        : capability == 80 || capability == 87 ? 163
                        : capability < 90 || capability >= 120 ? 99
                                                               : 227;
  return kilobytes * 1024;
}

FAKE_EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) {
  FAKE_BEGIN(cuDeviceGetAttribute);
  int major, minor;
  Capability(&major, &minor);
  switch (attribute) {
    case 75:
      *value = major;
      return kSuccess;
    case 76:
      *value = minor;
      return kSuccess;
    case 97:
      *value = SharedBytes();
      return kSuccess;
    default:
      return kInvalidValue;
  }
}

// ---- contexts ----

FAKE_EXPORT int cuDevicePrimaryCtxRetain(void** context, int) {
  FAKE_BEGIN(cuDevicePrimaryCtxRetain);
  *context = &TheDriver().context;
  return kSuccess;
}

FAKE_EXPORT int cuCtxGetCurrent(void** context) {
  FAKE_BEGIN(cuCtxGetCurrent);
  *context = contexts.empty() ? nullptr : contexts.back();
  return kSuccess;
}

FAKE_EXPORT int cuCtxPushCurrent_v2(void* context) {
  FAKE_BEGIN(cuCtxPushCurrent);
  if (context != &TheDriver().context) return kInvalidContext;
  contexts.push_back(context);
  return kSuccess;
}

FAKE_EXPORT int cuCtxPopCurrent_v2(void** context) {
  if (contexts.empty()) return kInvalidContext;
  *context = contexts.back();
  contexts.pop_back();
  return kSuccess;
}

FAKE_EXPORT int cuCtxGetDevice(int* device) {
  FAKE_BEGIN(cuCtxGetDevice);
  *device = 0;
  return contexts.empty() ? kInvalidContext : kSuccess;
}

FAKE_EXPORT int cuPointerGetAttribute(void* value, int attribute,
                                      Address address) {
  FAKE_BEGIN(cuPointerGetAttribute);
  if (!TheDriver().memory.Holds(address)) return kInvalidValue;
  if (attribute == 1) {
    *static_cast<void**>(value) = &TheDriver().context;
  } else if (attribute == 2) {
    *static_cast<unsigned*>(value) = 2;  // CU_MEMORYTYPE_DEVICE
  } else if (attribute == 9) {
    *static_cast<int*>(value) = 0;
  } else {
    return kInvalidValue;
  }
  return kSuccess;
}

// ---- kernels ----

FAKE_EXPORT int cuLibraryLoadData(void** library, const void* code, int*,
                                  void**, unsigned, int*, void**, unsigned) {
  FAKE_BEGIN(cuLibraryLoadData);
  const char* const text = static_cast<const char*>(code);
  const bool is_elf = std::memcmp(text, "\177ELF", 4) == 0;
  int architecture = 0;
  if (is_elf) {
    architecture = static_cast<unsigned char>(text[48]);  // of e_flags
  } else {
    const char* const target = std::strstr(text, ".target sm_");
    if (target == nullptr) return kInvalidImage;
    architecture = std::atoi(target + std::strlen(".target sm_"));
  }
  int major, minor;
  Capability(&major, &minor);
  const bool runs = architecture <= 10 * major + minor &&
                    (!is_elf || architecture / 10 == major);
  if (!runs) return kNoBinary;
  TheDriver().image = is_elf ? architecture : -architecture;
  *library = const_cast<void*>(code);
  return kSuccess;
}

FAKE_EXPORT int cuLibraryGetKernel(void** kernel, void*, const char* name) {
  FAKE_BEGIN(cuLibraryGetKernel);
  auto& kernels = tf_pairwise::HostKernels();
  const auto found = kernels.find(name);
  if (found == kernels.end()) return kNotFound;
  *kernel = &*found;
  return kSuccess;
}

FAKE_EXPORT int cuKernelSetAttribute(int, int value, void*, int) {
  FAKE_BEGIN(cuKernelSetAttribute);
  return value <= SharedBytes() ? kSuccess : kInvalidValue;
}

FAKE_EXPORT int cuLaunchKernel(void* kernel, unsigned gx, unsigned gy,
                               unsigned gz, unsigned bx, unsigned by,
                               unsigned bz, unsigned shared_bytes, void* stream,
                               void**, void** extra) {
  FAKE_BEGIN(cuLaunchKernel);
  if (contexts.empty()) return kInvalidContext;
  const auto& named = *static_cast<const NamedKernel*>(kernel);
  const char* const name = named.first.c_str();
  if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535) {
    return Complain(kInvalidValue, "a grid that cannot be", name);
  }
  if (bx * by * bz != static_cast<unsigned>(named.second.threads) ||
      shared_bytes != named.second.shared_bytes) {
    return Complain(kInvalidValue,
                    "launched with other threads or other shared "
                    "memory than the kernel of that name has",
                    name);
  }
  if (*static_cast<const size_t*>(extra[3]) !=
      static_cast<size_t>(named.second.argument_bytes)) {
    return Complain(kInvalidValue,
                    "launched with other arguments than the "
                    "kernel of that name has",
                    name);
  }
  ++TheDriver().launches;
  const auto* const first = static_cast<const char*>(extra[1]);
  std::vector<tf_pairwise::Pack<char>> copy(named.second.argument_bytes / 16 +
                                            1);
  std::memcpy(copy.data(), first, named.second.argument_bytes);
  Put(stream, [=, &named, arguments = std::move(copy)] {
    TheDriver().sticky = RunGrid(named, gx, gy, gz, arguments.data());
  });
  return kSuccess;
}

// ---- memory ----

FAKE_EXPORT int cuMemAlloc_v2(Address* address, size_t bytes) {
  FAKE_BEGIN(cuMemAlloc);
  *address = TheDriver().memory.Allocate(bytes);
  return *address == 0 ? kOutOfMemory : kSuccess;
}

FAKE_EXPORT int cuMemAllocAsync(Address* address, size_t bytes, void*) {
  FAKE_BEGIN(cuMemAllocAsync);
  if (contexts.empty()) return kInvalidContext;
  *address = TheDriver().memory.Allocate(bytes);
  return *address == 0 ? kOutOfMemory : kSuccess;
}

FAKE_EXPORT int cuMemFree_v2(Address address) {
  FAKE_BEGIN(cuMemFree);
  WorkOff(nullptr);
  return TheDriver().memory.Free(address) ? TheDriver().sticky : kInvalidValue;
}

FAKE_EXPORT int cuMemFreeAsync(Address address, void* stream) {
  FAKE_BEGIN(cuMemFreeAsync);
  if (!TheDriver().memory.Holds(address)) {
    return Complain(kInvalidValue, "what is freed is not allocated",
                    "cuMemFreeAsync");
  }
  Put(stream, [=] {
    if (!TheDriver().memory.Free(address)) TheDriver().sticky = kIllegalAddress;
  });
  return kSuccess;
}

FAKE_EXPORT int cuMemsetD8Async(Address to, unsigned char value, size_t bytes,
                                void* stream) {
  FAKE_BEGIN(cuMemsetD8Async);
  if (!TheDriver().memory.Holds(to, bytes)) return kInvalidValue;
  Put(stream, [=] { std::memset(reinterpret_cast<void*>(to), value, bytes); });
  return kSuccess;
}

FAKE_EXPORT int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes,
                                     void* stream) {
  FAKE_BEGIN(cuMemcpyDtoDAsync);
  if (!TheDriver().memory.Holds(to, bytes) ||
      !TheDriver().memory.Holds(from, bytes)) {
    return kInvalidValue;
  }
  Put(stream, [=] {
    std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from),
                bytes);
  });
  return kSuccess;
}

// Of pageable memory: it is read, or written, before the call returns.
FAKE_EXPORT int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes,
                                     void* stream) {
  FAKE_BEGIN(cuMemcpyHtoDAsync);
  if (!TheDriver().memory.Holds(to, bytes)) return kInvalidValue;
  const auto* const first = static_cast<const char*>(from);
  Put(stream, [to, copy = std::vector<char>(first, first + bytes)] {
    std::memcpy(reinterpret_cast<void*>(to), copy.data(), copy.size());
  });
  return kSuccess;
}

FAKE_EXPORT int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes,
                                     void* stream) {
  FAKE_BEGIN(cuMemcpyDtoHAsync);
  if (!TheDriver().memory.Holds(from, bytes)) return kInvalidValue;
  Put(stream, [=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
  return WorkOff(stream);
}

FAKE_EXPORT int cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) {
  const int result = cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
  return result == kSuccess ? WorkOff(nullptr) : result;
}

FAKE_EXPORT int cuMemcpyDtoH_v2(void* to, Address from, size_t bytes) {
  return cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
}

FAKE_EXPORT int cuStreamSynchronize(void* stream) {
  FAKE_BEGIN(cuStreamSynchronize);
  return WorkOff(stream);
}

// ---- for tests ----

// How many launches there were, how many allocations there are, and how much
// waits on a stream.
FAKE_EXPORT int64_t FakeLaunches() { return TheDriver().launches; }
FAKE_EXPORT int64_t FakeAllocations() { return TheDriver().memory.count(); }
FAKE_EXPORT int64_t FakeWaiting(void* stream) {
  return static_cast<int64_t>(TheDriver().streams[stream].size());
}
FAKE_EXPORT int FakeImage() { return TheDriver().image; }
// The kernels, by number: the name (null behind the last), threads of a block
// and shared memory that a launch asks for.
FAKE_EXPORT const char* FakeKernel(int64_t number, int* threads,
                                   int64_t* shared_bytes) {
  auto& kernels = tf_pairwise::HostKernels();
  if (number >= static_cast<int64_t>(kernels.size())) return nullptr;
  const NamedKernel& kernel = *std::next(kernels.begin(), number);
  *threads = kernel.second.threads;
  *shared_bytes = kernel.second.shared_bytes;
  return kernel.first.c_str();
}
// Forgets errors, and how often functions were called.
FAKE_EXPORT void FakeReset() {
  TheDriver().sticky = kSuccess;
  TheDriver().calls.clear();
}

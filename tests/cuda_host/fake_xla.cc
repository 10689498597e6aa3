// libfake_xla.so: XLA on a GPU for a TensorFlow that has none. Our handlers of
// "CUDA" are registered in the place of those of "Host", so that XLA's programs
// for the CPU call them: with buffers that are copied to the fake driver's
// memory (fake_driver.cc) and back, on a stream and with an allocator of it.
//
// Loaded before TensorFlow, with RTLD_GLOBAL: it takes the place of the
// function by which _ops_2.21.so asks for XLA's interface.

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "fake_calls.h"
#include "xla/ffi/api/ffi.h"

namespace {

constexpr const char* kLookup = "_ZN3xla3ffi12GetXlaFfiApiEv";
constexpr int kMost = 64;  // handlers

int stream_of_xla = 0;  // whose address is a stream
void* const stream = &stream_of_xla;

std::atomic<int64_t> calls{0}, scratch{0};

const XLA_FFI_Api* Real() {
  static const XLA_FFI_Api* const api = [] {
    void* const library =
        dlopen("libtensorflow_cc.so.2", RTLD_LAZY | RTLD_NOLOAD);
    void* const lookup = library == nullptr ? nullptr : dlsym(library, kLookup);
    if (lookup == nullptr) {
      std::fprintf(stderr, "fake XLA: TensorFlow has no %s\n", kLookup);
      std::abort();
    }
    return reinterpret_cast<const XLA_FFI_Api* (*)()>(lookup)();
  }();
  return api;
}

// ---- what a handler asks of XLA ----

XLA_FFI_Error* GetStream(XLA_FFI_Stream_Get_Args* args) {
  args->stream = stream;
  return nullptr;
}

XLA_FFI_Error* Allocate(XLA_FFI_DeviceMemory_Allocate_Args* args) {
  ++scratch;
  args->data = fake::Allocate(args->size, stream);
  if (args->data != nullptr) return nullptr;
  XLA_FFI_Error_Create_Args error = {XLA_FFI_Error_Create_Args_STRUCT_SIZE,
                                     nullptr, "the fake driver has none",
                                     XLA_FFI_Error_Code_RESOURCE_EXHAUSTED};
  return Real()->XLA_FFI_Error_Create(&error);
}

XLA_FFI_Error* Free(XLA_FFI_DeviceMemory_Free_Args* args) {
  --scratch;
  fake::Free(args->data, stream);
  return nullptr;
}

const XLA_FFI_Api* OfGpu() {
  static const XLA_FFI_Api api = [] {
    XLA_FFI_Api copy = *Real();
    copy.XLA_FFI_Stream_Get = GetStream;
    copy.XLA_FFI_DeviceMemory_Allocate = Allocate;
    copy.XLA_FFI_DeviceMemory_Free = Free;
    return copy;
  }();
  return &api;
}

// ---- a call ----

// A buffer's copy on the GPU.
class OnGpu {
 public:
  explicit OnGpu(const XLA_FFI_Buffer& buffer)
      : host_(buffer), device_(buffer) {
    bytes_ = xla::ffi::ByteWidth(static_cast<xla::ffi::DataType>(buffer.dtype));
    for (int64_t i = 0; i < buffer.rank; ++i) bytes_ *= buffer.dims[i];
    device_.data = fake::Allocate(bytes_, stream);
  }
  OnGpu(OnGpu&& other)
      : host_(other.host_), device_(other.device_), bytes_(other.bytes_) {
    other.device_.data = nullptr;
  }
  ~OnGpu() { fake::Free(device_.data, stream); }

  int CopyIn() const {
    return fake::CopyIn(device_.data, host_.data, bytes_, stream);
  }
  int CopyOut() const {
    return fake::CopyOut(host_.data, device_.data, bytes_, stream);
  }
  void* buffer() { return &device_; }

 private:
  XLA_FFI_Buffer host_, device_;
  size_t bytes_;
};

std::vector<OnGpu> Copies(void* const* buffers, int64_t count) {
  std::vector<OnGpu> copies;
  for (int64_t i = 0; i < count; ++i) {
    copies.emplace_back(*static_cast<const XLA_FFI_Buffer*>(buffers[i]));
  }
  return copies;
}

std::vector<void*> Pointers(std::vector<OnGpu>* copies) {
  std::vector<void*> pointers;
  for (OnGpu& copy : *copies) pointers.push_back(copy.buffer());
  return pointers;
}

XLA_FFI_Error* Run(XLA_FFI_Handler* handler, XLA_FFI_CallFrame* frame) {
  // XLA asks what the handler is, in a call that is none.
  if (frame->extension_start != nullptr) return handler(frame);
  ++calls;
  std::vector<OnGpu> arguments = Copies(frame->args.args, frame->args.size);
  std::vector<OnGpu> results = Copies(frame->rets.rets, frame->rets.size);
  std::vector<void*> in = Pointers(&arguments), out = Pointers(&results);
  for (const OnGpu& argument : arguments) argument.CopyIn();
  XLA_FFI_CallFrame own = *frame;
  own.api = OfGpu();
  own.args.args = in.data();
  own.rets.rets = out.data();
  XLA_FFI_Error* error = nullptr;
  {
    const fake::Context current;
    error = handler(&own);
  }
  for (const OnGpu& result : results) {
    const int failed = result.CopyOut();
    if (failed == 0 || error != nullptr) continue;
    const std::string message = "fake driver: " + std::to_string(failed);
    XLA_FFI_Error_Create_Args args = {XLA_FFI_Error_Create_Args_STRUCT_SIZE,
                                      nullptr, message.c_str(),
                                      XLA_FFI_Error_Code_INTERNAL};
    error = Real()->XLA_FFI_Error_Create(&args);
  }
  return error;
}

// ---- registration ----

// A handler is a bare function, so that each has one that calls it.
XLA_FFI_Handler* handlers[kMost];

template <int kNumber>
XLA_FFI_Error* RunNumber(XLA_FFI_CallFrame* frame) {
  return Run(handlers[kNumber], frame);
}

template <int... kNumbers>
XLA_FFI_Handler* Runner(int number, std::integer_sequence<int, kNumbers...>) {
  static constexpr XLA_FFI_Handler* kRunners[] = {RunNumber<kNumbers>...};
  return kRunners[number];
}

XLA_FFI_Error* Register(XLA_FFI_Handler_Register_Args* args) {
  static int count = 0;
  const std::string platform(args->platform.ptr, args->platform.len);
  if (platform != "CUDA") return nullptr;
  if (count == kMost) std::abort();
  handlers[count] = args->bundle.execute;
  XLA_FFI_Handler_Register_Args own = *args;
  own.platform = {"Host", 4};
  own.bundle = {};
  own.bundle.execute =
      Runner(count++, std::make_integer_sequence<int, kMost>());
  return Real()->XLA_FFI_Handler_Register(&own);
}

}  // namespace

namespace xla::ffi {
__attribute__((visibility("default"))) const XLA_FFI_Api* GetXlaFfiApi() {
  static const XLA_FFI_Api api = [] {
    XLA_FFI_Api copy = *Real();
    copy.XLA_FFI_Handler_Register = ::Register;
    return copy;
  }();
  return &api;
}
}  // namespace xla::ffi

// How often handlers were called, and how much scratch they did not give back.
extern "C" __attribute__((visibility("default"))) int64_t FakeXlaCalls() {
  return calls;
}
extern "C" __attribute__((visibility("default"))) int64_t FakeXlaScratch() {
  return scratch;
}

#ifndef TF_PAIRWISE_ADAPTERS_XLA_H_
#define TF_PAIRWISE_ADAPTERS_XLA_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/call.h"
#include "adapters/shape_matcher.h"
#include "adapters/tensorflow.h"
#include "adapters/work.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/types.h"
#include "xla/ffi/api/ffi.h"
#if TF_PAIRWISE_WITH_GPU
#include "core/stream.h"
#include "cuda/driver.h"
#endif

// From XLA's vocabulary to ours. An op (see call.h) gets two things:
//
//   a lowering   when TensorFlow has XLA compile a graph with the op in it, the
//                op becomes a custom call: the op's inputs, the shapes that its
//                shape function infers, its attributes. It is the same for all
//                ops; see custom_call_xla.cc.
//   a handler    what the custom call runs: the op's own Run, on XLA's buffers
//                and threads; on a GPU, on its stream.
//
// TF_PAIRWISE_REGISTER_XLA(name, op) registers both, for XLA on the CPU, and on
// a GPU where the library has kernels for one (TF_PAIRWISE_WITH_GPU).

namespace xla::ffi {
// TensorFlow's. Its own header, xla/ffi/ffi_api.h, wants MLIR's.
const XLA_FFI_Api* GetXlaFfiApi();
}  // namespace xla::ffi

namespace tf_pairwise {

// The name that an op's handler is registered under.
inline std::string XlaTarget(const std::string& op) {
  return "tf_pairwise." + op.substr(op.find('>') + 1);
}

// The attribute of a custom call that has the value of the op's kHostInput,
// where that is one number and XLA knows it: on a GPU it need not be waited
// for.
constexpr char kHostInputAttr[] = "host_input";

// The lowering of an op whose kHostInput is `host_input`.
tensorflow::OpKernel* MakeCustomCall(OpKernelConstruction* construction,
                                     HostInput host_input);
template <typename Op>
tensorflow::OpKernel* MakeCustomCallOf(OpKernelConstruction* construction) {
  return MakeCustomCall(construction, kHostInputOf<Op>);
}

// Registers the lowering of the op.
struct XlaLowering {
  XlaLowering(const char* op,
              tensorflow::OpKernel* (*make)(OpKernelConstruction*));
};

// An op's attributes, as the lowering writes them into the custom call.
class XlaAttributes {
 public:
  explicit XlaAttributes(const xla::ffi::Dictionary* attributes)
      : attributes_(attributes) {}

  Status GetAttr(const char* name, std::string* value) const {
    std::string_view text;
    TF_PAIRWISE_RETURN_IF_ERROR(Get(name, &text));
    *value = std::string(text);
    return Ok();
  }
  Status GetAttr(const char* name, bool* value) const {
    return Get(name, value);
  }
  Status GetAttr(const char* name, int64_t* value) const {
    return Get(name, value);
  }
  // A type is the number of TensorFlow's.
  Status GetAttr(const char* name, DType* value) const {
    int64_t number = 0;
    TF_PAIRWISE_RETURN_IF_ERROR(Get(name, &number));
    *value = ToDType(static_cast<tensorflow::DataType>(number));
    return Ok();
  }

 private:
  template <typename T>
  Status Get(const char* name, T* value) const {
    xla::ffi::ErrorOr<T> found = attributes_->get<T>(name);
    if (found.has_error()) {
      return Error(Status::kInternal, "%s: %s", name,
                   found.error().message().c_str());
    }
    *value = found.value();
    return Ok();
  }

  const xla::ffi::Dictionary* attributes_;
};

// XLA's intra-op threads as ours. The calling thread works too, and is worker
// 0; it waits for no thread that has not begun, so that a pool which is busy,
// or whose thread the caller is, cannot hold it up.
class XlaThreads {
 public:
  explicit XlaThreads(xla::ffi::ThreadPool pool)
      : pool_(std::move(pool)),
        threads_(static_cast<int>(pool_.num_threads())) {}

  ParallelFor parallel() {
    ParallelFor parallel;
    if (threads_ <= 1) return parallel;
    parallel.workers = threads_ + 1;
    parallel.context = this;
    parallel.run = [](void* context, int64_t units, double cost,
                      ParallelFor::Body body, void* argument) {
      static_cast<XlaThreads*>(context)->Run(units, cost, body, argument);
    };
    return parallel;
  }

 private:
  void Run(int64_t units, double cost, ParallelFor::Body body, void* argument) {
    // Shared, since a helper may begin when all is done and the caller gone.
    const auto work =
        std::make_shared<SharedWork>(units, cost, threads_, body, argument);
    for (int i = 0; i < work->helpers_wanted(); ++i) {
      pool_.Schedule([work] { work->Help(); });
    }
    work->WorkAndWait();
  }

  xla::ffi::ThreadPool pool_;
  int threads_;
};

// ---- calls ----

// What call.h asks for of a custom call's buffers, wherever they are.
class XlaBuffers {
 public:
  XlaBuffers(xla::ffi::RemainingArgs arguments, xla::ffi::RemainingRets results)
      : arguments_(std::move(arguments)), results_(std::move(results)) {}
  XlaBuffers(const XlaBuffers&) = delete;
  XlaBuffers& operator=(const XlaBuffers&) = delete;

  Shape shape(int input) const { return ToShape(Argument(input)); }

  DType dtype(int input) const {
    switch (Argument(input).element_type()) {
      case xla::ffi::DataType::F16:
        return DType::kFloat16;
      case xla::ffi::DataType::BF16:
        return DType::kBFloat16;
      case xla::ffi::DataType::F64:
        return DType::kFloat64;
      default:
        return DType::kFloat32;
    }
  }

  const void* input(int input) const { return Argument(input).untyped_data(); }

  // The buffer is XLA's, of the shape that was inferred.
  Status NoOutput(int output) {
    void* nothing = nullptr;
    return Output(output, Shape{true, {0}}, &nothing);
  }

  Status Output(int output, const Shape& shape, void** data) {
    auto result = results_.get<xla::ffi::AnyBuffer>(output);
    if (result.has_error()) {
      return Error(Status::kInternal, "%s", result.error().message().c_str());
    }
    const xla::ffi::AnyBuffer buffer = *result.value();
    const Shape inferred = ToShape(buffer);
    if (inferred.sizes != shape.sizes) {
      return Error(Status::kInternal,
                   "output %d: got shape %s, expected %s as XLA compiled it",
                   output, shape.ToString().c_str(),
                   inferred.ToString().c_str());
    }
    *data = buffer.untyped_data();
    return Ok();
  }

  Status OutputOver(int input, int output, void** data) {
    return Output(output, shape(input), data);
  }

  bool Pass(int, int) { return false; }

 private:
  // The lowering passes every input.
  xla::ffi::AnyBuffer Argument(int input) const {
    return arguments_.get<xla::ffi::AnyBuffer>(input).value();
  }

  static Shape ToShape(const xla::ffi::AnyBuffer& buffer) {
    Shape shape;
    for (const int64_t size : buffer.dimensions()) shape.sizes.push_back(size);
    return shape;
  }

  xla::ffi::RemainingArgs arguments_;
  xla::ffi::RemainingRets results_;
};

inline Status NoMemory(int64_t bytes) {
  return Error(Status::kResourceExhausted, "no memory for %lld bytes",
               static_cast<long long>(bytes));  // NOLINT
}

// On the host.
class XlaCall : public XlaBuffers {
 public:
  XlaCall(xla::ffi::ThreadPool pool, xla::ffi::RemainingArgs arguments,
          xla::ffi::RemainingRets results)
      : XlaBuffers(std::move(arguments), std::move(results)),
        threads_(std::move(pool)),
        parallel_(threads_.parallel()) {}

  bool IsOne(int input) const { return IsOneOnHost(*this, input); }

  Status Scratch(int64_t bytes, void** data) {
    *data = std::malloc(bytes);
    if (*data == nullptr && bytes > 0) return NoMemory(bytes);
    scratch_.emplace_back(*data, &std::free);
    return Ok();
  }

  const ParallelFor& launcher() const { return parallel_; }

 private:
  XlaThreads threads_;
  ParallelFor parallel_;
  std::vector<std::unique_ptr<void, void (*)(void*)>> scratch_;
};

#if TF_PAIRWISE_WITH_GPU
// On a GPU, whose context XLA makes the thread's own. Scratch is given back to
// XLA's allocator, which reuses it in the stream's order.
class XlaGpuCall : public XlaBuffers {
 public:
  XlaGpuCall(const Stream& stream, xla::ffi::ScratchAllocator scratch,
             xla::ffi::RemainingArgs arguments, xla::ffi::RemainingRets results)
      : XlaBuffers(std::move(arguments), std::move(results)),
        stream_(stream),
        scratch_(std::move(scratch)) {}

  // Before the call is used. XLA has no inputs in host memory: what the
  // lowering did not know is copied here, and waited for.
  Status FetchHostInput(HostInput host_input,
                        const xla::ffi::Dictionary& attributes) {
    if (host_input.name == nullptr) return Ok();
    const xla::ffi::ErrorOr<int64_t> known =
        attributes.get<int64_t>(kHostInputAttr);
    if (known.has_value()) {
      fetched_ = {known.value()};
    } else {
      fetched_.resize(shape(host_input.number).elements());
      TF_PAIRWISE_RETURN_IF_ERROR(
          CopyToHost(stream_, fetched_.data(), input(host_input.number),
                     fetched_.size() * sizeof(int64_t)));
    }
    host_input_ = host_input.number;
    return Ok();
  }

  const void* input(int input) const {
    return input == host_input_ ? fetched_.data() : XlaBuffers::input(input);
  }

  // To look would mean to wait for the device.
  bool IsOne(int) const { return false; }

  Status Scratch(int64_t bytes, void** data) {
    *data = nullptr;
    if (bytes == 0) return Ok();
    const std::optional<void*> made = scratch_.Allocate(bytes);
    if (!made.has_value()) return NoMemory(bytes);
    *data = *made;
    return Ok();
  }

  const Stream& launcher() const { return stream_; }

 private:
  Stream stream_;
  xla::ffi::ScratchAllocator scratch_;
  int host_input_ = -1;
  std::vector<int64_t> fetched_;
};
#endif

// ---- handlers ----

inline xla::ffi::Error ToXla(const Status& status) {
  if (status.ok()) return xla::ffi::Error::Success();
  // XLA's codes are absl's.
  return xla::ffi::Error(
      static_cast<xla::ffi::ErrorCode>(ToAbsl(status).code()), status.message);
}

template <typename Op>
xla::ffi::Error RunOp(xla::ffi::ThreadPool pool,
                      xla::ffi::RemainingArgs arguments,
                      xla::ffi::RemainingRets results,
                      xla::ffi::Dictionary dictionary) {
  Op op;
  XlaAttributes attributes(&dictionary);
  const Status read = op.Read(&attributes);
  if (!read.ok()) return ToXla(read);
  XlaCall call(std::move(pool), std::move(arguments), std::move(results));
  return ToXla(op.Run(call));
}

template <typename Op>
XLA_FFI_Error* XlaHandler(XLA_FFI_CallFrame* frame) {
  static auto* const handler = xla::ffi::Ffi::Bind()
                                   .Ctx<xla::ffi::ThreadPool>()
                                   .RemainingArgs()
                                   .RemainingRets()
                                   .Attrs()
                                   .To(RunOp<Op>)
                                   .release();
  return handler->Call(frame);
}

#if TF_PAIRWISE_WITH_GPU
template <typename Op>
xla::ffi::Error RunOpOnGpu(void* stream, xla::ffi::ScratchAllocator scratch,
                           xla::ffi::RemainingArgs arguments,
                           xla::ffi::RemainingRets results,
                           xla::ffi::Dictionary dictionary) {
  Op op;
  XlaAttributes attributes(&dictionary);
  const Status read = op.Read(&attributes);
  if (!read.ok()) return ToXla(read);
  XlaGpuCall call(Stream{stream}, std::move(scratch), std::move(arguments),
                  std::move(results));
  const Status fetched = call.FetchHostInput(kHostInputOf<Op>, dictionary);
  if (!fetched.ok()) return ToXla(fetched);
  return ToXla(op.Run(call));
}

template <typename Op>
XLA_FFI_Error* XlaGpuHandler(XLA_FFI_CallFrame* frame) {
  static auto* const handler = xla::ffi::Ffi::Bind()
                                   .Ctx<xla::ffi::PlatformStream<void*>>()
                                   .Ctx<xla::ffi::ScratchAllocator>()
                                   .RemainingArgs()
                                   .RemainingRets()
                                   .Attrs()
                                   .To(RunOpOnGpu<Op>)
                                   .release();
  return handler->Call(frame);
}
#endif

template <typename Op>
struct XlaRegistration {
  explicit XlaRegistration(const char* op)
      : lowering(op, &MakeCustomCallOf<Op>) {
    const std::string target = XlaTarget(op);
    const XLA_FFI_Api* const api = xla::ffi::GetXlaFfiApi();
    xla::ffi::Ffi::RegisterStaticHandler(api, target, "Host", &XlaHandler<Op>);
#if TF_PAIRWISE_WITH_GPU
    xla::ffi::Ffi::RegisterStaticHandler(api, target, "CUDA",
                                         &XlaGpuHandler<Op>);
#endif
  }
  XlaLowering lowering;
};

#define TF_PAIRWISE_REGISTER_XLA(name, ...) \
  TF_PAIRWISE_REGISTER_XLA_(__COUNTER__, name, __VA_ARGS__)
#define TF_PAIRWISE_REGISTER_XLA_(counter, name, ...) \
  TF_PAIRWISE_REGISTER_XLA__(counter, name, __VA_ARGS__)
#define TF_PAIRWISE_REGISTER_XLA__(counter, name, ...)     \
  static const ::tf_pairwise::XlaRegistration<__VA_ARGS__> \
      xla_registration_##counter("TfPairwise>" name)

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_XLA_H_

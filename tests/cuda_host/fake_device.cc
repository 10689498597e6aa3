// libfake_device.so: GPUs for a TensorFlow that has none, on the fake driver
// (fake_driver.cc), as many as that has. Their memory is the driver's, which
// the host cannot read; each has one stream of its own, whose work is done when
// somebody waits for it. TensorFlow has no kernels for them, so that all ops
// but ours run on the CPU, and what they share with ours is copied.
//
// Loaded into TensorFlow before it looks for devices.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fake_calls.h"
#include "tensorflow/core/common_runtime/device_factory.h"
#include "tensorflow/core/common_runtime/local_device.h"
#include "tensorflow/core/framework/allocator.h"
#include "tensorflow/core/framework/device.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor.pb.h"
#include "tensorflow/core/public/session_options.h"
#include "xla/stream_executor/stream.h"

namespace {

namespace se = stream_executor;
#if __has_include("xla/stream_executor/device_address.h")  // from 2.21 on
using DeviceMemory = se::DeviceAddressBase;
#define FAKE_HAS_ONEAPI 1
#else
using DeviceMemory = se::DeviceMemoryBase;
#endif
using absl::Status;
using tensorflow::Device;
using tensorflow::Tensor;

Status Missing() {
  return absl::UnimplementedError("the fake GPU of tf_pairwise's tests");
}

Status ToStatus(int result) {
  if (result == 0) return absl::OkStatus();
  return absl::InternalError("fake driver: " + std::to_string(result));
}

const void* Data(const Tensor& tensor) { return tensor.tensor_data().data(); }
void* Data(Tensor* tensor) {
  return const_cast<char*>(tensor->tensor_data().data());
}

// TensorFlow hands it to kernels, and asks nothing of it but its handle.
class FakeStream : public se::Stream {
 public:
  void* handle() const { return const_cast<FakeStream*>(this); }

  PlatformSpecificHandle platform_specific_handle() const override {
    return {handle()};
  }
  bool ok() const override { return true; }
  absl::StatusOr<Stream*> GetOrCreateSubStream() override { return Missing(); }
  void ReturnSubStream(Stream*) override {}
  Status WaitFor(Stream*) override { return Missing(); }
  Status WaitFor(se::Event*) override { return Missing(); }
  Status RecordEvent(se::Event*) override { return Missing(); }
  Status Memcpy(void*, const DeviceMemory&, uint64_t) override {
    return Missing();
  }
  Status Memcpy(DeviceMemory*, const void*, uint64_t) override {
    return Missing();
  }
  Status BlockHostUntilDone() override {
    return ToStatus(fake::Call("cuStreamSynchronize", handle()));
  }
  Status DoHostCallbackWithStatus(
      absl::AnyInvocable<Status() &&> callback) override {
    return Missing();
  }
  se::StreamExecutor* parent() const override { return nullptr; }
  se::CudaComputeCapability GetCudaComputeCapability() const override {
    return {};
  }
  se::RocmComputeCapability GetRocmComputeCapability() const override {
    return {};
  }
#if FAKE_HAS_ONEAPI
  se::OneAPIComputeCapability GetOneAPIComputeCapability() const override {
    return {};
  }
#endif
  std::variant<se::StreamPriority, int> priority() const override { return 0; }
  const std::string& GetName() const override { return name_; }
  void SetName(std::string name) override { name_ = std::move(name); }

 private:
  std::string name_ = "fake";
};

class FakeAllocator : public tensorflow::Allocator {
 public:
  explicit FakeAllocator(FakeStream* stream) : stream_(stream) {}

  std::string Name() override { return "GPU_fake"; }
  void* AllocateRaw(size_t, size_t bytes) override {
    return fake::Allocate(bytes, stream_->handle());
  }
  void DeallocateRaw(void* memory) override {
    fake::Free(memory, stream_->handle());
  }
  tsl::AllocatorMemoryType GetMemoryType() const override {
    return tsl::AllocatorMemoryType::kDevice;
  }

 private:
  FakeStream* stream_;
};

class FakeContext : public tensorflow::DeviceContext {
 public:
  explicit FakeContext(FakeStream* stream) : stream_(stream) {}

  se::Stream* stream() const override { return stream_; }

  void CopyCPUTensorToDevice(const Tensor* from, Device*, Tensor* to,
                             tensorflow::StatusCallback done,
                             bool) const override {
    done(ToStatus(fake::CopyIn(Data(to), Data(*from), from->TotalBytes(),
                               stream_->handle())));
  }
  void CopyDeviceTensorToCPU(const Tensor* from, absl::string_view, Device*,
                             Tensor* to,
                             tensorflow::StatusCallback done) override {
    done(ToStatus(fake::CopyOut(Data(to), Data(*from), from->TotalBytes(),
                                stream_->handle())));
  }

 private:
  FakeStream* stream_;
};

class FakeGpu : public tensorflow::LocalDevice {
 public:
  FakeGpu(const tensorflow::SessionOptions& options, const std::string& name)
      : LocalDevice(options,
                    BuildDeviceAttributes(name, tensorflow::DEVICE_GPU,
                                          tensorflow::Bytes(1 << 30), {})),
        allocator_(&stream_),
        context_(new FakeContext(&stream_)) {
    info_.stream = &stream_;
    info_.default_context = context_;
    info_.gpu_id = 0;
    set_tensorflow_accelerator_device_info(&info_);
  }
  ~FakeGpu() override { context_->Unref(); }

  void Compute(tensorflow::OpKernel* kernel,
               tensorflow::OpKernelContext* context) override {
    const fake::Context current;
    kernel->Compute(context);
  }

  Status Sync() override { return stream_.BlockHostUntilDone(); }

  tensorflow::Allocator* GetAllocator(
      tensorflow::AllocatorAttributes attributes) override {
    if (attributes.on_host()) return tensorflow::cpu_allocator();
    return &allocator_;
  }

  Status MakeTensorFromProto(const tensorflow::TensorProto& proto,
                             tensorflow::AllocatorAttributes attributes,
                             Tensor* tensor) override {
    Tensor parsed;
    if (!parsed.FromProto(proto)) {
      return absl::InvalidArgumentError("a TensorProto that is none");
    }
    *tensor = parsed;
    if (attributes.on_host()) return absl::OkStatus();
    *tensor = Tensor(&allocator_, parsed.dtype(), parsed.shape());
    return ToStatus(fake::CopyIn(Data(tensor), Data(parsed),
                                 parsed.TotalBytes(), stream_.handle()));
  }

  Status TryGetDeviceContext(tensorflow::DeviceContext** context) override {
    context_->Ref();
    *context = context_;
    return absl::OkStatus();
  }

 private:
  FakeStream stream_;
  FakeAllocator allocator_;
  FakeContext* context_;
  AcceleratorDeviceInfo info_;
};

class FakeFactory : public tensorflow::DeviceFactory {
 public:
  Status ListPhysicalDevices(std::vector<std::string>* devices) override {
    for (int i = 0; i < Count(); ++i) {
      devices->push_back("/physical_device:GPU:" + std::to_string(i));
    }
    return absl::OkStatus();
  }

  Status CreateDevices(const tensorflow::SessionOptions& options,
                       const std::string& prefix,
                       std::vector<std::unique_ptr<Device>>* devices) override {
    int count = Count();
    const auto wanted = options.config.device_count().find("GPU");
    if (wanted != options.config.device_count().end()) {
      count = std::min(count, static_cast<int>(wanted->second));
    }
    for (int i = 0; i < count; ++i) {
      devices->push_back(std::make_unique<FakeGpu>(
          options, prefix + "/device:GPU:" + std::to_string(i)));
    }
    return absl::OkStatus();
  }

 private:
  static int Count() {
    int count = 0;
    fake::Must("cuDeviceGetCount", &count);
    return count;
  }
};

REGISTER_LOCAL_DEVICE_FACTORY("GPU", FakeFactory, 210);

}  // namespace

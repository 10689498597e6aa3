#ifndef TF_PAIRWISE_ADAPTERS_OP_KERNEL_H_
#define TF_PAIRWISE_ADAPTERS_OP_KERNEL_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adapters/call.h"
#include "adapters/shape_matcher.h"
#include "adapters/tensorflow.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/types.h"
#include "tensorflow/core/framework/cancellation.h"
#include "tensorflow/core/framework/kernel_def_builder.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/lib/core/threadpool.h"
#if TF_PAIRWISE_WITH_GPU
#include "core/stream.h"
#include "xla/stream_executor/stream.h"
#endif

// An op (see call.h) as TensorFlow's kernels: one for the CPU, and one for a
// GPU where the library has kernels for one (TF_PAIRWISE_WITH_GPU).
//
//   TF_PAIRWISE_REGISTER_KERNELS("PairedDistance", PairedDistanceOp);

namespace tf_pairwise {

// What call.h asks for of tensors, wherever they are. Memory is the device's
// allocator's: on a GPU it is given back in the order of the device's stream,
// so that a call may end before its kernels do.
class KernelCall {
 public:
  explicit KernelCall(OpKernelContext* context) : context_(context) {}
  KernelCall(const KernelCall&) = delete;
  KernelCall& operator=(const KernelCall&) = delete;

  Shape shape(int input) const {
    return ToShape(context_->input(input).shape());
  }
  DType dtype(int input) const {
    return ToDType(context_->input(input).dtype());
  }
  const void* input(int input) const { return Data(context_->input(input)); }

  Status NoOutput(int output) {
    void* nothing = nullptr;
    return Output(output, Shape{true, {0}}, &nothing);
  }

  Status Output(int output, const Shape& shape, void** data) {
    TensorShape tensor_shape;
    TF_PAIRWISE_RETURN_IF_ERROR(
        FromAbsl(TensorShape::BuildTensorShape(shape.sizes, &tensor_shape)));
    Tensor* tensor;
    TF_PAIRWISE_RETURN_IF_ERROR(
        FromAbsl(context_->allocate_output(output, tensor_shape, &tensor)));
    *data = Data(tensor);
    return Ok();
  }

  Status OutputOver(int input, int output, void** data) {
    Tensor* tensor;
    TF_PAIRWISE_RETURN_IF_ERROR(
        FromAbsl(context_->forward_input_or_allocate_output(
            {input}, output, context_->input(input).shape(), &tensor)));
    *data = Data(tensor);
    return Ok();
  }

  bool Pass(int input, int output) {
    context_->set_output(output, context_->input(input));
    return true;
  }

  Status Scratch(int64_t bytes, void** data) {
    scratch_.emplace_back();
    TF_PAIRWISE_RETURN_IF_ERROR(FromAbsl(context_->allocate_temp(
        tensorflow::DT_UINT8, TensorShape({bytes}), &scratch_.back())));
    *data = Data(&scratch_.back());
    return Ok();
  }

 private:
  OpKernelContext* context_;
  std::vector<Tensor> scratch_;
};

// ---- the CPU ----

// The intra-op threads of the op that is running. The calling thread works
// too, and is worker 0.
inline ParallelFor IntraOpThreads(OpKernelContext* context) {
  namespace thread = tensorflow::thread;
  ParallelFor parallel;
  thread::ThreadPool* pool =
      context->device()->tensorflow_cpu_worker_threads()->workers;
  if (pool->NumThreads() <= 1) return parallel;
  parallel.context = pool;
  parallel.workers = pool->NumThreads() + 1;
  parallel.run = [](void* pool, int64_t units, double cost,
                    ParallelFor::Body body, void* argument) {
    const auto cycles =
        static_cast<int64_t>(std::clamp(cost, 1.0, /*an hour*/ 1e13));
// The factory that replaces this constructor is not there in TensorFlow 2.19.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const thread::ThreadPool::SchedulingParams adaptive(
        thread::ThreadPool::SchedulingStrategy::kAdaptive, cycles,
        std::nullopt);
#pragma GCC diagnostic pop
    static_cast<thread::ThreadPool*>(pool)->ParallelForWithWorkerId(
        units, adaptive,
        [body, argument](int64_t begin, int64_t end, int worker) {
          body(argument, begin, end, worker);
        });
  };
  return parallel;
}

class CpuKernelCall : public KernelCall {
 public:
  explicit CpuKernelCall(OpKernelContext* context)
      : KernelCall(context), parallel_(IntraOpThreads(context)) {
    parallel_.stop_context = context->cancellation_manager();
    if (parallel_.stop_context == nullptr) return;
    parallel_.stop = [](void* manager) {
      return static_cast<tensorflow::CancellationManager*>(manager)
          ->IsCancelled();
    };
  }

  // What came of a call whose kernels ended so.
  Status Ended(const Status& status) const {
    return parallel_.Stopped() ? Error(Status::kCancelled, "cancelled")
                               : status;
  }

  bool IsOne(int input) const { return IsOneOnHost(*this, input); }

  const ParallelFor& launcher() const { return parallel_; }

 private:
  ParallelFor parallel_;
};

// ---- a GPU ----

#if TF_PAIRWISE_WITH_GPU
// TensorFlow makes the device's context the thread's own before it computes.
class GpuKernelCall : public KernelCall {
 public:
  explicit GpuKernelCall(OpKernelContext* context)
      : KernelCall(context),
        stream_{context->op_device_context()
                    ->stream()
                    ->platform_specific_handle()
                    .stream} {}

  // To look would mean to wait for the device.
  bool IsOne(int) const { return false; }

  // What is on the stream cannot be called back.
  Status Ended(const Status& status) const { return status; }

  const Stream& launcher() const { return stream_; }

 private:
  Stream stream_;
};
#endif

// ---- registration ----

template <typename Op, typename Call>
class Kernel : public tensorflow::OpKernel {
 public:
  explicit Kernel(OpKernelConstruction* construction) : OpKernel(construction) {
    NodeAttributes<OpKernelConstruction> attributes(construction);
    OP_REQUIRES_OK(construction, ToAbsl(op_.Read(&attributes)));
  }

  void Compute(OpKernelContext* context) override {
    Call call(context);
    OP_REQUIRES_OK(context, ToAbsl(call.Ended(op_.Run(call))));
  }

 private:
  Op op_;
};

template <typename Op>
struct KernelRegistration {
  explicit KernelRegistration(const char* op) {
    using tensorflow::KernelDefBuilder;
    KernelDefBuilder cpu(op);
    cpu.Device(tensorflow::DEVICE_CPU);
    Register<CpuKernelCall>(&cpu);
#if TF_PAIRWISE_WITH_GPU
    KernelDefBuilder gpu(op);
    gpu.Device(tensorflow::DEVICE_GPU);
    if (kHostInputOf<Op>.name != nullptr) gpu.HostMemory(kHostInputOf<Op>.name);
    Register<GpuKernelCall>(&gpu);
#endif
  }

 private:
  template <typename Call>
  static void Register(tensorflow::KernelDefBuilder* builder) {
    const tensorflow::KernelDef* const definition = builder->Build();
    tensorflow::kernel_factory::OpKernelRegistrar(
        definition, definition->op(),
        [](OpKernelConstruction* construction) -> tensorflow::OpKernel* {
          return new Kernel<Op, Call>(construction);
        });
  }
};

#define TF_PAIRWISE_REGISTER_KERNELS(name, ...) \
  TF_PAIRWISE_REGISTER_KERNELS_(__COUNTER__, name, __VA_ARGS__)
#define TF_PAIRWISE_REGISTER_KERNELS_(counter, name, ...) \
  TF_PAIRWISE_REGISTER_KERNELS__(counter, name, __VA_ARGS__)
#define TF_PAIRWISE_REGISTER_KERNELS__(counter, name, ...)    \
  static const ::tf_pairwise::KernelRegistration<__VA_ARGS__> \
      kernel_registration_##counter("TfPairwise>" name)

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_OP_KERNEL_H_

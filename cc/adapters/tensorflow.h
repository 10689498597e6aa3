#ifndef TF_PAIRWISE_ADAPTERS_TENSORFLOW_H_
#define TF_PAIRWISE_ADAPTERS_TENSORFLOW_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "adapters/call.h"
#include "adapters/shape_matcher.h"
#include "core/names.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/types.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/lib/core/threadpool.h"

// From TensorFlow's vocabulary to ours: statuses, types, shapes, attributes,
// threads, calls. What losses register is in loss_shape.h.

namespace tf_pairwise {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// The types that every op takes, and the metrics, as attributes of an op.
constexpr char kTypeAttr[] = "T: {half, bfloat16, float, double}";
inline std::string MetricAttr() {
  std::string names;
  for (const NamedValue<Metric>& metric : kMetricNames) {
    names += (names.empty() ? "'" : ", '") + std::string(metric.name) + "'";
  }
  return "metric: {" + names + "}";
}

#define TF_PAIRWISE_TF_RETURN_IF_ERROR(expression) \
  do {                                             \
    const absl::Status status_ = (expression);     \
    if (!status_.ok()) return status_;             \
  } while (false)

// ---- status ----

inline absl::Status ToAbsl(const Status& status) {
  switch (status.code) {
    case Status::kOk:
      return absl::OkStatus();
    case Status::kInvalidArgument:
      return absl::InvalidArgumentError(status.message);
    case Status::kResourceExhausted:
      return absl::ResourceExhaustedError(status.message);
    case Status::kUnimplemented:
      return absl::UnimplementedError(status.message);
    default:
      return absl::InternalError(status.message);
  }
}

inline Status FromAbsl(const absl::Status& status) {
  if (status.ok()) return Ok();
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return InvalidArgument("%s", message.c_str());
    case absl::StatusCode::kResourceExhausted:
      return Error(Status::kResourceExhausted, "%s", message.c_str());
    case absl::StatusCode::kUnimplemented:
      return Error(Status::kUnimplemented, "%s", message.c_str());
    default:
      return Error(Status::kInternal, "%s", message.c_str());
  }
}

// ---- types ----

inline DType ToDType(tensorflow::DataType type) {
  switch (type) {
    case tensorflow::DT_HALF:
      return DType::kFloat16;
    case tensorflow::DT_BFLOAT16:
      return DType::kBFloat16;
    case tensorflow::DT_DOUBLE:
      return DType::kFloat64;
    default:
      return DType::kFloat32;
  }
}

// ---- shapes ----

inline Shape ToShape(const TensorShape& shape) {
  Shape result;
  for (int i = 0; i < shape.dims(); ++i) {
    result.sizes.push_back(shape.dim_size(i));
  }
  return result;
}

inline Shape ToShape(InferenceContext* context, ShapeHandle handle) {
  Shape result;
  result.known_rank = context->RankKnown(handle);
  if (!result.known_rank) return result;
  for (int i = 0; i < context->Rank(handle); ++i) {
    const DimensionHandle size = context->Dim(handle, i);
    result.sizes.push_back(context->ValueKnown(size) ? context->Value(size)
                                                     : kUnknownSize);
  }
  return result;
}

inline ShapeHandle ToHandle(InferenceContext* context, const Shape& shape) {
  if (!shape.known_rank) return context->UnknownShape();
  std::vector<DimensionHandle> sizes;
  for (const int64_t size : shape.sizes) {
    sizes.push_back(size == kUnknownSize ? context->UnknownDim()
                                         : context->MakeDim(size));
  }
  return context->MakeShape(sizes);
}

// The shapes of a call's inputs while a graph is traced; see CallInputs.
struct InferenceInputs {
  InferenceContext* context;
  Shape operator()(int input) const {
    return ToShape(context, context->input(input));
  }
};

// ---- attributes ----

// The attributes of a node (see call.h): of an OpKernelConstruction, or, while
// a graph is traced, of an InferenceContext.
template <typename Context>
class NodeAttributes {
 public:
  explicit NodeAttributes(Context* context) : context_(context) {}

  template <typename T>
  Status GetAttr(const char* name, T* value) const {
    return FromAbsl(context_->GetAttr(name, value));
  }
  Status GetAttr(const char* name, DType* value) const {
    tensorflow::DataType type;
    TF_PAIRWISE_RETURN_IF_ERROR(GetAttr(name, &type));
    *value = ToDType(type);
    return Ok();
  }

 private:
  Context* context_;
};

// ---- data ----

inline const void* Data(const Tensor& tensor) {
  return tensor.tensor_data().data();
}
inline void* Data(Tensor* tensor) {
  return const_cast<char*>(tensor->tensor_data().data());
}

// ---- threads ----

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

// ---- a call ----

// What adapters/call.h asks for, of an OpKernel on the CPU.
class CpuCall {
 public:
  explicit CpuCall(OpKernelContext* context)
      : context_(context), parallel_(IntraOpThreads(context)) {}

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

  bool IsOne(int input) const { return IsOneOnHost(*this, input); }

  Status Scratch(int64_t bytes, void** data) {
    scratch_.emplace_back();
    TF_PAIRWISE_RETURN_IF_ERROR(FromAbsl(context_->allocate_temp(
        tensorflow::DT_UINT8, TensorShape({bytes}), &scratch_.back())));
    *data = Data(&scratch_.back());
    return Ok();
  }

  const ParallelFor& launcher() const { return parallel_; }
  int workers() const { return parallel_.workers; }

 private:
  OpKernelContext* context_;
  ParallelFor parallel_;
  std::vector<Tensor> scratch_;
};

// The OpKernel of an op (see adapters/call.h) on the CPU.
template <typename Op>
class CpuKernel : public tensorflow::OpKernel {
 public:
  explicit CpuKernel(OpKernelConstruction* construction)
      : OpKernel(construction) {
    NodeAttributes<OpKernelConstruction> attributes(construction);
    OP_REQUIRES_OK(construction, ToAbsl(op_.Read(&attributes)));
  }

  void Compute(OpKernelContext* context) override {
    CpuCall call(context);
    OP_REQUIRES_OK(context, ToAbsl(op_.Run(call)));
  }

 private:
  Op op_;
};

#define TF_PAIRWISE_REGISTER_CPU(name, ...)                    \
  REGISTER_KERNEL_BUILDER(                                     \
      Name("TfPairwise>" name).Device(tensorflow::DEVICE_CPU), \
      CpuKernel<__VA_ARGS__>)

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_TENSORFLOW_H_

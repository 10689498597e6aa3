#ifndef TF_PAIRWISE_ADAPTERS_TENSORFLOW_H_
#define TF_PAIRWISE_ADAPTERS_TENSORFLOW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "adapters/shape_matcher.h"
#include "core/names.h"
#include "core/status.h"
#include "core/types.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor.h"

// From TensorFlow's vocabulary to ours: statuses, types, shapes, attributes,
// data. What losses register is in loss_shape.h, and kernels in op_kernel.h.

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
    case Status::kCancelled:
      return absl::CancelledError(status.message);
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

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_TENSORFLOW_H_

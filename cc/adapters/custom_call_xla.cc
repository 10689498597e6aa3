#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/tensorflow.h"
#include "adapters/xla.h"
#include "tensorflow/compiler/tf2xla/shape_util.h"
#include "tensorflow/compiler/tf2xla/type_util.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/public/version.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/layout_util.h"
#include "xla/shape_util.h"

// The lowering of every op: a custom call of its handler.

namespace tf_pairwise {
namespace {

using tensorflow::PartialTensorShape;

constexpr int64_t kMostElements = int64_t{1} << 48;

// `text` as MLIR reads a string.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string Integer(int64_t value) { return std::to_string(value) + " : i64"; }

void AddEntry(const std::string& name, const std::string& value,
              std::string* entries) {
  *entries += (entries->empty() ? "" : ", ") + name + " = " + value;
}

// The op's attributes as entries of the dictionary that XlaAttributes reads.
absl::Status WriteAttributes(const tensorflow::NodeDef& node,
                             std::string* entries) {
  for (const auto& [name, value] : node.attr()) {
    if (name.empty() || name[0] == '_') continue;  // TensorFlow's own
    std::string text;
    switch (value.value_case()) {
      case tensorflow::AttrValue::kS:
        text = Quoted(value.s());
        break;
      case tensorflow::AttrValue::kB:
        text = value.b() ? "true" : "false";
        break;
      case tensorflow::AttrValue::kI:
        text = Integer(value.i());
        break;
      case tensorflow::AttrValue::kType:
        text = Integer(value.type());
        break;
      default:
        return absl::UnimplementedError(
            "attribute " + name + " of " + node.op() +
            " is of a type that the XLA lowering does not pass on");
    }
    AddEntry(name, text, entries);
  }
  return absl::OkStatus();
}

xla::Shape RowMajor(xla::PrimitiveType type, const TensorShape& shape) {
  std::vector<int64_t> sizes;
  for (int i = 0; i < shape.dims(); ++i) sizes.push_back(shape.dim_size(i));
  return xla::ShapeUtil::MakeShapeWithDescendingLayout(type, sizes);
}

class CustomCallOp : public tensorflow::XlaOpKernel {
 public:
  CustomCallOp(OpKernelConstruction* construction, HostInput host_input)
      : XlaOpKernel(construction), host_input_(host_input) {
    OP_REQUIRES_OK(construction, WriteAttributes(def(), &attributes_));
    OP_REQUIRES_OK(construction, tensorflow::OpRegistry::Global()->LookUp(
                                     def().op(), &registration_));
    if (construction->HasAttr("cached")) {
      OP_REQUIRES_OK(construction, construction->GetAttr("cached", &cached_));
    }
  }

  void Compile(tensorflow::XlaOpKernelContext* context) override {
    std::vector<xla::XlaOp> operands;
    std::vector<xla::Shape> operand_shapes;
    std::vector<PartialTensorShape> shapes;
    for (int i = 0; i < context->num_inputs(); ++i) {
      absl::StatusOr<xla::Shape> shape = context->InputXlaShape(i);
      OP_REQUIRES_OK(context, shape.status());
      OP_REQUIRES(
          context, shape->is_static(),
          absl::UnimplementedError(
              registration_->op_def.input_arg(i).name() +
              ": got a shape that is known only when the program runs (after "
              "boolean_mask, where or unique, say), expected one that XLA "
              "knows when it compiles; without jit_compile the op takes it"));
      TensorShape known;
      OP_REQUIRES_OK(context,
                     tensorflow::XLAShapeToTensorShape(*shape, &known));
      operands.push_back(context->Input(i));
      operand_shapes.push_back(RowMajor(shape->element_type(), known));
      shapes.push_back(PartialTensorShape(known));
    }
    std::vector<TensorShape> inferred;
    OP_REQUIRES_OK(context, InferShapes(shapes, &inferred));
    if (cached_) {
      OP_REQUIRES_OK(context, ScaleCached(context, operands, shapes, inferred));
      return;
    }
    std::vector<xla::Shape> results;
    for (int i = 0; i < static_cast<int>(inferred.size()); ++i) {
      xla::PrimitiveType type;
      OP_REQUIRES_OK(
          context, tensorflow::DataTypeToPrimitiveType(output_type(i), &type));
      results.push_back(RowMajor(type, inferred[i]));
    }
    const bool one = results.size() == 1;
    const xla::XlaOp call = xla::CustomCallWithLayout(
        context->builder(), XlaTarget(def().op()), operands,
        one ? results[0] : xla::ShapeUtil::MakeTupleShape(results),
        operand_shapes, Attributes(context), /*has_side_effect=*/false, {},
        nullptr, xla::CustomCallSchedule::SCHEDULE_NONE,
        xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
    for (int i = 0; i < static_cast<int>(results.size()); ++i) {
      context->SetOutput(i, one ? call : xla::GetTupleElement(call, i));
    }
  }

 private:
  // The dictionary of the op's attributes and, where it is known, of
  // kHostInput.
  std::string Attributes(tensorflow::XlaOpKernelContext* context) const {
    std::string entries = attributes_;
    int64_t value = 0;
    if (host_input_.name != nullptr &&
        context->ConstantInputAsIntScalar(host_input_.number, &value).ok()) {
      AddEntry(kHostInputAttr, Integer(value), &entries);
    }
    return "{" + entries + "}";
  }

  // What the op's shape function says: mismatches are found here too.
  absl::Status InferShapes(const std::vector<PartialTensorShape>& inputs,
                           std::vector<TensorShape>* outputs) const {
    InferenceContext context(TF_GRAPH_DEF_VERSION, tensorflow::AttrSlice(def()),
                             registration_->op_def, inputs, {}, {}, {});
    TF_PAIRWISE_TF_RETURN_IF_ERROR(context.construction_status());
    TF_PAIRWISE_TF_RETURN_IF_ERROR(registration_->shape_inference_fn(&context));
    for (int i = 0; i < context.num_outputs(); ++i) {
      const Shape shape = ToShape(&context, context.output(i));
      for (const int64_t size : shape.sizes) {
        if (size == kUnknownSize) {
          return absl::UnimplementedError(
              registration_->op_def.output_arg(i).name() + " of " + def().op() +
              ": its shape depends on the values of the inputs, which XLA "
              "does not know when it compiles; call it without jit_compile");
        }
      }
      outputs->emplace_back();
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          TensorShape::BuildTensorShape(shape.sizes, &outputs->back()));
      // XLA multiplies sizes in bytes unchecked.
      if (outputs->back().num_elements() > kMostElements) {
        return absl::ResourceExhaustedError(
            registration_->op_def.output_arg(i).name() + " of " + def().op() +
            ": no memory for shape " + shape.ToString());
      }
    }
    return absl::OkStatus();
  }

  // A loss's gradient that was made with the loss needs no kernel: XLA scales
  // it where it is used, and where the scale is 1, not at all.
  absl::Status ScaleCached(tensorflow::XlaOpKernelContext* context,
                           const std::vector<xla::XlaOp>& operands,
                           const std::vector<PartialTensorShape>& inputs,
                           const std::vector<TensorShape>& outputs) const {
    const xla::XlaOp upstream = operands[InputNamed("upstream")];
    for (int i = 0; i < static_cast<int>(outputs.size()); ++i) {
      const int saved =
          InputNamed("cached_" + registration_->op_def.output_arg(i).name());
      xla::PrimitiveType type;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          tensorflow::DataTypeToPrimitiveType(output_type(i), &type));
      if (!inputs[saved].IsIdenticalTo(PartialTensorShape(outputs[i]))) {
        return absl::InvalidArgumentError(
            "cached: got a gradient of another shape than its input, expected "
            "an output of the loss op with with_gradient");
      }
      context->SetOutput(i, xla::ConvertElementType(
                                xla::Mul(operands[saved], upstream), type));
    }
    return absl::OkStatus();
  }

  int InputNamed(const std::string& name) const {
    const auto& inputs = registration_->op_def.input_arg();
    int i = 0;
    while (i < inputs.size() && inputs[i].name() != name) ++i;
    return i;
  }

  HostInput host_input_;
  std::string attributes_;
  bool cached_ = false;
  const tensorflow::OpRegistrationData* registration_ = nullptr;
};

}  // namespace

tensorflow::OpKernel* MakeCustomCall(OpKernelConstruction* construction,
                                     HostInput host_input) {
  return new CustomCallOp(construction, host_input);
}

XlaLowering::XlaLowering(const char* op,
                         tensorflow::OpKernel* (*make)(OpKernelConstruction*)) {
  const absl::string_view devices[] = {
      tensorflow::DEVICE_CPU_XLA_JIT,
#if TF_PAIRWISE_WITH_GPU
      tensorflow::DEVICE_GPU_XLA_JIT,
#endif
  };
  // Registrars are meant to be static variables.
  new tensorflow::XlaOpRegistrar(
      tensorflow::XlaOpRegistrationBuilder::Name(op).Device(devices).Build(
          make));
}

// No handler: this one only fails, when a program with it in is compiled.
namespace {

class MissingDerivativeXlaOp : public tensorflow::XlaOpKernel {
 public:
  explicit MissingDerivativeXlaOp(OpKernelConstruction* construction)
      : XlaOpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("message", &message_));
  }

  void Compile(tensorflow::XlaOpKernelContext* context) override {
    context->CtxFailure(__FILE__, __LINE__, absl::UnimplementedError(message_));
  }

 private:
  std::string message_;
};

const tensorflow::XlaOpRegistrar missing_derivative(
    tensorflow::XlaOpRegistrationBuilder::Name("TfPairwise>MissingDerivative")
        .Build([](OpKernelConstruction* construction) -> tensorflow::OpKernel* {
          return new MissingDerivativeXlaOp(construction);
        }));

}  // namespace
}  // namespace tf_pairwise

#include "absl/status/status.h"
#include "adapters/tensorflow.h"
#include "tensorflow/core/framework/op.h"

// The derivative that is not there. Python's gradient registry cannot raise:
// TensorFlow asks for derivatives of derivatives that it may never need
// (tf.function under a persistent tape). So a missing derivative is an op, that
// fails when, and only when, its value is wanted.

namespace tf_pairwise {
namespace {

class MissingDerivativeOp : public tensorflow::OpKernel {
 public:
  explicit MissingDerivativeOp(OpKernelConstruction* construction)
      : OpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("message", &message_));
  }

  void Compute(OpKernelContext* context) override {
    context->CtxFailure(__FILE__, __LINE__, absl::UnimplementedError(message_));
  }

 private:
  std::string message_;
};

REGISTER_OP("TfPairwise>MissingDerivative")
    .Input("like: T")
    .Output("derivative: T")
    .Attr(kTypeAttr)
    .Attr("message: string")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      context->set_output(0, context->input(0));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Fails with `message` if it is ever run: stands for a derivative that is not
implemented, in graphs that may never need it.
)doc");

REGISTER_KERNEL_BUILDER(
    Name("TfPairwise>MissingDerivative").Device(tensorflow::DEVICE_CPU),
    MissingDerivativeOp);

}  // namespace
}  // namespace tf_pairwise

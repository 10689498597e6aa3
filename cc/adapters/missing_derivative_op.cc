#include <string>

#include "absl/status/status.h"
#include "adapters/op_kernel.h"
#include "adapters/tensorflow.h"
#include "core/status.h"
#include "tensorflow/core/framework/op.h"

// The derivative that is not there. Python's gradient registry cannot raise:
// TensorFlow asks for derivatives of derivatives that it may never need
// (tf.function under a persistent tape). So a missing derivative is an op, that
// fails when, and only when, its value is wanted.

namespace tf_pairwise {
namespace {

class MissingDerivativeOp {
 public:
  template <typename Attributes>
  Status Read(Attributes* attributes) {
    return attributes->GetAttr("message", &message_);
  }

  template <typename Call>
  Status Run(Call&) const {
    return Error(Status::kUnimplemented, "%s", message_.c_str());
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

TF_PAIRWISE_REGISTER_KERNELS("MissingDerivative", MissingDerivativeOp);

}  // namespace
}  // namespace tf_pairwise

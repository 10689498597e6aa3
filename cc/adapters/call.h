#ifndef TF_PAIRWISE_ADAPTERS_CALL_H_
#define TF_PAIRWISE_ADAPTERS_CALL_H_

#include <cstdint>

#include "adapters/shape_matcher.h"
#include "core/types.h"

// An op is written once, whatever calls it: a TensorFlow kernel (CpuKernel in
// tensorflow.h) or a program that XLA compiled (xla.h).
//
//   struct Op {
//     // `context->GetAttr(name, &value)` is an attribute.
//     template <typename Context>
//     absl::Status Read(Context* context);
//     // Checks, allocates and computes.
//     template <typename Call>
//     absl::Status Run(Call& call) const;
//   };
//
// A Call is one call's arrays, scratch and threads:
//
//   Shape shape(int input) const;
//   DType dtype(int input) const;         // of an input of a float type
//   const void* input(int input) const;
//   absl::Status Output(int output, const Shape& shape, void** data);
//   // The same of an input's shape and type, perhaps in its place.
//   absl::Status OutputOver(int input, int output, void** data);
//   // Makes an input the output, uncopied; false where that cannot be.
//   bool Pass(int input, int output);
//   absl::Status Scratch(int64_t bytes, void** data);  // until the call ends
//   const ParallelFor& launcher() const;
//   int workers() const;
//
// On a GPU the launcher is to be a stream.

namespace tf_pairwise {

// The shapes of a call's inputs as a function. It has a sibling for a graph
// that is traced, so that one function says what shapes an op takes.
template <typename Call>
struct CallInputs {
  const Call* call;
  Shape operator()(int input) const { return call->shape(input); }
};
template <typename Call>
CallInputs<Call> InputsOf(const Call& call) {
  return {&call};
}

// An input's elements.
template <typename T, typename Call>
const T* In(const Call& call, int input) {
  return static_cast<const T*>(call.input(input));
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_CALL_H_

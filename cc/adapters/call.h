#ifndef TF_PAIRWISE_ADAPTERS_CALL_H_
#define TF_PAIRWISE_ADAPTERS_CALL_H_

#include <cstdint>
#include <type_traits>

#include "adapters/shape_matcher.h"
#include "core/parallel.h"
#include "core/reduce.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// An op is written once, whatever calls it: a TensorFlow kernel (op_kernel.h),
// a program that XLA compiled (xla.h), or Python with arrays of NumPy (numpy.h)
// or of a GPU (numpy_gpu.h).
//
//   struct Op {
//     // The input that is host memory for every launcher, if there is one.
//     static constexpr HostInput kHostInput = {4, "self_offset"};
//
//     template <typename Attributes>
//     Status Read(Attributes* attributes);
//     // Checks, allocates and computes.
//     template <typename Call>
//     Status Run(Call& call) const;
//   };
//
// Attributes are the options of one node of a graph, or of one call:
//
//   // Of a std::string, a bool, an int64_t or a DType.
//   Status GetAttr(const char* name, T* value);
//
// A Call is one call's arrays, scratch and launcher:
//
//   Shape shape(int input) const;
//   DType dtype(int input) const;         // of an input of a float type
//   const void* input(int input) const;
//   Status Output(int output, const Shape& shape, void** data);
//   // An output that is not made: an array of shape [0], or none at all.
//   Status NoOutput(int output);
//   Status Scratch(int64_t bytes, void** data);  // until the call ends
//   const Launcher& launcher();
//
//   // Of the gradient ops of losses alone:
//   // An output of an input's shape and type, perhaps in its place.
//   Status OutputOver(int input, int output, void** data);
//   // Makes an input the output, uncopied; false where that cannot be.
//   bool Pass(int input, int output);
//   // Whether an input of one value is known to be 1, and so need not be
//   // multiplied by; false where to look would mean to wait for a device.
//   bool IsOne(int input) const;
//
// The launcher says what kernels run on, and picks the overload: a ParallelFor
// is the host's threads, a Stream those of a GPU. Arrays are where the
// launcher's are, scalars such as a temperature and an upstream gradient
// included: an op hands their pointers on and reads none. What an op itself
// reads is host memory for every launcher, because sizes and checks hang on it:
// kHostInput, an array of int64 (self_offset, positive_offset, row_splits).

namespace tf_pairwise {

// An input by its number and its name in TensorFlow's registration.
struct HostInput {
  int number = -1;
  const char* name = nullptr;
};

// Op::kHostInput, or a HostInput of no name.
template <typename Op, typename = void>
constexpr HostInput kHostInputOf = {};
template <typename Op>
constexpr HostInput kHostInputOf<Op, std::void_t<decltype(Op::kHostInput)>> =
    Op::kHostInput;

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

// An input of one integer in host memory.
template <typename Call>
int64_t HostInteger(const Call& call, int input) {
  return *In<int64_t>(call, input);
}

// IsOne of a call whose arrays are on the host.
template <typename Call>
bool IsOneOnHost(const Call& call, int input) {
  return LoadCompute(call.dtype(input), call.input(input), 0) == 1;
}

// The launcher's own of two entry points, and of two sizes of their scratch.
template <auto kCpu, auto kGpu, class Problem>
int64_t ScratchBytesOn(const ParallelFor& launcher, const Problem& problem) {
  return kCpu(problem, launcher.workers);
}
template <auto kCpu, auto kGpu, class Problem>
int64_t ScratchBytesOn(const Stream&, const Problem& problem) {
  return kGpu(problem);
}
template <auto kCpu, auto kGpu, class... Arguments>
Status RunOn(const ParallelFor& launcher, const Arguments&... arguments) {
  return kCpu(arguments..., launcher);
}
template <auto kCpu, auto kGpu, class... Arguments>
Status RunOn(const Stream& launcher, const Arguments&... arguments) {
  return kGpu(arguments..., launcher);
}

// The type that losses of `dtype` points are computed in and come in.
inline DType ComputeType(DType dtype) {
  return dtype == DType::kFloat64 ? dtype : DType::kFloat32;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_CALL_H_

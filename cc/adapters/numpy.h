#ifndef TF_PAIRWISE_ADAPTERS_NUMPY_H_
#define TF_PAIRWISE_ADAPTERS_NUMPY_H_

#include <cxxabi.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "adapters/call.h"
#include "adapters/shape_matcher.h"
#include "adapters/thread_pool.h"
#include "core/names.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/types.h"

// From NumPy's vocabulary to ours: errors, types, arrays, attributes, calls. An
// op (see call.h) is run on arrays that Python has checked and made contiguous
// (python/tf_pairwise/numpy/_native.py). bfloat16, which NumPy has no name for,
// comes and goes as uint16.

namespace tf_pairwise {

namespace py = pybind11;

// ---- errors ----

inline void Raise(const Status& status) {
  switch (status.code) {
    case Status::kOk:
      return;
    case Status::kInvalidArgument:
      throw py::value_error(status.message);
    case Status::kResourceExhausted:
      PyErr_SetString(PyExc_MemoryError, status.message);
      throw py::error_already_set();
    case Status::kUnimplemented:
      PyErr_SetString(PyExc_NotImplementedError, status.message);
      throw py::error_already_set();
    default:
      throw std::runtime_error(status.message);
  }
}

// ---- types ----

inline Status ParseDType(const char* name, DType* dtype) {
  static constexpr NamedValue<DType> kTable[] = {{"float16", DType::kFloat16},
                                                 {"bfloat16", DType::kBFloat16},
                                                 {"float32", DType::kFloat32},
                                                 {"float64", DType::kFloat64}};
  return ParseName("dtype", name, kTable, dtype);
}

// What the elements of an op's array are: of the type T of the points, of the
// compute type of T, or of one type always. What an op itself reads is in host
// memory on a GPU, too.
enum class Element { kT, kAcc, kDouble, kInt64, kHostInt64, kBool };

// NumPy's dtype that holds such elements.
inline py::dtype Storage(Element element, DType t) {
  switch (element) {
    case Element::kInt64:
    case Element::kHostInt64:
      return py::dtype::of<int64_t>();
    case Element::kBool:
      return py::dtype::of<bool>();
    case Element::kDouble:
      return py::dtype::of<double>();
    default:
      break;
  }
  switch (element == Element::kAcc ? ComputeType(t) : t) {
    case DType::kFloat16:
      return py::dtype("float16");
    case DType::kBFloat16:
      return py::dtype::of<uint16_t>();
    case DType::kFloat32:
      return py::dtype::of<float>();
    default:
      return py::dtype::of<double>();
  }
}

// ---- attributes ----

// The attributes of a call: a dictionary of str, bool and int, with the name of
// the points' dtype as "T".
class NumpyAttributes {
 public:
  explicit NumpyAttributes(const py::dict* attributes)
      : attributes_(attributes) {}

  template <typename T>
  Status GetAttr(const char* name, T* value) const {
    const PyObject* const found =
        PyDict_GetItemString(attributes_->ptr(), name);
    if (found == nullptr) {
      return Error(Status::kInternal, "%s: is no attribute of the call", name);
    }
    *value = py::cast<T>(py::handle(const_cast<PyObject*>(found)));
    return Ok();
  }
  // "Acc" follows from "T".
  Status GetAttr(const char* name, DType* value) const {
    std::string text;
    TF_PAIRWISE_RETURN_IF_ERROR(GetAttr("T", &text));
    TF_PAIRWISE_RETURN_IF_ERROR(ParseDType(text.c_str(), value));
    if (std::string(name) == "Acc") *value = ComputeType(*value);
    return Ok();
  }

 private:
  const py::dict* attributes_;
};

// ---- inputs ----

struct NumpyArgument {
  const char* name;
  Element element;
};

struct NumpyInput {
  py::object array;  // kept while the call runs
  const void* data = nullptr;
  Shape shape = Shape{true, {0}};
  DType dtype = DType::kFloat32;  // if it is of a float type
};

inline DType FloatType(Element element, DType t) {
  return element == Element::kT        ? t
         : element == Element::kDouble ? DType::kFloat64
                                       : ComputeType(t);
}

// NumPy's array; None is one without elements. What is not points is copied:
// kernels take labels, masks and splits for indices after they have looked at
// them once, and another thread may write to the caller's.
inline NumpyInput ViewOnHost(const NumpyArgument& argument, DType t,
                             const py::object& value) {
  NumpyInput input;
  input.array = value;
  input.dtype = FloatType(argument.element, t);
  if (value.is_none()) return input;
  const py::dtype dtype = Storage(argument.element, t);
  const bool is_array = py::isinstance<py::array>(value);
  const auto array =
      is_array ? py::reinterpret_borrow<py::array>(value) : py::array();
  if (!is_array || !(array.flags() & py::array::c_style) ||
      !(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) ||
      !array.dtype().equal(dtype)) {
    throw py::type_error(std::string(argument.name) +
                         ": expected an aligned C-contiguous array of dtype " +
                         std::string(py::str(dtype)));
  }
  if (argument.element != Element::kT) {
    input.array = py::array(
        dtype,
        std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()),
        array.data());
  }
  input.data = py::reinterpret_borrow<py::array>(input.array).data();
  input.shape.sizes.assign(array.shape(), array.shape() + array.ndim());
  return input;
}

inline void CheckCount(const std::vector<NumpyArgument>& arguments,
                       const py::sequence& inputs) {
  if (inputs.size() == arguments.size()) return;
  throw py::type_error("inputs: got " + std::to_string(inputs.size()) +
                       ", expected " + std::to_string(arguments.size()));
}

// ---- a call ----

// Python's lock, which a call gives up while its kernels run. Where Python is
// ending, to ask for it ends the thread by unwinding its stack, and that must
// not pass through what throws nothing: such a thread waits for the end here,
// as Python's own do from 3.14 on.
class LockGivenUp {
 public:
  LockGivenUp() = default;
  LockGivenUp(const LockGivenUp&) = delete;
  LockGivenUp& operator=(const LockGivenUp&) = delete;
  ~LockGivenUp() { TakeBack(); }

  void GiveUp() {
    if (state_ == nullptr) state_ = PyEval_SaveThread();
  }
  bool given_up() const { return state_ != nullptr; }
  void TakeBack() {
    if (state_ == nullptr) return;
    PyThreadState* const state = state_;
    state_ = nullptr;
    TakeLock([state] { PyEval_RestoreThread(state); });
  }

  // f(), without the lock.
  template <typename F>
  static Status While(const F& f) {
    LockGivenUp lock;
    lock.GiveUp();
    return f();
  }

  // Runs what asks for the lock.
  template <typename Ask>
  static void TakeLock(const Ask& ask) {
    try {
      ask();
    } catch (const abi::__forced_unwind&) {
      for (;;) pause();
    }
  }

 private:
  PyThreadState* state_ = nullptr;
};

// Whether a call is to end early because a handler of a signal raised: Ctrl-C,
// most often. Python has them run by its main thread, where that asks.
class Interrupt {
 public:
  explicit Interrupt(LockGivenUp* lock) : lock_(lock) {}
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // For ParallelFor::stop: the caller's thread asks now and then.
  bool Stop() {
    if (stopped_.load(std::memory_order_relaxed)) return true;
    if (std::this_thread::get_id() != thread_ || !lock_->given_up()) {
      return false;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return false;
    lock_->TakeBack();
    if (PyErr_CheckSignals() != 0) {
      raised_.emplace();
      stopped_ = true;
    }
    lock_->GiveUp();
    next_ = std::chrono::steady_clock::now() + kInterval;
    return stopped_;
  }

  // Throws what was raised, under Python's lock.
  void Raise() {
    if (stopped_) throw std::move(*raised_);
  }

 private:
  // A hundredth of it is more than the lock takes, where others want it too.
  static constexpr auto kInterval = std::chrono::milliseconds(100);

  LockGivenUp* lock_;
  const std::thread::id thread_ = std::this_thread::get_id();
  std::chrono::steady_clock::time_point next_ =
      std::chrono::steady_clock::now() + kInterval;
  std::atomic<bool> stopped_{false};
  std::optional<py::error_already_set> raised_;
};

// What adapters/call.h asks for, of arrays of NumPy; all but what is of the
// gradient ops of losses, which Python does not call. The caller has Python's
// lock, and gets it back; while kernels run, others have it.
class NumpyCall {
 public:
  // An output that an op does not make is None.
  NumpyCall(const std::vector<NumpyArgument>& arguments,
            const py::sequence& inputs, std::vector<Element> outputs,
            DType dtype, int threads)
      : dtype_(dtype),
        elements_(std::move(outputs)),
        outputs_(elements_.size(), py::none()),
        team_(&ThreadPool::Get(), threads),
        parallel_(team_.parallel()) {
    CheckCount(arguments, inputs);
    for (size_t i = 0; i < arguments.size(); ++i) {
      inputs_.push_back(ViewOnHost(arguments[i], dtype, inputs[i]));
    }
    parallel_.stop_context = &interrupt_;
    parallel_.stop = [](void* interrupt) {
      return static_cast<Interrupt*>(interrupt)->Stop();
    };
  }
  NumpyCall(const NumpyCall&) = delete;
  NumpyCall& operator=(const NumpyCall&) = delete;

  Shape shape(int input) const { return inputs_[input].shape; }
  DType dtype(int input) const { return inputs_[input].dtype; }
  const void* input(int input) const { return inputs_[input].data; }

  Status NoOutput(int) { return Ok(); }

  // A kernel that counts before it writes asks for its output itself, without
  // Python's lock, and no exception may pass through it.
  Status Output(int output, const Shape& shape, void** data) {
    const bool given_up = released_.given_up();
    released_.TakeBack();
    Status status;
    try {
      py::array array(Storage(elements_[output], dtype_), shape.sizes);
      *data = array.mutable_data();
      outputs_[output] = std::move(array);
    } catch (const std::exception& error) {
      status = Error(Status::kResourceExhausted, "%s", error.what());
    }
    if (given_up) released_.GiveUp();
    return status;
  }

  // Memory whose pages are not touched before the kernel does.
  Status Scratch(int64_t bytes, void** data) {
    scratch_.emplace_back(new (std::nothrow) char[bytes]);
    *data = scratch_.back().get();
    if (*data != nullptr) return Ok();
    return Error(Status::kResourceExhausted, "no memory for %lld bytes",
                 static_cast<long long>(bytes));
  }

  // Who asks for it is about to run a kernel: Python's lock is free from here
  // on.
  const ParallelFor& launcher() {
    released_.GiveUp();
    return parallel_;
  }

  // What came of a call whose kernels ended so.
  py::tuple TakeOutputs(const Status& status) {
    released_.TakeBack();
    interrupt_.Raise();
    Raise(status);
    py::tuple outputs(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      outputs[i] = std::move(outputs_[i]);
    }
    return outputs;
  }

 private:
  DType dtype_;
  std::vector<Element> elements_;
  std::vector<NumpyInput> inputs_;
  std::vector<py::object> outputs_;
  ThreadPool::Team team_;
  ParallelFor parallel_;
  std::vector<std::unique_ptr<char[]>> scratch_;
  Interrupt interrupt_{&released_};
  // The last, so that the arrays are let go of under Python's lock.
  LockGivenUp released_;
};

class GpuCall;  // adapters/numpy_gpu.h

// An op, and what the elements of its inputs and outputs are.
struct NumpyOp {
  std::vector<NumpyArgument> inputs;
  std::vector<Element> outputs;
  Status (*run)(const NumpyAttributes& attributes, NumpyCall& call);
  Status (*run_on_gpu)(const NumpyAttributes& attributes, GpuCall& call);

  py::tuple Run(const py::dict& dictionary, const py::sequence& arrays,
                int threads) const {
    const NumpyAttributes attributes(&dictionary);
    DType dtype;
    Raise(attributes.GetAttr("T", &dtype));
    NumpyCall call(inputs, arrays, outputs, dtype, threads);
    return call.TakeOutputs(run(attributes, call));
  }
};

template <typename Op, typename Call>
Status RunNumpyOp(const NumpyAttributes& attributes, Call& call) {
  Op op;
  TF_PAIRWISE_RETURN_IF_ERROR(op.Read(&attributes));
  return op.Run(call);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_NUMPY_H_

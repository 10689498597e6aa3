#ifndef TF_PAIRWISE_ADAPTERS_NUMPY_GPU_H_
#define TF_PAIRWISE_ADAPTERS_NUMPY_GPU_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/call.h"
#include "adapters/gpu_array.h"
#include "adapters/numpy.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"
#include "cuda/driver.h"

// The ops on arrays of a GPU (gpu_array.h) that Python has checked and made
// contiguous (python/tf_pairwise/numpy/_device.py), on a stream of the caller's
// that is not waited for.

namespace tf_pairwise {

// The name of NumpyAttributes' types, as arrays have it.
inline std::string NameOf(Element element, DType t) {
  if (element == Element::kT && t == DType::kBFloat16) return "bfloat16";
  return py::str(Storage(element, t).attr("name"));
}

// Of a handle as the protocols have it, where 1 is the default stream, for 0
// could be none.
inline Stream StreamOf(uintptr_t handle) {
  return {handle == 1 ? nullptr : reinterpret_cast<void*>(handle)};
}

// A reference to a Python object that any thread may drop.
inline std::shared_ptr<void> Keep(const py::object& object) {
  if (object.is_none()) return nullptr;
  return std::shared_ptr<void>(py::object(object).release().ptr(),
                               [](void* object) {
                                 if (!Py_IsInitialized()) return;
                                 LockGivenUp::TakeLock([object] {
                                   const py::gil_scoped_acquire acquire;
                                   Py_DECREF(static_cast<PyObject*>(object));
                                 });
                               });
}

// What adapters/call.h asks for, as NumpyCall. Outputs and scratch come and go
// in the stream's order.
class GpuCall {
 public:
  // `kept` is kept as long as the outputs: the stream's owner.
  GpuCall(const NumpyOp& op, const py::sequence& inputs, DType dtype,
          const Stream& stream, std::shared_ptr<void> kept)
      : dtype_(dtype),
        stream_(stream),
        kept_(std::move(kept)),
        scope_(FirstMemory(inputs)),
        outputs_(op.outputs.size()) {
    Raise(scope_.status());
    CheckCount(op.inputs, inputs);
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      inputs_.push_back(View(op.inputs[i], inputs[i]));
    }
    for (const Element element : op.outputs) {
      types_.push_back({SizeOf(element), NameOf(element, dtype)});
    }
  }
  GpuCall(const GpuCall&) = delete;
  GpuCall& operator=(const GpuCall&) = delete;

  Shape shape(int input) const { return inputs_[input].shape; }
  DType dtype(int input) const { return inputs_[input].dtype; }
  const void* input(int input) const { return inputs_[input].data; }

  Status NoOutput(int) { return Ok(); }

  Status Output(int output, const Shape& shape, void** data) {
    const Type& type = types_[output];
    GpuArray array;
    array.shape.assign(shape.sizes.begin(), shape.sizes.end());
    array.dtype = type.name;
    array.device = scope_.device();
    array.stream = stream_.handle;
    TF_PAIRWISE_RETURN_IF_ERROR(AllocateShared(
        stream_, array.elements() * type.bytes, kept_, &array.memory));
    *data = array.data = array.memory.get();
    outputs_[output] = std::move(array);
    return Ok();
  }

  Status Scratch(int64_t bytes, void** data) {
    scratch_.emplace_back();
    TF_PAIRWISE_RETURN_IF_ERROR(
        AllocateShared(stream_, bytes, kept_, &scratch_.back()));
    *data = scratch_.back().get();
    return Ok();
  }

  // As NumpyCall's: Python's lock is free from here on.
  const Stream& launcher() {
    released_.GiveUp();
    return stream_;
  }

  py::tuple TakeOutputs() {
    released_.TakeBack();
    py::tuple outputs(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      outputs[i] = py::cast(std::move(outputs_[i]));
    }
    return outputs;
  }

 private:
  struct Type {
    int64_t bytes;
    std::string name;
  };

  static const void* FirstMemory(const py::sequence& inputs) {
    for (const py::handle input : inputs) {
      if (!py::isinstance<GpuArray>(input)) continue;
      const void* const data = input.cast<const GpuArray&>().data;
      if (data != nullptr) return data;
    }
    return nullptr;
  }

  int64_t SizeOf(Element element) const {
    return Storage(element, dtype_).itemsize();
  }

  // What an op reads itself is NumPy's, and so may a number be: it is copied.
  NumpyInput View(const NumpyArgument& argument, const py::object& value) {
    if (!py::isinstance<GpuArray>(value)) {
      NumpyInput input = ViewOnHost(argument, dtype_, value);
      if (value.is_none() || argument.element == Element::kHostInt64) {
        return input;
      }
      if (!input.shape.sizes.empty()) {
        throw py::type_error(std::string(argument.name) +
                             ": expected an array on a GPU");
      }
      void* copy = nullptr;
      const int64_t bytes = SizeOf(argument.element);
      Raise(Scratch(bytes, &copy));
      Raise(CopyToGpu(stream_, copy, input.data, bytes));
      input.data = copy;
      return input;
    }
    const auto& array = value.cast<const GpuArray&>();
    const std::string wanted = NameOf(argument.element, dtype_);
    if (argument.element == Element::kHostInt64 || array.dtype != wanted ||
        !array.contiguous ||
        (array.data != nullptr && array.device != scope_.device())) {
      throw py::type_error(std::string(argument.name) + ": expected " +
                           (argument.element == Element::kHostInt64
                                ? "an array on the host"
                                : "a C-contiguous array of dtype " + wanted +
                                      " on GPU " +
                                      std::to_string(scope_.device())));
    }
    NumpyInput input;
    input.array = value;
    input.data = array.data;
    input.shape.sizes.assign(array.shape.begin(), array.shape.end());
    input.dtype = FloatType(argument.element, dtype_);
    return input;
  }

  DType dtype_;
  Stream stream_;
  std::shared_ptr<void> kept_;
  GpuScope scope_;
  std::vector<NumpyInput> inputs_;
  std::vector<Type> types_;
  std::vector<std::optional<GpuArray>> outputs_;
  std::vector<std::shared_ptr<void>> scratch_;
  // The last, so that the arrays are let go of under Python's lock.
  LockGivenUp released_;
};

inline py::tuple RunOnGpu(const NumpyOp& op, const py::dict& dictionary,
                          const py::sequence& arrays, uintptr_t stream,
                          const py::object& kept) {
  Raise(GpuReady());
  const NumpyAttributes attributes(&dictionary);
  DType dtype;
  Raise(attributes.GetAttr("T", &dtype));
  GpuCall call(op, arrays, dtype, StreamOf(stream), Keep(kept));
  const Status status = op.run_on_gpu(attributes, call);
  py::tuple made = call.TakeOutputs();
  Raise(status);
  return made;
}

// ---- what Python sees of an array ----

inline py::capsule ToDLPack(const GpuArray& array) {
  return py::capsule(
      dlpack::Export(array), dlpack::kCapsule, [](PyObject* capsule) {
        // Who took the array over has renamed the capsule.
        if (!PyCapsule_IsValid(capsule, dlpack::kCapsule)) return;
        auto* const managed = static_cast<dlpack::ManagedTensor*>(
            PyCapsule_GetPointer(capsule, dlpack::kCapsule));
        managed->deleter(managed);
      });
}

inline GpuArray FromDLPack(const py::object& capsule) {
  auto* const managed = static_cast<dlpack::ManagedTensor*>(
      PyCapsule_GetPointer(capsule.ptr(), dlpack::kCapsule));
  if (managed == nullptr) throw py::error_already_set();
  if (PyCapsule_SetName(capsule.ptr(), "used_dltensor") != 0) {
    throw py::error_already_set();
  }
  return dlpack::Import(managed);
}

// After all that is on the stream.
inline void WaitFor(const GpuArray& array, uintptr_t stream) {
  const GpuScope scope(array.data);
  Raise(scope.status());
  Raise(LockGivenUp::While([&] { return WaitForStream(StreamOf(stream)); }));
}

// bfloat16 as uint16.
inline py::array CopiedToHost(const GpuArray& array, uintptr_t stream) {
  py::array copy(py::dtype(array.dtype == "bfloat16" ? "uint16" : array.dtype),
                 array.shape);
  if (copy.nbytes() == 0) return copy;
  const GpuScope scope(array.data);
  Raise(scope.status());
  void* const to = copy.mutable_data();
  const int64_t bytes = copy.nbytes();
  Raise(LockGivenUp::While(
      [&] { return CopyToHost(StreamOf(stream), to, array.data, bytes); }));
  return copy;
}

// (name, major, minor, whether there are kernels for it) of each GPU.
inline py::list Gpus() {
  py::list gpus;
  for (int number = 0; number < GpuCount(); ++number) {
    char name[256] = {};
    int major = 0, minor = 0;
    Raise(DescribeGpu(number, name, sizeof(name), &major, &minor));
    gpus.append(py::make_tuple(std::string(name), major, minor,
                               GpuSupported(major, minor)));
  }
  return gpus;
}

inline void DefineGpuArray(py::module_& module) {
  py::class_<GpuArray>(module, "GpuArray", "An array on a GPU.")
      .def(py::init([](uintptr_t data, const std::vector<int64_t>& shape,
                       std::string dtype, int device, bool contiguous) {
             GpuArray array;
             array.data = reinterpret_cast<void*>(data);
             array.shape = shape;
             array.dtype = std::move(dtype);
             array.device = device;
             array.contiguous = contiguous;
             return array;
           }),
           "Of memory that the caller keeps.", py::arg("data"),
           py::arg("shape"), py::arg("dtype"), py::arg("device"),
           py::arg("contiguous"))
      .def_property_readonly("data",
                             [](const GpuArray& array) {
                               return reinterpret_cast<uintptr_t>(array.data);
                             })
      .def_property_readonly("shape",
                             [](const GpuArray& array) {
                               return py::tuple(py::cast(array.shape));
                             })
      .def_readonly("dtype", &GpuArray::dtype)
      .def_readonly("device", &GpuArray::device)
      .def_readonly("contiguous", &GpuArray::contiguous)
      .def_property_readonly("stream",
                             [](const GpuArray& array) {
                               return reinterpret_cast<uintptr_t>(array.stream);
                             })
      .def(
          "renamed",
          [](GpuArray array, std::string dtype) {
            array.dtype = std::move(dtype);
            return array;
          },
          "The same memory, of another dtype of that size.")
      .def_static("from_dlpack", &FromDLPack, "Of a capsule, which it takes.")
      .def("to_dlpack", &ToDLPack, "A capsule of the same memory.")
      .def("wait_for", &WaitFor, "Waits for a stream of the array's GPU.")
      .def("copy_to_host", &CopiedToHost,
           "A copy, in a stream's order; waits for it.");
  module.def(
      "gpu_of",
      [](uintptr_t memory) {
        const GpuScope scope(reinterpret_cast<const void*>(memory));
        Raise(scope.status());
        return scope.device();
      },
      "The number of the GPU that memory is on.");
  module.def("gpu_architectures", &GpuArchitectures,
             "What the kernels were built for; empty without any.");
  module.def("gpus", &Gpus, R"doc(
(name, major, minor, whether there are kernels for it) of each GPU.)doc");
  module.def(
      "require_gpu", [] { Raise(GpuReady()); },
      "RuntimeError of what is missing where there is no GPU to run on.");
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_NUMPY_GPU_H_

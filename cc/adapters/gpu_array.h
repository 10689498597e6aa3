#ifndef TF_PAIRWISE_ADAPTERS_GPU_ARRAY_H_
#define TF_PAIRWISE_ADAPTERS_GPU_ARRAY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/status.h"
#include "core/stream.h"
#include "cuda/driver.h"

// An array on a GPU, ours or another library's, and its way to other libraries
// and back, which is DLPack's: plain structs that all of them agree on.

namespace tf_pairwise {

// ---- memory ----

// Memory of the current device that is freed on the stream once the last who
// has it lets go, on whatever thread. `kept` is kept as long: the stream's
// owner, say.
inline Status AllocateShared(const Stream& stream, int64_t bytes,
                             std::shared_ptr<void> kept,
                             std::shared_ptr<void>* memory) {
  memory->reset();
  if (bytes == 0) return Ok();
  void* made = nullptr;
  TF_PAIRWISE_RETURN_IF_ERROR(AllocateOnGpu(stream, bytes, &made));
  *memory = std::shared_ptr<void>(
      made, [stream, kept = std::move(kept)](void* memory) {
        const GpuScope scope(memory);
        // A process that ends may have no driver any more, nor need to free.
        if (scope.status().ok()) FreeOnGpu(stream, memory);
      });
  return Ok();
}

struct GpuArray {
  void* data = nullptr;
  std::vector<int64_t> shape;
  std::string dtype;  // NumPy's name of it, or "bfloat16"
  int device = 0;
  bool contiguous = true;        // in C's order
  void* stream = nullptr;        // of an array of ours: what it is made on
  std::shared_ptr<void> memory;  // keeps `data`; null if the caller does

  int64_t elements() const {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    return count;
  }
};

// ---- DLPack ----

namespace dlpack {

constexpr int32_t kCuda = 2, kCudaManaged = 13;
constexpr const char* kCapsule = "dltensor";

struct Device {
  int32_t type, id;
};
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t rank;
  DataType dtype;
  int64_t *shape, *strides;  // in elements; null strides are C's
  uint64_t byte_offset;
};
struct ManagedTensor {
  Tensor tensor;
  void* manager;
  void (*deleter)(ManagedTensor* self);
};

struct Kind {
  uint8_t code;
  const char* name;  // before the number of bits
};
constexpr Kind kKinds[] = {{0, "int"},    {1, "uint"},    {2, "float"},
                           {4, "bfloat"}, {5, "complex"}, {6, "bool"}};

inline std::string NameOf(const DataType& dtype) {
  for (const Kind& kind : kKinds) {
    if (kind.code != dtype.code || dtype.lanes != 1) continue;
    const std::string name = kind.name;
    if (name == "bool" && dtype.bits == 8) return name;
    return name + std::to_string(dtype.bits);
  }
  return "DLPack's type " + std::to_string(dtype.code);
}

// Of the types of an op's outputs.
inline DataType TypeOf(const std::string& name) {
  if (name == "bool") return {6, 8, 1};
  if (name == "int64") return {0, 64, 1};
  if (name == "bfloat16") return {4, 16, 1};
  return {2, static_cast<uint8_t>(std::stoi(name.substr(5))), 1};
}

inline bool IsContiguous(const Tensor& tensor) {
  if (tensor.strides == nullptr) return true;
  int64_t stride = 1;
  for (int i = tensor.rank - 1; i >= 0; --i) {
    if (tensor.shape[i] == 0) return true;
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
    stride *= tensor.shape[i];
  }
  return true;
}

// The array as another library takes it over.
inline ManagedTensor* Export(GpuArray array) {
  struct Owner {
    ManagedTensor managed;
    GpuArray array;
    std::vector<int64_t> strides;
  };
  auto* const owner = new Owner{{}, std::move(array), {}};
  const auto rank = static_cast<int32_t>(owner->array.shape.size());
  owner->strides.assign(rank, 1);
  for (int i = rank - 1; i > 0; --i) {
    owner->strides[i - 1] = owner->strides[i] * owner->array.shape[i];
  }
  owner->managed = {
      {owner->array.data,
       {kCuda, owner->array.device},
       rank,
       TypeOf(owner->array.dtype),
       owner->array.shape.data(),
       owner->strides.data(),
       0},
      owner,
      [](ManagedTensor* self) { delete static_cast<Owner*>(self->manager); }};
  return &owner->managed;
}

// Another library's array, which is let go of with the last copy.
inline GpuArray Import(ManagedTensor* managed) {
  const Tensor& tensor = managed->tensor;
  GpuArray array;
  array.data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  array.shape.assign(tensor.shape, tensor.shape + tensor.rank);
  array.dtype = NameOf(tensor.dtype);
  array.device = tensor.device.id;
  array.contiguous = IsContiguous(tensor);
  array.memory = std::shared_ptr<void>(managed, [](void* managed) {
    auto* const tensor = static_cast<ManagedTensor*>(managed);
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  });
  return array;
}

}  // namespace dlpack
}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_GPU_ARRAY_H_

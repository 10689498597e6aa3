#ifndef TF_PAIRWISE_CUDA_TESTING_H_
#define TF_PAIRWISE_CUDA_TESTING_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cuda/driver.h"
#include "cuda/warp_tile.h"

// What the tests of a GPU's side say, on the fake driver (tests/cuda_host).

namespace tf_pairwise {

#define CHECK(condition)                                          \
  do {                                                            \
    if (!(condition)) {                                           \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                               \
    }                                                             \
  } while (false)

inline void CheckOk(const Status& status) {
  if (!status.ok()) std::printf("%s\n", status.message);
  CHECK(status.ok());
}

// An array on the device.
class OnGpu {
 public:
  OnGpu(const Stream& stream, const void* from, int64_t bytes)
      : stream_(stream), bytes_(bytes) {
    CheckOk(AllocateOnGpu(stream, bytes, &memory_));
    if (from != nullptr) CheckOk(CopyToGpu(stream, memory_, from, bytes));
  }
  ~OnGpu() { CheckOk(FreeOnGpu(stream_, memory_)); }
  OnGpu(const OnGpu&) = delete;
  OnGpu& operator=(const OnGpu&) = delete;

  void* get() const { return memory_; }
  std::vector<char> OnHost() const {
    std::vector<char> bytes(bytes_);
    CheckOk(CopyToHost(stream_, bytes.data(), memory_, bytes_));
    return bytes;
  }
  double Value() const {
    double value;
    CheckOk(CopyToHost(stream_, &value, memory_, 8));
    return value;
  }

 private:
  Stream stream_;
  int64_t bytes_;
  void* memory_ = nullptr;
};

// The nearest tf32, of 10 bits behind the point.
inline float RoundToTf32(float x) {
  const unsigned bits = BitsOf(x);
  // Infinite, or no number.
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  return FloatOf((bits + 0x1000u) & 0xffffe000u);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_TESTING_H_

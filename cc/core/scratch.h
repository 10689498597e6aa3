#ifndef TF_PAIRWISE_CORE_SCRATCH_H_
#define TF_PAIRWISE_CORE_SCRATCH_H_

#include <cstdint>

namespace tf_pairwise {

// Cuts the caller's scratch into arrays, each on a cache line of its own. With
// a null base it only counts, so that the code that lays a kernel's scratch out
// also says how much it needs.
class Scratch {
 public:
  static constexpr int64_t kAlignment = 128;

  explicit Scratch(void* base) : base_(static_cast<char*>(base)) {
    if (base_ != nullptr) {
      used_ = -reinterpret_cast<int64_t>(base_) & (kAlignment - 1);
    }
  }

  template <typename T>
  T* Take(int64_t count) {
    T* array = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) &
             -kAlignment;
    return array;
  }

  // Bytes that a caller has to provide for all that was taken.
  int64_t bytes() const { return used_ + kAlignment; }

 private:
  char* base_;
  int64_t used_ = 0;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_SCRATCH_H_

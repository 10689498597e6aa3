#ifndef TF_PAIRWISE_CORE_FLOAT_MODE_H_
#define TF_PAIRWISE_CORE_FLOAT_MODE_H_

#include <cstdint>

namespace tf_pairwise {

// Sets the thread's floating-point mode to the kernels' own, and restores the
// caller's: a result must not depend on the thread that it is made on
// (TensorFlow's flush denormals, NumPy's callers do not). Rounding is to the
// nearest; a result below the smallest normal number is 0, since arithmetic
// with denormals takes a hundred times as long; a denormal input is read as it
// is.
class FloatMode {
 public:
  FloatMode() {
#if defined(__x86_64__)
    asm volatile("stmxcsr %0" : "=m"(saved_) : : "memory");
    // All exceptions masked, to nearest, flush to zero; denormals are not
    // zeros.
    const uint32_t own = 0x1F80 | 0x8000;
    asm volatile("ldmxcsr %0" : : "m"(own) : "memory");
#elif defined(__aarch64__)
    asm volatile("mrs %0, fpcr" : "=r"(saved_) : : "memory");
    // There, flushing takes denormal inputs along, and they are not slow.
    asm volatile("msr fpcr, %0" : : "r"(uint64_t{0}) : "memory");
#endif
  }
  ~FloatMode() {
#if defined(__x86_64__)
    asm volatile("ldmxcsr %0" : : "m"(saved_) : "memory");
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(saved_) : "memory");
#endif
  }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
#if defined(__aarch64__)
  uint64_t saved_ = 0;
#else
  uint32_t saved_ = 0;
#endif
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_FLOAT_MODE_H_

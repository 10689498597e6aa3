#ifndef TF_PAIRWISE_CUDA_ROUNDED_H_
#define TF_PAIRWISE_CUDA_ROUNDED_H_

#include "cuda/block.h"

namespace tf_pairwise {

// a b, rounded before anything is added to it: a compiler that made a MulAdd of
// it at one place and not at another would have two values of what has to be
// one.
#if defined(__CUDACC__)
TF_PAIRWISE_DEVICE float Product(float a, float b) { return __fmul_rn(a, b); }
TF_PAIRWISE_DEVICE double Product(double a, double b) {
  return __dmul_rn(a, b);
}
#else
TF_PAIRWISE_DEVICE float Product(float a, float b) { return a * b; }
TF_PAIRWISE_DEVICE double Product(double a, double b) { return a * b; }
#endif

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_ROUNDED_H_

#ifndef TF_PAIRWISE_DISTANCE_SECOND_GPU_INL_H_
#define TF_PAIRWISE_DISTANCE_SECOND_GPU_INL_H_

#include "cuda/second.h"
#include "distance/rows_gpu-inl.h"

// The second derivatives of all pairs, for RowSumsKernel.

namespace tf_pairwise {

struct SecondOfPair {
  TF_PAIRWISE_KERNEL_NAME(std::string("pairwise_seconds"));
  template <class M, typename T>
  using Part = typename M::template SecondPart<T>;

  template <class M, typename T>
  static TF_PAIRWISE_DEVICE Part<M, T> None() {
    return Part<M, T>(T(0), SecondForm());
  }
  template <class M, typename T, typename S>
  static TF_PAIRWISE_DEVICE Part<M, T> Of(const S* x, const S* u, const S* y,
                                          const S* w, int64_t d, double g,
                                          bool itself, double* with_g) {
    if (itself) return None<M, T>();
    const SecondForm form = M::Second(WarpQuad<S>{{x, y, d}, u, w}, g);
    *with_g = form.with_g;
    return Part<M, T>(T(0), form);
  }
  template <typename T, class Part, typename S>
  static TF_PAIRWISE_DEVICE T At(const Part& part, int64_t k, const S* x,
                                 const S* u, const S* y, const S* w) {
    return part(Load(x + k), Load(y + k), Load(u + k), Load(w + k));
  }
};

template <typename S>
using SecondKernel = RowSumsKernel<SecondOfPair, S>;

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_SECOND_GPU_INL_H_

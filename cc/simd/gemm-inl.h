// The register-blocked products that all tiles are made of. Included once per
// target.

#if defined(TF_PAIRWISE_SIMD_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_SIMD_GEMM_INL_H_
#undef TF_PAIRWISE_SIMD_GEMM_INL_H_
#else
#define TF_PAIRWISE_SIMD_GEMM_INL_H_
#endif

#include "simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {

// A register tile is kMicroRows x (kMicroVectors vectors): as many accumulators
// as leave registers for a row of b and a broadcast of a.
constexpr int kMicroRows = 6;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4
constexpr int kMicroVectors = 2;  // 16 vector registers
#else
constexpr int kMicroVectors = 4;  // 32
#endif

template <typename T>
HWY_INLINE int64_t PanelWidth() {
  return kMicroVectors * LanesOf<T>();
}

// acc[r][v] = Term::Step(a[r, k], b[k, v], acc[r][v]) for each k in turn; a's
// element (r, k) is at a[r * row_stride + k * k_stride], b's row k at
// b[k * b_stride]. A Term is a metric, or the product.
struct ProductTerm {
  template <class V>
  static HWY_INLINE V Step(V a, V b, V acc) {
    return hn::MulAdd(a, b, acc);
  }
};

template <class Term, int kRows, int kVectors, typename T>
HWY_INLINE void MicroKernel(int64_t depth, const T* HWY_RESTRICT a,
                            int64_t row_stride, int64_t k_stride,
                            const T* HWY_RESTRICT b, int64_t b_stride,
                            VecT<T> (&acc)[kRows][kVectors]) {
  const Tag<T> d;
  const int64_t lanes = LanesOf<T>();
  for (int64_t k = 0; k < depth; ++k) {
    VecT<T> bv[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      bv[v] = hn::LoadU(d, b + k * b_stride + v * lanes);
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const VecT<T> av = hn::Set(d, a[r * row_stride + k * k_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        acc[r][v] = Term::Step(av, bv[v], acc[r][v]);
      }
    }
  }
}

// c[r, v] -= sum over k of a[r, k] b[k, v], in place.
template <int kRows, int kVectors, typename T>
HWY_INLINE void SubtractProduct(int64_t depth, const T* HWY_RESTRICT a,
                                int64_t row_stride, int64_t k_stride,
                                const T* HWY_RESTRICT b, int64_t b_stride,
                                T* HWY_RESTRICT c, int64_t c_stride) {
  const Tag<T> d;
  const int64_t lanes = LanesOf<T>();
  VecT<T> acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::Zero(d);
  }
  MicroKernel<ProductTerm, kRows, kVectors, T>(depth, a, row_stride, k_stride,
                                               b, b_stride, acc);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      T* p = c + r * c_stride + v * lanes;
      hn::StoreU(hn::Sub(hn::LoadU(d, p), acc[r][v]), d, p);
    }
  }
}

// c[r, v] += sum over k of Term::Part(a[r, k], own[r, v], b[k, v]).
template <class Term, int kRows, int kVectors, typename T>
HWY_INLINE void AddParts(int64_t depth, const T* HWY_RESTRICT a,
                         int64_t row_stride, int64_t k_stride,
                         const T* HWY_RESTRICT b, int64_t b_stride,
                         const T* HWY_RESTRICT own, int64_t own_stride,
                         T* HWY_RESTRICT c, int64_t c_stride) {
  const Tag<T> d;
  const int64_t lanes = LanesOf<T>();
  VecT<T> acc[kRows][kVectors];
  VecT<T> x[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] = hn::Zero(d);
      x[r][v] = hn::LoadU(d, own + r * own_stride + v * lanes);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    for (int r = 0; r < kRows; ++r) {
      const VecT<T> w = hn::Set(d, a[r * row_stride + k * k_stride]);
      for (int v = 0; v < kVectors; ++v) {
        acc[r][v] = hn::Add(
            acc[r][v],
            Term::Part(w, x[r][v], hn::LoadU(d, b + k * b_stride + v * lanes)));
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      T* p = c + r * c_stride + v * lanes;
      hn::StoreU(hn::Add(hn::LoadU(d, p), acc[r][v]), d, p);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_SIMD_GEMM_INL_H_

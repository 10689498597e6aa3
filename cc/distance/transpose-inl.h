// A transposed copy. Included once per target.

#if defined(TF_PAIRWISE_DISTANCE_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_DISTANCE_TRANSPOSE_INL_H_
#undef TF_PAIRWISE_DISTANCE_TRANSPOSE_INL_H_
#else
#define TF_PAIRWISE_DISTANCE_TRANSPOSE_INL_H_
#endif

#include "core/rounds.h"
#include "simd/vec-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {

// to[c, r] = from[r, c], a few lines at a time.
template <typename T>
void Transpose(int64_t rows, int64_t columns, const T* from,
               int64_t from_stride, T* to, int64_t to_stride) {
  constexpr int64_t kBlock = 16;
  for (int64_t c0 = 0; c0 < columns; c0 += kBlock) {
    const int64_t c1 = Least(c0 + kBlock, columns);
    for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
      const int64_t r1 = Least(r0 + kBlock, rows);
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t r = r0; r < r1; ++r) {
          to[c * to_stride + r] = from[r * from_stride + c];
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_DISTANCE_TRANSPOSE_INL_H_

// Packed blocks of weights, and the pairs by themselves, into gradient sums.
// Included once per target.

#if defined(TF_PAIRWISE_TILE_GRADIENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_TILE_GRADIENTS_INL_H_
#undef TF_PAIRWISE_TILE_GRADIENTS_INL_H_
#else
#define TF_PAIRWISE_TILE_GRADIENTS_INL_H_
#endif

#include <type_traits>

#include "metric/direct-inl.h"
#include "simd/gemm-inl.h"
#include "tile/tile.h"

#ifndef TF_PAIRWISE_TILE_GRADIENTS_ONCE_
#define TF_PAIRWISE_TILE_GRADIENTS_ONCE_
namespace tf_pairwise {
namespace {

// A block of weights as the sums of one side see it: own row i and other row k
// at (i, k) or, transposed, at (k, i) of the tile.
template <typename T>
struct OwnBlock {
  const Operand<T>* own;
  const Operand<T>* other;
  int64_t row, rows;     // of own
  int64_t first, count;  // of other
  bool transposed;
  TileView<T> tile;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TILE_GRADIENTS_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// Part of an OwnBlock, its weights packed: those of own row r and other row k
// at pack[r * row_stride + k * k_stride].
struct PackedBlock {
  int64_t row, rows;
  int64_t first, count;
  int64_t row_stride, k_stride;
};

// The sums of own rows take their pairs with other rows, as products.
template <class M, typename T>
void MultiplyPacked(const Operand<T>& own, const Operand<T>& other,
                    const PackedBlock& block, const T* pack,
                    const GradientSums<T>& sums) {
  constexpr bool kProduct = M::kForm != GradientForm::kCoordinates;
  const int64_t lanes = LanesOf<T>();
  const int64_t columns = RoundUp(own.d, lanes);
  const int64_t stride = own.stride;
  int64_t k = 0;
  const auto panel = [&](auto vectors_constant) HWY_ATTR {
    constexpr int kVectors = decltype(vectors_constant)::value;
    for (; k + kVectors * lanes <= columns; k += kVectors * lanes) {
      int64_t r = 0;
      const T* b = other.rows + block.first * other.stride + k;
      const auto strip = [&](auto rows_constant) HWY_ATTR {
        constexpr int kRows = decltype(rows_constant)::value;
        for (; r + kRows <= block.rows; r += kRows) {
          const T* a = pack + r * block.row_stride;
          T* c = sums.sums + (block.row + r) * stride + k;
          if constexpr (kProduct) {
            SubtractProduct<kRows, kVectors, T>(
                block.count, a, block.row_stride, block.k_stride, b,
                other.stride, c, stride);
          } else {
            AddParts<M, kRows, kVectors, T>(
                block.count, a, block.row_stride, block.k_stride, b,
                other.stride, own.rows + (block.row + r) * stride + k, stride,
                c, stride);
          }
        }
      };
      // Parts keep the own point in registers too.
      if constexpr (kProduct) {
        strip(std::integral_constant<int, kMicroRows>());
      }
      strip(std::integral_constant<int, 2>());
      strip(std::integral_constant<int, 1>());
    }
  };
  if constexpr (kProduct) panel(std::integral_constant<int, kMicroVectors>());
  panel(std::integral_constant<int, 2>());
  panel(std::integral_constant<int, 1>());
}

// One pair by itself: what it adds to the sums of own row i. Prepared points
// that are normalised are the ones that the sums are over; for the rest the
// points as they are do not cancel.
template <class M, typename T>
HWY_INLINE void AddPair(const Operand<T>& own, const Operand<T>& other,
                        int64_t i, int64_t j, T weight,
                        const GradientSums<T>& sums) {
  constexpr bool kPrepared = M::kPreparation == Preparation::kNormalised;
  const int64_t d = own.d;
  const T* x = kPrepared ? own.rows + i * own.stride : own.source + i * d;
  const T* y = kPrepared ? other.rows + j * other.stride : other.source + j * d;
  T* sum = sums.sums + i * own.stride;
  if constexpr (M::kForm == GradientForm::kLargest) {
    const int64_t k = M::Direct(Points<T>{x, y, d}, true).largest;
    if (k >= 0) sum[k] += M::Part(weight, x[k], y[k]);
  } else {
    const VecT<T> w = hn::Set(Tag<T>(), weight);
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      const VecT<T> part =
          M::Part(w, LoadCount(x + k, count), LoadCount(y + k, count));
      StoreCount(hn::Add(LoadCount(sum + k, count), part), sum + k, count);
    });
  }
}

// Not zero; a NaN is not, which hn::Ne denies on some targets.
template <typename V>
HWY_INLINE auto IsNonzero(V weights) {
  return hn::Not(hn::Eq(weights, hn::Zero(hn::DFromV<V>())));
}

// Calls `function(k)` for each nonzero of weights[0, count), in order.
template <typename T, typename Function>
HWY_INLINE void ForEachNonzero(const T* weights, int64_t count,
                               const Function& function) {
  const Tag<T> tag;
  ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
    const auto used = IsNonzero(LoadCount(weights + k, some));
    if (hn::AllFalse(tag, used)) return;
    uint8_t bytes[8] = {0};
    hn::StoreMaskBits(tag, used, bytes);
    uint64_t bits = 0;
    __builtin_memcpy(&bits, bytes, sizeof(bits));
    for (; bits != 0; bits &= bits - 1) function(k + __builtin_ctzll(bits));
  });
}

// Copies a row of weights and returns how many are not zero.
template <typename T>
HWY_INLINE int64_t CopyWeights(const T* from, int64_t count, T* to) {
  const Tag<T> tag;
  int64_t used = 0;
  ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> w = LoadCount(from + k, some);
    used += static_cast<int64_t>(hn::CountTrue(tag, IsNonzero(w)));
    StoreCount(w, to + k, some);
  });
  return used;
}

// The near pairs of a packed block are added from their points, and their
// weights taken out of it; then the sum of its weights goes to the own rows'
// factors.
template <class M, typename T>
void TakeFactors(const OwnBlock<T>& block, const PackedBlock& packed, T* pack,
                 const GradientSums<T>& sums) {
  const Tag<T> tag;
  const Operand<T>& own = *block.own;
  const Operand<T>& other = *block.other;
  // The tile's rows, of which a packed row is a part.
  const int64_t lines = block.transposed ? packed.count : packed.rows;
  const int64_t length = block.transposed ? packed.rows : packed.count;
  const int64_t line_stride =
      block.transposed ? packed.k_stride : packed.row_stride;
  const int64_t line0 =
      block.transposed ? packed.first - block.first : packed.row - block.row;
  const int64_t element0 =
      block.transposed ? packed.row - block.row : packed.first - block.first;
  for (int64_t line = 0; line < lines; ++line) {
    T* weights = pack + line * line_stride;
    if (block.tile.near != nullptr) {
      const uint64_t* near = block.tile.Near(line0 + line);
      for (int64_t w = element0 / 64; w < Blocks(element0 + length, 64); ++w) {
        for (uint64_t bits = near[w]; bits != 0; bits &= bits - 1) {
          const int64_t e = w * 64 + __builtin_ctzll(bits) - element0;
          if (e < 0 || e >= length || weights[e] == 0) continue;
          AddPair<M>(own, other, packed.row + (block.transposed ? e : line),
                     packed.first + (block.transposed ? line : e), weights[e],
                     sums);
          weights[e] = 0;
        }
      }
    }
    if (block.transposed) {
      T* factor = sums.factor + packed.row;
      ForEachVector<T>(length, [&](int64_t e, int64_t count) HWY_ATTR {
        StoreCount(hn::Add(LoadCount(factor + e, count),
                           LoadCount(weights + e, count)),
                   factor + e, count);
      });
    } else {
      VecT<T> total = hn::Zero(tag);
      ForEachVector<T>(length, [&](int64_t e, int64_t count) HWY_ATTR {
        total = hn::Add(total, LoadCount(weights + e, count));
      });
      sums.factor[packed.row + line] += hn::ReduceSum(tag, total);
    }
  }
}

// A block with fewer nonzero weights than this part of it is taken pair by
// pair; the product of all of it would cost more.
constexpr int64_t kSparsePart = 8;

// One packed block.
template <class M, typename T>
void AccumulatePacked(const OwnBlock<T>& block, const PackedBlock& packed,
                      int64_t used, T* pack, const GradientSums<T>& sums) {
  const Operand<T>& own = *block.own;
  const Operand<T>& other = *block.other;
  if (M::kForm == GradientForm::kLargest ||
      used * kSparsePart < packed.rows * packed.count) {
    const int64_t lines = block.transposed ? packed.count : packed.rows;
    const int64_t length = block.transposed ? packed.rows : packed.count;
    const int64_t stride =
        block.transposed ? packed.k_stride : packed.row_stride;
    for (int64_t line = 0; line < lines; ++line) {
      const T* weights = pack + line * stride;
      ForEachNonzero(weights, length, [&](int64_t e) HWY_ATTR {
        AddPair<M>(own, other, packed.row + (block.transposed ? e : line),
                   packed.first + (block.transposed ? line : e), weights[e],
                   sums);
      });
    }
    return;
  }
  if constexpr (M::kForm == GradientForm::kDifference) {
    TakeFactors<M>(block, packed, pack, sums);
  }
  if constexpr (M::kForm != GradientForm::kLargest) {
    MultiplyPacked<M>(own, other, packed, pack, sums);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#endif  // TF_PAIRWISE_TILE_GRADIENTS_INL_H_

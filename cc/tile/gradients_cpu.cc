#include <type_traits>

#include "tile/tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tile/gradients_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "simd/gemm-inl.h"

#ifndef TF_PAIRWISE_TILE_GRADIENTS_CPU_ONCE_
#define TF_PAIRWISE_TILE_GRADIENTS_CPU_ONCE_
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

template <typename T>
struct TableOf {
  void (*accumulate)(const OwnBlock<T>& block, const GradientSums<T>& sums,
                     T* pack);
  void (*accumulate_pairs)(const Operand<T>& x, const Operand<T>& y, int64_t i,
                           int64_t count, const int32_t* indices,
                           const T* weights, const GradientSums<T>& sums);
  void (*finish)(const Operand<T>& x, int64_t row, int64_t rows,
                 const GradientSums<T>& sums, double scale, T* gradient);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TILE_GRADIENTS_CPU_ONCE_

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

// Calls `function(k)` for each nonzero of weights[0, count), in order.
template <typename T, typename Function>
HWY_INLINE void ForEachNonzero(const T* weights, int64_t count,
                               const Function& function) {
  const Tag<T> tag;
  ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
    const auto used = hn::Ne(LoadCount(weights + k, some), hn::Zero(tag));
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
    used += static_cast<int64_t>(hn::CountTrue(tag, hn::Ne(w, hn::Zero(tag))));
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

template <typename T>
void Accumulate(const OwnBlock<T>& block, const GradientSums<T>& sums,
                T* pack) {
  // Lines of the tile are packed: own rows, or transposed the other ones.
  const int64_t line_stride =
      block.transposed ? kAccumulateRows : kAccumulateColumns + 16;
  for (int64_t r = 0; r < block.rows; r += kAccumulateRows) {
    for (int64_t k = 0; k < block.count; k += kAccumulateColumns) {
      PackedBlock packed;
      packed.row = block.row + r;
      packed.rows = Least(block.rows - r, kAccumulateRows);
      packed.first = block.first + k;
      packed.count = Least(block.count - k, kAccumulateColumns);
      packed.row_stride = block.transposed ? 1 : line_stride;
      packed.k_stride = block.transposed ? line_stride : 1;
      const int64_t lines = block.transposed ? packed.count : packed.rows;
      const int64_t length = block.transposed ? packed.rows : packed.count;
      int64_t used = 0;
      for (int64_t line = 0; line < lines; ++line) {
        const T* from = block.transposed ? block.tile.Row(k + line) + r
                                         : block.tile.Row(r + line) + k;
        used += CopyWeights(from, length, pack + line * line_stride);
      }
      if (used == 0) continue;
      VisitMetric(block.own->metric, [&](auto m) HWY_ATTR {
        AccumulatePacked<decltype(m)>(block, packed, used, pack, sums);
      });
    }
  }
}

template <typename T>
void PairsOf(const Operand<T>& x, const Operand<T>& y, int64_t i, int64_t count,
             const int32_t* indices, const T* weights,
             const GradientSums<T>& sums) {
  VisitMetric(x.metric, [&](auto m) HWY_ATTR {
    for (int64_t e = 0; e < count; ++e) {
      if (weights[e] == 0) continue;
      AddPair<decltype(m)>(x, y, i, indices[e], weights[e], sums);
    }
  });
}

template <class M, typename T>
HWY_INLINE void FinishRow(const Operand<T>& x, int64_t i,
                          const GradientSums<T>& sums, VecT<T> scale, T* out) {
  const Tag<T> tag;
  const T* point = x.rows + i * x.stride;
  const T* sum = sums.sums + i * x.stride;
  if constexpr (M::kPreparation == Preparation::kNormalised) {
    // (I - p p^T) sum / |x|, p the normalised point.
    const VecT<T> along = hn::Set(
        tag, static_cast<T>(SumOver(point, sum, x.d, ProductElement())));
    const VecT<T> f = hn::Mul(scale, hn::Set(tag, x.inverse_norm[i]));
    ForEachVector<T>(x.d, [&](int64_t k, int64_t count) HWY_ATTR {
      // A point that is not finite, in no pair of any weight, has no gradient.
      StoreCount(Weighted(hn::NegMulAdd(along, LoadCount(point + k, count),
                                        LoadCount(sum + k, count)),
                          f),
                 out + k, count);
    });
    return;
  }
  constexpr bool kFactor = M::kForm == GradientForm::kDifference;
  const VecT<T> factor = hn::Set(tag, kFactor ? sums.factor[i] : T(0));
  ForEachVector<T>(x.d, [&](int64_t k, int64_t count) HWY_ATTR {
    VecT<T> g = LoadCount(sum + k, count);
    if constexpr (kFactor) {
      g = hn::MulAdd(factor, LoadCount(point + k, count), g);
    }
    StoreCount(hn::Mul(scale, g), out + k, count);
  });
}

template <typename T>
void Finish(const Operand<T>& x, int64_t row, int64_t rows,
            const GradientSums<T>& sums, double scale, T* gradient) {
  const VecT<T> factor = hn::Set(Tag<T>(), static_cast<T>(scale));
  VisitMetric(x.metric, [&](auto m) HWY_ATTR {
    for (int64_t i = row; i < row + rows; ++i) {
      FinishRow<decltype(m)>(x, i, sums, factor, gradient + i * x.d);
    }
  });
}

template <typename T>
constexpr TableOf<T> kTableOf = {&Accumulate<T>, &PairsOf<T>, &Finish<T>};
constexpr Table kTable = {kTableOf<float>, kTableOf<double>};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }
const TableOf<float>& Kernels(float) { return Kernels().narrow; }
const TableOf<double>& Kernels(double) { return Kernels().wide; }

}  // namespace

template <typename T>
void AccumulateRows(const Operand<T>& x, const Operand<T>& y,
                    const Block& block, const TileView<T>& tile,
                    const GradientSums<T>& sums, T* pack) {
  Kernels(T()).accumulate(
      {&x, &y, block.row, block.rows, block.column, block.columns, false, tile},
      sums, pack);
}
template <typename T>
void AccumulateColumns(const Operand<T>& x, const Operand<T>& y,
                       const Block& block, const TileView<T>& tile,
                       const GradientSums<T>& sums, T* pack) {
  Kernels(T()).accumulate(
      {&y, &x, block.column, block.columns, block.row, block.rows, true, tile},
      sums, pack);
}
template <typename T>
void AccumulatePairs(const Operand<T>& x, const Operand<T>& y, int64_t i,
                     int64_t count, const int32_t* indices, const T* weights,
                     const GradientSums<T>& sums) {
  Kernels(T()).accumulate_pairs(x, y, i, count, indices, weights, sums);
}
template <typename T>
void FinishGradient(const Operand<T>& x, int64_t row, int64_t rows,
                    const GradientSums<T>& sums, double scale, T* gradient) {
  Kernels(T()).finish(x, row, rows, sums, scale, gradient);
}

#define TF_PAIRWISE_INSTANTIATE_(T)                                            \
  template void AccumulateRows<T>(const Operand<T>&, const Operand<T>&,        \
                                  const Block&, const TileView<T>&,            \
                                  const GradientSums<T>&, T*);                 \
  template void AccumulateColumns<T>(const Operand<T>&, const Operand<T>&,     \
                                     const Block&, const TileView<T>&,         \
                                     const GradientSums<T>&, T*);              \
  template void AccumulatePairs<T>(const Operand<T>&, const Operand<T>&,       \
                                   int64_t, int64_t, const int32_t*, const T*, \
                                   const GradientSums<T>&);                    \
  template void FinishGradient<T>(const Operand<T>&, int64_t, int64_t,         \
                                  const GradientSums<T>&, double, T*);
TF_PAIRWISE_INSTANTIATE_(float)
TF_PAIRWISE_INSTANTIATE_(double)
#undef TF_PAIRWISE_INSTANTIATE_

}  // namespace tf_pairwise
#endif  // HWY_ONCE

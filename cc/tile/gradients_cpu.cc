#include <type_traits>

#include "tile/tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tile/gradients_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/dispatch.h"
#include "tile/gradients-inl.h"

#ifndef TF_PAIRWISE_TILE_GRADIENTS_CPU_ONCE_
#define TF_PAIRWISE_TILE_GRADIENTS_CPU_ONCE_
namespace tf_pairwise {
namespace {

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

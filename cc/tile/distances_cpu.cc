#include <type_traits>

#include "tile/tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tile/distances_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "simd/gemm-inl.h"

#ifndef TF_PAIRWISE_TILE_DISTANCES_CPU_ONCE_
#define TF_PAIRWISE_TILE_DISTANCES_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  void (*distances)(const Operand<T>& x, const Operand<T>& y,
                    const Block& block, int64_t diagonal,
                    const TileView<T>& tile);
  void (*store_rows)(DType dtype, int64_t rows, int64_t columns, const T* from,
                     int64_t from_stride, void* to, int64_t to_stride,
                     bool past_caches);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TILE_DISTANCES_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// Products longer than this are summed in blocks, so that rounding does not
// grow with the dimension: about one unit in the last place of the terms.
constexpr int64_t kDepthBlock = 128;

// Makes a vector of distances again from the points, where `suspects` has a
// bit; returns the bits whose gradient needs the points too.
template <class M, typename T>
HWY_NOINLINE uint64_t Rescue(const Operand<T>& x, const Operand<T>& y,
                             int64_t i, int64_t j, uint64_t suspects,
                             int64_t diagonal, T* values) {
  uint64_t near = 0;
  for (; suspects != 0; suspects &= suspects - 1) {
    const int lane = __builtin_ctzll(suspects);
    const int64_t column = j + lane;
    if (column >= y.n) continue;
    const bool itself = IsItself(i, column, diagonal);
    const bool finite =
        x.term[i] == x.term[i] && y.term[column] == y.term[column];
    if (itself && finite) {
      const bool zero_vector =
          x.inverse_norm != nullptr && x.inverse_norm[i] == 0;
      values[lane] = zero_vector ? T(1) : T(0);
      continue;
    }
    values[lane] = static_cast<T>(
        DirectPairOf<M>(x.source + i * x.d, y.source + column * y.d, x.d, false)
            .distance);
    if (itself && values[lane] == 0) continue;
    near |= uint64_t{1} << lane;
  }
  return near;
}

// The bits of a mask of lanes.
template <typename T>
HWY_INLINE uint64_t BitsOf(hn::Mask<Tag<T>> mask) {
  uint8_t bytes[8] = {0};
  hn::StoreMaskBits(Tag<T>(), mask, bytes);
  uint64_t bits = 0;
  __builtin_memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

// Makes distances of a register tile's sums and stores them, from element
// (r, c) of the block on.
template <class M, int kRows, typename T>
HWY_INLINE void FinishStrip(const Operand<T>& x, const Operand<T>& y,
                            const Block& block, int64_t r, int64_t c,
                            int64_t diagonal,
                            const VecT<T> (&acc)[kRows][kMicroVectors],
                            const TileView<T>& tile) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> closeness = hn::Set(tag, ClosenessPart<T>());
  const VecT<T> tiny = hn::Set(tag, LeastRaw<T>());
  for (int i = 0; i < kRows; ++i) {
    const VecT<T> x_term = hn::Set(tag, x.term[block.row + r + i]);
    for (int v = 0; v < kMicroVectors; ++v) {
      const int64_t k = c + v * lanes, j = block.column + k;
      const VecT<T> terms = hn::Add(x_term, hn::LoadU(tag, y.term + j));
      const VecT<T> raw = M::Raw(acc[i][v], terms);
      T* out = tile.Row(r + i) + k;
      hn::StoreU(M::Distance(raw), tag, out);
      if constexpr (M::kCancels) {
        const auto sound = hn::Ge(raw, hn::MulAdd(closeness, terms, tiny));
        if (HWY_LIKELY(hn::AllTrue(tag, sound))) continue;
        const uint64_t close =
            Rescue<M>(x, y, block.row + r + i, j, BitsOf<T>(hn::Not(sound)),
                      diagonal, out);
        if (tile.near != nullptr && M::kForm == GradientForm::kDifference) {
          tile.Near(r + i)[k / 64] |= close << (k % 64);
        }
      }
    }
  }
}

template <class M, int kRows, typename T>
HWY_INLINE void DistanceStrip(const Operand<T>& x, const Operand<T>& y,
                              const Block& block, int64_t r, int64_t c,
                              int64_t diagonal, const TileView<T>& tile) {
  const Tag<T> tag;
  const int64_t depth = x.d;
  const int64_t width = PanelWidth<T>();
  const T* a = x.rows + (block.row + r) * x.stride;
  const T* b = y.panels + (block.column + c) * depth;
  VecT<T> acc[kRows][kMicroVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kMicroVectors; ++v) acc[i][v] = hn::Zero(tag);
  }
  // Two whole paths, so that the short one's sums never leave the registers.
  if (depth <= kDepthBlock) {
    MicroKernel<M, kRows, kMicroVectors, T>(depth, a, x.stride, 1, b, width,
                                            acc);
    FinishStrip<M, kRows, T>(x, y, block, r, c, diagonal, acc, tile);
    return;
  }
  for (int64_t k = 0; k < depth; k += kDepthBlock) {
    VecT<T> part[kRows][kMicroVectors];
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kMicroVectors; ++v) part[i][v] = hn::Zero(tag);
    }
    MicroKernel<M, kRows, kMicroVectors, T>(Least(depth - k, kDepthBlock),
                                            a + k, x.stride, 1, b + k * width,
                                            width, part);
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kMicroVectors; ++v) {
        acc[i][v] = M::Join(acc[i][v], part[i][v]);
      }
    }
  }
  FinishStrip<M, kRows, T>(x, y, block, r, c, diagonal, acc, tile);
}

template <class M, typename T>
HWY_NOINLINE void DistancesOf(const Operand<T>& x, const Operand<T>& y,
                              const Block& block, int64_t diagonal,
                              const TileView<T>& tile) {
  const int64_t columns = RoundUp(block.columns, Operand<T>::kRowPadding);
  const int64_t width = PanelWidth<T>();
  for (int64_t r = 0; tile.near != nullptr && r < block.rows; ++r) {
    for (int64_t w = 0; w < columns / 64; ++w) tile.Near(r)[w] = 0;
  }
  for (int64_t c = 0; c < columns; c += width) {
    int64_t r = 0;
    const auto strip = [&](auto rows_constant) HWY_ATTR {
      constexpr int kRows = decltype(rows_constant)::value;
      for (; r + kRows <= block.rows; r += kRows) {
        DistanceStrip<M, kRows, T>(x, y, block, r, c, diagonal, tile);
      }
    };
    strip(std::integral_constant<int, kMicroRows>());
    strip(std::integral_constant<int, 2>());
    strip(std::integral_constant<int, 1>());
  }
}

template <typename T>
void Distances(const Operand<T>& x, const Operand<T>& y, const Block& block,
               int64_t diagonal, const TileView<T>& tile) {
  VisitMetric(x.product, [&](auto m) HWY_ATTR {
    DistancesOf<decltype(m), T>(x, y, block, diagonal, tile);
  });
}

template <typename T>
void StoreRowsOf(DType dtype, int64_t rows, int64_t columns, const T* from,
                 int64_t from_stride, void* to, int64_t to_stride,
                 bool past_caches) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    if constexpr (std::is_same_v<Compute<S>, T>) {
      S* out = static_cast<S*>(to);
      if constexpr (std::is_same_v<S, T>) {
        constexpr int64_t kLine = 64;
        const int64_t lanes = LanesOf<T>();
        if (past_caches && reinterpret_cast<uintptr_t>(out) % kLine == 0 &&
            to_stride * static_cast<int64_t>(sizeof(T)) % kLine == 0 &&
            columns % lanes == 0) {
          const Tag<T> tag;
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t k = 0; k < columns; k += lanes) {
              hn::Stream(hn::LoadU(tag, from + i * from_stride + k), tag,
                         out + i * to_stride + k);
            }
          }
          hwy::FlushStream();
          return;
        }
      }
      for (int64_t i = 0; i < rows; ++i) {
        ForEachVector<T>(columns, [&](int64_t k, int64_t count) HWY_ATTR {
          StoreCount(LoadCount(from + i * from_stride + k, count),
                     out + i * to_stride + k, count);
        });
      }
    }
  });
}

template <typename T>
constexpr TableOf<T> kTableOf = {&Distances<T>, &StoreRowsOf<T>};
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
void MakeDistances(const Operand<T>& x, const Operand<T>& y, const Block& block,
                   int64_t diagonal, const TileView<T>& tile) {
  Kernels(T()).distances(x, y, block, diagonal, tile);
}
template <typename T>
void StoreRows(DType dtype, int64_t rows, int64_t columns, const T* from,
               int64_t from_stride, void* to, int64_t to_stride,
               bool past_caches) {
  Kernels(T()).store_rows(dtype, rows, columns, from, from_stride, to,
                          to_stride, past_caches);
}

#define TF_PAIRWISE_INSTANTIATE_(T)                                          \
  template void MakeDistances<T>(const Operand<T>&, const Operand<T>&,       \
                                 const Block&, int64_t, const TileView<T>&); \
  template void StoreRows<T>(DType, int64_t, int64_t, const T*, int64_t,     \
                             void*, int64_t, bool);
TF_PAIRWISE_INSTANTIATE_(float)
TF_PAIRWISE_INSTANTIATE_(double)
#undef TF_PAIRWISE_INSTANTIATE_

}  // namespace tf_pairwise
#endif  // HWY_ONCE

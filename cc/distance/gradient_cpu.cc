#include <type_traits>

#include "core/scale.h"
#include "distance/batch.h"
#include "distance/distance.h"
#include "tile/tile_walk.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distance/gradient_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "distance/transpose-inl.h"
#include "metric/direct-inl.h"
#include "simd/dispatch.h"

#ifndef TF_PAIRWISE_DISTANCE_GRADIENT_CPU_ONCE_
#define TF_PAIRWISE_DISTANCE_GRADIENT_CPU_ONCE_
namespace tf_pairwise {
namespace {

// One problem of the batch.
struct PairwiseArrays {
  const void* x;
  const void* y;
  const void* distances;
  const void* upstream;
};

template <typename T>
struct TableOf {
  // Makes the weights of the first derivative of a tile: for a batch against
  // itself, of both orders of each pair.
  void (*make_weights)(const PairwiseDistance& problem,
                       const PairwiseArrays& arrays, const Sides<T>& sides,
                       const Block& block, const TileView<T>& tile);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
  // Whether a metric's gradient is made of its distances.
  bool (*reads_distances)(Metric metric);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_DISTANCE_GRADIENT_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// A tile is gone through in pieces whose transposed upstream fits the first
// cache: a line of it is kPieceRows elements.
constexpr int64_t kPieceRows = 16;
constexpr int64_t kPieceColumns = 64;

// The upstream of the pairs of a piece in their other order.
template <typename S>
HWY_INLINE void ReadOtherOrder(const S* upstream, int64_t m, const Block& piece,
                               Compute<S>* other) {
  using T = Compute<S>;
  HWY_ALIGN T lines[kPieceRows * kPieceColumns];
  for (int64_t c = 0; c < piece.columns; ++c) {
    const S* from = upstream + (piece.column + c) * m + piece.row;
    ForEachVector<T>(piece.rows, [&](int64_t k, int64_t count) HWY_ATTR {
      StoreCount(LoadCount(from + k, count), lines + c * kPieceRows + k, count);
    });
  }
  Transpose<T>(piece.columns, piece.rows, lines, kPieceRows, other,
               kPieceColumns);
}

// The lanes of a row's vector whose pairs are too close for the product form.
template <class M, typename T>
HWY_INLINE uint64_t CloseLanes(VecT<T> distance, VecT<T> terms, int64_t count) {
  const Tag<T> tag;
  const auto close = hn::Not(hn::Ge(
      M::RawOf(distance), hn::Mul(hn::Set(tag, ClosenessPart<T>()), terms)));
  if (HWY_LIKELY(hn::AllFalse(tag, close))) return 0;
  uint8_t bytes[8] = {0};
  hn::StoreMaskBits(tag, close, bytes);
  uint64_t bits = 0;
  __builtin_memcpy(&bits, bytes, sizeof(bits));
  return bits & ((uint64_t{1} << count) - 1);
}

// The weights upstream dD/dr of a piece. Halves find the distances, and the
// bits of close pairs, in the tile: a saved distance has been rounded, or is
// beyond the half's range.
template <class M, typename S>
HWY_INLINE void WeightsOfPiece(const PairwiseDistance& problem,
                               const PairwiseArrays& arrays,
                               const Sides<Compute<S>>& sides,
                               const Block& piece,
                               const TileView<Compute<S>>& tile) {
  using T = Compute<S>;
  constexpr bool kSaved = std::is_same_v<S, T>;
  const Tag<T> tag;
  const S* upstream = static_cast<const S*>(arrays.upstream);
  HWY_ALIGN T other[kPieceRows * kPieceColumns];
  if (problem.self) ReadOtherOrder(upstream, problem.m, piece, other);
  const T* y_terms = sides.right().term + piece.column;
  for (int64_t r = 0; r < piece.rows; ++r) {
    const int64_t i = piece.row + r, at = i * problem.m + piece.column;
    const VecT<T> x_term = hn::Set(tag, sides.x.term[i]);
    T* out = tile.Row(r);
    uint64_t near = 0;
    ForEachVector<T>(piece.columns, [&](int64_t k, int64_t count) HWY_ATTR {
      VecT<T> distance;
      if constexpr (kSaved) {
        distance =
            LoadCount(static_cast<const S*>(arrays.distances) + at + k, count);
      } else {
        distance = LoadCount(out + k, count);
      }
      VecT<T> v = M::Slope::Of(LoadCount(upstream + at + k, count), distance);
      if (problem.self) {
        const T* from = other + r * kPieceColumns + k;
        v = hn::Add(v, M::Slope::Of(LoadCount(from, count), distance));
      }
      StoreCount(v, out + k, count);
      if constexpr (kSaved && M::kForm == GradientForm::kDifference) {
        const VecT<T> terms = hn::Add(x_term, LoadCount(y_terms + k, count));
        near |= CloseLanes<M, T>(distance, terms, count) << k;
      }
    });
    if constexpr (kSaved) *tile.Near(r) = near;
    const int64_t itself = i - piece.column;
    if (problem.self && M::kZeroToItself && itself >= 0 &&
        itself < piece.columns) {
      // A point's distance to itself is the constant zero; a NaN stays one.
      out[itself] = out[itself] == out[itself] ? T(0) : out[itself];
    }
  }
}

template <class M, typename S>
void WeightsOfTile(const PairwiseDistance& problem,
                   const PairwiseArrays& arrays, const Sides<Compute<S>>& sides,
                   const Block& block, const TileView<Compute<S>>& tile) {
  for (int64_t r = 0; r < block.rows; r += kPieceRows) {
    for (int64_t c = 0; c < block.columns; c += kPieceColumns) {
      const Block piece = {block.row + r, Least(block.rows - r, kPieceRows),
                           block.column + c,
                           Least(block.columns - c, kPieceColumns)};
      WeightsOfPiece<M, S>(problem, arrays, sides, piece, tile.From(r, c));
    }
  }
}

template <typename T>
void MakeWeights(const PairwiseDistance& problem, const PairwiseArrays& arrays,
                 const Sides<T>& sides, const Block& block,
                 const TileView<T>& tile) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    if constexpr (std::is_same_v<Compute<S>, T>) {
      VisitMetric(problem.metric, [&](auto m) HWY_ATTR {
        WeightsOfTile<decltype(m), S>(problem, arrays, sides, block, tile);
      });
    }
  });
}

bool ReadsDistances(Metric metric) {
  return VisitMetric(metric, [](auto m) HWY_ATTR {
    return decltype(m)::kForm == GradientForm::kDifference;
  });
}

template <typename T>
constexpr TableOf<T> kTableOf = {&MakeWeights<T>};
constexpr Table kTable = {kTableOf<float>, kTableOf<double>, &ReadsDistances};

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

template <typename T>
struct GradLayout {
  TileWalk<T> walk;
  // Halves: the gradients before they are rounded.
  T* x_grad = nullptr;
  T* y_grad = nullptr;

  GradLayout(const PairwiseDistance& problem, Scratch& scratch, int workers) {
    const bool half = IsHalf(problem.dtype);
    TileWalkOptions options;
    options.gradient = true;
    // Those of a half are made again.
    options.distances = half && Kernels().reads_distances(problem.metric);
    walk.LayOut(scratch, PairsOf(problem), options, workers);
    if (!half) return;
    x_grad = scratch.Take<T>(problem.n * problem.d);
    if (!problem.self) y_grad = scratch.Take<T>(problem.m * problem.d);
  }
};

template <typename T>
int64_t GradBytes(const PairwiseDistance& problem, int workers) {
  Scratch scratch(nullptr);
  const GradLayout<T> layout(problem, scratch, workers);
  return scratch.bytes();
}

template <typename T>
void GradOne(const PairwiseDistance& problem, const PairwiseArrays& arrays,
             void* x_grad, void* y_grad, void* base,
             const ParallelFor& parallel) {
  Scratch scratch(base);
  const GradLayout<T> layout(problem, scratch, parallel.workers);
  TileWalk<T> walk = layout.walk;
  walk.sides.Prepare(arrays.x, arrays.y, parallel);
  const auto make_weights = Kernels(T()).make_weights;
  walk.Run(problem.self ? 0 : -1, true, parallel,
           [&](const typename TileWalk<T>::Tile& tile, int) {
             make_weights(problem, arrays, walk.sides, tile.block, tile.tile);
           });
  if (!IsHalf(problem.dtype)) {
    walk.sides.Finish(1, x_grad, y_grad, parallel);
    return;
  }
  walk.sides.Finish(1, layout.x_grad, layout.y_grad, parallel);
  Scale(problem.dtype, problem.n * problem.d, layout.x_grad, nullptr, x_grad,
        parallel);
  if (problem.self) return;
  Scale(problem.dtype, problem.m * problem.d, layout.y_grad, nullptr, y_grad,
        parallel);
}

}  // namespace

int64_t PairwiseDistanceGradScratchBytes(const PairwiseDistance& problem,
                                         int workers) {
  const int inner = WorkersOfOne(problem, workers);
  return BatchScratch(problem, workers,
                      VisitCompute(problem.dtype, [&](auto type) {
                        return GradBytes<decltype(type)>(problem, inner);
                      }));
}

Status PairwiseDistanceGradCpu(const PairwiseDistance& problem, const void* x,
                               const void* y, const void* distances,
                               const void* upstream, void* x_grad, void* y_grad,
                               void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  const int inner = WorkersOfOne(problem, parallel.workers);
  VisitCompute(problem.dtype, [&](auto type) {
    using T = decltype(type);
    ForEachInBatch(
        problem, scratch, GradBytes<T>(problem, inner), parallel,
        [&](int64_t b, void* one_scratch, const ParallelFor& one_parallel) {
          const Part part(problem, b);
          const PairwiseArrays arrays = {
              At(x, part.x_bytes), At(y, part.y_bytes),
              At(distances, part.pair_bytes), At(upstream, part.pair_bytes)};
          GradOne<T>(problem, arrays, At(x_grad, part.x_bytes),
                     At(y_grad, part.y_bytes), one_scratch, one_parallel);
        });
  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

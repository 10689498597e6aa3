#include "distance/batch.h"
#include "distance/distance.h"
#include "tile/tile_walk.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distance/distance_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "distance/transpose-inl.h"
#include "simd/dispatch.h"

#ifndef TF_PAIRWISE_DISTANCE_CPU_ONCE_
#define TF_PAIRWISE_DISTANCE_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  // to[c, r] = from[r, c].
  void (*transpose)(int64_t rows, int64_t columns, const T* from,
                    int64_t from_stride, T* to, int64_t to_stride);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_DISTANCE_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
constexpr TableOf<T> kTableOf = {&Transpose<T>};
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

constexpr int64_t kCaches = 16 << 20;  // a larger output leaves them anyway

template <typename T>
void LayOutForward(const PairwiseDistance& problem, Scratch& scratch,
                   int workers, TileWalk<T>* walk) {
  TileWalkOptions options;
  if (problem.self) {
    options.rows = options.columns = 192;
  } else {
    // Long rows: what is stored at a time is a few pages' worth.
    options.rows = 96;
    options.columns = Least(RoundUp(problem.m, 64), 512);
  }
  walk->LayOut(scratch, PairsOf(problem), options, workers);
}

// Writes a tile's transposed; halves a few rows of the output at a time.
template <typename T>
void StoreMirrored(const PairwiseDistance& problem, const Block& block,
                   const TileView<T>& tile, char* distances, bool past_caches) {
  const int64_t m = problem.m, size = SizeOf(problem.dtype);
  char* out =
      static_cast<char*>(At(distances, (block.column * m + block.row) * size));
  if (size == static_cast<int64_t>(sizeof(T))) {
    Kernels(T()).transpose(block.rows, block.columns, tile.data, tile.stride,
                           reinterpret_cast<T*>(out), m);
    return;
  }
  constexpr int64_t kLines = 16, kStride = 192 + 16;
  alignas(64) T lines[kLines * kStride];
  for (int64_t c = 0; c < block.columns; c += kLines) {
    const int64_t count = Least(block.columns - c, kLines);
    Kernels(T()).transpose(block.rows, count, tile.data + c, tile.stride, lines,
                           kStride);
    StoreRows<T>(problem.dtype, count, block.rows, lines, kStride,
                 At(out, c * m * size), m, past_caches);
  }
}

template <typename T>
void ForwardOne(const PairwiseDistance& problem, const void* x, const void* y,
                void* distances, void* base, const ParallelFor& parallel) {
  Scratch scratch(base);
  TileWalk<T> walk;
  LayOutForward<T>(problem, scratch, parallel.workers, &walk);
  walk.sides.Prepare(x, y, parallel);
  const int64_t m = problem.m, size = SizeOf(problem.dtype);
  const bool past_caches = problem.n * m * size > kCaches;
  char* out = static_cast<char*>(distances);
  walk.RunApart(problem.self ? 0 : -1, parallel,
                [&](const typename TileWalk<T>::Tile& tile, int) {
                  const Block& block = tile.block;
                  StoreRows<T>(problem.dtype, block.rows, block.columns,
                               tile.tile.data, tile.tile.stride,
                               out + (block.row * m + block.column) * size, m,
                               past_caches);
                  // D is symmetric to the bit, so a tile is made once and
                  // written twice.
                  if (problem.self && !tile.diagonal) {
                    StoreMirrored<T>(problem, block, tile.tile, out,
                                     past_caches);
                  }
                });
}

template <typename T>
int64_t ForwardBytes(const PairwiseDistance& problem, int workers) {
  Scratch scratch(nullptr);
  TileWalk<T> walk;
  LayOutForward<T>(problem, scratch, workers, &walk);
  return scratch.bytes();
}

}  // namespace

int64_t PairwiseDistanceScratchBytes(const PairwiseDistance& problem,
                                     int workers) {
  const int inner = WorkersOfOne(problem, workers);
  return BatchScratch(problem, workers,
                      VisitCompute(problem.dtype, [&](auto type) {
                        return ForwardBytes<decltype(type)>(problem, inner);
                      }));
}

Status PairwiseDistanceCpu(const PairwiseDistance& problem, const void* x,
                           const void* y, void* distances, void* scratch,
                           const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  if (problem.batch == 0 || problem.n == 0 || problem.m == 0) return Ok();
  const int inner = WorkersOfOne(problem, parallel.workers);
  VisitCompute(problem.dtype, [&](auto type) {
    using T = decltype(type);
    ForEachInBatch(
        problem, scratch, ForwardBytes<T>(problem, inner), parallel,
        [&](int64_t b, void* one_scratch, const ParallelFor& one_parallel) {
          const Part part(problem, b);
          ForwardOne<T>(problem, At(x, part.x_bytes), At(y, part.y_bytes),
                        At(distances, part.pair_bytes), one_scratch,
                        one_parallel);
        });
  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

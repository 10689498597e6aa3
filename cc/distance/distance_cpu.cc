#include <cmath>
#include <type_traits>

#include "core/checks.h"
#include "core/scratch.h"
#include "distance/distance.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distance/distance_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/second-inl.h"
#include "simd/dispatch.h"
#include "tile/sides.h"

#ifndef TF_PAIRWISE_DISTANCE_CPU_ONCE_
#define TF_PAIRWISE_DISTANCE_CPU_ONCE_
namespace tf_pairwise {
namespace {

// What runs per target: one problem of the batch, and rows of pairs.
struct DistanceKernels {
  void (*build_weights)(const PairwiseDistance& problem, int64_t row,
                        int64_t rows, int64_t column, int64_t columns,
                        const void* distances, const void* upstream,
                        const void* x_terms, const void* y_terms, void* weights,
                        int64_t stride, uint64_t* near, int64_t near_stride);
  void (*transpose)(int64_t rows, int64_t columns, const void* from,
                    int64_t from_stride, void* to, int64_t to_stride,
                    bool wide);
  // One own row of the second derivative: its pairs with every other row.
  void (*second_row)(const PairwiseDistance& problem, bool columns, int64_t i,
                     const void* x, const void* y, const void* upstream,
                     const void* u, const void* w, void* upstream_out,
                     void* sums);
  void (*second_store)(DType dtype, int64_t d, const void* sums, void* out);
  void (*paired)(const PairedDistance& problem, int64_t begin, int64_t end,
                 const void* x, const void* y, void* distances);
  void (*paired_grad)(const PairedDistance& problem, int64_t begin, int64_t end,
                      const void* x, const void* y, const void* upstream,
                      void* x_grad, void* y_grad);
  void (*paired_second)(const PairedDistance& problem, int64_t begin,
                        int64_t end, const void* x, const void* y,
                        const void* upstream, const void* u, const void* w,
                        void* upstream_out, void* x_out, void* y_out,
                        void* buffer);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_DISTANCE_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// ---- weights of the first derivative ----

// weights[r, c] = upstream dD/dr made of the saved distance, and the bits of
// the pairs too close for the product form.
template <class M, typename S>
void BuildWeightsOf(const PairwiseDistance& problem, int64_t row, int64_t rows,
                    int64_t column, int64_t columns, const S* distances,
                    const S* upstream, const Compute<S>* x_terms,
                    const Compute<S>* y_terms, Compute<S>* weights,
                    int64_t stride, uint64_t* near, int64_t near_stride) {
  using T = Compute<S>;
  const Tag<T> tag;
  const VecT<T> closeness = hn::Set(tag, ClosenessPart<T>());
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t i = row + r;
    const S* distance_row = distances + i * problem.m + column;
    const S* upstream_row = upstream + i * problem.m + column;
    T* out = weights + r * stride;
    uint64_t* near_row = near + r * near_stride;
    for (int64_t w = 0; w < (columns + 63) / 64; ++w) near_row[w] = 0;
    const VecT<T> x_term = hn::Set(tag, x_terms[i]);
    ForEachVector<T>(columns, [&](int64_t k, int64_t count) HWY_ATTR {
      const VecT<T> g = LoadCount(upstream_row + k, count);
      const VecT<T> distance = LoadCount(distance_row + k, count);
      StoreCount(M::Slope::Of(g, distance), out + k, count);
      if constexpr (M::kForm == GradientForm::kDifference) {
        const VecT<T> squares = M::RawOf(distance);
        const VecT<T> terms =
            hn::Add(x_term, LoadCount(y_terms + column + k, count));
        const auto close = hn::Not(hn::Ge(squares, hn::Mul(closeness, terms)));
        if (HWY_UNLIKELY(!hn::AllFalse(tag, close))) {
          uint8_t bytes[8] = {0};
          hn::StoreMaskBits(tag, close, bytes);
          for (int64_t lane = 0; lane < count; ++lane) {
            if ((bytes[lane / 8] >> (lane % 8)) & 1) {
              near_row[(k + lane) / 64] |= uint64_t{1} << ((k + lane) % 64);
            }
          }
        }
      }
    });
    const int64_t self = i - column;
    if (problem.self && M::kZeroToItself && self >= 0 && self < columns) {
      // A point's distance to itself is the constant zero; a NaN stays one.
      out[self] = out[self] == out[self] ? T(0) : out[self];
    }
  }
}

void BuildWeights(const PairwiseDistance& problem, int64_t row, int64_t rows,
                  int64_t column, int64_t columns, const void* distances,
                  const void* upstream, const void* x_terms,
                  const void* y_terms, void* weights, int64_t stride,
                  uint64_t* near, int64_t near_stride) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    VisitMetric(problem.metric, [&](auto m) HWY_ATTR {
      BuildWeightsOf<decltype(m)>(
          problem, row, rows, column, columns, static_cast<const S*>(distances),
          static_cast<const S*>(upstream), static_cast<const T*>(x_terms),
          static_cast<const T*>(y_terms), static_cast<T*>(weights), stride,
          near, near_stride);
    });
  });
}

// to[c, r] = from[r, c], in blocks that fit the first cache.
template <typename T>
void TransposeOf(int64_t rows, int64_t columns, const T* from,
                 int64_t from_stride, T* to, int64_t to_stride) {
  constexpr int64_t kBlock = 16;
  for (int64_t c0 = 0; c0 < columns; c0 += kBlock) {
    const int64_t c1 = c0 + kBlock < columns ? c0 + kBlock : columns;
    for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
      const int64_t r1 = r0 + kBlock < rows ? r0 + kBlock : rows;
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t r = r0; r < r1; ++r) {
          to[c * to_stride + r] = from[r * from_stride + c];
        }
      }
    }
  }
}

void Transpose(int64_t rows, int64_t columns, const void* from,
               int64_t from_stride, void* to, int64_t to_stride, bool wide) {
  if (wide) {
    TransposeOf(rows, columns, static_cast<const double*>(from), from_stride,
                static_cast<double*>(to), to_stride);
  } else {
    TransposeOf(rows, columns, static_cast<const float*>(from), from_stride,
                static_cast<float*>(to), to_stride);
  }
}

// ---- second derivatives ----

// The rows of x (or, with `columns`, of y) own their sums.
void SecondRow(const PairwiseDistance& problem, bool columns, int64_t i,
               const void* x, const void* y, const void* upstream,
               const void* u, const void* w, void* upstream_out, void* sums) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const int64_t d = problem.d, m = problem.m;
    const S* own = static_cast<const S*>(columns ? y : x) + i * d;
    const S* own_in = static_cast<const S*>(columns ? w : u) + i * d;
    const S* others = static_cast<const S*>(columns ? x : y);
    const S* others_in = static_cast<const S*>(columns ? u : w);
    const S* g = static_cast<const S*>(upstream);
    T* own_sums = static_cast<T*>(sums);
    for (int64_t j = 0; j < (columns ? problem.n : m); ++j) {
      const int64_t at = columns ? j * m + i : i * m + j;
      double with_g = 0;
      if (!(problem.self && i == j && problem.metric != Metric::kDot)) {
        with_g =
            AddPairSecond(problem.metric, own, others + j * d, own_in,
                          others_in + j * d, d, LoadScalar(g + at), own_sums);
      }
      if (!columns) StoreScalar(with_g, static_cast<S*>(upstream_out) + at);
    }
  });
}

void SecondStore(DType dtype, int64_t d, const void* sums, void* out) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      StoreCount(LoadCount(static_cast<const T*>(sums) + k, count),
                 static_cast<S*>(out) + k, count);
    });
  });
}

// ---- paired ----

void Paired(const PairedDistance& problem, int64_t begin, int64_t end,
            const void* x, const void* y, void* distances) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    const int64_t d = problem.d;
    for (int64_t i = begin; i < end; ++i) {
      const DirectPair pair =
          MakePair(problem.metric, static_cast<const S*>(x) + i * d,
                   static_cast<const S*>(y) + i * d, d, false);
      StoreScalar(pair.distance, static_cast<S*>(distances) + i);
    }
  });
}

void PairedGrad(const PairedDistance& problem, int64_t begin, int64_t end,
                const void* x, const void* y, const void* upstream,
                void* x_grad, void* y_grad) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    const int64_t d = problem.d;
    for (int64_t i = begin; i < end; ++i) {
      const S* a = static_cast<const S*>(x) + i * d;
      const S* b = static_cast<const S*>(y) + i * d;
      const double g = LoadScalar(static_cast<const S*>(upstream) + i);
      const DirectPair pair = MakePair(problem.metric, a, b, d, true);
      StoreSlope(problem.metric, pair, g, a, b, d,
                 static_cast<S*>(x_grad) + i * d);
      StoreSlope(problem.metric, Exchanged(pair), g, b, a, d,
                 static_cast<S*>(y_grad) + i * d);
    }
  });
}

void PairedSecond(const PairedDistance& problem, int64_t begin, int64_t end,
                  const void* x, const void* y, const void* upstream,
                  const void* u, const void* w, void* upstream_out, void* x_out,
                  void* y_out, void* buffer) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const int64_t d = problem.d;
    const Metric metric = problem.metric;
    T* sums = static_cast<T*>(buffer);
    for (int64_t i = begin; i < end; ++i) {
      const S* px = static_cast<const S*>(x) + i * d;
      const S* py = static_cast<const S*>(y) + i * d;
      const S* pu = static_cast<const S*>(u) + i * d;
      const S* pw = static_cast<const S*>(w) + i * d;
      const double g = LoadScalar(static_cast<const S*>(upstream) + i);
      for (int side = 0; side < 2; ++side) {
        for (int64_t k = 0; k < d; ++k) sums[k] = 0;
        const double with_g =
            side == 0 ? AddPairSecond(metric, px, py, pu, pw, d, g, sums)
                      : AddPairSecond(metric, py, px, pw, pu, d, g, sums);
        SecondStore(problem.dtype, d, sums,
                    static_cast<S*>(side == 0 ? x_out : y_out) + i * d);
        if (side == 0) StoreScalar(with_g, static_cast<S*>(upstream_out) + i);
      }
    }
  });
}

constexpr DistanceKernels kTable = {&BuildWeights, &Transpose, &SecondRow,
                                    &SecondStore,  &Paired,    &PairedGrad,
                                    &PairedSecond};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const DistanceKernels& Kernels() { TF_PAIRWISE_DISPATCH() }

constexpr int64_t kTileRows = 96;      // rows of a unit of work
constexpr int64_t kTileColumns = 512;  // columns made before they are stored
constexpr int64_t kCaches = 16 << 20;  // a larger output leaves them anyway
constexpr int64_t kMirrorTile = 192;   // side of a tile of a symmetric matrix

// Small problems of a large batch are run side by side, each on one worker;
// large ones one after another, each on all. Decided by shape alone.
bool BatchInParallel(const PairwiseDistance& problem) {
  const double flops = 2.0 * static_cast<double>(problem.n) *
                       static_cast<double>(problem.m) *
                       static_cast<double>(problem.d);
  return problem.batch > 1 && flops < 2e7;
}

// Runs `one(b, scratch, parallel)` for each problem of the batch.
template <typename Function>
void ForEachInBatch(const PairwiseDistance& problem, char* scratch,
                    int64_t bytes_of_one, const ParallelFor& parallel,
                    const Function& one) {
  if (BatchInParallel(problem)) {
    const double cost = static_cast<double>(problem.n) *
                        static_cast<double>(problem.m) *
                        (static_cast<double>(problem.d) / 8 + 4);
    parallel(problem.batch, cost, [&](int64_t b, int worker) {
      one(b, scratch + worker * bytes_of_one, ParallelFor());
    });
    return;
  }
  for (int64_t b = 0; b < problem.batch; ++b) one(b, scratch, parallel);
}

int64_t BatchScratch(const PairwiseDistance& problem, int workers,
                     int64_t bytes_of_one) {
  return (BatchInParallel(problem) ? workers : 1) * bytes_of_one;
}

template <typename T>
struct ForwardScratch {
  Operand<T> x, y;
  T* tiles;
  int64_t tile_size;

  ForwardScratch(const PairwiseDistance& problem, Scratch& scratch,
                 int workers) {
    x = LayOutOperand<T>(scratch, problem.dtype, problem.metric, problem.metric,
                         problem.n, problem.d, problem.self);
    if (!problem.self) {
      y = LayOutOperand<T>(scratch, problem.dtype, problem.metric,
                           problem.metric, problem.m, problem.d, true);
    }
    tile_size = problem.self ? kMirrorTile * (kMirrorTile + 16)
                             : kTileRows * (kTileColumns + 16);
    tiles = scratch.Take<T>(workers * tile_size);
  }
};

template <typename T>
int64_t ForwardBytes(const PairwiseDistance& problem, int workers) {
  Scratch scratch(nullptr);
  ForwardScratch<T> plan(problem, scratch, workers);
  return scratch.bytes();
}

template <typename T>
void ForwardOne(const PairwiseDistance& problem, const void* x, const void* y,
                char* distances, void* base, const ParallelFor& parallel) {
  Scratch scratch(base);
  ForwardScratch<T> plan(problem, scratch, parallel.workers);
  const int64_t n = problem.n, m = problem.m, size = SizeOf(problem.dtype);
  const bool past_caches = n * m * size > kCaches;
  PreparePoints<T>(plan.x, problem.dtype, x, nullptr, parallel);
  if (problem.self) {
    // D is symmetric to the bit, so a tile is made once and written twice.
    const int64_t blocks = Blocks(n, kMirrorTile);
    const int64_t stride = kMirrorTile + 16;
    const double cost =
        kMirrorTile * kMirrorTile * (static_cast<double>(problem.d) / 8 + 4);
    parallel(blocks * (blocks + 1) / 2, cost, [&](int64_t unit, int worker) {
      int64_t i = 0;
      while (unit >= blocks - i) unit -= blocks - i++;
      const int64_t j = i + unit;
      T* tile = plan.tiles + worker * plan.tile_size;
      const int64_t row = i * kMirrorTile, column = j * kMirrorTile;
      const int64_t rows = n - row < kMirrorTile ? n - row : kMirrorTile;
      const int64_t columns =
          n - column < kMirrorTile ? n - column : kMirrorTile;
      MakeDistances<T>(plan.x, plan.x, {row, rows, column, columns}, 0,
                       {tile, stride});
      StoreRows<T>(problem.dtype, rows, columns, tile, stride,
                   distances + (row * m + column) * size, m, past_caches);
      if (i == j) return;
      if (size == static_cast<int64_t>(sizeof(T))) {
        Kernels().transpose(rows, columns, tile, stride,
                            distances + (column * m + row) * size, m,
                            sizeof(T) == 8);
      } else {
        // Through the tile that column j's rows would have made.
        MakeDistances<T>(plan.x, plan.x, {column, columns, row, rows}, 0,
                         {tile, stride});
        StoreRows<T>(problem.dtype, columns, rows, tile, stride,
                     distances + (column * m + row) * size, m, past_caches);
      }
    });
    return;
  }
  PreparePoints<T>(plan.y, problem.dtype, y, plan.x.centre, parallel);
  const int64_t row_blocks = Blocks(n, kTileRows);
  const int64_t column_blocks = Blocks(m, kTileColumns);
  const double cost = kTileRows *
                      static_cast<double>(m < kTileColumns ? m : kTileColumns) *
                      (static_cast<double>(problem.d) / 8 + 4);
  parallel(row_blocks * column_blocks, cost, [&](int64_t unit, int worker) {
    T* tile = plan.tiles + worker * plan.tile_size;
    const int64_t stride = kTileColumns + 16;
    const int64_t row = unit / column_blocks * kTileRows;
    const int64_t column = unit % column_blocks * kTileColumns;
    const int64_t rows = n - row < kTileRows ? n - row : kTileRows;
    const int64_t columns =
        m - column < kTileColumns ? m - column : kTileColumns;
    MakeDistances<T>(plan.x, plan.y, {row, rows, column, columns}, -1,
                     {tile, stride});
    StoreRows<T>(problem.dtype, rows, columns, tile, stride,
                 distances + (row * m + column) * size, m, past_caches);
  });
}

template <typename T>
struct GradScratch {
  Operand<T> x, y;
  GradientSums<T> x_sums, y_sums;
  T* weights;  // a block per worker
  uint64_t* near;
  T* packs;
  T* gradients;  // halves: the gradient before it is rounded
  static constexpr int64_t kStride = kAccumulateColumns + 16;
  static constexpr int64_t kBlock = kAccumulateColumns * kStride;
  static constexpr int64_t kNear = kAccumulateColumns * kAccumulateColumns / 64;

  GradScratch(const PairwiseDistance& problem, Scratch& scratch, int workers) {
    x = LayOutOperand<T>(scratch, problem.dtype, problem.metric, problem.metric,
                         problem.n, problem.d, false);
    x_sums.sums = scratch.Take<T>(problem.n * x.stride);
    x_sums.factor = scratch.Take<T>(x.padded_n);
    if (!problem.self) {
      y = LayOutOperand<T>(scratch, problem.dtype, problem.metric,
                           problem.metric, problem.m, problem.d, false);
      y_sums.sums = scratch.Take<T>(problem.m * y.stride);
      y_sums.factor = scratch.Take<T>(y.padded_n);
    }
    weights = scratch.Take<T>(workers * kBlock);
    near = scratch.Take<uint64_t>(workers * kNear);
    packs = scratch.Take<T>(workers * kPackSize);
    const int64_t rows = problem.n > problem.m ? problem.n : problem.m;
    gradients = SizeOf(problem.dtype) == static_cast<int64_t>(sizeof(T))
                    ? nullptr
                    : scratch.Take<T>(rows * problem.d);
  }
};

template <typename T>
int64_t GradBytes(const PairwiseDistance& problem, int workers) {
  Scratch scratch(nullptr);
  GradScratch<T> plan(problem, scratch, workers);
  return scratch.bytes();
}

template <typename T>
void GradOne(const PairwiseDistance& problem, const void* x, const void* y,
             const void* distances, const void* upstream, void* x_grad,
             void* y_grad, void* base, const ParallelFor& parallel) {
  Scratch scratch(base);
  GradScratch<T> plan(problem, scratch, parallel.workers);
  const DistanceKernels& kernels = Kernels();
  const int64_t n = problem.n, m = problem.m, d = problem.d;
  PreparePoints<T>(plan.x, problem.dtype, x, nullptr, parallel);
  if (!problem.self) {
    PreparePoints<T>(plan.y, problem.dtype, y, plan.x.centre, parallel);
  }
  const Operand<T>& right = problem.self ? plan.x : plan.y;
  constexpr int64_t kRows = kAccumulateRows, kColumns = kAccumulateColumns;
  constexpr int64_t kStride = GradScratch<T>::kStride;

  // The rows [row, row + rows) of one side take all their pairs.
  const auto rows_side = [&](int64_t row, int64_t rows, int worker) {
    T* weights = plan.weights + worker * GradScratch<T>::kBlock;
    uint64_t* near = plan.near + worker * GradScratch<T>::kNear;
    for (int64_t column = 0; column < m; column += kColumns) {
      const int64_t columns = m - column < kColumns ? m - column : kColumns;
      kernels.build_weights(problem, row, rows, column, columns, distances,
                            upstream, plan.x.term, right.term, weights, kStride,
                            near, kColumns / 64);
      AccumulateRows<T>(plan.x, right, {row, rows, column, columns},
                        {weights, kStride, near, kColumns / 64}, plan.x_sums,
                        plan.packs + worker * kPackSize);
    }
  };
  const GradientSums<T>& right_sums = problem.self ? plan.x_sums : plan.y_sums;
  const auto columns_side = [&](int64_t column, int64_t columns, int worker) {
    T* weights = plan.weights + worker * GradScratch<T>::kBlock;
    uint64_t* near = plan.near + worker * GradScratch<T>::kNear;
    for (int64_t row = 0; row < n; row += kColumns) {
      const int64_t rows = n - row < kColumns ? n - row : kColumns;
      kernels.build_weights(problem, row, rows, column, columns, distances,
                            upstream, plan.x.term, right.term, weights, kStride,
                            near, kColumns / 64);
      AccumulateColumns<T>(plan.x, right, {row, rows, column, columns},
                           {weights, kStride, near, kColumns / 64}, right_sums,
                           plan.packs + worker * kPackSize);
    }
  };
  const auto finish = [&](const Operand<T>& operand,
                          const GradientSums<T>& sums, int64_t row,
                          int64_t rows, void* gradient) {
    if (plan.gradients == nullptr) {
      FinishGradient<T>(operand, row, rows, sums, 1.0,
                        static_cast<T*>(gradient));
      return;
    }
    FinishGradient<T>(operand, row, rows, sums, 1.0, plan.gradients);
    StoreRows<T>(problem.dtype, rows, d, plan.gradients + row * d, d,
                 static_cast<char*>(gradient) + row * d * SizeOf(problem.dtype),
                 d, false);
  };

  const double pair_cost = static_cast<double>(d) / 8 + 4;
  parallel(Blocks(n, kRows),
           kRows * static_cast<double>(m) * pair_cost * (problem.self ? 2 : 1),
           [&](int64_t unit, int worker) {
             const int64_t row = unit * kRows;
             const int64_t rows = n - row < kRows ? n - row : kRows;
             Sides<T>::ClearRows(plan.x, plan.x_sums, row, rows);
             rows_side(row, rows, worker);
             if (problem.self) columns_side(row, rows, worker);
             finish(plan.x, plan.x_sums, row, rows, x_grad);
           });
  if (problem.self) return;
  parallel(Blocks(m, kRows), kRows * static_cast<double>(n) * pair_cost,
           [&](int64_t unit, int worker) {
             const int64_t column = unit * kRows;
             const int64_t columns = m - column < kRows ? m - column : kRows;
             Sides<T>::ClearRows(plan.y, plan.y_sums, column, columns);
             columns_side(column, columns, worker);
             finish(plan.y, plan.y_sums, column, columns, y_grad);
           });
}

// A worker's row of sums in the compute type.
int64_t RowBufferBytes(DType dtype, int64_t d) {
  return Blocks((d + 1) * SizeOfCompute(dtype), Scratch::kAlignment) *
         Scratch::kAlignment;
}

Status CheckCommon(Metric metric, DType dtype, int64_t d) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckMetric(metric));
  TF_PAIRWISE_RETURN_IF_ERROR(CheckDType(dtype));
  if (d < 0) {
    return InvalidArgument("x: got %lld columns, expected 0 or more",
                           static_cast<long long>(d));
  }
  return Ok();
}

}  // namespace

Status Check(const PairwiseDistance& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckCommon(problem.metric, problem.dtype, problem.d));
  if (problem.batch < 0 || problem.n < 0 || problem.m < 0) {
    return InvalidArgument(
        "x, y: got batch %lld, %lld and %lld rows, expected 0 or more",
        static_cast<long long>(problem.batch),
        static_cast<long long>(problem.n), static_cast<long long>(problem.m));
  }
  if (problem.self && problem.n != problem.m) {
    return InvalidArgument(
        "y: got %lld rows, expected the %lld of x, which is taken against "
        "itself",
        static_cast<long long>(problem.m), static_cast<long long>(problem.n));
  }
  return Ok();
}

Status Check(const PairedDistance& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(
      CheckCommon(problem.metric, problem.dtype, problem.d));
  if (problem.n < 0) {
    return InvalidArgument("x: got %lld rows, expected 0 or more",
                           static_cast<long long>(problem.n));
  }
  return Ok();
}

int64_t PairwiseDistanceScratchBytes(const PairwiseDistance& problem,
                                     int workers) {
  const int inner = BatchInParallel(problem) ? 1 : workers;
  return BatchScratch(problem, workers,
                      problem.dtype == DType::kFloat64
                          ? ForwardBytes<double>(problem, inner)
                          : ForwardBytes<float>(problem, inner));
}

Status PairwiseDistanceCpu(const PairwiseDistance& problem, const void* x,
                           const void* y, void* distances, void* scratch,
                           const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.batch == 0 || problem.n == 0 || problem.m == 0) return Ok();
  const int64_t size = SizeOf(problem.dtype);
  const int64_t x_bytes = problem.n * problem.d * size;
  const int64_t y_bytes = problem.m * problem.d * size;
  const int64_t out_bytes = problem.n * problem.m * size;
  const bool wide = problem.dtype == DType::kFloat64;
  const int inner = BatchInParallel(problem) ? 1 : parallel.workers;
  const int64_t bytes = wide ? ForwardBytes<double>(problem, inner)
                             : ForwardBytes<float>(problem, inner);
  ForEachInBatch(
      problem, static_cast<char*>(scratch), bytes, parallel,
      [&](int64_t b, void* own_scratch, const ParallelFor& own_parallel) {
        const void* own_x = static_cast<const char*>(x) + b * x_bytes;
        const void* own_y =
            problem.self ? own_x : static_cast<const char*>(y) + b * y_bytes;
        char* out = static_cast<char*>(distances) + b * out_bytes;
        if (wide) {
          ForwardOne<double>(problem, own_x, own_y, out, own_scratch,
                             own_parallel);
        } else {
          ForwardOne<float>(problem, own_x, own_y, out, own_scratch,
                            own_parallel);
        }
      });
  return Ok();
}

int64_t PairwiseDistanceGradScratchBytes(const PairwiseDistance& problem,
                                         int workers) {
  const int inner = BatchInParallel(problem) ? 1 : workers;
  return BatchScratch(problem, workers,
                      problem.dtype == DType::kFloat64
                          ? GradBytes<double>(problem, inner)
                          : GradBytes<float>(problem, inner));
}

Status PairwiseDistanceGradCpu(const PairwiseDistance& problem, const void* x,
                               const void* y, const void* distances,
                               const void* upstream, void* x_grad, void* y_grad,
                               void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const int64_t size = SizeOf(problem.dtype);
  const int64_t x_bytes = problem.n * problem.d * size;
  const int64_t y_bytes = problem.m * problem.d * size;
  const int64_t pair_bytes = problem.n * problem.m * size;
  const bool wide = problem.dtype == DType::kFloat64;
  const int inner = BatchInParallel(problem) ? 1 : parallel.workers;
  const int64_t bytes = wide ? GradBytes<double>(problem, inner)
                             : GradBytes<float>(problem, inner);
  ForEachInBatch(
      problem, static_cast<char*>(scratch), bytes, parallel,
      [&](int64_t b, void* own_scratch, const ParallelFor& own_parallel) {
        const void* own_x = static_cast<const char*>(x) + b * x_bytes;
        const void* own_y =
            problem.self ? own_x : static_cast<const char*>(y) + b * y_bytes;
        const void* own_distances =
            static_cast<const char*>(distances) + b * pair_bytes;
        const void* own_upstream =
            static_cast<const char*>(upstream) + b * pair_bytes;
        void* own_x_grad = static_cast<char*>(x_grad) + b * x_bytes;
        void* own_y_grad =
            problem.self ? nullptr : static_cast<char*>(y_grad) + b * y_bytes;
        if (wide) {
          GradOne<double>(problem, own_x, own_y, own_distances, own_upstream,
                          own_x_grad, own_y_grad, own_scratch, own_parallel);
        } else {
          GradOne<float>(problem, own_x, own_y, own_distances, own_upstream,
                         own_x_grad, own_y_grad, own_scratch, own_parallel);
        }
      });
  return Ok();
}

int64_t PairwiseDistanceGradGradScratchBytes(const PairwiseDistance& problem,
                                             int workers) {
  return workers * RowBufferBytes(problem.dtype, problem.d);
}

Status PairwiseDistanceGradGradCpu(const PairwiseDistance& problem,
                                   const void* x, const void* y,
                                   const void* upstream, const void* u,
                                   const void* w, void* upstream_out,
                                   void* x_out, void* y_out, void* scratch,
                                   const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const DistanceKernels& kernels = Kernels();
  const int64_t n = problem.n, m = problem.m, d = problem.d;
  const int64_t size = SizeOf(problem.dtype);
  const int64_t buffer = RowBufferBytes(problem.dtype, d);
  const int64_t x_bytes = n * d * size, y_bytes = m * d * size;
  const int64_t pair_bytes = n * m * size;
  const auto at = [](const void* base, int64_t bytes) {
    return base == nullptr ? nullptr : static_cast<const char*>(base) + bytes;
  };
  const double cost = 2.0 * static_cast<double>(d) + 16;
  for (int64_t b = 0; b < problem.batch; ++b) {
    const void* own_x = at(x, b * x_bytes);
    const void* own_u = at(u, b * x_bytes);
    const void* own_y = problem.self ? own_x : at(y, b * y_bytes);
    const void* own_w = problem.self ? own_u : at(w, b * y_bytes);
    const void* own_upstream = at(upstream, b * pair_bytes);
    void* own_out = static_cast<char*>(upstream_out) + b * pair_bytes;
    const auto row = [&](int64_t i, int worker) {
      char* sums = static_cast<char*>(scratch) + worker * buffer;
      for (int64_t k = 0; k < buffer; ++k) sums[k] = 0;
      kernels.second_row(problem, false, i, own_x, own_y, own_upstream, own_u,
                         own_w, own_out, sums);
      if (problem.self) {
        kernels.second_row(problem, true, i, own_x, own_y, own_upstream, own_u,
                           own_w, nullptr, sums);
      }
      kernels.second_store(
          problem.dtype, d, sums,
          static_cast<char*>(x_out) + b * x_bytes + i * d * size);
    };
    parallel(n, cost * static_cast<double>(m), row);
    if (problem.self) continue;
    const auto column = [&](int64_t j, int worker) {
      char* sums = static_cast<char*>(scratch) + worker * buffer;
      for (int64_t k = 0; k < buffer; ++k) sums[k] = 0;
      kernels.second_row(problem, true, j, own_x, own_y, own_upstream, own_u,
                         own_w, nullptr, sums);
      kernels.second_store(
          problem.dtype, d, sums,
          static_cast<char*>(y_out) + b * y_bytes + j * d * size);
    };
    parallel(m, cost * static_cast<double>(n), column);
  }
  return Ok();
}

namespace {

// Rows of a unit of work over paired points: about a hundred thousand cycles.
int64_t PairedRows(int64_t d) {
  const int64_t rows = 65536 / (d + 16);
  return rows < 1 ? 1 : rows;
}

template <typename Function>
void ForEachPairedBlock(const PairedDistance& problem,
                        const ParallelFor& parallel, const Function& function) {
  const int64_t rows = PairedRows(problem.d);
  parallel(Blocks(problem.n, rows),
           static_cast<double>(rows) * (static_cast<double>(problem.d) + 64),
           [&](int64_t unit, int worker) {
             const int64_t begin = unit * rows;
             const int64_t end =
                 begin + rows < problem.n ? begin + rows : problem.n;
             function(begin, end, worker);
           });
}

}  // namespace

Status PairedDistanceCpu(const PairedDistance& problem, const void* x,
                         const void* y, void* distances,
                         const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  ForEachPairedBlock(problem, parallel, [&](int64_t begin, int64_t end, int) {
    Kernels().paired(problem, begin, end, x, y, distances);
  });
  return Ok();
}

Status PairedDistanceGradCpu(const PairedDistance& problem, const void* x,
                             const void* y, const void* upstream, void* x_grad,
                             void* y_grad, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  ForEachPairedBlock(problem, parallel, [&](int64_t begin, int64_t end, int) {
    Kernels().paired_grad(problem, begin, end, x, y, upstream, x_grad, y_grad);
  });
  return Ok();
}

int64_t PairedDistanceGradGradScratchBytes(const PairedDistance& problem,
                                           int workers) {
  return workers * RowBufferBytes(problem.dtype, problem.d);
}

Status PairedDistanceGradGradCpu(const PairedDistance& problem, const void* x,
                                 const void* y, const void* upstream,
                                 const void* u, const void* w,
                                 void* upstream_out, void* x_out, void* y_out,
                                 void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const int64_t buffer = RowBufferBytes(problem.dtype, problem.d);
  ForEachPairedBlock(
      problem, parallel, [&](int64_t begin, int64_t end, int worker) {
        Kernels().paired_second(problem, begin, end, x, y, upstream, u, w,
                                upstream_out, x_out, y_out,
                                static_cast<char*>(scratch) + worker * buffer);
      });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

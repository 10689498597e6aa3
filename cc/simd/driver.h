#ifndef TF_PAIRWISE_SIMD_DRIVER_H_
#define TF_PAIRWISE_SIMD_DRIVER_H_

#include <cstdint>

#include "core/parallel.h"
#include "core/scratch.h"
#include "simd/operand.h"
#include "simd/tile.h"

// The two walks over all pairs that losses are made of. A family brings the
// formula; nothing here knows a loss.
//
//   RowDriver   for losses that need an anchor's whole row of distances before
//               any weight is known (mining, soft-max): rows are made a block
//               at a time, the family turns each into weights in place, and
//               the weights of a few hundred rows are held until both sides'
//               gradients have taken them.
//   TileDriver  for losses whose weight depends on the pair alone: each tile
//               is made once, and both sides take it while it is in cache.

namespace tf_pairwise {

inline int64_t Blocks(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

template <typename T>
void ClearSums(const Operand<T>& operand, const GradientSums<T>& sums,
               int64_t row, int64_t rows) {
  for (int64_t k = row * operand.stride; k < (row + rows) * operand.stride;
       ++k) {
    sums.sums[k] = 0;
  }
  for (int64_t i = row; i < row + rows; ++i) sums.own[i] = 0;
}

template <typename T>
void ClearSums(const Operand<T>& operand, const GradientSums<T>& sums,
               const ParallelFor& parallel) {
  constexpr int64_t kRows = 512;
  parallel(Blocks(operand.n, kRows),
           kRows * (static_cast<double>(operand.stride) / 4),
           [&](int64_t unit, int) {
             const int64_t row = unit * kRows;
             ClearSums(operand, sums, row,
                       operand.n - row < kRows ? operand.n - row : kRows);
           });
}

template <typename T>
GradientSums<T> LayOutSums(Scratch& scratch, const Operand<T>& operand) {
  GradientSums<T> sums;
  sums.sums = scratch.Take<T>(operand.n * operand.stride);
  sums.own = scratch.Take<T>(operand.padded_n);
  return sums;
}

// gradient [n, d] = scale * the gradient that the sums stand for.
template <typename T>
void FinishGradient(const Operand<T>& operand, const GradientSums<T>& sums,
                    double scale, void* gradient, const ParallelFor& parallel) {
  constexpr int64_t kRows = 256;
  const TileKernels<T>& tiles = Tiles(T());
  parallel(
      Blocks(operand.n, kRows),
      kRows * (static_cast<double>(operand.d) / 4 + 8), [&](int64_t unit, int) {
        const int64_t row = unit * kRows;
        tiles.finish_gradient(operand, row,
                              operand.n - row < kRows ? operand.n - row : kRows,
                              sums, scale, static_cast<T*>(gradient));
      });
}

// Cycles that a pair costs in a walk over tiles, for ParallelFor's estimates.
inline double PairCost(int64_t d) { return static_cast<double>(d) / 8 + 4; }

template <typename T>
struct RowDriver {
  // What a walk is over. `x` is the rows' side; with `self`, y is x.
  Operand<T> x, y;
  bool self = true;
  bool dense = false;      // rows become weights, which are held
  bool accumulate = true;  // and taken by both sides' sums
  int64_t stride = 0;      // of a row of distances
  int64_t block_rows = 0;  // rows of a unit of work
  int64_t held_rows = 0;   // rows whose weights are held at once
  T* weights = nullptr;    // [held_rows, stride]
  uint64_t* near = nullptr;
  int64_t near_stride = 0;
  GradientSums<T> x_sums, y_sums;  // with a gradient; the same with `self`

  struct Worker {
    T* distances;  // [block_rows, stride] where not dense
    T* pack;
    void* own;  // the family's bytes
  };

  const Operand<T>& right() const { return self ? x : y; }

  // `held_elements`: about how many weights are held at once.
  void LayOut(Scratch& scratch, DType dtype, Metric metric, int64_t n,
              int64_t m, int64_t d, bool self_pairs, bool x_panels,
              bool with_sums, bool dense_weights, int64_t held_elements,
              int64_t own_worker_bytes, int workers) {
    self = self_pairs;
    dense = dense_weights;
    x = LayOutOperand<T>(scratch, dtype, metric, n, d, self || x_panels);
    if (!self) y = LayOutOperand<T>(scratch, dtype, metric, m, d, true);
    // Skewed by a line, so that rows do not share cache sets.
    stride = Blocks(m, Operand<T>::kRowPadding) * Operand<T>::kRowPadding + 16;
    // A block of rows stays in a core's second cache, and there are enough
    // blocks to share out. Shape alone decides, so that results do not depend
    // on the machine.
    constexpr int64_t kStrip = 6;
    int64_t rows = 96 * 1024 / stride;
    rows = rows < n / 16 ? rows : n / 16;
    rows = rows / kStrip * kStrip;
    block_rows = rows < kStrip ? kStrip : rows > 96 ? 96 : rows;
    int64_t held = held_elements / stride / block_rows * block_rows;
    const int64_t least = Blocks(64, block_rows) * block_rows;
    held = held < least ? least : held;
    const int64_t whole = Blocks(n, block_rows) * block_rows;
    held_rows = held < whole ? held : whole;
    near_stride = Blocks(m, 64);
    if (dense) {
      weights = scratch.Take<T>(held_rows * stride);
      near = scratch.Take<uint64_t>(held_rows * near_stride);
    }
    if (with_sums) {
      x_sums = LayOutSums(scratch, x);
      y_sums = self ? x_sums : LayOutSums(scratch, y);
    }
    own_bytes_ = own_worker_bytes;
    Scratch counter(nullptr);
    TakeWorker(counter);
    worker_bytes_ = counter.bytes();
    workers_base_ = scratch.Take<char>(workers * worker_bytes_);
  }

  Worker WorkerOf(int worker) const {
    Scratch scratch(workers_base_ + worker * worker_bytes_);
    return TakeWorker(scratch);
  }

  void Prepare(DType dtype, const void* x_points, const void* y_points,
               const ParallelFor& parallel) {
    const TileKernels<T>& tiles = Tiles(T());
    tiles.prepare(x, dtype, x_points, nullptr, parallel);
    if (!self) tiles.prepare(y, dtype, y_points, x.centre, parallel);
  }

  // `row(i, distances, worker)` for every row i of x: distances [m] may be
  // changed, and with `dense` has to become the weights V of the pairs. Rows
  // are not in order; a row is one worker's.
  template <typename Row>
  void Run(int64_t diagonal, const ParallelFor& parallel, const Row& row) {
    const TileKernels<T>& tiles = Tiles(T());
    const Operand<T>& others = right();
    const int64_t n = x.n, m = others.n;
    const bool take = dense && accumulate;
    if (take) {
      ClearSums(x, x_sums, parallel);
      if (!self) ClearSums(y, y_sums, parallel);
    }
    for (int64_t first = 0; first < n; first += held_rows) {
      const int64_t held = n - first < held_rows ? n - first : held_rows;
      parallel(
          Blocks(held, block_rows),
          static_cast<double>(block_rows) * static_cast<double>(m) *
              PairCost(x.d),
          [&](int64_t unit, int worker_number) {
            const Worker worker = WorkerOf(worker_number);
            const int64_t begin = first + unit * block_rows;
            const int64_t rows = first + held - begin < block_rows
                                     ? first + held - begin
                                     : block_rows;
            T* distances =
                dense ? weights + (begin - first) * stride : worker.distances;
            uint64_t* close =
                dense ? near + (begin - first) * near_stride : nullptr;
            tiles.distances(x, others, begin, rows, 0, others.padded_n,
                            diagonal, distances, stride, close, near_stride);
            for (int64_t r = 0; r < rows; ++r) {
              row(begin + r, distances + r * stride, worker);
            }
            if (take) {
              tiles.accumulate_rows(x, others, begin, rows, 0, m,
                                    {distances, stride, close, near_stride},
                                    x_sums, worker.pack);
            }
          });
      if (!take) continue;
      constexpr int64_t kColumns = 64;
      parallel(
          Blocks(m, kColumns),
          kColumns * static_cast<double>(held) * PairCost(x.d),
          [&](int64_t unit, int worker_number) {
            const Worker worker = WorkerOf(worker_number);
            const int64_t column = unit * kColumns;
            const int64_t columns =
                m - column < kColumns ? m - column : kColumns;
            tiles.accumulate_columns(
                x, others, first, held, column, columns,
                {weights + column, stride, near + column / 64, near_stride},
                y_sums, worker.pack);
          });
    }
  }

  // The gradients of both sides; y_gradient is not written with `self`.
  void Finish(double scale, void* x_gradient, void* y_gradient,
              const ParallelFor& parallel) const {
    FinishGradient(x, x_sums, scale, x_gradient, parallel);
    if (!self && y_gradient != nullptr) {
      FinishGradient(y, y_sums, scale, y_gradient, parallel);
    }
  }

 private:
  Worker TakeWorker(Scratch& scratch) const {
    Worker worker = {};
    if (dense) {
      worker.pack = scratch.Take<T>(kPackSize);
    } else {
      worker.distances = scratch.Take<T>(block_rows * stride);
    }
    worker.own = scratch.Take<char>(own_bytes_);
    return worker;
  }

  int64_t own_bytes_ = 0;
  int64_t worker_bytes_ = 0;
  char* workers_base_ = nullptr;
};

// The order of the tiles of a TileDriver: rounds, in each of which every block
// of rows and every block of columns is in one tile at most, so that a tile may
// add to both sides' sums without atomics and in an order of its own.
struct TileRounds {
  bool self;
  int64_t row_blocks, column_blocks;

  // Tiles of each round; a round may have idle places.
  int64_t rounds() const {
    if (!self) return row_blocks > column_blocks ? row_blocks : column_blocks;
    // A tournament of an even number of blocks, and the diagonal.
    return 1 + (Even() - 1);
  }
  int64_t places() const {
    if (!self) return row_blocks < column_blocks ? row_blocks : column_blocks;
    return row_blocks;
  }
  // The tile of a place of a round; false where it is idle. With `self`, row
  // block <= column block.
  bool Tile(int64_t round, int64_t place, int64_t* row_block,
            int64_t* column_block) const {
    if (!self) {
      const bool few_rows = row_blocks <= column_blocks;
      const int64_t other =
          (place + round) % (few_rows ? column_blocks : row_blocks);
      *row_block = few_rows ? place : other;
      *column_block = few_rows ? other : place;
      return true;
    }
    if (round == 0) {
      *row_block = *column_block = place;
      return true;
    }
    const int64_t circle = Even() - 1, r = round - 1;
    if (place >= Even() / 2) return false;
    int64_t a = place == 0 ? circle : (r + place) % circle;
    int64_t b = place == 0 ? r : (r - place + circle) % circle;
    if (a > b) {
      const int64_t swap = a;
      a = b;
      b = swap;
    }
    *row_block = a;
    *column_block = b;
    return b < row_blocks;
  }

 private:
  int64_t Even() const { return row_blocks + (row_blocks & 1); }
};

template <typename T>
struct TileDriver {
  Operand<T> x, y;
  bool self = true;
  bool with_sums = false;
  int64_t block = 0;  // rows and columns of a tile
  GradientSums<T> x_sums, y_sums;
  TileRounds rounds = {};

  const Operand<T>& right() const { return self ? x : y; }
  // Tiles, idle places included: the size of an array of per-tile results.
  int64_t tile_count() const { return rounds.rounds() * rounds.places(); }

  void LayOut(Scratch& scratch, DType dtype, Metric metric, int64_t n,
              int64_t m, int64_t d, bool self_pairs, bool gradient,
              int workers) {
    self = self_pairs;
    with_sums = gradient;
    x = LayOutOperand<T>(scratch, dtype, metric, n, d, self);
    if (!self) y = LayOutOperand<T>(scratch, dtype, metric, m, d, true);
    if (gradient) {
      x_sums = LayOutSums(scratch, x);
      y_sums = self ? x_sums : LayOutSums(scratch, y);
    }
    TakeTiles(scratch, n, m, workers);
  }

  // For values alone, over a prepared operand of another's, against itself.
  void LayOutTiles(Scratch& scratch, const Operand<T>& operand, int workers) {
    self = true;
    with_sums = false;
    x = operand;
    TakeTiles(scratch, operand.n, operand.n, workers);
  }

  void Prepare(DType dtype, const void* x_points, const void* y_points,
               const ParallelFor& parallel) {
    const TileKernels<T>& tiles = Tiles(T());
    tiles.prepare(x, dtype, x_points, nullptr, parallel);
    if (!self) tiles.prepare(y, dtype, y_points, x.centre, parallel);
  }

  // A tile handed to the family.
  struct Tile {
    int64_t number;  // in [0, tile_count())
    int64_t row, rows;
    int64_t column, columns;
    bool diagonal;  // of a symmetric walk: holds (i, j) and (j, i)
    T* distances;   // [rows, stride], to become the weights V
    int64_t stride;
  };

  // `function(tile, worker)` for every tile. With sums, the weights that it
  // leaves are taken by the rows' sums and, off a symmetric walk's diagonal, by
  // the columns' sums: with `self` the weight of (i, j) is the whole of both
  // orders of the pair.
  template <typename Function>
  void Run(int64_t diagonal, const ParallelFor& parallel,
           const Function& function) {
    const TileKernels<T>& kernels = Tiles(T());
    const Operand<T>& others = right();
    if (with_sums) {
      ClearSums(x, x_sums, parallel);
      if (!self) ClearSums(y, y_sums, parallel);
    }
    const double cost =
        static_cast<double>(block) * static_cast<double>(block) * PairCost(x.d);
    for (int64_t round = 0; round < rounds.rounds(); ++round) {
      parallel(rounds.places(), cost, [&](int64_t place, int worker) {
        int64_t row_block, column_block;
        if (!rounds.Tile(round, place, &row_block, &column_block)) return;
        Tile tile;
        tile.number = round * rounds.places() + place;
        tile.row = row_block * block;
        tile.rows = x.n - tile.row < block ? x.n - tile.row : block;
        tile.column = column_block * block;
        tile.columns =
            others.n - tile.column < block ? others.n - tile.column : block;
        tile.diagonal = self && row_block == column_block;
        tile.distances = tiles_ + worker * block * stride_;
        tile.stride = stride_;
        uint64_t* near =
            with_sums ? near_ + worker * block * near_stride_ : nullptr;
        kernels.distances(x, others, tile.row, tile.rows, tile.column,
                          Blocks(tile.columns, Operand<T>::kRowPadding) *
                              Operand<T>::kRowPadding,
                          diagonal, tile.distances, stride_, near,
                          near_stride_);
        function(tile, worker);
        if (!with_sums) return;
        const WeightBlock<T> weights = {tile.distances, stride_, near,
                                        near_stride_};
        T* pack = packs_ + worker * kPackSize;
        kernels.accumulate_rows(x, others, tile.row, tile.rows, tile.column,
                                tile.columns, weights, x_sums, pack);
        if (!tile.diagonal) {
          kernels.accumulate_columns(x, others, tile.row, tile.rows,
                                     tile.column, tile.columns, weights, y_sums,
                                     pack);
        }
      });
    }
  }

  void Finish(double scale, void* x_gradient, void* y_gradient,
              const ParallelFor& parallel) const {
    FinishGradient(x, x_sums, scale, x_gradient, parallel);
    if (!self && y_gradient != nullptr) {
      FinishGradient(y, y_sums, scale, y_gradient, parallel);
    }
  }

 private:
  void TakeTiles(Scratch& scratch, int64_t n, int64_t m, int workers) {
    const int64_t least = n < m ? n : m;
    block = least >= 2048 ? 192 : least >= 512 ? 128 : 64;
    rounds = {self, Blocks(n, block), Blocks(m, block)};
    stride_ = block + 16;
    near_stride_ = block / 64;
    tiles_ = scratch.Take<T>(workers * block * stride_);
    if (!with_sums) return;
    near_ = scratch.Take<uint64_t>(workers * block * near_stride_);
    packs_ = scratch.Take<T>(workers * kPackSize);
  }

  int64_t stride_ = 0, near_stride_ = 0;
  T* tiles_ = nullptr;
  uint64_t* near_ = nullptr;
  T* packs_ = nullptr;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SIMD_DRIVER_H_

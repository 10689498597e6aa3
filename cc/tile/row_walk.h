#ifndef TF_PAIRWISE_TILE_ROW_WALK_H_
#define TF_PAIRWISE_TILE_ROW_WALK_H_

#include <cstdint>

#include "tile/sides.h"

namespace tf_pairwise {

struct RowWalkOptions {
  bool x_panels = false;  // the sides will be exchanged for a second walk
  bool gradient = false;  // both sides have gradient sums
  // The epilogue turns whole rows into the weights of the gradient, which are
  // held for a few hundred rows, until both sides' sums have taken them.
  bool weights = false;
  // Without `weights`: mark close pairs (TileView::near) all the same.
  bool near = false;
  int64_t held_elements = 0;  // about how many weights are held at once
  // Columns handed over at a time; 0 for whole rows. Not with `weights`.
  int64_t tile_columns = 0;
  int64_t most_rows = 0;     // of a block; 0 for no such limit
  int64_t worker_bytes = 0;  // the family's scratch of a worker
};

// The walk for what needs a row's whole set of distances, in order, before it
// is done with it: mining, soft-max losses, nearest neighbours. Blocks of rows
// are made one after another on each worker; the family's epilogue is called
// once per block (and tile of columns).
template <typename T>
class RowWalk {
 public:
  // Rows of any block, at the most.
  static constexpr int64_t kMostRows = 96;

  // What the epilogue gets: the distances of a block, to be read or, with
  // `weights`, to become the weights V of the pairs.
  struct Rows {
    Block block;
    TileView<T> tile;
    bool last;      // no columns of these rows follow
    void* scratch;  // of the worker: worker_bytes
  };

  Sides<T> sides;

  void LayOut(Scratch& scratch, const PairSet& pairs,
              const RowWalkOptions& options, int workers) {
    options_ = options;
    sides.LayOut(scratch, pairs, options.x_panels, options.gradient);
    const int64_t n = pairs.n, m = pairs.m;
    const int64_t padded = RoundUp(m, Operand<T>::kRowPadding);
    columns_ = options.tile_columns == 0 ? padded
                                         : Least(padded, options.tile_columns);
    // Skewed by a line, so that rows do not share cache sets.
    stride_ = columns_ + 16;
    // A block of rows stays in a core's second cache, and there are enough
    // blocks to share out. Shape alone decides, so that results do not depend
    // on the machine.
    constexpr int64_t kStrip = 6;
    const int64_t most = options.most_rows == 0
                             ? kMostRows
                             : Least(options.most_rows, kMostRows);
    const int64_t rows =
        Least(Least(96 * 1024 / stride_, n / 16), most) / kStrip * kStrip;
    block_rows_ = rows < kStrip ? kStrip : rows;
    near_stride_ = Blocks(columns_, 64);
    if (options.weights) {
      const int64_t held =
          options.held_elements / stride_ / block_rows_ * block_rows_;
      const int64_t least = RoundUp(64, block_rows_);
      held_rows_ = Least(held < least ? least : held, RoundUp(n, block_rows_));
      weights_ = scratch.Take<T>(held_rows_ * stride_);
      near_ = scratch.Take<uint64_t>(held_rows_ * near_stride_);
    }
    Scratch counter(nullptr);
    TakeWorker(counter);
    worker_bytes_ = counter.bytes();
    workers_ = scratch.Take<char>(workers * worker_bytes_);
  }

  int64_t block_rows() const { return block_rows_; }
  int64_t blocks() const { return Blocks(sides.x.n, block_rows_); }

  // `epilogue(rows)` for every block of rows, and in it for its tiles of
  // columns in order. A block is one worker's; blocks are in no order. With
  // `weights`, both sides' sums take what it leaves.
  template <typename Epilogue>
  void Run(int64_t diagonal, const ParallelFor& parallel,
           const Epilogue& epilogue) const {
    if (!options_.weights) {
      RunRows(sides, diagonal, 0, sides.x.n, false, parallel, epilogue);
      return;
    }
    sides.ClearSums(parallel);
    for (int64_t first = 0; first < sides.x.n; first += held_rows_) {
      const int64_t held = Least(sides.x.n - first, held_rows_);
      RunRows(sides, diagonal, first, held, true, parallel, epilogue);
      TakeColumns(first, held, parallel);
    }
  }

  // The same over the columns as rows, and nothing is accumulated: the
  // statistics of columns. Needs x_panels; the sides have the same number of
  // points.
  template <typename Epilogue>
  void RunExchanged(const ParallelFor& parallel,
                    const Epilogue& epilogue) const {
    const Sides<T> exchanged = sides.Exchanged();
    const int64_t n = exchanged.x.n;
    const int64_t step = options_.weights ? held_rows_ : n;
    for (int64_t first = 0; first < n; first += step) {
      RunRows(exchanged, -1, first, Least(n - first, step), false, parallel,
              epilogue);
    }
  }

 private:
  struct Worker {
    T* distances;  // [block_rows, stride] where no weights are held
    uint64_t* near;
    T* pack;
    void* scratch;
  };

  Worker TakeWorker(Scratch& scratch) const {
    Worker worker = {};
    if (options_.weights) {
      worker.pack = scratch.Take<T>(kPackSize);
    } else {
      worker.distances = scratch.Take<T>(block_rows_ * stride_);
      if (options_.near) {
        worker.near = scratch.Take<uint64_t>(block_rows_ * near_stride_);
      }
    }
    worker.scratch = scratch.Take<char>(options_.worker_bytes);
    return worker;
  }

  Worker WorkerOf(int number) const {
    Scratch scratch(workers_ + number * worker_bytes_);
    return TakeWorker(scratch);
  }

  template <typename Epilogue>
  void RunRows(const Sides<T>& of, int64_t diagonal, int64_t first,
               int64_t count, bool take, const ParallelFor& parallel,
               const Epilogue& epilogue) const {
    const Operand<T>& others = of.right();
    parallel(
        Blocks(count, block_rows_),
        static_cast<double>(block_rows_) * static_cast<double>(others.n) *
            PairCost(of.x.d),
        [&](int64_t unit, int number) {
          const Worker worker = WorkerOf(number);
          Rows rows;
          rows.block.row = first + unit * block_rows_;
          rows.block.rows = Least(first + count - rows.block.row, block_rows_);
          rows.scratch = worker.scratch;
          const int64_t held = unit * block_rows_;
          rows.tile =
              options_.weights
                  ? TileView<T>{weights_, stride_, near_, near_stride_}.From(
                        held, 0)
                  : TileView<T>{worker.distances, stride_, worker.near,
                                near_stride_};
          // Rows without a column have their results too: once, of no columns.
          int64_t column = 0;
          do {
            rows.block.column = column;
            rows.block.columns = Least(others.n - column, columns_);
            column += rows.block.columns;
            rows.last = column == others.n;
            MakeDistances<T>(of.x, others, rows.block, diagonal, rows.tile);
            epilogue(rows);
          } while (!rows.last);
          if (take) {
            AccumulateRows<T>(of.x, others, rows.block, rows.tile, of.x_sums,
                              worker.pack);
          }
        });
  }

  // The columns' sums take the weights that are held.
  void TakeColumns(int64_t first, int64_t held,
                   const ParallelFor& parallel) const {
    constexpr int64_t kColumns = 64;
    const Operand<T>& others = sides.right();
    const TileView<T> tile = {weights_, stride_, near_, near_stride_};
    parallel(Blocks(others.n, kColumns),
             kColumns * static_cast<double>(held) * PairCost(sides.x.d),
             [&](int64_t unit, int number) {
               const int64_t column = unit * kColumns;
               const Block block = {first, held, column,
                                    Least(others.n - column, kColumns)};
               AccumulateColumns<T>(sides.x, others, block,
                                    tile.From(0, column), sides.y_sums,
                                    WorkerOf(number).pack);
             });
  }

  RowWalkOptions options_;
  int64_t columns_ = 0;     // of a tile
  int64_t stride_ = 0;      // of a row of distances
  int64_t block_rows_ = 0;  // rows of a unit of work
  int64_t held_rows_ = 0;   // rows whose weights are held at once
  T* weights_ = nullptr;    // [held_rows, stride]
  uint64_t* near_ = nullptr;
  int64_t near_stride_ = 0;
  int64_t worker_bytes_ = 0;
  char* workers_ = nullptr;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_ROW_WALK_H_

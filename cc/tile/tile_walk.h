#ifndef TF_PAIRWISE_TILE_TILE_WALK_H_
#define TF_PAIRWISE_TILE_TILE_WALK_H_

#include <cstdint>

#include "tile/sides.h"

namespace tf_pairwise {

struct TileWalkOptions {
  bool gradient = false;  // both sides have gradient sums
  // The epilogue finds distances in the tile; else it makes what it needs by
  // itself.
  bool distances = true;
  // A tile's rows and columns, multiples of 64; 0 for a size by the shape.
  int64_t rows = 0, columns = 0;
};

// The walk for what depends on the pair alone: each tile is made once, and both
// sides' sums take it while it is in cache. A batch against itself makes half
// of the tiles.
template <typename T>
class TileWalk {
 public:
  // What the epilogue gets: the distances of a tile, to become, where sums are
  // taken, the weights V.
  struct Tile {
    int64_t number;  // in [0, tile_count())
    Block block;
    bool diagonal;  // of a walk with `self`: holds (i, j) and (j, i)
    TileView<T> tile;
  };

  Sides<T> sides;

  void LayOut(Scratch& scratch, const PairSet& pairs,
              const TileWalkOptions& options, int workers) {
    sides.LayOut(scratch, pairs, false, options.gradient);
    TakeTiles(scratch, pairs.n, pairs.m, options, workers);
  }

  // For values alone, over sides that another walk has laid out and that are
  // prepared when this one runs (UseSides).
  void LayOutTiles(Scratch& scratch, int64_t n, int64_t m, bool self,
                   int workers) {
    sides.self = self;
    TakeTiles(scratch, n, m, TileWalkOptions(), workers);
  }
  void UseSides(const Sides<T>& prepared) { sides = prepared; }

  // Tiles, idle places included: the size of an array of per-tile results.
  int64_t tile_count() const { return rounds_.rounds() * rounds_.places(); }
  int64_t tile_rows() const { return rows_; }
  int64_t tile_columns() const { return columns_; }

  // `epilogue(tile, worker)` for every tile, in rounds: no two tiles at a time
  // share a block of rows or columns, so it may add to what a row or a column
  // owns, in an order that is always the same. `take`: the rows' sums and, off
  // the diagonal of a walk with `self`, the columns' sums take the weights that
  // it leaves; with `self` the weight of (i, j) is the whole of both orders of
  // the pair.
  template <typename Epilogue>
  void Run(int64_t diagonal, bool take, const ParallelFor& parallel,
           const Epilogue& epilogue) const {
    if (take) sides.ClearSums(parallel);
    for (int64_t round = 0; round < rounds_.rounds(); ++round) {
      parallel(rounds_.places(), TileCost(), [&](int64_t place, int worker) {
        int64_t row, column;
        if (!rounds_.Tile(round, place, &row, &column)) return;
        RunTile(round * rounds_.places() + place, row, column, diagonal, take,
                worker, epilogue);
      });
    }
  }

  // The same where the epilogue writes what is the tile's alone: all at once,
  // row by row of tiles.
  template <typename Epilogue>
  void RunApart(int64_t diagonal, const ParallelFor& parallel,
                const Epilogue& epilogue) const {
    const int64_t rows = rounds_.row_blocks, columns = rounds_.column_blocks;
    const int64_t count = sides.self ? rows * (rows + 1) / 2 : rows * columns;
    parallel(count, TileCost(), [&](int64_t number, int worker) {
      int64_t row = 0, column = number;
      if (sides.self) {
        while (column >= rows - row) column -= rows - row++;
        column += row;
      } else {
        row = number / columns;
        column = number % columns;
      }
      RunTile(number, row, column, diagonal, false, worker, epilogue);
    });
  }

 private:
  double TileCost() const {
    return static_cast<double>(rows_) * static_cast<double>(columns_) *
           PairCost(sides.x.d);
  }

  template <typename Epilogue>
  void RunTile(int64_t number, int64_t row_block, int64_t column_block,
               int64_t diagonal, bool take, int worker,
               const Epilogue& epilogue) const {
    const Operand<T>& others = sides.right();
    Tile tile;
    tile.number = number;
    tile.block.row = row_block * rows_;
    tile.block.rows = Least(sides.x.n - tile.block.row, rows_);
    tile.block.column = column_block * columns_;
    tile.block.columns = Least(others.n - tile.block.column, columns_);
    tile.diagonal = sides.self && row_block == column_block;
    tile.tile = {tiles_ + worker * rows_ * stride_, stride_,
                 take ? near_ + worker * rows_ * near_stride_ : nullptr,
                 near_stride_};
    if (options_.distances) {
      MakeDistances<T>(sides.x, others, tile.block, diagonal, tile.tile);
    }
    epilogue(tile, worker);
    if (!take) return;
    T* pack = packs_ + worker * kPackSize;
    AccumulateRows<T>(sides.x, others, tile.block, tile.tile, sides.x_sums,
                      pack);
    if (!tile.diagonal) {
      AccumulateColumns<T>(sides.x, others, tile.block, tile.tile, sides.y_sums,
                           pack);
    }
  }

  void TakeTiles(Scratch& scratch, int64_t n, int64_t m,
                 const TileWalkOptions& options, int workers) {
    options_ = options;
    const int64_t least = Least(n, m);
    const int64_t block = least >= 2048 ? 192 : least >= 512 ? 128 : 64;
    rows_ = options.rows == 0 ? block : options.rows;
    columns_ = options.columns == 0 ? block : options.columns;
    rounds_ = {sides.self, Blocks(n, rows_), Blocks(m, columns_)};
    stride_ = columns_ + 16;
    near_stride_ = columns_ / 64;
    tiles_ = scratch.Take<T>(workers * rows_ * stride_);
    if (!options.gradient) return;
    near_ = scratch.Take<uint64_t>(workers * rows_ * near_stride_);
    packs_ = scratch.Take<T>(workers * kPackSize);
  }

  TileWalkOptions options_;
  int64_t rows_ = 0, columns_ = 0;
  TileRounds rounds_ = {};
  int64_t stride_ = 0, near_stride_ = 0;
  T* tiles_ = nullptr;
  uint64_t* near_ = nullptr;
  T* packs_ = nullptr;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_TILE_WALK_H_

#ifndef TF_PAIRWISE_CORE_ROUNDS_H_
#define TF_PAIRWISE_CORE_ROUNDS_H_

#include "core/integers.h"

namespace tf_pairwise {

inline int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

// Blocks of `size` that cover `count`.
inline int64_t Blocks(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

inline int64_t RoundUp(int64_t count, int64_t size) {
  return Blocks(count, size) * size;
}

// The order in which all tiles of row blocks x column blocks are made: rounds,
// in each of which every block of rows and every block of columns is in one
// tile at most, so that a tile may add to both sides' sums without atomics and
// in an order of its own. With `self`, the columns are the rows, and tile
// (a, b) stands for (b, a) too: a tournament.
struct TileRounds {
  bool self;
  int64_t row_blocks, column_blocks;

  // A round may have idle places.
  int64_t rounds() const {
    if (!self) return row_blocks > column_blocks ? row_blocks : column_blocks;
    // A tournament of an even number of blocks, and the diagonal.
    return 1 + (Even() - 1);
  }
  int64_t places() const {
    if (!self) return Least(row_blocks, column_blocks);
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
    const int64_t a = place == 0 ? circle : (r + place) % circle;
    const int64_t b = place == 0 ? r : (r - place + circle) % circle;
    *row_block = Least(a, b);
    *column_block = a < b ? b : a;
    return *column_block < row_blocks;
  }

 private:
  int64_t Even() const { return row_blocks + (row_blocks & 1); }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_ROUNDS_H_

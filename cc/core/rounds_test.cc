// Every tile once, and no block twice in a round.

#include "core/rounds.h"

#include <cstdio>
#include <vector>

namespace tf_pairwise {
namespace {

int CheckRounds(bool self, int64_t rows, int64_t columns) {
  const TileRounds order = {self, rows, columns};
  std::vector<int> seen(rows * columns, 0);
  for (int64_t round = 0; round < order.rounds(); ++round) {
    std::vector<int> row_used(rows, 0), column_used(columns, 0);
    for (int64_t place = 0; place < order.places(); ++place) {
      int64_t a, b;
      if (!order.Tile(round, place, &a, &b)) continue;
      if (a < 0 || a >= rows || b < 0 || b >= columns || (self && a > b)) {
        return 1;
      }
      ++seen[a * columns + b];
      // With `self` a block's rows and columns are the same points.
      const bool twice =
          self ? row_used[a]++ != 0 || (a != b && row_used[b]++ != 0)
               : row_used[a]++ != 0 || column_used[b]++ != 0;
      if (twice) return 1;
    }
  }
  for (int64_t a = 0; a < rows; ++a) {
    for (int64_t b = 0; b < columns; ++b) {
      if (seen[a * columns + b] != (self ? a <= b : true)) return 1;
    }
  }
  return 0;
}

int Run() {
  for (int64_t rows = 1; rows < 20; ++rows) {
    if (CheckRounds(true, rows, rows)) {
      std::printf("tournament of %d blocks\n", static_cast<int>(rows));
      return 1;
    }
    for (int64_t columns = 1; columns < 20; ++columns) {
      if (CheckRounds(false, rows, columns)) {
        std::printf("%d x %d blocks\n", static_cast<int>(rows),
                    static_cast<int>(columns));
        return 1;
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace tf_pairwise

int main() { return tf_pairwise::Run(); }

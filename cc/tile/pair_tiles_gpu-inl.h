#ifndef TF_PAIRWISE_TILE_PAIR_TILES_GPU_INL_H_
#define TF_PAIRWISE_TILE_PAIR_TILES_GPU_INL_H_

#include "cuda/warp_tile.h"
#include "tile/pair_family_gpu-inl.h"

// All pairs of a batch in one kernel, for losses whose weights hang on the pair
// and on what is kept of its row and column, and metrics that are made of
// products: a block has 64 rows, a warp 16 of them, and the columns pass by in
// order. A tile's distances become weights in registers, and those go into the
// rows' gradient sums, which stay in registers too: no distance is ever stored.
// The sums are of the rows alone: 4 n m D operations, of a batch with itself
// all there is to do. What is kept of rows, a log-sum-exp, is made by a kernel
// of the same kind before it: 2 n m D.
//
// Close pairs are left out of the product and noted, a bit each. After some
// tiles, when the sums in registers have gone to memory, their warp makes them
// from the points, value and gradient, one after another. So are rows' own
// pairs where they are OwnPair::kApart.

namespace tf_pairwise {

// P: what makes the products (warp_tile.h); kWidth: the points' coordinates, at
// the most.
template <class Family, class P, int kWidth>
struct PairTilesKernel {
  TF_PAIRWISE_KERNEL_NAME(Family::Name() + "_pair_tiles_" + P::kName +
                          std::to_string(kWidth));
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 2;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kRows = kWarps * kWarpRows;
  static constexpr int kColumns = kWidth > 128 ? 32 : 64;
  static constexpr int kLine = LinePacks(kWidth);
  // Tensor cores are done with a tile before the next one could come.
  static constexpr int kBuffers = P::kIsTensor ? 2 : 1;
  static constexpr int kLaneColumns = kColumns / P::kRowLanes;
  static constexpr int kLanePairs = P::kRows * kLaneColumns;
  static constexpr unsigned kAllPairs = ~0u >> (32 - kLanePairs);
  // Columns whose sums are made in registers: rounding grows with their number,
  // and so do the notes of close pairs.
  static constexpr int kFlush = 512;
  static constexpr int kFlushWords = kFlush / 32;

  using Arguments = PairTilesArguments<Family>;
  using Point = typename Family::Point;
  using Common = typename Family::Common;
  using Sums = typename Family::Sums;
  using Tile = PerLane<typename P::template Part<kColumns>>;

  struct Shared {
    Pack<float> x[kRows * kLine];
    Pack<float> y[kBuffers][kColumns * kLine];
    typename P::Own own[kWarps];
    Point x_points[kRows], y_points[kBuffers][kColumns];
    float x_term[kRows], y_term[kBuffers][kColumns];
    double factor[kRows];
    unsigned suspects[kWarps][kWarpRows * kFlushWords];  // a row's words
    Sums results[kWarps];
  };
  using ThreadRegisters = NoRegisters;
  struct WeightRegisters {
    PerLane<typename P::template Part<kWidth>> sums;
    PerLane<Sums> results;
    bool any_suspects;
  };
  struct RowRegisters {
    PerLane<typename Family::Row[P::kRows]> rows;
    bool any_suspects;
  };
  using WarpRegisters =
      typename IfElse<Family::kByRow, RowRegisters, WeightRegisters>::Type;

  // A tile of a warp: which rows and columns, and what is of it.
  struct Place {
    int rows, columns;  // that there are
    int itself;         // column - row of what is no pair, within the tile
  };

  // A thread copies the same pack of every some lines.
  template <int kCount>
  static TF_PAIRWISE_DEVICE void CopyLines(int thread, const float* rows,
                                           int stride, Pack<float>* lines) {
    constexpr int kPacks = kWidth / Pack<float>::kSize;
    constexpr int kAtOnce = kThreads / kPacks;
    const int p = thread % kPacks, r = thread / kPacks;
    if (p * Pack<float>::kSize >= stride) return;
    rows += r * stride;
    TF_PAIRWISE_UNROLL for (int turn = 0; turn < kCount / kAtOnce; ++turn) {
      CopyAsync(
          lines + (r + turn * kAtOnce) * kLine + p,
          reinterpret_cast<const Pack<float>*>(rows + turn * kAtOnce * stride) +
              p);
    }
  }

  // The columns from `column` on, begun to be copied.
  static TF_PAIRWISE_DEVICE void CopyColumns(const Arguments& a, int thread,
                                             int64_t column, int buffer,
                                             Shared& s) {
    CopyLines<kColumns>(thread, a.y_rows + column * a.stride, a.stride,
                        s.y[buffer]);
    CopyCommit();
    for (int c = thread; c < kColumns; c += kThreads) {
      s.y_term[buffer][c] = a.y_term[column + c];
      s.y_points[buffer][c] =
          column + c < a.y_n ? Family::ColumnOf(a.family, column + c) : Point();
    }
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const int64_t row = block.x() * kRows;
    const int64_t first = block.y() * a.split_columns;
    const int64_t end =
        first + a.split_columns < a.y_n ? first + a.split_columns : a.y_n;
    float* const sums = a.with_gradient
                            ? a.sums + (block.y() * a.padded_n + row) * a.stride
                            : nullptr;
    block.Start([&](int thread, Shared& s, ThreadRegisters&) {
      CopyLines<kRows>(thread, a.x_rows + row * a.stride, a.stride, s.x);
      if (first < end) CopyColumns(a, thread, first, 0, s);
      for (int r = thread; r < kRows; r += kThreads) {
        s.x_term[r] = a.x_term[row + r];
        s.x_points[r] =
            row + r < a.x_n ? Family::RowOf(a.family, row + r) : Point();
        s.factor[r] = 0;
      }
      if (!a.with_gradient) return;
      for (int q = thread; q < kRows * a.stride; q += kThreads) sums[q] = 0;
    });
    block.EachWarp([&](int warp, Shared& s, WarpRegisters& r) {
      if constexpr (Family::kByRow) {
        InLanes([&](int lane) {
          for (auto& of : r.rows[lane]) of = Family::None();
        });
      } else {
        InLanes([&](int lane) { r.results[lane] = Sums(); });
      }
      Restart(s.suspects[warp], r);
    });
    int buffer = 0;
    int64_t flushed = first;
    for (int64_t column = first; column < end; column += kColumns) {
      block.Each([&](int, Shared&, ThreadRegisters&) { CopyWait<0>(); });
      const int64_t next = column + kColumns;
      if (kBuffers > 1 && next < end) {
        block.Start([&](int thread, Shared& s, ThreadRegisters&) {
          CopyColumns(a, thread, next, buffer ^ 1, s);
        });
      }
      const bool flush = next - flushed >= kFlush || next >= end;
      block.EachWarp([&](int warp, Shared& s, WarpRegisters& r) {
        const int64_t own = row + warp * kWarpRows;
        if (own >= a.x_n) return;
        const Place place = PlaceOf(a, own, column);
        Tile tile;
        P::template Multiply<kColumns, kLine>(s.x + warp * kWarpRows * kLine,
                                              s.y[buffer], a.stride, tile);
        const int word = static_cast<int>(column - flushed) / 32;
        if constexpr (Family::kByRow) {
          AddRows(a, place, column, warp, word, buffer, tile, s, r);
          if (!Family::kRescues || !flush) return;
          if (r.any_suspects) {
            RescueRows(a, own, flushed, s.suspects[warp], r);
          }
          Restart(s.suspects[warp], r);
        } else {
          float* const own_sums =
              a.with_gradient ? sums + warp * kWarpRows * a.stride : nullptr;
          TakeTile(a, place, warp, word, buffer, tile, s, r);
          if (!flush) return;
          if (a.with_gradient) FlushSums(own_sums, a.stride, r);
          if (r.any_suspects) {
            const Sums rescued =
                RescuePairs<Family>(a, own, kWarpRows, flushed, kFlushWords,
                                    s.suspects[warp], own_sums);
            InLanes([&](int lane) {
              if (lane == 0) r.results[lane] = r.results[lane] + rescued;
            });
          }
          Restart(s.suspects[warp], r);
        }
      });
      if (kBuffers == 1 && next < end) {
        block.Start([&](int thread, Shared& s, ThreadRegisters&) {
          CopyColumns(a, thread, next, 0, s);
        });
      }
      buffer = kBuffers > 1 ? buffer ^ 1 : 0;
      if (flush) flushed = next;
    }
    Store(block, a, row);
  }

  static TF_PAIRWISE_DEVICE void Restart(unsigned* suspects, WarpRegisters& r) {
    r.any_suspects = false;
    EachLane([&](int lane) {
      for (int q = lane; q < kWarpRows * kFlushWords; q += kWarp) {
        suspects[q] = 0;
      }
      if constexpr (!Family::kByRow) {
        TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
          TF_PAIRWISE_UNROLL for (int j = 0; j < kWidth / P::kRowLanes; ++j) {
            r.sums[lane].At(i, j) = 0;
          }
        }
      }
    });
  }

  // The gradient's sums are the products' negatives.
  static TF_PAIRWISE_DEVICE void FlushSums(float* sums, int stride,
                                           WarpRegisters& r) {
    EachLane([&](int lane) {
      TF_PAIRWISE_UNROLL for (int j = 0; j < kWidth / P::kRowLanes; ++j) {
        const int k = P::Coordinate(lane, j);
        if (k >= stride) continue;
        TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
          sums[P::Row(lane, i) * stride + k] -= r.sums[lane].At(i, j);
        }
      }
    });
  }

  // A warp's tile: its rows from `row` on.
  static TF_PAIRWISE_DEVICE Place PlaceOf(const Arguments& a, int64_t row,
                                          int64_t column) {
    Place place;
    place.rows = Within(a.x_n - row, kWarpRows);
    place.columns = Within(a.y_n - column, kColumns);
    const int64_t itself = row + a.diagonal - column;
    place.itself = a.has_diagonal && itself > -kWarpRows && itself < kColumns
                       ? static_cast<int>(itself)
                       : 2 * kColumns;
    return place;
  }

  // `word` is that of the tile's first column among the suspects of a row.
  static TF_PAIRWISE_DEVICE void TakeTile(const Arguments& a,
                                          const Place& place, int warp,
                                          int word, int buffer, Tile& tile,
                                          Shared& s, WarpRegisters& r) {
    PerLane<unsigned> suspects;
    if (Family::kRoots && a.product.root) {
      MakeWeights<Family::kRoots>(a, place, warp, buffer, s, tile, suspects, r);
    } else {
      MakeWeights<false>(a, place, warp, buffer, s, tile, suspects, r);
    }
    Mark(suspects, s.suspects[warp] + word, r);
    if (!a.with_gradient || !AnyWeight(tile)) return;
    if (a.product.difference) AddFactor(tile, s.factor + warp * kWarpRows);
    P::template Accumulate<kColumns, kWidth, kLine>(tile, s.y[buffer],
                                                    s.own[warp], r.sums);
  }

  static TF_PAIRWISE_DEVICE bool AnyWeight(const Tile& tile) {
    return AnyLane([&](int lane) {
      unsigned bits = 0;
      TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
        TF_PAIRWISE_UNROLL for (int j = 0; j < kLaneColumns; ++j) {
          bits |= BitsOf(tile[lane].At(i, j));
        }
      }
      return bits << 1 != 0;  // but for the sign
    });
  }

  static TF_PAIRWISE_DEVICE int Within(int64_t count, int most) {
    return static_cast<int>(count < 0 ? 0 : count < most ? count : most);
  }

  // Which of a lane's pairs there are, and which are rows' own, a bit each.
  struct Pairs {
    unsigned there = kAllPairs, own = 0;
  };
  static TF_PAIRWISE_DEVICE Pairs PairsOf(const Place& place, int lane) {
    Pairs pairs;
    if (place.rows == kWarpRows && place.columns == kColumns &&
        place.itself >= kColumns) {
      return pairs;
    }
    pairs.there = 0;
    TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
      TF_PAIRWISE_UNROLL for (int j = 0; j < kLaneColumns; ++j) {
        const unsigned bit = 1u << (i * kLaneColumns + j);
        const int r = P::Row(lane, i), c = P::Column(lane, j);
        if (r >= place.rows || c >= place.columns) continue;
        pairs.there |= bit;
        if (c - r == place.itself) pairs.own |= bit;
      }
    }
    if (Family::kOwn == OwnPair::kNone) pairs.there &= ~pairs.own;
    return pairs;
  }

  // What a tile adds to what is kept of its rows, but for close pairs.
  static TF_PAIRWISE_DEVICE void AddRows(const Arguments& a, const Place& place,
                                         int64_t column, int warp, int word,
                                         int buffer, const Tile& tile,
                                         Shared& s, WarpRegisters& r) {
    const Common common = Family::CommonOf(a.family);
    PerLane<unsigned> suspects;
    InLanes([&](int lane) {
      const Pairs pairs = PairsOf(place, lane);
      const auto at = [&](int j) { return column + P::Column(lane, j); };
      Point columns[kLaneColumns];
      TF_PAIRWISE_UNROLL for (int j = 0; j < kLaneColumns; ++j) {
        columns[j] = s.y_points[buffer][P::Column(lane, j)];
      }
      unsigned far = 0;
      TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
        const int line = warp * kWarpRows + P::Row(lane, i);
        float distances[kLaneColumns];
        TF_PAIRWISE_UNROLL for (int j = 0; j < kLaneColumns; ++j) {
          const float terms =
              s.x_term[line] + s.y_term[buffer][P::Column(lane, j)];
          distances[j] =
              NegMulAdd(a.product.multiple, tile[lane].At(i, j), terms);
          if (IsFar(a.product, distances[j], terms)) {
            far |= 1u << (i * kLaneColumns + j);
          }
        }
        const unsigned there = pairs.there & far;
        Family::Add(common, s.x_points[line], columns, distances,
                    there >> (i * kLaneColumns),
                    pairs.own >> (i * kLaneColumns), at, r.rows[lane][i]);
      }
      suspects[lane] = pairs.there & ~far;
    });
    if (Family::kRescues) Mark(suspects, s.suspects[warp] + word, r);
  }

  // Whether a raw value that is no root has its digits; rows keep no NaN.
  static TF_PAIRWISE_DEVICE bool IsFar(const ProductMetric& metric, float raw,
                                       float terms) {
    if (Family::kByRow && !Family::kRescues) return true;
    if (!metric.cancels) return !Family::kByRow || raw == raw;
    return raw >= MulAdd(metric.closeness, terms, metric.least);
  }

  static TF_PAIRWISE_DEVICE void RescueRows(const Arguments& a, int64_t row,
                                            int64_t column,
                                            const unsigned* suspects,
                                            WarpRegisters& r) {
    EachMarked(row, kWarpRows, column, kFlushWords, suspects,
               [&](int64_t i, int64_t j) {
                 const float distance = DistanceOf(a, i, j);
                 InLanes([&](int lane) {
                   if (lane % P::kRowLanes != 0) return;
                   TF_PAIRWISE_UNROLL for (int of = 0; of < P::kRows; ++of) {
                     if (row + P::Row(lane, of) != i) continue;
                     Family::AddDirect(a.family, i, j, distance,
                                       r.rows[lane][of]);
                   }
                 });
               });
  }

  // The products become the gradient's weights, 0 for what is no pair and for
  // the pairs of `suspects`, a bit each.
  template <bool kRoot>
  static TF_PAIRWISE_DEVICE void MakeWeights(const Arguments& a,
                                             const Place& place, int warp,
                                             int buffer, const Shared& s,
                                             Tile& tile,
                                             PerLane<unsigned>& suspects,
                                             WarpRegisters& registers) {
    const ProductMetric& metric = a.product;
    const Common common = Family::CommonOf(a.family);
    InLanes([&](int lane) {
      typename Family::Parts parts;
      const Pairs pairs = PairsOf(place, lane);
      const unsigned there = pairs.there & ~pairs.own;
      unsigned far = 0;
      float x_term[P::kRows];
      Point x[P::kRows];
      TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
        x_term[i] = s.x_term[warp * kWarpRows + P::Row(lane, i)];
        x[i] = s.x_points[warp * kWarpRows + P::Row(lane, i)];
      }
      TF_PAIRWISE_UNROLL for (int j = 0; j < kLaneColumns; ++j) {
        const int c = P::Column(lane, j);
        const float y_term = s.y_term[buffer][c];
        const Point y = s.y_points[buffer][c];
        TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
          const unsigned bit = 1u << (i * kLaneColumns + j);
          const float terms = x_term[i] + y_term;
          float& value = tile[lane].At(i, j);
          const float raw = NegMulAdd(metric.multiple, value, terms);
          const bool is =
              (kRoot ? raw >= MulAdd(metric.closeness, terms, metric.least)
                     : IsFar(metric, raw, terms)) &&
              (there & bit) != 0;
          if (is) far |= bit;
          const float inverse = kRoot ? InverseRoot(raw) : metric.slope;
          const float distance = kRoot ? raw * inverse : raw;
          const float slope =
              Family::Slope(common, x[i], y, distance, is, parts);
          // Without a pair the slope is 0, and `inverse` anything.
          value = is ? slope * inverse : 0;
        }
      }
      suspects[lane] = pairs.there & ~far;
      Sums& results = registers.results[lane];
      results = results + Family::SumsOf(parts);
    });
  }

  static TF_PAIRWISE_DEVICE void Mark(const PerLane<unsigned>& suspects,
                                      unsigned* bits, WarpRegisters& r) {
    if (!AnyLane([&](int lane) { return suspects[lane] != 0; })) return;
    r.any_suspects = true;
    EachLane([&](int lane) {
      for (unsigned left = suspects[lane]; left != 0; left &= left - 1) {
        const int pair = LowestBit(left);
        const int r = P::Row(lane, pair / kLaneColumns);
        const int c = P::Column(lane, pair % kLaneColumns);
        AtomicOr(bits + r * kFlushWords + c / 32, 1u << c % 32);
      }
    });
  }

  static TF_PAIRWISE_DEVICE void AddFactor(const Tile& tile, double* factor) {
    TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
      PerLane<float> sum;
      InLanes([&](int lane) {
        float own = 0;
        TF_PAIRWISE_UNROLL for (int j = 0; j < kLaneColumns; ++j) {
          own += tile[lane].At(i, j);
        }
        sum[lane] = own;
      });
      ReduceGroups<P::kRowLanes>(sum, PlusOf());
      InLanes([&](int lane) {
        if (lane % P::kRowLanes != 0) return;
        factor[P::Row(lane, i)] += static_cast<double>(sum[lane]);
      });
    }
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Store(B& block, const Arguments& a,
                                       int64_t row) {
    if constexpr (Family::kByRow) {
      StoreRows(block, a, row);
      return;
    } else {
      block.EachWarp([&](int warp, Shared& s, WarpRegisters& r) {
        const Sums sums =
            OverLanes([&](int lane) { return r.results[lane]; }, PlusOf());
        EachLane([&](int lane) {
          if (lane == 0) s.results[warp] = sums;
        });
      });
      block.Each([&](int thread, Shared& s, ThreadRegisters&) {
        if (a.with_gradient && thread < kRows) {
          a.factor[block.y() * a.padded_n + row + thread] =
              static_cast<float>(s.factor[thread]);
        }
        if (thread != 0 || a.results == nullptr) return;
        Sums all = s.results[0];
        for (int warp = 1; warp < kWarps; ++warp) all = all + s.results[warp];
        // The first of a row's blocks has what the row itself counts.
        for (int r = 0; block.y() == 0 && r < kRows && row + r < a.x_n; ++r) {
          all = all + Family::RowSums(a.family, row + r);
        }
        a.results[block.y() * block.grid_x() + block.x()] = all;
      });
    }
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void StoreRows(B& block, const Arguments& a,
                                           int64_t row) {
    block.EachWarp([&](int warp, Shared&, WarpRegisters& r) {
      TF_PAIRWISE_UNROLL for (int i = 0; i < P::kRows; ++i) {
        PerLane<typename Family::Row> sums;
        InLanes([&](int lane) { sums[lane] = r.rows[lane][i]; });
        ReduceGroups<P::kRowLanes>(sums, PlusOf());
        InLanes([&](int lane) {
          const int64_t at = row + warp * kWarpRows + P::Row(lane, i);
          if (lane % P::kRowLanes != 0 || at >= a.x_n) return;
          Family::Store(a.family, block.y(), at, sums[lane]);
        });
      }
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_PAIR_TILES_GPU_INL_H_

#ifndef TF_PAIRWISE_TILE_DISTANCES_GPU_INL_H_
#define TF_PAIRWISE_TILE_DISTANCES_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/points.h"
#include "metric/metric-inl.h"
#include "tile/closeness.h"
#include "tile/shape_gpu-inl.h"

// The distances of a strip, a tile to a block: distances_cpu.cc's twin. A
// thread makes kSide x kSide sums out of shared memory, whose lines are a pack
// longer than the chunk, so that the 8 lines that a warp reads at once lie in
// different banks. While a chunk is used, the next is under way.

namespace tf_pairwise {

// What all instances take.
template <typename T>
struct DistancesArguments {
  const T* x_rows;  // [padded_n, stride]
  const T* y_rows;
  const T* x_term;
  const T* y_term;
  const T* x_inverse_norm;  // or null
  const T* x_source;        // [n, d]
  const T* y_source;
  int64_t x_n, y_n, d, stride;
  int64_t first;     // the strip's first row, a multiple of the padding
  int64_t diagonal;  // < 0: none
  T* values;         // [rows, values_stride]
  int64_t values_stride;
  int64_t value_rows, value_columns;  // those that are written
  uint32_t* near;  // [rows, near_stride], a bit a pair, or null
  int64_t near_stride;
  int32_t*
      near_tiles;  // [rows / kTile, near_tiles_stride]: whether there is one
  int64_t near_tiles_stride;
};

// kDeep: sums longer than kDepthBlock are made in blocks, so that rounding does
// not grow with the dimension.
template <class M, typename T, bool kDeep>
struct DistancesKernel {
  TF_PAIRWISE_KERNEL_NAME(std::string(kDeep ? "deep_" : "") + "distances_" +
                          MetricName(M()) + "_" + TypeName<T>());
  using Shape = TileShape<T>;
  static constexpr int kThreads = Shape::kThreads;
  static constexpr bool kProducts = M::kForm == GradientForm::kDifference ||
                                    M::kForm == GradientForm::kProduct;
  // Two fit where nothing but a product's registers is needed.
  static constexpr int kBlocks = kProducts && !kDeep ? 2 : 1;
  static constexpr int kTile = Shape::kTile, kSide = Shape::kSide;
  static constexpr int kPacks = Shape::kDepth / Pack<T>::kSize;
  static constexpr int kLine = kPacks + 1;
  static constexpr int kWords = kTile / 32;
  static constexpr int kSuspectWords = (kSide * kSide + 31) / 32;  // a thread's
  static constexpr int kDepthBlock = 128;

  using Arguments = DistancesArguments<T>;
  struct Shared {
    Pack<T> x[2][kTile * kLine];
    Pack<T> y[2][kTile * kLine];
    unsigned suspects[kTile * kWords];
  };
  struct ThreadRegisters {
    T sum[kSide][kSide];
    T whole[kDeep ? kSide : 1][kSide];
  };
  using WarpRegisters = NoRegisters;

  static TF_PAIRWISE_DEVICE int RowOf(int thread, int i) {
    return thread / kWarp / 2 * (kTile / 4) + thread % kWarp / 8 + 4 * i;
  }
  static TF_PAIRWISE_DEVICE int ColumnOf(int thread, int j) {
    return thread / kWarp % 2 * (kTile / 2) + thread % 8 + 8 * j;
  }

  static TF_PAIRWISE_DEVICE void Copy(int thread, const T* rows, int64_t row,
                                      int64_t stride, int64_t k,
                                      Pack<T>* lines) {
    // The number of turns is a constant, without which the loop is not
    // unrolled.
    TF_PAIRWISE_UNROLL for (int turn = 0; turn < kTile * kPacks / kThreads;
                            ++turn) {
      const int q = thread + turn * kThreads, r = q / kPacks, p = q % kPacks;
      CopyAsync(
          lines + r * kLine + p,
          reinterpret_cast<const Pack<T>*>(rows + (row + r) * stride + k) + p);
    }
  }

  static TF_PAIRWISE_DEVICE void Multiply(int thread, const Pack<T>* x,
                                          const Pack<T>* y,
                                          T (&sum)[kSide][kSide]) {
    TF_PAIRWISE_LOOP for (int p = 0; p < kPacks; ++p) {
      Pack<T> a[kSide];
      TF_PAIRWISE_UNROLL for (int i = 0; i < kSide; ++i) {
        a[i] = x[RowOf(thread, i) * kLine + p];
      }
      TF_PAIRWISE_UNROLL for (int j = 0; j < kSide; ++j) {
        const Pack<T> b = y[ColumnOf(thread, j) * kLine + p];
        TF_PAIRWISE_UNROLL for (int e = 0; e < Pack<T>::kSize; ++e) {
          TF_PAIRWISE_UNROLL for (int i = 0; i < kSide; ++i) {
            sum[i][j] = M::Step(a[i].v[e], b.v[e], sum[i][j]);
          }
        }
      }
    }
  }

  // Makes the suspects of a warp's rows again from the points; what is left in
  // `suspects` are those whose gradient needs the points too.
  static TF_PAIRWISE_DEVICE_CALL void Rescue(const Arguments& a, int warp,
                                             int64_t row, int64_t column,
                                             unsigned* suspects) {
    for (int line = warp; line < kTile; line += kThreads / kWarp) {
      const int64_t i = row + line;
      for (int word = 0; word < kWords; ++word) {
        unsigned* const bits = suspects + line * kWords + word;
        unsigned near = 0;
        for (unsigned left = i < a.x_n ? *bits : 0; left != 0;
             left &= left - 1) {
          const int bit = LowestBit(left);
          const int64_t j = column + word * 32 + bit;
          if (j >= a.y_n) continue;
          const bool itself = a.diagonal >= 0 && j == i + a.diagonal;
          const bool finite =
              a.x_term[i] == a.x_term[i] && a.y_term[j] == a.y_term[j];
          T value = 0;
          if (itself && finite) {
            if (a.x_inverse_norm != nullptr && a.x_inverse_norm[i] == 0) {
              value = 1;
            }
          } else {
            value = static_cast<T>(
                M::Direct(WarpPoints<T>{a.x_source + i * a.d,
                                        a.y_source + j * a.d, a.d},
                          false)
                    .distance);
            if (!(itself && value == 0)) near |= 1u << bit;
          }
          EachLane([&](int lane) {
            if (lane == 0)
              a.values[(i - a.first) * a.values_stride + j] = value;
          });
        }
        EachLane([&](int lane) {
          if (lane == 0) *bits = near;
        });
      }
    }
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const int64_t row = a.first + block.y() * kTile;
    const int64_t column = block.x() * kTile;
    const auto copy = [&](int thread, Shared& s, int64_t chunk) {
      const int64_t k = chunk * Shape::kDepth;
      if (k < a.stride) {
        Copy(thread, a.x_rows, row, a.stride, k, s.x[chunk % 2]);
        Copy(thread, a.y_rows, column, a.stride, k, s.y[chunk % 2]);
      }
      CopyCommit();
    };
    block.Start([&](int thread, Shared& s, ThreadRegisters& r) {
      TF_PAIRWISE_UNROLL for (int i = 0; i < kSide; ++i) {
        TF_PAIRWISE_UNROLL for (int j = 0; j < kSide; ++j) {
          r.sum[i][j] = 0;
          if constexpr (kDeep) r.whole[i][j] = 0;
        }
      }
      for (int q = thread; q < kTile * kWords; q += kThreads) s.suspects[q] = 0;
      copy(thread, s, 0);
    });
    for (int64_t chunk = 0; chunk * Shape::kDepth < a.stride; ++chunk) {
      block.Each([&](int, Shared&, ThreadRegisters&) { CopyWait<0>(); });
      block.Start([&](int thread, Shared& s, ThreadRegisters& r) {
        copy(thread, s, chunk + 1);
        Multiply(thread, s.x[chunk % 2], s.y[chunk % 2], r.sum);
        if constexpr (kDeep) {
          if ((chunk + 1) % (kDepthBlock / Shape::kDepth) != 0) return;
          Join(r);
        }
      });
    }
    Finish(block, a, row, column);
  }

  static TF_PAIRWISE_DEVICE void Join(ThreadRegisters& r) {
    TF_PAIRWISE_UNROLL for (int i = 0; i < kSide; ++i) {
      TF_PAIRWISE_UNROLL for (int j = 0; j < kSide; ++j) {
        r.whole[i][j] = M::Join(r.whole[i][j], r.sum[i][j]);
        r.sum[i][j] = 0;
      }
    }
  }

  // A thread's suspects, where all threads see them; whether there are any.
  static TF_PAIRWISE_DEVICE bool Mark(int thread,
                                      const unsigned (&suspects)[kSuspectWords],
                                      Shared& s) {
    bool any = false;
    TF_PAIRWISE_UNROLL for (int w = 0; w < kSuspectWords; ++w) {
      for (unsigned left = suspects[w]; left != 0; left &= left - 1) {
        const int pair = w * 32 + LowestBit(left);
        const int line = RowOf(thread, pair / kSide);
        const int at = ColumnOf(thread, pair % kSide);
        AtomicOr(&s.suspects[line * kWords + at / 32], 1u << at % 32);
        any = true;
      }
    }
    return any;
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Finish(B& block, const Arguments& a,
                                        int64_t row, int64_t column) {
    const bool any = block.Any([&](int thread, Shared& s, ThreadRegisters& r) {
      CopyWait<0>();
      if constexpr (kDeep) Join(r);
      // All before the first value is written: a compiler has to take what is
      // read after it for what was written.
      T x_term[kSide], y_term[kSide];
      TF_PAIRWISE_UNROLL for (int i = 0; i < kSide; ++i) {
        x_term[i] = a.x_term[row + RowOf(thread, i)];
        y_term[i] = a.y_term[column + ColumnOf(thread, i)];
      }
      const int lines = Shape::UpToTile(a.value_rows + a.first - row);
      const int columns = Shape::UpToTile(a.value_columns - column);
      T* const values = a.values + (row - a.first) * a.values_stride + column;
      unsigned suspects[kSuspectWords] = {};
      TF_PAIRWISE_UNROLL for (int i = 0; i < kSide; ++i) {
        const int line = RowOf(thread, i);
        TF_PAIRWISE_UNROLL for (int j = 0; j < kSide; ++j) {
          const int at = ColumnOf(thread, j), pair = i * kSide + j;
          const T terms = x_term[i] + y_term[j];
          T sum = r.sum[i][j];
          if constexpr (kDeep) sum = r.whole[i][j];
          const T raw = M::Raw(sum, terms);
          if (line < lines && at < columns) {
            values[line * a.values_stride + at] = M::Distance(raw);
          }
          if constexpr (M::kCancels) {
            if (!(raw >= MulAdd(ClosenessPart<T>(), terms, LeastRaw<T>()))) {
              suspects[pair / 32] |= 1u << pair % 32;
            }
          }
        }
      }
      return M::kCancels && Mark(thread, suspects, s);
    });
    if constexpr (M::kCancels) {
      if (any) {
        block.EachWarp([&](int warp, Shared& s, WarpRegisters&) {
          Rescue(a, warp, row, column, s.suspects);
        });
      }
      if (a.near == nullptr || M::kForm != GradientForm::kDifference) return;
      const bool near = block.Any([&](int thread, Shared& s, ThreadRegisters&) {
        unsigned bits = 0;
        for (int q = thread; q < kTile * kWords; q += kThreads) {
          bits |= s.suspects[q];
          a.near[(row + q / kWords - a.first) * a.near_stride + column / 32 +
                 q % kWords] = s.suspects[q];
        }
        return bits != 0;
      });
      block.Each([&](int thread, Shared&, ThreadRegisters&) {
        if (thread != 0) return;
        a.near_tiles[block.y() * a.near_tiles_stride + block.x()] = near;
      });
    }
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_DISTANCES_GPU_INL_H_

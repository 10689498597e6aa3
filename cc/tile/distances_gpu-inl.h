#ifndef TF_PAIRWISE_TILE_DISTANCES_GPU_INL_H_
#define TF_PAIRWISE_TILE_DISTANCES_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/points.h"
#include "metric/metric-inl.h"
#include "tile/closeness.h"
#include "tile/shape_gpu-inl.h"
#include "tile/tensor_tile_gpu-inl.h"

// The distances of a strip, a tile to a block: distances_cpu.cc's twin. While a
// chunk of coordinates is used in shared memory, the next are under way.
//
// CUDA cores: a thread makes kSide x kSide sums. Lines are a pack longer than
// the chunk, so that the 8 that a warp reads at once lie in different banks.
// Tensor cores: tensor_tile_gpu-inl.h.

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
// not grow with the dimension. (Tensor cores add up a chunk at a time: theirs
// are long where there are more chunks than CUDA cores' blocks have terms.)
template <class M, typename T, bool kDeep, class Policy = CudaCores>
struct DistancesKernel {
  TF_PAIRWISE_KERNEL_NAME(std::string(Policy::kName) + (kDeep ? "deep_" : "") +
                          "distances_" + MetricName(M()) + "_" + TypeName<T>());
  using Shape = TileShape<T>;
  static constexpr int kThreads = Shape::kThreads;
  static constexpr bool kIsTensor = Policy::kIsTensor;
  static_assert(!kIsTensor || (sizeof(T) == 4 && IsProduct<M>()));
  // Two fit where nothing but a product's registers is needed.
  static constexpr int kBlocks = IsProduct<M>() && !kDeep ? 2 : 1;
  static constexpr int kTile = Shape::kTile;
  static constexpr int kPacks = Shape::kDepth / Pack<T>::kSize;
  static constexpr int kLine =
      kIsTensor ? TensorTile<Policy>::kPointLine : kPacks + 1;
  static constexpr int kStages = kIsTensor ? 3 : 2;
  // A thread's rows and columns of the tile.
  static constexpr int kRows = kTile / 4 / (kWarp / Policy::kRowLanes);
  static constexpr int kColumns = kTile / 2 / Policy::kRowLanes;
  static constexpr int kWords = kTile / 32;
  static constexpr int kSuspectWords =
      (kRows * kColumns + 31) / 32;  // a thread's
  static constexpr int kDepthBlock = kIsTensor ? 128 * Shape::kDepth : 128;

  using Arguments = DistancesArguments<T>;
  struct Shared {
    Pack<T> x[kStages][kTile * kLine];
    Pack<T> y[kStages][kTile * kLine];
    unsigned suspects[kTile * kWords];
  };
  struct ThreadRegisters {
    T sum[kRows][kColumns];
    T whole[kDeep ? kRows : 1][kColumns];
    const T *x, *y;  // of the next chunk to copy
  };
  using WarpRegisters = NoRegisters;

  static TF_PAIRWISE_DEVICE int RowOf(int thread, int i) {
    return thread / kWarp / 2 * (kTile / 4) + Policy::Row(thread % kWarp, i);
  }
  static TF_PAIRWISE_DEVICE int ColumnOf(int thread, int j) {
    return thread / kWarp % 2 * (kTile / 2) + Policy::Column(thread % kWarp, j);
  }

  // A thread's packs of the chunk at `from`, its first one's, which goes on to
  // the next chunk.
  static TF_PAIRWISE_DEVICE void Copy(int thread, int64_t stride,
                                      const T*& from, Pack<T>* lines) {
    constexpr int kRowsAtOnce = kThreads / kPacks;
    lines += thread / kPacks * kLine + thread % kPacks;
    // The number of turns is a constant, without which the loop is not
    // unrolled.
    TF_PAIRWISE_UNROLL for (int turn = 0; turn < kTile / kRowsAtOnce; ++turn) {
      CopyAsync(
          lines + turn * kRowsAtOnce * kLine,
          reinterpret_cast<const Pack<T>*>(from + turn * kRowsAtOnce * stride));
    }
    from += Shape::kDepth;
  }

  static TF_PAIRWISE_DEVICE void Multiply(int thread, const Pack<T>* x,
                                          const Pack<T>* y,
                                          T (&sum)[kRows][kColumns]) {
    TF_PAIRWISE_LOOP for (int p = 0; p < kPacks; ++p) {
      Pack<T> a[kRows];
      TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
        a[i] = x[RowOf(thread, i) * kLine + p];
      }
      TF_PAIRWISE_UNROLL for (int j = 0; j < kColumns; ++j) {
        const Pack<T> b = y[ColumnOf(thread, j) * kLine + p];
        TF_PAIRWISE_UNROLL for (int e = 0; e < Pack<T>::kSize; ++e) {
          TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
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
    const int chunks = static_cast<int>(a.stride) / Shape::kDepth;
    const auto copy = [&](int thread, Shared& s, int chunk,
                          ThreadRegisters& r) {
      if (chunk < chunks) {
        Copy(thread, a.stride, r.x, s.x[chunk % kStages]);
        Copy(thread, a.stride, r.y, s.y[chunk % kStages]);
      }
      CopyCommit();
    };
    block.Start([&](int thread, Shared& s, ThreadRegisters& r) {
      TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
        TF_PAIRWISE_UNROLL for (int j = 0; j < kColumns; ++j) {
          r.sum[i][j] = 0;
          if constexpr (kDeep) r.whole[i][j] = 0;
        }
      }
      for (int q = thread; q < kTile * kWords; q += kThreads) s.suspects[q] = 0;
      const int64_t first =
          thread / kPacks * a.stride + thread % kPacks * Pack<T>::kSize;
      r.x = a.x_rows + row * a.stride + first;
      r.y = a.y_rows + column * a.stride + first;
      for (int chunk = 0; chunk < kStages - 1; ++chunk) {
        copy(thread, s, chunk, r);
      }
    });
    for (int chunk = 0; chunk < chunks; ++chunk) {
      block.Each(
          [&](int, Shared&, ThreadRegisters&) { CopyWait<kStages - 2>(); });
      const int stage = chunk % kStages;
      const bool joins =
          kDeep && (chunk + 1) % (kDepthBlock / Shape::kDepth) == 0;
      block.Start([&](int thread, Shared& s, ThreadRegisters& r) {
        copy(thread, s, chunk + kStages - 1, r);
        if constexpr (!kIsTensor) {
          Multiply(thread, s.x[stage], s.y[stage], r.sum);
        }
        if constexpr (kDeep && !kIsTensor) {
          if (joins) Join(r);
        }
      });
      if constexpr (kIsTensor) {
        block.StartLanes([&](int warp, Shared& s, const auto& lanes) {
          TensorTile<Policy>::template AddProducts<!kDeep>(warp, s.x[stage],
                                                           s.y[stage], lanes);
        });
        if constexpr (kDeep) {
          if (joins) {
            block.Start([](int, Shared&, ThreadRegisters& r) { Join(r); });
          }
        }
      }
    }
    Finish(block, a, row, column);
  }

  static TF_PAIRWISE_DEVICE void Join(ThreadRegisters& r) {
    TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
      TF_PAIRWISE_UNROLL for (int j = 0; j < kColumns; ++j) {
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
        const int line = RowOf(thread, pair / kColumns);
        const int at = ColumnOf(thread, pair % kColumns);
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
      T x_term[kRows], y_term[kColumns];
      TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
        x_term[i] = a.x_term[row + RowOf(thread, i)];
      }
      TF_PAIRWISE_UNROLL for (int j = 0; j < kColumns; ++j) {
        y_term[j] = a.y_term[column + ColumnOf(thread, j)];
      }
      const int lines = Shape::UpToTile(a.value_rows + a.first - row);
      const int columns = Shape::UpToTile(a.value_columns - column);
      T* const values = a.values + (row - a.first) * a.values_stride + column;
      unsigned suspects[kSuspectWords] = {};
      TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
        const int line = RowOf(thread, i);
        TF_PAIRWISE_UNROLL for (int j = 0; j < kColumns; ++j) {
          const int at = ColumnOf(thread, j), pair = i * kColumns + j;
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

#ifndef TF_PAIRWISE_TILE_GRADIENTS_GPU_INL_H_
#define TF_PAIRWISE_TILE_GRADIENTS_GPU_INL_H_

#include "cuda/block.h"
#include "metric/metric-inl.h"
#include "tile/shape_gpu-inl.h"
#include "tile/tensor_tile_gpu-inl.h"

// The weights of a strip into the gradient sums of one of its sides: the other
// points times the weights, a tile of (own points x coordinates) to a block.
// gradients_cpu.cc's twin. Close pairs are left out, for pairs_gpu-inl.h.
//
// Own points are the strip's rows or, kTransposed, its columns; the sum is over
// the others, in chunks of 16, whose weights come through registers (masked,
// and turned where they are rows) into shared memory, one chunk ahead.
//
// Tensor cores (tensor_tile_gpu-inl.h): what is loaded ahead waits in shared
// memory, for registers are short.

namespace tf_pairwise {

// The weights of a strip.
template <typename T>
struct StripWeights {
  const T* values;  // [rows, stride]
  int64_t stride;
  int64_t first, rows, columns;  // the strip's first row; those of the points
  const uint32_t* near;          // close pairs, a bit each, or null
  int64_t near_stride;
  const int32_t* near_tiles;  // per TileShape<T>::kTile rows and columns
  int64_t near_tiles_stride;
};

template <typename T>
struct AccumulateArguments {
  StripWeights<T> weights;
  const T* own_rows;  // [padded, row_stride], from the strip's first own point
  const T* other_rows;
  int64_t row_stride;
  T* sums;    // [padded, row_stride], from the strip's first own point
  T* factor;  // the same; null where the form has none
  // Where the others are split (grid z): [splits, own, row_stride] and, after
  // them, the factors [splits, own], own the grid's own points.
  T* partials;  // or null
  int64_t split_length, splits;
};

template <typename T, bool kCoordinates, bool kTransposed,
          class Policy = CudaCores>
struct AccumulateKernel {
  TF_PAIRWISE_KERNEL_NAME(std::string(Policy::kName) +
                          (kCoordinates ? "accumulate_parts_" : "accumulate_") +
                          (kTransposed ? "columns_" : "rows_") + TypeName<T>());
  using Shape = TileShape<T>;
  static constexpr bool kIsTensor = Policy::kIsTensor;
  static_assert(!kIsTensor || (sizeof(T) == 4 && !kCoordinates));
  static constexpr int kThreads = Shape::kThreads;
  // Two fit where there are no registers but a product's, and no small terms'.
  static constexpr int kBlocks = kCoordinates || Policy::kIsTensor ? 1 : 2;
  static constexpr int kTile = Shape::kTile;
  static constexpr int kDepth = Shape::kDepth, kPack = Pack<T>::kSize;
  // A thread's packs of a chunk, of weights and of coordinates.
  static constexpr int kPacks = kTile * kDepth / kPack / kThreads;
  static constexpr int kLinePacks = kTile / kPack;
  static constexpr int kLine =
      kIsTensor ? TensorTile<Policy>::kOtherLine : kLinePacks;
  // A thread's own points and coordinates of the tile.
  static constexpr int kOwns = kIsTensor ? 4 : Shape::kSide;
  static constexpr int kWidth = Shape::kSide * Shape::kSide / kOwns;
  // A thread's sums of weights, one for each own point that it sees in a pack.
  static constexpr int kParts = kTransposed ? kPack : 1;
  // Terms of a factor that are summed in T.
  static constexpr int kFactorChunks = 16;

  using Arguments = AccumulateArguments<T>;
  struct Shared {
    Pack<T> weights[2][kDepth * kLine];
    Pack<T> others[2][kDepth * kLine];
    Pack<T> given[kIsTensor ? kThreads * kPacks : 1];  // a thread's own
    double factor[kThreads * kParts];  // a thread's own, by kParts
  };
  struct ThreadRegisters {
    T sum[kOwns][kWidth];
    T own[kCoordinates ? kOwns : 1][kWidth];
    Pack<T> weights[kIsTensor ? 1 : kPacks], others[kIsTensor ? 1 : kPacks];
    unsigned left_out;        // of the packs in `given`, a bit each weight
    const T *weight, *other;  // of the next chunk
    bool any_near;            // in the tile that the chunk is of
    T part[kParts];
  };
  using WarpRegisters = NoRegisters;

  // A thread's own points and coordinates of the tile come in pieces: packs,
  // its first one, and every 4th and 8th from there on, or pairs.
  static TF_PAIRWISE_DEVICE int OwnPack(int thread) {
    return thread / kWarp / 2 * (kTile / 4 / kPack) + thread % kWarp / 8;
  }
  static TF_PAIRWISE_DEVICE int CoordinatePack(int thread) {
    return thread / kWarp % 2 * (kTile / 2 / kPack) + thread % 8;
  }
  static TF_PAIRWISE_DEVICE int OwnOf(int thread, int i) {
    if constexpr (kIsTensor) {
      return thread / kWarp / 2 * (kTile / 4) +
             TensorTile<Policy>::Own(thread % kWarp, i);
    } else {
      return (OwnPack(thread) + i / kPack * 4) * kPack + i % kPack;
    }
  }
  static TF_PAIRWISE_DEVICE int CoordinateOf(int thread, int j) {
    if constexpr (kIsTensor) {
      return thread / kWarp % 2 * (kTile / 2) +
             Policy::Column(thread % kWarp, j);
    } else {
      return (CoordinatePack(thread) + j / kPack * 8) * kPack + j % kPack;
    }
  }
  static constexpr int kPiece = kIsTensor ? 2 : kPack;
  struct alignas(kPiece * sizeof(T)) Piece {
    T v[kPiece];
  };
  static TF_PAIRWISE_DEVICE const Piece& PieceAt(const void* line, int64_t at) {
    return *reinterpret_cast<const Piece*>(static_cast<const T*>(line) + at);
  }

  // Where the packs of weights that a thread loads lie in a chunk, of own
  // points and others or, kTransposed, of others and own points.
  static TF_PAIRWISE_DEVICE int RowOf(int thread, int q) {
    return kTransposed ? thread / kLinePacks + q * (kThreads / kLinePacks)
                       : thread % kTile;
  }
  static TF_PAIRWISE_DEVICE int ColumnOf(int thread, int q) {
    return kPack * (kTransposed ? thread % kLinePacks
                                : thread / kTile + q * (kThreads / kTile));
  }

  static TF_PAIRWISE_DEVICE bool AnyNear(const StripWeights<T>& w, int64_t row,
                                         int64_t column) {
    return w.near != nullptr &&
           w.near_tiles[row / kTile * w.near_tiles_stride + column / kTile] !=
               0;
  }

  // Sets those elements of a pack to 0 that are no pair, or a close one.
  static TF_PAIRWISE_DEVICE void LeaveOut(unsigned which, Pack<T>& pack) {
    TF_PAIRWISE_UNROLL for (int e = 0; e < kPack; ++e) {
      if ((which >> e & 1) != 0) pack.v[e] = 0;
    }
  }

  // Where a thread's pack of others is in shared memory, and of weights, where
  // they are not turned.
  static TF_PAIRWISE_DEVICE int PlaceOf(int thread, int q) {
    const int pack = thread + q * kThreads;
    return pack / kLinePacks * kLine + pack % kLinePacks;
  }

  // The others from `first` on, into registers or on their way into shared
  // memory, and on to the next chunk. What is the same for all threads is
  // counted from the strip's first pair, the rest in 32 bits from the chunk's.
  static TF_PAIRWISE_DEVICE void LoadChunk(const Arguments& a, int thread,
                                           int64_t own, int64_t coordinate,
                                           int64_t first, int buffer, Shared& s,
                                           ThreadRegisters& r) {
    const StripWeights<T>& w = a.weights;
    const int64_t row = kTransposed ? first : own;
    const int64_t column = kTransposed ? own : first;
    const int rows = Shape::UpToTile(w.rows - row);
    const int columns = Shape::UpToTile(w.columns - column);
    if (first % kTile == 0) r.any_near = AnyNear(w, row, column);
    const bool coordinates = thread % kLinePacks * kPack <
                             Shape::UpToTile(a.row_stride - coordinate);
    TF_PAIRWISE_UNROLL for (int q = 0; q < kPacks; ++q) {
      const int i = RowOf(thread, q), j = ColumnOf(thread, q);
      unsigned left_out = ~0u;
      if constexpr (!kIsTensor) r.weights[q] = {};
      if (i < rows && j < columns) {
        const auto* const from = reinterpret_cast<const Pack<T>*>(
            r.weight + (kTransposed ? q * (kThreads / kLinePacks) * w.stride
                                    : q * (kThreads / kTile) * kPack));
        if constexpr (kIsTensor) {
          CopyAsync(s.given + thread + q * kThreads, from);
        } else {
          r.weights[q] = *from;
        }
        left_out = j + kPack > columns ? ~0u << (columns - j) : 0u;
        if (r.any_near) {
          left_out |= w.near[(row + i) * w.near_stride + (column + j) / 32] >>
                      (column + j) % 32;
        }
        if constexpr (!kIsTensor) LeaveOut(left_out, r.weights[q]);
      }
      if constexpr (kIsTensor) {
        r.left_out = r.left_out << kPack | (left_out & ((1u << kPack) - 1));
      }
      if (coordinates) {
        const auto* const from = reinterpret_cast<const Pack<T>*>(
            r.other + q * (kThreads / kLinePacks) * a.row_stride);
        if constexpr (kIsTensor) {
          CopyAsync(s.others[buffer] + PlaceOf(thread, q), from);
        } else {
          r.others[q] = *from;
        }
      }
    }
    if constexpr (kIsTensor) CopyCommit();
    r.weight += kTransposed ? kDepth * w.stride : kDepth;
    r.other += kDepth * a.row_stride;
  }

  // The first chunk begins with the others from `first` on.
  static TF_PAIRWISE_DEVICE void StartChunks(const Arguments& a, int thread,
                                             int64_t own, int64_t coordinate,
                                             int64_t first, Shared& s,
                                             ThreadRegisters& r) {
    const int64_t row = kTransposed ? first : own;
    const int64_t column = kTransposed ? own : first;
    r.weight = a.weights.values + (row + RowOf(thread, 0)) * a.weights.stride +
               column + ColumnOf(thread, 0);
    r.other = a.other_rows + (first + thread / kLinePacks) * a.row_stride +
              coordinate + thread % kLinePacks * kPack;
    // Coordinates that are none stay 0.
    TF_PAIRWISE_UNROLL for (int q = 0; q < kPacks; ++q) {
      if constexpr (kIsTensor) {
        if (coordinate + thread % kLinePacks * kPack >= a.row_stride) {
          for (auto& others : s.others) others[PlaceOf(thread, q)] = {};
        }
      } else {
        r.others[q] = {};
      }
    }
    r.any_near = AnyNear(a.weights, row, column);
    r.left_out = 0;
    LoadChunk(a, thread, own, coordinate, first, 0, s, r);
  }

  // The chunk that was loaded, into shared memory; whether there is any weight.
  static TF_PAIRWISE_DEVICE bool StoreChunk(int thread, int buffer, Shared& s,
                                            ThreadRegisters& r) {
    if constexpr (kIsTensor) {
      CopyWait<0>();
      Pack<T> weights[kPacks];
      TF_PAIRWISE_UNROLL for (int q = 0; q < kPacks; ++q) {
        weights[q] = s.given[thread + q * kThreads];
        LeaveOut(r.left_out >> (kPacks - 1 - q) * kPack, weights[q]);
      }
      return StoreWeights(thread, buffer, weights, s, r.part);
    } else {
      TF_PAIRWISE_UNROLL for (int q = 0; q < kPacks; ++q) {
        s.others[buffer][PlaceOf(thread, q)] = r.others[q];
      }
      return StoreWeights(thread, buffer, r.weights, s, r.part);
    }
  }

  static TF_PAIRWISE_DEVICE bool StoreWeights(int thread, int buffer,
                                              const Pack<T> (&weights)[kPacks],
                                              Shared& s, T (&part)[kParts]) {
    bool any = false;
    TF_PAIRWISE_UNROLL for (int q = 0; q < kPacks; ++q) {
      if (kTransposed) s.weights[buffer][PlaceOf(thread, q)] = weights[q];
      TF_PAIRWISE_UNROLL for (int e = 0; e < kPack; ++e) {
        const T weight = weights[q].v[e];
        any = any || weight != 0;
        part[kTransposed ? e : 0] += weight;
        if (!kTransposed) {
          const int line = ColumnOf(thread, q) + e, own = RowOf(thread, q);
          s.weights[buffer][line * kLine + own / kPack].v[own % kPack] = weight;
        }
      }
    }
    return any;
  }

  static TF_PAIRWISE_DEVICE void Multiply(int thread, const Pack<T>* weights,
                                          const Pack<T>* others,
                                          ThreadRegisters& r) {
    weights += OwnPack(thread);
    others += CoordinatePack(thread);
    TF_PAIRWISE_UNROLL_BY(2) for (int line = 0; line < kDepth; ++line) {
      Pack<T> a[kOwns / kPack], b[kWidth / kPack];
      TF_PAIRWISE_UNROLL for (int p = 0; p < kOwns / kPack; ++p) {
        a[p] = weights[line * kLine + p * 4];
        b[p] = others[line * kLine + p * 8];
      }
      TF_PAIRWISE_UNROLL for (int i = 0; i < kOwns; ++i) {
        TF_PAIRWISE_UNROLL for (int j = 0; j < kWidth; ++j) {
          const T w = a[i / kPack].v[i % kPack];
          const T y = b[j / kPack].v[j % kPack];
          if constexpr (kCoordinates) {
            r.sum[i][j] += Manhattan::Part(w, r.own[i][j], y);
          } else {
            r.sum[i][j] = NegMulAdd(w, y, r.sum[i][j]);
          }
        }
      }
    }
  }

  static TF_PAIRWISE_DEVICE void FlushFactor(int thread, Shared& s,
                                             ThreadRegisters& r) {
    TF_PAIRWISE_UNROLL for (int e = 0; e < kParts; ++e) {
      s.factor[thread * kParts + e] += static_cast<double>(r.part[e]);
      r.part[e] = 0;
    }
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const int64_t own = block.x() * kTile;
    const int64_t coordinate = block.y() * kTile;
    const int others =
        static_cast<int>(kTransposed ? a.weights.rows : a.weights.columns);
    const int begin = static_cast<int>(block.z() * a.split_length);
    const int length = static_cast<int>(a.split_length);
    const int end = begin + length < others ? begin + length : others;
    block.Start([&](int thread, Shared& s, ThreadRegisters& r) {
      TF_PAIRWISE_UNROLL for (int i = 0; i < kOwns; ++i) {
        TF_PAIRWISE_UNROLL for (int j = 0; j < kWidth; ++j) {
          r.sum[i][j] = 0;
          if constexpr (kCoordinates) {
            const int64_t k = coordinate + CoordinateOf(thread, j);
            r.own[i][j] =
                k < a.row_stride
                    ? a.own_rows[(own + OwnOf(thread, i)) * a.row_stride + k]
                    : T(0);
          }
        }
      }
      TF_PAIRWISE_UNROLL for (int e = 0; e < kParts; ++e) {
        r.part[e] = 0;
        s.factor[thread * kParts + e] = 0;
      }
      StartChunks(a, thread, own, coordinate, begin, s, r);
    });
    const int chunks = (end - begin + kDepth - 1) / kDepth;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const bool any =
          block.Any([&](int thread, Shared& s, ThreadRegisters& r) {
            return StoreChunk(thread, chunk % 2, s, r);
          });
      block.Start([&](int thread, Shared& s, ThreadRegisters& r) {
        if (chunk + 1 < chunks) {
          LoadChunk(a, thread, own, coordinate, begin + (chunk + 1) * kDepth,
                    (chunk + 1) % 2, s, r);
        }
        if constexpr (!kIsTensor) {
          if (any) {
            Multiply(thread, s.weights[chunk % 2], s.others[chunk % 2], r);
          }
        }
        if (chunk % kFactorChunks == kFactorChunks - 1) {
          FlushFactor(thread, s, r);
        }
      });
      if constexpr (kIsTensor) {
        if (!any) continue;
        block.StartLanes([&](int warp, Shared& s, const auto& lanes) {
          TensorTile<Policy>::SubtractProducts(warp, s.weights[chunk % 2],
                                               s.others[chunk % 2], lanes);
        });
      }
    }
    StoreSums(block, a, own, coordinate);
    if (a.factor != nullptr && coordinate == 0) StoreFactor(block, a, own);
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void StoreSums(B& block, const Arguments& a,
                                           int64_t own, int64_t coordinate) {
    const int64_t owns = block.grid_x() * kTile;
    block.Start([&](int thread, Shared&, ThreadRegisters& r) {
      TF_PAIRWISE_UNROLL for (int i = 0; i < kOwns; ++i) {
        const int64_t line = own + OwnOf(thread, i);
        TF_PAIRWISE_UNROLL for (int p = 0; p < kWidth / kPiece; ++p) {
          const int64_t k = coordinate + CoordinateOf(thread, p * kPiece);
          if (k >= a.row_stride) continue;
          Piece sum;
          if (a.partials == nullptr) {
            sum = PieceAt(a.sums, line * a.row_stride + k);
          }
          TF_PAIRWISE_UNROLL for (int e = 0; e < kPiece; ++e) {
            const T own_sum = r.sum[i][p * kPiece + e];
            sum.v[e] = a.partials == nullptr ? sum.v[e] + own_sum : own_sum;
          }
          T* const out =
              a.partials == nullptr
                  ? a.sums + line * a.row_stride
                  : a.partials + (block.z() * owns + line) * a.row_stride;
          *reinterpret_cast<Piece*>(out + k) = sum;
        }
      }
    });
  }

  // Own points' sums of weights: each was made by several threads.
  template <class B>
  static TF_PAIRWISE_DEVICE void StoreFactor(B& block, const Arguments& a,
                                             int64_t own) {
    const int64_t owns = block.grid_x() * kTile;
    block.Each([&](int thread, Shared& s, ThreadRegisters& r) {
      FlushFactor(thread, s, r);
    });
    block.Each([&](int thread, Shared& s, ThreadRegisters&) {
      if (thread >= kTile) return;
      double sum = 0;
      for (int part = 0; part < kThreads * kParts / kTile; ++part) {
        sum += s.factor[part * kTile + thread];
      }
      if (a.partials == nullptr) {
        a.factor[own + thread] += static_cast<T>(sum);
      } else {
        a.partials[a.splits * owns * a.row_stride + block.z() * owns + own +
                   thread] = static_cast<T>(sum);
      }
    });
  }
};

// Adds the splits' sums up, in order.
template <typename T>
struct AddPartialsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("add_partials_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  struct Arguments {
    const T* partials;  // [splits, elements]
    int64_t splits, elements;
    T* sums;  // [elements]
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      for (int64_t i = block.x() * kThreads + thread; i < a.elements;
           i += block.grid_x() * kThreads) {
        T sum = a.sums[i];
        for (int64_t split = 0; split < a.splits; ++split) {
          sum += a.partials[split * a.elements + i];
        }
        a.sums[i] = sum;
      }
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_GRADIENTS_GPU_INL_H_

#ifndef TF_PAIRWISE_TILE_TENSOR_TILE_GPU_INL_H_
#define TF_PAIRWISE_TILE_TENSOR_TILE_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/warp_tile.h"
#include "tile/shape_gpu-inl.h"

// The products of a strip on tensor cores: a warp's part of a block's tile, 32
// rows by 64 columns, as 2 x 8 fragments of 16 x 8, whose sums are in its
// threads' registers. A chunk of terms is added up in the tensor cores, which
// cut off what they add, and that to the sums as floats.
//
// Which term, or which row, is which of a fragment's is free. It is chosen so
// that a lane reads at once what it needs, that what lanes read at once lies in
// different banks, and that fragments, whose registers are neighbours, are not
// put together again at each product.

namespace tf_pairwise {

template <class Policy>
struct TensorTile {
  using Shape = TileShape<float>;
  static constexpr int kRows = Shape::kTile / 4, kColumns = Shape::kTile / 2;
  static constexpr int kRowTiles = kRows / 16, kColumnTiles = kColumns / 8;
  static constexpr int kSteps = Shape::kDepth / 8;
  static_assert(kRowTiles == 2 && kSteps == 2, "16 terms");

  // The packs of a line of shared memory: of points, a chunk of coordinates,
  // and of other points or weights, a tile and 8 banks more.
  static constexpr int kPointLine = Shape::kDepth / Pack<float>::kSize;
  static constexpr int kOtherLine = Shape::kTile / Pack<float>::kSize + 2;

  struct Rows {
    typename Policy::Left v[kRowTiles][kSteps];
  };
  struct Columns {
    typename Policy::Right v[kSteps];
  };

  // sum[i][j] += x y^T, of 16 coordinates. A lane has a pack of each line that
  // it reads, and each step takes two of its coordinates; 8 lines are as many
  // packs as there are lanes. The element of (i, j) is (Policy::Row(i),
  // Policy::Column(j)). kSettles: there are registers for x.
  template <bool kSettles, class Lanes>
  static TF_PAIRWISE_DEVICE void AddProducts(int warp, const Pack<float>* x,
                                             const Pack<float>* y,
                                             const Lanes& lanes) {
    x += warp / 2 * kRows * kPointLine;
    y += warp % 2 * kColumns * kPointLine;
    PerLane<Rows> a;
    InLanes([&](int lane) {
      TF_PAIRWISE_UNROLL for (int tile = 0; tile < kRowTiles; ++tile) {
        const Pack<float>* const lines = x + 16 * tile * kPointLine;
        const Pack<float> low = lines[lane];
        const Pack<float> high = lines[8 * kPointLine + lane];
        TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
          const int k = 2 * step;
          const float from[4] = {Settled<kSettles>(low.v[k]),
                                 Settled<kSettles>(high.v[k]),
                                 Settled<kSettles>(low.v[k + 1]),
                                 Settled<kSettles>(high.v[k + 1])};
          Policy::Load(from, a[lane].v[tile][step]);
        }
      }
    });
    TF_PAIRWISE_UNROLL for (int n = 0; n < kColumnTiles; ++n) {
      PerLane<Columns> b;
      InLanes([&](int lane) {
        const Pack<float> pack = y[8 * n * kPointLine + lane];
        TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
          Policy::Load(pack.v[2 * step], pack.v[2 * step + 1], b[lane].v[step]);
        }
      });
      Multiply<Policy::kTerms == 3>(
          a, b, [&](int lane, int tile, const float (&sum)[4]) {
            TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) {
              lanes[lane].sum[2 * tile + e / 2][2 * n + e % 2] += sum[e];
            }
          });
    }
  }

  // sum[i][j] -= w y, of 16 other points, each a line of weights and one of
  // coordinates. A lane's own points are pairs. The element of (i, j) is
  // (Own(i), Policy::Column(j)).
  template <class Lanes>
  static TF_PAIRWISE_DEVICE void SubtractProducts(int warp,
                                                  const Pack<float>* weights,
                                                  const Pack<float>* others,
                                                  const Lanes& lanes) {
    struct alignas(8) Pair {
      float v[2];
    };
    // The line of the others t and t + 4 of a step.
    const auto line = [](int lane, int step, int half) {
      return (lane % 4 + 8 * step + 4 * half) * kOtherLine;
    };
    PerLane<Rows> a;
    InLanes([&](int lane) {
      const int own = warp / 2 * kRows + Own(lane, 0);
      TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
        TF_PAIRWISE_UNROLL for (int tile = 0; tile < kRowTiles; ++tile) {
          Pair pairs[2];
          TF_PAIRWISE_UNROLL for (int half = 0; half < 2; ++half) {
            pairs[half] = reinterpret_cast<const Pair*>(
                weights + line(lane, step, half))[own / 2 + 8 * tile];
          }
          const float from[4] = {pairs[0].v[0], pairs[0].v[1], pairs[1].v[0],
                                 pairs[1].v[1]};
          Policy::LoadWeights(from, a[lane].v[tile][step]);
        }
      }
    });
    TF_PAIRWISE_UNROLL for (int n = 0; n < kColumnTiles; ++n) {
      PerLane<Columns> b;
      InLanes([&](int lane) {
        const int coordinate = warp % 2 * kColumns + 8 * n + lane / 4;
        TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
          Policy::Load(Policy::At(others + line(lane, step, 0), coordinate),
                       Policy::At(others + line(lane, step, 1), coordinate),
                       b[lane].v[step]);
        }
      });
      Multiply<true>(a, b, [&](int lane, int tile, const float (&sum)[4]) {
        TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) {
          lanes[lane].sum[2 * tile + e / 2][2 * n + e % 2] -= sum[e];
        }
      });
    }
  }
  static TF_PAIRWISE_DEVICE int Own(int lane, int i) {
    return i / 2 * 16 + lane / 4 * 2 + i % 2;
  }

 private:
  // add(lane, tile, sum) with the products of the rows' tiles and one of the
  // columns.
  template <bool kTwoTerms, class Add>
  static TF_PAIRWISE_DEVICE void Multiply(const PerLane<Rows>& a,
                                          const PerLane<Columns>& b,
                                          const Add& add) {
    TF_PAIRWISE_UNROLL for (int tile = 0; tile < kRowTiles; ++tile) {
      PerLane<typename Policy::Sum> sum;
      Policy::Clear(sum);
      TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
        PerLane<typename Policy::Right> right;
        InLanes([&](int lane) { right[lane] = b[lane].v[step]; });
        Policy::template Add<kTwoTerms>(
            sum,
            [&](int lane) -> const typename Policy::Left& {
              return a[lane].v[tile][step];
            },
            right);
      }
      InLanes([&](int lane) { add(lane, tile, sum[lane].v); });
    }
  }

  // The same number by an operation that compilers leave: what was loaded into
  // other registers than a fragment's is else moved there at each product.
  // (Cutting off bits is none that they leave: the product does so itself.)
  template <bool kSettles>
  static TF_PAIRWISE_DEVICE float Settled(float x) {
    return kSettles ? x + 0.0f : x;
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_TENSOR_TILE_GPU_INL_H_

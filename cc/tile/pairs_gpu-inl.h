#ifndef TF_PAIRWISE_TILE_PAIRS_GPU_INL_H_
#define TF_PAIRWISE_TILE_PAIRS_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/points.h"
#include "metric/metric-inl.h"
#include "tile/gradients_gpu-inl.h"

// The pairs that are no part of a product: close ones, from the points as they
// are, and all of a metric whose gradient is at one coordinate. Then the
// gradient of the sums. A warp to an own point.

namespace tf_pairwise {

template <typename T>
struct PairsArguments {
  StripWeights<T> weights;
  const T* own_source;  // [.., d], from the strip's first own point
  const T* other_source;
  int64_t d;
  T* sums;  // [.., sums_stride], from the strip's first own point
  int64_t sums_stride;
};

// kLargest: all pairs, at their largest coordinate; else the close pairs of the
// metrics of |x - y|.
template <typename T, bool kLargest, bool kTransposed>
struct PairsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME(std::string(kLargest ? "largest_" : "near_") +
                          (kTransposed ? "columns_" : "rows_") + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kOwn = kThreads / kWarp;
  static constexpr int kTile = TileShape<T>::kTile;
  using Arguments = PairsArguments<T>;

  static TF_PAIRWISE_DEVICE int64_t At(const StripWeights<T>& w, int64_t own,
                                       int64_t other) {
    return kTransposed ? other * w.stride + own : own * w.stride + other;
  }

  // Which of 32 others, from `first` on, have a part.
  static TF_PAIRWISE_DEVICE unsigned BitsOf(const StripWeights<T>& w,
                                            int64_t own, int64_t first,
                                            int64_t others) {
    return OverLanes(
        [&](int lane) {
          const int64_t other = first + lane;
          if (other >= others) return 0u;
          const int64_t row = kTransposed ? other : own;
          const int64_t column = kTransposed ? own : other;
          if (!kLargest &&
              (w.near[row * w.near_stride + column / 32] >> (column % 32) &
               1) == 0) {
            return 0u;
          }
          return w.values[At(w, own, other)] == 0 ? 0u : 1u << lane;
        },
        [](unsigned a, unsigned b) { return a | b; });
  }

  static TF_PAIRWISE_DEVICE void Add(const Arguments& a, int64_t own,
                                     int64_t other) {
    const T weight = a.weights.values[At(a.weights, own, other)];
    const T* const x = a.own_source + own * a.d;
    const T* const y = a.other_source + other * a.d;
    T* const sums = a.sums + own * a.sums_stride;
    if constexpr (kLargest) {
      const int64_t k =
          Chebyshev::Direct(WarpPoints<T>{x, y, a.d}, true).largest;
      EachLane([&](int lane) {
        if (lane == 0 && k >= 0) sums[k] += Chebyshev::Part(weight, x[k], y[k]);
      });
    } else {
      EachLane([&](int lane) {
        for (int64_t k = lane; k < a.d; k += kWarp) {
          sums[k] += L2::Part(weight, x[k], y[k]);
        }
      });
    }
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const StripWeights<T>& w = a.weights;
    const int64_t owns = kTransposed ? w.columns : w.rows;
    const int64_t others = kTransposed ? w.rows : w.columns;
    block.EachWarp([&](int warp, Shared&, WarpRegisters&) {
      const int64_t own = block.x() * kOwn + warp;
      if (own >= owns) return;
      for (int64_t tile = 0; tile < others; tile += kTile) {
        if (!kLargest) {
          const int64_t row = (kTransposed ? tile : own) / kTile;
          const int64_t column = (kTransposed ? own : tile) / kTile;
          if (w.near_tiles[row * w.near_tiles_stride + column] == 0) continue;
        }
        for (int64_t first = tile; first < tile + kTile && first < others;
             first += kWarp) {
          for (unsigned bits = BitsOf(w, own, first, others); bits != 0;
               bits &= bits - 1) {
            Add(a, own, first + LowestBit(bits));
          }
        }
      }
    });
  }
};

// The gradient of an operand's sums: FinishGradient (tile/tile.h).
template <typename T>
struct FinishKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("finish_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kRows = kThreads / kWarp;
  struct Arguments {
    const T* rows;
    T* sums;  // [splits, padded_n, stride]; those of a row are added up
    T* factor;
    const T* inverse_norm;
    int64_t n, d, stride, padded_n, splits;
    const double* scale;  // null for 1
    T* gradient;          // [n, d]
    Metric metric;
  };

  struct RowOf {
    const Arguments& a;
    int64_t i;
    T scale;

    template <class M>
    TF_PAIRWISE_DEVICE void operator()(M) const {
      const T* const point = a.rows + i * a.stride;
      const T* const sum = a.sums + i * a.stride;
      T* const out = a.gradient + i * a.d;
      if constexpr (M::kPreparation == Preparation::kNormalised) {
        // (I - p p^T) sum / |x|, p the normalised point. A point that is not
        // finite, in no pair of any weight, has no gradient.
        const T along = static_cast<T>(
            WarpPoints<T>{point, sum, a.d}.Sum(ProductElement()));
        const T f = scale * a.inverse_norm[i];
        EachLane([&](int lane) {
          for (int64_t k = lane; k < a.d; k += kWarp) {
            out[k] = Weighted(NegMulAdd(along, point[k], sum[k]), f);
          }
        });
      } else {
        constexpr bool kFactor = M::kForm == GradientForm::kDifference;
        const T factor = kFactor ? a.factor[i] : T(0);
        EachLane([&](int lane) {
          for (int64_t k = lane; k < a.d; k += kWarp) {
            out[k] =
                scale * (kFactor ? MulAdd(factor, point[k], sum[k]) : sum[k]);
          }
        });
      }
    }
  };

  // The first of the splits takes the others' sums, in order.
  static TF_PAIRWISE_DEVICE void AddSplits(const Arguments& a, int64_t i) {
    EachLane([&](int lane) {
      for (int64_t k = lane; k < a.stride; k += kWarp) {
        T* const sums = a.sums + i * a.stride + k;
        T sum = *sums;
        for (int64_t split = 1; split < a.splits; ++split) {
          sum += sums[split * a.padded_n * a.stride];
        }
        *sums = sum;
      }
      if (lane != 0) return;
      T factor = a.factor[i];
      for (int64_t split = 1; split < a.splits; ++split) {
        factor += a.factor[split * a.padded_n + i];
      }
      a.factor[i] = factor;
    });
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.EachWarp([&](int warp, Shared&, WarpRegisters&) {
      const int64_t i = block.x() * kRows + warp;
      if (i >= a.n) return;
      if (a.splits > 1) AddSplits(a, i);
      const T scale = a.scale == nullptr ? T(1) : static_cast<T>(*a.scale);
      VisitMetric(a.metric, RowOf{a, i, scale});
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_PAIRS_GPU_INL_H_

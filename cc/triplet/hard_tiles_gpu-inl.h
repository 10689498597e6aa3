#ifndef TF_PAIRWISE_TRIPLET_HARD_TILES_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_HARD_TILES_GPU_INL_H_

#include "cuda/points.h"
#include "cuda/warp_tile.h"
#include "tile/pair_family_gpu-inl.h"
#include "triplet/hard_gpu-inl.h"

// Hard mining in pair tiles: a walk finds each anchor's farthest positive and
// nearest negative, by distances without roots, and stores no distance. Then a
// thread to an anchor makes its loss, and a warp to a point its gradient: of
// the two pairs that it has as an anchor, and of those that it was found in.

namespace tf_pairwise {

struct HardSearch {
  TF_PAIRWISE_KERNEL_NAME("hard");
  struct Arguments {
    const int64_t* labels;      // [n]
    const int64_t* ref_labels;  // [m]
    int64_t rows;
    HardPair<float>* parts;  // [splits, rows]
  };
  struct Point {
    int64_t label;
  };
  struct Common {};
  // The best of both, and where; negative where there is none, and then the
  // distance is no number, which is never the better.
  struct Best {
    float distance;
    int at;
  };
  struct Row {
    Best positive, negative;
    int nan;

    TF_PAIRWISE_DEVICE Row operator+(const Row& b) const {
      return {Better<Farthest>(positive, b.positive),
              Better<Nearest>(negative, b.negative), nan | b.nan};
    }
  };
  using Sums = NoRegisters;
  static constexpr bool kByRow = true, kRoots = false, kRescues = true;
  static constexpr int kLeastWidth = 128;
  static constexpr OwnPair kOwn = OwnPair::kNone;

  template <class Order>
  static TF_PAIRWISE_DEVICE Best Better(const Best& a, const Best& b) {
    if (a.at < 0) return b;
    if (b.at < 0 || Order::Better(a.distance, b.distance)) return a;
    if (Order::Better(b.distance, a.distance)) return b;
    return a.at < b.at ? a : b;
  }
  static TF_PAIRWISE_DEVICE Row None() {
    const Best none = {static_cast<float>(NotANumber()), -1};
    return {none, none, 0};
  }
  static TF_PAIRWISE_DEVICE Point RowOf(const Arguments& a, int64_t i) {
    return {a.labels[i]};
  }
  static TF_PAIRWISE_DEVICE Point ColumnOf(const Arguments& a, int64_t j) {
    return {a.ref_labels[j]};
  }
  static TF_PAIRWISE_DEVICE Common CommonOf(const Arguments&) { return {}; }

  // Columns come in their order: of equals the first stays.
  template <int kCount, class At>
  static TF_PAIRWISE_DEVICE void Add(const Common&, const Point& row,
                                     const Point (&columns)[kCount],
                                     const float (&distances)[kCount],
                                     unsigned there, unsigned, const At& at,
                                     Row& best) {
    TF_PAIRWISE_UNROLL for (int j = 0; j < kCount; ++j) {
      const bool is = (there >> j & 1) != 0;
      const bool positive = SameClass(row.label, columns[j].label);
      const float distance = distances[j];
      const int here = static_cast<int>(at(j));
      if (is && positive && !(distance <= best.positive.distance)) {
        best.positive = {distance, here};
      }
      if (is && !positive && !(distance >= best.negative.distance)) {
        best.negative = {distance, here};
      }
    }
  }
  static TF_PAIRWISE_DEVICE void AddDirect(const Arguments& a, int64_t i,
                                           int64_t j, float distance,
                                           Row& best) {
    const Best here = {distance, static_cast<int>(j)};
    if (distance != distance) best.nan = 1;
    if (SameClass(a.labels[i], a.ref_labels[j])) {
      best.positive = Better<Farthest>(best.positive, here);
    } else {
      best.negative = Better<Nearest>(best.negative, here);
    }
  }
  static TF_PAIRWISE_DEVICE void Store(const Arguments& a, int64_t split,
                                       int64_t i, const Row& best) {
    a.parts[split * a.rows + i] = {{best.positive.at, best.positive.distance},
                                   {best.negative.at, best.negative.distance},
                                   best.nan};
  }
};

// An anchor's two pairs, negative where there is none, and their weights V.
struct HardPick {
  int positive = -1, negative = -1;
};
struct HardWeights {
  float positive = 0, negative = 0;
};

struct HardTotalsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("hard_totals");
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 4;
  struct Arguments {
    AnchorArguments<float> anchors;  // the strip's labels; no distances
    const HardPair<float>* parts;    // [splits, n]
    int64_t splits;
    HardPick* picks;       // [n], or null without a gradient
    HardWeights* weights;  // [n]
  };

  // The distance whose raw value was searched by.
  struct DistanceOfRaw {
    float raw;
    template <class M>
    TF_PAIRWISE_DEVICE float operator()(M) const {
      return M::Distance(raw);
    }
  };

  // A NaN takes hold of the row; its gradient is at the first of both.
  static TF_PAIRWISE_DEVICE Candidate<float> First(const AnchorRow<float>& row,
                                                   bool positive) {
    for (int64_t j = 0; j < row.m; ++j) {
      if (positive ? row.Positive(j) : row.Negative(j)) {
        return {j, static_cast<float>(NotANumber())};
      }
    }
    return {};
  }

  static TF_PAIRWISE_DEVICE HardPair<float> Found(const Arguments& a,
                                                  const AnchorRow<float>& row) {
    HardPair<float> found = a.parts[row.i];
    for (int64_t split = 1; split < a.splits; ++split) {
      found = HarderOf<float>()(found, a.parts[split * a.anchors.rows + row.i]);
    }
    if (row.weight == 0 || found.positive.index < 0 ||
        found.negative.index < 0) {
      return {};
    }
    if (found.nan != 0) return {First(row, true), First(row, false), 1};
    found.positive.distance =
        VisitMetric(row.metric, DistanceOfRaw{found.positive.distance});
    found.negative.distance =
        VisitMetric(row.metric, DistanceOfRaw{found.negative.distance});
    return found;
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      const int64_t i = block.x() * kThreads + thread;
      if (i >= a.anchors.rows) return;
      const AnchorRow<float> row(a.anchors, i);
      const HardPair<float> hard = Found(a, row);
      LossSums sums;
      HardPick pick;
      HardWeights weights;
      if (hard.positive.index >= 0) {
        const float positive = hard.positive.distance;
        const float negative = hard.negative.distance;
        const TripletValue<double> value = row.TripletOf(
            static_cast<double>(positive), static_cast<double>(negative));
        sums.Add(row.weight, value.loss);
        // A negative beyond the type's range has no slope.
        if (value.slope != 0 &&
            negative != static_cast<float>(PlusInfinity())) {
          const double slope = row.weight * value.slope;
          pick = {static_cast<int>(hard.positive.index),
                  static_cast<int>(hard.negative.index)};
          weights = {row.PairWeight(static_cast<float>(slope), positive),
                     row.PairWeight(static_cast<float>(-slope), negative)};
        }
      }
      a.anchors.sums[i] = sums;
      if (a.anchors.losses != nullptr) {
        a.anchors.losses[i] = static_cast<float>(sums.sum);
      }
      if (a.picks == nullptr) return;
      a.picks[i] = pick;
      a.weights[i] = weights;
    });
  }
};

// The gradient's sums of a side's points.
struct HardGradientKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("hard_gradient");
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kPoints = kThreads / kWarp;
  static constexpr int kParts = 8;       // of 32 coordinates: D <= 256
  static constexpr int kTogether = 256;  // pairs that are summed as floats
  struct Side {
    const float* source;  // [count, d]
    const float* rows;    // [padded, stride]
  };
  struct Arguments {
    Side own, other;      // `other` are the anchors where own points are found
    bool anchors, found;  // what own points are; of a batch with itself, both
    const HardPick* picks;  // [n]
    const HardWeights* weights;
    int64_t count, n, d, stride;
    bool difference;  // GradientForm::kDifference, else kProduct
    float* sums;      // [padded, stride]
    float* factor;    // [padded]
  };

  struct Sums {
    float part[kParts], whole[kParts];
  };

  static TF_PAIRWISE_DEVICE void Add(const Arguments& a, int64_t i, int64_t j,
                                     float weight, PerLane<Sums>& sums) {
    if (weight == 0) return;
    InLanes([&](int lane) {
      TF_PAIRWISE_UNROLL for (int p = 0; p < kParts; ++p) {
        const int64_t k = p * kWarp + lane;
        if (k >= a.d) continue;
        sums[lane].part[p] +=
            a.difference ? L2::Part(weight, a.own.source[i * a.d + k],
                                    a.other.source[j * a.d + k])
                         : MinusProduct::Part(weight, 0.0f,
                                              a.other.rows[j * a.stride + k]);
      }
    });
  }
  static TF_PAIRWISE_DEVICE void Join(PerLane<Sums>& sums) {
    InLanes([&](int lane) {
      TF_PAIRWISE_UNROLL for (int p = 0; p < kParts; ++p) {
        sums[lane].whole[p] += sums[lane].part[p];
        sums[lane].part[p] = 0;
      }
    });
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.EachWarp([&](int warp, Shared&, WarpRegisters&) {
      const int64_t i = block.x() * kPoints + warp;
      if (i >= a.count) return;
      PerLane<Sums> sums;
      InLanes([&](int lane) { sums[lane] = {}; });
      if (a.anchors) {
        const HardPick pick = a.picks[i];
        const HardWeights weights = a.weights[i];
        Add(a, i, pick.positive, weights.positive, sums);
        Add(a, i, pick.negative, weights.negative, sums);
      }
      Join(sums);
      int together = 0;
      for (int64_t first = 0; a.found && first < a.n; first += kWarp) {
        unsigned bits = WhichLanes([&](int lane) {
          const int64_t anchor = first + lane;
          return anchor < a.n && (a.picks[anchor].positive == i ||
                                  a.picks[anchor].negative == i);
        });
        for (; bits != 0; bits &= bits - 1) {
          const int64_t anchor = first + LowestBit(bits);
          const HardWeights weights = a.weights[anchor];
          Add(a, i, anchor,
              a.picks[anchor].positive == i ? weights.positive
                                            : weights.negative,
              sums);
          if (++together % kTogether == 0) Join(sums);
        }
      }
      Join(sums);
      InLanes([&](int lane) {
        TF_PAIRWISE_UNROLL for (int p = 0; p < kParts; ++p) {
          const int64_t k = p * kWarp + lane;
          if (k < a.stride) a.sums[i * a.stride + k] = sums[lane].whole[p];
        }
        if (lane == 0) a.factor[i] = 0;
      });
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_HARD_TILES_GPU_INL_H_

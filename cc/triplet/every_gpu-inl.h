#ifndef TF_PAIRWISE_TRIPLET_EVERY_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_EVERY_GPU_INL_H_

#include "core/rounds.h"
#include "triplet/batch_gpu-inl.h"
#include "triplet/positives_gpu-inl.h"

// The minings that take every triplet of a kind. Under the hinge the triplets
// of a row are counted (every-inl.h), under the soft margin they are summed.

namespace tf_pairwise {

template <typename T, class Rule>
struct HingeMining {
  TF_PAIRWISE_KERNEL_NAME(Rule::kEnds     ? "semi_hard_all"
                          : Rule::kBegins ? "hard_all"
                                          : "all");
  struct Shared {
    PositivesChunk<T> positives;
    // How many ranges of negatives a rank is in, as differences by rank.
    int32_t steps[kChunk<T> + 1];
  };
  struct ThreadRegisters {
    TripletSums sums;
  };

  template <class B>
  static TF_PAIRWISE_DEVICE TripletSums Row(B& block, const AnchorRow<T>& row,
                                            const FoundInRow& found,
                                            const SlopesOut<T>& out) {
    block.Each(
        [](int, Shared&, ThreadRegisters& r) { r.sums = TripletSums(); });
    int64_t next = 0;
    for (int64_t left = found.positives; left > 0;) {
      const int count = GatherPositives(block, row, left, &next);
      left -= count;
      SortPositives<T>(block, count);
      block.Each([&](int thread, Shared& s, ThreadRegisters&) {
        for (int r = thread; r <= count; r += kAnchorThreads) s.steps[r] = 0;
      });
      block.Each([&](int thread, Shared& s, ThreadRegisters& r) {
        EachColumn(thread, row.m, [&](int64_t j) {
          if (row.Negative(j)) {
            TakeNegative(row, j, count, out, s, r.sums);
          } else if (row.Itself(j)) {
            out.Put(row, j, T(0), T(0));
          }
        });
      });
      TakePositives(block, row, count, out);
    }
    TripletSums sums =
        block.Sum([](int, Shared&, ThreadRegisters& r) { return r.sums; });
    if constexpr (!Rule::kBegins && !Rule::kEnds) {
      sums.counted = found.positives * found.negatives;
    }
    return sums;
  }

 private:
  static TF_PAIRWISE_DEVICE void TakeNegative(const AnchorRow<T>& row,
                                              int64_t j, int count,
                                              const SlopesOut<T>& out,
                                              Shared& s, TripletSums& sums) {
    const T distance = row.distances[j];
    const T threshold = ThresholdOf(distance, static_cast<T>(row.margin));
    const RankRange range =
        RangeOf<Rule>(s.positives.distance, count, distance, threshold);
    const int in = range.high - range.low;
    sums.counted += range.taken;
    sums.nonzero += in;
    if (in > 0) {
      sums.sum -= static_cast<double>(in) * static_cast<double>(threshold);
      AtomicAdd(&s.steps[range.low], 1);
      if constexpr (Rule::kEnds) AtomicAdd(&s.steps[range.high], -1);
    }
    out.Put(row, j, distance, static_cast<T>(-in));
  }

  // A range that starts at a rank holds every later one up to its end.
  template <class B>
  static TF_PAIRWISE_DEVICE void TakePositives(B& block,
                                               const AnchorRow<T>& row,
                                               int count,
                                               const SlopesOut<T>& out) {
    constexpr int kEach = kChunk<T> / kAnchorThreads;
    block.Scan(
        [&](int thread, Shared& s, ThreadRegisters&) {
          int sum = 0;
          for (int k = 0; k < kEach; ++k) {
            const int rank = thread * kEach + k;
            if (rank < count) sum += s.steps[rank];
          }
          return sum;
        },
        [&](int thread, Shared& s, ThreadRegisters& r, int running) {
          for (int k = 0; k < kEach; ++k) {
            const int rank = thread * kEach + k;
            if (rank >= count) return;
            running += s.steps[rank];
            const T distance = s.positives.distance[rank];
            if (running != 0) {
              r.sums.sum +=
                  static_cast<double>(running) * static_cast<double>(distance);
            }
            out.Put(row, s.positives.index[rank], distance,
                    static_cast<T>(running));
          }
        });
  }
};

template <typename T>
struct SoftMining {
  TF_PAIRWISE_KERNEL_NAME("all_soft");
  struct Shared {
    PositivesChunk<T> positives;
    T slope[kChunk<T>];
  };
  struct ThreadRegisters {
    TripletSums sums;
  };
  static constexpr int kTogether = 64;  // summed in T before double

  template <class B>
  static TF_PAIRWISE_DEVICE TripletSums Row(B& block, const AnchorRow<T>& row,
                                            const FoundInRow& found,
                                            const SlopesOut<T>& out) {
    block.Each(
        [](int, Shared&, ThreadRegisters& r) { r.sums = TripletSums(); });
    int64_t next = 0;
    for (int64_t left = found.positives; left > 0;) {
      const int count = GatherPositives(block, row, left, &next);
      left -= count;
      // Before the negatives' places are written to.
      if (row.gradient) SumPositives(block, row, count);
      block.Each([&](int thread, Shared& s, ThreadRegisters& r) {
        EachColumn(thread, row.m, [&](int64_t j) {
          if (row.Negative(j)) {
            TakeNegative(row, j, count, out, s, r.sums);
          } else if (row.Itself(j)) {
            out.Put(row, j, T(0), T(0));
          }
        });
      });
      if (!row.gradient) continue;
      block.Each([&](int thread, Shared& s, ThreadRegisters&) {
        for (int e = thread; e < count; e += kAnchorThreads) {
          out.Put(row, s.positives.index[e], s.positives.distance[e],
                  s.slope[e]);
        }
      });
    }
    TripletSums sums =
        block.Sum([](int, Shared&, ThreadRegisters& r) { return r.sums; });
    sums.counted = found.positives * found.negatives;
    return sums;
  }

 private:
  // The positives' slopes, a warp to a positive.
  template <class B>
  static TF_PAIRWISE_DEVICE void SumPositives(B& block, const AnchorRow<T>& row,
                                              int count) {
    block.EachWarp([&](int warp, Shared& s, auto&) {
      for (int e = warp; e < count; e += kAnchorThreads / kWarp) {
        const T positive = s.positives.distance[e];
        const double slope = OverLanes(
            [&](int lane) {
              double sum = 0;
              for (int64_t begin = lane; begin < row.m;
                   begin += kTogether * kWarp) {
                const int64_t end = Least(begin + kTogether * kWarp, row.m);
                T part = 0;
                for (int64_t j = begin; j < end; j += kWarp) {
                  if (!row.Negative(j)) continue;
                  part += SoftTriplet(positive, row.distances[j]).slope;
                }
                sum += static_cast<double>(part);
              }
              return sum;
            },
            PlusOf());
        EachLane([&](int lane) {
          if (lane == 0) s.slope[e] = static_cast<T>(slope);
        });
      }
    });
  }

  static TF_PAIRWISE_DEVICE void TakeNegative(const AnchorRow<T>& row,
                                              int64_t j, int count,
                                              const SlopesOut<T>& out,
                                              const Shared& s,
                                              TripletSums& sums) {
    const T distance = row.distances[j];
    double slope = 0;
    for (int begin = 0; begin < count; begin += kTogether) {
      const int end = begin + kTogether < count ? begin + kTogether : count;
      T losses = 0, slopes = 0;
      for (int e = begin; e < end; ++e) {
        const TripletValue<T> value =
            SoftTriplet(s.positives.distance[e], distance);
        losses += value.loss;
        slopes += value.slope;
        sums.nonzero += value.loss > 0;
      }
      sums.sum += static_cast<double>(losses);
      slope += static_cast<double>(slopes);
    }
    out.Put(row, j, distance, static_cast<T>(-slope));
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_EVERY_GPU_INL_H_

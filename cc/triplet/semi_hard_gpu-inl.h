#ifndef TF_PAIRWISE_TRIPLET_SEMI_HARD_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_SEMI_HARD_GPU_INL_H_

#include "core/radix.h"
#include "triplet/batch_gpu-inl.h"
#include "triplet/positives_gpu-inl.h"

// Semi-hard mining: per positive the nearest negative beyond it, and where none
// is, the farthest. Of a chunk's sorted positives, a negative belongs to the
// last one that it is beyond. The nearest one of each rank is kept; the one of
// a positive is that of the first rank from its own on that has any, so that
// positives with the same negative follow one another: a run.

namespace tf_pairwise {

template <typename T>
struct SemiHardMining {
  TF_PAIRWISE_KERNEL_NAME("semi_hard");
  static constexpr bool kWide = sizeof(T) == 8;
  struct Shared {
    PositivesChunk<T> positives;
    T slope[kChunk<T>];  // by rank
    // By rank, the nearest negative: its distance's order and, where there is
    // room, its index in the lower half; kNone for none.
    uint64_t nearest[kChunk<T>];
    uint64_t nearest_index[kWide ? kChunk<T> : 1];
    int32_t run[kChunk<T>];   // by rank
    int32_t last[kChunk<T>];  // by run, its last rank
    T taken[kChunk<T>];       // by run, what its negative gets
  };
  struct ThreadRegisters {
    TripletSums sums;
  };
  static constexpr uint64_t kNone = ~uint64_t{0};
  static constexpr int kEach = kChunk<T> / kAnchorThreads;

  template <class B>
  static TF_PAIRWISE_DEVICE TripletSums Row(B& block, const AnchorRow<T>& row,
                                            const FoundInRow& found,
                                            const SlopesOut<T>& out) {
    block.Each(
        [](int, Shared&, ThreadRegisters& r) { r.sums = TripletSums(); });
    Candidate<T> farthest;
    int64_t next = 0;
    for (int64_t left = found.positives; left > 0;) {
      const int count = GatherPositives(block, row, left, &next);
      left -= count;
      SortPositives<T>(block, count);
      FindNearest(block, row, count);
      const int runs = FindRuns(block, count);
      // Beyond the last run's positives is no negative.
      const bool beyond = block.Any([&](int thread, Shared& s, auto&) {
        return thread == 0 && (runs == 0 || s.last[runs - 1] < count - 1);
      });
      if (beyond && farthest.index < 0) farthest = FindFarthest(block, row);
      TakeTriplets(block, row, count, runs, farthest);
      if (row.gradient)
        PutSlopes(block, row, count, runs, beyond, farthest, out);
    }
    return block.Sum([](int, Shared&, ThreadRegisters& r) { return r.sums; });
  }

 private:
  // The rank that a negative belongs to, -1 where it is beyond none.
  static TF_PAIRWISE_DEVICE int RankOf(const Shared& s, int count, T negative) {
    return CountSorted(
               s.positives.distance, count,
               [&](T positive) { return IsBeyond(positive, negative); }) -
           1;
  }
  static TF_PAIRWISE_DEVICE int64_t NearestOf(const Shared& s, int rank) {
    return static_cast<int64_t>(kWide ? s.nearest_index[rank]
                                      : s.nearest[rank] & 0xffffffffu);
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void FindNearest(B& block, const AnchorRow<T>& row,
                                             int count) {
    block.Each([&](int thread, Shared& s, ThreadRegisters&) {
      for (int r = thread; r < count; r += kAnchorThreads) {
        s.nearest[r] = kNone;
        if constexpr (kWide) s.nearest_index[r] = kNone;
      }
    });
    block.Each([&](int thread, Shared& s, ThreadRegisters&) {
      EachColumn(thread, row.m, [&](int64_t j) {
        if (!row.Negative(j)) return;
        const int rank = RankOf(s, count, row.distances[j]);
        if (rank < 0) return;
        uint64_t key = OrderOf(row.distances[j]);
        if constexpr (!kWide) key = key << 32 | static_cast<uint64_t>(j);
        AtomicMin(&s.nearest[rank], key);
      });
    });
    if constexpr (kWide) {
      block.Each([&](int thread, Shared& s, ThreadRegisters&) {
        EachColumn(thread, row.m, [&](int64_t j) {
          if (!row.Negative(j)) return;
          const int rank = RankOf(s, count, row.distances[j]);
          if (rank < 0 || OrderOf(row.distances[j]) != s.nearest[rank]) return;
          AtomicMin(&s.nearest_index[rank], static_cast<uint64_t>(j));
        });
      });
    }
  }

  // Runs end at the ranks that have a negative. Returns their number.
  template <class B>
  static TF_PAIRWISE_DEVICE int FindRuns(B& block, int count) {
    return block.Scan(
        [&](int thread, Shared& s, ThreadRegisters&) {
          int ends = 0;
          for (int k = 0; k < kEach; ++k) {
            const int rank = thread * kEach + k;
            ends += rank < count && s.nearest[rank] != kNone;
          }
          return ends;
        },
        [&](int thread, Shared& s, ThreadRegisters&, int run) {
          for (int k = 0; k < kEach; ++k) {
            const int rank = thread * kEach + k;
            if (rank >= count) return;
            s.run[rank] = run;
            if (s.nearest[rank] != kNone) s.last[run++] = rank;
          }
        });
  }

  // The farthest negative within the type's range; where there is none, the
  // first.
  template <class B>
  static TF_PAIRWISE_DEVICE Candidate<T> FindFarthest(B& block,
                                                      const AnchorRow<T>& row) {
    const T infinity = static_cast<T>(PlusInfinity());
    const auto best = [&](bool within) {
      return BestOfRow<Farthest, T>(block, row.m, [&](int64_t j) {
        const bool is =
            row.Negative(j) && (row.distances[j] < infinity) == within;
        return is ? Candidate<T>{j, row.distances[j]} : Candidate<T>();
      });
    };
    const Candidate<T> within = best(true);
    return within.index >= 0 ? within : best(false);
  }

  // The losses, and the slopes by rank.
  template <class B>
  static TF_PAIRWISE_DEVICE void TakeTriplets(B& block, const AnchorRow<T>& row,
                                              int count, int runs,
                                              const Candidate<T>& farthest) {
    block.Each([&](int thread, Shared& s, ThreadRegisters& r) {
      for (int rank = thread; rank < count; rank += kAnchorThreads) {
        const int run = s.run[rank];
        const T positive = s.positives.distance[rank];
        const T negative = run < runs ? row.distances[NearestOf(s, s.last[run])]
                                      : farthest.distance;
        const TripletValue<double> value = row.TripletOf(
            static_cast<double>(positive), static_cast<double>(negative));
        r.sums.sum += value.loss;
        r.sums.counted += 1;
        r.sums.nonzero += value.loss > 0;
        // A negative beyond the type's range has no slope.
        s.slope[rank] = negative == static_cast<T>(PlusInfinity())
                            ? T(0)
                            : static_cast<T>(value.slope);
      }
    });
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void PutSlopes(B& block, const AnchorRow<T>& row,
                                           int count, int runs, bool beyond,
                                           const Candidate<T>& farthest,
                                           const SlopesOut<T>& out) {
    block.EachWarp([&](int warp, Shared& s, auto&) {
      for (int run = warp; run < runs; run += kAnchorThreads / kWarp) {
        const int begin = run == 0 ? 0 : s.last[run - 1] + 1;
        const double sum = OverLanes(
            [&](int lane) {
              double own = 0;
              for (int r = begin + lane; r <= s.last[run]; r += kWarp) {
                own += static_cast<double>(s.slope[r]);
              }
              return own;
            },
            PlusOf());
        EachLane([&](int lane) {
          if (lane == 0) s.taken[run] = static_cast<T>(-sum);
        });
      }
    });
    const double beyond_sum = beyond ? SumBeyond(block, count, runs) : 0;
    // The farthest may be the nearest of a run, too.
    const bool has_run =
        beyond && block.Any([&](int thread, Shared& s, ThreadRegisters&) {
          bool has = false;
          for (int run = thread; run < runs; run += kAnchorThreads) {
            if (NearestOf(s, s.last[run]) != farthest.index) continue;
            s.taken[run] -= static_cast<T>(beyond_sum);
            has = true;
          }
          return has;
        });
    // Before the row is cleared.
    block.Each([&](int thread, Shared& s, ThreadRegisters&) {
      for (int run = thread; run < runs; run += kAnchorThreads) {
        s.taken[run] =
            out.Of(row, row.distances[NearestOf(s, s.last[run])], s.taken[run]);
      }
    });
    if (out.slopes == nullptr) ClearRow(block, row);
    block.Each([&](int thread, Shared& s, ThreadRegisters&) {
      for (int run = thread; run < runs; run += kAnchorThreads) {
        out.Store(row, NearestOf(s, s.last[run]), s.taken[run]);
      }
      for (int r = thread; r < count; r += kAnchorThreads) {
        out.Put(row, s.positives.index[r], s.positives.distance[r], s.slope[r]);
      }
      if (thread == 0 && beyond && !has_run) {
        out.Put(row, farthest.index, farthest.distance,
                static_cast<T>(-beyond_sum));
      }
    });
  }

  // The slopes of the positives after all runs.
  template <class B>
  static TF_PAIRWISE_DEVICE double SumBeyond(B& block, int count, int runs) {
    return block.Sum([&](int thread, Shared& s, ThreadRegisters&) {
      double own = 0;
      const int begin = runs == 0 ? 0 : s.last[runs - 1] + 1;
      for (int r = begin + thread; r < count; r += kAnchorThreads) {
        own += static_cast<double>(s.slope[r]);
      }
      return own;
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_SEMI_HARD_GPU_INL_H_

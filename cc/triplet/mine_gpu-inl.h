#ifndef TF_PAIRWISE_TRIPLET_MINE_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_MINE_GPU_INL_H_

#include "core/numerics-inl.h"
#include "cuda/halves.h"
#include "triplet/positives_gpu-inl.h"

// The miner, a block to an anchor: a walk counts an anchor's triplets, and a
// second one writes them, in order. A miner is a struct
//
//   struct Miner {
//     TF_PAIRWISE_KERNEL_NAME(...);
//     // Of a row of so many positives and negatives, both above 0.
//     static int64_t Count(B& block, const LabelledRow<T>& row, T margin,
//                          int64_t positives, int64_t negatives);
//     // Writes what was counted.
//     static void Write(B& block, const LabelledRow<T>& row, T margin,
//                       const TripletsOut& out);
//   };

namespace tf_pairwise {

template <typename T>
struct MineArguments {
  LabelledStrip<T> strip;
  T margin;
  int64_t* begin;     // [n + 1]: counts at 1, and then where anchors begin
  int64_t* triplets;  // [begin[n], 3], where they are written
};

// Where an anchor's triplets go.
struct TripletsOut {
  int64_t anchor;
  int64_t* at;

  TF_PAIRWISE_DEVICE void Put(int64_t number, int64_t positive,
                              int64_t negative) const {
    int64_t* const triplet = at + 3 * number;
    triplet[0] = anchor;
    triplet[1] = positive;
    triplet[2] = negative;
  }
};

// A NaN is in no triplet.
template <typename T>
TF_PAIRWISE_DEVICE bool IsThere(const LabelledRow<T>& row, int64_t j) {
  return row.distances[j] == row.distances[j];
}
template <typename T>
TF_PAIRWISE_DEVICE Candidate<T> NegativeAt(const LabelledRow<T>& row,
                                           int64_t j) {
  return row.Negative(j) && IsThere(row, j) ? Candidate<T>{j, row.distances[j]}
                                            : Candidate<T>();
}

template <typename T>
struct MineHard {
  TF_PAIRWISE_KERNEL_NAME("hard");

  template <class B>
  static TF_PAIRWISE_DEVICE int64_t Count(B&, const LabelledRow<T>&, T, int64_t,
                                          int64_t) {
    return 1;
  }
  template <class B>
  static TF_PAIRWISE_DEVICE void Write(B& block, const LabelledRow<T>& row, T,
                                       const TripletsOut& out) {
    const Candidate<T> positive =
        BestOfRow<Farthest, T>(block, row.m, [&](int64_t j) {
          return row.Positive(j) && IsThere(row, j)
                     ? Candidate<T>{j, row.distances[j]}
                     : Candidate<T>();
        });
    const Candidate<T> negative = BestOfRow<Nearest, T>(
        block, row.m, [&](int64_t j) { return NegativeAt(row, j); });
    block.Each([&](int thread, auto&, auto&) {
      if (thread == 0) out.Put(0, positive.index, negative.index);
    });
  }
};

template <typename T>
struct MineSemiHard {
  TF_PAIRWISE_KERNEL_NAME("semi_hard");

  template <class B>
  static TF_PAIRWISE_DEVICE int64_t Count(B&, const LabelledRow<T>&, T,
                                          int64_t positives, int64_t) {
    return positives;
  }
  template <class B>
  static TF_PAIRWISE_DEVICE void Write(B& block, const LabelledRow<T>& row, T,
                                       const TripletsOut& out) {
    const Candidate<T> farthest = BestOfRow<Farthest, T>(
        block, row.m, [&](int64_t j) { return NegativeAt(row, j); });
    int64_t before = 0;
    for (int64_t next = 0; next < row.m;) {
      const int count = GatherPositives(block, row, row.m, &next);
      // A warp to a positive.
      block.EachWarp([&](int warp, auto& s, auto&) {
        for (int e = warp; e < count; e += kAnchorThreads / kWarp) {
          const T positive = s.positives.distance[e];
          const Candidate<T> nearest = OverLanes(
              [&](int lane) {
                Candidate<T> best;
                for (int64_t j = lane; j < row.m; j += kWarp) {
                  if (!IsBeyond(positive, row.distances[j])) continue;
                  best = BetterOf<Nearest>()(best, NegativeAt(row, j));
                }
                return best;
              },
              BetterOf<Nearest>());
          EachLane([&](int lane) {
            if (lane != 0) return;
            out.Put(before + e, s.positives.index[e],
                    nearest.index >= 0 ? nearest.index : farthest.index);
          });
        }
      });
      before += count;
    }
  }
};

template <typename T, class Rule>
struct MineEvery {
  TF_PAIRWISE_KERNEL_NAME(Rule::kEnds     ? "semi_hard_all"
                          : Rule::kBegins ? "hard_all"
                                          : "all");

  template <class B>
  static TF_PAIRWISE_DEVICE int64_t Count(B& block, const LabelledRow<T>& row,
                                          T margin, int64_t positives,
                                          int64_t negatives) {
    if constexpr (!Rule::kBegins && !Rule::kEnds) return positives * negatives;
    int64_t taken = 0;
    int64_t next = 0;
    for (int64_t left = positives; left > 0;) {
      const int count = GatherPositives(block, row, left, &next);
      left -= count;
      SortPositives<T>(block, count);
      taken += block.Sum([&](int thread, auto& s, auto&) {
        int64_t own = 0;
        EachColumn(thread, row.m, [&](int64_t j) {
          const T negative = row.distances[j];
          if (!row.Negative(j) || negative != negative) return;
          own += RangeOf<Rule>(s.positives.distance, count, negative,
                               ThresholdOf(negative, margin))
                     .taken;
        });
        return own;
      });
    }
    return taken;
  }

  // A positive after the other, and in it a tile of columns after the other.
  template <class B>
  static TF_PAIRWISE_DEVICE void Write(B& block, const LabelledRow<T>& row,
                                       T margin, const TripletsOut& out) {
    constexpr int kEach = 4;
    int64_t written = 0;
    for (int64_t next = 0; next < row.m;) {
      const int count = GatherPositives(block, row, row.m, &next);
      for (int e = 0; e < count; ++e) {
        for (int64_t tile = 0; tile < row.m; tile += kEach * kAnchorThreads) {
          const auto takes = [&](int64_t j, const auto& s) {
            if (j >= row.m || !row.Negative(j)) return false;
            const T negative = row.distances[j];
            return Takes(Rule(), s.positives.distance[e], negative,
                         ThresholdOf(negative, margin));
          };
          written += block.Scan(
              [&](int thread, auto& s, auto&) {
                int own = 0;
                for (int k = 0; k < kEach; ++k) {
                  own += takes(tile + thread * kEach + k, s);
                }
                return own;
              },
              [&](int thread, auto& s, auto&, int before) {
                int64_t number = written + before;
                for (int k = 0; k < kEach; ++k) {
                  const int64_t j = tile + thread * kEach + k;
                  if (takes(j, s)) out.Put(number++, s.positives.index[e], j);
                }
              });
        }
      }
    }
  }
};

// begin[i + 1] = the number of anchor i's triplets.
template <typename T, class Miner>
struct CountTripletsKernel {
  TF_PAIRWISE_KERNEL_NAME("count_triplets_" + Miner::Name() + "_" +
                          TypeName<T>());
  static constexpr int kThreads = kAnchorThreads;
  static constexpr int kBlocks = 4;
  using Arguments = MineArguments<T>;
  struct Shared {
    PositivesChunk<T> positives;
  };
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;
  struct Found {
    int64_t positives = 0, negatives = 0;
    TF_PAIRWISE_DEVICE Found operator+(const Found& other) const {
      return {positives + other.positives, negatives + other.negatives};
    }
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const LabelledRow<T> row(a.strip, block.x());
    const Found found = block.Sum([&](int thread, Shared&, ThreadRegisters&) {
      Found own;
      EachColumn(thread, row.m, [&](int64_t j) {
        if (row.Itself(j) || !IsThere(row, j)) return;
        const bool positive = row.Positive(j);
        own.positives += positive;
        own.negatives += !positive;
      });
      return own;
    });
    const int64_t count = found.positives == 0 || found.negatives == 0
                              ? 0
                              : Miner::Count(block, row, a.margin,
                                             found.positives, found.negatives);
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread == 0) a.begin[row.i + 1] = count;
    });
  }
};

template <typename T, class Miner>
struct WriteTripletsKernel {
  TF_PAIRWISE_KERNEL_NAME("write_triplets_" + Miner::Name() + "_" +
                          TypeName<T>());
  static constexpr int kThreads = kAnchorThreads;
  static constexpr int kBlocks = 4;
  using Arguments = MineArguments<T>;
  struct Shared {
    PositivesChunk<T> positives;
  };
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const LabelledRow<T> row(a.strip, block.x());
    const int64_t begin = a.begin[row.i];
    if (begin == a.begin[row.i + 1]) return;
    Miner::Write(block, row, a.margin,
                 TripletsOut{row.i, a.triplets + 3 * begin});
  }
};

// Counts at begin[1 ... n] become where anchors begin: one block.
struct BeginTripletsKernel {
  TF_PAIRWISE_KERNEL_NAME("begin_triplets");
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    int64_t n;
    int64_t* begin;
  };
  struct Shared {
    int64_t sums[kThreads];
  };
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    // A thread has a part of them.
    const int64_t part = (a.n + kThreads - 1) / kThreads;
    const auto each = [&](int thread, const auto& f) {
      for (int64_t i = thread * part; i < (thread + 1) * part && i < a.n; ++i) {
        f(a.begin[i + 1]);
      }
    };
    block.Each([&](int thread, Shared& s, ThreadRegisters&) {
      int64_t sum = 0;
      each(thread, [&](int64_t& count) { sum += count; });
      s.sums[thread] = sum;
    });
    block.Each([&](int thread, Shared& s, ThreadRegisters&) {
      int64_t sum = 0;
      for (int t = 0; t < thread; ++t) sum += s.sums[t];
      each(thread, [&](int64_t& count) { count = sum += count; });
      if (thread == 0) a.begin[0] = 0;
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_MINE_GPU_INL_H_

#ifndef TF_PAIRWISE_TRIPLET_HARD_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_HARD_GPU_INL_H_

#include "cuda/halves.h"
#include "triplet/anchor_row_gpu-inl.h"

// Hard mining: an anchor's farthest positive and nearest negative.

namespace tf_pairwise {

template <typename T>
struct HardPair {
  Candidate<T> positive, negative;
  int64_t nan = 0;  // there is a NaN distance
};

// The better of both; of a NaN's row the first of both.
template <typename T>
struct HarderOf {
  TF_PAIRWISE_DEVICE HardPair<T> operator()(const HardPair<T>& a,
                                            const HardPair<T>& b) const {
    return {BetterOf<Farthest>()(a.positive, b.positive),
            BetterOf<Nearest>()(a.negative, b.negative), a.nan | b.nan};
  }
};

template <typename T>
struct HardAnchorsKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("batch_triplet_hard_" + TypeName<T>());
  static constexpr int kThreads = kAnchorThreads;
  static constexpr int kBlocks = 4;
  using Arguments = AnchorArguments<T>;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const AnchorRow<T> row(a, block.x());
    Take(block, a, row, row.weight == 0 ? HardPair<T>() : Find(block, row));
  }

 private:
  template <class B>
  static TF_PAIRWISE_DEVICE HardPair<T> Find(B& block,
                                             const AnchorRow<T>& row) {
    HardPair<T> found = block.Reduce(
        [&](int thread, Shared&, ThreadRegisters&) {
          HardPair<T> own;
          EachColumn(thread, row.m, [&](int64_t j) {
            if (row.Itself(j)) return;
            const Candidate<T> here = {j, row.distances[j]};
            if (here.distance != here.distance) own.nan = 1;
            if (row.Positive(j)) {
              own.positive = BetterOf<Farthest>()(own.positive, here);
            } else {
              own.negative = BetterOf<Nearest>()(own.negative, here);
            }
          });
          return own;
        },
        HarderOf<T>());
    if (found.positive.index < 0 || found.negative.index < 0) {
      return HardPair<T>();
    }
    if (found.nan == 0) return found;
    // A NaN takes hold of the row; its gradient is at the first of both.
    const auto first = [&](bool positive) {
      Candidate<T> best = BestOfRow<Nearest, T>(block, row.m, [&](int64_t j) {
        const bool is = positive ? row.Positive(j) : row.Negative(j);
        return is ? Candidate<T>{j, T(0)} : Candidate<T>();
      });
      best.distance = static_cast<T>(NotANumber());
      return best;
    };
    return {first(true), first(false), 1};
  }

  // What the row's triplet comes to, and its two weights.
  template <class B>
  static TF_PAIRWISE_DEVICE void Take(B& block, const Arguments& a,
                                      const AnchorRow<T>& row,
                                      const HardPair<T>& hard) {
    LossSums sums;
    ClearRow(block, row);
    if (hard.positive.index >= 0) {
      const T positive = hard.positive.distance;
      const T negative = hard.negative.distance;
      const TripletValue<double> value = row.TripletOf(
          static_cast<double>(positive), static_cast<double>(negative));
      sums.Add(row.weight, value.loss);
      // A negative beyond the type's range has no slope.
      if (row.gradient && value.slope != 0 &&
          negative != static_cast<T>(PlusInfinity())) {
        const double slope = row.weight * value.slope;
        block.Each([&](int thread, Shared&, ThreadRegisters&) {
          if (thread != 0) return;
          row.distances[hard.positive.index] =
              row.PairWeight(static_cast<T>(slope), positive);
          row.distances[hard.negative.index] =
              row.PairWeight(static_cast<T>(-slope), negative);
        });
      }
    }
    StoreSums(block, a, row.i, sums);
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_HARD_GPU_INL_H_

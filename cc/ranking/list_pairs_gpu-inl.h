#ifndef TF_PAIRWISE_RANKING_LIST_PAIRS_GPU_INL_H_
#define TF_PAIRWISE_RANKING_LIST_PAIRS_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/halves.h"
#include "cuda/sums_gpu-inl.h"
#include "ranking/list_gpu-inl.h"
#include "ranking/pairs_gpu-inl.h"
#include "ranking/ranking_pair-inl.h"

// All pairs of lists. A pair is made twice, by the owner of either item, in
// each role by whom it adds to.

namespace tf_pairwise {

// Whether a pair's excess is in scores, and in double: the hinge without ranks,
// as where it is sorted (list_sweep.h). A count of pairs hangs on its last bit.
template <class Pair, class Lambda>
constexpr bool kExcessInScores = false;
template <class Lambda>
constexpr bool kExcessInScores<HingePair, Lambda> = !Lambda::kDiscounts;

// What a pair is computed in.
template <typename T, bool kInScores>
struct PairsIn {
  using Type = T;
};
template <typename T>
struct PairsIn<T, true> {
  using Type = double;
};

// An item as its pairs read it.
template <typename V, bool kGains>
struct alignas(16) PairItem {
  int64_t key;  // of relevance
  V score, weight, gain, discount;
};
template <typename V>
struct alignas(16) PairItem<V, false> {
  int64_t key;
  V score, weight;
};

#if !defined(__CUDACC__)
template <class Lambda>
std::string LambdaName() {
  return std::is_same_v<Lambda, NoLambda>          ? "none_"
         : std::is_same_v<Lambda, LabelDiffLambda> ? "label_diff_"
                                                   : "dcg_";
}
#endif

template <typename T, class Pair, class Lambda>
struct ListPairsKernel {
  TF_PAIRWISE_KERNEL_NAME("list_pairs_" + TermName<Pair>() +
                          LambdaName<Lambda>() + TypeName<T>());
  using V = typename PairsIn<T, kExcessInScores<Pair, Lambda>>::Type;
  static constexpr int kThreads = kListThreads;
  static constexpr int kBlocks = sizeof(V) == 4 ? 4 : 2;
  struct Arguments {
    GpuItems<T> items;
    V margin, inverse_temperature;  // of a pair's x
    double loss_scale, slope_scale;
    bool ideal;  // gains are over the list's ideal DCG
    GpuListOutput<T> output;
    LossSums* parts;  // [blocks]
  };
  using Item = PairItem<V, Lambda::kGains>;
  struct Shared {
    Item tile[kListTile];
    ItemSums sums[kThreads];
  };
  struct ThreadRegisters {
    Item own;
    ItemSums sums;
  };
  using WarpRegisters = NoRegisters;

  // `factor`: of gains.
  static TF_PAIRWISE_DEVICE Item Get(const Arguments& a, int64_t i,
                                     double factor) {
    const double relevance = a.items.relevance[i];
    Item item;
    item.key = RelevanceKey(relevance);
    item.score = a.items.scores[i];
    item.weight = a.items.Weight(i);
    if constexpr (Lambda::kDiscounts) {
      item.gain = static_cast<V>(a.items.gains[i] * factor);
      item.discount = a.items.discounts[i];
    } else if constexpr (Lambda::kGains) {
      item.gain = static_cast<V>(relevance);
      item.discount = 0;
    }
    return item;
  }

  // An item's sums over a slice of a tile.
  struct Slice {
    V loss = 0, slope = 0, pulled = 0;
    int pairs = 0, nonzero = 0;

    TF_PAIRWISE_DEVICE void Add(const Arguments& a, const Item& own,
                                const Item& other) {
      const bool preferred = own.key > other.key;
      const bool pulled_at = own.key < other.key;
      const V down = (other.score - own.score) * a.inverse_temperature;
      const V x = preferred ? down : -down;
      V value, by;
      Pair::Of(x, a.margin, value, by);
      if constexpr (Lambda::kGains) {
        const V lambda = preferred ? Lambda::Of(own.gain, other.gain,
                                                own.discount, other.discount)
                                   : Lambda::Of(other.gain, own.gain,
                                                other.discount, own.discount);
        value = Weighted(lambda, value);
        by = lambda * by;
      }
      loss += ZeroIf(!preferred, value);
      slope += ZeroIf(!preferred, by);
      pulled += ZeroIf(!pulled_at, other.weight * by);
      pairs += preferred;
      nonzero += preferred && Flushed(value) > Zero(value);
    }
  };

  // 1 over the list's ideal DCG, for the gains of kNdcg.
  template <class B>
  static TF_PAIRWISE_DEVICE double FactorOf(B& block, const Arguments& a,
                                            const ListRows& rows) {
    if (!a.ideal) return 1;
    const double* parts = a.items.ideal + a.items.lists.FirstBlock(rows.list);
    const int64_t count = Blocks(rows.count, kListRows);
    return InverseOrZero(block.Sum([&](int thread, Shared&, ThreadRegisters&) {
      double sum = 0;
      for (int64_t b = thread; b < count; b += kThreads) sum += parts[b];
      return sum;
    }));
  }

  // Own item i: its slices together.
  static TF_PAIRWISE_DEVICE LossSums Finish(const Arguments& a,
                                            const ListRows& rows, int64_t i,
                                            const ItemSums* slices) {
    ItemSums item = {0, 0, 0, 0, 0};
    for (int slice = 0; slice < kListSlices; ++slice) {
      const ItemSums& part = slices[slice * kListRows];
      item.pairs += part.pairs;
      item.nonzero += part.nonzero;
      item.loss += part.loss;
      item.slope += part.slope;
      item.pulled += part.pulled;
    }
    item.loss *= a.loss_scale;
    return StoreItem(a.items, rows, i, item, a.slope_scale, a.output);
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const ListRows rows = RowsOfBlock(a.items, block.x());
    LossSums sums;
    if (!rows.IsIdle()) sums = OfRows(block, a, rows);
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread == 0) a.parts[block.x()] = sums;
    });
  }

  template <class B>
  static TF_PAIRWISE_DEVICE LossSums OfRows(B& block, const Arguments& a,
                                            const ListRows& rows) {
    const double factor = FactorOf(block, a, rows);
    block.Each([&](int thread, Shared&, ThreadRegisters& own) {
      const int64_t i = rows.first + RowOfThread(thread);
      own.sums = {0, 0, 0, 0, 0};
      if (i < rows.count) own.own = Get(a, rows.begin + i, factor);
    });
    for (int64_t from = 0; from < rows.count; from += kListTile) {
      const int size = static_cast<int>(Least(rows.count - from, kListTile));
      block.Each([&](int thread, Shared& shared, ThreadRegisters&) {
        if (thread >= size) return;
        shared.tile[thread] = Get(a, rows.begin + from + thread, factor);
      });
      block.Each([&](int thread, Shared& shared, ThreadRegisters& own) {
        if (rows.first + RowOfThread(thread) >= rows.count) return;
        Slice slice;
        for (int j = SliceOfThread(thread); j < size; j += kListSlices) {
          slice.Add(a, own.own, shared.tile[j]);
        }
        own.sums.pairs += slice.pairs;
        own.sums.nonzero += slice.nonzero;
        own.sums.loss += static_cast<double>(slice.loss);
        own.sums.slope += static_cast<double>(slice.slope);
        own.sums.pulled += static_cast<double>(slice.pulled);
      });
    }
    block.Each([](int thread, Shared& shared, ThreadRegisters& own) {
      shared.sums[thread] = own.sums;
    });
    return block.Reduce(
        [&](int thread, Shared& shared, ThreadRegisters&) {
          const int64_t i = rows.first + thread;
          if (thread >= kListRows || i >= rows.count) return LossSums();
          return Finish(a, rows, rows.begin + i, shared.sums + thread);
        },
        PlusSums());
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_PAIRS_GPU_INL_H_

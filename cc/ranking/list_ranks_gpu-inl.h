#ifndef TF_PAIRWISE_RANKING_LIST_RANKS_GPU_INL_H_
#define TF_PAIRWISE_RANKING_LIST_RANKS_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/halves.h"
#include "ranking/list_gpu-inl.h"
#include "ranking/ranking_pair-inl.h"

namespace tf_pairwise {

// The gains and discounts of the lambda weights, and what each block's items
// add to the ideal DCG. A rank is counted: one more than the items before it.
template <typename T>
struct ListRanksKernel {
  TF_PAIRWISE_KERNEL_NAME("list_ranks_" + TypeName<T>());
  static constexpr int kThreads = kListThreads;
  static constexpr int kBlocks = 4;
  struct Arguments {
    GpuItems<T> items;
    double topn;
    bool ideal;  // gains are relative to the greatest
  };
  struct Item {
    int64_t key;  // of relevance
    T score;
  };
  struct Ranks {
    int32_t by_score, by_relevance;  // items before this one
  };
  struct Shared {
    Item tile[kListTile];
    Ranks ranks[kThreads];
  };
  struct ThreadRegisters {
    Item own;
    Ranks ranks;
  };
  using WarpRegisters = NoRegisters;

  static TF_PAIRWISE_DEVICE Item Get(const Arguments& a, int64_t i) {
    return {RelevanceKey(a.items.relevance[i]), a.items.scores[i]};
  }

  // Writes an item's gain and discount; returns its part of the ideal DCG.
  static TF_PAIRWISE_DEVICE double Place(const Arguments& a, int64_t i,
                                         const Ranks& ranks, double greatest) {
    constexpr double kMost =
        sizeof(T) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308;
    double gain = RelativeGain(a.items.relevance[i], a.ideal ? greatest : 0);
    gain = gain < kMost ? gain : kMost;
    a.items.gains[i] = gain;
    a.items.discounts[i] =
        static_cast<T>(RankDiscount(ranks.by_score + 1.0, a.topn));
    return a.ideal ? gain * RankDiscount(ranks.by_relevance + 1.0, a.topn) : 0;
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const ListRows rows = RowsOfBlock(a.items, block.x());
    if (rows.IsIdle()) return;
    block.Each([&](int thread, Shared&, ThreadRegisters& own) {
      const int64_t i = rows.first + RowOfThread(thread);
      own.ranks = {0, 0};
      if (i < rows.count) own.own = Get(a, rows.begin + i);
    });
    for (int64_t from = 0; from < rows.count; from += kListTile) {
      const int size = static_cast<int>(Least(rows.count - from, kListTile));
      block.Each([&](int thread, Shared& shared, ThreadRegisters&) {
        if (thread >= size) return;
        shared.tile[thread] = Get(a, rows.begin + from + thread);
      });
      block.Each([&](int thread, Shared& shared, ThreadRegisters& own) {
        const int64_t i = rows.first + RowOfThread(thread);
        if (i >= rows.count) return;
        // Of equals, those before the item are before it in rank.
        const int64_t before = i - from;
        for (int j = SliceOfThread(thread); j < size; j += kListSlices) {
          const Item other = shared.tile[j];
          const bool first = j < before;
          own.ranks.by_score += other.score > own.own.score ||
                                (other.score == own.own.score && first);
          own.ranks.by_relevance +=
              other.key > own.own.key || (other.key == own.own.key && first);
        }
      });
    }
    block.Each([](int thread, Shared& shared, ThreadRegisters& own) {
      shared.ranks[thread] = own.ranks;
    });
    const double greatest = a.items.heads[rows.list].greatest;
    const double ideal =
        block.Sum([&](int thread, Shared& shared, ThreadRegisters&) {
          const int64_t i = rows.first + thread;
          if (thread >= kListRows || i >= rows.count) return 0.0;
          Ranks ranks = {0, 0};
          for (int slice = 0; slice < kListSlices; ++slice) {
            const Ranks& part = shared.ranks[slice * kListRows + thread];
            ranks.by_score += part.by_score;
            ranks.by_relevance += part.by_relevance;
          }
          return Place(a, rows.begin + i, ranks, greatest);
        });
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread == 0 && a.ideal) a.items.ideal[block.x()] = ideal;
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_RANKS_GPU_INL_H_

#ifndef TF_PAIRWISE_RANKING_LIST_MSE_GPU_INL_H_
#define TF_PAIRWISE_RANKING_LIST_MSE_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/halves.h"
#include "cuda/sums_gpu-inl.h"
#include "ranking/list_gpu-inl.h"
#include "ranking/ranking_pair-inl.h"

// list_mse.h's twin: the squared differences of the errors over all pairs, from
// the errors' moments.

namespace tf_pairwise {

// The error of an item, s - y.
template <typename T>
TF_PAIRWISE_DEVICE double ErrorOf(const GpuItems<T>& items, int64_t i) {
  return static_cast<double>(items.scores[i]) - items.relevance[i];
}

// For the count of the losses that are not zero: items.unequal.
template <typename T>
struct ListUnequalKernel {
  TF_PAIRWISE_KERNEL_NAME("list_unequal_" + TypeName<T>());
  static constexpr int kThreads = kListThreads;
  static constexpr int kBlocks = 4;
  struct Arguments {
    GpuItems<T> items;
  };
  struct Shared {
    double tile[kListTile];
    int32_t unequal[kThreads];
  };
  struct ThreadRegisters {
    double error;
    int32_t unequal;
  };
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const ListRows rows = RowsOfBlock(a.items, block.x());
    if (rows.IsIdle()) return;
    block.Each([&](int thread, Shared&, ThreadRegisters& own) {
      const int64_t i = rows.first + RowOfThread(thread);
      own.unequal = 0;
      own.error = i < rows.count ? ErrorOf(a.items, rows.begin + i) : 0;
    });
    for (int64_t from = 0; from < rows.count; from += kListTile) {
      const int size = static_cast<int>(Least(rows.count - from, kListTile));
      block.Each([&](int thread, Shared& shared, ThreadRegisters&) {
        if (thread >= size) return;
        shared.tile[thread] = ErrorOf(a.items, rows.begin + from + thread);
      });
      block.Each([&](int thread, Shared& shared, ThreadRegisters& own) {
        for (int j = SliceOfThread(thread); j < size; j += kListSlices) {
          own.unequal += shared.tile[j] != own.error;
        }
      });
    }
    block.Each([](int thread, Shared& shared, ThreadRegisters& own) {
      shared.unequal[thread] = own.unequal;
    });
    block.Each([&](int thread, Shared& shared, ThreadRegisters&) {
      const int64_t i = rows.first + thread;
      if (thread >= kListRows || i >= rows.count) return;
      int32_t unequal = 0;
      for (int slice = 0; slice < kListSlices; ++slice) {
        unequal += shared.unequal[slice * kListRows + thread];
      }
      a.items.unequal[rows.begin + i] = unequal;
    });
  }
};

// A block goes over a list three times: for the errors' mean, for their other
// moments, and for each item.
template <typename T>
struct ListSquaresKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("list_squares_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  struct Arguments {
    GpuItems<T> items;  // unequal: null where it is not wanted
    GpuListOutput<T> output;
    LossSums* sums;  // [lists]
  };

  // Of errors about their mean.
  struct Moments {
    double first, second, weights, weighted;

    TF_PAIRWISE_DEVICE Moments operator+(const Moments& other) const {
      return {first + other.first, second + other.second,
              weights + other.weights, weighted + other.weighted};
    }
  };

  // op over function(i) of the list's items.
  template <class B, typename V, class F>
  static TF_PAIRWISE_DEVICE V SumOfItems(B& block, int64_t begin, int64_t count,
                                         const V& zero, const F& function) {
    return block.Sum([&](int thread, Shared&, ThreadRegisters&) {
      V sum = zero;
      for (int64_t i = begin + thread; i < begin + count; i += kThreads) {
        sum = sum + function(i);
      }
      return sum;
    });
  }

  template <class B>
  static TF_PAIRWISE_DEVICE LossSums OfList(B& block, const Arguments& a,
                                            int64_t list) {
    const ListHead head = a.items.heads[list];
    const int64_t begin = a.items.lists.Begin(list);
    const double n = static_cast<double>(head.count);
    const double centre =
        SumOfItems(block, begin, head.count, 0.0,
                   [&](int64_t i) { return ErrorOf(a.items, i) / n; });
    const Moments all = SumOfItems(
        block, begin, head.count, Moments{0, 0, 0, 0}, [&](int64_t i) {
          const double error = ErrorOf(a.items, i) - centre;
          const double weight = static_cast<double>(a.items.Weight(i));
          return Moments{error, error * error, weight, weight * error};
        });
    const ListRows rows = {list, begin, 0, head.count, head.state};
    return block.Reduce(
        [&](int thread, Shared&, ThreadRegisters&) {
          LossSums sums;
          for (int64_t i = begin + thread; i < begin + head.count;
               i += kThreads) {
            const double error = ErrorOf(a.items, i) - centre;
            ItemSums item;
            item.pairs = n - 1;
            item.nonzero = a.items.unequal == nullptr ? 0 : a.items.unequal[i];
            SquaresOfItem(error, n, all.first, all.second, item.loss,
                          item.slope);
            item.pulled = SquaresPull(error, all.weights, all.weighted);
            sums.Add(StoreItem(a.items, rows, i, item, 1.0, a.output));
          }
          return sums;
        },
        PlusSums());
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    LossSums sums;
    if (a.items.heads[block.x()].state != ListState::kNoPair) {
      sums = OfList(block, a, block.x());
    }
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread == 0) a.sums[block.x()] = sums;
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_MSE_GPU_INL_H_

#ifndef TF_PAIRWISE_RANKING_LIST_GATHER_GPU_INL_H_
#define TF_PAIRWISE_RANKING_LIST_GATHER_GPU_INL_H_

#include "core/numerics-inl.h"
#include "cuda/block.h"
#include "cuda/halves.h"
#include "ranking/list_gpu-inl.h"

namespace tf_pairwise {

struct LeastOf {
  TF_PAIRWISE_DEVICE double operator()(double a, double b) const {
    return b < a ? b : a;
  }
};
struct GreatestOf {
  TF_PAIRWISE_DEVICE double operator()(double a, double b) const {
    return b > a ? b : a;
  }
};

// The first step: a block takes a list's existing items together, says what
// kind of list it is, and which blocks are the list's. Where there is no pair,
// losses and gradients stay the zeros that it leaves.
template <typename S>
struct ListGatherKernel {
  TF_PAIRWISE_KERNEL_NAME("list_gather_" + TypeName<S>());
  using T = Computed<S>;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  struct Arguments {
    const S* scores;
    const double* relevance;
    const bool* mask;  // null for all
    const T* weights;  // null for ones
    bool ordered;      // pairs are of different relevance
    GpuItems<T> items;
    GpuListOutput<T> output;
  };
  struct Shared {};
  struct ThreadRegisters {
    double least, greatest;  // relevance
    T check;                 // NaN where a score is not finite
  };
  using WarpRegisters = NoRegisters;

  // Whether the item exists (list_items.h).
  static TF_PAIRWISE_DEVICE bool Exists(const Arguments& a, int64_t k) {
    if (!(a.relevance[k] >= 0)) return false;
    if (a.mask != nullptr && !a.mask[k]) return false;
    if (a.weights == nullptr || a.weights[k] != 0) return true;
    const T score = Load(a.scores + k);
    return score - score == 0;
  }

  static TF_PAIRWISE_DEVICE void Take(const Arguments& a, int64_t k,
                                      int32_t offset, int64_t to,
                                      ThreadRegisters& own) {
    const T score = Load(a.scores + k);
    const double relevance = a.relevance[k] + 0.0;  // of -0, 0
    own.check += score - score;
    own.least = LeastOf()(own.least, relevance);
    own.greatest = GreatestOf()(own.greatest, relevance);
    a.items.scores[to] = score;
    a.items.relevance[to] = relevance;
    a.items.offsets[to] = offset;
    if (a.weights != nullptr) a.items.weights[to] = a.weights[k];
  }

  // Whether a pair of the list has a weight.
  template <class B>
  static TF_PAIRWISE_DEVICE bool HasWeight(B& block, const Arguments& a,
                                           int64_t begin, int64_t count,
                                           double least) {
    return block.Any([&](int thread, Shared&, ThreadRegisters&) {
      for (int64_t i = begin + thread; i < begin + count; i += kThreads) {
        const T weight = a.items.Weight(i);
        const bool paired = !a.ordered || a.items.relevance[i] > least;
        // Of no pairs, one that is not finite counts nevertheless.
        if (weight * T(paired) != 0) return true;
      }
      return false;
    });
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const int64_t list = block.x();
    const int64_t begin = a.items.lists.Begin(list);
    const int64_t size = a.items.lists.Size(list);
    block.Each([&](int thread, Shared&, ThreadRegisters& own) {
      own = {PlusInfinity(), -1, 0};
      for (int64_t b = a.items.lists.FirstBlock(list) + thread;
           b < a.items.lists.FirstBlock(list + 1); b += kThreads) {
        a.items.list_of[b] = static_cast<int32_t>(list);
      }
      for (int64_t k = begin + thread; k < begin + size; k += kThreads) {
        if (a.output.losses != nullptr) a.output.losses[k] = 0;
        if (a.output.gradient != nullptr) a.output.gradient[k] = 0;
      }
    });
    int64_t count = 0;
    for (int64_t from = 0; from < size; from += kThreads) {
      count += block.Scan(
          [&](int thread, Shared&, ThreadRegisters&) {
            const int64_t k = from + thread;
            return k < size && Exists(a, begin + k) ? 1 : 0;
          },
          [&](int thread, Shared&, ThreadRegisters& own, int before) {
            const int64_t k = from + thread;
            if (k >= size || !Exists(a, begin + k)) return;
            Take(a, begin + k, static_cast<int32_t>(k), begin + count + before,
                 own);
          });
    }
    const double least = block.Reduce(
        [](int, Shared&, ThreadRegisters& own) { return own.least; },
        LeastOf());
    const double greatest = block.Reduce(
        [](int, Shared&, ThreadRegisters& own) { return own.greatest; },
        GreatestOf());
    const bool finite = !block.Any(
        [](int, Shared&, ThreadRegisters& own) { return own.check != 0; });
    ListState state = ListState::kFinite;
    if (count < 2 || (a.ordered && !(greatest > least))) {
      state = ListState::kNoPair;
    } else if (!finite) {
      state = HasWeight(block, a, begin, count, least) ? ListState::kNotFinite
                                                       : ListState::kNoPair;
    }
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      if (thread == 0) a.items.heads[list] = {count, greatest, state};
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_LIST_GATHER_GPU_INL_H_

#ifndef TF_PAIRWISE_TRIPLET_POSITIVES_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_POSITIVES_GPU_INL_H_

#include "core/numerics-inl.h"
#include "cuda/block.h"
#include "triplet/anchor_row_gpu-inl.h"

// An anchor's positives in shared memory, a chunk at a time, and in the order
// of their distances: triplets of different chunks have nothing in common.

namespace tf_pairwise {

// Positives of a chunk: a power of two, and a multiple of the threads.
template <typename T>
constexpr int kChunk = sizeof(T) == 8 ? 512 : 1024;

// A kernel that uses these has one as `positives` in its shared memory.
template <typename T>
struct PositivesChunk {
  T distance[kChunk<T>];
  int32_t index[kChunk<T>];
};

// The next positives in the order of their index, NaN left out, from the
// columns at *next on: as many tiles of columns as have room, and no more than
// `wanted`. Returns their number, and moves *next on.
template <class B, typename T>
TF_PAIRWISE_DEVICE int GatherPositives(B& block, const LabelledRow<T>& row,
                                       int64_t wanted, int64_t* next) {
  constexpr int kEach = kChunk<T> / kAnchorThreads;
  const auto is = [&](int64_t j) {
    return j < row.m && row.Positive(j) && row.distances[j] == row.distances[j];
  };
  int filled = 0;
  while (*next < row.m && filled < wanted) {
    const int64_t tile = *next;
    const int found = block.Scan(
        [&](int thread, auto&, auto&) {
          int count = 0;
          for (int k = 0; k < kEach; ++k) {
            count += is(tile + thread * kEach + k);
          }
          return count;
        },
        [&](int thread, auto& s, auto&, int before) {
          int at = filled + before;
          for (int k = 0; k < kEach; ++k) {
            const int64_t j = tile + thread * kEach + k;
            if (!is(j)) continue;
            if (at < kChunk<T>) {
              s.positives.distance[at] = row.distances[j];
              s.positives.index[at] = static_cast<int32_t>(j);
            }
            ++at;
          }
        });
    // One that does not fit is the next chunk's, whole.
    if (filled + found > kChunk<T>) break;
    filled += found;
    *next += kChunk<T>;
  }
  return filled;
}

// Sorts a chunk's first `count` by distance and index. Bitonic, so that it is
// the same few lines whatever the threads' order.
template <typename T, class B>
TF_PAIRWISE_DEVICE void SortPositives(B& block, int count) {
  int padded = 1;
  while (padded < count) padded *= 2;
  block.Each([&](int thread, auto& s, auto&) {
    for (int k = count + thread; k < padded; k += kAnchorThreads) {
      s.positives.distance[k] = static_cast<T>(PlusInfinity());
      s.positives.index[k] = 0x7fffffff;
    }
  });
  for (int size = 2; size <= padded; size *= 2) {
    for (int apart = size / 2; apart > 0; apart /= 2) {
      block.Each([&](int thread, auto& s, auto&) {
        T* const distance = s.positives.distance;
        int32_t* const index = s.positives.index;
        for (int u = thread; u < padded / 2; u += kAnchorThreads) {
          const int k = 2 * u - (u & (apart - 1)), q = k + apart;
          const bool more = distance[k] > distance[q] ||
                            (distance[k] == distance[q] && index[k] > index[q]);
          if (more != ((k & size) == 0)) continue;
          const T d = distance[k];
          distance[k] = distance[q];
          distance[q] = d;
          const int32_t j = index[k];
          index[k] = index[q];
          index[q] = j;
        }
      });
    }
  }
}

// How many of sorted[0, count) have a property that is true up to some rank and
// for none from there on.
template <typename T, class Has>
TF_PAIRWISE_DEVICE int CountSorted(const T* sorted, int count, const Has& has) {
  int low = 0, high = count;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (has(sorted[middle])) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The ranks of the positives that a negative is in a triplet with a loss with,
// [low, high), and how many triplets a mining takes of it.
struct RankRange {
  int low, high, taken;
};
template <class Rule, typename T>
TF_PAIRWISE_DEVICE RankRange RangeOf(const T* sorted, int count, T negative,
                                     T threshold) {
  RankRange range;
  range.low =
      CountSorted(sorted, count, [&](T p) { return !HasLoss(p, threshold); });
  range.high = range.taken = count;
  if constexpr (Rule::kEnds) {
    range.high = range.taken = CountSorted(sorted, count, [&](T p) {
      return Rule::Within(p, negative, threshold);
    });
  }
  if constexpr (Rule::kBegins) {
    const int begin = CountSorted(sorted, count, [&](T p) {
      return !Rule::Reached(p, negative, threshold);
    });
    range.taken = range.high > begin ? range.high - begin : 0;
    if (range.low < begin) range.low = begin;
  }
  if (range.high < range.low) range.high = range.low;
  return range;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_POSITIVES_GPU_INL_H_

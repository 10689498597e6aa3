#ifndef TF_PAIRWISE_CORE_SORT_H_
#define TF_PAIRWISE_CORE_SORT_H_

#include <cstdint>

namespace tf_pairwise {

// Stable merge sort of items[0, n) with caller's buffer of the same size: short
// runs by insertion, then branch-free merges. Returns with the result in items.
// (Not std::sort: its instances could be shared with objects compiled for
// another instruction set.)
template <typename Item, typename Less>
inline __attribute__((always_inline)) void MergeSort(Item* items, Item* buffer,
                                                     int64_t n,
                                                     const Less& less) {
  constexpr int64_t kRun = 8;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = begin + kRun < n ? begin + kRun : n;
    for (int64_t i = begin + 1; i < end; ++i) {
      const Item item = items[i];
      int64_t j = i;
      for (; j > begin && less(item, items[j - 1]); --j)
        items[j] = items[j - 1];
      items[j] = item;
    }
  }
  Item* from = items;
  Item* to = buffer;
  for (int64_t width = kRun; width < n; width *= 2) {
    for (int64_t begin = 0; begin < n; begin += 2 * width) {
      const int64_t middle = begin + width < n ? begin + width : n;
      const int64_t end = begin + 2 * width < n ? begin + 2 * width : n;
      int64_t left = begin, right = middle, out = begin;
      while (left < middle && right < end) {
        const bool take_right = less(from[right], from[left]);
        to[out++] = from[take_right ? right : left];
        right += take_right;
        left += !take_right;
      }
      while (left < middle) to[out++] = from[left++];
      while (right < end) to[out++] = from[right++];
    }
    Item* swap = from;
    from = to;
    to = swap;
  }
  if (from != items) {
    for (int64_t i = 0; i < n; ++i) items[i] = from[i];
  }
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_SORT_H_

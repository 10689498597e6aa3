#ifndef TF_PAIRWISE_CORE_RADIX_H_
#define TF_PAIRWISE_CORE_RADIX_H_

#include "core/host_device.h"
#include "core/integers.h"

namespace tf_pairwise {

// A number as an unsigned one of the same order; both zeros are one number.
inline uint32_t OrderOf(float value) {
  const float zero_has_no_sign = value + 0.0f;
  uint32_t bits;
  TF_PAIRWISE_MEMCPY(&bits, &zero_has_no_sign, sizeof(bits));
  return bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFu : 0x80000000u);
}
inline uint64_t OrderOf(double value) {
  const double zero_has_no_sign = value + 0.0;
  uint64_t bits;
  TF_PAIRWISE_MEMCPY(&bits, &zero_has_no_sign, sizeof(bits));
  return bits ^ ((bits >> 63) != 0 ? ~uint64_t{0} : uint64_t{1} << 63);
}

// Stable sort of items[0, count) by `key(item)`, an unsigned number, a byte at
// a time from the lowest; bytes that all share are passed over. `buffer` is of
// the same size. Returns where the result is: items or buffer. count < 2^31.
template <typename Item, typename KeyOf>
inline __attribute__((always_inline)) Item* RadixSort(Item* items, Item* buffer,
                                                      int64_t count,
                                                      const KeyOf& key) {
  if (count < 2) return items;
  constexpr int kBytes = sizeof(key(*items));
  int32_t begin[kBytes][256] = {};
  for (int64_t e = 0; e < count; ++e) {
    const auto bits = key(items[e]);
    for (int b = 0; b < kBytes; ++b) ++begin[b][(bits >> (8 * b)) & 255];
  }
  for (int b = 0; b < kBytes; ++b) {
    if (begin[b][(key(items[0]) >> (8 * b)) & 255] == count) continue;
    int32_t sum = 0;
    for (int value = 0; value < 256; ++value) {
      const int32_t some = begin[b][value];
      begin[b][value] = sum;
      sum += some;
    }
    for (int64_t e = 0; e < count; ++e) {
      buffer[begin[b][(key(items[e]) >> (8 * b)) & 255]++] = items[e];
    }
    Item* swap = items;
    items = buffer;
    buffer = swap;
  }
  return items;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_RADIX_H_

// The sorts against insertion: stable, every size around a run, ties, zeros of
// both signs, infinities.

#include "core/sort.h"

#include <cstdint>
#include <cstdio>
#include <vector>

#include "core/radix.h"

namespace tf_pairwise {
namespace {

template <typename T>
struct Item {
  T key;
  int32_t place;
};

template <typename T>
int CheckSorts(int64_t n, uint32_t seed) {
  std::vector<Item<T>> items(n), buffer(n), expected;
  for (int64_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const int value = static_cast<int>(seed >> 24) % 17 - 8;
    T key = static_cast<T>(value) / 4;
    if (value == 0 && (seed & 256) != 0) key = -key;
    if (value == 8) key = static_cast<T>(__builtin_inf());
    if (value == -8) key = static_cast<T>(-__builtin_inf());
    items[i] = {key, static_cast<int32_t>(i)};
    auto at = expected.end();
    while (at != expected.begin() && key < (at - 1)->key) --at;
    expected.insert(at, items[i]);
  }
  const auto wrong = [&](const Item<T>* sorted) {
    for (int64_t i = 0; i < n; ++i) {
      if (sorted[i].place != expected[i].place) return true;
    }
    return false;
  };
  std::vector<Item<T>> copy = items;
  MergeSort(copy.data(), buffer.data(), n,
            [](const Item<T>& a, const Item<T>& b) { return a.key < b.key; });
  if (wrong(copy.data())) return 1;
  copy = items;
  return wrong(
      RadixSort(copy.data(), buffer.data(), n,
                [](const Item<T>& item) { return OrderOf(item.key); }));
}

int Run() {
  for (int64_t n : {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 300}) {
    for (uint32_t seed = 1; seed < 9; ++seed) {
      if (CheckSorts<float>(n, seed) || CheckSorts<double>(n, seed)) {
        std::printf("%d items, seed %u\n", static_cast<int>(n), seed);
        return 1;
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace tf_pairwise

int main() { return tf_pairwise::Run(); }

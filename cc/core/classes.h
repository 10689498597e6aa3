#ifndef TF_PAIRWISE_CORE_CLASSES_H_
#define TF_PAIRWISE_CORE_CLASSES_H_

#include <cstdint>
#include <type_traits>

#include "core/scratch.h"
#include "core/sort.h"

namespace tf_pairwise {

// The signed integer as wide as a compute type.
template <typename T>
using LaneOf = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// The labels of a batch as dense class numbers and lists of members. Lane is
// the signed integer as wide as the compute type, so that a vector of classes
// lines up with a vector of distances.
template <typename Lane>
struct Classes {
  static constexpr Lane kNone = -1;

  Lane* of_anchor = nullptr;   // [n]; kNone where no reference has the label
  Lane* of_ref = nullptr;      // [m]
  int32_t* begin = nullptr;    // [classes + 1], into members
  int32_t* members = nullptr;  // [m], references by class, then by index
  int64_t count = 0;           // of classes
  int64_t largest = 0;         // members of the largest class

  struct Item {
    int64_t label;
    int32_t index;
  };
  Item* items = nullptr;
  Item* buffer = nullptr;

  // `self`: anchors are the references.
  void LayOut(Scratch& scratch, int64_t n, int64_t m, bool self) {
    of_ref = scratch.Take<Lane>(m);
    of_anchor = self ? of_ref : scratch.Take<Lane>(n);
    begin = scratch.Take<int32_t>(m + 1);
    members = scratch.Take<int32_t>(m);
    items = scratch.Take<Item>(m);
    buffer = scratch.Take<Item>(m);
  }

  // O(m log m + n log m).
  void Build(const int64_t* labels, int64_t n, const int64_t* ref_labels,
             int64_t m, bool self) {
    const int64_t* refs = self ? labels : ref_labels;
    for (int64_t j = 0; j < m; ++j) {
      items[j] = {refs[j], static_cast<int32_t>(j)};
    }
    MergeSort(items, buffer, m,
              [](const Item& a, const Item& b) { return a.label < b.label; });
    count = 0;
    largest = 0;
    for (int64_t j = 0; j < m; ++j) {
      if (j == 0 || items[j].label != items[j - 1].label) {
        begin[count++] = static_cast<int32_t>(j);
      }
      of_ref[items[j].index] = static_cast<Lane>(count - 1);
      members[j] = items[j].index;
    }
    begin[count] = static_cast<int32_t>(m);
    for (int64_t c = 0; c < count; ++c) {
      const int64_t size = begin[c + 1] - begin[c];
      largest = size > largest ? size : largest;
    }
    if (self) return;
    for (int64_t i = 0; i < n; ++i) {
      int64_t low = 0, high = count;
      while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (items[begin[middle]].label < labels[i]) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      const bool found = low < count && items[begin[low]].label == labels[i];
      of_anchor[i] = found ? static_cast<Lane>(low) : kNone;
    }
  }

  // The references of anchor i's label, the anchor itself among them where it
  // is one.
  const int32_t* MembersOf(int64_t i, int64_t* size) const {
    const Lane own = of_anchor[i];
    *size = own == kNone ? 0 : begin[own + 1] - begin[own];
    return own == kNone ? nullptr : members + begin[own];
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_CLASSES_H_

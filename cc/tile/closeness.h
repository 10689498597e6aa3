#ifndef TF_PAIRWISE_TILE_CLOSENESS_H_
#define TF_PAIRWISE_TILE_CLOSENESS_H_

// When a pair's raw value has to be made again from the points. For host and
// device.

namespace tf_pairwise {

// What a raw value has to exceed, as a part of its pair's terms, for the
// product form to keep float's promised 1e-5 (and double's 1e-10): the form's
// rounding error is about two units in the last place of the terms, and three
// and a half times its deviation is allowed for. One for all metrics, so that a
// euclidean distance is the root of the squared one to the bit.
template <typename T>
constexpr T ClosenessPart() {
  return sizeof(T) == 8 ? T(1e-5) : T(0.08);
}

// What it has to exceed besides, so that its last digits are there.
template <typename T>
constexpr T LeastRaw() {
  return sizeof(T) == 8 ? T(1e-280) : T(1e-28);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_CLOSENESS_H_

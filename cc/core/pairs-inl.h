// Which pairs of a labelled batch count, at an index and as a mask. Classes
// (core/classes.h) are integers as wide as the compute type, so that a vector
// of classes lines up with a vector of distances.

#if defined(TF_PAIRWISE_CORE_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TF_PAIRWISE_CORE_PAIRS_INL_H_
#undef TF_PAIRWISE_CORE_PAIRS_INL_H_
#else
#define TF_PAIRWISE_CORE_PAIRS_INL_H_
#endif

#include "core/integers.h"
#include "core/lanes-inl.h"

TF_PAIRWISE_FORMULAS_BEGIN

// Whether reference j is anchor i itself: anchor i is reference i + diagonal;
// a negative diagonal says that anchors are no references.
TF_PAIRWISE_FORMULA bool IsItself(int64_t i, int64_t j, int64_t diagonal) {
  return diagonal >= 0 && j == i + diagonal;
}

TF_PAIRWISE_FORMULA bool SameClass(int32_t a, int32_t b) { return a == b; }
TF_PAIRWISE_FORMULA bool SameClass(int64_t a, int64_t b) { return a == b; }

// A positive is another point of the anchor's class, a negative is one of
// another class. `valid` is false in lanes past the end of a row.
template <class M>
TF_PAIRWISE_FORMULA M IsPositive(M same, M itself, M valid) {
  return And(And(same, Not(itself)), valid);
}
template <class M>
TF_PAIRWISE_FORMULA M IsNegative(M same, M itself, M valid) {
  return And(Not(Or(same, itself)), valid);
}

TF_PAIRWISE_FORMULAS_END

#endif  // TF_PAIRWISE_CORE_PAIRS_INL_H_

#ifndef TF_PAIRWISE_NEIGHBORS_SELECT_GPU_INL_H_
#define TF_PAIRWISE_NEIGHBORS_SELECT_GPU_INL_H_

#include "core/integers.h"
#include "cuda/block.h"

// The least of many unsigned numbers, by a block: their interval is narrowed
// digit by digit, from the highest, until what is at or below it is few enough.
// Digits are counted by atomics of integers, in no order that could be seen.

namespace tf_pairwise {

constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;

// How many bits a number has.
template <typename V>
TF_PAIRWISE_DEVICE int BitsOf(V value) {
  int bits = 0;
  for (; value != 0; value >>= 1) ++bits;
  return bits;
}

// The numbers low ... low + extent, of which there are `count`, and `below`
// less than these.
template <typename V>
struct Interval {
  V low;
  V extent;
  int below;
  int count;

  TF_PAIRWISE_DEVICE bool Has(V number) const {
    return number - low <= extent;  // less than low: wraps around
  }
  TF_PAIRWISE_DEVICE int through() const { return below + count; }
};

// A digit's numbers, and those of the digits before it.
struct Bin {
  int digit, before, count;
};

struct OneBin {
  TF_PAIRWISE_DEVICE Bin operator()(const Bin& a, const Bin& b) const {
    return a.count > 0 ? a : b;
  }
};

// f(j, row[j]) for a thread's share of the columns, a few of which are loaded
// at once.
template <int kThreads, typename T, class F>
TF_PAIRWISE_DEVICE void EachColumn(int thread, const T* row, int columns,
                                   const F& f) {
  constexpr int kAtOnce = 4;
  for (int j = thread; j < columns; j += kAtOnce * kThreads) {
    const int left = columns - j;
    T values[kAtOnce];
    TF_PAIRWISE_UNROLL for (int i = 0; i < kAtOnce; ++i) {
      values[i] = i * kThreads < left ? row[j + i * kThreads] : T(0);
    }
    TF_PAIRWISE_UNROLL for (int i = 0; i < kAtOnce; ++i) {
      if (i * kThreads < left) f(j + i * kThreads, values[i]);
    }
    if (left <= kAtOnce * kThreads) break;  // j stays in its range
  }
}

// Narrows the interval to a digit, that of the `need`-th number of all.
// number_of(j, row[j], &number): whether column j has a number, and which.
template <class B, typename T, typename V, class NumberOf>
TF_PAIRWISE_DEVICE void NarrowToDigit(B& block, const T* row, int columns,
                                      int need, const NumberOf& number_of,
                                      Interval<V>& interval) {
  using Shared = typename B::Shared;
  using Registers = typename B::ThreadRegisters;
  constexpr int kOwn = kDigits / B::kThreads;
  const int bits = BitsOf(interval.extent);
  const int shift = bits > kDigitBits ? bits - kDigitBits : 0;
  block.Each([&](int thread, Shared& s, Registers&) {
    for (int i = thread; i < kDigits; i += B::kThreads) s.digits[i] = 0;
  });
  block.Each([&](int thread, Shared& s, Registers&) {
    EachColumn<B::kThreads>(thread, row, columns, [&](int j, T value) {
      V number;
      if (!number_of(j, value, &number) || !interval.Has(number)) return;
      AtomicAdd(&s.digits[(number - interval.low) >> shift], 1);
    });
  });
  block.Scan(
      [&](int thread, Shared& s, Registers&) {
        int own = 0;
        for (int i = 0; i < kOwn; ++i) own += s.digits[thread * kOwn + i];
        return own;
      },
      [](int, Shared&, Registers& r, int before) { r.before = before; });
  const int rank = need - interval.below;  // from 1
  const Bin bin = block.Reduce(
      [&](int thread, Shared& s, Registers& r) {
        int before = r.before;
        for (int i = 0; i < kOwn; ++i) {
          const int digit = thread * kOwn + i, count = s.digits[digit];
          if (before < rank && rank <= before + count) {
            return Bin{digit, before, count};
          }
          before += count;
        }
        return Bin{0, 0, 0};
      },
      OneBin());
  const V offset = static_cast<V>(bin.digit) << shift;
  const V width = (static_cast<V>(1) << shift) - 1;
  const V rest = interval.extent - offset;
  interval = {interval.low + offset, rest < width ? rest : width,
              interval.below + bin.before, bin.count};
}

// Until at most `most` numbers are at or below the interval, or it is one
// number.
template <class B, typename T, typename V, class NumberOf>
TF_PAIRWISE_DEVICE void Narrow(B& block, const T* row, int columns, int need,
                               int most, const NumberOf& number_of,
                               Interval<V>& interval) {
  while (interval.through() > most && interval.extent != 0) {
    NarrowToDigit(block, row, columns, need, number_of, interval);
  }
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_NEIGHBORS_SELECT_GPU_INL_H_

#ifndef TF_PAIRWISE_DISTANCE_SECOND_GPU_INL_H_
#define TF_PAIRWISE_DISTANCE_SECOND_GPU_INL_H_

#include "core/rounds.h"
#include "cuda/direct.h"
#include "cuda/second.h"

// The second derivatives of all pairs: a block takes a row and all its pairs,
// some columns at a time. Warps make the pairs' forms (second.h), then threads
// add up what the forms give, each at its own coordinates, in the columns'
// order. O(n m d) by itself, as on the CPU.

namespace tf_pairwise {

// One side of the pairs, as its rows see them: upstream of row i and other row
// j is at i * row_stride + j * other_stride.
template <typename S>
struct SecondSide {
  const S* rows;  // [batch, count, d]
  const S* rows_in;
  const S* others;  // [batch, other_count, d]
  const S* others_in;
  int64_t count, other_count;
  int64_t row_stride, other_stride;
};

template <typename S>
struct SecondKernel {
  TF_PAIRWISE_KERNEL_NAME("pairwise_seconds_" + TypeName<S>());
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 4;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kColumns = 64;
  static constexpr int kCoefficients = 6;  // of a form, at the most
  using T = Computed<S>;
  struct Arguments {
    SecondSide<S> side;
    Metric metric;
    bool self;  // rows and others are the same points: both orders count
    int64_t batch, d;
    const S* upstream;
    S* upstream_out;  // null for the second side
    T* sums;          // [batch, count, d]
    S* out;           // null where the sums are it
  };
  struct Shared {
    T forms[kColumns][kCoefficients];
  };
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    VisitMetric(a.metric, [&](auto m) {
      const int64_t rows = a.batch * a.side.count;
      for (int64_t r = block.x(); r < rows; r += block.grid_x()) {
        TakeRow<decltype(m)>(block, a, r / a.side.count, r % a.side.count);
      }
    });
  }

 private:
  template <class M, class B>
  static TF_PAIRWISE_DEVICE void TakeRow(B& block, const Arguments& a,
                                         int64_t b, int64_t i) {
    using Part = typename M::template SecondPart<T>;
    static_assert(sizeof(Part) <= kCoefficients * sizeof(T), "room for it");
    const SecondSide<S>& side = a.side;
    const int64_t d = a.d;
    const S* x = side.rows + (b * side.count + i) * d;
    const S* u = side.rows_in + (b * side.count + i) * d;
    const S* others = side.others + b * side.other_count * d;
    const S* others_in = side.others_in + b * side.other_count * d;
    const int64_t pairs = b * side.count * side.other_count;
    T* sums = a.sums + (b * side.count + i) * d;
    // A point in a pair with itself, whose distance is a constant.
    const int64_t itself = a.self && M::kZeroToItself ? i : -1;
    for (int64_t begin = 0; begin < side.other_count || begin == 0;
         begin += kColumns) {
      const int count =
          static_cast<int>(Least(side.other_count - begin, kColumns));
      block.EachWarp([&](int warp, Shared& shared, NoRegisters&) {
        for (int c = warp; c < count; c += kWarps) {
          const int64_t j = begin + c;
          const int64_t at = i * side.row_stride + j * side.other_stride;
          double g = Load(a.upstream + pairs + at);
          if (a.self) {
            // The row is a column, too.
            g += Load(a.upstream + pairs + j * side.row_stride +
                      i * side.other_stride);
          }
          SecondForm form;
          if (j != itself) {
            const WarpPoints<S> points = {x, others + j * d, d};
            form = M::Second(WarpQuad<S>{points, u, others_in + j * d}, g);
          }
          if (a.upstream_out != nullptr) {
            StoreOnce(form.with_g, a.upstream_out + pairs + at);
          }
          const Part part(T(0), form);
          EachLane([&](int lane) {
            if (lane == 0) {
              TF_PAIRWISE_MEMCPY(shared.forms[c], &part, sizeof(part));
            }
          });
        }
      });
      block.Each([&](int thread, Shared& shared, NoRegisters&) {
        for (int64_t k = thread; k < d; k += kThreads) {
          const T p = Load(x + k), s = Load(u + k);
          T sum = 0;
          for (int c = 0; c < count; ++c) {
            const int64_t j = begin + c;
            if (j == itself) continue;
            Part part(T(0), SecondForm());
            TF_PAIRWISE_MEMCPY(&part, shared.forms[c], sizeof(part));
            sum += part(p, Load(others + j * d + k), s,
                        Load(others_in + j * d + k));
          }
          if (begin > 0) sum += sums[k];
          if (begin + kColumns >= side.other_count && a.out != nullptr) {
            Store(sum, a.out + (b * side.count + i) * d + k);
          } else {
            sums[k] = sum;
          }
        }
      });
    }
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_SECOND_GPU_INL_H_

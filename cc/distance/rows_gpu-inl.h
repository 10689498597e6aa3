#ifndef TF_PAIRWISE_DISTANCE_ROWS_GPU_INL_H_
#define TF_PAIRWISE_DISTANCE_ROWS_GPU_INL_H_

#include "core/rounds.h"
#include "cuda/direct.h"

#if !defined(__CUDACC__)
#include "core/scratch.h"
#include "cuda/driver.h"
#include "distance/distance.h"
#endif

// All pairs of the problems of a batch in one launch, each pair by itself: a
// block takes a row and all its pairs. O(n m d) from the points as they are,
// for what strips are too much for: small problems, and second derivatives.

namespace tf_pairwise {

// One side of the pairs, as its rows see them: the pair of row i and other row
// j is at i * row_stride + j * other_stride.
template <typename S>
struct PairRows {
  const S* rows;     // [batch, count, d]
  const S* rows_in;  // tangents, or null
  const S* others;   // [batch, other_count, d]
  const S* others_in;
  int64_t count, other_count;
  int64_t row_stride, other_stride;
};

// What the pairs of a row add up to at each of its coordinates, in the order of
// the others. Some columns at a time, warps make what is the same at all
// coordinates of a pair (Pair::Part), then threads add up, each at its own.
//
//   struct Pair {
//     static std::string Name();                       // on the host
//     template <class M, typename T> using Part;       // default: of no pair
//     // g: of both orders, where rows and others are the same points.
//     template <class M, typename T, typename S>
//     static Part<M, T> Of(const S* x, const S* u, const S* y, const S* w,
//                          int64_t d, double g, bool itself, double* with_g);
//     template <typename T, class Part, typename S>
//     static T At(const Part& part, int64_t k, const S* x, const S* u,
//                 const S* y, const S* w);
//   };
template <class Pair, typename S>
struct RowSumsKernel {
  TF_PAIRWISE_KERNEL_NAME(Pair::Name() + "_" + TypeName<S>());
  static constexpr int kThreads = 128;
  static constexpr int kBlocks = 4;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kColumns = 64;
  static constexpr int kCoefficients = 6;  // of a part, at the most
  using T = Computed<S>;
  struct Arguments {
    PairRows<S> side;
    Metric metric;
    bool self;  // rows and others are the same points: both orders count
    int64_t batch, d;
    const S* upstream;
    S* upstream_out;  // null where there is none
    T* sums;          // [batch, count, d]
    S* out;           // null where the sums are it
  };
  struct Shared {
    T parts[kColumns][kCoefficients];
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
  static TF_PAIRWISE_DEVICE const S* PointOf(const S* points, int64_t i,
                                             int64_t d) {
    return points == nullptr ? nullptr : points + i * d;
  }

  template <class M, class B>
  static TF_PAIRWISE_DEVICE void TakeRow(B& block, const Arguments& a,
                                         int64_t b, int64_t i) {
    using Part = typename Pair::template Part<M, T>;
    static_assert(sizeof(Part) <= kCoefficients * sizeof(T), "room for it");
    const PairRows<S>& side = a.side;
    const int64_t d = a.d;
    const int64_t own = b * side.count + i, first = b * side.other_count;
    const S* x = side.rows + own * d;
    const S* u = PointOf(side.rows_in, own, d);
    const S* others = side.others + first * d;
    const S* others_in = PointOf(side.others_in, first, d);
    const int64_t pairs = b * side.count * side.other_count;
    T* sums = a.sums + own * d;
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
          double with_g = 0;
          const Part part = Pair::template Of<M, T>(x, u, others + j * d,
                                                    PointOf(others_in, j, d), d,
                                                    g, j == itself, &with_g);
          if (a.upstream_out != nullptr) {
            StoreOnce(with_g, a.upstream_out + pairs + at);
          }
          EachLane([&](int lane) {
            if (lane == 0) {
              TF_PAIRWISE_MEMCPY(shared.parts[c], &part, sizeof(part));
            }
          });
        }
      });
      block.Each([&](int thread, Shared& shared, NoRegisters&) {
        for (int64_t k = thread; k < d; k += kThreads) {
          T sum = 0;
          for (int c = 0; c < count; ++c) {
            const int64_t j = begin + c;
            Part part = Pair::template None<M, T>();
            TF_PAIRWISE_MEMCPY(&part, shared.parts[c], sizeof(part));
            sum += Pair::template At<T>(part, k, x, u, others + j * d,
                                        PointOf(others_in, j, d));
          }
          if (begin > 0) sum += sums[k];
          if (begin + kColumns >= side.other_count && a.out != nullptr) {
            Store(sum, a.out + own * d + k);
          } else {
            sums[k] = sum;
          }
        }
      });
    }
  }
};

#if !defined(__CUDACC__)
// What both derivatives of a call take; null what there is not.
struct RowSumsCall {
  const void *x, *y, *upstream;
  const void *u = nullptr, *w = nullptr;
  void* upstream_out = nullptr;
  void *x_out = nullptr, *y_out = nullptr;
};

// Sums of the rows of either side, where they are not what is put out: of
// halves.
template <typename S>
Computed<S>* LayOutRowSums(Scratch& scratch, const PairwiseDistance& problem) {
  const int64_t rows =
      problem.self || problem.n > problem.m ? problem.n : problem.m;
  const bool own = sizeof(S) < sizeof(Computed<S>);
  return scratch.Take<Computed<S>>(own ? problem.batch * rows * problem.d : 0);
}

inline int64_t RowSumsScratchBytes(const PairwiseDistance& problem) {
  return VisitGpuType(problem.dtype, [&](auto type) {
    Scratch scratch(nullptr);
    LayOutRowSums<decltype(type)>(scratch, problem);
    return scratch.bytes();
  });
}

// Both sides' sums; with `self` those of x, which are the whole.
template <class Pair>
Status RunRowSums(const PairwiseDistance& problem, const RowSumsCall& call,
                  void* base, const Stream& stream) {
  return VisitGpuType(problem.dtype, [&](auto type) {
    using S = decltype(type);
    using K = RowSumsKernel<Pair, S>;
    using T = typename K::T;
    const auto in = [](const void* p) { return static_cast<const S*>(p); };
    Scratch scratch(base);
    T* const scratch_sums = LayOutRowSums<S>(scratch, problem);
    const bool own = sizeof(S) < sizeof(T);
    const auto launch = [&](const PairRows<S>& side, void* upstream_out,
                            void* out) {
      const Grid grid = {Least(problem.batch * side.count, int64_t{1} << 30)};
      return Launch<K>(
          stream, grid,
          {side, problem.metric, problem.self, problem.batch, problem.d,
           in(call.upstream), static_cast<S*>(upstream_out),
           own ? scratch_sums : static_cast<T*>(out),
           own ? static_cast<S*>(out) : nullptr});
    };
    const S *const x = in(call.x), *const u = in(call.u);
    const S *const y = in(call.y), *const w = in(call.w);
    const int64_t n = problem.n, m = problem.m;
    if (problem.self) {
      return launch({x, u, x, u, n, n, n, 1}, call.upstream_out, call.x_out);
    }
    TF_PAIRWISE_RETURN_IF_ERROR(
        launch({x, u, y, w, n, m, m, 1}, call.upstream_out, call.x_out));
    return launch({y, w, x, u, m, n, 1, m}, nullptr, call.y_out);
  });
}
#endif

// First derivatives.
struct FirstOfPair {
  TF_PAIRWISE_KERNEL_NAME(std::string("pairwise_firsts"));
  template <class M, typename T>
  using Part = PairSlope<M, T>;

  template <class M, typename T>
  static TF_PAIRWISE_DEVICE Part<M, T> None() {
    return Part<M, T>(DirectPair(), 0);
  }
  template <class M, typename T, typename S>
  static TF_PAIRWISE_DEVICE Part<M, T> Of(const S* x, const S*, const S* y,
                                          const S*, int64_t d, double g,
                                          bool itself, double*) {
    const DirectPair pair = M::Direct(WarpPoints<S>{x, y, d}, true);
    // A NaN stays one.
    if (itself && g == g && pair.distance == pair.distance) g = 0;
    return Part<M, T>(pair, g);
  }
  template <typename T, class Part, typename S>
  static TF_PAIRWISE_DEVICE T At(const Part& part, int64_t k, const S* x,
                                 const S*, const S* y, const S*) {
    return part(k, Load(x + k), Load(y + k));
  }
};

// The distances of a batch, a warp at a pair.
template <typename S>
struct RowDistancesKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("pairwise_rows_" + TypeName<S>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kWarps = kThreads / kWarp;
  struct Arguments {
    const S* x;  // [batch, n, d]
    const S* y;  // [batch, m, d]
    int64_t batch, n, m, d;
    Metric metric;
    S* distances;  // [batch, n, m]
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.EachWarp([&](int warp, Shared&, WarpRegisters&) {
      for (int64_t p = block.x() * kWarps + warp; p < a.batch * a.n * a.m;
           p += block.grid_x() * kWarps) {
        const int64_t row = p / a.m, j = p % a.m, b = row / a.n;
        const S* const y = a.y + (b * a.m + j) * a.d;
        // Exactly 0 for two points that are the same.
        StoreOnce(MakePair(a.metric, a.x + row * a.d, y, a.d, false).distance,
                  a.distances + p);
      }
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_ROWS_GPU_INL_H_

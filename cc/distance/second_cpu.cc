#include "distance/batch.h"
#include "distance/distance.h"
#include "tile/explicit_walk.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "distance/second_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/second-inl.h"
#include "simd/dispatch.h"

// The second derivatives, pair by pair: O(n m d) by themselves, without a tile.

#ifndef TF_PAIRWISE_DISTANCE_SECOND_CPU_ONCE_
#define TF_PAIRWISE_DISTANCE_SECOND_CPU_ONCE_
namespace tf_pairwise {
namespace {

// One problem, as distance.h has it.
struct SecondArrays {
  const void* x;
  const void* y;
  const void* upstream;
  const void* u;
  const void* w;
  void* upstream_out;
  void* x_out;
  void* y_out;
};

struct Table {
  // Rows [begin, end) of x (or, with `columns`, of y) take all their pairs;
  // those of x write the rows of upstream_out. `sums`: [d] of compute type.
  void (*rows)(const PairwiseDistance& problem, const SecondArrays& arrays,
               bool columns, int64_t begin, int64_t end, void* sums);
  // Pairs [begin, end).
  void (*paired)(const PairedDistance& problem, const SecondArrays& arrays,
                 int64_t begin, int64_t end, void* sums);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_DISTANCE_SECOND_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
HWY_INLINE void Clear(T* sums, int64_t d) {
  for (int64_t k = 0; k < d; ++k) sums[k] = 0;
}

template <typename S>
HWY_INLINE void StoreSums(const Compute<S>* sums, int64_t d, S* out) {
  ForEachVector<Compute<S>>(d, [&](int64_t k, int64_t count) HWY_ATTR {
    StoreCount(LoadCount(sums + k, count), out + k, count);
  });
}

// One side of the pairs, as its rows see them: upstream of row i and other row
// j is at i * row_stride + j * other_stride.
template <typename S>
struct SideOfPairs {
  const S* rows;
  const S* rows_in;
  const S* others;
  const S* others_in;
  int64_t row_stride, other_stride, count;  // of others

  SideOfPairs(const PairwiseDistance& problem, const SecondArrays& arrays,
              bool columns) {
    const S* x = static_cast<const S*>(arrays.x);
    const S* y = static_cast<const S*>(arrays.y);
    const S* u = static_cast<const S*>(arrays.u);
    const S* w = static_cast<const S*>(arrays.w);
    rows = columns ? y : x;
    rows_in = columns ? w : u;
    others = columns ? x : y;
    others_in = columns ? u : w;
    row_stride = columns ? 1 : problem.m;
    other_stride = columns ? problem.m : 1;
    count = columns ? problem.n : problem.m;
  }
};

// Row i takes its pairs; `with_g`, where not null, their derivatives with
// respect to upstream.
template <typename S>
void AddRow(const PairwiseDistance& problem, const SideOfPairs<S>& side,
            bool zero_to_itself, int64_t i, const S* upstream, S* with_g,
            Compute<S>* sums) {
  const int64_t d = problem.d;
  for (int64_t j = 0; j < side.count; ++j) {
    const int64_t at = i * side.row_stride + j * side.other_stride;
    double of_g = 0;
    if (!(zero_to_itself && i == j)) {
      of_g =
          AddPairSecond(problem.metric, side.rows + i * d, side.others + j * d,
                        side.rows_in + i * d, side.others_in + j * d, d,
                        LoadScalar(upstream + at), sums);
    }
    if (with_g != nullptr) StoreScalar(of_g, with_g + at);
  }
}

void SecondRows(const PairwiseDistance& problem, const SecondArrays& arrays,
                bool columns, int64_t begin, int64_t end, void* sums) {
  const bool zero_to_itself =
      problem.self && VisitMetric(problem.metric, [](auto m) HWY_ATTR {
        return decltype(m)::kZeroToItself;
      });
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const S* upstream = static_cast<const S*>(arrays.upstream);
    S* with_g = columns ? nullptr : static_cast<S*>(arrays.upstream_out);
    S* out = static_cast<S*>(columns ? arrays.y_out : arrays.x_out);
    T* row_sums = static_cast<T*>(sums);
    const SideOfPairs<S> side(problem, arrays, columns);
    const SideOfPairs<S> other_side(problem, arrays, true);
    for (int64_t i = begin; i < end; ++i) {
      Clear(row_sums, problem.d);
      AddRow<S>(problem, side, zero_to_itself, i, upstream, with_g, row_sums);
      if (problem.self) {
        // The row is a column, too.
        AddRow<S>(problem, other_side, zero_to_itself, i, upstream, nullptr,
                  row_sums);
      }
      StoreSums(row_sums, problem.d, out + i * problem.d);
    }
  });
}

void PairedSecond(const PairedDistance& problem, const SecondArrays& arrays,
                  int64_t begin, int64_t end, void* sums) {
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    using T = Compute<S>;
    const int64_t d = problem.d;
    const Metric metric = problem.metric;
    T* row_sums = static_cast<T*>(sums);
    for (int64_t i = begin; i < end; ++i) {
      const S* x = static_cast<const S*>(arrays.x) + i * d;
      const S* y = static_cast<const S*>(arrays.y) + i * d;
      const S* u = static_cast<const S*>(arrays.u) + i * d;
      const S* w = static_cast<const S*>(arrays.w) + i * d;
      const double g = LoadScalar(static_cast<const S*>(arrays.upstream) + i);
      Clear(row_sums, d);
      const double with_g = AddPairSecond(metric, x, y, u, w, d, g, row_sums);
      StoreScalar(with_g, static_cast<S*>(arrays.upstream_out) + i);
      StoreSums(row_sums, d, static_cast<S*>(arrays.x_out) + i * d);
      Clear(row_sums, d);
      AddPairSecond(metric, y, x, w, u, d, g, row_sums);
      StoreSums(row_sums, d, static_cast<S*>(arrays.y_out) + i * d);
    }
  });
}

constexpr Table kTable = {&SecondRows, &PairedSecond};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }

// A row of sums for each worker.
struct SumsLayout {
  char* sums;
  int64_t bytes;  // of a worker

  SumsLayout(DType dtype, int64_t d, Scratch& scratch, int workers) {
    bytes = RoundUp((d + 1) * SizeOfCompute(dtype), Scratch::kAlignment);
    sums = scratch.Take<char>(workers * bytes);
  }
  void* Of(int worker) const { return sums + worker * bytes; }
};

int64_t SumsBytes(DType dtype, int64_t d, int workers) {
  Scratch scratch(nullptr);
  const SumsLayout layout(dtype, d, scratch, workers);
  return scratch.bytes();
}

// All rows of one side of every problem of the batch, in blocks of about a
// hundred thousand cycles.
template <typename Function>
void ForEachRows(int64_t batch, int64_t rows, int64_t others, int64_t d,
                 const ParallelFor& parallel, const Function& function) {
  const double row_cost =
      static_cast<double>(others) * (2 * static_cast<double>(d) + 16);
  const int64_t block =
      row_cost < 1e5 ? static_cast<int64_t>(1e5 / (row_cost + 16)) + 1 : 1;
  const int64_t blocks = Blocks(rows, block);
  parallel(batch * blocks, static_cast<double>(block) * row_cost,
           [&](int64_t unit, int worker) {
             const int64_t begin = unit % blocks * block;
             function(unit / blocks, begin, Least(begin + block, rows), worker);
           });
}

}  // namespace

int64_t PairwiseDistanceGradGradScratchBytes(const PairwiseDistance& problem,
                                             int workers) {
  return SumsBytes(problem.dtype, problem.d, workers);
}

Status PairwiseDistanceGradGradCpu(const PairwiseDistance& problem,
                                   const void* x, const void* y,
                                   const void* upstream, const void* u,
                                   const void* w, void* upstream_out,
                                   void* x_out, void* y_out, void* scratch,
                                   const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  Scratch rest(scratch);
  const SumsLayout layout(problem.dtype, problem.d, rest, parallel.workers);
  const auto arrays_of = [&](int64_t b) {
    const Part part(problem, b);
    return SecondArrays{
        At(x, part.x_bytes),
        problem.self ? At(x, part.x_bytes) : At(y, part.y_bytes),
        At(upstream, part.pair_bytes),
        At(u, part.x_bytes),
        problem.self ? At(u, part.x_bytes) : At(w, part.y_bytes),
        At(upstream_out, part.pair_bytes),
        At(x_out, part.x_bytes),
        At(y_out, part.y_bytes)};
  };
  const int64_t n = problem.n, m = problem.m, d = problem.d;
  ForEachRows(problem.batch, n, m, d, parallel,
              [&](int64_t b, int64_t begin, int64_t end, int worker) {
                Kernels().rows(problem, arrays_of(b), false, begin, end,
                               layout.Of(worker));
              });
  if (problem.self) return Ok();
  ForEachRows(problem.batch, m, n, d, parallel,
              [&](int64_t b, int64_t begin, int64_t end, int worker) {
                Kernels().rows(problem, arrays_of(b), true, begin, end,
                               layout.Of(worker));
              });
  return Ok();
}

int64_t PairedDistanceGradGradScratchBytes(const PairedDistance& problem,
                                           int workers) {
  return SumsBytes(problem.dtype, problem.d, workers);
}

Status PairedDistanceGradGradCpu(const PairedDistance& problem, const void* x,
                                 const void* y, const void* upstream,
                                 const void* u, const void* w,
                                 void* upstream_out, void* x_out, void* y_out,
                                 void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  Scratch rest(scratch);
  const SumsLayout layout(problem.dtype, problem.d, rest, parallel.workers);
  const SecondArrays arrays = {x,     y,    upstream, u, w, upstream_out,
                               x_out, y_out};
  ForEachExplicit(problem.n, problem.d, parallel,
                  [&](int64_t begin, int64_t end, int worker) {
                    Kernels().paired(problem, arrays, begin, end,
                                     layout.Of(worker));
                  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

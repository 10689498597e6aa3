#include <cmath>

#include "core/classes.h"
#include "core/float_mode.h"
#include "core/scratch.h"
#include "neighbors/neighbors.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "neighbors/neighbors_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "neighbors/candidates-inl.h"
#include "simd/dispatch.h"
#include "tile/row_walk.h"

#ifndef TF_PAIRWISE_NEIGHBORS_CPU_ONCE_
#define TF_PAIRWISE_NEIGHBORS_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  void (*collect)(const Search<T>& search, const TileOfPairs<T>& tile);
  void (*settle)(const Search<T>& search, Candidates<T>& candidates,
                 Neighbor<T>* buffer);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_NEIGHBORS_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
constexpr TableOf<T> kTableOf = {&Collect<T>, &Settle<T>};
constexpr Table kTable = {kTableOf<float>, kTableOf<double>};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }
const TableOf<float>& Kernels(float) { return Kernels().narrow; }
const TableOf<double>& Kernels(double) { return Kernels().wide; }

// Shape alone decides, so that results do not depend on the machine.
template <typename T>
struct SearchLayout {
  RowWalk<T> walk;
  Classes<LaneOf<T>> classes;
  LaneOf<T>* key_classes = nullptr;  // [padded m]
  int64_t k;
  int64_t capacity;
  int64_t most_rows;  // of a block, which is a strip of 6 at least

  struct Worker {
    Candidates<T>* candidates;  // [rows]
    Neighbor<T>*items, *buffer;
    T* distances;  // [k]
  };

  SearchLayout(const NearestNeighbors& problem, Scratch& scratch, int workers) {
    const int64_t m = problem.m;
    k = m < 1 ? 1 : Least(problem.k, m);
    // As many newcomers as neighbours are settled at once, so that the cost of
    // it is shared out, but not so few that a tile's first columns are.
    constexpr int64_t kLeast = 128;
    capacity = k + (k < kLeast ? kLeast : k);
    RowWalkOptions options;
    options.tile_columns = 512;
    // Both euclidean metrics run on squares.
    const Metric product = WithoutRoot(problem.metric);
    options.near = product != problem.metric;
    // A block's candidates stay within a few megabytes.
    constexpr int64_t kCandidateBytes = 4 << 20;
    options.most_rows = kCandidateBytes /
                        (capacity * static_cast<int64_t>(sizeof(Neighbor<T>)));
    Scratch counter(nullptr);
    most_rows = options.most_rows < 6 ? 6 : Least(options.most_rows, 96);
    TakeWorker(counter, problem, most_rows);
    options.worker_bytes = counter.bytes();
    walk.LayOut(scratch,
                {problem.dtype, problem.metric, product, problem.n, m,
                 problem.d, problem.self},
                options, workers);
    if (problem.only == Only::kAny) return;
    classes.LayOut(scratch, problem.n, m, problem.self);
    key_classes = scratch.Take<LaneOf<T>>(walk.sides.right().padded_n);
  }

  Worker TakeWorker(Scratch& scratch, const NearestNeighbors& problem,
                    int64_t rows) const {
    Worker worker = {};
    worker.candidates = scratch.Take<Candidates<T>>(rows);
    worker.items = scratch.Take<Neighbor<T>>(rows * capacity);
    worker.buffer = scratch.Take<Neighbor<T>>(capacity);
    worker.distances = scratch.Take<T>(problem.k);
    return worker;
  }
};

// Pairs that are none, so that no comparison takes them: keys beyond the last,
// and a query with itself.
template <typename T>
void StrikeOut(const NearestNeighbors& problem, const Block& block,
               const TileView<T>& values) {
  const T nan = static_cast<T>(std::nan(""));
  for (int64_t r = 0; r < block.rows; ++r) {
    T* row = values.Row(r);
    for (int64_t j = problem.m - block.column; j < block.columns; ++j) {
      row[j] = nan;
    }
    const int64_t itself = block.row + r - block.column;
    if (problem.self && itself >= 0 && itself < block.columns) {
      row[itself] = nan;
    }
  }
}

template <typename T>
void StoreNeighbors(const NearestNeighbors& problem,
                    const NearestNeighborsArrays& arrays, int64_t i,
                    const Candidates<T>& candidates, T* distances) {
  const int64_t k = problem.k;
  int64_t* indices = arrays.indices + i * k;
  for (int64_t e = 0; e < k; ++e) {
    const bool there = e < candidates.kept;
    distances[e] =
        there ? candidates.items[e].distance : static_cast<T>(__builtin_inf());
    indices[e] = there ? candidates.items[e].index : -1;
  }
  StoreRows<T>(
      problem.dtype, 1, k, distances, k,
      static_cast<char*>(arrays.distances) + i * k * SizeOf(problem.dtype), k,
      false);
}

template <typename T>
void RunNeighbors(const NearestNeighbors& problem,
                  const NearestNeighborsArrays& arrays, void* base,
                  const ParallelFor& parallel) {
  Scratch scratch(base);
  SearchLayout<T> layout(problem, scratch, parallel.workers);
  const Sides<T>& sides = layout.walk.sides;
  layout.walk.sides.Prepare(arrays.queries, arrays.keys, parallel);
  if (problem.only != Only::kAny) {
    layout.classes.Build(arrays.query_labels, problem.n, arrays.key_labels,
                         problem.m, problem.self);
    for (int64_t j = 0; j < sides.right().padded_n; ++j) {
      layout.key_classes[j] = j < problem.m ? layout.classes.of_ref[j] : 0;
    }
  }
  const Search<T> search = {&sides.x,
                            &sides.right(),
                            WithoutRoot(problem.metric) != problem.metric,
                            problem.only,
                            layout.classes.of_anchor,
                            layout.key_classes,
                            layout.k,
                            layout.capacity};
  const TableOf<T>& kernels = Kernels(T());
  layout.walk.Run(
      problem.self ? 0 : -1, parallel,
      [&](const typename RowWalk<T>::Rows& rows) {
        Scratch own(rows.scratch);
        const auto worker = layout.TakeWorker(own, problem, layout.most_rows);
        Block block = rows.block;
        block.columns = RoundUp(block.columns, Operand<T>::kRowPadding);
        for (int64_t r = 0; block.column == 0 && r < block.rows; ++r) {
          const T infinity = static_cast<T>(__builtin_inf());
          worker.candidates[r] = {worker.items + r * layout.capacity, 0, 0,
                                  infinity, infinity};
        }
        StrikeOut(problem, block, rows.tile);
        kernels.collect(search,
                        {block, rows.tile, worker.candidates, worker.buffer});
        for (int64_t r = 0; rows.last && r < block.rows; ++r) {
          kernels.settle(search, worker.candidates[r], worker.buffer);
          StoreNeighbors(problem, arrays, block.row + r, worker.candidates[r],
                         worker.distances);
        }
      });
}

}  // namespace

int64_t NearestNeighborsScratchBytes(const NearestNeighbors& problem,
                                     int workers) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    const SearchLayout<decltype(compute)> layout(problem, scratch, workers);
    return scratch.bytes();
  });
}

Status NearestNeighborsCpu(const NearestNeighbors& problem,
                           const NearestNeighborsArrays& arrays, void* scratch,
                           const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  VisitCompute(problem.dtype, [&](auto compute) {
    RunNeighbors<decltype(compute)>(problem, arrays, scratch, parallel);
  });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

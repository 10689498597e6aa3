#include <cmath>
#include <type_traits>

#include "core/classes.h"
#include "core/scratch.h"
#include "neighbors/neighbors.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "neighbors/neighbors_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "tile/tile.h"

#ifndef TF_PAIRWISE_NEIGHBORS_CPU_ONCE_
#define TF_PAIRWISE_NEIGHBORS_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct Neighbor {
  T distance;
  int32_t index;
};

// A query's candidates. The nearest so far, in order, then those that came
// since. Keys come in ascending order, so that what is stable in their arrival
// gives ties to the lower index.
template <typename T>
struct Candidates {
  Neighbor<T>* items;  // [capacity]
  int64_t kept;        // nearest so far, at most k
  int64_t count;       // of items
  T threshold;         // a distance has to be less to count
  T limit;             // a tile's value has to be this or less to count
};

// Where candidates may be and what they are made of.
template <typename T>
struct Search {
  const Operand<T>* queries;
  const Operand<T>* keys;
  // The tile holds squared distances, to be rooted where they count: fewer
  // roots than pairs.
  bool squares;
  Only only;
  const LaneOf<T>* query_classes;  // kAny: null
  const LaneOf<T>* key_classes;
  int64_t k;         // at most the number of keys
  int64_t capacity;  // of Candidates::items
  int64_t stride;    // of a row of a tile
  int64_t near_stride;
};

// A worker's tile of a block of queries. Pairs that are none hold NaN.
template <typename T>
struct TileOfPairs {
  int64_t row, rows, column, columns;  // columns: a multiple of 64
  const T* values;
  const uint64_t* near;       // squares: values to be made again
  Candidates<T>* candidates;  // [rows]
  Neighbor<T>* buffer;        // [capacity]
};

struct NeighborsKernels {
  void (*narrow_collect)(const Search<float>& search,
                         const TileOfPairs<float>& tile);
  void (*wide_collect)(const Search<double>& search,
                       const TileOfPairs<double>& tile);
  void (*narrow_settle)(const Search<float>& search,
                        Candidates<float>& candidates, Neighbor<float>* buffer);
  void (*wide_settle)(const Search<double>& search,
                      Candidates<double>& candidates, Neighbor<double>* buffer);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_NEIGHBORS_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE float Towards(float from, float to) {
  return __builtin_nextafterf(from, to);
}
HWY_INLINE double Towards(double from, double to) {
  return __builtin_nextafter(from, to);
}

template <typename T>
constexpr T kInfinity = static_cast<T>(__builtin_inf());

// The largest value of a tile whose distance may lie below the threshold.
template <typename T>
T LimitOf(bool squares, T threshold) {
  if (!squares) return Towards(threshold, -kInfinity<T>);
  if (!(threshold > 0)) return -1;
  // Beyond these, squares leave the range, and the points have the last word.
  if (!(threshold < static_cast<T>(sizeof(T) == 4 ? 1e18 : 1e150))) {
    return kInfinity<T>;
  }
  if (threshold < static_cast<T>(sizeof(T) == 4 ? 1e-14 : 1e-140)) {
    return static_cast<T>(sizeof(T) == 4 ? 1e-28 : 1e-280);
  }
  // The least square whose root reaches the threshold: a square that was
  // rounded up may be this one, none is above.
  T limit = threshold * threshold;
  while (std::sqrt(limit) < threshold) limit = Towards(limit, kInfinity<T>);
  for (T less = Towards(limit, T(0)); !(std::sqrt(less) < threshold);) {
    limit = less;
    less = Towards(limit, T(0));
  }
  return limit;
}

// A distance as an unsigned number of the same order. Zeros are one number.
HWY_INLINE uint32_t OrderOf(float distance) {
  const float value = distance + 0.0f;
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFu : 0x80000000u);
}
HWY_INLINE uint64_t OrderOf(double distance) {
  const double value = distance + 0.0;
  uint64_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits ^ ((bits >> 63) != 0 ? ~uint64_t{0} : uint64_t{1} << 63);
}

// Stable sort by distance, a byte at a time from the lowest; what all share is
// passed over. Returns where the result is: items or buffer.
template <typename T>
HWY_INLINE Neighbor<T>* RadixSort(Neighbor<T>* items, Neighbor<T>* buffer,
                                  int64_t count) {
  constexpr int kBytes = sizeof(T);
  int32_t begin[kBytes][256] = {};
  for (int64_t e = 0; e < count; ++e) {
    const auto order = OrderOf(items[e].distance);
    for (int b = 0; b < kBytes; ++b) ++begin[b][(order >> (8 * b)) & 255];
  }
  for (int b = 0; b < kBytes; ++b) {
    const auto first = OrderOf(items[0].distance);
    if (begin[b][(first >> (8 * b)) & 255] == count) continue;
    int32_t sum = 0;
    for (int value = 0; value < 256; ++value) {
      const int32_t some = begin[b][value];
      begin[b][value] = sum;
      sum += some;
    }
    for (int64_t e = 0; e < count; ++e) {
      const auto order = OrderOf(items[e].distance);
      buffer[begin[b][(order >> (8 * b)) & 255]++] = items[e];
    }
    Neighbor<T>* swap = items;
    items = buffer;
    buffer = swap;
  }
  return items;
}

// Up to this many neighbours, a candidate is moved to its place one by one;
// beyond it, all are sorted.
constexpr int64_t kShortList = 24;

// Reduces the candidates to the k nearest, in order, and lowers the threshold.
template <typename T>
HWY_NOINLINE void Settle(const Search<T>& search, Candidates<T>& candidates,
                         Neighbor<T>* buffer) {
  Neighbor<T>* items = candidates.items;
  const int64_t k = search.k, count = candidates.count;
  int64_t kept = candidates.kept;
  if (count == kept) return;
  if (k <= kShortList) {
    for (int64_t e = kept; e < count; ++e) {
      const Neighbor<T> item = items[e];
      if (kept == k && !(item.distance < items[k - 1].distance)) continue;
      int64_t j = kept < k ? kept++ : k - 1;
      for (; j > 0 && item.distance < items[j - 1].distance; --j) {
        items[j] = items[j - 1];
      }
      items[j] = item;
    }
  } else {
    const Neighbor<T>* sorted = RadixSort(items, buffer, count);
    kept = count < k ? count : k;
    if (sorted != items) {
      for (int64_t e = 0; e < kept; ++e) items[e] = sorted[e];
    }
  }
  candidates.kept = candidates.count = kept;
  if (kept == k) {
    candidates.threshold = items[k - 1].distance;
    candidates.limit = LimitOf(search.squares, candidates.threshold);
  }
}

// Adds the lanes of `hits` to the query's candidates.
template <typename T>
HWY_NOINLINE void AddCandidates(const Search<T>& search, int64_t query,
                                int64_t column, const T* values,
                                const uint64_t* near, uint64_t hits,
                                Candidates<T>& candidates,
                                Neighbor<T>* buffer) {
  constexpr int64_t kMost = 64;  // bits of `hits`
  if (candidates.count + kMost > search.capacity) {
    Settle(search, candidates, buffer);
  }
  for (; hits != 0; hits &= hits - 1) {
    const int lane = __builtin_ctzll(hits);
    T distance = values[lane];
    if (search.squares) {
      if (HWY_UNLIKELY((*near >> lane) & 1)) {
        const int64_t d = search.queries->d;
        distance = static_cast<T>(
            MakePair(Metric::kEuclidean, search.queries->source + query * d,
                     search.keys->source + (column + lane) * d, d, false)
                .distance);
      } else {
        distance = std::sqrt(distance);
      }
    }
    if (!(distance < candidates.threshold)) continue;
    candidates.items[candidates.count++] = {
        distance, static_cast<int32_t>(column + lane)};
  }
}

// Up to this many neighbours, the first columns give a limit to begin with:
// of the least values of 32 groups, the k-th has k pairs at or below it.
constexpr int64_t kFewNeighbors = 16;
constexpr int64_t kGroups = 32;

template <typename T>
HWY_INLINE T FirstLimit(const Search<T>& search, const T* least) {
  const Tag<T> tag;
  T found = kInfinity<T>;
  for (int64_t g = 0; g < kGroups; ++g) {
    const VecT<T> value = hn::Set(tag, least[g]);
    int64_t below = 0;
    for (int64_t v = 0; v < kGroups; v += LanesOf<T>()) {
      below += static_cast<int64_t>(
          hn::CountTrue(tag, hn::Le(hn::LoadU(tag, least + v), value)));
    }
    found = below >= search.k && least[g] < found ? least[g] : found;
  }
  if (!search.squares || found == kInfinity<T>) return found;
  // Squares that differ may have the same root. (Not by the least number above
  // zero, which TensorFlow's threads take for zero.)
  const T root = std::sqrt(found);
  return root > 0 ? LimitOf(true, Towards(root, kInfinity<T>))
                  : LimitOf(true, static_cast<T>(1e-30));
}

template <Only kOnly, typename T>
void CollectOnly(const Search<T>& search, const TileOfPairs<T>& tile) {
  const Tag<T> tag;
  const hn::RebindToSigned<Tag<T>> lane_tag;
  const int64_t lanes = LanesOf<T>();
  constexpr int64_t kGroup = 64;
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t query = tile.row + r;
    Candidates<T>& candidates = tile.candidates[r];
    const T* values = tile.values + r * search.stride;
    const auto own = hn::Set(
        lane_tag, kOnly == Only::kAny ? 0 : search.query_classes[query]);
    const auto is_below = [&](int64_t k, VecT<T> most) HWY_ATTR {
      const auto below = hn::Le(hn::LoadU(tag, values + k), most);
      if constexpr (kOnly == Only::kAny) {
        return below;
      } else {
        const auto classes =
            hn::LoadU(lane_tag, search.key_classes + tile.column + k);
        const auto wanted = kOnly == Only::kSameLabel ? hn::Eq(classes, own)
                                                      : hn::Ne(classes, own);
        return hn::And(below, hn::RebindMask(tag, wanted));
      }
    };
    if (tile.column == 0 && search.k <= kFewNeighbors) {
      HWY_ALIGN T least[kGroups];
      for (int64_t g = 0; g < kGroups; g += lanes) {
        VecT<T> group = hn::Set(tag, kInfinity<T>);
        for (int64_t k = g; k < tile.columns; k += kGroups) {
          group = hn::IfThenElse(is_below(k, group), hn::LoadU(tag, values + k),
                                 group);
        }
        hn::Store(group, tag, least + g);
      }
      candidates.limit = FirstLimit(search, least);
    }
    VecT<T> limit = hn::Set(tag, candidates.limit);
    const auto hit = [&](int64_t k) HWY_ATTR { return is_below(k, limit); };
    for (int64_t k = 0; k < tile.columns; k += kGroup) {
      auto any = hit(k);
      for (int64_t v = lanes; v < kGroup; v += lanes) {
        any = hn::Or(any, hit(k + v));
      }
      if (HWY_LIKELY(hn::AllFalse(tag, any))) continue;
      uint64_t hits = 0;
      for (int64_t v = 0; v < kGroup; v += lanes) {
        uint8_t bytes[8] = {0};
        hn::StoreMaskBits(tag, hit(k + v), bytes);
        uint64_t bits = 0;
        for (int i = 0; i < 8; ++i) bits |= uint64_t{bytes[i]} << (8 * i);
        hits |= bits << v;
      }
      const uint64_t* near = search.squares
                                 ? tile.near + r * search.near_stride + k / 64
                                 : nullptr;
      AddCandidates(search, query, tile.column + k, values + k, near, hits,
                    candidates, tile.buffer);
      limit = hn::Set(tag, candidates.limit);
    }
  }
}

template <typename T>
void Collect(const Search<T>& search, const TileOfPairs<T>& tile) {
  switch (search.only) {
    case Only::kAny:
      return CollectOnly<Only::kAny, T>(search, tile);
    case Only::kSameLabel:
      return CollectOnly<Only::kSameLabel, T>(search, tile);
    case Only::kOtherLabel:
      return CollectOnly<Only::kOtherLabel, T>(search, tile);
  }
}

constexpr NeighborsKernels kTable = {&Collect<float>, &Collect<double>,
                                     &Settle<float>, &Settle<double>};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const NeighborsKernels& Kernels() { TF_PAIRWISE_DISPATCH() }

auto CollectOf(float) { return Kernels().narrow_collect; }
auto CollectOf(double) { return Kernels().wide_collect; }
auto SettleOf(float) { return Kernels().narrow_settle; }
auto SettleOf(double) { return Kernels().wide_settle; }

int64_t Blocks(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

int64_t AtMost(int64_t value, int64_t most) {
  return value < most ? value : most;
}

template <typename T>
struct Plan {
  static constexpr int64_t kColumns = 512;  // of a tile

  Operand<T> queries, keys;
  Classes<LaneOf<T>> classes;
  LaneOf<T>* key_classes = nullptr;  // [padded m]
  int64_t k;
  int64_t capacity;
  int64_t block_rows;  // queries of a unit of work
  int64_t stride;
  int64_t near_stride;

  struct Worker {
    T* values;
    uint64_t* near;
    Candidates<T>* candidates;
    Neighbor<T>*items, *buffer;
    T* distances;
  };
  char* workers_base = nullptr;
  int64_t worker_bytes = 0;

  Plan(const NearestNeighbors& problem, Scratch& scratch, int workers) {
    const int64_t n = problem.n, m = problem.m;
    // Both euclidean metrics run on squares.
    const Metric product = problem.metric == Metric::kEuclidean
                               ? Metric::kSquaredEuclidean
                               : problem.metric;
    queries = LayOutOperand<T>(scratch, problem.dtype, problem.metric, product,
                               n, problem.d, problem.self);
    if (!problem.self) {
      keys = LayOutOperand<T>(scratch, problem.dtype, problem.metric, product,
                              m, problem.d, true);
    }
    if (problem.only != Only::kAny) {
      classes.LayOut(scratch, n, m, problem.self);
      key_classes = scratch.Take<LaneOf<T>>(right(problem).padded_n);
    }
    k = m < 1 ? 1 : AtMost(problem.k, m);
    // As many newcomers as neighbours are settled at once, so that the cost of
    // it is shared out, but not so few that a tile's first columns are.
    constexpr int64_t kLeast = 128;
    capacity = k + (k < kLeast ? kLeast : k);
    // Shape alone decides, so that results do not depend on the machine. A
    // block's candidates stay within a few megabytes.
    constexpr int64_t kStrip = 6;
    constexpr int64_t kCandidateBytes = 4 << 20;
    int64_t rows = kCandidateBytes /
                   (capacity * static_cast<int64_t>(sizeof(Neighbor<T>)));
    rows = AtMost(AtMost(rows, 96), n / 16) / kStrip * kStrip;
    block_rows = rows < kStrip ? kStrip : rows;
    const int64_t columns = AtMost(right(problem).padded_n, kColumns);
    stride = columns + 16;  // so that rows do not share cache sets
    near_stride = Blocks(columns, 64);
    Scratch counter(nullptr);
    LayOutWorker(counter, problem);
    worker_bytes = counter.bytes();
    workers_base = scratch.Take<char>(workers * worker_bytes);
  }

  const Operand<T>& right(const NearestNeighbors& problem) const {
    return problem.self ? queries : keys;
  }

  Worker LayOutWorker(Scratch& scratch, const NearestNeighbors& problem) const {
    Worker worker = {};
    worker.values = scratch.Take<T>(block_rows * stride);
    worker.near = scratch.Take<uint64_t>(block_rows * near_stride);
    worker.candidates = scratch.Take<Candidates<T>>(block_rows);
    worker.items = scratch.Take<Neighbor<T>>(block_rows * capacity);
    worker.buffer = scratch.Take<Neighbor<T>>(capacity);
    worker.distances = scratch.Take<T>(problem.k);
    return worker;
  }

  Worker WorkerOf(const NearestNeighbors& problem, int worker) const {
    Scratch scratch(workers_base + worker * worker_bytes);
    return LayOutWorker(scratch, problem);
  }
};

// Pairs that are none, so that no comparison takes them: keys beyond the last,
// and a query with itself.
template <typename T>
void StrikeOut(const NearestNeighbors& problem, int64_t row, int64_t rows,
               int64_t column, int64_t columns, int64_t stride, T* values) {
  const T nan = static_cast<T>(std::nan(""));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = problem.m - column; j < columns; ++j) {
      values[r * stride + j] = nan;
    }
    const int64_t self = row + r - column;
    if (problem.self && self >= 0 && self < columns) {
      values[r * stride + self] = nan;
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
  const int64_t n = problem.n, m = problem.m;
  Scratch scratch(base);
  Plan<T> plan(problem, scratch, parallel.workers);
  PreparePoints<T>(plan.queries, problem.dtype, arrays.queries, nullptr,
                   parallel);
  if (!problem.self) {
    PreparePoints<T>(plan.keys, problem.dtype, arrays.keys, plan.queries.centre,
                     parallel);
  }
  if (problem.only != Only::kAny) {
    plan.classes.Build(arrays.query_labels, n, arrays.key_labels, m,
                       problem.self);
    for (int64_t j = 0; j < plan.right(problem).padded_n; ++j) {
      plan.key_classes[j] = j < m ? plan.classes.of_ref[j] : 0;
    }
  }
  // Both euclidean metrics run on the same operands.
  const Operand<T>& queries = plan.queries;
  const Operand<T>& keys = plan.right(problem);
  const bool squares = problem.metric == Metric::kEuclidean;
  const Search<T> search = {&queries,
                            &keys,
                            squares,
                            problem.only,
                            plan.classes.of_anchor,
                            plan.key_classes,
                            plan.k,
                            plan.capacity,
                            plan.stride,
                            plan.near_stride};
  const auto collect = CollectOf(T());
  const auto settle = SettleOf(T());
  const auto unit_of_work = [&](int64_t unit, int worker_number) {
    const auto worker = plan.WorkerOf(problem, worker_number);
    const int64_t row = unit * plan.block_rows;
    const int64_t rows = AtMost(n - row, plan.block_rows);
    for (int64_t r = 0; r < rows; ++r) {
      const T infinity = static_cast<T>(__builtin_inf());
      worker.candidates[r] = {worker.items + r * plan.capacity, 0, 0, infinity,
                              infinity};
    }
    for (int64_t column = 0; column < keys.padded_n;
         column += Plan<T>::kColumns) {
      const int64_t columns = AtMost(keys.padded_n - column, Plan<T>::kColumns);
      MakeDistances<T>(queries, keys, {row, rows, column, columns},
                       problem.self ? 0 : -1,
                       {worker.values, plan.stride,
                        squares ? worker.near : nullptr, plan.near_stride});
      StrikeOut(problem, row, rows, column, columns, plan.stride,
                worker.values);
      collect(search, {row, rows, column, columns, worker.values, worker.near,
                       worker.candidates, worker.buffer});
    }
    for (int64_t r = 0; r < rows; ++r) {
      settle(search, worker.candidates[r], worker.buffer);
      StoreNeighbors(problem, arrays, row + r, worker.candidates[r],
                     worker.distances);
    }
  };
  parallel(
      Blocks(n, plan.block_rows),
      static_cast<double>(plan.block_rows) *
          (static_cast<double>(m) * (static_cast<double>(problem.d) / 16 + 1) +
           static_cast<double>(problem.k)),
      unit_of_work);
}

template <typename T>
int64_t Bytes(const NearestNeighbors& problem, int workers) {
  Scratch scratch(nullptr);
  const Plan<T> plan(problem, scratch, workers);
  return scratch.bytes();
}

}  // namespace

Status Check(const NearestNeighbors& problem) {
  if (static_cast<int32_t>(problem.dtype) < 0 ||
      problem.dtype > DType::kFloat64) {
    return InvalidArgument("dtype: got the unknown value %d",
                           static_cast<int>(problem.dtype));
  }
  if (static_cast<int32_t>(problem.metric) < 0 ||
      problem.metric > Metric::kDot) {
    return InvalidArgument("metric: got the unknown value %d",
                           static_cast<int>(problem.metric));
  }
  if (static_cast<int32_t>(problem.only) < 0 ||
      problem.only > Only::kOtherLabel) {
    return InvalidArgument("only: got the unknown value %d",
                           static_cast<int>(problem.only));
  }
  constexpr int64_t kMost = int64_t{1} << 31;
  if (problem.k < 1 || problem.k >= kMost) {
    return InvalidArgument("k: got %lld, expected 1 to 2^31 - 1",
                           static_cast<long long>(problem.k));
  }
  if (problem.n < 0 || problem.m < 0 || problem.d < 0 || problem.n >= kMost ||
      problem.m >= kMost) {
    return InvalidArgument(
        "queries: got %lld queries, %lld keys and %lld columns, expected 0 to "
        "2^31 - 1 rows",
        static_cast<long long>(problem.n), static_cast<long long>(problem.m),
        static_cast<long long>(problem.d));
  }
  if (problem.self && problem.n != problem.m) {
    return InvalidArgument(
        "keys: got %lld rows, expected the %lld of queries, which are their "
        "own keys",
        static_cast<long long>(problem.m), static_cast<long long>(problem.n));
  }
  return Ok();
}

int64_t NearestNeighborsScratchBytes(const NearestNeighbors& problem,
                                     int workers) {
  return problem.dtype == DType::kFloat64 ? Bytes<double>(problem, workers)
                                          : Bytes<float>(problem, workers);
}

Status NearestNeighborsCpu(const NearestNeighbors& problem,
                           const NearestNeighborsArrays& arrays, void* scratch,
                           const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.dtype == DType::kFloat64) {
    RunNeighbors<double>(problem, arrays, scratch, parallel);
  } else {
    RunNeighbors<float>(problem, arrays, scratch, parallel);
  }
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

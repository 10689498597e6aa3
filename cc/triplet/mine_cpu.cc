// The miner: the triplets themselves, for those who feed their own loss. Single
// lanes of the formulas say which; a walk counts an anchor's, and a second one
// writes them.

#include "core/classes.h"
#include "core/float_mode.h"
#include "core/pairs-inl.h"
#include "core/scratch.h"
#include "core/sort.h"
#include "tile/row_walk.h"
#include "triplet/triplet.h"
#include "triplet/triplet_pair-inl.h"

namespace tf_pairwise {
namespace {

// A negative of an anchor.
template <typename T>
struct Negative {
  T distance;
  int64_t index;
};

// An anchor and its distances.
template <typename T>
struct MinedRow {
  const T* distances;
  int64_t m;
  int64_t i, diagonal;
  LaneOf<T> own_class;
  const LaneOf<T>* of_ref;
  const int32_t* members;  // of its class, itself perhaps among them
  int64_t members_count;
  Negative<T>* negatives;  // in order; by distance where they are `sorted`
  int64_t negatives_count;
  bool sorted;

  // A NaN is in no triplet.
  bool IsThere(int64_t j) const {
    return !IsItself(i, j, diagonal) && distances[j] == distances[j];
  }
};

// Of the first of [0, count) for which `is` does not hold, where it holds for
// those before and for none after.
template <typename Is>
int64_t FirstNot(int64_t count, const Is& is) {
  int64_t begin = 0;
  while (begin < count) {
    const int64_t middle = begin + (count - begin) / 2;
    if (is(middle)) {
      begin = middle + 1;
    } else {
      count = middle;
    }
  }
  return begin;
}

// The negatives of a row into `room` for twice as many as there are columns,
// sorted if that is worth it: where many positives look for theirs.
template <typename T>
void FindNegatives(Mining mining, Negative<T>* room, MinedRow<T>& row) {
  constexpr int64_t kFewPositives = 16;
  row.negatives = room;
  row.negatives_count = 0;
  for (int64_t j = 0; j < row.m; ++j) {
    if (SameClass(row.of_ref[j], row.own_class) || !row.IsThere(j)) continue;
    room[row.negatives_count++] = {row.distances[j], j};
  }
  row.sorted = mining == Mining::kSemiHard && row.members_count > kFewPositives;
  if (!row.sorted) return;
  MergeSort(room, room + row.m, row.negatives_count,
            [](const Negative<T>& a, const Negative<T>& b) {
              return a.distance < b.distance;
            });
}

// The negative that `is` and Best says, of equals the first; -1 for none.
template <class Best, typename T, typename Is>
int64_t ChooseNegative(const MinedRow<T>& row, const Is& is) {
  const Negative<T>* best = nullptr;
  for (int64_t e = 0; e < row.negatives_count; ++e) {
    const Negative<T>& negative = row.negatives[e];
    if (is(negative.distance) &&
        (best == nullptr || Best::Better(negative.distance, best->distance))) {
      best = &negative;
    }
  }
  return best == nullptr ? -1 : best->index;
}

template <typename T, typename Take>
void TakeHardest(const MinedRow<T>& row, const Take& take) {
  int64_t positive = -1;
  for (int64_t e = 0; e < row.members_count; ++e) {
    const int64_t p = row.members[e];
    if (row.IsThere(p) &&
        (positive < 0 ||
         Farthest::Better(row.distances[p], row.distances[positive]))) {
      positive = p;
    }
  }
  if (positive < 0) return;
  const int64_t negative = ChooseNegative<Nearest>(row, [](T) { return true; });
  if (negative >= 0) take(positive, negative);
}

// The negative of a positive: the nearest beyond it, else the farthest.
template <typename T>
int64_t SemiHardOf(const MinedRow<T>& row, T positive) {
  const int64_t count = row.negatives_count;
  if (!row.sorted) {
    const int64_t negative = ChooseNegative<Nearest>(
        row, [&](T distance) { return IsBeyond(positive, distance); });
    return negative >= 0
               ? negative
               : ChooseNegative<Farthest>(row, [](T) { return true; });
  }
  if (count == 0) return -1;
  const auto distance = [&](int64_t e) { return row.negatives[e].distance; };
  int64_t at = FirstNot(
      count, [&](int64_t e) { return !IsBeyond(positive, distance(e)); });
  if (at == count) {
    // Of the farthest ones the first.
    at = FirstNot(count,
                  [&](int64_t e) { return distance(e) < distance(count - 1); });
  }
  return row.negatives[at].index;
}

template <typename T, typename Take>
void TakeSemiHard(const MinedRow<T>& row, int64_t p, const Take& take) {
  const int64_t negative = SemiHardOf(row, row.distances[p]);
  if (negative >= 0) take(p, negative);
}

template <class Rule, typename T, typename Take>
void TakeEvery(const MinedRow<T>& row, T margin, int64_t p, const Take& take) {
  for (int64_t e = 0; e < row.negatives_count; ++e) {
    const T distance = row.negatives[e].distance;
    if (Takes(Rule(), row.distances[p], distance,
              ThresholdOf(distance, margin))) {
      take(p, row.negatives[e].index);
    }
  }
}

// Calls `take(p, n)` for each triplet of the anchor, in order.
template <typename T, typename Take>
void ForEachTriplet(const BatchTripletLoss& problem, const MinedRow<T>& row,
                    const Take& take) {
  if (problem.mining == Mining::kHard) return TakeHardest(row, take);
  const T margin = static_cast<T>(problem.margin);
  for (int64_t e = 0; e < row.members_count; ++e) {
    const int64_t p = row.members[e];
    if (!row.IsThere(p)) continue;
    switch (problem.mining) {
      case Mining::kHard:
        break;
      case Mining::kSemiHard:
        TakeSemiHard(row, p, take);
        break;
      case Mining::kAll:
        TakeEvery<EveryTriplet>(row, margin, p, take);
        break;
      case Mining::kSemiHardAll:
        TakeEvery<EverySemiHard>(row, margin, p, take);
        break;
      case Mining::kHardAll:
        TakeEvery<EveryHard>(row, margin, p, take);
        break;
    }
  }
}

template <typename T>
struct MineLayout {
  RowWalk<T> walk;
  Classes<LaneOf<T>> classes;
  int64_t* begin;  // [n + 1], where each anchor's triplets begin

  MineLayout(const BatchTripletLoss& problem, Scratch& scratch, int workers) {
    RowWalkOptions options;
    Scratch counter(nullptr);
    counter.Take<Negative<T>>(2 * problem.m);
    options.worker_bytes = counter.bytes();
    walk.LayOut(scratch,
                {problem.dtype, problem.metric, problem.metric, problem.n,
                 problem.m, problem.d, problem.self},
                options, workers);
    classes.LayOut(scratch, problem.n, problem.m, problem.self);
    begin = scratch.Take<int64_t>(problem.n + 1);
  }
};

// `function(row)` for every anchor.
template <typename T, typename Function>
void ForEachAnchor(const BatchTripletLoss& problem, const MineLayout<T>& layout,
                   const ParallelFor& parallel, const Function& function) {
  const int64_t diagonal = DiagonalOf(problem);
  layout.walk.Run(
      diagonal, parallel, [&](const typename RowWalk<T>::Rows& rows) {
        Scratch worker(rows.scratch);
        auto* negatives = worker.Take<Negative<T>>(2 * problem.m);
        for (int64_t r = 0; r < rows.block.rows; ++r) {
          MinedRow<T> row;
          row.i = rows.block.row + r;
          row.diagonal = diagonal;
          row.m = problem.m;
          row.distances = rows.tile.Row(r);
          row.own_class = layout.classes.of_anchor[row.i];
          row.of_ref = layout.classes.of_ref;
          row.members = layout.classes.MembersOf(row.i, &row.members_count);
          FindNegatives(problem.mining, negatives, row);
          function(row);
        }
      });
}

template <typename T>
void RunMine(const BatchTripletLoss& problem, const BatchTripletArrays& arrays,
             const TripletSink& sink, void* base, const ParallelFor& parallel) {
  Scratch scratch(base);
  MineLayout<T> layout(problem, scratch, parallel.workers);
  layout.walk.sides.Prepare(arrays.anchors, arrays.refs, parallel);
  layout.classes.Build(arrays.labels, problem.n, arrays.ref_labels, problem.m,
                       problem.self);
  int64_t* begin = layout.begin;
  ForEachAnchor(problem, layout, parallel, [&](const MinedRow<T>& row) {
    int64_t count = 0;
    ForEachTriplet(problem, row, [&](int64_t, int64_t) { ++count; });
    begin[row.i + 1] = count;
  });
  if (parallel.Stopped()) return;
  begin[0] = 0;
  for (int64_t i = 0; i < problem.n; ++i) begin[i + 1] += begin[i];
  int64_t* triplets = sink.allocate(sink.context, begin[problem.n]);
  if (triplets == nullptr || begin[problem.n] == 0) return;
  ForEachAnchor(problem, layout, parallel, [&](const MinedRow<T>& row) {
    // As many as were counted, whatever another thread writes to the points.
    int64_t* out = triplets + 3 * begin[row.i];
    int64_t* const end = triplets + 3 * begin[row.i + 1];
    ForEachTriplet(problem, row, [&](int64_t p, int64_t n) {
      if (out == end) return;
      *out++ = row.i;
      *out++ = p;
      *out++ = n;
    });
    while (out != end) *out++ = row.i;
  });
}

}  // namespace

int64_t MineTripletsScratchBytes(const BatchTripletLoss& problem, int workers) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    MineLayout<decltype(compute)> layout(problem, scratch, workers);
    return scratch.bytes();
  });
}

Status MineTripletsCpu(const BatchTripletLoss& problem,
                       const BatchTripletArrays& arrays,
                       const TripletSink& sink, void* scratch,
                       const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  VisitCompute(problem.dtype, [&](auto compute) {
    RunMine<decltype(compute)>(problem, arrays, sink, scratch, parallel);
  });
  return Ok();
}

}  // namespace tf_pairwise

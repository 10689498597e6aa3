// The losses over all pairs of lists: which lists are a unit of work, what is
// done with one, and the reduction.

#include <type_traits>

#include "core/float_mode.h"
#include "core/reduce.h"
#include "core/rounds.h"
#include "core/scratch.h"
#include "ranking/list_items.h"
#include "ranking/list_mse.h"
#include "ranking/list_output.h"
#include "ranking/list_sweep.h"
#include "ranking/list_tiles.h"
#include "ranking/ranking.h"

namespace tf_pairwise {
namespace {

// Where the lists are, and which of them are worth all threads by themselves:
// a function of the shapes alone.
struct ListShapes {
  explicit ListShapes(const ListRankingLoss& of) : problem(of) {
    for (int64_t list = 0; list < problem.lists; ++list) {
      const double size = static_cast<double>(Size(list));
      work += Cost(size);
      longest = Size(list) > longest ? Size(list) : longest;
    }
    for (int64_t list = 0; list < problem.lists; ++list) {
      if (IsLong(list)) continue;
      longest_short = Size(list) > longest_short ? Size(list) : longest_short;
    }
  }

  int64_t Begin(int64_t list) const {
    return problem.ragged ? problem.row_splits[list] : list * problem.list_size;
  }
  int64_t Size(int64_t list) const {
    return problem.ragged
               ? problem.row_splits[list + 1] - problem.row_splits[list]
               : problem.list_size;
  }

  // In cycles, about.
  double Cost(double size) const {
    return InTiles(problem) ? size * (64 + size) : size * 200;
  }

  bool IsLong(int64_t list) const {
    const int64_t size = Size(list);
    return InTiles(problem) && size > 3 * kListBlock &&
           16 * Cost(static_cast<double>(size)) > work;
  }

  const ListRankingLoss& problem;
  double work = 0;
  int64_t longest = 0, longest_short = 0;
};

// The arrays of a call.
template <typename T>
struct CallLayout {
  ListShapes shapes;
  LossSums* sums;       // [lists]
  double* discounts;    // [longest], of the ranks from 1
  int64_t* unit_begin;  // [lists + 1], the lists of a unit of work
  char* worker_lists;   // of the workers, one after another
  int64_t list_bytes;
  char* long_list;

  CallLayout(const ListRankingLoss& problem, Scratch& scratch, int workers)
      : shapes(problem) {
    sums = scratch.Take<LossSums>(problem.lists);
    discounts = scratch.Take<double>(NeedsRanks(problem) ? shapes.longest : 0);
    unit_begin = scratch.Take<int64_t>(problem.lists + 1);
    list_bytes = ListBytes(shapes.longest_short);
    worker_lists = scratch.Take<char>(list_bytes * workers);
    long_list = scratch.Take<char>(
        shapes.longest > shapes.longest_short ? ListBytes(shapes.longest) : 0);
  }

  int64_t ListBytes(int64_t capacity) const {
    Scratch scratch(nullptr);
    ListLayout<T>(shapes.problem, capacity, scratch);
    return scratch.bytes();
  }

  ListLayout<T> ListOf(int worker) const {
    Scratch scratch(worker_lists + worker * list_bytes);
    return ListLayout<T>(shapes.problem, shapes.longest_short, scratch);
  }

  ListLayout<T> LongList() const {
    Scratch scratch(long_list);
    return ListLayout<T>(shapes.problem, shapes.longest, scratch);
  }
};

// Every two blocks of items meet once. In a round of the tournament a block
// meets one other, so that the tiles of a round write to different items, and
// the order in which an item's sums are made is that of the rounds.
template <typename T>
void AddTiles(const ListRankingLoss& problem, bool with_gradient,
              const Items<T>& items, const ParallelFor& parallel) {
  const int64_t blocks = Blocks(items.count, kListBlock);
  const TileRounds rounds = {true, blocks, blocks};
  for (int64_t round = 0; round < rounds.rounds(); ++round) {
    parallel(rounds.places(), kListBlock * kListBlock * 4.0,
             [&](int64_t place, int) {
               int64_t row_block, column_block;
               if (!rounds.Tile(round, place, &row_block, &column_block))
                 return;
               Block block;
               block.row = row_block * kListBlock;
               block.rows = Least(items.count - block.row, kListBlock);
               block.column = column_block * kListBlock;
               block.columns = Least(items.count - block.column, kListBlock);
               if (items.lower[block.row] >= block.column + block.columns)
                 return;
               AddListTile<T>(problem, with_gradient, items, block);
             });
  }
}

// One list: its losses, the gradient of their sum, and their sums.
template <typename T>
LossSums RunList(const ListRankingLoss& problem, const double* discounts,
                 const ListInput<T>& input, const ListOutput<T>& output,
                 ListLayout<T>& list, const ParallelFor& parallel) {
  const bool with_gradient = output.gradient != nullptr;
  for (int64_t k = 0; k < input.size; ++k) {
    if (output.losses != nullptr) output.losses[k] = 0;
    if (with_gradient) output.gradient[k] = 0;
  }
  bool finite = true;
  if (!GatherItems(problem, input, list, &finite)) return LossSums();
  if (!finite) return AllNan(problem, list, output);
  if (problem.term == RankingTerm::kMse) {
    MeanSquares(problem, list);
    return StoreItems(problem, 1.0, list, output);
  }
  if (InTiles(problem)) {
    if (NeedsRanks(problem)) RankItems(problem, discounts, input.size, list);
    AddTiles(problem, with_gradient, list.items, parallel);
  } else {
    SortByScore(input.size, list);
    SweepHinge(problem, with_gradient, list);
  }
  return StoreItems(problem, InverseTemperature<T>(problem.temperature), list,
                    output);
}

// List number `list` of a call.
template <typename T>
LossSums RunListOf(const CallLayout<T>& layout, const ListRankingArrays& arrays,
                   int64_t number, ListLayout<T>& list,
                   const ParallelFor& parallel) {
  const ListRankingLoss& problem = layout.shapes.problem;
  const int64_t begin = layout.shapes.Begin(number);
  const auto at = [&](void* array) {
    return array == nullptr ? nullptr : static_cast<T*>(array) + begin;
  };
  ListInput<T> input;
  input.size = layout.shapes.Size(number);
  input.relevance = arrays.relevance + begin;
  input.mask = problem.masked ? arrays.mask + begin : nullptr;
  input.weights = at(const_cast<void*>(arrays.weights));
  input.scores = static_cast<const T*>(arrays.scores) + begin;
  if constexpr (std::is_same_v<T, float>) {
    if (SizeOf(problem.dtype) == 2) {
      WidenScores(problem.dtype, input.size,
                  static_cast<const char*>(arrays.scores) + 2 * begin,
                  list.widened);
      input.scores = list.widened;
    }
  }
  const ListOutput<T> output = {
      problem.reduction == Reduction::kNone ? at(arrays.loss) : nullptr,
      at(arrays.scores_grad)};
  return RunList(problem, layout.discounts, input, output, list, parallel);
}

// Units of lists that are worth a thread's while together; returns how many.
template <typename T>
int64_t MakeUnits(const CallLayout<T>& layout) {
  constexpr double kUnitCycles = 1 << 16;
  const ListShapes& shapes = layout.shapes;
  int64_t units = 0;
  double cost = kUnitCycles;
  for (int64_t list = 0; list < shapes.problem.lists; ++list) {
    if (cost >= kUnitCycles) {
      layout.unit_begin[units++] = list;
      cost = 0;
    }
    if (!shapes.IsLong(list)) {
      cost += 50 + shapes.Cost(static_cast<double>(shapes.Size(list)));
    }
  }
  layout.unit_begin[units] = shapes.problem.lists;
  return units;
}

// The sums over all lists; of kMeanLists, of their means, counted.
LossSums TotalOf(const ListRankingLoss& problem, const LossSums* lists) {
  LossSums total;
  for (int64_t list = 0; list < problem.lists; ++list) {
    const LossSums& sums = lists[list];
    if (problem.reduction != Reduction::kMeanLists) {
      total.Add(sums);
    } else if (sums.counted != 0) {
      total.Add({sums.sum / sums.counted, 1, 1});
    }
  }
  return total;
}

template <typename T>
void RunLists(const ListRankingLoss& problem, const ListRankingArrays& arrays,
              void* base, const ParallelFor& parallel) {
  Scratch scratch(base);
  const CallLayout<T> layout(problem, scratch, parallel.workers);
  const ListShapes& shapes = layout.shapes;
  for (int64_t r = 0; NeedsRanks(problem) && r < shapes.longest; ++r) {
    layout.discounts[r] = RankDiscount(static_cast<double>(r + 1),
                                       static_cast<double>(problem.topn));
  }
  const int64_t units = MakeUnits(layout);
  const double unit_cost =
      units == 0 ? 0 : shapes.work / static_cast<double>(units) + 50;
  // `function(list)` for each list of a unit.
  const auto of_unit = [&](int64_t unit, const auto& function) {
    for (int64_t list = layout.unit_begin[unit];
         list < layout.unit_begin[unit + 1]; ++list) {
      function(list);
    }
  };
  parallel(units, unit_cost, [&](int64_t unit, int worker) {
    ListLayout<T> room = layout.ListOf(worker);
    of_unit(unit, [&](int64_t list) {
      if (shapes.IsLong(list)) return;
      layout.sums[list] = RunListOf(layout, arrays, list, room, ParallelFor());
    });
  });
  for (int64_t list = 0;
       shapes.longest > shapes.longest_short && list < problem.lists; ++list) {
    if (!shapes.IsLong(list)) continue;
    ListLayout<T> room = layout.LongList();
    layout.sums[list] = RunListOf(layout, arrays, list, room, parallel);
  }

  const LossSums total = TotalOf(problem, layout.sums);
  const bool by_list = problem.reduction == Reduction::kMeanLists;
  const double scale =
      by_list ? InverseOf(total.counted) : ScaleOf(problem.reduction, total);
  if (problem.reduction != Reduction::kNone && arrays.loss != nullptr) {
    const bool nothing = scale == 0 && total.sum == total.sum;
    StoreLoss(problem.dtype, nothing ? 0 : total.sum * scale, arrays.loss);
  }
  if (arrays.scores_grad == nullptr || (!by_list && scale == 1)) return;
  parallel(units, unit_cost / 50, [&](int64_t unit, int) {
    of_unit(unit, [&](int64_t list) {
      const double factor =
          by_list ? scale * InverseOf(layout.sums[list].counted) : scale;
      T* gradient = static_cast<T*>(arrays.scores_grad) + shapes.Begin(list);
      const int64_t size = shapes.Size(list);
      for (int64_t k = 0; k < size; ++k) {
        gradient[k] = factor == 0 ? T(0) : static_cast<T>(factor * gradient[k]);
      }
    });
  });
}

}  // namespace

int64_t ListRankingLossScratchBytes(const ListRankingLoss& problem,
                                    int workers) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    CallLayout<decltype(compute)> layout(problem, scratch, workers);
    return scratch.bytes();
  });
}

Status ListRankingLossCpu(const ListRankingLoss& problem,
                          const ListRankingArrays& arrays, void* base,
                          const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  VisitCompute(problem.dtype, [&](auto compute) {
    RunLists<decltype(compute)>(problem, arrays, base, parallel);
  });
  return Ok();
}

}  // namespace tf_pairwise

// The losses over all pairs of lists: the steps that are put on a stream.

#include "core/scratch.h"
#include "cuda/driver.h"
#include "ranking/list_gather_gpu-inl.h"
#include "ranking/list_mse_gpu-inl.h"
#include "ranking/list_pairs_gpu-inl.h"
#include "ranking/list_ranks_gpu-inl.h"
#include "ranking/list_splits_gpu-inl.h"
#include "ranking/list_sums_gpu-inl.h"
#include "ranking/ranking.h"

namespace tf_pairwise {
namespace {

bool NeedsRanks(const ListRankingLoss& problem) {
  return problem.lambda == LambdaWeight::kDcg ||
         problem.lambda == LambdaWeight::kNdcg;
}
bool IsIdeal(const ListRankingLoss& problem) {
  return problem.lambda == LambdaWeight::kNdcg;
}
bool IsMse(const ListRankingLoss& problem) {
  return problem.term == RankingTerm::kMse;
}
bool CountsUnequal(const ListRankingLoss& problem) {
  return IsMse(problem) && problem.reduction == Reduction::kMeanNonzero;
}

// A call's scratch.
template <typename T>
struct GpuLayout {
  int64_t blocks, sums_blocks;
  int64_t* row_splits;  // the device's
  GpuItems<T> items;
  LossSums* parts;   // [blocks], but for mse
  LossSums* sums;    // [lists]
  LossSums* totals;  // [sums_blocks]
  double* scale;

  GpuLayout(const ListRankingLoss& problem, Scratch& scratch) {
    const int64_t lists = problem.lists, n = problem.items;
    blocks = n / kListRows + lists;
    sums_blocks = Least(Blocks(lists, kListSumsWarps), 256);
    const auto where = [](bool wanted, int64_t count) {
      return wanted ? count : 0;
    };
    row_splits = scratch.Take<int64_t>(where(problem.ragged, lists + 1));
    items.lists = {lists, problem.list_size,
                   problem.ragged ? row_splits : nullptr};
    items.heads = scratch.Take<ListHead>(lists);
    items.list_of = scratch.Take<int32_t>(blocks);
    items.scores = scratch.Take<T>(n);
    items.weights = scratch.Take<T>(n);
    items.relevance = scratch.Take<double>(n);
    items.offsets = scratch.Take<int32_t>(n);
    items.gains = scratch.Take<double>(where(NeedsRanks(problem), n));
    items.discounts = scratch.Take<T>(where(NeedsRanks(problem), n));
    items.ideal = scratch.Take<double>(where(IsIdeal(problem), blocks));
    items.unequal = scratch.Take<int32_t>(where(CountsUnequal(problem), n));
    if (!CountsUnequal(problem)) items.unequal = nullptr;
    parts = scratch.Take<LossSums>(where(!IsMse(problem), blocks));
    if (IsMse(problem)) parts = nullptr;
    sums = scratch.Take<LossSums>(lists);
    totals = scratch.Take<LossSums>(sums_blocks);
    scale = scratch.Take<double>(1);
  }
};

template <typename T>
struct ListCall {
  const ListRankingLoss& problem;
  const ListRankingArrays& arrays;
  GpuLayout<T> layout;
  GpuListOutput<T> output;
  const Stream& stream;

  Grid PerList() const { return {problem.lists, 1, 1}; }
  Grid PerRows() const { return {layout.blocks, 1, 1}; }

  template <typename S>
  Status Gather() const {
    return Launch<ListGatherKernel<S>>(
        stream, PerList(),
        {static_cast<const S*>(arrays.scores), arrays.relevance,
         problem.masked ? arrays.mask : nullptr,
         static_cast<const T*>(arrays.weights), !IsMse(problem), layout.items,
         output});
  }

  Status Squares() const {
    if (layout.items.unequal != nullptr) {
      TF_PAIRWISE_RETURN_IF_ERROR(
          Launch<ListUnequalKernel<T>>(stream, PerRows(), {layout.items}));
    }
    return Launch<ListSquaresKernel<T>>(stream, PerList(),
                                        {layout.items, output, layout.sums});
  }

  template <class Pair, class Lambda>
  Status Pairs() const {
    using K = ListPairsKernel<T, Pair, Lambda>;
    using V = typename K::V;
    typename K::Arguments arguments = {
        layout.items,
        static_cast<V>(problem.margin),
        InverseTemperature<T>(problem.temperature),
        1.0,
        InverseTemperature<T>(problem.temperature),
        IsIdeal(problem),
        output,
        layout.parts};
    if constexpr (kExcessInScores<Pair, Lambda>) {
      arguments.margin = problem.margin * problem.temperature;
      arguments.inverse_temperature = 1;
      arguments.loss_scale = InverseTemperature<double>(problem.temperature);
    }
    return Launch<K>(stream, PerRows(), arguments);
  }

  template <class Pair>
  Status PairsOf() const {
    switch (problem.lambda) {
      case LambdaWeight::kNone:
        return Pairs<Pair, NoLambda>();
      case LambdaWeight::kLabelDiff:
        return Pairs<Pair, LabelDiffLambda>();
      default:
        return Pairs<Pair, DcgLambda>();
    }
  }

  // The losses, the gradient of their sum, and the sums.
  Status Run() const {
    if (NeedsRanks(problem)) {
      TF_PAIRWISE_RETURN_IF_ERROR(Launch<ListRanksKernel<T>>(
          stream, PerRows(),
          {layout.items, static_cast<double>(problem.topn), IsIdeal(problem)}));
    }
    switch (problem.term) {
      case RankingTerm::kLogistic:
        return PairsOf<LogisticPair>();
      case RankingTerm::kHinge:
        return PairsOf<HingePair>();
      case RankingTerm::kSoftZeroOne:
        return PairsOf<SoftZeroOnePair>();
      default:
        return Squares();
    }
  }

  Status Reduce() const {
    const bool means = problem.reduction == Reduction::kMeanLists;
    TF_PAIRWISE_RETURN_IF_ERROR(Launch<ListSumsKernel>(
        stream, {layout.sums_blocks, 1, 1},
        {layout.items.lists, layout.parts, layout.sums, means, layout.totals}));
    TF_PAIRWISE_RETURN_IF_ERROR(Launch<ListLossKernel>(
        stream, Grid(),
        {layout.totals, layout.sums_blocks, problem.dtype, problem.reduction,
         arrays.loss, layout.scale}));
    if (output.gradient == nullptr || problem.reduction == Reduction::kSum) {
      return Ok();
    }
    using K = ListScaleKernel<T>;
    const Grid all = {Least(Blocks(problem.items, K::kThreads), 4096), 1, 1};
    return Launch<K>(
        stream, means ? PerList() : all,
        {layout.items.lists, problem.items, means ? layout.sums : nullptr,
         layout.scale, output.gradient});
  }
};

// The row splits to the device, as many at a time as a kernel's arguments hold.
Status SendSplits(const ListRankingLoss& problem, int64_t* to,
                  const Stream& stream) {
  for (int64_t first = 0; first <= problem.lists;) {
    const int64_t* splits = problem.row_splits + first;
    ListSplitsKernel::Arguments some = {to + first, splits[0], 0, {}};
    const int64_t left = problem.lists + 1 - first;
    while (some.count < Least(left, ListSplitsKernel::kMost) &&
           splits[some.count] - splits[0] <= 0xFFFFFFFFll) {
      some.offsets[some.count] =
          static_cast<uint32_t>(splits[some.count] - splits[0]);
      ++some.count;
    }
    TF_PAIRWISE_RETURN_IF_ERROR(Launch<ListSplitsKernel>(stream, Grid(), some));
    first += some.count;
  }
  return Ok();
}

template <typename S>
Status RunLists(const ListRankingLoss& problem, const ListRankingArrays& arrays,
                void* base, const Stream& stream) {
  using T = Computed<S>;
  Scratch scratch(base);
  ListCall<T> call = {
      problem, arrays, GpuLayout<T>(problem, scratch), {}, stream};
  const bool reduced = problem.reduction != Reduction::kNone;
  call.output.losses = reduced ? nullptr : static_cast<T*>(arrays.loss);
  call.output.gradient = static_cast<T*>(arrays.scores_grad);
  if (arrays.weights == nullptr) call.layout.items.weights = nullptr;
  if (problem.ragged) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        SendSplits(problem, call.layout.row_splits, stream));
  }
  TF_PAIRWISE_RETURN_IF_ERROR(call.template Gather<S>());
  TF_PAIRWISE_RETURN_IF_ERROR(call.Run());
  return reduced ? call.Reduce() : Ok();
}

}  // namespace

int64_t ListRankingLossGpuScratchBytes(const ListRankingLoss& problem) {
  return VisitCompute(problem.dtype, [&](auto compute) {
    Scratch scratch(nullptr);
    GpuLayout<decltype(compute)> layout(problem, scratch);
    return scratch.bytes();
  });
}

Status ListRankingLossGpu(const ListRankingLoss& problem,
                          const ListRankingArrays& arrays, void* scratch,
                          const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return VisitGpuType(problem.dtype, [&](auto type) {
    return RunLists<decltype(type)>(problem, arrays, scratch, stream);
  });
}

}  // namespace tf_pairwise

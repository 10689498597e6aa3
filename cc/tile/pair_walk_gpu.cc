#include <cstdlib>

#include "tile/pair_walk.h"

namespace tf_pairwise {
namespace {

constexpr int64_t kRows = 64;  // PairTilesKernel::kRows

template <class P>
int64_t BytesOf(int width) {
  return width <= 128 ? PairTilesBytes<P, 128>() : PairTilesBytes<P, 256>();
}

// Two blocks for each SM of a large GPU, twice.
int64_t BlocksWanted() {
  const char* const said = std::getenv("TF_PAIRWISE_GPU_BLOCKS");
  const int64_t blocks = said == nullptr ? 0 : std::atoll(said);
  return blocks > 0 ? blocks : 512;
}

}  // namespace

int PairTilesWidth(int64_t d) {
  return d <= 64 ? 64 : d <= 128 ? 128 : d <= 256 ? 256 : 0;
}

PairSplits SplitPairs(int64_t rows, int64_t columns, int width) {
  const int64_t enough = BlocksWanted();
  const int64_t tile = width > 128 ? 32 : 64;
  PairSplits splits;
  splits.row_blocks = Blocks(rows, kRows);
  int64_t wanted = 1;
  while (wanted * splits.row_blocks < enough && wanted * tile < columns) {
    wanted *= 2;
  }
  splits.split_columns = RoundUp(Blocks(columns, wanted), tile);
  if (splits.split_columns == 0) splits.split_columns = tile;
  splits.splits = columns == 0 ? 1 : Blocks(columns, splits.split_columns);
  return splits;
}

bool PairWalk::Fits(const PairSet& pairs) {
  const int width = PairTilesWidth(pairs.d);
  if (width == 0 || pairs.dtype == DType::kFloat64) return false;
  // Of two metrics that differ by more than a root, both have to be products,
  // without a factor of the point.
  const bool same = WithoutRoot(pairs.metric) == WithoutRoot(pairs.product);
  const auto fits = [&](Metric of) {
    return VisitMetric(of, [&](auto metric) {
      using M = decltype(metric);
      return same ? IsProduct<M>() : M::kForm == GradientForm::kProduct;
    });
  };
  if (!fits(pairs.metric) || !fits(pairs.product)) return false;
  const bool cuda_cores =
      ProductsFor(pairs.dtype, pairs.metric) == GpuProducts::kCudaCores;
  const int64_t bytes =
      cuda_cores ? BytesOf<CudaCores>(width) : BytesOf<Tf32>(width);
  return bytes <= CurrentGpuLimits().shared_bytes;
}

bool PairWalk::Takes(const PairSet& pairs) {
  return (pairs.self ||
          ProductsFor(pairs.dtype, pairs.metric) != GpuProducts::kCudaCores) &&
         Fits(pairs);
}

ProductMetric PairWalk::ProductOf(Metric metric) {
  return VisitMetric(metric, [](auto m) {
    using M = decltype(m);
    if constexpr (IsProduct<M>()) {
      return ProductMetricOf<M>();
    } else {
      return ProductMetric();
    }
  });
}

void PairWalk::LayOut(Scratch& scratch, const PairSet& pairs, bool gradient,
                      bool split_sums) {
  const int width = PairTilesWidth(pairs.d);
  rows_ = SplitPairs(pairs.n, pairs.m, width);
  columns_ = SplitPairs(pairs.m, pairs.n, width);
  sides.LayOut(scratch, pairs, gradient, split_sums ? rows_.splits : 1,
               split_sums ? columns_.splits : 1);
}

}  // namespace tf_pairwise

#include <type_traits>

#include "cuda/driver.h"
#include "tile/distances_gpu-inl.h"
#include "tile/gradients_gpu-inl.h"
#include "tile/pairs_gpu-inl.h"
#include "tile/strip_walk.h"

namespace tf_pairwise {
namespace {

// A strip of few rows has few tiles of its rows' sums; its columns are split,
// for other blocks to sum up, until there are about kBlocks, but into no fewer
// than kLeast columns each. A sum of more than kMost is split anyway: rounding
// grows with its length. Decided by the shape alone.
constexpr int64_t kBlocks = 256, kLeast = 256, kMost = 1024;

int64_t SplitsOf(int64_t columns, int64_t tiles, int64_t most) {
  const int64_t needed = Blocks(kBlocks, tiles < 1 ? 1 : tiles);
  int64_t splits = Least(Blocks(columns, kLeast), needed);
  const int64_t for_rounding = Blocks(columns, kMost);
  if (splits < for_rounding) splits = for_rounding;
  splits = Least(splits, most);
  return splits < 1 ? 1 : splits;
}

GradientForm FormOf(Metric metric) {
  return VisitMetric(metric, [](auto m) { return decltype(m)::kForm; });
}

// f(policy) of what makes the products.
template <typename T, class F>
Status VisitProducts(GpuProducts products, const F& f) {
  if constexpr (sizeof(T) == 4) {
    if (products == GpuProducts::kTf32) return f(Tf32());
    if (products == GpuProducts::kTf32x3) return f(Tf32x3());
  }
  return f(CudaCores());
}

// The sums of one side.
template <typename T, bool kTransposed>
Status Accumulate(Metric metric, GpuProducts products,
                  const AccumulateArguments<T>& arguments,
                  const Stream& stream) {
  constexpr int kTile = TileShape<T>::kTile;
  const int64_t owns =
      kTransposed ? arguments.weights.columns : arguments.weights.rows;
  const Grid grid = {Blocks(owns, kTile), Blocks(arguments.row_stride, kTile),
                     arguments.splits};
  if (FormOf(metric) == GradientForm::kCoordinates) {
    return Launch<AccumulateKernel<T, true, kTransposed>>(stream, grid,
                                                          arguments);
  }
  return VisitProducts<T>(products, [&](auto policy) {
    using K = AccumulateKernel<T, false, kTransposed, decltype(policy)>;
    return Launch<K>(stream, grid, arguments);
  });
}

// The distances of a metric, by what makes the products of its points, if it
// has any.
template <class M, class Policy, typename T>
Status LaunchDistances(const Grid& grid, const DistancesArguments<T>& arguments,
                       const Stream& stream) {
  // Long sums of points that are tf32 are made as those of floats.
  using Products =
      std::conditional_t<std::is_same_v<Policy, Tf32>, Tf32x3, Policy>;
  using Deep = DistancesKernel<M, T, true, Products>;
  if (arguments.stride > Deep::kDepthBlock) {
    return Launch<Deep>(stream, grid, arguments);
  }
  return Launch<DistancesKernel<M, T, false, Policy>>(stream, grid, arguments);
}

template <typename T>
Status AddPartials(const T* partials, int64_t splits, int64_t elements, T* sums,
                   const Stream& stream) {
  using K = AddPartialsKernel<T>;
  return Launch<K>(stream, {Least(Blocks(elements, K::kThreads), 65536)},
                   {partials, splits, elements, sums});
}

template <typename T, bool kLargest, bool kTransposed>
Status TakePairs(const GpuOperand<T>& own, const GpuOperand<T>& other,
                 const StripWeights<T>& weights, const Stream& stream) {
  using K = PairsKernel<T, kLargest, kTransposed>;
  const int64_t own_first = kTransposed ? 0 : weights.first;
  const int64_t other_first = kTransposed ? weights.first : 0;
  const int64_t owns = kTransposed ? weights.columns : weights.rows;
  return Launch<K>(stream, {Blocks(owns, K::kOwn)},
                   {weights, own.source + own_first * own.d,
                    other.source + other_first * own.d, own.d,
                    own.sums + own_first * own.stride, own.stride});
}

}  // namespace

template <typename T>
void StripWalk<T>::LayOut(Scratch& scratch, const PairSet& pairs,
                          const StripOptions& options) {
  sides.LayOut(scratch, pairs, options.gradient);
  distances_ = options.distances;
  constexpr int64_t kPadding = GpuOperand<T>::kRowPadding;
  // What a strip takes, so that it stays in a GPU's second cache.
  constexpr int64_t kElements = int64_t{8} * 1024 * 1024;
  const int64_t rows =
      options.exchanged && pairs.m > pairs.n ? pairs.m : pairs.n;
  const int64_t columns =
      options.exchanged && pairs.n > pairs.m ? pairs.n : pairs.m;
  stride_ = RoundUp(columns, kPadding);
  const int64_t most = kElements / (stride_ < 1 ? 1 : stride_) / kPadding;
  strip_rows_ =
      Least((most < 1 ? 1 : most) * kPadding, RoundUp(rows, kPadding));
  if (strip_rows_ < kPadding) strip_rows_ = kPadding;
  values_ = scratch.Take<T>(strip_rows_ * stride_);
  if (!options.gradient) return;
  constexpr int kTile = TileShape<T>::kTile;
  near_.stride = stride_ / 32;
  near_.bits = scratch.Take<uint32_t>(strip_rows_ * near_.stride);
  near_.tiles_stride = stride_ / kTile;
  near_.tiles = scratch.Take<int32_t>(strip_rows_ / kTile * near_.tiles_stride);
  // No more than make their sums a few strips.
  const int64_t point_stride = sides.x.stride;
  splits_ = SplitsOf(pairs.m,
                     Blocks(strip_rows_, kTile) * Blocks(point_stride, kTile),
                     4 * stride_ / point_stride);
  if (splits_ > 1) {
    partials_ = scratch.Take<T>(splits_ * strip_rows_ * (point_stride + 1));
  }
}

template <typename T>
Status MakeGpuDistances(const GpuOperand<T>& x, const GpuOperand<T>& y,
                        const Strip<T>& strip, const NearBits& near,
                        const Stream& stream) {
  constexpr int kTile = TileShape<T>::kTile;
  const DistancesArguments<T> arguments = {x.rows,
                                           y.rows,
                                           x.term,
                                           y.term,
                                           x.inverse_norm,
                                           x.source,
                                           y.source,
                                           x.n,
                                           y.n,
                                           x.d,
                                           x.stride,
                                           strip.row,
                                           strip.diagonal,
                                           strip.values,
                                           strip.stride,
                                           strip.rows,
                                           strip.columns,
                                           near.bits,
                                           near.stride,
                                           near.tiles,
                                           near.tiles_stride};
  const Grid grid = {Blocks(strip.columns, kTile), Blocks(strip.rows, kTile)};
  return VisitMetric(x.product, [&](auto metric) {
    using M = decltype(metric);
    if constexpr (IsProduct<M>()) {
      return VisitProducts<T>(x.products, [&](auto policy) {
        using Policy = decltype(policy);
        return LaunchDistances<M, Policy>(grid, arguments, stream);
      });
    } else {
      return LaunchDistances<M, CudaCores>(grid, arguments, stream);
    }
  });
}

template <typename T>
Status StripWalk<T>::TakeStrip(const GpuSides<T>& of, const Strip<T>& strip,
                               const Stream& stream) const {
  if (strip.rows == 0 || strip.columns == 0 || of.x.d == 0) return Ok();
  constexpr int kTile = TileShape<T>::kTile;
  const GpuOperand<T>&x = of.x, &y = of.right();
  const bool near = FormOf(x.metric) == GradientForm::kDifference &&
                    FormOf(x.product) == GradientForm::kDifference;
  const StripWeights<T> weights = {
      strip.values, strip.stride,  strip.row,
      strip.rows,   strip.columns, near ? near_.bits : nullptr,
      near_.stride, near_.tiles,   near_.tiles_stride};
  if (FormOf(x.metric) == GradientForm::kLargest) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        (TakePairs<T, true, false>(x, y, weights, stream)));
    return TakePairs<T, true, true>(y, x, weights, stream);
  }
  const bool factor = FormOf(x.metric) == GradientForm::kDifference;
  AccumulateArguments<T> rows = {weights,
                                 x.rows + strip.row * x.stride,
                                 y.rows,
                                 x.stride,
                                 x.sums + strip.row * x.stride,
                                 factor ? x.factor + strip.row : nullptr,
                                 partials_,
                                 strip.columns,
                                 splits_};
  if (splits_ > 1) {
    rows.split_length =
        RoundUp(Blocks(strip.columns, splits_), TileShape<T>::kDepth);
    rows.splits = Blocks(strip.columns, rows.split_length);
  }
  TF_PAIRWISE_RETURN_IF_ERROR(
      (Accumulate<T, false>(x.metric, x.products, rows, stream)));
  if (splits_ > 1) {
    const int64_t owns = RoundUp(strip.rows, kTile);
    const int64_t elements = owns * x.stride;
    TF_PAIRWISE_RETURN_IF_ERROR(
        AddPartials(partials_, rows.splits, elements, rows.sums, stream));
    if (factor) {
      TF_PAIRWISE_RETURN_IF_ERROR(
          AddPartials(partials_ + rows.splits * elements, rows.splits, owns,
                      rows.factor, stream));
    }
  }
  const AccumulateArguments<T> columns = {
      weights,  y.rows,     x.rows + strip.row * x.stride,
      x.stride, y.sums,     factor ? y.factor : nullptr,
      nullptr,  strip.rows, 1};
  TF_PAIRWISE_RETURN_IF_ERROR(
      (Accumulate<T, true>(y.metric, y.products, columns, stream)));
  if (!near) return Ok();
  TF_PAIRWISE_RETURN_IF_ERROR(
      (TakePairs<T, false, false>(x, y, weights, stream)));
  return TakePairs<T, false, true>(y, x, weights, stream);
}

template Status MakeGpuDistances<float>(const GpuOperand<float>&,
                                        const GpuOperand<float>&,
                                        const Strip<float>&, const NearBits&,
                                        const Stream&);
template Status MakeGpuDistances<double>(const GpuOperand<double>&,
                                         const GpuOperand<double>&,
                                         const Strip<double>&, const NearBits&,
                                         const Stream&);
template class StripWalk<float>;
template class StripWalk<double>;

}  // namespace tf_pairwise

#include <type_traits>

#include "ranking/list_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ranking/list_tiles_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "ranking/ranking_pair-inl.h"
#include "simd/convert-inl.h"
#include "simd/dispatch.h"

#ifndef TF_PAIRWISE_RANKING_LIST_TILES_CPU_ONCE_
#define TF_PAIRWISE_RANKING_LIST_TILES_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  void (*tile)(const ListRankingLoss& problem, bool with_gradient,
               const Items<T>& items, const Block& block);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
  void (*widen)(DType dtype, int64_t count, const void* scores, float* out);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_RANKING_LIST_TILES_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// An item's row of a tile: its pairs with items [begin, end).
template <class Pair, class Lambda, bool kGradient, typename T>
struct TileRow {
  using V = VecT<T>;
  const Items<T>& items;
  V margin, inverse_temperature;
  bool count_nonzero;
  T* pulled;  // of the columns, from `column` on
  int64_t column;
  // Of the row.
  V score, weight, gain, discount;
  V losses, slopes;
  int64_t nonzero;

  HWY_INLINE void Start(int64_t i) {
    const Tag<T> tag;
    score = hn::Set(tag, items.scores[i]);
    weight = hn::Set(tag, items.weights[i]);
    gain = discount = losses = slopes = hn::Zero(tag);
    if constexpr (Lambda::kGains) gain = hn::Set(tag, items.gains[i]);
    if constexpr (Lambda::kDiscounts) {
      discount = hn::Set(tag, items.discounts[i]);
    }
    nonzero = 0;
  }

  template <bool kWhole>
  HWY_INLINE void Vector(int64_t k, int64_t some) {
    const Tag<T> tag;
    const V zero = hn::Zero(tag);
    const V x = hn::Mul(hn::Sub(hn::LoadU(tag, items.scores + k), score),
                        inverse_temperature);
    V loss, slope;
    Pair::Of(x, margin, loss, slope);
    if constexpr (Lambda::kGains) {
      V discounts = zero;
      if constexpr (Lambda::kDiscounts) {
        discounts = hn::LoadU(tag, items.discounts + k);
      }
      const V lambda = Lambda::Of(gain, hn::LoadU(tag, items.gains + k),
                                  discount, discounts);
      loss = Weighted(lambda, loss);
      slope = hn::Mul(lambda, slope);
    }
    if constexpr (!kWhole) {
      const auto real = hn::FirstN(tag, static_cast<size_t>(some));
      loss = hn::IfThenElseZero(real, loss);
      slope = hn::IfThenElseZero(real, slope);
    }
    losses = hn::Add(losses, loss);
    if constexpr (kGradient) {
      slopes = hn::Add(slopes, slope);
      T* to = pulled + (k - column);
      hn::StoreU(hn::MulAdd(weight, slope, hn::LoadU(tag, to)), tag, to);
    }
    if (count_nonzero) {
      nonzero += static_cast<int64_t>(hn::CountTrue(tag, hn::Gt(loss, zero)));
    }
  }
};

template <class Pair, class Lambda, bool kGradient, typename T>
void TileOf(const ListRankingLoss& problem, const Items<T>& items,
            const Block& block) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const int64_t column = block.column, end = column + block.columns;
  T pulled[kListBlock + kListPadding];
  for (int64_t k = 0; kGradient && k < block.columns; k += lanes) {
    hn::StoreU(hn::Zero(tag), tag, pulled + k);
  }
  const VecT<T> zero = hn::Zero(tag);
  TileRow<Pair, Lambda, kGradient, T> row = {
      items,
      hn::Set(tag, static_cast<T>(problem.margin)),
      hn::Set(tag, InverseTemperature<T>(problem.temperature)),
      problem.reduction == Reduction::kMeanNonzero,
      pulled,
      column,
      zero,
      zero,
      zero,
      zero,
      zero,
      zero,
      0};
  for (int64_t i = block.row; i < block.row + block.rows; ++i) {
    const int64_t begin = items.lower[i] > column ? items.lower[i] : column;
    if (begin >= end) break;  // lower does not decrease
    row.Start(i);
    int64_t k = begin;
    for (; k + lanes <= end; k += lanes) row.template Vector<true>(k, lanes);
    if (k < end) row.template Vector<false>(k, end - k);
    items.loss[i] += SumToDouble(tag, row.losses);
    if constexpr (kGradient) items.slope[i] += SumToDouble(tag, row.slopes);
    items.nonzero[i] += static_cast<double>(row.nonzero);
  }
  for (int64_t k = 0; kGradient && k < block.columns; ++k) {
    items.pulled[column + k] += static_cast<double>(pulled[k]);
  }
}

template <class Pair, class Lambda, typename T>
void TileOf(const ListRankingLoss& problem, bool with_gradient,
            const Items<T>& items, const Block& block) {
  with_gradient ? TileOf<Pair, Lambda, true>(problem, items, block)
                : TileOf<Pair, Lambda, false>(problem, items, block);
}

template <class Pair, typename T>
void TileOf(const ListRankingLoss& problem, bool with_gradient,
            const Items<T>& items, const Block& block) {
  switch (problem.lambda) {
    case LambdaWeight::kNone:
      return TileOf<Pair, NoLambda>(problem, with_gradient, items, block);
    case LambdaWeight::kLabelDiff:
      return TileOf<Pair, LabelDiffLambda>(problem, with_gradient, items,
                                           block);
    case LambdaWeight::kDcg:
    case LambdaWeight::kNdcg:  // its gains are divided already
      return TileOf<Pair, DcgLambda>(problem, with_gradient, items, block);
  }
}

template <typename T>
void Tile(const ListRankingLoss& problem, bool with_gradient,
          const Items<T>& items, const Block& block) {
  switch (problem.term) {
    case RankingTerm::kLogistic:
      return TileOf<LogisticPair>(problem, with_gradient, items, block);
    case RankingTerm::kSoftZeroOne:
      return TileOf<SoftZeroOnePair>(problem, with_gradient, items, block);
    case RankingTerm::kHinge:  // with other lambda weights it is sorted
      return TileOf<HingePair, DcgLambda>(problem, with_gradient, items, block);
    case RankingTerm::kMse:  // never in tiles
      return;
  }
}

void Widen(DType dtype, int64_t count, const void* scores, float* out) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    if constexpr (sizeof(S) == 2) {
      ForEachVector<float>(count, [&](int64_t k, int64_t some) HWY_ATTR {
        StoreCount(LoadCount(static_cast<const S*>(scores) + k, some), out + k,
                   some);
      });
    }
  });
}

template <typename T>
constexpr TableOf<T> kTableOf = {&Tile<T>};
constexpr Table kTable = {kTableOf<float>, kTableOf<double>, &Widen};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels() { TF_PAIRWISE_DISPATCH() }

}  // namespace

template <>
void AddListTile<float>(const ListRankingLoss& problem, bool with_gradient,
                        const Items<float>& items, const Block& block) {
  Kernels().narrow.tile(problem, with_gradient, items, block);
}
template <>
void AddListTile<double>(const ListRankingLoss& problem, bool with_gradient,
                         const Items<double>& items, const Block& block) {
  Kernels().wide.tile(problem, with_gradient, items, block);
}
void WidenScores(DType dtype, int64_t count, const void* scores, float* out) {
  Kernels().widen(dtype, count, scores, out);
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/scratch.h"
#include "core/sort.h"
#include "ranking/ranking.h"
#include "ranking/ranking_pair.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ranking/ranking_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/convert-inl.h"
#include "simd/dispatch.h"

#ifndef TF_PAIRWISE_RANKING_CPU_ONCE_
#define TF_PAIRWISE_RANKING_CPU_ONCE_
namespace tf_pairwise {
namespace {

// Items of a tile's side. Rounding depends on it, so it is fixed.
constexpr int64_t kBlock = 256;
// Elements that a vector may be read or written past an array's end.
constexpr int64_t kPadding = 16;

// A list's existing items by relevance, descending: item i is preferred to
// items [lower[i], count), and the tile of rows and columns needs no mask.
// Arrays have `count` elements, those of T kPadding more.
template <typename T>
struct Items {
  int64_t count = 0;
  T* scores = nullptr;
  T* gains = nullptr;      // of kLabelDiff (relevances), kDcg and kNdcg
  T* discounts = nullptr;  // of kDcg and kNdcg
  T* weights = nullptr;
  int32_t* lower = nullptr;
  // Sums over an item's pairs, in double. As the preferred item, without its
  // weight: losses, slopes, and pairs whose loss is not zero. As the other
  // item: the slopes times the preferred item's weight.
  double* loss = nullptr;
  double* slope = nullptr;
  double* nonzero = nullptr;
  double* pulled = nullptr;
};

// What a tile of pairs is made with.
template <typename T>
struct TileOptions {
  RankingTerm term;
  LambdaWeight lambda;
  T margin;
  T inverse_temperature;
  bool with_gradient;
  bool count_nonzero;
};

// Sums of a block of explicit pairs.
struct RankingSums {
  double sum, counted, nonzero;
};

struct RankingKernels {
  // Adds the pairs of rows [row, row + rows) with columns [column, column +
  // columns), of at most kBlock each.
  void (*narrow_tile)(const TileOptions<float>& options,
                      const Items<float>& items, int64_t row, int64_t rows,
                      int64_t column, int64_t columns);
  void (*wide_tile)(const TileOptions<double>& options,
                    const Items<double>& items, int64_t row, int64_t rows,
                    int64_t column, int64_t columns);
  // Halves to floats.
  void (*widen)(DType dtype, int64_t count, const void* in, float* out);
  RankingSums (*pairs)(const PairwiseRankingLoss& problem,
                       const PairwiseRankingArrays& arrays, int64_t begin,
                       int64_t end, double scale, bool with_gradient);
};

// 1 / temperature, finite in T, so that it times a zero is zero.
template <typename T>
T InverseTemperature(double temperature) {
  const double inverse = 1.0 / temperature;
  const double most =
      sizeof(T) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308;
  return static_cast<T>(inverse < most ? inverse : most);
}

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_RANKING_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// The loss of a vector of pairs, and with kGradient its slope. As in
// ranking_pair.h.
template <RankingTerm kTerm, bool kGradient, class D, class V = hn::Vec<D>>
HWY_INLINE void Term(D d, V x, V margin, V& loss, V& slope) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, T(1));
  if constexpr (kTerm == RankingTerm::kHinge) {
    const V z = hn::Add(margin, x);
    const auto out = hn::Le(z, hn::Zero(d));  // a NaN is kept
    loss = hn::IfThenZeroElse(out, z);
    slope = hn::IfThenZeroElse(out, hn::IfThenElse(hn::IsNaN(z), z, one));
  } else if constexpr (kTerm == RankingTerm::kLogistic) {
    if constexpr (kGradient) {
      SoftplusAndSigmoid(x, loss, slope);
    } else {
      V unused;
      SoftplusAndSigmoid(x, loss, unused);
    }
  } else {
    const V e = Exp(d, hn::Neg(hn::Abs(x)));
    const V inverse = hn::Div(one, hn::Add(one, e));
    const V other = hn::Mul(e, inverse);
    loss = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), other, inverse);
    slope = hn::Mul(other, inverse);
  }
}

template <typename T, RankingTerm kTerm, LambdaWeight kLambda, bool kGradient>
void TileOf(const TileOptions<T>& options, const Items<T>& items, int64_t row,
            int64_t rows, int64_t column, int64_t columns) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> zero = hn::Zero(tag);
  const VecT<T> margin = hn::Set(tag, options.margin);
  const VecT<T> inverse_temperature = hn::Set(tag, options.inverse_temperature);
  const int64_t end = column + columns;
  T pulled[kBlock + kPadding];
  if constexpr (kGradient) {
    for (int64_t k = 0; k < columns; k += lanes) {
      hn::StoreU(zero, tag, pulled + k);
    }
  }
  for (int64_t i = row; i < row + rows; ++i) {
    const int64_t begin = items.lower[i] > column ? items.lower[i] : column;
    if (begin >= end) break;  // lower does not decrease
    const VecT<T> score = hn::Set(tag, items.scores[i]);
    const VecT<T> weight = hn::Set(tag, items.weights[i]);
    VecT<T> gain = zero, discount = zero;
    if constexpr (kLambda != LambdaWeight::kNone) {
      gain = hn::Set(tag, items.gains[i]);
    }
    if constexpr (kLambda == LambdaWeight::kDcg) {
      discount = hn::Set(tag, items.discounts[i]);
    }
    VecT<T> losses = zero, slopes = zero;
    int64_t nonzero = 0;
    const auto step = [&](int64_t k, auto is_whole, int64_t some) HWY_ATTR {
      const VecT<T> x =
          hn::Mul(hn::Sub(hn::LoadU(tag, items.scores + k), score),
                  inverse_temperature);
      VecT<T> loss, slope = zero;
      Term<kTerm, kGradient>(tag, x, margin, loss, slope);
      if constexpr (kLambda != LambdaWeight::kNone) {
        VecT<T> lambda = hn::Sub(gain, hn::LoadU(tag, items.gains + k));
        if constexpr (kLambda == LambdaWeight::kDcg) {
          lambda = hn::Mul(
              lambda,
              hn::Abs(hn::Sub(discount, hn::LoadU(tag, items.discounts + k))));
        }
        loss = hn::Mul(lambda, loss);
        slope = hn::Mul(lambda, slope);
      }
      if constexpr (!decltype(is_whole)::value) {
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
      if (options.count_nonzero) {
        nonzero += static_cast<int64_t>(hn::CountTrue(tag, hn::Gt(loss, zero)));
      }
    };
    int64_t k = begin;
    for (; k + lanes <= end; k += lanes) step(k, std::true_type(), lanes);
    if (k < end) step(k, std::false_type(), end - k);
    items.loss[i] += SumToDouble(tag, losses);
    if constexpr (kGradient) items.slope[i] += SumToDouble(tag, slopes);
    if (options.count_nonzero) {
      items.nonzero[i] += static_cast<double>(nonzero);
    }
  }
  if constexpr (kGradient) {
    for (int64_t k = 0; k < columns; ++k) {
      items.pulled[column + k] += static_cast<double>(pulled[k]);
    }
  }
}

template <typename T>
void Tile(const TileOptions<T>& options, const Items<T>& items, int64_t row,
          int64_t rows, int64_t column, int64_t columns) {
  const auto run = [&](auto term, auto lambda) HWY_ATTR {
    constexpr RankingTerm kTerm = decltype(term)::value;
    constexpr LambdaWeight kLambda = decltype(lambda)::value;
    options.with_gradient ? TileOf<T, kTerm, kLambda, true>(
                                options, items, row, rows, column, columns)
                          : TileOf<T, kTerm, kLambda, false>(
                                options, items, row, rows, column, columns);
  };
  const auto run_lambda = [&](auto term) HWY_ATTR {
    switch (options.lambda) {
      case LambdaWeight::kNone:
        return run(term,
                   std::integral_constant<LambdaWeight, LambdaWeight::kNone>());
      case LambdaWeight::kLabelDiff:
        return run(
            term,
            std::integral_constant<LambdaWeight, LambdaWeight::kLabelDiff>());
      case LambdaWeight::kDcg:
      case LambdaWeight::kNdcg:  // its gains are divided already
        return run(term,
                   std::integral_constant<LambdaWeight, LambdaWeight::kDcg>());
    }
  };
  switch (options.term) {
    case RankingTerm::kLogistic:
      return run_lambda(
          std::integral_constant<RankingTerm, RankingTerm::kLogistic>());
    case RankingTerm::kSoftZeroOne:
      return run_lambda(
          std::integral_constant<RankingTerm, RankingTerm::kSoftZeroOne>());
    case RankingTerm::kHinge:  // the other lambdas are sorted
      return run(std::integral_constant<RankingTerm, RankingTerm::kHinge>(),
                 std::integral_constant<LambdaWeight, LambdaWeight::kDcg>());
    case RankingTerm::kMse:  // never in tiles
      return;
  }
}

void Widen(DType dtype, int64_t count, const void* in, float* out) {
  const auto widen = [&](auto type) HWY_ATTR {
    using S = decltype(type);
    ForEachVector<float>(count, [&](int64_t k, int64_t some) HWY_ATTR {
      StoreCount(LoadCount(static_cast<const S*>(in) + k, some), out + k, some);
    });
  };
  if (dtype == DType::kFloat16) widen(hwy::float16_t());
  if (dtype == DType::kBFloat16) widen(hwy::bfloat16_t());
}

// ---- explicit pairs ----

template <RankingTerm kTerm, typename S>
RankingSums PairsOf(const PairwiseRankingLoss& problem,
                    const PairwiseRankingArrays& arrays, int64_t begin,
                    int64_t end, double scale, bool with_gradient) {
  using T = Compute<S>;
  const Tag<T> tag;
  const S* positive = static_cast<const S*>(arrays.positive) + begin;
  const S* negative = static_cast<const S*>(arrays.negative) + begin;
  const auto at = [&](void* array) {
    return array == nullptr ? nullptr : static_cast<T*>(array) + begin;
  };
  const T* weights = at(const_cast<void*>(arrays.weights));
  T* losses = problem.reduction == Reduction::kNone ? at(arrays.loss) : nullptr;
  T* positive_grad = at(arrays.positive_grad);
  T* negative_grad = at(arrays.negative_grad);
  const VecT<T> one = hn::Set(tag, T(1));
  const VecT<T> margin = hn::Set(tag, static_cast<T>(problem.margin));
  const VecT<T> inverse_temperature =
      hn::Set(tag, InverseTemperature<T>(problem.temperature));
  const VecT<T> factor = hn::Set(
      tag, static_cast<T>(scale * InverseTemperature<T>(problem.temperature)));
  VecT<double> sum = hn::Zero(Tag<double>());
  VecT<double> counted = sum, nonzero = sum;
  ForEachVector<T>(end - begin, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> p = LoadCount(positive + k, some);
    const VecT<T> n = LoadCount(negative + k, some);
    // The differences with themselves make a NaN of an Inf.
    const VecT<T> x = hn::Add(hn::Mul(hn::Sub(n, p), inverse_temperature),
                              hn::Add(hn::Sub(p, p), hn::Sub(n, n)));
    const VecT<T> weight =
        weights != nullptr
            ? LoadCount(weights + k, some)
            : hn::IfThenElseZero(hn::FirstN(tag, static_cast<size_t>(some)),
                                 one);
    VecT<T> loss, slope;
    Term<kTerm, true>(tag, x, margin, loss, slope);
    AddProductToDouble(tag, weight, loss, sum);
    AddProductToDouble(tag, weight, one, counted);
    AddProductToDouble(tag, weight,
                       hn::IfThenZeroElse(hn::Le(loss, hn::Zero(tag)), one),
                       nonzero);
    if (losses != nullptr) {
      StoreCount(hn::Mul(weight, loss), losses + k, some);
    }
    if (with_gradient) {
      const VecT<T> gradient = hn::Mul(factor, hn::Mul(weight, slope));
      StoreCount(hn::Neg(gradient), positive_grad + k, some);
      StoreCount(gradient, negative_grad + k, some);
    }
  });
  const Tag<double> wide;
  return {hn::ReduceSum(wide, sum), hn::ReduceSum(wide, counted),
          hn::ReduceSum(wide, nonzero)};
}

RankingSums Pairs(const PairwiseRankingLoss& problem,
                  const PairwiseRankingArrays& arrays, int64_t begin,
                  int64_t end, double scale, bool with_gradient) {
  RankingSums sums = {0, 0, 0};
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    const auto run = [&](auto term) HWY_ATTR {
      sums = PairsOf<decltype(term)::value, S>(problem, arrays, begin, end,
                                               scale, with_gradient);
    };
    switch (problem.term) {
      case RankingTerm::kLogistic:
        return run(
            std::integral_constant<RankingTerm, RankingTerm::kLogistic>());
      case RankingTerm::kHinge:
        return run(std::integral_constant<RankingTerm, RankingTerm::kHinge>());
      case RankingTerm::kSoftZeroOne:
        return run(
            std::integral_constant<RankingTerm, RankingTerm::kSoftZeroOne>());
      case RankingTerm::kMse:
        return;  // refused by Check
    }
  });
  return sums;
}

constexpr RankingKernels kTable = {&Tile<float>, &Tile<double>, &Widen, &Pairs};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const RankingKernels& Kernels() { TF_PAIRWISE_DISPATCH() }

void RunTile(const TileOptions<float>& options, const Items<float>& items,
             int64_t row, int64_t rows, int64_t column, int64_t columns) {
  Kernels().narrow_tile(options, items, row, rows, column, columns);
}
void RunTile(const TileOptions<double>& options, const Items<double>& items,
             int64_t row, int64_t rows, int64_t column, int64_t columns) {
  Kernels().wide_tile(options, items, row, rows, column, columns);
}

int64_t Blocks(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

double Inverse(double value) { return value == 0 ? 0 : 1 / value; }

void StoreLoss(DType dtype, double value, void* loss) {
  if (dtype == DType::kFloat64) {
    *static_cast<double*>(loss) = value;
  } else {
    *static_cast<float*>(loss) = static_cast<float>(value);
  }
}

bool IsFinite(double value) { return value - value == 0; }

Status CheckCommon(DType dtype, RankingTerm term, Reduction reduction,
                   double margin, double temperature, bool lists) {
  if (static_cast<int32_t>(dtype) < 0 || dtype > DType::kFloat64) {
    return InvalidArgument("dtype: got the unknown value %d",
                           static_cast<int>(dtype));
  }
  if (static_cast<int32_t>(term) < 0 || term > RankingTerm::kMse ||
      (!lists && term == RankingTerm::kMse)) {
    return InvalidArgument(
        "loss: got value %d, expected logistic, hinge or soft_zero_one%s",
        static_cast<int>(term), lists ? ", or mse" : "");
  }
  const bool common = static_cast<int32_t>(reduction) >= 0 &&
                      reduction <= Reduction::kMeanNonzero;
  if (!common && !(lists && reduction == Reduction::kMeanLists)) {
    return InvalidArgument(
        "reduction: got value %d, expected none, sum, mean%s or mean_nonzero",
        static_cast<int>(reduction), lists ? ", mean_lists" : "");
  }
  if (!(margin >= 0 && IsFinite(margin))) {
    return InvalidArgument(
        "margin: got %g, expected a finite number, 0 or more", margin);
  }
  if (!(temperature > 0 && IsFinite(temperature))) {
    return InvalidArgument(
        "temperature: got %g, expected a finite number above 0", temperature);
  }
  return Ok();
}

// ---- explicit pairs ----

constexpr int64_t kPairRows = 4096;

RankingSums RunPairs(const PairwiseRankingLoss& problem,
                     const PairwiseRankingArrays& arrays, double scale,
                     bool with_gradient, RankingSums* blocks,
                     const ParallelFor& parallel) {
  const int64_t units = Blocks(problem.n, kPairRows);
  const RankingKernels& kernels = Kernels();
  parallel(units, kPairRows * 8.0, [&](int64_t unit, int) {
    const int64_t begin = unit * kPairRows;
    blocks[unit] = kernels.pairs(problem, arrays, begin,
                                 Least(begin + kPairRows, problem.n), scale,
                                 with_gradient);
  });
  RankingSums total = {0, 0, 0};
  for (int64_t unit = 0; unit < units; ++unit) {
    total.sum += blocks[unit].sum;
    total.counted += blocks[unit].counted;
    total.nonzero += blocks[unit].nonzero;
  }
  return total;
}

double ScaleOf(Reduction reduction, const RankingSums& sums) {
  switch (reduction) {
    case Reduction::kMean:
      return Inverse(sums.counted);
    case Reduction::kMeanNonzero:
      return Inverse(sums.nonzero);
    default:
      return 1;
  }
}

// ---- lists ----

struct Keyed {
  double key;
  int32_t offset;    // in the list
  int32_t position;  // by relevance
};

// Sums over items of one or several groups with s_j + margin > s_i, as the
// sweep goes down to ever lower scores s_i. All that `excess` adds up is
// positive: nothing cancels.
struct Node {
  double count;
  double relevance;         // above the list's least
  double excess;            // s_j + margin - at
  double relevance_excess;  // their products
  double at;                // the score that they were last seen from
};

// How far down, finite, so that it times a count of zero is zero.
double Step(double from, double to) {
  const double step = from - to;
  constexpr double kMost = 1.7976931348623157e308;
  return step < kMost ? step : kMost;
}

// Sums over all lower groups, for few groups: each has its own, brought up to
// date together, without branches.
constexpr int kFewGroups = 8;

template <bool kLabels>
class Few {
 public:
  Few(Node*, int64_t, double at) : at_(at), score_(at) {}

  void MoveTo(double score) { score_ = score; }

  void Add(int32_t group, double weight, double relevance, double excess) {
    const double* above = kAbove + kFewGroups - 1 - group;
    const double product = relevance * excess;
    const double step = Step(at_, score_);
    for (int x = 0; x < kFewGroups; ++x) {
      excess_[x] += count_[x] * step + above[x] * excess;
      count_[x] += above[x] * weight;
      if (kLabels) {
        relevance_excess_[x] += relevance_[x] * step + above[x] * product;
        relevance_[x] += above[x] * relevance;
      }
    }
    at_ = score_;
  }

  Node Below(int32_t group) const {
    const double step = Step(at_, score_);
    return {count_[group], relevance_[group],
            excess_[group] + count_[group] * step,
            relevance_excess_[group] + relevance_[group] * step, score_};
  }

 private:
  // kAbove[kFewGroups - 1 - g + x] is 1 where x > g.
  static constexpr double kAbove[2 * kFewGroups] = {0, 0, 0, 0, 0, 0, 0, 0,
                                                    1, 1, 1, 1, 1, 1, 1, 1};
  double count_[kFewGroups] = {0};
  double relevance_[kFewGroups] = {0};
  double excess_[kFewGroups] = {0};
  double relevance_excess_[kFewGroups] = {0};
  double at_;     // the score that the sums were last seen from
  double score_;  // the score of the sweep
};

// The same for many groups: a tree of sums over groups [x - (x & -x), x), each
// brought up to date when it is met.
template <bool kLabels>
class Fenwick {
 public:
  Fenwick(Node* nodes, int64_t groups, double at)
      : nodes_(nodes), groups_(groups), at_(at) {
    for (int64_t x = 0; x <= groups; ++x) nodes_[x] = {0, 0, 0, 0, at};
  }

  void MoveTo(double score) { at_ = score; }

  void Add(int32_t group, double weight, double relevance, double excess) {
    for (int64_t x = group + 1; x <= groups_; x += x & -x) {
      Node& node = nodes_[x];
      const double step = Step(node.at, at_);
      node.excess += node.count * step + excess;
      node.relevance_excess += node.relevance * step + relevance * excess;
      node.count += weight;
      node.relevance += relevance;
      node.at = at_;
    }
  }

  Node Below(int32_t group) const {
    Node sum = {0, 0, 0, 0, at_};
    for (int64_t x = group; x > 0; x -= x & -x) {
      const Node& node = nodes_[x];
      const double step = Step(node.at, at_);
      sum.count += node.count;
      sum.relevance += node.relevance;
      sum.excess += node.excess + node.count * step;
      sum.relevance_excess += node.relevance_excess + node.relevance * step;
    }
    return sum;
  }

 private:
  Node* nodes_;
  int64_t groups_;
  double at_;
};

bool InTiles(const ListRankingLoss& problem) {
  switch (problem.term) {
    case RankingTerm::kLogistic:
    case RankingTerm::kSoftZeroOne:
      return true;
    case RankingTerm::kHinge:
      return problem.lambda == LambdaWeight::kDcg ||
             problem.lambda == LambdaWeight::kNdcg;
    case RankingTerm::kMse:
      return false;
  }
  return false;
}

bool NeedsRanks(const ListRankingLoss& problem) {
  return problem.lambda == LambdaWeight::kDcg ||
         problem.lambda == LambdaWeight::kNdcg;
}

// Where the lists are, and which of them are worth all threads by themselves:
// a function of the shapes alone.
struct Layout {
  explicit Layout(const ListRankingLoss& problem) : problem(problem) {
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
    return InTiles(problem) && size > 3 * kBlock &&
           16 * Cost(static_cast<double>(size)) > work;
  }

  const ListRankingLoss& problem;
  double work = 0;
  int64_t longest = 0, longest_short = 0;
};

// Room for one list's computation.
template <typename T>
struct Room {
  Items<T> items;
  float* widened;  // of halves
  Keyed *keys, *buffer;
  int32_t* order;     // [capacity]
  double* relevance;  // [capacity], descending
  int32_t* group;     // [capacity], of equal relevance: 0 for the least
  Node* nodes;        // [capacity + 1]

  Room(const ListRankingLoss& problem, int64_t capacity, Scratch& scratch) {
    items.scores = scratch.Take<T>(capacity + kPadding);
    items.gains = scratch.Take<T>(capacity + kPadding);
    items.discounts = scratch.Take<T>(capacity + kPadding);
    items.weights = scratch.Take<T>(capacity);
    items.lower = scratch.Take<int32_t>(capacity);
    items.loss = scratch.Take<double>(capacity);
    items.slope = scratch.Take<double>(capacity);
    items.nonzero = scratch.Take<double>(capacity);
    items.pulled = scratch.Take<double>(capacity);
    widened = scratch.Take<float>(SizeOf(problem.dtype) == 2 ? capacity : 0);
    keys = scratch.Take<Keyed>(capacity);
    buffer = scratch.Take<Keyed>(capacity);
    order = scratch.Take<int32_t>(capacity);
    relevance = scratch.Take<double>(capacity);
    group = scratch.Take<int32_t>(capacity);
    const bool sweeps =
        problem.term == RankingTerm::kHinge && !InTiles(problem);
    nodes = scratch.Take<Node>(sweeps ? capacity + 1 : 0);
  }
};

// A list's pairs, counted by their weights.
struct ListSums {
  double sum, counted, nonzero;
};

template <typename T>
struct ListPlan {
  Layout layout;
  ListSums* sums;       // [lists]
  double* discounts;    // [longest], of the ranks from 1
  int64_t* unit_begin;  // [lists + 1], the lists of a unit of work
  char* rooms;          // of the workers, one after another
  int64_t room_bytes;
  char* long_room;

  ListPlan(const ListRankingLoss& problem, Scratch& scratch, int workers)
      : layout(problem) {
    sums = scratch.Take<ListSums>(problem.lists);
    discounts = scratch.Take<double>(NeedsRanks(problem) ? layout.longest : 0);
    unit_begin = scratch.Take<int64_t>(problem.lists + 1);
    room_bytes = RoomBytes(layout.longest_short);
    rooms = scratch.Take<char>(room_bytes * workers);
    long_room = scratch.Take<char>(
        layout.longest > layout.longest_short ? RoomBytes(layout.longest) : 0);
  }

  int64_t RoomBytes(int64_t capacity) const {
    Scratch scratch(nullptr);
    Room<T>(layout.problem, capacity, scratch);
    return scratch.bytes();
  }

  Room<T> RoomOf(int worker) const {
    Scratch scratch(rooms + worker * room_bytes);
    return Room<T>(layout.problem, layout.longest_short, scratch);
  }

  Room<T> LongRoom() const {
    Scratch scratch(long_room);
    return Room<T>(layout.problem, layout.longest, scratch);
  }
};

// One list's computation.
template <typename T>
class ListRun {
 public:
  ListRun(const ListPlan<T>& plan, const ListRankingArrays& arrays,
          int64_t list, Room<T>& room)
      : problem_(plan.layout.problem),
        plan_(plan),
        arrays_(arrays),
        room_(room),
        items_(room.items),
        begin_(plan.layout.Begin(list)),
        size_(plan.layout.Size(list)) {
    weights_ = arrays.weights == nullptr
                   ? nullptr
                   : static_cast<const T*>(arrays.weights) + begin_;
    losses_ = problem_.reduction == Reduction::kNone && arrays.loss != nullptr
                  ? static_cast<T*>(arrays.loss) + begin_
                  : nullptr;
    gradient_ = arrays.scores_grad == nullptr
                    ? nullptr
                    : static_cast<T*>(arrays.scores_grad) + begin_;
  }

  // Losses per item, the gradient of their sum, and their sums. `parallel` is
  // null for a list that is one unit of work.
  ListSums operator()(const ParallelFor* parallel) {
    for (int64_t k = 0; k < size_; ++k) {
      if (losses_ != nullptr) losses_[k] = 0;
      if (gradient_ != nullptr) gradient_[k] = 0;
    }
    bool finite = true;
    if (!Gather(&finite)) return {0, 0, 0};
    if (!finite) return AllNan();
    if (problem_.term == RankingTerm::kMse) {
      MeanSquares();
      return Finish(1.0);
    }
    if (InTiles(problem_)) {
      if (NeedsRanks(problem_)) Rank();
      Tiles(parallel);
      return Finish(InverseTemperature<T>(problem_.temperature));
    }
    Hinge();
    return Finish(InverseTemperature<T>(problem_.temperature));
  }

 private:
  bool with_gradient() const { return gradient_ != nullptr; }

  // The number of pairs in which the item at a position is preferred.
  double PairsOf(int64_t p) const {
    const int64_t count = items_.count;
    return static_cast<double>(problem_.term == RankingTerm::kMse
                                   ? count - 1
                                   : count - items_.lower[p]);
  }

  // The existing items by relevance; false where they make no pair.
  bool Gather(bool* finite) {
    const double* relevance = arrays_.relevance + begin_;
    const bool* mask = problem_.masked ? arrays_.mask + begin_ : nullptr;
    Keyed* keys = room_.keys;
    int64_t count = 0;
    bool ordered = true;
    for (int64_t k = 0; k < size_; ++k) {
      if (!(relevance[k] >= 0) || (mask != nullptr && !mask[k])) continue;
      keys[count] = {relevance[k], static_cast<int32_t>(k), 0};
      ordered = ordered && (count == 0 || keys[count - 1].key >= relevance[k]);
      ++count;
    }
    items_.count = count;
    if (count < 2) return false;
    const bool mse = problem_.term == RankingTerm::kMse;
    if (!ordered && !mse) SortByRelevance();
    if (!mse && keys[0].key == keys[count - 1].key) return false;

    const T* scores;
    if constexpr (std::is_same_v<T, float>) {
      if (SizeOf(problem_.dtype) == 2) {
        Kernels().widen(problem_.dtype, size_,
                        static_cast<const char*>(arrays_.scores) + 2 * begin_,
                        room_.widened);
        scores = room_.widened;
      } else {
        scores = static_cast<const T*>(arrays_.scores) + begin_;
      }
    } else {
      scores = static_cast<const T*>(arrays_.scores) + begin_;
    }
    T check = 0;
    for (int64_t p = 0; p < count; ++p) {
      const int32_t k = keys[p].offset;
      keys[p].position = static_cast<int32_t>(p);
      items_.scores[p] = scores[k];
      check += scores[k] - scores[k];  // NaN of a NaN and of an Inf
      items_.weights[p] = weights_ == nullptr ? T(1) : weights_[k];
      room_.relevance[p] = keys[p].key;
      items_.loss[p] = items_.slope[p] = 0;
      items_.nonzero[p] = items_.pulled[p] = 0;
    }
    for (int64_t p = count; p < count + kPadding; ++p) {
      items_.scores[p] = items_.gains[p] = items_.discounts[p] = 0;
    }
    *finite = check == 0;
    if (mse) return true;
    // From the last to the first: where the lower relevance begins, and the
    // number of the group.
    int64_t lower = count;
    int32_t group = 0;
    for (int64_t p = count - 1; p >= 0; --p) {
      if (p + 1 < count && room_.relevance[p] != room_.relevance[p + 1]) {
        lower = p + 1;
        ++group;
      }
      items_.lower[p] = static_cast<int32_t>(lower);
      room_.group[p] = group;
    }
    if (problem_.lambda == LambdaWeight::kLabelDiff) {
      for (int64_t p = 0; p < count; ++p) {
        items_.gains[p] = static_cast<T>(room_.relevance[p]);
      }
    }
    return true;
  }

  // room_.keys, stable and descending.
  void SortByRelevance() {
    Keyed* keys = room_.keys;
    const int64_t count = items_.count;
    // Grades are most often small integers, and then it takes two passes.
    constexpr int kGrades = 64;
    bool grades = true;
    for (int64_t p = 0; p < count; ++p) {
      const double key = keys[p].key;
      grades = grades && key < kGrades && key == static_cast<int>(key);
    }
    if (!grades) {
      MergeSort(keys, room_.buffer, count,
                [](const Keyed& a, const Keyed& b) { return a.key > b.key; });
      return;
    }
    int32_t begin[kGrades + 1] = {0};
    for (int64_t p = 0; p < count; ++p) {
      room_.buffer[p] = keys[p];
      ++begin[kGrades - 1 - static_cast<int>(keys[p].key)];
    }
    int32_t next = 0;
    for (int grade = 0; grade < kGrades; ++grade) {
      const int32_t size = begin[grade];
      begin[grade] = next;
      next += size;
    }
    for (int64_t p = 0; p < count; ++p) {
      const Keyed& item = room_.buffer[p];
      keys[begin[kGrades - 1 - static_cast<int>(item.key)]++] = item;
    }
  }

  ListSums AllNan() {
    ListSums sums = {std::nan(""), 0, 0};
    for (int64_t p = 0; p < items_.count; ++p) {
      const int32_t k = room_.keys[p].offset;
      const double pairs = PairsOf(p);
      if (losses_ != nullptr && pairs > 0) {
        losses_[k] = static_cast<T>(std::nan(""));
      }
      if (gradient_ != nullptr) gradient_[k] = static_cast<T>(std::nan(""));
      sums.counted += static_cast<double>(items_.weights[p]) * pairs;
    }
    sums.nonzero = sums.counted;
    return sums;
  }

  // room_.order: positions by score, descending, ties in input order.
  void SortByScore() {
    if constexpr (std::is_same_v<T, float>) {
      if (items_.count >= 64) return SortByBytes();
    }
    Keyed* sorted = room_.buffer;
    for (int64_t p = 0; p < items_.count; ++p) {
      sorted[p] = {static_cast<double>(items_.scores[p]), room_.keys[p].offset,
                   static_cast<int32_t>(p)};
    }
    // What the keys held is in the items' arrays by now, but for the offsets,
    // which are put back.
    MergeSort(sorted, room_.keys, items_.count,
              [](const Keyed& a, const Keyed& b) {
                return a.key > b.key || (a.key == b.key && a.offset < b.offset);
              });
    for (int64_t r = 0; r < items_.count; ++r) {
      room_.order[r] = sorted[r].position;
      room_.keys[sorted[r].position].offset = sorted[r].offset;
    }
  }

  // The same, by the bytes of the scores as integers of the reverse order.
  void SortByBytes() {
    struct Score {
      uint32_t key;
      int32_t position;
    };
    static_assert(2 * sizeof(Score) == sizeof(Keyed));
    const int64_t count = items_.count;
    Score* from = reinterpret_cast<Score*>(room_.buffer);
    Score* to = from + count;
    int32_t* order = room_.order;
    for (int64_t k = 0; k < size_; ++k) order[k] = -1;
    for (int64_t p = 0; p < count; ++p) {
      order[room_.keys[p].offset] = static_cast<int32_t>(p);
    }
    int32_t begin[4][256] = {{0}};
    int64_t next = 0;
    for (int64_t k = 0; k < size_; ++k) {
      if (order[k] < 0) continue;
      const float score = static_cast<float>(items_.scores[order[k]]) + 0.0f;
      uint32_t bits;  // of a zero that has no sign
      std::memcpy(&bits, &score, sizeof(bits));
      bits = bits >> 31 ? bits : ~(bits | 0x80000000u);
      from[next++] = {bits, order[k]};
      for (int byte = 0; byte < 4; ++byte) {
        ++begin[byte][(bits >> (8 * byte)) & 255];
      }
    }
    for (int byte = 0; byte < 4; ++byte) {
      const int shift = 8 * byte;
      if (begin[byte][(from[0].key >> shift) & 255] == count) continue;
      int32_t sum = 0;
      for (int value = 0; value < 256; ++value) {
        const int32_t size = begin[byte][value];
        begin[byte][value] = sum;
        sum += size;
      }
      for (int64_t r = 0; r < count; ++r) {
        to[begin[byte][(from[r].key >> shift) & 255]++] = from[r];
      }
      Score* swap = from;
      from = to;
      to = swap;
    }
    for (int64_t r = 0; r < count; ++r) order[r] = from[r].position;
  }

  // Gains and discounts of the lambda weights.
  void Rank() {
    SortByScore();
    for (int64_t r = 0; r < items_.count; ++r) {
      items_.discounts[room_.order[r]] = static_cast<T>(plan_.discounts[r]);
    }
    // Gains over 2^greatest, so that an ideal DCG is finite whatever the
    // relevances.
    const bool ideal = problem_.lambda == LambdaWeight::kNdcg;
    const double greatest = ideal ? room_.relevance[0] : 0;
    const double one = std::exp2(-greatest);
    constexpr double kMost =
        sizeof(T) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308;
    double dcg = 0, gain = 0;
    for (int64_t p = 0; p < items_.count; ++p) {
      if (p == 0 || room_.group[p] != room_.group[p - 1]) {
        gain = std::exp2(room_.relevance[p] - greatest) - one;
        gain = gain < kMost ? gain : kMost;
      }
      items_.slope[p] = gain;
      dcg += gain * plan_.discounts[p];
    }
    const double factor = ideal ? Inverse(dcg) : 1;
    for (int64_t p = 0; p < items_.count; ++p) {
      items_.gains[p] = static_cast<T>(items_.slope[p] * factor);
      items_.slope[p] = 0;
    }
  }

  // ---- logistic, soft_zero_one, and hinge with ranks ----

  // Every two blocks of items meet once. In a round of the tournament a block
  // meets one other, so that the tiles of a round write to different items, and
  // the order in which an item's sums are made is that of the rounds.
  void Tiles(const ParallelFor* parallel) {
    TileOptions<T> options;
    options.term = problem_.term;
    options.lambda = problem_.lambda;
    options.margin = static_cast<T>(problem_.margin);
    options.inverse_temperature = InverseTemperature<T>(problem_.temperature);
    options.with_gradient = with_gradient();
    options.count_nonzero = problem_.reduction == Reduction::kMeanNonzero;
    const int64_t count = items_.count, blocks = Blocks(count, kBlock);
    const auto tile = [&](int64_t a, int64_t b) {
      const int64_t row = (a < b ? a : b) * kBlock;
      const int64_t column = (a < b ? b : a) * kBlock;
      const int64_t columns = Least(count - column, kBlock);
      if (items_.lower[row] >= column + columns) return;  // all equal
      RunTile(options, items_, row, Least(count - row, kBlock), column,
              columns);
    };
    const auto run = [&](int64_t units, const auto& unit) {
      if (parallel != nullptr) {
        (*parallel)(units, kBlock * kBlock * 4.0,
                    [&](int64_t u, int) { unit(u); });
      } else {
        for (int64_t u = 0; u < units; ++u) unit(u);
      }
    };
    run(blocks, [&](int64_t block) { tile(block, block); });
    const int64_t players = blocks + (blocks & 1), ring = players - 1;
    for (int64_t round = 0; round < ring && blocks > 1; ++round) {
      run(players / 2, [&](int64_t t) {
        const int64_t a = t == 0 ? ring : (round + t) % ring;
        const int64_t b = t == 0 ? round : (round - t + ring) % ring;
        if (a < blocks && b < blocks) tile(a, b);
      });
    }
  }

  // ---- hinge without ranks: two sweeps over the sorted scores ----
  //
  // As the preferred item i: the others j, of lower groups, whose scores come
  // within the margin. From the highest score down, more and more do. As the
  // other item j: the weights of the preferred ones i, of higher groups, from
  // the lowest score up.

  void Hinge() {
    SortByScore();
    const bool labels = problem_.lambda == LambdaWeight::kLabelDiff;
    if (room_.group[0] >= kFewGroups) {
      labels ? SweepDown<true, Fenwick>() : SweepDown<false, Fenwick>();
    } else {
      labels ? SweepDown<true, Few>() : SweepDown<false, Few>();
    }
  }

  template <bool kLabels, template <bool> class Sums>
  void SweepDown() {
    const int64_t count = items_.count;
    const int32_t* order = room_.order;
    const auto score_at = [&](int64_t r) {
      return static_cast<double>(items_.scores[order[r]]);
    };
    const double margin = problem_.margin * problem_.temperature;
    const double inverse = InverseTemperature<double>(problem_.temperature);
    const double least = room_.relevance[count - 1];
    const int32_t greatest = room_.group[0];
    Sums<kLabels> others(room_.nodes, greatest + 1, score_at(0));
    int64_t next = 0;
    for (int64_t r = 0; r < count; ++r) {
      const double score = score_at(r);
      const int64_t i = order[r];
      others.MoveTo(score);
      for (; next < count; ++next) {
        const double excess = (score_at(next) - score) + margin;
        if (!(excess > 0)) break;
        const int64_t j = order[next];
        others.Add(room_.group[j], 1, kLabels ? room_.relevance[j] - least : 0,
                   excess);
      }
      const Node sum = others.Below(room_.group[i]);
      const double above = kLabels ? room_.relevance[i] - least : 0;
      items_.loss[i] =
          inverse *
          (kLabels ? above * sum.excess - sum.relevance_excess : sum.excess);
      items_.slope[i] = kLabels ? above * sum.count - sum.relevance : sum.count;
      items_.nonzero[i] = sum.count;
    }
    if (!with_gradient()) return;
    Sums<kLabels> preferred(room_.nodes, greatest + 1, 0);
    next = count - 1;
    for (int64_t r = count - 1; r >= 0; --r) {
      const int64_t j = order[r];
      for (; next >= 0; --next) {
        if (!((score_at(r) - score_at(next)) + margin > 0)) break;
        const int64_t i = order[next];
        const double weight = static_cast<double>(items_.weights[i]);
        preferred.Add(greatest - room_.group[i], weight,
                      kLabels ? weight * (room_.relevance[i] - least) : 0, 0);
      }
      const Node sum = preferred.Below(greatest - room_.group[j]);
      items_.pulled[j] =
          kLabels ? sum.relevance - (room_.relevance[j] - least) * sum.count
                  : sum.count;
    }
  }

  // ---- mse: from the moments of the errors e = s - y ----

  void MeanSquares() {
    const int64_t count = items_.count;
    const double n = static_cast<double>(count);
    // In items_.nonzero for now.
    double* errors = items_.nonzero;
    double centre = 0;
    for (int64_t p = 0; p < count; ++p) {
      errors[p] = static_cast<double>(items_.scores[p]) - room_.relevance[p];
      centre += errors[p] / n;
    }
    double first = 0, second = 0, weights = 0, weighted = 0;
    for (int64_t p = 0; p < count; ++p) {
      const double error = errors[p] - centre;
      const double weight = static_cast<double>(items_.weights[p]);
      first += error;
      second += error * error;
      weights += weight;
      weighted += weight * error;
    }
    for (int64_t p = 0; p < count; ++p) {
      const double error = errors[p] - centre;
      // sum_j (e - e_j)^2, and its slope: n e^2 - 2 e first + second.
      const double loss = error * (n * error - 2 * first) + second;
      items_.loss[p] = loss > 0 ? loss : loss != loss ? loss : 0;
      items_.slope[p] = -2 * (n * error - first);
      items_.pulled[p] = 2 * (weights * error - weighted);
    }
    if (problem_.reduction != Reduction::kMeanNonzero) return;
    // All pairs but those of equal errors.
    Keyed* sorted = room_.buffer;
    for (int64_t p = 0; p < count; ++p) {
      sorted[p] = {errors[p], room_.keys[p].offset, static_cast<int32_t>(p)};
    }
    MergeSort(sorted, room_.keys, count,
              [](const Keyed& a, const Keyed& b) { return a.key < b.key; });
    for (int64_t r = 0; r < count;) {
      int64_t end = r + 1;
      while (end < count && sorted[end].key == sorted[r].key) ++end;
      for (int64_t q = r; q < end; ++q) {
        items_.nonzero[sorted[q].position] =
            static_cast<double>(count - end + r);
      }
      r = end;
    }
    for (int64_t r = 0; r < count; ++r) {
      room_.keys[sorted[r].position].offset = sorted[r].offset;
    }
  }

  // From the items by relevance to the caller's order.
  ListSums Finish(double slope_scale) {
    ListSums sums = {0, 0, 0};
    for (int64_t p = 0; p < items_.count; ++p) {
      const int32_t k = room_.keys[p].offset;
      const double weight = static_cast<double>(items_.weights[p]);
      const double loss = weight * items_.loss[p];
      sums.sum += loss;
      sums.counted += weight * PairsOf(p);
      sums.nonzero += weight * items_.nonzero[p];
      if (losses_ != nullptr) losses_[k] = static_cast<T>(loss);
      if (gradient_ != nullptr) {
        gradient_[k] = static_cast<T>(
            slope_scale * (items_.pulled[p] - weight * items_.slope[p]));
      }
    }
    return sums;
  }

  const ListRankingLoss& problem_;
  const ListPlan<T>& plan_;
  const ListRankingArrays& arrays_;
  Room<T>& room_;
  Items<T>& items_;
  const int64_t begin_, size_;
  const T* weights_;
  T* losses_;
  T* gradient_;
};

template <typename T>
void RunLists(const ListRankingLoss& problem, const ListRankingArrays& arrays,
              void* base, const ParallelFor& parallel) {
  Scratch scratch(base);
  const ListPlan<T> plan(problem, scratch, parallel.workers);
  const Layout& layout = plan.layout;
  if (NeedsRanks(problem)) {
    for (int64_t r = 0; r < layout.longest; ++r) {
      plan.discounts[r] = RankDiscount(r + 1, problem.topn);
    }
  }
  // Units of lists that are worth a thread's while together.
  constexpr double kUnitCycles = 1 << 16;
  int64_t units = 0;
  double cost = kUnitCycles;
  for (int64_t list = 0; list < problem.lists; ++list) {
    if (cost >= kUnitCycles) {
      plan.unit_begin[units++] = list;
      cost = 0;
    }
    if (!layout.IsLong(list)) {
      cost += 50 + layout.Cost(static_cast<double>(layout.Size(list)));
    }
  }
  plan.unit_begin[units] = problem.lists;
  const double unit_cost =
      units == 0 ? 0 : layout.work / static_cast<double>(units) + 50;

  parallel(units, unit_cost, [&](int64_t unit, int worker) {
    Room<T> room = plan.RoomOf(worker);
    for (int64_t list = plan.unit_begin[unit]; list < plan.unit_begin[unit + 1];
         ++list) {
      if (layout.IsLong(list)) continue;
      plan.sums[list] = ListRun<T>(plan, arrays, list, room)(nullptr);
    }
  });
  if (layout.longest > layout.longest_short) {
    Room<T> room = plan.LongRoom();
    for (int64_t list = 0; list < problem.lists; ++list) {
      if (!layout.IsLong(list)) continue;
      plan.sums[list] = ListRun<T>(plan, arrays, list, room)(&parallel);
    }
  }

  RankingSums total = {0, 0, 0};
  const bool by_list = problem.reduction == Reduction::kMeanLists;
  double lists = 0;
  for (int64_t list = 0; list < problem.lists; ++list) {
    const ListSums& sums = plan.sums[list];
    if (by_list) {
      if (sums.counted == 0) continue;
      lists += 1;
      total.sum += sums.sum / sums.counted;
    } else {
      total.sum += sums.sum;
      total.counted += sums.counted;
      total.nonzero += sums.nonzero;
    }
  }
  const double scale =
      by_list ? Inverse(lists) : ScaleOf(problem.reduction, total);
  if (problem.reduction != Reduction::kNone && arrays.loss != nullptr) {
    const bool nothing = scale == 0 && total.sum == total.sum;
    StoreLoss(problem.dtype, nothing ? 0 : total.sum * scale, arrays.loss);
  }
  if (arrays.scores_grad == nullptr || (!by_list && scale == 1)) return;
  parallel(units, unit_cost / 50, [&](int64_t unit, int) {
    for (int64_t list = plan.unit_begin[unit]; list < plan.unit_begin[unit + 1];
         ++list) {
      const double factor =
          by_list ? scale * Inverse(plan.sums[list].counted) : scale;
      T* gradient = static_cast<T*>(arrays.scores_grad) + layout.Begin(list);
      const int64_t size = layout.Size(list);
      for (int64_t k = 0; k < size; ++k) {
        gradient[k] = factor == 0 ? T(0) : static_cast<T>(factor * gradient[k]);
      }
    }
  });
}

template <typename T>
int64_t ListBytes(const ListRankingLoss& problem, int workers) {
  Scratch scratch(nullptr);
  const ListPlan<T> plan(problem, scratch, workers);
  return scratch.bytes();
}

}  // namespace

Status Check(const PairwiseRankingLoss& problem) {
  return CheckCommon(problem.dtype, problem.term, problem.reduction,
                     problem.margin, problem.temperature, /*lists=*/false);
}

int64_t PairwiseRankingLossScratchBytes(const PairwiseRankingLoss& problem) {
  return Blocks(problem.n, kPairRows) *
             static_cast<int64_t>(sizeof(RankingSums)) +
         Scratch::kAlignment;
}

Status PairwiseRankingLossCpu(const PairwiseRankingLoss& problem,
                              const PairwiseRankingArrays& arrays,
                              void* scratch, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const bool with_gradient = arrays.positive_grad != nullptr;
  RankingSums* blocks = static_cast<RankingSums*>(scratch);
  // The mean's divisor is known before the pass; the count of losses above
  // zero only after one.
  double scale = 1;
  if (with_gradient && problem.reduction == Reduction::kMean) {
    double counted = static_cast<double>(problem.n);
    if (arrays.weights != nullptr) {
      counted = 0;
      for (int64_t i = 0; i < problem.n; ++i) {
        counted += problem.dtype == DType::kFloat64
                       ? static_cast<const double*>(arrays.weights)[i]
                       : static_cast<double>(
                             static_cast<const float*>(arrays.weights)[i]);
      }
    }
    scale = Inverse(counted);
  } else if (with_gradient && problem.reduction == Reduction::kMeanNonzero) {
    scale = ScaleOf(problem.reduction,
                    RunPairs(problem, arrays, 1, false, blocks, parallel));
  }
  const RankingSums total =
      RunPairs(problem, arrays, scale, with_gradient, blocks, parallel);
  if (problem.reduction != Reduction::kNone && arrays.loss != nullptr) {
    const double factor = ScaleOf(problem.reduction, total);
    const bool nothing = factor == 0 && total.sum == total.sum;
    StoreLoss(problem.dtype, nothing ? 0 : total.sum * factor, arrays.loss);
  }
  return Ok();
}

Status Check(const ListRankingLoss& problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(CheckCommon(problem.dtype, problem.term,
                                          problem.reduction, problem.margin,
                                          problem.temperature, /*lists=*/true));
  if (static_cast<int32_t>(problem.lambda) < 0 ||
      problem.lambda > LambdaWeight::kNdcg) {
    return InvalidArgument("lambda_weight: got the unknown value %d",
                           static_cast<int>(problem.lambda));
  }
  if (problem.term == RankingTerm::kMse &&
      problem.lambda != LambdaWeight::kNone) {
    return InvalidArgument(
        "lambda_weight: got one with the loss mse, expected none: mse has no "
        "preferred items");
  }
  if (problem.topn < 0) {
    return InvalidArgument("topn: got %lld, expected 1 or more, or 0 for all",
                           static_cast<long long>(problem.topn));
  }
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  if (!problem.ragged) {
    if (problem.list_size > kMost) {
      return InvalidArgument("scores: got lists of %lld, expected at most 2^31",
                             static_cast<long long>(problem.list_size));
    }
    return Ok();
  }
  const int64_t* splits = problem.row_splits;
  if (problem.lists < 0) {
    return InvalidArgument("row_splits: got none, expected 1 or more");
  }
  if (splits[0] != 0 || splits[problem.lists] != problem.items) {
    return InvalidArgument(
        "row_splits: got %lld to %lld, expected 0 to %lld, the number of "
        "scores",
        static_cast<long long>(splits[0]),
        static_cast<long long>(splits[problem.lists]),
        static_cast<long long>(problem.items));
  }
  for (int64_t list = 0; list < problem.lists; ++list) {
    const int64_t size = splits[list + 1] - splits[list];
    if (size < 0 || size > kMost) {
      return InvalidArgument(
          "row_splits: got a list of %lld items, expected 0 to 2^31",
          static_cast<long long>(size));
    }
  }
  return Ok();
}

int64_t ListRankingLossScratchBytes(const ListRankingLoss& problem,
                                    int workers) {
  return problem.dtype == DType::kFloat64 ? ListBytes<double>(problem, workers)
                                          : ListBytes<float>(problem, workers);
}

Status ListRankingLossCpu(const ListRankingLoss& problem,
                          const ListRankingArrays& arrays, void* scratch,
                          const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  if (problem.dtype == DType::kFloat64) {
    RunLists<double>(problem, arrays, scratch, parallel);
  } else {
    RunLists<float>(problem, arrays, scratch, parallel);
  }
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

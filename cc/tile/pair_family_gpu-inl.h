#ifndef TF_PAIRWISE_TILE_PAIR_FAMILY_GPU_INL_H_
#define TF_PAIRWISE_TILE_PAIR_FAMILY_GPU_INL_H_

#include "cuda/points.h"
#include "metric/metric-inl.h"
#include "tile/closeness.h"
#include "tile/shape_gpu-inl.h"

// What a family of losses tells the kernels of pair tiles
// (tile/pair_tiles_gpu-inl.h), what they are launched with, and the pairs that
// are made by themselves.
//
//   struct Family {
//     TF_PAIRWISE_KERNEL_NAME("family");
//     struct Arguments {...};          // plain
//     struct Point {...};              // of a row or column, in shared memory
//     static Point RowOf(const Arguments& a, int64_t i);
//     static Point ColumnOf(const Arguments& a, int64_t j);
//     struct Common {...};             // what all pairs of a tile read
//     static Common CommonOf(const Arguments& a);
//     // Whether its distances may be roots.
//     static constexpr bool kRoots;
//     // Of its kernels: 64, or 128 where fewer coordinates are too rare for
//     // one of their own.
//     static constexpr int kLeastWidth;
//     // What the pair j == i + diagonal is.
//     static constexpr OwnPair kOwn;
//
//     // Of weights (kByRow is false):
//     struct Parts {...};              // a lane's sums over a tile, in float
//     struct Sums {...};               // and over all, with +
//     static Sums SumsOf(const Parts& parts);
//     // dL/dD of a pair, whose loss is added to `parts`; 0, and nothing is
//     // added, where there is no such pair (`is`).
//     static float Slope(const Common& common, const Point& row,
//                        const Point& column, float distance, bool is,
//                        Parts& parts);
//     // The same of a pair that is made by itself.
//     static float DirectSlope(const Arguments& a, int64_t i, int64_t j,
//                              float distance, Sums& sums);
//     // What a row counts, once, whatever its pairs.
//     static Sums RowSums(const Arguments& a, int64_t i);
//
//     // Of what is kept of rows (kByRow is true):
//     struct Row {...};                // of a row, with +
//     static Row None();               // of no pairs
//     // Whether close pairs are made by themselves.
//     static constexpr bool kRescues;
//     // Adds a lane's pairs of a row, which are there and which are its own
//     // by bits; column j of them is at(j).
//     static void Add(const Common& common, const Point& row,
//                     const Point (&columns)[kCount],
//                     const float (&distances)[kCount], unsigned there,
//                     unsigned own, const At& at, Row& sums);
//     // The same of a pair that is made by itself.
//     static void AddDirect(const Arguments& a, int64_t i, int64_t j,
//                           float distance, Row& sums);
//     static void Store(const Arguments& a, int64_t split, int64_t i,
//                       const Row& sums);
//   };

namespace tf_pairwise {

enum class OwnPair {
  kNone,      // no pair
  kIncluded,  // one of the others
  kApart,     // made by itself
};

// A metric whose raw value is the terms less a multiple of the product, as
// numbers: see metric-inl.h.
struct ProductMetric {
  float multiple;   // of the product
  float slope;      // of a distance that is the raw value
  float closeness;  // raw values below closeness * terms + least are made
  float least;      // again from the points
  bool cancels;     // else none are
  bool difference;  // GradientForm::kDifference, else kProduct
  bool root;        // the distance is the raw value's
};

struct IsRoot {
  TF_PAIRWISE_HOST_DEVICE bool operator()(RootSlope) const { return true; }
  template <class Slope>
  TF_PAIRWISE_HOST_DEVICE bool operator()(Slope) const {
    return false;
  }
};

template <class M>
inline ProductMetric ProductMetricOf() {
  ProductMetric metric;
  metric.multiple = -M::Raw(1.0f, 0.0f);
  metric.slope = M::Slope::Of(1.0f, 1.0f);
  metric.closeness = ClosenessPart<float>();
  metric.least = LeastRaw<float>();
  metric.cancels = M::kCancels;
  metric.difference = M::kForm == GradientForm::kDifference;
  metric.root = IsRoot()(typename M::Slope());
  return metric;
}

template <bool kFirst, class A, class B>
struct IfElse {
  using Type = A;
};
template <class A, class B>
struct IfElse<false, A, B> {
  using Type = B;
};

template <class Family>
struct PairTilesArguments {
  const float* x_rows;  // [padded_n, stride]
  const float* y_rows;
  const float* x_term;
  const float* y_term;
  const float* x_source;  // [n, d]
  const float* y_source;
  int64_t x_n, y_n, d, padded_n;
  int stride;
  bool has_diagonal;  // j == i + diagonal is no pair
  int64_t diagonal;
  int64_t split_columns;  // a block's, a multiple of kColumns
  Metric metric;          // of the values
  ProductMetric product;  // the same
  bool with_gradient;
  float* sums;    // [splits, padded_n, stride]
  float* factor;  // [splits, padded_n]
  typename Family::Arguments family;
  typename Family::Sums* results;  // [blocks]; null: not wanted
};

// Of normal numbers.
#if defined(__CUDACC__)
TF_PAIRWISE_DEVICE float InverseRoot(float x) {
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
inline float InverseRoot(float x) { return 1 / Sqrt(x); }
#endif

// A metric's distance of a pair, and its weight.
struct DirectDistance {
  const WarpPoints<float>& points;
  template <class M>
  TF_PAIRWISE_DEVICE float operator()(M) const {
    if constexpr (IsProduct<M>() && M::kCancels) {
      return static_cast<float>(M::Direct(points, false).distance);
    } else {
      return 0;
    }
  }
};
struct DirectWeight {
  float slope, distance;
  template <class S>
  TF_PAIRWISE_DEVICE float operator()(S) const {
    return S::Of(slope, distance);
  }
};

// The distance of a pair by itself, by a warp.
template <class Family>
TF_PAIRWISE_DEVICE float DistanceOf(const PairTilesArguments<Family>& a,
                                    int64_t i, int64_t j) {
  if (a.product.cancels) {
    const WarpPoints<float> points = {a.x_source + i * a.d,
                                      a.y_source + j * a.d, a.d};
    return VisitMetric(a.metric, DirectDistance{points});
  }
  const WarpPoints<float> rows = {a.x_rows + i * a.stride,
                                  a.y_rows + j * a.stride, a.d};
  return NegMulAdd(a.product.multiple,
                   static_cast<float>(rows.Sum(ProductElement())),
                   a.x_term[i] + a.y_term[j]);
}

// f(i, j) for the pairs of some rows that are marked, a bit each, of the
// columns from `column` on.
template <class F>
TF_PAIRWISE_DEVICE void EachMarked(int64_t row, int rows, int64_t column,
                                   int words, const unsigned* marks,
                                   const F& f) {
  TF_PAIRWISE_LOOP for (int q = 0; q < rows * words; ++q) {
    for (unsigned left = marks[q]; left != 0; left &= left - 1) {
      f(row + q / words, column + q % words * 32 + LowestBit(left));
    }
  }
}

// Some rows' close pairs, by a warp: a bit each, of the columns from `column`
// on. Their losses are returned, and go into the rows' sums with their part of
// the gradient.
template <class Family>
TF_PAIRWISE_DEVICE_CALL typename Family::Sums RescuePairs(
    const PairTilesArguments<Family>& a, int64_t row, int rows, int64_t column,
    int words, const unsigned* suspects, float* sums) {
  typename Family::Sums results = {};
  EachMarked(row, rows, column, words, suspects, [&](int64_t i, int64_t j) {
    const float distance = DistanceOf(a, i, j);
    const float slope = Family::DirectSlope(a.family, i, j, distance, results);
    const float weight = VisitSlope(a.metric, DirectWeight{slope, distance});
    if (!a.with_gradient || weight == 0) return;
    const float* const x = a.x_source + i * a.d;
    const float* const y = a.y_source + j * a.d;
    const float* const y_row = a.y_rows + j * a.stride;
    float* const sum = sums + (i - row) * a.stride;
    EachLane([&](int lane) {
      for (int k = lane; k < a.d; k += kWarp) {
        sum[k] += a.product.difference
                      ? L2::Part(weight, x[k], y[k])
                      : MinusProduct::Part(weight, 0.0f, y_row[k]);
      }
    });
  });
  return results;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_PAIR_FAMILY_GPU_INL_H_

#include <cmath>
#include <type_traits>

#include "tile/tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tile/operand_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "simd/gemm-inl.h"

#ifndef TF_PAIRWISE_TILE_OPERAND_CPU_ONCE_
#define TF_PAIRWISE_TILE_OPERAND_CPU_ONCE_
namespace tf_pairwise {
namespace {

template <typename T>
struct TableOf {
  // Reads halves [begin, end) into operand.converted.
  void (*convert)(const Operand<T>& operand, DType dtype, const void* points,
                  int64_t begin, int64_t end);
  // operand.centre, for the metrics that need one.
  void (*make_centre)(const Operand<T>& operand);
  // Rows [begin, end), padding included, and their panels.
  void (*prepare_rows)(const Operand<T>& operand, int64_t begin, int64_t end);
};
struct Table {
  TableOf<float> narrow;
  TableOf<double> wide;
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TILE_OPERAND_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// A point near the middle of the set that leaves integers and coarse grids
// exact: the mean of a sample, to the precision of the set's spread. Zero where
// the mean is small beside the spread, which leaves most embeddings as they
// are. Coordinates that are not finite, or whose squares leave the range, do
// not count: their rows are made from the points anyway.
template <typename T>
void MakeCentre(const T* points, int64_t n, int64_t d, T* centre) {
  constexpr int64_t kSample = 64;
  const Tag<T> tag;
  for (int64_t k = 0; k < d; ++k) centre[k] = 0;
  if (n == 0 || d == 0) return;
  const int64_t step = n <= kSample ? 1 : n / kSample;
  const VecT<T> big =
      hn::Set(tag, static_cast<T>(sizeof(T) == 4 ? 1e16 : 1e140));
  const auto load = [&](int64_t i, int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> v = LoadCount(points + i * d + k, some);
    return hn::IfThenElseZero(hn::Le(hn::Abs(v), big), v);
  };
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += step, ++count) {
    ForEachVector<T>(d, [&](int64_t k, int64_t some) HWY_ATTR {
      StoreCount(hn::Add(LoadCount(centre + k, some), load(i, k, some)),
                 centre + k, some);
    });
  }
  const VecT<T> inverse = hn::Set(tag, T(1) / static_cast<T>(count));
  double spread = 0;
  ForEachVector<T>(d, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> mean = hn::Mul(LoadCount(centre + k, some), inverse);
    StoreCount(mean, centre + k, some);
    VecT<T> squares = hn::Zero(tag);
    for (int64_t i = 0; i < n; i += step) {
      const VecT<T> r = hn::Sub(load(i, k, some), mean);
      squares = hn::MulAdd(r, r, squares);
    }
    spread += SumToDouble(tag, squares);
  });
  spread =
      std::sqrt(spread / (static_cast<double>(count) * static_cast<double>(d)));
  if (!(spread > 0)) return;
  int exponent;
  std::frexp(spread, &exponent);
  const double grid = std::ldexp(1.0, exponent - 1);
  for (int64_t k = 0; k < d; ++k) {
    const double mean = static_cast<double>(centre[k]);
    centre[k] = static_cast<T>(grid * std::nearbyint(mean / grid));
  }
}

template <typename T>
void CentreOf(const Operand<T>& operand) {
  VisitMetric(operand.metric, [&](auto m) HWY_ATTR {
    if constexpr (decltype(m)::kPreparation == Preparation::kCentred) {
      MakeCentre(operand.source, operand.n, operand.d, operand.centre);
    }
  });
}

template <typename T>
void Convert(const Operand<T>& operand, DType dtype, const void* points,
             int64_t begin, int64_t end) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    if constexpr (sizeof(S) == 2 && sizeof(T) == 4) {
      const S* from = static_cast<const S*>(points);
      ForEachVector<T>(end - begin, [&](int64_t k, int64_t count) HWY_ATTR {
        StoreCount(LoadCount(from + begin + k, count),
                   operand.converted + begin + k, count);
      });
    }
  });
}

template <typename T>
void ClearRow(const Operand<T>& operand, int64_t i, T term, T inverse_norm) {
  T* row = operand.rows + i * operand.stride;
  for (int64_t k = 0; k < operand.stride; ++k) row[k] = 0;
  operand.term[i] = term;
  if (operand.inverse_norm != nullptr) operand.inverse_norm[i] = inverse_norm;
}

template <typename T>
bool IsFiniteRow(const T* source, int64_t d) {
  const Tag<T> tag;
  VecT<T> poison = hn::Zero(tag);
  ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
    poison =
        hn::Add(poison, hn::Mul(LoadCount(source + k, count), hn::Zero(tag)));
  });
  return hn::ReduceSum(tag, poison) == 0;
}

// row = source / |source|; returns 1 / |source|, 0 for a zero.
template <typename T>
double NormaliseRow(const T* source, int64_t d, T* row) {
  const Side<T> side = {source, d};
  double squares = side.Squares(), scale = 1;
  // Doubles whose squares leave the range are scaled first.
  if (!InDoubleRange(squares)) {
    const double largest = side.Largest();
    if (largest > 0) {
      scale = largest;
      squares = side.Squares(scale);
    }
  }
  const double inverse = squares > 0 ? 1 / std::sqrt(squares) : 0;
  for (int64_t k = 0; k < d; ++k) {
    row[k] = static_cast<T>(static_cast<double>(source[k]) / scale * inverse);
  }
  return inverse / scale;
}

// The term of a finite row, whose coordinates it writes.
template <class M, typename T>
T PrepareRow(const Operand<T>& operand, int64_t i) {
  const int64_t d = operand.d;
  const T* source = operand.source + i * d;
  T* row = operand.rows + i * operand.stride;
  if constexpr (M::kPreparation == Preparation::kNormalised) {
    // A reciprocal beyond the type's range is that of a point whose gradient
    // is, too.
    constexpr double kMost = sizeof(T) == 4 ? 3e38 : 1e308;
    const double inverse = NormaliseRow(source, d, row);
    operand.inverse_norm[i] = static_cast<T>(inverse < kMost ? inverse : kMost);
    return static_cast<T>(M::Term(1));
  }
  double squares = 0;
  if constexpr (M::kPreparation == Preparation::kCentred) {
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      StoreCount(hn::Sub(LoadCount(source + k, count),
                         LoadCount(operand.centre + k, count)),
                 row + k, count);
    });
    squares = SumOver(row, row, d, ProductElement());
  } else {
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      StoreCount(LoadCount(source + k, count), row + k, count);
    });
  }
  // A norm that would overflow: its pairs are made from the points.
  constexpr double kMost = sizeof(T) == 4 ? 1e36 : 1e300;
  const double term = M::Term(squares);
  return static_cast<T>(term <= kMost ? term : std::nan(""));
}

template <typename T>
void PackPanel(const Operand<T>& operand, int64_t begin) {
  const int64_t d = operand.d, stride = operand.stride;
  const int64_t width = PanelWidth<T>();
  T* panel = operand.panels + begin * d;
  constexpr int64_t kBlock = 16;  // coordinates read from a row at a time
  for (int64_t k0 = 0; k0 < d; k0 += kBlock) {
    const int64_t k1 = k0 + kBlock < d ? k0 + kBlock : d;
    for (int64_t j = 0; j < width; ++j) {
      const T* row = operand.rows + (begin + j) * stride;
      for (int64_t k = k0; k < k1; ++k) panel[k * width + j] = row[k];
    }
  }
}

// The term of a row whose values are those of another metric than its points'.
template <typename T>
T TermOfProduct(Metric metric, T term) {
  return VisitMetric(metric, [&](auto m) HWY_ATTR {
    // NaN stays, to come out in the distances.
    return decltype(m)::kPreparation == Preparation::kNone
               ? term * 0 + static_cast<T>(decltype(m)::Term(1))
               : term;
  });
}

template <typename T>
void PrepareRows(const Operand<T>& operand, int64_t begin, int64_t end) {
  const T nan = static_cast<T>(std::nan(""));
  VisitMetric(operand.metric, [&](auto m) HWY_ATTR {
    for (int64_t i = begin; i < end; ++i) {
      if (i >= operand.n) {
        // Far from everything, so that no test fires.
        ClearRow<T>(operand, i, 1, 0);
        continue;
      }
      if (!IsFiniteRow(operand.source + i * operand.d, operand.d)) {
        // A NaN or an Inf: the term carries it to the distances, and a row of
        // zeros keeps it out of the products with rows that do not touch it.
        ClearRow<T>(operand, i, nan, nan);
        continue;
      }
      T term = PrepareRow<decltype(m)>(operand, i);
      if (operand.product != operand.metric) {
        term = TermOfProduct(operand.product, term);
      }
      operand.term[i] = term;
      T* row = operand.rows + i * operand.stride;
      for (int64_t k = operand.d; k < operand.stride; ++k) row[k] = 0;
    }
  });
  if (operand.panels == nullptr) return;
  for (int64_t j = begin; j < end; j += PanelWidth<T>()) PackPanel(operand, j);
}

template <typename T>
constexpr TableOf<T> kTableOf = {&Convert<T>, &CentreOf<T>, &PrepareRows<T>};
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

}  // namespace

template <typename T>
void PreparePoints(Operand<T>& operand, DType dtype, const void* points,
                   const T* centre, const ParallelFor& parallel) {
  const TableOf<T>& kernels = Kernels(T());
  const int64_t n = operand.n, d = operand.d;
  constexpr int64_t kRows = Operand<T>::kRowPadding;
  const int64_t units = operand.padded_n / kRows;
  const double cost = 4.0 * kRows * static_cast<double>(d);
  if (operand.converted != nullptr) {
    parallel(units, cost, [&](int64_t unit, int) {
      const int64_t begin = unit * kRows * d;
      kernels.convert(operand, dtype, points, begin,
                      Least(begin + kRows * d, n * d));
    });
    operand.source = operand.converted;
  } else {
    operand.source = static_cast<const T*>(points);
  }
  if (centre == nullptr) {
    kernels.make_centre(operand);
  } else {
    for (int64_t k = 0; k < d; ++k) operand.centre[k] = centre[k];
  }
  parallel(units, cost, [&](int64_t unit, int) {
    kernels.prepare_rows(operand, unit * kRows, (unit + 1) * kRows);
  });
}

template void PreparePoints<float>(Operand<float>&, DType, const void*,
                                   const float*, const ParallelFor&);
template void PreparePoints<double>(Operand<double>&, DType, const void*,
                                    const double*, const ParallelFor&);

}  // namespace tf_pairwise
#endif  // HWY_ONCE

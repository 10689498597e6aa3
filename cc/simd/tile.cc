#include "simd/tile.h"

#include <cmath>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/tile.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "simd/direct-inl.h"
#include "simd/dispatch.h"
#include "simd/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// ---- preparing operands ----

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
void PrepareRows(Operand<T>& operand, int64_t begin, int64_t end) {
  const Tag<T> tag;
  const int64_t d = operand.d, stride = operand.stride;
  const bool l2 = IsDifferenceL2(operand.metric);
  const bool cosine = operand.metric == Metric::kCosine;
  const T big = static_cast<T>(sizeof(T) == 4 ? 1e36 : 1e300);
  for (int64_t i = begin; i < end; ++i) {
    T* row = operand.rows + i * stride;
    if (i >= operand.n) {
      for (int64_t k = 0; k < stride; ++k) row[k] = 0;
      operand.term[i] = 1;  // far from everything, so that no test fires
      if (cosine) operand.inverse_norm[i] = 0;
      continue;
    }
    const T* source = operand.source + i * d;
    double squares = 0;
    VecT<T> poison = hn::Zero(tag);
    ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
      poison =
          hn::Add(poison, hn::Mul(LoadCount(source + k, count), hn::Zero(tag)));
    });
    if (!(hn::ReduceSum(tag, poison) == 0)) {
      // A NaN or an Inf: the term carries it to the distances, and a row of
      // zeros keeps it out of the products with rows that do not touch it.
      for (int64_t k = 0; k < stride; ++k) row[k] = 0;
      operand.term[i] = static_cast<T>(std::nan(""));
      if (cosine) operand.inverse_norm[i] = static_cast<T>(std::nan(""));
      continue;
    }
    if (l2) {
      ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
        StoreCount(hn::Sub(LoadCount(source + k, count),
                           LoadCount(operand.centre + k, count)),
                   row + k, count);
      });
      squares = SumOver(row, row, d, [](VecT<T> a, VecT<T> b) HWY_ATTR {
        return hn::Mul(a, b);
      });
      operand.term[i] = squares <= static_cast<double>(big)
                            ? static_cast<T>(squares)
                            : static_cast<T>(std::nan(""));
    } else if (cosine) {
      squares = SumOverWide(source, source, d,
                            [](VecT<double> a, VecT<double> b)
                                HWY_ATTR { return hn::Mul(a, b); });
      // Doubles whose squares leave the range are scaled first.
      double scale = 1;
      if (!InDoubleRange(squares)) {
        double largest = 0;
        for (int64_t k = 0; k < d; ++k) {
          const double a = std::fabs(static_cast<double>(source[k]));
          largest = a > largest ? a : largest;
        }
        if (largest > 0) {
          scale = largest;
          squares = 0;
          for (int64_t k = 0; k < d; ++k) {
            const double a = static_cast<double>(source[k]) / scale;
            squares += a * a;
          }
        }
      }
      const double inverse = squares > 0 ? 1 / std::sqrt(squares) : 0;
      operand.inverse_norm[i] = static_cast<T>(inverse / scale);
      operand.term[i] = static_cast<T>(0.5);
      for (int64_t k = 0; k < d; ++k) {
        row[k] =
            static_cast<T>(static_cast<double>(source[k]) / scale * inverse);
      }
    } else {
      ForEachVector<T>(d, [&](int64_t k, int64_t count) HWY_ATTR {
        StoreCount(LoadCount(source + k, count), row + k, count);
      });
      operand.term[i] = 0;
    }
    for (int64_t k = d; k < stride; ++k) row[k] = 0;
  }
}

template <typename T>
void PackPanel(Operand<T>& operand, int64_t begin) {
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

template <typename T>
void Prepare(Operand<T>& operand, DType dtype, const void* points,
             const T* centre, const ParallelFor& parallel) {
  const int64_t n = operand.n, d = operand.d;
  constexpr int64_t kRows = Operand<T>::kRowPadding;
  const int64_t units = operand.padded_n / kRows;
  const double cost = 4.0 * kRows * static_cast<double>(d);
  if (operand.converted != nullptr) {
    VisitDType(dtype, [&](auto type) HWY_ATTR {
      using S = decltype(type);
      if constexpr (sizeof(S) == 2 && sizeof(T) == 4) {
        const S* from = static_cast<const S*>(points);
        parallel(units, cost, [&](int64_t unit, int) HWY_ATTR {
          const int64_t begin = unit * kRows * d;
          const int64_t end =
              begin + kRows * d < n * d ? begin + kRows * d : n * d;
          ForEachVector<T>(end - begin, [&](int64_t k, int64_t count) HWY_ATTR {
            StoreCount(LoadCount(from + begin + k, count),
                       operand.converted + begin + k, count);
          });
        });
      }
    });
    operand.source = operand.converted;
  } else {
    operand.source = static_cast<const T*>(points);
  }
  if (IsDifferenceL2(operand.metric)) {
    if (centre == nullptr) {
      MakeCentre(operand.source, n, d, operand.centre);
    } else {
      for (int64_t k = 0; k < d; ++k) operand.centre[k] = centre[k];
    }
  }
  const int64_t width = PanelWidth<T>();
  parallel(units, cost, [&](int64_t unit, int) HWY_ATTR {
    const int64_t begin = unit * kRows, end = begin + kRows;
    PrepareRows(operand, begin, end);
    if (operand.panels != nullptr) {
      for (int64_t j = begin; j < end; j += width) PackPanel(operand, j);
    }
  });
}

// ---- tiles of distances ----

// Products longer than this are summed in blocks, so that rounding does not
// grow with the dimension: about one unit in the last place of the terms.
constexpr int64_t kDepthBlock = 128;

// Makes a vector of distances again from the points, where `suspects` has a
// bit; returns the bits whose gradient needs the points too.
template <typename T>
HWY_NOINLINE uint64_t Rescue(const Operand<T>& x, const Operand<T>& y,
                             int64_t i, int64_t j, uint64_t suspects,
                             int64_t diagonal, T* values) {
  uint64_t near = 0;
  while (suspects != 0) {
    const int lane = __builtin_ctzll(suspects);
    suspects &= suspects - 1;
    const int64_t column = j + lane;
    if (column >= y.n) continue;
    const bool finite =
        x.term[i] == x.term[i] && y.term[column] == y.term[column];
    if (diagonal >= 0 && column == i + diagonal && finite) {
      const bool zero_vector =
          x.metric == Metric::kCosine && x.inverse_norm[i] == 0;
      values[lane] = zero_vector ? T(1) : T(0);
      continue;
    }
    values[lane] = static_cast<T>(MakePair(x.metric, x.source + i * x.d,
                                           y.source + column * y.d, x.d, false)
                                      .distance);
    if (diagonal >= 0 && column == i + diagonal && values[lane] == 0) continue;
    near |= uint64_t{1} << lane;
  }
  return near;
}

// Makes distances of a register tile's products and stores them.
template <Metric kMetric, int kRows, typename T>
HWY_INLINE void FinishStrip(const Operand<T>& x, const Operand<T>& y,
                            int64_t row, int64_t column, int64_t diagonal,
                            const VecT<T> (&acc)[kRows][kMicroVectors],
                            T* distances, int64_t stride, uint64_t* near,
                            int64_t near_stride, int64_t near_column) {
  const Tag<T> tag;
  const int64_t lanes = LanesOf<T>();
  const VecT<T> closeness = hn::Set(tag, ClosenessPart<T>());
  const VecT<T> tiny =
      hn::Set(tag, static_cast<T>(sizeof(T) == 4 ? 1e-28 : 1e-280));
  for (int r = 0; r < kRows; ++r) {
    const VecT<T> x_term = hn::Set(tag, x.term[row + r]);
    for (int v = 0; v < kMicroVectors; ++v) {
      const int64_t j = column + v * lanes;
      const VecT<T> terms = hn::Add(x_term, hn::LoadU(tag, y.term + j));
      T* out = distances + r * stride + v * lanes;
      if constexpr (kMetric == Metric::kManhattan) {
        hn::StoreU(hn::Add(acc[r][v], terms), tag, out);
      } else if constexpr (kMetric == Metric::kDot) {
        hn::StoreU(hn::Sub(terms, acc[r][v]), tag, out);
      } else {
        const VecT<T> factor =
            hn::Set(tag, static_cast<T>(kMetric == Metric::kCosine ? 1 : 2));
        const VecT<T> raw = hn::NegMulAdd(factor, acc[r][v], terms);
        const auto sound = hn::Ge(raw, hn::MulAdd(closeness, terms, tiny));
        VecT<T> value = raw;
        if constexpr (kMetric == Metric::kEuclidean) value = hn::Sqrt(raw);
        hn::StoreU(value, tag, out);
        if (HWY_UNLIKELY(!hn::AllTrue(tag, sound))) {
          uint8_t bytes[8] = {0};
          hn::StoreMaskBits(tag, hn::Not(sound), bytes);
          uint64_t suspects = 0;
          for (int i = 0; i < 8; ++i) suspects |= uint64_t{bytes[i]} << (8 * i);
          const uint64_t close =
              Rescue(x, y, row + r, j, suspects, diagonal, out);
          if (near != nullptr && kMetric != Metric::kCosine) {
            const int64_t bit = j - near_column;
            near[r * near_stride + bit / 64] |= close << (bit % 64);
          }
        }
      }
    }
  }
}

template <Metric kMetric, int kRows, typename T>
HWY_INLINE void DistanceStrip(const Operand<T>& x, const Operand<T>& y,
                              int64_t row, int64_t column, int64_t diagonal,
                              T* distances, int64_t stride, uint64_t* near,
                              int64_t near_stride, int64_t near_column) {
  const Tag<T> tag;
  const int64_t depth = x.d;
  const int64_t width = PanelWidth<T>();
  using Term = std::conditional_t<kMetric == Metric::kManhattan,
                                  AbsoluteDifferenceTerm, ProductTerm>;
  const T* a = x.rows + row * x.stride;
  const T* b = y.panels + column * depth;
  VecT<T> acc[kRows][kMicroVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kMicroVectors; ++v) acc[r][v] = hn::Zero(tag);
  }
  // Two whole paths, so that the short one's sums never leave the registers.
  if (depth <= kDepthBlock) {
    MicroKernel<Term, kRows, kMicroVectors, T>(depth, a, x.stride, 1, b, width,
                                               acc);
    FinishStrip<kMetric, kRows, T>(x, y, row, column, diagonal, acc, distances,
                                   stride, near, near_stride, near_column);
    return;
  }
  for (int64_t k = 0; k < depth; k += kDepthBlock) {
    VecT<T> part[kRows][kMicroVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kMicroVectors; ++v) part[r][v] = hn::Zero(tag);
    }
    MicroKernel<Term, kRows, kMicroVectors, T>(
        depth - k < kDepthBlock ? depth - k : kDepthBlock, a + k, x.stride, 1,
        b + k * width, width, part);
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kMicroVectors; ++v) {
        acc[r][v] = hn::Add(acc[r][v], part[r][v]);
      }
    }
  }
  FinishStrip<kMetric, kRows, T>(x, y, row, column, diagonal, acc, distances,
                                 stride, near, near_stride, near_column);
}

template <Metric kMetric, typename T>
void DistancesOf(const Operand<T>& x, const Operand<T>& y, int64_t row,
                 int64_t rows, int64_t column, int64_t columns,
                 int64_t diagonal, T* distances, int64_t stride, uint64_t* near,
                 int64_t near_stride) {
  const int64_t width = PanelWidth<T>();
  if (near != nullptr) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t w = 0; w < (columns + 63) / 64; ++w) {
        near[r * near_stride + w] = 0;
      }
    }
  }
  for (int64_t c = 0; c < columns; c += width) {
    int64_t r = 0;
    const auto strip = [&](auto rows_constant) HWY_ATTR {
      constexpr int kRows = decltype(rows_constant)::value;
      for (; r + kRows <= rows; r += kRows) {
        DistanceStrip<kMetric, kRows, T>(
            x, y, row + r, column + c, diagonal, distances + r * stride + c,
            stride, near == nullptr ? nullptr : near + r * near_stride,
            near_stride, column);
      }
    };
    strip(std::integral_constant<int, kMicroRows>());
    strip(std::integral_constant<int, 2>());
    strip(std::integral_constant<int, 1>());
  }
}

template <typename T>
void Distances(const Operand<T>& x, const Operand<T>& y, int64_t row,
               int64_t rows, int64_t column, int64_t columns, int64_t diagonal,
               T* distances, int64_t stride, uint64_t* near,
               int64_t near_stride) {
  const auto run = [&](auto metric) HWY_ATTR {
    DistancesOf<decltype(metric)::value, T>(x, y, row, rows, column, columns,
                                            diagonal, distances, stride, near,
                                            near_stride);
  };
  switch (x.metric) {
    case Metric::kEuclidean:
      return run(std::integral_constant<Metric, Metric::kEuclidean>());
    case Metric::kSquaredEuclidean:
      return run(std::integral_constant<Metric, Metric::kSquaredEuclidean>());
    case Metric::kCosine:
      return run(std::integral_constant<Metric, Metric::kCosine>());
    case Metric::kManhattan:
      return run(std::integral_constant<Metric, Metric::kManhattan>());
    case Metric::kDot:
      return run(std::integral_constant<Metric, Metric::kDot>());
  }
}

// ---- gradients ----

// The sums of `own` rows [row, row + rows) take their pairs with `other` rows
// [first, first + count): weights packed as pack[r * row_stride + k *
// k_stride].
template <typename T>
void MultiplyPacked(const Operand<T>& own, const Operand<T>& other, int64_t row,
                    int64_t rows, int64_t first, int64_t count, const T* pack,
                    int64_t row_stride, int64_t k_stride,
                    const GradientSums<T>& sums) {
  const int64_t lanes = LanesOf<T>();
  const int64_t columns = (own.d + lanes - 1) / lanes * lanes;
  const int64_t stride = own.stride;
  const bool manhattan = own.metric == Metric::kManhattan;
  int64_t k = 0;
  const auto panel = [&](auto vectors_constant) HWY_ATTR {
    constexpr int kVectors = decltype(vectors_constant)::value;
    for (; k + kVectors * lanes <= columns; k += kVectors * lanes) {
      int64_t r = 0;
      const T* b = other.rows + first * other.stride + k;
      const auto strip = [&](auto rows_constant) HWY_ATTR {
        constexpr int kRows = decltype(rows_constant)::value;
        for (; r + kRows <= rows; r += kRows) {
          T* c = sums.sums + (row + r) * stride + k;
          if (manhattan) {
            if constexpr (kRows <= 2 && kVectors <= 2) {
              AddSigns<kRows, kVectors, T>(
                  count, pack + r * row_stride, row_stride, k_stride, b,
                  other.stride, own.rows + (row + r) * stride + k, stride, c,
                  stride);
            }
          } else {
            SubtractProduct<kRows, kVectors, T>(count, pack + r * row_stride,
                                                row_stride, k_stride, b,
                                                other.stride, c, stride);
          }
        }
      };
      if (!manhattan) strip(std::integral_constant<int, kMicroRows>());
      strip(std::integral_constant<int, 2>());
      strip(std::integral_constant<int, 1>());
    }
  };
  if (!manhattan) panel(std::integral_constant<int, kMicroVectors>());
  panel(std::integral_constant<int, 2>());
  panel(std::integral_constant<int, 1>());
}

// One pair by itself: sums_i += w times the pair's own gradient.
template <typename T>
HWY_INLINE void AddPair(const Operand<T>& own, const Operand<T>& other,
                        int64_t i, int64_t j, T weight,
                        const GradientSums<T>& sums) {
  Pair pair;
  pair.v = 1;
  pair.cross = 1;
  // Cosine's sums are over the normalised points; the rest over the points.
  const bool cosine = own.metric == Metric::kCosine;
  const T* x = cosine ? own.rows + i * own.stride : own.source + i * own.d;
  const T* y =
      cosine ? other.rows + j * other.stride : other.source + j * other.d;
  AddSlope(own.metric, pair, static_cast<double>(weight), x, y, own.d,
           sums.sums + i * own.stride);
}

// Calls `function(k)` for each nonzero of weights[0, count), in order.
template <typename T, typename Function>
HWY_INLINE void ForEachNonzero(const T* weights, int64_t count,
                               const Function& function) {
  const Tag<T> tag;
  ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
    const auto used = hn::Ne(LoadCount(weights + k, some), hn::Zero(tag));
    if (hn::AllFalse(tag, used)) return;
    uint8_t bytes[8] = {0};
    hn::StoreMaskBits(tag, used, bytes);
    uint64_t bits = 0;
    __builtin_memcpy(&bits, bytes, sizeof(bits));
    for (; bits != 0; bits &= bits - 1) function(k + __builtin_ctzll(bits));
  });
}

// Copies a row of weights and returns how many are not zero.
template <typename T>
HWY_INLINE int64_t CopyWeights(const T* from, int64_t count, T* to) {
  const Tag<T> tag;
  int64_t used = 0;
  ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> w = LoadCount(from + k, some);
    used += static_cast<int64_t>(hn::CountTrue(tag, hn::Ne(w, hn::Zero(tag))));
    StoreCount(w, to + k, some);
  });
  return used;
}

// A block with fewer nonzero weights than this part of it is taken pair by
// pair; the product of all of it would cost more.
constexpr int64_t kSparsePart = 8;

template <typename T>
void AccumulateRows(const Operand<T>& x, const Operand<T>& y, int64_t row,
                    int64_t rows, int64_t column, int64_t columns,
                    const WeightBlock<T>& block, const GradientSums<T>& sums,
                    T* pack) {
  const Tag<T> tag;
  const bool l2 = IsDifferenceL2(x.metric);
  constexpr int64_t kStride = kAccumulateColumns + 16;
  for (int64_t r0 = 0; r0 < rows; r0 += kAccumulateRows) {
    const int64_t some_rows =
        rows - r0 < kAccumulateRows ? rows - r0 : kAccumulateRows;
    for (int64_t c0 = 0; c0 < columns; c0 += kAccumulateColumns) {
      const int64_t some_columns =
          columns - c0 < kAccumulateColumns ? columns - c0 : kAccumulateColumns;
      int64_t used = 0;
      for (int64_t r = 0; r < some_rows; ++r) {
        used += CopyWeights(block.weights + (r0 + r) * block.stride + c0,
                            some_columns, pack + r * kStride);
      }
      if (used == 0) continue;
      if (used * kSparsePart < some_rows * some_columns) {
        for (int64_t r = 0; r < some_rows; ++r) {
          const T* weights = pack + r * kStride;
          ForEachNonzero(weights, some_columns, [&](int64_t k) HWY_ATTR {
            AddPair(x, y, row + r0 + r, column + c0 + k, weights[k], sums);
          });
        }
        continue;
      }
      for (int64_t r = 0; l2 && r < some_rows; ++r) {
        const int64_t i = r0 + r;
        T* weights = pack + r * kStride;
        if (block.near != nullptr) {
          const uint64_t* near = block.near + i * block.near_stride + c0 / 64;
          for (int64_t w = 0; w < (some_columns + 63) / 64; ++w) {
            for (uint64_t bits = near[w]; bits != 0; bits &= bits - 1) {
              const int64_t k = w * 64 + __builtin_ctzll(bits);
              if (k >= some_columns || weights[k] == 0) continue;
              AddPair(x, y, row + i, column + c0 + k, weights[k], sums);
              weights[k] = 0;
            }
          }
        }
        VecT<T> total = hn::Zero(tag);
        ForEachVector<T>(some_columns, [&](int64_t k, int64_t count) HWY_ATTR {
          total = hn::Add(total, LoadCount(weights + k, count));
        });
        sums.own[row + i] += hn::ReduceSum(tag, total);
      }
      MultiplyPacked(x, y, row + r0, some_rows, column + c0, some_columns, pack,
                     kStride, 1, sums);
    }
  }
}

template <typename T>
void AccumulateColumns(const Operand<T>& x, const Operand<T>& y, int64_t row,
                       int64_t rows, int64_t column, int64_t columns,
                       const WeightBlock<T>& block, const GradientSums<T>& sums,
                       T* pack) {
  const bool l2 = IsDifferenceL2(x.metric);
  for (int64_t c0 = 0; c0 < columns; c0 += kAccumulateRows) {
    const int64_t own_rows =
        columns - c0 < kAccumulateRows ? columns - c0 : kAccumulateRows;
    for (int64_t r0 = 0; r0 < rows; r0 += kAccumulateColumns) {
      const int64_t depth =
          rows - r0 < kAccumulateColumns ? rows - r0 : kAccumulateColumns;
      int64_t used = 0;
      for (int64_t k = 0; k < depth; ++k) {
        used += CopyWeights(block.weights + (r0 + k) * block.stride + c0,
                            own_rows, pack + k * kAccumulateRows);
      }
      if (used == 0) continue;
      if (used * kSparsePart < depth * own_rows) {
        for (int64_t k = 0; k < depth; ++k) {
          const T* weights = pack + k * kAccumulateRows;
          ForEachNonzero(weights, own_rows, [&](int64_t c) HWY_ATTR {
            AddPair(y, x, column + c0 + c, row + r0 + k, weights[c], sums);
          });
        }
        continue;
      }
      for (int64_t k = 0; l2 && k < depth; ++k) {
        T* weights = pack + k * kAccumulateRows;
        if (block.near != nullptr) {
          const uint64_t* near = block.near + (r0 + k) * block.near_stride;
          for (int64_t w = c0 / 64; w < (c0 + own_rows + 63) / 64; ++w) {
            for (uint64_t bits = near[w]; bits != 0; bits &= bits - 1) {
              const int64_t c = w * 64 + __builtin_ctzll(bits) - c0;
              if (c < 0 || c >= own_rows || weights[c] == 0) continue;
              AddPair(y, x, column + c0 + c, row + r0 + k, weights[c], sums);
              weights[c] = 0;
            }
          }
        }
        T* own = sums.own + column + c0;
        ForEachVector<T>(own_rows, [&](int64_t c, int64_t count) HWY_ATTR {
          StoreCount(
              hn::Add(LoadCount(own + c, count), LoadCount(weights + c, count)),
              own + c, count);
        });
      }
      MultiplyPacked(y, x, column + c0, own_rows, row + r0, depth, pack, 1,
                     kAccumulateRows, sums);
    }
  }
}

template <typename T>
void AccumulatePairs(const Operand<T>& x, const Operand<T>& y, int64_t i,
                     int64_t count, const int32_t* indices, const T* weights,
                     const GradientSums<T>& sums) {
  for (int64_t e = 0; e < count; ++e) {
    if (weights[e] != 0) AddPair(x, y, i, indices[e], weights[e], sums);
  }
}

template <typename T>
void FinishGradient(const Operand<T>& x, int64_t row, int64_t rows,
                    const GradientSums<T>& sums, double scale, T* gradient) {
  const Tag<T> tag;
  const VecT<T> factor = hn::Set(tag, static_cast<T>(scale));
  for (int64_t i = row; i < row + rows; ++i) {
    const T* point = x.rows + i * x.stride;
    const T* sum = sums.sums + i * x.stride;
    T* out = gradient + i * x.d;
    if (x.metric == Metric::kCosine) {
      // (I - p p^T) sum / |x|, p the normalised point.
      const double along =
          SumOver(point, sum, x.d,
                  [](VecT<T> a, VecT<T> b) HWY_ATTR { return hn::Mul(a, b); });
      const VecT<T> a = hn::Set(tag, static_cast<T>(along));
      const VecT<T> f = hn::Mul(factor, hn::Set(tag, x.inverse_norm[i]));
      ForEachVector<T>(x.d, [&](int64_t k, int64_t count) HWY_ATTR {
        StoreCount(hn::Mul(f, hn::NegMulAdd(a, LoadCount(point + k, count),
                                            LoadCount(sum + k, count))),
                   out + k, count);
      });
    } else {
      const VecT<T> own =
          hn::Set(tag, IsDifferenceL2(x.metric) ? sums.own[i] : T(0));
      ForEachVector<T>(x.d, [&](int64_t k, int64_t count) HWY_ATTR {
        const VecT<T> s = LoadCount(sum + k, count);
        const VecT<T> g = IsDifferenceL2(x.metric)
                              ? hn::MulAdd(own, LoadCount(point + k, count), s)
                              : s;
        StoreCount(hn::Mul(factor, g), out + k, count);
      });
    }
  }
}

template <typename T>
void WeightsFromSlopes(Metric metric, int64_t count, const T* weights,
                       T* distances) {
  const Tag<T> tag;
  const VecT<T> one = hn::Set(tag, T(1));
  const VecT<T> tiny = hn::Set(tag, TinyDistance<T>());
  ForEachVector<T>(count, [&](int64_t k, int64_t some) HWY_ATTR {
    const VecT<T> w = LoadCount(weights + k, some);
    VecT<T> v = w;
    if (metric == Metric::kEuclidean) {
      const VecT<T> distance = LoadCount(distances + k, some);
      // A pair without weight stays without, whatever its distance.
      v = hn::IfThenZeroElse(
          hn::Or(hn::Le(distance, tiny), hn::Eq(w, hn::Zero(tag))),
          hn::Mul(w, hn::Div(one, distance)));
    } else if (metric == Metric::kSquaredEuclidean) {
      v = hn::Add(w, w);
    }
    StoreCount(v, distances + k, some);
  });
}

template <typename T>
void StoreRows(DType dtype, int64_t rows, int64_t columns, const T* from,
               int64_t from_stride, void* to, int64_t to_stride,
               bool past_caches) {
  VisitDType(dtype, [&](auto type) HWY_ATTR {
    using S = decltype(type);
    if constexpr (std::is_same_v<Compute<S>, T>) {
      S* out = static_cast<S*>(to);
      if constexpr (std::is_same_v<S, T>) {
        constexpr int64_t kLine = 64;
        const int64_t lanes = LanesOf<T>();
        if (past_caches && reinterpret_cast<uintptr_t>(out) % kLine == 0 &&
            to_stride * static_cast<int64_t>(sizeof(T)) % kLine == 0 &&
            columns % lanes == 0) {
          const Tag<T> tag;
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t k = 0; k < columns; k += lanes) {
              hn::Stream(hn::LoadU(tag, from + i * from_stride + k), tag,
                         out + i * to_stride + k);
            }
          }
          hwy::FlushStream();
          return;
        }
      }
      for (int64_t i = 0; i < rows; ++i) {
        ForEachVector<T>(columns, [&](int64_t k, int64_t count) HWY_ATTR {
          StoreCount(LoadCount(from + i * from_stride + k, count),
                     out + i * to_stride + k, count);
        });
      }
    }
  });
}

template <typename T>
constexpr TileKernels<T> kTiles = {&Prepare<T>,           &Distances<T>,
                                   &AccumulateRows<T>,    &AccumulateColumns<T>,
                                   &AccumulatePairs<T>,   &FinishGradient<T>,
                                   &WeightsFromSlopes<T>, &StoreRows<T>};

}  // namespace

const TileTable kTable = {kTiles<float>, kTiles<double>};

}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const TileTable& Kernels() { TF_PAIRWISE_DISPATCH() }

}  // namespace

const TileKernels<float>& Tiles(float) { return Kernels().narrow; }
const TileKernels<double>& Tiles(double) { return Kernels().wide; }

}  // namespace tf_pairwise
#endif  // HWY_ONCE

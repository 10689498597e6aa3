#ifndef TF_PAIRWISE_TILE_OPERAND_GPU_INL_H_
#define TF_PAIRWISE_TILE_OPERAND_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/halves.h"
#include "cuda/points.h"
#include "metric/metric-inl.h"

// Points made ready for a GPU's tiles: operand_cpu.cc's twin.

namespace tf_pairwise {

// Halves as floats.
template <typename S>
struct ConvertKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("convert_" + TypeName<S>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 4;
  struct Arguments {
    int64_t count;
    const S* in;
    float* out;
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      for (int64_t i = block.x() * kThreads + thread; i < a.count;
           i += block.grid_x() * kThreads) {
        a.out[i] = Load(a.in + i);
      }
    });
  }
};

// The largest power of two up to a positive double; 0 below the normal ones.
TF_PAIRWISE_DEVICE double PowerOfTwoUpTo(double x) {
  uint64_t bits;
  TF_PAIRWISE_MEMCPY(&bits, &x, 8);
  bits &= uint64_t{0x7ff} << 52;
  double power;
  TF_PAIRWISE_MEMCPY(&power, &bits, 8);
  return power;
}

// The nearest integer, the even one of two.
TF_PAIRWISE_DEVICE double NearestInteger(double x) {
  constexpr double kFirstWithoutFraction = 4503599627370496.0;
  if (!(Abs(x) < kFirstWithoutFraction)) return x;
  const double shift = x < 0 ? -kFirstWithoutFraction : kFirstWithoutFraction;
  return (x + shift) - shift;
}

// A point near the middle of the set that leaves integers and coarse grids
// exact: the mean of a sample, to the precision of the set's spread. One block.
// Coordinates that are not finite, or whose squares leave the range, do not
// count.
template <typename T>
struct CentreKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("centre_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  struct Arguments {
    const T* points;  // [n, d]
    int64_t n, d;
    T* centre;  // [d]
  };

  static TF_PAIRWISE_DEVICE T Counted(T v) {
    return Abs(v) <= static_cast<T>(sizeof(T) == 4 ? 1e16 : 1e140) ? v : T(0);
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    constexpr int64_t kSample = 64;
    const int64_t step = a.n <= kSample ? 1 : a.n / kSample;
    const int64_t count = (a.n + step - 1) / step;
    const T inverse = T(1) / static_cast<T>(count < 1 ? 1 : count);
    const double squares =
        block.Sum([&](int thread, Shared&, ThreadRegisters&) {
          double sum = 0;
          for (int64_t k = thread; k < a.d; k += kThreads) {
            T mean = 0;
            for (int64_t i = 0; i < a.n; i += step) {
              mean += Counted(a.points[i * a.d + k]);
            }
            mean *= inverse;
            a.centre[k] = mean;
            T own = 0;
            for (int64_t i = 0; i < a.n; i += step) {
              const T r = Counted(a.points[i * a.d + k]) - mean;
              own = MulAdd(r, r, own);
            }
            sum += static_cast<double>(own);
          }
          return sum;
        });
    if (count == 0 || a.d == 0) return;
    const double grid = PowerOfTwoUpTo(Sqrt(
        squares / (static_cast<double>(count) * static_cast<double>(a.d))));
    if (!(grid > 0)) return;
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      for (int64_t k = thread; k < a.d; k += kThreads) {
        const double mean = static_cast<double>(a.centre[k]);
        a.centre[k] = static_cast<T>(grid * NearestInteger(mean / grid));
      }
    });
  }
};

// Rows and terms, padding included: a warp a row.
template <typename T>
struct PrepareKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("prepare_" + TypeName<T>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 2;
  static constexpr int kRows = kThreads / kWarp;
  struct Arguments {
    const T* source;  // [n, d]
    const T* centre;  // [d]
    int64_t n, d, padded_n, stride;
    T* rows;          // [padded_n, stride]
    T* term;          // [padded_n]
    T* inverse_norm;  // [padded_n], or null
    Metric metric, product;
  };

  static TF_PAIRWISE_DEVICE void ClearRow(const Arguments& a, int64_t i,
                                          double term, double inverse_norm) {
    EachLane([&](int lane) {
      for (int64_t k = lane; k < a.stride; k += kWarp) {
        a.rows[i * a.stride + k] = 0;
      }
      if (lane != 0) return;
      a.term[i] = static_cast<T>(term);
      if (a.inverse_norm != nullptr) {
        a.inverse_norm[i] = static_cast<T>(inverse_norm);
      }
    });
  }

  // Writes the coordinates of a finite row f(k) and, after them, zeros.
  template <class F>
  static TF_PAIRWISE_DEVICE void WriteRow(const Arguments& a, int64_t i,
                                          const F& f) {
    EachLane([&](int lane) {
      for (int64_t k = lane; k < a.stride; k += kWarp) {
        a.rows[i * a.stride + k] = k < a.d ? f(k) : T(0);
      }
    });
  }

  // 1 / |x|, 0 for a zero; the row is x / |x|.
  static TF_PAIRWISE_DEVICE double Normalise(const Arguments& a, int64_t i) {
    const T* source = a.source + i * a.d;
    const WarpSide<T> side = {source, a.d};
    double squares = side.Squares(), scale = 1;
    // Doubles whose squares leave the range are scaled first.
    if (!InDoubleRange(squares)) {
      const double largest = side.Largest();
      if (largest > 0) {
        scale = largest;
        squares = side.Squares(scale);
      }
    }
    const double inverse = squares > 0 ? 1 / Sqrt(squares) : 0;
    WriteRow(a, i, [&](int64_t k) {
      return static_cast<T>(static_cast<double>(source[k]) / scale * inverse);
    });
    return inverse / scale;
  }

  // The term of a finite row.
  template <class M>
  static TF_PAIRWISE_DEVICE T PrepareRow(const Arguments& a, int64_t i) {
    const T* source = a.source + i * a.d;
    if constexpr (M::kPreparation == Preparation::kNormalised) {
      // A reciprocal beyond the type's range is that of a point whose gradient
      // is, too.
      constexpr double kMost = sizeof(T) == 4 ? 3e38 : 1e308;
      const double inverse = Normalise(a, i);
      EachLane([&](int lane) {
        if (lane != 0) return;
        a.inverse_norm[i] = static_cast<T>(inverse < kMost ? inverse : kMost);
      });
      return static_cast<T>(M::Term(1));
    } else {
      double squares = 0;
      if constexpr (M::kPreparation == Preparation::kCentred) {
        WriteRow(a, i, [&](int64_t k) { return source[k] - a.centre[k]; });
        const T* row = a.rows + i * a.stride;
        squares = WarpPoints<T>{row, row, a.d}.Sum(ProductElement());
      } else {
        WriteRow(a, i, [&](int64_t k) { return source[k]; });
      }
      // A norm that would overflow: its pairs are made from the points.
      constexpr double kMost = sizeof(T) == 4 ? 1e36 : 1e300;
      const double term = M::Term(squares);
      return static_cast<T>(term <= kMost ? term : NotANumber());
    }
  }

  struct RowOf {
    const Arguments& a;
    int64_t i;
    template <class M>
    TF_PAIRWISE_DEVICE T operator()(M) const {
      return PrepareRow<M>(a, i);
    }
  };
  // The term of a row whose values are those of another metric than its
  // points'.
  struct TermOf {
    T term;
    template <class M>
    TF_PAIRWISE_DEVICE T operator()(M) const {
      return M::kPreparation == Preparation::kNone
                 ? term * 0 + static_cast<T>(M::Term(1))
                 : term;
    }
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.EachWarp([&](int warp, Shared&, WarpRegisters&) {
      const int64_t i = block.x() * kRows + warp;
      if (i >= a.padded_n) return;
      // Padding is far from everything, so that no test fires.
      if (i >= a.n) return ClearRow(a, i, 1, 0);
      // A NaN or an Inf: the term carries it to the distances, and a row of
      // zeros keeps it out of the products with rows that do not touch it.
      if (!WarpSide<T>{a.source + i * a.d, a.d}.IsFinite()) {
        return ClearRow(a, i, NotANumber(), NotANumber());
      }
      T term = VisitMetric(a.metric, RowOf{a, i});
      if (a.product != a.metric) {
        term = VisitMetric(a.product, TermOf{term});
      }
      EachLane([&](int lane) {
        if (lane == 0) a.term[i] = term;
      });
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_OPERAND_GPU_INL_H_

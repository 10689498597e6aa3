#ifndef TF_PAIRWISE_DISTANCE_PAIRWISE_GPU_INL_H_
#define TF_PAIRWISE_DISTANCE_PAIRWISE_GPU_INL_H_

#include "cuda/block.h"
#include "cuda/halves.h"
#include "metric/metric-inl.h"

// Between strips and the arrays of all pairs: a block to a row.

namespace tf_pairwise {

// The rows of a strip and those of an array [n, m].
template <typename S>
struct StripRows {
  Computed<S>* values;  // [rows, stride]
  int64_t stride;
  int64_t first, columns;
  S* array;  // [n, columns]
};

// A strip's distances into the output.
template <typename S>
struct StoreStripKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("store_strip_" + TypeName<S>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 4;
  using Arguments = StripRows<S>;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      const Computed<S>* const from = a.values + block.x() * a.stride;
      S* const to = a.array + (a.first + block.x()) * a.columns;
      for (int64_t j = thread; j < a.columns; j += kThreads) {
        Store(from[j], to + j);
      }
    });
  }
};

// A strip's distances become weights: upstream times the metric's slope.
template <typename S>
struct UpstreamKernel : KeepsNothing {
  TF_PAIRWISE_KERNEL_NAME("upstream_" + TypeName<S>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 4;
  using T = Computed<S>;
  struct Arguments {
    T* values;
    int64_t stride;
    int64_t first, columns;
    const S* upstream;  // [n, columns]
    Metric metric;
    // The column of the strip's first row's own point, which its distance does
    // not depend on; < 0: none.
    int64_t itself;
  };

  struct RowOf {
    const Arguments& a;
    int64_t row;
    int thread;

    template <class Slope>
    TF_PAIRWISE_DEVICE void operator()(Slope) const {
      T* const values = a.values + row * a.stride;
      const S* const upstream = a.upstream + (a.first + row) * a.columns;
      const int64_t itself = a.itself < 0 ? -1 : a.itself + row;
      for (int64_t j = thread; j < a.columns; j += kThreads) {
        const T v = Slope::Of(static_cast<T>(Load(upstream + j)), values[j]);
        // A NaN stays one.
        values[j] = j == itself && v == v ? T(0) : v;
      }
    }
  };

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      VisitSlope(a.metric, RowOf{a, block.x(), thread});
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_PAIRWISE_GPU_INL_H_

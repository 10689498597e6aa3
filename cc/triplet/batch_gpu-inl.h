#ifndef TF_PAIRWISE_TRIPLET_BATCH_GPU_INL_H_
#define TF_PAIRWISE_TRIPLET_BATCH_GPU_INL_H_

#include "cuda/halves.h"
#include "triplet/positives_gpu-inl.h"

// An anchor's row, a block to an anchor, for the minings that may give all of
// its columns a weight: what they have in common. A mining is a struct
//
//   struct Mining {
//     TF_PAIRWISE_KERNEL_NAME(...);
//     struct Shared {...};           // PositivesChunk<T> positives among it
//     struct ThreadRegisters {...};
//     // Of a row with triplets and without a NaN; all weights go to `out`.
//     static TripletSums Row(B& block, const AnchorRow<T>& row,
//                           const FoundInRow& found, const SlopesOut<T>& out);
//   };

namespace tf_pairwise {

struct FoundInRow {
  int64_t positives = 0, negatives = 0;
  int64_t nan = 0;  // NaN distances

  TF_PAIRWISE_DEVICE FoundInRow operator+(const FoundInRow& other) const {
    return {positives + other.positives, negatives + other.negatives,
            nan + other.nan};
  }
};

// Where d loss / d D of a row goes, before the anchor's weight. In a chunk of
// positives a column is put once. Where all positives are one chunk, the row
// itself takes V; where they are not, later chunks need its distances, and the
// slopes have a place of their own until the end.
template <typename T>
struct SlopesOut {
  T* slopes = nullptr;  // [m]

  TF_PAIRWISE_DEVICE void Put(const AnchorRow<T>& row, int64_t j, T distance,
                              T slope) const {
    if (row.gradient) Store(row, j, Of(row, distance, slope));
  }
  // Put in two steps.
  TF_PAIRWISE_DEVICE T Of(const AnchorRow<T>& row, T distance, T slope) const {
    return slopes != nullptr ? slope : row.WeightOf(slope, distance);
  }
  TF_PAIRWISE_DEVICE void Store(const AnchorRow<T>& row, int64_t j,
                                T value) const {
    if (slopes != nullptr) {
      slopes[j] += value;
    } else {
      row.distances[j] = value;
    }
  }
};

template <typename T, class Mining>
struct AnchorsKernel {
  TF_PAIRWISE_KERNEL_NAME("batch_triplet_" + Mining::Name() + "_" +
                          TypeName<T>());
  static constexpr int kThreads = kAnchorThreads;
  static constexpr int kBlocks = 4;
  using Arguments = AnchorArguments<T>;
  using Shared = typename Mining::Shared;
  using ThreadRegisters = typename Mining::ThreadRegisters;
  using WarpRegisters = NoRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    // One row, or of all rows those that are left.
    const bool many = a.slopes != nullptr;
    for (int64_t r = block.x(); r < a.rows; r += block.grid_x()) {
      if (many == (a.left != nullptr && a.left[a.strip.row + r] != 0)) {
        RunRow(block, a, r);
      }
    }
  }

 private:
  template <class B>
  static TF_PAIRWISE_DEVICE void RunRow(B& block, const Arguments& a,
                                        int64_t r) {
    const AnchorRow<T> row(a, r);
    // An anchor of weight 0 does not exist, whatever is in it.
    const FoundInRow found = row.weight == 0 ? FoundInRow() : Find(block, row);
    TripletSums sums;
    if (found.positives == 0 || found.negatives == 0) {
      ClearRow(block, row);
    } else if (found.nan != 0) {
      sums = {NotANumber(), 1, 1};
      StoreNan(block, row);
    } else if (row.gradient && a.slopes == nullptr &&
               found.positives > kChunk<T>) {
      block.Each([&](int thread, Shared&, ThreadRegisters&) {
        if (thread == 0) a.left[row.i] = 1;
      });
      return;
    } else {
      const SlopesOut<T> out = {
          a.slopes == nullptr ? nullptr : a.slopes + block.x() * row.m};
      ClearSlopes(block, row, out);
      sums = Mining::Row(block, row, found, out);
      TakeSlopes(block, row, out);
    }
    LossSums weighted;
    if (row.weight != 0) {
      weighted = {row.weight * sums.sum,
                  row.weight * static_cast<double>(sums.counted),
                  row.weight * static_cast<double>(sums.nonzero)};
    }
    StoreSums(block, a, row.i, weighted);
  }

  template <class B>
  static TF_PAIRWISE_DEVICE FoundInRow Find(B& block, const AnchorRow<T>& row) {
    return block.Sum([&](int thread, Shared&, ThreadRegisters&) {
      FoundInRow own;
      EachColumn(thread, row.m, [&](int64_t j) {
        if (row.Itself(j)) return;
        const bool positive = row.Positive(j);
        own.positives += positive;
        own.negatives += !positive;
        own.nan += row.distances[j] != row.distances[j];
      });
      return own;
    });
  }

  // A NaN distance: every pair of the row takes one.
  template <class B>
  static TF_PAIRWISE_DEVICE void StoreNan(B& block, const AnchorRow<T>& row) {
    if (!row.gradient) return;
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      EachColumn(thread, row.m, [&](int64_t j) {
        const T slope = row.Itself(j) ? T(0) : static_cast<T>(NotANumber());
        row.distances[j] = row.WeightOf(slope, row.distances[j]);
      });
    });
  }

  template <class B>
  static TF_PAIRWISE_DEVICE void ClearSlopes(B& block, const AnchorRow<T>& row,
                                             const SlopesOut<T>& out) {
    if (out.slopes == nullptr) return;
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      EachColumn(thread, row.m, [&](int64_t j) { out.slopes[j] = 0; });
    });
  }
  template <class B>
  static TF_PAIRWISE_DEVICE void TakeSlopes(B& block, const AnchorRow<T>& row,
                                            const SlopesOut<T>& out) {
    if (out.slopes == nullptr) return;
    block.Each([&](int thread, Shared&, ThreadRegisters&) {
      EachColumn(thread, row.m, [&](int64_t j) {
        row.distances[j] = row.WeightOf(out.slopes[j], row.distances[j]);
      });
    });
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_BATCH_GPU_INL_H_

#ifndef TF_PAIRWISE_DISTANCE_BATCH_H_
#define TF_PAIRWISE_DISTANCE_BATCH_H_

#include "core/parallel.h"
#include "distance/distance.h"
#include "tile/sides.h"

// The problems of a batch of pairwise distances.

namespace tf_pairwise {

inline PairSet PairsOf(const PairwiseDistance& problem) {
  return {problem.dtype, problem.metric, problem.metric, problem.n,
          problem.m,     problem.d,      problem.self};
}

// Small problems of a large batch are run side by side, each on one worker;
// large ones one after another, each on all. Decided by shape alone.
inline bool BatchInParallel(const PairwiseDistance& problem) {
  const double flops = 2.0 * static_cast<double>(problem.n) *
                       static_cast<double>(problem.m) *
                       static_cast<double>(problem.d);
  return problem.batch > 1 && flops < 2e7;
}

inline int WorkersOfOne(const PairwiseDistance& problem, int workers) {
  return BatchInParallel(problem) ? 1 : workers;
}

inline int64_t BatchScratch(const PairwiseDistance& problem, int workers,
                            int64_t bytes_of_one) {
  return (BatchInParallel(problem) ? workers : 1) * bytes_of_one;
}

// Runs `one(b, scratch, parallel)` for each problem of the batch.
template <typename Function>
void ForEachInBatch(const PairwiseDistance& problem, void* scratch,
                    int64_t bytes_of_one, const ParallelFor& parallel,
                    const Function& one) {
  if (BatchInParallel(problem)) {
    const double cost = static_cast<double>(problem.n) *
                        static_cast<double>(problem.m) * PairCost(problem.d);
    parallel(problem.batch, cost, [&](int64_t b, int worker) {
      one(b, static_cast<char*>(scratch) + worker * bytes_of_one,
          ParallelFor());
    });
    return;
  }
  for (int64_t b = 0; b < problem.batch; ++b) one(b, scratch, parallel);
}

// Problem b's part of the batch.
struct Part {
  int64_t x_bytes, y_bytes, pair_bytes;

  Part(const PairwiseDistance& problem, int64_t b) {
    const int64_t size = SizeOf(problem.dtype);
    x_bytes = b * problem.n * problem.d * size;
    y_bytes = b * problem.m * problem.d * size;
    pair_bytes = b * problem.n * problem.m * size;
  }
};

inline const void* At(const void* base, int64_t bytes) {
  return base == nullptr ? nullptr : static_cast<const char*>(base) + bytes;
}
inline void* At(void* base, int64_t bytes) {
  return base == nullptr ? nullptr : static_cast<char*>(base) + bytes;
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_BATCH_H_

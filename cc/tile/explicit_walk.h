#ifndef TF_PAIRWISE_TILE_EXPLICIT_WALK_H_
#define TF_PAIRWISE_TILE_EXPLICIT_WALK_H_

#include <cstdint>

#include "core/parallel.h"
#include "core/reduce.h"
#include "core/rounds.h"
#include "core/types.h"

// The walk over explicit tuples: pairs or triplets of points that a caller
// lists one by one.

namespace tf_pairwise {

// Items of a unit of work over tuples of points of d coordinates: about a
// hundred thousand cycles.
inline int64_t ExplicitRows(int64_t d) {
  const int64_t rows = 65536 / (d + 16);
  return rows < 1 ? 1 : rows;
}

inline int64_t ExplicitBlocks(int64_t n, int64_t d) {
  return Blocks(n, ExplicitRows(d));
}

// `function(begin, end, worker)` for blocks that together cover [0, n).
template <typename Function>
void ForEachExplicit(int64_t n, int64_t d, const ParallelFor& parallel,
                     const Function& function) {
  const int64_t rows = ExplicitRows(d);
  parallel(Blocks(n, rows),
           static_cast<double>(rows) * (2 * static_cast<double>(d) + 96),
           [&](int64_t unit, int worker) {
             const int64_t begin = unit * rows;
             function(begin, Least(begin + rows, n), worker);
           });
}

// An explicit loss of n items: `block(begin, end, scale, with_gradient)` makes
// the items' losses (with kNone) and, multiplied by scale, their gradients, and
// returns their sums. `sums` is scratch of ExplicitBlocks(n, d).
//
// One pass; two where a gradient's scale is known only after the first, the
// mean over losses above zero.
template <typename Block>
void ReduceExplicit(DType dtype, Reduction reduction, int64_t n, int64_t d,
                    const void* weights, bool with_gradient, void* loss,
                    LossSums* sums, const ParallelFor& parallel,
                    const Block& block) {
  const auto pass = [&](double scale, bool gradient) {
    ForEachExplicit(n, d, parallel, [&](int64_t begin, int64_t end, int) {
      sums[begin / ExplicitRows(d)] = block(begin, end, scale, gradient);
    });
    LossSums total;
    for (int64_t unit = 0; unit < ExplicitBlocks(n, d); ++unit) {
      total.Add(sums[unit]);
    }
    return total;
  };
  double scale = 1;
  if (with_gradient && reduction == Reduction::kMean) {
    // The mean's divisor is known before the pass.
    LossSums all;
    all.counted = weights == nullptr ? static_cast<double>(n) : 0;
    for (int64_t i = 0; weights != nullptr && i < n; ++i) {
      all.counted += LoadCompute(dtype, weights, i);
    }
    scale = ScaleOf(reduction, all);
  } else if (with_gradient && reduction == Reduction::kMeanNonzero) {
    scale = ScaleOf(reduction, pass(1, false));
  }
  const LossSums total = pass(scale, with_gradient);
  if (reduction != Reduction::kNone && loss != nullptr) {
    StoreLoss(dtype, ReducedLoss(ScaleOf(reduction, total), total), loss);
  }
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TILE_EXPLICIT_WALK_H_

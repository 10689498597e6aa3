#include "core/rounds.h"
#include "core/scratch.h"
#include "cuda/driver.h"
#include "distance/distance.h"
#include "distance/second_gpu-inl.h"

namespace tf_pairwise {
namespace {

// Sums of the rows of either side, where they are not what is put out: of
// halves.
template <typename S>
Computed<S>* LayOutSums(Scratch& scratch, const PairwiseDistance& problem,
                        int64_t rows) {
  const bool own = sizeof(S) < sizeof(Computed<S>);
  return scratch.Take<Computed<S>>(own ? problem.batch * rows * problem.d : 0);
}

int64_t MostRows(const PairwiseDistance& problem) {
  return problem.self || problem.n > problem.m ? problem.n : problem.m;
}

}  // namespace

int64_t PairwiseDistanceGradGradGpuScratchBytes(
    const PairwiseDistance& problem) {
  return VisitGpuType(problem.dtype, [&](auto type) {
    Scratch scratch(nullptr);
    LayOutSums<decltype(type)>(scratch, problem, MostRows(problem));
    return scratch.bytes();
  });
}

Status PairwiseDistanceGradGradGpu(const PairwiseDistance& problem,
                                   const void* x, const void* y,
                                   const void* upstream, const void* u,
                                   const void* w, void* upstream_out,
                                   void* x_out, void* y_out, void* base,
                                   const Stream& stream) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  return VisitGpuType(problem.dtype, [&](auto type) {
    using S = decltype(type);
    using K = SecondKernel<S>;
    using T = typename K::T;
    const auto in = [](const void* p) { return static_cast<const S*>(p); };
    Scratch scratch(base);
    T* const scratch_sums = LayOutSums<S>(scratch, problem, MostRows(problem));
    const bool own = sizeof(S) < sizeof(T);
    const auto launch = [&](const PairRows<S>& side, void* pairs_out,
                            void* out) {
      const Grid grid = {Least(problem.batch * side.count, int64_t{1} << 30)};
      return Launch<K>(stream, grid,
                       {side, problem.metric, problem.self, problem.batch,
                        problem.d, in(upstream), static_cast<S*>(pairs_out),
                        own ? scratch_sums : static_cast<T*>(out),
                        own ? static_cast<S*>(out) : nullptr});
    };
    const int64_t n = problem.n, m = problem.m;
    if (problem.self) {
      return launch({in(x), in(u), in(x), in(u), n, n, n, 1}, upstream_out,
                    x_out);
    }
    TF_PAIRWISE_RETURN_IF_ERROR(
        launch({in(x), in(u), in(y), in(w), n, m, m, 1}, upstream_out, x_out));
    return launch({in(y), in(w), in(x), in(u), m, n, 1, m}, nullptr, y_out);
  });
}

}  // namespace tf_pairwise

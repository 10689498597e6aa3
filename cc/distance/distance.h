#ifndef TF_PAIRWISE_DISTANCE_DISTANCE_H_
#define TF_PAIRWISE_DISTANCE_DISTANCE_H_

#include <cstdint>

#include "core/export.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// The distance family: all distances between two sets of points, and the
// distances of points taken in pairs; the first and the second derivatives of
// both.
//
// All arrays are dense and row-major. Arrays of points, distances and
// gradients hold `dtype`; halves are computed in float. The formulas and the
// meaning of each metric are in metric/metric-inl.h.
//
// Accuracy: float32 euclidean, squared euclidean, cosine and manhattan
// distances are within 1e-5 relative of the exact distance of the given
// points, whatever their offset and however close: points are centred, and a
// pair whose squared distance is small beside its norms is computed again from
// differences in double. Rows that hold a NaN or an Inf have NaN distances.
// Where the distance is zero, or a cosine's vector is, gradients are zero; and
// where a euclidean distance is at most TinyDistance (metric/form-inl.h).
//
// Determinism: results are the same bits for every number of workers.
// No entry point allocates, starts threads or throws. `scratch` is at least as
// many bytes as the *ScratchBytes function of the same arguments says.

namespace tf_pairwise {

// ---- [batch, n, d] x [batch, m, d] -> [batch, n, m] ----

struct PairwiseDistance {
  DType dtype = DType::kFloat32;
  Metric metric{};
  // x against itself: y is not read, m == n, the diagonal is exactly zero for
  // the metrics of differences and for cosine (1 for a zero vector).
  bool self = false;
  int64_t batch = 1, n = 0, m = 0, d = 0;
};

TF_PAIRWISE_EXPORT Status Check(const PairwiseDistance& problem);

TF_PAIRWISE_EXPORT int64_t
PairwiseDistanceScratchBytes(const PairwiseDistance& problem, int workers);

// O(batch n m d) time; extra memory O((n + m) d).
TF_PAIRWISE_EXPORT Status PairwiseDistanceCpu(const PairwiseDistance& problem,
                                              const void* x, const void* y,
                                              void* distances, void* scratch,
                                              const ParallelFor& parallel);
TF_PAIRWISE_EXPORT int64_t
PairwiseDistanceGpuScratchBytes(const PairwiseDistance& problem);
TF_PAIRWISE_EXPORT Status PairwiseDistanceGpu(const PairwiseDistance& problem,
                                              const void* x, const void* y,
                                              void* distances, void* scratch,
                                              const Stream& stream);

// x_grad [batch, n, d] and y_grad [batch, m, d] of sum(upstream * distances),
// from `distances`, the forward's output. With `self`, y_grad is not written
// and x_grad is the whole gradient.
TF_PAIRWISE_EXPORT int64_t
PairwiseDistanceGradScratchBytes(const PairwiseDistance& problem, int workers);
TF_PAIRWISE_EXPORT Status PairwiseDistanceGradCpu(
    const PairwiseDistance& problem, const void* x, const void* y,
    const void* distances, const void* upstream, void* x_grad, void* y_grad,
    void* scratch, const ParallelFor& parallel);
// On a GPU the distances are made again.
TF_PAIRWISE_EXPORT int64_t
PairwiseDistanceGradGpuScratchBytes(const PairwiseDistance& problem);
TF_PAIRWISE_EXPORT Status PairwiseDistanceGradGpu(
    const PairwiseDistance& problem, const void* x, const void* y,
    const void* distances, const void* upstream, void* x_grad, void* y_grad,
    void* scratch, const Stream& stream);

// The gradient of sum(u * x_grad) + sum(w * y_grad) with respect to upstream
// [batch, n, m], x and y, where x_grad and y_grad are the gradients above and
// u [batch, n, d], w [batch, m, d] are what comes in for them. With `self`, w
// and y_out are not used.
TF_PAIRWISE_EXPORT int64_t PairwiseDistanceGradGradScratchBytes(
    const PairwiseDistance& problem, int workers);
TF_PAIRWISE_EXPORT Status PairwiseDistanceGradGradCpu(
    const PairwiseDistance& problem, const void* x, const void* y,
    const void* upstream, const void* u, const void* w, void* upstream_out,
    void* x_out, void* y_out, void* scratch, const ParallelFor& parallel);
TF_PAIRWISE_EXPORT int64_t
PairwiseDistanceGradGradGpuScratchBytes(const PairwiseDistance& problem);
TF_PAIRWISE_EXPORT Status PairwiseDistanceGradGradGpu(
    const PairwiseDistance& problem, const void* x, const void* y,
    const void* upstream, const void* u, const void* w, void* upstream_out,
    void* x_out, void* y_out, void* scratch, const Stream& stream);

// ---- [n, d], [n, d] -> [n] ----

struct PairedDistance {
  DType dtype = DType::kFloat32;
  Metric metric{};
  int64_t n = 0, d = 0;
};

TF_PAIRWISE_EXPORT Status Check(const PairedDistance& problem);

// O(n d) time; the distances and their gradient need no scratch.
TF_PAIRWISE_EXPORT Status PairedDistanceCpu(const PairedDistance& problem,
                                            const void* x, const void* y,
                                            void* distances,
                                            const ParallelFor& parallel);
TF_PAIRWISE_EXPORT Status PairedDistanceGpu(const PairedDistance& problem,
                                            const void* x, const void* y,
                                            void* distances,
                                            const Stream& stream);

// x_grad, y_grad [n, d] of sum(upstream * distances).
TF_PAIRWISE_EXPORT Status PairedDistanceGradCpu(const PairedDistance& problem,
                                                const void* x, const void* y,
                                                const void* upstream,
                                                void* x_grad, void* y_grad,
                                                const ParallelFor& parallel);
TF_PAIRWISE_EXPORT Status PairedDistanceGradGpu(const PairedDistance& problem,
                                                const void* x, const void* y,
                                                const void* upstream,
                                                void* x_grad, void* y_grad,
                                                const Stream& stream);

// The gradient of sum(u * x_grad) + sum(w * y_grad) with respect to upstream
// [n], x and y [n, d].
TF_PAIRWISE_EXPORT int64_t
PairedDistanceGradGradScratchBytes(const PairedDistance& problem, int workers);
TF_PAIRWISE_EXPORT Status PairedDistanceGradGradCpu(
    const PairedDistance& problem, const void* x, const void* y,
    const void* upstream, const void* u, const void* w, void* upstream_out,
    void* x_out, void* y_out, void* scratch, const ParallelFor& parallel);
TF_PAIRWISE_EXPORT int64_t
PairedDistanceGradGradGpuScratchBytes(const PairedDistance& problem);
TF_PAIRWISE_EXPORT Status PairedDistanceGradGradGpu(
    const PairedDistance& problem, const void* x, const void* y,
    const void* upstream, const void* u, const void* w, void* upstream_out,
    void* x_out, void* y_out, void* scratch, const Stream& stream);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_DISTANCE_H_

#ifndef TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_H_
#define TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_H_

#include <cstdint>

#include "core/export.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// The contrastive family: the loss of explicit pairs, and the loss over all
// pairs of a labelled batch. The formula of a pair is in
// contrastive_pair-inl.h.
//
// All arrays are dense and row-major. Points and their gradients hold `dtype`;
// losses, weights, and gradients made here hold the compute type: double for
// double, float for the rest. Sums are made in double. A NaN or Inf in a point
// comes out as NaN in the losses that read it. Determinism, allocation and
// scratch are as in distance.h.

namespace tf_pairwise {

// ---- explicit pairs ----

struct ContrastiveLoss {
  DType dtype = DType::kFloat32;
  Metric metric{};
  Reduction reduction = Reduction::kMean;  // not kBalancedMean
  double margin = 1.0;
  int64_t n = 0, d = 0;
};

struct ContrastiveArrays {
  const void* x1 = nullptr;  // [n, d]
  const void* x2 = nullptr;  // [n, d]
  // [n], compute type: 0 similar, 1 dissimilar, between them part of both.
  const void* dissimilarity = nullptr;
  const void* weights = nullptr;  // [n], compute type, or null for ones
  void* loss = nullptr;           // [n] for kNone, else one value
  // As in TripletArrays: gradients of the reduced loss, both or neither.
  void* x1_grad = nullptr;  // [n, d]
  void* x2_grad = nullptr;  // [n, d]
};

TF_PAIRWISE_EXPORT Status Check(const ContrastiveLoss& problem);
TF_PAIRWISE_EXPORT int64_t
ContrastiveLossScratchBytes(const ContrastiveLoss& problem, int workers);

// 0.5 (1 - y) D^2 + 0.5 y max(0, margin - D)^2, y the dissimilarity; a part
// whose factor is 0 has no effect, whatever D is, and a NaN in y comes out as
// NaN. O(n d) time, in one pass (two for kMeanNonzero with gradients).
TF_PAIRWISE_EXPORT Status ContrastiveLossCpu(const ContrastiveLoss& problem,
                                             const ContrastiveArrays& arrays,
                                             void* scratch,
                                             const ParallelFor& parallel);
TF_PAIRWISE_EXPORT int64_t
ContrastiveLossGpuScratchBytes(const ContrastiveLoss& problem);
TF_PAIRWISE_EXPORT Status ContrastiveLossGpu(const ContrastiveLoss& problem,
                                             const ContrastiveArrays& arrays,
                                             void* scratch,
                                             const Stream& stream);

// ---- all pairs of a labelled batch ----

struct BatchContrastiveLoss {
  DType dtype = DType::kFloat32;
  Metric metric{};
  // kBalancedMean: the mean over similar pairs plus the mean over dissimilar
  // pairs, each over those with loss > 0.
  Reduction reduction = Reduction::kMean;
  double margin = 1.0;           // of dissimilar pairs
  double positive_margin = 0.0;  // of similar pairs
  bool squared = true;           // 0.5 h^2 of the hinge h, else h
  bool self = true;              // as in BatchTripletLoss
  int64_t self_offset = -1;      // as in BatchTripletLoss
  int64_t n = 0, m = 0, d = 0;
};

struct BatchContrastiveArrays {
  const void* anchors = nullptr;        // [n, d]
  const int64_t* labels = nullptr;      // [n]
  const void* refs = nullptr;           // [m, d]
  const int64_t* ref_labels = nullptr;  // [m]
  const void* weights = nullptr;        // [n], per anchor, or null for ones
  void* loss = nullptr;                 // [n] for kNone, else one value
  // As in BatchTripletArrays.
  void* anchors_grad = nullptr;  // [n, d]
  void* refs_grad = nullptr;     // [m, d]
  // What the mean divides by: for kMeanNonzero the weights of the pairs with
  // loss > 0, else those of all. Not for kBalancedMean, which has two.
  double* counted = nullptr;  // one value
};

TF_PAIRWISE_EXPORT Status Check(const BatchContrastiveLoss& problem);
// What an anchor counts for in the mean, but for its weight.
int64_t PairsPerAnchor(const BatchContrastiveLoss& problem);
TF_PAIRWISE_EXPORT int64_t BatchContrastiveLossScratchBytes(
    const BatchContrastiveLoss& problem, bool with_gradient, int workers);

// Over ordered pairs (anchor, reference), self pairs left out: h = max(0, D -
// positive_margin) for equal labels, max(0, margin - D) for others. kNone is
// per anchor, the sum over its pairs. O(n m d) time, O((n + m) d) memory.
TF_PAIRWISE_EXPORT Status BatchContrastiveLossCpu(
    const BatchContrastiveLoss& problem, const BatchContrastiveArrays& arrays,
    void* scratch, const ParallelFor& parallel);
TF_PAIRWISE_EXPORT int64_t BatchContrastiveLossGpuScratchBytes(
    const BatchContrastiveLoss& problem, bool with_gradient);
TF_PAIRWISE_EXPORT Status BatchContrastiveLossGpu(
    const BatchContrastiveLoss& problem, const BatchContrastiveArrays& arrays,
    void* scratch, const Stream& stream);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_H_

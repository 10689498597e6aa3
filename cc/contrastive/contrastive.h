#ifndef TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_H_
#define TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_H_

#include <cstdint>

#include "core/export.h"
#include "core/names.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/types.h"

// The contrastive family: the loss of explicit pairs, the loss over all pairs
// of a labelled batch, and the soft-max style losses over the dot products of a
// batch. The formulas of a pair are in contrastive_pair.h.
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
  Metric metric = Metric::kEuclidean;
  Reduction reduction = Reduction::kMean;  // not kBalancedMean
  double margin = 1.0;
  // The label that means similar; any other label means dissimilar.
  int64_t similar_label = 0;
  int64_t n = 0, d = 0;
};

struct ContrastiveArrays {
  const void* x1 = nullptr;         // [n, d]
  const void* x2 = nullptr;         // [n, d]
  const int64_t* labels = nullptr;  // [n]
  const void* weights = nullptr;    // [n], compute type, or null for ones
  void* loss = nullptr;             // [n] for kNone, else one value
  // As in TripletArrays: gradients of the reduced loss, both or neither.
  void* x1_grad = nullptr;  // [n, d]
  void* x2_grad = nullptr;  // [n, d]
};

TF_PAIRWISE_EXPORT Status Check(const ContrastiveLoss& problem);
TF_PAIRWISE_EXPORT int64_t
ContrastiveLossScratchBytes(const ContrastiveLoss& problem, int workers);

// 0.5 D^2 for a similar pair, 0.5 max(0, margin - D)^2 for a dissimilar one.
// O(n d) time, in one pass (two for kMeanNonzero with gradients).
TF_PAIRWISE_EXPORT Status ContrastiveLossCpu(const ContrastiveLoss& problem,
                                             const ContrastiveArrays& arrays,
                                             void* scratch,
                                             const ParallelFor& parallel);

// ---- all pairs of a labelled batch ----

struct BatchContrastiveLoss {
  DType dtype = DType::kFloat32;
  Metric metric = Metric::kEuclidean;
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
TF_PAIRWISE_EXPORT int64_t BatchContrastiveLossScratchBytes(
    const BatchContrastiveLoss& problem, bool with_gradient, int workers);

// Over ordered pairs (anchor, reference), self pairs left out: h = max(0, D -
// positive_margin) for equal labels, max(0, margin - D) for others. kNone is
// per anchor, the sum over its pairs. O(n m d) time, O((n + m) d) memory.
TF_PAIRWISE_EXPORT Status BatchContrastiveLossCpu(
    const BatchContrastiveLoss& problem, const BatchContrastiveArrays& arrays,
    void* scratch, const ParallelFor& parallel);

// ---- losses over the dot products of a batch ----

enum class SoftmaxKind : int32_t {
  kInfoNce,     // row i's positive is one key
  kSupervised,  // SupCon "out": mean over positives of -log soft-max
  kNtXent,      // per positive: -log(e_ip / (e_ip + sum of negatives))
  kSigmoid,     // SigLIP: -log sigmoid(z (scale s + bias))
};

inline Status ParseSoftmaxKind(const char* name, SoftmaxKind* kind) {
  static constexpr NamedValue<SoftmaxKind> kTable[] = {
      {"info_nce", SoftmaxKind::kInfoNce},
      {"supervised", SoftmaxKind::kSupervised},
      {"nt_xent", SoftmaxKind::kNtXent},
      {"sigmoid", SoftmaxKind::kSigmoid}};
  return ParseName("kind", name, kTable, kind);
}

// n queries against m keys, whose positives their order says (kInfoNce and
// kSigmoid) or their labels (kSupervised and kNtXent, whose queries are the
// anchors and whose keys the references).
struct SoftmaxLoss {
  DType dtype = DType::kFloat32;
  SoftmaxKind kind = SoftmaxKind::kInfoNce;
  Reduction reduction = Reduction::kMean;  // kNone, kSum or kMean
  bool normalize = true;                   // s_ij of the L2-normalised points
  bool symmetric = false;  // kInfoNce: the mean of both directions
  // kInfoNce and kSigmoid: query i's positive is key i + positive_offset, the
  // others are its negatives; 0 and m == n where symmetric.
  int64_t positive_offset = 0;
  // kSupervised and kNtXent: as in BatchTripletLoss.
  bool self = true;
  int64_t self_offset = -1;
  int64_t n = 0, m = 0, d = 0;
};

inline bool IsLabelled(const SoftmaxLoss& problem) {
  return problem.kind == SoftmaxKind::kSupervised ||
         problem.kind == SoftmaxKind::kNtXent;
}

// Whether the keys are points of their own, and not the queries.
inline bool ReadsKeys(const SoftmaxLoss& problem) {
  return !IsLabelled(problem) || !problem.self;
}

struct SoftmaxArrays {
  const void* queries = nullptr;        // [n, d]
  const void* keys = nullptr;           // [m, d], where ReadsKeys
  const int64_t* labels = nullptr;      // [n], where IsLabelled
  const int64_t* key_labels = nullptr;  // [m], where IsLabelled and not self
  const void* weights = nullptr;        // [n], compute type, or null for ones
  // Compute type, one value each: temperature (the first three kinds), or
  // scale and bias (kSigmoid).
  const void* temperature = nullptr;
  const void* scale = nullptr;
  const void* bias = nullptr;
  void* loss = nullptr;  // [n] for kNone, else one value
  // Gradients, compute type: the points', both (one where keys are not read)
  // or neither; and, with them, one value each for temperature, or scale and
  // bias. For kNone they are the gradients of the sum: a caller multiplies the
  // weights by its upstream gradient.
  void* queries_grad = nullptr;  // [n, d]
  void* keys_grad = nullptr;     // [m, d]
  void* temperature_grad = nullptr;
  void* scale_grad = nullptr;
  void* bias_grad = nullptr;
  // One value, or null: what kMean divides by (for every reduction).
  double* counted = nullptr;
};

TF_PAIRWISE_EXPORT Status Check(const SoftmaxLoss& problem);
// The values that Check cannot see: temperature finite and > 0.
TF_PAIRWISE_EXPORT Status CheckTemperature(double temperature);
TF_PAIRWISE_EXPORT int64_t SoftmaxLossScratchBytes(const SoftmaxLoss& problem,
                                                   bool with_gradient,
                                                   int workers);

// With l_ij = s_ij / temperature, j over the keys (but for the anchor itself)
// and p over the row's positives, a row's loss, and what it counts for:
//   kInfoNce     log sum_j e^l_ij - l_ip; symmetric: half of it plus half of
//                log sum_j e^l_ji - l_ip. 1.
//   kSupervised  log sum_j e^l_ij - mean_p l_ip. 1; without positives both 0.
//   kNtXent      sum_p (log(e^l_ip + sum over other labels e^l_in) - l_ip).
//                The number of positives.
//   kSigmoid     sum_j softplus(-z_ij (scale s_ij + bias)), z_ip = 1, the
//                others -1. 1.
// Both are multiplied by the row's weight; the mean is the sum of the losses
// over the sum of what they count for, and 0 with zero gradients where that
// is 0. Log-sum-exp is online; O(n m d) time, O((n + m) d) memory.
TF_PAIRWISE_EXPORT Status SoftmaxLossCpu(const SoftmaxLoss& problem,
                                         const SoftmaxArrays& arrays,
                                         void* scratch,
                                         const ParallelFor& parallel);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CONTRASTIVE_CONTRASTIVE_H_

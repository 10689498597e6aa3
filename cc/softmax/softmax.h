#ifndef TF_PAIRWISE_SOFTMAX_SOFTMAX_H_
#define TF_PAIRWISE_SOFTMAX_SOFTMAX_H_

#include <cstdint>

#include "core/export.h"
#include "core/names.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// The soft-max family: losses over the dot products of a batch. The formulas of
// a row and of an element are in softmax_pair-inl.h.
//
// All arrays are dense and row-major. Points and their gradients hold `dtype`;
// losses, weights, and gradients made here hold the compute type: double for
// double, float for the rest. Sums are made in double. A NaN or Inf in a point
// comes out as NaN in the losses that read it. Determinism, allocation and
// scratch are as in distance.h.

namespace tf_pairwise {

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
// The row's column that is its own: its positive's, or itself; -1 for none.
int64_t OwnColumn(const SoftmaxLoss& problem, int64_t i);
// What a row with so many positives counts for in the mean, but for its weight.
double CountOf(const SoftmaxLoss& problem, int64_t positives);
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
// is 0. A row of weight 0 does not exist, whatever is in it; a key is among the
// negatives of every row, and where symmetric a query among those of every key,
// whatever its row's weight. A row of logits is read twice for its log-sum-exp,
// against its largest; O(n m d) time, O((n + m) d) memory.
TF_PAIRWISE_EXPORT Status SoftmaxLossCpu(const SoftmaxLoss& problem,
                                         const SoftmaxArrays& arrays,
                                         void* scratch,
                                         const ParallelFor& parallel);

// The same on a GPU: all arrays and the scratch are the device's, and nothing
// is read by the host. A temperature that is no finite number > 0 is no error
// there, which would have to wait for it: the losses are NaN.
TF_PAIRWISE_EXPORT int64_t
SoftmaxLossGpuScratchBytes(const SoftmaxLoss& problem, bool with_gradient);
TF_PAIRWISE_EXPORT Status SoftmaxLossGpu(const SoftmaxLoss& problem,
                                         const SoftmaxArrays& arrays,
                                         void* scratch, const Stream& stream);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_SOFTMAX_SOFTMAX_H_

#ifndef TF_PAIRWISE_TRIPLET_TRIPLET_H_
#define TF_PAIRWISE_TRIPLET_TRIPLET_H_

#include <cstdint>

#include "core/export.h"
#include "core/names.h"
#include "core/parallel.h"
#include "core/reduce.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// The triplet family: the loss of explicit triplets, the losses over all the
// triplets of a labelled batch, and the miner of their indices.
//
// loss(a, p, n) = max(0, D(a, p) - D(a, n) + margin), or with `soft`
// softplus(D(a, p) - D(a, n)). All arrays are dense and row-major. Points and
// their gradients hold `dtype`; losses, weights and cached gradients hold the
// compute type: double for double, float for the rest. Sums are made in double
// and counts in int64. A NaN or Inf in a point comes out as NaN in the losses
// that read it. Determinism, allocation and scratch are as in distance.h.

namespace tf_pairwise {

// ---- explicit triplets ----

struct TripletLoss {
  DType dtype = DType::kFloat32;
  Metric metric{};
  Reduction reduction = Reduction::kMean;
  double margin = 1.0;
  bool soft = false;
  // D(a, n) is replaced by min(D(a, n), D(p, n)); a tie goes to D(a, n).
  bool swap = false;
  int64_t n = 0, d = 0;
};

TF_PAIRWISE_EXPORT Status Check(const TripletLoss& problem);
TF_PAIRWISE_EXPORT int64_t TripletLossScratchBytes(const TripletLoss& problem,
                                                   int workers);

// The arrays of one call. Null where not wanted or not there.
struct TripletArrays {
  const void* anchors = nullptr;    // [n, d]
  const void* positives = nullptr;  // [n, d]
  const void* negatives = nullptr;  // [n, d]
  const void* weights = nullptr;    // [n], compute type, or null for ones
  void* loss = nullptr;             // [n] for kNone, else one value
  // Gradients of the reduced loss, compute type, or all null for the value
  // alone. For kNone they are the gradients of the sum: a caller multiplies
  // the weights by its upstream gradient.
  void* anchors_grad = nullptr;    // [n, d]
  void* positives_grad = nullptr;  // [n, d]
  void* negatives_grad = nullptr;  // [n, d]
};

// O(n d) time, in one pass over the points (two for kMeanNonzero with
// gradients); memory O(n).
TF_PAIRWISE_EXPORT Status TripletLossCpu(const TripletLoss& problem,
                                         const TripletArrays& arrays,
                                         void* scratch,
                                         const ParallelFor& parallel);
TF_PAIRWISE_EXPORT int64_t
TripletLossGpuScratchBytes(const TripletLoss& problem);
TF_PAIRWISE_EXPORT Status TripletLossGpu(const TripletLoss& problem,
                                         const TripletArrays& arrays,
                                         void* scratch, const Stream& stream);

// ---- the triplets of a labelled batch ----

enum class Mining : int32_t {
  kAll,       // every (a, p, n)
  kHard,      // per anchor, the farthest p and the nearest n
  kSemiHard,  // per (a, p), the nearest n with D_an > D_ap, else the farthest
  kSemiHardAll,  // every (a, p, n) with D_ap < D_an and D_an - margin <= D_ap
  kHardAll,      // every (a, p, n) with D_an <= D_ap
};

inline Status ParseMining(const char* name, Mining* mining) {
  static constexpr NamedValue<Mining> kTable[] = {
      {"all", Mining::kAll},
      {"hard", Mining::kHard},
      {"semi_hard", Mining::kSemiHard},
      {"semi_hard_all", Mining::kSemiHardAll},
      {"hard_all", Mining::kHardAll}};
  return ParseName("mining", name, kTable, mining);
}

struct BatchTripletLoss {
  DType dtype = DType::kFloat32;
  Metric metric{};
  Mining mining = Mining::kSemiHard;
  Reduction reduction = Reduction::kMean;
  double margin = 1.0;
  bool soft = false;  // kAll, kHard and kSemiHard only
  // The anchors are their own references: refs and ref_labels are not read,
  // m == n, and the pair (i, i) is left out.
  bool self = true;
  // Without `self`: anchor i is reference i + self_offset, and that pair is
  // left out; negative for none.
  int64_t self_offset = -1;
  int64_t n = 0, m = 0, d = 0;
};

// The arrays of one call. Null where not wanted or not there.
struct BatchTripletArrays {
  const void* anchors = nullptr;        // [n, d]
  const int64_t* labels = nullptr;      // [n]
  const void* refs = nullptr;           // [m, d]
  const int64_t* ref_labels = nullptr;  // [m]
  const void* weights = nullptr;        // [n], compute type, or null for ones
  void* loss = nullptr;                 // [n] for kNone, else one value
  // Gradients of the reduced loss, compute type, or both null for the value
  // alone (refs_grad is null too with `self`: anchors_grad is then the whole).
  // For kNone they are the gradients of the sum: a caller multiplies the
  // weights by its upstream gradient.
  void* anchors_grad = nullptr;  // [n, d]
  void* refs_grad = nullptr;     // [m, d]
  // What the mean divides by: the weights of what it counts, for kMeanNonzero
  // of those with loss > 0.
  double* counted = nullptr;  // one value
};

TF_PAIRWISE_EXPORT Status Check(const BatchTripletLoss& problem);

TF_PAIRWISE_EXPORT int64_t BatchTripletLossScratchBytes(
    const BatchTripletLoss& problem, bool with_gradient, int workers);

// Time O(n m d) and, per anchor with K positives, O(m log K) (soft kAll:
// O(m K)). Memory O((n + m) d) and O(m) per anchor in flight; no matrix.
TF_PAIRWISE_EXPORT Status BatchTripletLossCpu(const BatchTripletLoss& problem,
                                              const BatchTripletArrays& arrays,
                                              void* scratch,
                                              const ParallelFor& parallel);

// On a GPU, the same. Memory beside the points: a strip of distances
// (tile/strip_walk.h).
TF_PAIRWISE_EXPORT int64_t BatchTripletLossGpuScratchBytes(
    const BatchTripletLoss& problem, bool with_gradient);
TF_PAIRWISE_EXPORT Status BatchTripletLossGpu(const BatchTripletLoss& problem,
                                              const BatchTripletArrays& arrays,
                                              void* scratch,
                                              const Stream& stream);

// What no device owns. Anchor i is reference i + DiagonalOf; negative: none is
// one.
int64_t DiagonalOf(const BatchTripletLoss& problem);
// The reference that is anchor i, or -1.
int64_t ItselfOf(const BatchTripletLoss& problem, int64_t i);
// Writes loss and counted from the anchors' weighted sums [n]; returns what the
// gradient of their sum is multiplied by.
double ReduceAnchors(const BatchTripletLoss& problem, const LossSums* anchors,
                     const BatchTripletArrays& arrays);

// ---- the indices of the mined triplets ----

// Called once, with the number of triplets; returns the array [count, 3] to
// write them to, or null to stop.
struct TripletSink {
  int64_t* (*allocate)(void* context, int64_t count) = nullptr;
  void* context = nullptr;
};

TF_PAIRWISE_EXPORT int64_t
MineTripletsScratchBytes(const BatchTripletLoss& problem, int workers);

// The triplets that BatchTripletLoss counts, as (anchor, positive's reference,
// negative's reference), in lexicographic order. reduction and soft are not
// used. Triplets of a NaN distance are left out.
TF_PAIRWISE_EXPORT Status MineTripletsCpu(const BatchTripletLoss& problem,
                                          const BatchTripletArrays& arrays,
                                          const TripletSink& sink,
                                          void* scratch,
                                          const ParallelFor& parallel);

// On a GPU, the same: the sink's array is the device's. The number of triplets
// is waited for.
TF_PAIRWISE_EXPORT int64_t
MineTripletsGpuScratchBytes(const BatchTripletLoss& problem);
TF_PAIRWISE_EXPORT Status MineTripletsGpu(const BatchTripletLoss& problem,
                                          const BatchTripletArrays& arrays,
                                          const TripletSink& sink,
                                          void* scratch, const Stream& stream);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_TRIPLET_H_

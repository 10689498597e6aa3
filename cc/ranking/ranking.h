#ifndef TF_PAIRWISE_RANKING_RANKING_H_
#define TF_PAIRWISE_RANKING_RANKING_H_

#include <cstdint>

#include "core/export.h"
#include "core/names.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// The ranking family: the loss of explicit pairs of scores, and the loss over
// all pairs of the items of each list. The formulas are in ranking_pair-inl.h.
//
// Scores and their gradients hold `dtype`; losses, weights, and gradients made
// here hold the compute type: double for double, float for the rest; relevances
// are double. Sums are made in double. Gradients are those of the scores alone:
// relevances and weights are constants. Determinism, allocation and scratch are
// as in distance.h.

namespace tf_pairwise {

// With x = (s_other - s_preferred) / temperature:
enum class RankingTerm : int32_t {
  kLogistic,     // softplus(x)
  kHinge,        // max(0, margin + x)
  kSoftZeroOne,  // sigmoid(x)
  kMse,          // lists only: ((s_i - s_j) - (y_i - y_j))^2, no temperature
};

// 1 / temperature, finite in T, so that it times a zero is zero.
template <typename T>
T InverseTemperature(double temperature) {
  const double inverse = 1.0 / temperature;
  const double most =
      sizeof(T) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308;
  return static_cast<T>(inverse < most ? inverse : most);
}

inline Status ParseRankingTerm(const char* name, RankingTerm* term) {
  static constexpr NamedValue<RankingTerm> kTable[] = {
      {"logistic", RankingTerm::kLogistic},
      {"hinge", RankingTerm::kHinge},
      {"soft_zero_one", RankingTerm::kSoftZeroOne},
      {"mse", RankingTerm::kMse}};
  return ParseName("loss", name, kTable, term);
}

// ---- explicit pairs ----

struct PairwiseRankingLoss {
  DType dtype = DType::kFloat32;
  RankingTerm term = RankingTerm::kLogistic;  // not kMse
  Reduction reduction = Reduction::kMean;     // not of lists
  double margin = 1.0;
  double temperature = 1.0;
  int64_t n = 0;
};

struct PairwiseRankingArrays {
  const void* positive = nullptr;  // [n], scores of the preferred items
  const void* negative = nullptr;  // [n]
  const void* weights = nullptr;   // [n], compute type, or null for ones
  void* loss = nullptr;            // [n] for kNone, else one value
  // As in TripletArrays: gradients of the reduced loss, both or neither.
  void* positive_grad = nullptr;  // [n]
  void* negative_grad = nullptr;  // [n]
};

TF_PAIRWISE_EXPORT Status Check(const PairwiseRankingLoss& problem);
TF_PAIRWISE_EXPORT int64_t
PairwiseRankingLossScratchBytes(const PairwiseRankingLoss& problem);

// O(n) time, in one pass (two for kMeanNonzero with gradients). A score that is
// not finite makes its pair's loss NaN, but where the pair's weight is 0.
TF_PAIRWISE_EXPORT Status PairwiseRankingLossCpu(
    const PairwiseRankingLoss& problem, const PairwiseRankingArrays& arrays,
    void* scratch, const ParallelFor& parallel);
TF_PAIRWISE_EXPORT int64_t
PairwiseRankingLossGpuScratchBytes(const PairwiseRankingLoss& problem);
TF_PAIRWISE_EXPORT Status PairwiseRankingLossGpu(
    const PairwiseRankingLoss& problem, const PairwiseRankingArrays& arrays,
    void* scratch, const Stream& stream);

// ---- all pairs of a list ----

// What a pair's loss is multiplied by. y are the relevances, ranks are 1, 2, ..
// by the current scores, descending, ties in input order.
enum class LambdaWeight : int32_t {
  kNone,       // 1
  kLabelDiff,  // |y_i - y_j|
  // |g_i - g_j| |d_i - d_j| with gain g = 2^y - 1 and discount d =
  // 1 / log2(1 + rank), 0 where rank > topn: LambdaRank's change of DCG when
  // the two change places (Burges et al. 2006; Wang et al. 2018).
  kDcg,
  kNdcg,  // kDcg over the list's ideal DCG at topn; 0 where that is 0
};

inline Status ParseLambdaWeight(const char* name, LambdaWeight* lambda) {
  static constexpr NamedValue<LambdaWeight> kTable[] = {
      {"none", LambdaWeight::kNone},
      {"label_diff", LambdaWeight::kLabelDiff},
      {"dcg", LambdaWeight::kDcg},
      {"ndcg", LambdaWeight::kNdcg}};
  return ParseName("lambda_weight", name, kTable, lambda);
}

// The items of list b are [row_splits[b], row_splits[b + 1]), or, without
// `ragged`, [b list_size, (b + 1) list_size). An item with relevance < 0
// or NaN, or with a mask that is false, does not exist, nor does one of weight
// 0 whose score is not finite.
//
// The pairs are the ordered (i, j) of existing items of one list with y_i > y_j
// (kMse: with i != j). A pair's loss is weight_i lambda_ij term(s_i, s_j), and
// its count is weight_i: lambda is in no denominator.
//
//   kNone         per item, the sum over the pairs that it is preferred in
//   kSum          over all pairs
//   kMean         kSum over the count of all pairs
//   kMeanNonzero  kSum over the count of those whose loss is not zero
//   kMeanLists    the mean over lists of sum / count of the list's own pairs;
//                 lists whose count is zero are left out
//
// Nothing to count is a loss of 0 with zero gradients. A score of an existing
// item that is not finite makes the losses and gradients of its list NaN, where
// the list has a pair; other lists do not see it.
struct ListRankingLoss {
  DType dtype = DType::kFloat32;
  RankingTerm term = RankingTerm::kLogistic;
  LambdaWeight lambda = LambdaWeight::kNone;  // kMse: kNone
  Reduction reduction = Reduction::kMean;
  double margin = 1.0;
  double temperature = 1.0;
  int64_t topn = 0;     // of kDcg and kNdcg; 0 for all
  bool masked = false;  // the arrays have a mask
  bool ragged = false;
  const int64_t* row_splits = nullptr;  // [lists + 1], with ragged; host memory
  int64_t lists = 0;
  int64_t list_size = 0;  // without ragged
  int64_t items = 0;      // in all lists
};

struct ListRankingArrays {
  const void* scores = nullptr;       // [items]
  const double* relevance = nullptr;  // [items]
  const bool* mask = nullptr;         // [items], or null for all
  const void* weights = nullptr;      // [items], compute type, or null for ones
  void* loss = nullptr;               // [items] for kNone, else one value
  // The gradient of the reduced loss, or null for the value alone. For kNone it
  // is the gradient of the sum: a caller multiplies the weights by its upstream
  // gradient.
  void* scores_grad = nullptr;  // [items]
};

// Reads the row_splits too: they start at 0, do not decrease and end at
// `items`.
TF_PAIRWISE_EXPORT Status Check(const ListRankingLoss& problem);

TF_PAIRWISE_EXPORT int64_t
ListRankingLossScratchBytes(const ListRankingLoss& problem, int workers);

// For a list of L items: kLogistic and kSoftZeroOne, and kHinge with kDcg and
// kNdcg, O(L^2 / 2) time, a tile of pairs at a time; kHinge else O(L log L);
// kMse O(L) (kMeanNonzero: O(L log L)). Memory is O(L) per list in flight.
// Lists are spread over the threads, and so are the tiles of a long list.
TF_PAIRWISE_EXPORT Status ListRankingLossCpu(const ListRankingLoss& problem,
                                             const ListRankingArrays& arrays,
                                             void* scratch,
                                             const ParallelFor& parallel);

// On a GPU every loss but kMse is O(L^2) time, as is kMse with kMeanNonzero,
// and memory is O(items). 32 items of a list are a block's work. `row_splits`
// has been read when the call returns.
TF_PAIRWISE_EXPORT int64_t
ListRankingLossGpuScratchBytes(const ListRankingLoss& problem);
TF_PAIRWISE_EXPORT Status ListRankingLossGpu(const ListRankingLoss& problem,
                                             const ListRankingArrays& arrays,
                                             void* scratch,
                                             const Stream& stream);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_RANKING_RANKING_H_

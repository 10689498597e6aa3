#ifndef TF_PAIRWISE_NEIGHBORS_NEIGHBORS_H_
#define TF_PAIRWISE_NEIGHBORS_NEIGHBORS_H_

#include <cstdint>

#include "core/export.h"
#include "core/names.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/stream.h"
#include "core/types.h"

// The neighbors family: the k nearest keys of each query.
//
// Distances are those of distance.h, in the compute type: halves are ranked as
// floats and rounded when they are stored. Ascending; of equal distances the
// lower index comes first. A key at a distance of NaN or +inf is no neighbour.
// Where a query has fewer than k neighbours, the rest is distance +inf and
// index -1. Determinism, allocation and scratch are as in distance.h.

namespace tf_pairwise {

// Which keys a query may have.
enum class Only : int32_t {
  kAny,
  kSameLabel,   // of the query's label
  kOtherLabel,  // of another label
};

inline Status ParseOnly(const char* name, Only* only) {
  static constexpr NamedValue<Only> kTable[] = {
      {"any", Only::kAny},
      {"same_label", Only::kSameLabel},
      {"other_label", Only::kOtherLabel}};
  return ParseName("only", name, kTable, only);
}

struct NearestNeighbors {
  DType dtype = DType::kFloat32;
  Metric metric{};
  Only only = Only::kAny;
  // The queries are their own keys: keys and key_labels are not read, m == n,
  // and a query is not its own neighbour.
  bool self = false;
  int64_t n = 0, m = 0, d = 0;
  int64_t k = 1;  // may be more than m
};

// The arrays of one call.
struct NearestNeighborsArrays {
  const void* queries = nullptr;          // [n, d]
  const void* keys = nullptr;             // [m, d]
  const int64_t* query_labels = nullptr;  // [n]; kAny: not read
  const int64_t* key_labels = nullptr;    // [m]; kAny: not read
  void* distances = nullptr;              // [n, k], dtype
  int64_t* indices = nullptr;             // [n, k]
};

TF_PAIRWISE_EXPORT Status Check(const NearestNeighbors& problem);

TF_PAIRWISE_EXPORT int64_t
NearestNeighborsScratchBytes(const NearestNeighbors& problem, int workers);

// O(n m d) time, and O(n k log(m / k) log k) for the candidates, of which a
// query in random order meets about k log(m / k). Memory O((n + m) d), a tile,
// and 2 k candidates for each query in flight; no matrix.
TF_PAIRWISE_EXPORT Status NearestNeighborsCpu(
    const NearestNeighbors& problem, const NearestNeighborsArrays& arrays,
    void* scratch, const ParallelFor& parallel);

// The same on a GPU: arrays and scratch are the device's. Memory: a strip of
// distances and the points.
TF_PAIRWISE_EXPORT int64_t
NearestNeighborsGpuScratchBytes(const NearestNeighbors& problem);
TF_PAIRWISE_EXPORT Status NearestNeighborsGpu(
    const NearestNeighbors& problem, const NearestNeighborsArrays& arrays,
    void* scratch, const Stream& stream);

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_NEIGHBORS_NEIGHBORS_H_

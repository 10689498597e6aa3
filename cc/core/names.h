#ifndef TF_PAIRWISE_CORE_NAMES_H_
#define TF_PAIRWISE_CORE_NAMES_H_

#include <cstring>

#include "core/status.h"
#include "core/types.h"

// From the public names of options to their enums: one source for every
// binding.

namespace tf_pairwise {

template <typename Enum>
struct NamedValue {
  const char* name;
  Enum value;
};

template <typename Enum, int kCount>
Status ParseName(const char* argument, const char* name,
                 const NamedValue<Enum> (&table)[kCount], Enum* value) {
  char expected[256] = {0};
  for (const NamedValue<Enum>& entry : table) {
    if (std::strcmp(name, entry.name) == 0) {
      *value = entry.value;
      return Ok();
    }
    if (expected[0] != 0) {
      std::strncat(expected, ", ",
                   sizeof(expected) - std::strlen(expected) - 1);
    }
    std::strncat(expected, entry.name,
                 sizeof(expected) - std::strlen(expected) - 1);
  }
  return InvalidArgument("%s: got \"%s\", expected one of %s", argument, name,
                         expected);
}

constexpr NamedValue<Metric> kMetricNames[] = {
    {"euclidean", Metric::kEuclidean},
    {"squared_euclidean", Metric::kSquaredEuclidean},
    {"cosine", Metric::kCosine},
    {"manhattan", Metric::kManhattan},
    {"dot", Metric::kDot},
    {"chebyshev", Metric::kChebyshev}};

inline Status ParseMetric(const char* name, Metric* metric) {
  return ParseName("metric", name, kMetricNames, metric);
}

inline Status ParseReduction(const char* name, Reduction* reduction) {
  static constexpr NamedValue<Reduction> kTable[] = {
      {"none", Reduction::kNone},
      {"sum", Reduction::kSum},
      {"mean", Reduction::kMean},
      {"mean_nonzero", Reduction::kMeanNonzero},
      {"balanced_mean", Reduction::kBalancedMean},
      {"mean_lists", Reduction::kMeanLists}};
  return ParseName("reduction", name, kTable, reduction);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_NAMES_H_

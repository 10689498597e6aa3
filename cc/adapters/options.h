#ifndef TF_PAIRWISE_ADAPTERS_OPTIONS_H_
#define TF_PAIRWISE_ADAPTERS_OPTIONS_H_

#include <charconv>
#include <cstring>
#include <system_error>

#include "core/status.h"

namespace tf_pairwise {

// A margin travels as text, because TensorFlow's float attributes are float32
// and would round it: "soft", or Python's repr of a double. Not strtod, which
// reads a decimal comma in some locales.
inline Status ParseMargin(const char* text, double* margin, bool* soft) {
  *margin = 0;
  *soft = std::strcmp(text, "soft") == 0;
  if (*soft) return Ok();
  const char* end = text + std::strlen(text);
  const std::from_chars_result result = std::from_chars(text, end, *margin);
  if (result.ec != std::errc() || result.ptr != end) {
    return InvalidArgument("margin: got \"%s\", expected a number or \"soft\"",
                           text);
  }
  return Ok();
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_OPTIONS_H_

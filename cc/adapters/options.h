#ifndef TF_PAIRWISE_ADAPTERS_OPTIONS_H_
#define TF_PAIRWISE_ADAPTERS_OPTIONS_H_

#include <charconv>
#include <cstring>
#include <system_error>

#include "core/status.h"

namespace tf_pairwise {

// A margin travels as text, because TensorFlow's float attributes are float32
// and would round it: Python's repr of a double or, where there is a soft one,
// "soft". Not strtod, which reads a decimal comma in some locales.
inline Status ParseMargin(const char* argument, const char* text,
                          double* margin, bool* soft = nullptr) {
  *margin = 0;
  if (soft != nullptr) {
    *soft = std::strcmp(text, "soft") == 0;
    if (*soft) return Ok();
  }
  const char* end = text + std::strlen(text);
  const std::from_chars_result result = std::from_chars(text, end, *margin);
  if (result.ec != std::errc() || result.ptr != end) {
    return InvalidArgument("%s: got \"%s\", expected a number%s", argument,
                           text, soft != nullptr ? " or \"soft\"" : "");
  }
  return Ok();
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_OPTIONS_H_

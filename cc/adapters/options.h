#ifndef TF_PAIRWISE_ADAPTERS_OPTIONS_H_
#define TF_PAIRWISE_ADAPTERS_OPTIONS_H_

#include <locale.h>
#include <stdlib.h>

#include <cctype>
#include <cstring>
#include <string>

#include "core/names.h"
#include "core/status.h"

// From an op's attributes, which are text and numbers, to options.

namespace tf_pairwise {

// A margin travels as text, because TensorFlow's float attributes are float32
// and would round it: Python's repr of a double or, where there is a soft one,
// "soft". In the locale "C", for the sake of the decimal point; std::from_chars
// would ask for a newer libstdc++ than wheels may.
inline Status ParseMargin(const char* argument, const char* text,
                          double* margin, bool* soft = nullptr) {
  *margin = 0;
  if (soft != nullptr) {
    *soft = std::strcmp(text, "soft") == 0;
    if (*soft) return Ok();
  }
  static const locale_t locale = newlocale(LC_ALL_MASK, "C", nullptr);
  char* end = nullptr;
  *margin = strtod_l(text, &end, locale);
  const bool begins = *text == '-' || std::isalnum(*text);  // not with a space
  if (!begins || *end != 0) {
    return InvalidArgument("%s: got \"%s\", expected a number%s", argument,
                           text, soft != nullptr ? " or \"soft\"" : "");
  }
  return Ok();
}

// ---- attributes of an op (see call.h) ----

// An attribute by its public name, into the enum that `parse` makes of it.
template <typename Attributes, typename Enum>
Status ReadName(Attributes* attributes, const char* attribute,
                Status (*parse)(const char*, Enum*), Enum* value) {
  std::string name;
  TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr(attribute, &name));
  return parse(name.c_str(), value);
}

template <typename Attributes>
Status ReadMargin(Attributes* attributes, const char* attribute, double* margin,
                  bool* soft = nullptr) {
  std::string text;
  TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr(attribute, &text));
  return ParseMargin(attribute, text.c_str(), margin, soft);
}

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_OPTIONS_H_

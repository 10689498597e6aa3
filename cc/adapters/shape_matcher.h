#ifndef TF_PAIRWISE_ADAPTERS_SHAPE_MATCHER_H_
#define TF_PAIRWISE_ADAPTERS_SHAPE_MATCHER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"

// The shapes of a call's arguments, checked the same way, with the same
// messages, while a graph is traced, when a kernel runs, and by NumPy. Neither
// TensorFlow nor pybind11 is included here.

namespace tf_pairwise {

constexpr int64_t kUnknownSize = -1;

// An array without elements takes no memory, whatever its other sizes are: they
// are together at most this, so that they overflow nowhere and no loop over
// rows of nothing takes minutes.
constexpr int64_t kMostOfNothing = int64_t{1} << 24;

struct Shape {
  bool known_rank = true;
  std::vector<int64_t> sizes;  // kUnknownSize where not known yet

  int64_t elements() const {
    int64_t product = 1;
    for (const int64_t size : sizes) product *= size;
    return product;
  }

  // Whether it is of no elements, and yet of more than kMostOfNothing.
  bool IsTooMuchOfNothing() const {
    bool empty = false, much = false;
    int64_t product = 1;
    for (const int64_t size : sizes) {
      empty = empty || size == 0;
      if (size <= 0) continue;
      much = much || size > kMostOfNothing / product;
      product = much ? 1 : product * size;
    }
    return empty && much;
  }

  std::string ToString() const {
    if (!known_rank) return "<unknown>";
    std::string text = "[";
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (i > 0) text += ", ";
      text += sizes[i] == kUnknownSize ? "?" : std::to_string(sizes[i]);
    }
    return text + "]";
  }
};

// Matches the shapes of several arguments against patterns such as "nd" for
// [n, d] and "...md" for [..., m, d], in which a letter stands for the same
// size everywhere and "..." for the same leading sizes. A digit is itself;
// "n|n1" gives alternatives, and "" is a scalar.
//
//   ShapeMatcher match;
//   RETURN_IF_ERROR(match("anchors", Shape{true, {3, 8}}, "nd"));
//   RETURN_IF_ERROR(match("positives", Shape{true, {4, 8}}, "nd"));
//
// fails with "positives: got shape [4, 8], expected [n, d] where n = 3 as in
// anchors".
class ShapeMatcher {
 public:
  Status operator()(const char* argument, const Shape& shape,
                    const char* pattern) {
    if (!shape.known_rank) return Ok();
    TF_PAIRWISE_RETURN_IF_ERROR(CheckSizes(argument, shape));
    for (const char* option = pattern; option != nullptr;
         option = NextOption(option)) {
      const int length = OptionLength(option);
      if (Fits(shape, option, length)) {
        Bind(argument, shape, option, length);
        return Ok();
      }
    }
    return InvalidArgument("%s: got shape %s, expected %s", argument,
                           shape.ToString().c_str(), Expected(pattern).c_str());
  }

  // Of rows that are as many as the pattern's first letter says, or more: their
  // number is what `rows` stands for from here on.
  Status AtLeast(const char* argument, const Shape& shape, const char* pattern,
                 char rows) {
    if (!shape.known_rank) return Ok();
    TF_PAIRWISE_RETURN_IF_ERROR(CheckSizes(argument, shape));
    std::string own(pattern);
    own[0] = rows;
    const int length = static_cast<int>(own.size());
    const int64_t least = SizeOf(pattern[0]);
    if (Fits(shape, own.c_str(), length) &&
        (least == kUnknownSize || shape.sizes[0] == kUnknownSize ||
         shape.sizes[0] >= least)) {
      Bind(argument, shape, own.c_str(), length);
      return Ok();
    }
    return InvalidArgument("%s: got shape %s, expected %s, or more rows",
                           argument, shape.ToString().c_str(),
                           Expected(pattern).c_str());
  }

  // The size that a letter stands for, or kUnknownSize.
  int64_t operator[](char letter) const { return At(letter).size; }

  // The leading sizes, and their product once all are known.
  const Shape& leading() const { return leading_; }
  int64_t batch() const { return leading_.elements(); }

  // The shape that a pattern without alternatives stands for.
  Shape operator()(const char* pattern) const {
    Shape shape;
    if (*pattern == '.') {
      shape = leading_;
      pattern += 3;
    }
    for (; *pattern != 0; ++pattern) {
      shape.sizes.push_back(SizeOf(*pattern));
    }
    return shape;
  }

 private:
  static Status CheckSizes(const char* argument, const Shape& shape) {
    if (!shape.IsTooMuchOfNothing()) return Ok();
    return InvalidArgument(
        "%s: got shape %s, expected sizes whose product, but for those that "
        "are 0, is at most 2^24",
        argument, shape.ToString().c_str());
  }

  struct Binding {
    int64_t size = kUnknownSize;
    const char* argument = nullptr;  // where the size was first seen
  };

  static int OptionLength(const char* option) {
    int length = 0;
    while (option[length] != 0 && option[length] != '|') ++length;
    return length;
  }

  static const char* NextOption(const char* option) {
    option += OptionLength(option);
    return *option == '|' ? option + 1 : nullptr;
  }

  const Binding& At(char letter) const { return bindings_[letter - 'a']; }

  int64_t SizeOf(char symbol) const {
    return symbol >= '0' && symbol <= '9' ? symbol - '0' : At(symbol).size;
  }

  static bool Agree(int64_t a, int64_t b) {
    return a == b || a == kUnknownSize || b == kUnknownSize;
  }

  bool Fits(const Shape& shape, const char* option, int length) const {
    const int rank = static_cast<int>(shape.sizes.size());
    const bool ellipsis = option[0] == '.';
    const int letters = ellipsis ? length - 3 : length;
    if (ellipsis ? rank < letters : rank != letters) return false;
    const int lead = rank - letters;
    if (ellipsis && leading_.known_rank) {
      if (lead != static_cast<int>(leading_.sizes.size())) return false;
      for (int i = 0; i < lead; ++i) {
        if (!Agree(shape.sizes[i], leading_.sizes[i])) return false;
      }
    }
    for (int i = 0; i < letters; ++i) {
      const char symbol = option[length - letters + i];
      if (!Agree(shape.sizes[lead + i], SizeOf(symbol))) return false;
    }
    return true;
  }

  void Bind(const char* argument, const Shape& shape, const char* option,
            int length) {
    const bool ellipsis = option[0] == '.';
    const int letters = ellipsis ? length - 3 : length;
    const int lead = static_cast<int>(shape.sizes.size()) - letters;
    if (ellipsis) {
      if (!leading_.known_rank) {
        leading_.known_rank = true;
        leading_.sizes.assign(lead, kUnknownSize);
        leading_argument_ = argument;
      }
      for (int i = 0; i < lead; ++i) {
        if (shape.sizes[i] != kUnknownSize) leading_.sizes[i] = shape.sizes[i];
      }
    }
    for (int i = 0; i < letters; ++i) {
      const char symbol = option[length - letters + i];
      if (symbol >= '0' && symbol <= '9') continue;
      Binding& binding = bindings_[symbol - 'a'];
      if (binding.size == kUnknownSize &&
          shape.sizes[lead + i] != kUnknownSize) {
        binding.size = shape.sizes[lead + i];
        binding.argument = argument;
      }
    }
  }

  // "[..., m, d] where d = 8 as in x".
  std::string Expected(const char* pattern) const {
    std::string shapes, sizes;
    bool told[26] = {};
    bool told_leading = false;
    for (const char* option = pattern; option != nullptr;
         option = NextOption(option)) {
      const int length = OptionLength(option);
      shapes += shapes.empty() ? "[" : " or [";
      for (int i = 0; i < length; ++i) {
        if (i > 0) shapes += ", ";
        if (option[i] == '.') {
          shapes += "...";
          i += 2;
          if (leading_.known_rank && !told_leading) {
            told_leading = true;
            AddSize(&sizes, "...", leading_.ToString(), leading_argument_);
          }
          continue;
        }
        const char symbol = option[i];
        shapes += symbol;
        if (symbol < 'a' || symbol > 'z') continue;
        const Binding& binding = At(symbol);
        if (binding.size != kUnknownSize && !told[symbol - 'a']) {
          told[symbol - 'a'] = true;
          AddSize(&sizes, std::string(1, symbol), std::to_string(binding.size),
                  binding.argument);
        }
      }
      shapes += "]";
    }
    return sizes.empty() ? shapes : shapes + " where " + sizes;
  }

  static void AddSize(std::string* sizes, const std::string& name,
                      const std::string& value, const char* argument) {
    if (!sizes->empty()) *sizes += ", ";
    *sizes += name + " = " + value + " as in " + argument;
  }

  Shape leading_{/*known_rank=*/false, {}};
  const char* leading_argument_ = "";
  Binding bindings_[26];
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_SHAPE_MATCHER_H_

#ifndef TF_PAIRWISE_CORE_STATUS_H_
#define TF_PAIRWISE_CORE_STATUS_H_

#include <cstdarg>
#include <cstdint>
#include <cstdio>

#include "core/export.h"

namespace tf_pairwise {

// What a kernel or an op says of its call: ok, or a code and a message for the
// user. A plain struct, so that it crosses every library boundary without a
// standard-library ABI. A binding makes its own kind of error of it.
struct TF_PAIRWISE_EXPORT Status {
  enum Code : int32_t {
    kOk = 0,
    kInvalidArgument = 1,
    kInternal = 2,
    kResourceExhausted = 3,
    kUnimplemented = 4,
    kCancelled = 5
  };
  Code code = kOk;
  char message[508] = {0};

  bool ok() const { return code == kOk; }
};

inline Status Ok() { return Status(); }

inline Status ErrorOf(Status::Code code, const char* format, va_list args) {
  Status status;
  status.code = code;
  std::vsnprintf(status.message, sizeof(status.message), format, args);
  return status;
}

__attribute__((format(printf, 2, 3))) inline Status Error(Status::Code code,
                                                          const char* format,
                                                          ...) {
  va_list args;
  va_start(args, format);
  const Status status = ErrorOf(code, format, args);
  va_end(args);
  return status;
}

// The one way a user's errors are made: they name the argument, what came and
// what was expected.
__attribute__((format(printf, 1, 2))) inline Status InvalidArgument(
    const char* format, ...) {
  va_list args;
  va_start(args, format);
  const Status status = ErrorOf(Status::kInvalidArgument, format, args);
  va_end(args);
  return status;
}

#define TF_PAIRWISE_RETURN_IF_ERROR(expression)         \
  do {                                                  \
    const ::tf_pairwise::Status status_ = (expression); \
    if (!status_.ok()) return status_;                  \
  } while (false)

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_STATUS_H_

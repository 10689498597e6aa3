#include "cuda/api.h"

#include <dlfcn.h>

#include <cstdlib>

namespace tf_pairwise {
namespace {

// Drivers before CUDA 12.0 cannot read the machine code of its compiler.
constexpr int kLeastVersion = 12000;

Status TooOld(const char* what) {
  return Error(Status::kUnimplemented,
               "the NVIDIA driver is too old: got %s, expected version 525 or "
               "newer (CUDA 12.0)",
               what);
}

Status FindFunctions(CuApi* api) {
  // Tests have a library of their own.
  const char* named = std::getenv("TF_PAIRWISE_CUDA_DRIVER");
  const char* file = named != nullptr && *named ? named : "libcuda.so.1";
  void* const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Error(Status::kUnimplemented,
                 "no NVIDIA driver: %s was not found (%s)", file, dlerror());
  }
  const char* missing = nullptr;
#define TF_PAIRWISE_CU_FIND(name, symbol, arguments)                    \
  api->name =                                                           \
      reinterpret_cast<CuResult(*) arguments>(dlsym(library, #symbol)); \
  if (api->name == nullptr && missing == nullptr) missing = #symbol;
  TF_PAIRWISE_CU_FUNCTIONS(TF_PAIRWISE_CU_FIND)
#undef TF_PAIRWISE_CU_FIND
  if (missing == nullptr) return Ok();
  char what[80];
  std::snprintf(what, sizeof(what), "one without %s", missing);
  return TooOld(what);
}

Status Start(Driver* driver) {
  TF_PAIRWISE_RETURN_IF_ERROR(FindFunctions(&driver->api));
  const CuApi& api = driver->api;
  TF_PAIRWISE_RETURN_IF_ERROR(StatusOf(api, api.cuInit(0), "cuInit"));
  int version = 0;
  TF_PAIRWISE_RETURN_IF_ERROR(
      StatusOf(api, api.cuDriverGetVersion(&version), "cuDriverGetVersion"));
  if (version < kLeastVersion) {
    char what[80];
    std::snprintf(what, sizeof(what), "one for CUDA %d.%d", version / 1000,
                  version % 1000 / 10);
    return TooOld(what);
  }
  TF_PAIRWISE_RETURN_IF_ERROR(StatusOf(
      api, api.cuDeviceGetCount(&driver->devices), "cuDeviceGetCount"));
  if (driver->devices > 0) return Ok();
  return Error(Status::kUnimplemented, "the NVIDIA driver sees no GPU");
}

}  // namespace

Status StatusOf(const CuApi& api, CuResult result, const char* call,
                const char* of) {
  if (result == 0) return Ok();
  const char *name = nullptr, *text = nullptr;
  if (api.cuGetErrorName(result, &name) != 0) name = "unknown error";
  if (api.cuGetErrorString(result, &text) != 0) text = "";
  return Error(
      result == kCuOutOfMemory ? Status::kResourceExhausted : Status::kInternal,
      "%s%s%s: %s (%d): %s", call, of == nullptr ? "" : " of ",
      of == nullptr ? "" : of, name, result, text);
}

const Driver& TheDriver() {
  // Never destroyed: others' destructors may still call.
  static const Driver& driver = *[] {
    auto* const found = new Driver;
    found->status = Start(found);
    return found;
  }();
  return driver;
}

}  // namespace tf_pairwise

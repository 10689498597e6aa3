#include "simd/dispatch.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "hwy/detect_targets.h"

namespace tf_pairwise {
namespace {

struct Isa {
  const char* name;
  int64_t target;
  bool supported;
};

const Isa& Choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  static const Isa kIsas[] = {
      {"avx512", HWY_AVX3,
       __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl")},
      {"avx2", HWY_AVX2,
       __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2")},
      {"sse4", HWY_SSE4, true},
  };
#elif defined(__aarch64__)
  static const Isa kIsas[] = {{"neon", HWY_NEON, true},
                              {"neon", HWY_NEON_WITHOUT_AES, true}};
#else
  static const Isa kIsas[] = {{"scalar", HWY_EMU128, true}};
#endif
  const char* wanted = std::getenv("TF_PAIRWISE_ISA");
  if (wanted != nullptr && wanted[0] != 0) {
    for (const Isa& isa : kIsas) {
      if (isa.supported && std::strcmp(wanted, isa.name) == 0) return isa;
    }
    std::fprintf(stderr,
                 "tf_pairwise: TF_PAIRWISE_ISA=%s is not one that this "
                 "processor has; the best one is used\n",
                 wanted);
  }
  for (const Isa& isa : kIsas) {
    if (isa.supported) return isa;
  }
  return kIsas[0];
}

const Isa& Chosen() {
  static const Isa& isa = Choose();
  return isa;
}

}  // namespace

int64_t ChosenTarget() { return Chosen().target; }

const char* ChosenIsa() { return Chosen().name; }

}  // namespace tf_pairwise

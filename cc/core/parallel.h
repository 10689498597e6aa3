#ifndef TF_PAIRWISE_CORE_PARALLEL_H_
#define TF_PAIRWISE_CORE_PARALLEL_H_

#include <cstdint>

#include "core/float_mode.h"

namespace tf_pairwise {

// Runs units of work on the caller's threads. A kernel never starts a thread:
// the TensorFlow op passes the intra-op pool, XLA's handler its own, NumPy a
// small one. Units are self-contained and cut by the problem's shape alone, so
// that which worker runs which unit cannot be seen in a result.
struct ParallelFor {
  // Calls `body(argument, begin, end, worker)` for ranges that together cover
  // [0, units) once, and returns when all have returned. `worker` is in
  // [0, workers) and no two calls that run at the same time share it.
  // `cost` is a unit's rough cost in CPU cycles.
  using Body = void (*)(void* argument, int64_t begin, int64_t end, int worker);
  void (*run)(void* context, int64_t units, double cost, Body body,
              void* argument) = nullptr;
  void* context = nullptr;
  int workers = 1;

  // `function(unit, worker)` for each unit; inline where the whole is too
  // small to be worth waking a thread. It runs under the kernels' own
  // floating-point mode, whatever the thread's is.
  template <typename Function>
  void operator()(int64_t units, double cost, const Function& function) const {
    constexpr double kInlineCycles = 20000;
    if (units <= 0) return;
    if (run == nullptr || workers <= 1 || units == 1 ||
        cost * static_cast<double>(units) < kInlineCycles) {
      const FloatMode mode;
      for (int64_t unit = 0; unit < units; ++unit) function(unit, 0);
      return;
    }
    run(
        context, units, cost,
        [](void* argument, int64_t begin, int64_t end, int worker) {
          const Function& body = *static_cast<const Function*>(argument);
          const FloatMode mode;
          for (int64_t unit = begin; unit < end; ++unit) body(unit, worker);
        },
        const_cast<void*>(static_cast<const void*>(&function)));
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_PARALLEL_H_

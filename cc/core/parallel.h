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
  // Where set, asked before each unit, by whichever thread is to run it. Once
  // it says true it always does, and no unit of this or a later call begins:
  // what the kernel makes is worth nothing, and who asked to stop says so. What
  // runs between the calls still does, and must not take for an index or a size
  // what a unit would have made (Stopped).
  bool (*stop)(void* context) = nullptr;
  void* stop_context = nullptr;

  bool Stopped() const { return stop != nullptr && stop(stop_context); }

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
      for (int64_t unit = 0; unit < units && !Stopped(); ++unit) {
        function(unit, 0);
      }
      return;
    }
    Units<Function> all = {this, &function};
    run(
        context, units, cost,
        [](void* argument, int64_t begin, int64_t end, int worker) {
          const auto& [parallel, body] =
              *static_cast<Units<Function>*>(argument);
          const FloatMode mode;
          for (int64_t unit = begin; unit < end && !parallel->Stopped();
               ++unit) {
            (*body)(unit, worker);
          }
        },
        &all);
  }

 private:
  template <typename Function>
  struct Units {
    const ParallelFor* parallel;
    const Function* function;
  };
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_PARALLEL_H_

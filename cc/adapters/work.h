#ifndef TF_PAIRWISE_ADAPTERS_WORK_H_
#define TF_PAIRWISE_ADAPTERS_WORK_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "core/parallel.h"

// The work of one ParallelFor, shared out among a calling thread and helpers.
// Nothing foreign is included here.

namespace tf_pairwise {

// Units in blocks, taken by whoever comes first.
class Work {
 public:
  Work(int64_t units, double cost, int helpers, ParallelFor::Body body,
       void* argument)
      : units_(units), body_(body), argument_(argument) {
    // Blocks that are worth the taking, yet enough of them to even out.
    constexpr double kBlockCycles = 20000;
    const int64_t even = units / (8 * (helpers + 1));
    const int64_t worth =
        static_cast<int64_t>(kBlockCycles / std::max(cost, 1.0));
    block_ = std::max<int64_t>(1, std::max(even, worth));
    helpers_wanted_ =
        static_cast<int>(std::min<int64_t>(helpers, (units - 1) / block_));
  }

  int helpers_wanted() const { return helpers_wanted_; }

  // Takes blocks until none is left.
  void Do(int worker) {
    for (;;) {
      const int64_t begin = next_.fetch_add(block_);
      if (begin >= units_) return;
      body_(argument_, begin, std::min(begin + block_, units_), worker);
    }
  }

 private:
  int64_t units_;
  int64_t block_;
  int helpers_wanted_;
  ParallelFor::Body body_;
  void* argument_;
  std::atomic<int64_t> next_{0};
};

// Work whose helpers are tasks of a pool that is not ours. A task may begin
// late, or after the caller is gone: it finds the work closed then, and does
// nothing. Held by the caller and by each task.
class SharedWork {
 public:
  SharedWork(int64_t units, double cost, int helpers, ParallelFor::Body body,
             void* argument)
      : work_(units, cost, helpers, body, argument) {}

  int helpers_wanted() const { return work_.helpers_wanted(); }

  void Help() {
    int worker;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (closed_) return;
      worker = ++joined_;
      ++working_;
    }
    work_.Do(worker);
    std::lock_guard<std::mutex> lock(mutex_);
    if (--working_ == 0) done_.notify_one();
  }

  // The caller's part: works, then waits for the helpers that have begun.
  void WorkAndWait() {
    work_.Do(0);
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    done_.wait(lock, [this] { return working_ == 0; });
  }

 private:
  Work work_;
  std::mutex mutex_;
  std::condition_variable done_;
  int joined_ = 0;
  int working_ = 0;
  bool closed_ = false;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_WORK_H_

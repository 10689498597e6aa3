#ifndef TF_PAIRWISE_ADAPTERS_THREAD_POOL_H_
#define TF_PAIRWISE_ADAPTERS_THREAD_POOL_H_

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "adapters/work.h"
#include "core/parallel.h"

namespace tf_pairwise {

// A few threads for the bindings that have no pool of their own (NumPy). The
// caller works too; several callers may run at the same time, and share the
// threads.
class ThreadPool {
 public:
  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  ~ThreadPool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // The pool of this process: a fork has none of its parent's threads, and gets
  // a new one. Threads are started when they are first wanted, and joined when
  // the process ends, but where a team is still at work. Python's callers have
  // its lock, as who forks has, so that no fork finds this mutex held.
  static ThreadPool& Get() {
    static std::mutex mutex;
    static Owner owner;
    std::lock_guard<std::mutex> lock(mutex);
    if (owner.pool == nullptr || owner.process != getpid()) {
      owner.pool = new ThreadPool();  // the parent's is left to the parent
      owner.process = getpid();
    }
    return *owner.pool;
  }

  // The threads of one call: `workers` of them, the caller's among them. It has
  // to outlive the ParallelFor it gives.
  class Team {
   public:
    Team(ThreadPool* pool, int workers) : pool_(pool), workers_(workers) {
      ++pool->teams_;
      if (workers > 1) pool->Start(workers - 1);
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;
    ~Team() { --pool_->teams_; }

    ParallelFor parallel() {
      ParallelFor parallel;
      if (workers_ <= 1) return parallel;
      parallel.workers = workers_;
      parallel.context = this;
      parallel.run = [](void* context, int64_t units, double cost,
                        ParallelFor::Body body, void* argument) {
        auto* team = static_cast<Team*>(context);
        team->pool_->Run(units, cost, team->workers_ - 1, body, argument);
      };
      return parallel;
    }

   private:
    ThreadPool* pool_;
    int workers_;
  };

 private:
  struct Owner {
    ThreadPool* pool = nullptr;
    pid_t process = 0;
    ~Owner() {
      if (process == getpid() && pool->teams_ == 0) delete pool;
    }
  };

  struct Job {
    Job(int64_t units, double cost, int helpers, ParallelFor::Body body,
        void* argument)
        : work(units, cost, helpers, body, argument) {}

    Work work;
    // Guarded by the pool's mutex.
    int helpers_joined = 0;
    int helpers_working = 0;
    std::condition_variable done;
  };

  void Start(int helpers) {
    std::lock_guard<std::mutex> lock(mutex_);
    try {
      while (static_cast<int>(threads_.size()) < helpers) {
        threads_.emplace_back([this] { Help(); });
      }
    } catch (const std::system_error&) {
      // The machine gives no more: those there are do the work.
    }
  }

  void Run(int64_t units, double cost, int helpers, ParallelFor::Body body,
           void* argument) {
    Job job(units, cost, helpers, body, argument);
    std::list<Job*>::iterator position;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      position = jobs_.insert(jobs_.end(), &job);
    }
    work_.notify_all();
    job.work.Do(0);
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.erase(position);
    job.done.wait(lock, [&job] { return job.helpers_working == 0; });
  }

  void Help() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      work_.wait(lock, [&] { return stopping_ || (job = Open()) != nullptr; });
      if (stopping_) return;
      const int worker = ++job->helpers_joined;
      ++job->helpers_working;
      lock.unlock();
      job->work.Do(worker);
      lock.lock();
      if (--job->helpers_working == 0) job->done.notify_one();
    }
  }

  // A job that still takes helpers.
  Job* Open() {
    for (Job* job : jobs_) {
      if (job->helpers_joined < job->work.helpers_wanted()) return job;
    }
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::vector<std::thread> threads_;
  std::list<Job*> jobs_;
  bool stopping_ = false;
  std::atomic<int> teams_{0};
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_ADAPTERS_THREAD_POOL_H_

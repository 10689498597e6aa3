// The sharing out of work: every unit once, no two callers of one worker
// number at the same time, and helpers that are late, or never begin.

#include "adapters/work.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

using tf_pairwise::SharedWork;
using tf_pairwise::Work;

int failures = 0;

#define EXPECT(condition)                                         \
  do {                                                            \
    if (!(condition)) {                                           \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                 \
    }                                                             \
  } while (false)

// What a body is given: how often each unit was run, who is at work.
struct Record {
  explicit Record(int64_t units, int workers) : runs(units), at_work(workers) {}

  std::vector<std::atomic<int>> runs;
  std::vector<std::atomic<int>> at_work;
  std::atomic<int> shared{0};
  std::atomic<int> calls{0};
  int microseconds = 0;

  static void Body(void* argument, int64_t begin, int64_t end, int worker) {
    auto* record = static_cast<Record*>(argument);
    ++record->calls;
    if (++record->at_work[worker] != 1) ++record->shared;
    for (int64_t unit = begin; unit < end; ++unit) ++record->runs[unit];
    if (record->microseconds > 0) {
      std::this_thread::sleep_for(
          std::chrono::microseconds(record->microseconds));
    }
    --record->at_work[worker];
  }

  bool EachOnce() const {
    for (const std::atomic<int>& count : runs) {
      if (count != 1) return false;
    }
    return true;
  }
};

void TestBlocks() {
  for (const int64_t units : {1, 2, 3, 17, 1000}) {
    for (const double cost : {0.0, 1.0, 500.0, 1e9}) {
      Record record(units, 1);
      Work work(units, cost, 3, Record::Body, &record);
      EXPECT(work.helpers_wanted() >= 0 && work.helpers_wanted() <= 3);
      EXPECT(work.helpers_wanted() < units);
      work.Do(0);
      EXPECT(record.EachOnce());
      // Costly units are evened out, cheap ones taken together.
      if (cost >= 1e9 && units == 1000) EXPECT(record.calls > 16);
      if (cost <= 1.0) EXPECT(record.calls == 1);
    }
  }
}

// What is asked to stop after some units begins no other, now and later.
void TestStop() {
  struct Asked {
    std::atomic<int> left;
    static bool Stop(void* asked) {
      return static_cast<Asked*>(asked)->left.fetch_sub(1) <= 0;
    }
  };
  for (const int workers : {1, 3}) {
    Asked asked = {{5}};
    tf_pairwise::ParallelFor parallel;
    parallel.workers = workers;
    parallel.stop = &Asked::Stop;
    parallel.stop_context = &asked;
    parallel.run = [](void*, int64_t units, double cost,
                      tf_pairwise::ParallelFor::Body body, void* argument) {
      Work work(units, cost, 2, body, argument);
      std::thread helper([&work] { work.Do(1); });
      work.Do(0);
      helper.join();
    };
    std::atomic<int> runs{0};
    for (int call = 0; call < 2; ++call) {
      parallel(100, 1e5, [&runs](int64_t, int) { ++runs; });
      EXPECT(runs == 5 && parallel.Stopped());
    }
  }
}

void TestHelpersAtTheSameTime() {
  for (int round = 0; round < 200; ++round) {
    Record record(64, 5);
    record.microseconds = round % 3;
    const auto work =
        std::make_shared<SharedWork>(64, 1e9, 4, Record::Body, &record);
    std::vector<std::thread> helpers;
    for (int i = 0; i < work->helpers_wanted(); ++i) {
      helpers.emplace_back([work] { work->Help(); });
    }
    work->WorkAndWait();
    // The caller may go on now: nothing may be at work any more.
    for (const std::atomic<int>& busy : record.at_work) EXPECT(busy == 0);
    EXPECT(record.EachOnce());
    EXPECT(record.shared == 0);
    for (std::thread& helper : helpers) helper.join();
  }
}

void TestLateHelpers() {
  std::deque<std::function<void()>> tasks;  // a pool whose threads are busy
  {
    Record record(64, 5);
    const auto work =
        std::make_shared<SharedWork>(64, 1e9, 4, Record::Body, &record);
    for (int i = 0; i < work->helpers_wanted(); ++i) {
      tasks.push_back([work] { work->Help(); });
    }
    work->WorkAndWait();  // does not wait for them
    EXPECT(record.EachOnce());
  }
  EXPECT(tasks.size() == 4);
  for (const auto& task : tasks) task();  // the record is gone
}

}  // namespace

int main() {
  TestBlocks();
  TestStop();
  TestHelpersAtTheSameTime();
  TestLateHelpers();
  if (failures == 0) std::printf("passed\n");
  return failures == 0 ? 0 : 1;
}

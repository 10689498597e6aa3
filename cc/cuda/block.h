#ifndef TF_PAIRWISE_CUDA_BLOCK_H_
#define TF_PAIRWISE_CUDA_BLOCK_H_

#include "core/host_device.h"
#include "core/integers.h"

#if !defined(__CUDACC__)
#include <cstring>
#include <string>
#include <vector>
#endif

// What a kernel may say. A kernel is uniform code, with a list of phases: a
// function of a thread, or of a warp, at whose end stands a barrier.
//
//   template <typename T> struct Name {
//     TF_PAIRWISE_KERNEL_NAME("name_" + TypeName<T>());  // of the instance
//     static constexpr int kThreads = 256;  // of a block, whole warps
//     static constexpr int kBlocks = 1;     // of an SM, at the least
//     struct Arguments {...};               // by value, plain
//     struct Shared {...};                  // of a block, plain
//     struct ThreadRegisters {...};         // of a thread, or NoRegisters
//     struct WarpRegisters {...};           // of a warp, or NoRegisters
//                                           // (all three: KeepsNothing)
//     template <class B>
//     static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a);
//   };
//   TF_PAIRWISE_KERNEL(name_f32, Name<float>)    in a .cu file
//
// The same text is compiled by NVRTC, for a GPU, and by the host's compiler,
// where tests run it (tests/cuda_host): the threads of a phase one after
// another, in several orders, so that a missing barrier shows as other bits,
// and copies landing only when they are waited for. For that to see a race:
//
//   - shared memory is touched inside of phases alone, which are handed it;
//   - uniform code between phases reads arguments and the results of
//     collectives (Any, Reduce, Sum, Scan), which are the same in all threads;
//   - what a thread keeps from one phase to the next is in its registers, which
//     phases are handed too.
//
// No atomics but those of integers, whose order cannot be seen.

// TF_PAIRWISE_DEVICE_CALL is for what is rarely run, so that its registers are
// not held by what is run always.
// TF_PAIRWISE_UNROLL stands before a loop over registers, TF_PAIRWISE_LOOP
// before one that is to stay a loop, TF_PAIRWISE_UNROLL_BY(n) before a long
// one.
#if defined(__CUDACC__)
#define TF_PAIRWISE_DEVICE __device__ __forceinline__
#define TF_PAIRWISE_DEVICE_CALL __device__ __noinline__
#define TF_PAIRWISE_PRAGMA_(text) _Pragma(#text)
#define TF_PAIRWISE_UNROLL _Pragma("unroll")
#define TF_PAIRWISE_LOOP _Pragma("unroll 1")
#define TF_PAIRWISE_UNROLL_BY(n) TF_PAIRWISE_PRAGMA_(unroll n)
#define TF_PAIRWISE_KERNEL_NAME(name) static_assert(true)
#else
#define TF_PAIRWISE_DEVICE inline
#define TF_PAIRWISE_DEVICE_CALL inline
#define TF_PAIRWISE_UNROLL
#define TF_PAIRWISE_LOOP
#define TF_PAIRWISE_UNROLL_BY(n)
#define TF_PAIRWISE_KERNEL_NAME(name) \
  static std::string Name() { return name; }
#endif

namespace tf_pairwise {

struct NoRegisters {};

// The registers of a warp's threads, lanes[lane]: on a device a thread's own
// are all that it sees.
template <class R>
struct WarpLanes {
#if defined(__CUDACC__)
  R& own;
  TF_PAIRWISE_DEVICE R& operator[](int) const { return own; }
#else
  R* first;
  R& operator[](int lane) const { return first[lane]; }
#endif
};

// The base of a kernel whose phases keep nothing.
struct KeepsNothing {
  struct Shared {};
  using ThreadRegisters = NoRegisters;
  using WarpRegisters = NoRegisters;
};

constexpr int kWarp = 32;

// 16 bytes, the unit of wide loads and of asynchronous copies.
template <typename T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
  T v[kSize];
};

struct PlusOf {
  template <typename V>
  TF_PAIRWISE_HOST_DEVICE V operator()(const V& a, const V& b) const {
    return a + b;
  }
};

#if defined(__CUDACC__)

// The value that the lane at `lane ^ by` has.
template <typename V>
TF_PAIRWISE_DEVICE V FromLane(const V& value, int by) {
  static_assert(sizeof(V) % 4 == 0, "whole words");
  V other = value;
  TF_PAIRWISE_UNROLL for (int w = 0; w < static_cast<int>(sizeof(V) / 4); ++w) {
    int word;
    memcpy(&word, reinterpret_cast<const char*>(&value) + 4 * w, 4);
    word = __shfl_xor_sync(~0u, word, by);
    memcpy(reinterpret_cast<char*>(&other) + 4 * w, &word, 4);
  }
  return other;
}

// op over the 32 lanes' values, in one tree; every lane has it.
template <typename V, class Op>
TF_PAIRWISE_DEVICE V ReduceLanes(V value, const Op& op) {
  for (int by = kWarp / 2; by > 0; by /= 2) {
    value = op(value, FromLane(value, by));
  }
  return value;
}

// Inside of EachWarp, where code is uniform for a warp: f(lane) by each lane,
// and then all see what was written; op over what f(lane) returns.
template <class F>
TF_PAIRWISE_DEVICE void EachLane(const F& f) {
  f(static_cast<int>(threadIdx.x) % kWarp);
  __syncwarp();
}
template <class F, class Op>
TF_PAIRWISE_DEVICE auto OverLanes(const F& f, const Op& op) {
  return ReduceLanes(f(static_cast<int>(threadIdx.x) % kWarp), op);
}

template <class K>
class ThreadBlock {
 public:
  static constexpr int kThreads = K::kThreads;
  using Shared = typename K::Shared;
  using ThreadRegisters = typename K::ThreadRegisters;
  using WarpRegisters = typename K::WarpRegisters;

  TF_PAIRWISE_DEVICE explicit ThreadBlock(Shared* shared) : shared_(shared) {}

  // Which of the grid's blocks this is.
  TF_PAIRWISE_DEVICE int64_t x() const { return blockIdx.x; }
  TF_PAIRWISE_DEVICE int64_t y() const { return blockIdx.y; }
  TF_PAIRWISE_DEVICE int64_t z() const { return blockIdx.z; }
  TF_PAIRWISE_DEVICE int64_t grid_x() const { return gridDim.x; }

  // f(thread, shared, registers), then a barrier.
  template <class F>
  TF_PAIRWISE_DEVICE void Each(const F& f) {
    f(static_cast<int>(threadIdx.x), *shared_, thread_);
    __syncthreads();
  }
  // The same without the barrier: for a phase that only begins copies.
  template <class F>
  TF_PAIRWISE_DEVICE void Start(const F& f) {
    f(static_cast<int>(threadIdx.x), *shared_, thread_);
  }
  // f(warp, shared, lanes), with no barrier either: a warp works as one on the
  // registers of its threads, WarpLanes, and begins no copies.
  template <class F>
  TF_PAIRWISE_DEVICE void StartLanes(const F& f) {
    f(static_cast<int>(threadIdx.x) / kWarp, *shared_,
      WarpLanes<ThreadRegisters>{thread_});
  }
  // f(warp, shared, registers): a warp works as one (EachLane, OverLanes).
  template <class F>
  TF_PAIRWISE_DEVICE void EachWarp(const F& f) {
    f(static_cast<int>(threadIdx.x) / kWarp, *shared_, warp_);
    __syncthreads();
  }

  // Whether f(thread, shared, registers) is true in any thread.
  template <class F>
  TF_PAIRWISE_DEVICE bool Any(const F& f) {
    return __syncthreads_or(
        f(static_cast<int>(threadIdx.x), *shared_, thread_));
  }
  // op over what f returns in the threads, in one tree.
  template <class F, class Op>
  TF_PAIRWISE_DEVICE auto Reduce(const F& f, const Op& op) {
    using V = decltype(f(0, *shared_, thread_));
    __shared__ __align__(16) char buffer[sizeof(V) * (kThreads / kWarp)];
    V* const parts = reinterpret_cast<V*>(buffer);
    const V own =
        ReduceLanes(f(static_cast<int>(threadIdx.x), *shared_, thread_), op);
    __syncthreads();
    if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = own;
    __syncthreads();
    V all = parts[0];
    for (int w = 1; w < kThreads / kWarp; ++w) all = op(all, parts[w]);
    __syncthreads();
    return all;
  }
  template <class F>
  TF_PAIRWISE_DEVICE auto Sum(const F& f) {
    return Reduce(f, PlusOf());
  }
  // place(thread, shared, registers, before): `before` is the sum of count(...)
  // over the threads before this one. Returns the sum over all.
  template <class Count, class Place>
  TF_PAIRWISE_DEVICE int Scan(const Count& count, const Place& place) {
    __shared__ int parts[kThreads / kWarp];
    const int thread = static_cast<int>(threadIdx.x);
    const int own = count(thread, *shared_, thread_);
    int through = own;
    for (int by = 1; by < kWarp; by *= 2) {
      const int other = __shfl_up_sync(~0u, through, by);
      if (thread % kWarp >= by) through += other;
    }
    __syncthreads();
    if (thread % kWarp == kWarp - 1) parts[thread / kWarp] = through;
    __syncthreads();
    int before = through - own, all = 0;
    for (int w = 0; w < kThreads / kWarp; ++w) {
      if (w < thread / kWarp) before += parts[w];
      all += parts[w];
    }
    place(thread, *shared_, thread_, before);
    __syncthreads();
    return all;
  }

 private:
  Shared* shared_;
  ThreadRegisters thread_;
  WarpRegisters warp_;
};

// Begins a copy of 16 bytes into shared memory, which is there when the thread
// has waited and a phase has ended.
template <typename T>
TF_PAIRWISE_DEVICE void CopyAsync(Pack<T>* to, const Pack<T>* from) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from));
#else
  *to = *from;
#endif
}
// Ends a group of copies; waits until at most kPending groups are not there.
TF_PAIRWISE_DEVICE void CopyCommit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kPending>
TF_PAIRWISE_DEVICE void CopyWait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// Of integers, in shared memory or in the device's. Returns the old value.
TF_PAIRWISE_DEVICE int AtomicAdd(int* p, int v) { return atomicAdd(p, v); }
TF_PAIRWISE_DEVICE unsigned AtomicOr(unsigned* p, unsigned v) {
  return atomicOr(p, v);
}
TF_PAIRWISE_DEVICE uint64_t AtomicMin(uint64_t* p, uint64_t v) {
  return atomicMin(reinterpret_cast<unsigned long long*>(p),
                   static_cast<unsigned long long>(v));
}
TF_PAIRWISE_DEVICE int LowestBit(unsigned bits) { return __ffs(bits) - 1; }
TF_PAIRWISE_DEVICE int CountBits(unsigned bits) { return __popc(bits); }

#else  // the host

// How a block's threads take turns: 0 in order, 1 backwards, 2 shuffled. Set by
// what runs the kernels.
inline int& ThreadOrder() {
  static int order = 0;
  return order;
}
// Which thread's turn it is.
inline int& TurnOf() {
  static int thread = 0;
  return thread;
}

inline int TurnAt(int i, int count) {
  switch (ThreadOrder()) {
    case 0:
      return i;
    case 1:
      return count - 1 - i;
    default:
      // A permutation where count is a power of two times 3, 5 or 7.
      return static_cast<int>((int64_t{i} * 101 + 37) % count);
  }
}

template <class K>
class ThreadBlock {
 public:
  static constexpr int kThreads = K::kThreads;
  using Shared = typename K::Shared;
  using ThreadRegisters = typename K::ThreadRegisters;
  using WarpRegisters = typename K::WarpRegisters;

  ThreadBlock(Shared* shared, int64_t x, int64_t y, int64_t z, int64_t grid_x)
      : shared_(shared),
        x_(x),
        y_(y),
        z_(z),
        grid_x_(grid_x),
        thread_(kThreads),
        warp_(kThreads / kWarp) {}

  int64_t x() const { return x_; }
  int64_t y() const { return y_; }
  int64_t z() const { return z_; }
  int64_t grid_x() const { return grid_x_; }

  template <class F>
  void Each(const F& f) {
    for (int i = 0; i < kThreads; ++i) {
      const int t = TurnOf() = TurnAt(i, kThreads);
      f(t, *shared_, thread_[t]);
    }
  }
  template <class F>
  void Start(const F& f) {
    Each(f);
  }
  template <class F>
  void StartLanes(const F& f) {
    for (int i = 0; i < kThreads / kWarp; ++i) {
      const int w = TurnAt(i, kThreads / kWarp);
      TurnOf() = w * kWarp;
      f(w, *shared_, WarpLanes<ThreadRegisters>{&thread_[w * kWarp]});
    }
  }
  template <class F>
  void EachWarp(const F& f) {
    for (int i = 0; i < kThreads / kWarp; ++i) {
      const int w = TurnAt(i, kThreads / kWarp);
      TurnOf() = w * kWarp;
      f(w, *shared_, warp_[w]);
    }
  }
  template <class F>
  bool Any(const F& f) {
    bool any = false;
    Each(
        [&](int t, Shared& s, ThreadRegisters& r) { any = f(t, s, r) || any; });
    return any;
  }
  template <class F, class Op>
  auto Reduce(const F& f, const Op& op) {
    using V = decltype(f(0, *shared_, thread_[0]));
    std::vector<V> values(kThreads);
    Each([&](int t, Shared& s, ThreadRegisters& r) { values[t] = f(t, s, r); });
    for (int by = kWarp / 2; by > 0; by /= 2) {
      const std::vector<V> old = values;
      for (int t = 0; t < kThreads; ++t) values[t] = op(old[t], old[t ^ by]);
    }
    V all = values[0];
    for (int w = kWarp; w < kThreads; w += kWarp) all = op(all, values[w]);
    return all;
  }
  template <class F>
  auto Sum(const F& f) {
    return Reduce(f, PlusOf());
  }
  template <class Count, class Place>
  int Scan(const Count& count, const Place& place) {
    std::vector<int> before(kThreads + 1);
    Each([&](int t, Shared& s, ThreadRegisters& r) {
      before[t + 1] = count(t, s, r);
    });
    for (int t = 0; t < kThreads; ++t) before[t + 1] += before[t];
    Each([&](int t, Shared& s, ThreadRegisters& r) {
      place(t, s, r, before[t]);
    });
    return before[kThreads];
  }

 private:
  Shared* shared_;
  int64_t x_, y_, z_, grid_x_;
  std::vector<ThreadRegisters> thread_;
  std::vector<WarpRegisters> warp_;
};

// op over 32 lanes' values, in the tree of the device.
template <typename V, class Op>
V ReduceLanes(V (&values)[kWarp], const Op& op) {
  for (int by = kWarp / 2; by > 0; by /= 2) {
    V old[kWarp];
    for (int i = 0; i < kWarp; ++i) old[i] = values[i];
    for (int i = 0; i < kWarp; ++i) values[i] = op(old[i], old[i ^ by]);
  }
  return values[0];
}

template <class F>
void EachLane(const F& f) {
  for (int i = 0; i < kWarp; ++i) f(TurnAt(i, kWarp));
}
template <class F, class Op>
auto OverLanes(const F& f, const Op& op) {
  decltype(f(0)) values[kWarp];
  for (int i = 0; i < kWarp; ++i) {
    const int lane = TurnAt(i, kWarp);
    values[lane] = f(lane);
  }
  return ReduceLanes(values, op);
}

// A thread's copies under way, in groups.
struct CopyInFlight {
  void* to;
  const void* from;
};
using CopyGroups = std::vector<std::vector<CopyInFlight>>;
inline CopyGroups& CopiesOfTurn() {
  static std::vector<CopyGroups> threads(1024);
  CopyGroups& groups = threads[TurnOf()];
  if (groups.empty()) groups.emplace_back();
  return groups;
}
template <typename T>
void CopyAsync(Pack<T>* to, const Pack<T>* from) {
  CopiesOfTurn().back().push_back({to, from});
}
inline void CopyCommit() { CopiesOfTurn().emplace_back(); }
template <int kPending>
void CopyWait() {
  CopyGroups& groups = CopiesOfTurn();
  // The last one is open.
  while (static_cast<int>(groups.size()) > kPending + 1) {
    for (const CopyInFlight& copy : groups.front()) {
      std::memcpy(copy.to, copy.from, 16);
    }
    groups.erase(groups.begin());
  }
}

inline int AtomicAdd(int* p, int v) {
  const int old = *p;
  *p += v;
  return old;
}
inline unsigned AtomicOr(unsigned* p, unsigned v) {
  const unsigned old = *p;
  *p |= v;
  return old;
}
inline uint64_t AtomicMin(uint64_t* p, uint64_t v) {
  const uint64_t old = *p;
  if (v < old) *p = v;
  return old;
}
inline int LowestBit(unsigned bits) { return __builtin_ctz(bits); }
inline int CountBits(unsigned bits) { return __builtin_popcount(bits); }

#endif

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_BLOCK_H_

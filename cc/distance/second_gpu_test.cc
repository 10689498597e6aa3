// The second derivatives on a GPU against the CPU's, on the fake driver
// (tests/cuda_host): all types, metrics and orders of threads, sizes around
// warps and blocks of columns, points that are the same. Other functions of a
// GPU are tested from Python (tests/test_gpu.py), which does not have these.
//
// Tolerances: of the largest number of a result, where terms cancel too.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "cuda/driver.h"
#include "cuda/halves.h"
#include "cuda/testing.h"
#include "distance/distance.h"

namespace tf_pairwise {
namespace {

// An array on the host.
struct Array {
  DType dtype;
  std::vector<char> bytes;

  Array(DType type, int64_t count)
      : dtype(type), bytes(count * SizeOf(type), '\xff') {}

  int64_t count() const {
    return static_cast<int64_t>(bytes.size()) / SizeOf(dtype);
  }
  double Get(int64_t i) const {
    return VisitGpuType(dtype, [&](auto type) -> double {
      return Load(reinterpret_cast<const decltype(type)*>(bytes.data()) + i);
    });
  }
  void Set(int64_t i, double value) {
    VisitGpuType(dtype, [&](auto type) {
      using S = decltype(type);
      Store(static_cast<Computed<S>>(value),
            reinterpret_cast<S*>(bytes.data()) + i);
    });
  }
};

// Numbers of [-2, 2), a sixteenth of them 0.
Array Numbers(DType dtype, int64_t count, uint32_t seed) {
  Array array(dtype, count);
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    const int number = static_cast<int>(seed >> 16 & 255) - 128;
    array.Set(i, (seed >> 28) == 0 ? 0 : number / 64.0);
  }
  return array;
}

double ToleranceOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return 4e-3;
    case DType::kBFloat16:
      return 3e-2;
    case DType::kFloat32:
      return 2e-5;
    default:
      return 1e-12;
  }
}

void CheckLike(const Array& made, const Array& expected) {
  double largest = 1e-2;
  for (int64_t i = 0; i < expected.count(); ++i) {
    largest = std::max(largest, std::fabs(expected.Get(i)));
  }
  const double allowed = ToleranceOf(made.dtype) * largest;
  for (int64_t i = 0; i < expected.count(); ++i) {
    const double difference = std::fabs(made.Get(i) - expected.Get(i));
    if (difference <= allowed) continue;
    std::printf("at %lld: made %.17g, expected %.17g\n",
                static_cast<long long>(i), made.Get(i), expected.Get(i));
    std::exit(1);
  }
}

// A problem's arrays: upstream, u and w come in, the rest goes out.
struct Arrays {
  Array x, y, upstream, u, w;
  Array upstream_out, x_out, y_out;
};

Arrays ArraysOf(DType dtype, int64_t x_count, int64_t y_count, int64_t pairs,
                bool self) {
  Arrays arrays = {
      Numbers(dtype, x_count, 1), Numbers(dtype, y_count, 2),
      Numbers(dtype, pairs, 3),   Numbers(dtype, x_count, 4),
      Numbers(dtype, y_count, 5), Array(dtype, pairs),
      Array(dtype, x_count),      Array(dtype, self ? 0 : y_count)};
  // Half of y begins with x.
  const int64_t same = std::min(x_count, y_count) / 2;
  for (int64_t i = 0; i < same; ++i) arrays.y.Set(i, arrays.x.Get(i));
  return arrays;
}

Array OnHost(const OnGpu& array, DType dtype) {
  Array host(dtype, 0);
  host.bytes = array.OnHost();
  return host;
}

// `run(x, y, upstream, u, w, upstream_out, x_out, y_out, scratch)`, on the
// arrays on the GPU, against what is in `arrays`.
template <class Run>
void CheckOnGpu(const Arrays& arrays, int64_t scratch_bytes, const Run& run) {
  const Stream stream;
  const auto on_gpu = [&](const Array& array) {
    return OnGpu(stream, array.bytes.data(),
                 static_cast<int64_t>(array.bytes.size()));
  };
  std::vector<std::vector<char>> first;
  for (const char* order : {"0", "1", "2"}) {
    setenv("TF_PAIRWISE_FAKE_ORDER", order, 1);
    const OnGpu x = on_gpu(arrays.x), y = on_gpu(arrays.y);
    const OnGpu upstream = on_gpu(arrays.upstream);
    const OnGpu u = on_gpu(arrays.u), w = on_gpu(arrays.w);
    const auto empty = [&](const Array& array) {
      return OnGpu(stream, nullptr, static_cast<int64_t>(array.bytes.size()));
    };
    const OnGpu upstream_out = empty(arrays.upstream_out);
    const OnGpu x_out = empty(arrays.x_out), y_out = empty(arrays.y_out);
    const OnGpu scratch(stream, nullptr, scratch_bytes);
    CheckOk(run(x.get(), y.get(), upstream.get(), u.get(), w.get(),
                upstream_out.get(), x_out.get(), y_out.get(), scratch.get()));
    std::vector<std::vector<char>> made = {upstream_out.OnHost(),
                                           x_out.OnHost(), y_out.OnHost()};
    if (first.empty()) {
      const DType dtype = arrays.x.dtype;
      CheckLike(OnHost(upstream_out, dtype), arrays.upstream_out);
      CheckLike(OnHost(x_out, dtype), arrays.x_out);
      CheckLike(OnHost(y_out, dtype), arrays.y_out);
      first = std::move(made);
    } else {
      CHECK(made == first);
    }
  }
}

void CheckPairwise(const PairwiseDistance& problem) {
  const int64_t x_count = problem.batch * problem.n * problem.d;
  const int64_t y_count = problem.batch * problem.m * problem.d;
  Arrays a = ArraysOf(problem.dtype, x_count, y_count,
                      problem.batch * problem.n * problem.m, problem.self);
  std::vector<char> scratch(PairwiseDistanceGradGradScratchBytes(problem, 1));
  CheckOk(PairwiseDistanceGradGradCpu(
      problem, a.x.bytes.data(), a.y.bytes.data(), a.upstream.bytes.data(),
      a.u.bytes.data(), a.w.bytes.data(), a.upstream_out.bytes.data(),
      a.x_out.bytes.data(), a.y_out.bytes.data(), scratch.data(),
      ParallelFor()));
  CheckOnGpu(a, PairwiseDistanceGradGradGpuScratchBytes(problem),
             [&](auto... arrays) {
               return PairwiseDistanceGradGradGpu(problem, arrays..., Stream());
             });
}

void CheckPaired(const PairedDistance& problem) {
  const int64_t count = problem.n * problem.d;
  Arrays a = ArraysOf(problem.dtype, count, count, problem.n, false);
  std::vector<char> scratch(PairedDistanceGradGradScratchBytes(problem, 1));
  CheckOk(PairedDistanceGradGradCpu(
      problem, a.x.bytes.data(), a.y.bytes.data(), a.upstream.bytes.data(),
      a.u.bytes.data(), a.w.bytes.data(), a.upstream_out.bytes.data(),
      a.x_out.bytes.data(), a.y_out.bytes.data(), scratch.data(),
      ParallelFor()));
  CheckOnGpu(a, PairedDistanceGradGradGpuScratchBytes(problem),
             [&](auto... arrays) {
               return PairedDistanceGradGradGpu(problem, arrays..., Stream());
             });
}

void CheckMetric(DType dtype, Metric metric) {
  for (const bool self : {false, true}) {
    CheckPairwise({dtype, metric, self, 1, 0, self ? 0 : 3, 4});
    CheckPairwise({dtype, metric, self, 1, 3, self ? 3 : 0, 4});
    CheckPairwise({dtype, metric, self, 2, 5, self ? 5 : 7, 33});
    CheckPairwise({dtype, metric, self, 1, 65, self ? 65 : 64, 3});
    CheckPairwise({dtype, metric, self, 1, 2, self ? 2 : 129, 130});
  }
  for (const int64_t n : {0, 1, 9}) {
    for (const int64_t d : {2, 32, 100}) CheckPaired({dtype, metric, n, d});
  }
}

int Run() {
  if (*GpuArchitectures() == '\0') return 0;  // no kernels were built
  CheckOk(GpuReady());
  const GpuScope scope(nullptr);
  CheckOk(scope.status());
  for (const DType dtype :
       {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64}) {
    for (int m = 0; m <= static_cast<int>(kLastMetric); ++m) {
      CheckMetric(dtype, static_cast<Metric>(m));
    }
  }
  return 0;
}

}  // namespace
}  // namespace tf_pairwise

int main() { return tf_pairwise::Run(); }

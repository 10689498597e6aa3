// The driver's side of a GPU, on the fake driver (tests/cuda_host): launches,
// copies, memory, the order of streams, errors; and the kernels of cuda/
// against the CPU's.

#include "cuda/driver.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/scale.h"
#include "cuda/sums.h"
#include "cuda/testing.h"

namespace tf_pairwise {
namespace {

// Whether an error says this.
bool Says(const Status& status, const char* words) {
  const bool says =
      !status.ok() && std::strstr(status.message, words) != nullptr;
  if (!says) std::printf("got: %s\n", status.message);
  return says;
}

// Values of the compute type of `dtype`, which vary in size and are not all
// finite.
std::vector<char> Values(DType dtype, int64_t count, uint32_t seed) {
  std::vector<char> bytes(count * SizeOfCompute(dtype));
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    double value = std::ldexp(static_cast<int>(seed >> 8) - 8388608,
                              static_cast<int>(seed & 15) - 28);
    if ((seed & 0x1f00) == 0) value = HUGE_VAL;
    StoreCompute(dtype, value, bytes.data(), i);
  }
  return bytes;
}

void CheckScale(DType dtype, int64_t count, bool with_scale) {
  const Stream stream;
  const int64_t bytes = count * SizeOf(dtype);
  const std::vector<char> in = Values(dtype, count, 1);
  std::vector<char> scale(8), expected(bytes);
  StoreCompute(dtype, 0.3, scale.data(), 0);
  CheckOk(Scale(dtype, count, in.data(), with_scale ? scale.data() : nullptr,
                expected.data(), ParallelFor()));
  const OnGpu gpu_in(stream, in.data(), in.size());
  const OnGpu gpu_scale(stream, scale.data(), 8);
  const OnGpu gpu_out(stream, nullptr, bytes);
  CheckOk(Scale(dtype, count, gpu_in.get(),
                with_scale ? gpu_scale.get() : nullptr, gpu_out.get(), stream));
  CHECK(gpu_out.OnHost() == expected);
}

void CheckMultiply(DType dtype, int64_t count, bool with_ones) {
  const Stream stream;
  const std::vector<char> a = Values(dtype, count, 2);
  const std::vector<char> b = Values(dtype, count, 3);
  std::vector<char> expected(a.size());
  CheckOk(Multiply(dtype, count, with_ones ? nullptr : a.data(), b.data(),
                   expected.data(), ParallelFor()));
  const OnGpu gpu_a(stream, a.data(), a.size());
  const OnGpu gpu_b(stream, b.data(), b.size());
  const OnGpu gpu_out(stream, nullptr, a.size());
  CheckOk(Multiply(dtype, count, with_ones ? nullptr : gpu_a.get(), gpu_b.get(),
                   gpu_out.get(), stream));
  CHECK(gpu_out.OnHost() == expected);
}

void CheckSums(DType dtype, Reduction reduction, int64_t count) {
  const Stream stream;
  std::vector<LossSums> parts(count);
  LossSums total;
  for (int64_t i = 0; i < count; ++i) {
    parts[i].Add(static_cast<double>(i % 3), static_cast<double>(i % 5));
    total.Add(parts[i]);
  }
  const double scale = ScaleOf(reduction, total);
  const OnGpu gpu_parts(stream, parts.data(), count * sizeof(LossSums));
  const OnGpu loss(stream, nullptr, 8), gpu_scale(stream, nullptr, 8);
  const OnGpu counted(stream, nullptr, 8);
  const auto* const first = static_cast<const LossSums*>(gpu_parts.get());
  CheckOk(ReduceSums(stream, dtype, reduction, first, count,
                     {loss.get(), static_cast<double*>(gpu_scale.get()),
                      static_cast<double*>(counted.get())}));
  // Sums of small integers are exact in every order.
  std::vector<char> expected(8, '\xff');
  StoreLoss(dtype, ReducedLoss(scale, total), expected.data());
  CHECK(loss.OnHost() == expected);
  CHECK(gpu_scale.Value() == scale);
  CHECK(counted.Value() == DivisorOf(reduction, total));
  CheckOk(ReduceSums(stream, dtype, reduction, first, count, {}));
}

void CheckScaleOfMean(DType dtype, int64_t n, bool with_weights) {
  const Stream stream;
  std::vector<char> weights(n * SizeOfCompute(dtype));
  LossSums total;
  for (int64_t i = 0; i < n; ++i) {
    const double weight = with_weights ? static_cast<double>(i % 4) : 1;
    StoreCompute(dtype, weight, weights.data(), i);
    total.Add(5 * weight, 1);
  }
  const OnGpu gpu_weights(stream, weights.data(), weights.size());
  const OnGpu scale(stream, nullptr, 8);
  CheckOk(ScaleOfMean(stream, dtype, with_weights ? gpu_weights.get() : nullptr,
                      n, 5, static_cast<double*>(scale.get())));
  CHECK(scale.Value() == ScaleOf(Reduction::kMean, total));
}

void CheckKernels() {
  for (const char* order : {"0", "1", "2"}) {
    setenv("TF_PAIRWISE_FAKE_ORDER", order, 1);
    for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32,
                        DType::kFloat64}) {
      for (int64_t count : {0, 1, 31, 256, 257, 5000}) {
        for (bool flag : {false, true}) {
          CheckScale(dtype, count, flag);
          CheckMultiply(dtype, count, flag);
          CheckScaleOfMean(dtype, count, flag);
        }
        for (Reduction reduction :
             {Reduction::kSum, Reduction::kMean, Reduction::kMeanNonzero}) {
          CheckSums(dtype, reduction, count);
        }
      }
    }
  }
  setenv("TF_PAIRWISE_FAKE_ORDER", "0", 1);
}

void CheckMemory() {
  const Stream stream{reinterpret_cast<void*>(16)};
  const std::vector<char> text = {'a', 'b', 'c', 'd', 'e'};
  const OnGpu from(stream, text.data(), 5), to(stream, nullptr, 5);
  CheckOk(FillBytes(stream, to.get(), 'x', 5));
  CheckOk(CopyOnGpu(stream, to.get(), from.get(), 3));
  CHECK(to.OnHost() == std::vector<char>({'a', 'b', 'c', 'x', 'x'}));
  // Nothing is done about nothing.
  CheckOk(FillBytes(stream, nullptr, 0, 0));
  CheckOk(CopyOnGpu(stream, nullptr, nullptr, 0));
  CheckOk(CopyToGpu(stream, nullptr, nullptr, 0));
  CheckOk(CopyToHost(stream, nullptr, nullptr, 0));
  CheckOk(FreeOnGpu(stream, nullptr));
  // Of two streams, only that which is waited for is done.
  const Stream other{reinterpret_cast<void*>(32)};
  CheckOk(FillBytes(other, to.get(), 'y', 5));
  CHECK(to.OnHost()[0] == 'a');
  CheckOk(WaitForStream(other));
  CHECK(to.OnHost()[0] == 'y');
  // What is put on a stream keeps its order.
  CheckOk(FillBytes(stream, to.get(), 'z', 5));
  CheckOk(FillBytes(stream, to.get(), 'w', 1));
  CHECK(to.OnHost() == std::vector<char>({'w', 'z', 'z', 'z', 'z'}));
}

void CheckScopes() {
  int64_t value = 0;
  CHECK(Says(GpuScope(&value).status(), "should be a GPU's memory"));
  void* memory;
  {
    const GpuScope scope(nullptr);
    CheckOk(scope.status());
    CHECK(scope.device() == 0);
    CheckOk(AllocateOnGpu(Stream(), 8, &memory));
    CheckOk(GpuScope(memory).status());
  }
  // Outside of a scope this thread has no context.
  CHECK(Says(LaunchKernel(Stream(), "reduce_sums", Grid(), 1, 1, nullptr, 0),
             "CUDA_ERROR_INVALID_CONTEXT"));
  const GpuScope scope(memory);
  CheckOk(scope.status());
  CheckOk(FreeOnGpu(Stream(), memory));
  CheckOk(WaitForStream(Stream()));
}

void CheckErrors() {
  const Stream stream;
  const char arguments[64] = {0};
  const auto launch = [&](const char* name, const Grid& grid, int threads) {
    return LaunchKernel(stream, name, grid, threads, 1, arguments, 64);
  };
  CheckOk(launch("no_such_kernel", {0, 1, 1}, 1));
  CheckOk(launch("no_such_kernel", {1, 1, 0}, 1));
  CHECK(Says(launch("no_such_kernel", {1, 1, 1}, 1), "no_such_kernel"));
  CHECK(Says(launch("reduce_sums", {1, 65536, 1}, 256), "1 x 65536 x 1"));
  CHECK(Says(launch("reduce_sums", {int64_t{1} << 31, 1, 1}, 256),
             "2147483648 x 1 x 1"));
  CHECK(Says(launch("reduce_sums", {1, 1, 1}, 128),
             "cuLaunchKernel of reduce_sums: CUDA_ERROR_INVALID_VALUE"));
  CHECK(Says(launch("reduce_sums", {1, 1, 1}, 256),
             "cuLaunchKernel of reduce_sums: CUDA_ERROR_INVALID_VALUE"));
  void* memory;
  const Status status = AllocateOnGpu(stream, int64_t{1} << 60, &memory);
  CHECK(Says(status, "CUDA_ERROR_OUT_OF_MEMORY"));
  CHECK(status.code == Status::kResourceExhausted && memory == nullptr);
}

int Run() {
  if (std::getenv("TF_PAIRWISE_CUDA_DRIVER") == nullptr) {
    std::printf("TF_PAIRWISE_CUDA_DRIVER must name the fake driver\n");
    return 1;
  }
  if (*GpuArchitectures() == '\0') {
    CHECK(Says(GpuReady(), "built without"));
    CHECK(Says(GpuScope(nullptr).status(), "built without"));
    return 0;
  }
  CheckOk(GpuReady());
  char name[64];
  int major, minor;
  CHECK(GpuCount() == 1);
  CheckOk(DescribeGpu(0, name, sizeof(name), &major, &minor));
  CHECK(std::strcmp(name, "Fake GPU") == 0 && major == 9 && minor == 0);
  CHECK(Says(DescribeGpu(1, name, sizeof(name), &major, &minor),
             "CUDA_ERROR_INVALID_DEVICE"));
  CheckScopes();
  const GpuScope scope(nullptr);
  CheckKernels();
  CheckMemory();
  CheckErrors();
  return 0;
}

}  // namespace
}  // namespace tf_pairwise

int main() { return tf_pairwise::Run(); }

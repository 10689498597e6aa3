#include <cstdlib>
#include <cstring>

#include "cuda/driver.h"
#include "tile/gpu_operand.h"
#include "tile/operand_gpu-inl.h"
#include "tile/pairs_gpu-inl.h"

namespace tf_pairwise {
namespace {

bool NeedsCentre(Metric metric) {
  return VisitMetric(metric, [](auto m) {
    return decltype(m)::kPreparation == Preparation::kCentred;
  });
}

// Whether its tiles read other points than those given.
bool IsPrepared(Metric metric) {
  return VisitMetric(metric, [](auto m) {
    return decltype(m)::kPreparation != Preparation::kNone;
  });
}

}  // namespace

GpuProducts ProductsFor(DType dtype, Metric metric) {
  if (dtype == DType::kFloat64 || CurrentGpuLimits().capability < 80) {
    return GpuProducts::kCudaCores;
  }
  const char* const said = std::getenv("TF_PAIRWISE_GPU_PRODUCTS");
  const bool all = said != nullptr && std::strcmp(said, "tensor_cores") == 0;
  const bool none = said != nullptr && std::strcmp(said, "cuda_cores") == 0;
  if (none) return GpuProducts::kCudaCores;
  if (IsHalf(dtype)) {
    return IsPrepared(metric) ? GpuProducts::kTf32x3 : GpuProducts::kTf32;
  }
  return all ? GpuProducts::kTf32x3 : GpuProducts::kCudaCores;
}

template <typename T>
void GpuOperand<T>::LayOut(Scratch& scratch, const PairSet& pairs,
                           int64_t count, bool gradient, int64_t sums_splits) {
  dtype = pairs.dtype;
  metric = pairs.metric;
  product = pairs.product;
  products = ProductsFor(dtype, metric);
  n = count;
  d = pairs.d;
  padded_n = RoundUp(n, kRowPadding);
  // Points without coordinates have a chunk of zeros.
  stride = RoundUp(d < 1 ? 1 : d, kColumnPadding);
  rows = scratch.Take<T>(padded_n * stride);
  term = scratch.Take<T>(padded_n);
  if (KeepsNorms(metric)) inverse_norm = scratch.Take<T>(padded_n);
  if (IsHalf(dtype)) {
    converted = scratch.Take<T>(n * d);
  }
  centre = scratch.Take<T>(d);
  if (!gradient) return;
  splits = sums_splits;
  sums = scratch.Take<T>(splits * padded_n * stride);
  factor = scratch.Take<T>(splits * padded_n);
}

template <typename T>
Status GpuOperand<T>::Prepare(const void* points, const T* common,
                              const Stream& stream) {
  source = static_cast<const T*>(points);
  if (converted != nullptr) {
    TF_PAIRWISE_RETURN_IF_ERROR(VisitGpuType(dtype, [&](auto type) {
      using S = decltype(type);
      if constexpr (sizeof(S) == 2) {
        using K = ConvertKernel<S>;
        return Launch<K>(stream, {Least(Blocks(n * d, K::kThreads), 65536)},
                         {n * d, static_cast<const S*>(points),
                          reinterpret_cast<float*>(converted)});
      } else {
        return Ok();
      }
    }));
    source = converted;
  }
  const T* from = common;
  if (common == nullptr) {
    from = centre;
    if (NeedsCentre(metric)) {
      TF_PAIRWISE_RETURN_IF_ERROR(
          Launch<CentreKernel<T>>(stream, Grid(), {source, n, d, centre}));
    }
  }
  using K = PrepareKernel<T>;
  return Launch<K>(stream, {Blocks(padded_n, K::kRows)},
                   {source, from, n, d, padded_n, stride, rows, term,
                    inverse_norm, metric, product});
}

template <typename T>
Status GpuOperand<T>::ClearSums(const Stream& stream) const {
  TF_PAIRWISE_RETURN_IF_ERROR(
      FillBytes(stream, sums, 0, padded_n * stride * sizeof(T)));
  return FillBytes(stream, factor, 0, padded_n * sizeof(T));
}

template <typename T>
Status GpuOperand<T>::Finish(const double* scale, void* gradient,
                             const Stream& stream) const {
  using K = FinishKernel<T>;
  return Launch<K>(stream, {Blocks(n, K::kRows)},
                   {rows, sums, factor, inverse_norm, n, d, stride, padded_n,
                    splits, scale, static_cast<T*>(gradient), metric});
}

template struct GpuOperand<float>;
template struct GpuOperand<double>;

}  // namespace tf_pairwise

// The kernels of the strips.

#include "cuda/kernel.h"
#include "tile/distances_gpu-inl.h"
#include "tile/gradients_gpu-inl.h"
#include "tile/operand_gpu-inl.h"
#include "tile/pairs_gpu-inl.h"

TF_PAIRWISE_KERNEL(convert_f16,
                   tf_pairwise::ConvertKernel<tf_pairwise::Float16>)
TF_PAIRWISE_KERNEL(convert_bf16,
                   tf_pairwise::ConvertKernel<tf_pairwise::BFloat16>)

#define TF_PAIRWISE_DISTANCES_(name, metric, type, suffix)            \
  TF_PAIRWISE_KERNEL(                                                 \
      distances_##name##_##suffix,                                    \
      tf_pairwise::DistancesKernel<tf_pairwise::metric, type, false>) \
  TF_PAIRWISE_KERNEL(                                                 \
      deep_distances_##name##_##suffix,                               \
      tf_pairwise::DistancesKernel<tf_pairwise::metric, type, true>)

#define TF_PAIRWISE_GRADIENTS_(lines, type, suffix, transposed)              \
  TF_PAIRWISE_KERNEL(accumulate_##lines##_##suffix,                          \
                     tf_pairwise::AccumulateKernel<type, false, transposed>) \
  TF_PAIRWISE_KERNEL(accumulate_parts_##lines##_##suffix,                    \
                     tf_pairwise::AccumulateKernel<type, true, transposed>)  \
  TF_PAIRWISE_KERNEL(near_##lines##_##suffix,                                \
                     tf_pairwise::PairsKernel<type, false, transposed>)      \
  TF_PAIRWISE_KERNEL(largest_##lines##_##suffix,                             \
                     tf_pairwise::PairsKernel<type, true, transposed>)

#define TF_PAIRWISE_TILE_KERNELS_(type, suffix)                             \
  TF_PAIRWISE_KERNEL(centre_##suffix, tf_pairwise::CentreKernel<type>)      \
  TF_PAIRWISE_KERNEL(prepare_##suffix, tf_pairwise::PrepareKernel<type>)    \
  TF_PAIRWISE_KERNEL(finish_##suffix, tf_pairwise::FinishKernel<type>)      \
  TF_PAIRWISE_KERNEL(add_partials_##suffix,                                 \
                     tf_pairwise::AddPartialsKernel<type>)                  \
  TF_PAIRWISE_GRADIENTS_(rows, type, suffix, false)                         \
  TF_PAIRWISE_GRADIENTS_(columns, type, suffix, true)                       \
  TF_PAIRWISE_DISTANCES_(euclidean, Euclidean, type, suffix)                \
  TF_PAIRWISE_DISTANCES_(squared_euclidean, SquaredEuclidean, type, suffix) \
  TF_PAIRWISE_DISTANCES_(cosine, Cosine, type, suffix)                      \
  TF_PAIRWISE_DISTANCES_(manhattan, Manhattan, type, suffix)                \
  TF_PAIRWISE_DISTANCES_(dot, Dot, type, suffix)                            \
  TF_PAIRWISE_DISTANCES_(chebyshev, Chebyshev, type, suffix)

// The products on tensor cores, which have tf32 from sm_80 on.
#if !defined(__CUDACC__) || __CUDA_ARCH__ >= 800

#define TF_PAIRWISE_TENSOR_DISTANCES_(name, metric)                            \
  TF_PAIRWISE_KERNEL(tf32_distances_##name##_f32,                              \
                     tf_pairwise::DistancesKernel<tf_pairwise::metric, float,  \
                                                  false, tf_pairwise::Tf32>)   \
  TF_PAIRWISE_KERNEL(tf32x3_distances_##name##_f32,                            \
                     tf_pairwise::DistancesKernel<tf_pairwise::metric, float,  \
                                                  false, tf_pairwise::Tf32x3>) \
  TF_PAIRWISE_KERNEL(tf32x3_deep_distances_##name##_f32,                       \
                     tf_pairwise::DistancesKernel<tf_pairwise::metric, float,  \
                                                  true, tf_pairwise::Tf32x3>)

#define TF_PAIRWISE_TENSOR_GRADIENTS_(name, policy)                            \
  TF_PAIRWISE_KERNEL(                                                          \
      name##_accumulate_rows_f32,                                              \
      tf_pairwise::AccumulateKernel<float, false, false, tf_pairwise::policy>) \
  TF_PAIRWISE_KERNEL(                                                          \
      name##_accumulate_columns_f32,                                           \
      tf_pairwise::AccumulateKernel<float, false, true, tf_pairwise::policy>)

TF_PAIRWISE_TENSOR_GRADIENTS_(tf32, Tf32)
TF_PAIRWISE_TENSOR_GRADIENTS_(tf32x3, Tf32x3)
TF_PAIRWISE_TENSOR_DISTANCES_(euclidean, Euclidean)
TF_PAIRWISE_TENSOR_DISTANCES_(squared_euclidean, SquaredEuclidean)
TF_PAIRWISE_TENSOR_DISTANCES_(cosine, Cosine)
TF_PAIRWISE_TENSOR_DISTANCES_(dot, Dot)

#endif

TF_PAIRWISE_TILE_KERNELS_(float, f32)
TF_PAIRWISE_TILE_KERNELS_(double, f64)

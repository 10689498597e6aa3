#include "core/reduce.h"
#include "core/scratch.h"
#include "triplet/triplet.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "triplet/triplet_cpu.cc"
#include "simd/targets.h"
// After targets.h, so that they are seen once per target.
#include "metric/direct-inl.h"
#include "simd/dispatch.h"
#include "tile/explicit_walk.h"
#include "triplet/triplet_pair-inl.h"

// The loss of explicit triplets.

#ifndef TF_PAIRWISE_TRIPLET_CPU_ONCE_
#define TF_PAIRWISE_TRIPLET_CPU_ONCE_
namespace tf_pairwise {
namespace {

struct Table {
  // Triplets [begin, end): their losses (with kNone), their gradients times
  // `scale`, and their sums.
  LossSums (*triplets)(const TripletLoss& problem, const TripletArrays& arrays,
                       int64_t begin, int64_t end, double scale,
                       bool with_gradient);
};

}  // namespace
}  // namespace tf_pairwise
#endif  // TF_PAIRWISE_TRIPLET_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tf_pairwise {
namespace HWY_NAMESPACE {
namespace {

// One triplet's points and where its gradients go.
template <typename S>
struct TripletAt {
  using T = Compute<S>;
  const S *a, *p, *n;
  T *a_grad = nullptr, *p_grad = nullptr, *n_grad = nullptr;

  TripletAt(const TripletArrays& arrays, int64_t i, int64_t d,
            bool with_gradient)
      : a(static_cast<const S*>(arrays.anchors) + i * d),
        p(static_cast<const S*>(arrays.positives) + i * d),
        n(static_cast<const S*>(arrays.negatives) + i * d) {
    if (!with_gradient) return;
    a_grad = static_cast<T*>(arrays.anchors_grad) + i * d;
    p_grad = static_cast<T*>(arrays.positives_grad) + i * d;
    n_grad = static_cast<T*>(arrays.negatives_grad) + i * d;
  }
};

template <typename S>
LossSums TripletsOf(const TripletLoss& problem, const TripletArrays& arrays,
                    int64_t begin, int64_t end, double scale,
                    bool with_gradient) {
  const int64_t d = problem.d;
  const Metric metric = problem.metric;
  LossSums sums;
  for (int64_t i = begin; i < end; ++i) {
    const TripletAt<S> at(arrays, i, d, with_gradient);
    const DirectPair positive = MakePair(metric, at.a, at.p, d, with_gradient);
    DirectPair negative = MakePair(metric, at.a, at.n, d, with_gradient);
    bool swapped = false;
    if (problem.swap) {
      const DirectPair other = MakePair(metric, at.p, at.n, d, with_gradient);
      swapped = other.distance < negative.distance ||
                other.distance != other.distance;
      if (swapped) negative = other;
    }
    const TripletValue<double> value =
        problem.soft ? SoftTriplet(positive.distance, negative.distance)
                     : HingeTriplet(positive.distance, negative.distance,
                                    problem.margin);
    const double weight = LoadCompute(problem.dtype, arrays.weights, i);
    const double loss = sums.Add(weight, value.loss);
    if (problem.reduction == Reduction::kNone && arrays.loss != nullptr) {
      StoreCompute(problem.dtype, loss, arrays.loss, i);
    }
    if (!with_gradient) continue;
    const double w = SlopeWeight(scale, weight, value.slope);
    if (w == 0) {
      for (int64_t k = 0; k < d; ++k) {
        at.a_grad[k] = at.p_grad[k] = at.n_grad[k] = 0;
      }
      continue;
    }
    StoreSlope(metric, positive, w, at.a, at.p, d, at.a_grad);
    StoreSlope(metric, Exchanged(positive), w, at.p, at.a, d, at.p_grad);
    const S* near = swapped ? at.p : at.a;
    AddSlope(metric, negative, -w, near, at.n, d,
             swapped ? at.p_grad : at.a_grad);
    StoreSlope(metric, Exchanged(negative), -w, at.n, near, d, at.n_grad);
  }
  return sums;
}

LossSums Triplets(const TripletLoss& problem, const TripletArrays& arrays,
                  int64_t begin, int64_t end, double scale,
                  bool with_gradient) {
  LossSums sums;
  VisitDType(problem.dtype, [&](auto type) HWY_ATTR {
    sums = TripletsOf<decltype(type)>(problem, arrays, begin, end, scale,
                                      with_gradient);
  });
  return sums;
}

constexpr Table kTable = {&Triplets};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tf_pairwise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tf_pairwise {
namespace {

const Table& Kernels(){TF_PAIRWISE_DISPATCH()}

LossSums* LayOutSums(Scratch& scratch, const TripletLoss& problem) {
  return scratch.Take<LossSums>(ExplicitBlocks(problem.n, problem.d));
}

}  // namespace

int64_t TripletLossScratchBytes(const TripletLoss& problem, int) {
  Scratch scratch(nullptr);
  LayOutSums(scratch, problem);
  return scratch.bytes();
}

Status TripletLossCpu(const TripletLoss& problem, const TripletArrays& arrays,
                      void* base, const ParallelFor& parallel) {
  TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
  const FloatMode mode;
  Scratch scratch(base);
  const Table& kernels = Kernels();
  ReduceExplicit(
      problem.dtype, problem.reduction, problem.n, problem.d, arrays.weights,
      arrays.anchors_grad != nullptr, arrays.loss, LayOutSums(scratch, problem),
      parallel, [&](int64_t begin, int64_t end, double scale, bool gradient) {
        return kernels.triplets(problem, arrays, begin, end, scale, gradient);
      });
  return Ok();
}

}  // namespace tf_pairwise
#endif  // HWY_ONCE

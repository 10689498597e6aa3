#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "adapters/options.h"
#include "adapters/shape_matcher.h"
#include "adapters/thread_pool.h"
#include "contrastive/contrastive.h"
#include "core/names.h"
#include "core/scale.h"
#include "distance/distance.h"
#include "neighbors/neighbors.h"
#include "ranking/ranking.h"
#include "simd/dispatch.h"
#include "softmax/softmax.h"
#include "triplet/triplet.h"

// The kernels on NumPy arrays, without TensorFlow: the module behind
// python/tf_pairwise/numpy.py, which makes arrays contiguous, names their dtype
// and checks what is a Python value. bfloat16, which NumPy has no name for,
// comes and goes as uint16.

namespace tf_pairwise {
namespace {

namespace py = pybind11;

void Raise(const Status& status) {
  if (status.ok()) return;
  if (status.code == Status::kInvalidArgument) {
    throw py::value_error(status.message);
  }
  throw std::runtime_error(status.message);
}

// ---- arrays ----

DType ParseDType(const std::string& name) {
  static constexpr NamedValue<DType> kTable[] = {{"float16", DType::kFloat16},
                                                 {"bfloat16", DType::kBFloat16},
                                                 {"float32", DType::kFloat32},
                                                 {"float64", DType::kFloat64}};
  DType dtype = DType::kFloat32;
  Raise(ParseName("dtype", name.c_str(), kTable, &dtype));
  return dtype;
}

// NumPy's dtype that holds a `dtype`, and the one that losses of it come in.
py::dtype Storage(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return py::dtype("float16");
    case DType::kBFloat16:
      return py::dtype("uint16");
    case DType::kFloat32:
      return py::dtype("float32");
    default:
      return py::dtype("float64");
  }
}

py::dtype ComputeStorage(DType dtype) {
  return Storage(dtype == DType::kFloat64 ? dtype : DType::kFloat32);
}

// Where an argument's values are. (DLPack and __cuda_array_interface__ will
// make these too.)
struct ArrayView {
  const void* data = nullptr;
  Shape shape;
};

ArrayView View(const char* argument, const py::array& array,
               const py::dtype& dtype) {
  if (!(array.flags() & py::array::c_style) || !array.dtype().equal(dtype)) {
    throw py::type_error(std::string(argument) +
                         ": expected a C-contiguous array of dtype " +
                         std::string(py::str(dtype)));
  }
  ArrayView view;
  view.data = array.data();
  view.shape.sizes.assign(array.shape(), array.shape() + array.ndim());
  return view;
}

py::array New(const py::dtype& dtype, const Shape& shape) {
  return py::array(dtype, shape.sizes);
}

// ---- running a kernel ----

// Memory whose pages are not touched before the kernel does.
using Scratch = std::unique_ptr<char[]>;
Scratch NewScratch(int64_t bytes) { return Scratch(new char[bytes]); }

// Runs `kernel(parallel)` on `threads` threads, without Python's lock.
template <typename Kernel>
void Run(int threads, const Kernel& kernel) {
  Status status;
  {
    py::gil_scoped_release release;
    ThreadPool::Team team(&ThreadPool::Get(), threads);
    status = kernel(team.parallel());
  }
  Raise(status);
}

// ---- distance ----

struct PairwiseCall {
  PairwiseDistance problem;
  ShapeMatcher match;
  ArrayView x, y;
};

PairwiseCall BindPairwise(const py::array& x, const std::optional<py::array>& y,
                          const std::string& dtype, const std::string& metric) {
  PairwiseCall call;
  PairwiseDistance& problem = call.problem;
  problem.dtype = ParseDType(dtype);
  Raise(ParseMetric(metric.c_str(), &problem.metric));
  problem.self = !y.has_value();
  const py::dtype storage = Storage(problem.dtype);
  call.x = View("x", x, storage);
  call.y = problem.self ? call.x : View("y", *y, storage);
  Raise(call.match("x", call.x.shape, "...nd"));
  Raise(call.match("y", call.y.shape, problem.self ? "...nd" : "...md"));
  problem.batch = call.match.batch();
  problem.n = call.match['n'];
  problem.m = problem.self ? problem.n : call.match['m'];
  problem.d = call.match['d'];
  Raise(Check(problem));
  return call;
}

const char* DistancePattern(const PairwiseDistance& problem) {
  return problem.self ? "...nn" : "...nm";
}

py::array PairwiseDistanceNumpy(const py::array& x,
                                const std::optional<py::array>& y,
                                const std::string& dtype,
                                const std::string& metric, int threads) {
  const PairwiseCall call = BindPairwise(x, y, dtype, metric);
  const PairwiseDistance& problem = call.problem;
  py::array distances =
      New(Storage(problem.dtype), call.match(DistancePattern(problem)));
  void* out = distances.mutable_data();
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch =
        NewScratch(PairwiseDistanceScratchBytes(problem, parallel.workers));
    return PairwiseDistanceCpu(problem, call.x.data, call.y.data, out,
                               scratch.get(), parallel);
  });
  return distances;
}

// (x_grad, y_grad), the second None for x against itself.
py::tuple PairwiseDistanceGradientNumpy(const py::array& x,
                                        const std::optional<py::array>& y,
                                        const py::array& upstream,
                                        const std::string& dtype,
                                        const std::string& metric,
                                        int threads) {
  PairwiseCall call = BindPairwise(x, y, dtype, metric);
  const PairwiseDistance& problem = call.problem;
  const py::dtype storage = Storage(problem.dtype);
  const ArrayView up = View("upstream", upstream, storage);
  Raise(call.match("upstream", up.shape, DistancePattern(problem)));
  py::array distances = New(storage, up.shape);
  py::array x_grad = New(storage, call.x.shape);
  py::object y_grad = py::none();
  void* y_out = nullptr;
  if (!problem.self) {
    py::array array = New(storage, call.y.shape);
    y_out = array.mutable_data();
    y_grad = std::move(array);
  }
  void* saved = distances.mutable_data();
  void* x_out = x_grad.mutable_data();
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch = NewScratch(
        std::max(PairwiseDistanceScratchBytes(problem, parallel.workers),
                 PairwiseDistanceGradScratchBytes(problem, parallel.workers)));
    TF_PAIRWISE_RETURN_IF_ERROR(PairwiseDistanceCpu(
        problem, call.x.data, call.y.data, saved, scratch.get(), parallel));
    return PairwiseDistanceGradCpu(problem, call.x.data, call.y.data, saved,
                                   up.data, x_out, y_out, scratch.get(),
                                   parallel);
  });
  return py::make_tuple(x_grad, y_grad);
}

struct PairedCall {
  PairedDistance problem;
  ShapeMatcher match;
  ArrayView x, y;
};

PairedCall BindPaired(const py::array& x, const py::array& y,
                      const std::string& dtype, const std::string& metric) {
  PairedCall call;
  call.problem.dtype = ParseDType(dtype);
  Raise(ParseMetric(metric.c_str(), &call.problem.metric));
  const py::dtype storage = Storage(call.problem.dtype);
  call.x = View("x", x, storage);
  call.y = View("y", y, storage);
  Raise(call.match("x", call.x.shape, "...d"));
  Raise(call.match("y", call.y.shape, "...d"));
  call.problem.n = call.match.batch();
  call.problem.d = call.match['d'];
  Raise(Check(call.problem));
  return call;
}

py::array PairedDistanceNumpy(const py::array& x, const py::array& y,
                              const std::string& dtype,
                              const std::string& metric, int threads) {
  const PairedCall call = BindPaired(x, y, dtype, metric);
  py::array distances = New(Storage(call.problem.dtype), call.match("..."));
  void* out = distances.mutable_data();
  Run(threads, [&](const ParallelFor& parallel) {
    return PairedDistanceCpu(call.problem, call.x.data, call.y.data, out,
                             parallel);
  });
  return distances;
}

py::tuple PairedDistanceGradientNumpy(const py::array& x, const py::array& y,
                                      const py::array& upstream,
                                      const std::string& dtype,
                                      const std::string& metric, int threads) {
  PairedCall call = BindPaired(x, y, dtype, metric);
  const py::dtype storage = Storage(call.problem.dtype);
  const ArrayView up = View("upstream", upstream, storage);
  Raise(call.match("upstream", up.shape, "..."));
  py::array x_grad = New(storage, call.x.shape);
  py::array y_grad = New(storage, call.y.shape);
  void* x_out = x_grad.mutable_data();
  void* y_out = y_grad.mutable_data();
  Run(threads, [&](const ParallelFor& parallel) {
    return PairedDistanceGradCpu(call.problem, call.x.data, call.y.data,
                                 up.data, x_out, y_out, parallel);
  });
  return py::make_tuple(x_grad, y_grad);
}

// ---- triplet ----

// A loss's gradients: the kernel makes them in the compute type, the caller
// gets them in the points' own.
class Gradients {
 public:
  explicit Gradients(DType dtype) : dtype_(dtype) {}

  // Where the kernel writes the gradient of points of this shape.
  void* Add(const Shape& shape) {
    arrays_.push_back(New(ComputeStorage(dtype_), shape));
    return arrays_.back().mutable_data();
  }

  py::tuple Take(int threads) {
    py::tuple result(arrays_.size());
    for (size_t i = 0; i < arrays_.size(); ++i) {
      py::array& made = arrays_[i];
      py::array array = made;
      if (SizeOf(dtype_) != SizeOfCompute(dtype_)) {
        Shape shape;
        shape.sizes.assign(made.shape(), made.shape() + made.ndim());
        array = New(Storage(dtype_), shape);
        const int64_t count = made.size();
        const void* in = made.data();
        void* out = array.mutable_data();
        Run(threads, [&](const ParallelFor& parallel) {
          ScaleCpu(dtype_, count, in, 1.0, out, parallel);
          return Ok();
        });
      }
      result[i] = array;
    }
    return result;
  }

 private:
  DType dtype_;
  std::vector<py::array> arrays_;
};

// Options that the losses share, into a family's problem.
template <typename Problem>
void ReadOptions(const std::string& dtype, const std::string& metric,
                 const std::string& margin, Problem* problem) {
  problem->dtype = ParseDType(dtype);
  Raise(ParseMetric(metric.c_str(), &problem->metric));
  Raise(
      ParseMargin("margin", margin.c_str(), &problem->margin, &problem->soft));
}

// The values of an argument whose shape matches `pattern`.
const void* Bind(const char* name, const py::array& array,
                 const py::dtype& dtype, const char* pattern,
                 ShapeMatcher* match) {
  const ArrayView view = View(name, array, dtype);
  Raise((*match)(name, view.shape, pattern));
  return view.data;
}

const int64_t* BindLabels(const char* name, const py::array& array,
                          const char* pattern, ShapeMatcher* match) {
  return static_cast<const int64_t*>(
      Bind(name, array, py::dtype("int64"), pattern, match));
}

const void* BindWeights(const std::optional<py::array>& weights, DType dtype,
                        ShapeMatcher* match) {
  if (!weights.has_value()) return nullptr;
  const ArrayView view = View("sample_weight", *weights, ComputeStorage(dtype));
  Raise((*match)("sample_weight", view.shape, "n"));
  return view.data;
}

// (loss, gradients), the second empty without `with_gradient`.
py::tuple TripletLossNumpy(const py::array& anchors, const py::array& positives,
                           const py::array& negatives,
                           const std::optional<py::array>& sample_weight,
                           const std::string& dtype, const std::string& metric,
                           const std::string& reduction,
                           const std::string& margin, bool swap,
                           bool with_gradient, int threads) {
  TripletLoss problem;
  ReadOptions(dtype, metric, margin, &problem);
  Raise(ParseReduction(reduction.c_str(), &problem.reduction));
  problem.swap = swap;

  const py::dtype storage = Storage(problem.dtype);
  ShapeMatcher match;
  TripletArrays arrays;
  Gradients gradients(problem.dtype);
  const auto bind = [&](const char* name, const py::array& array,
                        const void** data) {
    const ArrayView view = View(name, array, storage);
    Raise(match(name, view.shape, "nd"));
    *data = view.data;
  };
  bind("anchors", anchors, &arrays.anchors);
  bind("positives", positives, &arrays.positives);
  bind("negatives", negatives, &arrays.negatives);
  arrays.weights = BindWeights(sample_weight, problem.dtype, &match);
  problem.n = match['n'];
  problem.d = match['d'];
  Raise(Check(problem));

  py::array loss = New(ComputeStorage(problem.dtype),
                       match(problem.reduction == Reduction::kNone ? "n" : ""));
  arrays.loss = loss.mutable_data();
  if (with_gradient) {
    arrays.anchors_grad = gradients.Add(match("nd"));
    arrays.positives_grad = gradients.Add(match("nd"));
    arrays.negatives_grad = gradients.Add(match("nd"));
  }
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch =
        NewScratch(TripletLossScratchBytes(problem, parallel.workers));
    return TripletLossCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(loss, gradients.Take(threads));
}

struct BatchCall {
  BatchTripletLoss problem;
  BatchTripletArrays arrays;
  ShapeMatcher match;
};

BatchCall BindBatch(const py::array& embeddings, const py::array& labels,
                    const std::optional<py::array>& ref_embeddings,
                    const std::optional<py::array>& ref_labels,
                    int64_t self_offset, const std::string& dtype,
                    const std::string& metric, const std::string& mining,
                    const std::string& margin) {
  BatchCall call;
  BatchTripletLoss& problem = call.problem;
  ReadOptions(dtype, metric, margin, &problem);
  Raise(ParseMining(mining.c_str(), &problem.mining));
  problem.self = !ref_embeddings.has_value();
  problem.self_offset = self_offset;

  const auto bind = [&](const char* name, const py::array& array,
                        const py::dtype& type, const char* pattern) {
    const ArrayView view = View(name, array, type);
    Raise(call.match(name, view.shape, pattern));
    return view.data;
  };
  const py::dtype storage = Storage(problem.dtype);
  const py::dtype int64("int64");
  BatchTripletArrays& arrays = call.arrays;
  arrays.anchors = bind("embeddings", embeddings, storage, "nd");
  arrays.labels =
      static_cast<const int64_t*>(bind("labels", labels, int64, "n|n1"));
  if (problem.self) {
    arrays.refs = arrays.anchors;
    arrays.ref_labels = arrays.labels;
  } else {
    arrays.refs = bind("ref_embeddings", *ref_embeddings, storage, "md");
    arrays.ref_labels = static_cast<const int64_t*>(
        bind("ref_labels", *ref_labels, int64, "m|m1"));
  }
  problem.n = call.match['n'];
  problem.m = problem.self ? problem.n : call.match['m'];
  problem.d = call.match['d'];
  return call;
}

// (loss, gradients), the second empty without `with_gradient`.
py::tuple BatchTripletLossNumpy(
    const py::array& embeddings, const py::array& labels,
    const std::optional<py::array>& ref_embeddings,
    const std::optional<py::array>& ref_labels, int64_t self_offset,
    const std::optional<py::array>& sample_weight, const std::string& dtype,
    const std::string& metric, const std::string& mining,
    const std::string& reduction, const std::string& margin, bool with_gradient,
    int threads) {
  BatchCall call = BindBatch(embeddings, labels, ref_embeddings, ref_labels,
                             self_offset, dtype, metric, mining, margin);
  BatchTripletLoss& problem = call.problem;
  BatchTripletArrays& arrays = call.arrays;
  Raise(ParseReduction(reduction.c_str(), &problem.reduction));
  arrays.weights = BindWeights(sample_weight, problem.dtype, &call.match);
  Raise(Check(problem));

  py::array loss =
      New(ComputeStorage(problem.dtype),
          call.match(problem.reduction == Reduction::kNone ? "n" : ""));
  arrays.loss = loss.mutable_data();
  Gradients gradients(problem.dtype);
  if (with_gradient) {
    arrays.anchors_grad = gradients.Add(call.match("nd"));
    if (!problem.self) arrays.refs_grad = gradients.Add(call.match("md"));
  }
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch = NewScratch(
        BatchTripletLossScratchBytes(problem, with_gradient, parallel.workers));
    return BatchTripletLossCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(loss, gradients.Take(threads));
}

py::array MineTripletsNumpy(const py::array& embeddings,
                            const py::array& labels,
                            const std::optional<py::array>& ref_embeddings,
                            const std::optional<py::array>& ref_labels,
                            int64_t self_offset, const std::string& dtype,
                            const std::string& metric,
                            const std::string& mining,
                            const std::string& margin, int threads) {
  const BatchCall call =
      BindBatch(embeddings, labels, ref_embeddings, ref_labels, self_offset,
                dtype, metric, mining, margin);
  Raise(Check(call.problem));
  struct Output {
    py::array triplets;
    bool failed = false;
  } output;
  const TripletSink sink{
      [](void* context, int64_t count) -> int64_t* {
        auto* output = static_cast<Output*>(context);
        const py::gil_scoped_acquire acquire;
        try {
          output->triplets = New(py::dtype("int64"), Shape{true, {count, 3}});
          return static_cast<int64_t*>(output->triplets.mutable_data());
        } catch (const std::exception&) {
          output->failed = true;  // an exception must not pass through a kernel
          return nullptr;
        }
      },
      &output};
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch =
        NewScratch(MineTripletsScratchBytes(call.problem, parallel.workers));
    return MineTripletsCpu(call.problem, call.arrays, sink, scratch.get(),
                           parallel);
  });
  if (output.failed) throw std::bad_alloc();
  return output.triplets;
}

// ---- neighbors ----

// (distances, indices). Labels are there where `only` is not any.
py::tuple NearestNeighborsNumpy(const py::array& queries,
                                const std::optional<py::array>& keys,
                                const std::optional<py::array>& query_labels,
                                const std::optional<py::array>& key_labels,
                                const std::string& dtype,
                                const std::string& metric,
                                const std::string& only, int64_t k,
                                int threads) {
  NearestNeighbors problem;
  problem.dtype = ParseDType(dtype);
  Raise(ParseMetric(metric.c_str(), &problem.metric));
  Raise(ParseOnly(only.c_str(), &problem.only));
  problem.self = !keys.has_value();
  problem.k = k;

  const py::dtype storage = Storage(problem.dtype);
  ShapeMatcher match;
  NearestNeighborsArrays arrays;
  const auto bind = [&](const char* name, const py::array& array,
                        const py::dtype& type, const char* pattern) {
    const ArrayView view = View(name, array, type);
    Raise(match(name, view.shape, pattern));
    return view.data;
  };
  const auto bind_labels = [&](const char* name, const py::array& array,
                               const char* pattern) {
    return static_cast<const int64_t*>(
        bind(name, array, py::dtype("int64"), pattern));
  };
  arrays.queries = bind("queries", queries, storage, "nd");
  if (!problem.self) arrays.keys = bind("keys", *keys, storage, "md");
  if (query_labels.has_value()) {
    arrays.query_labels = bind_labels("query_labels", *query_labels, "n|n1");
  }
  if (key_labels.has_value()) {
    arrays.key_labels = bind_labels("key_labels", *key_labels, "m|m1");
  }
  problem.n = match['n'];
  problem.m = problem.self ? problem.n : match['m'];
  problem.d = match['d'];
  Raise(Check(problem));

  const Shape shape{true, {problem.n, k}};
  py::array distances = New(storage, shape);
  py::array indices = New(py::dtype("int64"), shape);
  arrays.distances = distances.mutable_data();
  arrays.indices = static_cast<int64_t*>(indices.mutable_data());
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch =
        NewScratch(NearestNeighborsScratchBytes(problem, parallel.workers));
    return NearestNeighborsCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(distances, indices);
}

// ---- ranking ----

// Options that both losses have, into a family's problem.
template <typename Problem>
void ReadRankingOptions(const std::string& dtype, const std::string& loss,
                        const std::string& reduction, const std::string& margin,
                        const std::string& temperature, Problem* problem) {
  problem->dtype = ParseDType(dtype);
  Raise(ParseRankingTerm(loss.c_str(), &problem->term));
  Raise(ParseReduction(reduction.c_str(), &problem->reduction));
  Raise(ParseMargin("margin", margin.c_str(), &problem->margin));
  Raise(ParseMargin("temperature", temperature.c_str(), &problem->temperature));
}

// (loss, gradients), the second empty without `with_gradient`.
py::tuple PairwiseRankingLossNumpy(
    const py::array& scores_pos, const py::array& scores_neg,
    const std::optional<py::array>& sample_weight, const std::string& dtype,
    const std::string& loss, const std::string& reduction,
    const std::string& margin, const std::string& temperature,
    bool with_gradient, int threads) {
  PairwiseRankingLoss problem;
  ReadRankingOptions(dtype, loss, reduction, margin, temperature, &problem);
  const py::dtype storage = Storage(problem.dtype);
  ShapeMatcher match;
  PairwiseRankingArrays arrays;
  Gradients gradients(problem.dtype);
  const auto bind = [&](const char* name, const py::array& array,
                        const py::dtype& type) {
    const ArrayView view = View(name, array, type);
    Raise(match(name, view.shape, "..."));
    return view.data;
  };
  arrays.positive = bind("scores_pos", scores_pos, storage);
  arrays.negative = bind("scores_neg", scores_neg, storage);
  if (sample_weight.has_value()) {
    arrays.weights =
        bind("sample_weight", *sample_weight, ComputeStorage(problem.dtype));
  }
  problem.n = match.batch();
  Raise(Check(problem));

  py::array value =
      New(ComputeStorage(problem.dtype),
          match(problem.reduction == Reduction::kNone ? "..." : ""));
  arrays.loss = value.mutable_data();
  if (with_gradient) {
    arrays.positive_grad = gradients.Add(match("..."));
    arrays.negative_grad = gradients.Add(match("..."));
  }
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch =
        NewScratch(PairwiseRankingLossScratchBytes(problem));
    return PairwiseRankingLossCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(value, gradients.Take(threads));
}

// (loss, gradients), the second empty without `with_gradient`. With row_splits
// the items are in one array.
py::tuple ListRankingLossNumpy(
    const py::array& scores, const py::array& relevance,
    const std::optional<py::array>& row_splits,
    const std::optional<py::array>& mask,
    const std::optional<py::array>& item_weight, const std::string& dtype,
    const std::string& loss, const std::string& lambda_weight, int64_t topn,
    const std::string& reduction, const std::string& margin,
    const std::string& temperature, bool with_gradient, int threads) {
  ListRankingLoss problem;
  ReadRankingOptions(dtype, loss, reduction, margin, temperature, &problem);
  Raise(ParseLambdaWeight(lambda_weight.c_str(), &problem.lambda));
  problem.topn = topn;
  problem.ragged = row_splits.has_value();
  problem.masked = mask.has_value();

  ShapeMatcher match;
  ListRankingArrays arrays;
  Gradients gradients(problem.dtype);
  const char* items = problem.ragged ? "n" : "bl";
  const auto bind = [&](const char* name, const py::array& array,
                        const py::dtype& type, const char* pattern) {
    const ArrayView view = View(name, array, type);
    Raise(match(name, view.shape, pattern));
    return view.data;
  };
  arrays.scores = bind("scores", scores, Storage(problem.dtype), items);
  arrays.relevance = static_cast<const double*>(
      bind("relevance", relevance, py::dtype("float64"), items));
  if (problem.masked) {
    arrays.mask =
        static_cast<const bool*>(bind("mask", *mask, py::dtype("bool"), items));
  }
  if (item_weight.has_value()) {
    arrays.weights =
        bind("item_weight", *item_weight, ComputeStorage(problem.dtype), items);
  }
  problem.items = scores.size();
  if (problem.ragged) {
    problem.row_splits = static_cast<const int64_t*>(
        bind("row_splits", *row_splits, py::dtype("int64"), "k"));
    problem.lists = match['k'] - 1;
  } else {
    problem.lists = match['b'];
    problem.list_size = match['l'];
  }
  Raise(Check(problem));

  py::array value =
      New(ComputeStorage(problem.dtype),
          match(problem.reduction == Reduction::kNone ? items : ""));
  arrays.loss = value.mutable_data();
  if (with_gradient) arrays.scores_grad = gradients.Add(match(items));
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch =
        NewScratch(ListRankingLossScratchBytes(problem, parallel.workers));
    return ListRankingLossCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(value, gradients.Take(threads));
}

// ---- contrastive ----

// (loss, gradients), the second empty without `with_gradient`.
py::tuple ContrastiveLossNumpy(const py::array& x1, const py::array& x2,
                               const py::array& labels,
                               const std::optional<py::array>& sample_weight,
                               const std::string& dtype,
                               const std::string& metric,
                               const std::string& reduction, double margin,
                               bool with_gradient, int threads) {
  ContrastiveLoss problem;
  problem.dtype = ParseDType(dtype);
  Raise(ParseMetric(metric.c_str(), &problem.metric));
  Raise(ParseReduction(reduction.c_str(), &problem.reduction));
  problem.margin = margin;

  ShapeMatcher match;
  ContrastiveArrays arrays;
  const py::dtype storage = Storage(problem.dtype);
  arrays.x1 = Bind("x1", x1, storage, "nd", &match);
  arrays.x2 = Bind("x2", x2, storage, "nd", &match);
  arrays.dissimilarity =
      Bind("labels", labels, ComputeStorage(problem.dtype), "n|n1", &match);
  arrays.weights = BindWeights(sample_weight, problem.dtype, &match);
  problem.n = match['n'];
  problem.d = match['d'];
  Raise(Check(problem));

  py::array loss = New(ComputeStorage(problem.dtype),
                       match(problem.reduction == Reduction::kNone ? "n" : ""));
  arrays.loss = loss.mutable_data();
  Gradients gradients(problem.dtype);
  if (with_gradient) {
    arrays.x1_grad = gradients.Add(match("nd"));
    arrays.x2_grad = gradients.Add(match("nd"));
  }
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch =
        NewScratch(ContrastiveLossScratchBytes(problem, parallel.workers));
    return ContrastiveLossCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(loss, gradients.Take(threads));
}

// (loss, gradients), the second empty without `with_gradient`.
py::tuple BatchContrastiveLossNumpy(
    const py::array& embeddings, const py::array& labels,
    const std::optional<py::array>& ref_embeddings,
    const std::optional<py::array>& ref_labels, int64_t self_offset,
    const std::optional<py::array>& sample_weight, const std::string& dtype,
    const std::string& metric, const std::string& reduction, double margin,
    double positive_margin, bool squared, bool with_gradient, int threads) {
  BatchContrastiveLoss problem;
  problem.dtype = ParseDType(dtype);
  Raise(ParseMetric(metric.c_str(), &problem.metric));
  Raise(ParseReduction(reduction.c_str(), &problem.reduction));
  problem.margin = margin;
  problem.positive_margin = positive_margin;
  problem.squared = squared;
  problem.self = !ref_embeddings.has_value();
  problem.self_offset = self_offset;

  ShapeMatcher match;
  BatchContrastiveArrays arrays;
  const py::dtype storage = Storage(problem.dtype);
  arrays.anchors = Bind("embeddings", embeddings, storage, "nd", &match);
  arrays.labels = BindLabels("labels", labels, "n|n1", &match);
  if (problem.self) {
    arrays.refs = arrays.anchors;
    arrays.ref_labels = arrays.labels;
  } else {
    arrays.refs =
        Bind("ref_embeddings", *ref_embeddings, storage, "md", &match);
    arrays.ref_labels = BindLabels("ref_labels", *ref_labels, "m|m1", &match);
  }
  arrays.weights = BindWeights(sample_weight, problem.dtype, &match);
  problem.n = match['n'];
  problem.m = problem.self ? problem.n : match['m'];
  problem.d = match['d'];
  Raise(Check(problem));

  py::array loss = New(ComputeStorage(problem.dtype),
                       match(problem.reduction == Reduction::kNone ? "n" : ""));
  arrays.loss = loss.mutable_data();
  Gradients gradients(problem.dtype);
  if (with_gradient) {
    arrays.anchors_grad = gradients.Add(match("nd"));
    if (!problem.self) arrays.refs_grad = gradients.Add(match("md"));
  }
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch = NewScratch(BatchContrastiveLossScratchBytes(
        problem, with_gradient, parallel.workers));
    return BatchContrastiveLossCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(loss, gradients.Take(threads));
}

// (loss, gradients of the points, gradients of the parameters), the last two
// empty without `with_gradient`. `parameters` are the temperature, or scale and
// bias.
py::tuple SoftmaxLossNumpy(const py::array& queries,
                           const std::optional<py::array>& labels,
                           const std::optional<py::array>& keys,
                           const std::optional<py::array>& key_labels,
                           int64_t offset,
                           const std::optional<py::array>& sample_weight,
                           const std::vector<double>& parameters,
                           const std::string& dtype, const std::string& kind,
                           const std::string& reduction, bool normalize,
                           bool symmetric, bool with_gradient, int threads) {
  SoftmaxLoss problem;
  problem.dtype = ParseDType(dtype);
  Raise(ParseSoftmaxKind(kind.c_str(), &problem.kind));
  Raise(ParseReduction(reduction.c_str(), &problem.reduction));
  problem.normalize = normalize;
  problem.symmetric = symmetric;
  problem.self = !keys.has_value();
  const bool labelled = IsLabelled(problem);
  (labelled ? problem.self_offset : problem.positive_offset) = offset;

  ShapeMatcher match;
  SoftmaxArrays arrays;
  const py::dtype storage = Storage(problem.dtype);
  if (labelled) {
    arrays.queries = Bind("embeddings", queries, storage, "nd", &match);
    arrays.labels = BindLabels("labels", *labels, "n|n1", &match);
  } else {
    arrays.queries = Bind("queries", queries, storage, "nd", &match);
  }
  if (labelled && !problem.self) {
    arrays.keys = Bind("ref_embeddings", *keys, storage, "md", &match);
    arrays.key_labels = BindLabels("ref_labels", *key_labels, "m|m1", &match);
  } else if (!labelled) {
    const ArrayView view = View("keys", *keys, storage);
    Raise(symmetric ? match("keys", view.shape, "nd")
                    : match.AtLeast("keys", view.shape, "nd", 'm'));
    arrays.keys = view.data;
  }
  arrays.weights = BindWeights(sample_weight, problem.dtype, &match);
  problem.n = match['n'];
  problem.m = problem.self || symmetric ? problem.n : match['m'];
  problem.d = match['d'];
  Raise(Check(problem));

  const py::dtype compute = ComputeStorage(problem.dtype);
  const py::array values =
      py::array(py::cast(parameters)).attr("astype")(compute);
  const char* value = static_cast<const char*>(values.data());
  py::array parameter_gradients = New(compute, Shape{true, {values.size()}});
  char* gradient = static_cast<char*>(parameter_gradients.mutable_data());
  const int64_t size = SizeOfCompute(problem.dtype);
  if (problem.kind == SoftmaxKind::kSigmoid) {
    arrays.scale = value;
    arrays.bias = value + size;
  } else {
    arrays.temperature = value;
  }

  py::array loss =
      New(compute, match(problem.reduction == Reduction::kNone ? "n" : ""));
  arrays.loss = loss.mutable_data();
  Gradients gradients(problem.dtype);
  if (with_gradient) {
    arrays.queries_grad = gradients.Add(match("nd"));
    if (ReadsKeys(problem)) {
      arrays.keys_grad = gradients.Add(Shape{true, {problem.m, problem.d}});
    }
    if (problem.kind == SoftmaxKind::kSigmoid) {
      arrays.scale_grad = gradient;
      arrays.bias_grad = gradient + size;
    } else {
      arrays.temperature_grad = gradient;
    }
  }
  Run(threads, [&](const ParallelFor& parallel) {
    const Scratch scratch = NewScratch(
        SoftmaxLossScratchBytes(problem, with_gradient, parallel.workers));
    return SoftmaxLossCpu(problem, arrays, scratch.get(), parallel);
  });
  return py::make_tuple(loss, gradients.Take(threads), parameter_gradients);
}

}  // namespace

PYBIND11_MODULE(_numpy, module) {
  module.doc() = "The kernels on NumPy arrays; see tf_pairwise.numpy.";
  module.def("isa", &ChosenIsa);
  module.def("pairwise_distance", &PairwiseDistanceNumpy);
  module.def("pairwise_distance_gradient", &PairwiseDistanceGradientNumpy);
  module.def("paired_distance", &PairedDistanceNumpy);
  module.def("paired_distance_gradient", &PairedDistanceGradientNumpy);
  module.def("contrastive_loss", &ContrastiveLossNumpy);
  module.def("batch_contrastive_loss", &BatchContrastiveLossNumpy);
  module.def("softmax_loss", &SoftmaxLossNumpy);
  module.def("triplet_loss", &TripletLossNumpy);
  module.def("batch_triplet_loss", &BatchTripletLossNumpy);
  module.def("mine_triplets", &MineTripletsNumpy);
  module.def("nearest_neighbors", &NearestNeighborsNumpy);
  module.def("pairwise_ranking_loss", &PairwiseRankingLossNumpy);
  module.def("list_ranking_loss", &ListRankingLossNumpy);
}

}  // namespace tf_pairwise

#ifndef TF_PAIRWISE_TRIPLET_TRIPLET_OP_H_
#define TF_PAIRWISE_TRIPLET_TRIPLET_OP_H_

#include <cstdint>

#include "adapters/batch_op.h"
#include "adapters/call.h"
#include "adapters/loss_op.h"
#include "triplet/triplet.h"

// What the ops of the triplet family do in every binding. What a loss op does
// around its kernel is in adapters/loss_op.h; here is what is the family's own.

namespace tf_pairwise {

// ---- explicit triplets ----

struct TripletLossSpec {
  using Problem = TripletLoss;
  using Arrays = TripletArrays;
  static constexpr int kPoints[] = {0, 1, 2};
  static constexpr int kInputs = 4;
  static constexpr int kWeight = 3;

  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes, Problem* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "metric", ParseMetric, &problem->metric));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadMargin(attributes, "margin", &problem->margin, &problem->soft));
    return attributes->GetAttr("swap", &problem->swap);
  }

  template <typename Inputs>
  static Status MatchShapes(const Problem&, const Inputs& inputs,
                            ShapeMatcher* match) {
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("anchors", inputs(0), "nd"));
    TF_PAIRWISE_RETURN_IF_ERROR((*match)("positives", inputs(1), "nd"));
    return (*match)("negatives", inputs(2), "nd");
  }

  template <typename Call>
  static void Bind(const Call& call, const ShapeMatcher& match,
                   Problem* problem, Arrays* arrays) {
    problem->n = match['n'];
    problem->d = match['d'];
    arrays->anchors = call.input(0);
    arrays->positives = call.input(1);
    arrays->negatives = call.input(2);
  }

  static bool HasGradient(const Problem&, int) { return true; }

  static void SetGradient(Arrays* arrays, int i, void* gradient) {
    (i == 0   ? arrays->anchors_grad
     : i == 1 ? arrays->positives_grad
              : arrays->negatives_grad) = gradient;
  }

  static int64_t ScratchBytes(const Problem& problem, bool,
                              const ParallelFor& launcher) {
    return TripletLossScratchBytes(problem, launcher.workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& launcher) {
    return TripletLossCpu(problem, arrays, scratch, launcher);
  }

  static int64_t ScratchBytes(const Problem& problem, bool, const Stream&) {
    return TripletLossGpuScratchBytes(problem);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const Stream& launcher) {
    return TripletLossGpu(problem, arrays, scratch, launcher);
  }
};

// ---- the triplets of a labelled batch ----

struct BatchTripletLossSpec
    : BatchLossSpec<BatchTripletLoss, BatchTripletArrays> {
  template <typename Attributes>
  static Status ReadAttributes(Attributes* attributes, Problem* problem) {
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadName(attributes, "metric", ParseMetric, &problem->metric));
    TF_PAIRWISE_RETURN_IF_ERROR(
        ReadMargin(attributes, "margin", &problem->margin, &problem->soft));
    TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr("self", &problem->self));
    return ReadName(attributes, "mining", ParseMining, &problem->mining);
  }

  static int64_t ScratchBytes(const Problem& problem, bool with_gradient,
                              const ParallelFor& launcher) {
    return BatchTripletLossScratchBytes(problem, with_gradient,
                                        launcher.workers);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const ParallelFor& launcher) {
    return BatchTripletLossCpu(problem, arrays, scratch, launcher);
  }

  static int64_t ScratchBytes(const Problem& problem, bool with_gradient,
                              const Stream&) {
    return BatchTripletLossGpuScratchBytes(problem, with_gradient);
  }

  static Status Run(const Problem& problem, const Arrays& arrays, void* scratch,
                    const Stream& launcher) {
    return BatchTripletLossGpu(problem, arrays, scratch, launcher);
  }
};

// ---- the indices of the mined triplets ----

class MineTripletsOp {
 public:
  static constexpr HostInput kHostInput = BatchTripletLossSpec::kHostInput;

  template <typename Attributes>
  Status Read(Attributes* attributes) {
    return ReadProblem<BatchTripletLossSpec>(attributes, &problem_);
  }

  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    BatchTripletLoss problem = problem_;
    BatchTripletArrays arrays;
    TF_PAIRWISE_RETURN_IF_ERROR(
        BatchTripletLossSpec::MatchShapes(problem, InputsOf(call), &match));
    BatchTripletLossSpec::Bind(call, match, &problem, &arrays);
    TF_PAIRWISE_RETURN_IF_ERROR(Check(problem));
    void* scratch = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Scratch(ScratchBytes(problem, call.launcher()), &scratch));
    Found<Call> found{&call, Ok()};
    const TripletSink sink{Found<Call>::Allocate, &found};
    const Status mined = Mine(problem, arrays, sink, scratch, call.launcher());
    TF_PAIRWISE_RETURN_IF_ERROR(found.status);
    return mined;
  }

 private:
  template <typename Call>
  struct Found {
    Call* call;
    Status status;

    static int64_t* Allocate(void* found, int64_t count) {
      auto* self = static_cast<Found*>(found);
      void* triplets = nullptr;
      self->status = self->call->Output(0, Shape{true, {count, 3}}, &triplets);
      return self->status.ok() ? static_cast<int64_t*>(triplets) : nullptr;
    }
  };

  // Overloaded on the launcher.
  static int64_t ScratchBytes(const BatchTripletLoss& problem,
                              const ParallelFor& launcher) {
    return MineTripletsScratchBytes(problem, launcher.workers);
  }
  static int64_t ScratchBytes(const BatchTripletLoss& problem, const Stream&) {
    return MineTripletsGpuScratchBytes(problem);
  }
  static Status Mine(const BatchTripletLoss& problem,
                     const BatchTripletArrays& arrays, const TripletSink& sink,
                     void* scratch, const ParallelFor& launcher) {
    return MineTripletsCpu(problem, arrays, sink, scratch, launcher);
  }
  static Status Mine(const BatchTripletLoss& problem,
                     const BatchTripletArrays& arrays, const TripletSink& sink,
                     void* scratch, const Stream& launcher) {
    return MineTripletsGpu(problem, arrays, sink, scratch, launcher);
  }

  BatchTripletLoss problem_;
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_TRIPLET_TRIPLET_OP_H_

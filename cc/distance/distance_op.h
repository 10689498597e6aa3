#ifndef TF_PAIRWISE_DISTANCE_DISTANCE_OP_H_
#define TF_PAIRWISE_DISTANCE_DISTANCE_OP_H_

#include "adapters/call.h"
#include "adapters/options.h"
#include "adapters/shape_matcher.h"
#include "core/names.h"
#include "distance/distance.h"

// What the ops of the distance family do in every binding: each checks shapes
// against patterns, allocates what the kernel writes, and calls it.

namespace tf_pairwise {

// ---- the shapes of the arguments ----

// With `self`, y is x again: m is n.
template <typename Inputs>
Status MatchPairwise(const Inputs& inputs, bool self, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR((*match)("x", inputs(0), "...nd"));
  return (*match)("y", inputs(1), self ? "...nd" : "...md");
}

inline const char* DistancePattern(bool self) {
  return self ? "...nn" : "...nm";
}

template <typename Inputs>
Status MatchPairwiseGrad(const Inputs& inputs, bool self, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR(MatchPairwise(inputs, self, match));
  TF_PAIRWISE_RETURN_IF_ERROR(
      (*match)("distances", inputs(2), DistancePattern(self)));
  return (*match)("upstream", inputs(3), DistancePattern(self));
}

template <typename Inputs>
Status MatchPairwiseGradGrad(const Inputs& inputs, bool self,
                             ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR(MatchPairwise(inputs, self, match));
  TF_PAIRWISE_RETURN_IF_ERROR(
      (*match)("upstream", inputs(2), DistancePattern(self)));
  TF_PAIRWISE_RETURN_IF_ERROR((*match)("u", inputs(3), "...nd"));
  return self ? Ok() : (*match)("w", inputs(4), "...md");
}

template <typename Inputs>
Status MatchPaired(const Inputs& inputs, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR((*match)("x", inputs(0), "...d"));
  return (*match)("y", inputs(1), "...d");
}

template <typename Inputs>
Status MatchPairedGrad(const Inputs& inputs, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR(MatchPaired(inputs, match));
  return (*match)("upstream", inputs(2), "...");
}

template <typename Inputs>
Status MatchPairedGradGrad(const Inputs& inputs, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR(MatchPairedGrad(inputs, match));
  TF_PAIRWISE_RETURN_IF_ERROR((*match)("u", inputs(3), "...d"));
  return (*match)("w", inputs(4), "...d");
}

// ---- the attributes of both ----

template <typename Attributes, typename Problem>
Status ReadPoints(Attributes* attributes, Problem* problem) {
  TF_PAIRWISE_RETURN_IF_ERROR(attributes->GetAttr("T", &problem->dtype));
  return ReadName(attributes, "metric", ParseMetric, &problem->metric);
}

// ---- [..., n, d] x [..., m, d] ----

class PairwiseOp {
 public:
  template <typename Attributes>
  Status Read(Attributes* attributes) {
    TF_PAIRWISE_RETURN_IF_ERROR(ReadPoints(attributes, &problem_));
    return attributes->GetAttr("self", &problem_.self);
  }

 protected:
  // The problem of the shapes that matched.
  Status Bind(const Status& matched, const ShapeMatcher& match,
              PairwiseDistance* problem) const {
    TF_PAIRWISE_RETURN_IF_ERROR(matched);
    *problem = problem_;
    problem->batch = match.batch();
    problem->n = match['n'];
    problem->m = problem->self ? match['n'] : match['m'];
    problem->d = match['d'];
    return Check(*problem);
  }

  // y's gradient, empty where x's is the whole.
  template <typename Call>
  Status OutputForY(Call& call, int output, void** data) const {
    return call.Output(output, self() ? Shape{true, {0}} : call.shape(1), data);
  }

  bool self() const { return problem_.self; }

 private:
  PairwiseDistance problem_;
};

class PairwiseDistanceOp : public PairwiseOp {
 public:
  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    PairwiseDistance problem;
    TF_PAIRWISE_RETURN_IF_ERROR(
        Bind(MatchPairwise(InputsOf(call), self(), &match), match, &problem));
    void *distances = nullptr, *scratch = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Output(0, match(DistancePattern(self())), &distances));
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Scratch(ScratchBytesOn<PairwiseDistanceScratchBytes,
                                    PairwiseDistanceGpuScratchBytes>(
                         call.launcher(), problem),
                     &scratch));
    return RunOn<PairwiseDistanceCpu, PairwiseDistanceGpu>(
        call.launcher(), problem, call.input(0), call.input(1), distances,
        scratch);
  }
};

class PairwiseDistanceGradOp : public PairwiseOp {
 public:
  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    PairwiseDistance problem;
    TF_PAIRWISE_RETURN_IF_ERROR(Bind(
        MatchPairwiseGrad(InputsOf(call), self(), &match), match, &problem));
    void *x_grad = nullptr, *y_grad = nullptr, *scratch = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(0, call.shape(0), &x_grad));
    TF_PAIRWISE_RETURN_IF_ERROR(OutputForY(call, 1, &y_grad));
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Scratch(ScratchBytesOn<PairwiseDistanceGradScratchBytes,
                                    PairwiseDistanceGradGpuScratchBytes>(
                         call.launcher(), problem),
                     &scratch));
    return RunOn<PairwiseDistanceGradCpu, PairwiseDistanceGradGpu>(
        call.launcher(), problem, call.input(0), call.input(1), call.input(2),
        call.input(3), x_grad, y_grad, scratch);
  }
};

class PairwiseDistanceGradGradOp : public PairwiseOp {
 public:
  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    PairwiseDistance problem;
    TF_PAIRWISE_RETURN_IF_ERROR(
        Bind(MatchPairwiseGradGrad(InputsOf(call), self(), &match), match,
             &problem));
    void *upstream_out = nullptr, *x_out = nullptr, *y_out = nullptr,
         *scratch = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(0, call.shape(2), &upstream_out));
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(1, call.shape(0), &x_out));
    TF_PAIRWISE_RETURN_IF_ERROR(OutputForY(call, 2, &y_out));
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Scratch(ScratchBytesOn<PairwiseDistanceGradGradScratchBytes,
                                    PairwiseDistanceGradGradGpuScratchBytes>(
                         call.launcher(), problem),
                     &scratch));
    return RunOn<PairwiseDistanceGradGradCpu, PairwiseDistanceGradGradGpu>(
        call.launcher(), problem, call.input(0), call.input(1), call.input(2),
        call.input(3), call.input(4), upstream_out, x_out, y_out, scratch);
  }
};

// ---- [..., d], [..., d] ----

class PairedOp {
 public:
  template <typename Attributes>
  Status Read(Attributes* attributes) {
    return ReadPoints(attributes, &problem_);
  }

 protected:
  Status Bind(const Status& matched, const ShapeMatcher& match,
              PairedDistance* problem) const {
    TF_PAIRWISE_RETURN_IF_ERROR(matched);
    *problem = problem_;
    problem->n = match.batch();
    problem->d = match['d'];
    return Check(*problem);
  }

 private:
  PairedDistance problem_;
};

class PairedDistanceOp : public PairedOp {
 public:
  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    PairedDistance problem;
    TF_PAIRWISE_RETURN_IF_ERROR(
        Bind(MatchPaired(InputsOf(call), &match), match, &problem));
    void* distances = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(0, match("..."), &distances));
    return RunOn<PairedDistanceCpu, PairedDistanceGpu>(
        call.launcher(), problem, call.input(0), call.input(1), distances);
  }
};

class PairedDistanceGradOp : public PairedOp {
 public:
  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    PairedDistance problem;
    TF_PAIRWISE_RETURN_IF_ERROR(
        Bind(MatchPairedGrad(InputsOf(call), &match), match, &problem));
    void *x_grad = nullptr, *y_grad = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(0, call.shape(0), &x_grad));
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(1, call.shape(0), &y_grad));
    return RunOn<PairedDistanceGradCpu, PairedDistanceGradGpu>(
        call.launcher(), problem, call.input(0), call.input(1), call.input(2),
        x_grad, y_grad);
  }
};

class PairedDistanceGradGradOp : public PairedOp {
 public:
  template <typename Call>
  Status Run(Call& call) const {
    ShapeMatcher match;
    PairedDistance problem;
    TF_PAIRWISE_RETURN_IF_ERROR(
        Bind(MatchPairedGradGrad(InputsOf(call), &match), match, &problem));
    void *upstream_out = nullptr, *x_out = nullptr, *y_out = nullptr,
         *scratch = nullptr;
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(0, call.shape(2), &upstream_out));
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(1, call.shape(0), &x_out));
    TF_PAIRWISE_RETURN_IF_ERROR(call.Output(2, call.shape(0), &y_out));
    TF_PAIRWISE_RETURN_IF_ERROR(
        call.Scratch(ScratchBytesOn<PairedDistanceGradGradScratchBytes,
                                    PairedDistanceGradGradGpuScratchBytes>(
                         call.launcher(), problem),
                     &scratch));
    return RunOn<PairedDistanceGradGradCpu, PairedDistanceGradGradGpu>(
        call.launcher(), problem, call.input(0), call.input(1), call.input(2),
        call.input(3), call.input(4), upstream_out, x_out, y_out, scratch);
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_DISTANCE_DISTANCE_OP_H_

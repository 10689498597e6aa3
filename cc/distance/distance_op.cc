#include <string>

#include "adapters/tensorflow.h"
#include "distance/distance.h"
#include "tensorflow/core/framework/op.h"

// TensorFlow's ops of the distance family: each checks shapes against
// patterns, allocates what the kernel writes, and calls it.

namespace tf_pairwise {
namespace {

using tensorflow::OpKernel;

// ---- the shapes of the arguments ----

// With `self`, y is x again: m is n.
template <typename Inputs>
Status MatchPairwise(const Inputs& inputs, bool self, ShapeMatcher* match) {
  TF_PAIRWISE_RETURN_IF_ERROR((*match)("x", inputs(0), "...nd"));
  return (*match)("y", inputs(1), self ? "...nd" : "...md");
}

const char* DistancePattern(bool self) { return self ? "...nn" : "...nm"; }

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

// ---- [..., n, d] x [..., m, d] ----

class PairwiseOp : public OpKernel {
 public:
  explicit PairwiseOp(OpKernelConstruction* construction)
      : OpKernel(construction) {
    tensorflow::DataType type;
    OP_REQUIRES_OK(construction, construction->GetAttr("T", &type));
    problem_.dtype = ToDType(type);
    OP_REQUIRES_OK(construction, ReadName(construction, "metric", ParseMetric,
                                          &problem_.metric));
    OP_REQUIRES_OK(construction, construction->GetAttr("self", &problem_.self));
  }

 protected:
  // The problem of the shapes that matched.
  absl::Status Bind(const Status& matched, const ShapeMatcher& match,
                    PairwiseDistance* problem) const {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(matched));
    *problem = problem_;
    problem->batch = match.batch();
    problem->n = match['n'];
    problem->m = problem->self ? match['n'] : match['m'];
    problem->d = match['d'];
    return ToAbsl(Check(*problem));
  }

  // y's gradient, empty where x's is the whole.
  absl::Status AllocateForY(OpKernelContext* context, int output,
                            Tensor** tensor) const {
    return context->allocate_output(
        output, problem_.self ? TensorShape({0}) : context->input(1).shape(),
        tensor);
  }

  bool self() const { return problem_.self; }

 private:
  PairwiseDistance problem_;
};

class PairwiseDistanceOp : public PairwiseOp {
 public:
  using PairwiseOp::PairwiseOp;

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    PairwiseDistance problem;
    OP_REQUIRES_OK(context,
                   Bind(MatchPairwise(KernelInputs{context}, self(), &match),
                        match, &problem));
    Tensor* distances;
    OP_REQUIRES_OK(context, Allocate(context, 0, match(DistancePattern(self())),
                                     &distances));
    const CpuDevice device(context);
    Tensor holder;
    void* scratch = nullptr;
    OP_REQUIRES_OK(context, AllocateScratch(context,
                                            PairwiseDistanceScratchBytes(
                                                problem, device.workers()),
                                            &holder, &scratch));
    OP_REQUIRES_OK(
        context, ToAbsl(PairwiseDistanceCpu(
                     problem, Data(context->input(0)), Data(context->input(1)),
                     Data(distances), scratch, device.launcher())));
  }
};

class PairwiseDistanceGradOp : public PairwiseOp {
 public:
  using PairwiseOp::PairwiseOp;

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    PairwiseDistance problem;
    OP_REQUIRES_OK(
        context, Bind(MatchPairwiseGrad(KernelInputs{context}, self(), &match),
                      match, &problem));
    Tensor *x_grad, *y_grad;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, context->input(0).shape(), &x_grad));
    OP_REQUIRES_OK(context, AllocateForY(context, 1, &y_grad));
    const CpuDevice device(context);
    Tensor holder;
    void* scratch = nullptr;
    OP_REQUIRES_OK(context, AllocateScratch(context,
                                            PairwiseDistanceGradScratchBytes(
                                                problem, device.workers()),
                                            &holder, &scratch));
    OP_REQUIRES_OK(
        context, ToAbsl(PairwiseDistanceGradCpu(
                     problem, Data(context->input(0)), Data(context->input(1)),
                     Data(context->input(2)), Data(context->input(3)),
                     Data(x_grad), Data(y_grad), scratch, device.launcher())));
  }
};

class PairwiseDistanceGradGradOp : public PairwiseOp {
 public:
  using PairwiseOp::PairwiseOp;

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    PairwiseDistance problem;
    OP_REQUIRES_OK(context, Bind(MatchPairwiseGradGrad(KernelInputs{context},
                                                       self(), &match),
                                 match, &problem));
    Tensor *upstream_out, *x_out, *y_out;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, context->input(2).shape(), &upstream_out));
    OP_REQUIRES_OK(context, context->allocate_output(
                                1, context->input(0).shape(), &x_out));
    OP_REQUIRES_OK(context, AllocateForY(context, 2, &y_out));
    const CpuDevice device(context);
    Tensor holder;
    void* scratch = nullptr;
    OP_REQUIRES_OK(context,
                   AllocateScratch(context,
                                   PairwiseDistanceGradGradScratchBytes(
                                       problem, device.workers()),
                                   &holder, &scratch));
    OP_REQUIRES_OK(
        context, ToAbsl(PairwiseDistanceGradGradCpu(
                     problem, Data(context->input(0)), Data(context->input(1)),
                     Data(context->input(2)), Data(context->input(3)),
                     Data(context->input(4)), Data(upstream_out), Data(x_out),
                     Data(y_out), scratch, device.launcher())));
  }
};

// ---- [..., d], [..., d] ----

class PairedOp : public OpKernel {
 public:
  explicit PairedOp(OpKernelConstruction* construction)
      : OpKernel(construction) {
    tensorflow::DataType type;
    OP_REQUIRES_OK(construction, construction->GetAttr("T", &type));
    problem_.dtype = ToDType(type);
    OP_REQUIRES_OK(construction, ReadName(construction, "metric", ParseMetric,
                                          &problem_.metric));
  }

 protected:
  absl::Status Bind(const Status& matched, const ShapeMatcher& match,
                    PairedDistance* problem) const {
    TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(matched));
    *problem = problem_;
    problem->n = match.batch();
    problem->d = match['d'];
    return ToAbsl(Check(*problem));
  }

 private:
  PairedDistance problem_;
};

class PairedDistanceOp : public PairedOp {
 public:
  using PairedOp::PairedOp;

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    PairedDistance problem;
    OP_REQUIRES_OK(context, Bind(MatchPaired(KernelInputs{context}, &match),
                                 match, &problem));
    Tensor* distances;
    OP_REQUIRES_OK(context, Allocate(context, 0, match("..."), &distances));
    OP_REQUIRES_OK(
        context, ToAbsl(PairedDistanceCpu(
                     problem, Data(context->input(0)), Data(context->input(1)),
                     Data(distances), CpuDevice(context).launcher())));
  }
};

class PairedDistanceGradOp : public PairedOp {
 public:
  using PairedOp::PairedOp;

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    PairedDistance problem;
    OP_REQUIRES_OK(context, Bind(MatchPairedGrad(KernelInputs{context}, &match),
                                 match, &problem));
    Tensor *x_grad, *y_grad;
    const TensorShape& shape = context->input(0).shape();
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &x_grad));
    OP_REQUIRES_OK(context, context->allocate_output(1, shape, &y_grad));
    OP_REQUIRES_OK(
        context, ToAbsl(PairedDistanceGradCpu(
                     problem, Data(context->input(0)), Data(context->input(1)),
                     Data(context->input(2)), Data(x_grad), Data(y_grad),
                     CpuDevice(context).launcher())));
  }
};

class PairedDistanceGradGradOp : public PairedOp {
 public:
  using PairedOp::PairedOp;

  void Compute(OpKernelContext* context) override {
    ShapeMatcher match;
    PairedDistance problem;
    OP_REQUIRES_OK(
        context, Bind(MatchPairedGradGrad(KernelInputs{context}, &match), match,
                      &problem));
    Tensor *upstream_out, *x_out, *y_out;
    const TensorShape& shape = context->input(0).shape();
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, context->input(2).shape(), &upstream_out));
    OP_REQUIRES_OK(context, context->allocate_output(1, shape, &x_out));
    OP_REQUIRES_OK(context, context->allocate_output(2, shape, &y_out));
    const CpuDevice device(context);
    Tensor holder;
    void* scratch = nullptr;
    OP_REQUIRES_OK(context, AllocateScratch(context,
                                            PairedDistanceGradGradScratchBytes(
                                                problem, device.workers()),
                                            &holder, &scratch));
    OP_REQUIRES_OK(
        context, ToAbsl(PairedDistanceGradGradCpu(
                     problem, Data(context->input(0)), Data(context->input(1)),
                     Data(context->input(2)), Data(context->input(3)),
                     Data(context->input(4)), Data(upstream_out), Data(x_out),
                     Data(y_out), scratch, device.launcher())));
  }
};

// ---- registration ----

absl::Status ReadSelf(InferenceContext* context, bool* self) {
  return context->GetAttr("self", self);
}

ShapeHandle GradientOfY(InferenceContext* context, bool self) {
  return self ? context->MakeShape({context->MakeDim(0)}) : context->input(1);
}

REGISTER_OP("TfPairwise>PairwiseDistance")
    .Input("x: T")
    .Input("y: T")
    .Output("distances: T")
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      bool self;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadSelf(context, &self));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairwise(InferenceInputs{context}, self, &match)));
      context->set_output(0, ToHandle(context, match(DistancePattern(self))));
      return absl::OkStatus();
    })
    .Doc(R"doc(
All distances between the points of x and of y.

x: [..., n, d].
y: [..., m, d]. With `self` it is x, passed again.
distances: [..., n, m].
self: x against itself: the diagonal is exact, and x's gradient is the whole.
)doc");

REGISTER_OP("TfPairwise>PairwiseDistanceGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("distances: T")
    .Input("upstream: T")
    .Output("x_grad: T")
    .Output("y_grad: T")
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      bool self;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadSelf(context, &self));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairwiseGrad(InferenceInputs{context}, self, &match)));
      context->set_output(0, context->input(0));
      context->set_output(1, GradientOfY(context, self));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(upstream * PairwiseDistance(x, y)).

distances: the output of PairwiseDistance(x, y), kept to save its computation.
upstream: [..., n, m].
y_grad: empty with `self`.
)doc");

REGISTER_OP("TfPairwise>PairwiseDistanceGradGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("upstream: T")
    .Input("u: T")
    .Input("w: T")
    .Output("upstream_out: T")
    .Output("x_out: T")
    .Output("y_out: T")
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .Attr("self: bool")
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      bool self;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ReadSelf(context, &self));
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(ToAbsl(
          MatchPairwiseGradGrad(InferenceInputs{context}, self, &match)));
      context->set_output(0, context->input(2));
      context->set_output(1, context->input(0));
      context->set_output(2, GradientOfY(context, self));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(u * x_grad) + sum(w * y_grad), where x_grad and y_grad are
the outputs of PairwiseDistanceGrad(x, y, distances, upstream).

u: [..., n, d].
w: [..., m, d]. Not read with `self`.
y_out: empty with `self`.
)doc");

REGISTER_OP("TfPairwise>PairedDistance")
    .Input("x: T")
    .Input("y: T")
    .Output("distances: T")
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPaired(InferenceInputs{context}, &match)));
      context->set_output(0, ToHandle(context, match("...")));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The distances of points taken in pairs.

x: [..., d].
y: [..., d].
distances: [...].
)doc");

REGISTER_OP("TfPairwise>PairedDistanceGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("upstream: T")
    .Output("x_grad: T")
    .Output("y_grad: T")
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairedGrad(InferenceInputs{context}, &match)));
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(upstream * PairedDistance(x, y)).

upstream: [...].
)doc");

REGISTER_OP("TfPairwise>PairedDistanceGradGrad")
    .Input("x: T")
    .Input("y: T")
    .Input("upstream: T")
    .Input("u: T")
    .Input("w: T")
    .Output("upstream_out: T")
    .Output("x_out: T")
    .Output("y_out: T")
    .Attr(TF_PAIRWISE_ATTR_T)
    .Attr(TF_PAIRWISE_ATTR_METRIC)
    .SetShapeFn([](InferenceContext* context) -> absl::Status {
      ShapeMatcher match;
      TF_PAIRWISE_TF_RETURN_IF_ERROR(
          ToAbsl(MatchPairedGradGrad(InferenceInputs{context}, &match)));
      context->set_output(0, context->input(2));
      context->set_output(1, context->input(0));
      context->set_output(2, context->input(1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The gradient of sum(u * x_grad) + sum(w * y_grad), where x_grad and y_grad are
the outputs of PairedDistanceGrad(x, y, upstream).

u: [..., d].
w: [..., d].
)doc");

#define TF_PAIRWISE_REGISTER_CPU(name) \
  REGISTER_KERNEL_BUILDER(             \
      Name("TfPairwise>" #name).Device(tensorflow::DEVICE_CPU), name##Op)

TF_PAIRWISE_REGISTER_CPU(PairwiseDistance);
TF_PAIRWISE_REGISTER_CPU(PairwiseDistanceGrad);
TF_PAIRWISE_REGISTER_CPU(PairwiseDistanceGradGrad);
TF_PAIRWISE_REGISTER_CPU(PairedDistance);
TF_PAIRWISE_REGISTER_CPU(PairedDistanceGrad);
TF_PAIRWISE_REGISTER_CPU(PairedDistanceGradGrad);

}  // namespace
}  // namespace tf_pairwise

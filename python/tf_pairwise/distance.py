"""Distances between all pairs of two sets of points, or of points taken in pairs."""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._tensors import ops
from tf_pairwise._types import Metric, TensorLike


def pairwise_distance(
    x: TensorLike, y: TensorLike | None = None, metric: Metric = "euclidean"
) -> tf.Tensor:
    """The distance of each row of `x` to each row of `y`.

    ==================== =======================================================
    metric               D(x, y)
    ==================== =======================================================
    "euclidean"          |x - y|
    "squared_euclidean"  |x - y|^2
    "cosine"             1 - x.y / (|x| |y|); 1 where either vector is zero
    "manhattan"          sum_k |x_k - y_k|
    "chebyshev"          max_k |x_k - y_k|
    "dot"                -x.y
    ==================== =======================================================

    float32 distances are within 1e-5 relative of the exact ones, wherever the points lie and
    however near they are to each other; halves are computed in float32 and rounded once. The
    gradient is 0 where a distance has none: at distance 0, for equal coordinates under
    "manhattan", for a zero vector under "cosine"; and at a "euclidean" distance up to 1e-37
    (1e-300 in float64), whose reciprocal could overflow. First and second derivatives are there.

    Time is O(n m d); memory beside the result, O((n + m) d).

    Args:
      x: [..., n, d], float16, bfloat16, float32 or float64.
      y: [..., m, d], of x's dtype and leading sizes; or None for x against itself, whose
        diagonal is exactly 0 (but -|x|^2 for "dot", and 1 for zero vectors under "cosine").
      metric: one of the names above.

    Returns:
      [..., n, m], of x's dtype. A NaN or Inf in a row makes the row's distances NaN.

    Raises:
      ValueError: `metric` is not one of the names, or, while a graph is traced, shapes that
        do not go together.
      TypeError: x is not of a float dtype, or y not of x's.
      tf.errors.InvalidArgumentError: shapes that do not go together.

    Examples:
      >>> x = tf.constant([[0.0, 0.0], [3.0, 4.0]])
      >>> tpw.pairwise_distance(x).numpy()
      array([[0., 5.],
             [5., 0.]], dtype=float32)
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _tensors.points("x", x)
    itself = y is None
    y = x if itself else _tensors.points("y", y, x, "x")
    return ops.tf_pairwise_pairwise_distance(x, y, metric, itself)


def paired_distance(x: TensorLike, y: TensorLike, metric: Metric = "euclidean") -> tf.Tensor:
    """The distance of each row of `x` to the same row of `y`.

    Metrics, accuracy and derivatives are those of `pairwise_distance`. Time is O(n d), with no
    memory beside the result.

    Args:
      x: [..., d], float16, bfloat16, float32 or float64.
      y: of x's shape and dtype.
      metric: one of the names `pairwise_distance` takes.

    Returns:
      [...], of x's dtype.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where `pairwise_distance` raises them.

    Examples:
      >>> tpw.paired_distance([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]]).numpy()
      array([5., 0.], dtype=float32)
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _tensors.points("x", x)
    y = _tensors.points("y", y, x, "x")
    return ops.tf_pairwise_paired_distance(x, y, metric)


# ---- gradients ----
#
# The gradient of the gradient is with respect to x, y and upstream; `distances` is only a
# saved result, and GradGrad makes anew what it needs.


@tf.RegisterGradient("TfPairwise>PairwiseDistance")
def _pairwise_distance_grad(op, upstream):
    x, y = op.inputs
    itself = op.get_attr("self")
    x_grad, y_grad = ops.tf_pairwise_pairwise_distance_grad(
        x, y, op.outputs[0], tf.convert_to_tensor(upstream), op.get_attr("metric"), itself
    )
    return x_grad, None if itself else y_grad


@tf.RegisterGradient("TfPairwise>PairwiseDistanceGrad")
def _pairwise_distance_grad_grad(op, u, w):
    x, y, _, upstream = op.inputs
    itself = op.get_attr("self")
    upstream_out, x_out, y_out = ops.tf_pairwise_pairwise_distance_grad_grad(
        x,
        y,
        upstream,
        _dense(u, x),
        x if itself else _dense(w, y),
        op.get_attr("metric"),
        itself,
    )
    return x_out, None if itself else y_out, None, upstream_out


@tf.RegisterGradient("TfPairwise>PairwiseDistanceGradGrad")
def _pairwise_distance_third(op, *_):
    return _tensors.missing_derivatives(op, range(5), "pairwise_distance", "third")


@tf.RegisterGradient("TfPairwise>PairedDistance")
def _paired_distance_grad(op, upstream):
    x, y = op.inputs
    upstream = tf.convert_to_tensor(upstream)
    return ops.tf_pairwise_paired_distance_grad(x, y, upstream, op.get_attr("metric"))


@tf.RegisterGradient("TfPairwise>PairedDistanceGrad")
def _paired_distance_grad_grad(op, u, w):
    x, y, upstream = op.inputs
    upstream_out, x_out, y_out = ops.tf_pairwise_paired_distance_grad_grad(
        x, y, upstream, _dense(u, x), _dense(w, y), op.get_attr("metric")
    )
    return x_out, y_out, upstream_out


@tf.RegisterGradient("TfPairwise>PairedDistanceGradGrad")
def _paired_distance_third(op, *_):
    return _tensors.missing_derivatives(op, range(5), "paired_distance", "third")


def _dense(gradient, like):
    return tf.zeros_like(like) if gradient is None else tf.convert_to_tensor(gradient)

"""Distances between all pairs of two sets of points, or of points taken in pairs.

=================== ==========================================================================
``euclidean``         ``|x - y|``
``squared_euclidean`` ``|x - y|^2``
``cosine``            ``1 - x.y / (|x| |y|)``; 1 where either vector is zero
``manhattan``         ``sum_k |x_k - y_k|``
``dot``               ``-x.y`` (a similarity turned around, so that small means near)
``chebyshev``         ``max_k |x_k - y_k|``; its gradient is at the first largest coordinate
=================== ==========================================================================

Where a distance has no derivative (zero euclidean distance, equal coordinates under manhattan and
chebyshev, a zero vector under cosine) its gradient is 0. Inf in a point is treated as NaN.
"""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise._types import Metric, TensorLike
from tf_pairwise.reference import _checks


def pairwise_distance(
    x: TensorLike, y: TensorLike | None = None, metric: Metric = "euclidean"
) -> tf.Tensor:
    """``[..., n, d], [..., m, d] -> [..., n, m]``: the distance of each row of x to each of y.

    With ``y=None``, x against itself; the diagonal is then exactly zero, but for ``dot``
    (``-|x|^2``) and for the zero vectors of ``cosine`` (1).
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _checks.points("x", x, least_rank=2)
    if y is not None:
        y = _checks.points("y", y, least_rank=2)
        _checks.alike("y", y, "x", x, slice(0, -2))
        _checks.alike("y", y, "x", x, slice(-1, None))
    return tf.cast(_all_pairs(x, y, metric), x.dtype)


def paired_distance(x: TensorLike, y: TensorLike, metric: Metric = "euclidean") -> tf.Tensor:
    """``[..., d], [..., d] -> [...]``: the distance of each row of x to the same row of y."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _checks.points("x", x, least_rank=1)
    y = _checks.points("y", y, least_rank=1)
    _checks.alike("y", y, "x", x, slice(None))
    return tf.cast(_pairs(x, y, metric), x.dtype)


def _all_pairs(x, y, metric):
    """`pairwise_distance` in the type of the computation: float32 for halves."""
    # Two ways to the same distances. The differences x_i - y_j take n m d numbers and lose
    # nothing: float64, the oracle, goes this way. The other types go the way users write it,
    # |x|^2 + |y|^2 - 2 x.y, one matmul and n m numbers, which cancels for points that are near
    # to each other and far from the origin: that is what the fused kernels are timed against.
    x = _computable(x)
    y = None if y is None else _computable(y)
    if x.dtype == tf.float64 or metric in ("manhattan", "chebyshev"):
        other = x if y is None else y
        return _pairs(x[..., :, None, :], other[..., None, :, :], metric)
    if metric == "dot":
        return -tf.matmul(x, x if y is None else y, transpose_b=True)
    if metric == "cosine":
        unit_x = _unit(x)
        unit_y = unit_x if y is None else _unit(y)
        distances = 1.0 - tf.matmul(unit_x, unit_y, transpose_b=True)
        diagonal = tf.cast(_is_zero_vector(x), x.dtype)
    else:
        other = x if y is None else y
        squared_x = tf.reduce_sum(tf.square(x), axis=-1)
        squared_y = tf.reduce_sum(tf.square(other), axis=-1)
        products = tf.matmul(x, other, transpose_b=True)
        squared = squared_x[..., :, None] + squared_y[..., None, :] - 2.0 * products
        squared = tf.where(squared < 0.0, tf.zeros_like(squared), squared)
        distances = squared if metric == "squared_euclidean" else _sqrt(squared)
        diagonal = tf.zeros_like(squared_x)
    if y is None:
        diagonal = tf.where(_has_nan(x), tf.constant(float("nan"), x.dtype), diagonal)
        distances = tf.linalg.set_diag(distances, diagonal)
    return distances


def _pairs(x, y, metric):
    """`paired_distance` in the type of the computation; x and y may broadcast."""
    x, y = _computable(x), _computable(y)
    if metric == "dot":
        return -tf.reduce_sum(x * y, axis=-1)
    if metric == "cosine":
        # |u - v|^2 / 2 of the unit vectors: 1 - u.v without its cancellation.
        distances = 0.5 * tf.reduce_sum(tf.square(_unit(x) - _unit(y)), axis=-1)
        at_zero = tf.logical_or(_is_zero_vector(x), _is_zero_vector(y))
        has_nan = tf.logical_or(_has_nan(x), _has_nan(y))
        at_zero = tf.logical_and(at_zero, tf.logical_not(has_nan))
        return tf.where(at_zero, tf.ones_like(distances), distances)
    if metric == "chebyshev":
        return _largest(tf.abs(x - y))
    if metric == "manhattan":
        return tf.reduce_sum(tf.abs(x - y), axis=-1)
    squared = tf.reduce_sum(tf.square(x - y), axis=-1)
    return squared if metric == "squared_euclidean" else _sqrt(squared)


def _computable(x):
    """x in the type that distances are computed in, with NaN for Inf."""
    x = tf.cast(x, tf.float32) if x.dtype.size == 2 else x
    return tf.where(tf.math.is_finite(x), x, tf.constant(float("nan"), x.dtype))


def _largest(values):
    """The largest along the last axis, 0 of none; its gradient is at the first that is."""
    if values.shape[-1] == 0:
        return tf.reduce_sum(values, axis=-1)
    first = tf.argmax(tf.stop_gradient(values), axis=-1)
    there = tf.one_hot(first, tf.shape(values)[-1], True, False, dtype=tf.bool)
    # A maximum may lose a NaN.
    there |= tf.math.is_nan(values)
    return tf.reduce_sum(tf.where(there, values, tf.zeros_like(values)), axis=-1)


def _sqrt(squared):
    """sqrt with gradient 0 at 0: the root is never taken there."""
    zero = tf.equal(squared, 0.0)
    root = tf.sqrt(tf.where(zero, tf.ones_like(squared), squared))
    return tf.where(zero, tf.zeros_like(squared), root)


def _unit(x):
    """x / |x|; a zero vector stays zero, with gradient 0."""
    squared = tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)
    zero = tf.equal(squared, 0.0)
    norm = tf.sqrt(tf.where(zero, tf.ones_like(squared), squared))
    return tf.where(zero, tf.zeros_like(x), x / norm)


def _is_zero_vector(x):
    return tf.equal(tf.reduce_sum(tf.square(x), axis=-1), 0.0)


def _has_nan(x):
    return tf.reduce_any(tf.math.is_nan(x), axis=-1)

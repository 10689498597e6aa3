"""Distances between all pairs of two sets of points, or of points taken in pairs."""

from __future__ import annotations

from tf_pairwise import _arguments
from tf_pairwise._types import ArrayLike, Arrays, Metric
from tf_pairwise.numpy import _arrays, _native


def pairwise_distance(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: Metric = "euclidean",
    *,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.pairwise_distance`: [..., n, d], [..., m, d] -> [..., n, m]."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _arrays.points("x", x)
    y = None if y is None else _arrays.points("y", y, x, "x")
    return _native.pairwise_distance(x, y, metric, threads)


def pairwise_distance_gradient(
    x: ArrayLike,
    y: ArrayLike,
    upstream: ArrayLike,
    metric: Metric = "euclidean",
    *,
    threads: int | None = None,
) -> Arrays:
    """The gradient of sum(upstream * pairwise_distance(x, y, metric)).

    Returns (x_grad, y_grad), of the shapes of x and y; for y=None x_grad alone, the whole.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _arrays.points("x", x)
    y = None if y is None else _arrays.points("y", y, x, "x")
    upstream = _arrays.points("upstream", upstream, x, "x")
    gradients = _native.pairwise_distance_gradient(x, y, upstream, metric, threads)
    return gradients[0] if y is None else gradients


def paired_distance(
    x: ArrayLike, y: ArrayLike, metric: Metric = "euclidean", *, threads: int | None = None
) -> Arrays:
    """`tf_pairwise.paired_distance`: [..., d], [..., d] -> [...]."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _arrays.points("x", x)
    y = _arrays.points("y", y, x, "x")
    return _native.paired_distance(x, y, metric, threads)


def paired_distance_gradient(
    x: ArrayLike,
    y: ArrayLike,
    upstream: ArrayLike,
    metric: Metric = "euclidean",
    *,
    threads: int | None = None,
) -> Arrays:
    """The gradient of sum(upstream * paired_distance(x, y, metric)): (x_grad, y_grad)."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x = _arrays.points("x", x)
    y = _arrays.points("y", y, x, "x")
    upstream = _arrays.points("upstream", upstream, x, "x")
    return _native.paired_distance_gradient(x, y, upstream, metric, threads)

"""Nearest neighbours: the k nearest keys of each query."""

from __future__ import annotations

from tf_pairwise import _arguments
from tf_pairwise._types import ArrayLike, Arrays, Metric, Only
from tf_pairwise.numpy import _arrays, _native


def nearest_neighbors(
    queries: ArrayLike,
    keys: ArrayLike | None = None,
    k: int = 10,
    *,
    metric: Metric = "euclidean",
    query_labels: ArrayLike | None = None,
    key_labels: ArrayLike | None = None,
    only: Only | None = None,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.nearest_neighbors`: [n, d], [m, d] -> distances [n, k], int64 indices [n, k]."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    k, only = _arguments.neighbors(keys, k, query_labels, key_labels, only)
    queries = _arrays.points("queries", queries)
    keys = None if keys is None else _arrays.points("keys", keys, queries, "queries")
    if query_labels is not None:
        query_labels = _arrays.labels("query_labels", query_labels, queries)
    if key_labels is not None:
        key_labels = _arrays.labels("key_labels", key_labels, queries)
    return _native.nearest_neighbors(
        queries, keys, query_labels, key_labels, metric, only, k, threads
    )

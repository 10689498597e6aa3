"""Nearest neighbours: the k nearest keys of each query."""

from tf_pairwise import _arguments
from tf_pairwise.numpy import _arrays, _native


def nearest_neighbors(
    queries,
    keys=None,
    k=10,
    *,
    metric="euclidean",
    query_labels=None,
    key_labels=None,
    only=None,
    threads=None,
):
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

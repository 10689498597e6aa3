"""Nearest neighbours: the matrix of distances, then the k least of each row."""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise._types import Metric, Only, TensorLike
from tf_pairwise.reference import _checks
from tf_pairwise.reference.distance import _all_pairs


def nearest_neighbors(
    queries: TensorLike,
    keys: TensorLike | None = None,
    k: int = 10,
    *,
    metric: Metric = "euclidean",
    query_labels: TensorLike | None = None,
    key_labels: TensorLike | None = None,
    only: Only | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """``[n, d], [m, d] -> [n, k], [n, k]``: distances, ascending, and indices of the nearest keys.

    With ``keys=None``, of the queries themselves, each but its own neighbour. ``only`` may be
    ``"same_label"`` or ``"other_label"``. Of equal distances the lower index comes first. Keys
    at distance NaN are left out; what is missing to k is distance +inf and index -1.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    k, only = _arguments.neighbors(keys, k, query_labels, key_labels, only)
    queries = _checks.points("queries", queries, rank=2)
    if keys is not None:
        keys = _checks.points("keys", keys, rank=2)
        _checks.alike("keys", keys, "queries", queries, slice(-1, None))

    distances = _all_pairs(queries, keys, metric)
    infinity = tf.constant(float("inf"), distances.dtype)
    distances = tf.where(tf.math.is_nan(distances), infinity, distances)
    if keys is None:
        diagonal = tf.fill(tf.shape(distances)[:1], infinity)
        distances = tf.linalg.set_diag(distances, diagonal)
    if only != "any":
        query_labels = _checks.labels("query_labels", query_labels, "queries", queries)
        if keys is None:
            key_labels = query_labels
        else:
            key_labels = _checks.labels("key_labels", key_labels, "keys", keys)
        same = tf.equal(query_labels[:, None], key_labels[None, :])
        distances = tf.where(same if only == "same_label" else ~same, distances, infinity)

    # top_k, too, puts the lower index first.
    missing = tf.maximum(k - tf.shape(distances)[1], 0)
    distances = tf.pad(distances, [[0, 0], [0, missing]], constant_values=infinity)
    nearest, indices = tf.math.top_k(-distances, k, index_type=tf.int64)
    indices = tf.where(nearest > -infinity, indices, -tf.ones_like(indices))
    return tf.cast(-nearest, queries.dtype), indices

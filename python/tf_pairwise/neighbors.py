"""Nearest neighbours: the k nearest keys of each query, with no matrix of distances."""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._tensors import ops
from tf_pairwise._types import Metric, Only, TensorLike


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
    """The k nearest keys of each query: exact, ascending, ties by the lower index.

    What a retrieval metric stands on, and with only="other_label" the miner of hard negatives.
    Distances are made a tile at a time, and a query keeps only those that may be among its k
    nearest: time O(n m d), memory O((n + m) d + n k). k costs little up to about 100.

    Args:
      queries: [n, d], float16, bfloat16, float32 or float64.
      keys: [m, d], of the same dtype; None for the queries themselves, of which none is then
        its own neighbour (other points that are equal to it are, at distance 0).
      k: a Python integer, 1 or more; it may be more than m.
      metric: a name `pairwise_distance` takes. "dot" gives maximum inner product search: the
        distances are the products' negatives.
      query_labels: [n] or [n, 1], of any integer dtype; given if, and only if, `only` is.
      key_labels: [m] or [m, 1]; given if, and only if, `only` and keys are. Without keys, the
        query_labels are the keys' as well.
      only: None for every key; "same_label" for those of the query's own label, "other_label"
        for the others.

    Returns:
      distances: [n, k], of the queries' dtype.
      indices: int64 [n, k], rows of keys (of queries, where there are none).

      A query that has fewer than k neighbours has +inf for the missing distances and -1 for
      their indices. A key at distance NaN, because a coordinate of either point is NaN or Inf,
      is no neighbour, nor is one whose distance is beyond the dtype it is computed in: it is
      left out, and a query with a NaN has no neighbour at all. Halves are ranked by their
      distances in float32, which are then rounded.

      Not differentiable: indices are constants, and the distances have no gradient. Where you
      need one, take the points by their indices, and their distances from `paired_distance`:

        indices = tpw.nearest_neighbors(x, k=5)[1]
        near = tf.gather(x, indices)  # [n, 5, d]
        distances = tpw.paired_distance(tf.repeat(x[:, None], 5, axis=1), near)

    Raises:
      ValueError: a k below 1, an argument that is not one of its names, labels without `only`
        or `only` without labels, or, while a graph is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or a k that is not a Python integer.
      tf.errors.InvalidArgumentError: shapes that do not go together.

    Examples:
      >>> x = tf.constant([[0.0], [2.0], [3.0], [7.0]])
      >>> distances, indices = tpw.nearest_neighbors(x, k=2)
      >>> distances.numpy()
      array([[2., 3.],
             [1., 2.],
             [1., 3.],
             [4., 5.]], dtype=float32)
      >>> indices.numpy()
      array([[1, 2],
             [2, 0],
             [1, 0],
             [2, 1]])
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    k, only = _arguments.neighbors(keys, k, query_labels, key_labels, only)
    queries = _tensors.points("queries", queries)
    itself = keys is None
    keys = queries if itself else _tensors.points("keys", keys, queries, "queries")
    if only == "any":
        query_labels = key_labels = _tensors.constant(0, tf.int64)
    else:
        query_labels = _tensors.labels("query_labels", query_labels)
        key_labels = query_labels if itself else _tensors.labels("key_labels", key_labels)
    distances, indices = ops.tf_pairwise_nearest_neighbors(
        queries, keys, query_labels, key_labels, metric, k, only, itself
    )
    return distances, indices


tf.no_gradient("TfPairwise>NearestNeighbors")

"""Metrics of retrieval over a whole epoch: which neighbours the points of each label have."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._types import Metric, TensorLike
from tf_pairwise.keras import _inputs
from tf_pairwise.keras._rows import Rows
from tf_pairwise.keras.metrics import _common
from tf_pairwise.neighbors import nearest_neighbors

# Numbers of neighbours in flight: 12 bytes each.
_NEIGHBORS = 1 << 22
# How far MRR looks at first, and how much farther each time.
_FIRST_LOOK, _FARTHER = 64, 8


class _RetrievalMetric(keras.metrics.Metric):
    """A weighted mean over queries, which are searched for among all others, or in a gallery."""

    def __init__(self, metric: Metric, capacity: int | None, name: str, dtype: Any) -> None:
        super().__init__(dtype=dtype, name=name)
        self._metric = _arguments.one_of("metric", metric, _arguments.METRICS)
        self._capacity = None if capacity is None else _common.integer("capacity", capacity)
        self._rows = Rows(self._capacity)
        self._gallery = None
        self._d = self._points_dtype = None
        self._last = self.add_variable((), _nan, dtype="float32", name="last")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Keeps the labels y_true [n] or [n, 1] and embeddings y_pred [n, d] of a batch.

        sample_weight: [n], the weights of the points as queries.
        """
        if _inputs.replicas() > 1 and not _eagerly_outside_of_replicas():
            raise RuntimeError(
                f"{self.name}: used under a tf.distribute strategy of {_inputs.replicas()} "
                "replicas, expected one: a metric over the whole epoch wants all embeddings "
                "together; the callback EvaluateEmbeddings gives it those"
            )
        if self._capacity is None and _inputs.compiled_by_xla():
            raise RuntimeError(
                f"{self.name}: compiled by XLA, which wants static shapes, without a capacity; "
                "expected capacity=N, or compile(jit_compile=False)"
            )
        mask = _inputs.row_mask(y_pred)
        embeddings = _inputs.expect_rank(_inputs.predictions(y_pred), 2, "[n, d]")
        labels = _inputs.flat_labels(_inputs.labels(y_true), embeddings)
        if sample_weight is None:
            weights = tf.ones_like(labels, tf.float32)
        else:
            weights = tf.cast(_inputs.weights(sample_weight, embeddings), tf.float32)
        columns = (embeddings, labels, weights)
        if mask is not None:
            columns = [tf.boolean_mask(column, mask) for column in columns]
        self._build(embeddings)
        self._rows.write(*columns)

    def set_gallery(self, y_true: TensorLike | None, y_pred: TensorLike | None) -> None:
        """Gives what queries are searched for in, in place of each other: eagerly, once an epoch.

        From then on all that `update_state` brings are queries alone, and a query with no point
        of its label in the gallery does not count. The gallery stays until another is set:
        `reset_state` leaves it. None, None takes it away.

        y_true: labels [m] or [m, 1]. y_pred: embeddings [m, d], of the queries' dtype.
        """
        if y_true is None and y_pred is None:
            self._gallery = None
            return
        if not tf.executing_eagerly():
            raise RuntimeError(f"{self.name}: set_gallery in a graph, expected it to be eager")
        embeddings = _inputs.expect_rank(_inputs.predictions(y_pred), 2, "[m, d]")
        labels = _tensors.labels("y_true", y_true)
        if labels.shape.num_elements() != embeddings.shape[0]:
            raise ValueError(
                f"y_true: got shape {labels.shape}, expected [{embeddings.shape[0]}], a label for "
                "each row of y_pred"
            )
        self._gallery = tf.identity(embeddings), _inputs.flat_labels(labels, embeddings)

    def result(self) -> tf.Tensor:
        """The metric over all that was kept; in a graph, what it was when last computed.

        Keras asks for a result at every step, in the step's graph, and once more, eagerly, at
        the end of an epoch or evaluation; only there are all queries searched for. In the graph
        it is NaN until then.
        """
        if tf.executing_eagerly():
            self._last.assign(self._compute() if self._rows.built else 0.0)
        return tf.cast(tf.convert_to_tensor(self._last), self.dtype)

    def reset_state(self) -> None:
        """Forgets the points; a gallery stays."""
        self._rows.clear()
        self._last.assign(math.nan)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "metric": self._metric, "capacity": self._capacity}

    def _build(self, embeddings):
        d = None if embeddings.shape.rank is None else embeddings.shape[1]
        if not self._rows.built:
            if d is None and self._capacity is not None:
                raise ValueError(
                    f"y_pred: got shape {embeddings.shape} while a graph is traced, expected a "
                    "known last dimension, for which capacity makes room"
                )
            self._d, self._points_dtype = d, embeddings.dtype
            columns = [("embeddings", embeddings.dtype, [d]), ("labels", tf.int64, [])]
            self._rows.build([*columns, ("weights", tf.float32, [])])
        if embeddings.dtype != self._points_dtype:
            raise TypeError(
                f"y_pred: got {embeddings.dtype.name}, expected {self._points_dtype.name} as in "
                "the batches before"
            )
        if None not in (d, self._d) and d != self._d:
            raise ValueError(
                f"y_pred: got shape {embeddings.shape}, expected [n, {self._d}] as in the batches "
                "before"
            )

    def _compute(self):
        embeddings, labels, weights = self._rows.read()
        search = _Search(embeddings, labels, self._gallery, self._metric)
        queries = np.flatnonzero(search.relevant)
        if not len(queries):
            return 0.0
        k = self._k(int(search.relevant.max()))
        total = 0.0
        for rows in search.pieces(queries, k):
            values = self._of_queries(search, rows, k)
            total += float(tf.reduce_sum(values * _float64(tf.gather(weights, rows))))
        weight = float(tf.reduce_sum(_float64(tf.gather(weights, queries))))
        return total / weight if weight else 0.0

    def _k(self, largest):
        """How many neighbours are looked at, where a query has at most `largest` positives."""
        raise NotImplementedError

    def _of_queries(self, search, rows, k):
        """The values of the queries in some rows, float64."""
        raise NotImplementedError


class _Search:
    """Points as queries, and where they are searched for: among the others, or in a gallery.

    Attributes:
      relevant: how many points there are for each query that are of its label.
    """

    def __init__(self, embeddings, labels, gallery, metric):
        self._queries, self._labels, self._metric = embeddings, labels, metric
        self._itself = gallery is None
        self._keys, self._key_labels = (embeddings, labels) if self._itself else gallery
        if self._keys.dtype != embeddings.dtype:
            raise TypeError(
                f"gallery: got {self._keys.dtype.name}, expected {embeddings.dtype.name} as the "
                "queries"
            )
        own = labels.numpy()
        classes, sizes = np.unique(self._key_labels.numpy(), return_counts=True)
        at = np.minimum(np.searchsorted(classes, own), max(len(classes) - 1, 0))
        found = sizes[at] * (classes[at] == own) if len(classes) else np.zeros(len(own), int)
        self.relevant = found - int(self._itself)
        self.size = len(self._key_labels) - int(self._itself)

    def pieces(self, queries, k):
        """So many queries at a time that their k neighbours take some 50 MB."""
        step = max(1, _NEIGHBORS // (min(k, self.size) + 1))
        return [queries[start : start + step] for start in range(0, len(queries), step)]

    def hits(self, rows, k):
        """Whether each of the k nearest of some queries is of the query's label: 0 or 1, [n, k]."""
        k = min(k, self.size)
        queries = tf.gather(self._queries, rows)
        if self._itself:
            neighbors = _others(queries, self._keys, rows, k, self._metric)
        else:
            neighbors = nearest_neighbors(queries, self._keys, k, metric=self._metric)[1]
        same = (
            tf.gather(self._key_labels, tf.maximum(neighbors, 0))
            == tf.gather(self._labels, rows)[:, None]
        )
        return _float64(same & (neighbors >= 0))


@_inputs.register
class RecallAtK(_RetrievalMetric):
    """Recall@k: the share of the queries that have one of their label among their k nearest.

    (Jégou et al. 2011; of embeddings, Oh Song et al. 2016.) Not the share of a query's relevant
    points that are found, which is called recall at k in classification. Over the whole epoch:
    `update_state` keeps embeddings, `result` searches for each among all others, or in the gallery
    that `set_gallery` has given, with `nearest_neighbors`: in O(n m d) time and O((n + m) d)
    memory, without a matrix of distances. A point for whose label there is no other point is no
    query; with no query the result is 0. See `result` for what a training step shows.

    y_true: labels [n] or [n, 1] of any integer dtype. y_pred: embeddings [n, d], kept in the
    dtype they have, the same in all batches. A masked row does not exist.

    Args:
      k: a Python integer, 1 or more.
      metric: a name `pairwise_distance` takes.
      capacity: None to keep all, in a buffer that grows; or how many to keep at most, the latest,
        in one of a fixed size, into which `update_state` also writes when compiled by XLA.
      name: "recall_at_<k>" by default.
      dtype: of the result.

    Raises:
      ValueError, TypeError: a bad option, labels that are not integers, batches that do not go
        together.
      RuntimeError: an update within one of several replicas of a tf.distribute strategy
        (`callbacks.EvaluateEmbeddings` works there), or compiled by XLA without a capacity.

    Examples:
      >>> recall = tpw.keras.metrics.RecallAtK(1)
      >>> recall.update_state([0, 0, 1, 1], [[0.0], [1.0], [1.5], [2.25]])
      >>> float(recall.result())
      0.5
      >>> recall.set_gallery([0, 1], [[0.0], [1.25]])
      >>> float(recall.result())
      0.75
    """

    def __init__(
        self,
        k: int = 1,
        metric: Metric = "euclidean",
        capacity: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self._neighbors_k = _common.integer("k", k)
        super().__init__(metric, capacity, name or f"recall_at_{k}", dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self._neighbors_k}

    def _k(self, largest):
        return self._neighbors_k

    def _of_queries(self, search, rows, k):
        return tf.reduce_max(search.hits(rows, k), axis=1)


@_inputs.register
class PrecisionAtK(RecallAtK):
    """Precision@k: the mean share of a query's k nearest that are of its label.

    Where there are fewer than k points to find, those that are missing count as wrong. Over the
    whole epoch, or in a gallery, as `RecallAtK`, also in what counts as a query, time and memory.

    y_true: labels [n] or [n, 1] of any integer dtype. y_pred: embeddings [n, d].

    Args:
      k: a Python integer, 1 or more.
      metric: a name `pairwise_distance` takes.
      capacity: None to keep all points, or how many to keep at most, the latest.
      name: "precision_at_<k>" by default.
      dtype: of the result.

    Raises:
      ValueError, TypeError, RuntimeError: where `RecallAtK` raises them.

    Examples:
      >>> precision = tpw.keras.metrics.PrecisionAtK(2)
      >>> precision.update_state([0, 0, 0, 1, 1], [[0.0], [1.0], [2.5], [4.0], [5.0]])
      >>> float(precision.result())
      0.699999988079071
    """

    def __init__(
        self,
        k: int = 1,
        metric: Metric = "euclidean",
        capacity: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(k, metric, capacity, name or f"precision_at_{k}", dtype)

    def _of_queries(self, search, rows, k):
        return tf.reduce_sum(search.hits(rows, k), axis=1) / k


class _AtR(_RetrievalMetric):
    def _k(self, largest):
        return largest

    def _of_queries(self, search, rows, k):
        hits, others = search.hits(rows, k), search.relevant[rows]
        places = tf.range(1, tf.shape(hits, out_type=tf.int64)[1] + 1)
        hits *= _float64(places <= others[:, None])
        return tf.reduce_sum(self._gains(hits, places), axis=1) / _float64(others)

    def _gains(self, hits, places):
        """What each hit among the first R counts for."""
        raise NotImplementedError


@_inputs.register
class RPrecision(_AtR):
    """R-precision: the mean share of a query's R nearest that are of its label.

    R is how many points of its label there are to find, so that 1 is reached when those are the
    nearest (Musgrave et al. 2020). Over the whole epoch, or in a gallery, as `RecallAtK`, also in
    what counts as a query; as many neighbours are looked for as the largest class has points, for
    so many queries at a time that it takes about 50 MB.

    y_true: labels [n] or [n, 1] of any integer dtype. y_pred: embeddings [n, d].

    Args:
      metric: a name `pairwise_distance` takes.
      capacity: None to keep all points, or how many to keep at most, the latest.
      name: "r_precision" by default.
      dtype: of the result.

    Raises:
      ValueError, TypeError, RuntimeError: where `RecallAtK` raises them.

    Examples:
      >>> r_precision = tpw.keras.metrics.RPrecision()
      >>> r_precision.update_state([0, 0, 0, 1], [[0.0], [1.0], [3.0], [1.9]])
      >>> float(r_precision.result())
      0.5
    """

    def __init__(
        self,
        metric: Metric = "euclidean",
        capacity: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(metric, capacity, name or "r_precision", dtype)

    def _gains(self, hits, places):
        return hits


@_inputs.register
class MeanAveragePrecisionAtR(_AtR):
    """MAP@R (Musgrave et al. 2020, "A Metric Learning Reality Check").

    For a query with R points of its label to find, 1/R times the sum over i = 1 ... R of the
    precision at i (the share of its i nearest that have its label) where the i-th is of its label,
    and 0 where not; the mean over the queries. Over the whole epoch, or in a gallery, as
    `RecallAtK`, also in what counts as a query; as many neighbours are looked for as the largest
    class has points, for so many queries at a time that it takes about 50 MB.

    y_true: labels [n] or [n, 1] of any integer dtype. y_pred: embeddings [n, d].

    Args:
      metric: a name `pairwise_distance` takes.
      capacity: None to keep all points, or how many to keep at most, the latest.
      name: "mean_average_precision_at_r" by default.
      dtype: of the result.

    Raises:
      ValueError, TypeError, RuntimeError: where `RecallAtK` raises them.

    Examples:
      >>> map_at_r = tpw.keras.metrics.MeanAveragePrecisionAtR()
      >>> map_at_r.update_state([0, 0, 0, 1], [[0.0], [1.0], [3.0], [1.9]])
      >>> float(map_at_r.result())
      0.3333333432674408
    """

    def __init__(
        self,
        metric: Metric = "euclidean",
        capacity: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(metric, capacity, name or "mean_average_precision_at_r", dtype)

    def _gains(self, hits, places):
        return tf.cumsum(hits, axis=1) / _float64(places) * hits


@_inputs.register
class MRR(_RetrievalMetric):
    """The mean reciprocal rank: one over the place of a query's nearest point of its label.

    (Voorhees 1999.) Exact, however far that point is: queries that find none of their label among
    some neighbours look at more, up to all. Over the whole epoch, or in a gallery, as `RecallAtK`,
    also in what counts as a query; for so many queries at a time that it takes about 50 MB.

    y_true: labels [n] or [n, 1] of any integer dtype. y_pred: embeddings [n, d].

    Args:
      metric: a name `pairwise_distance` takes.
      capacity: None to keep all points, or how many to keep at most, the latest.
      name: "mrr" by default.
      dtype: of the result.

    Raises:
      ValueError, TypeError, RuntimeError: where `RecallAtK` raises them.

    Examples:
      >>> mrr = tpw.keras.metrics.MRR()
      >>> mrr.update_state([0, 0, 1, 1], [[0.0], [1.0], [1.5], [2.25]])
      >>> float(mrr.result())
      0.75
    """

    def __init__(
        self,
        metric: Metric = "euclidean",
        capacity: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(metric, capacity, name or "mrr", dtype)

    def _k(self, largest):
        return _FIRST_LOOK

    def _of_queries(self, search, rows, k):
        values = np.zeros(len(rows))
        left = np.arange(len(rows))
        while len(left):
            for piece in search.pieces(left, k):
                hits = search.hits(rows[piece], k).numpy()
                first = hits.argmax(axis=1)
                values[piece] = hits[np.arange(len(piece)), first] / (1.0 + first)
            # A query that finds none among all has points that are NaN.
            left = left[values[left] == 0] if k < search.size else left[:0]
            k *= _FARTHER
        return tf.constant(values, tf.float64)


# ---- inputs ----


def _others(queries, keys, rows, k, metric):
    """The k nearest others of some of the keys, -1 where there are fewer."""
    indices = nearest_neighbors(queries, keys, k + 1, metric=metric)[1]
    itself = indices == rows[:, None]
    # The row itself need not be the first: it may have duplicates, and of "dot" it is anywhere.
    last = tf.range(k + 1)[None, :] == k
    dropped = itself | (last & ~tf.reduce_any(itself, axis=1, keepdims=True))
    return tf.reshape(tf.boolean_mask(indices, ~dropped), [-1, k])


def _float64(x):
    return tf.cast(x, tf.float64)


def _eagerly_outside_of_replicas():
    return tf.executing_eagerly() and not _inputs.in_replica_of_several()


def _nan(shape, dtype=None):
    return tf.fill(shape, tf.constant(math.nan, dtype))

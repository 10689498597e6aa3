"""Keras metrics of retrieval and ranking, on `nearest_neighbors` and `list_ranking_loss`."""

import math

import keras
import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise.keras import _inputs
from tf_pairwise.keras._rows import Rows
from tf_pairwise.neighbors import nearest_neighbors
from tf_pairwise.ranking import list_ranking_loss

# Numbers of neighbours in flight: 12 bytes each.
_NEIGHBORS = 1 << 22


class _RetrievalMetric(keras.metrics.Metric):
    """A weighted mean over queries, each of which is searched for among all other points."""

    def __init__(self, metric, capacity, name, dtype):
        super().__init__(dtype=dtype, name=name)
        self._metric = _arguments.one_of("metric", metric, _arguments.METRICS)
        self._capacity = None if capacity is None else _integer("capacity", capacity)
        self._rows = Rows(self._capacity)
        self._d = self._points_dtype = None
        self._last = self.add_variable((), _nan, dtype="float32", name="last")

    def update_state(self, y_true, y_pred, sample_weight=None):
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

    def result(self):
        """The metric over all that was kept; in a graph, what it was when last computed.

        Keras asks for a result at every step, in the step's graph, and once more, eagerly, at
        the end of an epoch or evaluation; only there are all queries searched for. In the graph
        it is NaN until then.
        """
        if tf.executing_eagerly():
            self._last.assign(self._compute() if self._rows.built else 0.0)
        return tf.cast(tf.convert_to_tensor(self._last), self.dtype)

    def reset_state(self):
        self._rows.clear()
        self._last.assign(math.nan)

    def get_config(self):
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
        _, classes, sizes = tf.unique_with_counts(labels, tf.int64)
        others = tf.gather(sizes, classes) - 1
        queries = tf.where(others > 0)[:, 0]
        if not len(queries):
            return 0.0
        k = min(self._k(int(tf.reduce_max(others))), len(labels) - 1)
        total = tf.constant(0.0, tf.float64)
        step = max(1, _NEIGHBORS // (k + 1))
        for start in range(0, len(queries), step):
            rows = queries[start : start + step]
            neighbors = _neighbors(embeddings, rows, k, self._metric)
            hits = tf.gather(labels, tf.maximum(neighbors, 0)) == tf.gather(labels, rows)[:, None]
            hits = tf.cast(hits & (neighbors >= 0), tf.float64)
            values = self._of_queries(hits, tf.gather(others, rows))
            total += tf.reduce_sum(values * tf.cast(tf.gather(weights, rows), tf.float64))
        weight = tf.reduce_sum(tf.cast(tf.gather(weights, queries), tf.float64))
        return tf.cast(tf.math.divide_no_nan(total, weight), tf.float32)

    def _k(self, largest):
        """How many neighbours are looked at, where a query has at most `largest` positives."""
        raise NotImplementedError

    def _of_queries(self, hits, others):
        """The values of queries: from whether each neighbour is of the label, and R."""
        raise NotImplementedError


@_inputs.register
class RecallAtK(_RetrievalMetric):
    """Recall@k: the share of the points that have one of their label among their k nearest others.

    (Jégou et al. 2011; of embeddings, Oh Song et al. 2016.) Over the whole epoch: `update_state`
    keeps embeddings, `result` searches for each among all others with `nearest_neighbors`, in
    O(n^2 d) time and O(n d) memory, without a matrix of distances. A point whose label no other
    point has is no query; with no query the result is 0. See `result` for what a training step
    shows.

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

    Example:
      >>> recall = tpw.keras.metrics.RecallAtK(1)
      >>> recall.update_state([0, 0, 1, 1], [[0.0], [1.0], [1.5], [2.25]])
      >>> float(recall.result())
      0.5
    """

    def __init__(self, k=1, metric="euclidean", capacity=None, name=None, dtype=None):
        self._neighbors_k = _integer("k", k)
        super().__init__(metric, capacity, name or f"recall_at_{k}", dtype)

    def get_config(self):
        return {**super().get_config(), "k": self._neighbors_k}

    def _k(self, largest):
        return self._neighbors_k

    def _of_queries(self, hits, others):
        return tf.reduce_max(hits, axis=1)


@_inputs.register
class MeanAveragePrecisionAtR(_RetrievalMetric):
    """MAP@R (Musgrave et al. 2020, "A Metric Learning Reality Check").

    For a query with R other points of its label, 1/R times the sum over i = 1 ... R of the
    precision at i (the share of its i nearest others that have its label) where the i-th is of
    its label, and 0 where not; the mean over the queries. Over the whole epoch, as `RecallAtK`,
    also in what counts as a query; as many neighbours are looked for as the largest class has
    points, for so many queries at a time that it takes about 50 MB.

    Args:
      metric, capacity, dtype: as `RecallAtK`.
      name: "mean_average_precision_at_r" by default.

    Raises:
      As `RecallAtK`.

    Example:
      >>> map_at_r = tpw.keras.metrics.MeanAveragePrecisionAtR()
      >>> map_at_r.update_state([0, 0, 0, 1], [[0.0], [1.0], [3.0], [1.9]])
      >>> float(map_at_r.result())
      0.3333333432674408
    """

    def __init__(self, metric="euclidean", capacity=None, name=None, dtype=None):
        super().__init__(metric, capacity, name or "mean_average_precision_at_r", dtype)

    def _k(self, largest):
        return largest

    def _of_queries(self, hits, others):
        i = tf.range(1, tf.shape(hits, out_type=tf.int64)[1] + 1)
        precision = tf.cumsum(hits, axis=1) / tf.cast(i, tf.float64)
        counted = hits * tf.cast(i <= others[:, None], tf.float64)
        return tf.reduce_sum(precision * counted, axis=1) / tf.cast(others, tf.float64)


class _RatioMetric(keras.metrics.Metric):
    """A share of a sum, both of which are streamed in float64."""

    def __init__(self, name, dtype):
        super().__init__(dtype=dtype, name=name)
        self.total = self.add_variable((), "zeros", dtype="float64", name="total")
        self.count = self.add_variable((), "zeros", dtype="float64", name="count")

    def result(self):
        """The share; 0 where there is nothing to count."""
        total, count = (tf.convert_to_tensor(x) for x in (self.total, self.count))
        return tf.cast(tf.math.divide_no_nan(total, count), self.dtype)


@_inputs.register
class NDCG(_RatioMetric):
    """The normalised discounted cumulative gain, the mean over lists (Järvelin & Kekäläinen 2002).

    DCG is the sum over a list's items of (2^relevance - 1) / log2(1 + rank) (Burges et al. 2005),
    with ranks 1, 2, ... by score, descending, ties in input order, up to `topn`; NDCG is that
    over the DCG of the best order. Streaming: O(B L log L) time a batch, and two numbers of
    state. Items of a relevance below 0 and masked ones do not exist; lists in which no order has
    a gain are left out. A list with a score that is NaN makes the result NaN.

    y_true: relevance [B, L], of any real dtype. y_pred: scores [B, L] or [B, L, 1]. Both may be
    tf.RaggedTensor. sample_weight: [B] or [B, 1], a weight per list.

    Args:
      topn: a Python integer, 1 or more; None for all ranks.
      name: "ndcg", or "ndcg_at_<topn>", by default.
      dtype: of the result.

    Raises:
      ValueError, TypeError: a topn that is not an integer of 1 or more, y_pred of a shape or
        dtype that is not taken.

    Example:
      >>> ndcg = tpw.keras.metrics.NDCG()
      >>> ndcg.update_state([[0, 1, 0]], [[3.0, 2.0, 1.0]])
      >>> float(ndcg.result())
      0.6309297680854797
    """

    def __init__(self, topn=None, name=None, dtype=None):
        self.topn = None if topn is None else _integer("topn", topn)
        super().__init__(name or ("ndcg" if topn is None else f"ndcg_at_{topn}"), dtype)

    def get_config(self):
        return {**super().get_config(), "topn": self.topn}

    def update_state(self, y_true, y_pred, sample_weight=None):
        scores, relevance, exists = _lists(y_true, y_pred)
        if isinstance(scores, tf.RaggedTensor):
            scores, relevance = scores.to_tensor(), relevance.to_tensor(-1)
            exists = relevance >= 0
        if scores.dtype in (tf.float16, tf.bfloat16):
            scores = tf.cast(scores, tf.float32)
        relevance = tf.cast(relevance, tf.float64)
        gains = tf.where(exists, tf.pow(tf.constant(2.0, tf.float64), relevance) - 1.0, 0.0)
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        gains_in_order = tf.gather(gains, order, batch_dims=1)
        # What does not exist takes no rank, wherever its score puts it.
        ranks = tf.cumsum(tf.cast(tf.gather(exists, order, batch_dims=1), tf.float64), axis=1)
        best = tf.sort(gains, direction="DESCENDING")
        best_ranks = tf.range(1.0, tf.cast(tf.shape(gains)[1], tf.float64) + 1.0)
        ideal = self._dcg(best, best_ranks)
        value = tf.math.divide_no_nan(self._dcg(gains_in_order, ranks), ideal)
        unknown = tf.reduce_any(exists & tf.math.is_nan(scores), axis=1)
        value = tf.where(unknown, tf.constant(math.nan, tf.float64), value)
        weight = tf.cast(ideal > 0, tf.float64)
        if sample_weight is not None:
            weight *= tf.cast(_inputs.weights(sample_weight, scores), tf.float64)
        self.total.assign_add(tf.reduce_sum(tf.math.multiply_no_nan(value, weight)))
        self.count.assign_add(tf.reduce_sum(weight))

    def _dcg(self, gains, ranks):
        discounts = math.log(2.0) / tf.math.log1p(tf.maximum(ranks, 1.0))
        if self.topn is not None:
            discounts = tf.where(ranks <= self.topn, discounts, 0.0)
        return tf.reduce_sum(gains * discounts, axis=1)


@_inputs.register
class PairwiseAccuracy(_RatioMetric):
    """The share of the pairs of items in the right order: over all lists, the AUC of the scores.

    Of the pairs (i, j) of one list with relevance_i > relevance_j, those with s_i > s_j, and half
    of those with s_i = s_j (Hanley & McNeil 1982). Streaming: the pairs are counted by
    `list_ranking_loss` in O(B L^2) time and O(L) memory. Items of a relevance below 0 and masked
    ones do not exist. A score that is not finite, in a pair, makes the result NaN; float64 scores
    that differ by less than 1e-98 may count as equal.

    y_true, y_pred: as `NDCG`. sample_weight: [B] or [B, 1], a weight per list, or [B, L] per item,
    the weight of a pair being that of the preferred one.

    Args:
      name: "pairwise_accuracy" by default.
      dtype: of the result.

    Raises:
      ValueError, TypeError: y_pred of a shape or dtype that is not taken.

    Example:
      >>> accuracy = tpw.keras.metrics.PairwiseAccuracy()
      >>> accuracy.update_state([[2, 1, 0]], [[3.0, 1.0, 1.0]])
      >>> float(accuracy.result())
      0.8333333134651184
    """

    def __init__(self, name=None, dtype=None):
        super().__init__(name or "pairwise_accuracy", dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        scores, relevance, exists = _lists(y_true, y_pred)
        scores = tf.cast(scores, tf.float64)
        items = None
        if sample_weight is not None:
            items, _ = _inputs.item_weights(sample_weight, scores)
        mask = None if isinstance(exists, tf.RaggedTensor) else exists
        options = {"loss": "soft_zero_one", "item_weight": items, "mask": mask, "reduction": "sum"}
        # At this temperature the sigmoid is 0, 1/2 or 1: for all scores alike it is 1/2.
        wrong = list_ranking_loss(scores, relevance, temperature=1e-100, **options)
        pairs = 2.0 * list_ranking_loss(tf.zeros_like(scores), relevance, **options)
        self.total.assign_add(pairs - wrong)
        self.count.assign_add(pairs)


# ---- inputs ----


def _neighbors(embeddings, rows, k, metric):
    """The k nearest others of some rows of the embeddings, -1 where there are fewer."""
    indices = nearest_neighbors(tf.gather(embeddings, rows), embeddings, k + 1, metric=metric)[1]
    itself = indices == rows[:, None]
    # The row itself need not be the first: it may have duplicates, and of "dot" it is anywhere.
    last = tf.range(k + 1)[None, :] == k
    dropped = itself | (last & ~tf.reduce_any(itself, axis=1, keepdims=True))
    return tf.reshape(tf.boolean_mask(indices, ~dropped), [-1, k])


def _lists(y_true, y_pred):
    """Scores, relevance and which items exist; all ragged or none."""
    scores = _inputs.scores(y_pred)
    mask = _inputs.item_mask(y_pred, scores)
    if y_true is None:
        raise TypeError("y_true: got None, expected the relevance of the items")
    relevance = _inputs.tensor(y_true)
    if isinstance(scores, tf.RaggedTensor) != isinstance(relevance, tf.RaggedTensor):
        raise TypeError("y_true, y_pred: got one RaggedTensor, expected both to be or neither")
    exists = relevance >= 0
    return scores, relevance, exists if mask is None else exists & mask


def _eagerly_outside_of_replicas():
    return tf.executing_eagerly() and not _inputs.in_replica_of_several()


def _nan(shape, dtype=None):
    return tf.fill(shape, tf.constant(math.nan, dtype))


def _integer(name, value):
    return _arguments.integer(name, value, least=1, below=2**31 - 1)

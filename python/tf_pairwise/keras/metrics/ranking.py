"""Metrics of ranked lists, which are streamed: NDCG and the accuracy of pairs."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tf_pairwise.keras import _inputs
from tf_pairwise.keras.metrics import _common
from tf_pairwise.ranking import list_ranking_loss


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

    Examples:
      >>> ndcg = tpw.keras.metrics.NDCG()
      >>> ndcg.update_state([[0, 1, 0]], [[3.0, 2.0, 1.0]])
      >>> float(ndcg.result())
      0.6309297680854797
    """

    def __init__(self, topn: int | None = None, name: str | None = None, dtype: Any = None) -> None:
        self.topn = None if topn is None else _common.integer("topn", topn)
        super().__init__(name or ("ndcg" if topn is None else f"ndcg_at_{topn}"), dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "topn": self.topn}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
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

    Examples:
      >>> accuracy = tpw.keras.metrics.PairwiseAccuracy()
      >>> accuracy.update_state([[2, 1, 0]], [[3.0, 1.0, 1.0]])
      >>> float(accuracy.result())
      0.8333333134651184
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name or "pairwise_accuracy", dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
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

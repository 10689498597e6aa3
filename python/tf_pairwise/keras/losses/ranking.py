"""Ranking losses: of given pairs of scores, and over the pairs of each list."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_pairwise import _arguments, ranking
from tf_pairwise._types import (
    LambdaWeight,
    ListLoss,
    ListReduction,
    OverSamples,
    PairLoss,
    Reduction,
)
from tf_pairwise.keras import _inputs
from tf_pairwise.keras.losses import _base


@_inputs.register
class PairwiseRankingLoss(_base.GivenLoss):
    """`pairwise_ranking_loss` (RankNet, Burges et al. 2005) of given pairs of scores.

    With x = (the other's score - the preferred one's) / temperature: softplus(x),
    max(0, margin + x) or sigmoid(x). y_true is not used; y_pred: [n, 2], the scores of the
    preferred items and of the others. Lists with a relevance per item are for `ListRankingLoss`.

    Args:
      loss: "logistic", "hinge" or "soft_zero_one".
      margin: of "hinge", a number, 0 or more.
      temperature: what differences of scores are divided by, a number above 0.
      reduction: "mean", "sum", "none" or None, "mean_nonzero", "sum_over_batch_size" or
        "mean_with_sample_weight": see the module.
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.PairwiseRankingLoss(loss="hinge")
      >>> y_pred = [[2.0, 1.5], [0.5, 1.0]]
      >>> print(f"{float(loss(None, y_pred)):.4f}")
      1.0000
    """

    rank, stacked = 2, "[n, 2]"

    def __init__(
        self,
        *,
        loss: PairLoss = "logistic",
        margin: float = 1.0,
        temperature: float = 1.0,
        reduction: Reduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = _ranking_options(loss, _arguments.PAIR_LOSSES, margin, temperature)
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(ranking.pairwise_ranking_loss, options, _arguments.REDUCTIONS, **common)

    def _value(self, y_true, y_pred, sample_weight, reduction):
        shape = _inputs.tensor(y_pred).shape
        if shape.rank == 2 and shape[1] not in (2, None):
            raise ValueError(
                f"y_pred: got shape {shape}, expected [n, 2], the scores of pairs; lists [B, L] "
                "with a relevance per item are for ListRankingLoss"
            )
        if y_true is not None:
            y_pred = _not_of_lists(_inputs.tensor(y_true), y_pred)
        return super()._value(y_true, y_pred, sample_weight, reduction)


@_inputs.register
class ListRankingLoss(_base.Loss):
    """`list_ranking_loss` over the pairs of items of each list.

    The pairs are those with relevance_i > relevance_j, of the loss of `PairwiseRankingLoss`, or
    for "mse" all; lambda weights make it LambdaRank (Burges et al. 2006) or LambdaLoss (Wang et
    al. 2018). y_true: relevance [B, L], of any real dtype; y_pred: scores [B, L] or [B, L, 1]; or
    both tf.RaggedTensor. An item that is masked, or of a relevance below 0, does not exist.

    Args:
      loss: "logistic", "hinge", "soft_zero_one" or "mse".
      lambda_weight: None, "label_diff", "dcg" or "ndcg": what the loss of a pair is multiplied by.
      topn: None, or the last rank that counts for "dcg" and "ndcg", a Python integer.
      margin: of "hinge", a number, 0 or more.
      temperature: what differences of scores are divided by, a number above 0.
      reduction: "mean", "sum", "none" or None, "mean_nonzero", "mean_lists",
        "mean_with_sample_weight", or "sum_over_batch_size", which divides by the number of lists
        that are not masked whole.
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.ListRankingLoss(lambda_weight="ndcg")
      >>> y_pred = [[0.5, 1.0, 0.2]]
      >>> print(f"{float(loss([[2, 0, 1]], y_pred)):.4f}")
      0.1661
    """

    def __init__(
        self,
        *,
        loss: ListLoss = "logistic",
        lambda_weight: LambdaWeight | None = None,
        topn: int | None = None,
        margin: float = 1.0,
        temperature: float = 1.0,
        reduction: ListReduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = _ranking_options(loss, _arguments.LIST_LOSSES, margin, temperature)
        _arguments.lambda_weight(lambda_weight, topn, loss)
        options |= {"lambda_weight": lambda_weight, "topn": topn}
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(ranking.list_ranking_loss, options, _arguments.LIST_REDUCTIONS, **common)

    def _value(self, y_true, y_pred, sample_weight, reduction):
        scores = _inputs.scores(y_pred, self._cast_to)
        mask = _inputs.item_mask(y_pred, scores)
        if y_true is None:
            raise TypeError("y_true: got None, expected the relevance of the items")
        relevance = _inputs.tensor(y_true)
        exists = relevance >= 0 if mask is None else mask & (relevance >= 0)
        lists = tf.reduce_any(exists, axis=1)
        samples, items = tf.math.count_nonzero(lists), None
        if sample_weight is not None:
            items, of_lists = _inputs.item_weights(sample_weight, scores)
            if reduction == "mean_with_sample_weight":
                counted = (exists, items) if of_lists is None else (lists, of_lists)
                samples = _inputs.sum_where(*counted)
        return self._reduced([scores, relevance], samples, reduction, item_weight=items, mask=mask)


def _not_of_lists(y_true, y_pred):
    """y_pred; y_true that differs within a row says something, and would not be heard."""
    if isinstance(y_true, tf.RaggedTensor) or y_true.shape.rank != 2 or y_true.shape[1] != 2:
        return y_pred
    check = tf.debugging.assert_equal(
        y_true[:, 0],
        y_true[:, 1],
        "y_true: got values that differ within a row, expected none, or any that do not: the first "
        "score of a row is that of the preferred item. A relevance per item is for ListRankingLoss",
    )
    if check is None:  # eager, and well
        return y_pred
    with tf.control_dependencies([check]):
        return tf.identity(y_pred)


def _ranking_options(loss, losses, margin, temperature):
    _arguments.ranking(loss, losses, margin, temperature, "mean", _arguments.REDUCTIONS)
    return {"loss": loss, "margin": float(margin), "temperature": float(temperature)}

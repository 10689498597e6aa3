"""Ranking losses: of explicit pairs of scores, and over the pairs of each list."""

from __future__ import annotations

import numpy as np

from tf_pairwise import _arguments
from tf_pairwise._types import (
    ArrayLike,
    Arrays,
    LambdaWeight,
    ListLoss,
    ListReduction,
    PairLoss,
    Reduction,
)
from tf_pairwise.numpy import _arrays, _native


def pairwise_ranking_loss(
    scores_pos: ArrayLike,
    scores_neg: ArrayLike,
    *,
    loss: PairLoss = "logistic",
    margin: float = 1.0,
    temperature: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.pairwise_ranking_loss`: two of one shape -> a scalar, or that shape.

    With with_gradient, (loss, (scores_pos_grad, scores_neg_grad)): the gradients of the loss, or
    of the sum of the losses with reduction "none".
    """
    margin, temperature = _arguments.ranking(
        *(loss, _arguments.PAIR_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.REDUCTIONS),
    )
    scores_pos = _arrays.points("scores_pos", scores_pos)
    scores_neg = _arrays.points("scores_neg", scores_neg, scores_pos, "scores_pos")
    value, gradients = _native.pairwise_ranking_loss(
        scores_pos,
        scores_neg,
        _arrays.weights(sample_weight, scores_pos),
        loss,
        reduction,
        margin,
        temperature,
        bool(with_gradient),
        threads,
    )
    return (value, gradients) if with_gradient else value


def list_ranking_loss(
    scores: ArrayLike,
    relevance: ArrayLike,
    *,
    loss: ListLoss = "logistic",
    lambda_weight: LambdaWeight | None = None,
    topn: int | None = None,
    margin: float = 1.0,
    temperature: float = 1.0,
    item_weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    row_splits: ArrayLike | None = None,
    reduction: ListReduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.list_ranking_loss`: [B, L] -> a scalar, or [B, L] with reduction "none".

    Lists of different lengths: scores, relevance, item_weight and mask are [n], and list b is
    their [row_splits[b]:row_splits[b + 1]], as the values and row_splits of a tf.RaggedTensor.

    With with_gradient, (loss, scores_grad): the gradient of the loss, or of the sum of the
    losses with reduction "none".
    """
    margin, temperature = _arguments.ranking(
        *(loss, _arguments.LIST_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.LIST_REDUCTIONS),
    )
    lambda_weight, topn = _arguments.lambda_weight(lambda_weight, topn, loss)
    scores = _arrays.points("scores", scores)
    mask = _arrays.mask(mask, scores)
    value, gradients = _native.list_ranking_loss(
        scores,
        _arrays.real("relevance", relevance, np.float64, scores),
        None if row_splits is None else _arrays.row_splits(row_splits),
        mask,
        _arrays.weights(item_weight, scores, "item_weight"),
        loss,
        lambda_weight,
        topn,
        reduction,
        margin,
        temperature,
        bool(with_gradient),
        threads,
    )
    return (value, gradients[0]) if with_gradient else value

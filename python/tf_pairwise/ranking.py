"""Ranking losses: of explicit pairs of scores, and over the pairs of items of each list."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._tensors import ops
from tf_pairwise._types import (
    LambdaWeight,
    ListLoss,
    ListReduction,
    PairLoss,
    RaggedLike,
    Reduction,
    TensorLike,
)


def pairwise_ranking_loss(
    scores_pos: TensorLike,
    scores_neg: TensorLike,
    *,
    loss: PairLoss = "logistic",
    margin: float = 1.0,
    temperature: float = 1.0,
    sample_weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> tf.Tensor:
    """The ranking loss of given pairs: the first of each should score above the second.

    With x = (scores_neg - scores_pos) / temperature:

    =============== ============================================================
    loss            of a pair
    =============== ============================================================
    "logistic"      softplus(x) (RankNet, Burges et al. 2005)
    "hinge"         max(0, margin + x) (Joachims 2002)
    "soft_zero_one" sigmoid(x), a smooth count of the pairs in wrong order
    =============== ============================================================

    Args:
      scores_pos: scores of any shape, float16, bfloat16, float32 or float64.
      scores_neg: of the same shape and dtype.
      loss: one of the names above.
      margin: of "hinge": a Python number, finite and 0 or more.
      temperature: a Python number, finite and above 0.
      sample_weight: of the scores' shape, a weight per pair, of any real dtype; constant to the
        gradient.
      reduction: "none" for the weighted losses, in the scores' shape, "sum", "mean" (their sum
        over the sum of the weights), or "mean_nonzero" (over the weights of the pairs with
        loss > 0). Nothing to count is the loss 0.

    Returns:
      A scalar, or the scores' shape with reduction "none": float64 for float64 scores, else
      float32. Gradients are of the scores' dtype. A score that is not finite makes its pair's
      loss NaN. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.pairwise_ranking_loss` has it.

    Raises:
      ValueError: an argument that is not one of its names, a margin or temperature out of its
        range, or, while a graph is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or an argument that is not a Python number.
      tf.errors.InvalidArgumentError: shapes that do not go together.

    Examples:
      >>> print(f"{float(tpw.pairwise_ranking_loss([2.0, 0.5], [0.0, 1.0], loss='hinge')):.4f}")
      0.7500
    """
    options = _arguments.ranking(
        *(loss, _arguments.PAIR_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.REDUCTIONS),
    )
    scores_pos = _tensors.points("scores_pos", scores_pos)
    scores_neg = _tensors.points("scores_neg", scores_neg, scores_pos, "scores_pos")
    weights, weighted = _tensors.weights(sample_weight, _tensors.accumulator(scores_pos.dtype))
    return ops.tf_pairwise_pairwise_ranking_loss(
        scores_pos,
        scores_neg,
        weights,
        loss,
        reduction,
        *options,
        weighted,
        _tensors.recording(reduction, scores_pos, scores_neg),
    )[0]


def list_ranking_loss(
    scores: RaggedLike,
    relevance: RaggedLike,
    *,
    loss: ListLoss = "logistic",
    lambda_weight: LambdaWeight | None = None,
    topn: int | None = None,
    margin: float = 1.0,
    temperature: float = 1.0,
    item_weight: RaggedLike | None = None,
    mask: RaggedLike | None = None,
    reduction: ListReduction = "mean",
) -> tf.Tensor | tf.RaggedTensor:
    """The ranking loss over the pairs of items of each list.

    The pairs are the (i, j) of one list with relevance_i > relevance_j, whose loss is that of
    `pairwise_ranking_loss`, with x = (s_j - s_i) / temperature; or, for "mse", all ordered pairs
    i != j with ((s_i - s_j) - (y_i - y_j))^2 of the scores s and relevances y, without margin
    and temperature. A pair has the weight of item i, the preferred one.

    ============= ==========================================================================
    lambda_weight what it multiplies the loss of a pair by (Burges et al. 2006, LambdaRank;
                  Wang et al. 2018, LambdaLoss)
    ============= ==========================================================================
    "label_diff"  |y_i - y_j|
    "dcg"         |g_i - g_j| |d_i - d_j|, by which DCG changes if the two change places: gain
                  g = 2^y - 1, discount d = 1 / log2(1 + rank), 0 where rank > topn
    "ndcg"        "dcg" over the ideal DCG of the list at topn; 0 where that is 0
    ============= ==========================================================================

    Ranks are 1, 2, ... by the current scores, descending, ties in input order, among the items
    that exist. Lambda weights are constant to the gradient, and are in no denominator of a mean.

    Lists are never padded, and pairs are made a tile at a time and never stored. A list of L
    items takes O(L^2) time and O(L) memory with "logistic" and "soft_zero_one", and with "hinge"
    and "dcg" or "ndcg"; "hinge" takes O(L log L) otherwise, and "mse" O(L). Where a tape records,
    the gradient is made in the same pass.

    Args:
      scores: [B, L], or a tf.RaggedTensor of B lists; float16, bfloat16, float32 or float64.
      relevance: as scores, of any real dtype. Graded or not: what counts is which is higher, and
        with "mse" and lambda weights by how much. An item whose relevance is below 0, or NaN,
        does not exist.
      loss: "logistic", "hinge", "soft_zero_one" or "mse".
      lambda_weight: None, or one of the names above. Not with "mse".
      topn: a Python integer, for "dcg" and "ndcg"; None for all ranks.
      margin: of "hinge": a Python number, finite and 0 or more.
      temperature: a Python number, finite and above 0; not used by "mse".
      item_weight: as scores, a weight per item, of any real dtype.
      mask: as scores, bool: where it is False the item does not exist.
      reduction: "none" for each item's weighted sum over the pairs it is preferred in, "sum",
        "mean" (over the weights of all pairs), "mean_nonzero" (over those of the pairs with
        loss > 0), or "mean_lists" (the mean over lists of the list's own "mean"; lists whose
        pairs have no weight, or that have no pair, are left out). Nothing to count is the loss 0.

    Returns:
      A scalar, or the shape of scores, ragged where they are, with reduction "none": float64 for
      float64 scores, else float32. There is a gradient for the scores alone, of their dtype:
      relevance and item_weight are constants. A score of an existing item that is not finite
      makes the loss and the gradient of its list NaN. A second derivative is an
      UnimplementedError: `tf_pairwise.reference.list_ranking_loss` has it.

    Raises:
      ValueError: an argument that is not one of its names or out of its range, or, while a graph
        is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, ragged and dense arguments together, or an argument
        that is not a Python number.
      tf.errors.InvalidArgumentError: shapes or row splits that do not go together.

    Examples:
      >>> scores = tf.ragged.constant([[3.0, 2.0, 0.0], [1.0, 1.5]])
      >>> relevance = tf.ragged.constant([[2, 0, 1], [1, 0]])
      >>> print(f"{float(tpw.list_ranking_loss(scores, relevance, loss='hinge')):.4f}")
      1.1250
    """
    options = _arguments.ranking(
        *(loss, _arguments.LIST_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.LIST_REDUCTIONS),
    )
    lambda_weight, topn = _arguments.lambda_weight(lambda_weight, topn, loss)
    ragged = isinstance(scores, tf.RaggedTensor)
    lists = _Lists(scores)
    scores = _tensors.points("scores", lists.scores)
    relevance = lists.items("relevance", relevance)
    _not_swapped(scores, relevance)
    weights = None if item_weight is None else lists.items("item_weight", item_weight)
    weights, weighted = _tensors.weights(weights, _tensors.accumulator(scores.dtype), "item_weight")
    if mask is None:
        masked, mask = False, _tensors.constant(True, tf.bool)
    else:
        masked, mask = True, lists.items("mask", mask)
        if mask.dtype != tf.bool:
            raise TypeError(f"mask: got {mask.dtype.name}, expected bool")
    result = ops.tf_pairwise_list_ranking_loss(
        scores,
        _tensors.weights(relevance, tf.float64, "relevance")[0],
        lists.row_splits,
        mask,
        weights,
        loss,
        reduction,
        *options,
        weighted,
        lambda_weight,
        topn,
        ragged,
        masked,
        _tensors.recording(reduction, scores),
    )[0]
    return lists.scores_of(result) if ragged and reduction == "none" else result


def _not_swapped(scores, relevance):
    """Refuses what Keras calls a loss function with: (y_true, y_pred)."""
    if not tf.is_tensor(relevance) or not relevance.dtype.is_floating:
        return
    if _tensors.recording("sum", relevance) and not _tensors.recording("sum", scores):
        raise TypeError(
            "relevance: got a tensor that a gradient is recorded of, and scores that none is, "
            "expected the scores first; Keras calls a loss with (y_true, y_pred), so give compile "
            "the class, tf_pairwise.keras.losses.ListRankingLoss"
        )


class _Lists:
    """Where the lists are, and the items of arguments that are laid out alike."""

    def __init__(self, scores):
        self.ragged = scores if isinstance(scores, tf.RaggedTensor) else None
        if self.ragged is None:
            self.scores, self.row_splits = scores, _tensors.constant(0, tf.int64)
            return
        self.scores = self._flat("scores", scores)
        self.row_splits = tf.cast(scores.row_splits, tf.int64)

    def items(self, name, value):
        """The values of `value`, which has to be ragged where the scores are, and as they."""
        if self.ragged is None:
            if isinstance(value, tf.RaggedTensor):
                raise TypeError(f"{name}: got a RaggedTensor, expected a tensor as scores")
            return value if isinstance(value, tf.Tensor) else tf.convert_to_tensor(value)
        if not isinstance(value, tf.RaggedTensor):
            raise TypeError(f"{name}: got no RaggedTensor, expected one as scores")
        flat = self._flat(name, value)
        if value.row_splits is self.ragged.row_splits:
            return flat
        splits = tf.cast(value.row_splits, tf.int64)
        message = f"{name}: got row splits that are not those of scores"
        if tf.executing_eagerly():
            if not np.array_equal(splits, self.row_splits):
                raise tf.errors.InvalidArgumentError(None, None, message)
            return flat
        if not splits.shape.is_compatible_with(self.row_splits.shape):
            raise ValueError(message)
        same = tf.debugging.assert_equal(splits, self.row_splits, message)
        with tf.control_dependencies([same]):
            return tf.identity(flat)

    def scores_of(self, values):
        """A ragged result, of one value per item."""
        return self.ragged.with_values(values)

    @staticmethod
    def _flat(name, value):
        if value.ragged_rank != 1 or value.values.shape.rank not in (1, None):
            raise ValueError(
                f"{name}: got a RaggedTensor of shape {value.shape}, "
                "expected lists of numbers, [b, (l)]"
            )
        return value.values


# ---- gradients ----

_tensors.register_loss(
    "PairwiseRankingLoss",
    points=(0, 1),
    attributes=("kind", "reduction", "margin", "temperature", "weighted"),
    function=lambda op: "pairwise_ranking_loss",
)
_tensors.register_loss(
    "ListRankingLoss",
    points=(0,),
    attributes=(
        *("kind", "reduction", "margin", "temperature", "weighted"),
        *("lambda_weight", "topn", "ragged", "masked"),
    ),
    function=lambda op: "list_ranking_loss",
)

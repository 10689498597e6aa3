"""Ranking losses: of explicit pairs of scores, and of all pairs of the items of each list.

The loss of a pair with scores s_i and s_j, of which i is preferred, is with
``x = (s_j - s_i) / temperature``

================= ================================================================
``logistic``        ``log(1 + exp(x))``, RankNet, Burges et al. 2005
``hinge``           ``max(0, margin + x)``, Joachims 2002
``soft_zero_one``   ``1 / (1 + exp(-x))``, a smooth count of the pairs in wrong order
``mse``             ``((s_i - s_j) - (y_i - y_j))^2``, over lists only, with relevances y
================= ================================================================
"""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise._types import (
    LambdaWeight,
    ListLoss,
    ListReduction,
    PairLoss,
    RaggedLike,
    Reduction,
    TensorLike,
)
from tf_pairwise.reference import _checks
from tf_pairwise.reference.distance import _computable


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
    """The loss of given pairs: scores of the preferred items and of the others, of one shape."""
    _arguments.ranking(
        *(loss, _arguments.PAIR_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.REDUCTIONS),
    )
    scores_pos = _checks.points("scores_pos", scores_pos)
    scores_neg = _checks.points("scores_neg", scores_neg)
    _checks.alike("scores_neg", scores_neg, "scores_pos", scores_pos, slice(None))
    preferred, other = _computable(scores_pos), _computable(scores_neg)
    weight = _like("sample_weight", sample_weight, preferred)
    preferred, other = _checks.of_weight(weight, preferred, other)
    value = _loss((other - preferred) / temperature, loss, margin)
    return _reduce(value, weight, tf.ones_like(value), reduction)


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
    """The loss over the pairs (i, j) of items of one list with relevance_i > relevance_j.

    ``scores`` are ``[B, L]``, or ragged, and so are ``relevance``, ``item_weight`` and ``mask``.
    Items of relevance < 0 or NaN, or outside the mask, do not exist. ``"mse"`` is over all
    ordered pairs of existing items. A pair has the weight of its preferred item i.

    ``lambda_weight`` multiplies the loss of a pair, and is a constant to the gradient (LambdaRank,
    Burges et al. 2006; LambdaLoss, Wang et al. 2018):

    - ``"label_diff"``: ``|y_i - y_j|``.
    - ``"dcg"``: ``|g_i - g_j| |d_i - d_j|`` with the gain ``g = 2^y - 1`` and the discount
      ``d = 1 / log2(1 + rank)``, which is 0 for ranks beyond ``topn``. Ranks 1, 2, ... are by the
      current scores, descending, ties in input order.
    - ``"ndcg"``: the same over the list's ideal DCG, the sum of ``g d`` over its best ``topn``
      items in their best order; 0 where that is 0.

    ``reduction``: ``"none"`` gives each item's sum over the pairs it is preferred in;
    ``"mean"`` is over the weights of all pairs, ``"mean_nonzero"`` over those of the pairs with
    a loss, ``"mean_lists"`` the mean over lists of their own mean, but for lists without a pair.
    """
    _arguments.ranking(
        *(loss, _arguments.LIST_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.LIST_REDUCTIONS),
    )
    _arguments.lambda_weight(lambda_weight, topn, loss)
    if isinstance(scores, tf.RaggedTensor):
        lengths = scores.row_lengths()
        inside = tf.sequence_mask(lengths)
        mask = inside if mask is None else inside & mask.to_tensor(False)
        value = list_ranking_loss(
            scores.to_tensor(0.0),
            tf.cast(relevance, tf.float64).to_tensor(-1.0),
            loss=loss,
            lambda_weight=lambda_weight,
            topn=topn,
            margin=margin,
            temperature=temperature,
            item_weight=None if item_weight is None else item_weight.to_tensor(0),
            mask=mask,
            reduction=reduction,
        )
        return tf.RaggedTensor.from_tensor(value, lengths) if reduction == "none" else value

    scores = _checks.points("scores", scores, rank=2)
    s = _computable(scores)
    y = _like("relevance", relevance, s)
    weight = _like("item_weight", item_weight, s)
    # An item of weight 0 is none, but for the other one of pairs where it has a score.
    exists = (y >= 0.0) & ~((weight == 0.0) & tf.math.is_nan(s))
    if mask is not None:
        exists &= tf.convert_to_tensor(mask, tf.bool)
    y = tf.where(exists, y, tf.zeros_like(y))
    s = tf.where(exists, s, tf.zeros_like(s))

    pairs = exists[:, :, None] & exists[:, None, :]  # [B, i, j]
    if loss == "mse":
        pairs &= ~tf.eye(tf.shape(s)[1], dtype=tf.bool)
    else:
        pairs &= y[:, :, None] > y[:, None, :]
    # A list without a pair of any weight does not exist.
    there = tf.reduce_any(pairs & (weight != 0.0)[:, :, None], axis=[1, 2])
    s = tf.where(there[:, None], s, tf.zeros_like(s))
    if loss == "mse":
        value = tf.square((s[:, :, None] - s[:, None, :]) - (y[:, :, None] - y[:, None, :]))
    else:
        value = _loss((s[:, None, :] - s[:, :, None]) / temperature, loss, margin)
    if lambda_weight is not None:
        value *= tf.stop_gradient(_lambda(s, y, exists, lambda_weight, topn))
    # No order, and so no loss, in a list with a NaN.
    lost = tf.reduce_any(tf.math.is_nan(s), axis=1)
    value = tf.where(lost[:, None, None], tf.constant(float("nan"), s.dtype), value)
    value = tf.where(pairs, value, tf.zeros_like(value))
    return _reduce(value, weight, tf.cast(pairs, s.dtype), reduction)


def _lambda(s, y, exists, lambda_weight, topn):
    """[B, L, L]"""
    if lambda_weight == "label_diff":
        return tf.abs(y[:, :, None] - y[:, None, :])
    gain = 2.0**y - 1.0
    # Items that do not exist come last. tf.argsort is stable.
    order = tf.argsort(tf.where(exists, s, s.dtype.min), direction="DESCENDING", stable=True)
    rank = tf.cast(tf.argsort(order) + 1, s.dtype)
    discount = _discount(rank, topn)
    value = tf.abs(gain[:, :, None] - gain[:, None, :])
    value *= tf.abs(discount[:, :, None] - discount[:, None, :])
    if lambda_weight == "dcg":
        return value
    best = tf.sort(gain, direction="DESCENDING")  # items that do not exist have gain 0
    best_discount = _discount(tf.cast(tf.range(1, tf.shape(s)[1] + 1), s.dtype), topn)
    ideal = tf.reduce_sum(best * best_discount, axis=1)
    return tf.math.divide_no_nan(value, ideal[:, None, None])


def _discount(rank, topn):
    discount = tf.math.log(tf.constant(2.0, rank.dtype)) / tf.math.log(1.0 + rank)
    return discount if topn is None else tf.where(rank > topn, tf.zeros_like(rank), discount)


def _loss(x, loss, margin):
    if loss == "logistic":
        return tf.nn.softplus(x)
    if loss == "hinge":
        # relu, as its gradient at 0 is 0.
        return tf.nn.relu(margin + x)
    return tf.sigmoid(x)


def _like(name, value, like):
    """Relevances or weights in the type and shape of `like`; ones where not given."""
    if value is None:
        return tf.ones_like(like)
    value = tf.stop_gradient(tf.convert_to_tensor(value))
    if value.dtype.is_complex or not (value.dtype.is_floating or value.dtype.is_integer):
        raise TypeError(f"{name}: got {value.dtype.name}, expected a real type")
    if not value.shape.is_compatible_with(like.shape):
        raise ValueError(f"{name}: got shape {value.shape}, expected {like.shape}")
    return tf.cast(value, like.dtype)


def _reduce(loss, weight, counted, reduction):
    """Sums and means of the losses [items, ...], of which `counted` is 1 and not 0.

    The items' axes are those of `weight`, and with lists the first is theirs.
    """
    axes = list(range(weight.shape.rank, loss.shape.rank))
    per_item = _checks.weigh(weight, tf.reduce_sum(loss, axis=axes))
    if reduction == "none":
        return per_item
    if reduction == "mean_nonzero":
        counted *= tf.cast(~(loss <= 0.0), loss.dtype)
    counts = weight * tf.reduce_sum(counted, axis=axes)
    if reduction == "mean_lists":
        of_lists = _mean(tf.reduce_sum(per_item, axis=1), tf.reduce_sum(counts, axis=1))
        there = tf.cast(tf.reduce_sum(counts, axis=1) != 0.0, loss.dtype)
        return _mean(tf.reduce_sum(of_lists), tf.reduce_sum(there))
    total = tf.reduce_sum(per_item)
    return total if reduction == "sum" else _mean(total, tf.reduce_sum(counts))


def _mean(total, count):
    """total / count; 0 where there is nothing to count, but NaN for a NaN."""
    return tf.where(tf.math.is_nan(total), total, tf.math.divide_no_nan(total, count))

"""Losses over the soft-max, or the sigmoids, of the dot products of a batch.

=============================== ==============================================================
``info_nce_loss``               CPC, van den Oord et al. 2018; symmetric: CLIP, Radford et al.
                                2021
``supervised_contrastive_loss`` SupCon, Khosla et al. 2020, eq. 2 ("out")
``nt_xent_loss``                SimCLR, Chen et al. 2020, as pytorch-metric-learning computes
                                it over labels
``sigmoid_contrastive_loss``    SigLIP, Zhai et al. 2023
=============================== ==============================================================
"""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise._types import SoftmaxReduction, TensorLike
from tf_pairwise.reference import _batches, _checks
from tf_pairwise.reference.distance import _computable, _unit


def info_nce_loss(
    queries: TensorLike,
    keys: TensorLike,
    temperature: float | TensorLike = 0.07,
    *,
    symmetric: bool = False,
    normalize: bool = True,
    positive_offset: int | TensorLike = 0,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """Row i's positive is key ``i + positive_offset``: ``[n, d]`` and ``[m, d]``.

    The cross entropy of the soft-max over all keys of ``s / temperature``, mean over the rows;
    ``symmetric=True`` takes the mean of that and of the same over the queries of each key.
    ``sample_weight`` has one weight per row; ``reduction`` is ``"none"``, ``"sum"`` or
    ``"mean"``, which divides by the sum of the weights.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive, weight = _two_sided(
        queries, keys, normalize, positive_offset, sample_weight, symmetric
    )
    logits = similarities / _temperature(temperature, similarities.dtype)

    def cross_entropy(logits):
        of_positive = tf.reduce_sum(_batches.where(positive, logits, 0.0), axis=1)
        return tf.reduce_logsumexp(logits, axis=1) - of_positive

    losses = cross_entropy(logits)
    if symmetric:
        losses = 0.5 * (losses + cross_entropy(tf.transpose(logits)))
    return _reduce_rows(losses, tf.ones_like(losses), weight, reduction)


def supervised_contrastive_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    temperature: float | TensorLike = 0.1,
    *,
    normalize: bool = True,
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """Per anchor, minus the mean over its positives of the log soft-max over all others.

    The mean over the anchors that have a positive: another point of the same label.

    With ``ref_embeddings`` and ``ref_labels``, the others are those m points;
    ``self_offset=k`` says that anchor i is reference i + k, which is then not among them.
    ``sample_weight`` has one weight per anchor; ``reduction`` is ``"none"``, ``"sum"`` or
    ``"mean"``, which divides by the sum of the weights that it counts.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive, negative, weight = _labelled(
        embeddings, labels, normalize, ref_embeddings, ref_labels, self_offset, sample_weight
    )
    logits = similarities / _temperature(temperature, similarities.dtype)
    others = _batches.where(positive | negative, logits, _LEAST)
    log_sum = tf.reduce_logsumexp(others, axis=1)
    positives = tf.reduce_sum(tf.cast(positive, logits.dtype), axis=1)
    of_positives = tf.reduce_sum(_batches.where(positive, logits, 0.0), axis=1)
    has_positive = positives > 0.0
    losses = log_sum - of_positives / tf.where(has_positive, positives, tf.ones_like(positives))
    losses = _batches.where(has_positive, losses, 0.0)
    return _reduce_rows(losses, tf.cast(has_positive, logits.dtype), weight, reduction)


def nt_xent_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    temperature: float | TensorLike = 0.5,
    *,
    normalize: bool = True,
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """Per ordered pair (i, p) of one label, -log(e_ip / (e_ip + the sum of e_in)).

    With ``e = exp(s / temperature)`` and n the points of other labels than i's. The mean over
    those pairs; ``reduction="none"`` gives each anchor's sum over its own. References, weights
    and reductions are those of ``supervised_contrastive_loss``.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive, negative, weight = _labelled(
        embeddings, labels, normalize, ref_embeddings, ref_labels, self_offset, sample_weight
    )
    logits = similarities / _temperature(temperature, similarities.dtype)
    log_sum = tf.reduce_logsumexp(_batches.where(negative, logits, _LEAST), axis=1, keepdims=True)
    losses = tf.reduce_sum(_batches.where(positive, tf.nn.softplus(log_sum - logits), 0.0), axis=1)
    positives = tf.reduce_sum(tf.cast(positive, logits.dtype), axis=1)
    return _reduce_rows(losses, positives, weight, reduction)


def sigmoid_contrastive_loss(
    queries: TensorLike,
    keys: TensorLike,
    scale: float | TensorLike,
    bias: float | TensorLike,
    *,
    normalize: bool = True,
    positive_offset: int | TensorLike = 0,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """Every query against every key: -log sigmoid(z (scale s + bias)), ``[n, d]`` and ``[m, d]``.

    z is 1 for (i, i + positive_offset), else -1. A row's loss is the sum over the keys; weights
    and reductions are those of ``info_nce_loss``.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive, weight = _two_sided(
        queries, keys, normalize, positive_offset, sample_weight
    )
    dtype = similarities.dtype
    logits = _parameter("scale", scale, dtype) * similarities + _parameter("bias", bias, dtype)
    losses = tf.reduce_sum(tf.nn.softplus(tf.where(positive, -logits, logits)), axis=1)
    return _reduce_rows(losses, tf.ones_like(losses), weight, reduction)


# In place of the logit of a pair that is not there: its exponential is zero, and unlike that of
# -inf the soft-max of nothing but such pairs has a gradient.
_LEAST = -1e30


def _two_sided(queries, keys, normalize, positive_offset, sample_weight, symmetric=False):
    """The similarities [n, m] of queries and keys, which are of positives, and the weights."""
    queries = _checks.points("queries", queries, rank=2)
    keys = _checks.points("keys", keys, rank=2)
    _checks.alike("keys", keys, "queries", queries, slice(0 if symmetric else 1, None))
    if not tf.is_tensor(positive_offset):
        _arguments.positive_offset(positive_offset)
    weight = _checks.weights(sample_weight, queries)
    if not symmetric:  # else they are the keys' negatives too
        (queries,) = _checks.of_weight(weight, queries)
    similarities = _similarities(queries, keys, normalize)
    return similarities, ~_batches.not_itself(similarities, positive_offset), weight


def _labelled(
    embeddings, labels, normalize, ref_embeddings, ref_labels, self_offset, sample_weight
):
    """Similarities [n, m]; which pairs are of one label, and which of two; the weights."""
    anchors, labels, refs, ref_labels, self_offset, weight = _batches.batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset, sample_weight
    )
    similarities = _similarities(anchors, refs, normalize)
    same = _batches.of_one_label(labels, ref_labels)
    other = _batches.not_itself(similarities, self_offset)
    return similarities, same & other, ~same & other, weight


def _similarities(x, y, normalize):
    x, y = _computable(x), _computable(y)
    if normalize:
        x, y = _unit(x), _unit(y)
    return tf.matmul(x, y, transpose_b=True)


def _temperature(value, dtype):
    if not tf.is_tensor(value):
        _arguments.number("temperature", value, above=0)
    return _parameter("temperature", value, dtype)


def _parameter(name, value, dtype):
    if not tf.is_tensor(value):
        _arguments.number(name, value)
        return tf.constant(value, dtype)
    return tf.cast(value, dtype)


def _reduce_rows(losses, counts, weight, reduction):
    """Of rows with a loss and what it counts for, [n] each; 0 where there is nothing to count."""
    losses = _checks.weigh(weight, losses)
    if reduction == "none":
        return losses
    total = tf.reduce_sum(losses)
    if reduction == "sum":
        return total
    return tf.math.divide_no_nan(total, tf.reduce_sum(weight * counts))

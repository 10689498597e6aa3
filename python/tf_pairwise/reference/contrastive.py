"""Contrastive losses: of explicit pairs, and of all pairs of a batch.

========================== ==============================================
``contrastive_loss``       Hadsell et al. 2006, eq. 4
``batch_contrastive_loss`` the same over all the pairs of a labelled batch
========================== ==============================================
"""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise._types import BatchContrastiveReduction, Metric, Reduction, TensorLike
from tf_pairwise.reference import _batches, _checks
from tf_pairwise.reference.distance import _all_pairs, _pairs


def contrastive_loss(
    x1: TensorLike,
    x2: TensorLike,
    labels: TensorLike,
    margin: float = 1.0,
    *,
    metric: Metric = "euclidean",
    similar_label: int | bool = 0,
    sample_weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> tf.Tensor:
    """The loss of n given pairs, ``[n, d]`` twice and ``[n]``.

    ``0.5 D^2`` where the label is ``similar_label``, ``0.5 max(0, margin - D)^2`` where it is
    another; float labels y are parts, ``0.5 (1 - y) D^2 + 0.5 y max(0, margin - D)^2``, turned
    around by ``similar_label=1``. ``sample_weight`` has one weight per pair.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    _arguments.number("margin", margin, least=0)
    similar_label = _arguments.similar_label(similar_label)
    x1 = _checks.points("x1", x1, rank=2)
    x2 = _checks.points("x2", x2, rank=2)
    _checks.alike("x2", x2, "x1", x1, slice(None))
    weight = _checks.weights(sample_weight, x1)
    parts = _parts(labels, similar_label, x1, weight.dtype)
    x1, x2, similar, dissimilar = _checks.of_weight(weight, x1, x2, *parts)
    distances = _pairs(x1, x2, metric)
    # relu, as its gradient at 0 is 0.
    loss = _part(similar, distances) + _part(dissimilar, tf.nn.relu(margin - distances))
    return _reduce(loss[:, None], tf.ones_like(loss, tf.bool)[:, None], weight, reduction)


def _parts(labels, similar_label, x1, dtype):
    """How similar and how dissimilar the pairs are, [n] each."""
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_floating:
        _arguments.similar_label(similar_label, soft=True)
        labels = _checks.per_row("labels", labels, "x1", x1)
        dissimilar = tf.stop_gradient(tf.cast(labels, dtype))
        return (1 - dissimilar, dissimilar)[:: -1 if similar_label else 1]
    labels = tf.cast(labels, tf.int64) if labels.dtype == tf.bool else labels
    similar = tf.equal(_checks.labels("labels", labels, "x1", x1), similar_label)
    return tf.cast(similar, dtype), tf.cast(~similar, dtype)


def _part(factor, hinge):
    """0.5 factor hinge^2; nothing where the factor is 0, whatever the hinge."""
    there = factor != 0
    return 0.5 * factor * tf.square(tf.where(there, hinge, tf.zeros_like(hinge)))


def batch_contrastive_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    margin: float = 1.0,
    *,
    metric: Metric = "euclidean",
    positive_margin: float = 0.0,
    squared: bool = True,
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
    sample_weight: TensorLike | None = None,
    reduction: BatchContrastiveReduction = "mean",
) -> tf.Tensor:
    """The loss over the ordered pairs of a labelled batch, ``[n, d]`` and ``[n]``.

    Of the hinge ``h = max(0, D - positive_margin)`` of two different points with one label and
    ``h = max(0, margin - D)`` of points with two: ``0.5 h^2``, or ``h`` with
    ``squared=False``.

    With ``ref_embeddings`` and ``ref_labels``, a pair is one of the n points and one of those
    m; ``self_offset=k`` says that anchor i is reference i + k, which is no pair.
    ``sample_weight`` has one weight per anchor. ``reduction="none"`` gives each anchor's sum
    over its pairs, ``"mean"`` is over the pairs, ``"mean_nonzero"`` over those whose loss is
    not zero, and ``"balanced_mean"`` is such a mean over the similar pairs plus one over the
    others; means divide by the sum of the weights they count.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.BATCH_CONTRASTIVE_REDUCTIONS)
    _arguments.number("margin", margin, least=0)
    _arguments.number("positive_margin", positive_margin)
    anchors, labels, refs, ref_labels, self_offset, weight = _batches.batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset, sample_weight
    )
    distances = _all_pairs(anchors, refs, metric)
    similar = _batches.of_one_label(labels, ref_labels)
    other = _batches.not_itself(distances, self_offset)

    hinge = tf.nn.relu(tf.where(similar, distances - positive_margin, margin - distances))
    loss = 0.5 * tf.square(hinge) if squared else hinge
    if reduction == "balanced_mean":
        return _reduce(loss, other & similar, weight, "mean_nonzero") + _reduce(
            loss, other & ~similar, weight, "mean_nonzero"
        )
    return _reduce(loss, other, weight, reduction)


def _reduce(loss, counted, weight, reduction):
    """Sums and means of the counted losses [n, m] of each anchor, the first axis."""
    loss = _batches.where(counted, loss, 0.0)
    per_anchor = _checks.weigh(weight, tf.reduce_sum(loss, axis=1))
    if reduction == "none":
        return per_anchor
    total = tf.reduce_sum(per_anchor)
    if reduction == "sum":
        return total
    if reduction == "mean_nonzero":
        counted = counted & (loss > 0.0)
    count = tf.reduce_sum(weight * tf.reduce_sum(tf.cast(counted, loss.dtype), axis=1))
    return tf.where(tf.math.is_nan(total), total, tf.math.divide_no_nan(total, count))

"""Triplet losses, of explicit triplets and of all those of a batch; their mining."""

from __future__ import annotations

from tf_pairwise import _arguments
from tf_pairwise._types import ArrayLike, Arrays, Metric, Mining, Reduction
from tf_pairwise.numpy import _arrays, _native


def triplet_loss(
    anchors: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    margin: float | None = 1.0,
    *,
    metric: Metric = "squared_euclidean",
    swap: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.triplet_loss`: three of [n, d] -> a scalar, or [n] with reduction "none".

    With with_gradient, (loss, (anchors_grad, positives_grad, negatives_grad)): the gradients of
    the loss, or of the sum of the losses with reduction "none".
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.margin(margin)
    anchors = _arrays.points("anchors", anchors)
    positives = _arrays.points("positives", positives, anchors, "anchors")
    negatives = _arrays.points("negatives", negatives, anchors, "anchors")
    loss, gradients = _native.triplet_loss(
        anchors,
        positives,
        negatives,
        _arrays.weights(sample_weight, anchors),
        metric,
        reduction,
        margin,
        bool(swap),
        bool(with_gradient),
        threads,
    )
    return (loss, gradients) if with_gradient else loss


def batch_triplet_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    margin: float | None = 1.0,
    *,
    mining: Mining = "semi_hard",
    metric: Metric = "euclidean",
    ref_embeddings: ArrayLike | None = None,
    ref_labels: ArrayLike | None = None,
    self_offset: int | ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.batch_triplet_loss`: [n, d], [n] -> a scalar, or [n] with reduction "none".

    With with_gradient, (loss, embeddings_grad), and with references
    (loss, (embeddings_grad, ref_embeddings_grad)): the gradients of the loss, or of the sum of
    the losses with reduction "none".
    """
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.margin(margin, mining)
    batch = _arrays.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    loss, gradients = _native.batch_triplet_loss(
        batch,
        _arrays.weights(sample_weight, batch[0]),
        metric,
        mining,
        reduction,
        margin,
        bool(with_gradient),
        threads,
    )
    if not with_gradient:
        return loss
    return loss, gradients[0] if ref_embeddings is None else gradients


def mine_triplets(
    embeddings: ArrayLike,
    labels: ArrayLike,
    margin: float | None = 1.0,
    *,
    mining: Mining = "semi_hard",
    metric: Metric = "euclidean",
    ref_embeddings: ArrayLike | None = None,
    ref_labels: ArrayLike | None = None,
    self_offset: int | ArrayLike | None = None,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.mine_triplets`: [n, d], [n] -> int64 [t, 3]."""
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.one_of("metric", metric, _arguments.METRICS)
    margin = _arguments.margin(margin, mining)
    batch = _arrays.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    return _native.mine_triplets(batch, metric, mining, margin, threads)

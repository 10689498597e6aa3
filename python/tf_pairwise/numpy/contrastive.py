"""Contrastive losses: of explicit pairs, and of all pairs of a batch."""

from __future__ import annotations

from tf_pairwise import _arguments
from tf_pairwise._types import ArrayLike, Arrays, BatchContrastiveReduction, Metric, Reduction
from tf_pairwise.numpy import _arrays, _native


def contrastive_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    labels: ArrayLike,
    margin: float = 1.0,
    *,
    metric: Metric = "euclidean",
    similar_label: int | bool = 0,
    sample_weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.contrastive_loss`: two of [n, d], [n] -> a scalar, or [n] with "none".

    With with_gradient, (loss, (x1_grad, x2_grad)): the gradients of the loss, or of the sum of
    the losses with reduction "none".
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.number("margin", margin, least=0)
    x1 = _arrays.points("x1", x1)
    x2 = _arrays.points("x2", x2, x1, "x1")
    loss, gradients = _native.contrastive_loss(
        x1,
        x2,
        _arrays.dissimilarity(labels, similar_label, x1),
        _arrays.weights(sample_weight, x1),
        metric,
        reduction,
        margin,
        bool(with_gradient),
        threads,
    )
    return (loss, gradients) if with_gradient else loss


def batch_contrastive_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    margin: float = 1.0,
    *,
    metric: Metric = "euclidean",
    positive_margin: float = 0.0,
    squared: bool = True,
    ref_embeddings: ArrayLike | None = None,
    ref_labels: ArrayLike | None = None,
    self_offset: int | ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: BatchContrastiveReduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.batch_contrastive_loss`: [n, d], [n] -> a scalar, or [n] with "none".

    With with_gradient, (loss, embeddings_grad), and with references
    (loss, (embeddings_grad, ref_embeddings_grad)): the gradients of the loss, or of the sum of
    the losses with reduction "none".
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.BATCH_CONTRASTIVE_REDUCTIONS)
    margin = _arguments.number("margin", margin, least=0)
    positive_margin = _arguments.number("positive_margin", positive_margin)
    batch = _arrays.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    loss, gradients = _native.batch_contrastive_loss(
        batch,
        _arrays.weights(sample_weight, batch[0]),
        metric,
        reduction,
        margin,
        positive_margin,
        bool(squared),
        bool(with_gradient),
        threads,
    )
    if not with_gradient:
        return loss
    return loss, gradients[0] if ref_embeddings is None else gradients

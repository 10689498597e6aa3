"""Losses over the soft-max, or the sigmoids, of the dot products of a batch."""

from __future__ import annotations

from tf_pairwise import _arguments
from tf_pairwise._types import ArrayLike, Arrays, SoftmaxReduction
from tf_pairwise.numpy import _arrays, _native


def info_nce_loss(
    queries: ArrayLike,
    keys: ArrayLike,
    temperature: float = 0.07,
    *,
    symmetric: bool = False,
    normalize: bool = True,
    positive_offset: int | ArrayLike = 0,
    sample_weight: ArrayLike | None = None,
    reduction: SoftmaxReduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.info_nce_loss`: [n, d], [m, d] -> a scalar, or [n] with reduction "none".

    With with_gradient, (loss, (queries_grad, keys_grad, temperature_grad)): the gradients of
    the loss, or of the sum of the losses with reduction "none".
    """
    temperature = _arguments.number("temperature", temperature, above=0)
    batch = _arrays.queries_and_keys(queries, keys, positive_offset)
    options = (reduction, normalize, symmetric, with_gradient, threads)
    return _softmax_loss("info_nce", batch, sample_weight, [temperature], *options)


def supervised_contrastive_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    temperature: float = 0.1,
    *,
    normalize: bool = True,
    ref_embeddings: ArrayLike | None = None,
    ref_labels: ArrayLike | None = None,
    self_offset: int | ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: SoftmaxReduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.supervised_contrastive_loss`: [n, d], [n] -> a scalar, or [n] with "none".

    With with_gradient, (loss, (embeddings_grad, temperature_grad)), and with references
    (loss, (embeddings_grad, ref_embeddings_grad, temperature_grad)): the gradients of the loss,
    or of the sum of the losses with reduction "none".
    """
    temperature = _arguments.number("temperature", temperature, above=0)
    batch = _arrays.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    options = (reduction, normalize, False, with_gradient, threads)
    return _softmax_loss("supervised", batch, sample_weight, [temperature], *options)


def nt_xent_loss(
    embeddings: ArrayLike,
    labels: ArrayLike,
    temperature: float = 0.5,
    *,
    normalize: bool = True,
    ref_embeddings: ArrayLike | None = None,
    ref_labels: ArrayLike | None = None,
    self_offset: int | ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: SoftmaxReduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.nt_xent_loss`: [n, d], [n] -> a scalar, or [n] with reduction "none".

    With with_gradient, as `supervised_contrastive_loss`.
    """
    temperature = _arguments.number("temperature", temperature, above=0)
    batch = _arrays.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    options = (reduction, normalize, False, with_gradient, threads)
    return _softmax_loss("nt_xent", batch, sample_weight, [temperature], *options)


def sigmoid_contrastive_loss(
    queries: ArrayLike,
    keys: ArrayLike,
    scale: float,
    bias: float,
    *,
    normalize: bool = True,
    positive_offset: int | ArrayLike = 0,
    sample_weight: ArrayLike | None = None,
    reduction: SoftmaxReduction = "mean",
    with_gradient: bool = False,
    threads: int | None = None,
) -> Arrays:
    """`tf_pairwise.sigmoid_contrastive_loss`: [n, d], [m, d] -> a scalar, or [n] with "none".

    With with_gradient, (loss, (queries_grad, keys_grad, scale_grad, bias_grad)): the gradients
    of the loss, or of the sum of the losses with reduction "none".
    """
    parameters = [_arguments.number("scale", scale), _arguments.number("bias", bias)]
    batch = _arrays.queries_and_keys(queries, keys, positive_offset)
    options = (reduction, normalize, False, with_gradient, threads)
    return _softmax_loss("sigmoid", batch, sample_weight, parameters, *options)


def _softmax_loss(
    kind,
    batch,
    sample_weight,
    parameters,
    reduction,
    normalize,
    symmetric,
    with_gradient,
    threads,
):
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    loss, gradients = _native.softmax_loss(
        kind,
        batch,
        _arrays.weights(sample_weight, batch[0]),
        parameters,
        reduction,
        bool(normalize),
        bool(symmetric),
        bool(with_gradient),
        threads,
    )
    return (loss, gradients) if with_gradient else loss

"""The calls of the native module, which knows arrays and not what a user may pass for one.

Each function here runs one op: of checked arrays (those of `_arrays`) and options as the kernels
read them. Gradients come back in the dtype of the points. The last arguments are `with_gradient`,
of a loss, and the user's `threads`.
"""

import functools
import os

import numpy as np

from tf_pairwise import _numpy
from tf_pairwise.numpy import _device

_MOST_THREADS = 64


def pairwise_distance(x, y, metric, threads):
    inputs = [x, x if y is None else y]
    (made,) = _run("PairwiseDistance", x, inputs, threads, metric=metric, self=y is None)
    return made


def pairwise_distance_gradient(x, y, upstream, metric, threads):
    """(x_grad, y_grad); without y, x_grad is the whole and y_grad None."""
    inputs = [x, x if y is None else y]
    options = dict(metric=metric, self=y is None)
    distances = _made("PairwiseDistance", x, inputs, threads, **options)
    inputs += [*distances, upstream]
    x_grad, y_grad = _run("PairwiseDistanceGrad", x, inputs, threads, **options)
    return x_grad, None if y is None else y_grad


def paired_distance(x, y, metric, threads):
    (made,) = _run("PairedDistance", x, [x, y], threads, metric=metric)
    return _number(made)


def paired_distance_gradient(x, y, upstream, metric, threads):
    """(x_grad, y_grad)"""
    return _run("PairedDistanceGrad", x, [x, y, upstream], threads, metric=metric)


def contrastive_loss(x1, x2, dissimilarity, weights, metric, reduction, margin, *options):
    """(loss, (x1_grad, x2_grad)); without gradients, (loss, ()). Options as in `_loss`."""
    return _loss(
        *("ContrastiveLoss", x1, [x1, x2, dissimilarity, weights], reduction, *options),
        metric=metric,
        margin=repr(margin),
    )


def batch_contrastive_loss(
    batch, weights, metric, reduction, margin, positive_margin, squared, *options
):
    """(loss, the gradients of the points of the batch), as `contrastive_loss`."""
    inputs, itself = _batch(batch)
    return _loss(
        *("BatchContrastiveLoss", batch[0], [*inputs, weights], reduction, *options),
        metric=metric,
        margin=repr(margin),
        positive_margin=repr(positive_margin),
        squared=squared,
        self=itself,
    )


def softmax_loss(kind, batch, weights, parameters, reduction, normalize, symmetric, *options):
    """(loss, the gradients of the points of the batch and of the parameters), as those."""
    inputs, itself = _batch(batch)
    compute = np.float64 if batch[0].dtype == np.float64 else np.float32
    parameters = [np.array(value, compute) for value in parameters]
    # Temperature, or scale and bias.
    parameters = [*parameters, None, None] if len(parameters) == 1 else [None, *parameters]
    return _loss(
        *("SoftmaxLoss", batch[0], [*inputs, weights, *parameters], reduction, *options),
        kind=kind,
        normalize=normalize,
        symmetric=symmetric,
        self=itself,
    )


def triplet_loss(anchors, positives, negatives, weights, metric, reduction, margin, swap, *options):
    """(loss, the gradients of the three), as `contrastive_loss`."""
    inputs = [anchors, positives, negatives, weights]
    return _loss(
        *("TripletLoss", anchors, inputs, reduction, *options),
        metric=metric,
        margin=margin,
        swap=swap,
    )


def batch_triplet_loss(batch, weights, metric, mining, reduction, margin, *options):
    """(loss, the gradients of the points of the batch), as `contrastive_loss`."""
    inputs, itself = _batch(batch)
    return _loss(
        *("BatchTripletLoss", batch[0], [*inputs, weights], reduction, *options),
        metric=metric,
        mining=mining,
        margin=margin,
        self=itself,
    )


def mine_triplets(batch, metric, mining, margin, threads):
    """int64 [t, 3]"""
    inputs, itself = _batch(batch)
    options = dict(metric=metric, mining=mining, margin=margin, self=itself)
    (triplets,) = _run("MineTriplets", batch[0], inputs, threads, **options)
    return triplets


def nearest_neighbors(queries, keys, query_labels, key_labels, metric, only, k, threads):
    """(distances, indices)"""
    inputs = [queries, queries if keys is None else keys, query_labels, key_labels]
    if keys is None:
        inputs[3] = query_labels
    options = dict(metric=metric, only=only, k=k, self=keys is None)
    return _run("NearestNeighbors", queries, inputs, threads, **options)


def pairwise_ranking_loss(
    scores_pos, scores_neg, weights, loss, reduction, margin, temperature, *options
):
    """(loss, (scores_pos_grad, scores_neg_grad)), as `contrastive_loss`."""
    return _loss(
        *("PairwiseRankingLoss", scores_pos, [scores_pos, scores_neg, weights], reduction),
        *options,
        kind=loss,
        margin=margin,
        temperature=temperature,
    )


def list_ranking_loss(
    scores,
    relevance,
    row_splits,
    mask,
    weights,
    loss,
    lambda_weight,
    topn,
    reduction,
    margin,
    temperature,
    *options,
):
    """(loss, (scores_grad,)), as `contrastive_loss`."""
    return _loss(
        *("ListRankingLoss", scores, [scores, relevance, row_splits, mask, weights], reduction),
        *options,
        kind=loss,
        lambda_weight=lambda_weight,
        topn=topn,
        margin=margin,
        temperature=temperature,
        masked=mask is not None,
        ragged=row_splits is not None,
    )


def _batch(batch):
    """The inputs of a batch op of those of `_arrays`, and whether it is its own references."""
    points, labels, others, other_labels, offset = batch
    itself = others is None
    if itself:
        others, other_labels = points, labels
    return [points, labels, others, other_labels, np.array(offset, np.int64)], itself


def _loss(op, points, inputs, reduction, with_gradient, threads, **attributes):
    """(loss, the gradients that there are). The last of a loss's inputs that is no parameter is
    its weights."""
    weights = inputs[_WEIGHTS[op]]
    attributes.update(
        reduction=reduction, weighted=weights is not None, with_gradient=with_gradient
    )
    loss, *gradients = _run(op, points, inputs, threads, **attributes)
    return _number(loss), tuple(gradient for gradient in gradients if gradient is not None)


# Which input of a loss is its weights.
_WEIGHTS = {
    "ContrastiveLoss": 3,
    "BatchContrastiveLoss": 5,
    "SoftmaxLoss": 5,
    "TripletLoss": 3,
    "BatchTripletLoss": 5,
    "PairwiseRankingLoss": 2,
    "ListRankingLoss": 4,
}


def _run(op, points, inputs, threads, **attributes):
    """The outputs of an op as the caller gets them: arrays where the inputs are."""
    outputs = _made(op, points, inputs, threads, **attributes)
    return tuple(None if made is None else _result(made, points) for made in outputs)


def _made(op, points, inputs, threads, **attributes):
    """The same as the module has them, which takes them for inputs."""
    attributes["T"] = points.dtype.name
    threads = _threads(threads)
    if isinstance(points, _device.Argument):
        return _device.run(op, attributes, inputs)
    return _numpy.run(op, attributes, [_raw(value) for value in inputs], threads)


def _raw(value):
    """bfloat16 as the uint16 that the module takes for it; what is no array as it is."""
    if isinstance(value, np.ndarray) and value.dtype.name == "bfloat16":
        return value.view(np.uint16)
    return value


def _result(made, points):
    """Of the points' type as an array of their dtype; on a GPU as one of their library."""
    if isinstance(points, _device.Argument):
        return points.result(made)
    # The module's bfloat16 is uint16, and nothing else of it is.
    return made.view(points.dtype) if made.dtype == np.uint16 else made


def _number(made):
    """NumPy's scalar for its array of one; on a GPU it stays an array."""
    return made[()] if isinstance(made, np.ndarray) else made


def _threads(value):
    if value is None:
        return _processors()
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"threads: got {value!r}, expected a Python integer or None")
    if value < 1:
        raise ValueError(f"threads: got {value!r}, expected 1 or more, or None")
    return min(value, _MOST_THREADS)


@functools.cache
def _processors():
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    return min(os.cpu_count() or 1, _MOST_THREADS)

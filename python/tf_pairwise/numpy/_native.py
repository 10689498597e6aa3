"""The calls of the native module, which knows arrays and not what a user may pass for one.

Each function here runs one op: of checked arrays (those of `_arrays`) and options as the kernels
read them. Gradients come back in the dtype of the points. `threads` is the user's.
"""

import functools
import os

import numpy as np

from tf_pairwise import _numpy

_MOST_THREADS = 64


def pairwise_distance(x, y, metric, threads):
    made = _numpy.pairwise_distance(_raw(x), _raw(y), x.dtype.name, metric, _threads(threads))
    return made.view(x.dtype)


def pairwise_distance_gradient(x, y, upstream, metric, threads):
    """(x_grad, y_grad); without y, x_grad is the whole and y_grad None."""
    x_grad, y_grad = _numpy.pairwise_distance_gradient(
        _raw(x), _raw(y), _raw(upstream), x.dtype.name, metric, _threads(threads)
    )
    return x_grad.view(x.dtype), None if y is None else y_grad.view(x.dtype)


def paired_distance(x, y, metric, threads):
    made = _numpy.paired_distance(_raw(x), _raw(y), x.dtype.name, metric, _threads(threads))
    return made.view(x.dtype)[()]


def paired_distance_gradient(x, y, upstream, metric, threads):
    """(x_grad, y_grad)"""
    gradients = _numpy.paired_distance_gradient(
        _raw(x), _raw(y), _raw(upstream), x.dtype.name, metric, _threads(threads)
    )
    return _like(x, gradients)


def contrastive_loss(
    x1, x2, labels, weights, metric, reduction, margin, similar_label, with_gradient, threads
):
    """(loss, (x1_grad, x2_grad)); without `with_gradient`, (loss, ())."""
    loss, gradients = _numpy.contrastive_loss(
        _raw(x1),
        _raw(x2),
        labels,
        weights,
        x1.dtype.name,
        metric,
        reduction,
        margin,
        similar_label,
        with_gradient,
        _threads(threads),
    )
    return loss[()], _like(x1, gradients) if with_gradient else ()


def batch_contrastive_loss(
    batch, weights, metric, reduction, margin, positive_margin, squared, with_gradient, threads
):
    """(loss, the gradients of the points of the batch), as `contrastive_loss`."""
    loss, gradients = _numpy.batch_contrastive_loss(
        *map(_raw, batch),
        weights,
        batch[0].dtype.name,
        metric,
        reduction,
        margin,
        positive_margin,
        squared,
        with_gradient,
        _threads(threads),
    )
    return loss[()], _like(batch[0], gradients) if with_gradient else ()


def softmax_loss(
    kind, batch, weights, parameters, reduction, normalize, symmetric, with_gradient, threads
):
    """(loss, the gradients of the points of the batch and of the parameters), as those."""
    loss, gradients, of_parameters = _numpy.softmax_loss(
        *map(_raw, batch),
        weights,
        parameters,
        batch[0].dtype.name,
        kind,
        reduction,
        normalize,
        symmetric,
        with_gradient,
        _threads(threads),
    )
    return loss[()], (*_like(batch[0], gradients), *of_parameters) if with_gradient else ()


def triplet_loss(
    anchors, positives, negatives, weights, metric, reduction, margin, swap, with_gradient, threads
):
    """(loss, the gradients of the three), as `contrastive_loss`."""
    loss, gradients = _numpy.triplet_loss(
        _raw(anchors),
        _raw(positives),
        _raw(negatives),
        weights,
        anchors.dtype.name,
        metric,
        reduction,
        margin,
        swap,
        with_gradient,
        _threads(threads),
    )
    return loss[()], _like(anchors, gradients) if with_gradient else ()


def batch_triplet_loss(batch, weights, metric, mining, reduction, margin, with_gradient, threads):
    """(loss, the gradients of the points of the batch), as `contrastive_loss`."""
    loss, gradients = _numpy.batch_triplet_loss(
        *map(_raw, batch),
        weights,
        batch[0].dtype.name,
        metric,
        mining,
        reduction,
        margin,
        with_gradient,
        _threads(threads),
    )
    return loss[()], _like(batch[0], gradients) if with_gradient else ()


def mine_triplets(batch, metric, mining, margin, threads):
    """int64 [t, 3]"""
    return _numpy.mine_triplets(
        *map(_raw, batch), batch[0].dtype.name, metric, mining, margin, _threads(threads)
    )


def nearest_neighbors(queries, keys, query_labels, key_labels, metric, only, k, threads):
    """(distances, indices)"""
    distances, indices = _numpy.nearest_neighbors(
        _raw(queries),
        _raw(keys),
        query_labels,
        key_labels,
        queries.dtype.name,
        metric,
        only,
        k,
        _threads(threads),
    )
    return distances.view(queries.dtype), indices


def pairwise_ranking_loss(
    scores_pos,
    scores_neg,
    weights,
    loss,
    reduction,
    margin,
    temperature,
    with_gradient,
    threads,
):
    """(loss, (scores_pos_grad, scores_neg_grad)), as `contrastive_loss`."""
    value, gradients = _numpy.pairwise_ranking_loss(
        _raw(scores_pos),
        _raw(scores_neg),
        weights,
        scores_pos.dtype.name,
        loss,
        reduction,
        margin,
        temperature,
        with_gradient,
        _threads(threads),
    )
    return value[()], _like(scores_pos, gradients) if with_gradient else ()


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
    with_gradient,
    threads,
):
    """(loss, (scores_grad,)), as `contrastive_loss`."""
    value, gradients = _numpy.list_ranking_loss(
        _raw(scores),
        relevance,
        row_splits,
        mask,
        weights,
        scores.dtype.name,
        loss,
        lambda_weight,
        topn,
        reduction,
        margin,
        temperature,
        with_gradient,
        _threads(threads),
    )
    return value[()], _like(scores, gradients) if with_gradient else ()


def _raw(value):
    """bfloat16 as the uint16 that the module takes for it; what is no array as it is."""
    if isinstance(value, np.ndarray) and value.dtype.name == "bfloat16":
        return value.view(np.uint16)
    return value


def _like(points, gradients):
    return tuple(gradient.view(points.dtype) for gradient in gradients)


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

"""Triplet losses: of explicit triplets, and of all the triplets of a labelled batch.

The loss of an anchor a, a positive p (same label) and a negative n (another label) is

    ``max(0, D(a, p) - D(a, n) + margin)``             FaceNet, Schroff et al. 2015, eq. 2
    ``log(1 + exp(D(a, p) - D(a, n)))``                the soft margin (``margin=None``) of
                                                       In Defense of the Triplet Loss,
                                                       Hermans et al. 2017, section 2

A batch of N points has up to N^3 triplets; ``mining`` says which of them count.
"""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise._types import Metric, Mining, Reduction, TensorLike
from tf_pairwise.reference import _batches, _checks
from tf_pairwise.reference.distance import _all_pairs, _pairs


def triplet_loss(
    anchors: TensorLike,
    positives: TensorLike,
    negatives: TensorLike,
    margin: float | None = 1.0,
    *,
    metric: Metric = "squared_euclidean",
    swap: bool = False,
    sample_weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> tf.Tensor:
    """The loss of n given triplets, ``[n, d]`` three times.

    ``swap=True`` takes the nearer of ``D(a, n)`` and ``D(p, n)`` for the negative's distance
    (Balntas et al. 2016, "Learning local feature descriptors with triplets ..."); a tie goes
    to ``D(a, n)``. ``sample_weight`` has one weight per triplet.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    _arguments.margin(margin)
    anchors = _checks.points("anchors", anchors, rank=2)
    positives = _checks.points("positives", positives, rank=2)
    negatives = _checks.points("negatives", negatives, rank=2)
    _checks.alike("positives", positives, "anchors", anchors, slice(None))
    _checks.alike("negatives", negatives, "anchors", anchors, slice(None))

    weight = _checks.weights(sample_weight, anchors)
    anchors, positives, negatives = _checks.of_weight(weight, anchors, positives, negatives)
    to_positive = _pairs(anchors, positives, metric)
    to_negative = _pairs(anchors, negatives, metric)
    if swap:
        swapped = _pairs(positives, negatives, metric)
        to_negative = tf.where(swapped < to_negative, swapped, to_negative)
    loss = _loss(to_positive, to_negative, margin)
    return _reduce(loss, tf.ones_like(loss, tf.bool), weight, reduction)


def batch_triplet_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    margin: float | None = 1.0,
    *,
    mining: Mining = "semi_hard",
    metric: Metric = "euclidean",
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
    sample_weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> tf.Tensor:
    """The loss over the triplets of a labelled batch, ``[n, d]`` and ``[n]``.

    ``mining`` says which triplets count, D being the distances:

    - ``"all"``: every (a, p, n): "batch all" of Hermans et al. 2017.
    - ``"hard"``: per anchor, the farthest p and the nearest n: their "batch hard".
    - ``"semi_hard"``: per (a, p), the nearest n that is farther than p, and if there is none
      the farthest n (FaceNet, section 3.2, as TensorFlow Addons computes it).
    - ``"semi_hard_all"``: every (a, p, n) with ``D_ap < D_an`` and ``D_an - margin <= D_ap``.
    - ``"hard_all"``: every (a, p, n) with ``D_an <= D_ap``.

    Which triplets are mined is a constant to the gradient; among equals the lowest index wins.

    With ``ref_embeddings`` and ``ref_labels``, positives and negatives are taken from those m
    points; ``self_offset=k`` says that anchor i is reference i + k, which is then neither.
    ``sample_weight`` has one weight per anchor. ``reduction="none"`` gives each anchor's sum
    over its triplets, ``"mean"`` is over the counted triplets, ``"mean_nonzero"`` over those
    of them whose loss is not zero; the means divide by the sum of the weights they count.
    """
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    _arguments.margin(margin, mining)
    distances, positive, negative, weight = _distances_and_masks(
        embeddings, labels, metric, ref_embeddings, ref_labels, self_offset, sample_weight
    )

    if mining == "hard":
        counted = tf.reduce_any(positive, axis=1) & tf.reduce_any(negative, axis=1)
        to_positive = _pick(distances, _farthest(distances, positive))
        to_negative = _pick(distances, _nearest(distances, negative))
    elif mining == "semi_hard":
        counted = positive & tf.reduce_any(negative, axis=1, keepdims=True)
        to_positive = distances
        to_negative = _pick(distances, _semi_hard_negative(distances, negative))
    else:
        counted = _triplet_mask(distances, positive, negative, mining, margin)
        to_positive = distances[:, :, None]
        to_negative = distances[:, None, :]

    loss = _loss(to_positive, to_negative, margin)
    # A NaN is in no order with other distances, and what mining makes of it is chance:
    # the anchors that see one have no loss but NaN.
    seen = (positive & _any(negative)) | (negative & _any(positive))
    lost = tf.reduce_any(seen & tf.math.is_nan(distances), axis=1) & (weight != 0.0)
    return _reduce(loss, counted, weight, reduction, lost)


def mine_triplets(
    embeddings: TensorLike,
    labels: TensorLike,
    margin: float | None = 1.0,
    *,
    mining: Mining = "semi_hard",
    metric: Metric = "euclidean",
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
) -> tf.Tensor:
    """The triplets that `batch_triplet_loss` counts, int64 ``[t, 3]`` in ascending order.

    A row is (anchor, positive, negative); the last two are rows of the references where there
    are any. Pairs whose distance is NaN are left out.
    """
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.margin(margin, mining)
    distances, positive, negative, _ = _distances_and_masks(
        embeddings, labels, metric, ref_embeddings, ref_labels, self_offset, None
    )
    ordered = ~tf.math.is_nan(distances)
    positive, negative = positive & ordered, negative & ordered

    if mining == "hard":
        anchor = tf.where(_any(positive)[:, 0] & _any(negative)[:, 0])
        chosen = [_farthest(distances, positive), _nearest(distances, negative)]
        return tf.concat([anchor] + [tf.gather_nd(c, anchor)[:, None] for c in chosen], axis=1)
    if mining == "semi_hard":
        pair = tf.where(positive & _any(negative))
        chosen = tf.gather_nd(_semi_hard_negative(distances, negative), pair)
        return tf.concat([pair, chosen[:, None]], axis=1)
    return tf.where(_triplet_mask(distances, positive, negative, mining, margin))


def _distances_and_masks(
    embeddings, labels, metric, ref_embeddings, ref_labels, self_offset, sample_weight
):
    """Distances [n, m + 1]; which are to a positive, and which to a negative; the weights [n].

    The last column is of a point that is nobody's positive and nobody's negative, so that the
    arg-max and arg-min of a row have something to look at when there are no references.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    anchors, labels, refs, ref_labels, self_offset, weight = _batches.batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset, sample_weight
    )
    distances = _all_pairs(anchors, refs, metric)
    same = _batches.of_one_label(labels, ref_labels)
    other = _batches.not_itself(distances, self_offset)
    one_more = [[0, 0], [0, 1]]
    return (
        tf.pad(distances, one_more),
        tf.pad(same & other, one_more),
        tf.pad(~same & other, one_more),
        weight,
    )


def _triplet_mask(distances, positive, negative, mining, margin):
    """Which (a, p, n) count, [n, m, m]."""
    to_positive, to_negative = distances[:, :, None], distances[:, None, :]
    triplet = positive[:, :, None] & negative[:, None, :]
    if mining == "semi_hard_all":
        within = to_negative - margin <= to_positive
        return triplet & (to_negative > to_positive) & within
    if mining == "hard_all":
        return triplet & (to_negative <= to_positive)
    return triplet


def _semi_hard_negative(distances, negative):
    """Per (a, p), the index of the nearest n with D_an > D_ap, else of the farthest n."""
    farther = negative[:, None, :] & (distances[:, None, :] > distances[:, :, None])
    nearest_farther = _nearest(tf.broadcast_to(distances[:, None, :], tf.shape(farther)), farther)
    farthest = _farthest(distances, negative)[:, None]
    return tf.where(tf.reduce_any(farther, axis=2), nearest_farther, farthest)


def _nearest(distances, mask):
    """The lowest index of the least distance in the mask, along the last axis."""
    return tf.argmin(tf.where(mask, distances, distances.dtype.max), axis=-1)


def _farthest(distances, mask):
    return tf.argmax(tf.where(mask, distances, distances.dtype.min), axis=-1)


def _pick(distances, index):
    return tf.gather(distances, index, axis=1, batch_dims=1)


def _loss(to_positive, to_negative, margin):
    difference = to_positive - to_negative
    # relu, as its gradient at 0 is 0.
    return tf.nn.softplus(difference) if margin is None else tf.nn.relu(difference + margin)


def _reduce(loss, counted, weight, reduction, lost=None):
    """Sums and means of the counted losses of each anchor, the first axis.

    `lost` anchors have the loss NaN.
    """
    loss = tf.where(counted, loss, tf.zeros_like(loss))
    per_anchor = _checks.weigh(weight, _sum_per_anchor(loss))
    if lost is not None:
        per_anchor = tf.where(lost, tf.constant(float("nan"), loss.dtype), per_anchor)
    if reduction == "none":
        return per_anchor
    total = tf.reduce_sum(per_anchor)
    if reduction == "sum":
        return total
    if reduction == "mean_nonzero":
        counted = counted & (loss > 0.0)
    count = tf.reduce_sum(weight * _sum_per_anchor(tf.cast(counted, loss.dtype)))
    mean = tf.math.divide_no_nan(total, count)
    return tf.where(tf.math.is_nan(total), total, mean)


def _sum_per_anchor(values):
    """[n, ...] -> [n]"""
    flat = tf.reshape(values, tf.stack([tf.shape(values)[0], tf.reduce_prod(tf.shape(values)[1:])]))
    return tf.reduce_sum(flat, axis=1)


def _any(mask):
    return tf.reduce_any(mask, axis=1, keepdims=True)

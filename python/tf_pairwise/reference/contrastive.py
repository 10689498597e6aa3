"""Contrastive losses: of explicit pairs, of all pairs of a batch, and of its soft-max.

=============================== ==============================================================
``contrastive_loss``            Hadsell et al. 2006, eq. 4
``batch_contrastive_loss``      the same over all the pairs of a labelled batch
``info_nce_loss``               CPC, van den Oord et al. 2018; symmetric: CLIP, Radford et al.
                                2021
``supervised_contrastive_loss`` SupCon, Khosla et al. 2020, eq. 2 ("out")
``nt_xent_loss``                SimCLR, Chen et al. 2020, as pytorch-metric-learning computes
                                it over labels
``sigmoid_contrastive_loss``    SigLIP, Zhai et al. 2023
=============================== ==============================================================
"""

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise.reference import _checks
from tf_pairwise.reference.distance import _unit, all_pairs, computable, pairs


def contrastive_loss(
    x1,
    x2,
    labels,
    margin=1.0,
    *,
    metric="euclidean",
    similar_label=0,
    sample_weight=None,
    reduction="mean",
):
    """The loss of n given pairs, ``[n, d]`` twice and ``[n]``.

    ``0.5 D^2`` where the label is ``similar_label``, ``0.5 max(0, margin - D)^2`` where it is
    another. ``sample_weight`` has one weight per pair.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    _arguments.number("margin", margin, least=0)
    similar_label = _arguments.similar_label(similar_label)
    x1 = _checks.points("x1", x1, rank=2)
    x2 = _checks.points("x2", x2, rank=2)
    _checks.alike("x2", x2, "x1", x1, slice(None))
    labels = tf.convert_to_tensor(labels)
    labels = tf.cast(labels, tf.int64) if labels.dtype == tf.bool else labels
    labels = _checks.labels("labels", labels, "x1", x1)

    distances = pairs(x1, x2, metric)
    similar = tf.equal(labels, similar_label)
    # relu, as its gradient at 0 is 0.
    loss = 0.5 * tf.square(tf.where(similar, distances, tf.nn.relu(margin - distances)))
    weight = _checks.weights(sample_weight, x1, loss.dtype)
    return _reduce(loss[:, None], tf.ones_like(loss, tf.bool)[:, None], weight, reduction)


def batch_contrastive_loss(
    embeddings,
    labels,
    margin=1.0,
    *,
    metric="euclidean",
    positive_margin=0.0,
    squared=True,
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    sample_weight=None,
    reduction="mean",
):
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
    embeddings = _checks.points("embeddings", embeddings, rank=2)
    labels = _checks.labels("labels", labels, "embeddings", embeddings)
    if not _arguments.references(ref_embeddings, ref_labels, self_offset):
        distances = all_pairs(embeddings, None, metric)
        ref_labels, self_offset = labels, 0
    else:
        ref_embeddings = _checks.points("ref_embeddings", ref_embeddings, rank=2)
        _checks.alike("ref_embeddings", ref_embeddings, "embeddings", embeddings, slice(-1, None))
        ref_labels = _checks.labels("ref_labels", ref_labels, "ref_embeddings", ref_embeddings)
        distances = all_pairs(embeddings, ref_embeddings, metric)

    similar = tf.equal(labels[:, None], ref_labels[None, :])
    other = tf.ones_like(similar)
    if self_offset is not None:
        if not tf.is_tensor(self_offset):
            _arguments.self_offset(self_offset)
        own = tf.range(tf.shape(distances)[0]) + tf.cast(self_offset, tf.int32)
        other = tf.not_equal(own[:, None], tf.range(tf.shape(distances)[1])[None, :])

    hinge = tf.nn.relu(tf.where(similar, distances - positive_margin, margin - distances))
    loss = 0.5 * tf.square(hinge) if squared else hinge
    weight = _checks.weights(sample_weight, embeddings, loss.dtype)
    if reduction == "balanced_mean":
        return _reduce(loss, other & similar, weight, "mean_nonzero") + _reduce(
            loss, other & ~similar, weight, "mean_nonzero"
        )
    return _reduce(loss, other, weight, reduction)


def info_nce_loss(queries, keys, temperature=0.07, *, symmetric=False, normalize=True):
    """Row i's positive is key i, all other keys are its negatives: ``[n, d]`` twice.

    The cross entropy of the soft-max over the keys of ``s / temperature``, mean over the rows;
    ``symmetric=True`` takes the mean of that and of the same over the queries of each key.
    """
    similarities = _two_sided(queries, keys, normalize)
    logits = similarities / _temperature(temperature, similarities.dtype)
    n = tf.shape(logits)[0]

    if logits.shape[0] == 0:
        return tf.reduce_sum(logits)  # TensorFlow has no soft-max of no classes

    def cross_entropy(logits):
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.range(n), logits=logits)
        return _mean(losses, tf.cast(n, losses.dtype))

    if symmetric:
        return 0.5 * (cross_entropy(logits) + cross_entropy(tf.transpose(logits)))
    return cross_entropy(logits)


def supervised_contrastive_loss(embeddings, labels, temperature=0.1, *, normalize=True):
    """Per anchor, minus the mean over its positives of the log soft-max over all others.

    The mean over the anchors that have a positive: another point of the same label.
    """
    similarities, positive, negative = _labelled(embeddings, labels, normalize)
    logits = similarities / _temperature(temperature, similarities.dtype)
    others = _where(positive | negative, logits, _LEAST)
    log_sum = tf.reduce_logsumexp(others, axis=1)
    positives = tf.reduce_sum(tf.cast(positive, logits.dtype), axis=1)
    of_positives = tf.reduce_sum(_where(positive, logits, 0.0), axis=1)
    has_positive = positives > 0.0
    losses = log_sum - of_positives / tf.where(has_positive, positives, tf.ones_like(positives))
    count = tf.reduce_sum(tf.cast(has_positive, logits.dtype))
    return _mean(_where(has_positive, losses, 0.0), count)


def nt_xent_loss(embeddings, labels, temperature=0.5, *, normalize=True):
    """Per ordered pair (i, p) of one label, -log(e_ip / (e_ip + the sum of e_in)).

    With ``e = exp(s / temperature)`` and n the points of other labels than i's. The mean over
    those pairs.
    """
    similarities, positive, negative = _labelled(embeddings, labels, normalize)
    logits = similarities / _temperature(temperature, similarities.dtype)
    log_sum = tf.reduce_logsumexp(_where(negative, logits, _LEAST), axis=1, keepdims=True)
    losses = _where(positive, tf.nn.softplus(log_sum - logits), 0.0)
    return _mean(losses, tf.reduce_sum(tf.cast(positive, logits.dtype)))


def sigmoid_contrastive_loss(queries, keys, scale, bias, *, normalize=True):
    """Every query against every key: -log sigmoid(z (scale s + bias)), z = 1 for (i, i), else -1.

    The sum over all pairs, divided by the number of rows.
    """
    similarities = _two_sided(queries, keys, normalize)
    dtype = similarities.dtype
    logits = _parameter("scale", scale, dtype) * similarities + _parameter("bias", bias, dtype)
    n = tf.shape(logits)[0]
    losses = tf.nn.softplus(tf.where(tf.eye(n, dtype=tf.bool), -logits, logits))
    return _mean(losses, tf.cast(n, dtype))


# In place of the logit of a pair that is not there: its exponential is zero, and unlike that of
# -inf the soft-max of nothing but such pairs has a gradient.
_LEAST = -1e30


def _two_sided(queries, keys, normalize):
    """The similarities [n, n] of queries and keys."""
    queries = _checks.points("queries", queries, rank=2)
    keys = _checks.points("keys", keys, rank=2)
    _checks.alike("keys", keys, "queries", queries, slice(None))
    return _similarities(queries, keys, normalize)


def _labelled(embeddings, labels, normalize):
    """Similarities [n, n]; which pairs are of one label, and which of two."""
    embeddings = _checks.points("embeddings", embeddings, rank=2)
    labels = _checks.labels("labels", labels, "embeddings", embeddings)
    same = tf.equal(labels[:, None], labels[None, :])
    itself = tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    return _similarities(embeddings, embeddings, normalize), same & ~itself, ~same


def _similarities(x, y, normalize):
    x, y = computable(x), computable(y)
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


def _where(condition, x, other):
    return tf.where(condition, x, tf.constant(other, x.dtype))


def _mean(losses, count):
    """The sum over the count, or 0 where there is nothing to count."""
    return tf.math.divide_no_nan(tf.reduce_sum(losses), count)


def _reduce(loss, counted, weight, reduction):
    """Sums and means of the counted losses [n, m] of each anchor, the first axis."""
    loss = _where(counted, loss, 0.0)
    per_anchor = weight * tf.reduce_sum(loss, axis=1)
    if reduction == "none":
        return per_anchor
    total = tf.reduce_sum(per_anchor)
    if reduction == "sum":
        return total
    if reduction == "mean_nonzero":
        counted = counted & (loss > 0.0)
    count = tf.reduce_sum(weight * tf.reduce_sum(tf.cast(counted, loss.dtype), axis=1))
    return tf.where(tf.math.is_nan(total), total, tf.math.divide_no_nan(total, count))

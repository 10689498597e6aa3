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
    embeddings, labels, refs, ref_labels = _batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset
    )
    distances = all_pairs(embeddings, refs, metric)
    self_offset = 0 if refs is None else self_offset
    similar, other = _of_one_label(labels, ref_labels), _not_itself(distances, self_offset)

    hinge = tf.nn.relu(tf.where(similar, distances - positive_margin, margin - distances))
    loss = 0.5 * tf.square(hinge) if squared else hinge
    weight = _checks.weights(sample_weight, embeddings, loss.dtype)
    if reduction == "balanced_mean":
        return _reduce(loss, other & similar, weight, "mean_nonzero") + _reduce(
            loss, other & ~similar, weight, "mean_nonzero"
        )
    return _reduce(loss, other, weight, reduction)


def info_nce_loss(
    queries,
    keys,
    temperature=0.07,
    *,
    symmetric=False,
    normalize=True,
    positive_offset=0,
    sample_weight=None,
    reduction="mean",
):
    """Row i's positive is key ``i + positive_offset``: ``[n, d]`` and ``[m, d]``.

    The cross entropy of the soft-max over all keys of ``s / temperature``, mean over the rows;
    ``symmetric=True`` takes the mean of that and of the same over the queries of each key.
    ``sample_weight`` has one weight per row; ``reduction`` is ``"none"``, ``"sum"`` or
    ``"mean"``, which divides by the sum of the weights.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive = _two_sided(queries, keys, normalize, positive_offset, symmetric)
    logits = similarities / _temperature(temperature, similarities.dtype)

    def cross_entropy(logits):
        of_positive = tf.reduce_sum(_where(positive, logits, 0.0), axis=1)
        return tf.reduce_logsumexp(logits, axis=1) - of_positive

    losses = cross_entropy(logits)
    if symmetric:
        losses = 0.5 * (losses + cross_entropy(tf.transpose(logits)))
    return _reduce_rows(losses, tf.ones_like(losses), sample_weight, reduction)


def supervised_contrastive_loss(
    embeddings,
    labels,
    temperature=0.1,
    *,
    normalize=True,
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    sample_weight=None,
    reduction="mean",
):
    """Per anchor, minus the mean over its positives of the log soft-max over all others.

    The mean over the anchors that have a positive: another point of the same label.

    With ``ref_embeddings`` and ``ref_labels``, the others are those m points;
    ``self_offset=k`` says that anchor i is reference i + k, which is then not among them.
    ``sample_weight`` has one weight per anchor; ``reduction`` is ``"none"``, ``"sum"`` or
    ``"mean"``, which divides by the sum of the weights that it counts.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive, negative = _labelled(
        embeddings, labels, normalize, ref_embeddings, ref_labels, self_offset
    )
    logits = similarities / _temperature(temperature, similarities.dtype)
    others = _where(positive | negative, logits, _LEAST)
    log_sum = tf.reduce_logsumexp(others, axis=1)
    positives = tf.reduce_sum(tf.cast(positive, logits.dtype), axis=1)
    of_positives = tf.reduce_sum(_where(positive, logits, 0.0), axis=1)
    has_positive = positives > 0.0
    losses = log_sum - of_positives / tf.where(has_positive, positives, tf.ones_like(positives))
    losses = _where(has_positive, losses, 0.0)
    return _reduce_rows(losses, tf.cast(has_positive, logits.dtype), sample_weight, reduction)


def nt_xent_loss(
    embeddings,
    labels,
    temperature=0.5,
    *,
    normalize=True,
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    sample_weight=None,
    reduction="mean",
):
    """Per ordered pair (i, p) of one label, -log(e_ip / (e_ip + the sum of e_in)).

    With ``e = exp(s / temperature)`` and n the points of other labels than i's. The mean over
    those pairs; ``reduction="none"`` gives each anchor's sum over its own. References, weights
    and reductions are those of ``supervised_contrastive_loss``.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive, negative = _labelled(
        embeddings, labels, normalize, ref_embeddings, ref_labels, self_offset
    )
    logits = similarities / _temperature(temperature, similarities.dtype)
    log_sum = tf.reduce_logsumexp(_where(negative, logits, _LEAST), axis=1, keepdims=True)
    losses = tf.reduce_sum(_where(positive, tf.nn.softplus(log_sum - logits), 0.0), axis=1)
    positives = tf.reduce_sum(tf.cast(positive, logits.dtype), axis=1)
    return _reduce_rows(losses, positives, sample_weight, reduction)


def sigmoid_contrastive_loss(
    queries,
    keys,
    scale,
    bias,
    *,
    normalize=True,
    positive_offset=0,
    sample_weight=None,
    reduction="mean",
):
    """Every query against every key: -log sigmoid(z (scale s + bias)), ``[n, d]`` and ``[m, d]``.

    z is 1 for (i, i + positive_offset), else -1. A row's loss is the sum over the keys; weights
    and reductions are those of ``info_nce_loss``.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    similarities, positive = _two_sided(queries, keys, normalize, positive_offset)
    dtype = similarities.dtype
    logits = _parameter("scale", scale, dtype) * similarities + _parameter("bias", bias, dtype)
    losses = tf.reduce_sum(tf.nn.softplus(tf.where(positive, -logits, logits)), axis=1)
    return _reduce_rows(losses, tf.ones_like(losses), sample_weight, reduction)


# In place of the logit of a pair that is not there: its exponential is zero, and unlike that of
# -inf the soft-max of nothing but such pairs has a gradient.
_LEAST = -1e30


def _two_sided(queries, keys, normalize, positive_offset, square=False):
    """The similarities [n, m] of queries and keys, and which of them are of positives."""
    queries = _checks.points("queries", queries, rank=2)
    keys = _checks.points("keys", keys, rank=2)
    _checks.alike("keys", keys, "queries", queries, slice(0 if square else 1, None))
    if not tf.is_tensor(positive_offset):
        _arguments.positive_offset(positive_offset)
    similarities = _similarities(queries, keys, normalize)
    return similarities, ~_not_itself(similarities, positive_offset)


def _labelled(embeddings, labels, normalize, ref_embeddings, ref_labels, self_offset):
    """Similarities [n, m]; which pairs are of one label, and which of two."""
    embeddings, labels, refs, ref_labels = _batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset
    )
    similarities = _similarities(embeddings, embeddings if refs is None else refs, normalize)
    same = _of_one_label(labels, ref_labels)
    other = _not_itself(similarities, 0 if refs is None else self_offset)
    return similarities, same & other, ~same & other


def _batch(embeddings, labels, ref_embeddings, ref_labels, self_offset):
    """Points and labels of a batch and of its references: None and its own without any."""
    embeddings = _checks.points("embeddings", embeddings, rank=2)
    labels = _checks.labels("labels", labels, "embeddings", embeddings)
    if not _arguments.references(ref_embeddings, ref_labels, self_offset):
        return embeddings, labels, None, labels
    ref_embeddings = _checks.points("ref_embeddings", ref_embeddings, rank=2)
    _checks.alike("ref_embeddings", ref_embeddings, "embeddings", embeddings, slice(-1, None))
    ref_labels = _checks.labels("ref_labels", ref_labels, "ref_embeddings", ref_embeddings)
    if not tf.is_tensor(self_offset):
        _arguments.self_offset(self_offset)
    return embeddings, labels, ref_embeddings, ref_labels


def _of_one_label(labels, ref_labels):
    return tf.equal(labels[:, None], ref_labels[None, :])


def _not_itself(pairs, offset):
    """Which of the pairs [n, m] are of two points, where row i is column i + offset (None: no)."""
    if offset is None:
        return tf.ones_like(pairs, tf.bool)
    own = tf.range(tf.shape(pairs)[0]) + tf.cast(offset, tf.int32)
    return tf.not_equal(own[:, None], tf.range(tf.shape(pairs)[1])[None, :])


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


def _reduce_rows(losses, counts, sample_weight, reduction):
    """Of rows with a loss and what it counts for, [n] each; 0 where there is nothing to count."""
    weight = _checks.weights(sample_weight, losses, losses.dtype)
    losses = weight * losses
    if reduction == "none":
        return losses
    total = tf.reduce_sum(losses)
    if reduction == "sum":
        return total
    return tf.math.divide_no_nan(total, tf.reduce_sum(weight * counts))


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

"""The functions of `tf_pairwise` on NumPy arrays, without TensorFlow.

The same kernels, arguments and meaning, and the same bits. What differs: a function that has a
gradient returns it with ``with_gradient=True``, or has a sibling ``..._gradient``; ``threads``
says how many threads to run on (None: one per processor), which no result depends on.

Arrays are float16, float32, float64, or ``ml_dtypes.bfloat16``; those that are not contiguous
are copied. Errors are ValueError and TypeError.

    >>> import numpy as np
    >>> from tf_pairwise import numpy as tpn
    >>> x = np.array([[0.0], [2.0], [3.0], [7.0]], np.float32)
    >>> float(tpn.batch_triplet_loss(x, np.array([0, 0, 1, 1]), 0.5, mining="hard"))
    1.25
"""

import functools
import os

import numpy as np

from tf_pairwise import _arguments, _numpy

__all__ = [
    "batch_contrastive_loss",
    "batch_triplet_loss",
    "list_ranking_loss",
    "contrastive_loss",
    "info_nce_loss",
    "mine_triplets",
    "nearest_neighbors",
    "nt_xent_loss",
    "paired_distance",
    "paired_distance_gradient",
    "pairwise_distance",
    "pairwise_distance_gradient",
    "pairwise_ranking_loss",
    "sigmoid_contrastive_loss",
    "supervised_contrastive_loss",
    "triplet_loss",
]

_MOST_THREADS = 64


def pairwise_distance(x, y=None, metric="euclidean", *, threads=None):
    """`tf_pairwise.pairwise_distance`: [..., n, d], [..., m, d] -> [..., n, m]."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x, dtype = _points("x", x)
    y = None if y is None else _like("y", y, x, "x")
    distances = _numpy.pairwise_distance(_raw(x), _raw(y), dtype, metric, _threads(threads))
    return distances.view(x.dtype)


def pairwise_distance_gradient(x, y, upstream, metric="euclidean", *, threads=None):
    """The gradient of sum(upstream * pairwise_distance(x, y, metric)).

    Returns (x_grad, y_grad), of the shapes of x and y; for y=None x_grad alone, the whole.
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x, dtype = _points("x", x)
    itself = y is None
    y = None if itself else _like("y", y, x, "x")
    upstream = _like("upstream", upstream, x, "x")
    x_grad, y_grad = _numpy.pairwise_distance_gradient(
        _raw(x), _raw(y), _raw(upstream), dtype, metric, _threads(threads)
    )
    return x_grad.view(x.dtype) if itself else (x_grad.view(x.dtype), y_grad.view(x.dtype))


def paired_distance(x, y, metric="euclidean", *, threads=None):
    """`tf_pairwise.paired_distance`: [..., d], [..., d] -> [...]."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x, dtype = _points("x", x)
    y = _like("y", y, x, "x")
    distances = _numpy.paired_distance(_raw(x), _raw(y), dtype, metric, _threads(threads))
    return distances.view(x.dtype)[()]


def paired_distance_gradient(x, y, upstream, metric="euclidean", *, threads=None):
    """The gradient of sum(upstream * paired_distance(x, y, metric)): (x_grad, y_grad)."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    x, dtype = _points("x", x)
    y = _like("y", y, x, "x")
    upstream = _like("upstream", upstream, x, "x")
    gradients = _numpy.paired_distance_gradient(
        _raw(x), _raw(y), _raw(upstream), dtype, metric, _threads(threads)
    )
    return tuple(gradient.view(x.dtype) for gradient in gradients)


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
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.contrastive_loss`: two of [n, d], [n] -> a scalar, or [n] with "none".

    With with_gradient, (loss, (x1_grad, x2_grad)): the gradients of the loss, or of the sum of
    the losses with reduction "none".
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.number("margin", margin, least=0)
    similar_label = _arguments.similar_label(similar_label)
    x1, dtype = _points("x1", x1)
    x2 = _like("x2", x2, x1, "x1")
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biu":
        raise TypeError(f"labels: got {labels.dtype.name}, expected an integer type or bool")
    loss, gradients = _numpy.contrastive_loss(
        _raw(x1),
        _raw(x2),
        np.ascontiguousarray(
            labels.astype(np.int64) != similar_label,
            np.float64 if dtype == "float64" else np.float32,
        ),
        _weights(sample_weight, dtype),
        dtype,
        metric,
        reduction,
        margin,
        bool(with_gradient),
        _threads(threads),
    )
    if not with_gradient:
        return loss[()]
    return loss[()], tuple(gradient.view(x1.dtype) for gradient in gradients)


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
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.batch_contrastive_loss`: [n, d], [n] -> a scalar, or [n] with "none".

    With with_gradient, (loss, embeddings_grad), and with references
    (loss, (embeddings_grad, ref_embeddings_grad)): the gradients of the loss, or of the sum of
    the losses with reduction "none".
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.BATCH_CONTRASTIVE_REDUCTIONS)
    margin = _arguments.number("margin", margin, least=0)
    positive_margin = _arguments.number("positive_margin", positive_margin)
    inputs, embeddings, dtype = _batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    loss, gradients = _numpy.batch_contrastive_loss(
        *inputs,
        _weights(sample_weight, dtype),
        dtype,
        metric,
        reduction,
        margin,
        positive_margin,
        bool(squared),
        bool(with_gradient),
        _threads(threads),
    )
    if not with_gradient:
        return loss[()]
    gradients = tuple(gradient.view(embeddings.dtype) for gradient in gradients)
    return loss[()], gradients[0] if ref_embeddings is None else gradients


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
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.info_nce_loss`: [n, d], [m, d] -> a scalar, or [n] with reduction "none".

    With with_gradient, (loss, (queries_grad, keys_grad, temperature_grad)): the gradients of
    the loss, or of the sum of the losses with reduction "none".
    """
    temperature = _arguments.number("temperature", temperature, above=0)
    inputs = _queries_and_keys(queries, keys, positive_offset)
    options = (reduction, normalize, symmetric, with_gradient, threads)
    return _softmax_loss("info_nce", inputs, sample_weight, [temperature], *options)


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
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.supervised_contrastive_loss`: [n, d], [n] -> a scalar, or [n] with "none".

    With with_gradient, (loss, (embeddings_grad, temperature_grad)), and with references
    (loss, (embeddings_grad, ref_embeddings_grad, temperature_grad)): the gradients of the loss,
    or of the sum of the losses with reduction "none".
    """
    temperature = _arguments.number("temperature", temperature, above=0)
    inputs = _batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    options = (reduction, normalize, False, with_gradient, threads)
    return _softmax_loss("supervised", inputs, sample_weight, [temperature], *options)


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
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.nt_xent_loss`: [n, d], [n] -> a scalar, or [n] with reduction "none".

    With with_gradient, as `supervised_contrastive_loss`.
    """
    temperature = _arguments.number("temperature", temperature, above=0)
    inputs = _batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    options = (reduction, normalize, False, with_gradient, threads)
    return _softmax_loss("nt_xent", inputs, sample_weight, [temperature], *options)


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
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.sigmoid_contrastive_loss`: [n, d], [m, d] -> a scalar, or [n] with "none".

    With with_gradient, (loss, (queries_grad, keys_grad, scale_grad, bias_grad)): the gradients
    of the loss, or of the sum of the losses with reduction "none".
    """
    parameters = [_arguments.number("scale", scale), _arguments.number("bias", bias)]
    inputs = _queries_and_keys(queries, keys, positive_offset)
    options = (reduction, normalize, False, with_gradient, threads)
    return _softmax_loss("sigmoid", inputs, sample_weight, parameters, *options)


def _softmax_loss(
    kind,
    inputs,
    sample_weight,
    parameters,
    reduction,
    normalize,
    symmetric,
    with_gradient,
    threads,
):
    """Of what `_queries_and_keys` or `_batch` made of the points."""
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    inputs, points, dtype = inputs
    loss, gradients, of_parameters = _numpy.softmax_loss(
        *inputs,
        _weights(sample_weight, dtype),
        parameters,
        dtype,
        kind,
        reduction,
        bool(normalize),
        bool(symmetric),
        bool(with_gradient),
        _threads(threads),
    )
    if not with_gradient:
        return loss[()]
    return loss[()], (*(gradient.view(points.dtype) for gradient in gradients), *of_parameters)


def triplet_loss(
    anchors,
    positives,
    negatives,
    margin=1.0,
    *,
    metric="squared_euclidean",
    swap=False,
    sample_weight=None,
    reduction="mean",
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.triplet_loss`: three of [n, d] -> a scalar, or [n] with reduction "none".

    With with_gradient, (loss, (anchors_grad, positives_grad, negatives_grad)): the gradients of
    the loss, or of the sum of the losses with reduction "none".
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.margin(margin)
    anchors, dtype = _points("anchors", anchors)
    positives = _like("positives", positives, anchors, "anchors")
    negatives = _like("negatives", negatives, anchors, "anchors")
    loss, gradients = _numpy.triplet_loss(
        _raw(anchors),
        _raw(positives),
        _raw(negatives),
        _weights(sample_weight, dtype),
        dtype,
        metric,
        reduction,
        margin,
        bool(swap),
        bool(with_gradient),
        _threads(threads),
    )
    if not with_gradient:
        return loss[()]
    return loss[()], tuple(gradient.view(anchors.dtype) for gradient in gradients)


def batch_triplet_loss(
    embeddings,
    labels,
    margin=1.0,
    *,
    mining="semi_hard",
    metric="euclidean",
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    sample_weight=None,
    reduction="mean",
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.batch_triplet_loss`: [n, d], [n] -> a scalar, or [n] with reduction "none".

    With with_gradient, (loss, embeddings_grad), and with references
    (loss, (embeddings_grad, ref_embeddings_grad)): the gradients of the loss, or of the sum of
    the losses with reduction "none".
    """
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.margin(margin, mining)
    inputs, embeddings, dtype = _batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    loss, gradients = _numpy.batch_triplet_loss(
        *inputs,
        _weights(sample_weight, dtype),
        dtype,
        metric,
        mining,
        reduction,
        margin,
        bool(with_gradient),
        _threads(threads),
    )
    if not with_gradient:
        return loss[()]
    gradients = tuple(gradient.view(embeddings.dtype) for gradient in gradients)
    return loss[()], gradients[0] if ref_embeddings is None else gradients


def mine_triplets(
    embeddings,
    labels,
    mining="semi_hard",
    margin=1.0,
    *,
    metric="euclidean",
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    threads=None,
):
    """`tf_pairwise.mine_triplets`: [n, d], [n] -> int64 [t, 3]."""
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.one_of("metric", metric, _arguments.METRICS)
    margin = _arguments.margin(margin, mining)
    inputs, _, dtype = _batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    return _numpy.mine_triplets(*inputs, dtype, metric, mining, margin, _threads(threads))


def nearest_neighbors(
    queries,
    keys=None,
    k=10,
    *,
    metric="euclidean",
    query_labels=None,
    key_labels=None,
    only=None,
    threads=None,
):
    """`tf_pairwise.nearest_neighbors`: [n, d], [m, d] -> distances [n, k], int64 indices [n, k]."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    k, only = _arguments.neighbors(keys, k, query_labels, key_labels, only)
    queries, dtype = _points("queries", queries)
    distances, indices = _numpy.nearest_neighbors(
        _raw(queries),
        _raw(None if keys is None else _like("keys", keys, queries, "queries")),
        None if query_labels is None else _labels("query_labels", query_labels),
        None if key_labels is None else _labels("key_labels", key_labels),
        dtype,
        metric,
        only,
        k,
        _threads(threads),
    )
    return distances.view(queries.dtype), indices


def pairwise_ranking_loss(
    scores_pos,
    scores_neg,
    *,
    loss="logistic",
    margin=1.0,
    temperature=1.0,
    sample_weight=None,
    reduction="mean",
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.pairwise_ranking_loss`: two of one shape -> a scalar, or that shape.

    With with_gradient, (loss, (scores_pos_grad, scores_neg_grad)): the gradients of the loss, or
    of the sum of the losses with reduction "none".
    """
    options = _arguments.ranking(
        *(loss, _arguments.PAIR_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.REDUCTIONS),
    )
    scores_pos, dtype = _points("scores_pos", scores_pos)
    scores_neg = _like("scores_neg", scores_neg, scores_pos, "scores_pos")
    value, gradients = _numpy.pairwise_ranking_loss(
        _raw(scores_pos),
        _raw(scores_neg),
        _weights(sample_weight, dtype),
        dtype,
        loss,
        reduction,
        *options,
        bool(with_gradient),
        _threads(threads),
    )
    if not with_gradient:
        return value[()]
    return value[()], tuple(gradient.view(scores_pos.dtype) for gradient in gradients)


def list_ranking_loss(
    scores,
    relevance,
    *,
    loss="logistic",
    lambda_weight=None,
    topn=None,
    margin=1.0,
    temperature=1.0,
    item_weight=None,
    mask=None,
    row_splits=None,
    reduction="mean",
    with_gradient=False,
    threads=None,
):
    """`tf_pairwise.list_ranking_loss`: [B, L] -> a scalar, or [B, L] with reduction "none".

    Lists of different lengths: scores, relevance, item_weight and mask are [n], and list b is
    their [row_splits[b]:row_splits[b + 1]], as the values and row_splits of a tf.RaggedTensor.

    With with_gradient, (loss, scores_grad): the gradient of the loss, or of the sum of the
    losses with reduction "none".
    """
    options = _arguments.ranking(
        *(loss, _arguments.LIST_LOSSES),
        *(margin, temperature),
        *(reduction, _arguments.LIST_REDUCTIONS),
    )
    lambda_weight, topn = _arguments.lambda_weight(lambda_weight, topn, loss)
    scores, dtype = _points("scores", scores)
    if mask is not None:
        mask = np.asarray(mask, order="C")
        if mask.dtype != bool:
            raise TypeError(f"mask: got {mask.dtype.name}, expected bool")
    value, gradients = _numpy.list_ranking_loss(
        _raw(scores),
        _weights(relevance, "float64", "relevance"),
        None if row_splits is None else _labels("row_splits", row_splits),
        mask,
        _weights(item_weight, dtype, "item_weight"),
        dtype,
        loss,
        lambda_weight,
        topn,
        reduction,
        *options,
        bool(with_gradient),
        _threads(threads),
    )
    if not with_gradient:
        return value[()]
    return value[()], gradients[0].view(scores.dtype)


# ---- arguments ----


def _points(name, value):
    """`value` as a contiguous array, and the name of its dtype."""
    value = np.asarray(value, order="C")
    dtype = value.dtype.name
    if dtype not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(f"{name}: got {dtype}, expected float16, bfloat16, float32 or float64")
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    return value, dtype


def _like(name, value, like, like_name):
    value, dtype = _points(name, value)
    if dtype != like.dtype.name:
        raise TypeError(f"{name}: got {dtype}, expected {like.dtype.name} as {like_name}")
    return value


def _raw(value):
    """bfloat16 as the uint16 that the module takes for it."""
    if value is None or value.dtype.name != "bfloat16":
        return value
    return value.view(np.uint16)


def _labels(name, value):
    value = np.asarray(value)
    if value.dtype.kind not in "iu":
        raise TypeError(f"{name}: got {value.dtype.name}, expected an integer type")
    return np.ascontiguousarray(value, np.int64)


def _weights(value, dtype, name="sample_weight"):
    if value is None:
        return None
    value = np.asarray(value)
    if value.dtype.kind not in "iuf" and value.dtype.name != "bfloat16":
        raise TypeError(f"{name}: got {value.dtype.name}, expected a real type")
    return np.asarray(value, np.float64 if dtype == "float64" else np.float32, order="C")


def _batch(embeddings, labels, ref_embeddings, ref_labels, self_offset):
    """The inputs of a batch function, the embeddings and their dtype's name."""
    references = _arguments.references(ref_embeddings, ref_labels, self_offset)
    embeddings, dtype = _points("embeddings", embeddings)
    labels = _labels("labels", labels)
    if references:
        ref_embeddings = _raw(_like("ref_embeddings", ref_embeddings, embeddings, "embeddings"))
        ref_labels = _labels("ref_labels", ref_labels)
    offset = _arguments.self_offset(self_offset)
    return (_raw(embeddings), labels, ref_embeddings, ref_labels, offset), embeddings, dtype


def _queries_and_keys(queries, keys, positive_offset):
    """The same of a function of queries and keys, which have no labels."""
    queries, dtype = _points("queries", queries)
    keys = _like("keys", keys, queries, "queries")
    offset = _arguments.positive_offset(positive_offset)
    return (_raw(queries), None, _raw(keys), None, offset), queries, dtype


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

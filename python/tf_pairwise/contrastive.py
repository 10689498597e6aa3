"""Contrastive losses: of explicit pairs, of all pairs of a batch, and of its soft-max."""

import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._tensors import ops


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
    """The contrastive loss of n given pairs (Hadsell et al. 2006).

    0.5 D^2 for a similar pair, 0.5 max(0, margin - D)^2 for a dissimilar one. A pair is similar
    where its label equals `similar_label`, and dissimilar with any other label: by default 0
    means similar and 1 dissimilar, as in the paper; for labels in which 1 means "the same",
    pass `similar_label=1`. Value and gradient are made in one pass over the points where a tape
    records; time O(n d), memory O(n) beside the gradients.

    Args:
      x1: [n, d], float16, bfloat16, float32 or float64.
      x2: [n, d], of the same dtype.
      labels: [n] or [n, 1], of any integer dtype or bool.
      margin: a Python number, finite and 0 or more.
      metric: a name `pairwise_distance` takes.
      similar_label: a Python integer (or a bool), the label of the similar pairs.
      sample_weight: [n], a weight per pair, of any real dtype; constant to the gradient.
      reduction: "none" for the n weighted losses, "sum", "mean" (their sum over the sum of the
        weights), or "mean_nonzero" (over the weights of the pairs with loss > 0). Nothing to
        count is the loss 0.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.
      Gradients are of the points' dtype. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.contrastive_loss` has it.

    Raises:
      ValueError: an argument that is not one of its names, a margin that is negative or not
        finite, or, while a graph is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or a margin that is not a Python number.
      tf.errors.InvalidArgumentError: shapes that do not go together.

    Example:
      >>> x1, x2 = [[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.5]]
      >>> tpw.contrastive_loss(x1, x2, [0, 1], reduction="none").numpy()
      array([0.5  , 0.125], dtype=float32)
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = repr(_arguments.number("margin", margin, least=0))
    similar_label = _arguments.similar_label(similar_label)
    x1 = _tensors.points("x1", x1)
    x2 = _tensors.points("x2", x2, x1, "x1")
    weights, weighted = _tensors.weights(sample_weight, _tensors.accumulator(x1.dtype))
    return ops.tf_pairwise_contrastive_loss(
        x1,
        x2,
        _pair_labels(labels),
        weights,
        metric,
        reduction,
        margin,
        weighted,
        similar_label,
        _tensors.recording(reduction, x1, x2),
    )[0]


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
    """The contrastive loss over all ordered pairs of a labelled batch.

    Two different points of one label have the hinge h = max(0, D - positive_margin), two of
    different labels h = max(0, margin - D); the loss of a pair is 0.5 h^2 (Hadsell et al. 2006),
    or h with `squared=False`. Distances are made a tile at a time and never stored: time is
    O(n m d), memory O((n + m) d). Where a tape records, the gradient is made in the same pass.

    Args:
      embeddings: [n, d], float16, bfloat16, float32 or float64.
      labels: [n] or [n, 1], of any integer dtype.
      margin: a Python number, finite and 0 or more: dissimilar pairs nearer than that have a
        loss.
      metric: a name `pairwise_distance` takes. The formula is the same for all: under "dot" and
        "cosine" D is their D.
      positive_margin: a finite Python number: similar pairs farther than that have a loss.
      squared: whether the loss of a pair is 0.5 h^2, or h.
      ref_embeddings: [m, d], the points that anchors are paired with, in place of the
        embeddings; of their dtype. They get a gradient too.
      ref_labels: [m] or [m, 1], with ref_embeddings.
      self_offset: an integer, or an integer scalar tensor: anchor i is also reference
        i + self_offset, which is then no pair. Only with ref_embeddings.
      sample_weight: [n], a weight per anchor, of any real dtype; constant to the gradient.
      reduction: "none" for each anchor's weighted sum over its pairs, "sum", "mean" (over the
        pairs), "mean_nonzero" (over the pairs with loss > 0), or "balanced_mean" (the mean over
        the similar pairs with loss > 0 plus the mean over the dissimilar ones with loss > 0).
        Means divide by the sum of the weights of what they count; nothing to count is the
        loss 0.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 embeddings, else float32.
      Gradients are of the embeddings' dtype. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.batch_contrastive_loss` has it.

    Raises:
      ValueError: an argument that is not one of its names, a margin that is negative or not
        finite, references without labels, self_offset without references, or, while a graph is
        traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or a margin that is not a Python number.
      tf.errors.InvalidArgumentError: shapes that do not go together.

    Example:
      >>> x = tf.constant([[0.0], [1.0], [1.5], [3.5]])
      >>> tpw.batch_contrastive_loss(x, [0, 0, 1, 1], reduction="none").numpy()
      array([0.5  , 0.625, 2.125, 2.   ], dtype=float32)
    """
    return batch_contrastive_outputs(
        embeddings,
        labels,
        margin,
        metric=metric,
        positive_margin=positive_margin,
        squared=squared,
        ref_embeddings=ref_embeddings,
        ref_labels=ref_labels,
        self_offset=self_offset,
        sample_weight=sample_weight,
        reduction=reduction,
    )[0]


def batch_contrastive_outputs(
    embeddings,
    labels,
    margin,
    *,
    metric,
    positive_margin,
    squared,
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    sample_weight=None,
    reduction="mean",
):
    """All that the op of `batch_contrastive_loss` puts out: the loss first, the counted last."""
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.BATCH_CONTRASTIVE_REDUCTIONS)
    margin = repr(_arguments.number("margin", margin, least=0))
    positive_margin = repr(_arguments.number("positive_margin", positive_margin))
    inputs, itself = _tensors.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    weights, weighted = _tensors.weights(sample_weight, _tensors.accumulator(inputs[0].dtype))
    return ops.tf_pairwise_batch_contrastive_loss(
        *inputs,
        weights,
        metric,
        reduction,
        margin,
        weighted,
        positive_margin,
        bool(squared),
        itself,
        _tensors.recording(reduction, inputs[0], inputs[2]),
    )


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
    """The InfoNCE loss of n queries and m keys (van den Oord et al. 2018).

    Row i's positive is key p = i + positive_offset, all other keys are its negatives: its loss
    is log(sum_j exp(s_ij / temperature)) - s_ip / temperature, s being dot products. Keys beyond
    the n positives are more negatives: a queue of older keys (MoCo, He et al. 2020), or the
    keys of other replicas. With `symmetric`, half of that plus half of the same with queries
    and keys exchanged (CLIP, Radford et al. 2021).

    The log-sum-exp is made online, a tile at a time: time O(n m d), memory O((n + m) d). Where a
    tape records, the gradients are made along with the value, those of the temperature as well.

    Args:
      queries: [n, d], float16, bfloat16, float32 or float64.
      keys: [m, d], of the same dtype, with m >= n + positive_offset; with `symmetric` m = n.
      temperature: finite and more than 0; a Python number, or a scalar tensor or variable of a
        float dtype, which then has a gradient.
      symmetric: whether to take the mean of both directions.
      normalize: s is of the L2-normalised points (a zero vector stays zero: its dot products are
        0, and so is its gradient), else of the points as they are.
      positive_offset: an integer, 0 or more, or an integer scalar tensor: query i's positive is
        key i + positive_offset. 0 with `symmetric`.
      sample_weight: [n], a weight per row, of any real dtype; constant to the gradient. A row
        of weight 0 has the loss 0 whatever is in it.
      reduction: "none" for each row's weighted loss, "sum", or "mean" (their sum over the sum of
        the weights). Nothing to count is the loss 0.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.
      Gradients are of the inputs' dtypes. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.info_nce_loss` has it.

    Raises:
      ValueError: a reduction that is not one of those, a temperature that is a Python number
        and not finite and more than 0, a positive_offset that is a Python number and negative,
        or, while a graph is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or a positive_offset that is no integer.
      tf.errors.InvalidArgumentError: such a temperature or positive_offset that is a tensor, a
        positive_offset that leaves a query without its key, or shapes that do not go together.

    Example:
      >>> x = tf.constant([[1.0, 0.0], [0.0, 2.0]])
      >>> tpw.info_nce_loss(x, x, temperature=1.0).numpy()
      0.31326166
    """
    inputs = queries_and_keys(queries, keys, positive_offset)
    temperature = temperature_of(temperature, inputs[0].dtype)
    options = (sample_weight, reduction, normalize, symmetric)
    return _softmax_loss("info_nce", inputs, False, (temperature, None, None), *options)


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
    """The supervised contrastive loss of a labelled batch (Khosla et al. 2020, eq. 2, "out").

    The loss of an anchor i is log(sum_{j != i} exp(s_ij / temperature)) minus the mean over its
    positives p (other points of its label) of s_ip / temperature, s being dot products, and 0
    without positives. By default the mean over the anchors that have a positive.

    Time O(n m d), memory O((n + m) d), with m = n where there are no references; the gradients
    are made along with the value where a tape records.

    Args:
      embeddings: [n, d], float16, bfloat16, float32 or float64.
      labels: [n] or [n, 1], of any integer dtype.
      temperature: as in `info_nce_loss`.
      normalize: as in `info_nce_loss`.
      ref_embeddings: [m, d], the points that anchors are held against, in place of the
        embeddings; of their dtype. They get a gradient too.
      ref_labels: [m] or [m, 1], with ref_embeddings.
      self_offset: an integer, or an integer scalar tensor: anchor i is also reference
        i + self_offset, which is then left out of its sums. Only with ref_embeddings.
      sample_weight: [n], a weight per anchor, of any real dtype; constant to the gradient. An
        anchor of weight 0 has the loss 0 whatever is in it.
      reduction: "none" for each anchor's weighted loss, "sum", or "mean": their sum over the sum
        of the weights of the anchors that have a positive. Nothing to count is the loss 0.

    Returns:
      As `info_nce_loss`.

    Raises:
      ValueError: a reduction that is not one of those, a temperature that is a Python number
        and not finite and more than 0, references without labels, self_offset without
        references, or, while a graph is traced, shapes that do not go together.
      TypeError: a dtype that is not taken.
      tf.errors.InvalidArgumentError: such a temperature that is a tensor, a self_offset past
        the references, or shapes that do not go together.

    Example:
      >>> x = tf.constant([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> tpw.supervised_contrastive_loss(x, [0, 0, 1], temperature=1.0).numpy()
      0.31326166
    """
    inputs, itself = _tensors.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    temperature = temperature_of(temperature, inputs[0].dtype)
    options = (sample_weight, reduction, normalize)
    return _softmax_loss("supervised", inputs, itself, (temperature, None, None), *options)


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
    """The NT-Xent loss over the positive pairs of a labelled batch (Chen et al. 2020).

    Per ordered pair (i, p) of two points of one label, -log(e_ip / (e_ip + the sum of e_in over
    the points n of other labels)) with e = exp(s / temperature); by default the mean over those
    pairs, as pytorch-metric-learning computes it. Labels that come in twos are the paper's two
    views of an image.

    Time O(n m d), memory O((n + m) d), with m = n where there are no references; the gradients
    are made along with the value where a tape records.

    Args:
      embeddings: [n, d], float16, bfloat16, float32 or float64.
      labels: [n] or [n, 1], of any integer dtype.
      temperature: as in `info_nce_loss`.
      normalize: as in `info_nce_loss`.
      ref_embeddings: as in `supervised_contrastive_loss`: p and n are taken from them.
      ref_labels: so.
      self_offset: so.
      sample_weight: so.
      reduction: "none" for each anchor's weighted sum over its positive pairs, "sum", or "mean":
        their sum over the sum of the pairs' weights. Nothing to count is the loss 0.

    Returns:
      As `info_nce_loss`.

    Raises:
      As `supervised_contrastive_loss`.

    Example:
      >>> x = tf.constant([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> tpw.nt_xent_loss(x, [0, 0, 1], temperature=1.0).numpy()
      0.31326166
    """
    inputs, itself = _tensors.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    temperature = temperature_of(temperature, inputs[0].dtype)
    options = (sample_weight, reduction, normalize)
    return _softmax_loss("nt_xent", inputs, itself, (temperature, None, None), *options)


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
    """The sigmoid loss of n queries and m keys (SigLIP, Zhai et al. 2023).

    The loss of row i is -sum_j log sigmoid(z_ij (scale s_ij + bias)), s being dot products; z is
    1 for the row's positive j = i + positive_offset and -1 for the rest. By default the mean
    over the rows. The paper starts training at scale = 10 and bias = -10, and learns the
    scale's logarithm.

    Time O(n m d), memory O((n + m) d); the gradients are made along with the value where a tape
    records.

    Args:
      queries: [n, d], float16, bfloat16, float32 or float64.
      keys: [m, d], of the same dtype, with m >= n + positive_offset.
      scale: a finite Python number, or a scalar tensor or variable of a float dtype, which then
        has a gradient.
      bias: so.
      normalize: as in `info_nce_loss`.
      positive_offset: as in `info_nce_loss`.
      sample_weight: as in `info_nce_loss`.
      reduction: as in `info_nce_loss`.

    Returns:
      As `info_nce_loss`.

    Raises:
      ValueError: a reduction that is not one of those, a scale or bias that is a Python number
        and not finite, a positive_offset that is a Python number and negative, or, while a graph
        is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or a positive_offset that is no integer.
      tf.errors.InvalidArgumentError: a positive_offset that leaves a query without its key, or
        shapes that do not go together.

    Example:
      >>> x = tf.constant([[1.0, 0.0], [0.0, 2.0]])
      >>> tpw.sigmoid_contrastive_loss(x, x, scale=1.0, bias=0.0).numpy()
      1.0064088
    """
    inputs = queries_and_keys(queries, keys, positive_offset)
    parameters = scale_and_bias(scale, bias, inputs[0].dtype)
    return _softmax_loss("sigmoid", inputs, False, parameters, sample_weight, reduction, normalize)


def _softmax_loss(*args, **kwargs):
    return softmax_outputs(*args, **kwargs)[0]


def softmax_outputs(
    kind, inputs, itself, parameters, sample_weight, reduction, normalize, symmetric=False
):
    """All that the op of a kind puts out: the loss first, what it counted last.

    What the kind does not read the op gets all the same. `parameters` are temperature, scale and
    bias.
    """
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    accumulator = _tensors.accumulator(inputs[0].dtype)
    weights, weighted = _tensors.weights(sample_weight, accumulator)
    nothing = _tensors.constant(0.0, accumulator)
    parameters = [nothing if value is None else value for value in parameters]
    return ops.tf_pairwise_softmax_loss(
        *inputs,
        weights,
        *parameters,
        kind,
        reduction,
        bool(normalize),
        bool(symmetric),
        weighted,
        itself,
        _tensors.recording(reduction, inputs[0], inputs[2], *parameters),
    )


# ---- arguments ----


def _pair_labels(value):
    """Labels of pairs: bools too."""
    if not isinstance(value, tf.Tensor):
        hint = None if hasattr(value, "dtype") else tf.int64
        value = tf.convert_to_tensor(value, dtype_hint=hint)
    if not (value.dtype.is_integer or value.dtype == tf.bool):
        raise TypeError(f"labels: got {value.dtype.name}, expected an integer type or bool")
    return value if value.dtype == tf.int64 else tf.cast(value, tf.int64)


def queries_and_keys(queries, keys, positive_offset):
    """The inputs of a soft-max op that has no labels, in the order of `_tensors.batch`."""
    queries = _tensors.points("queries", queries)
    keys = _tensors.points("keys", keys, queries, "queries")
    nothing = _tensors.constant(0, tf.int64)
    return queries, nothing, keys, nothing, _tensors.positive_offset(positive_offset)


def temperature_of(value, dtype):
    return _parameter("temperature", value, _tensors.accumulator(dtype), above=0)


def scale_and_bias(scale, bias, dtype):
    """The parameters of a soft-max op: no temperature."""
    accumulator = _tensors.accumulator(dtype)
    return None, _parameter("scale", scale, accumulator), _parameter("bias", bias, accumulator)


def _parameter(name, value, dtype, **bounds):
    """A parameter of a loss in `dtype`: a Python number, or what becomes a float tensor."""
    if isinstance(value, (int, float)) or not (tf.is_tensor(value) or hasattr(value, "dtype")):
        return _tensors.constant(_arguments.number(name, value, **bounds), dtype)
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating:
        raise TypeError(f"{name}: got {value.dtype.name}, expected a float type")
    return tf.cast(value, dtype)


# ---- gradients ----

_tensors.register_loss(
    "ContrastiveLoss",
    points=(0, 1),
    attributes=("metric", "reduction", "margin", "weighted", "similar_label"),
    function=lambda op: "contrastive_loss",
)
_tensors.register_loss(
    "BatchContrastiveLoss",
    points=(0, 2),
    attributes=(
        *("metric", "reduction", "margin", "weighted"),
        *("positive_margin", "squared", "self"),
    ),
    function=lambda op: "batch_contrastive_loss",
    read=_tensors.batch_points,
)

# kind -> the public function, and which inputs of the op it reads and differentiates; the
# labelled kinds, where there are references, those too.
_SOFTMAX = {
    b"info_nce": ("info_nce_loss", (0, 2, 6)),
    b"supervised": ("supervised_contrastive_loss", (0, 6)),
    b"nt_xent": ("nt_xent_loss", (0, 6)),
    b"sigmoid": ("sigmoid_contrastive_loss", (0, 2, 7, 8)),
}


def _softmax(op):
    function, read = _SOFTMAX[tf.compat.as_bytes(op.get_attr("kind"))]
    return function, read if op.get_attr("self") else {*read, 2}


_tensors.register_loss(
    "SoftmaxLoss",
    points=(0, 2, 6, 7, 8),
    attributes=("kind", "reduction", "normalize", "symmetric", "weighted", "self"),
    function=lambda op: _softmax(op)[0],
    read=lambda op: _softmax(op)[1],
)

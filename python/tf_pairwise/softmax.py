"""Losses over the soft-max, or the sigmoids, of the dot products of a batch."""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._tensors import ops
from tf_pairwise._types import SoftmaxReduction, TensorLike


def info_nce_loss(
    queries: TensorLike,
    keys: TensorLike,
    temperature: float | TensorLike = 0.07,
    *,
    symmetric: bool = False,
    normalize: bool = True,
    positive_offset: int | TensorLike = 0,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """The InfoNCE loss of n queries and m keys (van den Oord et al. 2018).

    Row i's positive is key p = i + positive_offset, all other keys are its negatives: its loss
    is log(sum_j exp(s_ij / temperature)) - s_ip / temperature, s being dot products. Keys beyond
    the n positives are more negatives: a queue of older keys (MoCo, He et al. 2020), or the
    keys of other replicas. With `symmetric`, half of that plus half of the same with queries
    and keys exchanged (CLIP, Radford et al. 2021).

    Dot products are made a tile at a time and never stored: time O(n m d), memory O((n + m) d).
    Where a tape records, the gradients are made along with the value, those of the temperature
    as well.

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

    Examples:
      >>> x = tf.constant([[1.0, 0.0], [0.0, 2.0]])
      >>> print(f"{float(tpw.info_nce_loss(x, x, temperature=1.0)):.4f}")
      0.3133
    """
    return _queries_outputs(
        "info_nce",
        queries,
        keys,
        {"temperature": temperature},
        symmetric=symmetric,
        normalize=normalize,
        positive_offset=positive_offset,
        sample_weight=sample_weight,
        reduction=reduction,
    )[0]


def supervised_contrastive_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    temperature: float | TensorLike = 0.1,
    *,
    normalize: bool = True,
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """The supervised contrastive loss of a labelled batch (Khosla et al. 2020, eq. 2, "out").

    The loss of an anchor i is log(sum_{j != i} exp(s_ij / temperature)) minus the mean over its
    positives p (other points of its label) of s_ip / temperature, s being dot products, and 0
    without positives. By default the mean over the anchors that have a positive.

    Time O(n m d), memory O((n + m) d), with m = n where there are no references; the gradients
    are made along with the value where a tape records.

    Args:
      embeddings: [n, d], float16, bfloat16, float32 or float64.
      labels: [n] or [n, 1], of any integer dtype.
      temperature: finite and more than 0; a Python number, or a scalar tensor or variable of a
        float dtype, which then has a gradient.
      normalize: s is of the L2-normalised points (a zero vector stays zero: its dot products are 0,
        and so is its gradient), else of the points as they are.
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
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.
      Gradients are of the inputs' dtypes. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.supervised_contrastive_loss` has it.

    Raises:
      ValueError: a reduction that is not one of those, a temperature that is a Python number
        and not finite and more than 0, references without labels, self_offset without
        references, or, while a graph is traced, shapes that do not go together.
      TypeError: a dtype that is not taken.
      tf.errors.InvalidArgumentError: such a temperature that is a tensor, a self_offset past
        the references, or shapes that do not go together.

    Examples:
      >>> x = tf.constant([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> print(f"{float(tpw.supervised_contrastive_loss(x, [0, 0, 1], temperature=1.0)):.4f}")
      0.3133
    """
    return _labelled_outputs(
        "supervised",
        embeddings,
        labels,
        {"temperature": temperature},
        normalize=normalize,
        ref_embeddings=ref_embeddings,
        ref_labels=ref_labels,
        self_offset=self_offset,
        sample_weight=sample_weight,
        reduction=reduction,
    )[0]


def nt_xent_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    temperature: float | TensorLike = 0.5,
    *,
    normalize: bool = True,
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
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
      temperature: finite and more than 0; a Python number, or a scalar tensor or variable of a
        float dtype, which then has a gradient.
      normalize: s is of the L2-normalised points (a zero vector stays zero: its dot products are 0,
        and so is its gradient), else of the points as they are.
      ref_embeddings: [m, d], the points that p and n are taken from, in place of the embeddings; of
        their dtype. They get a gradient too.
      ref_labels: [m] or [m, 1], with ref_embeddings.
      self_offset: an integer, or an integer scalar tensor: anchor i is also reference i +
        self_offset, which is then left out. Only with ref_embeddings.
      sample_weight: [n], a weight per anchor, of any real dtype; constant to the gradient. An
        anchor of weight 0 has the loss 0 whatever is in it.
      reduction: "none" for each anchor's weighted sum over its positive pairs, "sum", or "mean":
        their sum over the sum of the pairs' weights. Nothing to count is the loss 0.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.
      Gradients are of the inputs' dtypes. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.nt_xent_loss` has it.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where `supervised_contrastive_loss`
        raises them.

    Examples:
      >>> x = tf.constant([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> print(f"{float(tpw.nt_xent_loss(x, [0, 0, 1], temperature=1.0)):.4f}")
      0.3133
    """
    return _labelled_outputs(
        "nt_xent",
        embeddings,
        labels,
        {"temperature": temperature},
        normalize=normalize,
        ref_embeddings=ref_embeddings,
        ref_labels=ref_labels,
        self_offset=self_offset,
        sample_weight=sample_weight,
        reduction=reduction,
    )[0]


def sigmoid_contrastive_loss(
    queries: TensorLike,
    keys: TensorLike,
    scale: float | TensorLike,
    bias: float | TensorLike,
    *,
    normalize: bool = True,
    positive_offset: int | TensorLike = 0,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
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
      bias: a finite Python number, or such a tensor or variable.
      normalize: s is of the L2-normalised points (a zero vector stays zero: its dot products are 0,
        and so is its gradient), else of the points as they are.
      positive_offset: an integer, 0 or more, or an integer scalar tensor: query i's positive is key
        i + positive_offset.
      sample_weight: [n], a weight per row, of any real dtype; constant to the gradient. A row of
        weight 0 has the loss 0 whatever is in it.
      reduction: "none" for each row's weighted loss, "sum", or "mean" (their sum over the sum of
        the weights). Nothing to count is the loss 0.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.
      Gradients are of the inputs' dtypes. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.sigmoid_contrastive_loss` has it.

    Raises:
      ValueError: a reduction that is not one of those, a scale or bias that is a Python number
        and not finite, a positive_offset that is a Python number and negative, or, while a graph
        is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or a positive_offset that is no integer.
      tf.errors.InvalidArgumentError: a positive_offset that leaves a query without its key, or
        shapes that do not go together.

    Examples:
      >>> x = tf.constant([[1.0, 0.0], [0.0, 2.0]])
      >>> print(f"{float(tpw.sigmoid_contrastive_loss(x, x, scale=1.0, bias=0.0)):.4f}")
      1.0064
    """
    return _queries_outputs(
        "sigmoid",
        queries,
        keys,
        {"scale": scale, "bias": bias},
        normalize=normalize,
        positive_offset=positive_offset,
        sample_weight=sample_weight,
        reduction=reduction,
    )[0]


# ---- the op ----
#
# Each of these gives all that the op puts out: the loss first, what it counted last. `parameters`
# are those that the kind reads, by their names.


def _queries_outputs(kind, queries, keys, parameters, *, positive_offset=0, **options):
    queries = _tensors.points("queries", queries)
    keys = _tensors.points("keys", keys, queries, "queries")
    nothing = _tensors.constant(0, tf.int64)
    inputs = queries, nothing, keys, nothing, _tensors.positive_offset(positive_offset)
    return _outputs(kind, inputs, False, parameters, **options)


def _labelled_outputs(
    kind,
    embeddings,
    labels,
    parameters,
    *,
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    **options,
):
    keras_class = "NTXentLoss" if kind == "nt_xent" else "SupervisedContrastiveLoss"
    inputs, itself = _tensors.batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset, keras_class
    )
    return _outputs(kind, inputs, itself, parameters, **options)


def _outputs(
    kind, inputs, itself, parameters, *, normalize, sample_weight, reduction, symmetric=False
):
    """`inputs`: points, labels, points, labels and an offset, in the order of `_tensors.batch`."""
    _arguments.one_of("reduction", reduction, _arguments.SOFTMAX_REDUCTIONS)
    accumulator = _tensors.accumulator(inputs[0].dtype)
    weights, weighted = _tensors.weights(sample_weight, accumulator)
    # What the kind does not read the op gets all the same.
    parameters = [
        _parameter(name, parameters[name], accumulator)
        if name in parameters
        else _tensors.constant(0.0, accumulator)
        for name in ("temperature", "scale", "bias")
    ]
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


def _parameter(name, value, dtype):
    """A parameter of a loss in `dtype`: a Python number, or what becomes a float tensor."""
    if isinstance(value, (int, float)) or not (tf.is_tensor(value) or hasattr(value, "dtype")):
        bounds = {"above": 0} if name == "temperature" else {}
        return _tensors.constant(_arguments.number(name, value, **bounds), dtype)
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating:
        raise TypeError(f"{name}: got {value.dtype.name}, expected a float type")
    return tf.cast(value, dtype)


# ---- gradients ----

# kind -> the public function, and which inputs of the op it reads and differentiates; the
# labelled kinds, where there are references, those too.
_KINDS = {
    b"info_nce": ("info_nce_loss", (0, 2, 6)),
    b"supervised": ("supervised_contrastive_loss", (0, 6)),
    b"nt_xent": ("nt_xent_loss", (0, 6)),
    b"sigmoid": ("sigmoid_contrastive_loss", (0, 2, 7, 8)),
}


def _kind(op):
    function, read = _KINDS[tf.compat.as_bytes(op.get_attr("kind"))]
    return function, read if op.get_attr("self") else {*read, 2}


_tensors.register_loss(
    "SoftmaxLoss",
    points=(0, 2, 6, 7, 8),
    attributes=("kind", "reduction", "normalize", "symmetric", "weighted", "self"),
    function=lambda op: _kind(op)[0],
    read=lambda op: _kind(op)[1],
)

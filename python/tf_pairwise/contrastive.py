"""Contrastive losses: of explicit pairs, and of all pairs of a batch."""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._tensors import ops
from tf_pairwise._types import BatchContrastiveReduction, Metric, Reduction, TensorLike


def contrastive_loss(
    x1: TensorLike,
    x2: TensorLike,
    labels: TensorLike,
    margin: float = 1.0,
    *,
    metric: Metric = "euclidean",
    similar_label: int | bool = 0,
    sample_weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> tf.Tensor:
    """The contrastive loss of n given pairs (Hadsell et al. 2006).

    0.5 D^2 for a similar pair, 0.5 max(0, margin - D)^2 for a dissimilar one. A pair is similar
    where its label equals `similar_label`, and dissimilar with any other label: by default 0
    means similar and 1 dissimilar, as in the paper; for labels in which 1 means "the same",
    pass `similar_label=1`. A label y that is a float is how dissimilar its pair is, from 0 to 1
    (with `similar_label=1`, how similar): 0.5 (1 - y) D^2 + 0.5 y max(0, margin - D)^2, in which
    0.0 and 1.0 are the two kinds. Value and gradient are made in one pass over the points where a
    tape records; time O(n d), memory O(n) beside the gradients.

    Args:
      x1: [n, d], float16, bfloat16, float32 or float64.
      x2: [n, d], of the same dtype.
      labels: [n] or [n, 1], of any integer or float dtype, or bool; constant to the gradient.
      margin: a Python number, finite and 0 or more.
      metric: a name `pairwise_distance` takes.
      similar_label: a Python integer (or a bool), the label of the similar pairs; 0 or 1 with
        float labels.
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

    Examples:
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
        _dissimilarity(labels, similar_label, _tensors.accumulator(x1.dtype)),
        weights,
        metric,
        reduction,
        margin,
        weighted,
        _tensors.recording(reduction, x1, x2),
    )[0]


def batch_contrastive_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    margin: float = 1.0,
    *,
    metric: Metric = "euclidean",
    positive_margin: float = 0.0,
    squared: bool = True,
    ref_embeddings: TensorLike | None = None,
    ref_labels: TensorLike | None = None,
    self_offset: int | TensorLike | None = None,
    sample_weight: TensorLike | None = None,
    reduction: BatchContrastiveReduction = "mean",
) -> tf.Tensor:
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

    Examples:
      >>> x = tf.constant([[0.0], [1.0], [1.5], [3.5]])
      >>> tpw.batch_contrastive_loss(x, [0, 0, 1, 1], reduction="none").numpy()
      array([0.5  , 0.625, 2.125, 2.   ], dtype=float32)
    """
    return _batch_contrastive_outputs(
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


def _batch_contrastive_outputs(
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
    inputs, itself = _tensors.batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset, "BatchContrastiveLoss"
    )
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


# ---- arguments ----


def _dissimilarity(value, similar_label, dtype):
    """How dissimilar each pair is, 0 to 1, from labels of any integer or float type, or bools."""
    if not isinstance(value, tf.Tensor):
        hint = None if hasattr(value, "dtype") else tf.int64
        value = tf.convert_to_tensor(value, dtype_hint=hint)
    if value.dtype.is_floating:
        similar_label = _arguments.similar_label(similar_label, soft=True)
        value = tf.stop_gradient(tf.cast(value, dtype))
        return 1 - value if similar_label else value
    if not (value.dtype.is_integer or value.dtype == tf.bool):
        raise TypeError(
            f"labels: got {value.dtype.name}, expected an integer or float type, or bool"
        )
    if similar_label == 0:  # one op less, which is felt in a small eager call
        different = tf.raw_ops.Cast(x=value, DstT=tf.bool)
    else:
        different = tf.not_equal(tf.cast(value, tf.int64), similar_label)
    return tf.raw_ops.Cast(x=different, DstT=dtype)


# ---- gradients ----

_tensors.register_loss(
    "ContrastiveLoss",
    points=(0, 1),
    attributes=("metric", "reduction", "margin", "weighted"),
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

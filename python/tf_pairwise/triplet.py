"""Triplet losses: of explicit triplets, and over the triplets of a labelled batch."""

from __future__ import annotations

import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._tensors import ops
from tf_pairwise._types import Metric, Mining, Reduction, TensorLike


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
    """The triplet loss of n given triplets: max(0, D(a, p) - D(a, n) + margin).

    (FaceNet, Schroff et al. 2015.) Value and gradient are made in one pass over the points
    where a tape records; time O(n d), memory O(n) beside the gradients.

    Args:
      anchors: [n, d], float16, bfloat16, float32 or float64.
      positives: [n, d], of the same dtype.
      negatives: [n, d], of the same dtype.
      margin: a Python number, finite and 0 or more; or None for the soft margin,
        softplus(D(a, p) - D(a, n)) (Hermans et al. 2017).
      metric: a name `pairwise_distance` takes.
      swap: D(a, n) is replaced by min(D(a, n), D(p, n)) (Balntas et al. 2016).
      sample_weight: [n], a weight per triplet, of any real dtype; constant to the gradient.
      reduction: "none" for the n weighted losses, "sum", "mean" (their sum over the sum of the
        weights), or "mean_nonzero" (over the weights of the triplets with loss > 0). Nothing
        to count is the loss 0.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.
      Gradients are of the points' dtype. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.triplet_loss` has it.

    Raises:
      ValueError: an argument that is not one of its names, a margin that is negative or not
        finite, or, while a graph is traced, shapes that do not go together.
      TypeError: a dtype that is not taken, or a margin that is not a Python number.
      tf.errors.InvalidArgumentError: shapes that do not go together.

    Examples:
      >>> float(tpw.triplet_loss([[0.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]], margin=1.5))
      0.5
    """
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.margin(margin)
    anchors = _tensors.points("anchors", anchors)
    positives = _tensors.points("positives", positives, anchors, "anchors")
    negatives = _tensors.points("negatives", negatives, anchors, "anchors")
    weights, weighted = _tensors.weights(sample_weight, _tensors.accumulator(anchors.dtype))
    return ops.tf_pairwise_triplet_loss(
        anchors,
        positives,
        negatives,
        weights,
        metric,
        reduction,
        margin,
        weighted,
        bool(swap),
        _tensors.recording(reduction, anchors, positives, negatives),
    )[0]


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
    """The triplet loss over the triplets that `mining` takes of a labelled batch.

    A triplet (a, p, n) has an anchor a, a positive p of a's label that is not a itself, and a
    negative n of another label; its loss is max(0, D(a, p) - D(a, n) + margin).

    Which triplets a mining takes:

    - "all": every one (Hermans et al. 2017, "batch all").
    - "hard": per anchor, the farthest p and the nearest n (there, "batch hard").
    - "semi_hard": per (a, p), the nearest n with D(a, n) > D(a, p), and the farthest n where there
      is none (FaceNet, Schroff et al. 2015, as TensorFlow Addons computes it).
    - "semi_hard_all": every one with D(a, p) < D(a, n) and D(a, n) - margin <= D(a, p).
    - "hard_all": every one with D(a, n) <= D(a, p).

    Which triplets are taken is constant to the gradient; of equal distances the lower index
    wins. Distances are made a tile at a time and never stored: time is O(n m d) and, for an
    anchor with K positives, O(m log K) (soft "all": O(m K)); memory is O((n + m) d), and O(m)
    per anchor in flight. Where a tape records, the gradient is made in the same pass.

    Args:
      embeddings: [n, d], float16, bfloat16, float32 or float64.
      labels: [n] or [n, 1], of any integer dtype.
      margin: a Python number, finite and 0 or more; or None for the soft margin,
        softplus(D(a, p) - D(a, n)), with "all", "hard" and "semi_hard".
      mining: one of the names above.
      metric: a name `pairwise_distance` takes.
      ref_embeddings: [m, d], the points to take positives and negatives from, in place of the
        embeddings; of their dtype. They get a gradient too.
      ref_labels: [m] or [m, 1], with ref_embeddings.
      self_offset: an integer, or an integer scalar tensor: anchor i is also reference
        i + self_offset, which is then neither its positive nor its negative. Only with
        ref_embeddings.
      sample_weight: [n], a weight per anchor, of any real dtype; constant to the gradient.
      reduction: "none" for each anchor's weighted sum over its triplets, "sum", "mean" (over
        what is counted: the triplets; for "semi_hard" the (a, p) whose anchor has a negative;
        for "hard" the anchors that have both), or "mean_nonzero" (over those with loss > 0).
        Means divide by the sum of the weights of what they count; nothing to count is the
        loss 0.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 embeddings, else float32.
      Gradients are of the embeddings' dtype. A second derivative is an UnimplementedError:
      `tf_pairwise.reference.batch_triplet_loss` has it.

    Raises:
      ValueError: an argument that is not one of its names, a margin that is negative or not
        finite, a soft margin with "semi_hard_all" or "hard_all", references without labels,
        self_offset without references, or, while a graph is traced, shapes that do not go
        together.
      TypeError: a dtype that is not taken, or a margin that is not a Python number.
      tf.errors.InvalidArgumentError: shapes that do not go together.

    Examples:
      >>> x = tf.constant([[0.0], [2.0], [3.0], [7.0]])
      >>> float(tpw.batch_triplet_loss(x, [0, 0, 1, 1], margin=0.5, mining="hard"))
      1.25
    """
    return _batch_triplet_outputs(
        embeddings,
        labels,
        margin,
        mining=mining,
        metric=metric,
        ref_embeddings=ref_embeddings,
        ref_labels=ref_labels,
        self_offset=self_offset,
        sample_weight=sample_weight,
        reduction=reduction,
    )[0]


def _batch_triplet_outputs(
    embeddings,
    labels,
    margin,
    *,
    mining,
    metric,
    ref_embeddings=None,
    ref_labels=None,
    self_offset=None,
    sample_weight=None,
    reduction="mean",
):
    """All that the op of `batch_triplet_loss` puts out: the loss first, what it counted last."""
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.one_of("metric", metric, _arguments.METRICS)
    _arguments.one_of("reduction", reduction, _arguments.REDUCTIONS)
    margin = _arguments.margin(margin, mining)
    inputs, itself = _tensors.batch(
        embeddings, labels, ref_embeddings, ref_labels, self_offset, "BatchTripletLoss"
    )
    weights, weighted = _tensors.weights(sample_weight, _tensors.accumulator(inputs[0].dtype))
    return ops.tf_pairwise_batch_triplet_loss(
        *inputs,
        weights,
        metric,
        reduction,
        margin,
        weighted,
        mining,
        itself,
        _tensors.recording(reduction, inputs[0], inputs[2]),
    )


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
    """The indices of the triplets that `batch_triplet_loss` counts, for a loss of one's own.

    Args are those of `batch_triplet_loss`; of the margin, only "semi_hard_all" makes use.

    Returns:
      int64 [t, 3], a row per triplet: the anchor's row of embeddings, and the positive's and
      the negative's of ref_embeddings (of embeddings where there are none), in ascending order.
      Triplets of a NaN distance are left out. There is no gradient. Memory is that of
      `batch_triplet_loss` and the result.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where `batch_triplet_loss` raises them.

    Examples:
      >>> x = tf.constant([[0.0], [2.0], [3.0], [7.0]])
      >>> tpw.mine_triplets(x, [0, 0, 1, 1], mining="hard").numpy()
      array([[0, 1, 2],
             [1, 0, 2],
             [2, 3, 1],
             [3, 2, 1]])
    """
    _arguments.one_of("mining", mining, _arguments.MININGS)
    _arguments.one_of("metric", metric, _arguments.METRICS)
    margin = _arguments.margin(margin, mining)
    inputs, itself = _tensors.batch(embeddings, labels, ref_embeddings, ref_labels, self_offset)
    return ops.tf_pairwise_mine_triplets(*inputs, metric, margin, mining, itself)


# ---- gradients ----

_tensors.register_loss(
    "TripletLoss",
    points=(0, 1, 2),
    attributes=("metric", "reduction", "margin", "weighted", "swap"),
    function=lambda op: "triplet_loss",
)
_tensors.register_loss(
    "BatchTripletLoss",
    points=(0, 2),
    attributes=("metric", "reduction", "margin", "weighted", "mining", "self"),
    function=lambda op: "batch_triplet_loss",
    read=_tensors.batch_points,
)
tf.no_gradient("TfPairwise>MineTriplets")

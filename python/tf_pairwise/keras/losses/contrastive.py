"""Contrastive losses: of given pairs, and of all pairs of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_pairwise import _arguments, contrastive
from tf_pairwise._types import BatchContrastiveReduction, Metric, OverSamples, Reduction
from tf_pairwise.keras import _inputs
from tf_pairwise.keras.losses import _base

if TYPE_CHECKING:
    from tf_pairwise.keras.memory import CrossBatchMemory


@_inputs.register
class ContrastiveLoss(_base.GivenLoss):
    """`contrastive_loss` (Hadsell et al. 2006) of given pairs.

    0.5 D^2 for similar pairs, 0.5 max(0, margin - D)^2 for dissimilar ones. y_true: the pairs'
    labels [n] or [n, 1], by default 0 where similar, integers, bools or floats (soft labels from 0
    to 1, and whole numbers up to 2^24, which is what Keras makes of integers); y_pred: [n, 2, d].

    Args:
      margin: how far apart dissimilar points have to be, a number, 0 or more.
      metric: a name `pairwise_distance` takes.
      similar_label: the label of similar pairs: 0, or 1 to turn the labels round.
      reduction: "mean", "sum", "none" or None, "mean_nonzero", "sum_over_batch_size" or
        "mean_with_sample_weight": see this module, which also says the rest.
      name: of the loss.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.ContrastiveLoss(margin=2.0)
      >>> y_pred = [[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 1.0]]]
      >>> print(f"{float(loss([0, 1], y_pred)):.4f}")
      0.5858
    """

    labelled = True

    def __init__(
        self,
        margin: float = 1.0,
        *,
        metric: Metric = "euclidean",
        similar_label: int | bool = 0,
        reduction: Reduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = {
            "margin": _arguments.number("margin", margin, least=0),
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
            "similar_label": _arguments.similar_label(similar_label),
        }
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(contrastive.contrastive_loss, options, _arguments.REDUCTIONS, **common)


@_inputs.register
class BatchContrastiveLoss(_base.LabelledLoss):
    """`batch_contrastive_loss` over all pairs of a labelled batch (Hadsell et al. 2006).

    With the hinge h = max(0, D - positive_margin) of two points of one label and
    max(0, margin - D) of others, 0.5 h^2, or h with `squared=False`. y_true: labels [n] or [n, 1]
    of any integer dtype; y_pred: embeddings [n, d].

    Args:
      margin: how far apart points of two labels have to be, a number, 0 or more.
      metric: a name `pairwise_distance` takes.
      positive_margin: how far apart points of one label may be at no loss, a number.
      squared: True for half the square of the hinge, False for the hinge itself.
      memory: a `CrossBatchMemory`, whose embeddings the anchors are paired with as well.
      global_batch: under tf.distribute, whether an anchor is paired with the embeddings of all
        replicas (`tf_pairwise.distribute`), or of its own only.
      reduction: "mean", "sum", "none" or None, "mean_nonzero", "balanced_mean",
        "sum_over_batch_size" or "mean_with_sample_weight": see the module.
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.BatchContrastiveLoss(margin=2.0)
      >>> y_pred = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
      >>> print(f"{float(loss([0, 0, 1], y_pred)):.4f}")
      0.2239
    """

    def __init__(
        self,
        margin: float = 1.0,
        *,
        metric: Metric = "euclidean",
        positive_margin: float = 0.0,
        squared: bool = True,
        memory: CrossBatchMemory | None = None,
        global_batch: bool = False,
        reduction: BatchContrastiveReduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = {
            "margin": _arguments.number("margin", margin, least=0),
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
            "positive_margin": _arguments.number("positive_margin", positive_margin),
            "squared": _base.boolean("squared", squared),
        }
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        reductions = _arguments.BATCH_CONTRASTIVE_REDUCTIONS
        super().__init__(contrastive.batch_contrastive_loss, options, reductions, **common)

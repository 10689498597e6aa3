"""Triplet losses: of given triplets, and of those of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_pairwise import _arguments, triplet
from tf_pairwise._types import Metric, Mining, OverSamples, Reduction
from tf_pairwise.keras import _inputs
from tf_pairwise.keras.losses import _base

if TYPE_CHECKING:
    from tf_pairwise.keras.memory import CrossBatchMemory


@_inputs.register
class TripletLoss(_base.GivenLoss):
    """`triplet_loss` (FaceNet, Schroff et al. 2015) of given triplets.

    max(0, D(a, p) - D(a, n) + margin). y_true is not used; y_pred: [n, 3, d], anchors, positives
    and negatives.

    Args:
      margin: a number, 0 or more; None for the soft margin, softplus(D(a, p) - D(a, n)).
      metric: a name `pairwise_distance` takes.
      swap: whether D(a, n) is replaced by min(D(a, n), D(p, n)) (Balntas et al. 2016).
      reduction: "mean", "sum", "none" or None, "mean_nonzero", "sum_over_batch_size" or
        "mean_with_sample_weight": see the module.
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.TripletLoss(margin=0.5)
      >>> y_pred = [[[0.0, 0.0], [0.0, 1.0], [1.0, 0.5]]]
      >>> print(f"{float(loss(None, y_pred)):.4f}")
      0.2500
    """

    parts, stacked = 3, "[n, 3, d]"

    def __init__(
        self,
        margin: float | None = 1.0,
        *,
        metric: Metric = "squared_euclidean",
        swap: bool = False,
        reduction: Reduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = {
            "margin": _base.margin(margin),
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
            "swap": _base.boolean("swap", swap),
        }
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(triplet.triplet_loss, options, _arguments.REDUCTIONS, **common)


@_inputs.register
class BatchTripletLoss(_base.LabelledLoss):
    """`batch_triplet_loss` over the triplets that `mining` takes of a labelled batch.

    max(0, D(a, p) - D(a, n) + margin) (Schroff et al. 2015, Hermans et al. 2017). y_true: labels
    [n] or [n, 1] of any integer dtype; y_pred: embeddings [n, d].

    Args:
      margin: a number, 0 or more; None for the soft margin, softplus(D(a, p) - D(a, n)), with
        "all", "hard" and "semi_hard".
      mining: "all", "hard", "semi_hard", "semi_hard_all" or "hard_all": which triplets, see
        `batch_triplet_loss`.
      metric: a name `pairwise_distance` takes.
      memory: None, or a `CrossBatchMemory`, whose embeddings the anchors are held against as well.
      global_batch: under tf.distribute, whether an anchor is held against the rows of all replicas
        (`tf_pairwise.distribute`), or of its own only.
      reduction: "mean", "sum", "none" or None, "mean_nonzero", "sum_over_batch_size" or
        "mean_with_sample_weight": see the module.
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.BatchTripletLoss(margin=1.0, mining="hard")
      >>> y_pred = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
      >>> print(f"{float(loss([0, 0, 1], y_pred)):.4f}")
      0.2929
    """

    def __init__(
        self,
        margin: float | None = 1.0,
        *,
        mining: Mining = "semi_hard",
        metric: Metric = "euclidean",
        memory: CrossBatchMemory | None = None,
        global_batch: bool = False,
        reduction: Reduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        _arguments.one_of("mining", mining, _arguments.MININGS)
        options = {
            "margin": _base.margin(margin, mining),
            "mining": mining,
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
        }
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(triplet.batch_triplet_loss, options, _arguments.REDUCTIONS, **common)

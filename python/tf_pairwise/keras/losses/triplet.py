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
      margin, metric, swap: as `triplet_loss`.
      reduction, name, dtype: as `ContrastiveLoss`.
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
      margin, mining, metric: as `batch_triplet_loss`.
      memory, global_batch: as `BatchContrastiveLoss`.
      reduction, name, dtype: as `ContrastiveLoss`.
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

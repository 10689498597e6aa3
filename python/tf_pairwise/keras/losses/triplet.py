"""Triplet losses: of given triplets, and of those of a batch."""

from tf_pairwise import _arguments, triplet
from tf_pairwise.keras import _inputs
from tf_pairwise.keras.losses import _base


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
        margin=1.0,
        *,
        metric="squared_euclidean",
        swap=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
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
        margin=1.0,
        *,
        mining="semi_hard",
        metric="euclidean",
        memory=None,
        global_batch=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        _arguments.one_of("mining", mining, _arguments.MININGS)
        options = {
            "margin": _base.margin(margin, mining),
            "mining": mining,
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
        }
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(triplet.batch_triplet_loss, options, _arguments.REDUCTIONS, **common)

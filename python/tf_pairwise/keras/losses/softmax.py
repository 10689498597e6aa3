"""Losses over the soft-max, or the sigmoids, of the dot products of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_pairwise import _arguments, softmax
from tf_pairwise._types import OverSamples, SoftmaxReduction
from tf_pairwise.keras import _inputs
from tf_pairwise.keras.losses import _base

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tf_pairwise.keras.memory import CrossBatchMemory


@_inputs.register
class SupervisedContrastiveLoss(_base.LabelledLoss):
    """`supervised_contrastive_loss` of a labelled batch (SupCon "out", Khosla et al. 2020).

    Per anchor, log(sum exp(s / temperature)) over all others minus the mean of s / temperature
    over its positives, s being dot products. y_true: labels [n] or [n, 1] of any integer dtype;
    y_pred: embeddings [n, d].

    Args:
      temperature: more than 0: a Python number, or a scalar tf.Variable or keras.Variable, which
        then has a gradient (it has to be a variable of the model to be trained by `fit`; the
        loss cannot be serialized with it).
      normalize: whether the embeddings are L2-normalised first.
      memory: None, or a `CrossBatchMemory`, whose embeddings the anchors are held against as well.
      global_batch: under tf.distribute, whether an anchor is held against the rows of all replicas
        (`tf_pairwise.distribute`), or of its own only.
      reduction: "mean", "sum", "none" or None, "sum_over_batch_size" or
        "mean_with_sample_weight".
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.SupervisedContrastiveLoss(temperature=1.0)
      >>> y_pred = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
      >>> print(f"{float(loss([0, 0, 1], y_pred)):.4f}")
      0.3133
    """

    def __init__(
        self,
        temperature: float | tf.Variable | keras.Variable = 0.1,
        *,
        normalize: bool = True,
        memory: CrossBatchMemory | None = None,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = _softmax_options(temperature, normalize)
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        function = softmax.supervised_contrastive_loss
        super().__init__(function, options, _arguments.SOFTMAX_REDUCTIONS, **common)


@_inputs.register
class NTXentLoss(_base.LabelledLoss):
    """`nt_xent_loss` over the positive pairs of a labelled batch (SimCLR, Chen et al. 2020).

    Per ordered pair (i, p) of one label, -log(e_ip / (e_ip + the sum of e_in over points n of
    other labels)), e = exp(s / temperature). y_true: labels [n] or [n, 1] of any integer dtype;
    y_pred: embeddings [n, d].

    Args:
      temperature: more than 0: a Python number, or a scalar tf.Variable or keras.Variable, which
        then has a gradient. `keras.layers.NTXent` learns and saves one.
      normalize: whether the points are L2-normalised first.
      memory: None, or a `CrossBatchMemory`, whose embeddings the anchors are held against as well.
      global_batch: under tf.distribute, whether an anchor is held against the rows of all replicas
        (`tf_pairwise.distribute`), or of its own only.
      reduction: "mean", "sum", "none" or None, "sum_over_batch_size" or "mean_with_sample_weight".
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.NTXentLoss(temperature=1.0)
      >>> y_pred = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
      >>> print(f"{float(loss([0, 0, 1], y_pred)):.4f}")
      0.3133
    """

    def __init__(
        self,
        temperature: float | tf.Variable | keras.Variable = 0.5,
        *,
        normalize: bool = True,
        memory: CrossBatchMemory | None = None,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = _softmax_options(temperature, normalize)
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(softmax.nt_xent_loss, options, _arguments.SOFTMAX_REDUCTIONS, **common)


@_inputs.register
class InfoNCELoss(_base.QueriesAndKeysLoss):
    """`info_nce_loss` of queries and their keys (van den Oord et al. 2018).

    Row i's positive is key i, all other keys are its negatives: log(sum_j exp(s_ij /
    temperature)) - s_ii / temperature; `symmetric=True` is CLIP's (Radford et al. 2021). y_true is
    not used; y_pred: [n, 2, d], queries and keys.

    Args:
      temperature: more than 0: a Python number, or a scalar tf.Variable or keras.Variable, which
        then has a gradient. `keras.layers.InfoNCE` learns and saves one.
      normalize: whether the points are L2-normalised first.
      symmetric: whether to take the mean of both directions, queries to keys and keys to queries.
      global_batch: under tf.distribute, whether an anchor is held against the rows of all replicas
        (`tf_pairwise.distribute`), or of its own only.
      reduction: "mean", "sum", "none" or None, "sum_over_batch_size" or "mean_with_sample_weight".
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.InfoNCELoss(temperature=1.0)
      >>> y_pred = [[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 1.0]]]
      >>> print(f"{float(loss(None, y_pred)):.4f}")
      0.7544
    """

    def __init__(
        self,
        temperature: float | tf.Variable | keras.Variable = 0.07,
        *,
        symmetric: bool = False,
        normalize: bool = True,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = _softmax_options(temperature, normalize)
        options["symmetric"] = _base.boolean("symmetric", symmetric)
        common = {"global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(softmax.info_nce_loss, options, _arguments.SOFTMAX_REDUCTIONS, **common)


@_inputs.register
class SigmoidContrastiveLoss(_base.QueriesAndKeysLoss):
    """`sigmoid_contrastive_loss` of queries and keys (SigLIP, Zhai et al. 2023).

    -log sigmoid(z_ij (scale s_ij + bias)), z = 1 for i = j and -1 for the rest, summed over the
    keys. y_true is not used; y_pred: [n, 2, d], queries and keys.

    Args:
      scale: a Python number, or a scalar tf.Variable or keras.Variable, which then has a gradient;
        the paper starts at 10. `keras.layers.SigmoidContrastive` learns and saves it.
      bias: likewise; the paper starts at -10.
      normalize: whether the points are L2-normalised first.
      global_batch: under tf.distribute, whether an anchor is held against the rows of all replicas
        (`tf_pairwise.distribute`), or of its own only.
      reduction: "mean", "sum", "none" or None, "sum_over_batch_size" or "mean_with_sample_weight".
      name: of the loss; by default that of the class.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.

    Examples:
      >>> loss = tpw.keras.losses.SigmoidContrastiveLoss(scale=1.0, bias=0.0)
      >>> y_pred = [[[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 1.0]]]
      >>> print(f"{float(loss(None, y_pred)):.4f}")
      1.4475
    """

    def __init__(
        self,
        scale: float | tf.Variable | keras.Variable,
        bias: float | tf.Variable | keras.Variable,
        *,
        normalize: bool = True,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples | None = "mean",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        options = {
            "scale": _base.parameter("scale", scale),
            "bias": _base.parameter("bias", bias),
            "normalize": _base.boolean("normalize", normalize),
        }
        common = {"global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        function = softmax.sigmoid_contrastive_loss
        super().__init__(function, options, _arguments.SOFTMAX_REDUCTIONS, **common)


def _softmax_options(temperature, normalize):
    return {
        "temperature": _base.parameter("temperature", temperature, above=0),
        "normalize": _base.boolean("normalize", normalize),
    }

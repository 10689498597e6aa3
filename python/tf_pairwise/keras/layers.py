"""Keras layers of the soft-max losses, which own their temperature, or scale and bias.

A loss that is given to `compile` has no variables that a model trains and saves; a layer has. These
take what their loss takes, add the loss to the model's (`add_loss`), and return their inputs as
they came:

| layer                 | inputs                        | weights         |
|-----------------------|-------------------------------|-----------------|
| InfoNCE               | queries, keys: [n, d] each    | log_temperature |
| SigmoidContrastive    | queries, keys                 | log_scale, bias |
| SupervisedContrastive | embeddings [n, d], labels [n] | log_temperature |
| NTXent                | embeddings, labels            | log_temperature |

So a model of two towers ends in `InfoNCE()([queries, keys])`, and is compiled without a loss. What
all have in common:

- **what is learned**: the temperature and the scale, as logarithms (as CLIP, Radford et al. 2021,
  and SigLIP, Zhai et al. 2023, do), so that they stay above 0 and steps are relative; after each
  step of the optimizer they are clipped to their bounds. They are float32 (float64 under a float64
  policy) whatever the inputs are. With `trainable=False` they stay what they are.
- **how it is saved**: the weights are saved with the model (`model.save`, `save_weights`,
  checkpoints), and train on when it is loaded; `import tf_pairwise.keras` before that.
- **sample_weight**: an argument of the call, [n] or [n, 1], a weight per row (per anchor).
- **masks**: a row that a Keras mask on any of the inputs leaves out does not exist.
- **tf.distribute**: the added loss is scaled as Keras expects of `add_loss`; in a training loop of
  your own divide it by the number of replicas, as the losses of regularizers.
- **mixed precision**: halves reach the kernels as halves.
"""

from __future__ import annotations

import copy
import math
import threading
from typing import Any

import keras
import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._types import OverSamples, SoftmaxReduction
from tf_pairwise.keras import _inputs, losses

__all__ = ["InfoNCE", "NTXent", "SigmoidContrastive", "SupervisedContrastive"]


class _Between(keras.constraints.Constraint):
    """Clips a weight."""

    def __init__(self, low, high):
        self._low, self._high = low, high

    def __call__(self, w):
        return keras.ops.clip(w, self._low, self._high)


class _LossLayer(keras.layers.Layer):
    """A layer that adds a loss, and has weights for some of its parameters."""

    parts = "queries and keys"

    def __init__(self, loss, *, trainable, name, dtype):
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if loss.reduction == "none":
            raise ValueError(f"reduction: got {loss.reduction!r}, expected one that gives a number")
        self.supports_masking = True
        self._loss = loss
        self._threads = {}  # id of an added loss -> the thread that added it

    def call(self, inputs, sample_weight=None, mask=None):
        """Adds the loss of the inputs, and returns them.

        sample_weight: [n] or [n, 1], a weight per row; None for 1.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            came = len(inputs) if isinstance(inputs, (list, tuple)) else "one tensor"
            raise ValueError(f"inputs: got {came}, expected a list of two, {self.parts}")
        loss = copy.copy(self._loss)
        loss.set_parameters(**self._parameters())
        value = self._value(loss, inputs, _row_mask(mask), sample_weight)
        # Keras divides what is added by the number of replicas, which the loss has done, or not to.
        value *= float(_inputs.replicas())
        self._threads[id(value)] = threading.get_ident()
        self.add_loss(value)
        return inputs

    def _get_own_losses(self):
        """Of the replica that asks: Keras keeps those of all in one list.

        They come into it between one replica's step and its loss where a step meets the others, as
        that of a global batch does. Each replica of a MirroredStrategy has a thread.
        """
        own = super()._get_own_losses()
        if _inputs.in_replica_of_several():
            here = threading.get_ident()
            own = [loss for loss in own if self._threads.get(id(loss), here) == here]
        return own

    def _clear_losses(self):
        super()._clear_losses()
        if not self._losses:
            self._threads.clear()

    def compute_mask(self, inputs, previous_mask):
        return previous_mask

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        options = self._loss.get_config()
        own = {name: options[name] for name in options if name not in ("name", "dtype", "memory")}
        return {**super().get_config(), **own}

    def _add_logarithm(self, name, value, bounds):
        """A weight for the logarithm of a number, which is clipped to the bounds."""
        low, high = _bounds(name, bounds, value)
        return self._add(
            f"log_{name}",
            math.log(value),
            _Between(
                -math.inf if low is None else math.log(low),
                math.inf if high is None else math.log(high),
            ),
        )

    def _add(self, name, value, constraint=None):
        wide = tf.as_dtype(self.variable_dtype) == tf.float64
        return self.add_weight(
            (),
            keras.initializers.Constant(value),
            "float64" if wide else "float32",
            autocast=False,
            constraint=constraint,
            name=name,
        )

    def _parameters(self):
        """The parameters by the names that the loss has for them."""
        raise NotImplementedError

    def _value(self, loss, inputs, mask, sample_weight):
        operands = [_points(*named) for named in zip(("queries", "keys"), inputs, strict=True)]
        return loss.of_operands(operands, mask, sample_weight, loss.reduction)


class _TemperatureLayer(_LossLayer):
    def __init__(self, loss, temperature, temperature_bounds, **common):
        super().__init__(loss, **common)
        self._temperature_bounds = _pair("temperature_bounds", temperature_bounds)
        self.log_temperature = self._add_logarithm(
            "temperature", float(temperature), self._temperature_bounds
        )

    @property
    def temperature(self):
        """What the temperature is now, a scalar tensor."""
        return tf.exp(tf.convert_to_tensor(self.log_temperature))

    def get_config(self):
        return {**super().get_config(), "temperature_bounds": self._temperature_bounds}

    def _parameters(self):
        return {"temperature": self.temperature}


class _LabelledLayer(_TemperatureLayer):
    parts = "embeddings and labels"

    def _value(self, loss, inputs, mask, sample_weight):
        operands = [_points("embeddings", inputs[0]), _tensors.labels("labels", inputs[1])]
        return loss.of_operands(operands, mask, sample_weight, loss.reduction)


@_inputs.register
class InfoNCE(_TemperatureLayer):
    """Adds `info_nce_loss` of [queries, keys] with a temperature that is learned.

    log(sum_j exp(s_ij / temperature)) - s_ii / temperature, s being dot products, the mean over the
    rows (van den Oord et al. 2018); `symmetric=True` is CLIP's (Radford et al. 2021), which learns
    the temperature from 0.07 on, with 0.01 as the least. Time O(n^2 d), memory O(n d).

    Inputs: queries [n, d] and keys [n, d], of one dtype; key i is the positive of query i. They
    come back as they are.

    Args:
      temperature: what it is at first, a number above 0.
      temperature_bounds: the least and the largest it may become, each a number or None.
      symmetric: whether to take the mean of both directions.
      normalize: whether the points are L2-normalised first.
      global_batch: whether all replicas' keys are the negatives, see `tf_pairwise.distribute`.
      reduction: "mean", "sum", "sum_over_batch_size" or "mean_with_sample_weight".
      trainable: whether the temperature is learned.
      name: of the layer.
      dtype: the policy of the layer, as `keras.layers.Layer` takes it.

    Raises:
      ValueError, TypeError: a bad option, or inputs that are not two of shape [n, d].

    Examples:
      >>> layer = tpw.keras.layers.InfoNCE(temperature=0.5)
      >>> queries, keys = layer([tf.eye(2), tf.eye(2)])
      >>> print(f"{float(layer.losses[0]):.4f}, {float(layer.temperature):.2f}")
      0.1269, 0.50
    """

    def __init__(
        self,
        temperature: float = 0.07,
        *,
        temperature_bounds: tuple[float | None, float | None] = (0.01, None),
        symmetric: bool = False,
        normalize: bool = True,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples = "mean",
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        loss = losses.InfoNCELoss(
            _arguments.number("temperature", temperature, above=0),
            symmetric=symmetric,
            normalize=normalize,
            global_batch=global_batch,
            reduction=reduction,
        )
        common = {"trainable": trainable, "name": name, "dtype": dtype}
        super().__init__(loss, temperature, temperature_bounds, **common)


@_inputs.register
class SupervisedContrastive(_LabelledLayer):
    """Adds `supervised_contrastive_loss` of [embeddings, labels] with a learned temperature.

    Per anchor, log(sum exp(s / temperature)) over all others minus the mean of s / temperature over
    its positives, s being dot products (SupCon "out", Khosla et al. 2020). Time O(n^2 d), memory
    O(n d).

    Inputs: embeddings [n, d], and labels [n] or [n, 1] of an integer dtype (`keras.Input((),
    dtype="int64")`). They come back as they are.

    Args:
      temperature: what it is at first, a number above 0.
      temperature_bounds: the least and the largest it may become, each a number or None.
      normalize: whether the embeddings are L2-normalised first.
      global_batch: whether all replicas' rows are references, see `tf_pairwise.distribute`.
      reduction: "mean", "sum", "sum_over_batch_size" or "mean_with_sample_weight".
      trainable: whether the temperature is learned.
      name: of the layer.
      dtype: the policy of the layer, as `keras.layers.Layer` takes it.

    Raises:
      ValueError, TypeError: a bad option, inputs that are not two, embeddings that are not [n, d],
        labels that are not integers.

    Examples:
      >>> layer = tpw.keras.layers.SupervisedContrastive(temperature=1.0)
      >>> embeddings = tf.constant([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> outputs = layer([embeddings, tf.constant([0, 0, 1])])
      >>> print(f"{float(layer.losses[0]):.4f}")
      0.3133
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        temperature_bounds: tuple[float | None, float | None] = (0.01, None),
        normalize: bool = True,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples = "mean",
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        loss = losses.SupervisedContrastiveLoss(
            _arguments.number("temperature", temperature, above=0),
            normalize=normalize,
            global_batch=global_batch,
            reduction=reduction,
        )
        common = {"trainable": trainable, "name": name, "dtype": dtype}
        super().__init__(loss, temperature, temperature_bounds, **common)


@_inputs.register
class NTXent(_LabelledLayer):
    """Adds `nt_xent_loss` of [embeddings, labels] with a temperature that is learned.

    Per ordered pair (i, p) of one label, -log(e_ip / (e_ip + the sum of e_in over points n of other
    labels)), e = exp(s / temperature) (SimCLR, Chen et al. 2020). Time O(n^2 d), memory O(n d).

    Inputs: embeddings [n, d], and labels [n] or [n, 1] of an integer dtype. They come back as they
    are.

    Args:
      temperature: what it is at first, a number above 0.
      temperature_bounds: the least and the largest it may become, each a number or None.
      normalize: whether the embeddings are L2-normalised first.
      global_batch: whether all replicas' rows are references, see `tf_pairwise.distribute`.
      reduction: "mean", "sum", "sum_over_batch_size" or "mean_with_sample_weight".
      trainable: whether the temperature is learned.
      name: of the layer.
      dtype: the policy of the layer, as `keras.layers.Layer` takes it.

    Raises:
      ValueError, TypeError: a bad option, inputs that are not two, embeddings that are not [n, d],
        labels that are not integers.

    Examples:
      >>> layer = tpw.keras.layers.NTXent(temperature=1.0)
      >>> embeddings = tf.constant([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> outputs = layer([embeddings, tf.constant([0, 0, 1])])
      >>> print(f"{float(layer.losses[0]):.4f}")
      0.3133
    """

    def __init__(
        self,
        temperature: float = 0.5,
        *,
        temperature_bounds: tuple[float | None, float | None] = (0.01, None),
        normalize: bool = True,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples = "mean",
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        loss = losses.NTXentLoss(
            _arguments.number("temperature", temperature, above=0),
            normalize=normalize,
            global_batch=global_batch,
            reduction=reduction,
        )
        common = {"trainable": trainable, "name": name, "dtype": dtype}
        super().__init__(loss, temperature, temperature_bounds, **common)


@_inputs.register
class SigmoidContrastive(_LossLayer):
    """Adds `sigmoid_contrastive_loss` of [queries, keys] with a scale and bias that are learned.

    -log sigmoid(z_ij (scale s_ij + bias)), z = 1 for i = j and -1 for the rest, summed over the
    keys, the mean over the rows (SigLIP, Zhai et al. 2023, which starts at 10 and -10). Time
    O(n^2 d), memory O(n d).

    Inputs: queries [n, d] and keys [n, d], of one dtype; key i is the positive of query i. They
    come back as they are.

    Args:
      scale: what it is at first, a number above 0.
      bias: what it is at first, a number; it has no bounds.
      scale_bounds: the least and the largest the scale may become, each a number or None.
      normalize: whether the points are L2-normalised first.
      global_batch: whether all replicas' keys are the negatives, see `tf_pairwise.distribute`.
      reduction: "mean", "sum", "sum_over_batch_size" or "mean_with_sample_weight".
      trainable: whether both are learned.
      name: of the layer.
      dtype: the policy of the layer, as `keras.layers.Layer` takes it.

    Raises:
      ValueError, TypeError: a bad option, or inputs that are not two of shape [n, d].

    Examples:
      >>> layer = tpw.keras.layers.SigmoidContrastive(scale=1.0, bias=0.0)
      >>> outputs = layer([tf.eye(2), tf.eye(2)])
      >>> print(f"{float(layer.losses[0]):.4f}")
      1.0064
    """

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -10.0,
        *,
        scale_bounds: tuple[float | None, float | None] = (None, 100.0),
        normalize: bool = True,
        global_batch: bool = False,
        reduction: SoftmaxReduction | OverSamples = "mean",
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        loss = losses.SigmoidContrastiveLoss(
            _arguments.number("scale", scale, above=0),
            _arguments.number("bias", bias),
            normalize=normalize,
            global_batch=global_batch,
            reduction=reduction,
        )
        super().__init__(loss, trainable=trainable, name=name, dtype=dtype)
        self._scale_bounds = _pair("scale_bounds", scale_bounds)
        self.log_scale = self._add_logarithm("scale", float(scale), self._scale_bounds)
        self.bias = self._add("bias", float(bias))

    @property
    def scale(self) -> tf.Tensor:
        """What the scale is now, a scalar tensor."""
        return tf.exp(tf.convert_to_tensor(self.log_scale))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale_bounds": self._scale_bounds}

    def _parameters(self):
        return {"scale": self.scale, "bias": tf.convert_to_tensor(self.bias)}


# ---- arguments ----


def _pair(name, bounds):
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        raise TypeError(f"{name}: got {bounds!r}, expected the least and the largest")
    return tuple(bounds)


def _bounds(name, bounds, value):
    """The bounds of a number above 0, which is between them."""
    argument = f"{name}_bounds"
    low, high = (None if b is None else _arguments.number(argument, b, above=0) for b in bounds)
    if not (low is None or low <= value) or not (high is None or value <= high):
        raise ValueError(f"{argument}: got {bounds!r}, expected them around the {name}, {value!r}")
    return low, high


def _points(name, value):
    return _inputs.expect_rank(_tensors.points(name, value), 2, "[n, d]", name=name)


def _row_mask(masks):
    """Of the masks of the inputs: a bool per row, False where any is; None where there is none."""
    rows = None
    for mask in masks if isinstance(masks, (list, tuple)) else [masks]:
        if mask is not None:
            mask = _inputs.whole_rows(mask)
            rows = mask if rows is None else rows & mask
    return rows

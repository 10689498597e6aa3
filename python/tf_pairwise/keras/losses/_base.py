"""What the losses have in common: y_true, y_pred, weights, masks and reductions."""

import importlib
from typing import get_args

import keras
import tensorflow as tf
from tensorflow.python.eager import record

from tf_pairwise import _arguments, _tensors, _types
from tf_pairwise.keras import _inputs
from tf_pairwise.keras.memory import CrossBatchMemory

_OVER_SAMPLES = get_args(_types.OverSamples)


class Loss(keras.losses.Loss):
    """What the losses have in common: they differ in `_value`."""

    def __init__(self, function, options, reductions, *, reduction, name, dtype):
        super().__init__(name=name, dtype=dtype)
        reduction = "none" if reduction is None else reduction
        self.reduction = _arguments.one_of("reduction", reduction, (*reductions, *_OVER_SAMPLES))
        self._function, self._options = function, options
        self._cast_to = None if dtype is None else self.dtype
        if dtype is not None and tf.as_dtype(self.dtype) not in _tensors.DTYPES:
            raise TypeError(
                f"dtype: got {self.dtype}, expected float16, bfloat16, float32 or float64"
            )

    # Keras's own __call__ casts labels and embeddings to float32, and reduces outside of `call`.
    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            return self._value(y_true, y_pred, sample_weight, self.reduction)

    def call(self, y_true, y_pred):
        """The losses of the samples: those that reduction "none" gives."""
        return self._value(y_true, y_pred, None, "none")

    def get_config(self):
        for name, value in self._options.items():
            if _is_variable(value):
                raise ValueError(
                    f"{name}: got a variable, expected a Python number in a loss that is "
                    "serialized: the config cannot hold a variable, and its value alone would be "
                    "a constant when loaded. Save the weights (model.save_weights), or a model "
                    "that was not compiled with this loss"
                )
        return {
            **self._options,
            "reduction": self.reduction,
            "name": self.name,
            "dtype": self._cast_to,
        }

    def _value(self, y_true, y_pred, sample_weight, reduction):
        """The loss, of the Keras arguments."""
        raise NotImplementedError

    def _reduced(self, inputs, samples, reduction, **options):
        """The function of the inputs, reduced; `samples` is what a mean over samples divides by."""
        function, shared = self._distributed()
        over_samples = reduction in _OVER_SAMPLES
        options |= {**self._options, "reduction": "sum" if over_samples else reduction}
        loss = function(*inputs, **options)
        if over_samples:
            samples = tf.cast(samples, loss.dtype)
            if shared:
                samples = tf.distribute.get_replica_context().all_reduce("SUM", samples)
            loss = tf.math.divide_no_nan(loss, samples)
        replicas = 1 if shared or reduction in ("none", "sum") else _inputs.replicas()
        return loss if replicas == 1 else loss / replicas

    def _distributed(self):
        """The function to call, and whether it gives a replica's share of a global loss."""
        return self._function, False


class GivenLoss(Loss):
    """Losses of pairs or triplets that are given, stacked along axis 1."""

    parts, rank, stacked = 2, 3, "[n, 2, d]"
    labelled = False

    def _value(self, y_true, y_pred, sample_weight, reduction):
        mask = _inputs.row_mask(y_pred)
        inputs = _unstack(y_pred, self)
        if mask is not None:  # what is in masked rows, NaN too, has no effect
            rows = tf.reshape(mask, [-1] + [1] * (self.rank - 2))
            inputs = [tf.where(rows, x, tf.zeros_like(x)) for x in inputs]
        if self.labelled:
            inputs.append(_inputs.pair_labels(y_true, self._options["similar_label"]))
        weight = None if sample_weight is None else _inputs.weights(sample_weight, inputs[0])
        samples = tf.shape(inputs[0])[0]
        if mask is not None:
            kept = tf.cast(mask, tf.float32 if weight is None else weight.dtype)
            weight = kept if weight is None else kept * weight
            samples = tf.math.count_nonzero(mask)
        samples = _samples(samples, weight, reduction)
        return self._reduced(inputs, samples, reduction, sample_weight=weight)


class BatchLoss(Loss):
    """Losses in which every row of the batch meets every other."""

    def __init__(self, function, options, reductions, *, global_batch, **common):
        super().__init__(function, options, reductions, **common)
        self._global_batch = boolean("global_batch", global_batch)

    def get_config(self):
        return {**super().get_config(), "global_batch": self._global_batch}

    def set_parameters(self, **parameters):
        """Tensors in place of numbers: for a copy that does not leave the graph of the tensors."""
        self._options = {**self._options, **parameters}

    def _operands(self, y_true, y_pred):
        """The tensors that the function takes, a row per sample each."""
        raise NotImplementedError

    def _value(self, y_true, y_pred, sample_weight, reduction):
        operands = self._operands(y_true, y_pred)
        return self.of_operands(operands, _inputs.row_mask(y_pred), sample_weight, reduction)

    def of_operands(self, inputs, mask, sample_weight, reduction):
        """The loss of what the function takes; `mask`: a bool per row that exists, or None."""
        weight = None if sample_weight is None else _inputs.weights(sample_weight, inputs[0])
        if mask is not None:
            inputs = [tf.boolean_mask(x, mask) for x in inputs]
            weight = None if weight is None else tf.boolean_mask(weight, mask)
        loss = self._of_rows(inputs, weight, reduction)
        if mask is not None and reduction == "none":
            return tf.scatter_nd(tf.where(mask), loss, tf.shape(mask, out_type=tf.int64))
        return loss

    def _of_rows(self, inputs, weight, reduction, **references):
        samples = _samples(tf.shape(inputs[0])[0], weight, reduction)
        return self._reduced(inputs, samples, reduction, sample_weight=weight, **references)

    def _distributed(self):
        # Keras builds a model under a strategy by a call outside of the replicas: not global.
        if not (self._global_batch and _inputs.in_replica_of_several()):
            return super()._distributed()
        module = importlib.import_module("tf_pairwise.distribute")
        return getattr(module, self._function.__name__), True


class QueriesAndKeysLoss(BatchLoss):
    parts, rank, stacked = 2, 3, "[n, 2, d]"

    def _operands(self, y_true, y_pred):
        return _unstack(y_pred, self)


class LabelledLoss(BatchLoss):
    def __init__(self, function, options, reductions, *, memory, global_batch, **common):
        super().__init__(function, options, reductions, global_batch=global_batch, **common)
        if memory is not None and not isinstance(memory, CrossBatchMemory):
            raise TypeError(f"memory: got {memory!r}, expected a CrossBatchMemory or None")
        if memory is not None and global_batch:
            raise ValueError(
                "memory: got one with global_batch=True, expected None: the memory is of one "
                "replica"
            )
        self.memory = memory

    def get_config(self):
        return {**super().get_config(), "memory": self.memory}

    @classmethod
    def from_config(cls, config):
        memory = config.get("memory")
        if isinstance(memory, dict):
            config = {**config, "memory": keras.saving.deserialize_keras_object(memory)}
        return cls(**config)

    def _operands(self, y_true, y_pred):
        embeddings = _inputs.predictions(y_pred, self._cast_to)
        return [_inputs.expect_rank(embeddings, 2, "[n, d]"), _inputs.labels(y_true)]

    def _of_rows(self, inputs, weight, reduction):
        if self.memory is None or not record.should_record_backprop(inputs[:1]):
            return super()._of_rows(inputs, weight, reduction)
        refs, ref_labels = self.memory.with_batch(*inputs)
        references = {"ref_embeddings": refs, "ref_labels": ref_labels, "self_offset": 0}
        loss = super()._of_rows(inputs, weight, reduction, **references)
        self.memory.write(*inputs)
        return loss


def _unstack(y_pred, loss):
    """The parts that a loss's y_pred is stacked of along axis 1."""
    y_pred = _inputs.predictions(y_pred, loss._cast_to)
    _inputs.expect_rank(y_pred, loss.rank, loss.stacked, loss.parts)
    return tf.unstack(y_pred, loss.parts, axis=1)


def _samples(samples, weight, reduction):
    """What a mean over samples divides by: their number, or the sum of their weights."""
    weighted = weight is not None and reduction == "mean_with_sample_weight"
    return tf.reduce_sum(tf.cast(weight, tf.float64)) if weighted else samples


# ---- arguments ----


def boolean(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, expected True or False")
    return value


def margin(value, mining="all"):
    _arguments.margin(value, mining)
    return None if value is None else float(value)


def _is_variable(value):
    return isinstance(value, (tf.Variable, keras.Variable))


def parameter(name, value, **bounds):
    """A number, or a scalar float variable as it is."""
    if not _is_variable(value):
        if tf.is_tensor(value):
            raise TypeError(f"{name}: got a tensor, expected a Python number or a scalar variable")
        return _arguments.number(name, value, **bounds)
    if tuple(value.shape) != () or not tf.as_dtype(value.dtype).is_floating:
        raise TypeError(
            f"{name}: got a variable of shape {tuple(value.shape)} and dtype "
            f"{tf.as_dtype(value.dtype).name}, expected a scalar of a float dtype"
        )
    return value

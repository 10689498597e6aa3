"""What the public functions do with tensors before an op, and gradients after it."""

import tensorflow as tf
from tensorflow.python.eager import record

from tf_pairwise import _arguments, _library

DTYPES = frozenset((tf.float16, tf.bfloat16, tf.float32, tf.float64))

ops = _library.ops()


def points(name, value, like=None, like_name=None):
    """`value` as a tensor of a type that the ops take: that of `like`, if given."""
    if not isinstance(value, tf.Tensor):
        # For a list: an array has a type, which a hint would silently cast.
        listed = like is not None and not hasattr(value, "dtype")
        value = tf.convert_to_tensor(value, dtype_hint=like.dtype if listed else None)
    dtype = value.dtype
    if dtype not in DTYPES:
        raise TypeError(f"{name}: got {dtype.name}, expected float16, bfloat16, float32 or float64")
    if like is not None and dtype != like.dtype:
        raise TypeError(f"{name}: got {dtype.name}, expected {like.dtype.name} as {like_name}")
    return value


def labels(name, value):
    """Labels of any integer type as int64; equal labels stay equal, others different."""
    if not isinstance(value, tf.Tensor):
        hint = None if hasattr(value, "dtype") else tf.int64
        value = tf.convert_to_tensor(value, dtype_hint=hint)
    if value.dtype == tf.int64:
        return value
    if not value.dtype.is_integer:
        raise TypeError(f"{name}: got {value.dtype.name}, expected an integer type")
    return tf.cast(value, tf.int64)


def accumulator(dtype):
    """The type of the losses of points of `dtype`."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def weights(value, dtype, name="sample_weight"):
    """Weights in `dtype`, and whether there are any."""
    if value is None:
        return constant(0.0, dtype), False
    if not isinstance(value, tf.Tensor):
        value = tf.convert_to_tensor(value)
    if not (value.dtype.is_floating or value.dtype.is_integer):
        raise TypeError(f"{name}: got {value.dtype.name}, expected a real type")
    return tf.cast(value, dtype), True


def self_offset(value):
    """self_offset as an int64 scalar, -1 for none."""
    # tf.is_tensor of what is not one takes as long as an op.
    if value is None or isinstance(value, int) or not tf.is_tensor(value):
        return constant(_arguments.self_offset(value), tf.int64)
    if not value.dtype.is_integer:
        raise TypeError(f"self_offset: got {value.dtype.name}, expected an integer type")
    return tf.cast(value, tf.int64)


def batch(embeddings, batch_labels, ref_embeddings, ref_labels, offset):
    """The inputs of a batch op, and whether the embeddings are their own references."""
    itself = not _arguments.references(ref_embeddings, ref_labels, offset)
    embeddings = points("embeddings", embeddings)
    batch_labels = labels("labels", batch_labels)
    if itself:
        ref_embeddings, ref_labels = embeddings, batch_labels
    else:
        ref_embeddings = points("ref_embeddings", ref_embeddings, embeddings, "embeddings")
        ref_labels = labels("ref_labels", ref_labels)
    return (embeddings, batch_labels, ref_embeddings, ref_labels, self_offset(offset)), itself


_constants = {}


def constant(value, dtype):
    """A scalar; in eager mode made once, which is most of the cost of one."""
    if not tf.executing_eagerly():
        return tf.constant(value, dtype)
    key = (value, dtype)
    if key not in _constants:
        if len(_constants) > 100:
            _constants.clear()
        with tf.device("CPU:0"):
            _constants[key] = tf.constant(value, dtype)
    return _constants[key]


def recording(reduction, *inputs):
    """Whether a loss makes its gradient in the same pass: someone will ask for it.

    True where a tape records: in eager mode, in a tf.function with a tape of its own, in
    Keras's train step; not in its evaluation.
    """
    return reduction != "none" and record.should_record_backprop(inputs)


def missing_derivatives(op, differentiable, function, order="second"):
    """The gradient of an op that has none: fails when, and only when, it is computed.

    Raising here would be too early: TensorFlow builds derivatives of derivatives that it may
    never run, for a tf.function that is called under a persistent tape.
    """
    message = (
        f"tf_pairwise.{function} has no {order} derivative; "
        f"tf_pairwise.reference.{function}, of plain TensorFlow operations, has it"
    )
    return [
        ops.tf_pairwise_missing_derivative(value, message=message) if i in differentiable else None
        for i, value in enumerate(op.inputs)
    ]

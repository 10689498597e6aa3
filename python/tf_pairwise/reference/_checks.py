"""What the reference functions ask of their tensors, so that the formulas stay bare."""

import tensorflow as tf

from tf_pairwise import _arguments

DTYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


def points(name, value, rank=None, least_rank=0):
    """`value` as a tensor of a float type, of the given rank or of a least rank."""
    value = tf.convert_to_tensor(value)
    if value.dtype not in DTYPES:
        raise TypeError(
            f"{name}: got {value.dtype.name}, expected float16, bfloat16, float32 or float64"
        )
    known = value.shape.rank
    if known is not None and (known != rank if rank is not None else known < least_rank):
        wanted = f"at least {least_rank}" if rank is None else rank
        raise ValueError(f"{name}: got shape {value.shape}, expected rank {wanted}")
    return value


def alike(name, value, other_name, other, axes):
    """Two tensors of one dtype, with equal static sizes along `axes` (a slice)."""
    if value.dtype != other.dtype:
        raise TypeError(
            f"{name}: got {value.dtype.name}, expected {other.dtype.name} as {other_name}"
        )
    if value.shape.rank is None or other.shape.rank is None:
        return
    same_rank = value.shape.rank == other.shape.rank
    if not same_rank or not value.shape[axes].is_compatible_with(other.shape[axes]):
        raise ValueError(
            f"{name}: got shape {value.shape}, which does not go with "
            f"{other_name} of shape {other.shape}"
        )


def labels(name, value, count_name, points_of):
    """Labels [n] or [n, 1] of any integer type, as int64 [n]."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_integer:
        raise TypeError(f"{name}: got {value.dtype.name}, expected an integer type")
    return tf.cast(per_row(name, value, count_name, points_of), tf.int64)


def per_row(name, value, count_name, points_of):
    """[n] or [n, 1] as [n]."""
    rank = value.shape.rank
    n = points_of.shape[0]
    fits = rank is None or (
        (rank == 1 or (rank == 2 and value.shape[1] in (1, None)))
        and value.shape[:1].is_compatible_with([n])
    )
    if not fits:
        raise ValueError(
            f"{name}: got shape {value.shape}, expected [{n}] or [{n}, 1], "
            f"one label per row of {count_name}"
            f"{_arguments.one_hot(value.shape)}"
        )
    return tf.reshape(value, [-1])


def weights(value, points_of, dtype=None):
    """Sample weights [n]; constants to the gradient, ones where not given.

    In `dtype`, or in that of the losses of those points: float32 for halves.
    """
    dtype = dtype or (tf.float32 if points_of.dtype.size == 2 else points_of.dtype)
    if value is None:
        return tf.ones([tf.shape(points_of)[0]], dtype)
    value = tf.stop_gradient(tf.convert_to_tensor(value))
    if value.dtype.is_complex or not (value.dtype.is_floating or value.dtype.is_integer):
        raise TypeError(f"sample_weight: got {value.dtype.name}, expected a real type")
    if not value.shape.is_compatible_with([points_of.shape[0]]):
        raise ValueError(f"sample_weight: got shape {value.shape}, expected [{points_of.shape[0]}]")
    return tf.cast(value, dtype)


def of_weight(weight, *rows):
    """Rows [n, ...], zeros where the weight is 0: those do not exist, whatever is in them."""

    def kept(x):
        inner = tf.ones([tf.rank(x) - tf.rank(weight)], tf.int32)
        there = tf.reshape(weight != 0.0, tf.concat([tf.shape(weight), inner], 0))
        return tf.where(there, x, tf.zeros_like(x))

    return [kept(x) for x in rows]


def weigh(weight, losses):
    """Their product, 0 where the weight is, whatever the loss."""
    (losses,) = of_weight(weight, losses)
    return weight * losses

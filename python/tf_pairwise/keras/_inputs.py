"""What the losses and metrics do with what Keras hands them: y_true, y_pred, weights, masks."""

import keras
import tensorflow as tf

from tf_pairwise import _arguments, _tensors

register = keras.saving.register_keras_serializable(package="tf_pairwise")


def tensor(value):
    """`value` as a tensor of the type it has; a RaggedTensor stays one."""
    return value if isinstance(value, tf.RaggedTensor) else tf.convert_to_tensor(value)


def predictions(y_pred, dtype=None):
    """y_pred of a type that the ops take: its own, or `dtype`."""
    y_pred = tensor(y_pred)
    if dtype is not None:
        return tf.cast(y_pred, dtype)
    if y_pred.dtype not in _tensors.DTYPES:
        raise TypeError(
            f"y_pred: got {y_pred.dtype.name}, expected float16, bfloat16, float32 or float64"
        )
    return y_pred


def expect_rank(y_pred, rank, shape, parts=None, name="y_pred"):
    """y_pred, whose shape, as far as it is known, has to be of `rank`, of `parts` in axis 1."""
    known = y_pred.shape
    wrong = known.rank is not None and known.rank != rank
    if not wrong and known.rank is not None and parts is not None:
        wrong = known[1] not in (parts, None)
    if wrong:
        raise ValueError(f"{name}: got shape {known}, expected {shape}")
    return y_pred


def pair_labels(y_true, similar_label):
    """y_true as labels of pairs [n] or [n, 1] that `contrastive_loss` takes.

    Keras makes float32 of integers, so floats past 0 and 1 are labels like any other: of
    dissimilar pairs.
    """
    y_true = None if y_true is None else tensor(y_true)
    if y_true is None or not y_true.dtype.is_floating or _building():
        return labels(y_true, also_bool=True)
    if similar_label not in (0, 1):
        return tf.cast(y_true, tf.int64)
    dissimilar = tf.constant(1 - similar_label, y_true.dtype)
    return tf.where((y_true < 0) | (y_true > 1), dissimilar, y_true)


def labels(y_true, also_bool=False):
    """y_true as int64 labels [n] or [n, 1]; equal labels stay equal, others different."""
    expected = "an integer type" + (" or bool" if also_bool else "")
    if y_true is None:
        raise TypeError(f"y_true: got None, expected labels of {expected}")
    y_true = tensor(y_true)
    if y_true.dtype.is_floating and _building():
        return tf.cast(y_true, tf.int64)
    shape = y_true.shape
    many = _arguments.one_hot(shape)
    if many:
        raise ValueError(f"y_true: got shape {shape}, expected [n] or [n, 1]{many}")
    if y_true.dtype.is_floating:
        raise TypeError(
            f"y_true: got {y_true.dtype.name}, expected {expected}: floats run different labels "
            "into one (float32 past 2^24), so give the labels as the integers they are"
        )
    if not (y_true.dtype.is_integer or (also_bool and y_true.dtype == tf.bool)):
        raise TypeError(f"y_true: got {y_true.dtype.name}, expected {expected}")
    return tf.cast(y_true, tf.int64)


def _building():
    """Whether Keras only builds a model, for a strategy: with the mean of the replicas' labels."""
    return tf.distribute.in_cross_replica_context() and not tf.executing_eagerly()


def flat_labels(y_true, like):
    """Labels [n] or [n, 1] as [n], n being the rows of `like`."""
    shape = y_true.shape
    if shape.rank not in (None, 1) and not (shape.rank == 2 and shape[1] in (1, None)):
        many = _arguments.one_hot(shape)
        raise ValueError(f"y_true: got shape {shape}, expected [n] or [n, 1]{many}")
    return tf.reshape(y_true, tf.shape(like)[:1])


def weights(sample_weight, like):
    """A weight per row of `like`: [n], from [n], [n, 1] or a number for all."""
    sample_weight = tensor(sample_weight)
    if sample_weight.shape.rank == 0:
        return tf.fill(tf.shape(like)[:1], sample_weight)
    if sample_weight.shape.rank == 2 and sample_weight.shape[1] == 1:
        return tf.squeeze(sample_weight, 1)
    return sample_weight


def row_mask(y_pred):
    """The Keras mask of y_pred, a bool per row, or None; False where any part is masked."""
    mask = getattr(y_pred, "_keras_mask", None)
    return None if mask is None else whole_rows(mask)


def whole_rows(mask):
    """A mask as a bool per row; False where any part is masked."""
    mask = tf.cast(mask, tf.bool)
    return tf.reduce_all(mask, tf.range(1, tf.rank(mask)))


def scores(y_pred, dtype=None):
    """Scores [B, L] or ragged; [B, L, 1], as a Dense(1) layer over items gives, is taken too."""
    y_pred = predictions(y_pred, dtype)
    if isinstance(y_pred, tf.RaggedTensor):
        return y_pred
    if y_pred.shape.rank == 3 and y_pred.shape[2] == 1:
        y_pred = tf.squeeze(y_pred, 2)
    return expect_rank(y_pred, 2, "[B, L]")


def item_mask(y_pred, like):
    """The Keras mask of y_pred as a bool per item of the scores `like`, or None."""
    mask = getattr(y_pred, "_keras_mask", None)
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    if mask.shape.rank == 3:
        mask = tf.reduce_all(mask, 2)
    if mask.shape.rank == 1:
        mask = mask[:, None]
    return tf.broadcast_to(mask, tf.shape(like))


def item_weights(sample_weight, like):
    """A weight per item of the scores `like`; and per list, [B], where that is what came."""
    sample_weight = tensor(sample_weight)
    ragged = isinstance(like, tf.RaggedTensor)
    if isinstance(sample_weight, tf.RaggedTensor):
        return sample_weight, None
    if sample_weight.shape.rank == 2 and (sample_weight.shape[1] != 1 or like.shape[1] == 1):
        return sample_weight, None
    lists = like.nrows() if ragged else tf.shape(like)[0]
    per_list = tf.broadcast_to(tf.reshape(sample_weight, [-1]), [lists])
    if ragged:
        return like.with_values(tf.repeat(per_list, like.row_lengths())), per_list
    return tf.broadcast_to(per_list[:, None], tf.shape(like)), per_list


def sum_where(condition, values):
    """The sum of the values where the condition holds; both may be ragged alike."""
    if isinstance(values, tf.RaggedTensor):
        condition, values = condition.flat_values, values.flat_values
    return tf.reduce_sum(tf.where(condition, values, tf.zeros_like(values)))


def replicas():
    """How many replicas compute together under the current tf.distribute strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def in_replica_of_several():
    """Whether this is one replica's part of the work of several."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def compiled_by_xla():
    """Whether what is being traced is to be compiled by XLA."""
    return tf.__internal__.get_enclosing_xla_context() is not None

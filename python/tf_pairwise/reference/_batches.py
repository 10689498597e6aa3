"""Which pairs of a batch there are: what the batch losses of the reference share."""

import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise.reference import _checks


def batch(embeddings, labels, ref_embeddings, ref_labels, self_offset, sample_weight):
    """Points and labels of anchors and references, where anchor i is reference i + k, and weights.

    Without any, the references are the batch itself. Of an anchor of weight 0, nothing is left.
    """
    embeddings = _checks.points("embeddings", embeddings, rank=2)
    labels = _checks.labels("labels", labels, "embeddings", embeddings)
    weight = _checks.weights(sample_weight, embeddings)
    (anchors,) = _checks.of_weight(weight, embeddings)
    if not _arguments.references(ref_embeddings, ref_labels, self_offset):
        return anchors, labels, embeddings, labels, 0, weight
    ref_embeddings = _checks.points("ref_embeddings", ref_embeddings, rank=2)
    _checks.alike("ref_embeddings", ref_embeddings, "embeddings", embeddings, slice(-1, None))
    ref_labels = _checks.labels("ref_labels", ref_labels, "ref_embeddings", ref_embeddings)
    if not tf.is_tensor(self_offset):
        _arguments.self_offset(self_offset)
    return anchors, labels, ref_embeddings, ref_labels, self_offset, weight


def of_one_label(labels, ref_labels):
    return tf.equal(labels[:, None], ref_labels[None, :])


def not_itself(pairs, offset):
    """Which of the pairs [n, m] are of two points, where row i is column i + offset (None: no)."""
    if offset is None:
        return tf.ones_like(pairs, tf.bool)
    own = tf.range(tf.shape(pairs)[0]) + tf.cast(offset, tf.int32)
    return tf.not_equal(own[:, None], tf.range(tf.shape(pairs)[1])[None, :])


def where(condition, x, other):
    return tf.where(condition, x, tf.constant(other, x.dtype))

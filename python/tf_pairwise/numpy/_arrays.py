"""What the functions do with their arguments before an op: arrays, of the types that it takes."""

import numpy as np

from tf_pairwise import _arguments
from tf_pairwise.numpy import _device


def points(name, value, like=None, like_name=None):
    """`value` as a contiguous array of a float type: that of `like`, if given."""
    value = _array(name, value, like)
    if isinstance(value, _device.Argument):
        value = value.points()
    dtype = value.dtype.name
    if dtype not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(f"{name}: got {dtype}, expected float16, bfloat16, float32 or float64")
    if like is not None and dtype != like.dtype.name:
        raise TypeError(f"{name}: got {dtype}, expected {like.dtype.name} as {like_name}")
    return _stored(value)


def labels(name, value, points_of):
    """Labels of any integer type as int64."""
    value = _array(name, value, points_of)
    of = value.memory if isinstance(value, _device.Argument) else value
    many = _arguments.one_hot(of.shape)
    if many:
        raise ValueError(f"{name}: got shape {list(of.shape)}, expected [n] or [n, 1]{many}")
    return _int64(name, value)


def row_splits(value):
    """The same, on the host: sizes hang on them."""
    value = _array("row_splits", value)
    on_host = value.copy_to_host() if isinstance(value, _device.Argument) else value
    return _int64("row_splits", on_host)


def mask(value, points_of):
    """An array of bool, or None."""
    if value is None:
        return None
    value = _array("mask", value, points_of)
    if value.dtype.name != "bool":
        raise TypeError(f"mask: got {value.dtype.name}, expected bool")
    return _stored(value)


def dissimilarity(value, similar_label, points_of):
    """How dissimilar each pair is, 0 to 1, in the type of the losses of those points."""
    value = _array("labels", value, points_of)
    dtype = _of_losses(points_of)
    if value.dtype.kind in "biu":
        label = _arguments.similar_label(similar_label)
        if isinstance(value, _device.Argument):
            return value.differs_from(label, dtype)
        return np.asarray(value != label, dtype, order="C")
    if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
        raise TypeError(f"labels: got {value.dtype.name}, expected an integer, float or bool type")
    value = _stored(value, dtype)
    if not _arguments.similar_label(similar_label, soft=True):
        return value
    return value.complement() if isinstance(value, _device.Argument) else 1 - value


def real(name, value, dtype, points_of):
    """An array of any real type in `dtype`, or None."""
    if value is None:
        return None
    value = _array(name, value, points_of)
    if value.dtype.kind not in "iuf" and value.dtype.name != "bfloat16":
        raise TypeError(f"{name}: got {value.dtype.name}, expected a real type")
    return _stored(value, dtype)


def weights(value, points_of, name="sample_weight"):
    """Weights, or None, in the type of the losses of those points."""
    return real(name, value, _of_losses(points_of), points_of)


def batch(embeddings, batch_labels, ref_embeddings, ref_labels, self_offset):
    """The inputs of a batch op: points, labels, those of the references or None, the offset."""
    references = _arguments.references(ref_embeddings, ref_labels, self_offset)
    embeddings = points("embeddings", embeddings)
    batch_labels = labels("labels", batch_labels, embeddings)
    if references:
        ref_embeddings = points("ref_embeddings", ref_embeddings, embeddings, "embeddings")
        ref_labels = labels("ref_labels", ref_labels, embeddings)
    offset = _arguments.self_offset(self_offset)
    return embeddings, batch_labels, ref_embeddings, ref_labels, offset


def queries_and_keys(queries, keys, positive_offset):
    """The same of queries and keys, which have no labels."""
    queries = points("queries", queries)
    keys = points("keys", keys, queries, "queries")
    return queries, None, keys, None, _arguments.positive_offset(positive_offset)


def _array(name, value, first=None):
    """`value` as an array: NumPy's, or a `_device.Argument`; where the call's first is."""
    found = _device.argument(name, value)
    if first is not None:
        _device.check_together(name, found, first)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: got a masked array, expected one without a mask, which would be lost: a "
            "sample_weight of 0, or mask of the ranking losses, leaves out what it is the weight of"
        )
    return np.asarray(value) if found is None else found


def _stored(value, dtype=None):
    """Contiguous and aligned, of a dtype, in the processor's order of bytes."""
    if isinstance(value, _device.Argument):
        return value.stored(dtype)
    return np.require(value, dtype or value.dtype.newbyteorder("="), "CA")


def _int64(name, value):
    if value.dtype.kind not in "iu":
        raise TypeError(f"{name}: got {value.dtype.name}, expected an integer type")
    return _stored(value, np.int64)


def _of_losses(points_of):
    return np.float64 if points_of.dtype == np.float64 else np.float32

"""What the functions do with their arguments before an op: arrays, of the types that it takes."""

import numpy as np

from tf_pairwise import _arguments


def points(name, value, like=None, like_name=None):
    """`value` as a contiguous array of a float type: that of `like`, if given."""
    value = np.asarray(value, order="C")
    dtype = value.dtype.name
    if dtype not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(f"{name}: got {dtype}, expected float16, bfloat16, float32 or float64")
    if like is not None and dtype != like.dtype.name:
        raise TypeError(f"{name}: got {dtype}, expected {like.dtype.name} as {like_name}")
    return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))


def labels(name, value):
    """Labels of any integer type as int64."""
    value = np.asarray(value)
    if value.dtype.kind not in "iu":
        raise TypeError(f"{name}: got {value.dtype.name}, expected an integer type")
    return np.asarray(value, np.int64, order="C")


def dissimilarity(value, similar_label, points_of):
    """How dissimilar each pair is, 0 to 1, in the type of the losses of those points."""
    value = np.asarray(value)
    dtype = np.float64 if points_of.dtype == np.float64 else np.float32
    if value.dtype.kind in "biu":
        return np.asarray(value != _arguments.similar_label(similar_label), dtype, order="C")
    if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
        raise TypeError(f"labels: got {value.dtype.name}, expected an integer, float or bool type")
    value = np.asarray(value, dtype, order="C")
    return 1 - value if _arguments.similar_label(similar_label, soft=True) else value


def real(name, value, dtype):
    """An array of any real type in `dtype`, or None."""
    if value is None:
        return None
    value = np.asarray(value)
    if value.dtype.kind not in "iuf" and value.dtype.name != "bfloat16":
        raise TypeError(f"{name}: got {value.dtype.name}, expected a real type")
    return np.asarray(value, dtype, order="C")


def weights(value, points_of, name="sample_weight"):
    """Weights, or None, in the type of the losses of those points."""
    return real(name, value, np.float64 if points_of.dtype == np.float64 else np.float32)


def batch(embeddings, batch_labels, ref_embeddings, ref_labels, self_offset):
    """The inputs of a batch op: points, labels, those of the references or None, the offset."""
    references = _arguments.references(ref_embeddings, ref_labels, self_offset)
    embeddings = points("embeddings", embeddings)
    batch_labels = labels("labels", batch_labels)
    if references:
        ref_embeddings = points("ref_embeddings", ref_embeddings, embeddings, "embeddings")
        ref_labels = labels("ref_labels", ref_labels)
    offset = _arguments.self_offset(self_offset)
    return embeddings, batch_labels, ref_embeddings, ref_labels, offset


def queries_and_keys(queries, keys, positive_offset):
    """The same of queries and keys, which have no labels."""
    queries = points("queries", queries)
    keys = points("keys", keys, queries, "queries")
    return queries, None, keys, None, _arguments.positive_offset(positive_offset)

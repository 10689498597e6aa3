"""Input pipelines for losses over pairs: class-balanced batches, pairs and triplets, as tf.data.

A loss over all pairs of a batch needs batches in which classes meet: `balanced_batches` draws P
classes and K rows of each. The losses over given pairs and triplets need those: `pairs` and
`triplets` draw them. What is drawn depends on nothing but the labels, the seed and how often the
dataset has been iterated, and is the same on every machine and for every version of NumPy, so
that workers that share a seed share one sequence of batches and take their own batches of it.

Each takes arrays, in memory or on disk, or a tf.data.Dataset of single elements (x, y), which is
read as it comes: of that only a window of rows is held.
"""

from __future__ import annotations

import collections.abc
import itertools
import math
from typing import Any, get_args

import numpy as np
import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise._types import SmallClasses
from tf_pairwise.data import _datasets, _drawing

__all__ = ["balanced_batches", "pairs", "triplets"]

SMALL_CLASSES = get_args(SmallClasses)


def balanced_batches(
    data: Any,
    labels: Any,
    classes_per_batch: int,
    samples_per_class: int,
    *,
    small_classes: SmallClasses | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    num_shards: int = 1,
    shard_index: int = 0,
    batches_per_epoch: int | None = None,
    buffer: int | None = None,
) -> tf.data.Dataset:
    """Batches of P classes with K rows each, as the losses over all pairs of a batch want them.

    Write P for classes_per_batch and K for samples_per_class. A batch has exactly P K rows: P
    distinct classes, the K rows of each next to each other, so that a batch that is split among
    replicas keeps its classes whole.

    Every class is equally frequent, however many rows it has. In an epoch each class is used
    once before any is used again, and so is each row among those of its class; no row is twice
    in a batch, unless its class has fewer than K. By default an epoch is ceil(rows / (P K))
    batches: with classes of about one size, each row about once; where sizes differ, other rows
    of the large classes in each epoch, and those of the small ones several times. In
    ceil(classes ceil(largest class / K) / P) batches every row comes.

    A tf.data.Dataset is read once an epoch, and `buffer` of its rows wait in a window. Once that
    is full, a batch takes P of the classes that have K rows there, each of them equally likely,
    and K rows of each; where there are not P such classes, the rows that have waited longest are
    left out. At the end batches are made as long as they can be, and what remains is left out.

    Args:
      data: an array or a (ragged) tensor [n, ...], or a nested dict, tuple or list of those.
        Anything that has a shape and a dtype and takes an array of integers as its index will do
        (np.memmap, an h5py dataset): only the rows of the next few batches are read, and arrays
        are not copied. A list of strings (file names, say) is an array. Or a tf.data.Dataset of
        (x, y), one row an element: x any structure of tensors, y an integer, of shape [] or [1].
      labels: [n] or [n, 1], of any integer dtype; None for a dataset, which has its own.
      classes_per_batch: P, a Python integer, 1 or more.
      samples_per_class: K, a Python integer, 1 or more. Losses over positive pairs want 2 or more.
      small_classes: what becomes of a class with fewer than K rows: "repeat" fills its K rows with
        repetitions, as evenly as possible, "skip" leaves the class out. None is "repeat" for
        arrays and "skip" for a dataset, which takes no other.
      shuffle: False for rows and classes in the order in which they come, the same at every
        iteration. A dataset's own shuffling is its own affair.
      seed: an integer, for the same sequence of epochs each time the dataset is made. None takes
        one from tf.random.set_seed (or keras.utils.set_random_seed) if that was called, else a
        random one. Each iteration is the next epoch, in another order.
      num_shards: how many workers share the sequence of batches.
      shard_index: this worker's number: of every epoch it gets the batches number shard_index,
        shard_index + num_shards, and so on. Workers pass the same arguments otherwise, with a
        seed. Their numbers of batches are equal, and they stay in step as long as they iterate
        equally often. Of a dataset every worker reads all and keeps the elements number
        shard_index, shard_index + num_shards, ...; for equal numbers of batches, give
        batches_per_epoch.
      batches_per_epoch: the number of batches in an epoch, in all shards together, a multiple of
        num_shards; None for the number above, rounded up to such a multiple. An epoch of another
        length is the same sequence of batches, shorter or longer. A dataset is then read as often
        as that takes, else once.
      buffer: the number of a dataset's rows that wait, P K or more; None for 10 P K. Besides, P K
        rows are being read, and two batches are ready. It wants to be long enough for P classes
        to come K times each.

    Returns:
      A tf.data.Dataset of (x, y): x has data's structure and dtypes (lists become tuples) and
      shapes [P K, ...], y is [P K], of labels' dtype. Its cardinality is known, but for that of a
      dataset without batches_per_epoch.

      Of arrays, the labels and about 30 bytes a row stay in memory, and at the start of an epoch
      some 80 bytes a row are in use for a moment. Batches are made by Python functions in this
      process: such a dataset is not for tf.data service or remote parameter servers.

    Raises:
      ValueError: sizes or names that do not fit, fewer than P classes, or a missing seed with
        num_shards more than 1.
      TypeError: labels that are not integers, or data that is no array.
      tf.errors.InvalidArgumentError: when iterated, a dataset that gave no batch at all, or whose
        elements differ in shape.

    Examples:
      >>> x, labels = tf.range(8) * 10, [0, 0, 1, 1, 2, 2, 3, 3]
      >>> for x, y in tpw.data.balanced_batches(x, labels, 2, 2, shuffle=False):
      ...     print(x.numpy(), y.numpy())
      [ 0 10 20 30] [0 0 1 1]
      [40 50 60 70] [2 2 3 3]
    """
    classes_per_batch = _arguments.integer("classes_per_batch", classes_per_batch, least=1)
    samples_per_class = _arguments.integer("samples_per_class", samples_per_class, least=1)
    if small_classes is not None:
        _arguments.one_of("small_classes", small_classes, SMALL_CLASSES)
    order = _Order(shuffle, seed, num_shards, shard_index, batches_per_epoch)
    if isinstance(data, tf.data.Dataset):
        if small_classes == "repeat":
            raise ValueError("small_classes: got 'repeat' with a dataset, expected None or 'skip'")
        shape = [classes_per_batch * samples_per_class]

        def draw_waiting(waiting, key, number, last):
            return _drawing.balanced(waiting, key, last, classes_per_batch, samples_per_class)

        wanted = f"{classes_per_batch} classes with {samples_per_class} rows each"
        return _datasets.streamed(data, labels, buffer, draw_waiting, order, shape, None, wanted)
    arrays, classes = _arrays(data, labels, buffer)
    least = samples_per_class if small_classes == "skip" else 1
    used = np.flatnonzero(classes.sizes >= least)
    if len(used) < classes_per_batch:
        having = f" that have {least} rows or more" if least > 1 else ""
        raise ValueError(
            f"classes_per_batch: got {classes_per_batch} with labels of {len(used)} classes"
            f"{having}, expected at most that many"
        )
    sizes, starts = classes.sizes[used], classes.starts[used]
    rows_per_batch = classes_per_batch * samples_per_class

    def draw(key, batches):
        keys = [_drawing.hashed_or_none(key, i) for i in range(2)]
        visited = _drawing.deal(
            keys[0], np.array([len(used)]), classes_per_batch, np.array([batches])
        )
        visited = visited.ravel()
        visits = np.bincount(visited, minlength=len(used))
        dealt = _drawing.deal(keys[1], sizes, samples_per_class, visits)
        index = np.empty_like(dealt)
        index[np.argsort(visited, kind="stable")] = dealt
        index = classes.rows[index + starts[visited, None]].reshape(batches, rows_per_batch)
        return index, classes.labels[index]

    batches = order.batches(math.ceil(int(sizes.sum()) / rows_per_batch))
    return _datasets.dataset(arrays, draw, order, batches, [rows_per_batch], classes.labels.dtype)


def pairs(
    data: Any,
    labels: Any,
    batch_size: int,
    *,
    positive_fraction: float = 0.5,
    similar_label: int = 0,
    shuffle: bool = True,
    seed: int | None = None,
    num_shards: int = 1,
    shard_index: int = 0,
    batches_per_epoch: int | None = None,
    buffer: int | None = None,
) -> tf.data.Dataset:
    """Batches of pairs with their labels, for `contrastive_loss` and its Keras class.

    A similar pair is two different rows of one class, a dissimilar one two rows of different
    classes. Their first rows are taken in turn: each row that has a partner is the first of a
    similar pair once before any is again, each row that has one of another class the first of a
    dissimilar pair, so that with half of the pairs similar, every row is the first of one pair
    an epoch. Second rows are drawn uniformly. By default an epoch is ceil(rows / batch_size)
    batches.

    Of a tf.data.Dataset `buffer` rows wait in a window. Once that is full, a batch takes its
    first rows out of it, whereas second rows are drawn from all that are there and remain; where
    there are too few that have a second row, those that have waited longest are left out. What is
    no whole batch at the end is left out too.

    Args:
      data: an array or a (ragged) tensor [n, ...], a nested structure of those, or a
        tf.data.Dataset of single elements (x, y), see `balanced_batches`.
      labels: [n] or [n, 1], of any integer dtype; None for a dataset, which has its own.
      batch_size: the number of pairs in a batch, a Python integer, 1 or more.
      positive_fraction: the share of similar pairs, from 0 to 1. If the number of them in a batch
        is no integer, batches differ by one. Similar and dissimilar pairs take turns in a batch.
      similar_label: the label of similar pairs, 0 or 1; that of dissimilar ones is the other one.
        0 is the default of `contrastive_loss`.
      shuffle: False for first rows in the order in which they come (that of dissimilar pairs from
        the end), and second rows by a rule: the next of the class, or one of the classes behind.
      seed: an integer, for the same sequence of epochs each time the dataset is made; None for that
        of tf.random.set_seed, or a random one.
      num_shards: how many workers share the sequence of batches.
      shard_index: this worker's number: it gets the batches shard_index, shard_index + num_shards,
        and so on.
      batches_per_epoch: the number of batches in an epoch, in all shards together, a multiple of
        num_shards; None for as many as take each row about once as a first one.
      buffer: the number of a dataset's rows that wait, batch_size or more; None for 10 batch_size.

    Returns:
      A tf.data.Dataset of (x, y), its cardinality known as that of `balanced_batches` is: x has
      data's structure and dtypes, the pairs stacked, [batch_size, 2, ...], and y is int32
      [batch_size].

    Raises:
      ValueError: sizes or names that do not fit, no similar or no dissimilar pair in the labels
        where some are asked for, or a missing seed with num_shards more than 1.
      TypeError: labels that are not integers, or data that is no array.
      tf.errors.InvalidArgumentError: as `balanced_batches` does.

    Examples:
      >>> x, labels = tf.constant([1, 2, 30, 40]), [0, 0, 1, 1]
      >>> for x, y in tpw.data.pairs(x, labels, 4, shuffle=False):
      ...     print(x.numpy().tolist(), y.numpy())
      [[1, 2], [40, 2], [2, 1], [30, 1]] [0 1 0 1]
    """
    batch_size = _arguments.integer("batch_size", batch_size, least=1)
    positive_fraction = _arguments.number("positive_fraction", positive_fraction, least=0)
    if positive_fraction > 1:
        raise ValueError(f"positive_fraction: got {positive_fraction}, expected 1 or less")
    if _arguments.integer("similar_label", similar_label, least=0) > 1:
        raise ValueError(f"similar_label: got {similar_label}, expected 0 or 1")
    order = _Order(shuffle, seed, num_shards, shard_index, batches_per_epoch)

    def kinds(start, count):
        """Which of the pairs number start and on are similar, and the labels of all."""
        ends = np.floor(np.arange(start, start + count + 1) * positive_fraction + 0.5)
        similar = np.diff(ends) > 0
        return similar, np.where(similar, similar_label, 1 - similar_label).astype(np.int32)

    if isinstance(data, tf.data.Dataset):

        def draw_waiting(waiting, key, number, last):
            similar, y = kinds(number * batch_size, batch_size)
            index = _drawing.waiting_pairs(waiting, key, similar)
            return None if index is None else (index, index[:, 0], y)

        wanted = f"{batch_size} pairs, {positive_fraction:.0%} of them similar"
        shape = [batch_size, 2]
        return _datasets.streamed(
            data, labels, buffer, draw_waiting, order, shape, tf.int32, wanted
        )
    arrays, classes = _arrays(data, labels, buffer)
    rows = np.arange(len(classes.labels))
    partnered = rows[classes.sizes[classes.of_row] > 1]
    if positive_fraction > 0 and len(partnered) == 0:
        raise ValueError(
            f"positive_fraction: got {positive_fraction} with {len(rows)} labels of which no two "
            "are equal, expected 0"
        )
    if positive_fraction < 1 and len(classes.sizes) < 2:
        raise ValueError(
            f"positive_fraction: got {positive_fraction} with labels of {len(classes.sizes)} "
            "classes, expected 1, or labels of two or more"
        )

    def draw(key, batches):
        keys = [_drawing.hashed_or_none(key, i) for i in range(3)]
        similar, y = kinds(0, batches * batch_size)
        at, other = np.flatnonzero(similar), np.flatnonzero(~similar)
        index = np.empty((len(similar), 2), np.int64)
        # One key and opposite orders: what one kind has not yet used comes first in the other.
        index[at, 0] = _drawing.passes(keys[0], partnered, len(at))
        index[other, 0] = _drawing.passes(keys[0], rows, len(other), descending=True)
        index[at, 1] = classes.positives(keys[1], index[at, 0], at)
        index[other, 1] = classes.negatives(keys[2], index[other, 0], other)
        return index.reshape(batches, batch_size, 2), y.reshape(batches, batch_size)

    batches = order.batches(math.ceil(len(rows) / batch_size))
    return _datasets.dataset(arrays, draw, order, batches, [batch_size, 2], np.dtype(np.int32))


def triplets(
    data: Any,
    labels: Any,
    batch_size: int,
    *,
    shuffle: bool = True,
    seed: int | None = None,
    num_shards: int = 1,
    shard_index: int = 0,
    batches_per_epoch: int | None = None,
    buffer: int | None = None,
) -> tf.data.Dataset:
    """Batches of anchors, positives and negatives, for `triplet_loss` and its Keras class.

    Every row of a class of two or more is an anchor once before any is again; its positive is
    drawn uniformly from the other rows of its class, its negative from the rows of all other
    classes. By default an epoch is ceil(anchors / batch_size) batches: every anchor once (and a
    few twice, to fill the last batch).

    Of a tf.data.Dataset `buffer` rows wait in a window. Once that is full, a batch takes its
    anchors out of it, whereas positives and negatives are drawn from all that are there and
    remain; where there are too few that have both, those that have waited longest are left out.
    What is no whole batch at the end is left out too.

    Args:
      data: an array or a (ragged) tensor [n, ...], a nested structure of those, or a
        tf.data.Dataset of single elements (x, y), see `balanced_batches`.
      labels: [n] or [n, 1], of any integer dtype; None for a dataset, which has its own.
      batch_size: the number of triplets in a batch, a Python integer, 1 or more.
      shuffle: False for anchors in the order in which they come, and positives and negatives by
        a rule: the next of the class, and one of the classes behind.
      seed: an integer, for the same sequence of epochs each time the dataset is made; None for that
        of tf.random.set_seed, or a random one.
      num_shards: how many workers share the sequence of batches.
      shard_index: this worker's number: it gets the batches shard_index, shard_index + num_shards,
        and so on.
      batches_per_epoch: the number of batches in an epoch, in all shards together, a multiple of
        num_shards; None for as many as take each row about once as a first one.
      buffer: the number of a dataset's rows that wait, batch_size or more; None for 10 batch_size.

    Returns:
      A tf.data.Dataset of (x, y), its cardinality known as that of `balanced_batches` is: x has
      data's structure and dtypes, anchor, positive and negative stacked, [batch_size, 3, ...],
      and y is [batch_size], the anchors' labels, of labels' dtype.

    Raises:
      ValueError: sizes or names that do not fit, labels without any triplet, or a missing seed
        with num_shards more than 1.
      TypeError: labels that are not integers, or data that is no array.
      tf.errors.InvalidArgumentError: as `balanced_batches` does.

    Examples:
      >>> x, labels = tf.constant([1, 2, 30, 40]), [0, 0, 1, 1]
      >>> for x, y in tpw.data.triplets(x, labels, 2, shuffle=False):
      ...     print(x.numpy().tolist(), y.numpy())
      [[1, 2, 30], [2, 1, 40]] [0 0]
      [[30, 40, 1], [40, 30, 2]] [1 1]
    """
    batch_size = _arguments.integer("batch_size", batch_size, least=1)
    order = _Order(shuffle, seed, num_shards, shard_index, batches_per_epoch)
    if isinstance(data, tf.data.Dataset):

        def draw_waiting(waiting, key, number, last):
            index = _drawing.waiting_triplets(waiting, key, batch_size)
            return None if index is None else (index, index[:, 0], None)

        wanted = f"{batch_size} triplets"
        shape = [batch_size, 3]
        return _datasets.streamed(data, labels, buffer, draw_waiting, order, shape, None, wanted)
    arrays, classes = _arrays(data, labels, buffer)
    anchors = np.flatnonzero(classes.sizes[classes.of_row] > 1)
    if len(anchors) == 0 or len(classes.sizes) < 2:
        raise ValueError(
            f"labels: got {len(classes.labels)} labels of {len(classes.sizes)} classes, expected "
            "two classes or more, and two rows or more in one of them"
        )

    def draw(key, batches):
        keys = [_drawing.hashed_or_none(key, i) for i in range(3)]
        turns = np.arange(batches * batch_size)
        anchor = _drawing.passes(keys[0], anchors, len(turns))
        positive = classes.positives(keys[1], anchor, turns)
        negative = classes.negatives(keys[2], anchor, turns)
        index = np.stack([anchor, positive, negative], axis=1)
        return (
            index.reshape(batches, batch_size, 3),
            classes.labels[anchor].reshape(batches, batch_size),
        )

    batches = order.batches(math.ceil(len(anchors) / batch_size))
    return _datasets.dataset(arrays, draw, order, batches, [batch_size, 3], classes.labels.dtype)


class _Order:
    """The arguments that say which epochs there are, and which part of them is this worker's."""

    def __init__(self, shuffle, seed, num_shards, shard_index, batches_per_epoch):
        if not isinstance(shuffle, bool):
            raise TypeError(f"shuffle: got {shuffle!r}, expected True or False")
        self.num_shards = _arguments.integer("num_shards", num_shards, least=1)
        self.shard_index = _arguments.integer("shard_index", shard_index, least=0)
        if self.shard_index >= self.num_shards:
            raise ValueError(
                f"shard_index: got {shard_index} with num_shards {num_shards}, expected less"
            )
        if batches_per_epoch is not None:
            batches_per_epoch = _arguments.integer("batches_per_epoch", batches_per_epoch, least=1)
            if batches_per_epoch % self.num_shards:
                raise ValueError(
                    f"batches_per_epoch: got {batches_per_epoch} with num_shards {num_shards}, "
                    "expected a multiple of it"
                )
        self.batches_per_epoch = batches_per_epoch
        self.shuffle = shuffle
        if seed is not None:
            self.seed = _arguments.integer("seed", seed)
        elif shuffle and self.num_shards > 1:
            raise ValueError(
                f"seed: got None with num_shards {num_shards}, expected an integer that all "
                "workers share"
            )
        else:
            of_graph, of_op = tf.compat.v1.get_seed(None)
            self.seed = np.random.SeedSequence().entropy if of_op is None else of_graph + of_op

    def batches(self, default):
        """The number of batches of an epoch, of all shards together."""
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        return math.ceil(default / self.num_shards) * self.num_shards

    def keys(self):
        """A function that gives the next epoch's key, None without shuffling."""
        epochs = itertools.count()
        return lambda: _drawing.hashed(self.seed, next(epochs)) if self.shuffle else None


def _arrays(data, labels, buffer):
    """data with its leaves checked, and the rows by their labels."""
    if labels is None:
        raise ValueError("labels: got None, expected a label for each row of data")
    if buffer is not None:
        raise ValueError(f"buffer: got {buffer!r} with arrays, expected None")
    labels = _labels(labels)

    def leaf(array):
        if isinstance(array, tf.Variable):
            array = tf.convert_to_tensor(array)
        shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
        # A Series or DataFrame takes its index for labels, a sparse tensor has no rows.
        unusable = hasattr(array, "iloc") or isinstance(array, tf.SparseTensor)
        if shape is None or dtype is None or unusable:
            raise TypeError(
                f"data: got a {type(array).__name__}, expected an array or a tensor, or a "
                "dict, tuple or list of those"
            )
        if tf.is_tensor(array) and not tf.executing_eagerly():
            raise TypeError("data: got a tensor of a graph, expected a dataset to be made eagerly")
        if len(shape) == 0 or shape[0] != len(labels):
            raise ValueError(
                f"data: got the shape {tuple(shape)} with {len(labels)} labels, expected "
                f"{len(labels)} rows"
            )
        try:
            tf.as_dtype(_datasets.native(dtype))
        except TypeError:
            raise TypeError(
                f"data: got an array of {dtype}, expected a dtype of TensorFlow's"
            ) from None
        return array

    structure = _tuples(data)
    if not tf.nest.flatten(structure):
        raise ValueError(f"data: got {data!r}, expected at least one array")
    return tf.nest.map_structure(leaf, structure), _drawing.Classes(labels)


def _tuples(data):
    """data with tuples for its lists, which tf.data would take for tensors."""
    if isinstance(data, list) and data and all(isinstance(x, (str, bytes)) for x in data):
        return np.asarray(data, object)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(_tuples, data))
    if isinstance(data, (list, tuple)):
        return tuple(map(_tuples, data))
    if isinstance(data, collections.abc.Mapping):
        return {key: _tuples(value) for key, value in data.items()}
    return data


def _labels(labels):
    """labels as a NumPy array [n]."""
    if tf.is_tensor(labels) and not hasattr(labels, "numpy"):
        raise TypeError("labels: got a tensor of a graph, expected labels with values")
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise ValueError(f"labels: got no array, expected integers [n]: {error}") from None
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"labels: got an array of {array.dtype}, expected integers")
    if array.ndim not in (1, 2) or array.ndim == 2 and array.shape[1] != 1:
        raise ValueError(
            f"labels: got the shape {array.shape}, expected [n] or [n, 1]"
            f"{_arguments.one_hot(array.shape)}"
        )
    if array.size == 0:
        raise ValueError("labels: got none, expected one or more")
    return array.reshape(-1).astype(_datasets.native(array.dtype), copy=False)

"""Input pipelines for losses over pairs: class-balanced batches, pairs and triplets, as tf.data.

A loss over all pairs of a batch needs batches in which classes meet: `balanced_batches` draws P
classes and K rows of each. The losses over given pairs and triplets need those: `pairs` and
`triplets` draw them. What is drawn depends on nothing but the labels, the seed and how often the
dataset has been iterated, and is the same on every machine and for every version of NumPy, so
that workers that share a seed share one sequence of batches and take their own batches of it.

Each takes arrays, in memory or on disk, or a tf.data.Dataset of single elements (x, y), which is
read as it comes: of that only a window of rows is held.
"""

import collections.abc
import itertools
import math

import numpy as np
import tensorflow as tf

from tf_pairwise import _arguments

__all__ = ["balanced_batches", "pairs", "triplets"]

SMALL_CLASSES = ("repeat", "skip")


def balanced_batches(
    data,
    labels=None,
    classes_per_batch=None,
    samples_per_class=None,
    *,
    small_classes=None,
    shuffle=True,
    seed=None,
    num_shards=1,
    shard_index=0,
    batches_per_epoch=None,
    buffer=None,
):
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
      num_shards, shard_index: this worker's share: of every epoch's batches number shard_index,
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

    Example:
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
            return _balanced(waiting, key, last, classes_per_batch, samples_per_class)

        wanted = f"{classes_per_batch} classes with {samples_per_class} rows each"
        return _streamed(data, labels, buffer, draw_waiting, order, shape, None, wanted)
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
        keys = [_hash_or_none(key, i) for i in range(2)]
        visited = _deal(keys[0], np.array([len(used)]), classes_per_batch, np.array([batches]))
        visited = visited.ravel()
        visits = np.bincount(visited, minlength=len(used))
        dealt = _deal(keys[1], sizes, samples_per_class, visits)
        index = np.empty_like(dealt)
        index[np.argsort(visited, kind="stable")] = dealt
        index = classes.rows[index + starts[visited, None]].reshape(batches, rows_per_batch)
        return index, classes.labels[index]

    batches = order.batches(math.ceil(int(sizes.sum()) / rows_per_batch))
    return _dataset(arrays, draw, order, batches, [rows_per_batch], classes.labels.dtype)


def pairs(
    data,
    labels=None,
    batch_size=None,
    *,
    positive_fraction=0.5,
    similar_label=0,
    shuffle=True,
    seed=None,
    num_shards=1,
    shard_index=0,
    batches_per_epoch=None,
    buffer=None,
):
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
      data, labels: as `balanced_batches` takes them.
      batch_size: the number of pairs in a batch, a Python integer, 1 or more.
      positive_fraction: the share of similar pairs, from 0 to 1. If the number of them in a batch
        is no integer, batches differ by one. Similar and dissimilar pairs take turns in a batch.
      similar_label: the label of similar pairs, 0 or 1; that of dissimilar ones is the other one.
        0 is the default of `contrastive_loss`.
      shuffle: False for first rows in the order in which they come (that of dissimilar pairs from
        the end), and second rows by a rule: the next of the class, or one of the classes behind.
      seed, num_shards, shard_index, batches_per_epoch: as in `balanced_batches`.
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

    Example:
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
            index = _waiting_pairs(waiting, key, similar)
            return None if index is None else (index, index[:, 0], y)

        wanted = f"{batch_size} pairs, {positive_fraction:.0%} of them similar"
        shape = [batch_size, 2]
        return _streamed(data, labels, buffer, draw_waiting, order, shape, tf.int32, wanted)
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
        keys = [_hash_or_none(key, i) for i in range(3)]
        similar, y = kinds(0, batches * batch_size)
        at, other = np.flatnonzero(similar), np.flatnonzero(~similar)
        index = np.empty((len(similar), 2), np.int64)
        # One key and opposite orders: what one kind has not yet used comes first in the other.
        index[at, 0] = _passes(keys[0], partnered, len(at))
        index[other, 0] = _passes(keys[0], rows, len(other), descending=True)
        index[at, 1] = classes.positives(keys[1], index[at, 0], at)
        index[other, 1] = classes.negatives(keys[2], index[other, 0], other)
        return index.reshape(batches, batch_size, 2), y.reshape(batches, batch_size)

    batches = order.batches(math.ceil(len(rows) / batch_size))
    return _dataset(arrays, draw, order, batches, [batch_size, 2], np.dtype(np.int32))


def triplets(
    data,
    labels=None,
    batch_size=None,
    *,
    shuffle=True,
    seed=None,
    num_shards=1,
    shard_index=0,
    batches_per_epoch=None,
    buffer=None,
):
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
      data, labels: as `balanced_batches` takes them.
      batch_size: the number of triplets in a batch, a Python integer, 1 or more.
      shuffle: False for anchors in the order in which they come, and positives and negatives by
        a rule: the next of the class, and one of the classes behind.
      seed, num_shards, shard_index, batches_per_epoch: as in `balanced_batches`.
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

    Example:
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
            index = _waiting_triplets(waiting, key, batch_size)
            return None if index is None else (index, index[:, 0], None)

        wanted = f"{batch_size} triplets"
        shape = [batch_size, 3]
        return _streamed(data, labels, buffer, draw_waiting, order, shape, None, wanted)
    arrays, classes = _arrays(data, labels, buffer)
    anchors = np.flatnonzero(classes.sizes[classes.of_row] > 1)
    if len(anchors) == 0 or len(classes.sizes) < 2:
        raise ValueError(
            f"labels: got {len(classes.labels)} labels of {len(classes.sizes)} classes, expected "
            "two classes or more, and two rows or more in one of them"
        )

    def draw(key, batches):
        keys = [_hash_or_none(key, i) for i in range(3)]
        turns = np.arange(batches * batch_size)
        anchor = _passes(keys[0], anchors, len(turns))
        positive = classes.positives(keys[1], anchor, turns)
        negative = classes.negatives(keys[2], anchor, turns)
        index = np.stack([anchor, positive, negative], axis=1)
        return (
            index.reshape(batches, batch_size, 3),
            classes.labels[anchor].reshape(batches, batch_size),
        )

    batches = order.batches(math.ceil(len(anchors) / batch_size))
    return _dataset(arrays, draw, order, batches, [batch_size, 3], classes.labels.dtype)


# ---- arguments ----


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
        return lambda: _hash(self.seed, next(epochs)) if self.shuffle else None


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
            tf.as_dtype(_native(dtype))
        except TypeError:
            raise TypeError(
                f"data: got an array of {dtype}, expected a dtype of TensorFlow's"
            ) from None
        return array

    structure = _tuples(data)
    if not tf.nest.flatten(structure):
        raise ValueError(f"data: got {data!r}, expected at least one array")
    return tf.nest.map_structure(leaf, structure), _Classes(labels)


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
        raise ValueError(f"labels: got the shape {array.shape}, expected [n] or [n, 1]")
    if array.size == 0:
        raise ValueError("labels: got none, expected one or more")
    return array.reshape(-1).astype(_native(array.dtype), copy=False)


def _native(dtype):
    """A dtype of TensorFlow's or NumPy's, in the machine's byte order."""
    return dtype if isinstance(dtype, tf.DType) else np.dtype(dtype).newbyteorder("=")


# ---- what an epoch draws ----


class _Classes:
    """Rows by their class: classes are numbered in the order in which they first come.

    labels, of_row: [n], a row's label and class.
    rows: [n], the rows by class, each class's in order.
    sizes, starts: [classes], how many there are, and where they start in rows.
    """

    def __init__(self, labels):
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        number = np.empty(len(first), np.int64)
        number[np.argsort(first)] = np.arange(len(first))
        self.labels = labels
        self.of_row = number[inverse.reshape(-1)]
        self.rows = np.argsort(self.of_row, kind="stable")
        self.sizes = np.bincount(self.of_row)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self._place = np.empty(len(labels), np.int64)
        self._place[self.rows] = np.arange(len(labels)) - self.starts[self.of_row[self.rows]]

    def positives(self, key, anchors, turns):
        """For each anchor another row of its class, drawn by its turn; the next for no key."""
        of_anchor = self.of_row[anchors]
        size, start = self.sizes[of_anchor], self.starts[of_anchor]
        step = 1 if key is None else 1 + _below(size - 1, key, turns)
        return self.rows[start + (self._place[anchors] + step) % size]

    def negatives(self, key, anchors, turns):
        """For each anchor a row of another class: its own class in a ring of all is passed over."""
        of_anchor = self.of_row[anchors]
        size, start = self.sizes[of_anchor], self.starts[of_anchor]
        others = len(self.rows) - size
        step = self._place[anchors] % others if key is None else _below(others, key, turns)
        return self.rows[(start + size + step) % len(self.rows)]


def _hash(*words):
    """A uint64 that looks random for each tuple of words: integers, or integer arrays [n].

    In place of a generator's state, it gives every number by its name: what an epoch draws does
    not depend on how much of it is drawn, nor on NumPy's version.
    """
    state = np.uint64(0)
    with np.errstate(over="ignore"):
        for word in words:
            if isinstance(word, int):
                word = np.uint64(word % 2**64)
            # splitmix64 (Steele, Lea, Flood 2014).
            state = (state ^ np.asarray(word).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def _hash_or_none(key, number):
    """A key made of another; None, of no shuffling, stays None."""
    return None if key is None else _hash(key, number)


def _below(bounds, key, turns):
    """A random integer in [0, bound) for each turn."""
    return (_hash(key, turns) % bounds.astype(np.uint64)).astype(np.int64)


def _ramp(counts):
    """0 .. counts[0], 0 .. counts[1], and so on, as one array."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _sorted(groups, number, keys):
    """The stable order by group, an integer below number, and by random keys in a group."""
    bits = np.uint64(max(int(number - 1).bit_length(), 1))
    code = groups.astype(np.uint64) << (np.uint64(64) - bits) | keys >> bits
    return np.argsort(code, kind="stable")


def _passes(key, rows, count, descending=False):
    """count of the rows: all of them in a random order, all in another one, and so on."""
    passes = math.ceil(count / max(1, len(rows)))
    if key is None:
        return np.tile(rows[::-1] if descending else rows, passes)[:count]
    number = np.repeat(np.arange(passes), len(rows))
    rows = np.tile(rows, passes)
    keys = _hash(key, number, rows)
    return rows[_sorted(number, passes, ~keys if descending else keys)[:count]]


def _deal(key, sizes, hand, visits):
    """Deals each stack of cards in hands: [sum of visits, hand] cards, numbers in a stack.

    Stack s has the cards 0 .. sizes[s] and gives visits[s] hands. Its cards are dealt all of
    them before any is dealt again, and none is twice in a hand; with fewer cards than a hand
    takes, each is in it equally often, or once more.

    Args:
      key: of the random orders, None for the order of the cards.
      sizes, visits: int64 [stacks].
      hand: the number of cards in a hand.
    """
    whole = np.where(sizes < hand, hand // sizes * sizes, 0)
    cards = _dealt(key, sizes, hand - whole, visits)
    if not whole.any():
        return cards.reshape(-1, hand)
    column = np.arange(hand)
    repeated = column < np.repeat(whole, visits)[:, None]
    hands = column % np.repeat(sizes, visits)[:, None]
    hands[~repeated] = cards
    return hands


def _dealt(key, sizes, hands, visits):
    """`_deal` for hands [stacks], each smaller than its stack or as large, as one array."""
    counts = visits * hands
    if key is None:
        return _ramp(counts) % np.repeat(sizes, counts)
    cards = np.empty(counts.sum(), np.int64)
    stacks = np.flatnonzero(counts)
    at = (np.cumsum(counts) - counts)[stacks]
    sizes, hands, counts = sizes[stacks], hands[stacks], counts[stacks]
    # A stack is dealt pass by pass. Where a hand ends with a pass, a run starts that depends on
    # nothing before it: all runs of all stacks go side by side, one pass at a time.
    passes = hands // np.gcd(hands, sizes)
    runs = -(-counts // (passes * sizes))
    run = _ramp(runs)
    at, sizes, hands, counts, passes, stacks = (
        np.repeat(each, runs) for each in (at, sizes, hands, counts, passes, stacks)
    )
    at = at + run * passes * sizes
    left = np.minimum(counts - run * passes * sizes, passes * sizes)
    keys = _hash(key, stacks, run)
    order = None
    for number in range(passes.max(initial=0)):
        going = left > 0
        if not going.all():
            if order is not None:
                order = order[np.repeat(going, sizes)]
            at, sizes, hands, left, keys = (each[going] for each in (at, sizes, hands, left, keys))
        if len(sizes) == 0:
            break
        of, card = np.repeat(np.arange(len(sizes)), sizes), _ramp(sizes)
        random = _hash(_hash(keys, number)[of], card)
        begun = number * sizes % hands  # cards that the hand has from the pass before
        if begun.any():
            # Those may not complete their own hand: the cards that do are drawn from the others,
            # the rest of the pass from all that remain.
            first = np.cumsum(sizes) - sizes
            last = card >= (sizes - begun)[of]
            held = np.zeros(len(of), bool)
            held[first[of[last]] + order[last]] = True
            complete = np.where(begun > 0, hands - begun, 0)
            drawn = _sorted(2 * of + held, 2 * len(sizes), random)[card < complete[of]]
            rest = np.ones(len(of), bool)
            rest[drawn] = False
            order = card[_sorted(2 * of + rest, 2 * len(sizes), _hash(random, 1))]
        else:
            order = card[_sorted(of, len(sizes), random)]
        taken = card < left[of]
        cards[at[of[taken]] + card[taken]] = order[taken]
        at, left = at + sizes, left - sizes
    return cards


# ---- what is drawn from the rows that wait ----


def _balanced(waiting, key, last, classes_per_batch, samples_per_class):
    """(rows, the rows that leave, None) of a balanced batch; None where there is none."""
    classes = _Classes(waiting)
    ready = np.flatnonzero(classes.sizes >= samples_per_class)
    if len(ready) < classes_per_batch:
        return None
    if key is not None:
        ready = ready[np.argsort(_hash(key, 0, ready), kind="stable")]
        if last:  # the largest first, which leaves the fewest rows
            ready = ready[np.argsort(-classes.sizes[ready], kind="stable")]
    chosen = ready[:classes_per_batch]
    sizes = classes.sizes[chosen]
    of, card = np.repeat(np.arange(len(chosen)), sizes), _ramp(sizes)
    rows = classes.rows[classes.starts[chosen][of] + card]
    if key is not None:
        rows = rows[_sorted(of, len(chosen), _hash(key, 1, rows))]
    rows = rows[card < samples_per_class]
    return rows, rows, None


def _waiting_pairs(waiting, key, similar):
    """Pairs [b, 2] of the rows that wait, of different first rows; None where there are too few."""
    classes = _Classes(waiting)
    sizes = classes.sizes[classes.of_row]
    rows = np.arange(len(waiting))
    if key is not None:
        rows = rows[np.argsort(_hash(key, 0, rows), kind="stable")]
    at, other = np.flatnonzero(similar), np.flatnonzero(~similar)
    firsts = rows[sizes[rows] > 1][: len(at)]
    left = np.ones(len(rows), bool)
    left[firsts] = False
    others = rows[left[rows]][: len(other)] if len(classes.sizes) > 1 else rows[:0]
    if len(firsts) < len(at) or len(others) < len(other):
        return None
    index = np.empty((len(similar), 2), np.int64)
    index[at, 0], index[other, 0] = firsts, others
    index[at, 1] = classes.positives(_hash_or_none(key, 1), firsts, at)
    index[other, 1] = classes.negatives(_hash_or_none(key, 2), others, other)
    return index


def _waiting_triplets(waiting, key, count):
    """Triplets [count, 3] of the rows that wait, of different anchors, or None."""
    classes = _Classes(waiting)
    rows = np.flatnonzero(classes.sizes[classes.of_row] > 1)
    if len(rows) < count or len(classes.sizes) < 2:
        return None
    if key is not None:
        rows = rows[np.argsort(_hash(key, 0, rows), kind="stable")]
    anchors, turns = rows[:count], np.arange(count)
    positives = classes.positives(_hash_or_none(key, 1), anchors, turns)
    negatives = classes.negatives(_hash_or_none(key, 2), anchors, turns)
    return np.stack([anchors, positives, negatives], axis=1)


# ---- datasets ----


def _dataset(arrays, draw, order, batches, shape, label_dtype):
    """The dataset of an epoch's (index, y), drawn at each iteration, with the rows for the index.

    draw(key, batches) gives index, int64 [batches, *shape], and y [batches, shape[0]].
    """
    next_key = order.keys()
    share = slice(order.shard_index, None, order.num_shards)
    own = batches // order.num_shards

    def epoch():
        index, y = draw(next_key(), batches)
        return index[share], y[share]

    @tf.autograph.experimental.do_not_convert
    def slices(_):
        index, y = tf.numpy_function(epoch, [], [tf.int64, label_dtype])
        index, y = tf.ensure_shape(index, [own, *shape]), tf.ensure_shape(y, [own, shape[0]])
        return tf.data.Dataset.from_tensor_slices((index, y))

    leaves = tf.nest.flatten(arrays)
    stored = [leaf for leaf in leaves if not tf.is_tensor(leaf)]
    dtypes = [tf.as_dtype(_native(leaf.dtype)) for leaf in stored]
    together = _together(stored, math.prod(shape))
    read_shape = [None, *shape] if together > 1 else shape

    def take(index):
        return [_rows(array, index) for array in stored]

    @tf.autograph.experimental.do_not_convert
    def gather(index, y):
        read = iter(tf.numpy_function(take, [index], dtypes) if stored else [])
        made = []
        for leaf in leaves:
            if tf.is_tensor(leaf):
                made.append(tf.gather(leaf, index))
            else:
                made.append(tf.ensure_shape(next(read), [*read_shape, *leaf.shape[1:]]))
        return tf.nest.pack_sequence_as(arrays, made), y

    # Other arrays may not bear to be read by two threads at once.
    parallel = all(tf.is_tensor(leaf) or isinstance(leaf, np.ndarray) for leaf in leaves)
    calls = tf.data.AUTOTUNE if parallel else None
    dataset = tf.data.Dataset.from_tensors(0).flat_map(slices)
    if together > 1:
        dataset = dataset.batch(together).map(gather, num_parallel_calls=calls).unbatch()
    else:
        dataset = dataset.map(gather, num_parallel_calls=calls)
    return _finished(dataset.apply(tf.data.experimental.assert_cardinality(own)), order)


def _together(stored, rows):
    """How many batches to read in one call of Python, which costs as much as some ten rows."""
    if not stored:
        return 1
    bytes_of_row = sum(
        np.dtype(array.dtype).itemsize * math.prod(array.shape[1:]) for array in stored
    )
    return max(1, min(16, 2**21 // max(1, rows * bytes_of_row)))


def _rows(array, index):
    """The rows of array for an index of any shape."""
    if isinstance(array, np.ndarray):
        rows = array[index]
    else:
        # On disk: in order, and no row twice, which h5py insists on.
        rows, inverse = np.unique(index, return_inverse=True)
        rows = np.asarray(array[rows])[inverse.reshape(index.shape)]
    if rows.dtype.kind == "U":  # TensorFlow would encode it as ASCII
        return np.char.encode(rows, "utf-8")
    return rows.astype(_native(rows.dtype), copy=False)


def _streamed(data, labels, buffer, draw, order, shape, label_dtype, wanted):
    """The dataset of what is drawn from a window over the elements of data.

    draw(labels of the rows that wait, key, number of the batch, whether no more will come) gives
    the rows of a batch, of shape `shape`, those that leave the window, and y, or None for y to be
    the labels of the rows that leave; or None if it finds no batch there.
    """
    x_spec, y_spec = _element_spec(data, labels)
    buffer = 10 * shape[0] if buffer is None else _arguments.integer("buffer", buffer, least=1)
    if buffer < shape[0]:
        raise ValueError(f"buffer: got {buffer}, expected {shape[0]} or more, the rows of a batch")
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # as many rows as we say, no more
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    source = data.shard(order.num_shards, order.shard_index) if order.num_shards > 1 else data
    source = source.batch(shape[0]).with_options(options)
    own = None if order.batches_per_epoch is None else order.batches_per_epoch // order.num_shards
    next_key = order.keys()

    def once(key):
        window, seen, number = None, 0, 0

        def batches(last=False):
            nonlocal number
            while window is not None and (last or len(window.free) < len(y)):
                drawn = draw(window.labels(), _hash_or_none(key, number), number, last)
                if drawn is not None:
                    number += 1
                    yield window.take(*drawn)
                elif last:
                    return
                else:
                    window.leave(np.arange(len(y) - len(window.free)))

        for x, y in source:
            x, y = [leaf.numpy() for leaf in tf.nest.flatten(x)], y.numpy().reshape(-1)
            yield from batches()
            window = window or _Window(buffer, x, y)
            window.add(x, y)
            seen += len(y)
        yield from batches(last=True)
        if number == 0:
            raise ValueError(
                f"data: got {seen} rows, in which {buffer} that came together never held "
                f"{wanted}, expected more rows, rows in a more even order, or a longer buffer"
            )

    def epoch():
        key = next_key()
        passes = itertools.count() if own is not None else [0]
        made = itertools.chain.from_iterable(once(_hash_or_none(key, i)) for i in passes)
        for leaves, y in itertools.islice(made, own):
            yield tf.nest.pack_sequence_as(x_spec, leaves), y

    def stacked(of):
        return tf.TensorSpec(tf.TensorShape(shape).concatenate(of.shape), of.dtype)

    x_signature = tf.nest.map_structure(stacked, x_spec)
    y_signature = tf.TensorSpec(shape[:1], label_dtype or y_spec.dtype)
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=(x_signature, y_signature))
    if own is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(own))
    return _finished(dataset, order, ahead=1)


def _element_spec(data, labels):
    """The specs of the x and the y of a dataset's elements."""
    if labels is not None:
        raise ValueError("labels: got labels with a dataset, expected None: its elements have them")
    spec = data.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(f"data: got a dataset of {spec}, expected elements (x, y)")
    for leaf in tf.nest.flatten(spec):
        if not isinstance(leaf, tf.TensorSpec):
            raise TypeError(f"data: got a dataset of {leaf}, expected dense tensors")
    y = spec[1]
    if not isinstance(y, tf.TensorSpec) or not y.dtype.is_integer:
        raise TypeError(f"data: got a dataset with y {y}, expected integers")
    if y.shape.rank not in (0, 1) or y.shape.rank == 1 and y.shape[0] != 1:
        raise ValueError(
            f"data: got a dataset with y of the shape {y.shape}, expected [] or [1]: one row an "
            "element (dataset.unbatch() takes batches apart)"
        )
    return spec


class _Window:
    """Rows that wait, in a store of fixed size, in the order in which they came."""

    def __init__(self, size, x, y):
        self._store = [np.empty((size, *leaf.shape[1:]), leaf.dtype) for leaf in x]
        self._labels = np.empty(size, y.dtype)
        self._places = np.empty(0, np.int64)
        self.free = np.arange(size)

    def labels(self):
        return self._labels[self._places]

    def add(self, x, y):
        places, self.free = np.split(self.free, [len(y)])
        for store, leaf in zip(self._store, x, strict=True):
            if store.shape[1:] != leaf.shape[1:]:
                raise ValueError(
                    f"data: got an element of the shape {leaf.shape[1:]} after one of "
                    f"{store.shape[1:]}, expected one shape"
                )
            store[places] = leaf
        self._labels[places] = y
        self._places = np.concatenate([self._places, places])

    def leave(self, rows):
        self.free = np.concatenate([self.free, self._places[rows]])
        self._places = np.delete(self._places, rows)

    def take(self, rows, leaving, y):
        """The rows, and y or the labels of those that leave."""
        places = self._places[rows]
        y = self._labels[self._places[leaving]] if y is None else y
        self.leave(leaving)
        return [store[places] for store in self._store], y


def _finished(dataset, order, ahead=tf.data.AUTOTUNE):
    if order.num_shards > 1:
        # A worker's share is all its own: under tf.distribute it is not to be divided again.
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        dataset = dataset.with_options(options)
    return dataset.prefetch(ahead)

"""The datasets of tf.data that hold the rows, or read them, for what is drawn."""

import itertools
import math

import numpy as np
import tensorflow as tf

from tf_pairwise import _arguments
from tf_pairwise.data import _drawing


def native(dtype):
    """A dtype of TensorFlow's or NumPy's, in the machine's byte order."""
    return dtype if isinstance(dtype, tf.DType) else np.dtype(dtype).newbyteorder("=")


def dataset(arrays, draw, order, batches, shape, label_dtype):
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
    dtypes = [tf.as_dtype(native(leaf.dtype)) for leaf in stored]
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
    return rows.astype(native(rows.dtype), copy=False)


def streamed(data, labels, buffer, draw, order, shape, label_dtype, wanted):
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
                drawn = draw(window.labels(), _drawing.hashed_or_none(key, number), number, last)
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
        made = itertools.chain.from_iterable(once(_drawing.hashed_or_none(key, i)) for i in passes)
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

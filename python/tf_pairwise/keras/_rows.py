"""Where embeddings and their labels are kept: what the memory and the retrieval metrics share."""

import tensorflow as tf


class Rows:
    """The rows of a few columns, written a batch at a time, in variables.

    With a capacity, a ring of the latest so many rows, of a fixed size, whose `write` compiles
    with XLA. Without, all rows, in a buffer that doubles when it is full, so that n rows cost
    O(n) time and at most 2 n rows of memory (3 n while it grows).
    """

    def __init__(self, capacity=None):
        self.capacity = capacity
        self._columns = None
        self._written = None

    @property
    def built(self):
        return self._columns is not None

    def build(self, specs):
        """Makes the variables: `specs` are of one row each, (name, dtype, shape)."""
        with tf.init_scope():  # outside of a tf.function that is being traced
            self._written = tf.Variable(0, trainable=False, dtype=tf.int64)
            self._columns = [self._variable(*spec) for spec in specs]

    def _variable(self, name, dtype, shape):
        # A growing column need not know the size of its rows before the first come.
        rows = 0 if self.capacity is None else self.capacity
        return tf.Variable(
            tf.zeros([rows, *(0 if size is None else size for size in shape)], dtype),
            shape=[None if self.capacity is None else rows, *shape],
            trainable=False,
            name=name,
        )

    def write(self, *columns):
        """Puts a batch in; where it is longer than a ring, its last rows."""
        if self.capacity is not None:
            columns = [column[-self.capacity :] for column in columns]
        n = tf.shape(columns[0], out_type=tf.int64)[0]
        start = tf.convert_to_tensor(self._written)
        slots = start + tf.range(n)
        if self.capacity is None:
            size = tf.shape(self._columns[-1], out_type=tf.int64)[0]
            tf.cond(
                start + n > size,
                lambda: self._grow(columns, start, tf.maximum(2 * size, start + n)),
                lambda: False,
            )
        else:
            slots %= self.capacity
        for variable, column in zip(self._columns, columns, strict=True):
            variable.scatter_update(tf.IndexedSlices(column, slots))
        self._written.assign_add(n)

    def _grow(self, columns, filled, size):
        for variable, column in zip(self._columns, columns, strict=True):
            row = tf.shape(column, out_type=tf.int64)[1:]
            old = tf.reshape(variable[:filled], tf.concat([[filled], row], 0))
            new = tf.zeros(tf.concat([[size - filled], row], 0), column.dtype)
            variable.assign(tf.concat([old, new], 0))
        return True

    def count(self):
        """How many rows there are."""
        written = tf.convert_to_tensor(self._written)
        return written if self.capacity is None else tf.minimum(written, self.capacity)

    def read(self, count=None):
        """The first `count` rows, by default all there are, of each column."""
        rows = tf.range(self.count() if count is None else count)
        # Gathers, where a slice would first copy the whole variable.
        return [tf.gather(variable, rows) for variable in self._columns]

    def clear(self):
        if self.built:
            self._written.assign(0)

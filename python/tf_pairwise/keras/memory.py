"""A cross-batch memory: the embeddings of earlier batches, as more positives and negatives."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_pairwise import _arguments, _tensors
from tf_pairwise._types import TensorLike
from tf_pairwise.keras import _inputs
from tf_pairwise.keras._rows import Rows


@_inputs.register
class CrossBatchMemory:
    """The last `size` embeddings of earlier batches and their labels (XBM, Wang et al. 2020).

    Embeddings drift slowly once training has settled, so those of earlier batches still serve as
    positives and negatives, as constants, and a small batch has as many pairs as a large one.
    As the `memory` of a loss over labelled batches, in a training step each anchor's positives
    and negatives are the others of its batch (with gradients to both sides) and the memory's;
    then the batch is put into it, in place of the oldest. In evaluation, where no tape records,
    the memory is neither read nor written, and the loss is the batch's own.

    For a training loop of one's own:

      refs, ref_labels = memory.read()
      loss = tpw.batch_contrastive_loss(
          embeddings, labels,
          ref_embeddings=tf.concat([embeddings, refs], 0),
          ref_labels=tf.concat([labels, ref_labels], 0),
          self_offset=0)
      memory.write(embeddings, labels)

    The embeddings are kept as they come, halves as halves: size (d + 2) numbers or so, in
    variables that are made when the first batch comes. They are not saved with a model: training
    that is taken up again fills the memory anew. It works in eager mode and in tf.function, not
    with XLA (the filled part's size is not static) nor under a tf.distribute strategy with more
    than one replica.

    Args:
      size: how many embeddings it keeps, a Python integer, 1 or more.
      warmup: how many batches are written before it is read, for the time in which embeddings
        still drift fast: a Python integer, 0 or more.
      dimensions: d, where it is to be fixed, or is not known while a graph is traced.
      dtype: of the embeddings, where it is to be fixed.

    Raises:
      ValueError, TypeError: a bad option; embeddings that are not [n, d] of the first batch's d
        and dtype.
      RuntimeError: used with XLA, or by several replicas.

    Examples:
      >>> memory = tpw.keras.CrossBatchMemory(3)
      >>> memory.write(tf.ones([2, 4]), [0, 1])
      >>> memory.write(tf.zeros([2, 4]), [2, 3])
      >>> embeddings, labels = memory.read()
      >>> print(embeddings.shape, sorted(labels.numpy().tolist()))
      (3, 4) [1, 2, 3]
    """

    def __init__(
        self, size: int, warmup: int = 0, dimensions: int | None = None, dtype: Any = None
    ) -> None:
        self.size = _arguments.integer("size", size, least=1)
        self.warmup = _arguments.integer("warmup", warmup, least=0)
        self.dimensions = (
            None if dimensions is None else _arguments.integer("dimensions", dimensions, least=1)
        )
        self.dtype = None if dtype is None else tf.as_dtype(dtype).name
        if dtype is not None and tf.as_dtype(dtype) not in _tensors.DTYPES:
            raise TypeError(
                f"dtype: got {self.dtype}, expected float16, bfloat16, float32 or float64"
            )
        self._rows = Rows(self.size)
        self._batches = self._d = self._dtype = None

    def read(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Its embeddings [m, d] and labels, int64 [m]; m is 0 in the warm-up."""
        self._expect_dynamic()
        if not self._rows.built:
            if self.dimensions is None:
                raise ValueError(
                    "dimensions: got None, and nothing was written, expected the embeddings' d "
                    "for a memory that is read before it is written"
                )
            self._build(self.dimensions, tf.as_dtype(self.dtype or "float32"))
        warm = tf.convert_to_tensor(self._batches) >= self.warmup
        count = tf.where(warm, self._rows.count(), tf.constant(0, tf.int64))
        return tuple(self._rows.read(count))

    def write(self, embeddings: TensorLike, labels: TensorLike) -> None:
        """Puts a batch in: embeddings [n, d], and labels [n] or [n, 1] of any integer dtype."""
        self._expect_dynamic()
        embeddings = tf.stop_gradient(self._expected(embeddings))
        labels = _inputs.flat_labels(_tensors.labels("labels", labels), embeddings)
        self._rows.write(embeddings, labels)
        self._batches.assign_add(1)

    def with_batch(self, embeddings: TensorLike, labels: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch, then what `read` gives: the references of a training step."""
        self._expect_dynamic()
        embeddings = self._expected(embeddings)
        refs, ref_labels = self.read()
        labels = _inputs.flat_labels(_tensors.labels("labels", labels), embeddings)
        return tf.concat([embeddings, refs], 0), tf.concat([labels, ref_labels], 0)

    def reset_state(self) -> None:
        """Empties it, and starts the warm-up again."""
        self._rows.clear()
        if self._batches is not None:
            self._batches.assign(0)

    def get_config(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "warmup": self.warmup,
            "dimensions": self.dimensions,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def _build(self, dimensions, dtype):
        with tf.init_scope():
            self._batches = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._d, self._dtype = dimensions, dtype
        self._rows.build([("embeddings", dtype, [dimensions]), ("labels", tf.int64, [])])

    def _expected(self, embeddings):
        """Embeddings that fit into the memory, which is made if they are the first."""
        embeddings = _tensors.points("embeddings", embeddings)
        shape = embeddings.shape
        if shape.rank not in (2, None):
            raise ValueError(f"embeddings: got shape {shape}, expected [n, d]")
        came = None if shape.rank is None else shape[1]
        if not self._rows.built:
            dimensions = came if self.dimensions is None else self.dimensions
            if dimensions is None:
                raise ValueError(
                    f"dimensions: got None, and embeddings of shape {shape} while a graph is "
                    "traced, expected the embeddings' d"
                )
            self._build(dimensions, tf.as_dtype(self.dtype or embeddings.dtype))
        if came not in (None, self._d):
            raise ValueError(
                f"embeddings: got shape {shape}, expected [n, {self._d}] as the memory's"
            )
        if embeddings.dtype != self._dtype:
            raise TypeError(
                f"embeddings: got {embeddings.dtype.name}, expected {self._dtype.name} as the "
                "memory's"
            )
        return embeddings

    @staticmethod
    def _expect_dynamic():
        what = None
        if _inputs.compiled_by_xla():
            what = "XLA, which wants static shapes (compile with jit_compile=False)"
        elif _inputs.in_replica_of_several():
            what = f"a tf.distribute strategy of {_inputs.replicas()} replicas"
        if what is not None:
            raise RuntimeError(
                f"CrossBatchMemory: used under {what}, expected one replica without XLA"
            )

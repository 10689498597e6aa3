"""A callback that evaluates embeddings as a whole at the end of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_pairwise import _arguments


class EvaluateEmbeddings(keras.callbacks.Callback):
    """Puts metrics of the model's predictions for `x` into the logs of each epoch.

    At the end of an epoch the model predicts x, the metrics are reset and updated with y and all
    predictions at once, and their results are put into the epoch's logs as prefix + name: the
    history has them, and EarlyStopping or ModelCheckpoint can monitor them, if they come after
    this in the list of callbacks. It costs a `predict` and the metrics, and keeps the predictions
    of x at once. Works with every metric of y_true and y_pred, and under every tf.distribute
    strategy, where a metric of the whole epoch cannot be given to `compile`.

    Args:
      x: what `model.predict` takes; or, without y, batches (x, y) or (x, y, sample_weight): a
        finite tf.data.Dataset, a keras.utils.PyDataset or another iterable that can be iterated
        at each epoch. Each batch is read once, so that a dataset may shuffle.
      y: the labels (relevance) of x, of the type the metrics take; None where x has them.
      metrics: a Keras metric or a list of them, used by nothing else.
      prefix: of the names in the logs.
      batch_size: of `predict`; for arrays alone.
      sample_weight: given to the metrics; for arrays alone.
      gallery: (x, y) as above, or batches of those: what the metrics search in, in place of x
        itself; for metrics that have `set_gallery`. It is predicted as often as x.
      every_n_epochs: how often: at the end of the epochs number n, 2 n, ... In the others the
        logs have none of it.

    Raises:
      ValueError, TypeError: what is not of these.

    Examples:
      >>> x, y = tf.random.normal([20, 3]), tf.range(20) % 4
      >>> model = keras.Sequential([keras.Input([3]), keras.layers.Dense(2)])
      >>> model.compile("sgd", tpw.keras.losses.NTXentLoss())
      >>> follow = tpw.keras.callbacks.EvaluateEmbeddings(x, y, tpw.keras.metrics.RecallAtK(1))
      >>> sorted(model.fit(x, y, callbacks=[follow], verbose=0).history)
      ['loss', 'val_recall_at_1']
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        metrics: keras.metrics.Metric | Sequence[keras.metrics.Metric] = (),
        prefix: str = "val_",
        batch_size: int | None = None,
        sample_weight: Any = None,
        *,
        gallery: Any = None,
        every_n_epochs: int = 1,
    ) -> None:
        super().__init__()
        self.metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        for metric in self.metrics:
            if not isinstance(metric, keras.metrics.Metric):
                raise TypeError(f"metrics: got {metric!r}, expected keras.metrics.Metric instances")
            if gallery is not None and not hasattr(metric, "set_gallery"):
                raise TypeError(
                    f"gallery: got one with the metric {metric.name}, expected metrics of retrieval"
                )
        if not self.metrics:
            raise ValueError("metrics: got none, expected one or more")
        self._data = _Data("x", x, y, sample_weight, batch_size)
        if isinstance(gallery, (tuple, list)) and len(gallery) == 2:
            self._gallery = _Data("gallery", *gallery, None, batch_size)
        else:
            self._gallery = None if gallery is None else _Data("gallery", gallery)
        self.prefix = prefix
        self.every_n_epochs = _arguments.integer("every_n_epochs", every_n_epochs, least=1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predicts, computes the metrics, and puts them into the logs."""
        if (epoch + 1) % self.every_n_epochs:
            return
        gallery = None if self._gallery is None else self._gallery.predicted_by(self.model)
        y, predictions, sample_weight = self._data.predicted_by(self.model)
        for metric in self.metrics:
            metric.reset_state()
            if gallery is not None:
                metric.set_gallery(*gallery[:2])
            metric.update_state(y, predictions, sample_weight=sample_weight)
            if logs is not None:
                logs[self.prefix + metric.name] = float(metric.result())


class _Data:
    """What is predicted, and its labels: arrays, or batches that have both."""

    def __init__(self, name, x, y=None, sample_weight=None, batch_size=None):
        self._x, self._y, self._sample_weight = x, y, sample_weight
        self._batch_size, self._name = batch_size, name
        if y is not None:
            if isinstance(x, tf.data.Dataset):
                raise ValueError(f"y: got labels with {name} a dataset, expected None: it has them")
            return
        if not hasattr(x, "__iter__") and not hasattr(x, "__getitem__") or _is_array(x):
            raise TypeError(
                f"{name}: got {type(x).__name__} without y, expected labels with it, or batches "
                "(x, y)"
            )
        if sample_weight is not None:
            raise ValueError(
                "sample_weight: got weights with batches, expected None: they have them"
            )
        if isinstance(x, tf.data.Dataset) and x.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(f"{name}: got a dataset without an end, expected {name}.take(n)")

    def predicted_by(self, model):
        """(labels, predictions, sample weights or None)"""
        if self._y is not None:
            predictions = model.predict(self._x, batch_size=self._batch_size, verbose=0)
            return self._y, predictions, self._sample_weight
        columns = [], [], []
        for batch in _batches(self._x):
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
            if y is None:
                raise ValueError(f"{self._name}: got batches without labels, expected (x, y)")
            made = (y, model.predict_on_batch(x), sample_weight)
            for column, part in zip(columns, made, strict=True):
                if part is not None:
                    column.append(np.asarray(part))
        if not columns[0]:
            raise ValueError(f"{self._name}: got no batch, expected one or more")
        y, predictions, sample_weight = columns
        weights = np.concatenate(sample_weight) if sample_weight else None
        return np.concatenate(y), np.concatenate(predictions), weights


def _batches(x):
    """One after another; of a PyDataset those of an epoch."""
    if isinstance(x, keras.utils.PyDataset):
        for i in range(x.num_batches):
            yield x[i]
        x.on_epoch_end()
    else:
        yield from x


def _is_array(x):
    return isinstance(x, np.ndarray) or tf.is_tensor(x)

"""A callback that evaluates embeddings as a whole at the end of each epoch."""

import keras


class EvaluateEmbeddings(keras.callbacks.Callback):
    """Puts metrics of the model's predictions for `x` into the logs of each epoch.

    At the end of an epoch the model predicts x, the metrics are reset and updated with y and all
    predictions at once, and their results are put into the epoch's logs as prefix + name: the
    history has them, and EarlyStopping or ModelCheckpoint can monitor them, if they come after
    this in the list of callbacks. It costs a `predict` and the metrics, and keeps the predictions
    of x at once. Works with every metric of y_true and y_pred, and under every tf.distribute
    strategy, where a metric of the whole epoch cannot be given to `compile`.

    Args:
      x: what `model.predict` takes.
      y: the labels (relevance) of x, of the type the metrics take.
      metrics: a Keras metric or a list of them, used by nothing else.
      prefix: of the names in the logs.
      batch_size: of `predict`.
      sample_weight: given to the metrics.
    """

    def __init__(self, x, y, metrics, prefix="val_", batch_size=None, sample_weight=None):
        super().__init__()
        self.metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        for metric in self.metrics:
            if not isinstance(metric, keras.metrics.Metric):
                raise TypeError(f"metrics: got {metric!r}, expected keras.metrics.Metric instances")
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.prefix, self.batch_size = prefix, batch_size

    def on_epoch_end(self, epoch, logs=None):
        predictions = self.model.predict(self.x, batch_size=self.batch_size, verbose=0)
        for metric in self.metrics:
            metric.reset_state()
            metric.update_state(self.y, predictions, sample_weight=self.sample_weight)
            if logs is not None:
                logs[self.prefix + metric.name] = float(metric.result())

"""Global-batch losses under MultiWorkerMirroredStrategy: what each of the workers does.

test_distribute.py starts two of these, TF_CONFIG saying which is which. Each checks its own rows'
gradients, and the sums over both, against the plain function on the whole batch.
"""

import contextlib

import numpy as np
import tensorflow as tf

STRATEGY = tf.distribute.MultiWorkerMirroredStrategy()  # before anything else starts TensorFlow

import inputs  # noqa: E402
import keras  # noqa: E402
from checks import assert_close, to_float64  # noqa: E402

import tf_pairwise as tpw  # noqa: E402

WORKER = STRATEGY.cluster_resolver.task_id


def own_rows(sizes):
    first = sum(sizes[:WORKER])
    return slice(first, first + sizes[WORKER])


def check(name, sizes, options, dtype=tf.float64, tolerance=1e-10):
    x, labels = inputs.batch(sum(sizes), 6, 4)
    x = tf.cast(x, dtype)
    weights = inputs.weights(len(x), dtype=np.float64)
    shared = tf.cast(inputs.points(6, 5, scale=0.4), dtype)
    own = own_rows(sizes)

    def loss(module, shared, x, labels, weights):
        embeddings = x @ shared
        others = tf.sin(2 * embeddings) if name == "info_nce_loss" else labels
        value = getattr(module, name)(embeddings, others, sample_weight=weights, **options)
        return tf.reduce_sum(value)

    @tf.function
    def step(*rows):
        def replica(x, *rows):
            with tf.GradientTape() as tape:
                tape.watch([shared, x])
                value = loss(tpw.distribute, shared, x, *rows)
            return value, *tape.gradient(value, [shared, x])

        value, of_shared, of_rows = STRATEGY.run(replica, rows)
        return *(STRATEGY.reduce("SUM", each, axis=None) for each in (value, of_shared)), of_rows

    made = step(x[own], *(tf.constant(rows[own]) for rows in (labels, weights)))
    with tf.GradientTape() as tape:
        tape.watch([shared, x])
        value = loss(tpw, shared, x, labels, weights)
    expected = value, *tape.gradient(value, [shared, x])
    assert np.any(expected[0]) and np.any(expected[1])
    for what, a, b in zip(("loss", "shared"), made, expected, strict=False):
        assert_close(to_float64(a), to_float64(b), tolerance, f"{what} of {name}, {sizes}")
    scale = np.max(np.abs(to_float64(expected[2])))
    np.testing.assert_allclose(
        to_float64(made[2]), to_float64(expected[2][own]), tolerance, tolerance * scale
    )
    print("same:", name, sizes, options, dtype.name, flush=True)


def check_many_steps():
    """Several losses in one step, and their collectives: in the same order on both workers."""
    x, labels = inputs.batch(24, 6, 4)
    own = own_rows((10, 14))

    def losses(module, x, labels):
        return [
            module.batch_triplet_loss(x, labels, mining="all"),
            module.batch_contrastive_loss(x, labels, reduction="balanced_mean"),
            module.batch_triplet_loss(2 * x, labels, reduction="sum"),
            module.info_nce_loss(x, 2 * x),
        ]

    @tf.function
    def step(x, labels):
        def replica(x, labels):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = tf.add_n(losses(tpw.distribute, x, labels))
            return tape.gradient(value, x)

        return STRATEGY.run(replica, (x, labels))

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.add_n(losses(tpw, x, labels))
    expected = tape.gradient(value, x)[own]
    for _ in range(50):
        made = step(x[own], tf.constant(labels[own]))
    assert_close(made, expected, 2e-5)
    print("same: many steps", flush=True)


class Model(keras.Sequential):
    """What Keras 3 can fit under this strategy (https://github.com/keras-team/keras/issues/20585).

    It averages metrics over their first dimension, which they have to have, then. And the model has
    to be made outside of the strategy's scope, but its variables inside: in the scope, it would
    reduce a tuple of PerReplica values, to see what the data are.
    """

    def compute_metrics(self, *args, **kwargs):
        metrics = super().compute_metrics(*args, **kwargs)
        return {name: tf.reshape(value, [1]) for name, value in metrics.items()}


def fitted(strategy):
    x, labels = inputs.batch(40, 6, 4)

    def loss(labels, embeddings):
        return tpw.distribute.batch_triplet_loss(embeddings, tf.cast(labels, tf.int64))

    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)]
    model = Model(layers) if strategy else keras.Sequential(layers)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model.build([None, 6])
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
        # TensorFlow gives each worker its half of every batch.
        data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(20)
        history = model.fit(data, epochs=3, verbose=0).history["loss"]
    return np.concatenate([x.ravel() for x in model.get_weights()]), history


def check_fit():
    for made, expected in zip(fitted(STRATEGY), fitted(None), strict=True):
        assert_close(made, expected, 2e-5)
    print("same: fit", flush=True)


if __name__ == "__main__":
    assert STRATEGY.num_replicas_in_sync == 2
    check("batch_triplet_loss", (12, 12), {})
    check("batch_triplet_loss", (9, 15), {"mining": "all", "reduction": "mean_nonzero"})
    check("batch_contrastive_loss", (13, 0), {})
    check("batch_contrastive_loss", (9, 15), {"reduction": "none"})
    check("nt_xent_loss", (9, 15), {})
    check("info_nce_loss", (9, 15), {"symmetric": True})
    check("batch_triplet_loss", (9, 15), {}, tf.bfloat16, 3e-2)
    check_many_steps()
    check_fit()

"""Global-batch losses under MirroredStrategy, on logical CPU devices, or on GPUs with DEVICES=GPU.

Those have to be there before TensorFlow starts, and a process cannot have two strategies on some
of the same devices (their collectives have the same keys), so test_distribute.py runs this file
in processes of their own: `REPLICAS=2 pytest tests/distribute_mirrored.py`.
"""

import contextlib
import functools
import os
import resource

import inputs
import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import assert_close, to_float64

import tf_pairwise as tpw

REPLICAS = int(os.environ.get("REPLICAS", 2))
DEVICES = os.environ.get("DEVICES", "CPU")
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
)
STRATEGY = tf.distribute.MirroredStrategy([f"{DEVICES}:{i}" for i in range(REPLICAS)])

# Local batch sizes: equal, unequal, empty.
SIZES = {2: ((12, 12), (9, 15), (0, 13)), 3: ((8, 8, 8), (8, 0, 13), (0, 0, 11))}[REPLICAS]


def distributed(values, sizes):
    """A PerReplica of the consecutive parts of `values`."""
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return STRATEGY.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )


def global_value_and_gradients(function, sizes, shared, *rows):
    """`function(shared, *rows)` in the replicas, which are given their own rows.

    Returns the sum of the values (concatenated where they are not scalars), of their
    gradients for shared, and the concatenated gradient for the first of the rows.
    """

    @tf.function
    def step(*rows):
        def replica(*rows):
            sources = [shared, rows[0]]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                value = function(shared, *rows)
            return value, *tape.gradient(value, sources)

        return STRATEGY.run(replica, rows)

    shared = tf.constant(shared)
    outputs = step(*(distributed(x, sizes) for x in rows))
    value, shared_gradient, gradient = (
        [to_float64(x) for x in STRATEGY.experimental_local_results(each)] for each in outputs
    )
    return (
        np.concatenate(value) if value[0].ndim else sum(value),
        sum(shared_gradient),
        np.concatenate(gradient),
    )


def whole_value_and_gradients(function, shared, *rows):
    rows = [tf.constant(x) for x in rows]
    sources = [tf.constant(shared), rows[0]]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        value = function(sources[0], *rows)
    return to_float64(value), *(to_float64(x) for x in tape.gradient(value, sources))


def assert_same(name, sizes, options, dtype=tf.float64, tolerance=1e-10, weighted=False, seed=0):
    """tpw.distribute.<name> against tpw.<name>: value, gradients of rows and of a weight."""
    x, labels = inputs.batch(sum(sizes), 6, 4, seed=seed)
    labels[: sizes[0]][labels[: sizes[0]] == 1] = 55  # which the first replica alone has
    weights = inputs.weights(len(x), seed=seed)
    x = tf.cast(x, dtype).numpy()
    shared = tf.cast(inputs.points(6, 5, seed=seed, scale=0.4), dtype).numpy()

    def loss(module, shared, x, labels, weights):
        chosen = {"sample_weight": weights} if weighted else {}
        embeddings = x @ shared
        parameter = 0.3 + tf.reduce_mean(tf.square(shared))  # shared by the replicas too
        arguments = {
            "batch_triplet_loss": (embeddings, labels),
            "batch_contrastive_loss": (embeddings, labels),
            "supervised_contrastive_loss": (embeddings, labels, parameter),
            "nt_xent_loss": (embeddings, labels, parameter),
            "info_nce_loss": (embeddings, tf.sin(2 * embeddings), parameter),
            "sigmoid_contrastive_loss": (embeddings, tf.sin(2 * embeddings), parameter, -parameter),
        }
        value = getattr(module, name)(*arguments[name], **options, **chosen)
        return value * tf.cast(weights, value.dtype) if value.shape.rank else value

    rows = (x, labels, weights)
    made = global_value_and_gradients(functools.partial(loss, tpw.distribute), sizes, shared, *rows)
    expected = whole_value_and_gradients(functools.partial(loss, tpw), shared, *rows)
    if sum(sizes):
        assert all(map(np.any, expected))
    for what, a, b in zip(("loss", "shared", "rows"), made, expected, strict=True):
        assert_close(a, b, tolerance, f"{what} of {name}, {sizes}, {options}")


TRIPLET = (
    ("all", "mean"),
    ("hard", "mean"),
    ("semi_hard", "mean"),
    ("semi_hard_all", "mean"),
    ("hard_all", "mean"),
    ("semi_hard", "mean_nonzero"),
    ("all", "sum"),
    ("hard", "none"),
)
CONTRASTIVE = (
    ("mean", "euclidean"),
    ("mean", "cosine"),
    ("mean_nonzero", "euclidean"),
    ("sum", "manhattan"),
    ("none", "euclidean"),
    ("balanced_mean", "squared_euclidean"),
)
CASES = [
    *(
        ("batch_triplet_loss", {"mining": mining, "reduction": reduction, "margin": 0.4})
        for mining, reduction in TRIPLET
    ),
    *(
        ("batch_contrastive_loss", {"reduction": reduction, "metric": metric})
        for reduction, metric in CONTRASTIVE
    ),
    ("supervised_contrastive_loss", {"reduction": "mean"}),
    ("supervised_contrastive_loss", {"reduction": "none", "normalize": False}),
    ("nt_xent_loss", {"reduction": "mean"}),
    ("nt_xent_loss", {"reduction": "sum"}),
    ("info_nce_loss", {"reduction": "mean"}),
    ("info_nce_loss", {"reduction": "mean", "symmetric": True}),
    ("info_nce_loss", {"reduction": "none", "symmetric": True}),
    ("sigmoid_contrastive_loss", {"reduction": "mean"}),
    ("sigmoid_contrastive_loss", {"reduction": "sum", "normalize": False}),
]
if REPLICAS > 2:
    CASES = CASES[::4]
every_case = pytest.mark.parametrize(
    "i", range(len(CASES)), ids=lambda i: "-".join(map(str, (CASES[i][0], *CASES[i][1].values())))
)


@every_case
def test_equals_the_whole_batch(i):
    name, options = CASES[i]
    assert_same(name, SIZES[i % len(SIZES)], options, weighted=i % 3 != 1, seed=i)


# Of halves, gradients of the anchors and of the references are rounded apart, and added.
@pytest.mark.parametrize(
    "dtype, tolerance", [("float32", 2e-5), ("float16", 4e-3), ("bfloat16", 3e-2)]
)
@pytest.mark.skipif(REPLICAS > 2, reason="seen with two")
@pytest.mark.parametrize("name", ["batch_triplet_loss", "info_nce_loss"])
def test_narrower_types(name, dtype, tolerance):
    assert_same(name, SIZES[1], {"reduction": "mean"}, tf.as_dtype(dtype), tolerance)


def test_nothing_at_all():
    assert_same("batch_triplet_loss", [0] * REPLICAS, {}, tf.float32)


@pytest.mark.skipif(REPLICAS > 2, reason="seen with two")
def test_memory():
    """The n x N distances of one replica would be 75 MB."""

    def peak_mb():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def grow(n):
        x, labels = inputs.batch(n, 8, n // 4)
        sizes = [n // REPLICAS] * (REPLICAS - 1) + [n - n // REPLICAS * (REPLICAS - 1)]
        before = peak_mb()
        for name in ("batch_contrastive_loss", "nt_xent_loss"):

            def loss(shared, x, labels, name=name):
                return getattr(tpw.distribute, name)(x * shared, labels)

            made = global_value_and_gradients(loss, sizes, np.float32(1), x, labels)
            assert np.isfinite(made[0])
        return peak_mb() - before

    grow(64)
    assert grow(3072 * REPLICAS) < 40


# ---- where it is called ----


def test_plain_outside_of_replicas():
    x, labels = inputs.batch(12, 4, 3)
    expected = tpw.batch_triplet_loss(x, labels).numpy()
    assert tpw.distribute.batch_triplet_loss(x, labels).numpy() == expected
    with STRATEGY.scope():
        assert tpw.distribute.batch_triplet_loss(x, labels).numpy() == expected
    reduction = {"reduction": "balanced_mean", "metric": "dot"}
    assert (
        tpw.distribute.batch_contrastive_loss(x, labels, **reduction).numpy()
        == tpw.batch_contrastive_loss(x, labels, **reduction).numpy()
    )


def test_eager_replicas():
    x, labels = inputs.batch(sum(SIZES[1]), 4, 3)
    shares = STRATEGY.run(
        tpw.distribute.batch_contrastive_loss,
        (distributed(x, SIZES[1]), distributed(labels, SIZES[1])),
    )
    made = STRATEGY.reduce("SUM", shares, axis=None)
    assert_close(made, tpw.batch_contrastive_loss(x, labels), 1e-5)


@pytest.mark.parametrize(
    "name, options, error, message",
    [
        ("batch_triplet_loss", {"mining": "x"}, ValueError, "mining: got 'x', expected one of all"),
        ("batch_triplet_loss", {"margin": -1}, ValueError, "margin: got -1"),
        (
            "batch_contrastive_loss",
            {"reduction": "balanced_mean", "metric": "cosine"},
            ValueError,
            "reduction: got 'balanced_mean' with metric 'cosine' on several replicas",
        ),
        (
            "batch_contrastive_loss",
            {"sample_weight": np.ones(3, np.float32)},
            ValueError,
            r"sample_weight: got shape \[3\], expected \[n\] where n = ",
        ),
    ],
)
def test_errors(name, options, error, message):
    x, labels = inputs.batch(sum(SIZES[0]), 4, 3)
    rows = [distributed(values, SIZES[0]) for values in (x, labels)]

    @tf.function
    def step(*rows):
        return STRATEGY.run(
            lambda x, labels: getattr(tpw.distribute, name)(x, labels, **options), rows
        )

    with pytest.raises(error, match=message):
        step(*rows)


# ---- Keras ----


def fitted(strategy, batch_size):
    """The weights after two epochs, the losses shown, and what evaluate says."""
    x, labels = inputs.batch(40, 6, 4, dtype=np.float64)

    def loss(labels, embeddings):
        labels = tf.cast(labels, tf.int64)
        return tpw.distribute.batch_triplet_loss(embeddings, labels)

    keras.utils.set_random_seed(3)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)])
        model.build([None, 6])
        model.compile(keras.optimizers.SGD(0.1), loss)
    data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(batch_size)
    history = model.fit(data, epochs=2, verbose=0).history["loss"]
    weights = np.concatenate([x.ravel() for x in model.get_weights()])
    return weights, history, model.evaluate(data, verbose=0) if REPLICAS == 2 else None


def test_fit():
    # With three replicas, the last local batches are 6, 6 and 4.
    batch_size = {2: 20, 3: 24}[REPLICAS]
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        weights, history, evaluated = fitted(STRATEGY, batch_size)
        expected_weights, expected_history, expected_evaluated = fitted(None, batch_size)
    finally:
        keras.config.set_floatx(floatx)
    assert_close(weights, expected_weights, 1e-9)
    if REPLICAS == 2:
        assert_close(history, expected_history, 1e-9)
        assert_close(evaluated, expected_evaluated, 1e-9)


LOSSES = {
    "BatchContrastiveLoss": {},
    "BatchTripletLoss": {"mining": "all"},
    "SupervisedContrastiveLoss": {},
    "NTXentLoss": {},
    "InfoNCELoss": {"symmetric": True},
    "SigmoidContrastiveLoss": {"scale": 3.0, "bias": -1.0},
}


@pytest.mark.parametrize(
    "reduction", ["mean", "sum", "sum_over_batch_size", "mean_with_sample_weight"]
)
@pytest.mark.parametrize("name", LOSSES)
def test_keras_losses(name, reduction):
    """`global_batch=True`: the shares add up to the loss of the whole batch."""
    if REPLICAS > 2 and reduction != "mean":
        pytest.skip("seen with two")
    x, labels = inputs.batch(sum(SIZES[1]), 6, 4, dtype=np.float64)
    weights = inputs.weights(len(x), dtype=np.float64)

    def loss(shared, x, labels, weights, **options):
        of_batch = getattr(tpw.keras.losses, name)(**LOSSES[name], reduction=reduction, **options)
        y_pred = x @ shared
        if name in ("InfoNCELoss", "SigmoidContrastiveLoss"):
            y_pred = tf.stack([y_pred, tf.sin(2.0 * y_pred)], axis=1)
        return of_batch(labels, y_pred, sample_weight=weights)

    shared = inputs.points(6, 5, scale=0.4, dtype=np.float64)
    made = global_value_and_gradients(
        functools.partial(loss, global_batch=True), SIZES[1], shared, x, labels, weights
    )
    expected = whole_value_and_gradients(loss, shared, x, labels, weights)
    for a, b in zip(made, expected, strict=True):
        assert_close(a, b, 1e-10)

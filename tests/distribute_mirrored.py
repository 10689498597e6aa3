"""Global-batch losses under MirroredStrategy, on logical CPU devices.

Those have to be there before TensorFlow starts, and a process cannot have two strategies on some
of the same devices (their collectives have the same keys), so test_distribute.py runs this file
in processes of their own: `REPLICAS=2 pytest tests/distribute_mirrored.py`.
"""

import functools
import itertools
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import LOSS_TOLERANCE, assert_close, to_float64

import inputs
import tf_pairwise as tpw

REPLICAS = int(os.environ.get("REPLICAS", 2))
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * REPLICAS,
)
STRATEGY = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)])

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

    Returns the sum of the values (concatenated where they are not scalars), the gradient of each
    float argument: for shared the sum over the replicas, for rows their concatenation.
    """
    @tf.function
    def step(*rows):
        def replica(*rows):
            sources = [shared, *(x for x in rows if x.dtype.is_floating)]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                value = function(shared, *rows)
            return value, tape.gradient(value, sources)

        return STRATEGY.run(replica, rows)

    shared = tf.constant(shared)
    value, (shared_gradient, *gradients) = step(*(distributed(x, sizes) for x in rows))
    values = [to_float64(x) for x in STRATEGY.experimental_local_results(value)]
    value = np.concatenate(values) if values[0].ndim else sum(values)
    local = STRATEGY.experimental_local_results
    return (
        value,
        sum(to_float64(x) for x in local(shared_gradient)),
        *(np.concatenate([to_float64(x) for x in local(each)]) for each in gradients),
    )


def whole_value_and_gradients(function, shared, *rows):
    rows = [tf.constant(x) for x in rows]
    sources = [tf.constant(shared), *(x for x in rows if x.dtype.is_floating)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        value = function(sources[0], *rows)
    return to_float64(value), *(to_float64(x) for x in tape.gradient(value, sources))


def assert_same(name, sizes, options, dtype=tf.float64, tolerance=None, weighted=False, seed=0):
    """tpw.distribute.<name> against tpw.<name>: value, gradients of rows and of a weight."""
    x, labels = inputs.batch(sum(sizes), 6, 4, seed=seed)
    first = sizes[0]
    if len(labels) > first:
        labels[-1], labels[:first] = 77, np.where(labels[:first] == 1, 55, labels[:first])
    weights = inputs.weights(len(x), seed=seed)
    x = tf.cast(x, dtype).numpy()
    shared = tf.cast(inputs.points(6, 5, seed=seed, scale=0.4), dtype).numpy()

    def loss(module, shared, x, labels, weights):
        chosen = {"sample_weight": tf.stop_gradient(weights)} if weighted else {}
        value = getattr(module, name)(x @ shared, labels, **options, **chosen)
        return value + 0 * tf.cast(tf.reduce_sum(weights), value.dtype)  # has a gradient

    rows = (x, labels, weights)
    made = global_value_and_gradients(
        functools.partial(loss, tpw.distribute), sizes, shared, *rows
    )
    expected = whole_value_and_gradients(functools.partial(loss, tpw), shared, *rows)
    if sum(sizes) > 10:
        assert np.any(expected[0]) and np.any(expected[1]) and np.any(expected[2])
    for what, a, b in zip(("loss", "shared", "rows", "weights"), made, expected, strict=True):
        assert_close(a, b, tolerance or 1e-10, f"{what} of {name}, {sizes}, {options}")


CASES = [
    *(
        ("batch_triplet_loss", {"mining": mining, "reduction": reduction, "margin": 0.4})
        for mining, reduction in itertools.product(inputs.MININGS, inputs.REDUCTIONS)
    ),
    *(
        ("batch_contrastive_loss", {"reduction": reduction, "squared": squared})
        for reduction in (*inputs.REDUCTIONS, "balanced_mean")
        for squared in (True, False)
    ),
]


@pytest.mark.parametrize("i", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_equals_the_whole_batch(i):
    name, options = CASES[i]
    assert_same(name, SIZES[i % len(SIZES)], options, weighted=i % 3 == 0, seed=i)

"""Inside TensorFlow's loops, maps, recomputation and forward-mode differentiation."""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, inputs
from tf_pairwise import reference

BATCHES, N, D = 4, 18, 5
LABELS = inputs.labels(N, 4)
X = inputs.points(BATCHES, N, D, dtype=np.float64)


def triplet(api, x):
    return api.batch_triplet_loss(x, LABELS, 0.7, mining="all")


def contrastive(api, x):
    return api.batch_contrastive_loss(x, LABELS, ref_embeddings=x[1:], ref_labels=LABELS[1:])


def info_nce(api, x):
    return api.info_nce_loss(x, tf.sin(x), 0.5)


def ranking(api, x):
    return api.list_ranking_loss(tf.transpose(x), tf.transpose(x) ** 2, loss="hinge")


def distance(api, x):
    return tf.reduce_sum(api.pairwise_distance(x, x[::2]) ** 2)


FUNCTIONS = (triplet, contrastive, info_nce, ranking, distance)
functions = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
modes = pytest.mark.parametrize("mode", ("eager", "function", "jit"))


def run(function, mode):
    if mode == "eager":
        return function()
    return tf.function(function, autograph=False, jit_compile=mode == "jit")()


def assert_close(made, expected):
    np.testing.assert_allclose(made, expected, rtol=1e-10, atol=1e-12)


def gradient_of(function, x):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(function(x))
    return tape.gradient(value, x)


@modes
@functions
def test_map_fn(function, mode):
    def mapped(api):
        return lambda x: tf.map_fn(lambda one: function(api, one), x)

    expected = [mapped(reference)(X), gradient_of(mapped(reference), X)]
    made = run(lambda: [mapped(tpw)(X), gradient_of(mapped(tpw), X)], mode)
    for a, b in zip(made, expected, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("mode", ("eager", "function"))
@functions
def test_vectorized_map(function, mode):
    """There are no batched losses: pfor falls back to a loop, also for gradients inside."""
    expected = gradient_of(lambda x: tf.map_fn(lambda one: function(reference, one), x), X)

    def outside():
        return gradient_of(lambda x: tf.vectorized_map(lambda one: function(tpw, one), x), X)

    def inside():
        return tf.vectorized_map(lambda one: gradient_of(lambda x: function(tpw, x), one), X)

    assert_close(run(outside, mode), expected)
    assert_close(run(inside, mode), expected)


def test_vectorized_map_without_the_fallback_is_an_error():
    with pytest.raises(ValueError, match="No pfor vectorization defined for TfPairwise"):
        tf.vectorized_map(lambda one: triplet(tpw, one), X, fallback_to_while_loop=False)


@modes
@functions
def test_while_loop(function, mode):
    """Descends in a loop: a tape in the body, and a gradient through all of it."""

    def descend(api, x):
        def step(i, x):
            return i + 1, x - 0.05 * gradient_of(lambda x: function(api, x), x)

        return tf.while_loop(lambda i, x: i < 4, step, (0, tf.convert_to_tensor(x)))[1]

    assert_close(run(lambda: descend(tpw, X[0]), mode), descend(reference, X[0]))

    def through(api, x):
        def step(i, x, total):
            return i + 1, 0.9 * x, total + function(api, x)

        return tf.while_loop(lambda i, *_: i < 3, step, (0, x, tf.constant(0.0, x.dtype)))[2]

    expected = gradient_of(lambda x: through(reference, x), X[0])
    if mode == "jit":  # XLA wants to know the number of rounds for a gradient
        return
    assert_close(run(lambda: gradient_of(lambda x: through(tpw, x), X[0]), mode), expected)


@modes
@functions
def test_cond(function, mode):
    def either(api, x):
        return tf.cond(x[0, 0] > 1e9, lambda: 0.0 * tf.reduce_sum(x), lambda: function(api, x))

    expected = gradient_of(lambda x: function(reference, x), X[0])
    assert_close(run(lambda: gradient_of(lambda x: either(tpw, x), X[0]), mode), expected)


@modes
@functions
def test_recompute_grad(function, mode):
    expected = gradient_of(lambda x: function(reference, x), X[0])

    def recomputed():
        return gradient_of(tf.recompute_grad(lambda x: function(tpw, x)), X[0])

    assert_close(run(recomputed, mode), expected)


def directions_of(points):
    waves = [tf.sin(1.0 + tf.cast(tf.range(tf.size(p)), p.dtype)) for p in points]
    return [tf.reshape(wave, p.shape) for wave, p in zip(waves, points, strict=True)]


def jvp(api, call, mode):
    """The derivative in one direction, by forward-mode differentiation."""
    points = call.tensors("float64")
    directions = directions_of(points)

    def forward():
        with tf.autodiff.ForwardAccumulator(points, directions) as accumulator:
            value = call.function(api, *points)
        return accumulator.jvp(value)

    return run(forward, mode)


REDUCED = {
    name: call
    for name, call in calls.CALLS.items()
    if call.differentiable and (call.reduced or "distance" in name)
}


@pytest.mark.parametrize("mode", ("eager", "function"))
@pytest.mark.parametrize("call", REDUCED.values(), ids=REDUCED)
def test_forward_mode(call, mode):
    if call.reduced:
        points = call.tensors("float64")
        with tf.GradientTape() as tape:
            tape.watch(points)
            loss = call.function(reference, *points)
        pairs = zip(tape.gradient(loss, points), directions_of(points), strict=True)
        expected = sum(tf.reduce_sum(gradient * direction) for gradient, direction in pairs)
    else:
        expected = jvp(reference, call, "eager")
    np.testing.assert_allclose(jvp(tpw, call, mode), expected, rtol=1e-8, atol=1e-10)


def test_forward_mode_of_losses_that_are_not_reduced_is_an_error():
    call = calls.CALLS["batch_triplet_loss references none"]
    with pytest.raises(tf.errors.UnimplementedError, match="reference.batch_triplet_loss.* has it"):
        jvp(tpw, call, "eager")


@pytest.mark.parametrize("name", ("batch_triplet_loss", "batch_contrastive_loss"))
def test_jacobian(name):
    """Of losses that are not reduced: one gradient for each anchor."""

    def jacobian(api):
        x = tf.constant(X[0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            losses = getattr(api, name)(x, LABELS, reduction="none")
        return tape.jacobian(losses, x)

    assert_close(jacobian(tpw), jacobian(reference))

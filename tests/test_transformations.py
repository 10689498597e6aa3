"""Inside TensorFlow's loops, maps, recomputation and forward-mode differentiation."""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, inputs
from tf_pairwise import reference
from tf_pairwise._tensors import XLA

BATCHES, N, D = 3, 18, 5
LABELS = inputs.labels(N, 4)
X = inputs.points(BATCHES, N, D, dtype=np.float64)
REFS = dict(ref_labels=LABELS[1:], self_offset=None)

# Of points [N, D], a number each.
FUNCTIONS = {
    "pairwise_distance": lambda api, x: tf.reduce_sum(api.pairwise_distance(x, x[::2]) ** 2),
    "paired_distance": lambda api, x: tf.reduce_sum(api.paired_distance(x, tf.sin(x)) ** 2),
    "contrastive_loss": lambda api, x: api.contrastive_loss(x, tf.sin(x), LABELS % 2),
    "batch_contrastive_loss": lambda api, x: api.batch_contrastive_loss(
        x, LABELS, ref_embeddings=x[1:], **REFS
    ),
    "info_nce_loss": lambda api, x: api.info_nce_loss(x, tf.sin(x), 0.5),
    "supervised_contrastive_loss": lambda api, x: api.supervised_contrastive_loss(x, LABELS),
    "nt_xent_loss": lambda api, x: api.nt_xent_loss(x, LABELS, ref_embeddings=x[1:], **REFS),
    "sigmoid_contrastive_loss": lambda api, x: api.sigmoid_contrastive_loss(
        x, tf.sin(x), tf.reduce_mean(x) + 2.0, -1.0
    ),
    "triplet_loss": lambda api, x: api.triplet_loss(x, tf.sin(x), x[::-1], 0.7),
    "batch_triplet_loss": lambda api, x: api.batch_triplet_loss(x, LABELS, 0.7, mining="all"),
    "pairwise_ranking_loss": lambda api, x: api.pairwise_ranking_loss(x[:9], x[9:]),
    "list_ranking_loss": lambda api, x: api.list_ranking_loss(
        tf.transpose(x), tf.transpose(x) ** 2, loss="hinge"
    ),
}
WEIGHTS = np.sin(1.0 + np.arange(len(FUNCTIONS)))  # of the functions, in the gradient of all

NO_XLA = pytest.mark.skipif(not XLA, reason="TensorFlow without XLA's headers")
modes = pytest.mark.parametrize("mode", ("eager", "function", pytest.param("jit", marks=NO_XLA)))


def each(api, x):
    """The values of all functions, [FUNCTIONS]."""
    return tf.stack([function(api, x) for function in FUNCTIONS.values()])


def run(function, mode):
    if mode == "eager":
        return function()
    return tf.function(function, autograph=False, jit_compile=mode == "jit")()


def assert_close(made, expected):
    np.testing.assert_allclose(made, expected, rtol=1e-10, atol=1e-12)


def gradient_of(function, x):
    """Of the weighted sum of all functions."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(function(x) * WEIGHTS)
    return tape.gradient(value, x)


def test_all_functions_are_there():
    differentiable = {call.function for call in calls.CALLS.values() if call.differentiable}
    assert set(FUNCTIONS) == differentiable


@pytest.fixture(scope="module")
def expected_values():
    return np.stack([each(reference, x) for x in X])


@pytest.fixture(scope="module")
def expected_gradients():
    return np.stack([gradient_of(lambda x: each(reference, x), x) for x in X])


@modes
def test_map_fn(mode, expected_values, expected_gradients):
    def mapped(x):
        return tf.map_fn(lambda one: each(tpw, one), x)

    values, gradients = run(lambda: [mapped(X), gradient_of(mapped, X)], mode)
    assert_close(values, expected_values)
    assert_close(gradients, expected_gradients)


@pytest.mark.parametrize("mode, inside", (("eager", False), ("function", True)))
def test_vectorized_map(mode, inside, expected_gradients):
    """There are no batched losses: pfor falls back to a loop, also for gradients inside."""

    def mapped():
        if inside:
            return tf.vectorized_map(lambda one: gradient_of(lambda x: each(tpw, x), one), X)
        return gradient_of(lambda x: tf.vectorized_map(lambda one: each(tpw, one), x), X)

    assert_close(run(mapped, mode), expected_gradients)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vectorized_map_without_the_fallback_is_an_error(name):
    with pytest.raises(ValueError, match="No pfor vectorization defined for TfPairwise"):
        tf.vectorized_map(lambda one: FUNCTIONS[name](tpw, one), X, fallback_to_while_loop=False)


@modes
def test_while_loop(mode):
    """Descends in a loop, with a tape in the body."""

    def descend(api, x):
        def step(i, x):
            return i + 1, x - 0.002 * gradient_of(lambda x: each(api, x), x)

        return tf.while_loop(lambda i, x: i < 4, step, (0, tf.convert_to_tensor(x)))[1]

    expected = descend(reference, X[0])
    assert np.max(np.abs(expected - X[0])) > 0.01
    assert_close(run(lambda: descend(tpw, X[0]), mode), expected)


@modes
def test_gradient_through_a_while_loop(mode):
    def through(api, x):
        def step(i, x, total):
            return i + 1, 0.9 * x, total + each(api, x)

        start = 0, x, tf.zeros_like(WEIGHTS)
        # XLA wants to know how many rounds there can be.
        return tf.while_loop(lambda i, *_: i < 3, step, start, maximum_iterations=5)[2]

    expected = gradient_of(lambda x: through(reference, x), X[0])
    assert_close(run(lambda: gradient_of(lambda x: through(tpw, x), X[0]), mode), expected)


@modes
def test_cond(mode, expected_gradients):
    def either(x):
        nothing = tf.zeros_like(WEIGHTS) * x[0, 0]
        return tf.cond(x[0, 0] > 1e9, lambda: nothing, lambda: each(tpw, x))

    assert_close(run(lambda: gradient_of(either, X[0]), mode), expected_gradients[0])


@modes
def test_recompute_grad(mode, expected_gradients):
    if mode == "eager" and tf.__version__.startswith("2.19."):
        pytest.skip("TensorFlow 2.19 recomputes in graphs alone")

    def recomputed():
        return gradient_of(tf.recompute_grad(lambda x: each(tpw, x)), X[0])

    assert_close(run(recomputed, mode), expected_gradients[0])


# ---- forward mode, and one gradient for each row ----


def directions_of(points):
    waves = [tf.sin(1.0 + tf.cast(tf.range(tf.size(p)), p.dtype)) for p in points]
    return [tf.reshape(wave, p.shape) for wave, p in zip(waves, points, strict=True)]


def jvp(api, call, mode, **changed):
    """The derivative in one direction, by forward-mode differentiation."""
    points = call.tensors("float64")
    directions = directions_of(points)

    def forward():
        with tf.autodiff.ForwardAccumulator(points, directions) as accumulator:
            value = call(api, *points, **changed)
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
        gradients = calls.run(reference, call, points)[1:]
        pairs = zip(gradients, directions_of(points), strict=True)
        expected = sum(tf.reduce_sum(gradient * direction) for gradient, direction in pairs)
    else:
        expected = jvp(reference, call, "eager")
    np.testing.assert_allclose(jvp(tpw, call, mode), expected, rtol=1e-8, atol=1e-10)


LOSSES = calls.one_of_each(lambda call: call.reduction is not None)
losses = pytest.mark.parametrize("call", LOSSES.values(), ids=LOSSES)


@losses
def test_forward_mode_of_losses_that_are_not_reduced_is_an_error(call):
    with pytest.raises(tf.errors.UnimplementedError, match=f"reference.{call.function}.* has it"):
        jvp(tpw, call, "eager", reduction="none")


@losses
def test_jacobian(call):
    """Of losses that are not reduced: one gradient for each row."""
    call = calls.table(n=6, m=8, d=3, classes=2, lists=4, length=3)[call.name]

    def jacobian(api):
        points = call.tensors("float64")
        with tf.GradientTape() as tape:
            tape.watch(points)
            values = call(api, *points, reduction="none")
        return tape.jacobian(values, points)

    for made, expected in zip(jacobian(tpw), jacobian(reference), strict=True):
        assert np.any(expected)
        assert_close(made, expected)

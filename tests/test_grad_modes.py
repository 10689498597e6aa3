"""The ways a gradient is asked for: tapes and functions around each other, saved models."""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import inputs
from tf_pairwise import reference

N, D = 12, 5


def _triplet(api, x, y, z, **options):
    return api.triplet_loss(x, y, z, margin=0.7, **options)


def _batch(api, x, y, z, **options):
    labels = inputs.labels(N, 4)
    return api.batch_triplet_loss(x, labels, margin=0.7, mining="all", **options)


def _batch_refs(api, x, y, z, **options):
    labels = inputs.labels(N, 4)
    refs = {"ref_embeddings": tf.concat([y, z], 0), "ref_labels": np.tile(labels, 2)}
    return api.batch_triplet_loss(x, labels, margin=0.7, mining="all", **refs, **options)


def _pairwise(api, x, y, z, **options):
    return api.pairwise_distance(tf.concat([x, z], 0), y)


def _itself(api, x, y, z, **options):
    return api.pairwise_distance(tf.stack([x, y, z]))


def _paired(api, x, y, z, **options):
    return api.paired_distance(x, y)


LOSSES = (_triplet, _batch, _batch_refs)
DISTANCES = (_pairwise, _itself, _paired)


def _points(dtype=tf.float64):
    return [tf.constant(inputs.points(N, D, seed=seed), dtype) for seed in range(3)]


def _plain(function, points):
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = function(*points)
    return value, tape.gradient(value, points)


def _persistent_inside(function, points):
    """The gradient is taken while the tape still records."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(points)
        value = function(*points)
        return value, tape.gradient(value, points)


def _nested(function, points):
    """An outer tape sees the inner one's gradient, and is asked for a first derivative."""
    with tf.GradientTape() as outer:
        outer.watch(points)
        with tf.GradientTape() as inner:
            inner.watch(points)
            value = function(*points)
        inner_gradient = inner.gradient(value, points)
    gradient = outer.gradient(value, points)
    for a, b in zip(inner_gradient, gradient, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
    return value, gradient


def _inside_function(function, points):
    value, gradient = tf.function(lambda *p: _plain(function, list(p)))(*points)
    return value, gradient


def _around_function(function, points):
    return _plain(tf.function(function), points)


def _persistent_around_function(function, points):
    return _persistent_inside(tf.function(function), points)


def _nested_around_function(function, points):
    return _nested(tf.function(function), points)


def _graph_gradients(function, points):
    @tf.function
    def both(*p):
        value = function(*p)
        return value, tf.gradients(value, list(p))

    return both(*points)


def _unknown_shapes(function, points):
    signature = [tf.TensorSpec(None, p.dtype) for p in points]
    return _plain(tf.function(function, input_signature=signature), points)


MODES = (
    _plain,
    _persistent_inside,
    _nested,
    _inside_function,
    _around_function,
    _persistent_around_function,
    _nested_around_function,
    _graph_gradients,
    _unknown_shapes,
)


def _assert_close(came, expected, tolerance=1e-12):
    assert (came is None) == (expected is None)
    if came is not None:
        assert came.dtype == expected.dtype
        np.testing.assert_allclose(came, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__[1:])
@pytest.mark.parametrize("call", LOSSES + DISTANCES, ids=lambda call: call.__name__[1:])
def test_first_derivatives(call, mode):
    points = _points()
    value, gradient = mode(lambda *p: call(tpw, *p), points)
    expected_value, expected = _plain(lambda *p: call(reference, *p), points)
    _assert_close(value, expected_value)
    for came, wanted in zip(gradient, expected, strict=True):
        _assert_close(came, wanted)


@pytest.mark.parametrize(
    "mode", (_plain, _inside_function, _around_function), ids=lambda mode: mode.__name__[1:]
)
@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
@pytest.mark.parametrize("call", LOSSES, ids=lambda call: call.__name__[1:])
def test_upstream_and_weights(call, reduction, mode):
    """Where the loss is not the end: it is scaled, squared, weighted."""
    points = _points()
    weights = inputs.weights(N)

    def chain(api):
        def function(*p):
            loss = call(api, *p, reduction=reduction, sample_weight=weights)
            return tf.reduce_sum(tf.square(3.0 * loss + 1.0))

        return function

    value, gradient = mode(chain(tpw), points)
    expected_value, expected = _plain(chain(reference), points)
    _assert_close(value, expected_value)
    for came, wanted in zip(gradient, expected, strict=True):
        _assert_close(came, wanted)


@pytest.mark.parametrize("dtype", (tf.float16, tf.bfloat16), ids=("float16", "bfloat16"))
@pytest.mark.parametrize("reduction", ("none", "mean"))
@pytest.mark.parametrize("call", LOSSES, ids=lambda call: call.__name__[1:])
def test_halves(call, reduction, dtype):
    """A float32 loss, gradients in the points' type, saved or made anew; scaled before rounding."""
    points = _points(dtype)

    def function(*p):
        return 65536.0 * tf.reduce_sum(call(tpw, *p, reduction=reduction)) / 65536.0

    value, gradient = _plain(function, points)
    again, gradient_again = _around_function(function, points)
    wide = [tf.cast(p, tf.float32) for p in points]
    expected_value, expected = _plain(
        lambda *p: tf.reduce_sum(call(reference, *p, reduction=reduction)), wide
    )
    assert value.dtype == tf.float32
    _assert_close(value, expected_value, 1e-5)
    np.testing.assert_array_equal(value, again)
    for came, came_again, wanted in zip(gradient, gradient_again, expected, strict=True):
        assert (came is None) == (wanted is None)
        if came is None:
            continue
        assert came.dtype == dtype
        np.testing.assert_array_equal(came, came_again)
        tolerance = 1e-2 if dtype == tf.bfloat16 else 2e-3
        np.testing.assert_allclose(tf.cast(came, tf.float32), wanted, tolerance, tolerance)


@pytest.mark.parametrize("call", LOSSES, ids=lambda call: call.__name__[1:])
def test_with_and_without_a_saved_gradient_are_the_same_bits(call):
    points = _points(tf.float32)
    _, saved = _plain(lambda *p: call(tpw, *p), points)
    _, anew = _around_function(lambda *p: call(tpw, *p), points)
    for a, b in zip(saved, anew, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


def _second(function, points):
    """The gradient of a sum of squares of the gradient."""
    with tf.GradientTape() as outer:
        outer.watch(points)
        with tf.GradientTape() as inner:
            inner.watch(points)
            value = tf.reduce_sum(tf.square(function(*points)))
        gradient = [g for g in inner.gradient(value, points) if g is not None]
        squares = tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradient])
    return outer.gradient(squares, points)


def _second_inside_function(function, points):
    return tf.function(lambda *p: _second(function, list(p)))(*points)


def _second_around_function(function, points):
    return _second(tf.function(function), points)


SECONDS = (_second, _second_inside_function, _second_around_function)


@pytest.mark.parametrize("mode", SECONDS, ids=lambda mode: mode.__name__[1:])
@pytest.mark.parametrize("call", DISTANCES, ids=lambda call: call.__name__[1:])
def test_second_derivatives_of_distances(call, mode):
    points = _points()
    came = mode(lambda *p: call(tpw, *p), points)
    expected = _second(lambda *p: call(reference, *p), points)
    for a, b in zip(came, expected, strict=True):
        _assert_close(a, b, 1e-9)


@pytest.mark.parametrize("mode", SECONDS, ids=lambda mode: mode.__name__[1:])
@pytest.mark.parametrize("call", LOSSES, ids=lambda call: call.__name__[1:])
def test_second_derivatives_of_losses_are_an_error(call, mode):
    name = "triplet_loss" if call is _triplet else "batch_triplet_loss"
    with pytest.raises(tf.errors.UnimplementedError, match=f"reference.{name}.* has it"):
        mode(lambda *p: call(tpw, *p), _points())


@pytest.mark.parametrize("call", DISTANCES, ids=lambda call: call.__name__[1:])
def test_third_derivatives_are_an_error(call):
    points = _points()
    with tf.GradientTape() as tape:
        tape.watch(points)
        second = _second(lambda *p: call(tpw, *p), points)
        total = tf.add_n([tf.reduce_sum(s) for s in second if s is not None])
    with pytest.raises(tf.errors.UnimplementedError, match="no third derivative"):
        tape.gradient(total, points)


def test_sparse_upstream():
    """tf.gather's gradient is IndexedSlices."""
    x, y, _ = _points()
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(tf.gather(tpw.pairwise_distance(x, y), [1, 1, 4]))
    with tf.GradientTape() as expected:
        expected.watch(x)
        wanted = tf.reduce_sum(tf.gather(reference.pairwise_distance(x, y), [1, 1, 4]))
    _assert_close(tape.gradient(value, x), expected.gradient(wanted, x))


def test_labels_and_weights_have_no_gradient():
    x, _, _ = _points()
    weights = tf.Variable(inputs.weights(N))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tpw.batch_triplet_loss(x, inputs.labels(N, 4), sample_weight=weights)
    gradient, weights_gradient = tape.gradient(loss, [x, weights])
    assert weights_gradient is None
    assert np.any(gradient.numpy())


@pytest.mark.parametrize("call", LOSSES, ids=lambda call: call.__name__[1:])
def test_a_saved_model_trains_on(call, tmp_path):
    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(inputs.points(D, 3), dtype=tf.float32)

        @tf.function(input_signature=[tf.TensorSpec([None, D])] * 3)
        def loss(self, x, y, z):
            return call(tpw, x @ self.w, y @ self.w, z @ self.w)

    def step(model):
        with tf.GradientTape() as tape:
            loss = model.loss(*_points(tf.float32))
        return loss, tape.gradient(loss, [model.w])

    model = Model()
    loss, (gradient,) = step(model)
    tf.saved_model.save(model, str(tmp_path))
    loaded_loss, (loaded_gradient,) = step(tf.saved_model.load(str(tmp_path)))
    np.testing.assert_array_equal(loss, loaded_loss)
    np.testing.assert_array_equal(gradient, loaded_gradient)


def test_the_gradient_is_made_in_the_same_pass_where_a_tape_records():
    x, _, _ = _points()
    labels = inputs.labels(N, 4)

    def with_gradient(function):
        graph = function.get_concrete_function(x).graph
        (op,) = [o for o in graph.get_operations() if o.type == "TfPairwise>BatchTripletLoss"]
        return op.get_attr("with_gradient")

    def train(x):
        return _plain(lambda x: tpw.batch_triplet_loss(x, labels), [x])

    assert with_gradient(tf.function(train))
    assert not with_gradient(tf.function(lambda x: tpw.batch_triplet_loss(x, labels)))

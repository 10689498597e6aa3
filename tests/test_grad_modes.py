"""The ways a gradient is asked for: tapes and functions around each other, of all functions."""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, checks, inputs
from tf_pairwise import reference

SMALL = calls.table(n=12, m=15, d=5, classes=4, lists=3, length=7)


def parametrized(which):
    """A call of each function, reduced if it is a loss."""
    names = calls.one_of_each(
        lambda call: call.differentiable and which(call) and call.reduction != "none"
    )
    return pytest.mark.parametrize("call", [SMALL[name] for name in names], ids=list(names))


differentiable = parametrized(lambda call: True)
losses = parametrized(lambda call: call.reduced)
distances = parametrized(lambda call: not call.reduced)


def plain(function, points):
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = function(*points)
    return value, tape.gradient(value, points)


def persistent_inside(function, points):
    """The gradient is taken while the tape still records."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(points)
        value = function(*points)
        return value, tape.gradient(value, points)


def nested(function, points):
    """An outer tape sees the inner one's gradient, and is asked for a first derivative."""
    with tf.GradientTape() as outer:
        outer.watch(points)
        with tf.GradientTape() as inner:
            inner.watch(points)
            value = function(*points)
        inner_gradient = inner.gradient(value, points)
    gradient = outer.gradient(value, points)
    checks.assert_same_bits(inner_gradient, gradient)
    return value, gradient


def inside_function(function, points):
    return tf.function(lambda *p: plain(function, p))(*points)


def around_function(function, points):
    return plain(tf.function(function), points)


def persistent_around_function(function, points):
    return persistent_inside(tf.function(function), points)


def nested_around_function(function, points):
    return nested(tf.function(function), points)


def graph_gradients(function, points):
    @tf.function
    def both(*p):
        value = function(*p)
        return value, tf.gradients(value, list(p))

    return both(*points)


def unknown_shapes(function, points):
    signature = [tf.TensorSpec(None, p.dtype) for p in points]
    return plain(tf.function(function, input_signature=signature), points)


MODES = (
    plain,
    persistent_inside,
    nested,
    inside_function,
    around_function,
    persistent_around_function,
    nested_around_function,
    graph_gradients,
    unknown_shapes,
)


def assert_close(made, expected, tolerance=1e-11):
    for a, b in zip(tf.nest.flatten(made), tf.nest.flatten(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def of(api, call, **changed):
    return lambda *points: call(api, *points, **changed)


@differentiable
def test_first_derivatives(call):
    """In every mode those of the reference, and the same numbers in all."""
    points = call.tensors("float64")
    value, gradients = plain(of(tpw, call), points)
    expected, expected_gradients = plain(of(reference, call), points)
    assert_close([value, *gradients], [expected, *map(tf.convert_to_tensor, expected_gradients)])
    for mode in MODES[1:]:
        again, other = mode(of(tpw, call), points)
        for a, b in zip([again, *other], [value, *gradients], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=mode.__name__)


@losses
def test_with_and_without_a_saved_gradient_are_the_same_bits(call):
    """Of every reduction, and of halves: made with the loss, or in a pass of its own."""
    for dtype in ("float32", "bfloat16", "float16"):
        points = call.tensors(dtype)
        reductions = calls.REDUCTIONS[call.function]
        for reduction in reductions if dtype == "float32" else (call.reduction,):
            value, gradients = plain(of(tpw, call, reduction=reduction), points)
            again, anew = around_function(of(tpw, call, reduction=reduction), points)
            checks.assert_same_bits([again, *anew], [value, *gradients], f"{dtype} {reduction}")
            checks.assert_same_bits([call(tpw, *points, reduction=reduction)], [value])
            assert value.dtype == tf.float32
            assert [g.dtype for g in gradients] == [p.dtype for p in points]


@losses
def test_upstream_and_weights(call):
    """Where the loss is not the end: it is scaled, squared, summed."""
    points = call.tensors("float64")
    for reduction in calls.REDUCTIONS[call.function]:

        def chain(api, reduction=reduction):
            def function(*p):
                loss = call(api, *p, reduction=reduction)
                return tf.reduce_sum(tf.square(3.0 * loss + 1.0))

            return function

        value, gradients = plain(chain(reference), points)
        expected = [value, *map(tf.convert_to_tensor, gradients)]
        for mode in (plain, around_function):
            value, gradients = mode(chain(tpw), points)
            assert_close([value, *gradients], expected, 1e-10)


@losses
def test_halves_are_rounded_after_the_upstream_gradient(call):
    """1e-7 of a gradient is below float16's least; times 2^24 it is not."""
    points = call.tensors("float16")

    def scaled(api):
        def function(*p):
            loss = tf.reduce_sum(call(api, *p))
            return loss * tf.cast(tf.constant(1e-7, tf.float32), loss.dtype) * 2.0**24

        return function

    wide = [tf.cast(p, tf.float64) for p in points]
    value, gradients = plain(scaled(reference), wide)
    for mode in (plain, around_function):
        made, made_gradients = mode(scaled(tpw), points)
        checks.assert_close(made, value, 1e-5)
        for a, b in zip(made_gradients, map(tf.convert_to_tensor, gradients), strict=True):
            checks.assert_close(tf.cast(a, tf.float64), b, 2e-3)


# ---- second derivatives, and third ----


def second(function, points):
    """The gradient of a sum of squares of the gradient."""
    with tf.GradientTape() as outer:
        outer.watch(points)
        with tf.GradientTape() as inner:
            inner.watch(points)
            value = tf.reduce_sum(tf.square(function(*points)))
        squares = tf.add_n(
            [tf.reduce_sum(tf.square(g)) for g in inner.gradient(value, points) if g is not None]
        )
    return outer.gradient(squares, points)


def second_inside_function(function, points):
    return tf.function(lambda *p: second(function, p))(*points)


def second_around_function(function, points):
    return second(tf.function(function), points)


seconds = pytest.mark.parametrize(
    "mode", (second, second_inside_function, second_around_function), ids=lambda m: m.__name__
)


@seconds
@distances
def test_second_derivatives_of_distances(call, mode):
    points = call.tensors("float64")
    assert_close(
        mode(of(tpw, call), points), tf.nest.flatten(second(of(reference, call), points)), 1e-9
    )


@seconds
@losses
def test_second_derivatives_of_losses_are_an_error(call, mode):
    message = f"{call.function} has no second derivative.*reference.{call.function}.* has it"
    with pytest.raises(tf.errors.UnimplementedError, match=message):
        mode(of(tpw, call), call.tensors("float64"))


@losses
def test_second_derivatives_of_each_argument_are_an_error(call):
    """Of a parameter as of the points: never a silent None."""
    points = call.tensors("float64")
    for i in range(len(points)):
        with tf.GradientTape() as outer:
            outer.watch(points[i])
            gradient = plain(of(tpw, call), points)[1][i]
        with pytest.raises(tf.errors.UnimplementedError, match=f"{call.function} has no second"):
            outer.gradient(gradient, points[i])


@distances
def test_third_derivatives_are_an_error(call):
    points = call.tensors("float64")
    with tf.GradientTape() as tape:
        tape.watch(points)
        of_second = second(of(tpw, call), points)
        total = tf.add_n([tf.reduce_sum(s) for s in of_second])
    with pytest.raises(tf.errors.UnimplementedError, match="no third derivative"):
        tape.gradient(total, points)


# ---- what is differentiated, and when it is made ----


@differentiable
def test_each_argument_alone_has_a_gradient(call):
    """Points and parameters, where the others are constants; the same numbers."""
    points = call.tensors("float64")
    _, together = plain(of(tpw, call), points)
    for i, wanted in enumerate(together):
        with tf.GradientTape() as tape:
            tape.watch(points[i])
            value = call(tpw, *points)
        alone = tape.gradient(value, points[i])
        assert np.any(alone)
        np.testing.assert_array_equal(alone, wanted)


@losses
def test_the_gradient_is_made_in_the_same_pass_where_a_tape_records(call):
    points = call.tensors("float32")

    def with_gradient(function):
        graph = tf.function(function, autograph=False).get_concrete_function(*points).graph
        (op,) = [o for o in graph.get_operations() if o.type == f"TfPairwise>{call.op}"]
        return op.get_attr("with_gradient")

    assert with_gradient(lambda *p: plain(of(tpw, call), p))
    assert not with_gradient(lambda *p: call(tpw, *p))
    for i in range(len(points)):  # a parameter alone too
        assert with_gradient(
            lambda *p, i=i: plain(lambda x: call(tpw, *p[:i], x, *p[i + 1 :]), [p[i]])
        )


def test_sparse_upstream():
    """tf.gather's gradient is IndexedSlices."""
    x, y = (tf.constant(inputs.points(12, 5, seed=seed), tf.float64) for seed in range(2))
    _, (made,) = plain(
        lambda x: tf.reduce_sum(tf.gather(tpw.pairwise_distance(x, y), [1, 1, 4])), [x]
    )
    _, (expected,) = plain(
        lambda x: tf.reduce_sum(tf.gather(reference.pairwise_distance(x, y), [1, 1, 4])), [x]
    )
    assert_close(made, expected)

"""How the tests run a function, differentiate it and compare what it gives."""

import os
import subprocess
import sys

import numpy as np
import tensorflow as tf

# The fused ops against the float64 reference of the same (rounded) inputs. Losses of halves are
# float32, and as near as those of float32 points; what is stored in a half has its precision.
LOSS_TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "bfloat16": 2e-5, "float16": 2e-5}
STORED_TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "bfloat16": 8e-3, "float16": 1e-3}
DTYPES = tuple(LOSS_TOLERANCE)

# How a gradient comes to be asked for. The fused losses make it in the forward pass where a
# tape is recording, and in a pass of its own otherwise.
#   tape     a tape records the call
#   traced   the call is in a tf.function that was traced without a tape, and is differentiated
#            from outside
#   graph    tf.gradients in a graph
PATHS = ("tape", "traced", "graph")


def to_float64(x):
    return tf.convert_to_tensor(tf.cast(x, tf.float64)).numpy()


def value_and_gradients(function, args, upstream=None, path="tape"):
    """`function(*args)` and the gradients of sum(upstream * it), as float64 arrays."""
    args = [tf.convert_to_tensor(x) for x in args]

    def weighted(value):
        return value if upstream is None else value * tf.cast(upstream, value.dtype)

    if path == "graph":

        @tf.function
        def both(*args):
            value = function(*args)
            return value, tf.gradients(weighted(value), args)

        value, gradients = both(*args)
    else:
        if path == "traced":
            function = tf.function(function, autograph=False).get_concrete_function(*args)
        with tf.GradientTape() as tape:
            tape.watch(args)
            value = function(*args)
            weighted_value = weighted(value)
        gradients = tape.gradient(weighted_value, args)
    for x, gradient in zip(args, gradients, strict=True):
        assert gradient is not None and gradient.dtype == x.dtype and gradient.shape == x.shape
    return to_float64(value), [to_float64(g) for g in gradients]


def assert_close(made, expected, tolerance, what=""):
    """Within `tolerance` of the largest number there, or relative where that is more."""
    made, expected = np.asarray(made), np.asarray(expected)
    scale = np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))
    np.testing.assert_allclose(
        made, expected, rtol=tolerance, atol=tolerance * max(scale, 1e-20), err_msg=what
    )


def assert_gradients(function, args, tolerance=1e-6):
    """tf.test.compute_gradient in float64, small steps: the arguments are away from kinks."""
    args = [tf.constant(x, tf.float64) for x in args]
    made, seen = tf.test.compute_gradient(function, args, delta=1e-5)
    for i, (a, b) in enumerate(zip(made, seen, strict=True)):
        np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=f"argument {i}")


def in_a_new_process(code, *arguments):
    """Runs Python code that may import the tests; what came of it, the output as text."""
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([top, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

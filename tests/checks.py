"""How the tests run a function, differentiate it and compare what it gives."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tf_pairwise import _numpy, reference

# The fused ops against the float64 reference of the same (rounded) inputs. Losses of halves are
# float32, and as near as those of float32 points; what is stored in a half has its precision.
LOSS_TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "bfloat16": 2e-5, "float16": 2e-5}
STORED_TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "bfloat16": 8e-3, "float16": 1e-3}
DTYPES = tuple(LOSS_TOLERANCE)
HALVES = ("float16", "bfloat16")

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


def stored_tolerance(dtype, of_float32=6e-5):
    if dtype in HALVES:
        return 2 * STORED_TOLERANCE[dtype]
    return of_float32 if dtype == "float32" else 3 * LOSS_TOLERANCE[dtype]


def assert_like_reference(
    call,
    args,
    paths=("tape",),
    upstream=None,
    tolerance=None,
    stored=None,
    floors=None,
):
    """Value and gradients of `call(tpw)(*args)` against the reference in float64.

    `floors` are sizes of the value and of the gradients below which an error is not relative to
    them any more.
    """
    args = [tf.convert_to_tensor(x) for x in args]
    dtype = args[0].dtype.name
    wide = [tf.cast(x, tf.float64) for x in args]
    value, gradients = value_and_gradients(call(reference), wide, upstream)
    tolerance = tolerance or LOSS_TOLERANCE[dtype]
    for path in paths:
        made, made_gradients = value_and_gradients(call(tpw), args, upstream, path)
        names = ["loss", *(f"gradient {i}" for i in range(len(args)))]
        of = [tolerance, *(stored or stored_tolerance(x.dtype.name) for x in args)]
        for i, (a, b) in enumerate(zip([made, *made_gradients], [value, *gradients], strict=True)):
            name = f"{names[i]}, {dtype}, {path}"
            if floors is None:
                assert_close(a, b, of[i], name)
            else:
                scale = max(np.max(np.abs(b), initial=0.0), floors[i])
                np.testing.assert_allclose(a, b, of[i], of[i] * scale, err_msg=name)
    return value, gradients


def assert_gradients(function, args, tolerance=1e-6):
    """tf.test.compute_gradient in float64, small steps: the arguments are away from kinks."""
    args = [tf.constant(x, tf.float64) for x in args]
    made, seen = tf.test.compute_gradient(function, args, delta=1e-5)
    for i, (a, b) in enumerate(zip(made, seen, strict=True)):
        np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=f"argument {i}")


TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def in_a_new_process(code, *arguments, fails=False, path=None, folder=None, timeout=600, **more):
    """Runs Python, that has to end well or has to fail; what came of it, the output as text.

    Args:
      code: Python code, that may be indented and may import the tests, or a list of arguments of
        the interpreter.
      arguments: those of the code.
      path: folders for PYTHONPATH, by default those of the tests and what is there; with () the
        package is the installed one.
      folder: to run in.
      timeout: in seconds.
      more: environment variables.
    """
    command = ["-c", textwrap.dedent(code)] if isinstance(code, str) else code
    path = (TOP, os.environ.get("PYTHONPATH", "")) if path is None else path
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)).strip(os.pathsep)}
    done = subprocess.run(
        [sys.executable, *command, *map(str, arguments)],
        cwd=folder,
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3", **more},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr[-8000:]
    return done


def assert_same_bits(made, expected, what=""):
    """Arrays or tensors, as lists or by their names. A NaN is a NaN."""
    if isinstance(expected, dict):
        assert made.keys() == expected.keys()
        differ = [name for name in expected if not _same_bits(made[name], expected[name])]
    else:
        pairs = zip(made, expected, strict=True)
        differ = [i for i, (a, b) in enumerate(pairs) if not _same_bits(a, b)]
    assert not differ, f"{what} {differ}"


def _same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    same = a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}")
    return np.all(same | ((a != a) & (b != b)))


STEPS = """
    import pickle, sys
    from tf_pairwise import _numpy, numpy as tpn
    with open(sys.argv[1], "rb") as file:
        steps = pickle.load(file)
    if _numpy.isa() == sys.argv[3]:
        made = {name: getattr(tpn, function)(**of) for name, (function, of) in steps.items()}
        with open(sys.argv[2], "wb") as file:
            pickle.dump(made, file)
"""


def run_on(isa, steps, folder):
    """Steps (name -> a NumPy function and its arguments) on another instruction set."""
    if isa == _numpy.isa():
        pytest.skip("what all the other tests run on")
    paths = folder / "steps", folder / "made"
    paths[0].write_bytes(pickle.dumps(steps))
    in_a_new_process(STEPS, *paths, isa, TF_PAIRWISE_ISA=isa)
    if not paths[1].exists():
        pytest.skip(f"this processor has no {isa}")
    return pickle.loads(paths[1].read_bytes())

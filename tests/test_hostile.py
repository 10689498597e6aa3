"""Input that is no mistake of a sensible caller: it gets an error at once, and nothing is lost."""

import time

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls
from tf_pairwise import numpy as tpn

CALLS = calls.one_of_each()
# Without elements, so that they take no memory.
SHAPES = ([2**36, 0], [0, 2**36], [0, 2**61], [0, 2**62], [2**62, 0], [2**31, 2**31, 0])


def hostile(call, shape, make):
    """The arguments of a call whose points are all of that shape."""
    arguments = dict(call.arguments)
    for name, value in call.points.items():
        if np.ndim(value):
            arguments[name] = make(shape)
    return arguments


def at_once(function, arguments):
    """Runs what may be an error, or not, but not for long."""
    start = time.monotonic()
    try:
        function(**arguments)
    except (ValueError, TypeError, MemoryError, tf.errors.OpError) as error:
        return str(error)
    finally:
        assert time.monotonic() - start < 20
    return ""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_huge_shapes_of_nothing(call, shape):
    if shape != [2**31, 2**31, 0] and max(shape) < 2**60:  # else NumPy itself says no
        said = at_once(
            getattr(tpn, call.function), hostile(call, shape, lambda s: np.zeros(s, np.float32))
        )
        assert "got shape" in said
    for function in (getattr(tpw, call.function), tf.function(getattr(tpw, call.function))):
        said = at_once(function, hostile(call, shape, lambda s: tf.zeros(s)))
        assert "got shape" in said or "ragged" in call.name

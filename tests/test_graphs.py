"""All functions in graphs: shapes that are known when traced, in part, or only when it runs."""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, checks

OFFSETS = ("self_offset", "positive_offset")


def tensors_of(call):
    """The arguments of a call that may be tensors, by name."""
    arguments = {k: v for k, v in call.arguments.items() if isinstance(v, np.ndarray | np.generic)}
    return arguments | {k: np.int64(call.options[k]) for k in OFFSETS if k in call.options}


def traced(call, shape_of):
    """The call, of nothing but tensors, with the static shapes that `shape_of` gives them."""
    named = tensors_of(call)
    signature = [
        tf.TensorSpec(shape_of(name, np.shape(value)), tf.as_dtype(value.dtype))
        for name, value in named.items()
    ]

    @tf.function(input_signature=signature, autograph=False)
    def function(*values):
        arguments = dict(zip(named, values, strict=True))
        points = [arguments.pop(name) for name in call.points]
        return calls.run(tpw, call, points, **arguments)

    return function


@pytest.mark.parametrize("rank", ("no rank", "rank"))
@pytest.mark.parametrize("call", calls.CALLS.values(), ids=calls.CALLS)
def test_unknown_shapes(call, rank):
    """One program for every number of rows, of values and gradients; the bits of the eager call."""
    if rank == "no rank" and "row_splits" in call.options:
        pytest.skip("a RaggedTensor has a rank")
    function = traced(call, lambda _, shape: None if rank == "no rank" else [None] * len(shape))
    for some in (call, *(call.take(slice(n)) for n in (12, 1, 0) if call.rows)):
        expected = calls.run(tpw, some, some.tensors("float32"))
        checks.assert_same_bits(function(*tensors_of(some).values()), expected)


@pytest.mark.parametrize("call", calls.CALLS.values(), ids=calls.CALLS)
def test_static_shapes_are_inferred(call):
    expected = calls.run(tpw, call, call.tensors("float32"))
    made = traced(call, lambda _, shape: shape).get_concrete_function().structured_outputs
    if call.function == "mine_triplets":  # how many, only the run knows
        assert made[0].shape.as_list() == [None, 3]
    else:
        assert [a.shape for a in made] == [b.shape for b in expected]


@pytest.mark.parametrize("call", calls.CALLS.values(), ids=calls.CALLS)
def test_static_shapes_of_an_unknown_number_of_rows(call):
    rows = {*call.rows, call.weight}
    function = traced(call, lambda name, shape: [None, *shape[1:]] if name in rows else shape)
    value = function.get_concrete_function().structured_outputs[0]
    expected = call(tpw, *call.tensors("float32"))
    expected = expected[0] if isinstance(expected, tuple) else expected
    if call.reduced or not call.rows:
        assert value.shape == expected.shape
    else:
        assert value.shape.as_list() == [None, *expected.shape[1:]]

"""What functions take alike, of all functions: labels, weights, offsets, lists, defaults."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, checks
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

LABELS = ("labels", "ref_labels", "query_labels", "key_labels")
INTEGERS = [
    *(np.int8, np.uint8, np.int16, np.uint16),
    *(np.int32, np.uint32, np.int64, np.uint64),
]


def parametrized(which):
    found = calls.one_of_each(which)
    return pytest.mark.parametrize("call", found.values(), ids=found)


every_function = parametrized(lambda call: True)
labelled = parametrized(lambda call: not set(LABELS).isdisjoint(call.options))
losses = parametrized(lambda call: call.reduction)


def both(call, dtype="float32", **changed):
    """All that a call gives, of TensorFlow and of NumPy."""
    made = calls.run(tpw, call, call.tensors(dtype), **changed)
    return made, calls.run_numpy(call, call.arrays(dtype), **changed)


def labels_of(call):
    return {name: np.ravel(call.options[name]) for name in LABELS if name in call.options}


# ---- labels ----


@labelled
def test_types_and_shapes_of_labels(call):
    expected, _ = both(call)
    points = call.tensors("float32")
    for dtype in INTEGERS:
        for shape in ((-1,), (-1, 1)):
            given = {k: v.reshape(shape).astype(dtype) for k, v in labels_of(call).items()}
            for made in both(call, **given):
                checks.assert_same_bits(made, expected, dtype.__name__)
            tensors = {name: tf.constant(value) for name, value in given.items()}
            checks.assert_same_bits(calls.run(tpw, call, points, **tensors), expected)


@labelled
def test_large_labels_do_not_collide(call):
    """Of float32 past 2^24, of float64 past 2^53; and negative ones are labels."""
    given = {name: value.astype(np.int64) for name, value in labels_of(call).items()}
    similar = {"similar_label": call.options.get("similar_label", 0)}
    names = similar if call.function == "contrastive_loss" else {}
    expected, _ = both(call, **given)
    for far in (2**24, 2**53, 2**62, -(2**62)):
        moved = {name: value + far for name, value in {**given, **names}.items()}
        for made in both(call, **moved):
            checks.assert_same_bits(made, expected, str(far))


# ---- weights ----


@losses
def test_types_of_weights(call):
    """Of every real type, against the reference and the same bits."""
    weights = np.arange(np.prod(call.weights_shape)).reshape(call.weights_shape) % 4
    expected = calls.run(reference, call, call.tensors("float64"), **{call.weight: weights})
    wide, _ = both(call, "float64", **{call.weight: weights})
    for a, b in zip(wide, expected, strict=True):
        checks.assert_close(a, b, 1e-9)
    first = None
    for dtype in ("int32", "int64", "float16", "float32", "float64"):
        for made in both(call, **{call.weight: weights.astype(dtype)}):
            first = made if first is None else first
            checks.assert_same_bits(made, first, dtype)
    assert first[0].dtype == tf.float32


@losses
def test_weights_are_constants(call):
    """And so are a list's relevances: what is asked for their gradient is told None."""
    constants = {call.weight: tf.Variable(np.ones(call.weights_shape))}
    if "relevance" in call.options:
        constants["relevance"] = tf.Variable(call.options["relevance"])
    points = call.tensors("float32")
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = call(tpw, *points, **{k: v.value() for k, v in constants.items()})
    assert np.any(value)
    assert tape.gradient(value, list(constants.values())) == [None] * len(constants)


@losses
def test_a_weight_multiplies(call):
    """As many rows; weights of one are none."""
    points = call.tensors("float64")
    ones = np.ones(call.weights_shape)
    for reduction in calls.REDUCTIONS[call.function]:
        plain = calls.run(tpw, call, points, reduction=reduction, **{call.weight: None})
        weighted = calls.run(tpw, call, points, reduction=reduction, **{call.weight: ones})
        for a, b in zip(weighted, plain, strict=True):
            checks.assert_close(a, b, 1e-12, reduction)
    weights = 0.25 + np.arange(ones.size).reshape(ones.shape) % 5
    each = call(tpw, *points, reduction="none", **{call.weight: None})
    made = call(tpw, *points, reduction="none", **{call.weight: weights})
    checks.assert_close(made, each * weights, 1e-12)


# ---- offsets ----

OFFSETS = ("self_offset", "positive_offset")


@parametrized(lambda call: not set(OFFSETS).isdisjoint(call.options))
def test_offsets_of_any_integer(call):
    ((name, k),) = ((name, call.options[name]) for name in OFFSETS if name in call.options)
    expected, _ = both(call)
    points = call.tensors("float32")
    with pytest.raises(AssertionError):  # else it would not be seen which one is taken
        checks.assert_same_bits(calls.run(tpw, call, points, **{name: k - 1}), expected)
    tensors = [tf.constant(k, dtype) for dtype in (tf.int32, tf.int64)]
    for value in (np.int32(k), np.int64(k), *tensors, tf.Variable(k)):
        checks.assert_same_bits(calls.run(tpw, call, points, **{name: value}), expected)
    for value in (np.int32(k), np.int64(k)):
        made = calls.run_numpy(call, call.arrays("float32"), **{name: value})
        checks.assert_same_bits(made, expected)


# ---- lists, and what is not given ----


@every_function
def test_lists_are_arrays(call):
    """Of Python numbers: float32 to TensorFlow, float64 to NumPy."""
    listed = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in call.arguments.items()
    }
    made = getattr(tpn, call.function)(**listed)
    expected = getattr(tpn, call.function)(
        **{**call.options, **dict(zip(call.points, call.arrays("float64"), strict=True))}
    )
    checks.assert_same_bits(tf.nest.flatten(made), tf.nest.flatten(expected))
    if "row_splits" not in call.options:
        points = [listed.pop(name) for name in call.points]
        made = call(tpw, *points, **listed)
        expected = call(tpw, *call.tensors("float32"))
        checks.assert_same_bits(tf.nest.flatten(made), tf.nest.flatten(expected))


@parametrized(lambda call: "row_splits" not in call.options)
def test_defaults(call):
    """What is not given is what the signature says, in every API."""
    parameters = inspect.signature(getattr(tpw, call.function)).parameters
    required = [name for name, p in parameters.items() if p.default is p.empty]
    given = {name: call.arguments[name] for name in required}
    defaults = {name: p.default for name, p in parameters.items() if name not in required}
    named = [dict(given, **defaults), given]
    for api in (tpw, tpn):
        explicit, plain = (tf.nest.flatten(getattr(api, call.function)(**of)) for of in named)
        checks.assert_same_bits(explicit, plain)
        if call.reduction:
            assert plain[0].shape == () and plain[0].dtype == "float32"


@pytest.mark.parametrize("dtype", checks.DTYPES)
@losses
def test_types_of_losses(call, dtype):
    """float64 for float64 points, else float32."""
    expected = "float64" if dtype == "float64" else "float32"
    for made in both(call, dtype):
        assert made[0].dtype == expected

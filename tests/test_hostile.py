"""Input that is no mistake of a sensible caller: it gets an error at once, and nothing is lost."""

import functools
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

import tf_pairwise as tpw
from tests import calls, checks
from tf_pairwise import _library
from tf_pairwise import numpy as tpn
from tf_pairwise._tensors import XLA

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


# ---- ops by themselves, as a graph that was saved elsewhere could hold them ----

NUMBERS = "nan inf -inf -1 0 1e-300 1e400 soft x 1,0 None".split() + [""]
SIZES = (0, 1, 1, 2, 3, 3, 3, 5)
REGISTERED = {kernel.op for kernel in kernels.get_all_registered_kernels().kernel}
OPS = sorted(name for name in REGISTERED if name.startswith("TfPairwise>"))
# Inputs by their names; the others are points [n, d].
SHAPES_OF = {
    "": "offset self_offset temperature scale bias",
    "n": "labels ref_labels key_labels query_labels sample_weight scores_pos scores_neg",
    "2": "row_splits",
}
LISTS = ("scores", "relevance", "mask", "item_weight")


class Drawn:
    """Calls of an op with whatever its definition admits."""

    def __init__(self, name, seed, compiled=False):
        # XLA itself crashes on the larger one (TensorFlow 2.21: the sine of zeros [2**61, 0]).
        self.huge = (2**36,) if compiled else (2**36, 2**61)
        self.definition = op_def_registry.get(name)
        self.rng = np.random.default_rng(seed)
        self.types = {}

    def pick(self, values):
        return values[self.rng.integers(len(values))]

    def attribute(self, attr):
        allowed = attr.allowed_values.list
        if attr.type == "type":
            return tf.as_dtype(self.pick(allowed.type))
        if attr.type == "bool":
            return bool(self.rng.integers(2))
        if attr.type == "int":
            return int(self.pick((1, 2, 3, 7, 2**62, 2**63 - 1)))
        if allowed.s:
            return self.pick(allowed.s)
        return self.pick(NUMBERS) if self.rng.integers(8) == 0 else "0.5"

    def expected(self, name):
        sizes = {"n": self.n, "d": self.d, "2": 2}
        for shape, names in SHAPES_OF.items():
            if name in names.split():
                return [sizes[letter] for letter in shape]
        of = self.definition.name
        if "Paired" in of and name == "upstream":
            return [self.n]
        if "PairwiseDistance" in of and name in ("distances", "upstream"):
            return [self.n, self.n]
        if name == "upstream":
            none = self.types.get("reduction") == b"none"
            return self.expected("scores" if "List" in of else "labels") if none else []
        if name.startswith("cached_") and self.rng.integers(2):
            return [0]
        return [self.n] if name in LISTS and self.ragged else [self.n, self.d]

    def shape(self, name):
        shape = self.expected(name)
        what = self.rng.integers(60)
        if what == 0:
            return [int(self.pick(SIZES)) for _ in range(self.rng.integers(5))]
        if what == 1 and shape:
            shape[self.rng.integers(len(shape))] += 1
        if what == 2 and len(shape) == 2:
            return [0, int(self.pick(self.huge))][:: int(self.pick((1, -1)))]
        return shape

    def value(self, arg):
        dtype = self.types[arg.type_attr] if arg.type_attr else tf.as_dtype(arg.type)
        shape = self.shape(arg.name)
        if 0 in shape:
            return tf.zeros(shape, dtype)
        numbers = self.rng.normal(size=shape) * self.pick((1, 1, 1, 1e20, np.nan))
        if dtype.is_integer:
            low = self.pick((0, 0, 0, 0, 0, 0, 0, -(2**62)))
            numbers = self.rng.integers(low, -low or 3, shape, np.int64)
            if arg.name == "row_splits" and self.rng.integers(4):
                numbers = np.linspace(0, self.n, np.prod(shape, dtype=int)).reshape(shape)
        return tf.cast(tf.constant(numbers), dtype)

    def __call__(self):
        """The function and its tensors."""
        self.n, self.d = (int(self.pick(SIZES)) for _ in range(2))
        attributes = {attr.name: self.attribute(attr) for attr in self.definition.attr}
        if "Acc" in attributes and self.rng.integers(10):
            attributes["Acc"] = tf.float64 if attributes["T"] == tf.float64 else tf.float32
        self.types, self.ragged = attributes, attributes.get("ragged", False)
        inputs = [self.value(arg) for arg in self.definition.input_arg]
        types = {arg.type_attr for arg in self.definition.input_arg}
        kept = {name: value for name, value in attributes.items() if name not in types}
        name = "tf_pairwise" + "".join(
            f"_{c.lower()}" if c.isupper() else c for c in self.definition.name.split(">")[1]
        )
        op = getattr(_library.ops(), name)
        return functools.partial(op, **kept), inputs


def survive(name, seed, count, compiled):
    drawn = Drawn(name, seed, compiled)
    done = 0
    for _ in range(count):
        op, inputs = drawn()
        if compiled:
            op = tf.function(op, autograph=False, jit_compile=True)
        start = time.monotonic()
        try:
            op(*inputs)
            done += 1
        except (tf.errors.OpError, ValueError, TypeError, NotImplementedError):
            pass
        assert time.monotonic() - start < 20
    return done


@pytest.mark.parametrize("name", OPS)
def test_ops_with_whatever_they_admit(name):
    done = survive(name, 0, 300, compiled=False)
    assert done > 5 or name.endswith("MissingDerivative")


@pytest.mark.skipif(not XLA, reason="a build without XLA")
@pytest.mark.parametrize("name", OPS)
def test_ops_with_whatever_they_admit_under_xla(name):
    survive(name, 1, 25, compiled=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPS)
def test_ops_with_whatever_they_admit_for_long(name):
    for seed in range(2, 12):
        survive(name, seed, 400, compiled=False)
        if XLA:
            survive(name, seed, 40, compiled=True)


@pytest.mark.skipif(not XLA, reason="a build without XLA")
def test_more_neighbours_than_memory_under_xla():
    x, none = tf.zeros([1, 2]), tf.constant(0, tf.int64)

    def neighbors(x):
        return _library.ops().tf_pairwise_nearest_neighbors(
            x, x, none, none, metric="dot", k=2**63 - 1, only="any", self=False
        )

    with pytest.raises(tf.errors.ResourceExhaustedError, match=r"no memory for shape \[1, 9223"):
        tf.function(neighbors, jit_compile=True)(x)


# ---- processes and threads ----

AT_WORK = """
    import os, threading, time
    import numpy as np
    from tf_pairwise import numpy as tpn

    x = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
    labels = np.arange(600) % 50

    def work():
        while True:
            tpn.batch_triplet_loss(x, labels, mining="all", threads=2)

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.2)
"""
FORK = """
    for _ in range(20):
        child = os.fork()
        if child == 0:
            tpn.pairwise_distance(x, threads=2)
            os._exit(0)
        for _ in range(2000):
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        else:
            os.kill(child, 9)
            raise SystemExit("a child hangs")
"""


def test_python_ends_while_threads_are_at_work():
    for _ in range(3):
        checks.in_a_new_process(AT_WORK)


def test_a_child_of_a_process_at_work():
    checks.in_a_new_process(AT_WORK + FORK)

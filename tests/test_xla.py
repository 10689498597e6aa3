"""Under jit_compile=True: the same kernels, the same bits, and clear errors where XLA cannot."""

import re
import threading

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

import tf_pairwise as tpw
from tests import calls, checks, inputs
from tf_pairwise import _library, _tensors
from tf_pairwise._tensors import XLA

pytestmark = pytest.mark.skipif(not XLA, reason="built for a TensorFlow without XLA's headers")

COMPILED = {name: call for name, call in calls.CALLS.items() if calls.compiles(call)}
every_call = pytest.mark.parametrize("call", COMPILED.values(), ids=COMPILED)


def both(function, *arguments):
    """What a function gives as a tf.function and compiled by XLA."""
    return (
        tf.function(function, autograph=False, jit_compile=jit)(*arguments) for jit in (False, True)
    )


@pytest.mark.parametrize("dtype", checks.DTYPES)
@every_call
def test_the_same_bits(call, dtype):
    """Values, and gradients of the loss itself, so that nothing but our ops rounds."""
    plain, compiled = both(lambda *p: calls.run(tpw, call, p), *call.tensors(dtype))
    checks.assert_same_bits(compiled, plain)


DIFFERENTIABLE = {name: call for name, call in COMPILED.items() if call.differentiable}


@pytest.mark.parametrize("call", DIFFERENTIABLE.values(), ids=DIFFERENTIABLE)
def test_scaled_and_weighted_upstream(call):
    """The gradients of a function of the loss, whose own arithmetic XLA may round otherwise."""
    plain, compiled = both(lambda *p: calls.run_squared(tpw, call, p), *call.tensors("float64"))
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def program_of(function, points):
    compiled = tf.function(function, autograph=False, jit_compile=True)
    return compiled.experimental_get_compiler_ir(*points)(stage="hlo")


def calls_of(program):
    return set(re.findall(r'custom_call_target="tf_pairwise\.(\w+)"', program))


@every_call
def test_the_kernel_is_what_runs(call):
    """A gradient that was made with the loss is scaled by XLA; others are their op's."""
    points = call.tensors("float32")
    program = program_of(lambda *p: calls.run(tpw, call, p), points)
    cached = call.reduced and call.differentiable
    grad = {f"{call.op}Grad"} if call.differentiable and not cached else set()
    assert calls_of(program) == {call.op} | grad


REDUCED = {name: call for name, call in COMPILED.items() if call.reduced}


@pytest.mark.parametrize("call", REDUCED.values(), ids=REDUCED)
def test_gradients_without_a_tape(call):
    """They are not made with the loss, and are the same bits."""
    points = call.tensors("bfloat16")

    def by_graph(*points):
        return tf.gradients(call(tpw, *points), points)

    assert f"{call.op}Grad" in calls_of(program_of(by_graph, points))
    plain, compiled = both(by_graph, *points)
    checks.assert_same_bits(compiled, plain)


def test_second_derivatives_of_distances():
    def second(function):
        def derivative(x, y):
            with tf.GradientTape() as outer:
                outer.watch([x, y])
                with tf.GradientTape() as tape:
                    tape.watch([x, y])
                    value = function(x, y)
                first = tape.gradient(value, [x, y], tf.ones_like(value))
            return outer.gradient(first, [x, y], [tf.roll(x, 1, 0), tf.roll(y, 1, 0)])

        return derivative

    x, y = calls.CALLS["paired_distance euclidean"].tensors("float32")
    for function in (tpw.pairwise_distance, tpw.paired_distance):
        plain, compiled = both(second(function), x, y)
        checks.assert_same_bits(compiled, plain)


def test_every_op_has_a_kernel_for_xla():
    tf.function(tpw.pairwise_distance, jit_compile=True)(tf.zeros([2, 2]))  # registers them
    names = [
        name.removeprefix("tf_pairwise_")
        for name in dir(_library.ops())
        if name.startswith("tf_pairwise_") and not name.endswith("eager_fallback")
    ]
    assert len(names) > 20
    for name in names:
        op = "TfPairwise>" + "".join(word.capitalize() for word in name.split("_"))
        devices = {
            kernel.device_type for kernel in kernels.get_registered_kernels_for_op(op).kernel
        }
        assert {"CPU", "XLA_CPU_JIT"} <= devices, op


# ---- shapes ----


def test_shapes_that_are_unknown_when_traced():
    function = tf.function(
        tpw.pairwise_distance, input_signature=[tf.TensorSpec(None)], jit_compile=True
    )
    for shape in ((7, 3), (2, 5, 4), (0, 3), (1, 1)):
        x = inputs.points(*shape)
        np.testing.assert_array_equal(function(x), tpw.pairwise_distance(x))


ROWS = {name: call for name, call in calls.one_of_each(calls.compiles).items() if call.rows}


@pytest.mark.parametrize("call", ROWS.values(), ids=ROWS)
def test_empty_batches(call):
    call = call.take(slice(0))
    plain, compiled = both(lambda *p: calls.run(tpw, call, p), *call.tensors("float32"))
    checks.assert_same_bits(compiled, plain)


def test_ragged_lists():
    """XLA compiles anew for each number of items; other splits of as many need no new program."""

    @tf.function(jit_compile=True, autograph=False)
    def loss(scores, relevance):
        return tpw.list_ranking_loss(scores, relevance, reduction="none")

    values, relevance = inputs.points(12), np.arange(12) % 3
    for splits in ((0, 5, 12), (0, 0, 12), (0, 1, 2, 12), (0, 12)):
        lists = [tf.RaggedTensor.from_row_splits(v, splits) for v in (values, relevance)]
        expected = tpw.list_ranking_loss(*lists, reduction="none")
        np.testing.assert_array_equal(loss(*lists).values, expected.values)


def test_transposed_inputs():
    """XLA may keep an array in another order: the kernel gets rows all the same."""
    x = tf.constant(inputs.points(40, 30))
    plain, compiled = both(lambda x: tpw.pairwise_distance(tf.transpose(x + 1.0)), x)
    np.testing.assert_array_equal(compiled, plain)


def test_a_shape_that_only_the_run_knows_is_an_error():
    x = tf.constant(inputs.points(20, 4))

    @tf.function(jit_compile=True, autograph=False)
    def loss(x):
        keep = x[:, 0] > 0
        labels = tf.boolean_mask(tf.range(20) % 3, keep)
        return tpw.batch_triplet_loss(tf.boolean_mask(x, keep), labels)

    with pytest.raises(tf.errors.UnimplementedError, match="embeddings: got a shape .* expected"):
        loss(x)


def test_mined_indices_are_an_error():
    x, labels = tf.constant(inputs.points(20, 4)), inputs.labels(20, 3)
    with pytest.raises(tf.errors.UnimplementedError, match="triplets .* without jit_compile"):
        tf.function(lambda x: tpw.mine_triplets(x, labels), jit_compile=True, autograph=False)(x)


# ---- errors ----


def test_values_that_only_the_kernel_sees_are_an_error():
    x = tf.constant(inputs.points(20, 4))

    @tf.function(jit_compile=True, autograph=False)
    def loss(x, temperature):
        return tpw.info_nce_loss(x, x, temperature)

    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature: got -1"):
        loss(x, tf.constant(-1.0))
    assert np.isfinite(loss(x, tf.constant(1.0)))


def test_mismatched_shapes_are_an_error():
    @tf.function(jit_compile=True, autograph=False, input_signature=[tf.TensorSpec(None)] * 2)
    def distance(x, y):
        return tpw.pairwise_distance(x, y)

    with pytest.raises(
        (tf.errors.InvalidArgumentError, ValueError), match=r"y: got shape \[3, 5\]"
    ):
        distance(tf.zeros([3, 4]), tf.zeros([3, 5]))


def test_second_derivatives_of_losses_are_an_error():
    x, labels = tf.constant(inputs.points(20, 4)), inputs.labels(20, 3)

    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tpw.batch_triplet_loss(x, labels)
            gradient = tape.gradient(loss, x)
        return outer.gradient(gradient, x)

    with pytest.raises(tf.errors.UnimplementedError, match="no second derivative"):
        tf.function(second, jit_compile=True, autograph=False)(x)


def test_a_build_without_xla_says_so(monkeypatch):
    monkeypatch.setattr(_tensors, "XLA", False)
    x = tf.zeros([3, 2])
    with pytest.raises(NotImplementedError, match="no XLA kernels.*jit_compile"):
        tf.function(tpw.pairwise_distance, jit_compile=True)(x)
    tf.function(tpw.pairwise_distance)(x)


def test_a_build_without_gpu_kernels_says_so_where_there_is_a_gpu(monkeypatch):
    """Keras turns XLA on where there is a GPU."""
    devices = tf.config.list_logical_devices
    gpu = tf.config.LogicalDevice("/device:GPU:0", "GPU")
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind=None: [gpu] if kind == "GPU" else devices()
    )
    x, labels = tf.constant(inputs.points(9, 3)), inputs.labels(9, 3)
    for call in (
        lambda: tpw.pairwise_distance(x),
        lambda: tpw.batch_triplet_loss(x, labels),
        lambda: tpw.list_ranking_loss(x[None, :, 0], labels[None]),
    ):
        monkeypatch.setattr(_tensors, "GPU_KERNELS", None)
        with pytest.raises(NotImplementedError, match=r"GPU.*jit_compile=False.*tf.device"):
            tf.function(call, jit_compile=True, autograph=False)()
        with tf.device("CPU"):
            tf.function(call, jit_compile=True, autograph=False)()
        tf.function(call, autograph=False)()
        call()
        monkeypatch.setattr(_tensors, "GPU_KERNELS", "sm_90")
        tf.function(call, jit_compile=True, autograph=False)()


# ---- what surrounds the call ----


def test_a_function_that_was_traced_before_outside_of_xla():
    x, labels = tf.constant(inputs.points(20, 4)), inputs.labels(20, 3)
    inner = tf.function(lambda x: tpw.batch_triplet_loss(x, labels), autograph=False)
    expected = inner(x)
    outer = tf.function(lambda x: inner(x), jit_compile=True, autograph=False)
    np.testing.assert_array_equal(outer(x), expected)


def test_callers_at_the_same_time():
    """Several threads in one program, whose helpers are then late or do not come at all."""
    x, labels = inputs.batch(400, 16, 40)
    x = tf.constant(x)

    def once(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tpw.batch_triplet_loss(x, labels, mining="all")
        return loss, tape.gradient(loss, x)

    compiled = tf.function(once, autograph=False, jit_compile=True)
    expected = compiled(x)
    wrong = []

    def work():
        for _ in range(30):
            for a, b in zip(compiled(x), expected, strict=True):
                if not np.array_equal(a, b):
                    wrong.append(a)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads) and not wrong

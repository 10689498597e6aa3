"""TensorFlow's ops on a GPU: as on the CPU, in eager mode, in graphs and compiled by XLA.

Not collected by itself. `make test-gpu` runs it on a GPU; test_gpu_ops.py on the fake one, in a
process for TensorFlow (tests/cuda_host/in_tensorflow.py) and in one for XLA (in_xla.py).
"""

import gc
import itertools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, gpu_cases, inputs

CALLS = calls.table(n=23, m=31, d=7, classes=5, lists=3, length=9)
EACH = calls.one_of_each()

IN_TENSORFLOW = sys.modules.get("tests.cuda_host.in_tensorflow")
IN_XLA = sys.modules.get("tests.cuda_host.in_xla")
FAKE = IN_TENSORFLOW or IN_XLA
GPUS = tf.config.list_physical_devices("GPU")

on_a_gpu = pytest.mark.skipif(not GPUS, reason="TensorFlow sees no GPU")
WAYS = ["eager", "graph"] if GPUS else []
if IN_XLA or (GPUS and not FAKE):
    WAYS.append("xla")


def on_gpu(way, function, *arguments):
    """`function(*arguments)` of tensors that are made on the GPU, and its results, on the CPU."""
    if way != "eager":
        function = tf.function(function, autograph=False, jit_compile=way == "xla")
    with tf.device("GPU:0" if GPUS else "CPU:0"):
        results = function(*map(tf.identity, arguments))
    return tf.nest.map_structure(lambda result: result.numpy(), results)


def assert_like_the_cpu(way, function, *arguments):
    """That is: integers the same, floats as near as sums in another order."""
    arguments = [tf.convert_to_tensor(argument) for argument in arguments]
    with tf.device("CPU:0"):
        expected = tf.nest.flatten(function(*arguments))
    made = tf.nest.flatten(on_gpu(way, function, *arguments))
    assert len(made) == len(expected)
    for i, (a, b) in enumerate(zip(made, expected, strict=True)):
        tolerance = gpu_cases.TOLERANCE[b.dtype.name] if b.dtype.is_floating else 0
        b = b.numpy()
        assert (a.dtype, a.shape) == (b.dtype, b.shape), i
        a, b = a.astype(np.float64), b.astype(np.float64)
        scale = np.max(np.abs(b), initial=1e-20, where=np.isfinite(b))
        np.testing.assert_allclose(a, b, tolerance, tolerance * scale, err_msg=f"result {i}")


@pytest.fixture
def launched():
    """The test launches kernels, on the fake GPU."""
    before = FAKE.GPU.launches() if FAKE else -1
    yield
    assert not FAKE or FAKE.GPU.launches() > before


# ---- all functions ----


def _cases():
    """Eager, all dtypes; else all calls in float32, and one of each function in the others."""
    for way, dtype, (name, call) in itertools.product(WAYS, gpu_cases.DTYPES, CALLS.items()):
        if way == "xla" and not calls.compiles(call):
            continue
        if way == "eager" or dtype == "float32" or name in EACH:
            yield pytest.param(call, dtype, way, id=f"{name} {dtype} {way}")


@pytest.mark.parametrize("call, dtype, way", [*_cases()])
def test_like_the_cpu(call, dtype, way, launched):
    assert_like_the_cpu(way, lambda *points: calls.run(tpw, call, points), *call.tensors(dtype))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "call", [call for call in EACH.values() if call.reduced], ids=lambda c: c.name
)
def test_a_gradient_that_is_not_made_with_the_loss(call, way, launched):
    """Of a function that was traced without a tape, of a loss that is multiplied."""
    points = call.tensors("bfloat16")
    traced = tf.function(lambda *points: call(tpw, *points), autograph=False)
    traced = traced.get_concrete_function(*points)

    def run(*points):
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = 3 * traced(*points)
        return tape.gradient(value, points)

    assert_like_the_cpu(way, run, *points)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("metric", inputs.METRICS)
def test_second_derivatives_of_distances(metric, way, launched):
    def run(function, x, y):
        with tf.GradientTape() as outer:
            outer.watch([x, y])
            with tf.GradientTape() as tape:
                tape.watch([x, y])
                value = tf.reduce_sum(tf.sin(function(x, y, metric)))
            gradients = tape.gradient(value, [x, y])
            value = tf.reduce_sum(tf.cos(gradients[0])) + tf.reduce_sum(tf.cos(gradients[1]))
        return outer.gradient(value, [x, y])

    x, y = inputs.points(9, 5).astype(np.float64), inputs.points(9, 5, seed=1).astype(np.float64)
    assert_like_the_cpu(way, lambda x, y: run(tpw.paired_distance, x, y), x, y)
    assert_like_the_cpu(way, lambda x, y: run(tpw.pairwise_distance, x, y[:7]), x, y)


@on_a_gpu
@pytest.mark.parametrize("call", EACH.values(), ids=EACH)
def test_results_are_on_the_gpu(call):
    with tf.device("GPU:0"):
        value = calls.run(tpw, call, [tf.identity(x) for x in call.tensors("float32")])[0]
    assert value.device.endswith("GPU:0")


# ---- what an op reads itself, on the host ----


@pytest.mark.parametrize("way", WAYS)
def test_offsets_that_are_computed(way, launched):
    anchors, labels, refs, ref_labels, offset = inputs.references(9, 13, 5, 3)

    def run(anchors, refs, offset):
        options = dict(ref_embeddings=refs, ref_labels=ref_labels, self_offset=offset + 1)
        return (
            tpw.info_nce_loss(anchors, refs, positive_offset=offset + 1),
            tpw.sigmoid_contrastive_loss(anchors, refs, 3.0, -1.0, positive_offset=offset + 1),
            tpw.supervised_contrastive_loss(anchors, labels, **options),
            tpw.batch_triplet_loss(anchors, labels, **options),
            tpw.batch_contrastive_loss(anchors, labels, **options),
        )

    assert_like_the_cpu(way, run, anchors, refs, np.int64(offset - 1))


@pytest.mark.parametrize("way", WAYS)
def test_row_splits_that_are_computed(way, launched):
    scores, relevance = inputs.points(1, 12)[0], np.arange(12) % 4 * 1.0

    def run(scores, splits):
        lists = [
            tf.RaggedTensor.from_row_splits(values, splits // 2, validate=False)
            for values in (scores, relevance)
        ]
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = tpw.list_ranking_loss(*lists, lambda_weight="ndcg")
        return loss, tape.gradient(loss, scores)

    assert_like_the_cpu(way, run, scores, np.array([0, 2, 2, 16, 24]))


@pytest.mark.parametrize("way", WAYS)
def test_bad_values_and_shapes(way):
    x, scores = tf.constant(inputs.points(5, 3)), tf.constant(inputs.points(1, 6)[0])
    splits = tf.constant([0, 4, 2, 6], tf.int64)

    def ragged(scores, splits):
        lists = [tf.RaggedTensor.from_row_splits(scores, splits, validate=False)] * 2
        return tpw.list_ranking_loss(*lists)

    for function, arguments, message in (
        (ragged, (scores, splits), "row_splits"),
        (lambda x, o: tpw.info_nce_loss(x, x, positive_offset=o), (x, np.int64(1)), "offset"),
        (lambda x, y: tpw.paired_distance(x, y), (x, x[:4]), r"y: got shape \[4, 3\]"),
    ):
        with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=message):
            on_gpu(way, function, *map(tf.convert_to_tensor, arguments))


# ---- few, none, and what is not there ----


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(n, way):
    def run(x, scores):
        labels = tf.zeros([n], tf.int64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = (
                tpw.pairwise_distance(x),
                tpw.batch_triplet_loss(x, labels),
                tpw.batch_contrastive_loss(x, labels, reduction="none"),
                tpw.supervised_contrastive_loss(x, labels),
                tpw.contrastive_loss(x, x, labels),
                tpw.list_ranking_loss(scores, scores),
            )
        gradient = tape.gradient(values, x)
        return *values, gradient, *tpw.nearest_neighbors(x, x, k=2)

    assert_like_the_cpu(way, run, inputs.points(n, 3), inputs.points(n, 4))


@pytest.mark.parametrize("way", WAYS)
def test_derivatives_that_are_not_there(way):
    x, labels = tf.constant(inputs.points(6, 3)), tf.constant([0, 0, 1, 1, 2, 2], tf.int64)

    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tpw.batch_triplet_loss(x, labels)
            gradient = tape.gradient(loss, x)
        return outer.gradient(gradient, x)

    with pytest.raises(tf.errors.UnimplementedError, match="no second derivative"):
        on_gpu(way, second, x)


# ---- the device ----


@pytest.mark.parametrize("way", WAYS)
def test_kernels_in_the_order_of_the_stream(way, launched):
    """Scratch is given back before the kernels that use it have run."""
    x, labels = inputs.points(40, 6), np.arange(40) % 7

    def run(x):
        for mining in ("semi_hard", "hard", "all"):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tpw.batch_triplet_loss(x, labels, mining=mining)
            x = x - tape.gradient(loss, x)
        return x

    assert_like_the_cpu(way, run, x)


@pytest.mark.skipif(not FAKE, reason="on the fake GPU alone")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", EACH.values(), ids=EACH)
def test_all_memory_is_given_back(call, way):
    if way == "xla" and not calls.compiles(call):
        pytest.skip("XLA compiles none of it")
    points, left = call.tensors("bfloat16"), []
    for _ in range(3):
        on_gpu(way, lambda *points: calls.run(tpw, call, points), *points)
        gc.collect()  # what Python keeps in circles
        FAKE.GPU.call("cuStreamSynchronize", None)  # memory is freed in a stream's order
        left.append(FAKE.GPU.allocations())
    assert left[2] <= left[1]  # TensorFlow keeps some constants of the first time
    assert not IN_XLA or IN_XLA.XLA.FakeXlaScratch() == 0


@pytest.mark.skipif(len(GPUS) < 2, reason="TensorFlow sees one GPU or none")
def test_the_second_gpu(launched):
    with tf.device("CPU:0"):
        x = tf.constant(inputs.points(9, 5))
        expected = tpw.pairwise_distance(x)
    with tf.device("GPU:1"):
        made = tpw.pairwise_distance(tf.identity(x))
    assert made.device.endswith("GPU:1")
    np.testing.assert_allclose(made, expected, 1e-5, 1e-5)


@pytest.mark.skipif(not IN_TENSORFLOW, reason="on the fake GPU alone")
@pytest.mark.parametrize(
    "fails, error",
    [("cuLaunchKernel", tf.errors.InternalError), ("cuMemAllocAsync", tf.errors.OpError)],
)
def test_errors_of_the_driver(fails, error, monkeypatch):
    x = tf.constant(inputs.points(9, 5))
    with tf.device("GPU:0"):
        x = tf.identity(x)
        FAKE.GPU.driver.FakeReset()
        monkeypatch.setenv("TF_PAIRWISE_FAKE_FAIL", f"{fails}:2")
        with pytest.raises(error, match="cuLaunchKernel|OOM"):
            for _ in range(3):
                tpw.batch_triplet_loss(x, tf.zeros([9], tf.int64), mining="hard").numpy()
    monkeypatch.delenv("TF_PAIRWISE_FAKE_FAIL")
    FAKE.GPU.driver.FakeReset()


# ---- Keras ----


@pytest.mark.skipif(
    bool(IN_TENSORFLOW), reason="TensorFlow's kernels for all devices read the fake GPU's memory"
)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "eager"])
def test_keras_trains(way, launched):
    x, labels = inputs.batch(32, 8, 4)

    def losses(compiled):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Input([8]), keras.layers.Dense(4)])
        model.compile("sgd", tpw.keras.losses.BatchTripletLoss(), jit_compile=compiled)
        fitted = model.fit(x, labels, batch_size=16, epochs=2, shuffle=False, verbose=0)
        return fitted.history["loss"]

    # Keras has the GPU chosen.
    made = losses(compiled=way == "xla")
    with tf.device("CPU:0"):
        expected = losses(compiled=False)
    np.testing.assert_allclose(made, expected, rtol=1e-4)

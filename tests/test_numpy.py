"""The NumPy functions: the same bits as the TensorFlow ones, without TensorFlow."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import inputs
from tf_pairwise import numpy as tpn

N, M, D = 37, 53, 11
DTYPES = ("float16", "bfloat16", "float32", "float64")


def _array(*shape, seed=0, dtype="float32"):
    return inputs.points(*shape, seed=seed).astype(tf.as_dtype(dtype).as_numpy_dtype)


def _same(came, expected):
    expected = np.asarray(expected)
    assert came.dtype == expected.dtype
    assert came.shape == expected.shape
    np.testing.assert_array_equal(came, expected)


def _gradients(function, *arrays, upstream=None):
    points = [tf.constant(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = function(*points)
    return tape.gradient(value, points, output_gradients=upstream)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", inputs.METRICS)
def test_distances(metric, dtype):
    x = _array(2, N, D, dtype=dtype)
    y = _array(2, M, D, seed=1, dtype=dtype)
    upstream = _array(2, N, M, seed=2, dtype=dtype)
    _same(tpn.pairwise_distance(x, y, metric), tpw.pairwise_distance(x, y, metric))
    _same(tpn.pairwise_distance(x, metric=metric), tpw.pairwise_distance(x, metric=metric))
    _same(tpn.paired_distance(x, x[::-1], metric), tpw.paired_distance(x, x[::-1], metric))

    came = tpn.pairwise_distance_gradient(x, y, upstream, metric)
    expected = _gradients(
        lambda x, y: tpw.pairwise_distance(x, y, metric), x, y, upstream=tf.constant(upstream)
    )
    for a, b in zip(came, expected, strict=True):
        _same(a, b)
    upstream = _array(2, N, N, seed=2, dtype=dtype)
    came = tpn.pairwise_distance_gradient(x, None, upstream, metric)
    (expected,) = _gradients(
        lambda x: tpw.pairwise_distance(x, metric=metric), x, upstream=tf.constant(upstream)
    )
    _same(came, expected)
    upstream = upstream[:, :, 0].copy()
    came = tpn.paired_distance_gradient(x, x[::-1], upstream, metric)
    expected = _gradients(
        lambda x, y: tpw.paired_distance(x, y, metric),
        *(x, x[::-1].copy()),
        upstream=tf.constant(upstream),
    )
    for a, b in zip(came, expected, strict=True):
        _same(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
@pytest.mark.parametrize("margin, swap, weighted", [(0.3, True, False), (None, False, True)])
def test_triplet_loss(margin, swap, weighted, reduction, dtype):
    points = [_array(N, D, seed=seed, dtype=dtype) for seed in range(3)]
    options = dict(swap=swap, reduction=reduction, metric="euclidean")
    options["sample_weight"] = inputs.weights(N) if weighted else None
    loss, gradients = tpn.triplet_loss(*points, margin, with_gradient=True, **options)
    _same(loss, tpw.triplet_loss(*points, margin, **options))
    _same(tpn.triplet_loss(*points, margin, **options), loss)
    expected = _gradients(lambda *p: tpw.triplet_loss(*p, margin, **options), *points)
    for a, b in zip(gradients, expected, strict=True):
        _same(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
@pytest.mark.parametrize("mining", inputs.MININGS)
def test_batch_triplet_loss(mining, reduction, dtype):
    x, labels = inputs.batch(N, D, 6)
    x = x.astype(tf.as_dtype(dtype).as_numpy_dtype)
    options = dict(mining=mining, reduction=reduction, sample_weight=inputs.weights(N))
    loss, gradient = tpn.batch_triplet_loss(x, labels, 0.3, with_gradient=True, **options)
    _same(loss, tpw.batch_triplet_loss(x, labels, 0.3, **options))
    _same(tpn.batch_triplet_loss(x, labels, 0.3, **options), loss)
    (expected,) = _gradients(lambda x: tpw.batch_triplet_loss(x, labels, 0.3, **options), x)
    _same(gradient, expected)


@pytest.mark.parametrize("mining", inputs.MININGS)
def test_references(mining):
    x, labels, refs, ref_labels, k = inputs.references(N, M, D, 6)
    options = dict(mining=mining, ref_labels=ref_labels, self_offset=k)
    loss, gradients = tpn.batch_triplet_loss(
        x, labels[:, None], 0.3, ref_embeddings=refs, with_gradient=True, **options
    )
    _same(loss, tpw.batch_triplet_loss(x, labels, 0.3, ref_embeddings=refs, **options))
    expected = _gradients(
        lambda x, refs: tpw.batch_triplet_loss(x, labels, 0.3, ref_embeddings=refs, **options),
        *(x, refs),
    )
    for a, b in zip(gradients, expected, strict=True):
        _same(a, b)
    came = tpn.mine_triplets(x, labels, margin=0.3, ref_embeddings=refs, **options)
    _same(came, tpw.mine_triplets(x, labels, margin=0.3, ref_embeddings=refs, **options))


@pytest.mark.parametrize("mining", inputs.MININGS)
def test_threads_cannot_be_seen(mining):
    x, labels = inputs.batch(300, 24, 20)
    wanted = None
    for threads in (1, 2, 5, None):
        loss, gradient = tpn.batch_triplet_loss(
            x, labels, 0.3, mining=mining, with_gradient=True, threads=threads
        )
        triplets = tpn.mine_triplets(x, labels, mining, 0.3, threads=threads)
        distances = tpn.pairwise_distance(x, threads=threads)
        came = [loss, gradient, triplets, distances]
        wanted = wanted or came
        for a, b in zip(came, wanted, strict=True):
            _same(a, b)


def test_many_callers_at_once():
    x, labels = inputs.batch(200, 24, 20)
    wanted = tpn.batch_triplet_loss(x, labels, with_gradient=True)[1]
    came = [None] * 8

    def call(i):
        for _ in range(20):
            came[i] = tpn.batch_triplet_loss(x, labels, with_gradient=True, threads=1 + i % 4)[1]

    callers = [threading.Thread(target=call, args=(i,)) for i in range(len(came))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for gradient in came:
        _same(gradient, wanted)


def test_arrays_of_any_layout():
    x = _array(N, D)
    wanted = tpn.pairwise_distance(x)
    _same(tpn.pairwise_distance(np.asfortranarray(x)), wanted)
    _same(tpn.pairwise_distance(np.repeat(x, 2, axis=0)[::2]), wanted)
    _same(tpn.pairwise_distance(x.astype(">f4")), wanted)
    frozen = x.copy()
    frozen.flags.writeable = False
    _same(tpn.pairwise_distance(frozen), wanted)
    assert tpn.pairwise_distance(x.tolist()).dtype == np.float64
    for dtype in (np.int8, np.uint16, np.int32, np.uint64):
        labels = inputs.labels(N, 4, dtype=dtype)
        assert tpn.batch_triplet_loss(x, labels) == tpn.batch_triplet_loss(x, labels.astype(int))


def test_results():
    x = _array(N, D)
    loss = tpn.batch_triplet_loss(x, inputs.labels(N, 4))
    assert isinstance(loss, np.float32)
    assert isinstance(tpn.paired_distance(x[0], x[1]), np.float32)
    assert tpn.pairwise_distance(x[:0], x).shape == (0, N)
    assert tpn.batch_triplet_loss(x[:0], np.zeros(0, int)) == 0.0
    assert tpn.mine_triplets(x[:0], np.zeros(0, int)).shape == (0, 3)


_X = np.zeros((4, 3), np.float32)
_L = np.zeros(4, int)


@pytest.mark.parametrize(
    "error, message, call",
    [
        (ValueError, "metric: got 'l3'", lambda: tpn.pairwise_distance(_X, metric="l3")),
        (TypeError, "metric: got 3", lambda: tpn.pairwise_distance(_X, metric=3)),
        (TypeError, "x: got int64", lambda: tpn.pairwise_distance(_L)),
        (TypeError, "y: got float64", lambda: tpn.pairwise_distance(_X, _X.astype(float))),
        (
            ValueError,
            r"x: got shape \[3\], expected \[..., n, d\]$",
            lambda: tpn.pairwise_distance(_X[0]),
        ),
        (
            ValueError,
            r"y: got shape \[4, 2\], expected \[..., m, d\] where .*d = 3 as in x$",
            lambda: tpn.pairwise_distance(_X, _X[:, :2]),
        ),
        (
            ValueError,
            r"y: got shape \[3\], expected \[..., d\]",
            lambda: tpn.paired_distance(_X, _X[0]),
        ),
        (
            ValueError,
            r"upstream: got shape \[4, 3\]",
            lambda: tpn.pairwise_distance_gradient(_X, _X, _X),
        ),
        (
            ValueError,
            r"negatives: got shape \[3, 3\], expected \[n, d\] where n = 4 as in anchors",
            lambda: tpn.triplet_loss(_X, _X, _X[:3]),
        ),
        (
            ValueError,
            r"labels: got shape \[3\], expected \[n\] or \[n, 1\] where n = 4 as in embeddings",
            lambda: tpn.batch_triplet_loss(_X, _L[:3]),
        ),
        (TypeError, "labels: got float64", lambda: tpn.batch_triplet_loss(_X, _L * 1.0)),
        (ValueError, "mining: got 'x'", lambda: tpn.batch_triplet_loss(_X, _L, mining="x")),
        (ValueError, "reduction: got", lambda: tpn.batch_triplet_loss(_X, _L, reduction="x")),
        (ValueError, "margin: got nan", lambda: tpn.batch_triplet_loss(_X, _L, float("nan"))),
        (ValueError, "margin: got -1", lambda: tpn.triplet_loss(_X, _X, _X, -1)),
        (TypeError, "margin: got '1'", lambda: tpn.triplet_loss(_X, _X, _X, "1")),
        (
            ValueError,
            "margin: got None .* 'hard_all'",
            lambda: tpn.mine_triplets(_X, _L, "hard_all", None),
        ),
        (
            ValueError,
            "ref_labels: got None",
            lambda: tpn.batch_triplet_loss(_X, _L, ref_embeddings=_X),
        ),
        (ValueError, "self_offset: got", lambda: tpn.batch_triplet_loss(_X, _L, self_offset=0)),
        (
            ValueError,
            "self_offset: got -2",
            lambda: tpn.batch_triplet_loss(
                _X, _L, ref_embeddings=_X, ref_labels=_L, self_offset=-2
            ),
        ),
        (
            ValueError,
            "self_offset: got 1",
            lambda: tpn.batch_triplet_loss(_X, _L, ref_embeddings=_X, ref_labels=_L, self_offset=1),
        ),
        (
            ValueError,
            r"sample_weight: got shape \[3\], expected \[n\]",
            lambda: tpn.triplet_loss(_X, _X, _X, sample_weight=[1, 2, 3]),
        ),
        (
            TypeError,
            "sample_weight: got complex128",
            lambda: tpn.triplet_loss(_X, _X, _X, sample_weight=_L * 1j),
        ),
        (ValueError, "threads: got 0", lambda: tpn.pairwise_distance(_X, threads=0)),
    ],
)
def test_errors(error, message, call):
    with pytest.raises(error, match=message):
        call()


def _python(code):
    environment = dict(os.environ, PYTHONWARNINGS="ignore")
    run = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120)


def test_tensorflow_is_not_imported():
    done = _python(
        """
        import sys
        import numpy as np
        from tf_pairwise import numpy as tpn
        x = np.ones((3, 2), np.float32)
        tpn.batch_triplet_loss(x, [0, 0, 1], with_gradient=True)
        assert "tensorflow" not in sys.modules
        """
    )
    assert done.returncode == 0, done.stderr


def test_a_fork_has_threads_of_its_own():
    done = _python(
        """
        import os
        import numpy as np
        from tf_pairwise import numpy as tpn
        x = np.random.default_rng(0).normal(size=(600, 32))
        wanted = tpn.pairwise_distance(x, threads=4)
        for _ in range(5):
            child = os.fork()
            if child == 0:
                same = np.array_equal(tpn.pairwise_distance(x, threads=4), wanted)
                raise SystemExit(0 if same else 3)
            assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(tpn.pairwise_distance(x, threads=4), wanted)
        """
    )
    assert done.returncode == 0, done.stderr

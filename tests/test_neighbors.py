"""Nearest neighbours: against the reference in float64 and a sort of the matrix, properties."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

DIFFERENCES = ("euclidean", "squared_euclidean", "manhattan", "chebyshev")

metrics = pytest.mark.parametrize("metric", inputs.METRICS)
dtypes = pytest.mark.parametrize("dtype", checks.DTYPES)
ONLY = (None, "same_label", "other_label")
# Around the sizes of vectors, register tiles, blocks and tiles.
EDGES = (0, 1, 2, 5, 6, 7, 63, 64, 65, 95, 96, 97, 255, 256, 257)


def labelled(only, labels, ref_labels=None):
    """The options of a call with the filter `only`."""
    if only is None:
        return {}
    options = dict(only=only, query_labels=labels)
    return options if ref_labels is None else dict(options, key_labels=ref_labels)


def sorted_rows(distances, k, only=None, labels=None, ref_labels=None, itself=False):
    """What the k nearest are of a matrix of distances, by a stable sort of its rows."""
    n, m = distances.shape
    wanted = ~np.isnan(distances) & (distances < np.inf)
    if itself:
        wanted &= ~np.eye(n, dtype=bool)
    if only is not None:
        same = np.ravel(labels)[:, None] == np.ravel(labels if itself else ref_labels)[None, :]
        wanted &= same if only == "same_label" else ~same
    nearest = np.full((n, k), np.inf, distances.dtype)
    indices = np.full((n, k), -1, np.int64)
    for i in range(n):
        candidates = np.flatnonzero(wanted[i])
        order = candidates[np.argsort(distances[i, candidates], kind="stable")][:k]
        nearest[i, : len(order)] = distances[i, order]
        indices[i, : len(order)] = order
    return nearest, indices


def assert_sorted_matrix(x, y, k, metric, only=None, labels=None, ref_labels=None):
    """The neighbours are those of the package's own distances, to the bit."""
    itself = y is None
    # Of x against a copy, as are those of a search: of x against itself each pair is made once.
    distances = tpw.pairwise_distance(x, x if itself else y, metric).numpy()
    expected = sorted_rows(distances, k, only, labels, ref_labels, itself)
    options = labelled(only, labels, None if itself else ref_labels)
    made = tpw.nearest_neighbors(x, y, k, metric=metric, **options)
    assert made[0].dtype == x.dtype and made[1].dtype == tf.int64
    np.testing.assert_array_equal(made[1], expected[1])
    np.testing.assert_array_equal(made[0], expected[0])


# ---- against the reference, and against a sort ----


@metrics
@dtypes
@pytest.mark.parametrize("only", ONLY)
@pytest.mark.parametrize("itself", [True, False])
def test_against_the_reference(metric, dtype, only, itself):
    x = tf.cast(inputs.points(70, 19, seed=1), dtype)
    y = None if itself else tf.cast(inputs.points(83, 19, seed=2), dtype)
    options = labelled(only, inputs.labels(70, 5), None if itself else inputs.labels(83, 6))
    wide = [None if z is None else tf.cast(z, tf.float64) for z in (x, y)]
    for k in (1, 7, 30, 100):
        distances, indices = tpw.nearest_neighbors(x, y, k, metric=metric, **options)
        expected, _ = reference.nearest_neighbors(*wide, k, metric=metric, **options)
        assert distances.dtype == dtype and distances.shape == indices.shape == (70, k)
        found = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(checks.to_float64(distances)), found)
        np.testing.assert_array_equal(indices.numpy() >= 0, found)
        distances = np.where(found, checks.to_float64(distances), 0.0)
        expected = np.where(found, expected, 0.0)
        checks.assert_close(distances, expected, checks.STORED_TOLERANCE[dtype])
        # Indices are right if their distances are: near ties may change places.
        keys = wide[0] if itself else wide[1]
        at = tf.gather(keys, tf.maximum(indices, 0))
        of = tf.repeat(wide[0][:, None], k, axis=1)
        of_indices = np.where(found, reference.paired_distance(of, at, metric), 0.0)
        checks.assert_close(of_indices, expected, checks.LOSS_TOLERANCE[dtype])
        for row in indices.numpy():
            row = row[row >= 0]
            assert len(set(row)) == len(row)


@metrics
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("only", ONLY)
@pytest.mark.parametrize("k", [1, 3, 16, 17, 24, 25, 60, 700, 1200])
def test_against_a_sort(metric, dtype, only, k):
    x = inputs.points(30, 7, seed=1).astype(dtype)
    y = inputs.points(1100, 7, seed=2).astype(dtype)
    labels, ref_labels = inputs.labels(30, 3), inputs.labels(1100, 4)
    assert_sorted_matrix(x, y, k, metric, only, labels, ref_labels)


@hypothesis.settings(max_examples=150)
@hypothesis.given(
    n=st.sampled_from(EDGES),
    m=st.sampled_from((*EDGES, 511, 512, 513, 1023, 1025)),
    d=st.sampled_from((1, 2, 3, 8, 17, 64)),
    k=st.sampled_from((1, 2, 9, 16, 17, 40, 130)),
    metric=st.sampled_from(inputs.METRICS),
    only=st.sampled_from(ONLY),
    itself=st.booleans(),
    dtype=st.sampled_from((np.float32, np.float64)),
    grid=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_tile_edges(n, m, d, k, metric, only, itself, dtype, grid, seed):
    # Points of a grid: many ties.
    def points(n, seed):
        x = inputs.points(n, d, seed=seed)
        return (np.round(2 * x) if grid else x).astype(dtype)

    y = None if itself else points(m, seed + 1)
    labels, ref_labels = inputs.labels(n, 3, seed), inputs.labels(m, 3, seed)
    assert_sorted_matrix(points(n, seed), y, k, metric, only, labels, ref_labels)


@metrics
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_dimensions(metric, dtype):
    x = inputs.points(40, 1000, seed=1).astype(dtype)
    y = inputs.points(150, 1000, seed=2).astype(dtype)
    assert_sorted_matrix(x, y, 12, metric)
    assert_sorted_matrix(x, None, 12, metric)


@pytest.mark.slow
@metrics
@pytest.mark.parametrize("n", EDGES)
def test_every_tile_edge(n, metric):
    for m in EDGES:
        for only in ONLY:
            labels, ref_labels = inputs.labels(n, 3), inputs.labels(m, 3)
            x, y = inputs.points(n, 5, seed=n), inputs.points(m, 5, seed=m + 1)
            for k in (1, 10, 50):
                assert_sorted_matrix(x, y, k, metric, only, labels, ref_labels)


# ---- ties ----


@metrics
@dtypes
@pytest.mark.parametrize("k", [1, 5, 16, 40, 300])
def test_of_equal_distances_the_lower_index_comes_first(metric, dtype, k):
    # 40 copies of 20 points of a grid, in random order, and queries that lie on some of them.
    rng = np.random.default_rng(3)
    distinct = rng.integers(-2, 3, size=(20, 6)) + 0.5
    y = distinct[rng.permutation(np.arange(800) % 20)]
    x, y = tf.cast(distinct[:9], dtype), tf.cast(y, dtype)
    wide = [tf.cast(x, tf.float32), tf.cast(y, tf.float32)] if x.dtype.size == 2 else [x, y]
    matrix = tpw.pairwise_distance(*wide, metric).numpy()
    distances, indices = tpw.nearest_neighbors(x, y, k, metric=metric)
    expected, expected_indices = sorted_rows(matrix, k)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, tf.cast(expected, dtype))


@metrics
def test_all_alike(metric):
    x = np.ones((300, 5), np.float32)
    distances, indices = tpw.nearest_neighbors(x, k=20, metric=metric)
    expected = [[j for j in range(21) if j != i][:20] for i in range(300)]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, -5.0 if metric == "dot" else 0.0, atol=1e-14)


def test_roots_that_tie_come_by_index():
    # Squares that differ and have one root in float32: ties of the distances.
    x = np.zeros((3, 3), np.float32)
    y = np.full((700, 3), 5000.0, np.float32)
    y[[100, 101, 600]] = [[4050, 1, 1], [4050, 1, 0], [4050, 0, 1]]
    squares = tpw.pairwise_distance(x, y, "squared_euclidean").numpy()
    roots = tpw.pairwise_distance(x, y).numpy()
    assert squares[0, 101] < squares[0, 100] and roots[0, 101] == roots[0, 100]
    for k in (1, 2, 3, 16, 40, 500):
        assert_sorted_matrix(x, y, k, "euclidean")
        assert_sorted_matrix(x, y[::-1].copy(), k, "euclidean")
    # Pairs so near that they are made again from the points.
    x = inputs.points(20, 3, seed=1)
    y = np.repeat(np.concatenate([x, inputs.points(280, 3, seed=2)]), 3, axis=0)
    y[1::3] = np.nextafter(y[1::3], np.float32(np.inf))
    for k in (1, 10, 16, 40, 500):
        assert_sorted_matrix(x, y, k, "euclidean")


# ---- what is no neighbour ----


@metrics
@dtypes
@pytest.mark.parametrize("only", ONLY)
def test_fewer_keys_than_k(metric, dtype, only):
    x = tf.cast(inputs.points(7, 4, seed=1), dtype)
    y = tf.cast(inputs.points(5, 4, seed=2), dtype)
    labels, ref_labels = np.arange(7) % 3, np.array([0, 1, 1, 7, 8])
    for keys, key_labels in ((None, labels), (y, ref_labels)):
        options = labelled(only, labels, None if keys is None else key_labels)
        distances, indices = tpw.nearest_neighbors(x, keys, 9, metric=metric, **options)
        for i in range(7):
            wanted = [
                j
                for j in range(len(key_labels))
                if not (keys is None and i == j)
                and (only is None or (key_labels[j] == labels[i]) == (only == "same_label"))
            ]
            assert sorted(indices[i, : len(wanted)].numpy()) == wanted
            assert np.all(indices[i, len(wanted) :].numpy() == -1)
            assert np.all(checks.to_float64(distances[i, len(wanted) :]) == np.inf)


@metrics
@pytest.mark.parametrize("only", ONLY)
@pytest.mark.parametrize("n,m", [(0, 0), (0, 3), (3, 0), (1, 0), (0, 300), (200, 0)])
@pytest.mark.parametrize("d", [0, 5])
def test_nothing_there(metric, only, n, m, d):
    x, y = np.zeros((n, d), np.float32), np.zeros((m, d), np.float32)
    labels, ref_labels = np.zeros(n, int), np.zeros(m, int)
    options = labelled(only, labels, ref_labels)
    distances, indices = tpw.nearest_neighbors(x, y, 4, metric=metric, **options)
    np.testing.assert_array_equal(distances, np.full((n, 4), np.inf))
    np.testing.assert_array_equal(indices, np.full((n, 4), -1))
    one = tpw.nearest_neighbors(x[:1], k=2, metric=metric, **labelled(only, labels[:1]))
    np.testing.assert_array_equal(one[1], np.full((min(n, 1), 2), -1))


@metrics
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("k", [3, 60])
def test_nan_is_no_neighbour(metric, bad, dtype, k):
    x, y = inputs.points(40, 9, seed=1), inputs.points(50, 9, seed=2)
    x[7, 3] = y[[0, 11, 49], [1, 0, 8]] = bad
    x, y = tf.cast(x, dtype), tf.cast(y, dtype)
    distances, indices = tpw.nearest_neighbors(x, y, k, metric=metric)
    assert np.all(indices[7].numpy() == -1)
    assert np.all(checks.to_float64(distances[7]) == np.inf)
    others = np.delete(indices.numpy(), 7, axis=0)
    assert not np.isin(others, [0, 11, 49]).any()
    assert np.all((others >= 0).sum(axis=1) == min(k, 47))
    assert not np.isnan(checks.to_float64(distances)).any()
    itself = tpw.nearest_neighbors(y, k=k, metric=metric)[1].numpy()
    assert np.all(itself[[0, 11, 49]] == -1) and not np.isin(itself, [0, 11, 49]).any()


# ---- accuracy ----


@pytest.mark.parametrize("metric", (*DIFFERENCES, "cosine"))
@pytest.mark.parametrize("k", [1, 5, 40])
def test_near_points_far_from_the_origin(metric, k):
    x = inputs.points(60, 16, seed=1, offset=1e4)
    y = np.concatenate([x + inputs.points(60, 16, seed=s, scale=0.02) for s in (2, 3)])
    distances, indices = tpw.nearest_neighbors(x, y, k, metric=metric)
    truth = reference.pairwise_distance(x.astype(np.float64), y.astype(np.float64), metric).numpy()
    expected, expected_indices = sorted_rows(truth, k)
    np.testing.assert_allclose(distances, expected, 1e-5)
    if k == 1:
        np.testing.assert_array_equal(indices, expected_indices)


@pytest.mark.parametrize("scale", [1e19, 1e-25, 1e-18, 1.0, "both"])
@pytest.mark.parametrize("k", [1, 8, 40])
def test_huge_and_tiny(scale, k):
    # Squares of these leave float32's range, the distances do not.
    x = inputs.points(20, 16, seed=1, dtype=np.float64)
    y = inputs.points(700, 16, seed=2, dtype=np.float64)
    if scale == "both":
        y[::2] *= 1e18
        y[1::2] *= 1e-25
        x[::2] *= 1e-25
    else:
        x, y = x * scale, y * scale
    x, y = x.astype(np.float32), y.astype(np.float32)
    assert_sorted_matrix(x, y, k, "euclidean")
    truth = reference.pairwise_distance(x.astype(np.float64), y.astype(np.float64)).numpy()
    expected, _ = sorted_rows(truth, k)
    np.testing.assert_allclose(tpw.nearest_neighbors(x, y, k)[0], expected, 1e-5)


# ---- properties ----


@hypothesis.given(
    n=st.sampled_from((1, 2, 7, 40)),
    m=st.sampled_from((1, 3, 64, 300)),
    k=st.sampled_from((1, 4, 30)),
    metric=st.sampled_from(inputs.METRICS),
    only=st.sampled_from(ONLY),
    seed=st.integers(0, 99),
)
def test_order_does_not_matter(n, m, k, metric, only, seed):
    # At d = 1 the cosines are 0 and 2, and all are ties.
    x, y = inputs.points(n, 4, seed=seed), inputs.points(m, 4, seed=seed + 100)
    labels, ref_labels = inputs.labels(n, 2, seed), inputs.labels(m, 3, seed)
    rng = np.random.default_rng(seed)
    of_x, of_y = rng.permutation(n), rng.permutation(m)
    options = labelled(only, labels, ref_labels)
    distances, indices = tpw.nearest_neighbors(x, y, k, metric=metric, **options)
    options = labelled(only, labels[of_x], ref_labels[of_y])
    made, made_indices = tpw.nearest_neighbors(x[of_x], y[of_y], k, metric=metric, **options)
    np.testing.assert_allclose(made, distances.numpy()[of_x], 1e-5, 1e-6)
    # Each names the same points, but for ties to rounding.
    back = np.where(made_indices.numpy() >= 0, of_y[made_indices.numpy()], -1)
    differ = back != indices.numpy()[of_x]
    if np.any(differ):
        near = np.diff(made.numpy(), axis=1)[np.any(differ, axis=1)]
        assert np.nanmin(near) < 1e-5


def test_growing_k_extends_the_list():
    x, y = inputs.points(50, 8, seed=1), inputs.points(900, 8, seed=2)
    distances, indices = (z.numpy() for z in tpw.nearest_neighbors(x, y, 900))
    for k in (1, 2, 10, 16, 17, 24, 25, 100, 500, 899):
        made, made_indices = tpw.nearest_neighbors(x, y, k)
        np.testing.assert_array_equal(made, distances[:, :k])
        np.testing.assert_array_equal(made_indices, indices[:, :k])


def test_keys_from_near_to_far_and_back():
    # Each key is nearer than those before it: no limit helps.
    x = np.zeros((13, 2), np.float32)
    y = np.linspace(100, 1, 3000, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32)
    for k in (1, 10, 16, 17, 30, 200):
        assert_sorted_matrix(x, y, k, "euclidean")
        assert_sorted_matrix(x, y[::-1].copy(), k, "manhattan")


# ---- labels ----


@pytest.mark.parametrize("type_", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64])
@pytest.mark.parametrize("only", ["same_label", "other_label"])
def test_labels_of_any_integer_type(type_, only):
    x, y = inputs.points(40, 5, seed=1), inputs.points(60, 5, seed=2)
    labels, ref_labels = inputs.labels(40, 4), inputs.labels(60, 5)
    expected = tpw.nearest_neighbors(x, y, 6, **labelled(only, labels, ref_labels))
    options = labelled(only, labels[:, None].astype(type_), ref_labels[:, None].astype(type_))
    made = tpw.nearest_neighbors(x, y, 6, **options)
    for a, b in zip(made, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_large_labels_do_not_collide():
    x = inputs.points(30, 5, seed=1)
    labels = np.arange(30) // 2 + 2**62
    _, indices = tpw.nearest_neighbors(x, k=1, query_labels=labels, only="same_label")
    np.testing.assert_array_equal(indices[:, 0], np.arange(30) ^ 1)


def test_labels_that_no_key_has():
    x = inputs.points(10, 5, seed=1)
    options = labelled("same_label", np.full(10, 3), np.full(10, -1))
    assert np.all(tpw.nearest_neighbors(x, x, 2, **options)[1].numpy() == -1)
    options["only"] = "other_label"
    np.testing.assert_array_equal(
        tpw.nearest_neighbors(x, x, 2, **options)[1], tpw.nearest_neighbors(x, x, 2)[1]
    )


# ---- how it is called ----


def test_defaults_and_lists():
    x = inputs.points(30, 4, seed=1)
    distances, indices = tpw.nearest_neighbors(x)
    assert distances.shape == (30, 10)
    named = tpw.nearest_neighbors(x.tolist(), k=np.int64(10), metric="euclidean")
    np.testing.assert_array_equal(named[1], indices)
    assert not np.any(indices.numpy() == np.arange(30)[:, None])
    # Against a copy, each is its own nearest.
    copied = tpw.nearest_neighbors(x, x.copy(), 11)
    np.testing.assert_array_equal(copied[1][:, 0], np.arange(30))
    np.testing.assert_array_equal(copied[0][:, 0], 0.0)
    np.testing.assert_array_equal(copied[1][:, 1:], indices)


@pytest.mark.parametrize("only", ONLY)
def test_unknown_shapes(only):
    vector, matrix = tf.TensorSpec(None, tf.int32), tf.TensorSpec([None, None], tf.float32)

    @tf.function(input_signature=[matrix, matrix, vector, vector])
    def traced(x, y, labels, ref_labels):
        return tpw.nearest_neighbors(x, y, 3, **labelled(only, labels, ref_labels))

    for n, m in ((5, 9), (1, 1), (0, 4), (70, 130)):
        x, y = inputs.points(n, 4, seed=1), inputs.points(m, 4, seed=2)
        labels, ref_labels = inputs.labels(n, 3), inputs.labels(m, 3)
        expected = tpw.nearest_neighbors(x, y, 3, **labelled(only, labels, ref_labels))
        for a, b in zip(traced(x, y, labels, ref_labels), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_static_shapes():
    seen = []

    @tf.function
    def traced(x, y):
        seen.extend(z.shape for z in tpw.nearest_neighbors(x, y, 3))

    traced.get_concrete_function(tf.TensorSpec([5, 4]), tf.TensorSpec([None, 4]))
    traced.get_concrete_function(tf.TensorSpec(None), tf.TensorSpec([7, 4]))
    assert [s.as_list() for s in seen] == [[5, 3]] * 2 + [[None, 3]] * 2


def test_there_is_no_gradient():
    x = tf.constant(inputs.points(9, 4))
    with tf.GradientTape() as tape:
        tape.watch(x)
        distances, indices = tpw.nearest_neighbors(x, k=2)
        near = tf.gather(x, indices)
        again = tpw.paired_distance(tf.repeat(x[:, None], 2, axis=1), near)
    np.testing.assert_allclose(again, distances, 1e-6)
    assert np.any(tape.gradient(again, x))
    with tf.GradientTape() as tape:
        tape.watch(x)
        nothing = tf.reduce_sum(tpw.nearest_neighbors(x, k=2)[0])
    assert tape.gradient(nothing, x) is None


@dtypes
@pytest.mark.parametrize("only", ONLY)
def test_numpy(dtype, only):
    x = inputs.points(37, 11, seed=1).astype(tf.as_dtype(dtype).as_numpy_dtype)
    y = inputs.points(53, 11, seed=2).astype(tf.as_dtype(dtype).as_numpy_dtype)
    labels, ref_labels = inputs.labels(37, 4), inputs.labels(53, 4)
    for keys in (None, y):
        options = labelled(only, labels, None if keys is None else ref_labels)
        for metric in inputs.METRICS:
            made = tpn.nearest_neighbors(x, keys, 5, metric=metric, **options)
            expected = tpw.nearest_neighbors(x, keys, 5, metric=metric, **options)
            for a, b in zip(made, expected, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


@metrics
@pytest.mark.parametrize("k", [5, 30])
def test_threads_cannot_be_seen(metric, k):
    x, labels = inputs.batch(500, 24, 20)
    for only in ONLY:
        made = [
            tpn.nearest_neighbors(x, k=k, metric=metric, threads=t, **labelled(only, labels))
            for t in (1, 2, 5)
        ]
        for other in made[1:]:
            for a, b in zip(made[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ["sse4", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_instruction_set(isa, dtype, tmp_path):
    """On a grid, all sums are exact: the same bits on every path."""
    x = np.round(inputs.points(100, 9, seed=1) * 8).astype(dtype)
    y = np.round(inputs.points(700, 9, seed=2) * 8).astype(dtype)
    labels, ref_labels = inputs.labels(100, 5), inputs.labels(700, 5)
    steps = {
        (metric, k): (
            "nearest_neighbors",
            dict(queries=x, keys=y, k=k, metric=metric)
            | labelled("other_label", labels, ref_labels),
        )
        for metric in (*DIFFERENCES, "dot")
        for k in (3, 20, 90)
    }
    made = checks.run_on(isa, steps, tmp_path)
    for metric, k in steps:
        matrix = reference.pairwise_distance(x.astype(np.float64), y.astype(np.float64), metric)
        rows = sorted_rows(matrix.numpy().astype(dtype), k, "other_label", labels, ref_labels)
        for a, b in zip(made[metric, k], rows, strict=True):
            np.testing.assert_array_equal(a, b, f"{metric} {k}")


# ---- errors ----

_X = np.zeros((4, 3), np.float32)
_L = np.zeros(4, int)
PYTHON_ERRORS = [
    (ValueError, "metric: got 'l3'", dict(metric="l3")),
    (TypeError, "k: got 2.0", dict(k=2.0)),
    (TypeError, "k: got True", dict(k=True)),
    (ValueError, "k: got 0", dict(k=0)),
    (ValueError, "k: got -1", dict(k=-1)),
    (ValueError, "only: got 'same'", dict(only="same", query_labels=_L)),
    (TypeError, "only: got 1", dict(only=1, query_labels=_L)),
    (ValueError, "query_labels: got None with only 'same_label'", dict(only="same_label")),
    (ValueError, "query_labels: got labels with only None", dict(query_labels=_L)),
    (
        ValueError,
        "key_labels: got None with only 'same_label'",
        dict(keys=_X, only="same_label", query_labels=_L),
    ),
    (
        ValueError,
        "key_labels: got labels with keys None",
        dict(only="same_label", query_labels=_L, key_labels=_L),
    ),
    (
        TypeError,
        "keys: got float64, expected float32 as queries",
        dict(keys=tf.zeros((4, 3), tf.float64)),
    ),
    (
        TypeError,
        "query_labels: got float64",
        dict(only="same_label", query_labels=tf.zeros(4, tf.float64)),
    ),
]
SHAPE_ERRORS = [
    (
        r"keys: got shape \[4, 2\], expected \[m, d\] where d = 3 as in queries",
        dict(keys=_X[:, :2]),
    ),
    (r"keys: got shape \[3\], expected \[m, d\]", dict(keys=_X[0])),
    (
        r"query_labels: got shape \[3\], expected \[n\] or \[n, 1\] where n = 4 as in queries",
        dict(only="same_label", query_labels=_L[:3]),
    ),
    (
        r"key_labels: got shape \[4\], expected \[m\] or \[m, 1\] where m = 2 as in keys",
        dict(keys=_X[:2], only="other_label", query_labels=_L, key_labels=_L),
    ),
]


@pytest.mark.parametrize("error, message, options", PYTHON_ERRORS)
def test_errors(error, message, options):
    for module in (tpw, tpn):
        with pytest.raises(error, match=message):
            module.nearest_neighbors(_X, **options)
    with pytest.raises(error, match=message.split(",")[0]):
        reference.nearest_neighbors(_X, **options)


@pytest.mark.parametrize("message, options", SHAPE_ERRORS)
def test_errors_of_shapes(message, options):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tpw.nearest_neighbors(_X, **options)
    with pytest.raises(ValueError, match=message):
        tpn.nearest_neighbors(_X, **options)
    with pytest.raises(ValueError, match=message):
        tf.function(lambda: tpw.nearest_neighbors(_X, **options)).get_concrete_function()


def test_errors_of_queries():
    with pytest.raises(TypeError, match="queries: got int64"):
        tpw.nearest_neighbors(_L)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"queries: got shape \[3\]"):
        tpw.nearest_neighbors(_X[0])
    with pytest.raises(TypeError, match="queries: got int64"):
        tpn.nearest_neighbors(_L)

"""The fused distances: against the reference in float64, their derivatives, their accuracy."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs
from tf_pairwise import reference

metrics = pytest.mark.parametrize("metric", inputs.METRICS)
DIFFERENCES = ("euclidean", "squared_euclidean", "manhattan", "chebyshev")
# Around the sizes of vectors, register tiles and cache blocks.
EDGES = (0, 1, 2, 3, 5, 6, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 95, 96, 97, 127, 129)
BIG_EDGES = (191, 192, 193, 255, 256, 257, 383, 385, 511, 513)


def reference64(function, *args, **options):
    return function(*[tf.cast(x, tf.float64) for x in args], **options)


def pairwise(metric):
    return lambda *args: tpw.pairwise_distance(*args, metric=metric)


def pairwise_reference(metric):
    return lambda *args: reference.pairwise_distance(*args, metric=metric)


# ---- against the reference ----


@metrics
@pytest.mark.parametrize("dtype", checks.DTYPES)
@pytest.mark.parametrize("itself", [True, False])
def test_pairwise_value_and_gradient(metric, dtype, itself):
    x = tf.cast(inputs.points(37, 19, seed=1), dtype)
    y = tf.cast(inputs.points(29, 19, seed=2), dtype)
    args = [x] if itself else [x, y]
    upstream = inputs.points(37, 37 if itself else 29, seed=3)
    wide = [tf.cast(a, tf.float64) for a in args]
    # What arrives in a half is rounded to it, on both sides.
    upstream = tf.cast(tf.cast(upstream, dtype), tf.float64)
    value, gradients = checks.value_and_gradients(pairwise_reference(metric), wide, upstream)
    for path in checks.PATHS:
        made, made_gradients = checks.value_and_gradients(pairwise(metric), args, upstream, path)
        checks.assert_close(made, value, checks.STORED_TOLERANCE[dtype], path)
        for a, b in zip(made_gradients, gradients, strict=True):
            checks.assert_close(a, b, 2 * checks.STORED_TOLERANCE[dtype], path)


@metrics
@pytest.mark.parametrize("dtype", checks.DTYPES)
def test_paired_value_and_gradient(metric, dtype):
    x = tf.cast(inputs.points(3, 11, 19, seed=1), dtype)
    y = tf.cast(inputs.points(3, 11, 19, seed=2), dtype)
    upstream = tf.cast(tf.cast(inputs.points(3, 11, seed=3), dtype), tf.float64)

    def fused(x, y):
        return tpw.paired_distance(x, y, metric)

    def plain(x, y):
        return reference.paired_distance(x, y, metric)

    wide = [tf.cast(x, tf.float64), tf.cast(y, tf.float64)]
    value, gradients = checks.value_and_gradients(plain, wide, upstream)
    for path in checks.PATHS:
        made, made_gradients = checks.value_and_gradients(fused, [x, y], upstream, path)
        checks.assert_close(made, value, checks.STORED_TOLERANCE[dtype], path)
        for a, b in zip(made_gradients, gradients, strict=True):
            checks.assert_close(a, b, 2 * checks.STORED_TOLERANCE[dtype], path)


def assert_same_as_reference(n, m, d, metric, itself, dtype, seed):
    x = inputs.points(n, d, seed=seed).astype(dtype)
    args = [x] if itself else [x, inputs.points(m, d, seed=seed + 1).astype(dtype)]
    upstream = inputs.points(n, n if itself else m, seed=seed + 2).astype(np.float64)
    wide = [a.astype(np.float64) for a in args]
    value, gradients = checks.value_and_gradients(pairwise_reference(metric), wide, upstream)
    made, made_gradients = checks.value_and_gradients(pairwise(metric), args, upstream)
    tolerance = checks.LOSS_TOLERANCE[np.dtype(dtype).name]
    checks.assert_close(made, value, tolerance)
    # A cosine's gradient at d = 1 is rounding around 0, of size 1 / |x|.
    if metric != "cosine" or d > 1:
        for a, b in zip(made_gradients, gradients, strict=True):
            checks.assert_close(a, b, 2 * tolerance)


@hypothesis.settings(max_examples=120)
@hypothesis.given(
    n=st.sampled_from(EDGES),
    m=st.sampled_from(EDGES),
    d=st.sampled_from((1, 2, 3, 7, 8, 9, 15, 16, 17, 64, 65, 130)),
    metric=st.sampled_from(inputs.METRICS),
    itself=st.booleans(),
    dtype=st.sampled_from((np.float32, np.float64)),
    seed=st.integers(0, 1000),
)
def test_tile_edges(n, m, d, metric, itself, dtype, seed):
    assert_same_as_reference(n, m, d, metric, itself, dtype, seed)


@metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "n,m,d", [(257, 65, 1), (65, 256, 2), (255, 97, 33), (9, 11, 1000), (2, 513, 5), (513, 1, 5)]
)
def test_larger_than_a_tile(n, m, d, metric, dtype):
    assert_same_as_reference(n, m, d, metric, False, dtype, 5)
    assert_same_as_reference(max(n, m), 0, min(d, 33), metric, True, dtype, 6)


@pytest.mark.slow
@metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", EDGES + BIG_EDGES)
def test_every_tile_edge(n, metric, dtype):
    for m in EDGES + BIG_EDGES:
        assert_same_as_reference(n, m, 5, metric, False, dtype, n + m)
    for d in (1, 2, 3, 31, 32, 33, 127, 128, 129):
        assert_same_as_reference(n, n, d, metric, True, dtype, n + d)


@metrics
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_leading_dimensions(metric, dtype):
    x = tf.cast(inputs.points(2, 3, 7, 5, seed=1), dtype)
    y = tf.cast(inputs.points(2, 3, 4, 5, seed=2), dtype)
    upstream = inputs.points(2, 3, 7, 4, seed=3)
    made, (x_grad, y_grad) = checks.value_and_gradients(pairwise(metric), [x, y], upstream)
    itself, (itself_grad,) = checks.value_and_gradients(pairwise(metric), [x])
    assert made.shape == (2, 3, 7, 4) and itself.shape == (2, 3, 7, 7)
    # A batch's distances do not depend on the batches beside it.
    for i, j in np.ndindex(2, 3):
        one, (one_x, one_y) = checks.value_and_gradients(
            pairwise(metric), [x[i, j], y[i, j]], upstream[i, j]
        )
        np.testing.assert_array_equal(made[i, j], one)
        np.testing.assert_array_equal(x_grad[i, j], one_x)
        np.testing.assert_array_equal(y_grad[i, j], one_y)
        one, (one_grad,) = checks.value_and_gradients(pairwise(metric), [x[i, j]])
        np.testing.assert_array_equal(itself[i, j], one)
        np.testing.assert_array_equal(itself_grad[i, j], one_grad)


@metrics
@pytest.mark.parametrize(
    "x,y",
    [
        ((0, 3), (4, 3)),
        ((4, 3), (0, 3)),
        ((0, 3), (0, 3)),
        ((2, 0), (3, 0)),
        ((0, 2, 3), (0, 4, 3)),
        ((2, 0, 4, 3), (2, 0, 5, 3)),
        ((5, 0, 3), (5, 4, 3)),
    ],
)
def test_nothing_there(metric, x, y):
    x, y = np.zeros(x, np.float32), np.zeros(y, np.float32)
    expected = reference.pairwise_distance(x, y, metric).numpy()
    made, gradients = checks.value_and_gradients(pairwise(metric), [x, y])
    np.testing.assert_array_equal(made, expected)
    assert not any(np.any(g) for g in gradients)
    made, gradients = checks.value_and_gradients(pairwise(metric), [x])
    np.testing.assert_array_equal(made, reference.pairwise_distance(x, metric=metric))
    paired = tpw.paired_distance(x, x, metric)
    np.testing.assert_array_equal(paired, reference.paired_distance(x, x, metric))


@metrics
def test_points_without_leading_dimensions_are_paired(metric):
    x, y = inputs.points(7, seed=1), inputs.points(7, seed=2)
    made = tpw.paired_distance(x, y, metric)
    assert made.shape == ()
    checks.assert_close(made, reference64(reference.paired_distance, x, y, metric=metric), 2e-5)


@metrics
@pytest.mark.parametrize("dtype", checks.DTYPES)
def test_the_diagonal_is_exact(metric, dtype):
    x = inputs.points(70, 13, seed=1, offset=10.0).astype(np.float64)
    x[7] = 0.0
    x = tf.cast(x, dtype)
    diagonal = np.diag(checks.to_float64(tpw.pairwise_distance(x, metric=metric)))
    if metric == "dot":
        squared = np.sum(np.square(checks.to_float64(x)), axis=1)
        checks.assert_close(diagonal, -squared, checks.STORED_TOLERANCE[dtype])
    else:
        expected = np.zeros(70)
        expected[7] = 1.0 if metric == "cosine" else 0.0
        np.testing.assert_array_equal(diagonal, expected)


@metrics
def test_default_metric_and_arrays(metric):
    x = inputs.points(4, 3)
    np.testing.assert_array_equal(tpw.pairwise_distance(x), tpw.pairwise_distance(tf.constant(x)))
    euclidean = tpw.pairwise_distance(x, metric="euclidean")
    np.testing.assert_array_equal(tpw.pairwise_distance(x), euclidean)
    # Positional metric, points as a list.
    other = tpw.pairwise_distance(x.tolist(), x[:2].tolist(), metric)
    checks.assert_close(other, reference.pairwise_distance(x, x[:2], metric), 1e-3)


# ---- derivatives ----


@metrics
@pytest.mark.parametrize("form", ["itself", "two", "paired"])
def test_first_and_second_derivatives(metric, form):
    # Coordinates are further apart than the steps of the check: no kink of manhattan is met.
    x = inputs.points(4, 3, seed=3, dtype=np.float64)
    y = inputs.points(4 if form == "paired" else 3, 3, seed=4, dtype=np.float64)
    args = [x] if form == "itself" else [x, y]

    def value(*args):
        if form == "paired":
            return tpw.paired_distance(*args, metric=metric)
        return tpw.pairwise_distance(*args, metric=metric)

    checks.assert_gradients(value, args)

    def gradient(upstream, *args):
        with tf.GradientTape() as tape:
            tape.watch(args)
            distances = value(*args)
        return tf.concat(tape.gradient(distances, args, upstream), axis=0)

    upstream = inputs.points(*value(*args).shape, seed=5, dtype=np.float64)
    checks.assert_gradients(gradient, [upstream, *args])


@metrics
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("form", ["itself", "two", "paired"])
def test_second_derivatives_are_those_of_the_reference(metric, dtype, form):
    # Small, for the second derivatives to be in float16's range.
    x = tf.cast(inputs.points(2, 35, 9, seed=3, scale=0.3), dtype)
    y = tf.cast(inputs.points(2, 35 if form == "paired" else 21, 9, seed=4, scale=0.3), dtype)
    args = (x,) if form == "itself" else (x, y)

    def second(module, args):
        function = module.paired_distance if form == "paired" else module.pairwise_distance
        with tf.GradientTape() as outer:
            outer.watch(args)
            with tf.GradientTape() as tape:
                tape.watch(args)
                distances = function(*args, metric=metric)
                # Not linear in the distances: their upstream gradient depends on them.
                out = tf.reduce_sum(tf.square(tf.cast(distances, tf.float64))) / 64
            first = tape.gradient(out, args)
            penalty = tf.add_n([tf.reduce_sum(tf.square(tf.cast(g, tf.float64))) for g in first])
        return outer.gradient(penalty, args)

    expected = second(reference, tuple(tf.cast(a, tf.float64) for a in args))
    made = second(tpw, args)
    # Four roundings to a half on the way.
    tolerance = 4 * checks.STORED_TOLERANCE[dtype]
    for a, b in zip(made, expected, strict=True):
        assert a.dtype == dtype
        checks.assert_close(checks.to_float64(a), b, tolerance)


@metrics
@pytest.mark.parametrize("dtype", checks.DTYPES)
def test_derivatives_at_zero_distance_are_zero(metric, dtype):
    points = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    x = tf.constant(points, dtype)
    for form in ("itself", "two", "paired"):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                if form == "itself":
                    distances = tpw.pairwise_distance(x[2:], metric=metric)
                elif form == "two":
                    distances = tpw.pairwise_distance(x[:2], x[:2], metric)
                else:
                    distances = tpw.paired_distance(x, x[::1], metric)
            first = tape.gradient(distances, x)
            total = tf.reduce_sum(tf.cast(first, tf.float32) ** 2)
        second = outer.gradient(total, x)
        first = checks.to_float64(first)
        assert np.isfinite(first).all()
        assert np.isfinite(checks.to_float64(second)).all()
        if metric != "dot":
            tolerance = 0.0 if metric in DIFFERENCES else 4 * checks.STORED_TOLERANCE[dtype]
            np.testing.assert_allclose(first, 0.0, atol=tolerance)


@metrics
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zero_vectors(metric, dtype):
    x = inputs.points(9, 5, seed=1).astype(dtype)
    x[[0, 4]] = 0.0
    expected, expected_gradients = checks.value_and_gradients(
        pairwise_reference(metric), [x.astype(np.float64)]
    )
    made, gradients = checks.value_and_gradients(pairwise(metric), [x])
    checks.assert_close(made, expected, checks.LOSS_TOLERANCE[dtype])
    checks.assert_close(gradients[0], expected_gradients[0], 2 * checks.LOSS_TOLERANCE[dtype])
    if metric == "cosine":
        np.testing.assert_array_equal(made[[0, 4]], 1.0)
        np.testing.assert_array_equal(gradients[0][[0, 4]], 0.0)


# ---- accuracy in float32 ----

TRUE = 1e-5  # relative, in float32, whatever the offset and however close


def truth(x, y, metric):
    """The distances of float32 points, in float64 from their differences."""
    return reference.pairwise_distance(
        tf.constant(np.asarray(x, np.float64)), tf.constant(np.asarray(y, np.float64)), metric
    ).numpy()


def assert_accurate(x, y, metric, relative=TRUE):
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    expected = truth(x, y, metric)
    atol = 0.0
    if metric == "cosine":
        atol = 1e-14  # the truth's own
    made = tpw.pairwise_distance(x, y, metric).numpy()
    np.testing.assert_allclose(made, expected, relative, atol)
    if len(x) == len(y):
        paired = tpw.paired_distance(x, y, metric).numpy()
        np.testing.assert_allclose(paired, np.diag(expected), relative, atol)
    both = np.concatenate([x, y])
    made = tpw.pairwise_distance(both, metric=metric).numpy()
    np.testing.assert_allclose(made, truth(both, both, metric), relative, atol)


@pytest.mark.parametrize("metric", DIFFERENCES)
def test_large_numbers_close_together(metric):
    assert_accurate([[512695.0]], [[512804.0]], metric)
    expected = 109.0**2 if metric == "squared_euclidean" else 109.0
    assert tpw.pairwise_distance([[512695.0]], [[512804.0]], metric).numpy() == expected


@pytest.mark.parametrize("metric", DIFFERENCES + ("cosine",))
def test_a_thousand_small_differences(metric):
    ones = np.ones((1, 1000), np.float32)
    assert_accurate(ones, ones * np.float32(1.001), metric)
    nearly = ones.copy()
    nearly[0, ::2] *= np.float32(1.001)
    assert_accurate(ones, nearly, metric)


@pytest.mark.parametrize(
    "metric, d",
    [(metric, d) for metric in DIFFERENCES for d in (1, 3, 64, 300)]
    + [("cosine", d) for d in (3, 64, 300)],  # vectors on a line are at distance 0
)
def test_near_duplicates_far_from_the_origin(metric, d):
    x = inputs.points(40, d, seed=1, offset=1e4)
    near = x + inputs.points(40, d, seed=2, scale=0.02)
    assert_accurate(x, near, metric)
    # Clusters apart: no one centre makes them small.
    centres = np.repeat(inputs.points(4, d, seed=3, scale=1e4), 10, axis=0)
    assert_accurate(
        centres + inputs.points(40, d, seed=4, scale=0.02),
        centres + inputs.points(40, d, seed=5, scale=0.02),
        metric,
    )


@pytest.mark.parametrize("metric", DIFFERENCES + ("cosine",))
@pytest.mark.parametrize("d", [1, 2, 3, 5, 16])
def test_many_points_of_few_coordinates(metric, d):
    # Among so many pairs some are just far enough apart for |x|^2 + |y|^2 - 2 x.y to be trusted.
    x, y = inputs.points(2, 300, d, seed=1)
    assert_accurate(x, y, metric)


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    metric=st.sampled_from(DIFFERENCES + ("cosine",)),
    offset=st.sampled_from((0.0, 1.0, 30.0, 1e3, 1e5)),
    closeness=st.sampled_from((1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6)),
    scale=st.sampled_from((1e-12, 1e-3, 1.0, 1e6, 1e12)),
    n=st.sampled_from((1, 5, 17, 64, 70)),
    d=st.sampled_from((2, 3, 8, 31, 130)),
    seed=st.integers(0, 1000),
)
def test_accuracy_at_any_offset_and_closeness(metric, offset, closeness, scale, n, d, seed):
    x = inputs.points(n, d, seed=seed, offset=offset, dtype=np.float64)
    y = x + inputs.points(n, d, seed=seed + 1, scale=closeness, dtype=np.float64)
    assert_accurate(x * scale, y * scale, metric)


# The squares themselves would leave float32's range.
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
@pytest.mark.parametrize("scale", [1e20, 1e-25, "both"])
def test_huge_and_tiny(metric, scale):
    x = inputs.points(20, 16, seed=1, dtype=np.float64)
    y = inputs.points(20, 16, seed=2, dtype=np.float64)
    if scale == "both":
        for z in (x, y):
            z[::2] *= 1e18
            z[1::2] *= 1e-25
    else:
        x, y = x * scale, y * scale
    assert_accurate(x, y, metric)
    # The gradients are directions: of any size of points, they are of size 1.
    if metric != "cosine":
        x, y = x.astype(np.float32), y.astype(np.float32)
        _, made = checks.value_and_gradients(pairwise(metric), [x, y])
        _, expected = checks.value_and_gradients(
            pairwise_reference(metric), [x.astype(np.float64), y.astype(np.float64)]
        )
        for a, b in zip(made, expected, strict=True):
            checks.assert_close(a, b, 2e-5)


@metrics
def test_halves_are_computed_in_float32(metric):
    # |x|^2 is past float16's largest number, the distances are not.
    x = tf.cast(inputs.points(20, 64, seed=1, scale=60.0), tf.float16)
    if metric in ("squared_euclidean", "dot"):
        x = x / 10
    made, (gradient,) = checks.value_and_gradients(pairwise(metric), [x])
    wide = [tf.cast(x, tf.float64)]
    expected, (expected_gradient,) = checks.value_and_gradients(pairwise_reference(metric), wide)
    checks.assert_close(made, expected, 1e-3)
    checks.assert_close(gradient, expected_gradient, 2e-3)


def test_float64_keeps_its_digits():
    x = inputs.points(30, 20, seed=1, offset=1e4, dtype=np.float64)
    near = x + inputs.points(30, 20, seed=2, scale=1e-3, dtype=np.float64)
    for metric in DIFFERENCES:
        made = tpw.pairwise_distance(x, near, metric)
        np.testing.assert_allclose(made, reference.pairwise_distance(x, near, metric), 1e-9)


# ---- properties ----

small = st.sampled_from((1, 2, 3, 7, 16, 33, 65))


@hypothesis.given(n=small, d=small, metric=st.sampled_from(inputs.METRICS), seed=st.integers(0, 99))
def test_order_does_not_matter(n, d, metric, seed):
    x = inputs.points(n, d, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    made = tpw.pairwise_distance(x, metric=metric).numpy()
    checks.assert_close(tpw.pairwise_distance(x[order], metric=metric), made[order][:, order], 2e-6)
    checks.assert_close(made, made.T, 2e-6)


@hypothesis.given(
    n=small, d=small, metric=st.sampled_from(DIFFERENCES), shift=st.sampled_from((-64.0, 8192.0))
)
def test_translation_does_not_matter(n, d, metric, shift):
    # On a grid, so that the shift rounds nothing.
    x = np.round(inputs.points(n, d, seed=n) * 64) / 64
    made = tpw.pairwise_distance(x, metric=metric)
    shifted = tpw.pairwise_distance(x + np.float32(shift), metric=metric)
    np.testing.assert_allclose(made, shifted, 1e-5, 0)


@pytest.mark.parametrize("metric", (*DIFFERENCES, "cosine"))
@pytest.mark.parametrize("dtype", checks.DTYPES)
@pytest.mark.parametrize("d", [1, 3, 64, 200])
def test_duplicates_are_at_distance_zero(metric, dtype, d):
    x = tf.cast(np.repeat(inputs.points(9, d, seed=1, offset=3.0), 3, axis=0), dtype)
    same = np.arange(27)[:, None] // 3 == np.arange(27) // 3
    atol = 1e-14 if metric == "cosine" else 0.0
    for made in (
        tpw.pairwise_distance(x, metric=metric),
        tpw.pairwise_distance(x, tf.identity(x), metric),
    ):
        np.testing.assert_allclose(checks.to_float64(made)[same], 0.0, atol=atol)
    np.testing.assert_allclose(
        checks.to_float64(tpw.paired_distance(x, tf.identity(x), metric)), 0.0, atol=atol
    )


@metrics
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_nan_stays_in_its_row(metric, bad, dtype):
    x, y = inputs.points(40, 9, seed=1), inputs.points(35, 9, seed=2)
    clean = checks.to_float64(tpw.pairwise_distance(tf.cast(x, dtype), tf.cast(y, dtype), metric))
    x[3, 4] = bad
    y[7, 0] = bad
    made = checks.to_float64(tpw.pairwise_distance(tf.cast(x, dtype), tf.cast(y, dtype), metric))
    bad_rows = (np.arange(40) == 3)[:, None] | (np.arange(35) == 7)
    np.testing.assert_array_equal(np.isnan(made), bad_rows)
    tolerance = checks.STORED_TOLERANCE[dtype]
    checks.assert_close(made[~bad_rows], clean[~bad_rows], tolerance)

    itself = checks.to_float64(tpw.pairwise_distance(tf.cast(x, dtype), metric=metric))
    rows = np.arange(40) == 3
    np.testing.assert_array_equal(np.isnan(itself), rows[:, None] | rows)
    paired = tpw.paired_distance(tf.cast(x[:35], dtype), tf.cast(y, dtype), metric)
    bad_pairs = (np.arange(35) == 3) | (np.arange(35) == 7)
    np.testing.assert_array_equal(np.isnan(checks.to_float64(paired)), bad_pairs)


# ---- in graphs ----


@metrics
def test_unknown_shapes(metric):
    unknown = tf.TensorSpec(None, tf.float32)
    for spec in (unknown, tf.TensorSpec([None, None], tf.float32)):

        @tf.function(input_signature=[spec, spec])
        def both(x, y):
            with tf.GradientTape() as tape:
                tape.watch([x, y])
                out = tpw.pairwise_distance(x, y, metric)
            return out, tape.gradient(out, [x, y]), tpw.pairwise_distance(x, metric=metric)

        for n, m in ((5, 3), (1, 1), (0, 2)):
            x, y = inputs.points(n, 4), inputs.points(m, 4, seed=1)
            made, gradients, itself = both(x, y)
            expected, expected_gradients = checks.value_and_gradients(pairwise(metric), [x, y])
            np.testing.assert_array_equal(made, expected)
            for a, b in zip(gradients, expected_gradients, strict=True):
                np.testing.assert_array_equal(a, b.astype(np.float32))
            np.testing.assert_array_equal(itself, tpw.pairwise_distance(x, metric=metric))


def test_static_shapes_are_inferred():
    @tf.function(input_signature=[tf.TensorSpec([2, None, 4, 3]), tf.TensorSpec([2, None, 5, 3])])
    def traced(x, y):
        assert tpw.pairwise_distance(x, y).shape.as_list() == [2, None, 4, 5]
        assert tpw.pairwise_distance(x).shape.as_list() == [2, None, 4, 4]
        assert tpw.paired_distance(x, x).shape.as_list() == [2, None, 4]
        return x

    traced.get_concrete_function()

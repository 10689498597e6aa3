"""The fused triplet losses and miners: against the reference, gradients, properties."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs, properties
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

metrics = pytest.mark.parametrize("metric", inputs.METRICS)
minings = pytest.mark.parametrize("mining", inputs.MININGS)
dtypes = pytest.mark.parametrize("dtype", checks.DTYPES)
EDGES = (0, 1, 2, 3, 5, 6, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65)
BIG_EDGES = (95, 96, 97, 127, 129, 191, 193, 255, 256, 257)
HALVES = ("float16", "bfloat16")

# A margin at which some triplets of `inputs.batch` count and others do not.
MARGIN = 0.3


class Batch:
    """A labelled batch, its references if it has any, and the options of a call with it."""

    def __init__(self, n=24, d=7, classes=4, seed=0, refs=None, weighted=False, m=None):
        if refs is None:
            x, self.labels = inputs.batch(n, d, classes, seed)
            self.points = [x]
            self.options = {}
        else:
            m = n + 9 if m is None else m
            x, self.labels, y, ref_labels, k = inputs.references(n, m, d, classes, seed)
            if refs == "others":
                x = x + inputs.points(n, d, seed=seed + 1, scale=0.1)
            self.points = [x, y]
            self.options = {"ref_labels": ref_labels}
            if refs == "offset":
                self.options["self_offset"] = k
        if weighted:
            self.options["sample_weight"] = inputs.weights(n, seed)

    def cast(self, dtype):
        return [tf.cast(x, dtype) for x in self.points]

    def call(self, function, points, **options):
        if len(points) == 2:
            options["ref_embeddings"] = points[1]
        return function(points[0], self.labels, **self.options, **options)


def assert_same_loss(batch, dtypes, paths=("tape",), upstream=None, **options):
    """Value and gradients of the fused loss against the reference in float64."""

    def loss(module):
        return lambda *points: batch.call(module.batch_triplet_loss, points, **options)

    if options["reduction"] == "none" and upstream is None:
        upstream = inputs.points(len(batch.labels), seed=9, dtype=np.float64)
    expected = {}
    for dtype in dtypes:
        points = batch.cast(dtype)
        rounding = dtype if dtype in HALVES else "none"
        if rounding not in expected:
            wide = [tf.cast(x, tf.float64) for x in points]
            expected[rounding] = checks.value_and_gradients(loss(reference), wide, upstream)
        value, gradients = expected[rounding]
        tolerance = checks.LOSS_TOLERANCE[dtype]
        stored = 2 * checks.STORED_TOLERANCE[dtype] if dtype in HALVES else 3 * tolerance
        for path in paths:
            made, made_gradients = checks.value_and_gradients(loss(tpw), points, upstream, path)
            checks.assert_close(made, value, tolerance, f"loss, {dtype}, {path}")
            for a, b in zip(made_gradients, gradients, strict=True):
                checks.assert_close(a, b, stored, f"gradient, {dtype}, {path}")


# ---- the losses of a batch, against the reference ----

CASES = {
    "plain": {},
    "weights": dict(weighted=True),
    "refs": dict(refs="others", weighted=True),
    "self_offset": dict(refs="offset"),
    "soft": dict(weighted=True),
    "soft_refs": dict(refs="offset", weighted=True),
}


@metrics
@minings
@pytest.mark.parametrize("case", CASES)
def test_batch_loss(metric, mining, case):
    margin = None if case.startswith("soft") else MARGIN
    if margin is None and mining not in inputs.SOFT_MININGS:
        pytest.skip("no soft margin")
    batch = Batch(seed=3, **CASES[case])
    for reduction in inputs.REDUCTIONS:
        options = dict(metric=metric, mining=mining, margin=margin, reduction=reduction)
        assert_same_loss(batch, ("float64", "float32"), ("tape", "traced"), **options)


@metrics
@minings
@pytest.mark.parametrize("dtype", HALVES)
def test_batch_loss_of_halves(metric, mining, dtype):
    for case in ("weights", "refs"):
        batch = Batch(seed=5, **CASES[case])
        for margin in (MARGIN, None) if mining in inputs.SOFT_MININGS else (MARGIN,):
            options = dict(metric=metric, mining=mining, margin=margin)
            assert_same_loss(batch, [dtype], ["tape"], reduction="mean", **options)
            assert_same_loss(batch, [dtype], ["traced"], reduction="mean_nonzero", **options)
            assert_same_loss(batch, [dtype], ["tape"], reduction="none", **options)


@minings
@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_gradients_in_graphs(mining, reduction):
    batch = Batch(refs="offset", weighted=True)
    options = dict(margin=MARGIN, mining=mining, metric="euclidean", reduction=reduction)
    assert_same_loss(batch, ["float32"], ["graph"], **options)


@minings
def test_an_upstream_gradient_scales(mining):
    batch = Batch(weighted=True)
    options = dict(margin=MARGIN, mining=mining, metric="squared_euclidean", reduction="mean")
    assert_same_loss(batch, checks.DTYPES, checks.PATHS, np.float64(-96.0), **options)


def test_a_loss_scale_reaches_small_gradients_of_halves():
    # 1e-6 of the gradient is below float16's least; times 2^15 it is not.
    batch = Batch(n=64, weighted=False)
    options = dict(margin=MARGIN, mining="all", metric="euclidean", reduction="mean")
    x = tf.cast(batch.points[0], tf.float16)
    wide = tf.cast(x, tf.float64)
    small = tf.constant(1e-7, tf.float32)

    def loss(module, x):
        value = batch.call(module.batch_triplet_loss, [x], **options)
        return value * tf.cast(small, value.dtype) * 2.0**24

    _, (made,) = checks.value_and_gradients(lambda x: loss(tpw, x), [x])
    _, (expected,) = checks.value_and_gradients(lambda x: loss(reference, x), [wide])
    checks.assert_close(made, expected, 2e-3)


@metrics
@minings
def test_defaults(metric, mining):
    x, labels = inputs.batch(20, 5, 4)
    made = tpw.batch_triplet_loss(x, labels)
    explicit = tpw.batch_triplet_loss(
        x, labels, 1.0, mining="semi_hard", metric="euclidean", reduction="mean"
    )
    assert made == explicit and made.dtype == tf.float32 and made.shape == ()
    mined = tpw.mine_triplets(x, labels)
    np.testing.assert_array_equal(mined, tpw.mine_triplets(x, labels, 1.0, mining="semi_hard"))
    made = tpw.batch_triplet_loss(x.tolist(), labels.tolist(), mining=mining, metric=metric)
    expected = reference.batch_triplet_loss(
        x.astype(np.float64), labels, mining=mining, metric=metric
    )
    checks.assert_close(made, expected, 2e-5)


@minings
@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_types_and_shapes_of_labels(mining, dtype):
    x, labels = inputs.batch(20, 5, 4)
    expected = tpw.batch_triplet_loss(x, labels, mining=mining)
    for made in (labels.astype(dtype), labels.astype(dtype)[:, None]):
        assert tpw.batch_triplet_loss(x, made, mining=mining) == expected
        assert tpw.batch_triplet_loss(x, tf.constant(made), mining=mining) == expected
        np.testing.assert_array_equal(
            tpw.mine_triplets(x, made, mining=mining), tpw.mine_triplets(x, labels, mining=mining)
        )
    refs = dict(ref_embeddings=x, ref_labels=labels.astype(dtype)[:, None], self_offset=0)
    mixed = tpw.batch_triplet_loss(x, labels.astype(np.int64), mining=mining, **refs)
    checks.assert_close(mixed, expected, 1e-6)


def test_large_labels_do_not_collide():
    x, labels = inputs.batch(20, 5, 4)
    expected = tpw.batch_triplet_loss(x, labels, mining="all")
    for far in (2**24, 2**53, 2**62):
        made = tpw.batch_triplet_loss(x, labels.astype(np.int64) + far, mining="all")
        assert made == expected
        assert tpw.batch_triplet_loss(x, -far - labels.astype(np.int64), mining="all") == expected


@minings
@pytest.mark.parametrize("dtype", ["int32", "int64", "float16", "float32", "float64"])
def test_types_of_weights(mining, dtype):
    x, labels = inputs.batch(20, 5, 4)
    weights = np.arange(20) % 4
    expected = reference.batch_triplet_loss(
        x.astype(np.float64), labels, mining=mining, sample_weight=weights
    )
    made = tpw.batch_triplet_loss(x, labels, mining=mining, sample_weight=weights.astype(dtype))
    assert made.dtype == tf.float32
    checks.assert_close(made, expected, 2e-5)


@minings
@pytest.mark.parametrize("function", ["batch", "explicit"])
def test_weights_are_constants(mining, function):
    x, labels = inputs.batch(12, 4, 3)
    weights = tf.constant(inputs.weights(12))
    with tf.GradientTape() as tape:
        tape.watch(weights)
        if function == "batch":
            loss = tpw.batch_triplet_loss(x, labels, mining=mining, sample_weight=weights)
        else:
            loss = tpw.triplet_loss(x, x[::-1], x + 1, sample_weight=weights)
    assert tape.gradient(loss, weights) is None


@minings
def test_self_offset_may_be_a_tensor(mining):
    batch = Batch(refs="offset")
    k = batch.options["self_offset"]
    points = batch.cast("float32")
    expected = batch.call(tpw.batch_triplet_loss, points, mining=mining)
    triplets = batch.call(tpw.mine_triplets, points, mining=mining)

    @tf.function
    def traced(k):
        batch.options["self_offset"] = k
        return (
            batch.call(tpw.batch_triplet_loss, points, mining=mining),
            batch.call(tpw.mine_triplets, points, mining=mining),
        )

    for dtype in (tf.int32, tf.int64):
        loss, mined = traced(tf.constant(k, dtype))
        assert loss == expected
        np.testing.assert_array_equal(mined, triplets)


@minings
@pytest.mark.parametrize("k", [0, 3])
def test_the_own_reference_is_neither(mining, k):
    # Even if it has another label, when it would be the nearest negative.
    x, labels, y, ref_labels, _ = inputs.references(8, 14, 5, 3)
    y, ref_labels = y.copy(), ref_labels.copy()
    y[k : k + 8] = x
    ref_labels[k : k + 8] = labels + 1
    options = dict(ref_embeddings=y, ref_labels=ref_labels, self_offset=k)
    for margin in (0.3, 5.0):
        mined = tpw.mine_triplets(x, labels, margin, mining=mining, **options).numpy()
        np.testing.assert_array_equal(
            mined,
            reference.mine_triplets(
                x.astype(np.float64),
                labels,
                margin,
                mining=mining,
                **dict(options, ref_embeddings=y.astype(np.float64)),
            ),
        )
        assert not np.any(mined[:, 1:] == mined[:, :1] + k)
        made = tpw.batch_triplet_loss(x, labels, margin, mining=mining, **options)
        expected = reference.batch_triplet_loss(
            x.astype(np.float64),
            labels,
            margin,
            mining=mining,
            **dict(options, ref_embeddings=y.astype(np.float64)),
        )
        checks.assert_close(made, expected, 2e-5)


@metrics
@minings
def test_self_offset_equals_the_batch_itself(metric, mining):
    # A replica's part of a global batch, and the whole.
    x, labels = inputs.batch(30, 6, 4)
    whole, (gradient,) = checks.value_and_gradients(
        lambda x: tpw.batch_triplet_loss(
            x, labels, MARGIN, mining=mining, metric=metric, reduction="sum"
        ),
        [x.astype(np.float64)],
    )
    value, total = 0.0, np.zeros_like(gradient)
    for rows in (slice(0, 11), slice(11, 30)):
        part, (anchors, refs) = checks.value_and_gradients(
            lambda a, r, rows=rows: tpw.batch_triplet_loss(
                a,
                labels[rows],
                MARGIN,
                mining=mining,
                metric=metric,
                ref_embeddings=r,
                ref_labels=labels,
                self_offset=rows.start,
                reduction="sum",
            ),
            [x[rows].astype(np.float64), x.astype(np.float64)],
        )
        value += part
        total += refs
        total[rows] += anchors
    checks.assert_close(value, whole, 1e-10)
    checks.assert_close(total, gradient, 1e-9)


# ---- explicit triplets ----


@metrics
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("margin", [0.2, None])
@pytest.mark.parametrize("weighted", [False, True])
def test_triplet_loss(metric, swap, margin, weighted):
    points = inputs.triplets(37, 19, seed=3)
    weights = inputs.weights(37) if weighted else None
    for reduction in inputs.REDUCTIONS:
        options = dict(metric=metric, swap=swap, reduction=reduction, sample_weight=weights)
        upstream = inputs.points(37, seed=9) if reduction == "none" else np.float64(3.0)

        def loss(module, options=options):
            return lambda *points: module.triplet_loss(*points, margin, **options)

        for dtype in checks.DTYPES:
            args = [tf.cast(x, dtype) for x in points]
            wide = [tf.cast(x, tf.float64) for x in args]
            value, gradients = checks.value_and_gradients(loss(reference), wide, upstream)
            tolerance = checks.LOSS_TOLERANCE[dtype]
            stored = 2 * checks.STORED_TOLERANCE[dtype] if dtype in HALVES else 3 * tolerance
            for path in ("tape", "traced"):
                made, made_gradients = checks.value_and_gradients(loss(tpw), args, upstream, path)
                checks.assert_close(made, value, tolerance)
                for a, b in zip(made_gradients, gradients, strict=True):
                    checks.assert_close(a, b, stored)


def test_triplet_loss_in_graphs_and_by_default():
    args = [tf.constant(x) for x in inputs.triplets(20, 6)]
    wide = [tf.cast(x, tf.float64) for x in args]
    expected, expected_gradients = checks.value_and_gradients(reference.triplet_loss, wide)
    made, gradients = checks.value_and_gradients(tpw.triplet_loss, args, path="graph")
    checks.assert_close(made, expected, 2e-5)
    for a, b in zip(gradients, expected_gradients, strict=True):
        checks.assert_close(a, b, 6e-5)
    assert tpw.triplet_loss(*args).dtype == tf.float32
    assert tpw.triplet_loss(*[tf.cast(x, tf.bfloat16) for x in args]).dtype == tf.float32
    assert tpw.triplet_loss(*wide).dtype == tf.float64


@metrics
@pytest.mark.parametrize("n,d", [(0, 3), (1, 1), (3, 0), (5, 1), (2, 1000), (300, 2), (129, 65)])
def test_triplet_loss_sizes(metric, n, d):
    args = [x.astype(np.float64) for x in inputs.triplets(n, max(d, 1))]
    args = [x[:, :d] for x in args]
    for swap in (False, True):
        for reduction in inputs.REDUCTIONS:
            options = dict(metric=metric, swap=swap, reduction=reduction, margin=0.1)
            expected, expected_gradients = checks.value_and_gradients(
                lambda *x, o=options: reference.triplet_loss(*x, **o), args
            )
            made, gradients = checks.value_and_gradients(
                lambda *x, o=options: tpw.triplet_loss(*x, **o), args
            )
            checks.assert_close(made, expected, 1e-9)
            for a, b in zip(gradients, expected_gradients, strict=True):
                np.testing.assert_allclose(a, b, 1e-9, 1e-9)


def test_a_tie_of_swap_goes_to_the_anchor():
    # d(a, n) = d(p, n): the gradient is that of d(a, n), and p's is of d(a, p) alone.
    a, p, n = (tf.constant([v], tf.float32) for v in ([0.0, 1.0], [0.0, -1.0], [2.0, 0.0]))
    for metric in ("euclidean", "squared_euclidean"):
        _, swapped = checks.value_and_gradients(
            lambda *x, m=metric: tpw.triplet_loss(*x, metric=m, swap=True), [a, p, n]
        )
        _, plain = checks.value_and_gradients(
            lambda *x, m=metric: tpw.triplet_loss(*x, metric=m, swap=False), [a, p, n]
        )
        for made, expected in zip(swapped, plain, strict=True):
            np.testing.assert_array_equal(made, expected)


@metrics
def test_equal_triplets_have_no_gradient_but_the_margins(metric):
    x = inputs.points(6, 4, dtype=np.float64)
    made, gradients = checks.value_and_gradients(
        lambda a, p, n: tpw.triplet_loss(a, p, n, 0.25, metric=metric), [x, x, x]
    )
    checks.assert_close(made, 0.25, 1e-12)
    assert all(np.isfinite(g).all() for g in gradients)
    if metric not in ("cosine", "dot"):
        assert not any(g.any() for g in gradients)
    # At the kink, loss 0, the gradient is 0.
    made, gradients = checks.value_and_gradients(
        lambda a, p, n: tpw.triplet_loss(a, p, n, 0.0, metric=metric), [x, x + 1, x + 1]
    )
    assert made == 0.0 and not any(g.any() for g in gradients)


# ---- gradients by finite differences ----


def clear_batch(metric, margin, refs):
    """A batch in which no order of distances, and no hinge, turns within a finite difference."""
    for seed in range(200):
        batch = Batch(n=6, d=3, classes=2, seed=seed, refs="others" if refs else None, m=7)
        points = [x.astype(np.float64) for x in batch.points]
        other = points[-1]
        D = reference.pairwise_distance(points[0], other, metric).numpy()
        hinges = D[:, :, None] - D[:, None, :]
        gaps = [np.abs(hinges), np.abs(hinges + margin), np.abs(hinges - margin)]
        if not refs:
            np.fill_diagonal(D, np.inf)
        apart = ~np.eye(D.shape[1], dtype=bool)[None] & np.isfinite(D)[:, None, :]
        apart = apart & np.isfinite(D)[:, :, None]
        coordinates = np.abs(points[0][:, None] - other[None])
        if not refs:
            coordinates = coordinates[~np.eye(6, dtype=bool)]
        if min(np.min(g[apart]) for g in gaps) > 1e-3 and np.min(coordinates) > 1e-3:
            return batch, points
    raise AssertionError("no seed gives a batch away from all kinks")


@metrics
@minings
@pytest.mark.parametrize("refs", [False, True])
def test_finite_differences(metric, mining, refs):
    batch, points = clear_batch(metric, MARGIN, refs)
    if refs:
        batch.options["sample_weight"] = np.array([1.0, 0.5, 2.0, 0.0, 3.0, 1.0])
    for margin in (MARGIN, None) if mining in inputs.SOFT_MININGS else (MARGIN,):
        for reduction in inputs.REDUCTIONS:
            checks.assert_gradients(
                lambda *points, margin=margin, reduction=reduction: batch.call(
                    tpw.batch_triplet_loss,
                    points,
                    margin=margin,
                    mining=mining,
                    metric=metric,
                    reduction=reduction,
                ),
                points,
            )


@metrics
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("margin", [0.31, None])
def test_finite_differences_of_triplets(metric, swap, margin):
    points = inputs.triplets(5, 3, seed=8, dtype=np.float64)
    for reduction in inputs.REDUCTIONS:
        checks.assert_gradients(
            lambda *x, reduction=reduction: tpw.triplet_loss(
                *x,
                margin,
                metric=metric,
                swap=swap,
                sample_weight=[1.0, 2.0, 0.0, 0.5, 1.0],
                reduction=reduction,
            ),
            points,
        )


@minings
@pytest.mark.parametrize("function", ["batch", "explicit"])
def test_second_derivatives_are_refused(mining, function):
    x, labels = inputs.batch(10, 3, 2)

    x = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            if function == "batch":
                loss = tpw.batch_triplet_loss(x, labels, mining=mining)
            else:
                loss = tpw.triplet_loss(x, x[::-1], x + 1.0, 5.0)
        penalty = tf.reduce_sum(tf.square(tape.gradient(loss, x)))
    with pytest.raises(tf.errors.UnimplementedError, match="no second derivative"):
        outer.gradient(penalty, x)


# ---- mining ----


@metrics
@minings
@pytest.mark.parametrize("refs", [None, "others", "offset"])
def test_mine_triplets(metric, mining, refs):
    batch = Batch(refs=refs, seed=7)
    for dtype in checks.DTYPES:
        points = batch.cast(dtype)
        wide = [tf.cast(x, tf.float64) for x in points]
        options = dict(mining=mining, margin=MARGIN, metric=metric)
        expected = batch.call(reference.mine_triplets, wide, **options)
        made = batch.call(tpw.mine_triplets, points, **options)
        assert made.dtype == tf.int64 and len(expected) > 0
        np.testing.assert_array_equal(made, expected)


@metrics
@minings
def test_the_loss_is_that_of_the_mined_triplets(metric, mining):
    x, labels = inputs.batch(40, 5, 4)
    mined = tpw.mine_triplets(x, labels, MARGIN, mining=mining, metric=metric)
    a, p, n = (tf.gather(x, mined[:, i]) for i in range(3))
    explicit = tpw.triplet_loss(a, p, n, MARGIN, metric=metric)
    made = tpw.batch_triplet_loss(x, labels, MARGIN, mining=mining, metric=metric)
    checks.assert_close(made, explicit, 1e-5)


@minings
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ties_go_to_the_lowest_index(mining, dtype):
    # On a grid every distance is met many times; sums of small integers are exact.
    grid = np.array([[i % 5, i // 5 % 5] for i in range(50)]).astype(dtype)
    labels = np.random.default_rng(0).integers(0, 3, 50)
    for margin in (1.0, 2.0):
        made = tpw.mine_triplets(grid, labels, margin, mining=mining, metric="manhattan")
        expected = reference.mine_triplets(
            grid.astype(np.float64), labels, margin, mining=mining, metric="manhattan"
        )
        np.testing.assert_array_equal(made, expected)


@metrics
@pytest.mark.parametrize("mining", ["hard", "semi_hard"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("copies", [2, 5])
def test_of_duplicates_the_first_is_mined(metric, mining, dtype, copies):
    x, labels, y, ref_labels, _ = inputs.references(20, 37, 6, 4)
    x = x + inputs.points(20, 6, seed=4, scale=0.1)
    x, y = x.astype(dtype), y.astype(dtype)
    one = tpw.mine_triplets(
        x, labels, mining=mining, metric=metric, ref_embeddings=y, ref_labels=ref_labels
    ).numpy()
    many = tpw.mine_triplets(
        x,
        labels,
        mining=mining,
        metric=metric,
        ref_embeddings=np.tile(y, (copies, 1)),
        ref_labels=np.tile(ref_labels, copies),
    ).numpy()
    np.testing.assert_array_equal(many[many[:, 1] < 37], one)
    assert many[:, 2].max() < 37
    if mining == "hard":
        assert len(many) == len(one)


# ---- properties ----

batches = properties.batches(EDGES)


def mines_noise(metric, d):
    """Under cosine, all vectors on a line are at distance 0 or 2: what is mined is rounding."""
    return metric == "cosine" and d == 1


@hypothesis.settings(max_examples=150)
@hypothesis.given(
    of=batches,
    refs=st.sampled_from((None, "others", "offset")),
    weighted=st.booleans(),
    metric=st.sampled_from(inputs.METRICS),
    mining=st.sampled_from(inputs.MININGS),
    margin=st.sampled_from((0.0, 0.3, 2.0, None)),
    reduction=st.sampled_from(inputs.REDUCTIONS),
    path=st.sampled_from(("tape", "traced")),
)
def test_any_batch(of, refs, weighted, metric, mining, margin, reduction, path):
    hypothesis.assume(margin is not None or mining in inputs.SOFT_MININGS)
    hypothesis.assume(not mines_noise(metric, of["d"]))
    batch = Batch(refs=refs, weighted=weighted, **of)
    options = dict(margin=margin, mining=mining, metric=metric, reduction=reduction)
    assert_same_loss(batch, ["float64"], [path], **options)
    points = batch.cast("float64")
    if margin is not None:
        options.pop("reduction")
        batch.options.pop("sample_weight", None)
        np.testing.assert_array_equal(
            batch.call(tpw.mine_triplets, points, **options),
            batch.call(reference.mine_triplets, points, **options),
        )


@minings
@pytest.mark.parametrize("n", BIG_EDGES)
def test_larger_than_a_tile(mining, n):
    # Few classes for the minings of one reference per pair, many where triplets are listed.
    batch = Batch(n=n, d=4, classes=max(2, n // 8), seed=n, weighted=True)
    for metric in ("euclidean", "manhattan") if mining == "hard" else ("euclidean",):
        options = dict(margin=MARGIN, mining=mining, metric=metric, reduction="mean")
        assert_same_loss(batch, ["float64"], **options)


@pytest.mark.slow
@metrics
@minings
@pytest.mark.parametrize("refs", [None, "offset"])
def test_every_tile_edge(metric, mining, refs):
    for i, n in enumerate(EDGES + BIG_EDGES):
        batch = Batch(n=n, d=(2, 33)[i % 2], classes=5, seed=n, refs=refs, weighted=True)
        reduction = ("mean", "mean_nonzero", "none")[i % 3]
        options = dict(margin=MARGIN, mining=mining, metric=metric, reduction=reduction)
        assert_same_loss(batch, ["float64"], **options)


@metrics
@minings
def test_long_vectors(metric, mining):
    for reduction in ("mean", "none"):
        options = dict(margin=MARGIN, mining=mining, metric=metric, reduction=reduction)
        assert_same_loss(Batch(n=18, d=1000, classes=3), ["float32"], **options)
        assert_same_loss(Batch(n=18, d=1000, classes=3, refs="others"), ["float64"], **options)


def test_on_a_line_under_cosine():
    # Distances are 0 and 2 there: the hinge over all triplets is what no order of equals changes.
    x = np.array([[1.0], [2.0], [-1.0], [-3.0], [0.5], [0.0]], np.float32)
    labels = [0, 0, 0, 1, 1, 1]
    made, (gradient,) = checks.value_and_gradients(
        lambda x: tpw.batch_triplet_loss(x, labels, 0.5, mining="all", metric="cosine"), [x]
    )
    expected = reference.batch_triplet_loss(
        x.astype(np.float64), labels, 0.5, mining="all", metric="cosine"
    )
    checks.assert_close(made, expected, 1e-5)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-5)


@minings
@metrics
@pytest.mark.parametrize(
    "labels", [[], [3], [3, 3], [3, 4], [1] * 9, list(range(9)), [0, 0, 1], [0, 1, 1, 1, 1]]
)
def test_small_batches(mining, metric, labels):
    n = len(labels)
    x = inputs.points(n, 3, seed=n + 1)
    nothing = len(set(labels)) in (0, 1, n)
    for reduction in inputs.REDUCTIONS:
        for margin in (MARGIN, None) if mining in inputs.SOFT_MININGS else (MARGIN,):

            def loss(module, margin=margin, reduction=reduction):
                return lambda x: module.batch_triplet_loss(
                    x,
                    np.array(labels, np.int32),
                    margin,
                    mining=mining,
                    metric=metric,
                    reduction=reduction,
                )

            made, (gradient,) = checks.value_and_gradients(loss(tpw), [x])
            if nothing:
                assert made.shape == ((n,) if reduction == "none" else ())
                assert not made.any() and not gradient.any()
            else:
                expected, (expected_gradient,) = checks.value_and_gradients(
                    loss(reference), [x.astype(np.float64)]
                )
                checks.assert_close(made, expected, 2e-5)
                checks.assert_close(gradient, expected_gradient, 6e-5)
    mined = tpw.mine_triplets(x, np.array(labels, np.int32), mining=mining, metric=metric)
    assert mined.shape[1] == 3 and (len(mined) == 0 if nothing else True)


@minings
def test_no_references(mining):
    x, labels = inputs.batch(4, 3, 2)
    refs = dict(ref_embeddings=np.zeros((0, 3), np.float32), ref_labels=np.zeros(0, np.int32))
    assert tpw.batch_triplet_loss(x, labels, mining=mining, **refs) == 0.0
    assert tpw.mine_triplets(x, labels, mining=mining, **refs).shape == (0, 3)
    nobody = np.zeros((0, 3), np.float32), np.zeros(0, np.int32)
    refs = dict(ref_embeddings=x, ref_labels=labels)
    assert tpw.mine_triplets(*nobody, mining=mining, **refs).shape == (0, 3)
    for path in checks.PATHS:
        loss, gradients = checks.value_and_gradients(
            lambda x, y: tpw.batch_triplet_loss(
                x, nobody[1], mining=mining, ref_embeddings=y, ref_labels=labels
            ),
            [nobody[0], x],
            path=path,
        )
        assert loss == 0.0 and gradients[0].shape == (0, 3) and not gradients[1].any()


@minings
def test_points_without_coordinates(mining):
    x, labels = np.zeros((6, 0), np.float32), np.array([0, 0, 1, 1, 2, 2])
    made, (gradient,) = checks.value_and_gradients(
        lambda x: tpw.batch_triplet_loss(x, labels, 0.5, mining=mining), [x]
    )
    assert made == reference.batch_triplet_loss(x, labels, 0.5, mining=mining).numpy()
    assert gradient.shape == (6, 0)


@minings
@hypothesis.given(of=batches, metric=st.sampled_from(inputs.METRICS))
def test_order_and_names_do_not_matter(mining, of, metric):
    hypothesis.assume(not mines_noise(metric, of["d"]))
    batch = Batch(**of)
    x, labels = batch.points[0].astype(np.float64), batch.labels
    order = np.random.default_rng(of["seed"]).permutation(len(x))
    renamed = np.random.default_rng(of["seed"]).permutation(1000)[labels] - 500

    def each(x, labels):
        return checks.value_and_gradients(
            lambda x: tpw.batch_triplet_loss(
                x, labels, MARGIN, mining=mining, metric=metric, reduction="none"
            ),
            [x],
        )

    made, (gradient,) = each(x, labels)
    same, (same_gradient,) = each(x[order], renamed[order])
    checks.assert_close(same, made[order], 1e-9)
    checks.assert_close(same_gradient, gradient[order], 1e-9)


@minings
@hypothesis.given(
    of=batches, metric=st.sampled_from(("euclidean", "squared_euclidean", "manhattan", "chebyshev"))
)
def test_translation_does_not_matter(mining, of, metric):
    batch = Batch(**of)
    x = batch.points[0].astype(np.float64)

    def loss(x):
        return tpw.batch_triplet_loss(x, batch.labels, MARGIN, mining=mining, metric=metric)

    made, (gradient,) = checks.value_and_gradients(loss, [x])
    moved, (moved_gradient,) = checks.value_and_gradients(loss, [x + 128.0])
    checks.assert_close(moved, made, 1e-8)
    checks.assert_close(moved_gradient, gradient, 1e-7)


@metrics
@minings
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_duplicates(metric, mining, dtype):
    # Copies of a point, of its class and of others: zero distances, and ties.
    x, labels = inputs.batch(20, 4, 3, seed=2)
    x = np.concatenate([x, x[:10], x[5:15]])
    labels = np.concatenate([labels, labels[:10], 2 - labels[5:15]])
    batch = Batch()
    batch.points, batch.labels = [x], labels
    points = batch.cast(dtype)
    for margin in (MARGIN, None) if mining in inputs.SOFT_MININGS else (MARGIN,):
        made, (gradient,) = checks.value_and_gradients(
            lambda x, margin=margin: batch.call(
                tpw.batch_triplet_loss, [x], margin=margin, mining=mining, metric=metric
            ),
            points,
        )
        assert np.isfinite(made) and np.isfinite(gradient).all()
    if metric not in ("cosine", "dot"):
        # Distance 0 is exact, and copies are at the same distance from everything.
        for reduction in inputs.REDUCTIONS:
            options = dict(margin=MARGIN, mining=mining, metric=metric, reduction=reduction)
            assert_same_loss(batch, [dtype], **options)


@metrics
@minings
def test_all_points_equal(metric, mining):
    x = np.ones((9, 4), np.float32)
    labels = np.arange(9) % 3
    for margin in (MARGIN, None) if mining in inputs.SOFT_MININGS else (MARGIN,):
        for reduction in inputs.REDUCTIONS:
            made, (gradient,) = checks.value_and_gradients(
                lambda x, margin=margin, reduction=reduction: tpw.batch_triplet_loss(
                    x, labels, margin, mining=mining, metric=metric, reduction=reduction
                ),
                [x],
            )
            assert np.isfinite(made).all() and np.isfinite(gradient).all()
            if metric not in ("cosine", "dot"):
                assert not gradient.any()


@metrics
@pytest.mark.parametrize("mining", inputs.SOFT_MININGS)
@pytest.mark.parametrize("scale", [1e-8, 1e4])
def test_soft_margin_far_out(metric, mining, scale):
    batch = Batch(n=20, d=5)
    batch.points = [batch.points[0] * np.float32(scale)]
    options = dict(margin=None, mining=mining, metric=metric, reduction="mean")
    made, (gradient,) = checks.value_and_gradients(
        lambda x: batch.call(tpw.batch_triplet_loss, [x], **options), batch.points
    )
    assert np.isfinite(made) and np.isfinite(gradient).all()
    expected = batch.call(reference.batch_triplet_loss, batch.cast("float64"), **options)
    # A difference of rounded distances, and with it an exponential's relative error.
    checks.assert_close(made, expected, max(2e-5, 1e-7 * scale))


@metrics
@minings
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nan_stays_in_its_anchor(metric, mining, bad, dtype):
    batch = Batch(refs="others", seed=1)
    points = [x.copy() for x in batch.points]
    points[0][5, 2] = bad
    clean = batch.cast(dtype)
    bad_points = [tf.cast(x, dtype) for x in points]
    for margin in (MARGIN, None) if mining in inputs.SOFT_MININGS else (MARGIN,):
        options = dict(margin=margin, mining=mining, metric=metric)
        each = batch.call(tpw.batch_triplet_loss, bad_points, reduction="none", **options).numpy()
        others = np.arange(len(each)) != 5
        np.testing.assert_array_equal(np.isnan(each), ~others)
        expected = batch.call(tpw.batch_triplet_loss, clean, reduction="none", **options).numpy()
        checks.assert_close(each[others], expected[others], 1e-5)
        for reduction in ("sum", "mean", "mean_nonzero"):
            made = batch.call(tpw.batch_triplet_loss, bad_points, reduction=reduction, **options)
            assert np.isnan(made)


@minings
def test_nan_reaches_the_anchors_that_see_it(mining):
    # Anchors with no positive, or no negative, have no loss to lose.
    x = inputs.points(7, 3)
    x[2, 0] = np.nan
    labels = np.array([0, 0, 1, 1, 2, 2, 3])
    each = tpw.batch_triplet_loss(x, labels, mining=mining, reduction="none")
    np.testing.assert_array_equal(np.isnan(each), [True] * 6 + [False])
    assert each[6] == 0.0
    one_class = tpw.batch_triplet_loss(x, np.zeros(7, np.int32), mining=mining)
    assert one_class == 0.0


@minings
def test_nan_has_no_gradient_but_nan(mining):
    # Of 12 anchors that all see it: no weight of theirs is a number.
    x, labels = inputs.points(12, 5), np.arange(12) % 3
    x[2, 1] = np.nan
    for dtype in (np.float32, np.float64):
        _, gradient = tpn.batch_triplet_loss(
            x.astype(dtype), labels, mining=mining, with_gradient=True
        )
        assert np.isnan(gradient).all()


@metrics
@pytest.mark.parametrize("swap", [False, True])
def test_nan_stays_in_its_triplet(metric, swap):
    points = [x.copy() for x in inputs.triplets(9, 4)]
    for i, x in enumerate(points):
        x[2 * i, 1] = (np.nan, np.inf, -np.inf)[i]
    for margin in (MARGIN, None):
        options = dict(margin=margin, metric=metric, swap=swap)
        each = tpw.triplet_loss(*points, reduction="none", **options)
        np.testing.assert_array_equal(np.isnan(each), np.isin(np.arange(9), [0, 2, 4]))
        for reduction in ("sum", "mean", "mean_nonzero"):
            assert np.isnan(tpw.triplet_loss(*points, reduction=reduction, **options))


@minings
def test_no_triplet_of_a_nan_is_mined(mining):
    batch = Batch(refs="others")
    batch.points[1][4, 1] = np.nan
    batch.points[0][3, 1] = np.nan
    mined = batch.call(tpw.mine_triplets, batch.points, mining=mining).numpy()
    wide = [x.astype(np.float64) for x in batch.points]
    np.testing.assert_array_equal(mined, batch.call(reference.mine_triplets, wide, mining=mining))
    assert len(mined) > 0 and not np.any(mined[:, 0] == 3) and not np.any(mined[:, 1:] == 4)


# ---- in graphs ----


@minings
@pytest.mark.parametrize("refs", [None, "offset"])
def test_unknown_shapes(mining, refs):
    for points_shape, labels_shape in ((None, None), ([None, None], [None])):
        point = tf.TensorSpec(points_shape, tf.float32)
        label = tf.TensorSpec(labels_shape, tf.int32)

        @tf.function(input_signature=[point, label, point, label, label])
        def all_of(x, labels, y, ref_labels, weights):
            options = dict(mining=mining)
            if refs:
                options |= dict(ref_embeddings=y, ref_labels=ref_labels, self_offset=4)
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tpw.batch_triplet_loss(x, labels, sample_weight=weights, **options)
            each = tpw.batch_triplet_loss(x, labels, reduction="none", **options)
            explicit = tpw.triplet_loss(x, x[::-1], x + 1.0)
            return (
                loss,
                tape.gradient(loss, x),
                each,
                tpw.mine_triplets(x, labels, **options),
                explicit,
            )

        for n in (12, 1, 0):
            x, labels, y, ref_labels, _ = inputs.references(n, n + 8, 3, 3)
            weights = np.arange(n, dtype=np.int32)
            options = dict(mining=mining)
            if refs:
                options |= dict(ref_embeddings=y, ref_labels=ref_labels, self_offset=4)
            loss, gradient, each, mined, explicit = all_of(x, labels, y, ref_labels, weights)
            value, (expected,) = checks.value_and_gradients(
                lambda x, labels=labels, weights=weights, options=options: tpw.batch_triplet_loss(
                    x, labels, sample_weight=weights, **options
                ),
                [x],
            )
            np.testing.assert_array_equal(loss, np.float32(value))
            np.testing.assert_array_equal(gradient, np.float32(expected))
            np.testing.assert_array_equal(
                each, tpw.batch_triplet_loss(x, labels, reduction="none", **options)
            )
            np.testing.assert_array_equal(mined, tpw.mine_triplets(x, labels, **options))
            np.testing.assert_array_equal(explicit, tpw.triplet_loss(x, x[::-1], x + 1.0))


def test_static_shapes_are_inferred():
    @tf.function(input_signature=[tf.TensorSpec([12, 3]), tf.TensorSpec([None, 1], tf.int32)])
    def traced(x, labels):
        assert tpw.batch_triplet_loss(x, labels).shape == ()
        assert tpw.batch_triplet_loss(x, labels, reduction="none").shape == (12,)
        assert tpw.mine_triplets(x, labels).shape.as_list() == [None, 3]
        assert tpw.triplet_loss(x, x, x).shape == ()
        assert tpw.triplet_loss(x, x, x, reduction="none").shape == (12,)
        return x

    traced.get_concrete_function()


@minings
def test_value_is_the_same_with_and_without_gradient(mining):
    batch = Batch(n=70, d=17, refs="offset", weighted=True)
    for reduction in ("sum", "mean", "mean_nonzero"):
        options = dict(mining=mining, reduction=reduction)
        points = batch.cast("float32")
        value = batch.call(tpw.batch_triplet_loss, points, **options).numpy()
        for path in checks.PATHS:
            made, _ = checks.value_and_gradients(
                lambda *points, options=options: batch.call(
                    tpw.batch_triplet_loss, points, **options
                ),
                points,
                path=path,
            )
            np.testing.assert_array_equal(np.float32(made), value)

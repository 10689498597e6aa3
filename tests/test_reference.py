"""The reference itself, against loops over NumPy scalars that share no code with it."""

import numpy as np
import pytest
import tensorflow as tf

from tests import calls, inputs
from tf_pairwise import reference


def distance(x, y, metric):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.nan
    if metric == "euclidean":
        return np.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))
    if metric == "squared_euclidean":
        return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    if metric == "manhattan":
        return sum(abs(a - b) for a, b in zip(x, y, strict=True))
    if metric == "chebyshev":
        return max(abs(a - b) for a, b in zip(x, y, strict=True))
    if metric == "dot":
        return -sum(a * b for a, b in zip(x, y, strict=True))
    norms = np.sqrt(sum(x * x)) * np.sqrt(sum(y * y))
    return 1.0 if norms == 0 else 1.0 - sum(x * y) / norms


def distance_matrix(x, y, metric):
    rows = [[distance(a, b, metric) for b in y] for a in x]
    return np.array(rows).reshape(len(x), len(y))


def listed_triplets(D, labels, ref_labels, own, mining, margin):
    """Lists of (a, p, n); `own` is the reference that an anchor is, or None."""
    out = []
    for a in range(len(labels)):
        others = [r for r in range(len(ref_labels)) if own is None or r != own(a)]
        ps = [r for r in others if ref_labels[r] == labels[a]]
        ns = [r for r in others if ref_labels[r] != labels[a]]
        if not ps or not ns:
            continue
        if mining == "hard":
            # max and min keep the first of equals.
            out.append((a, max(ps, key=lambda p: D[a, p]), min(ns, key=lambda n: D[a, n])))
            continue
        for p in ps:
            if mining == "semi_hard":
                farther = [n for n in ns if D[a, n] > D[a, p]]
                if farther:
                    out.append((a, p, min(farther, key=lambda n: D[a, n])))
                else:
                    out.append((a, p, max(ns, key=lambda n: D[a, n])))
                continue
            for n in ns:
                hard = D[a, n] <= D[a, p]
                if mining == "semi_hard_all":
                    counts = not hard and D[a, n] - margin <= D[a, p]
                else:
                    counts = hard or mining == "all"
                if counts:
                    out.append((a, p, n))
    return out


def reduced(losses, anchors, n, weight, reduction):
    """`losses` of the counted triplets, `anchors` whose they are."""
    weight = np.ones(n) if weight is None else weight.astype(np.float64)
    each = np.zeros(n)
    for loss, a in zip(losses, anchors, strict=True):
        each[a] += weight[a] * loss
    if reduction == "none":
        return each
    if reduction == "sum":
        return each.sum()
    counted = [
        weight[a]
        for loss, a in zip(losses, anchors, strict=True)
        if reduction == "mean" or loss > 0
    ]
    return each.sum() / sum(counted) if sum(counted) else 0.0


def hinge_or_soft(difference, margin):
    if margin is None:
        return np.log1p(np.exp(difference))
    return max(0.0, difference + margin)


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_distances(metric, dtype):
    x = inputs.points(5, 4, seed=1, dtype=dtype)
    y = inputs.points(3, 4, seed=2, dtype=dtype)
    x[1] = 0.0
    y[2] = x[0]
    rtol = 1e-12 if dtype == np.float64 else 1e-5
    atol = 1e-12 if dtype == np.float64 else 2e-3  # sqrt of what cancels, at x[0] = y[2]
    fused = reference.pairwise_distance(x, y, metric)
    assert fused.dtype == dtype
    np.testing.assert_allclose(fused, distance_matrix(x, y, metric), rtol, atol)

    itself = reference.pairwise_distance(x, metric=metric).numpy()
    np.testing.assert_allclose(itself, distance_matrix(x, x, metric), rtol, atol)
    if metric != "dot":
        zero = metric == "cosine"
        np.testing.assert_array_equal(np.diag(itself), [0, 1 if zero else 0, 0, 0, 0])

    paired = reference.paired_distance(x[:3], y, metric)
    np.testing.assert_allclose(paired, np.diag(distance_matrix(x[:3], y, metric)), rtol, atol)


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_distances_have_batches_and_halves(metric, dtype):
    x, y = inputs.points(2, 3, 4, 5, seed=1, dtype=dtype), inputs.points(2, 3, 6, 5, dtype=dtype)
    batches = reference.pairwise_distance(x, y, metric).numpy()
    assert batches.shape == (2, 3, 4, 6)
    one = reference.pairwise_distance(x[1, 2], y[1, 2], metric)
    np.testing.assert_allclose(batches[1, 2], one, 1e-5, 1e-5)
    assert reference.paired_distance(x, x, metric).shape == (2, 3, 4)
    half = reference.pairwise_distance(tf.cast(x, tf.bfloat16), metric=metric)
    assert half.dtype == tf.bfloat16 and half.shape == (2, 3, 4, 4)


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("itself", [False, True])
def test_distance_derivatives(metric, itself):
    x = tf.constant(inputs.points(4, 3, seed=3, dtype=np.float64))
    y = tf.constant(inputs.points(3, 3, seed=4, dtype=np.float64))
    args = [x] if itself else [x, y]

    def value(*args):
        return reference.pairwise_distance(*args, metric=metric)

    def gradient(*args):
        with tf.GradientTape() as tape:
            tape.watch(args)
            out = tf.reduce_sum(tf.sin(value(*args)))
        return tape.gradient(out, args)[0]

    for function in (value, gradient):
        for made, seen in zip(*tf.test.compute_gradient(function, args, delta=1e-5), strict=True):
            np.testing.assert_allclose(made, seen, 1e-6, 1e-8)


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("dtype", [tf.float64, tf.float32, tf.bfloat16])
def test_gradients_at_zero_are_finite(metric, dtype):
    x = tf.constant([[0.0, 0.0], [0.0, 0.0], [1.0, 2.0], [1.0, 2.0]], dtype)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = tf.reduce_sum(reference.pairwise_distance(x, metric=metric))
        first = tape.gradient(out, x)
        total = tf.reduce_sum(first)
    second = outer.gradient(total, x)
    assert np.isfinite(tf.cast(first, tf.float64)).all()
    assert np.isfinite(tf.cast(second, tf.float64)).all()
    if metric not in ("cosine", "dot"):
        same = tf.gather(x, [0, 1])
        with tf.GradientTape() as tape:
            tape.watch(same)
            out = tf.reduce_sum(reference.pairwise_distance(same, metric=metric))
        np.testing.assert_array_equal(tf.cast(tape.gradient(out, same), tf.float64), 0.0)


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("margin", [0.3, None])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_triplet_loss(metric, margin, swap, weighted):
    a, p, n = inputs.triplets(9, 4, seed=5, dtype=np.float64)
    weight = inputs.weights(9) if weighted else None
    losses = []
    for i in range(9):
        negative = distance(a[i], n[i], metric)
        if swap:
            negative = min(negative, distance(p[i], n[i], metric))
        losses.append(hinge_or_soft(distance(a[i], p[i], metric) - negative, margin))
    for reduction in inputs.REDUCTIONS:
        out = reference.triplet_loss(
            a, p, n, margin, metric=metric, swap=swap, sample_weight=weight, reduction=reduction
        )
        expected = reduced(losses, range(9), 9, weight, reduction)
        np.testing.assert_allclose(out, expected, 1e-12)


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("mining", inputs.MININGS)
@pytest.mark.parametrize("refs", ["itself", "others", "offset"])
def test_batch_triplet_loss_and_mining(metric, mining, refs):
    n, m = 7, 9
    if refs == "itself":
        x, labels = inputs.batch(n, 3, 3, seed=6, dtype=np.float64)
        y, ref_labels, own, options = x, labels, lambda a: a, {}
    else:
        x, labels, y, ref_labels, k = inputs.references(n, m, 3, 3, seed=6, dtype=np.float64)
        options = dict(ref_embeddings=y, ref_labels=ref_labels[:, None])
        own = None
        if refs == "offset":
            options["self_offset"] = k
            own = lambda a: a + k  # noqa: E731
    D = distance_matrix(x, y, metric)
    weight = inputs.weights(n)
    for margin in (0.4, 0.0, None):
        if margin is None and mining not in inputs.SOFT_MININGS:
            continue
        mined = listed_triplets(D, labels, ref_labels, own, mining, margin)
        indices = reference.mine_triplets(
            x, labels, margin, mining=mining, metric=metric, **options
        )
        assert indices.dtype == tf.int64
        np.testing.assert_array_equal(indices, np.array(mined, np.int64).reshape(-1, 3))
        losses = [hinge_or_soft(D[a, p] - D[a, q], margin) for a, p, q in mined]
        for sample_weight in (None, weight):
            for reduction in inputs.REDUCTIONS:
                out = reference.batch_triplet_loss(
                    x,
                    labels,
                    margin,
                    mining=mining,
                    metric=metric,
                    sample_weight=sample_weight,
                    reduction=reduction,
                    **options,
                )
                anchors = [t[0] for t in mined]
                expected = reduced(losses, anchors, n, sample_weight, reduction)
                np.testing.assert_allclose(out, expected, 1e-12, 1e-12)


@pytest.mark.parametrize("mining", inputs.MININGS)
def test_ties_go_to_the_lowest_index(mining):
    # On a grid every distance is met many times.
    grid = np.array([[i % 3, i // 3] for i in range(9)], np.float64)
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 1])
    D = distance_matrix(grid, grid, "manhattan")
    mined = listed_triplets(D, labels, labels, lambda a: a, mining, 1.0)
    np.testing.assert_array_equal(
        reference.mine_triplets(grid, labels, 1.0, mining=mining, metric="manhattan"), mined
    )


@pytest.mark.parametrize("mining", inputs.MININGS)
@pytest.mark.parametrize("n,labels", [(0, []), (1, [3]), (2, [3, 3]), (2, [3, 4]), (4, [1] * 4)])
def test_nothing_to_count_is_zero(mining, n, labels):
    x = tf.constant(inputs.points(n, 3))
    labels = np.array(labels, np.int64)
    for reduction in inputs.REDUCTIONS:
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = reference.batch_triplet_loss(x, labels, mining=mining, reduction=reduction)
        assert out.shape == ((n,) if reduction == "none" else ())
        np.testing.assert_array_equal(out, 0.0)
        np.testing.assert_array_equal(tape.gradient(out, x), np.zeros((n, 3)))
    assert reference.mine_triplets(x, labels, mining=mining).shape == (0, 3)


@pytest.mark.parametrize("mining", inputs.MININGS)
def test_no_references(mining):
    x, labels = inputs.batch(4, 3, 2)
    options = dict(ref_embeddings=np.zeros((0, 3), np.float32), ref_labels=np.zeros(0, np.int32))
    assert reference.batch_triplet_loss(x, labels, mining=mining, **options) == 0.0
    assert reference.mine_triplets(x, labels, mining=mining, **options).shape == (0, 3)


@pytest.mark.parametrize("mining", inputs.MININGS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_stays_in_its_anchor(mining, bad):
    x, labels, y, ref_labels, _ = inputs.references(5, 8, 3, 2, dtype=np.float64)
    x[2, 1] = bad
    out = reference.batch_triplet_loss(
        x, labels, mining=mining, ref_embeddings=y, ref_labels=ref_labels, reduction="none"
    )
    np.testing.assert_array_equal(np.isnan(out), np.arange(5) == 2)


SMALL = calls.table(n=12, m=15, d=4, classes=4, lists=3, length=7)


@pytest.mark.parametrize("name", calls.one_of_each())
def test_traced_and_compiled(name):
    """Of any shapes, and by XLA, which has to know how much is mined, and how long lists are."""
    call = SMALL[name]
    points = call.tensors("float64")
    expected = calls.run(reference, call, points)
    signature = [tf.TensorSpec([None] * x.shape.rank, x.dtype) for x in points]
    functions = [tf.function(lambda *p: calls.run(reference, call, p), signature, autograph=False)]
    if calls.compiles(call) and "row_splits" not in call.options:
        functions.append(
            tf.function(lambda *p: calls.run(reference, call, p), jit_compile=True, autograph=False)
        )
    for function in functions:
        for made, wanted in zip(function(*points), expected, strict=True):
            np.testing.assert_allclose(made, wanted, 1e-9, 1e-10)

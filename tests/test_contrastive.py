"""The contrastive losses of pairs: the reference, and the fused ops against it."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs, properties
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

BATCH_REDUCTIONS = (*inputs.REDUCTIONS, "balanced_mean")
DIFFERENCES = ("euclidean", "squared_euclidean", "manhattan", "chebyshev")

# Margins at which some pairs of `inputs.batch` count and others do not, under every metric.
MARGINS = {
    "euclidean": (1.2, 0.5),
    "squared_euclidean": (1.5, 0.4),
    "cosine": (0.9, 0.3),
    "manhattan": (2.5, 1.0),
    "dot": (0.2, -0.3),
    "chebyshev": (0.9, 0.3),
}

metrics = pytest.mark.parametrize("metric", inputs.METRICS)


# ---- the calls ----


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

    def call(self, api, points, metric, reduction, squared=True, **options):
        margin, positive_margin = MARGINS[metric]
        options = dict(margin=margin, positive_margin=positive_margin) | options
        if len(points) == 2:
            options["ref_embeddings"] = points[1]
        return api.batch_contrastive_loss(
            points[0],
            self.labels,
            metric=metric,
            reduction=reduction,
            squared=squared,
            **self.options,
            **options,
        )


def pair_inputs(n=37, d=19, seed=3):
    x, y, _ = inputs.triplets(n, d, seed)
    return [x, y], inputs.labels(n, 2, seed)


def assert_same_batch(batch, dtype, paths=("tape",), upstream=None, **options):
    if options["reduction"] == "none" and upstream is None:
        upstream = inputs.points(len(batch.labels), seed=9, dtype=np.float64)
    return checks.assert_like_reference(
        lambda api: lambda *points: batch.call(api, points, **options),
        batch.cast(dtype),
        paths,
        upstream,
    )


def counts_noise(metric, d):
    """Under cosine, vectors on a line are at distance 0 or 2: that it is not 0 is rounding."""
    return metric == "cosine" and d == 1


# ---- the reference, against the formulas in Python ----


def distance(x, y, metric):
    if metric == "dot":
        return -float(np.dot(x, y))
    if metric == "cosine":
        return 1.0 - float(np.dot(x, y)) / (np.linalg.norm(x) * np.linalg.norm(y))
    if metric == "manhattan":
        return float(np.sum(np.abs(x - y)))
    if metric == "chebyshev":
        return float(np.max(np.abs(x - y)))
    squared = float(np.sum((x - y) ** 2))
    return squared if metric == "squared_euclidean" else squared**0.5


def reduced(losses, reduction, n):
    """`losses` is a list of (anchor, weight, loss, similar)."""
    if reduction == "none":
        each = np.zeros(n)
        for anchor, weight, loss, _ in losses:
            each[anchor] += weight * loss
        return each
    if reduction == "balanced_mean":
        return sum(
            reduced([entry for entry in losses if entry[3] == similar], "mean_nonzero", n)
            for similar in (True, False)
        )
    total = sum(weight * loss for _, weight, loss, _ in losses)
    if reduction == "sum":
        return total
    count = sum(w for _, w, loss, _ in losses if reduction == "mean" or loss > 0)
    return total / count if count else 0.0


@metrics
@pytest.mark.parametrize("similar_label", [0, 1, 5])
def test_reference_of_pairs(metric, similar_label):
    x, y, _ = inputs.triplets(12, 4, dtype=np.float64)
    labels = inputs.labels(12, 3)
    margin = MARGINS[metric][0]
    weights = inputs.weights(12, dtype=np.float64)
    losses = []
    for i in range(12):
        D = distance(x[i], y[i], metric)
        similar = labels[i] == similar_label
        losses.append((i, weights[i], 0.5 * (D if similar else max(0.0, margin - D)) ** 2, similar))
    for reduction in inputs.REDUCTIONS:
        made = reference.contrastive_loss(
            x,
            y,
            labels[:, None],
            margin,
            metric=metric,
            similar_label=similar_label,
            sample_weight=weights,
            reduction=reduction,
        )
        np.testing.assert_allclose(made, reduced(losses, reduction, 12), 1e-12)


@metrics
@pytest.mark.parametrize("refs", [None, "others", "offset"])
@pytest.mark.parametrize("squared", [True, False])
def test_reference_of_batches(metric, refs, squared):
    batch = Batch(n=9, d=3, classes=3, refs=refs, weighted=True)
    points = [x.astype(np.float64) for x in batch.points]
    margin, positive_margin = MARGINS[metric]
    ref_labels = batch.options.get("ref_labels", batch.labels)
    offset = 0 if refs is None else batch.options.get("self_offset")
    losses = []
    for i, x in enumerate(points[0]):
        for j, y in enumerate(points[-1]):
            if offset is not None and i + offset == j:
                continue
            similar = batch.labels[i] == ref_labels[j]
            D = distance(x, y, metric)
            h = max(0.0, D - positive_margin if similar else margin - D)
            weight = float(batch.options["sample_weight"][i])
            losses.append((i, weight, 0.5 * h * h if squared else h, similar))
    counted = sum(loss > 0 for _, _, loss, _ in losses)
    assert 0.1 < counted / len(losses) < 0.95  # else the options are not told apart
    for reduction in BATCH_REDUCTIONS:
        made = batch.call(reference, points, metric, reduction, squared)
        np.testing.assert_allclose(made, reduced(losses, reduction, 9), 1e-11)


# ---- explicit pairs ----


@metrics
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("similar_label", [0, 1])
def test_contrastive_loss(metric, weighted, similar_label):
    points, labels = pair_inputs()
    options = dict(metric=metric, margin=MARGINS[metric][0], similar_label=similar_label)
    options["sample_weight"] = inputs.weights(37) if weighted else None
    for reduction in inputs.REDUCTIONS:
        upstream = inputs.points(37, seed=9) if reduction == "none" else np.float64(3.0)
        for dtype in checks.DTYPES:
            checks.assert_like_reference(
                lambda api, reduction=reduction: (
                    lambda *pair: api.contrastive_loss(
                        *pair, labels, reduction=reduction, **options
                    )
                ),
                [tf.cast(x, dtype) for x in points],
                ("tape", "traced"),
                upstream,
            )


def test_which_pairs_are_similar():
    x, y = np.zeros((3, 1)), np.array([[0.25], [0.25], [0.25]])

    def each(labels, **options):
        return list(tpw.contrastive_loss(x, y, labels, 1.0, reduction="none", **options).numpy())

    similar, dissimilar = 0.5 * 0.25**2, 0.5 * 0.75**2
    assert each([0, 1, 0]) == [similar, dissimilar, similar]
    assert each([0, 1, 0], similar_label=0) == each([0, 1, 0])
    assert each([0, 1, 2], similar_label=1) == [dissimilar, similar, dissimilar]
    assert each([7, -7, 7], similar_label=-7) == [dissimilar, similar, dissimilar]
    assert each([[False], [True], [False]]) == [similar, dissimilar, similar]
    assert each([False, True, False], similar_label=True) == [dissimilar, similar, dissimilar]
    assert each([True, False, True], similar_label=1) == [similar, dissimilar, similar]
    far = 2**62 + 1
    assert each([far, far + 1, far - 1], similar_label=far) == [similar, dissimilar, dissimilar]
    for dtype in (np.int8, np.uint8, np.int16, np.uint32, np.int32, np.int64, np.uint64, bool):
        for labels in (np.array([0, 1, 1], dtype), np.array([[0], [1], [1]], dtype)):
            assert each(labels) == [similar, dissimilar, dissimilar]
            assert each(tf.constant(labels)) == [similar, dissimilar, dissimilar]


@metrics
@pytest.mark.parametrize("dtype", checks.DTYPES)
@pytest.mark.parametrize("of_labels", ["float32", "float64", "bfloat16"])
def test_soft_labels(metric, dtype, of_labels):
    """A float is how dissimilar its pair is; 0.0 and 1.0 are the two kinds."""
    points, _ = pair_inputs()
    points = [tf.cast(x, dtype) for x in points]
    options = dict(margin=MARGINS[metric][0], metric=metric)
    soft = tf.cast(np.arange(37) % 5 / 4, of_labels)
    for similar_label in (0, 1):
        for reduction in inputs.REDUCTIONS:
            of = dict(similar_label=similar_label, reduction=reduction, **options)
            checks.assert_like_reference(
                lambda api, of=of: lambda *pair: api.contrastive_loss(*pair, soft, **of), points
            )
    each = [
        tpw.contrastive_loss(*points, labels, reduction="none", **options)
        for labels in (tf.zeros(37, of_labels), tf.ones([37, 1], of_labels), [0] * 37, [1] * 37)
    ]
    np.testing.assert_array_equal(each[:2], each[2:])
    made = tpw.contrastive_loss(*points, soft, reduction="none", **options)
    y = checks.to_float64(soft)
    checks.assert_close(made, (1 - y) * each[0] + y * each[1], 1e-6)
    turned = tpw.contrastive_loss(*points, 1 - soft, similar_label=1, reduction="none", **options)
    checks.assert_close(made, turned, 1e-6)


def test_soft_labels_have_two_kinds():
    x = np.ones((3, 2), np.float32)
    for api in (tpw, tpn, reference):
        with pytest.raises(
            ValueError, match="similar_label: got 2 with float labels, expected 0 or 1"
        ):
            api.contrastive_loss(x, x, np.ones(3, np.float32), similar_label=2)
        with pytest.raises(TypeError, match="labels: got complex64, expected an integer"):
            api.contrastive_loss(x, x, np.ones(3, np.complex64))


@metrics
@pytest.mark.parametrize("n,d", [(0, 3), (1, 1), (3, 0), (5, 1), (2, 1000), (300, 2), (129, 65)])
def test_contrastive_loss_sizes(metric, n, d):
    if counts_noise(metric, d):
        pytest.skip("distances of 0 and 2 but for rounding")
    points, labels = pair_inputs(n, max(d, 1))
    points = [x[:, :d].astype(np.float64) for x in points]
    for reduction in inputs.REDUCTIONS:
        checks.assert_like_reference(
            lambda api, reduction=reduction: (
                lambda x, y: api.contrastive_loss(
                    x, y, labels, 0.3, metric=metric, reduction=reduction
                )
            ),
            points,
            stored=1e-8,
        )


@metrics
def test_equal_pairs(metric):
    x = inputs.points(6, 4, dtype=np.float64)
    x[5] = 0.0
    labels = np.array([0, 1, 0, 1, 0, 1])
    for reduction in inputs.REDUCTIONS:
        made, gradients = checks.value_and_gradients(
            lambda a, b, reduction=reduction: tpw.contrastive_loss(
                a, b, labels, 0.25, metric=metric, reduction=reduction
            ),
            [x, x],
        )
        assert np.isfinite(made).all() and all(np.isfinite(g).all() for g in gradients)
        if metric in DIFFERENCES:
            assert not any(g.any() for g in gradients)


@metrics
def test_nan_stays_in_its_pair(metric):
    points, labels = pair_inputs(9, 4)
    points[0][2, 1] = np.nan
    points[1][4, 3] = np.inf
    points[1][7, 0] = -np.inf
    options = dict(metric=metric, margin=3.0)
    each = tpw.contrastive_loss(*points, labels, reduction="none", **options)
    np.testing.assert_array_equal(np.isnan(each), np.isin(np.arange(9), [2, 4, 7]))
    for reduction in inputs.REDUCTIONS[1:]:
        made = tpw.contrastive_loss(*points, labels, reduction=reduction, **options)
        assert np.isnan(made)


# ---- the pairs of a batch, against the reference ----

CASES = {
    "plain": {},
    "weights": dict(weighted=True),
    "refs": dict(refs="others", weighted=True),
    "self_offset": dict(refs="offset"),
}


@metrics
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_batch_loss(metric, squared, case):
    batch = Batch(seed=3, **CASES[case])
    for reduction in BATCH_REDUCTIONS:
        for dtype in ("float64", "float32"):
            assert_same_batch(
                batch,
                dtype,
                ("tape", "traced"),
                metric=metric,
                squared=squared,
                reduction=reduction,
            )


@metrics
@pytest.mark.parametrize("dtype", checks.HALVES)
@pytest.mark.parametrize("squared", [True, False])
def test_batch_loss_of_halves(metric, dtype, squared):
    for case in ("weights", "refs"):
        batch = Batch(seed=5, **CASES[case])
        options = dict(metric=metric, squared=squared)
        assert_same_batch(batch, dtype, ["tape"], reduction="mean", **options)
        assert_same_batch(batch, dtype, ["traced"], reduction="balanced_mean", **options)
        assert_same_batch(batch, dtype, ["tape"], reduction="none", **options)


def test_the_pairs_of_four_points():
    x = np.array([[0.0], [1.0], [1.5], [3.5]])
    labels = [0, 0, 1, 1]

    def loss(reduction, squared=True, **options):
        return tpw.batch_contrastive_loss(
            x, labels, reduction=reduction, squared=squared, **options
        ).numpy()

    # Similar: D = 1 and 2. Dissimilar: only D(1, 2) = 0.5 is within the margin.
    np.testing.assert_allclose(loss("none"), [0.5, 0.625, 2.125, 2.0])
    np.testing.assert_allclose(loss("none", False), [1.0, 1.5, 2.5, 2.0])
    np.testing.assert_allclose(loss("sum"), 5.25)
    np.testing.assert_allclose(loss("mean"), 5.25 / 12)
    np.testing.assert_allclose(loss("mean_nonzero"), 5.25 / 6)
    np.testing.assert_allclose(loss("balanced_mean"), 5.0 / 4 + 0.25 / 2)
    np.testing.assert_allclose(loss("balanced_mean", positive_margin=1.0), 0.5 + 0.125)
    np.testing.assert_allclose(
        loss("balanced_mean", sample_weight=[1, 2, 0, 3]), (0.5 + 1 + 6) / 6 + 0.125
    )
    np.testing.assert_allclose(loss("sum", False, positive_margin=-1.0), 11.0)
    np.testing.assert_allclose(loss("sum", margin=0.0), 5.0)


@pytest.mark.parametrize("k", [0, 3, 6])
def test_the_own_reference_is_no_pair(k):
    x, labels, y, ref_labels, _ = inputs.references(8, 14, 5, 3)
    y, ref_labels = y.copy(), ref_labels.copy()
    y[k : k + 8] = x
    ref_labels[k : k + 8] = labels + 1  # would be the nearest pairs of two labels
    for dtype in (np.float64, np.float32):
        for reduction in BATCH_REDUCTIONS:

            def loss(api, reduction=reduction):
                return lambda x, y: api.batch_contrastive_loss(
                    x,
                    labels,
                    ref_embeddings=y,
                    ref_labels=ref_labels,
                    self_offset=k,
                    reduction=reduction,
                )

            checks.assert_like_reference(loss, [x.astype(dtype), y.astype(dtype)])


@metrics
@pytest.mark.parametrize("squared", [True, False])
def test_parts_of_a_global_batch_are_the_whole(metric, squared):
    """What two replicas compute, each with the other's points as references."""
    x, labels = inputs.batch(70, 6, 4)
    x = x.astype(np.float64)
    margin, positive_margin = MARGINS[metric]
    options = dict(
        margin=margin,
        positive_margin=positive_margin,
        metric=metric,
        squared=squared,
        reduction="sum",
    )
    whole, (gradient,) = checks.value_and_gradients(
        lambda x: tpw.batch_contrastive_loss(x, labels, **options), [x]
    )
    value, total = 0.0, np.zeros_like(gradient)
    for rows in (slice(0, 31), slice(31, 70)):
        part, (anchors, refs) = checks.value_and_gradients(
            lambda a, r, rows=rows: tpw.batch_contrastive_loss(
                a,
                labels[rows],
                ref_embeddings=r,
                ref_labels=labels,
                self_offset=rows.start,
                **options,
            ),
            [x[rows], x],
        )
        value += part
        total += refs
        total[rows] += anchors
    checks.assert_close(value, whole, 1e-10)
    checks.assert_close(total, gradient, 1e-9)


@metrics
def test_pairs_are_explicit_pairs(metric):
    """Every ordered pair, listed for `contrastive_loss`."""
    x, labels = inputs.batch(20, 5, 4)
    a, b = np.nonzero(~np.eye(20, dtype=bool))
    other = labels[a] != labels[b]
    options = dict(margin=0.8, metric=metric)
    listed = tpw.contrastive_loss(x[a], x[b], other.astype(int), reduction="none", **options)
    # The hinge of a batch's similar pair has no negative side; a distance's square has two.
    negative = ~other & (tpw.paired_distance(x[a], x[b], metric) < 0).numpy()
    assert (metric == "dot") == np.any(negative)
    made = tpw.batch_contrastive_loss(x, labels, reduction="sum", **options)
    checks.assert_close(made, np.sum(np.where(negative, 0.0, listed)), 2e-5)


# ---- nothing to count, small and odd sizes ----


@metrics
@pytest.mark.parametrize(
    "labels", [[], [3], [3, 3], [3, 4], [1] * 9, list(range(9)), [0, 0, 1], [0, 1, 1, 1, 1]]
)
def test_small_batches(metric, labels):
    n = len(labels)
    x = inputs.points(n, 3, seed=n + 1)
    labels = np.array(labels, np.int32)
    margin, positive_margin = MARGINS[metric]
    for reduction in BATCH_REDUCTIONS:

        def loss(api, reduction=reduction):
            return lambda x: api.batch_contrastive_loss(
                x,
                labels,
                margin,
                positive_margin=positive_margin,
                metric=metric,
                reduction=reduction,
            )

        checks.assert_like_reference(loss, [x])
        made, (gradient,) = checks.value_and_gradients(loss(tpw), [x])
        assert made.shape == ((n,) if reduction == "none" else ())
        if n < 2:
            assert not made.any() and not gradient.any()


@pytest.mark.parametrize("reduction", BATCH_REDUCTIONS)
@pytest.mark.parametrize("labels", [[0] * 9, list(range(9))])
def test_no_pair_with_a_loss(reduction, labels):
    """One class within the positive margin, all distinct beyond the margin, and no weight."""
    x = inputs.points(9, 3)
    options = dict(margin=0.01, positive_margin=50.0, reduction=reduction)
    for weights in (None, np.zeros(9)):
        made, (gradient,) = checks.value_and_gradients(
            lambda x, weights=weights: tpw.batch_contrastive_loss(
                x, np.array(labels), sample_weight=weights, **options
            ),
            [x],
        )
        assert not made.any() and not gradient.any()
    made, (gradient,) = checks.value_and_gradients(
        lambda x: tpw.batch_contrastive_loss(
            x, np.array(labels), 5.0, sample_weight=np.zeros(9), reduction=reduction
        ),
        [x],
    )
    assert not made.any() and not gradient.any()


def test_no_references():
    x, labels = inputs.batch(4, 3, 2)
    nobody = np.zeros((0, 3), np.float32), np.zeros(0, np.int32)
    for anchors, refs in (((x, labels), nobody), (nobody, (x, labels)), (nobody, nobody)):
        for reduction in BATCH_REDUCTIONS:
            made, gradients = checks.value_and_gradients(
                lambda a, r, of=(anchors[1], refs[1], reduction): tpw.batch_contrastive_loss(
                    a, of[0], ref_embeddings=r, ref_labels=of[1], reduction=of[2]
                ),
                [anchors[0], refs[0]],
            )
            assert not made.any() and not any(g.any() for g in gradients)


def test_points_without_coordinates():
    x, labels = np.zeros((6, 0)), np.array([0, 0, 1, 1, 2, 2])
    checks.assert_like_reference(lambda api: lambda x: api.batch_contrastive_loss(x, labels), [x])


@pytest.mark.parametrize("n", properties.BIG_EDGES)
def test_larger_than_a_tile(n):
    for refs in (None, "offset"):
        batch = Batch(n=n, d=4, classes=7, seed=n, weighted=True, refs=refs)
        for metric, reduction in (("euclidean", "balanced_mean"), ("manhattan", "mean")):
            assert_same_batch(batch, "float64", metric=metric, reduction=reduction)


@pytest.mark.slow
@metrics
@pytest.mark.parametrize("refs", [None, "offset"])
def test_every_tile_edge(metric, refs):
    for n in properties.EDGES + properties.BIG_EDGES:
        for d in (2, 33):
            batch = Batch(n=n, d=d, classes=5, seed=n + d, refs=refs, weighted=True)
            for reduction in ("mean", "balanced_mean", "none"):
                for squared in (True, False):
                    options = dict(metric=metric, reduction=reduction, squared=squared)
                    assert_same_batch(batch, "float64", **options)


@metrics
def test_long_vectors(metric):
    for reduction in ("mean", "none"):
        options = dict(metric=metric, reduction=reduction)
        assert_same_batch(Batch(n=18, d=1000, classes=3), "float32", **options)
        assert_same_batch(Batch(n=18, d=1000, classes=3, refs="others"), "float64", **options)


# ---- properties ----

batches = properties.batches()


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    of=batches,
    refs=st.sampled_from((None, "others", "offset")),
    weighted=st.booleans(),
    metric=st.sampled_from(inputs.METRICS),
    margin=st.sampled_from((0.0, 0.3, 1.0, 3.0)),
    positive_margin=st.sampled_from((0.0, 0.5, -1.0)),
    squared=st.booleans(),
    reduction=st.sampled_from(BATCH_REDUCTIONS),
    path=st.sampled_from(("tape", "traced")),
)
def test_any_batch(of, refs, weighted, metric, margin, positive_margin, squared, reduction, path):
    hypothesis.assume(not counts_noise(metric, of["d"]))
    assert_same_batch(
        Batch(refs=refs, weighted=weighted, **of),
        "float64",
        [path],
        metric=metric,
        margin=margin,
        positive_margin=positive_margin,
        squared=squared,
        reduction=reduction,
    )


@hypothesis.given(of=batches, metric=st.sampled_from(inputs.METRICS), squared=st.booleans())
def test_order_and_names_of_classes_do_not_matter(of, metric, squared):
    hypothesis.assume(not counts_noise(metric, of["d"]))
    batch = Batch(**of)
    x, labels = batch.points[0].astype(np.float64), batch.labels
    order = np.random.default_rng(of["seed"]).permutation(len(x))
    renamed = np.random.default_rng(of["seed"]).permutation(1000)[labels] - 500
    margin, positive_margin = MARGINS[metric]

    def each(x, labels):
        return checks.value_and_gradients(
            lambda x: tpw.batch_contrastive_loss(
                x,
                labels,
                margin,
                positive_margin=positive_margin,
                metric=metric,
                squared=squared,
                reduction="none",
            ),
            [x],
        )

    made, (gradient,) = each(x, labels)
    same, (same_gradient,) = each(x[order], renamed[order])
    checks.assert_close(same, made[order], 1e-9)
    checks.assert_close(same_gradient, gradient[order], 1e-9)


@hypothesis.given(of=batches, metric=st.sampled_from(DIFFERENCES))
def test_translation_does_not_matter(of, metric):
    batch = Batch(**of)
    x = batch.points[0].astype(np.float64)

    def loss(x):
        return tpw.batch_contrastive_loss(x, batch.labels, 1.0, metric=metric)

    made, (gradient,) = checks.value_and_gradients(loss, [x])
    moved, (moved_gradient,) = checks.value_and_gradients(loss, [x + 128.0])
    checks.assert_close(moved, made, 1e-8)
    checks.assert_close(moved_gradient, gradient, 1e-7)


@metrics
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_duplicates(metric, dtype):
    x, labels = inputs.batch(20, 4, 3, seed=2)
    x = np.concatenate([x, x[:10], x[5:15]])
    batch = Batch()
    batch.points, batch.labels = [x], np.concatenate([labels, labels[:10], 2 - labels[5:15]])
    margin, _ = MARGINS[metric]
    for reduction in BATCH_REDUCTIONS:
        for squared in (True, False):
            options = dict(metric=metric, reduction=reduction, squared=squared, margin=margin)
            if metric in DIFFERENCES or reduction in ("none", "sum", "mean"):
                # Under cosine, whether rounding makes a copy's distance 0 would be counted.
                options["positive_margin"] = 0.0 if metric in DIFFERENCES else -0.5
            assert_same_batch(batch, dtype, **options)


@metrics
def test_all_points_equal(metric):
    x = np.ones((9, 4), np.float32)
    labels = np.arange(9) % 3
    for reduction in BATCH_REDUCTIONS:
        for squared in (True, False):
            made, (gradient,) = checks.value_and_gradients(
                lambda x, of=(reduction, squared): tpw.batch_contrastive_loss(
                    x, labels, 1.0, metric=metric, reduction=of[0], squared=of[1]
                ),
                [x],
            )
            assert np.isfinite(made).all() and np.isfinite(gradient).all()
            if metric in DIFFERENCES:
                assert not gradient.any()


@metrics
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_nan_stays_in_its_anchor(metric, bad, dtype):
    batch = Batch(refs="others", seed=1)
    clean = batch.cast(dtype)
    batch.points[0] = batch.points[0].copy()
    batch.points[0][5, 2] = bad
    points = batch.cast(dtype)
    others = np.arange(24) != 5
    for squared in (True, False):
        each, (gradient, _) = checks.value_and_gradients(
            lambda *points, of=squared: batch.call(tpw, points, metric, "none", of), points
        )
        expected, (expected_gradient, _) = checks.value_and_gradients(
            lambda *points, of=squared: batch.call(tpw, points, metric, "none", of), clean
        )
        np.testing.assert_array_equal(np.isnan(each), ~others)
        checks.assert_close(each[others], expected[others], 1e-5)
        checks.assert_close(gradient[others], expected_gradient[others], 1e-2)
        for reduction in BATCH_REDUCTIONS[1:]:
            assert np.isnan(batch.call(tpw, points, metric, reduction, squared))


# ---- gradients by finite differences ----


def clear_of_kinks(distances, margin, positive_margin):
    return min(np.min(np.abs(distances - m)) for m in (margin, positive_margin, 0.0)) > 1e-3


def clear_batch(metric, refs):
    """A batch in which no hinge, and no sign of a difference, turns within a finite difference."""
    margin, positive_margin = MARGINS[metric]
    for seed in range(200):
        batch = Batch(n=6, d=3, classes=2, seed=seed, refs=refs, m=7)
        points = [x.astype(np.float64) for x in batch.points]
        D = reference.pairwise_distance(points[0], points[-1], metric).numpy()
        pairs = ~np.eye(6, dtype=bool) if refs is None else np.ones(D.shape, bool)
        coordinates = np.abs(points[0][:, None] - points[-1][None])[pairs]
        if clear_of_kinks(D[pairs], margin, positive_margin) and np.min(coordinates) > 1e-3:
            return batch, points
    raise AssertionError("no seed gives a batch away from all kinks")


@metrics
@pytest.mark.parametrize("refs", [None, "others"])
@pytest.mark.parametrize("squared", [True, False])
def test_finite_differences(metric, refs, squared):
    batch, points = clear_batch(metric, refs)
    if refs:
        batch.options["sample_weight"] = np.array([1.0, 0.5, 2.0, 0.0, 3.0, 1.0])
    for reduction in BATCH_REDUCTIONS:
        checks.assert_gradients(
            lambda *points, reduction=reduction: batch.call(
                tpw, points, metric, reduction, squared
            ),
            points,
        )


@metrics
def test_finite_differences_of_pairs(metric):
    points, labels = pair_inputs(6, 3, seed=8)
    for reduction in inputs.REDUCTIONS:
        checks.assert_gradients(
            lambda x, y, reduction=reduction: tpw.contrastive_loss(
                x,
                y,
                labels,
                MARGINS[metric][0],
                metric=metric,
                sample_weight=[1.0, 2.0, 0.0, 0.5, 1.0, 1.0],
                reduction=reduction,
            ),
            points,
        )

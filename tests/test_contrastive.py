"""The contrastive losses: the reference, and the fused ops and NumPy functions against it."""

import hashlib
import os
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs
from tf_pairwise import _numpy, reference
from tf_pairwise import numpy as tpn

BATCH_REDUCTIONS = (*inputs.REDUCTIONS, "balanced_mean")
SOFTMAX_REDUCTIONS = ("none", "sum", "mean")
DIFFERENCES = ("euclidean", "squared_euclidean", "manhattan")
HALVES = ("float16", "bfloat16")
EDGES = (0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65)
BIG_EDGES = (95, 96, 97, 191, 192, 193, 255, 256, 257)

# Margins at which some pairs of `inputs.batch` count and others do not, under every metric.
MARGINS = {
    "euclidean": (1.2, 0.5),
    "squared_euclidean": (1.5, 0.4),
    "cosine": (0.9, 0.3),
    "manhattan": (2.5, 1.0),
    "dot": (0.2, -0.3),
}

metrics = pytest.mark.parametrize("metric", inputs.METRICS)
dtypes = pytest.mark.parametrize("dtype", checks.DTYPES)


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


def info_nce(api, labels, normalize, **options):
    return lambda x, y, t: api.info_nce_loss(x, y, t, normalize=normalize, **options)


def info_nce_symmetric(api, labels, normalize, **options):
    return info_nce(api, labels, normalize, symmetric=True, **options)


def _labelled(loss, labels, normalize, options):
    """Of the points, references if there are any, and the temperature."""

    def call(x, *rest):
        refs = dict(ref_embeddings=rest[0]) if len(rest) == 2 else {}
        return loss(x, labels, rest[-1], normalize=normalize, **refs, **options)

    return call


def supervised(api, labels, normalize, **options):
    return _labelled(api.supervised_contrastive_loss, labels, normalize, options)


def nt_xent(api, labels, normalize, **options):
    return _labelled(api.nt_xent_loss, labels, normalize, options)


def sigmoid(api, labels, normalize, **options):
    return lambda x, y, a, b: api.sigmoid_contrastive_loss(
        x, y, a, b, normalize=normalize, **options
    )


KINDS = (info_nce, info_nce_symmetric, supervised, nt_xent, sigmoid)
TWO_SIDED = (info_nce, info_nce_symmetric, sigmoid)
PUBLIC = {
    info_nce: "info_nce_loss",
    info_nce_symmetric: "info_nce_loss",
    supervised: "supervised_contrastive_loss",
    nt_xent: "nt_xent_loss",
    sigmoid: "sigmoid_contrastive_loss",
}
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def softmax_inputs(kind, n=24, d=7, classes=4, seed=0, temperature=0.2, dtype=np.float32):
    """The arguments of a soft-max loss that have a gradient, and the labels."""
    x, labels = inputs.batch(n, d, classes, seed)
    y = x + inputs.points(n, d, seed=seed + 1, scale=0.3)
    points = [x, y] if kind in TWO_SIDED else [x]
    parameters = [1.0 / temperature, -2.0] if kind is sigmoid else [temperature]
    wide = np.float64 if dtype == np.float64 else np.float32
    return [p.astype(dtype) for p in points] + [wide(p) for p in parameters], labels


SOFTMAX_CASES = ("plain", "weights", "keys", "offset")
CASES_OF_KINDS = [
    (kind, case)
    for kind in KINDS
    for case in SOFTMAX_CASES
    if kind is not info_nce_symmetric or case in ("plain", "weights")
]
kinds_and_cases = pytest.mark.parametrize(
    "kind, case", CASES_OF_KINDS, ids=[f"{kind.__name__}-{case}" for kind, case in CASES_OF_KINDS]
)


def softmax_case(kind, case, n=24, m=None, d=7, classes=4, seed=0, dtype=np.float64, **of):
    """As `softmax_inputs`, and the options of a case.

    plain    n queries and their n keys, or a batch against itself
    weights  the same, with weights
    keys     more keys than queries, or references that are other points; weights
    offset   so, with an offset: the queries' own keys, or the anchors themselves, are in the middle
    """
    if case in ("plain", "weights"):
        args, labels = softmax_inputs(kind, n, d, classes, seed, dtype=dtype, **of)
        return args, labels, {} if case == "plain" else {"sample_weight": inputs.weights(n, seed)}
    m = n + 9 if m is None else m
    x, labels, y, ref_labels, k = inputs.references(n, m, d, classes, seed)
    parameters = softmax_inputs(kind, 0, d, classes, dtype=dtype, **of)[0]
    parameters = [p for p in parameters if p.ndim == 0]
    if case == "keys" or kind in TWO_SIDED:
        x = x + inputs.points(n, d, seed=seed + 1, scale=0.3)
    options = {} if kind in TWO_SIDED else {"ref_labels": ref_labels}
    if case == "offset":
        options["positive_offset" if kind in TWO_SIDED else "self_offset"] = k
    else:
        options["sample_weight"] = inputs.weights(n, seed)
    return [x.astype(dtype), y.astype(dtype), *parameters], labels, options


def pair_inputs(n=37, d=19, seed=3):
    x, y, _ = inputs.triplets(n, d, seed)
    return [x, y], inputs.labels(n, 2, seed)


def stored_tolerance(dtype, of_float32=6e-5):
    if dtype in HALVES:
        return 2 * checks.STORED_TOLERANCE[dtype]
    return of_float32 if dtype == "float32" else 3 * checks.LOSS_TOLERANCE[dtype]


def assert_same(
    call,
    args,
    paths=("tape",),
    upstream=None,
    tolerance=None,
    stored=None,
    floors=None,
):
    """Value and gradients of `call(tpw)(*args)` against the reference in float64.

    `floors` are sizes of the value and of the gradients below which an error is not relative to
    them any more.
    """
    args = [tf.convert_to_tensor(x) for x in args]
    dtype = args[0].dtype.name
    wide = [tf.cast(x, tf.float64) for x in args]
    value, gradients = checks.value_and_gradients(call(reference), wide, upstream)
    tolerance = tolerance or checks.LOSS_TOLERANCE[dtype]
    for path in paths:
        made, made_gradients = checks.value_and_gradients(call(tpw), args, upstream, path)
        names = ["loss", *(f"gradient {i}" for i in range(len(args)))]
        of = [tolerance, *(stored or stored_tolerance(x.dtype.name) for x in args)]
        for i, (a, b) in enumerate(zip([made, *made_gradients], [value, *gradients], strict=True)):
            name = f"{names[i]}, {dtype}, {path}"
            if floors is None:
                checks.assert_close(a, b, of[i], name)
            else:
                scale = max(np.max(np.abs(b), initial=0.0), floors[i])
                np.testing.assert_allclose(a, b, of[i], of[i] * scale, err_msg=name)
    return value, gradients


def assert_same_softmax(kind, args, labels, normalize=True, *rest, of=None, **options):
    """Of a soft-max loss. What is left of its logits is known to a part of their size.

    `of` are options of the loss.
    """
    of = of or {}
    lengths = [np.linalg.norm(tf.cast(x, tf.float64), axis=1) for x in args if np.ndim(x) == 2]
    longest = max(np.max(x, initial=1e-6) for x in lengths)
    shortest = min(np.min(x, initial=1e6, where=x > 0) for x in lengths)
    products = 1.0 if normalize else longest**2
    parameters = [float(x) for x in args if np.ndim(x) == 0]
    if kind is sigmoid:
        logits = products * abs(parameters[0]) + abs(parameters[1])
        of_parameters = [products, 1.0]
    else:
        logits = products / parameters[0]
        of_parameters = [logits / parameters[0]]
    of_points = [logits / min(shortest, longest)] * len(lengths)
    rows = {"mean": 1, "none": 4, "sum": len(labels)}[of.get("reduction", "mean")]
    floors = [0.02 * rows * size for size in (logits, *of_points, *of_parameters)]
    return assert_same(
        lambda api: kind(api, labels, normalize, **of), args, *rest, floors=floors, **options
    )


def assert_same_batch(batch, dtype, paths=("tape",), upstream=None, **options):
    if options["reduction"] == "none" and upstream is None:
        upstream = inputs.points(len(batch.labels), seed=9, dtype=np.float64)
    return assert_same(
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


def in_python(kind, args, labels, normalize, **options):
    """Each row's soft-max loss with its sums written out, and what it counts for."""
    points = [x for x in args if np.ndim(x) == 2]
    if normalize:
        points = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in points]
    s = points[0] @ points[-1].T
    n, m = s.shape
    if kind is sigmoid:
        z, (scale, bias) = -np.ones((n, m)), args[2:]
        for i in range(n):
            z[i, i + options.get("positive_offset", 0)] = 1
        return np.log1p(np.exp(-z * (scale * s + bias))).sum(axis=1), np.ones(n)
    e = np.exp(s / args[-1])
    if kind in (info_nce, info_nce_symmetric):
        of_rows = [(i, i + options.get("positive_offset", 0)) for i in range(n)]
        losses = np.array([-np.log(e[i, p] / e[i].sum()) for i, p in of_rows])
        if kind is info_nce_symmetric:
            losses = 0.5 * losses + 0.5 * np.array(
                [-np.log(e[i, i] / e[:, i].sum()) for i in range(n)]
            )
        return losses, np.ones(n)
    ref_labels = options.get("ref_labels", labels)
    offset = options.get("self_offset") if len(points) == 2 else 0
    losses, counts = np.zeros(n), np.zeros(n)
    for i in range(n):
        others = [j for j in range(m) if offset is None or j != i + offset]
        positives = [j for j in others if ref_labels[j] == labels[i]]
        if not positives:
            continue
        if kind is nt_xent:
            negatives = sum(e[i, j] for j in others if ref_labels[j] != labels[i])
            losses[i] = sum(-np.log(e[i, p] / (e[i, p] + negatives)) for p in positives)
            counts[i] = len(positives)
        else:
            every = sum(e[i, j] for j in others)
            losses[i] = -np.mean([np.log(e[i, p] / every) for p in positives])
            counts[i] = 1
    return losses, counts


def reduced_rows(losses, counts, reduction, weights):
    if reduction == "none":
        return weights * losses
    total = np.sum(weights * losses)
    return total if reduction == "sum" else total / np.sum(weights * counts)


@kinds
@pytest.mark.parametrize("normalize", [True, False])
def test_reference_of_softmax(kind, normalize):
    args, _ = softmax_inputs(kind, n=13, d=4, temperature=0.3, dtype=np.float64)
    labels = np.array([0, 0, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5, 0])  # some are alone
    made = kind(reference, labels, normalize)(*[tf.constant(x) for x in args])
    losses, counts = in_python(kind, args, labels, normalize)
    np.testing.assert_allclose(made, np.sum(losses) / np.sum(counts), 1e-12)


@kinds_and_cases
def test_reference_of_softmax_with_options(kind, case):
    args, labels, options = softmax_case(kind, case, n=13, d=4, classes=5, temperature=0.3)
    labels = labels.copy()
    labels[3] = 77  # whose label no reference has, but for itself
    weights = options.get("sample_weight", np.ones(13)).astype(np.float64)
    losses, counts = in_python(kind, args, labels, True, **options)
    assert kind in TWO_SIDED or counts[3] == 0 < np.max(counts)
    for reduction in SOFTMAX_REDUCTIONS:
        made = kind(reference, labels, True, reduction=reduction, **options)(*args)
        np.testing.assert_allclose(made, reduced_rows(losses, counts, reduction, weights), 1e-12)


def test_reference_traced_and_compiled():
    x, labels = inputs.batch(12, 4, 3)
    y = tf.constant(x + inputs.points(12, 4, seed=5, scale=0.2))
    x, labels = tf.constant(x), tf.constant(labels)

    def losses(x, y, labels):
        with tf.GradientTape() as tape:
            tape.watch(x)
            each = [
                reference.contrastive_loss(x, y, labels % 2),
                reference.batch_contrastive_loss(x, labels, reduction="balanced_mean"),
                reference.info_nce_loss(x, y, symmetric=True),
                reference.supervised_contrastive_loss(x, labels),
                reference.nt_xent_loss(x, labels),
                reference.sigmoid_contrastive_loss(x, y, 10.0, -10.0),
            ]
            total = tf.add_n(each)
        return tf.stack(each), tape.gradient(total, x)

    eager = losses(x, y, labels)
    points = tf.TensorSpec([None, None], tf.float32)
    for made in (
        tf.function(losses, input_signature=[points, points, tf.TensorSpec([None], tf.int32)])(
            x, y, labels
        ),
        tf.function(losses, jit_compile=True)(x, y, labels),
    ):
        np.testing.assert_allclose(made[0], eager[0], 1e-5)
        np.testing.assert_allclose(made[1], eager[1], 1e-4, 1e-5)


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
            assert_same(
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


def test_contrastive_loss_by_default_and_in_graphs():
    points, labels = pair_inputs()
    assert_same(lambda api: lambda x, y: api.contrastive_loss(x, y, labels), points, checks.PATHS)
    made = tpw.contrastive_loss(*points, labels)
    explicit = tpw.contrastive_loss(
        *points, labels, 1.0, metric="euclidean", similar_label=0, reduction="mean"
    )
    assert made == explicit and made.dtype == tf.float32 and made.shape == ()
    for dtype, expected in (("float16", "float32"), ("bfloat16", "float32"), ("float64",) * 2):
        halves = [tf.cast(x, dtype) for x in points]
        assert tpw.contrastive_loss(*halves, labels).dtype == expected
    listed = tpw.contrastive_loss(*[x.tolist() for x in points], labels.tolist())
    checks.assert_close(listed, made, 1e-6)


@metrics
@pytest.mark.parametrize("n,d", [(0, 3), (1, 1), (3, 0), (5, 1), (2, 1000), (300, 2), (129, 65)])
def test_contrastive_loss_sizes(metric, n, d):
    if counts_noise(metric, d):
        pytest.skip("distances of 0 and 2 but for rounding")
    points, labels = pair_inputs(n, max(d, 1))
    points = [x[:, :d].astype(np.float64) for x in points]
    for reduction in inputs.REDUCTIONS:
        assert_same(
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
        if metric in ("euclidean", "manhattan", "squared_euclidean"):
            assert not any(g.any() for g in gradients)


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
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("squared", [True, False])
def test_batch_loss_of_halves(metric, dtype, squared):
    for case in ("weights", "refs"):
        batch = Batch(seed=5, **CASES[case])
        options = dict(metric=metric, squared=squared)
        assert_same_batch(batch, dtype, ["tape"], reduction="mean", **options)
        assert_same_batch(batch, dtype, ["traced"], reduction="balanced_mean", **options)
        assert_same_batch(batch, dtype, ["tape"], reduction="none", **options)


@pytest.mark.parametrize("reduction", BATCH_REDUCTIONS)
def test_batch_loss_in_graphs(reduction):
    batch = Batch(refs="offset", weighted=True)
    assert_same_batch(batch, "float32", ["graph"], metric="euclidean", reduction=reduction)


@metrics
def test_an_upstream_gradient_scales(metric):
    batch = Batch(weighted=True)
    for dtype in checks.DTYPES:
        options = dict(metric=metric, reduction="mean")
        assert_same_batch(batch, dtype, checks.PATHS, np.float64(-96.0), **options)


def test_batch_loss_by_default():
    x, labels = inputs.batch(20, 5, 4)
    made = tpw.batch_contrastive_loss(x, labels)
    explicit = tpw.batch_contrastive_loss(
        x,
        labels,
        1.0,
        metric="euclidean",
        positive_margin=0.0,
        squared=True,
        reduction="mean",
    )
    assert made == explicit and made.dtype == tf.float32 and made.shape == ()
    wide = reference.batch_contrastive_loss(x.astype(np.float64), labels)
    checks.assert_close(tpw.batch_contrastive_loss(x.tolist(), labels.tolist()), wide, 2e-5)


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


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_types_and_shapes_of_labels(dtype):
    x, labels = inputs.batch(20, 5, 4)
    for function in (
        tpw.batch_contrastive_loss,
        tpw.supervised_contrastive_loss,
        tpw.nt_xent_loss,
    ):
        expected = function(x, labels)
        for made in (labels.astype(dtype), labels.astype(dtype)[:, None]):
            assert function(x, made) == expected
            assert function(x, tf.constant(made)) == expected
        for far in (2**24, 2**53, 2**62):
            assert function(x, labels.astype(np.int64) + far) == expected
            assert function(x, -far - labels.astype(np.int64)) == expected


@pytest.mark.parametrize("dtype", ["int32", "float16", "float64"])
def test_types_of_weights(dtype):
    x, labels = inputs.batch(20, 5, 4)
    weights = np.arange(20) % 4
    for function, points in (
        ("batch_contrastive_loss", [x]),
        ("contrastive_loss", [x, x[::-1].copy()]),
    ):
        wide = [p.astype(np.float64) for p in points]
        expected = getattr(reference, function)(*wide, labels, sample_weight=weights)
        made = getattr(tpw, function)(*points, labels, sample_weight=weights.astype(dtype))
        assert made.dtype == tf.float32
        checks.assert_close(made, expected, 2e-5)


def test_weights_are_constants():
    x, labels = inputs.batch(12, 4, 3)
    weights = tf.constant(inputs.weights(12))
    for loss in (
        lambda: tpw.batch_contrastive_loss(x, labels, sample_weight=weights),
        lambda: tpw.contrastive_loss(x, x[::-1], labels, sample_weight=weights),
    ):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss()
        assert tape.gradient(value, weights) is None


def test_self_offset_may_be_a_tensor():
    batch = Batch(refs="offset")
    k = batch.options["self_offset"]
    points = batch.cast("float32")
    expected = batch.call(tpw, points, "euclidean", "mean")

    @tf.function
    def traced(k):
        batch.options["self_offset"] = k
        return batch.call(tpw, points, "euclidean", "mean")

    for dtype in (tf.int32, tf.int64):
        assert traced(tf.constant(k, dtype)) == expected


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

            assert_same(loss, [x.astype(dtype), y.astype(dtype)])


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


# ---- the soft-max losses, against the reference ----


@kinds
@pytest.mark.parametrize("normalize", [True, False])
@dtypes
def test_softmax_loss(kind, normalize, dtype):
    for n, d, classes in ((24, 7, 4), (67, 19, 9)):
        args, labels = softmax_inputs(kind, n, d, classes)
        points = 2 if kind in TWO_SIDED else 1
        args = [tf.cast(x, dtype) for x in args[:points]] + [
            tf.cast(x, tf.float64 if dtype == "float64" else tf.float32) for x in args[points:]
        ]
        assert_same_softmax(kind, args, labels, normalize, checks.PATHS)


@kinds
def test_upstream_of_softmax(kind):
    for dtype in (np.float64, np.float32):
        args, labels = softmax_inputs(kind, dtype=dtype)
        assert_same_softmax(kind, args, labels, True, checks.PATHS, np.float64(-96.0))


@kinds
@pytest.mark.parametrize("temperature", [0.01, 0.05, 1.0, 100.0])
def test_temperatures(kind, temperature):
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 2e-4)):
        args, labels = softmax_inputs(kind, n=40, temperature=temperature, dtype=dtype)
        assert_same_softmax(kind, args, labels, tolerance=tolerance, stored=tolerance)


@kinds
@pytest.mark.parametrize("temperature", [0.01, 0.07])
def test_large_unnormalised_points(kind, temperature):
    """Dot products of 1e6, logits of 1e8: far beyond what exp() takes."""
    for dtype, tolerance in ((np.float64, 1e-7), (np.float32, 1e-4)):
        args, labels = softmax_inputs(kind, n=40, d=16, temperature=temperature, dtype=dtype)
        for x in args:
            if x.ndim == 2:
                x *= 1e3 / np.linalg.norm(x, axis=1, keepdims=True)
        value, gradients = assert_same_softmax(
            kind, args, labels, False, tolerance=tolerance, stored=tolerance
        )
        assert value > 1e3 and any(np.any(g) for g in gradients)


@kinds
def test_parameters_of_any_kind(kind):
    args, labels = softmax_inputs(kind)
    points = 2 if kind in TWO_SIDED else 1
    points, parameters = args[:points], args[points:]
    loss = kind(tpw, labels, True)
    expected = loss(*points, *[tf.constant(p, tf.float32) for p in parameters])
    assert expected.dtype == tf.float32 and expected.shape == ()
    assert loss(*points, *[float(p) for p in parameters]) == expected
    assert loss(*points, *parameters) == expected
    assert loss(*points, *[np.float64(np.float32(p)) for p in parameters]) == expected
    assert loss(*points, *[np.array(p) for p in parameters]) == expected
    if kind is sigmoid:
        assert np.isfinite(loss(*points, 3, -2))
    else:
        assert np.isfinite(loss(*points, 1))
    for dtype in (tf.float64, tf.float32, tf.bfloat16):
        variables = [tf.Variable(p, dtype=dtype) for p in parameters]
        with tf.GradientTape() as tape:
            value = loss(*points, *variables)
        gradients = tape.gradient(value, variables)
        for gradient in gradients:
            assert gradient.dtype == dtype and gradient.shape == ()
            assert gradient != 0.0
        if dtype != tf.bfloat16:
            assert value == expected
            wide = [tf.constant(np.float64(p)) for p in parameters]
            with tf.GradientTape() as tape:
                tape.watch(wide)
                of_reference = kind(reference, labels, True)(
                    *[tf.constant(p, tf.float64) for p in points], *wide
                )
            for a, b in zip(gradients, tape.gradient(of_reference, wide), strict=True):
                checks.assert_close(a, b, 6e-5)


@kinds
def test_the_points_alone_have_a_gradient(kind):
    """Where parameters are numbers; and the parameters alone, where the points are constants."""
    args, labels = softmax_inputs(kind)
    count = 2 if kind in TWO_SIDED else 1
    points = [tf.constant(x) for x in args[:count]]
    parameters = [tf.constant(p) for p in args[count:]]
    loss = kind(tpw, labels, True)
    for watched in (points, parameters, points[:1], parameters[-1:]):
        with tf.GradientTape() as tape:
            tape.watch(watched)
            value = loss(*points, *parameters)
        gradients = tape.gradient(value, watched)
        assert all(np.any(gradient.numpy()) for gradient in gradients)
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = loss(*points, *[float(p) for p in args[count:]])
    assert all(np.any(gradient.numpy()) for gradient in tape.gradient(value, points))


def test_defaults_of_softmax():
    x, labels = inputs.batch(20, 5, 4)
    y = x[::-1].copy()
    t = tf.constant
    assert tpw.info_nce_loss(x, y) == tpw.info_nce_loss(
        x, y, t(0.07), symmetric=False, normalize=True
    )
    assert tpw.supervised_contrastive_loss(x, labels) == tpw.supervised_contrastive_loss(
        x, labels, t(0.1), normalize=True
    )
    assert tpw.nt_xent_loss(x, labels) == tpw.nt_xent_loss(x, labels, t(0.5), normalize=True)
    assert tpw.sigmoid_contrastive_loss(x, y, 10.0, -10.0) == tpw.sigmoid_contrastive_loss(
        x, y, t(10.0), t(-10.0), normalize=True
    )
    listed = tpw.info_nce_loss(x.tolist(), y.tolist())
    assert listed == tpw.info_nce_loss(x, y)


def test_known_values_of_softmax():
    x = np.eye(2)
    of_one = np.log1p(np.exp(-1.0))
    for loss in (tpw.info_nce_loss(x, x, 1.0), tpw.info_nce_loss(x, x, 1.0, symmetric=True)):
        np.testing.assert_allclose(loss, of_one, 1e-12)
    np.testing.assert_allclose(tpw.info_nce_loss(x * 3, x * 2, 6.0, normalize=False), of_one, 1e-12)
    np.testing.assert_allclose(
        tpw.sigmoid_contrastive_loss(x, x, 1.0, 0.0), of_one + np.log(2.0), 1e-12
    )
    three = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    for function in (tpw.supervised_contrastive_loss, tpw.nt_xent_loss):
        np.testing.assert_allclose(function(three, [0, 0, 1], 1.0), of_one, 1e-12)
    # Four of a label, and one more: SupCon's denominator holds the other positives, NT-Xent's not.
    five = np.ones((5, 2))
    np.testing.assert_allclose(
        tpw.supervised_contrastive_loss(five, [0, 0, 0, 0, 1]), np.log(4.0), 1e-12
    )
    np.testing.assert_allclose(tpw.nt_xent_loss(five, [0, 0, 0, 0, 1]), np.log(2.0), 1e-12)


@kinds
def test_lengths_do_not_matter_when_normalised(kind):
    args, labels = softmax_inputs(kind, dtype=np.float64)
    expected = kind(tpw, labels, True)(*args)
    scaled = [x * 37.0 if x.ndim == 2 else x for x in args]
    checks.assert_close(kind(tpw, labels, True)(*scaled), expected, 1e-12)
    assert abs(kind(tpw, labels, False)(*scaled) - expected) > 1e-3


@kinds
@dtypes
def test_zero_vectors(kind, dtype):
    args, labels = softmax_inputs(kind, n=20)
    for x in args:
        if x.ndim == 2:
            x[3] = 0.0
            x[11] = 0.0
    wide = tf.float64 if dtype == "float64" else tf.float32
    args = [tf.cast(x, dtype if x.ndim == 2 else wide) for x in args]
    assert_same_softmax(kind, args, labels, True, ("tape", "traced"))
    _, gradients = checks.value_and_gradients(kind(tpw, labels, True), args)
    for x, gradient in zip(args, gradients, strict=True):
        if x.shape.rank == 2:
            assert not gradient[[3, 11]].any() and gradient[0].any()
    assert_same_softmax(kind, args, labels, False)


@kinds
@pytest.mark.parametrize("normalize", [True, False])
def test_duplicate_points(kind, normalize):
    args, labels = softmax_inputs(kind, n=20, dtype=np.float64)
    args = [np.concatenate([x, x[:10], x[5:15]]) if x.ndim == 2 else x for x in args]
    labels = np.concatenate([labels, labels[:10], 3 - labels[5:15]])
    for dtype in (np.float64, np.float32):
        assert_same_softmax(kind, [x.astype(dtype) for x in args], labels, normalize)


# ---- the soft-max losses with references, offsets, weights and reductions ----


def upstream_of(reduction, n):
    return inputs.points(n, seed=9, dtype=np.float64) if reduction == "none" else None


@kinds_and_cases
def test_softmax_with_options(kind, case):
    for reduction in SOFTMAX_REDUCTIONS:
        upstream = upstream_of(reduction, 24)
        for dtype, paths in ((np.float64, ("tape", "traced")), (np.float32, ("tape",))):
            args, labels, options = softmax_case(kind, case, seed=3, dtype=dtype)
            of = dict(reduction=reduction, **options)
            assert_same_softmax(kind, args, labels, dtype == np.float32, paths, upstream, of=of)


@kinds
@pytest.mark.parametrize("dtype", HALVES)
def test_softmax_of_halves_with_options(kind, dtype):
    case = "weights" if kind is info_nce_symmetric else "offset"
    args, labels, options = softmax_case(kind, case, seed=5, dtype=np.float32)
    args = [tf.cast(x, dtype) if x.ndim == 2 else x for x in args]
    for reduction, path in (("mean", "tape"), ("none", "traced")):
        upstream = upstream_of(reduction, 24)
        of = dict(reduction=reduction, **options)
        assert_same_softmax(kind, args, labels, True, [path], upstream, of=of)


@kinds_and_cases
def test_finite_differences_of_softmax_with_options(kind, case):
    args, labels, options = softmax_case(kind, case, 5, 7, 2, 2, seed=4, temperature=0.5)
    if case == "plain":
        options["sample_weight"] = None
    for reduction in SOFTMAX_REDUCTIONS:
        checks.assert_gradients(kind(tpw, labels, True, reduction=reduction, **options), args)


@kinds
@pytest.mark.parametrize("weighted", [False, True])
def test_parts_of_a_softmax_are_the_whole(kind, weighted):
    """What two replicas compute, each with both replicas' keys: sums, and means by `counted`."""
    if kind is info_nce_symmetric:
        pytest.skip("its other direction is of all queries")
    args, labels, _ = softmax_case(kind, "plain", n=70, classes=9)
    labels = np.where(labels == 8, 100 + np.arange(70), labels)  # some are alone
    points, parameters = args[:-1] if kind is not sigmoid else args[:2], args[-1:]
    parameters = args[2:] if kind is sigmoid else parameters
    weights = inputs.weights(70) if weighted else np.ones(70)
    two_sided = kind in TWO_SIDED

    def made(rows, reduction):
        """Value, gradients of queries, keys and parameters, and what was counted."""
        x = points[0] if rows is None else points[0][rows]
        options = dict(sample_weight=weights if rows is None else weights[rows])
        if rows is not None:
            options["positive_offset" if two_sided else "self_offset"] = rows.start
            if not two_sided:
                options["ref_labels"] = labels
        some = labels if rows is None else labels[rows]
        sets = [x, *points[1:]] if rows is None or two_sided else [x, points[0]]
        call = kind(tpw, some, True, reduction=reduction, **options)
        value, gradients = checks.value_and_gradients(call, [*sets, *parameters])
        return value, gradients, counted_of(call, [*sets, *parameters])

    for reduction in ("sum", "mean"):
        whole, gradients, counted = made(None, reduction)
        totals = [np.zeros_like(g) for g in gradients]
        value = 0.0
        for rows in (slice(0, 31), slice(31, 70)):
            part, of_part, of_counted = made(rows, reduction)
            share = 1.0 if reduction == "sum" else of_counted / counted
            assert share > 0.1
            value += share * part
            totals[0][rows] += share * of_part[0]
            totals[1 if two_sided else 0][...] += share * of_part[1]
            for total, gradient in zip(totals[-len(parameters) :], of_part[2:], strict=True):
                total += share * gradient
        checks.assert_close(value, whole, 1e-12)
        for total, gradient in zip(totals, gradients, strict=True):
            checks.assert_close(total, gradient, 1e-9)


def counted_of(call, args):
    """The last output of the loss op of a call, for tf_pairwise.distribute."""

    @tf.function(autograph=False)
    def counted(*args):
        (op,) = {call(*args).op}
        assert op.type == "TfPairwise>SoftmaxLoss" and op.outputs[-1].shape == ()
        return op.outputs[-1]

    return counted(*args).numpy()


@kinds_and_cases
def test_what_is_counted(kind, case):
    """The same for every reduction, and a sum over it is the mean."""
    args, labels, options = softmax_case(kind, case, classes=6)
    labels = np.where(labels == 5, 100 + np.arange(24), labels)
    weights = options.get("sample_weight", np.ones(24)).astype(np.float64)
    _, counts = in_python(kind, args, labels, True, **options)
    value = {}
    for reduction in SOFTMAX_REDUCTIONS:
        call = kind(tpw, labels, True, reduction=reduction, **options)
        np.testing.assert_allclose(counted_of(call, args), np.sum(weights * counts), 1e-12)
        value[reduction] = call(*args).numpy()
    assert value["none"].shape == (24,) and value["sum"].shape == value["mean"].shape == ()
    np.testing.assert_allclose(np.sum(value["none"]), value["sum"], 1e-12)
    np.testing.assert_allclose(value["sum"] / np.sum(weights * counts), value["mean"], 1e-12)


@pytest.mark.parametrize("kind", [supervised, nt_xent], ids=["supervised", "nt_xent"])
def test_an_own_reference_of_another_label_is_left_out(kind):
    """It would be a negative, and the nearest."""
    for k in (0, 3, 6):
        args, labels, options = softmax_case(kind, "offset", 8, 14, 5, 3)
        args[1][k : k + 8] = args[0]
        ref_labels = options["ref_labels"].copy()
        ref_labels[k : k + 8] = labels + 1
        of = dict(ref_labels=ref_labels, self_offset=k, reduction="none")
        value, _ = assert_same_softmax(kind, args, labels, True, upstream=np.ones(8), of=of)
        changed = args[1].copy()
        changed[k] = 100.0  # the own reference of anchor 0 and of no other
        again = kind(tpw, labels, False, **of)(args[0], changed, args[2])
        before = kind(tpw, labels, False, **of)(*args)
        assert value.any() and again[0] == before[0] and np.all(again[1:] != before[1:])


@kinds
def test_offsets_at_the_edges(kind):
    """The first and the last that there are keys for, and as many keys as queries."""
    if kind is info_nce_symmetric:
        pytest.skip("it has no offset")
    for n, m in ((5, 5), (5, 9), (1, 70), (64, 65)):
        for k in {0, m - n}:
            args, labels, options = softmax_case(kind, "offset", n, m, 3, 3)
            options["positive_offset" if kind in TWO_SIDED else "self_offset"] = k
            assert_same_softmax(kind, args, labels, of=options)


def test_offset_may_be_a_tensor():
    for kind in (info_nce, sigmoid, supervised, nt_xent):
        args, labels, options = softmax_case(kind, "offset")
        name = "positive_offset" if kind in TWO_SIDED else "self_offset"
        expected = kind(tpw, labels, True, **options)(*args)
        k = options.pop(name)
        assert expected != kind(tpw, labels, True, **options, **{name: k - 1})(*args)

        @tf.function
        def traced(k, of=(kind, args, labels, options, name)):
            kind, args, labels, options, name = of
            return kind(tpw, labels, True, **options, **{name: k})(*args)

        for value in (tf.constant(k, tf.int32), tf.constant(k, tf.int64)):
            assert traced(value) == expected
        for value in (np.int32(k), tf.Variable(k)):
            assert kind(tpw, labels, True, **options, **{name: value})(*args) == expected


def test_a_queue_of_keys():
    """MoCo's: logits of each query's own key and of a queue, which no query has a positive in."""
    x, y = (inputs.points(6, 4, seed=seed, dtype=np.float64) for seed in (0, 1))
    queue = inputs.points(20, 4, seed=2, dtype=np.float64)
    made = tpw.info_nce_loss(x, np.concatenate([y, queue]), 0.5)
    x, y, queue = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y, queue))
    logits = np.concatenate([x @ y.T, x @ queue.T], axis=1) / 0.5
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(np.arange(6), logits)
    np.testing.assert_allclose(made, np.mean(losses), 1e-12)


@kinds
def test_weights_of_softmax(kind):
    """A weight is as many rows, of which the sums are made; zero is none; they are constants."""
    args, labels, options = softmax_case(kind, "weights")
    weights = tf.Variable(options["sample_weight"])
    each = kind(tpw, labels, True, reduction="none")(*args)
    for dtype in ("float16", "float64", "int32"):
        some = (np.arange(24) % 4).astype(dtype)
        made = kind(tpw, labels, True, reduction="none", sample_weight=some)(*args)
        np.testing.assert_allclose(made, each * some.astype(np.float64), 1e-12)
        assert made.dtype == tf.float64 and np.all(made[::4] == 0.0)
    with tf.GradientTape() as tape:
        value = kind(tpw, labels, True, sample_weight=weights)(*args)
    assert tape.gradient(value, weights) is None
    ones = kind(tpw, labels, True, sample_weight=np.ones(24))(*args)
    assert ones == kind(tpw, labels, True)(*args)  # to the bit


@kinds_and_cases
def test_no_weight_at_all(kind, case):
    args, labels, options = softmax_case(kind, case)
    for reduction in SOFTMAX_REDUCTIONS:
        of = dict(options, reduction=reduction, sample_weight=np.zeros(24))
        made, gradients = checks.value_and_gradients(kind(tpw, labels, True, **of), args)
        assert not made.any() and not any(np.any(g) for g in gradients)
        assert counted_of(kind(tpw, labels, True, **of), args) == 0.0


@pytest.mark.parametrize("kind", [supervised, nt_xent], ids=["supervised", "nt_xent"])
@pytest.mark.parametrize(
    "labels, ref_labels",
    [([], []), ([], [3, 3]), ([3, 3], []), ([1] * 4, [1] * 6), ([0, 1, 2], [3, 4, 5]), ([0], [0])],
)
def test_small_sets_of_references(kind, labels, ref_labels):
    x = inputs.points(len(labels), 3, seed=1, dtype=np.float64)
    y = inputs.points(len(ref_labels), 3, seed=2, dtype=np.float64)
    labels, refs = np.array(labels, np.int32), np.array(ref_labels, np.int32)
    offsets = (None, 0) if len(refs) >= len(labels) else (None,)
    for offset in offsets:
        for reduction in SOFTMAX_REDUCTIONS:
            of = dict(ref_labels=refs, self_offset=offset, reduction=reduction)
            upstream = upstream_of(reduction, len(labels))
            assert_same_softmax(
                kind, [x, y, 0.3], labels, True, ("tape", "traced"), upstream, of=of
            )
            nothing = not set(labels) & set(refs) or (offset == 0 and len(refs) == 1)
            made, gradients = checks.value_and_gradients(
                kind(tpw, labels, True, **of), [x, y, 0.3], upstream
            )
            assert not nothing or not (made.any() or any(np.any(g) for g in gradients))


@pytest.mark.parametrize("kind", [info_nce, sigmoid], ids=["info_nce", "sigmoid"])
@pytest.mark.parametrize("n, m, d", [(0, 0, 3), (0, 4, 3), (1, 1, 1), (3, 8, 1), (2, 3, 0)])
def test_small_sets_of_keys(kind, n, m, d):
    args, labels, options = softmax_case(kind, "offset", n, m, max(d, 1), 1)
    args = [x[:, :d] if x.ndim == 2 else x for x in args]
    for reduction in SOFTMAX_REDUCTIONS:
        of = dict(options, reduction=reduction)
        if m > 0:
            upstream = upstream_of(reduction, n)
            assert_same_softmax(kind, args, labels, True, ("tape", "traced"), upstream, of=of)
        made, gradients = checks.value_and_gradients(kind(tpw, labels, True, **of), args)
        if n == 0:
            assert made.shape == ((0,) if reduction == "none" else ())
            assert not made.any() and not any(np.any(g) for g in gradients)


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    n=st.sampled_from(EDGES),
    more=st.sampled_from((0, 1, 7, 64)),
    d=st.sampled_from((1, 3, 17)),
    classes=st.sampled_from((1, 3, 70)),
    seed=st.integers(0, 1000),
    kind_and_case=st.sampled_from(CASES_OF_KINDS),
    reduction=st.sampled_from(SOFTMAX_REDUCTIONS),
    normalize=st.booleans(),
    path=st.sampled_from(("tape", "traced")),
)
def test_any_softmax_with_options(
    n, more, d, classes, seed, kind_and_case, reduction, normalize, path
):
    kind, case = kind_and_case
    hypothesis.assume(n + more > 0)
    args, labels, options = softmax_case(kind, case, n, n + more, d, classes, seed)
    of = dict(options, reduction=reduction)
    upstream = upstream_of(reduction, n)
    assert_same_softmax(kind, args, labels, normalize, [path], upstream, of=of)


@kinds
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_nan_stays_in_its_row(kind, bad, dtype):
    """A query's, that no other row reads; a weight of zero takes it out."""
    if kind is info_nce_symmetric:
        pytest.skip("there every row reads it")
    args, labels, options = softmax_case(kind, "keys", seed=1, dtype=np.float32)
    broken = [args[0].copy(), *args[1:]]
    broken[0][5, 2] = bad
    wide = tf.float64 if dtype == "float64" else tf.float32
    args, broken = (
        [tf.cast(x, dtype if np.ndim(x) == 2 else wide) for x in some] for some in (args, broken)
    )
    others = np.arange(24) != 5
    del options["sample_weight"]
    of = dict(options, reduction="none")
    expected, expected_gradients = checks.value_and_gradients(kind(tpw, labels, True, **of), args)
    made, gradients = checks.value_and_gradients(kind(tpw, labels, True, **of), broken)
    np.testing.assert_array_equal(np.isnan(made), ~others)
    np.testing.assert_array_equal(made[others], expected[others])
    np.testing.assert_array_equal(gradients[0][others], expected_gradients[0][others])
    of["sample_weight"] = others.astype(int)
    made, gradients = checks.value_and_gradients(kind(tpw, labels, True, **of), broken)
    np.testing.assert_array_equal(made, np.where(others, expected, 0.0))
    assert np.isfinite(gradients[0][others]).all()
    assert all(np.isfinite(g).all() for g in gradients[1:])


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

        assert_same(loss, [x])
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


@kinds
@pytest.mark.parametrize(
    "labels", [[], [3], [3, 3], [3, 4], [1] * 9, list(range(9)), [0, 0, 1], [0, 1, 1, 1, 1]]
)
def test_small_softmax(kind, labels):
    n = len(labels)
    labels = np.array(labels, np.int32)
    for normalize in (True, False):
        args, _ = softmax_inputs(kind, n=n, d=3)
        assert_same_softmax(kind, args, labels, normalize)
        made, gradients = checks.value_and_gradients(kind(tpw, labels, normalize), args)
        nothing = n == 0 or (
            kind in (supervised, nt_xent) and (n < 2 or len(set(labels.tolist())) == n)
        )
        if nothing:
            assert made == 0.0 and not any(np.any(g) for g in gradients)


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
    assert_same(lambda api: lambda x: api.batch_contrastive_loss(x, labels), [x])
    for kind in KINDS:
        args, _ = softmax_inputs(kind, n=6, d=1, dtype=np.float64)
        args = [x[:, :0] if x.ndim == 2 else x for x in args]
        assert_same_softmax(kind, args, labels)


@pytest.mark.parametrize("n", BIG_EDGES)
def test_larger_than_a_tile(n):
    for refs in (None, "offset"):
        batch = Batch(n=n, d=4, classes=7, seed=n, weighted=True, refs=refs)
        for metric, reduction in (("euclidean", "balanced_mean"), ("manhattan", "mean")):
            assert_same_batch(batch, "float64", metric=metric, reduction=reduction)
    for kind in KINDS:
        args, labels = softmax_inputs(kind, n=n, d=5, classes=7, dtype=np.float64)
        assert_same_softmax(kind, args, labels)


@pytest.mark.slow
@metrics
@pytest.mark.parametrize("refs", [None, "offset"])
def test_every_tile_edge(metric, refs):
    for n in EDGES + BIG_EDGES:
        for d in (2, 33):
            batch = Batch(n=n, d=d, classes=5, seed=n + d, refs=refs, weighted=True)
            for reduction in ("mean", "balanced_mean", "none"):
                for squared in (True, False):
                    options = dict(metric=metric, reduction=reduction, squared=squared)
                    assert_same_batch(batch, "float64", **options)


@pytest.mark.slow
@kinds
def test_every_tile_edge_of_softmax(kind):
    for n in EDGES + BIG_EDGES:
        for d in (2, 33):
            for normalize in (True, False):
                args, labels = softmax_inputs(kind, n=n, d=d, classes=5, dtype=np.float64)
                assert_same_softmax(kind, args, labels, normalize, ("tape", "traced"))


@metrics
def test_long_vectors(metric):
    for reduction in ("mean", "none"):
        options = dict(metric=metric, reduction=reduction)
        assert_same_batch(Batch(n=18, d=1000, classes=3), "float32", **options)
        assert_same_batch(Batch(n=18, d=1000, classes=3, refs="others"), "float64", **options)


@kinds
@pytest.mark.parametrize("d", [1, 1000])
def test_dimensions_of_softmax(kind, d):
    for dtype in (np.float64, np.float32):
        args, labels = softmax_inputs(kind, n=30, d=d, dtype=dtype)
        assert_same_softmax(kind, args, labels, True, ("tape", "traced"))


# ---- properties ----

batches = st.fixed_dictionaries(
    dict(
        n=st.sampled_from(EDGES),
        d=st.sampled_from((1, 2, 3, 8, 17)),
        classes=st.sampled_from((1, 2, 3, 7, 70)),
        seed=st.integers(0, 1000),
    )
)


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


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    of=batches,
    kind=st.sampled_from(KINDS),
    normalize=st.booleans(),
    temperature=st.sampled_from((0.01, 0.1, 1.0, 10.0)),
    path=st.sampled_from(("tape", "traced")),
)
def test_any_softmax(of, kind, normalize, temperature, path):
    args, labels = softmax_inputs(kind, temperature=temperature, dtype=np.float64, **of)
    assert_same_softmax(kind, args, labels, normalize, [path])


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


@hypothesis.given(of=batches, kind=st.sampled_from(KINDS), normalize=st.booleans())
def test_order_does_not_matter_to_softmax(of, kind, normalize):
    args, labels = softmax_inputs(kind, dtype=np.float64, **of)
    order = np.random.default_rng(of["seed"]).permutation(of["n"])
    renamed = np.random.default_rng(of["seed"]).permutation(1000)[labels] - 500
    value, gradients = checks.value_and_gradients(kind(tpw, labels, normalize), args)
    permuted = [x[order] if x.ndim == 2 else x for x in args]
    same, same_gradients = checks.value_and_gradients(
        kind(tpw, renamed[order], normalize), permuted
    )
    checks.assert_close(same, value, 1e-9)
    for a, b in zip(same_gradients, gradients, strict=True):
        checks.assert_close(a, b[order] if b.ndim == 2 else b, 1e-8)


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


@hypothesis.given(of=batches)
def test_exchange_of_queries_and_keys(of):
    (x, y, t), _ = softmax_inputs(info_nce, dtype=np.float64, **of)
    one_way, other_way = tpw.info_nce_loss(x, y, t), tpw.info_nce_loss(y, x, t)
    symmetric = tpw.info_nce_loss(x, y, t, symmetric=True)
    checks.assert_close(symmetric, 0.5 * (one_way + other_way), 1e-12)
    checks.assert_close(tpw.info_nce_loss(y, x, t, symmetric=True), symmetric, 1e-12)


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


@kinds
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_nan_reaches_a_softmax(kind, bad, normalize, dtype):
    args, labels = softmax_inputs(kind)
    for i, x in enumerate(args):
        if x.ndim == 2:
            spoilt = [tf.cast(a, dtype) if a.ndim == 2 else a for a in args]
            broken = x.copy()
            broken[4, 2] = bad
            spoilt[i] = tf.cast(broken, dtype)
            assert np.isnan(kind(tpw, labels, normalize)(*spoilt))
    assert np.isfinite(kind(tpw, labels, normalize)(*args))


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


@kinds
@pytest.mark.parametrize("normalize", [True, False])
def test_finite_differences_of_softmax(kind, normalize):
    args, labels = softmax_inputs(kind, n=6, d=3, classes=2, temperature=0.5)
    checks.assert_gradients(kind(tpw, labels, normalize), args)


# ---- second derivatives, saved gradients ----


def all_losses(labels):
    """name -> a function of two sets of points."""
    refs = dict(ref_labels=labels)
    return {
        "contrastive_loss": lambda x, y, **o: tpw.contrastive_loss(x, y, labels % 2, **o),
        "batch_contrastive_loss": lambda x, y, **o: tpw.batch_contrastive_loss(x, labels, **o),
        "batch_contrastive_loss, refs": lambda x, y, **o: tpw.batch_contrastive_loss(
            x, labels, ref_embeddings=y, **refs, **o
        ),
        "info_nce_loss": lambda x, y: tpw.info_nce_loss(x, y, symmetric=True),
        "info_nce_loss, keys": lambda x, y, **o: tpw.info_nce_loss(
            x[:-3], y, positive_offset=2, reduction="sum", **o
        ),
        "supervised_contrastive_loss": lambda x, y: tpw.supervised_contrastive_loss(x, labels),
        "supervised_contrastive_loss, refs": lambda x, y, **o: tpw.supervised_contrastive_loss(
            x, labels, ref_embeddings=y, self_offset=0, **refs, **o
        ),
        "nt_xent_loss": lambda x, y: tpw.nt_xent_loss(x, labels),
        "nt_xent_loss, refs": lambda x, y, **o: tpw.nt_xent_loss(
            x, labels, ref_embeddings=y, sample_weight=labels, **refs, **o
        ),
        "sigmoid_contrastive_loss": lambda x, y: tpw.sigmoid_contrastive_loss(x, y, 10.0, -10.0),
    }


LOSSES = tuple(all_losses(np.zeros(0, int)))


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives_are_refused(name):
    x, labels = inputs.batch(10, 3, 2)
    x, y = tf.constant(x), tf.constant(x + inputs.points(10, 3, scale=0.1))
    loss = all_losses(labels)[name]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x, y)
        penalty = tf.reduce_sum(tf.square(tape.gradient(value, x)))
    function = name.split(",")[0]
    with pytest.raises(tf.errors.UnimplementedError, match=f"{function} has no second derivative"):
        outer.gradient(penalty, x)


@kinds
def test_second_derivatives_of_parameters_are_refused(kind):
    args, labels = softmax_inputs(kind)
    points, parameter = args[:-1], tf.constant(args[-1])
    with tf.GradientTape() as outer:
        outer.watch(parameter)
        with tf.GradientTape() as tape:
            tape.watch(parameter)
            value = kind(tpw, labels, True)(*points, parameter)
        gradient = tape.gradient(value, parameter)
    with pytest.raises(tf.errors.UnimplementedError, match=f"reference.{PUBLIC[kind]}.* has it"):
        outer.gradient(gradient, parameter)


@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_the_same_on_every_path(name):
    x, labels = inputs.batch(70, 17, 9)
    y = x + inputs.points(70, 17, scale=0.1)
    loss = all_losses(labels)[name]
    value = loss(x, y).numpy()
    args = [tf.constant(x), tf.constant(y)]

    def both(args):
        with tf.GradientTape() as tape:
            tape.watch(args)
            made = loss(*args)
        return made, tape.gradient(made, args)

    traced = tf.function(loss, autograph=False)
    made, gradients = both(args)
    with tf.GradientTape() as tape:
        tape.watch(args)
        anew = traced(*args)
    inside = tf.function(both)(args)
    for other, of in ((anew, tape.gradient(anew, args)), inside):
        np.testing.assert_array_equal(made, value)
        np.testing.assert_array_equal(other, value)
        for a, b in zip(gradients, of, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_made_in_the_same_pass_where_a_tape_records(name):
    x, labels = inputs.batch(10, 3, 2)
    x = tf.constant(x)
    loss = all_losses(labels)[name]

    def with_gradient(function):
        graph = function.get_concrete_function(x).graph
        (op,) = [
            o
            for o in graph.get_operations()
            if o.type.startswith("TfPairwise>") and not o.type.endswith("Grad")
        ]
        return op.get_attr("with_gradient")

    def train(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x, x)
        return tape.gradient(value, x)

    assert with_gradient(tf.function(train))
    assert not with_gradient(tf.function(lambda x: loss(x, x)))


def test_parameters_alone_record_too():
    x, _ = inputs.batch(10, 3, 2)

    def train(t):
        with tf.GradientTape() as tape:
            tape.watch(t)
            value = tpw.info_nce_loss(x, x[::-1], t)
        return tape.gradient(value, t)

    graph = tf.function(train).get_concrete_function(tf.constant(0.1)).graph
    (op,) = [o for o in graph.get_operations() if o.type == "TfPairwise>SoftmaxLoss"]
    assert op.get_attr("with_gradient")


def test_a_saved_model_trains_on(tmp_path):
    labels = inputs.labels(12, 4)

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(inputs.points(5, 3))
            self.t = tf.Variable(0.2)

        @tf.function(input_signature=[tf.TensorSpec([None, 5])] * 2)
        def loss(self, x, y):
            x, y = x @ self.w, y @ self.w
            return (
                tpw.contrastive_loss(x, y, labels % 2)
                + tpw.batch_contrastive_loss(x, labels, reduction="balanced_mean")
                + tpw.info_nce_loss(x, y, self.t, symmetric=True)
                + tpw.supervised_contrastive_loss(x, labels, self.t)
                + tpw.nt_xent_loss(x, labels, self.t)
                + tpw.sigmoid_contrastive_loss(x, y, 1.0 / self.t, self.t)
            )

    x, y = inputs.points(12, 5), inputs.points(12, 5, seed=1)

    def step(model):
        with tf.GradientTape() as tape:
            loss = model.loss(x, y)
        return [loss, *tape.gradient(loss, [model.w, model.t])]

    model = Model()
    made = step(model)
    tf.saved_model.save(model, str(tmp_path))
    for a, b in zip(step(tf.saved_model.load(str(tmp_path))), made, strict=True):
        checks.assert_close(a, b, 1e-5)  # a sum of gradients has no order


# ---- in graphs ----


def test_unknown_shapes():
    for points_shape, labels_shape in ((None, None), ([None, None], [None])):
        point = tf.TensorSpec(points_shape, tf.float32)
        label = tf.TensorSpec(labels_shape, tf.int32)
        scalar = tf.TensorSpec(None, tf.float32)

        def losses(x, labels, y, t):
            with tf.GradientTape() as tape:
                tape.watch([x, t])
                total = (
                    tpw.contrastive_loss(x, y, labels)
                    + tpw.batch_contrastive_loss(x, labels, sample_weight=labels)
                    + tpw.batch_contrastive_loss(
                        x, labels, ref_embeddings=y, ref_labels=labels, self_offset=0
                    )
                    + tpw.info_nce_loss(x, y, t)
                    + tpw.supervised_contrastive_loss(x, labels, t)
                    + tpw.nt_xent_loss(x, labels, t)
                    + tpw.sigmoid_contrastive_loss(x, y, t, t)
                    + tpw.info_nce_loss(x[:-1], y, t, positive_offset=tf.shape(y)[0] % 2)
                    + tpw.nt_xent_loss(
                        x, labels, t, ref_embeddings=y, ref_labels=labels, self_offset=0
                    )
                )
            each = tpw.batch_contrastive_loss(x, labels, reduction="none")
            of_rows = tpw.info_nce_loss(x, y, t, sample_weight=labels, reduction="none")
            return total, *tape.gradient(total, [x, t]), each, of_rows

        traced = tf.function(losses, input_signature=[point, label, point, scalar])
        for n in (12, 1, 0):
            x, labels = inputs.batch(n, 3, 3)
            args = [tf.constant(a) for a in (x, labels, x + 1.0, np.float32(0.3))]
            for a, b in zip(traced(*args), losses(*args), strict=True):
                np.testing.assert_allclose(a, b, 1e-6, 1e-7)


def test_static_shapes_are_inferred():
    @tf.function(input_signature=[tf.TensorSpec([12, 3]), tf.TensorSpec([None, 1], tf.int32)])
    def traced(x, labels):
        assert tpw.batch_contrastive_loss(x, labels).shape == ()
        assert tpw.batch_contrastive_loss(x, labels, reduction="none").shape == (12,)
        assert tpw.contrastive_loss(x, x, labels).shape == ()
        assert tpw.contrastive_loss(x, x, labels, reduction="none").shape == (12,)
        assert tpw.info_nce_loss(x, x).shape == ()
        assert tpw.supervised_contrastive_loss(x, labels).shape == ()
        more = tf.concat([x, x], 0)
        assert tpw.info_nce_loss(x, more, reduction="none").shape == (12,)
        assert tpw.nt_xent_loss(x, labels, reduction="none").shape == (12,)
        assert tpw.sigmoid_contrastive_loss(x, more, 1.0, 0.0, reduction="none").shape == (12,)
        return x

    traced.get_concrete_function()


# ---- errors ----

_X = np.zeros((4, 3), np.float32)
_L = np.zeros(4, np.int32)


def _of(api, array):
    """TensorFlow takes an array as it likes; of a tensor the type is certain."""
    return tf.constant(array) if api is tpw else array


PYTHON_ERRORS = [
    (ValueError, "metric: got 'l3'", lambda a: a.contrastive_loss(_X, _X, _L, metric="l3")),
    (TypeError, "metric: got 3", lambda a: a.batch_contrastive_loss(_X, _L, metric=3)),
    (
        ValueError,
        "reduction: got 'balanced_mean'",
        lambda a: a.contrastive_loss(_X, _X, _L, reduction="balanced_mean"),
    ),
    (
        ValueError,
        "reduction: got 'avg', expected one of .*balanced_mean",
        lambda a: a.batch_contrastive_loss(_X, _L, reduction="avg"),
    ),
    (ValueError, "margin: got -1.0", lambda a: a.contrastive_loss(_X, _X, _L, -1.0)),
    (ValueError, "margin: got nan", lambda a: a.batch_contrastive_loss(_X, _L, float("nan"))),
    (TypeError, "margin: got None", lambda a: a.batch_contrastive_loss(_X, _L, None)),
    (TypeError, "margin: got True", lambda a: a.contrastive_loss(_X, _X, _L, True)),
    (
        ValueError,
        "positive_margin: got inf",
        lambda a: a.batch_contrastive_loss(_X, _L, positive_margin=float("inf")),
    ),
    (
        TypeError,
        "similar_label: got 0.5",
        lambda a: a.contrastive_loss(_X, _X, _L, similar_label=0.5),
    ),
    (
        ValueError,
        "similar_label: got 9223372036854775808",
        lambda a: a.contrastive_loss(_X, _X, _L, similar_label=2**63),
    ),
    (TypeError, "x1: got int64", lambda a: a.contrastive_loss(_X.astype(np.int64), _X, _L)),
    (TypeError, "x2: got float64", lambda a: a.contrastive_loss(_X, _of(a, _X.astype(float)), _L)),
    (
        TypeError,
        "labels: got float32, expected an integer type or bool",
        lambda a: a.contrastive_loss(_X, _X, _L.astype(np.float32)),
    ),
    (
        TypeError,
        "labels: got bool",
        lambda a: a.batch_contrastive_loss(_X, _L.astype(bool)),
    ),
    (
        TypeError,
        "labels: got float64",
        lambda a: a.supervised_contrastive_loss(_X, _L.astype(float)),
    ),
    (
        TypeError,
        "sample_weight: got complex128",
        lambda a: a.contrastive_loss(_X, _X, _L, sample_weight=_L * 1j),
    ),
    (
        ValueError,
        "ref_labels: got None",
        lambda a: a.batch_contrastive_loss(_X, _L, ref_embeddings=_X),
    ),
    (
        ValueError,
        "self_offset: got a value without ref_embeddings",
        lambda a: a.batch_contrastive_loss(_X, _L, self_offset=0),
    ),
    (
        ValueError,
        "self_offset: got -2",
        lambda a: a.batch_contrastive_loss(
            _X, _L, ref_embeddings=_X, ref_labels=_L, self_offset=-2
        ),
    ),
    (
        ValueError,
        r"temperature: got 0.0, expected a finite number, more than 0",
        lambda a: a.info_nce_loss(_X, _X, 0.0),
    ),
    (ValueError, "temperature: got -1", lambda a: a.nt_xent_loss(_X, _L, -1)),
    (ValueError, "temperature: got inf", lambda a: a.nt_xent_loss(_X, _L, float("inf"))),
    (ValueError, "temperature: got nan", lambda a: a.info_nce_loss(_X, _X, float("nan"))),
    (TypeError, "temperature: got None", lambda a: a.info_nce_loss(_X, _X, None)),
    (TypeError, "temperature: got True", lambda a: a.info_nce_loss(_X, _X, True)),
    (TypeError, "temperature: got '0.1'", lambda a: a.info_nce_loss(_X, _X, "0.1")),
    (TypeError, "keys: got float64", lambda a: a.info_nce_loss(_X, _of(a, _X.astype(float)))),
    (
        ValueError,
        "scale: got inf",
        lambda a: a.sigmoid_contrastive_loss(_X, _X, float("inf"), 0.0),
    ),
    (
        ValueError,
        "reduction: got 'mean_nonzero', expected one of none, sum, mean$",
        lambda a: a.info_nce_loss(_X, _X, reduction="mean_nonzero"),
    ),
    (ValueError, "reduction: got 'x'", lambda a: a.nt_xent_loss(_X, _L, reduction="x")),
    (
        TypeError,
        "reduction: got None",
        lambda a: a.sigmoid_contrastive_loss(_X, _X, 1.0, 0.0, reduction=None),
    ),
    (
        ValueError,
        "positive_offset: got -1, expected 0 or more$",
        lambda a: a.info_nce_loss(_X, _X, positive_offset=-1),
    ),
    (
        TypeError,
        "positive_offset: got None, expected an integer$",
        lambda a: a.info_nce_loss(_X, _X, positive_offset=None),
    ),
    (
        TypeError,
        "positive_offset: got 1.0",
        lambda a: a.sigmoid_contrastive_loss(_X, _X, 1.0, 0.0, positive_offset=1.0),
    ),
    (
        TypeError,
        "positive_offset: got True",
        lambda a: a.info_nce_loss(_X, _X, positive_offset=True),
    ),
    (
        ValueError,
        "ref_embeddings: got None",
        lambda a: a.supervised_contrastive_loss(_X, _L, ref_labels=_L),
    ),
    (
        ValueError,
        "self_offset: got a value without ref_embeddings",
        lambda a: a.nt_xent_loss(_X, _L, self_offset=0),
    ),
    (
        ValueError,
        "self_offset: got -2",
        lambda a: a.nt_xent_loss(_X, _L, ref_embeddings=_X, ref_labels=_L, self_offset=-2),
    ),
    (
        TypeError,
        "ref_embeddings: got float64",
        lambda a: a.nt_xent_loss(_X, _L, ref_embeddings=_of(a, _X.astype(float)), ref_labels=_L),
    ),
    (
        TypeError,
        "sample_weight: got complex128",
        lambda a: a.info_nce_loss(_X, _X, sample_weight=_L * 1j),
    ),
    (TypeError, "bias: got None", lambda a: a.sigmoid_contrastive_loss(_X, _X, 1.0, None)),
]


@pytest.mark.parametrize("api", [tpw, tpn], ids=["tensorflow", "numpy"])
@pytest.mark.parametrize("error, message, call", PYTHON_ERRORS)
def test_errors_of_python_values(api, error, message, call):
    with pytest.raises(error, match=message):
        call(api)
    if api is tpw:
        with pytest.raises(error, match=message):
            tf.function(lambda: call(api))()


SHAPE_ERRORS = [
    (
        r"x2: got shape \[4, 2\], expected \[n, d\] where n = 4 as in x1, d = 3 as in x1",
        lambda a: a.contrastive_loss(_X, _X[:, :2], _L),
    ),
    (r"x1: got shape \[3\]", lambda a: a.contrastive_loss(_X[0], _X[0], _L)),
    (
        r"labels: got shape \[3\], expected \[n\] or \[n, 1\] where n = 4 as in x1",
        lambda a: a.contrastive_loss(_X, _X, _L[:3]),
    ),
    (
        r"labels: got shape \[3\], .* n = 4 as in embeddings",
        lambda a: a.batch_contrastive_loss(_X, _L[:3]),
    ),
    (
        r"ref_embeddings: got shape \[4, 2\]",
        lambda a: a.batch_contrastive_loss(_X, _L, ref_embeddings=_X[:, :2], ref_labels=_L),
    ),
    (
        r"ref_labels: got shape \[3\]",
        lambda a: a.batch_contrastive_loss(_X, _L, ref_embeddings=_X, ref_labels=_L[:3]),
    ),
    (
        r"sample_weight: got shape \[3\]",
        lambda a: a.batch_contrastive_loss(_X, _L, sample_weight=_L[:3]),
    ),
    (
        r"sample_weight: got shape \[\]",
        lambda a: a.contrastive_loss(_X, _X, _L, sample_weight=2.0),
    ),
    (
        r"keys: got shape \[3, 3\], expected \[n, d\] where n = 4 as in queries",
        lambda a: a.info_nce_loss(_X, _X[:3]),
    ),
    (r"keys: got shape \[4, 2\]", lambda a: a.sigmoid_contrastive_loss(_X, _X[:, :2], 1.0, 0.0)),
    (r"embeddings: got shape \[3\]", lambda a: a.nt_xent_loss(_X[0], _L)),
    (r"labels: got shape \[2\]", lambda a: a.supervised_contrastive_loss(_X, _L[:2])),
    (
        r"keys: got shape \[3, 3\], expected \[n, d\] where .*, or more rows",
        lambda a: a.sigmoid_contrastive_loss(_X, _X[:3], 1.0, 0.0),
    ),
    (
        r"keys: got shape \[8, 2\], expected .* d = 3 as in queries, or more rows",
        lambda a: a.info_nce_loss(_X, np.zeros((8, 2), np.float32)),
    ),
    (r"keys: got shape \[3\]", lambda a: a.info_nce_loss(_X, _X[0])),
    (
        r"keys: got shape \[8, 3\], expected \[n, d\] where n = 4 as in queries, .*queries(?!, or)",
        lambda a: a.info_nce_loss(_X, np.zeros((8, 3), np.float32), symmetric=True),
    ),
    (
        r"sample_weight: got shape \[3\], expected \[n\] where n = 4 as in queries",
        lambda a: a.info_nce_loss(_X, _X, sample_weight=_L[:3]),
    ),
    (
        r"sample_weight: got shape \[8\], expected \[n\] where n = 4 as in embeddings",
        lambda a: a.nt_xent_loss(
            _X,
            _L,
            ref_embeddings=np.zeros((8, 3), np.float32),
            ref_labels=[0] * 8,
            sample_weight=[1] * 8,
        ),
    ),
    (
        r"ref_embeddings: got shape \[4, 2\]",
        lambda a: a.nt_xent_loss(_X, _L, ref_embeddings=_X[:, :2], ref_labels=_L),
    ),
    (
        r"ref_labels: got shape \[3\]",
        lambda a: a.supervised_contrastive_loss(_X, _L, ref_embeddings=_X, ref_labels=_L[:3]),
    ),
]


@pytest.mark.parametrize("message, call", SHAPE_ERRORS)
def test_errors_of_shapes(message, call):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(tpw)
    with pytest.raises(ValueError, match=message):  # as soon as it is traced
        tf.function(lambda: call(tpw)).get_concrete_function()
    with pytest.raises(ValueError, match=message):
        call(tpn)


OFFSET_ERRORS = [
    (
        "positive_offset: got 1 with 4 queries and 4 keys, expected 0 to the difference",
        lambda a: a.info_nce_loss(_X, _X, positive_offset=1),
    ),
    (
        "positive_offset: got 5 with 4 queries and 8 keys",
        lambda a: a.sigmoid_contrastive_loss(
            _X, np.zeros((8, 3), np.float32), 1.0, 0.0, positive_offset=5
        ),
    ),
    (
        "positive_offset: got 9223372036854775807",
        lambda a: a.info_nce_loss(_X, _X, positive_offset=2**63 - 1),
    ),
    (
        "positive_offset: got 1, expected 0, since symmetric is true",
        lambda a: a.info_nce_loss(_X, _X, symmetric=True, positive_offset=1),
    ),
    (
        "self_offset: got 1 with 4 anchors and 4 references, expected at most the difference",
        lambda a: a.nt_xent_loss(_X, _L, ref_embeddings=_X, ref_labels=_L, self_offset=1),
    ),
]


@pytest.mark.parametrize("message, call", OFFSET_ERRORS)
def test_errors_of_offsets(message, call):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(tpw)
    with pytest.raises(ValueError, match=message):
        call(tpn)


def test_errors_of_offsets_that_are_tensors():
    for value, error, message in (
        (tf.constant(-1), tf.errors.InvalidArgumentError, "positive_offset: got -1 with 4"),
        (tf.constant([0]), tf.errors.InvalidArgumentError, r"positive_offset: got shape \[1\]"),
        (tf.constant(0.0), TypeError, "positive_offset: got float32, expected an integer type"),
    ):
        with pytest.raises(error, match=message):
            tpw.info_nce_loss(_X, _X, positive_offset=value)


def test_errors_of_shapes_that_are_known_when_run():
    unknown = tf.TensorSpec(None, tf.float32)

    @tf.function(input_signature=[unknown, unknown])
    def traced(x, y):
        return tpw.info_nce_loss(x, y)

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"keys: got shape \[3, 3\]"):
        traced(_X, _X[:3])


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_errors_of_temperatures_that_are_tensors(value):
    x, labels = inputs.batch(6, 3, 2)
    value = tf.constant(value)
    for call in (
        lambda t: tpw.info_nce_loss(x, x, t),
        lambda t: tpw.supervised_contrastive_loss(x, labels, t),
        lambda t: tpw.nt_xent_loss(x, labels, t),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="temperature: got"):
            call(value)
        with pytest.raises(tf.errors.InvalidArgumentError, match="temperature: got"):
            tf.function(call)(value)


@pytest.mark.parametrize(
    "name, call",
    [
        ("temperature", lambda v: tpw.info_nce_loss(_X, _X, v)),
        ("temperature", lambda v: tpw.nt_xent_loss(_X, _L, v)),
        ("scale", lambda v: tpw.sigmoid_contrastive_loss(_X, _X, v, 0.0)),
        ("bias", lambda v: tpw.sigmoid_contrastive_loss(_X, _X, 1.0, v)),
    ],
)
def test_errors_of_parameters_that_are_tensors(name, call):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{name}: got shape \[2\]"):
        call(tf.constant([1.0, 1.0]))
    with pytest.raises(TypeError, match=f"{name}: got int32, expected a float type"):
        call(tf.constant(1))


# ---- the same bits for every number of threads, every path to an instruction set ----


def _everything(api, dtype="float64", **options):
    """Losses and gradients of all functions, of the NumPy API."""
    x, labels = inputs.batch(300, 24, 20)
    x = x.astype(dtype)
    y = (x + inputs.points(300, 24, scale=0.1)).astype(dtype)
    options = dict(with_gradient=True, **options)
    refs = dict(ref_embeddings=y[:257], ref_labels=labels[:257])
    made = []
    for metric in inputs.METRICS:
        margin, positive_margin = MARGINS[metric]
        of = dict(margin=margin, metric=metric, **options)
        made.append(api.contrastive_loss(x, y, labels % 2, **of))
        of["positive_margin"] = positive_margin
        made.append(api.batch_contrastive_loss(x, labels, reduction="balanced_mean", **of))
        made.append(api.batch_contrastive_loss(x, labels, squared=False, **refs, **of))
        made.append(api.batch_contrastive_loss(x, labels, reduction="none", **of))
    for symmetric in (False, True):
        made.append(api.info_nce_loss(x, y, symmetric=symmetric, **options))
    made.append(api.supervised_contrastive_loss(x, labels, normalize=False, **options))
    made.append(api.nt_xent_loss(x, labels, **options))
    made.append(api.sigmoid_contrastive_loss(x, y, 10.0, -10.0, **options))
    weights = inputs.weights(300)
    made.append(api.info_nce_loss(x, y, symmetric=True, sample_weight=weights, **options))
    keys = dict(positive_offset=31, reduction="none", sample_weight=weights[:257])
    made.append(api.info_nce_loss(x[:257], y, **keys, **options))
    made.append(api.sigmoid_contrastive_loss(x[:257], y, 10.0, -10.0, **keys, **options))
    made.append(api.supervised_contrastive_loss(x, labels, reduction="sum", **refs, **options))
    made.append(api.nt_xent_loss(x[31:89], labels[31:89], self_offset=31, **refs, **options))
    return [np.asarray(leaf) for leaf in tf.nest.flatten(made)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_cannot_be_seen(dtype):
    expected = _everything(tpn, dtype, threads=1)
    for threads in (2, 5, 5, None):
        for a, b in zip(_everything(tpn, dtype, threads=threads), expected, strict=True):
            np.testing.assert_array_equal(a, b)


_IN_TENSORFLOW = """
import sys
import tensorflow as tf
threads = int(sys.argv[1])
tf.config.threading.set_intra_op_parallelism_threads(threads)
from tests import test_contrastive
print(test_contrastive.digest_of_everything())
"""


def digest_of_everything():
    x, labels = inputs.batch(300, 24, 20)
    x, y = tf.constant(x), tf.constant(x + inputs.points(300, 24, scale=0.1))
    digest = hashlib.sha256()
    for loss in all_losses(labels).values():
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            value = loss(x, y)
        for made in (value, *tape.gradient(value, [x, y])):
            if made is not None:
                digest.update(made.numpy().tobytes())
    return digest.hexdigest()


def _run(code, *arguments, **environment):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([*filter(None, sys.path), root])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_threads_of_tensorflow_cannot_be_seen():
    digests = {_run(_IN_TENSORFLOW, str(threads))[-1] for threads in (1, 5)}
    assert len(digests) == 1


_OF_AN_ISA = """
import sys
import numpy as np
from tests import test_contrastive
from tf_pairwise import _numpy, numpy as tpn
print(_numpy.isa())
made = [test_contrastive._everything(tpn, dtype) for dtype in ("float32", "float64")]
np.savez(sys.argv[1], *made[0], *made[1])
"""


@pytest.mark.parametrize("isa", ["sse4", "avx2", "avx512"])
def test_instruction_sets(isa, tmp_path):
    if isa == _numpy.isa():
        pytest.skip("what all the other tests run on")
    file = str(tmp_path / "made.npz")
    if _run(_OF_AN_ISA, file, TF_PAIRWISE_ISA=isa)[-1] != isa:
        pytest.skip(f"this processor has no {isa}")
    expected = [x for dtype in ("float32", "float64") for x in _everything(tpn, dtype)]
    with np.load(file) as made:
        for a, b in zip(made.values(), expected, strict=True):
            checks.assert_close(a, b, 1e-9 if a.dtype == np.float64 else 3e-5)


# ---- NumPy ----


def _gradients(function, *arrays):
    points = [tf.constant(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = function(*points)
    return tape.gradient(value, points)


def _same_bits(came, expected):
    expected = np.asarray(expected)
    assert came.dtype == expected.dtype and came.shape == expected.shape
    np.testing.assert_array_equal(came, expected)


@dtypes
@pytest.mark.parametrize("reduction", BATCH_REDUCTIONS)
def test_numpy(dtype, reduction):
    numpy_dtype = tf.as_dtype(dtype).as_numpy_dtype
    x, labels = inputs.batch(37, 11, 6)
    y = (x + inputs.points(37, 11, scale=0.2)).astype(numpy_dtype)
    x = x.astype(numpy_dtype)
    options = dict(reduction=reduction, sample_weight=inputs.weights(37))

    if reduction != "balanced_mean":
        loss, gradients = tpn.contrastive_loss(
            x, y, labels, 0.8, similar_label=2, with_gradient=True, **options
        )
        call = lambda *p: tpw.contrastive_loss(*p, labels, 0.8, similar_label=2, **options)  # noqa: E731
        _same_bits(loss, call(x, y))
        _same_bits(tpn.contrastive_loss(x, y, labels, 0.8, similar_label=2, **options), loss)
        for a, b in zip(gradients, _gradients(call, x, y), strict=True):
            _same_bits(a, b)

    options |= dict(margin=0.8, positive_margin=0.2, squared=False)
    loss, gradient = tpn.batch_contrastive_loss(x, labels, with_gradient=True, **options)
    call = lambda x: tpw.batch_contrastive_loss(x, labels, **options)  # noqa: E731
    _same_bits(loss, call(x))
    _same_bits(tpn.batch_contrastive_loss(x, labels, **options), loss)
    _same_bits(gradient, _gradients(call, x)[0])

    options |= dict(ref_labels=labels[:, None], self_offset=0)
    loss, gradients = tpn.batch_contrastive_loss(
        x, labels, ref_embeddings=y, with_gradient=True, **options
    )
    call = lambda x, y: tpw.batch_contrastive_loss(x, labels, ref_embeddings=y, **options)  # noqa: E731
    _same_bits(loss, call(x, y))
    for a, b in zip(gradients, _gradients(call, x, y), strict=True):
        _same_bits(a, b)


@kinds
@dtypes
@pytest.mark.parametrize("normalize", [True, False])
def test_numpy_softmax(kind, dtype, normalize):
    args, labels = softmax_inputs(kind, n=37, d=11)
    numpy_dtype = tf.as_dtype(dtype).as_numpy_dtype
    args = [x.astype(numpy_dtype) if x.ndim == 2 else float(x) for x in args]
    parameter_dtype = np.float64 if dtype == "float64" else np.float32
    options = dict(normalize=normalize)
    if kind is info_nce_symmetric:
        options["symmetric"] = True
    points = [x for x in args if not isinstance(x, float)]
    call_args = points + ([labels] if len(points) == 1 else []) + args[len(points) :]
    function = getattr(tpn, PUBLIC[kind])
    loss, gradients = function(*call_args, with_gradient=True, **options)
    _same_bits(function(*call_args, **options), loss)
    assert isinstance(loss, parameter_dtype)
    tensors = points + [parameter_dtype(p) for p in args[len(points) :]]
    _same_bits(loss, kind(tpw, labels, normalize)(*tensors))
    expected = _gradients(kind(tpw, labels, normalize), *tensors)
    for a, b in zip(gradients, expected, strict=True):
        _same_bits(a, b)


@kinds_and_cases
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_numpy_softmax_with_options(kind, case, dtype):
    """Of "none" the NumPy gradients are of the sum; the same bits as TensorFlow's of all ones."""
    args, labels, options = softmax_case(kind, case, dtype=np.float32)
    dtype = tf.as_dtype(dtype).as_numpy_dtype
    args = [x.astype(dtype) if x.ndim == 2 else np.float32(x) for x in args]
    for reduction in SOFTMAX_REDUCTIONS:
        of = dict(options, reduction=reduction)
        loss, gradients = kind(tpn, labels, True, with_gradient=True, **of)(
            *[x if x.ndim == 2 else float(x) for x in args]
        )
        call = kind(tpw, labels, True, **of)
        _same_bits(loss, call(*args))
        for a, b in zip(gradients, _gradients(call, *args), strict=True):
            _same_bits(a, b)

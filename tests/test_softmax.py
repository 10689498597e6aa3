"""The soft-max losses: the reference, and the fused op against it."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs, properties
from tf_pairwise import reference

REDUCTIONS = ("none", "sum", "mean")

dtypes = pytest.mark.parametrize("dtype", checks.DTYPES)


# ---- the calls ----


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
    return checks.assert_like_reference(
        lambda api: kind(api, labels, normalize, **of), args, *rest, floors=floors, **options
    )


def upstream_of(reduction, n):
    return inputs.points(n, seed=9, dtype=np.float64) if reduction == "none" else None


# ---- the reference, against the formulas in Python ----


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
    for reduction in REDUCTIONS:
        made = kind(reference, labels, True, reduction=reduction, **options)(*args)
        np.testing.assert_allclose(made, reduced_rows(losses, counts, reduction, weights), 1e-12)


# ---- the fused op, against the reference ----


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
    watched = [tf.constant(x) for x in points]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = loss(*watched, *[float(p) for p in parameters])
    assert all(np.any(gradient) for gradient in tape.gradient(value, watched))
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


# ---- references, offsets, weights and reductions ----


@kinds_and_cases
def test_softmax_with_options(kind, case):
    for reduction in REDUCTIONS:
        upstream = upstream_of(reduction, 24)
        for dtype, paths in ((np.float64, ("tape", "traced")), (np.float32, ("tape",))):
            args, labels, options = softmax_case(kind, case, seed=3, dtype=dtype)
            of = dict(reduction=reduction, **options)
            assert_same_softmax(kind, args, labels, dtype == np.float32, paths, upstream, of=of)


@kinds
@pytest.mark.parametrize("dtype", checks.HALVES)
def test_softmax_of_halves_with_options(kind, dtype):
    case = "weights" if kind is info_nce_symmetric else "offset"
    args, labels, options = softmax_case(kind, case, seed=5, dtype=np.float32)
    args = [tf.cast(x, dtype) if x.ndim == 2 else x for x in args]
    for reduction, path in (("mean", "tape"), ("none", "traced")):
        upstream = upstream_of(reduction, 24)
        of = dict(reduction=reduction, **options)
        assert_same_softmax(kind, args, labels, True, [path], upstream, of=of)


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
    for reduction in REDUCTIONS:
        call = kind(tpw, labels, True, reduction=reduction, **options)
        np.testing.assert_allclose(counted_of(call, args), np.sum(weights * counts), 1e-12)
        value[reduction] = call(*args).numpy()
    assert value["none"].shape == (24,) and value["sum"].shape == value["mean"].shape == ()
    np.testing.assert_allclose(np.sum(value["none"]), value["sum"], 1e-12)
    np.testing.assert_allclose(value["sum"] / np.sum(weights * counts), value["mean"], 1e-12)
    none = kind(tpw, labels, True, **dict(options, sample_weight=np.zeros(24)))
    assert counted_of(none, args) == 0.0


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


def test_a_queue_of_keys():
    """MoCo's: logits of each query's own key and of a queue, which no query has a positive in."""
    x, y = (inputs.points(6, 4, seed=seed, dtype=np.float64) for seed in (0, 1))
    queue = inputs.points(20, 4, seed=2, dtype=np.float64)
    made = tpw.info_nce_loss(x, np.concatenate([y, queue]), 0.5)
    x, y, queue = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y, queue))
    logits = np.concatenate([x @ y.T, x @ queue.T], axis=1) / 0.5
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(np.arange(6), logits)
    np.testing.assert_allclose(made, np.mean(losses), 1e-12)


# ---- nothing to count, small and odd sizes ----


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
        for reduction in REDUCTIONS:
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
    for reduction in REDUCTIONS:
        of = dict(options, reduction=reduction)
        if m > 0:
            upstream = upstream_of(reduction, n)
            assert_same_softmax(kind, args, labels, True, ("tape", "traced"), upstream, of=of)
        made, gradients = checks.value_and_gradients(kind(tpw, labels, True, **of), args)
        if n == 0:
            assert made.shape == ((0,) if reduction == "none" else ())
            assert not made.any() and not any(np.any(g) for g in gradients)


@kinds
def test_points_without_coordinates(kind):
    args, _ = softmax_inputs(kind, n=6, d=1, dtype=np.float64)
    args = [x[:, :0] if x.ndim == 2 else x for x in args]
    assert_same_softmax(kind, args, np.array([0, 0, 1, 1, 2, 2]))


@kinds
@pytest.mark.parametrize("n", properties.BIG_EDGES)
def test_larger_than_a_tile(kind, n):
    args, labels = softmax_inputs(kind, n=n, d=5, classes=7, dtype=np.float64)
    assert_same_softmax(kind, args, labels)


@pytest.mark.slow
@kinds
def test_every_tile_edge_of_softmax(kind):
    for n in properties.EDGES + properties.BIG_EDGES:
        for d in (2, 33):
            for normalize in (True, False):
                args, labels = softmax_inputs(kind, n=n, d=d, classes=5, dtype=np.float64)
                assert_same_softmax(kind, args, labels, normalize, ("tape", "traced"))


@kinds
@pytest.mark.parametrize("d", [1, 1000])
def test_dimensions_of_softmax(kind, d):
    for dtype in (np.float64, np.float32):
        args, labels = softmax_inputs(kind, n=30, d=d, dtype=dtype)
        assert_same_softmax(kind, args, labels, True, ("tape", "traced"))


# ---- properties ----

batches = properties.batches()


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


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    n=st.sampled_from(properties.EDGES),
    more=st.sampled_from((0, 1, 7, 64)),
    d=st.sampled_from((1, 3, 17)),
    classes=st.sampled_from((1, 3, 70)),
    seed=st.integers(0, 1000),
    kind_and_case=st.sampled_from(CASES_OF_KINDS),
    reduction=st.sampled_from(REDUCTIONS),
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


@hypothesis.given(of=batches)
def test_exchange_of_queries_and_keys(of):
    (x, y, t), _ = softmax_inputs(info_nce, dtype=np.float64, **of)
    one_way, other_way = tpw.info_nce_loss(x, y, t), tpw.info_nce_loss(y, x, t)
    symmetric = tpw.info_nce_loss(x, y, t, symmetric=True)
    checks.assert_close(symmetric, 0.5 * (one_way + other_way), 1e-12)
    checks.assert_close(tpw.info_nce_loss(y, x, t, symmetric=True), symmetric, 1e-12)


@kinds
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_nan_stays_in_its_row(kind, bad, dtype):
    """A query's, that no other row reads."""
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


@kinds
@pytest.mark.parametrize("normalize", [True, False])
def test_finite_differences_of_softmax(kind, normalize):
    args, labels = softmax_inputs(kind, n=6, d=3, classes=2, temperature=0.5)
    checks.assert_gradients(kind(tpw, labels, normalize), args)


@kinds_and_cases
def test_finite_differences_of_softmax_with_options(kind, case):
    args, labels, options = softmax_case(kind, case, 5, 7, 2, 2, seed=4, temperature=0.5)
    if case == "plain":
        options["sample_weight"] = None
    for reduction in REDUCTIONS:
        checks.assert_gradients(kind(tpw, labels, True, reduction=reduction, **options), args)


# ---- few weights that are not zero, and points that are not of unit length ----


@kinds
@pytest.mark.parametrize("n, d", [(64, 7), (256, 32), (300, 130)])
@pytest.mark.parametrize("which", ["one_pair", "masked"])
def test_few_rows_with_a_weight(kind, n, d, which):
    """Blocks of weights that are mostly zero are taken pair by pair."""
    args, labels = softmax_inputs(kind, n, d, classes=9, dtype=np.float64)
    of = {}
    if which == "masked":
        of["sample_weight"] = np.where(np.arange(n) % 37 == 5, 1.5, 0.0)
    else:  # of labels: all rows are a query's
        labels = np.arange(n)
        labels[n // 3] = labels[n // 2]
    for scale in (0.1, 1.0, 20.0):
        scaled = [scale * x if np.ndim(x) == 2 else x for x in args]
        assert_same_softmax(kind, scaled, labels, True, ("tape", "traced"), of=of)
        narrow = [x.astype(np.float32) for x in scaled]
        assert_same_softmax(kind, narrow, labels, True, of=of)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_confident_positive_has_its_small_slope(dtype):
    """Its loss and slopes are far below the rounding of 1, and of what is beside them."""
    x = np.full((1, 4), 2.5).astype(dtype)  # a product of 25
    scale, bias = (tf.Variable(value, dtype=dtype) for value in (2.0, -1.0))
    points = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = tpw.sigmoid_contrastive_loss(points, points, scale, bias, normalize=False)
    slopes = tape.gradient(loss, [scale, bias])
    small = np.exp(-49.0)  # softplus(-49), and its slope
    np.testing.assert_allclose([loss, *slopes], [small, -25 * small, -small], rtol=1e-5)

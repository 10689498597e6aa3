"""The fused ranking losses: against the reference, by hand, gradients, properties."""

import inspect

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

PAIR_LOSSES = ("logistic", "hinge", "soft_zero_one")
LIST_LOSSES = (*PAIR_LOSSES, "mse")
REDUCTIONS = ("none", "sum", "mean", "mean_nonzero")
LIST_REDUCTIONS = (*REDUCTIONS, "mean_lists")
LAMBDAS = (None, "label_diff", "dcg", "ndcg")
HALVES = ("float16", "bfloat16")
# Every loss with every lambda weight that it has.
KINDS = [(loss, weight) for loss in PAIR_LOSSES for weight in LAMBDAS] + [("mse", None)]

kinds = pytest.mark.parametrize("loss, lambda_weight", KINDS)


class Lists:
    """Scores [b, l] with relevances, item weights and a mask, some of each unusual."""

    def __init__(self, b=4, length=11, seed=0, grades=4, weighted=True, masked=True, scale=1.0):
        rng = np.random.default_rng(seed)
        self.scores = (rng.normal(size=(b, length)) * scale).astype(np.float32)
        self.relevance = rng.integers(0, grades, (b, length)).astype(np.float32)
        self.options = {}
        if weighted:
            weights = rng.uniform(0.2, 3.0, (b, length)).astype(np.float32)
            weights[:, 1::5] = 0.0
            self.options["item_weight"] = weights
        if masked:
            self.relevance[:, 3::7] = -1.0
            self.options["mask"] = rng.uniform(size=(b, length)) < 0.8

    def call(self, function, scores, **options):
        return function(scores, self.relevance, **self.options, **options)


def ragged(lengths, seed=0, grades=4, weighted=True):
    """Ragged scores, relevances and weights: values of each, and the splits."""
    rng = np.random.default_rng(seed)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n = splits[-1]
    scores = rng.normal(size=n).astype(np.float32)
    relevance = rng.integers(0, grades, n).astype(np.float32)
    weights = rng.uniform(0.2, 3.0, n).astype(np.float32) if weighted else None
    return scores, relevance, weights, splits


def as_ragged(values, splits):
    return tf.RaggedTensor.from_row_splits(values, splits)


def options_of(loss, lambda_weight):
    options = dict(loss=loss, lambda_weight=lambda_weight, margin=0.7, temperature=0.8)
    if lambda_weight == "ndcg":
        options["topn"] = 4
    return options


def assert_same(function, scores, dtypes, paths=("tape",), upstream=None):
    """`function(module, scores)` of tpw against the reference in float64."""
    expected = {}
    for dtype in dtypes:
        points = tf.cast(scores, dtype)
        rounding = dtype if dtype in HALVES else "none"
        if rounding not in expected:
            expected[rounding] = checks.value_and_gradients(
                lambda s: function(reference, s), [tf.cast(points, tf.float64)], upstream
            )
        value, (gradient,) = expected[rounding]
        tolerance = checks.LOSS_TOLERANCE[dtype]
        stored = 2 * checks.STORED_TOLERANCE[dtype] if dtype in HALVES else 3 * tolerance
        for path in paths:
            made, (made_gradient,) = checks.value_and_gradients(
                lambda s: function(tpw, s), [points], upstream, path
            )
            checks.assert_close(made, value, tolerance, f"loss, {dtype}, {path}")
            checks.assert_close(made_gradient, gradient, stored, f"gradient, {dtype}, {path}")


# ---- lists, against the reference ----


@kinds
@pytest.mark.parametrize("reduction", LIST_REDUCTIONS)
def test_list_loss(loss, lambda_weight, reduction):
    upstream = np.random.default_rng(9).normal(size=(4, 11)) if reduction == "none" else None
    for extras in (False, True):
        lists = Lists(seed=3, weighted=extras, masked=extras)
        options = options_of(loss, lambda_weight) | dict(reduction=reduction)
        assert_same(
            lambda module, s, lists=lists, options=options: lists.call(
                module.list_ranking_loss, s, **options
            ),
            lists.scores,
            ("float64", "float32"),
            ("tape", "traced"),
            upstream,
        )


@kinds
@pytest.mark.parametrize("dtype", HALVES)
def test_list_loss_of_halves(loss, lambda_weight, dtype):
    lists = Lists(seed=5)
    for reduction in ("none", "mean", "mean_lists"):
        options = options_of(loss, lambda_weight) | dict(reduction=reduction)
        assert_same(
            lambda module, s, options=options: lists.call(module.list_ranking_loss, s, **options),
            lists.scores,
            [dtype],
            ["tape", "traced"],
        )
    made = lists.call(tpw.list_ranking_loss, tf.cast(lists.scores, dtype))
    assert made.dtype == tf.float32


@kinds
def test_ragged_lists(loss, lambda_weight):
    scores, relevance, weights, splits = ragged([5, 0, 1, 17, 2, 0, 33, 9])
    upstream = np.random.default_rng(9).normal(size=len(scores))
    for reduction in LIST_REDUCTIONS:
        options = options_of(loss, lambda_weight) | dict(reduction=reduction)

        def call(module, s, options=options, reduction=reduction):
            value = module.list_ranking_loss(
                as_ragged(1.0 * s, splits),  # or the reference's gradient is IndexedSlices
                as_ragged(relevance, splits),
                item_weight=as_ragged(weights, splits),
                **options,
            )
            if reduction != "none":
                return value
            assert isinstance(value, tf.RaggedTensor)
            if tf.executing_eagerly():
                np.testing.assert_array_equal(value.row_splits, splits)
            return value.values

        assert_same(
            call,
            scores,
            ("float64",) if reduction in ("sum", "mean") else ("float64", "float32"),
            ("tape", "traced") if reduction == "mean_lists" else ("tape",),
            upstream if reduction == "none" else None,
        )


@pytest.mark.parametrize("path", checks.PATHS)
def test_an_upstream_gradient_scales(path):
    lists = Lists()
    for loss in LIST_LOSSES:
        assert_same(
            lambda module, s, loss=loss: lists.call(module.list_ranking_loss, s, loss=loss),
            lists.scores,
            checks.DTYPES,
            [path],
            np.float64(-96.0),
        )


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 255, 256, 257])
def test_list_sizes(length):
    # Around the edges of vectors and of blocks.
    for loss, lambda_weight in KINDS:
        if length > 65 and lambda_weight not in (None, "ndcg"):
            continue
        lists = Lists(b=2, length=length, masked=False, seed=length)
        options = options_of(loss, lambda_weight)
        for reduction in ("none", "mean_nonzero"):
            assert_same(
                lambda module, s, lists=lists, options=options, reduction=reduction: lists.call(
                    module.list_ranking_loss, s, reduction=reduction, **options
                ),
                lists.scores,
                ("float64", "float32"),
            )


@kinds
def test_long_lists(loss, lambda_weight):
    # Several blocks, and, for the one list, all threads: with ties in the relevances, and none.
    for grades in (2, 5, 10**6):
        scores, relevance, weights, splits = ragged([1, 1100, 3], seed=grades, grades=grades)
        options = options_of(loss, lambda_weight)
        if lambda_weight in ("dcg", "ndcg"):
            relevance = relevance / max(grades / 8, 1)
            options["topn"] = 700
        if lambda_weight == "label_diff":
            relevance = relevance / grades
        assert_same(
            lambda module, s, r=relevance, w=weights, o=options, p=splits: module.list_ranking_loss(
                as_ragged(1.0 * s, p), as_ragged(r, p), item_weight=as_ragged(w, p), **o
            ),
            scores,
            ("float64", "float32"),
        )


def test_types_of_relevances_and_weights():
    scores = Lists().scores
    relevance = np.random.default_rng(0).integers(0, 3, scores.shape)
    expected = tpw.list_ranking_loss(scores, relevance.astype(np.float64))
    for dtype in (np.int8, np.uint8, np.int32, np.int64, np.float16, np.float32):
        assert tpw.list_ranking_loss(scores, relevance.astype(dtype)) == expected
        weighted = tpw.list_ranking_loss(scores, relevance, item_weight=relevance.astype(dtype))
        wanted = reference.list_ranking_loss(
            scores.astype(np.float64), relevance, item_weight=relevance
        )
        checks.assert_close(weighted, wanted, 2e-5)
    assert tpw.list_ranking_loss(scores.tolist(), relevance.tolist()) == expected
    # Relevances that float32 would not tell apart.
    close = 2.0**30 + relevance
    assert tpw.list_ranking_loss(scores, close) == expected


def test_relevances_weights_and_lambdas_are_constants():
    lists = Lists()
    relevance, weights = tf.constant(lists.relevance), tf.constant(lists.options["item_weight"])
    scores = tf.constant(lists.scores)
    with tf.GradientTape() as tape:
        tape.watch([scores, relevance, weights])
        loss = tpw.list_ranking_loss(scores, relevance, item_weight=weights, lambda_weight="ndcg")
    gradients = tape.gradient(loss, [scores, relevance, weights])
    assert gradients[0] is not None and gradients[1:] == [None, None]


def test_defaults():
    lists = Lists(weighted=False, masked=False)
    made = tpw.list_ranking_loss(lists.scores, lists.relevance)
    explicit = tpw.list_ranking_loss(
        lists.scores,
        lists.relevance,
        loss="logistic",
        lambda_weight=None,
        topn=None,
        margin=1.0,
        temperature=1.0,
        item_weight=None,
        mask=None,
        reduction="mean",
    )
    assert made == explicit and made.dtype == tf.float32 and made.shape == ()
    wide = lists.scores.astype(np.float64)
    for loss in LIST_LOSSES:
        expected = reference.list_ranking_loss(wide, lists.relevance, loss=loss)
        made = tpw.list_ranking_loss(wide, lists.relevance, loss=loss)
        assert made.dtype == tf.float64
        checks.assert_close(made, expected, 1e-12)


# ---- explicit pairs ----


@pytest.mark.parametrize("loss", PAIR_LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(), (37,), (3, 4, 5), (0,), (9000,)])
def test_pairwise_loss(loss, weighted, shape):
    rng = np.random.default_rng(len(shape))
    positive, negative = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    weights = rng.uniform(0, 3, shape).astype(np.float32) if weighted else None
    for reduction in REDUCTIONS:
        upstream = rng.normal(size=shape) if reduction == "none" else np.float64(3.0)
        options = dict(loss=loss, margin=0.4, temperature=0.6, reduction=reduction)

        def call(module, p, n, options=options):
            return module.pairwise_ranking_loss(p, n, sample_weight=weights, **options)

        for dtype in checks.DTYPES:
            points = [tf.cast(positive, dtype), tf.cast(negative, dtype)]
            wide = [tf.cast(x, tf.float64) for x in points]
            value, gradients = checks.value_and_gradients(
                lambda p, n: call(reference, p, n), wide, upstream
            )
            tolerance = checks.LOSS_TOLERANCE[dtype]
            stored = 2 * checks.STORED_TOLERANCE[dtype] if dtype in HALVES else 3 * tolerance
            for path in ("tape", "traced"):
                made, made_gradients = checks.value_and_gradients(
                    lambda p, n: call(tpw, p, n), points, upstream, path
                )
                assert np.shape(made) == (shape if reduction == "none" else ())
                checks.assert_close(made, value, tolerance)
                for a, b in zip(made_gradients, gradients, strict=True):
                    checks.assert_close(a, b, stored)


def test_a_list_of_two_is_a_pair():
    scores = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    for loss in PAIR_LOSSES:
        pairs = tpw.pairwise_ranking_loss(scores[:, 0], scores[:, 1], loss=loss, temperature=0.5)
        lists = tpw.list_ranking_loss(scores, [[1, 0]] * 20, loss=loss, temperature=0.5)
        checks.assert_close(lists, pairs, 1e-6)


# ---- by hand ----

SCORES = [[2.0, 1.0, 1.0, 0.0]]
RELEVANCE = [[0, 2, 1, 1]]
# Pairs (preferred, other): (1, 0), (1, 2), (1, 3), (2, 0), (3, 0), of score differences
# -1, 0, 1, -1, -2. Ranks 1, 2, 3, 4: the tie between items 1 and 2 in input order.


def test_by_hand_hinge():
    each = tpw.list_ranking_loss(SCORES, RELEVANCE, loss="hinge", reduction="none")
    np.testing.assert_array_equal(each, [[0, 2 + 1 + 0, 2, 3]])
    assert tpw.list_ranking_loss(SCORES, RELEVANCE, loss="hinge") == np.float32(8 / 5)
    mean = tpw.list_ranking_loss(SCORES, RELEVANCE, loss="hinge", reduction="mean_nonzero")
    assert mean == 8 / 4
    weighted = tpw.list_ranking_loss(
        *(SCORES, RELEVANCE), loss="hinge", item_weight=[[9.0, 2.0, 1.0, 0.5]]
    )
    np.testing.assert_allclose(weighted, (2 * 3 + 1 * 2 + 0.5 * 3) / (2 * 3 + 1 + 0.5), rtol=1e-6)
    diff = tpw.list_ranking_loss(
        *(SCORES, RELEVANCE), loss="hinge", lambda_weight="label_diff", reduction="none"
    )
    np.testing.assert_array_equal(diff, [[0, 2 * 2 + 1 + 0, 2, 3]])
    # The slope of each pair with a loss is -1 for the preferred and 1 for the other item.
    _, (gradient,) = checks.value_and_gradients(
        lambda s: tpw.list_ranking_loss(s, RELEVANCE, loss="hinge", reduction="sum"),
        [np.float32(SCORES)],
    )
    np.testing.assert_array_equal(gradient, [[3, -2, 1 - 1, -1]])


@pytest.mark.parametrize("topn", [None, 1, 2, 3])
def test_by_hand_lambdas(topn):
    d = [1.0, 1 / np.log2(3), 1 / np.log2(4), 1 / np.log2(5)]
    d = [x if topn is None or i < topn else 0.0 for i, x in enumerate(d)]
    g = [0.0, 3.0, 1.0, 1.0]

    def pair(i, j, x):
        return abs(g[i] - g[j]) * abs(d[i] - d[j]) * np.log1p(np.exp(x))

    expected = [
        0.0,
        pair(1, 0, 1.0) + pair(1, 2, 0.0) + pair(1, 3, -1.0),
        pair(2, 0, 1.0),
        pair(3, 0, 2.0),
    ]
    options = dict(topn=topn, reduction="none")
    made = tpw.list_ranking_loss(SCORES, RELEVANCE, lambda_weight="dcg", **options)
    np.testing.assert_allclose(made, [expected], rtol=1e-6, atol=1e-7)
    ideal = 3 * d[0] + d[1] + d[2]
    made = tpw.list_ranking_loss(SCORES, RELEVANCE, lambda_weight="ndcg", **options)
    np.testing.assert_allclose(made, [np.array(expected) / ideal], rtol=1e-6, atol=1e-7)
    mean = tpw.list_ranking_loss(SCORES, RELEVANCE, lambda_weight="ndcg", topn=topn)
    np.testing.assert_allclose(mean, sum(expected) / ideal / 5, rtol=1e-6)


def test_by_hand_mse():
    # Errors s - y: 2, -1, 0, -1.
    each = tpw.list_ranking_loss(SCORES, RELEVANCE, loss="mse", reduction="none")
    np.testing.assert_allclose(each, [[9 + 4 + 9, 9 + 1 + 0, 4 + 1 + 1, 9 + 0 + 1]], rtol=1e-6)
    mean = tpw.list_ranking_loss(SCORES, RELEVANCE, loss="mse")
    np.testing.assert_allclose(mean, 48 / 12, rtol=1e-6)
    mean = tpw.list_ranking_loss(SCORES, RELEVANCE, loss="mse", reduction="mean_nonzero")
    np.testing.assert_allclose(mean, 48 / 10, rtol=1e-6)


def test_by_hand_mean_lists():
    # Pairs of the three lists: one of loss 2, none, and two of losses 1 and 0.
    scores = [[0.0, 1.0, 5.0], [1.0, 2.0, 3.0], [1.0, 1.0, -1.0]]
    relevance = [[1, 0, -1], [1, 1, 1], [1, 0, 0]]
    made = tpw.list_ranking_loss(scores, relevance, loss="hinge", reduction="mean_lists")
    assert made == (2 + 1 / 2) / 2
    assert tpw.list_ranking_loss(scores, relevance, loss="hinge") == 1.0


def test_items_that_do_not_exist():
    scores = np.float32([[1.0, np.nan, 0.5, np.inf, 2.0]])
    relevance = [[1.0, -1.0, 0.0, np.nan, 3.0]]
    mask = [[True, True, True, True, False]]
    for kind in KINDS:
        options = options_of(*kind) | dict(reduction="none")
        made, (gradient,) = checks.value_and_gradients(
            lambda s, o=options: tpw.list_ranking_loss(s, relevance, mask=mask, **o), [scores]
        )
        alone, (alone_gradient,) = checks.value_and_gradients(
            lambda s, o=options: tpw.list_ranking_loss(s, [[1, 0]], **o), [scores[:, [0, 2]]]
        )
        np.testing.assert_array_equal(made[:, [0, 2]], alone)
        np.testing.assert_array_equal(gradient[:, [0, 2]], alone_gradient)
        assert not made[:, [1, 3, 4]].any() and not gradient[:, [1, 3, 4]].any()


# ---- gradients ----


@kinds
@pytest.mark.parametrize("reduction", LIST_REDUCTIONS)
def test_compute_gradient(loss, lambda_weight, reduction):
    lists = Lists(b=2, length=6, seed=1)
    checks.assert_gradients(
        lambda s: lists.call(
            tpw.list_ranking_loss, s, reduction=reduction, **options_of(loss, lambda_weight)
        ),
        [lists.scores],
    )


@pytest.mark.parametrize("loss", PAIR_LOSSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_compute_gradient_of_pairs(loss, reduction):
    rng = np.random.default_rng(2)
    weights = rng.uniform(0.2, 2.0, 9)
    checks.assert_gradients(
        lambda p, n: tpw.pairwise_ranking_loss(
            p, n, loss=loss, temperature=0.7, sample_weight=weights, reduction=reduction
        ),
        [rng.normal(size=9), rng.normal(size=9)],
    )


@pytest.mark.parametrize("function", ["list_ranking_loss", "pairwise_ranking_loss"])
def test_second_derivatives_are_an_error(function):
    x, y = tf.constant([[0.3, 0.1, 0.7]]), tf.constant([[0.0, 1.0, 2.0]])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = getattr(tpw, function)(x, y)
        gradient = inner.gradient(loss, x)
    with pytest.raises(tf.errors.UnimplementedError, match=f"reference.{function}.* has it"):
        outer.gradient(gradient, x)


def test_the_gradient_is_made_in_the_same_pass_where_a_tape_records():
    lists = Lists()

    def with_gradient(function):
        graph = function.get_concrete_function(tf.constant(lists.scores)).graph
        (op,) = [o for o in graph.get_operations() if o.type == "TfPairwise>ListRankingLoss"]
        return op.get_attr("with_gradient")

    def value(s):
        return lists.call(tpw.list_ranking_loss, s)

    def train(s):
        with tf.GradientTape() as tape:
            tape.watch(s)
            loss = value(s)
        return tape.gradient(loss, s)

    assert with_gradient(tf.function(train))
    assert not with_gradient(tf.function(value))


@kinds
def test_value_is_the_same_with_and_without_gradient(loss, lambda_weight):
    lists = Lists(length=70)
    for reduction in LIST_REDUCTIONS[1:]:
        options = options_of(loss, lambda_weight) | dict(reduction=reduction)
        value = lists.call(tpw.list_ranking_loss, lists.scores, **options).numpy()
        for path in checks.PATHS:
            made, _ = checks.value_and_gradients(
                lambda s, options=options: lists.call(tpw.list_ranking_loss, s, **options),
                [lists.scores],
                path=path,
            )
            np.testing.assert_array_equal(np.float32(made), value)


# ---- properties ----


@st.composite
def lists_of(draw):
    b, length = draw(st.integers(1, 4)), draw(st.integers(1, 20))
    seed = draw(st.integers(0, 2**16))
    grades = draw(st.sampled_from([1, 2, 3, 5, 100]))
    lists = Lists(b, length, seed, grades, weighted=draw(st.booleans()), masked=draw(st.booleans()))
    lists.options.update(options_of(*draw(st.sampled_from(KINDS))))
    if draw(st.booleans()):
        lists.scores = np.round(lists.scores * 2) / 2
    return lists


@hypothesis.given(lists_of(), st.sampled_from(LIST_REDUCTIONS))
def test_property_reference(lists, reduction):
    lists.options["margin"] = 0.71  # no pair on the kink of rounded scores
    assert_same(
        lambda module, s: lists.call(module.list_ranking_loss, s, reduction=reduction),
        lists.scores.astype(np.float64),
        ["float64"],
    )


@hypothesis.given(lists_of(), st.randoms(use_true_random=False))
def test_property_permutations(lists, random):
    lists.scores = np.random.default_rng(0).permutation(lists.scores.size).reshape(
        lists.scores.shape
    ) / np.float32(7)  # distinct
    order = list(range(lists.scores.shape[1]))
    random.shuffle(order)
    moved = Lists(1, 1)
    moved.relevance = lists.relevance[:, order]
    moved.options = {
        name: value[:, order] if isinstance(value, np.ndarray) else value
        for name, value in lists.options.items()
    }
    value, (gradient,) = checks.value_and_gradients(
        lambda s: lists.call(tpw.list_ranking_loss, s, reduction="none"), [lists.scores]
    )
    made, (made_gradient,) = checks.value_and_gradients(
        lambda s: moved.call(tpw.list_ranking_loss, s, reduction="none"), [lists.scores[:, order]]
    )
    checks.assert_close(made, value[:, order], 1e-5)
    checks.assert_close(made_gradient, gradient[:, order], 1e-5)


@hypothesis.given(lists_of(), st.floats(-100, 100))
def test_property_shifts(lists, shift):
    scores = lists.scores.astype(np.float64)
    value, (gradient,) = checks.value_and_gradients(
        lambda s: lists.call(tpw.list_ranking_loss, s), [scores]
    )
    made, (made_gradient,) = checks.value_and_gradients(
        lambda s: lists.call(tpw.list_ranking_loss, s), [scores + shift]
    )
    # Pairs that the shift rounds over the kink have next to no loss, but a slope.
    checks.assert_close(made, value, 1e-9)
    if lists.options["loss"] != "hinge":
        checks.assert_close(made_gradient, gradient, 1e-8)


@hypothesis.given(lists_of(), st.sampled_from(LIST_REDUCTIONS[1:]))
def test_property_masking_is_removing(lists, reduction):
    lists.options.setdefault(
        "mask", np.random.default_rng(1).uniform(size=lists.scores.shape) < 0.6
    )
    value, (gradient,) = checks.value_and_gradients(
        lambda s: lists.call(tpw.list_ranking_loss, s, reduction=reduction), [lists.scores]
    )
    options = dict(lists.options)
    mask = options.pop("mask") & (lists.relevance >= 0)
    splits = np.concatenate([[0], np.cumsum(mask.sum(1))])
    if "item_weight" in options:
        options["item_weight"] = as_ragged(options["item_weight"][mask], splits)
    made, (made_gradient,) = checks.value_and_gradients(
        lambda s: tpw.list_ranking_loss(
            as_ragged(s, splits),
            as_ragged(lists.relevance[mask], splits),
            reduction=reduction,
            **options,
        ),
        [lists.scores[mask]],
    )
    np.testing.assert_array_equal(made, value)
    np.testing.assert_array_equal(made_gradient, gradient[mask])
    assert not gradient[~mask].any()


# ---- edges ----


@kinds
@pytest.mark.parametrize("reduction", LIST_REDUCTIONS)
def test_nothing_to_count(loss, lambda_weight, reduction):
    options = options_of(loss, lambda_weight) | dict(reduction=reduction)
    equal = (np.zeros((3, 5), np.float32), np.ones((3, 5)))
    cases = [
        (np.zeros((0, 0), np.float32), np.zeros((0, 0))),
        (np.zeros((0, 4), np.float32), np.zeros((0, 4))),
        (np.zeros((3, 0), np.float32), np.zeros((3, 0))),
        (np.zeros((3, 1), np.float32), np.ones((3, 1))),
        (np.zeros((3, 5), np.float32), -np.ones((3, 5))),
        (equal if loss != "mse" else (np.zeros((2, 2), np.float32), [[1, -1], [np.nan, 2]])),
    ]
    for scores, relevance in cases:
        value, (gradient,) = checks.value_and_gradients(
            lambda s, relevance=relevance: tpw.list_ranking_loss(s, relevance, **options), [scores]
        )
        assert not value.any() and not gradient.any()
    zero = tpw.list_ranking_loss(*equal, item_weight=np.zeros((3, 5)), **options)
    assert not np.any(zero)


@kinds
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_extreme_scores(loss, lambda_weight, dtype, scale):
    if loss == "mse" and dtype == "float32" and scale > 1e15:
        pytest.skip("the squares are beyond float32")
    rng = np.random.default_rng(4)
    signs = rng.integers(-1, 2, (3, 40))
    scores = signs * scale + rng.normal(size=(3, 40)) * (signs == 0)
    relevance = rng.integers(0, 4, (3, 40))
    for reduction in ("none", "mean"):
        options = options_of(loss, lambda_weight) | dict(reduction=reduction)
        scores = scores.astype(dtype)
        made, (gradient,) = checks.value_and_gradients(
            lambda s, o=options: tpw.list_ranking_loss(s, relevance, **o), [scores]
        )
        assert np.isfinite(made).all() and np.isfinite(gradient).all()
        expected, (wanted,) = checks.value_and_gradients(
            lambda s, o=options: reference.list_ranking_loss(s, relevance, **o),
            [scores.astype(np.float64)],
        )
        # Relative to each item's own, not to the largest.
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-30)
        checks.assert_close(gradient, wanted, 1e-5)
    if loss != "mse":
        made, gradients = checks.value_and_gradients(
            lambda p, n: tpw.pairwise_ranking_loss(p, n, loss=loss), [scores, -scores]
        )
        assert np.isfinite(made) and all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("lambda_weight", [None, "label_diff"])
@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_hinge_and_mse_do_not_cancel(lambda_weight, offset):
    rng = np.random.default_rng(6)
    scores = rng.normal(size=(2, 50)) * 1e-3 + offset
    relevance = rng.integers(0, 3, (2, 50))
    for loss in ("hinge", "mse") if lambda_weight is None else ("hinge",):
        y = relevance * (1.0 if loss == "hinge" else 1e-3)
        made, (gradient,) = checks.value_and_gradients(
            lambda s, y=y, loss=loss: tpw.list_ranking_loss(
                s, y, loss=loss, lambda_weight=lambda_weight, margin=1e-3, reduction="none"
            ),
            [scores],
        )
        expected, (wanted,) = checks.value_and_gradients(
            lambda s, y=y, loss=loss: reference.list_ranking_loss(
                s, y, loss=loss, lambda_weight=lambda_weight, margin=1e-3, reduction="none"
            ),
            [scores],
        )
        tolerance = 1e-9 if offset == 0 else 1e-3  # of what the scores themselves round
        np.testing.assert_allclose(made, expected, rtol=tolerance, atol=1e-12)
        checks.assert_close(gradient, wanted, 1e-9 if offset == 0 else 0.1)


@kinds
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_stays_in_its_list(loss, lambda_weight, bad):
    lists = Lists(b=3, length=9, masked=False, weighted=False)
    lists.relevance[0, 0], lists.relevance[0, 1:] = 1, 0
    scores = lists.scores.copy()
    scores[0, 4] = bad
    options = options_of(loss, lambda_weight)

    def call(s, reduction):
        return lists.call(tpw.list_ranking_loss, s, reduction=reduction, **options)

    each, (gradient,) = checks.value_and_gradients(lambda s: call(s, "none"), [scores])
    clean, (clean_gradient,) = checks.value_and_gradients(lambda s: call(s, "none"), [lists.scores])
    assert np.isnan(each[0, 0]) and np.isnan(gradient[0]).all()
    np.testing.assert_array_equal(each[1:], clean[1:])
    np.testing.assert_array_equal(gradient[1:], clean_gradient[1:])
    for reduction in LIST_REDUCTIONS[1:]:
        value, (gradient,) = checks.value_and_gradients(lambda s, r=reduction: call(s, r), [scores])
        assert np.isnan(value) and np.isfinite(gradient[1:]).all()
    # No pair, no loss to lose.
    lists.relevance[0] = -1
    assert np.isfinite(call(scores, "mean"))


def test_nan_stays_in_its_pair():
    positive = np.float32([1, np.nan, 2, np.inf])
    negative = np.float32([0, 1, np.inf, np.inf])
    for loss in PAIR_LOSSES:
        each = tpw.pairwise_ranking_loss(positive, negative, loss=loss, reduction="none")
        np.testing.assert_array_equal(np.isnan(each), [False, True, True, True])
        assert np.isnan(tpw.pairwise_ranking_loss(positive, negative, loss=loss))


def test_ndcg_of_large_relevances():
    scores = np.random.default_rng(0).normal(size=(1, 6)).astype(np.float32)
    value = tpw.list_ranking_loss(scores, [[2000, 1, 1999, 0, 5, 1000]], lambda_weight="ndcg")
    assert np.isfinite(value) and value > 0
    assert tpw.list_ranking_loss(scores, [[0.0] * 6], lambda_weight="ndcg") == 0.0


# ---- determinism ----


@kinds
def test_threads_cannot_be_seen(loss, lambda_weight):
    scores, relevance, weights, splits = ragged([2, 1500, 3, 0] + [40] * 300, seed=2)
    options = options_of(loss, lambda_weight)
    wanted = None
    for threads in (1, 2, 5, None):
        came = tpn.list_ranking_loss(
            scores,
            relevance,
            item_weight=weights,
            row_splits=splits,
            with_gradient=True,
            threads=threads,
            **options,
        )
        wanted = wanted or came
        np.testing.assert_array_equal(came[0], wanted[0])
        np.testing.assert_array_equal(came[1], wanted[1])


def test_a_long_list_beside_short_ones():
    # Its bits do not depend on what is beside it, and nothing is padded: 100,000 lists of 2
    # items padded to 1,500 would be 150 million.
    scores, relevance, _, splits = ragged([1500] + [2] * 100_000, seed=3)
    for loss in LIST_LOSSES:
        options = dict(loss=loss, reduction="none", with_gradient=True)
        value, gradient = tpn.list_ranking_loss(scores, relevance, row_splits=splits, **options)
        alone = tpn.list_ranking_loss(scores[None, :1500], relevance[None, :1500], **options)
        np.testing.assert_array_equal(value[:1500], alone[0][0])
        np.testing.assert_array_equal(gradient[:1500], alone[1][0])
        pairs = scores[1500:].reshape(-1, 2), relevance[1500:].reshape(-1, 2)
        beside = tpn.list_ranking_loss(*pairs, **options)
        np.testing.assert_array_equal(value[1500:].reshape(-1, 2), beside[0])


@pytest.mark.slow
@pytest.mark.parametrize("loss", LIST_LOSSES)
def test_a_list_of_100_000(loss):
    scores, relevance, weights, splits = ragged([2, 100_000, 2, 2], seed=4)
    options = dict(item_weight=weights, row_splits=splits, loss=loss)
    value, gradient = tpn.list_ranking_loss(scores, relevance, with_gradient=True, **options)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert abs(gradient.sum(dtype=np.float64)) < 1e-4 * np.abs(gradient).sum()
    wide = tpn.list_ranking_loss(scores.astype(np.float64), relevance, **options)
    np.testing.assert_allclose(value, wide, rtol=1e-5)


# ---- NumPy ----


@pytest.mark.parametrize("dtype", checks.DTYPES)
@kinds
def test_numpy_lists(loss, lambda_weight, dtype):
    lists = Lists(b=3, length=19)
    scores = lists.scores.astype(tf.as_dtype(dtype).as_numpy_dtype)
    for reduction in LIST_REDUCTIONS:
        options = options_of(loss, lambda_weight) | dict(reduction=reduction)
        value, gradient = lists.call(tpn.list_ranking_loss, scores, with_gradient=True, **options)
        points = tf.constant(scores)
        with tf.GradientTape() as tape:
            tape.watch(points)
            expected = lists.call(tpw.list_ranking_loss, points, **options)
        wanted = tape.gradient(expected, points).numpy()
        assert value.dtype == expected.numpy().dtype and gradient.dtype == wanted.dtype
        np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(gradient, wanted)
        assert np.array_equal(lists.call(tpn.list_ranking_loss, scores, **options), value)


@pytest.mark.parametrize("dtype", checks.DTYPES)
def test_numpy_pairs(dtype):
    rng = np.random.default_rng(0)
    type_ = tf.as_dtype(dtype).as_numpy_dtype
    positive, negative = (rng.normal(size=(7, 3)).astype(type_) for _ in range(2))
    for loss in PAIR_LOSSES:
        for reduction in REDUCTIONS:
            options = dict(loss=loss, reduction=reduction, sample_weight=rng.uniform(size=(7, 3)))
            value, gradients = tpn.pairwise_ranking_loss(
                positive, negative, with_gradient=True, **options
            )
            points = [tf.constant(positive), tf.constant(negative)]
            with tf.GradientTape() as tape:
                tape.watch(points)
                expected = tpw.pairwise_ranking_loss(*points, **options)
            np.testing.assert_array_equal(value, expected)
            for a, b in zip(gradients, tape.gradient(expected, points), strict=True):
                np.testing.assert_array_equal(a, b)


# ---- in graphs ----


def test_unknown_shapes():
    for shape in (None, [None, None]):
        spec = tf.TensorSpec(shape, tf.float32)

        @tf.function(input_signature=[spec, spec, spec, tf.TensorSpec(shape, tf.bool)])
        def both(scores, relevance, weights, mask):
            with tf.GradientTape() as tape:
                tape.watch(scores)
                loss = tpw.list_ranking_loss(scores, relevance, item_weight=weights, mask=mask)
            each = tpw.list_ranking_loss(scores, relevance, reduction="none")
            pairs = tpw.pairwise_ranking_loss(scores, relevance, sample_weight=weights)
            return loss, tape.gradient(loss, scores), each, pairs

        for b, length in ((3, 7), (1, 1), (0, 4), (2, 0)):
            lists = Lists(b, length)
            loss, gradient, each, pairs = both(lists.scores, lists.relevance, **_tensors(lists))
            value, (expected,) = checks.value_and_gradients(
                lambda s, lists=lists: lists.call(tpw.list_ranking_loss, s), [lists.scores]
            )
            np.testing.assert_array_equal(loss, np.float32(value))
            np.testing.assert_array_equal(gradient, np.float32(expected))
            assert each.shape == (b, length) and pairs.shape == ()
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"got shape \[3, 2\]"):
            both(np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((2, 3)), np.ones((2, 3), bool))


def _tensors(lists):
    return dict(weights=lists.options["item_weight"], mask=lists.options["mask"])


def test_static_shapes_are_inferred():
    @tf.function(input_signature=[tf.TensorSpec([None, 7]), tf.RaggedTensorSpec([None, None])])
    def traced(x, lists):
        assert tpw.list_ranking_loss(x, x).shape == ()
        assert tpw.list_ranking_loss(x, x, reduction="none").shape.as_list() == [None, 7]
        assert tpw.pairwise_ranking_loss(x, x, reduction="none").shape.as_list() == [None, 7]
        assert tpw.list_ranking_loss(lists, lists).shape == ()
        each = tpw.list_ranking_loss(lists, lists, reduction="none")
        assert each.shape.as_list() == [None, None]
        return x

    traced.get_concrete_function()


def test_ragged_in_a_function():
    scores, relevance, _, splits = ragged([3, 0, 5])
    args = as_ragged(scores, splits), as_ragged(relevance, splits)
    spec = tf.RaggedTensorSpec([None, None], tf.float32)
    traced = tf.function(tpw.list_ranking_loss, input_signature=[spec, spec])
    assert traced(*args) == tpw.list_ranking_loss(*args)
    narrow = args[1].with_row_splits_dtype(tf.int32)
    assert tpw.list_ranking_loss(args[0].with_row_splits_dtype(tf.int32), narrow) == traced(*args)
    with pytest.raises(tf.errors.InvalidArgumentError, match="relevance: got row splits"):
        traced(args[0], as_ragged(relevance, [0, 3, 4, 8]))


def test_a_saved_model_trains_on(tmp_path):
    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable([1.0, -0.5, 2.0])

        @tf.function(input_signature=[tf.TensorSpec([None, None, 3]), tf.TensorSpec([None, None])])
        def loss(self, x, y):
            return tpw.list_ranking_loss(tf.reduce_sum(x * self.w, -1), y, lambda_weight="ndcg")

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 9, 3)), rng.integers(0, 3, (4, 9))

    def step(model):
        with tf.GradientTape() as tape:
            loss = model.loss(tf.constant(x, tf.float32), tf.constant(y, tf.float32))
        return loss, tape.gradient(loss, model.w)

    model = Model()
    loss, gradient = step(model)
    tf.saved_model.save(model, str(tmp_path))
    loaded_loss, loaded_gradient = step(tf.saved_model.load(str(tmp_path)))
    np.testing.assert_array_equal(loss, loaded_loss)
    np.testing.assert_array_equal(gradient, loaded_gradient)


# ---- errors ----

_S = np.zeros((2, 3), np.float32)
_Y = np.zeros((2, 3), np.int32)
_R = tf.ragged.constant([[1.0, 2.0], [3.0]])

BAD_ARGUMENTS = [
    (ValueError, "loss: got 'mae'", dict(loss="mae")),
    (TypeError, "loss: got 3", dict(loss=3)),
    (ValueError, "reduction: got 'max', .*mean_lists", dict(reduction="max")),
    (ValueError, "lambda_weight: got 'map', .*ndcg", dict(lambda_weight="map")),
    (ValueError, "lambda_weight: got 'dcg' with loss 'mse'", dict(loss="mse", lambda_weight="dcg")),
    (ValueError, "topn: got 0", dict(lambda_weight="ndcg", topn=0)),
    (TypeError, "topn: got 1.5", dict(lambda_weight="ndcg", topn=1.5)),
    (ValueError, "topn: got 5 with lambda_weight None", dict(topn=5)),
    (ValueError, "margin: got nan", dict(margin=float("nan"))),
    (ValueError, "margin: got -1", dict(margin=-1)),
    (TypeError, "margin: got None", dict(margin=None)),
    (ValueError, "temperature: got 0", dict(temperature=0)),
    (ValueError, "temperature: got nan", dict(temperature=float("nan"))),
    (ValueError, "temperature: got inf", dict(temperature=float("inf"))),
    (TypeError, "temperature: got '1'", dict(temperature="1")),
    (TypeError, "mask: got int64, expected bool", dict(mask=np.ones((2, 3), np.int64))),
    (TypeError, "item_weight: got complex128", dict(item_weight=np.ones((2, 3)) * 1j)),
]


@pytest.mark.parametrize("error, message, options", BAD_ARGUMENTS)
def test_bad_arguments(error, message, options):
    for api in (tpw, tpn):
        with pytest.raises(error, match=message):
            api.list_ranking_loss(_S, _Y, **options)


OF_PAIRS = inspect.signature(tpw.pairwise_ranking_loss).parameters


@pytest.mark.parametrize(
    "error, message, options", [case for case in BAD_ARGUMENTS if set(case[2]) <= set(OF_PAIRS)]
)
def test_bad_arguments_of_pairs(error, message, options):
    for api in (tpw, tpn):
        with pytest.raises(error, match=message.replace(", .*mean_lists", "")):
            api.pairwise_ranking_loss(_S, _S, **options)


def test_losses_of_lists_alone():
    with pytest.raises(ValueError, match="loss: got 'mse'"):
        tpw.pairwise_ranking_loss(_S, _S, loss="mse")
    with pytest.raises(ValueError, match="reduction: got 'mean_lists'"):
        tpw.pairwise_ranking_loss(_S, _S, reduction="mean_lists")


BAD_SHAPES = [
    (r"scores: got shape \[3\], expected \[b, l\]", lambda: (_S[0], _Y), {}),
    (r"relevance: got shape \[2, 2\], expected .* l = 3 as in scores", lambda: (_S, _Y[:, 1:]), {}),
    (r"relevance: got shape \[3\]", lambda: (_S, _Y[0]), {}),
    (r"item_weight: got shape \[2\]", lambda: (_S, _Y), dict(item_weight=np.ones(2))),
    (r"mask: got shape \[2, 1\]", lambda: (_S, _Y), dict(mask=np.ones((2, 1), bool))),
]


@pytest.mark.parametrize("message, arguments, options", BAD_SHAPES)
def test_bad_shapes(message, arguments, options):
    scores, relevance = arguments()
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tpw.list_ranking_loss(scores, relevance, **options)
    with pytest.raises(ValueError, match=message):
        tf.function(tpw.list_ranking_loss).get_concrete_function(
            tf.constant(scores), tf.constant(relevance), **options
        )
    with pytest.raises(ValueError, match=message):
        tpn.list_ranking_loss(scores, relevance, **options)


def test_bad_pairs():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"scores_neg: got shape \[3, 2\]"):
        tpw.pairwise_ranking_loss(_S, _S.T)
    with pytest.raises(ValueError, match=r"scores_neg: got shape \[3, 2\]"):
        tf.function(tpw.pairwise_ranking_loss).get_concrete_function(_S, tf.constant(_S.T))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"sample_weight: got shape \[2\]"):
        tpw.pairwise_ranking_loss(_S, _S, sample_weight=[1, 2])
    with pytest.raises(TypeError, match="scores_neg: got float64, expected float32 as scores_pos"):
        tpw.pairwise_ranking_loss(_S, tf.constant(_S, tf.float64))
    with pytest.raises(TypeError, match="scores_pos: got int32"):
        tpw.pairwise_ranking_loss(_Y, _Y)


def test_bad_ragged():
    other = tf.ragged.constant([[1.0], [2.0, 3.0]])
    with pytest.raises(TypeError, match="relevance: got no RaggedTensor"):
        tpw.list_ranking_loss(_R, tf.zeros((2, 2)))
    with pytest.raises(TypeError, match="relevance: got a RaggedTensor"):
        tpw.list_ranking_loss(_S, _R)
    with pytest.raises(TypeError, match="scores: got int32"):
        tpw.list_ranking_loss(tf.cast(_R, tf.int32), _R)
    with pytest.raises(tf.errors.InvalidArgumentError, match="relevance: got row splits"):
        tpw.list_ranking_loss(_R, other)
    with pytest.raises(tf.errors.InvalidArgumentError, match="item_weight: got row splits"):
        tpw.list_ranking_loss(_R, _R, item_weight=other)
    with pytest.raises(ValueError, match=r"scores: got a RaggedTensor of shape .*\[b, \(l\)\]"):
        tpw.list_ranking_loss(tf.ragged.constant([[[1.0]], [[2.0], [3.0]]]), _R)
    for splits in ([0, 2, 4], [1, 3], [0, 4, 2, 3], []):
        with pytest.raises(ValueError, match="row_splits: got"):
            tpn.list_ranking_loss(np.zeros(3), np.zeros(3), row_splits=np.int64(splits))
    with pytest.raises(TypeError, match="row_splits: got float64"):
        tpn.list_ranking_loss(np.zeros(3), np.zeros(3), row_splits=[0.0, 3.0])

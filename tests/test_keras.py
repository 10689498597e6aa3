"""tf_pairwise.keras against the functions, the reference, NumPy, and Keras's own training loop."""

import doctest
import importlib
import inspect
import json
import math
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs
from tests.checks import DTYPES, LOSS_TOLERANCE, assert_close
from tf_pairwise import reference
from tf_pairwise._tensors import XLA
from tf_pairwise.keras import CrossBatchMemory, callbacks, losses, metrics

N, D, B, L = 12, 5, 4, 6


def _labels(y_true, y_pred):
    return y_pred, y_true


def _parts(y_true, y_pred):
    return tuple(tf.unstack(y_pred, axis=1))


def _labelled_parts(y_true, y_pred):
    return (*_parts(y_true, y_pred), y_true)


class Case:
    """A loss class, the function it stands for, options that are not the defaults, and inputs."""

    def __init__(self, loss, function, options, shape, arguments, labels=None, reductions=()):
        self.loss, self.function, self.options = loss, function, options
        self.shape, self.arguments, self.labels = shape, arguments, labels
        self.reductions = ("none", "sum", "mean", *reductions)

    def make(self, **options):
        """The loss, with the options that it has no default for."""
        needed = {"scale": 10.0, "bias": -10.0} if self.function.startswith("sigmoid") else {}
        return self.loss(**{**needed, **options})

    def y(self, dtype="float32", seed=0):
        y_pred = tf.constant(inputs.points(*self.shape, seed=seed), dtype)
        return None if self.labels is None else self.labels(seed), y_pred

    def expected(self, y_true, y_pred, api=tpw, **options):
        if self.function.startswith("sigmoid"):
            options = {"scale": 10.0, "bias": -10.0, **options}
        return getattr(api, self.function)(*self.arguments(y_true, y_pred), **options)

    @property
    def weight(self):
        return "item_weight" if self.loss is losses.ListRankingLoss else "sample_weight"


def _batch_labels(seed):
    return inputs.labels(N, 3, seed)


def _pair_labels(seed):
    return inputs.labels(N, 2, seed)


def _relevance(seed):
    return np.random.default_rng(seed).integers(-1, 3, [B, L])


NONZERO = ("mean_nonzero",)
CASES = {
    case.loss.__name__: case
    for case in (
        Case(
            *(losses.BatchContrastiveLoss, "batch_contrastive_loss"),
            dict(margin=2.5, metric="manhattan", positive_margin=0.1, squared=False),
            *((N, D), _labels, _batch_labels, (*NONZERO, "balanced_mean")),
        ),
        Case(
            *(losses.BatchTripletLoss, "batch_triplet_loss"),
            dict(margin=0.5, mining="hard", metric="cosine"),
            *((N, D), _labels, _batch_labels, NONZERO),
        ),
        Case(
            *(losses.SupervisedContrastiveLoss, "supervised_contrastive_loss"),
            dict(temperature=0.7, normalize=False),
            *((N, D), _labels, _batch_labels),
        ),
        Case(
            *(losses.NTXentLoss, "nt_xent_loss"),
            dict(temperature=0.7, normalize=False),
            *((N, D), _labels, _batch_labels),
        ),
        Case(
            *(losses.ContrastiveLoss, "contrastive_loss"),
            dict(margin=4.0, metric="manhattan", similar_label=1),
            *((N, 2, D), _labelled_parts, _pair_labels, NONZERO),
        ),
        Case(
            *(losses.TripletLoss, "triplet_loss"),
            dict(margin=None, metric="euclidean", swap=True),
            *((N, 3, D), _parts, None, NONZERO),
        ),
        Case(
            *(losses.InfoNCELoss, "info_nce_loss"),
            dict(temperature=0.7, symmetric=True, normalize=False),
            *((N, 2, D), _parts),
        ),
        Case(
            *(losses.SigmoidContrastiveLoss, "sigmoid_contrastive_loss"),
            dict(scale=2.0, bias=-1.0, normalize=False),
            *((N, 2, D), _parts),
        ),
        Case(
            *(losses.PairwiseRankingLoss, "pairwise_ranking_loss"),
            dict(loss="hinge", margin=0.5, temperature=2.0),
            *((N, 2), _parts, None, NONZERO),
        ),
        Case(
            *(losses.ListRankingLoss, "list_ranking_loss"),
            dict(loss="hinge", lambda_weight="ndcg", topn=3, margin=0.5, temperature=2.0),
            *((B, L), _labels, _relevance, (*NONZERO, "mean_lists")),
        ),
    )
}
LABELLED = tuple(name for name, case in CASES.items() if case.arguments is _labels)[:4]
GLOBAL = (*LABELLED, "InfoNCELoss", "SigmoidContrastiveLoss")
GIVEN = ("ContrastiveLoss", "TripletLoss", "PairwiseRankingLoss")
each = pytest.mark.parametrize("name", CASES)


def _gradient(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value, tape.gradient(value, x)


def _with_mask(y_pred, mask):
    y_pred = tf.identity(y_pred)
    y_pred._keras_mask = tf.constant(mask)
    return y_pred


# ---- losses against the functions ----


def test_there_is_a_class_for_every_loss():
    functions = {name for name in tpw.__all__ if name.endswith("_loss")}
    assert {case.function for case in CASES.values()} == functions


@pytest.mark.parametrize("dtype", DTYPES)
@each
def test_default_is_the_function(name, dtype):
    """The same bits as the function of the same points: halves come as halves to the op."""
    case = CASES[name]
    y_true, y_pred = case.y(dtype)
    value, gradient = _gradient(lambda x: case.make()(y_true, x), y_pred)
    expected, expected_gradient = _gradient(lambda x: case.expected(y_true, x), y_pred)
    assert value.dtype == expected.dtype and gradient.dtype == y_pred.dtype
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(gradient, expected_gradient)


@each
def test_defaults_are_those_of_the_function(name):
    case = CASES[name]
    function = inspect.signature(getattr(tpw, case.function)).parameters
    ours = inspect.signature(case.loss).parameters
    for option in case.options:
        assert ours[option].default == function[option].default, option
        assert ours[option].kind == function[option].kind, option
    tensors = {"ref_embeddings", "ref_labels", "self_offset", "sample_weight", "item_weight"}
    # Queries and keys that are stacked are in line.
    tensors |= {"mask", "reduction", "positive_offset"}
    options = {
        option
        for option, parameter in function.items()
        if option not in tensors
        and (parameter.default is not parameter.empty or option in ("scale", "bias"))
    }
    assert options == set(case.options)


@each
def test_options_and_reductions_against_the_reference(name):
    case = CASES[name]
    y_true, y_pred = case.y("float32")
    weight = inputs.weights(np.prod(case.shape[:1]))
    if case.weight == "item_weight":
        item_weight = np.repeat(weight[:, None], L, 1)
    else:
        item_weight = weight
    wide = tf.cast(y_pred, tf.float64)
    for reduction in case.reductions:
        loss = case.make(**case.options, reduction=reduction)
        for sample_weight, item in ((None, None), (weight, item_weight)):
            made = loss(y_true, y_pred, sample_weight)
            options = {**case.options, "reduction": reduction, case.weight: item}
            expected = case.expected(y_true, wide, reference, **options)
            assert made.shape == expected.shape
            assert_close(made, expected, LOSS_TOLERANCE["float32"], reduction)


@each
def test_keras_reductions(name):
    case = CASES[name]
    y_true, y_pred = case.y("float64")
    n = case.shape[0]
    weight = inputs.weights(n).astype(np.float64)
    each_one = case.make(reduction=None)(y_true, y_pred, weight)
    if case.weight == "item_weight":
        assert np.any(y_true >= 0, axis=1).all()  # every list has an item
    total = np.sum(each_one)
    for shape in ([n], [n, 1]):
        over_samples = case.make(reduction="sum_over_batch_size")
        over_weights = case.make(reduction="mean_with_sample_weight")
        shaped = weight.reshape(shape)
        assert_close(over_samples(y_true, y_pred, shaped), total / n, 1e-12)
        assert_close(over_weights(y_true, y_pred, shaped), total / weight.sum(), 1e-12)
    unweighted = np.sum(case.make(reduction="none")(y_true, y_pred)) / n
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight"):
        assert_close(case.make(reduction=reduction)(y_true, y_pred), unweighted, 1e-12)
    # One number for all is a weight for each.
    doubled = case.make(reduction="sum")(y_true, y_pred, 2.0)
    assert_close(doubled, 2.0 * n * unweighted, 1e-12)
    assert_close(
        tf.reduce_sum(case.make().call(y_true, y_pred)), n * unweighted, 1e-12, "of call()"
    )


def test_item_weights_and_lists_that_do_not_exist():
    scores = inputs.points(3, 4, dtype=np.float64)
    relevance = np.array([[1, 0, -1, 2], [-1, -1, -1, -1], [0, 1, 1, 0]])
    weight = inputs.weights(12).astype(np.float64).reshape(3, 4)
    total = tpw.list_ranking_loss(scores, relevance, item_weight=weight, reduction="sum")
    loss = losses.ListRankingLoss(reduction="mean_with_sample_weight")
    assert_close(loss(relevance, scores, weight), total / weight[relevance >= 0].sum(), 1e-12)
    loss = losses.ListRankingLoss(reduction="sum_over_batch_size")
    assert_close(loss(relevance, scores, weight), total / 2, 1e-12)
    per_list = np.array([2.0, 5.0, 3.0])
    total = np.sum(losses.ListRankingLoss(reduction=None)(relevance, scores, per_list))
    loss = losses.ListRankingLoss(reduction="mean_with_sample_weight")
    assert_close(loss(relevance, scores, per_list), total / 5.0, 1e-12)


def test_ragged_lists():
    scores = tf.ragged.constant([[3.0, 2.0, 0.0], [], [1.0, 1.5]], dtype=tf.float32)
    relevance = tf.ragged.constant([[2, 0, 1], [], [1, 0]])
    for weight, items in ((None, None), ([2.0, 7.0, 1.0], [2.0, 2.0, 2.0, 1.0, 1.0])):
        item_weight = None if items is None else scores.with_values(tf.constant(items))
        expected = tpw.list_ranking_loss(scores, relevance, item_weight=item_weight)
        np.testing.assert_array_equal(losses.ListRankingLoss()(relevance, scores, weight), expected)
        total = tpw.list_ranking_loss(scores, relevance, item_weight=item_weight, reduction="sum")
        loss = losses.ListRankingLoss(reduction="mean_with_sample_weight")
        assert_close(loss(relevance, scores, weight), total / (2 if weight is None else 3), 1e-6)
    by_item = losses.ListRankingLoss()(relevance, scores, item_weight)
    np.testing.assert_array_equal(by_item, expected)


@each
def test_dtype_casts(name):
    case = CASES[name]
    y_true, y_pred = case.y("float32")
    value, gradient = _gradient(lambda x: case.make(dtype="float64")(y_true, x), y_pred)
    assert value.dtype == tf.float64 and gradient.dtype == tf.float32
    expected = case.expected(y_true, tf.cast(y_pred, tf.float64))
    np.testing.assert_array_equal(value, expected)
    half = case.make(dtype=keras.DTypePolicy("mixed_bfloat16"))
    expected = case.expected(y_true, tf.cast(y_pred, tf.bfloat16))
    np.testing.assert_array_equal(half(y_true, y_pred), expected)


@each
def test_unknown_sizes_and_empty_batches(name):
    case = CASES[name]
    y_true, y_pred = case.y()
    loss = case.make()
    spec = tf.TensorSpec([None, *case.shape[1:]], y_pred.dtype)
    anything = tf.TensorSpec(None, y_pred.dtype)
    for y_spec in (spec, anything):
        signature = [y_spec]
        if y_true is not None:
            signature.append(tf.TensorSpec([None] * np.ndim(y_true), tf.as_dtype(y_true.dtype)))
        function = tf.function(
            lambda x, y=None: loss(y, x), input_signature=signature, autograph=False
        )
        args = (y_pred,) if y_true is None else (y_pred, y_true)
        np.testing.assert_array_equal(function(*args), case.expected(y_true, y_pred))
        empty = function(*(tf.convert_to_tensor(x)[:0] for x in args))
        assert float(empty) == 0.0


# ---- labels ----


@pytest.mark.parametrize("base", (0, 2**24, 2**53, 2**62))
@pytest.mark.parametrize("name", LABELLED)
def test_large_labels_do_not_collide(name, base):
    """base and base + 1 are one number in float32, past 2^53 in float64 as well."""
    case = CASES[name]
    y_true, y_pred = case.y()
    y_true = y_true.astype(np.int64)
    expected = case.expected(y_true, y_pred)
    for labels in (y_true + base, (y_true + base).astype(np.uint64), (y_true + base)[:, None]):
        np.testing.assert_array_equal(case.make()(labels, y_pred), expected)


@pytest.mark.parametrize("name", LABELLED)
def test_labels_have_to_be_integers(name):
    case = CASES[name]
    y_true, y_pred = case.y()
    for dtype in (np.float32, np.float64, np.float16):
        with pytest.raises(TypeError, match="y_true: got float.* integer type.*2\\^24"):
            case.make()(y_true.astype(dtype), y_pred)
    with pytest.raises(TypeError, match="y_true: got None"):
        case.make()(None, y_pred)
    with pytest.raises(TypeError, match="y_true: got string"):
        case.make()(np.array(["a"] * N), y_pred)


def test_bool_labels_of_pairs():
    case = CASES["ContrastiveLoss"]
    y_true, y_pred = case.y()
    for similar_label in (0, 1, True):
        loss = losses.ContrastiveLoss(similar_label=similar_label)
        expected = case.expected(y_true, y_pred, similar_label=int(similar_label))
        np.testing.assert_array_equal(loss(y_true.astype(bool), y_pred), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_labels_of_pairs(dtype):
    """Keras makes float32 of integers; between 0 and 1 a label is soft."""
    case = CASES["ContrastiveLoss"]
    y_true, y_pred = case.y()
    for labels in (y_true % 2, y_true % 3, y_true % 3 - 1):
        for similar_label in (0, 1, 2):
            loss = losses.ContrastiveLoss(similar_label=similar_label)
            expected = case.expected(labels, y_pred, similar_label=similar_label)
            np.testing.assert_array_equal(loss(labels.astype(dtype), y_pred), expected)
    soft = (np.arange(len(y_true)) % 5 / 4).astype(dtype)
    each = losses.ContrastiveLoss(reduction="none")(soft, y_pred)
    similar, dissimilar = (
        losses.ContrastiveLoss(reduction="none")(np.full_like(soft, y), y_pred) for y in (0, 1)
    )
    np.testing.assert_allclose(each, (1 - soft) * similar + soft * dissimilar, 1e-6)


# ---- masks ----


@pytest.mark.parametrize("name", GLOBAL)
def test_masked_rows_of_a_batch_do_not_exist(name):
    case = CASES[name]
    y_true, y_pred = case.y()
    mask = np.arange(N) % 4 != 1
    weight = inputs.weights(N)
    y_pred = tf.where(tf.reshape(mask, [N] + [1] * (len(case.shape) - 1)), y_pred, np.nan)
    kept = None if y_true is None else y_true[mask]
    for reduction in ("mean", "sum", "none"):
        loss = case.make(reduction=reduction)
        value, gradient = _gradient(
            lambda x, loss=loss: tf.reduce_sum(loss(y_true, _with_mask(x, mask), weight)), y_pred
        )
        made = loss(y_true, _with_mask(y_pred, mask), weight)
        options = {"reduction": reduction, "sample_weight": weight[mask]}
        expected = case.expected(kept, tf.boolean_mask(y_pred, mask), **options)
        if reduction == "none":
            assert made.shape == [N]
            np.testing.assert_array_equal(made[~mask], 0.0)
            made = made[mask]
        np.testing.assert_array_equal(made, expected)
        assert np.all(np.isfinite(gradient[mask])) and np.any(gradient[mask])
        np.testing.assert_array_equal(gradient[~mask], 0.0)
    loss = case.make(reduction="sum_over_batch_size")
    total = case.expected(kept, tf.boolean_mask(y_pred, mask), reduction="sum")
    assert_close(loss(y_true, _with_mask(y_pred, mask)), total / mask.sum(), 1e-6)
    if len(case.shape) == 3:  # a mask of both parts
        both = np.stack([mask, np.ones(N, bool)], axis=1)
        np.testing.assert_array_equal(
            case.make()(y_true, _with_mask(y_pred, both)),
            case.expected(kept, tf.boolean_mask(y_pred, mask)),
        )


@pytest.mark.parametrize("name", GIVEN)
def test_masked_pairs_are_not_counted(name):
    case = CASES[name]
    y_true, y_pred = case.y("float64")
    mask = np.arange(N) % 4 != 1
    weight = inputs.weights(N).astype(np.float64)
    kept = None if y_true is None else y_true[mask]
    shorter = tf.boolean_mask(y_pred, mask)
    rows = tf.reshape(mask, [N] + [1] * (len(case.shape) - 1))
    y_pred = tf.where(rows, y_pred, np.nan)
    masked = _with_mask(y_pred, mask)
    for reduction in ("mean", "mean_nonzero", "sum"):
        loss = case.make(reduction=reduction)
        for sample_weight, own in ((None, None), (weight, weight[mask])):
            expected = case.expected(kept, shorter, reduction=reduction, sample_weight=own)
            assert_close(loss(y_true, masked, sample_weight), expected, 1e-12)
    values = case.make(reduction="none")(y_true, masked, weight)
    np.testing.assert_array_equal(values[~mask], 0.0)
    _, gradient = _gradient(lambda x: case.make()(y_true, _with_mask(x, mask)), y_pred)
    assert np.all(np.isfinite(gradient[mask])) and np.any(gradient[mask])
    np.testing.assert_array_equal(gradient[~mask], 0.0)
    total = np.sum(case.expected(kept, shorter, reduction="sum"))
    loss = case.make(reduction="sum_over_batch_size")
    assert_close(loss(y_true, masked), total / mask.sum(), 1e-12)
    loss = case.make(reduction="mean_with_sample_weight")
    weighted = case.expected(kept, shorter, reduction="sum", sample_weight=weight[mask])
    assert_close(loss(y_true, masked, weight), weighted / weight[mask].sum(), 1e-12)


def test_masked_items_do_not_exist():
    case = CASES["ListRankingLoss"]
    y_true, y_pred = case.y()
    mask = np.random.default_rng(5).uniform(size=[B, L]) < 0.7
    for options in ({}, case.options):
        expected = case.expected(y_true, y_pred, mask=mask, **options)
        y_pred = tf.where(mask, y_pred, np.nan)
        loss = losses.ListRankingLoss(**options)
        np.testing.assert_array_equal(loss(y_true, _with_mask(y_pred, mask)), expected)
        wide = _with_mask(y_pred[..., None], mask)
        np.testing.assert_array_equal(loss(y_true, wide), expected)
    lists = np.array([True, False, True, True])
    _, y_pred = case.y()
    expected = case.expected(y_true[lists], y_pred[lists], reduction="sum")
    loss = losses.ListRankingLoss(reduction="sum_over_batch_size")
    assert_close(loss(y_true, _with_mask(y_pred, lists)), expected / 3, 1e-6)


def test_a_mask_comes_from_the_model():
    """A Masking layer, then Dense(1) over items: [B, L, 1] with a mask."""
    x = inputs.points(B, L, 3)
    x[0, 3:] = x[2, 5:] = 0.0
    features = keras.Input([L, 3])
    scores = keras.layers.Dense(1)(keras.layers.Masking()(features))
    model = keras.Model(features, scores)
    relevance = np.abs(_relevance(0))
    model.compile("sgd", losses.ListRankingLoss(), metrics=[metrics.NDCG()])
    made = model.evaluate(x, relevance, verbose=0, return_dict=True)
    relevance = np.where(np.any(x, axis=-1), relevance, -1)
    expected = tpw.list_ranking_loss(model.predict(x, verbose=0)[..., 0], relevance)
    assert_close(made["loss"], expected, 1e-6)
    expected = _ndcg(relevance, model.predict(x, verbose=0)[..., 0])
    assert_close(made["ndcg"], np.mean(expected), 1e-6)


# ---- errors ----


BAD = [
    ("BatchContrastiveLoss", dict(margin=-1.0), ValueError, "margin: got -1.0"),
    ("BatchContrastiveLoss", dict(margin=None), TypeError, "margin: got None"),
    ("BatchContrastiveLoss", dict(squared=1), TypeError, "squared: got 1, expected True or"),
    ("BatchContrastiveLoss", dict(reduction="mean_lists"), ValueError, "balanced_mean.*sum_over"),
    ("BatchContrastiveLoss", dict(memory=3), TypeError, "memory: got 3, expected a Cross"),
    ("BatchContrastiveLoss", dict(global_batch=None), TypeError, "global_batch: got None"),
    ("BatchContrastiveLoss", dict(dtype="int32"), TypeError, "dtype: got int32"),
    ("BatchTripletLoss", dict(mining="soft"), ValueError, "mining: got 'soft'"),
    ("BatchTripletLoss", dict(margin=None, mining="hard_all"), ValueError, "margin: got None"),
    ("BatchTripletLoss", dict(metric="l2"), ValueError, "metric: got 'l2'"),
    ("SupervisedContrastiveLoss", dict(temperature=0.0), ValueError, "temperature: got 0.0"),
    ("SupervisedContrastiveLoss", dict(reduction="mean_nonzero"), ValueError, "reduction: got"),
    ("NTXentLoss", dict(temperature="1"), TypeError, "temperature: got '1'"),
    ("InfoNCELoss", dict(symmetric="no"), TypeError, "symmetric: got 'no'"),
    ("SigmoidContrastiveLoss", dict(scale=math.inf), ValueError, "scale: got inf"),
    ("ContrastiveLoss", dict(similar_label=0.5), TypeError, "similar_label: got 0.5"),
    ("TripletLoss", dict(margin=math.nan), ValueError, "margin: got nan"),
    ("PairwiseRankingLoss", dict(loss="mse"), ValueError, "loss: got 'mse'"),
    ("ListRankingLoss", dict(temperature=-1), ValueError, "temperature: got -1"),
    ("ListRankingLoss", dict(topn=3), ValueError, "topn: got 3 with lambda_weight None"),
    ("ListRankingLoss", dict(loss="mse", lambda_weight="dcg"), ValueError, "lambda_weight: got"),
]


@pytest.mark.parametrize("name, options, error, message", BAD)
def test_bad_options_raise_at_construction(name, options, error, message):
    with pytest.raises(error, match=message):
        CASES[name].make(**options)


@each
def test_bad_predictions(name):
    case = CASES[name]
    y_true, y_pred = case.y()
    with pytest.raises(TypeError, match="y_pred: got int32, expected float16"):
        case.make()(y_true, tf.cast(y_pred, tf.int32))
    with pytest.raises(ValueError, match=r"y_pred: got shape \(.*, expected \["):
        case.make()(y_true, y_pred[None])
    if name in (*GIVEN, "InfoNCELoss", "SigmoidContrastiveLoss"):
        wrong = tf.concat([y_pred, y_pred], axis=1)
        with pytest.raises(ValueError, match=r"y_pred: got shape \(.*, expected \[n, [23]"):
            case.make()(y_true, wrong)
        loss, unknown = case.make(), [tf.TensorSpec(None, tf.float32)]
        function = tf.function(lambda x: loss(y_true, x), input_signature=unknown, autograph=False)
        with pytest.raises(tf.errors.InvalidArgumentError):
            function(wrong)


# ---- variables as parameters ----


@pytest.mark.parametrize("kind", (tf.Variable, keras.Variable))
@pytest.mark.parametrize(
    "name, parameters",
    (
        ("SupervisedContrastiveLoss", ["temperature"]),
        ("NTXentLoss", ["temperature"]),
        ("InfoNCELoss", ["temperature"]),
        ("SigmoidContrastiveLoss", ["scale", "bias"]),
    ),
)
def test_parameters_that_are_variables_have_gradients(name, parameters, kind):
    case = CASES[name]
    y_true, y_pred = case.y()
    numbers = {"temperature": 0.3, "scale": 3.0, "bias": -2.0}
    variables = {parameter: kind(numbers[parameter]) for parameter in parameters}
    loss = case.make(**variables)
    raw = [getattr(v, "value", v) if kind is keras.Variable else v for v in variables.values()]
    with tf.GradientTape() as tape:
        value = loss(y_true, y_pred)
    made = tape.gradient(value, raw)
    constants = [tf.constant(numbers[parameter]) for parameter in parameters]
    with tf.GradientTape() as tape:
        tape.watch(constants)
        expected = case.expected(y_true, y_pred, **dict(zip(parameters, constants, strict=True)))
    np.testing.assert_array_equal(value, expected)
    for a, b in zip(made, tape.gradient(expected, constants), strict=True):
        np.testing.assert_array_equal(a, b)
        assert float(b) != 0.0
    with pytest.raises(ValueError, match=f"{parameters[0]}: got a variable, expected a Python"):
        loss.get_config()
    with pytest.raises(TypeError, match=f"{parameters[0]}: got a variable of shape \\(2,\\)"):
        case.make(**{parameters[0]: kind(np.ones(2, np.float32))})
    with pytest.raises(TypeError, match=f"{parameters[0]}: got a tensor"):
        case.make(**{parameters[0]: tf.constant(1.0)})


class _Temperature(keras.layers.Layer):
    """Owns a parameter of the loss, so that fit trains it."""

    def build(self, shape):
        self.temperature = self.add_weight(shape=(), initializer=keras.initializers.Constant(0.3))

    def call(self, x):
        return x


def test_fit_trains_a_temperature_of_the_model():
    layer = _Temperature()
    model = keras.Sequential([keras.Input([D]), keras.layers.Dense(3), layer])
    model.compile("sgd", losses.SupervisedContrastiveLoss(layer.temperature))
    model.fit(inputs.points(N, D), _batch_labels(0), verbose=0)
    assert float(layer.temperature.value) != pytest.approx(0.3, abs=1e-6)


# ---- configurations and saved models ----


def _every_option(name):
    case = CASES[name]
    options = {**case.options, "reduction": "sum_over_batch_size", "name": "a_loss"}
    options["dtype"] = "bfloat16"
    if name in GLOBAL:
        options["global_batch"] = True
    return options


@each
def test_config_round_trip(name):
    options = _every_option(name)
    loss = CASES[name].loss(**options)
    constructor = set(inspect.signature(CASES[name].loss).parameters)
    assert set(loss.get_config()) == constructor
    config = json.loads(json.dumps(keras.losses.serialize(loss)))
    assert config["registered_name"] == f"tf_pairwise>{name}"
    again = keras.losses.deserialize(config)
    assert type(again) is CASES[name].loss and again.get_config() == loss.get_config()
    for option, value in options.items():
        assert again.get_config()[option] == value, option
    y_true, y_pred = CASES[name].y()
    np.testing.assert_array_equal(again(y_true, y_pred), loss(y_true, y_pred))
    default = CASES[name].make()
    again = keras.losses.deserialize(keras.losses.serialize(default))
    assert again.get_config() == default.get_config()


def test_config_of_a_memory():
    for make in (losses.BatchContrastiveLoss, losses.NTXentLoss):
        loss = make(memory=CrossBatchMemory(7, warmup=2, dimensions=D, dtype="float16"))
        config = json.loads(json.dumps(keras.losses.serialize(loss)))
        memory = keras.losses.deserialize(config).memory
        assert isinstance(memory, CrossBatchMemory) and memory is not loss.memory
        expected = {"size": 7, "warmup": 2, "dimensions": D, "dtype": "float16"}
        assert memory.get_config() == expected


def _features(case):
    """The shape of a sample's features, and how many outputs a Dense layer makes of 7 of them."""
    if case.loss in (losses.PairwiseRankingLoss, losses.ListRankingLoss):
        return [*case.shape[1:], 7], 1
    return [*case.shape[1:-1], 7], case.shape[-1]


def _network(case, policy=None):
    shape, d = _features(case)
    x = keras.Input(shape, name=case.loss.__name__)
    y = keras.layers.Dense(8, "tanh", dtype=policy)(x)
    y = keras.layers.Dense(d, dtype=policy)(y)
    if case.loss is losses.PairwiseRankingLoss:
        y = keras.layers.Reshape(shape[:-1], dtype=policy)(y)
    return x, y


def _model(case, policy=None):
    keras.utils.set_random_seed(0)
    return keras.Model(*_network(case, policy))


def _all_models(policy=None):
    """One model with an output for every loss, named as its class."""
    keras.utils.set_random_seed(0)
    networks = {name: _network(case, policy) for name, case in CASES.items()}
    x = {name: x for name, (x, _) in networks.items()}
    return keras.Model(x, {name: y for name, (_, y) in networks.items()})


def _data(case, n=24):
    """Features and targets of n samples, in which the classes lie apart."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=[n, *_features(case)[0]]).astype(np.float32)
    if case.loss is losses.ListRankingLoss:
        return x, np.digitize(x[..., 0], [-0.5, 0.5])
    if case.loss is losses.ContrastiveLoss:
        return x, np.arange(n) % 2
    if case.labels is None:
        return x, np.full(n, np.nan, np.float32)  # not used
    y = np.arange(n) % 4
    return x + 2.0 * np.eye(7, dtype=np.float32)[y], y


def _all_data():
    data = {name: _data(case) for name, case in CASES.items()}
    return {name: x for name, (x, _) in data.items()}, {name: y for name, (_, y) in data.items()}


def _steps(model, x, y, steps=2):
    return [model.train_on_batch(x, y, return_dict=True) for _ in range(steps)]


def test_saved_models_train_on(tmp_path):
    """All losses and metrics: saved in the middle of training, and taken up in a new process."""
    x, y = _all_data()
    model = _all_models()
    embeddings = [metrics.RecallAtK(2, capacity=64), metrics.MeanAveragePrecisionAtR()]
    measures = {"BatchTripletLoss": embeddings}
    measures["ListRankingLoss"] = [metrics.NDCG(3), metrics.PairwiseAccuracy()]
    model.compile(
        keras.optimizers.Adam(0.01),
        {name: case.make(reduction="sum") for name, case in CASES.items()},
        metrics=measures,
    )
    before = _steps(model, x, y, 1)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    for name, loss in loaded.loss.items():
        assert loss.get_config() == model.loss[name].get_config()
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
    assert len(evaluated) == 1 + len(CASES) + 4
    steps = _steps(model, x, y)
    assert before[0]["loss"] > steps[0]["loss"] > steps[1]["loss"]
    script = """
        import sys, json
        import keras
        import tf_pairwise.keras
        from tests import test_keras
        model = keras.models.load_model(sys.argv[1])
        x, y = test_keras._all_data()
        evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
        print(json.dumps([evaluated, test_keras._steps(model, x, y)]))
    """
    assert _run(script, path) == json.dumps([evaluated, steps])


def _run(script, *args):
    """The last line that a script prints in a process of its own."""
    done = checks.in_a_new_process(script, *args, CUDA_VISIBLE_DEVICES="")
    return done.stdout.splitlines()[-1]


def test_a_model_with_a_variable_in_its_loss_is_not_saved(tmp_path):
    model = keras.Sequential([keras.Input([D]), keras.layers.Dense(3)])
    model.compile("sgd", losses.NTXentLoss(keras.Variable(0.5)))
    with pytest.raises(ValueError, match="temperature: got a variable"):
        model.save(tmp_path / "model.keras")


# ---- fit, evaluate, predict ----


def test_fit_evaluate_predict():
    """What fit and evaluate report is the mean of the functions' values over the batches."""
    x, y = _all_data()
    model = _all_models()
    model.compile(keras.optimizers.SGD(0.0), {name: case.make() for name, case in CASES.items()})
    y_pred = model.predict(x, batch_size=8, verbose=0)
    y_pred["ListRankingLoss"] = y_pred["ListRankingLoss"][..., 0]

    def expected(batches):
        return {
            name: np.mean([case.expected(y[name][i], y_pred[name][i]) for i in batches])
            for name, case in CASES.items()
        }

    means = expected([slice(0, 8), slice(8, 16), slice(16, 24)])
    options = {"batch_size": 8, "verbose": 0}
    history = model.fit(x, y, shuffle=False, **options).history
    evaluated = model.evaluate(x, y, return_dict=True, **options)
    whole = model.evaluate(x, y, return_dict=True, batch_size=24, verbose=0)
    for name, mean in means.items():
        assert history[f"{name}_loss"][0] == pytest.approx(mean, rel=1e-5)
        assert evaluated[f"{name}_loss"] == pytest.approx(mean, rel=1e-5)
        of_all = expected([slice(0, 24)])[name]
        assert whole[f"{name}_loss"] == pytest.approx(of_all, rel=1e-5)
    assert evaluated["loss"] == pytest.approx(sum(means.values()), rel=1e-5)


@pytest.mark.skipif(not XLA, reason="TensorFlow without XLA's headers")
def test_fit_compiled_by_xla():
    """As Keras does by default on a machine with a GPU; with weights and metrics."""
    x, y = _all_data()
    weight = inputs.weights(24)
    model = _all_models()
    recall, ndcg = metrics.RecallAtK(2, capacity=30), metrics.NDCG(3)
    model.compile(
        keras.optimizers.SGD(0.0),
        {name: case.make() for name, case in CASES.items()},
        metrics={"BatchTripletLoss": recall, "ListRankingLoss": [ndcg, metrics.PairwiseAccuracy()]},
        jit_compile=True,
    )
    weights = dict.fromkeys(CASES, weight)
    made = model.fit(x, y, sample_weight=weights, batch_size=24, verbose=0).history
    y_pred = model(x)
    y_pred["ListRankingLoss"] = y_pred["ListRankingLoss"][..., 0]
    for name, case in CASES.items():
        own = np.repeat(weight[:, None], L, 1) if case.weight == "item_weight" else weight
        expected = case.expected(y[name], y_pred[name], **{case.weight: own})
        assert made[f"{name}_loss"][0] == pytest.approx(float(expected), rel=1e-4), name
    name = "BatchTripletLoss"
    expected = _recall(y_pred[name].numpy(), y[name], 2)
    assert made[f"{name}_recall_at_2"][0] == pytest.approx(expected, rel=1e-6)
    name = "ListRankingLoss"
    expected = np.mean(_ndcg(y[name], y_pred[name], 3))
    assert made[f"{name}_ndcg_at_3"][0] == pytest.approx(expected, rel=1e-5)
    right, pairs = _pairs(y[name], y_pred[name])
    accuracy = made[f"{name}_pairwise_accuracy"][0]
    assert accuracy == pytest.approx(right.sum() / pairs.sum(), rel=1e-6)


def test_fit_without_targets():
    case = CASES["TripletLoss"]
    x, _ = _data(case)
    model = _model(case)
    model.compile(keras.optimizers.SGD(0.0), case.make())
    value = model.fit(x, batch_size=24, verbose=0).history["loss"][0]
    expected = case.expected(None, tf.constant(model.predict(x, verbose=0)))
    assert value == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("policy", ("mixed_bfloat16", "mixed_float16"))
def test_fit_trains(policy, monkeypatch):
    """The losses fall; the ops are given what the layers compute in, and gradients are finite."""
    x, y = _all_data()
    model = _all_models(policy)
    made = {name: case.make() for name, case in CASES.items()}
    optimizer = keras.optimizers.Adam(0.02)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**10)
    model.compile(optimizer, made)
    came = {}

    def spy(name, function):
        def spied(*args, **options):
            came.setdefault(name, set()).add(args[0].dtype.name)
            return function(*args, **options)

        return spied

    for name, loss in made.items():
        monkeypatch.setattr(loss, "_function", spy(name, loss._function))
    history = model.fit(x, y, batch_size=24, epochs=12, verbose=0).history
    assert came == {name: {policy.removeprefix("mixed_")} for name in CASES}
    for name in CASES:
        values = history[f"{name}_loss"]
        assert np.all(np.isfinite(values)) and values[-1] < 0.95 * values[0], name
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())
    if policy == "mixed_float16":
        assert float(optimizer.dynamic_scale) == 2.0**10  # no step was left out


def test_compile_wraps_the_optimizer_for_float16():
    """A scale that overflows is halved until the steps are finite, and the loss falls."""
    case = CASES["BatchTripletLoss"]
    x, y = _data(case)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = _model(case)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.Adam(0.03), case.make())
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    values = model.fit(x, y, batch_size=24, epochs=12, verbose=0).history["loss"]
    assert np.all(np.isfinite(values)) and values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("name", ("BatchTripletLoss", "InfoNCELoss", "ListRankingLoss"))
def test_run_eagerly_is_the_same(name):
    case = CASES[name]
    x, y = _data(case)
    values = []
    for eagerly in (False, True):
        model = _model(case)
        model.compile(keras.optimizers.SGD(0.1), case.make(), run_eagerly=eagerly)
        values.append(_steps(model, x, y))
    for a, b in zip(*values, strict=True):
        assert a == pytest.approx(b, rel=1e-6)


@pytest.mark.parametrize("reduction", ("mean", "sum_over_batch_size"))
def test_sample_and_class_weights_in_fit(reduction):
    case = CASES["BatchContrastiveLoss"]
    x, y = _data(case)
    weight = inputs.weights(24)
    model = _model(case)
    model.compile(keras.optimizers.SGD(0.0), case.make(reduction=reduction))
    y_pred = model.predict(x, verbose=0)
    options = {"batch_size": 24, "verbose": 0}
    classes = {0: 2.0, 1: 0.5, 3: 0.0}
    of_class = np.array([2.0, 0.5, 1.0, 0.0])[y]
    made = [
        model.fit(x, y, sample_weight=weight, **options).history["loss"][0],
        model.evaluate(x, y, sample_weight=weight, **options),
        model.fit(x, y, class_weight=classes, **options).history["loss"][0],
    ]
    for value, own in zip(made, (weight, weight, of_class), strict=True):
        loss = case.make(reduction=reduction)(y, y_pred, own)
        assert value == pytest.approx(float(loss), rel=1e-5)
        assert value != pytest.approx(float(case.make(reduction=reduction)(y, y_pred)), rel=1e-3)


def test_large_labels_in_fit():
    """Through Keras's data pipeline, in float32 they would be one class."""
    case = CASES["BatchContrastiveLoss"]
    x, y = _data(case)
    model = _model(case)
    model.compile(keras.optimizers.SGD(0.0), case.make(), metrics=[metrics.RecallAtK()])
    expected = model.evaluate(x, y, batch_size=24, verbose=0)
    for data in ((x, y + 2**53), tf.data.Dataset.from_tensors((x, y + 2**53))):
        data = (data,) if isinstance(data, tf.data.Dataset) else data
        assert model.evaluate(*data, verbose=0, return_dict=True) == pytest.approx(
            dict(zip(("loss", "recall_at_1"), expected, strict=True))
        )


@pytest.mark.parametrize("name", ("BatchContrastiveLoss", "InfoNCELoss"))
def test_global_batches_call_the_distributed_function(name, monkeypatch):
    """Its share is taken as it is; outside of replicas it is the plain loss."""
    from tf_pairwise.keras import _inputs

    case = CASES[name]
    y_true, y_pred = case.y()
    called = []

    def share(*args, **options):
        called.append(options)
        return getattr(tpw, case.function)(*args, **options) / 4.0

    distribute = types.ModuleType("tf_pairwise.distribute")
    setattr(distribute, case.function, share)
    monkeypatch.setitem(sys.modules, "tf_pairwise.distribute", distribute)
    loss = case.make(global_batch=True)
    assert float(loss(y_true, y_pred)) == float(case.expected(y_true, y_pred)) and not called
    monkeypatch.setattr(_inputs, "in_replica_of_several", lambda: True)
    monkeypatch.setattr(_inputs, "replicas", lambda: 2)
    assert float(loss(y_true, y_pred)) == float(case.expected(y_true, y_pred)) / 4.0
    assert len(called) == 1 and called[0]["reduction"] == "mean"
    plain = float(case.make()(y_true, y_pred))
    assert plain == float(case.expected(y_true, y_pred)) / 2.0 and len(called) == 1
    case.make(global_batch=True, reduction="mean_with_sample_weight")(y_true, y_pred)
    assert len(called) == 2 and called[1]["reduction"] == "sum"


# ---- the cross-batch memory ----


MEMORY = tuple(name for name in LABELLED)


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_the_references_by_hand(name):
    """Batches of several sizes through a ring that wraps, against a queue in NumPy."""
    case = CASES[name]
    memory = CrossBatchMemory(10, warmup=2)
    loss = case.make(memory=memory)
    function = tf.function(
        lambda y, x: _gradient(lambda x: loss(y, x), x),
        input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, D])],
        autograph=False,
    )
    past = np.zeros([0, D], np.float32), np.zeros([0], np.int32)
    for step, n in enumerate((4, 5, 3, 6, 12, 2)):
        x = tf.constant(inputs.points(n, D, seed=step))
        y = inputs.labels(n, 3, step)
        refs, ref_labels = past if step >= 2 else (past[0][:0], past[1][:0])
        made, made_gradient = function(y, x)

        def by_hand(x, y=y, refs=refs, ref_labels=ref_labels):
            return case.expected(
                *(y, x),
                ref_embeddings=tf.concat([x, refs], 0),
                ref_labels=np.concatenate([y, ref_labels]),
                self_offset=0,
            )

        expected, expected_gradient = _gradient(by_hand, x)
        assert_close(made, expected, 1e-6, f"step {step}")
        assert_close(made_gradient, expected_gradient, 1e-5, f"step {step}")
        past = tuple(np.concatenate([a, b])[-10:] for a, b in zip(past, (x, y), strict=True))
        assert (made != case.expected(y, x)) == (step >= 2)
    rows, labels = (np.asarray(column) for column in memory.read())
    order = np.lexsort(rows.T), np.lexsort(past[0].T)
    np.testing.assert_array_equal(rows[order[0]], past[0][order[1]])
    np.testing.assert_array_equal(labels[order[0]], past[1][order[1]])


def test_memory_is_left_alone_in_evaluation():
    case = CASES["BatchContrastiveLoss"]
    x, y = _data(case)
    model = _model(case)
    memory = CrossBatchMemory(96)
    model.compile(keras.optimizers.SGD(0.0), case.make(memory=memory))
    plain = _model(case)
    plain.compile(keras.optimizers.SGD(0.0), case.make())
    expected = plain.evaluate(x, y, batch_size=24, verbose=0)
    for _ in range(2):
        assert model.evaluate(x, y, batch_size=24, verbose=0) == expected
    first, second = (
        model.fit(x, y, batch_size=24, shuffle=False, verbose=0).history["loss"][0]
        for _ in range(2)
    )
    assert first == pytest.approx(expected, rel=1e-6)
    assert second != pytest.approx(expected, rel=1e-3)
    assert len(memory.read()[1]) == 48
    assert model.evaluate(x, y, batch_size=24, verbose=0) == expected
    assert len(memory.read()[1]) == 48
    memory.reset_state()
    assert len(memory.read()[1]) == 0
    again = model.fit(x, y, batch_size=24, shuffle=False, verbose=0).history["loss"][0]
    assert again == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "policy, eagerly",
    (("float32", True), ("mixed_bfloat16", False), ("mixed_float16", False)),
)
def test_memory_in_fit(policy, eagerly):
    case = CASES["BatchTripletLoss"]
    x, y = _data(case, 40)
    model = _model(case, policy)
    memory = CrossBatchMemory(30, warmup=1)
    model.compile(keras.optimizers.Adam(0.03), case.make(memory=memory), run_eagerly=eagerly)
    values = model.fit(x, y, batch_size=16, epochs=6, verbose=0).history["loss"]
    assert np.all(np.isfinite(values)) and values[-1] < values[0]
    embeddings, _ = memory.read()
    assert embeddings.dtype.name == policy.removeprefix("mixed_") and len(embeddings) == 30


def test_memory_of_masked_rows_and_weights():
    case = CASES["BatchContrastiveLoss"]
    memory = CrossBatchMemory(20)
    loss = case.make(memory=memory)
    y_true, y_pred = case.y()
    mask, weight = np.arange(N) % 4 != 1, inputs.weights(N)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        loss(y_true, _with_mask(y_pred, mask))
        made = loss(y_true, _with_mask(y_pred, mask), weight)
    refs = tf.concat([y_pred[mask], y_pred[mask]], 0)
    expected = tpw.batch_contrastive_loss(
        *(y_pred[mask], y_true[mask]),
        ref_embeddings=refs,
        ref_labels=np.tile(y_true[mask], 2),
        self_offset=0,
        sample_weight=weight[mask],
    )
    np.testing.assert_array_equal(made, expected)
    assert len(memory.read()[0]) == 2 * mask.sum()


def test_memory_by_hand():
    memory = CrossBatchMemory(5, dimensions=2)
    refs, labels = memory.read()
    assert refs.shape == [0, 2] and refs.dtype == tf.float32 and labels.dtype == tf.int64
    memory.write([[1.0, 2.0]], [[2**60]])
    refs, labels = memory.read()
    assert refs.numpy().tolist() == [[1.0, 2.0]] and labels.numpy().tolist() == [2**60]
    memory.write(tf.zeros([0, 2]), np.zeros([0], np.int8))
    memory.write(np.arange(14, dtype=np.float32).reshape(7, 2), np.arange(7))
    assert sorted(memory.read()[1].numpy()) == [2, 3, 4, 5, 6]
    with tf.GradientTape() as tape:
        x = tf.ones([1, 2])
        tape.watch(x)
        memory.write(x, [9])
        value = tf.reduce_sum(memory.read()[0])
    assert tape.gradient(value, x) is None
    half = CrossBatchMemory(5, dimensions=2, dtype="bfloat16")
    assert half.read()[0].dtype == tf.bfloat16


def test_memory_errors():
    for options, error, message in (
        ({"size": 0}, ValueError, "size: got 0, expected 1 or more"),
        ({"size": 2.0}, TypeError, "size: got 2.0, expected a Python integer"),
        ({"size": 4, "warmup": -1}, ValueError, "warmup: got -1"),
        ({"size": 4, "dimensions": "3"}, TypeError, "dimensions: got '3'"),
        ({"size": 4, "dtype": "int32"}, TypeError, "dtype: got int32"),
    ):
        with pytest.raises(error, match=message):
            CrossBatchMemory(**options)
    with pytest.raises(ValueError, match="memory: got one with global_batch=True"):
        losses.BatchContrastiveLoss(memory=CrossBatchMemory(4), global_batch=True)
    memory = CrossBatchMemory(4)
    with pytest.raises(ValueError, match="dimensions: got None, and nothing was written"):
        memory.read()
    unknown = tf.function(lambda x: memory.write(x, [1]), [tf.TensorSpec([1, None])])
    with pytest.raises(ValueError, match=r"dimensions: got None, and embeddings of shape \(1, N"):
        unknown(tf.ones([1, 3]))
    memory.write(tf.ones([1, 3]), [1])
    with pytest.raises(ValueError, match=r"embeddings: got shape \(1, 2\), expected \[n, 3\]"):
        memory.write(tf.ones([1, 2]), [1])
    with pytest.raises(TypeError, match="embeddings: got float16, expected float32"):
        memory.write(tf.ones([1, 3], tf.float16), [1])
    with pytest.raises(TypeError, match="labels: got float32"):
        memory.write(tf.ones([1, 3]), [1.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels: got shape \[1, 2\].*argmax"):
        memory.write(tf.ones([1, 3]), [[1, 2]])
    loss = losses.BatchContrastiveLoss(memory=CrossBatchMemory(4))
    step = tf.function(
        lambda y, x: _gradient(lambda x: loss(y, x), x), jit_compile=True, autograph=False
    )
    with pytest.raises(RuntimeError, match="CrossBatchMemory: used under XLA.*jit_compile=False"):
        step(tf.constant([1, 1]), tf.ones([2, 3]))


# ---- metrics ----


def _distances(x, metric):
    x = np.asarray(x, np.float64)
    if metric == "dot":
        return -x @ x.T
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return 1.0 - x @ x.T
    difference = x[:, None] - x[None]
    if metric == "manhattan":
        return np.abs(difference).sum(-1)
    if metric == "chebyshev":
        return np.abs(difference).max(-1)
    return (difference**2).sum(-1)


def _order(x, i, metric):
    """The others by their distance to i, ties by the lower index."""
    order = np.argsort(_distances(x, metric)[i], kind="stable")
    return order[order != i]


def _recall(x, labels, k, metric="euclidean", weight=None):
    values, weights = [], []
    for i in range(len(labels)):
        if np.sum(labels == labels[i]) > 1:
            values.append(np.any(labels[_order(x, i, metric)[:k]] == labels[i]))
            weights.append(1.0 if weight is None else weight[i])
    return np.average(values, weights=weights) if np.sum(weights) else 0.0


def _map_at_r(x, labels, metric="euclidean", weight=None):
    values, weights = [], []
    for i in range(len(labels)):
        r = np.sum(labels == labels[i]) - 1
        if r:
            hits = labels[_order(x, i, metric)[:r]] == labels[i]
            precision = np.cumsum(hits) / np.arange(1, r + 1)
            values.append(np.sum(precision * hits) / r)
            weights.append(1.0 if weight is None else weight[i])
    return np.average(values, weights=weights) if np.sum(weights) else 0.0


def _batches(*arrays, sizes=(7, 1, 0, 13, 9)):
    start = 0
    for size in sizes:
        yield tuple(a[start : start + size] for a in arrays)
        start += size
    yield tuple(a[start:] for a in arrays)


@pytest.mark.parametrize("metric", inputs.METRICS)
def test_retrieval_metrics(metric):
    """In uneven batches, weighted or not; classes of one, two and many."""
    n = 60
    x = inputs.points(n, 6)
    labels = np.random.default_rng(3).integers(0, 12, n)
    labels[:3] = 100, 101, 102
    weight = inputs.weights(n)
    cases = [(metrics.RecallAtK(k, metric=metric), _recall, (k,)) for k in (1, 3, 100)]
    cases.append((metrics.MeanAveragePrecisionAtR(metric=metric), _map_at_r, ()))
    for made, oracle, args in cases:
        for own in (None, weight):
            made.reset_state()
            columns = (labels, x) if own is None else (labels, x, own)
            for batch in _batches(*columns):
                made.update_state(*batch)
            expected = oracle(x, labels, *args, metric=metric, weight=own)
            assert float(made.result()) == pytest.approx(expected, rel=1e-6), (args, own is None)


@given(
    labels=st.lists(st.integers(-2, 3), max_size=14),
    seed=st.integers(0, 10),
    k=st.integers(1, 5),
    metric=st.sampled_from(("euclidean", "dot")),
)
def test_retrieval_metrics_of_ties_and_duplicates(labels, seed, k, metric):
    """Points on a grid: many distances are equal, and many points the same."""
    labels = np.array(labels, np.int64)
    x = np.random.default_rng(seed).integers(0, 3, [len(labels), 2]).astype(np.float32)
    recall = metrics.RecallAtK(k, metric=metric)
    map_at_r = metrics.MeanAveragePrecisionAtR(metric=metric)
    for made in (recall, map_at_r):
        made.update_state(labels, x)
    assert float(recall.result()) == pytest.approx(_recall(x, labels, k, metric), rel=1e-6)
    assert float(map_at_r.result()) == pytest.approx(_map_at_r(x, labels, metric), rel=1e-6)


def test_queries_in_pieces(monkeypatch):
    """What does not fit at once is searched for in pieces, with the same result."""
    from tf_pairwise.keras.metrics import retrieval as module

    x, labels = inputs.batch(50, 4, 3)
    expected = _map_at_r(x, labels)
    for numbers in (1, 40, 200):
        monkeypatch.setattr(module, "_NEIGHBORS", numbers)
        made = metrics.MeanAveragePrecisionAtR()
        made.update_state(labels, x)
        assert float(made.result()) == pytest.approx(expected, rel=1e-6)


def test_retrieval_metrics_with_nothing_to_count():
    for made in (metrics.RecallAtK(), metrics.MeanAveragePrecisionAtR(capacity=8)):
        assert float(made.result()) == 0.0
        made.update_state(np.zeros([0], np.int32), np.zeros([0, 3], np.float32))
        assert float(made.result()) == 0.0
        made.update_state([5], np.ones([1, 3], np.float32))
        assert float(made.result()) == 0.0
        made.update_state([6, 7], np.diag([2.0, 3.0, 4.0])[:2].astype(np.float32))
        assert float(made.result()) == 0.0
        made.update_state([6], np.float32([[2.0, 0.0, 0.0]]), sample_weight=[0.0])
        assert float(made.result()) == 1.0
        made.reset_state()
        assert float(made.result()) == 0.0


def test_a_nan_finds_nothing():
    x = np.array([[0.0], [np.nan], [0.1], [5.0]], np.float32)
    made = metrics.RecallAtK(3)
    made.update_state([0, 0, 1, 1], x)
    assert float(made.result()) == 0.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("capacity", (None, 64))
def test_retrieval_metrics_keep_the_dtype(dtype, capacity):
    x, labels = inputs.batch(40, 5, 6)
    x = tf.cast(x, dtype)
    made = metrics.RecallAtK(1, capacity=capacity)
    for y, batch in _batches(labels, x):
        made.update_state(y, batch)
    assert made._rows.read()[0].dtype == x.dtype
    assert float(made.result()) == pytest.approx(_recall(tf.cast(x, tf.float64), labels, 1))


@pytest.mark.parametrize("kind", ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"))
def test_retrieval_metrics_take_any_integers(kind):
    x, labels = inputs.batch(30, 5, 6)
    big = np.iinfo(kind).max - 10 if kind != "uint64" else 2**63 + 5
    made = metrics.RecallAtK(1)
    made.update_state((labels.astype(kind) + np.asarray(big, kind))[:, None], x)
    assert float(made.result()) == pytest.approx(_recall(x, labels, 1))
    with pytest.raises(TypeError, match="y_true: got float32"):
        made.update_state(labels.astype(np.float32), x)


def test_capacity_keeps_the_latest():
    x, labels = inputs.batch(40, 5, 4)
    made = metrics.RecallAtK(2, capacity=17)
    for y, batch in _batches(labels, x):
        made.update_state(y, batch)
    # In the ring's order, which decides among equal distances alone.
    assert float(made.result()) == pytest.approx(_recall(x[-17:], labels[-17:], 2), rel=1e-6)
    made.reset_state()
    made.update_state(labels, x)  # more than there is room for
    assert float(made.result()) == pytest.approx(_recall(x[-17:], labels[-17:], 2), rel=1e-6)


def test_updates_in_graphs_and_with_xla():
    x, labels = inputs.batch(40, 5, 4)
    labels = labels.astype(np.int64)
    specs = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 5], tf.float32)]
    for options, xla in (({}, False), ({"capacity": 32}, False), ({"capacity": 32}, True)):
        made = metrics.MeanAveragePrecisionAtR(**options)
        update = tf.function(
            lambda y, x, made=made: (made.update_state(y, x), made.result())[1],
            input_signature=specs,
            jit_compile=xla,
            autograph=False,
        )
        for batch in _batches(labels, x):
            assert math.isnan(float(update(*batch)))  # not computed in the graph
        kept = slice(0 if not options else -32, None)
        expected = pytest.approx(_map_at_r(x[kept], labels[kept]), rel=1e-6)
        assert float(made.result()) == expected
        assert float(update(labels[:0], x[:0])) == expected  # what was computed last
        made.reset_state()
        assert math.isnan(float(update(labels[:0], x[:0])))


def test_xla_without_a_capacity_is_an_error():
    made = metrics.RecallAtK()
    update = tf.function(made.update_state, jit_compile=True, autograph=False)
    with pytest.raises(RuntimeError, match="recall_at_1: compiled by XLA.*expected capacity=N"):
        update(tf.constant([1, 2]), tf.ones([2, 3]))


def test_retrieval_metrics_of_masked_rows():
    x, labels = inputs.batch(30, 5, 4)
    mask = np.arange(30) % 3 != 0
    made = metrics.RecallAtK(1)
    made.update_state(labels, _with_mask(tf.constant(x), mask))
    assert float(made.result()) == pytest.approx(_recall(x[mask], labels[mask], 1))


def test_metric_errors():
    for make, error, message in (
        (lambda: metrics.RecallAtK(0), ValueError, "k: got 0, expected 1 or more"),
        (lambda: metrics.RecallAtK(1.0), TypeError, "k: got 1.0, expected a Python integer"),
        (lambda: metrics.RecallAtK(metric="l2"), ValueError, "metric: got 'l2'"),
        (lambda: metrics.MeanAveragePrecisionAtR(capacity=0), ValueError, "capacity: got 0"),
        (lambda: metrics.NDCG(True), TypeError, "topn: got True"),
        (lambda: metrics.NDCG(-3), ValueError, "topn: got -3"),
    ):
        with pytest.raises(error, match=message):
            make()
    made = metrics.RecallAtK()
    made.update_state([1, 2], np.ones([2, 3], np.float32))
    with pytest.raises(TypeError, match="y_pred: got float16, expected float32 as in the batches"):
        made.update_state([1, 2], np.ones([2, 3], np.float16))
    with pytest.raises(ValueError, match=r"y_pred: got shape \(2, 4\), expected \[n, 3\]"):
        made.update_state([1, 2], np.ones([2, 4], np.float32))
    with pytest.raises(ValueError, match=r"y_pred: got shape \(2,\), expected \[n, d\]"):
        made.update_state([1, 2], np.ones([2], np.float32))
    with pytest.raises(ValueError, match=r"y_true: got shape \(2, 2\), expected"):
        made.update_state([[1, 2], [1, 2]], np.ones([2, 3], np.float32))
    ring = metrics.RecallAtK(capacity=4)
    update = tf.function(ring.update_state, autograph=False)
    with pytest.raises(ValueError, match="y_pred: got shape .*, expected a known last dimension"):
        update.get_concrete_function(tf.TensorSpec([2], tf.int32), tf.TensorSpec([2, None]))
    for made in (metrics.NDCG(), metrics.PairwiseAccuracy()):
        with pytest.raises(ValueError, match=r"y_pred: got shape \(2,\), expected \[B, L\]"):
            made.update_state([1, 2], np.ones([2], np.float32))
        with pytest.raises(TypeError, match="y_true: got None"):
            made.update_state(None, np.ones([2, 3], np.float32))
        with pytest.raises(TypeError, match="y_true, y_pred: got one RaggedTensor"):
            made.update_state(tf.ragged.constant([[1, 2]]), np.ones([1, 2], np.float32))


def _ndcg(relevance, scores, topn=None):
    """Of each list that has an ideal DCG."""
    values = []
    for y, s in zip(np.asarray(relevance), np.asarray(scores), strict=True):
        y, s = y[y >= 0], s[y >= 0]

        def dcg(order, y=y):
            gains = 2.0 ** y[order][:topn] - 1.0
            return np.sum(gains / np.log2(2.0 + np.arange(len(gains))))

        ideal = dcg(np.argsort(-y, kind="stable"))
        if ideal > 0:
            values.append(dcg(np.argsort(-s, kind="stable")) / ideal)
    return values


def _pairs(relevance, scores):
    """How many pairs are right, ties half, and how many there are, of each list."""
    right, pairs = [], []
    for y, s in zip(np.asarray(relevance), np.asarray(scores), strict=True):
        y, s = y[y >= 0], s[y >= 0].astype(np.float64)
        preferred = y[:, None] > y[None]
        difference = s[:, None] - s[None]
        right.append(np.sum(preferred * (0.5 + 0.5 * np.sign(difference))))
        pairs.append(np.sum(preferred))
    return np.array(right), np.array(pairs)


@given(
    seed=st.integers(0, 1000),
    length=st.integers(0, 9),
    topn=st.sampled_from((None, 1, 3)),
    dtype=st.sampled_from(DTYPES),
)
def test_ranking_metrics(seed, length, topn, dtype):
    """Tied scores, items that do not exist, lists without gain; in two batches."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-2, 3, [6, length]).astype(np.float64) / 4.0
    relevance = rng.integers(-1, 4, [6, length])
    relevance[0] = 0
    ndcg, accuracy = metrics.NDCG(topn), metrics.PairwiseAccuracy()
    for made in (ndcg, accuracy):
        for y, s in _batches(relevance, scores, sizes=(4,)):
            made.update_state(y, tf.cast(s, dtype))
    values = _ndcg(relevance, scores, topn)
    expected = np.mean(values) if values else 0.0
    assert float(ndcg.result()) == pytest.approx(expected, rel=1e-6)
    right, pairs = _pairs(relevance, scores)
    expected = right.sum() / pairs.sum() if pairs.sum() else 0.0
    assert float(accuracy.result()) == pytest.approx(expected, rel=1e-6)
    for made in (ndcg, accuracy):
        made.reset_state()
        assert float(made.result()) == 0.0


def test_ranking_metrics_with_weights_masks_and_ragged_lists():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=[5, 8]).astype(np.float32)
    relevance = rng.integers(0, 3, [5, 8])
    weight = np.array([2.0, 0.0, 1.0, 0.5, 3.0])
    mask = rng.uniform(size=[5, 8]) < 0.6
    masked = np.where(mask, relevance, -1)
    lengths = [8, 3, 0, 5, 1]
    ragged = [tf.RaggedTensor.from_tensor(x, lengths) for x in (relevance, scores)]
    cut = np.where(np.arange(8) < np.array(lengths)[:, None], relevance, -1)
    some = np.array([len(_ndcg(y[None], s[None])) > 0 for y, s in zip(cut, scores, strict=True)])
    for own in (None, weight, weight[:, None]):
        flat = np.ones(5) if own is None else weight
        for y, y_pred, seen, has in (
            (relevance, scores, relevance, slice(None)),
            (relevance, _with_mask(tf.constant(scores), mask), masked, slice(None)),
            (relevance, scores[..., None], relevance, slice(None)),
            (*ragged, cut, some),
        ):
            ndcg, accuracy = metrics.NDCG(), metrics.PairwiseAccuracy()
            ndcg.update_state(y, y_pred, own)
            accuracy.update_state(y, y_pred, own)
            expected = np.average(_ndcg(seen, scores), weights=flat[has])
            assert float(ndcg.result()) == pytest.approx(expected, rel=1e-6)
            right, pairs = _pairs(seen, scores)
            expected = np.sum(flat * right) / np.sum(flat * pairs)
            assert float(accuracy.result()) == pytest.approx(expected, rel=1e-6)
    accuracy = metrics.PairwiseAccuracy()
    of_items = rng.uniform(size=[5, 8])
    accuracy.update_state(relevance, scores, of_items)
    preferred = (relevance[:, :, None] > relevance[:, None]) * of_items[:, :, None]
    right = np.sum(preferred * (scores[:, :, None] > scores[:, None]))
    assert float(accuracy.result()) == pytest.approx(right / preferred.sum(), rel=1e-6)


def test_accuracy_sees_the_smallest_differences():
    """Of float32: a difference of one bit, and of the smallest normal number, is no tie."""
    tiny = np.finfo(np.float32).tiny
    scores = np.array([[1.0, np.nextafter(np.float32(1), 2)], [0.0, tiny], [3e38, -3e38]])
    made = metrics.PairwiseAccuracy()
    made.update_state([[0, 1], [0, 1], [1, 0]], scores.astype(np.float32))
    assert float(made.result()) == 1.0


def test_a_nan_score_is_seen():
    scores = np.array([[np.nan, 1.0, 0.5], [3.0, 2.0, 1.0]], np.float32)
    for make in (metrics.NDCG, metrics.PairwiseAccuracy):
        made = make()
        made.update_state([[1, 0, 0], [1, 0, 0]], scores)
        assert math.isnan(float(made.result()))
        made.reset_state()
        made.update_state([[-1, 0, 1], [1, 0, 0]], scores)  # the NaN does not exist
        assert math.isfinite(float(made.result()))


@pytest.mark.parametrize(
    "make, options",
    (
        (metrics.RecallAtK, dict(k=3, metric="cosine", capacity=9)),
        (metrics.MeanAveragePrecisionAtR, dict(metric="dot", capacity=9)),
        (metrics.NDCG, dict(topn=4)),
        (metrics.PairwiseAccuracy, {}),
    ),
)
def test_metric_config_round_trip(make, options):
    for own in ({}, {**options, "name": "a_metric", "dtype": "float64"}):
        made = make(**own)
        assert set(made.get_config()) == set(inspect.signature(make).parameters)
        config = json.loads(json.dumps(keras.metrics.serialize(made)))
        assert config["registered_name"] == f"tf_pairwise>{make.__name__}"
        again = keras.metrics.deserialize(config)
        assert type(again) is make and again.get_config() == made.get_config()
        for option, value in own.items():
            assert again.get_config()[option] == value, option
        assert again.result().dtype == own.get("dtype", "float32")


@pytest.mark.parametrize("policy, eagerly", (("float32", True), ("mixed_float16", False)))
def test_logs_have_the_exact_values(policy, eagerly):
    """fit's and evaluate's, of training (a rate of 0) and validation, in every epoch."""
    case = CASES["BatchTripletLoss"]
    x, y = _data(case, 40)
    model = _model(case, policy)
    measures = [metrics.RecallAtK(2), metrics.MeanAveragePrecisionAtR(capacity=64)]
    weighted = [metrics.RecallAtK(1, name="weighted")]
    weight = inputs.weights(40)
    model.compile(
        keras.optimizers.SGD(0.0),
        case.make(),
        metrics=measures,
        weighted_metrics=weighted,
        run_eagerly=eagerly,
    )
    embeddings = model.predict(x, verbose=0).astype(np.float64)

    def expected(rows):
        e, labels = embeddings[rows], y[rows]
        recall = _recall(e, labels, 1, weight=weight[rows])
        return [_recall(e, labels, 2), _map_at_r(e, labels), recall]

    names = ("recall_at_2", "mean_average_precision_at_r", "weighted")
    held_out = slice(20, 40)
    history = model.fit(
        *(x, y),
        sample_weight=weight,
        validation_data=(x[held_out], y[held_out], weight[held_out]),
        batch_size=16,
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history
    for name, whole, part in zip(names, expected(slice(None)), expected(held_out), strict=True):
        assert history[name] == pytest.approx([whole] * 2, rel=1e-6)
        assert history[f"val_{name}"] == pytest.approx([part] * 2, rel=1e-6)
    made = model.evaluate(x, y, sample_weight=weight, batch_size=7, verbose=0, return_dict=True)
    assert [made[name] for name in names] == pytest.approx(expected(slice(None)), rel=1e-6)


def test_docstring_examples():
    for name in ("RecallAtK", "MeanAveragePrecisionAtR", "NDCG", "PairwiseAccuracy"):
        make = getattr(metrics, name)
        test = doctest.DocTestParser().get_doctest(make.__doc__, {"tpw": tpw}, name, None, 0)
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0


# ---- the callback ----


def test_callback_feeds_the_callbacks_after_it(tmp_path):
    case = CASES["BatchTripletLoss"]
    x, y = _data(case, 40)
    model = _model(case)
    model.compile(keras.optimizers.Adam(0.03), case.make())
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            embeddings = self.model.predict(x, verbose=0)
            recall = _recall(embeddings, y, 1)
            assert logs["held_out_recall_at_1"] == pytest.approx(recall, rel=1e-6)
            map_at_r = _map_at_r(embeddings, y)
            name = "held_out_mean_average_precision_at_r"
            assert logs[name] == pytest.approx(map_at_r, rel=1e-6)
            seen.append(logs[name])

    follow = callbacks.EvaluateEmbeddings(
        x,
        y,
        [metrics.RecallAtK(), metrics.MeanAveragePrecisionAtR()],
        prefix="held_out_",
        batch_size=16,
    )
    monitor = {"monitor": "held_out_mean_average_precision_at_r", "mode": "max"}
    stop = keras.callbacks.EarlyStopping(**monitor, patience=1, min_delta=1.0)
    keep = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", **monitor, save_best_only=True, save_weights_only=True
    )
    history = model.fit(
        x, y, batch_size=20, epochs=9, verbose=0, callbacks=[follow, Seen(), stop, keep]
    ).history
    assert history["held_out_mean_average_precision_at_r"] == seen and len(seen) == 2
    assert (tmp_path / "best.weights.h5").exists()
    with pytest.raises(TypeError, match="metrics: got 'recall', expected"):
        callbacks.EvaluateEmbeddings(x, y, "recall")
    with pytest.raises(TypeError, match="metrics: got <class"):
        callbacks.EvaluateEmbeddings(x, y, [metrics.RecallAtK])


def test_callback_weights_and_ranking_metrics():
    case = CASES["ListRankingLoss"]
    x, y = _data(case)
    model = _model(case)
    model.compile("sgd", case.make())
    weight = inputs.weights(len(y))
    follow = callbacks.EvaluateEmbeddings(x, y, metrics.NDCG(), sample_weight=weight)
    history = model.fit(x, y, verbose=0, callbacks=[follow]).history
    expected = metrics.NDCG()
    expected.update_state(y, model.predict(x, verbose=0), weight)
    assert history["val_ndcg"] == pytest.approx([float(expected.result())])


# ---- several replicas, and the import ----


def test_two_replicas():
    """Keras's own training under a MirroredStrategy of two CPUs."""
    script = """
        import json, sys, types
        import numpy as np, tensorflow as tf, keras
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        import tf_pairwise as tpw
        assert "tf_pairwise.keras" not in sys.modules
        assert tpw.keras.losses.NTXentLoss.__name__ == "NTXentLoss"
        from tf_pairwise.keras import CrossBatchMemory, callbacks, losses, metrics

        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=[16, 6]).astype(np.float32), np.arange(16) % 4
        made = {}

        def model(loss, **options):
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.Input([6]), keras.layers.Dense(3)])
            model.compile(keras.optimizers.SGD(0.1), loss(), **options)
            return model

        def fit(loss, **options):
            one = model(loss, **options)
            weights = one.get_weights()[0]
            callback = callbacks.EvaluateEmbeddings(x, y, metrics.RecallAtK())
            history = one.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[callback])
            gradient = (weights - one.get_weights()[0]) / 0.1
            return history.history["loss"][0], weights, gradient, history.history["val_recall_at_1"]

        # The gradients of the replicas are added up: a mean is of half of each.
        for reduction in ("mean", "sum"):
            loss = lambda: losses.BatchContrastiveLoss(reduction=reduction)
            with strategy.scope():
                value, weights, gradient, recall = fit(loss)
            w = tf.constant(weights)
            share = 1.0 if reduction == "sum" else 0.5
            with tf.GradientTape() as tape:
                tape.watch(w)
                halves = [share * loss()(y[i], x[i] @ w) for i in (slice(0, 8), slice(8, 16))]
                total = halves[0] + halves[1]
            expected = tape.gradient(total, w).numpy()
            made[reduction] = [float(np.abs(gradient - expected).max()), float(value - total)]
            again = metrics.RecallAtK()
            again.update_state(y, x @ (weights - 0.1 * gradient))
            made[reduction].append(float(recall[0] - again.result()))

        # A global batch: the shares add up, and are not divided.
        shares = []
        def batch_contrastive_loss(*args, **options):
            shares.append(tf.distribute.get_replica_context().num_replicas_in_sync)
            return 0.25 * tpw.batch_contrastive_loss(*args, **options)
        distribute = types.ModuleType("tf_pairwise.distribute")
        distribute.batch_contrastive_loss = batch_contrastive_loss
        sys.modules["tf_pairwise.distribute"] = distribute
        with strategy.scope():
            value, weights, gradient, _ = fit(lambda: losses.BatchContrastiveLoss(
                global_batch=True, reduction="sum_over_batch_size"))
        sums = losses.BatchContrastiveLoss(reduction="sum")
        halves = [sums(y[i], x[i] @ weights) for i in (slice(0, 8), slice(8, 16))]
        made["global"] = float(value - 0.25 * sum(halves) / 16)
        made["shares"] = sorted(set(shares))

        with strategy.scope():
            for name, loss, options in (
                ("memory", lambda: losses.BatchContrastiveLoss(memory=CrossBatchMemory(8)), {}),
                ("recall", losses.BatchContrastiveLoss, {"metrics": [metrics.RecallAtK()]}),
            ):
                try:
                    fit(loss, **options)
                except RuntimeError as error:
                    made[name] = str(error)
            ranker = keras.Sequential([keras.Input([4, 6]), keras.layers.Dense(1)])
            measures = [metrics.NDCG(), metrics.PairwiseAccuracy()]
            ranker.compile("sgd", losses.ListRankingLoss(), metrics=measures)
        lists = rng.normal(size=[16, 4, 6]).astype(np.float32)
        relevance = rng.integers(0, 3, [16, 4])
        evaluated = ranker.evaluate(lists, relevance, batch_size=8, verbose=0, return_dict=True)
        scores = ranker.predict(lists, verbose=0)
        for measure in (metrics.NDCG(), metrics.PairwiseAccuracy()):
            measure.update_state(relevance, scores)
            made[measure.name] = evaluated[measure.name] - float(measure.result())
        print(json.dumps(made))
    """
    made = json.loads(_run(script))
    assert "CrossBatchMemory: used under a tf.distribute strategy of 2 replicas" in made["memory"]
    assert "recall_at_1: used under a tf.distribute strategy of 2 replicas" in made["recall"]
    assert "EvaluateEmbeddings" in made["recall"]
    assert made["shares"] == [2]
    assert made["mean"] == pytest.approx([0.0, 0.0, 0.0], abs=1e-5)
    assert made["global"] == pytest.approx(0.0, abs=1e-5)
    # Keras reports a "sum" times the number of replicas; its gradient is the sum's.
    assert made["sum"][0] == pytest.approx(0.0, abs=1e-4)
    assert made["ndcg"] == pytest.approx(0.0, abs=1e-6)
    assert made["pairwise_accuracy"] == pytest.approx(0.0, abs=1e-6)


def test_import_is_lazy():
    script = """
        import sys
        import tf_pairwise.numpy
        assert "keras" in dir(tf_pairwise) and "keras" not in tf_pairwise.__all__
        print({"tensorflow", "keras", "tf_pairwise.keras"} & set(sys.modules))
    """
    assert _run(script) == "set()"


def test_another_backend_is_an_error(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="Keras's backend is 'jax', expected 'tensorflow'"):
        importlib.reload(tpw.keras)

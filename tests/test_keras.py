"""tf_pairwise.keras against the functions, the reference, NumPy, and Keras's own training loop."""

import doctest
import inspect
import json
import math
import os
import subprocess
import sys
import textwrap
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import inputs
from tests.checks import DTYPES, LOSS_TOLERANCE, assert_close
from tf_pairwise import reference
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
    tensors |= {"mask", "reduction"}
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
        total = tpw.list_ranking_loss(
            scores, relevance, item_weight=item_weight, reduction="sum"
        )
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


@pytest.mark.parametrize("name", (*LABELLED, "ContrastiveLoss"))
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
    masked = _with_mask(y_pred, mask)
    for reduction in ("mean", "mean_nonzero", "sum"):
        loss = case.make(reduction=reduction)
        for sample_weight, own in ((None, None), (weight, weight[mask])):
            expected = case.expected(kept, shorter, reduction=reduction, sample_weight=own)
            assert_close(loss(y_true, masked, sample_weight), expected, 1e-12)
    values = case.make(reduction="none")(y_true, masked, weight)
    np.testing.assert_array_equal(values[~mask], 0.0)
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
        loss = losses.ListRankingLoss(**options)
        np.testing.assert_array_equal(loss(y_true, _with_mask(y_pred, mask)), expected)
        wide = _with_mask(y_pred[..., None], mask)
        np.testing.assert_array_equal(loss(y_true, wide), expected)
    lists = np.array([True, False, True, True])
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
        function = tf.function(case.make(), autograph=False)
        unknown = function.get_concrete_function(y_true, tf.TensorSpec(None, tf.float32))
        args = (wrong,) if y_true is None else (tf.constant(y_true), wrong)
        with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.OpError)):
            unknown(*args[-1:])


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

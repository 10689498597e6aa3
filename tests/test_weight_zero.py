"""Weight 0, of all losses: a row of weight 0 does not exist, whatever is in it.

Padded batches are marked so. A row is a pair, a triplet, an anchor held against references, a
query held against keys, a pair of scores or a list. Of a batch against itself, a point's weight is
that of its row as an anchor; to the other rows it is a reference all the same.
"""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, checks
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

BAD = ("nan", "inf", "-inf", "largest")  # which overflows where it is left out too late

SMALL = calls.table(n=70, m=85, d=9, classes=7, lists=9, length=8)


def losses(which):
    names = calls.one_of_each(lambda call: call.reduction is not None and which(call))
    return {name: SMALL[name] for name in names}


def with_reductions(which):
    cases = [(c, r) for c in losses(which).values() for r in calls.REDUCTIONS[c.function]]
    ids = [f"{call.name.removesuffix(call.reduction).strip()}-{r}" for call, r in cases]
    return pytest.mark.parametrize("call, reduction", cases, ids=ids)


own_rows = with_reductions(lambda call: call.own)
every_loss = with_reductions(lambda call: True)


def weights_of(call):
    """Weights, and which rows have none."""
    weights = np.random.default_rng(5).uniform(0.5, 2.0, call.weights_shape).astype(np.float32)
    zero = np.arange(len(weights)) % 5 == 2
    weights[zero] = 0.0
    return {call.weight: weights}, zero


def spoilt(arrays, rows, bad, which=None):
    """The points with `bad` in some rows of all of them, or of those that are named."""
    arrays = {name: np.array(x) if np.ndim(x) else x for name, x in arrays.items()}
    for name in arrays if which is None else which:
        if np.ndim(arrays[name]):
            largest = tf.as_dtype(arrays[name].dtype).max
            arrays[name][rows] = largest if bad == "largest" else float(bad)
    return arrays.values()


def named(call, dtype):
    return dict(zip(call.points, call.arrays(dtype), strict=True))


def assert_no_effect(call, made, expected, zero, dtype):
    """The same numbers, and no gradient where there is no row."""
    for name, a, b in zip(["value", *call.points], made, expected, strict=True):
        a, b = (np.asarray(x).astype(np.float64) for x in (a, b))
        assert np.all(np.isfinite(b)), name
        if call.function in ("batch_triplet_loss", "batch_contrastive_loss"):
            # Distances are made about a centre of all points, and round with it.
            tolerance = checks.LOSS_TOLERANCE if name == "value" else checks.STORED_TOLERANCE
            checks.assert_close(a, b, 2 * tolerance[dtype], name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)
        if name in call.own or b.ndim and name == "value":
            assert not np.any(a[zero]), name


@own_rows
@pytest.mark.parametrize("bad", BAD)
def test_what_is_in_it_has_no_effect(call, reduction, bad):
    changed, zero = weights_of(call)
    changed["reduction"] = reduction
    for dtype in checks.DTYPES:
        arrays = named(call, dtype)
        expected = calls.run_numpy(call, arrays.values(), **changed)
        made = calls.run_numpy(call, spoilt(arrays, zero, bad, call.own), **changed)
        assert_no_effect(call, made, expected, zero, dtype)


@own_rows
def test_it_has_none_in_the_reference(call, reduction):
    changed, zero = weights_of(call)
    changed["reduction"] = reduction
    arrays = named(call, "float64")
    expected = calls.run(reference, call, [*map(tf.constant, arrays.values())], **changed)
    for bad in ("nan", "inf"):
        points = spoilt(arrays, zero, bad, call.own)
        made = calls.run(reference, call, [*map(tf.constant, points)], **changed)
        assert_no_effect(call, made, expected, zero, "float64")


@own_rows
def test_nor_on_what_is_counted_and_on_gradients_of_their_own(call, reduction):
    """In a graph: the op's last output, and gradients made without the loss, for any upstream."""
    changed, zero = weights_of(call)

    @tf.function(autograph=False)
    def graph(*points):
        value = call(tpw, *points, reduction=reduction, **changed)
        upstream = tf.cast(tf.range(tf.size(value)) % 5 - 2, value.dtype)
        gradients = tf.gradients(value, points, tf.reshape(upstream, value.shape))
        (op,) = [
            op
            for op in tf.compat.v1.get_default_graph().get_operations()
            if op.type == f"TfPairwise>{call.op}"
        ]
        return op.outputs[-1], value, *gradients

    points = call.tensors("float32")
    counted, *expected = graph(*points)
    arrays = {name: x.numpy() for name, x in zip(call.points, points, strict=True)}
    for bad in BAD:
        made_counted, *made = graph(*map(tf.constant, spoilt(arrays, zero, bad, call.own)))
        np.testing.assert_array_equal(made_counted, counted)
        assert_no_effect(call, made, expected, zero, "float32")


@own_rows
def test_nor_has_its_label(call, reduction):
    """Or relevance, or mask."""
    changed, zero = weights_of(call)
    changed["reduction"] = reduction
    for name in {*call.rows} - {*call.points}:
        changed[name] = call.options[name].copy()
        changed[name][zero] = ~changed[name][zero] if name == "mask" else 1000
    arrays = call.arrays("float64")
    made = calls.run_numpy(call, arrays, **changed)
    original = {name: call.options[name] for name in call.rows if name in call.options}
    expected = calls.run_numpy(call, arrays, **{**changed, **original})
    for a, b in zip(made, expected, strict=True):
        checks.assert_close(a, b, 1e-12)


@with_reductions(lambda call: call.own and call.op != "SoftmaxLoss" or "ref" in call.name)
def test_a_batch_without_it_is_the_same(call, reduction):
    changed, zero = weights_of(call)
    if "self_offset" in call.options:  # which would be another one of each anchor
        changed["self_offset"] = None
    arrays = named(call, "float64")
    expected = calls.run_numpy(call, arrays.values(), reduction=reduction, **changed)
    fewer = {name: call.options[name][~zero] for name in call.rows if name in call.options}
    fewer[call.weight] = changed[call.weight][~zero]
    kept = {name: x[~zero] if name in call.own else x for name, x in arrays.items()}
    made = calls.run_numpy(call, kept.values(), reduction=reduction, **{**changed, **fewer})
    for name, a, b in zip(["value", *call.points], made, expected, strict=True):
        b = b[~zero] if name in call.own or np.ndim(b) and name == "value" else b
        checks.assert_close(a, b, 1e-12, name)


@every_loss
def test_without_any_weight_there_is_nothing(call, reduction):
    """Whatever is in all of its points: 0, with gradient 0."""
    none = {call.weight: np.zeros(call.weights_shape)}
    for bad in BAD:
        for dtype in ("float32", "float64"):
            arrays = spoilt(named(call, dtype), slice(None), bad)
            for a in calls.run_numpy(call, arrays, reduction=reduction, **none):
                assert not np.any(a), bad


SHARED = losses(lambda call: call.rows and not call.own)


@pytest.mark.parametrize("call", SHARED.values(), ids=SHARED)
@pytest.mark.parametrize("bad", ("nan", "inf"))
def test_of_a_batch_against_itself(call, bad):
    """The row does not exist; to the other rows its point does."""
    changed, zero = weights_of(call)
    arrays = spoilt(named(call, "float32"), zero, bad, list(call.points)[:1])
    value = calls.run_numpy(call, arrays, reduction="none", **changed)[0]
    np.testing.assert_array_equal(value[zero], 0.0)
    assert np.all(np.isnan(value[~zero]))


@pytest.mark.parametrize("loss", ("logistic", "hinge", "soft_zero_one"))
@pytest.mark.parametrize("reduction", calls.REDUCTIONS["list_ranking_loss"])
def test_of_the_most_relevant_item_of_a_list(reduction, loss):
    """It is preferred in all pairs that it is in, and so they have its weight."""
    call = SMALL["list_ranking_loss hinge none"]
    relevance = call.options["relevance"].copy()
    relevance[:, 3] = 9.0
    weights = np.ones_like(relevance)
    weights[:, 3] = 0.0
    changed = dict(relevance=relevance, item_weight=weights, loss=loss, reduction=reduction)
    scores = named(call, "float32")
    for lambda_weight in (None, "label_diff"):
        changed |= dict(lambda_weight=lambda_weight, mask=None)
        expected = calls.run_numpy(call, scores.values(), **changed)
        for bad in BAD:
            made = calls.run_numpy(call, spoilt(scores, (slice(None), 3), bad), **changed)
            for a, b in zip(made, expected, strict=True):
                checks.assert_close(a, b, 1e-6, bad)
            assert not np.any(made[1][:, 3])


@pytest.mark.parametrize("loss", ("logistic", "hinge", "soft_zero_one"))
@pytest.mark.parametrize("reduction", calls.REDUCTIONS["list_ranking_loss"])
def test_of_an_item_that_is_in_no_pair_of_any_weight(reduction, loss):
    """The least relevant items have a weight, and are preferred to none."""
    relevance = np.array([[2.0, 1.0, 0.0, 0.0], [0.0, 3.0, 1.0, 0.0]], np.float32)
    scores = np.array([[0.5, np.nan, np.nan, 1.0], [np.inf, 1.0, np.nan, 2.0]], np.float32)
    options = dict(loss=loss, item_weight=1.0 * (relevance == 0.0), reduction=reduction)
    for api in (tpw, reference):
        value, (gradient,) = checks.value_and_gradients(
            lambda s, api=api: api.list_ranking_loss(s, relevance, **options), [scores]
        )
        assert not np.any(value) and not np.any(gradient)
    made = tpn.list_ranking_loss(scores, relevance, with_gradient=True, **options)
    assert not any(map(np.any, made))


def test_weights_that_cancel_are_weights():
    scores = np.array([[np.nan, 1.0, 2.0]], np.float32)
    relevance = np.array([[2.0, 2.0, 0.0]], np.float32)
    weights = np.array([[1.0, -1.0, 0.0]])
    for api in (tpw, tpn, reference):
        assert np.isnan(api.list_ranking_loss(scores, relevance, item_weight=weights))

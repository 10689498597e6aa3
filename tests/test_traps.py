"""What people who come from elsewhere get wrong, and what they are told."""

import copy
import inspect
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

N, D = 8, 4
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
LABELS = np.arange(N) % 3
ONE_HOT = np.eye(3, dtype=np.int64)[LABELS]
BATCH = {
    "batch_triplet_loss": "BatchTripletLoss",
    "batch_contrastive_loss": "BatchContrastiveLoss",
    "supervised_contrastive_loss": "SupervisedContrastiveLoss",
    "nt_xent_loss": "NTXentLoss",
}


# ---- a function where Keras wants the class ----


@pytest.mark.parametrize("name", [*BATCH, "list_ranking_loss"])
def test_a_function_in_compile_names_the_class(name):
    y = np.random.default_rng(1).integers(0, 3, (N, D)) if name == "list_ranking_loss" else LABELS
    model = keras.Sequential([keras.Input([D]), keras.layers.Dense(D)])
    model.compile("sgd", getattr(tpw, name))
    wanted = BATCH.get(name, "ListRankingLoss")
    with pytest.raises(TypeError, match=f"tf_pairwise.keras.losses.{wanted}"):
        model.fit(X, y, verbose=0)
    model.compile("sgd", getattr(tpw.keras.losses, wanted)())
    model.fit(X, y, verbose=0)


def test_a_relevance_may_be_watched_with_the_scores():
    scores, relevance = tf.constant(X), tf.constant(X[::-1].copy())
    with tf.GradientTape() as tape:
        tape.watch([scores, relevance])
        loss = tpw.list_ranking_loss(scores, relevance)
    assert tape.gradient(loss, scores) is not None


# ---- one-hot labels ----


@pytest.mark.parametrize("name", [*BATCH, "mine_triplets"])
@pytest.mark.parametrize("api", [tpw, tpn, reference], ids=["tensorflow", "numpy", "reference"])
def test_one_hot_labels_say_argmax(name, api):
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as raised:
        getattr(api, name)(X, ONE_HOT)
    assert "labels: got shape" in str(raised.value) and "argmax" in str(raised.value)


def test_one_hot_labels_in_a_graph():
    traced = tf.function(lambda x, y: tpw.batch_triplet_loss(x, y))
    with pytest.raises(ValueError, match=r"labels: got shape \[8, 3\], expected \[n\].*argmax"):
        traced(X, ONE_HOT)


@pytest.mark.parametrize("name", BATCH.values())
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_one_hot_labels_in_keras(name, dtype):
    loss = getattr(tpw.keras.losses, name)()
    with pytest.raises(ValueError, match=r"y_true: got shape \(8, 3\), expected \[n\].*argmax"):
        loss(tf.constant(ONE_HOT, dtype), tf.constant(X))


def test_one_hot_labels_in_a_metric():
    with pytest.raises(ValueError, match="argmax"):
        tpw.keras.metrics.RecallAtK(1).update_state(ONE_HOT, X)


# ---- lists for pairs ----


def test_lists_are_not_pairs():
    loss = tpw.keras.losses.PairwiseRankingLoss()
    with pytest.raises(ValueError, match=r"y_pred: got shape \(8, 4\).*ListRankingLoss"):
        loss(None, tf.constant(X))
    pairs, varies = tf.constant(X[:, :2]), np.tile([0, 1], (N, 1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="ListRankingLoss"):
        loss(varies, pairs)
    with pytest.raises(tf.errors.InvalidArgumentError, match="ListRankingLoss"):
        tf.function(loss)(varies, pairs)
    expected = loss(None, pairs)
    for y_true in (np.ones([N, 2]), np.zeros(N), np.ones([N, 1])):
        assert loss(y_true, pairs) == expected
        assert tf.function(loss)(y_true, pairs) == expected


# ---- positions and names ----


@pytest.mark.parametrize("api", [tpw, tpn, reference], ids=["tensorflow", "numpy", "reference"])
def test_mine_triplets_takes_what_batch_triplet_loss_takes(api):
    mined, loss = (
        inspect.signature(f).parameters for f in (api.mine_triplets, api.batch_triplet_loss)
    )
    shared = [name for name in loss if name in mined]
    assert list(mined) == shared
    for name in mined:
        assert (mined[name].kind, mined[name].default) == (loss[name].kind, loss[name].default)
    for function in (api.mine_triplets, api.batch_triplet_loss):
        with pytest.raises(TypeError, match="margin: got 'hard', expected a number.*mining='hard'"):
            function(X, LABELS, "hard")


@pytest.mark.parametrize(
    "word, meant",
    {
        "l2": "euclidean",
        "L1": "manhattan",
        "sqeuclidean": "squared_euclidean",
        "cityblock": "manhattan",
        "inner_product": "dot",
        "eucledian": "euclidean",
        "Cosine": "cosine",
        "linf": "chebyshev",
    }.items(),
)
@pytest.mark.parametrize("api", [tpw, tpn, reference], ids=["tensorflow", "numpy", "reference"])
def test_did_you_mean(api, word, meant):
    with pytest.raises(ValueError, match=f"metric: got '{word}', .*; did you mean '{meant}'\\?"):
        api.pairwise_distance(X, X, word)


def test_did_you_mean_other_names():
    for mining, meant in (
        ("batch_hard", "hard"),
        ("semihard", "semi_hard"),
        ("semi-hard", "semi_hard"),
    ):
        with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
            tpw.batch_triplet_loss(X, LABELS, mining=mining)
    with pytest.raises(ValueError, match="expected one of none, sum, mean, mean_nonzero$"):
        tpw.triplet_loss(X, X, X, reduction="xyz")


def test_a_star_import_leaves_numpy_and_keras_alone():
    scope = {"numpy": 1, "keras": 2}
    exec("from tf_pairwise import *", scope)
    assert scope["numpy"] == 1 and scope["keras"] == 2
    assert scope["pairwise_distance"] is tpw.pairwise_distance
    assert {"numpy", "keras", "reference", "pairwise_distance"} <= set(dir(tpw))


# ---- copies ----


def _made():
    losses, metrics = tpw.keras.losses, tpw.keras.metrics
    for name in losses.__all__:
        options = {"scale": 10.0, "bias": -10.0} if name.startswith("Sigmoid") else {}
        yield getattr(losses, name)(**options)
    yield metrics.RecallAtK(3, capacity=20)
    yield metrics.MeanAveragePrecisionAtR()
    yield metrics.NDCG(5)
    yield metrics.PairwiseAccuracy()


def _arguments(made):
    rng = np.random.default_rng(2)
    if made.name.startswith(("ndcg", "pairwise_accuracy", "list_ranking")):
        return rng.integers(0, 3, (N, 4)), rng.normal(size=(N, 4)).astype(np.float32)
    shape = getattr(made, "stacked", "[n, d]")
    sizes = {"[n, d]": (N, D), "[n, 2, d]": (N, 2, D), "[n, 3, d]": (N, 3, D), "[n, 2]": (N, 2)}
    y_true = LABELS % 2 if made.name.startswith("contrastive") else LABELS
    return y_true, rng.normal(size=sizes[shape]).astype(np.float32)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("made", list(_made()), ids=lambda made: type(made).__name__)
def test_copies_do_the_same(made, again):
    y_true, y_pred = _arguments(made)
    if isinstance(made, keras.losses.Loss):
        assert again(made)(y_true, y_pred) == made(y_true, y_pred)
        return
    made.update_state(y_true, y_pred)
    expected = float(made.result())
    fresh = again(made)  # which has seen nothing, as Keras's own
    assert fresh.get_config() == made.get_config()
    fresh.update_state(y_true, y_pred)
    assert float(fresh.result()) == expected
    made.reset_state()


# ---- data ----


@pytest.mark.parametrize("name", ["balanced_batches", "pairs", "triplets"])
def test_what_data_needs_has_no_default(name):
    function = getattr(tpw.data, name)
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional if p.default is not p.empty] == []
    with pytest.raises(TypeError, match="missing .* required .*'labels'"):
        function(X)
    with pytest.raises(TypeError, match=f"missing .* required .*'{positional[-1].name}'"):
        function(X, LABELS)


@pytest.mark.parametrize("name", ["balanced_batches", "pairs", "triplets"])
def test_one_hot_labels_in_data(name):
    options = (2, 2) if name == "balanced_batches" else (4,)
    with pytest.raises(ValueError, match=r"labels: got the shape \(8, 3\), .*argmax"):
        getattr(tpw.data, name)(X, ONE_HOT, *options)

"""A function in its layers: names of the arguments, their order and defaults.

`tf_pairwise`, `tf_pairwise.reference`, `.numpy`, `.distribute` and `.keras.losses` take the same
arguments, but for those that one of them adds or has no use for.
"""

import inspect

import pytest

import tf_pairwise as tpw
from tests import calls
from tf_pairwise import distribute, reference
from tf_pairwise import numpy as tpn
from tf_pairwise.keras import losses

# Which a replica makes itself, of all replicas' rows.
REFERENCES = ("ref_embeddings", "ref_labels", "self_offset", "positive_offset")
OF_NUMPY = ("row_splits", "with_gradient", "threads")
OF_KERAS = ("memory", "global_batch", "reduction", "name", "dtype")
# What comes with a call of a Keras loss, in y_true, y_pred, sample_weight and masks.
TENSORS = {*REFERENCES, "sample_weight", "item_weight", "mask", "labels", "relevance"}
CLASSES = {
    "BatchContrastiveLoss": "batch_contrastive_loss",
    "BatchTripletLoss": "batch_triplet_loss",
    "ContrastiveLoss": "contrastive_loss",
    "InfoNCELoss": "info_nce_loss",
    "ListRankingLoss": "list_ranking_loss",
    "NTXentLoss": "nt_xent_loss",
    "PairwiseRankingLoss": "pairwise_ranking_loss",
    "SigmoidContrastiveLoss": "sigmoid_contrastive_loss",
    "SupervisedContrastiveLoss": "supervised_contrastive_loss",
    "TripletLoss": "triplet_loss",
}
DISTRIBUTED = (
    *("batch_contrastive_loss", "batch_triplet_loss", "info_nce_loss", "nt_xent_loss"),
    *("sigmoid_contrastive_loss", "supervised_contrastive_loss"),
)


def parameters(function, but=()):
    """[(name, kind, default)]"""
    return [
        (p.name, p.kind, p.default)
        for p in inspect.signature(function).parameters.values()
        if p.name not in but
    ]


def test_every_layer_has_its_functions():
    public = {name for name in tpw.__all__ if callable(getattr(tpw, name))}
    assert public == set(calls.FUNCTIONS) == set(reference.__all__)
    gradients = {"pairwise_distance_gradient", "paired_distance_gradient"}
    assert set(tpn.__all__) == public | gradients
    functions = inspect.getmembers(distribute, inspect.isfunction)
    assert {name for name, _ in functions if name[0] != "_"} == set(DISTRIBUTED)
    assert set(CLASSES.values()) == {name for name in public if name.endswith("_loss")}
    classes = inspect.getmembers(losses, inspect.isclass)
    assert {name for name, _ in classes if name.endswith("Loss") and name[0] != "_"} == {*CLASSES}


@pytest.mark.parametrize("name", calls.FUNCTIONS)
def test_reference(name):
    assert parameters(getattr(reference, name)) == parameters(getattr(tpw, name))


@pytest.mark.parametrize("name", calls.FUNCTIONS)
def test_numpy(name):
    made = parameters(getattr(tpn, name))
    assert made[-1][0] == "threads" and made[-1][2] is None
    gradient = [p[1:] for p in made if p[0] == "with_gradient"]
    of_loss = name in calls.REDUCTIONS
    assert gradient == [(inspect.Parameter.KEYWORD_ONLY, False)] * of_loss
    assert ("row_splits" in dict(p[::2] for p in made)) == (name == "list_ranking_loss")
    assert [p for p in made if p[0] not in OF_NUMPY] == parameters(getattr(tpw, name))


def test_gradients_of_numpy():
    """Those of the distance, and the upstream gradient after the points."""
    for name in ("pairwise_distance", "paired_distance"):
        made = parameters(getattr(tpn, f"{name}_gradient"))
        expected = parameters(getattr(tpn, name))
        assert [p[0] for p in made[:3]] == ["x", "y", "upstream"]
        assert made[3:] == expected[2:]


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_distribute(name):
    made = parameters(getattr(distribute, name))
    assert made == parameters(getattr(tpw, name), but=REFERENCES)


@pytest.mark.parametrize("name", CLASSES)
def test_keras(name):
    function, cls = getattr(tpw, CLASSES[name]), getattr(losses, name)
    points = next(c.points for c in calls.CALLS.values() if c.function == CLASSES[name])
    learned = {"temperature", "scale", "bias"}
    tensors = TENSORS | points.keys() - learned | {"reduction"}
    assert parameters(cls, but=OF_KERAS) == parameters(function, but=tensors)
    own = [p[::2] for p in parameters(cls) if p[0] in OF_KERAS]
    of_batch = CLASSES[name] in DISTRIBUTED
    labelled = of_batch and "ref_labels" in inspect.signature(function).parameters
    expected = {"memory": None} if labelled else {}
    expected |= {"global_batch": False} if of_batch else {}
    assert dict(own) == expected | {"reduction": "mean", "name": None, "dtype": None}

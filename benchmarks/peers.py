"""What other packages have of the benchmark's cases, for `bench --peers`, where they are installed.

A peer is `make(*arrays) -> call`, and `call() -> [value, *gradients]`, on arrays of its own kind
that `make` has made; it raises ImportError where its package is missing. `FORMULAS` names those
whose formula is another than ours, so that their numbers are not to be compared; the others agree
with the fused function (`bench` prints how far).
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable

import numpy as np

# Cases whose peers have another formula of the same family, and which.
FORMULAS = {
    ("batch contrastive", "pytorch-metric-learning"): "of distances, not of their squares",
    ("list logistic", "keras-rs"): "a sum, not a mean",
}


def _torch(function: Callable, differentiable: int = 1) -> Callable:
    """A peer of PyTorch: function(*tensors) -> a tensor; gradients of the first few."""

    def make(*arrays):
        import torch

        tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]
        evaluate = function()

        def call():
            if not differentiable:
                with torch.no_grad():
                    return [evaluate(*tensors)]
            sources = [t.detach().requires_grad_() for t in tensors[:differentiable]]
            value = evaluate(*sources, *tensors[differentiable:])
            return [value.detach(), *torch.autograd.grad(value, sources)]

        return call

    return make


# ---- distances and neighbours ----


def _torch_distance(p=2.0):
    import torch

    return lambda x, y: torch.cdist(x, y, p=p)


def _scipy_distance(metric, *arrays):
    from scipy.spatial.distance import cdist

    return lambda: [cdist(*arrays, metric)]


def _sklearn_distance(metric, *arrays):
    from sklearn.metrics import pairwise_distances

    return lambda: [pairwise_distances(*arrays, metric=metric)]


def _torch_neighbors():
    import torch

    return lambda queries, keys: torch.cdist(queries, keys).topk(10, largest=False).values


def _faiss_neighbors(queries, keys):
    import faiss

    def call():
        index = faiss.IndexFlatL2(keys.shape[1])
        index.add(keys)
        return [np.sqrt(np.maximum(index.search(queries, 10)[0], 0))]

    return call


def _sklearn_neighbors(queries, keys):
    from sklearn.neighbors import NearestNeighbors

    def call():
        search = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(keys)
        return [search.kneighbors(queries)[0]]

    return call


# ---- losses ----


def _metric_learning(loss: str, miner: str = "", **options) -> Callable:
    """A loss of pytorch-metric-learning on points as they are, or on unit vectors."""

    def function():
        from pytorch_metric_learning import distances, losses, miners, reducers

        normalize = options.get("temperature") is not None
        if not normalize:
            options["distance"] = distances.LpDistance(normalize_embeddings=False)
        if loss != "NTXentLoss":  # which has one of its own
            options["reducer"] = reducers.MeanReducer()
        if miner:
            mine = getattr(miners, miner)(distance=options["distance"])
        loss_of = getattr(losses, loss)(**options)
        if not miner:
            return loss_of
        return lambda embeddings, labels: loss_of(embeddings, labels, mine(embeddings, labels))

    return _torch(function)


def _torch_info_nce():
    import torch
    from torch.nn.functional import cross_entropy, normalize

    def evaluate(queries, keys):
        logits = normalize(queries, dim=1) @ normalize(keys, dim=1).T / 0.07
        return cross_entropy(logits, torch.arange(len(queries)))

    return evaluate


def _keras_rs(scores, relevance):
    import keras_rs
    import tensorflow as tf

    loss = keras_rs.losses.PairwiseLogisticLoss(reduction="sum")
    scores, relevance = tf.constant(scores), tf.constant(relevance, tf.float32)

    @tf.function
    def value_and_gradient(scores, relevance):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = loss(relevance, scores)
        return [value, tape.gradient(value, scores)]

    return lambda: value_and_gradient(scores, relevance)


PEERS: dict[str, dict[str, Callable]] = {
    "pairwise_distance(x, y)": {
        "torch": _torch(_torch_distance, 0),
        "scikit-learn": functools.partial(_sklearn_distance, "euclidean"),
        "scipy": functools.partial(_scipy_distance, "euclidean"),
    },
    "pairwise_distance(x, y), manhattan": {
        "torch": _torch(functools.partial(_torch_distance, 1.0), 0),
        "scikit-learn": functools.partial(_sklearn_distance, "manhattan"),
        "scipy": functools.partial(_scipy_distance, "cityblock"),
    },
    "nearest_neighbors(x, y), k=10": {
        "faiss": _faiss_neighbors,
        "torch": _torch(_torch_neighbors, 0),
        "scikit-learn": _sklearn_neighbors,
    },
    "batch contrastive": {"pytorch-metric-learning": _metric_learning("ContrastiveLoss")},
    "batch hard": {
        "pytorch-metric-learning": _metric_learning(
            "TripletMarginLoss", "BatchHardMiner", margin=1.0
        )
    },
    "batch all": {
        "pytorch-metric-learning": _metric_learning("TripletMarginLoss", margin=1.0),
    },
    "supervised contrastive": {
        "pytorch-metric-learning": _metric_learning("SupConLoss", temperature=0.1),
    },
    "nt_xent, small": {
        "pytorch-metric-learning": _metric_learning("NTXentLoss", temperature=0.5),
    },
    "info_nce": {"torch": _torch(_torch_info_nce, 2)},
    "list logistic": {"keras-rs": _keras_rs},
}

_DISTRIBUTIONS = {"faiss": "faiss-cpu"}


def version(peer: str) -> str | None:
    """Of an installed peer; None where it is not."""
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(peer, peer))
    except importlib.metadata.PackageNotFoundError:
        return None


def of_case(name: str) -> dict[str, Callable]:
    """The makers of a case's peers that are installed, by their names."""
    return {peer: make for peer, make in PEERS.get(name, {}).items() if version(peer)}


def arrays(result) -> list[np.ndarray]:
    """What a peer's call gave, in float64."""
    return [np.asarray(x).astype(np.float64) for x in result]

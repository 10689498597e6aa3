"""One table: every public function, and how its arguments are drawn.

A function of the table takes a `Draw` and gives a `Case`: arguments by name, which the fused
functions (TensorFlow and NumPy) and the reference are called with.
"""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tests.fuzz.draw import DTYPES, Draw
from tests.inputs import METRICS, MININGS, REDUCTIONS, SOFT_MININGS
from tf_pairwise import reference

BATCH_REDUCTIONS = (*REDUCTIONS, "balanced_mean")
SOFTMAX_REDUCTIONS = ("none", "sum", "mean")
LIST_REDUCTIONS = (*REDUCTIONS, "mean_lists")
PAIR_LOSSES = ("logistic", "hinge", "soft_zero_one")
LISTS = ("scores", "relevance", "item_weight", "mask")  # ragged where there are row_splits


@dataclass
class Case:
    function: str
    dtype: str
    arguments: dict[str, Any]
    words: dict[str, Any]
    differentiable: tuple[str, ...] = ()
    # What the gradient is of: sum(upstream * value); None for the sum of the values.
    upstream: np.ndarray | None = None
    # For a second derivative: the directions that the first is multiplied by.
    second: list[np.ndarray] | None = None
    # In place of arguments that hold NaN where a weight is 0.
    clean: dict[str, Any] = field(default_factory=dict)
    # Not to be asked of the reference: why.
    skip: str = ""
    threads: int = 1
    path: str = "tape"

    def for_reference(self):
        return {**self.arguments, **self.clean}

    def call(self, function, arguments, points):
        """`function` of TensorFlow, with `points` for the differentiable arguments."""
        arguments = {**arguments, **dict(zip(self.differentiable, points, strict=False))}
        splits = arguments.pop("row_splits", None)
        if splits is None:
            return function(**arguments)
        for name in LISTS:
            if arguments.get(name) is not None:
                arguments[name] = tf.RaggedTensor.from_row_splits(arguments[name], splits)
        value = function(**arguments)
        return value.values if isinstance(value, tf.RaggedTensor) else value

    def __str__(self):
        return " ".join([self.function, *(f"{k}={v}" for k, v in self.words.items())])


# ---- what several functions share ----


def _typical(metric, x, y):
    """The median distance of some pairs: what a margin is drawn around."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if not (len(x) and len(y)):
        return 1.0
    x = x[np.arange(50) % len(x)]
    y = y[(np.arange(50) * 7 + 3) % len(y)]
    with np.errstate(all="ignore"):
        if metric == "manhattan":
            distances = np.sum(np.abs(x - y), axis=-1)
        elif metric == "chebyshev":
            distances = np.max(np.abs(x - y), axis=-1, initial=0.0)
        elif metric == "cosine":
            return 1.0
        elif metric == "dot":
            distances = np.abs(np.sum(x * y, axis=-1))
        else:
            distances = np.sqrt(np.sum((x - y) ** 2, axis=-1))
            distances = distances**2 if metric == "squared_euclidean" else distances
        return np.median(distances)


def _loss_case(draw, function, dtype, arguments, differentiable, shape, clean=None):
    """With the ways to run it: upstream, path, threads. `shape` is that of reduction "none"."""
    upstream = None
    if draw.chance(0.3):
        if arguments["reduction"] == "none":
            upstream = draw.rng.normal(size=shape).astype(np.float32)
        else:
            upstream = np.float32(draw.one_of("upstream", (-0.5, 256.0)))
    return Case(
        function,
        dtype,
        arguments,
        draw.words,
        differentiable,
        upstream=upstream,
        clean={name: value for name, value in (clean or {}).items() if value is not None},
        threads=draw.one_of("threads", (1, 2, 3, 8)),
        path="traced" if draw.chance(0.05) else "tape",
    )


def _lost(draw, x, weights):
    """x with NaN, Inf or the largest numbers where the weights are 0, in one case of two."""
    if weights is None or not np.any(weights == 0) or not draw.chance(0.5):
        return x
    what = draw.one_of("under_zero", ("nan", "inf", "-inf"))
    rows = (weights == 0) & (draw.rng.uniform(size=weights.shape) < 0.7)
    x = x.copy()
    if x.ndim > 1:  # some coordinates of the row
        rows = rows[:, None] & (draw.rng.uniform(size=x.shape) < 0.5)
    x[rows] = float(what)
    return x


def _batch(draw, dtype, most, kinds=None):
    """(n, arguments, those with a gradient, clean): labelled points, maybe with references."""
    n = draw.size("n", most)
    refs = draw.one_of("refs", {"self": 3, "others": 1, "own": 1})
    m = 0 if refs == "self" else draw.size("m", most)
    if refs == "own":
        n = draw.words["n"] = min(n, m)
    d = draw.depth(pairs=n * (m or n))
    x, y = draw.points(dtype, (n, d), (m, d))
    labels, ref_labels = draw.labels(n, m)
    arguments = dict(embeddings=x, labels=labels)
    if refs == "self":
        return n, arguments, ("embeddings",)
    offset = None
    if refs == "own":
        offset = int(draw.rng.integers(m - n + 1))
        arguments["embeddings"] = y[offset : offset + n].copy()
        arguments["labels"] = ref_labels[offset : offset + n].copy()
    arguments.update(ref_embeddings=y, ref_labels=ref_labels, self_offset=offset)
    return n, arguments, ("embeddings", "ref_embeddings")


def _weigh_anchors(draw, arguments, n, dtype):
    """Adds sample weights; with references, what is in an anchor of weight 0 may be anything."""
    weights = draw.weights("weights", (n,), dtype)
    arguments["sample_weight"] = weights
    x = arguments["embeddings"]
    if "ref_embeddings" in arguments:
        arguments["embeddings"] = _lost(draw, x, weights)
    return {"embeddings": x}


# ---- distances ----


def _pairwise_distance(draw, second=False):
    dtype = draw.dtype() if not second else draw.one_of("dtype", ("float32", "float64"))
    metric = draw.one_of("metric", METRICS)
    kind = draw.one_of("y", ("itself", "given"))
    lead = () if draw.chance(0.8) else (int(draw.rng.integers(4)),)
    draw.words["lead"] = lead
    n = draw.size("n", 60 if second else 260)
    m = n if kind == "itself" else draw.size("m", 60 if second else 260)
    d = draw.depth(pairs=n * m * max((*lead, 1)), most=300_000 if second else 2_000_000)
    x, y = draw.points(dtype, (*lead, n, d), (*lead, m, d))
    arguments = dict(x=x, y=None if kind == "itself" else y, metric=metric)
    names = ("x",) if kind == "itself" else ("x", "y")
    return _distance_case(draw, "pairwise_distance", dtype, arguments, names, (*lead, n, m), second)


def _paired_distance(draw, second=False):
    dtype = draw.dtype() if not second else draw.one_of("dtype", ("float32", "float64"))
    metric = draw.one_of("metric", METRICS)
    n, d = draw.size("n", 260), draw.depth()
    x, y = draw.points(dtype, (n, d), (n, d))
    arguments = dict(x=x, y=y, metric=metric)
    return _distance_case(draw, "paired_distance", dtype, arguments, ("x", "y"), (n,), second)


def _distance_case(draw, function, dtype, arguments, names, shape, second):
    kind = draw.one_of("upstream", {"normal": 3, "ones": 1, "sparse": 1})
    upstream = np.ones(shape) if kind == "ones" else draw.rng.normal(size=shape)
    if kind == "sparse":
        upstream *= draw.rng.uniform(size=shape) < 0.05
    directions = None
    if second:
        directions = [
            draw.rng.normal(size=arguments[name].shape).astype(DTYPES[dtype]) for name in names
        ]
    return Case(
        function,
        dtype,
        arguments,
        draw.words,
        names,
        upstream=upstream.astype(DTYPES[dtype]),
        second=directions,
        threads=draw.one_of("threads", (1, 2, 3, 8)),
        path="traced" if draw.chance(0.05) else "tape",
    )


# ---- contrastive ----


@functools.cache
def _takes_soft_labels():
    """Whether contrastive_loss is of the contract that has float labels in [0, 1]."""
    try:
        reference.contrastive_loss(np.zeros((1, 1)), np.zeros((1, 1)), np.array([0.5]))
    except TypeError:
        return False
    return True


def _contrastive(draw):
    dtype = draw.dtype()
    metric = draw.one_of("metric", METRICS)
    n, d = draw.size("n", 260), draw.depth()
    x, y = draw.points(dtype, (n, d), (n, d))
    kind = draw.one_of("labels", ("bool", "ints", "ends", "float", "soft"))
    labels = draw.rng.integers(2, size=n)
    similar_label = draw.one_of("similar_label", (0, 1))
    if kind == "bool":
        labels = labels.astype(bool)
    elif kind == "ends":
        labels = np.array([-(2**63), 2**63 - 1], np.int64)[labels]
        similar_label = draw.words["similar_label"] = -(2**63)
    elif kind == "float":
        labels = labels.astype(np.float32)
    elif kind == "soft":
        labels = draw.rng.uniform(size=n).astype(np.float32)
    weights = draw.weights("weights", (n,), dtype)
    arguments = dict(
        x1=_lost(draw, x, weights),
        x2=y,
        labels=labels,
        margin=draw.margin(_typical(metric, x, y), dtype),
        metric=metric,
        similar_label=similar_label,
        sample_weight=weights,
        reduction=draw.one_of("reduction", REDUCTIONS),
    )
    case = _loss_case(
        draw, "contrastive_loss", dtype, arguments, ("x1", "x2"), (n,), clean={"x1": x}
    )
    if kind in ("float", "soft") and not _takes_soft_labels():
        case.skip = "float labels are not there yet"
    return case


def _batch_contrastive(draw):
    dtype = draw.dtype()
    metric = draw.one_of("metric", METRICS)
    n, arguments, names = _batch(draw, dtype, 260)
    x = arguments["embeddings"]
    typical = _typical(metric, x, arguments.get("ref_embeddings", x))
    clean = _weigh_anchors(draw, arguments, n, dtype)
    arguments.update(
        margin=draw.margin(typical, dtype),
        metric=metric,
        positive_margin=float(f"{draw.one_of('positive_margin', (0.0, 0.0, 0.5)) * typical:.4g}"),
        squared=draw.one_of("squared", (True, False)),
        reduction=draw.one_of("reduction", BATCH_REDUCTIONS),
    )
    return _loss_case(draw, "batch_contrastive_loss", dtype, arguments, names, (n,), clean)


# ---- soft-max ----


def _two_sided(draw, function, symmetric, parameters):
    dtype = draw.dtype()
    n = draw.size("n", 260)
    offset = 0 if symmetric else draw.one_of("offset", (0, 0, 1, 5, 70))
    more = 0 if symmetric else draw.one_of("more", (0, 0, 1, 30))
    m = n + offset + more
    x, y = draw.points(dtype, (n, draw.depth(pairs=n * m)), (m, draw.words["d"]))
    weights = draw.weights("weights", (n,), dtype)
    arguments = dict(
        queries=x if symmetric else _lost(draw, x, weights),
        keys=y,
        **{name: draw.parameter(name, values, dtype) for name, values in parameters.items()},
        normalize=draw.one_of("normalize", (True, False)),
        positive_offset=offset,
        sample_weight=weights,
        reduction=draw.one_of("reduction", SOFTMAX_REDUCTIONS),
    )
    if symmetric is not None:
        arguments["symmetric"] = symmetric
    names = ("queries", "keys", *parameters)
    return _loss_case(draw, function, dtype, arguments, names, (n,), clean={"queries": x})


def _info_nce(draw):
    symmetric = draw.one_of("symmetric", (False, True))
    temperatures = {"temperature": (0.07, 0.5, 1.0, 0.01)}
    return _two_sided(draw, "info_nce_loss", symmetric, temperatures)


def _sigmoid(draw):
    parameters = {"scale": (1.0, 10.0, -2.0), "bias": (-10.0, 0.0, 0.7)}
    return _two_sided(draw, "sigmoid_contrastive_loss", None, parameters)


def _of_labels(draw, function):
    dtype = draw.dtype()
    n, arguments, names = _batch(draw, dtype, 260)
    clean = _weigh_anchors(draw, arguments, n, dtype)
    arguments.update(
        temperature=draw.parameter("temperature", (0.1, 0.5, 1.0, 0.02), dtype),
        normalize=draw.one_of("normalize", (True, False)),
        reduction=draw.one_of("reduction", SOFTMAX_REDUCTIONS),
    )
    return _loss_case(draw, function, dtype, arguments, (*names, "temperature"), (n,), clean)


# ---- triplets ----


def _triplet(draw):
    dtype = draw.dtype()
    metric = draw.one_of("metric", METRICS)
    n, d = draw.size("n", 260), draw.depth()
    points = draw.points(dtype, *[(n, d)] * 3)
    weights = draw.weights("weights", (n,), dtype)
    names = ("anchors", "positives", "negatives")
    which = draw.rng.integers(3)
    lost = [_lost(draw, x, weights) if i == which else x for i, x in enumerate(points)]
    soft = draw.one_of("soft", (False, False, True))
    arguments = dict(
        **dict(zip(names, lost, strict=True)),
        margin=None if soft else draw.margin(_typical(metric, points[0], points[2]), dtype),
        metric=metric,
        swap=draw.one_of("swap", (False, True)),
        sample_weight=weights,
        reduction=draw.one_of("reduction", REDUCTIONS),
    )
    clean = dict(zip(names, points, strict=True))
    return _loss_case(draw, "triplet_loss", dtype, arguments, names, (n,), clean)


def _batch_triplet(draw):
    dtype = draw.dtype()
    metric, mining = draw.one_of("metric", METRICS), draw.one_of("mining", MININGS)
    n, arguments, names = _batch(draw, dtype, 260 if mining == "hard" else 97)
    x = arguments["embeddings"]
    typical = _typical(metric, x, arguments.get("ref_embeddings", x))
    clean = _weigh_anchors(draw, arguments, n, dtype)
    soft = mining in SOFT_MININGS and draw.one_of("soft", (False, False, True))
    arguments.update(
        margin=None if soft else draw.margin(typical, dtype),
        mining=mining,
        metric=metric,
        reduction=draw.one_of("reduction", REDUCTIONS),
    )
    return _loss_case(draw, "batch_triplet_loss", dtype, arguments, names, (n,), clean)


def _mine(draw):
    dtype = draw.dtype()
    metric, mining = draw.one_of("metric", METRICS), draw.one_of("mining", MININGS)
    _, arguments, _ = _batch(draw, dtype, 129 if mining == "hard" else 48)
    x = arguments["embeddings"]
    typical = _typical(metric, x, arguments.get("ref_embeddings", x))
    arguments.update(margin=draw.margin(typical, dtype), mining=mining, metric=metric)
    threads = draw.one_of("threads", (1, 2, 3, 8))
    return Case("mine_triplets", dtype, arguments, draw.words, threads=threads)


# ---- neighbours ----


def _neighbors(draw):
    dtype = draw.dtype()
    metric = draw.one_of("metric", METRICS)
    kind = draw.one_of("keys", ("queries", "others"))
    n = draw.size("n", 260)
    m = n if kind == "queries" else draw.size("m", 260)
    d = draw.depth(pairs=n * m)
    x, y = draw.points(dtype, (n, d), (m, d))
    arguments = dict(queries=x, k=draw.one_of("k", (1, 2, 3, 10, 33, 100)), metric=metric)
    arguments["keys"] = None if kind == "queries" else y
    only = draw.one_of("only", (None, "same_label", "other_label"))
    if only:
        labels, key_labels = draw.labels(n, 0 if kind == "queries" else m)
        arguments.update(only=only, query_labels=labels)
        if kind == "others":
            arguments["key_labels"] = key_labels
    threads = draw.one_of("threads", (1, 2, 3, 8))
    return Case("nearest_neighbors", dtype, arguments, draw.words, threads=threads)


# ---- ranking ----


def _pairwise_ranking(draw):
    dtype = draw.dtype()
    n = draw.size("n", 260)
    shape = (n,) if draw.chance(0.7) else (n, 3)
    positive, negative = draw.scores(dtype, (2, *shape))
    weights = draw.weights("weights", shape, dtype)
    which = draw.one_of("which", ("scores_pos", "scores_neg"))
    clean = dict(scores_pos=positive, scores_neg=negative)
    arguments = dict(
        **{k: _scores_lost(draw, v, weights) if k == which else v for k, v in clean.items()},
        loss=draw.one_of("loss", PAIR_LOSSES),
        margin=draw.one_of("margin", (1.0, 0.37, 0.0)),
        temperature=draw.one_of("temperature", (1.0, 0.1, 3.0)),
        sample_weight=weights,
        reduction=draw.one_of("reduction", REDUCTIONS),
    )
    names = ("scores_pos", "scores_neg")
    return _loss_case(draw, "pairwise_ranking_loss", dtype, arguments, names, shape, clean)


def _scores_lost(draw, scores, weights):
    flat = None if weights is None else weights.reshape(-1)
    return _lost(draw, scores.reshape(-1), flat).reshape(scores.shape)


def _list_ranking(draw):
    dtype, rng = draw.dtype(), draw.rng
    loss = draw.one_of("loss", (*PAIR_LOSSES, "mse"))
    lists, splits = draw.one_of("lists", (0, 1, 2, 5, 9)), None
    length = draw.size("length", 260 if lists < 3 else 97)
    shape = (lists, length)
    if draw.one_of("layout", ("dense", "ragged")) == "ragged":
        lengths = rng.integers(length + 1, size=lists) * (rng.uniform(size=lists) < 0.8)
        splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shape = (int(splits[-1]),)
    scores = clean = draw.scores(dtype, shape)
    relevance = _relevance(draw, shape)
    mask = rng.uniform(size=shape) < 0.8 if draw.one_of("mask", (False, True)) else None
    if draw.chance(0.3):  # what is in an item that does not exist is nothing to anyone
        gone = ~(relevance >= 0) if mask is None else ~(mask & (relevance >= 0))
        scores = clean.copy()
        scores[gone & (rng.uniform(size=shape) < 0.5)] = draw.one_of("gone", (np.nan, np.inf))
    lambda_weight = topn = None
    if loss != "mse":
        lambda_weight = draw.one_of("lambda", (None, None, "label_diff", "dcg", "ndcg"))
        if lambda_weight in ("dcg", "ndcg"):
            topn = draw.one_of("topn", (None, 1, 5))
    arguments = dict(
        scores=scores,
        relevance=relevance,
        loss=loss,
        lambda_weight=lambda_weight,
        topn=topn,
        margin=draw.one_of("margin", (1.0, 0.37, 0.0)),
        temperature=draw.one_of("temperature", (1.0, 0.1, 3.0)),
        item_weight=draw.weights("weights", shape, dtype),
        mask=mask,
        reduction=draw.one_of("reduction", LIST_REDUCTIONS),
    )
    if splits is not None:
        arguments["row_splits"] = splits
    names, clean = ("scores",), {"scores": clean}
    return _loss_case(draw, "list_ranking_loss", dtype, arguments, names, shape, clean)


def _relevance(draw, shape):
    rng = draw.rng
    kind = draw.one_of("relevance", ("graded", "binary", "real", "distinct", "same", "none"))
    if kind == "graded":
        y = rng.integers(-1, 5, size=shape).astype(np.float64)
    elif kind == "binary":
        y = (rng.uniform(size=shape) < 0.2).astype(np.float64)
    elif kind == "real":
        y = rng.uniform(0.0, 6.0, size=shape)
    elif kind == "distinct":
        count = int(np.prod(shape))
        y = rng.permutation(count).reshape(shape) * (20.0 / max(count, 1))
    elif kind == "same":
        y = np.full(shape, 2.0)
    else:
        y = rng.choice([np.nan, -1.0, 1.0, 2.0], size=shape)
    return np.where(rng.uniform(size=shape) < 0.1, -0.0, y)


# Name of a case function -> it, and how often it is drawn.
TABLE = {
    "pairwise_distance": (_pairwise_distance, 3),
    "paired_distance": (_paired_distance, 2),
    "pairwise_distance second": (functools.partial(_pairwise_distance, second=True), 1),
    "paired_distance second": (functools.partial(_paired_distance, second=True), 1),
    "contrastive_loss": (_contrastive, 3),
    "batch_contrastive_loss": (_batch_contrastive, 4),
    "info_nce_loss": (_info_nce, 2),
    "sigmoid_contrastive_loss": (_sigmoid, 2),
    "supervised_contrastive_loss": (
        functools.partial(_of_labels, function="supervised_contrastive_loss"),
        3,
    ),
    "nt_xent_loss": (functools.partial(_of_labels, function="nt_xent_loss"), 3),
    "triplet_loss": (_triplet, 3),
    "batch_triplet_loss": (_batch_triplet, 5),
    "mine_triplets": (_mine, 2),
    "nearest_neighbors": (_neighbors, 3),
    "pairwise_ranking_loss": (_pairwise_ranking, 2),
    "list_ranking_loss": (_list_ranking, 4),
}


def name_of(seed, case):
    """Which function a case is of, without drawing the rest of it."""
    return _name(Draw(seed, case))


def _name(draw):
    names = list(TABLE)
    frequency = np.array([TABLE[name][1] for name in names], float)
    return names[draw.rng.choice(len(names), p=frequency / frequency.sum())]


def draw_case(seed, case):
    """The case of that number, the same whenever it is drawn."""
    draw = Draw(seed, case)
    return TABLE[_name(draw)][0](draw)

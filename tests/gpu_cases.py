"""The calls whose results on a GPU are compared with those on the host.

Most are those of the table over which all bindings are tested (calls.py): a new function, option
or metric has its lines there. What a family's kernels have to meet besides has its lines here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from tests import calls, inputs

# Of the largest number of a result: sums of floats in another order.
TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "bfloat16": 1.6e-2, "float16": 2e-3}
DTYPES = tuple(TOLERANCE)
HALVES = ("float16", "bfloat16")
# What reads all pairs of two sets of points, and the metrics by which these are products.
OF_ALL_PAIRS = (
    "pairwise_distance",
    "pairwise_distance_gradient",
    "batch_contrastive_loss",
    "batch_triplet_loss",
    "mine_triplets",
    "info_nce_loss",
    "nt_xent_loss",
    "sigmoid_contrastive_loss",
    "supervised_contrastive_loss",
    "nearest_neighbors",
)
PRODUCTS = ("euclidean", "squared_euclidean", "cosine", "dot")


@dataclass(frozen=True)
class Case:
    """A call of a function of tf_pairwise.numpy.

    Attributes:
      arguments: by their names; those that are arrays of NumPy are put on the GPU.
      tolerance: of the largest number of each result, where that of its dtype is not enough.
    """

    name: str
    function: str
    arguments: Mapping[str, object]
    tolerance: float | None = None

    def __str__(self):
        return self.name


def cases() -> dict[str, Case]:
    """All of them, by their names."""
    parts = (_every_way, _reductions, _few, _shapes, _not_finite, _families)
    return {case.name: case for part in parts for case in part()}


def one_of_each() -> dict[str, Case]:
    """A case of each function, small."""
    found = {}
    for case in _every_way():
        if case.name.startswith("float32"):
            found.setdefault(case.function, case)
    return found


def of_products(of: Mapping[str, Case]) -> dict[str, Case]:
    """Those of float32 that multiply points, which tensor cores do where they are told to."""

    def multiplies(case):
        points = next(iter(case.arguments.values()))
        metric = case.arguments.get("metric", PRODUCTS[0])
        of_floats = getattr(points, "dtype", None) == np.float32
        return case.function in OF_ALL_PAIRS and metric in PRODUCTS and of_floats

    return {name: case for name, case in of.items() if multiplies(case)}


def _of(call, dtype, what="", **changed) -> Iterator[Case]:
    """The cases of a call of calls.py."""
    for function, arguments in calls.numpy_steps(call, call.arrays(dtype), **changed):
        gradient = " gradient" if function.endswith("_gradient") else ""
        name = f"{dtype} {call.name}{gradient}{what}"
        yield Case(name, function, arguments)


def _small():
    return calls.table(n=37, m=53, d=11, classes=6, lists=4, length=19)


def _every_way():
    for call in _small().values():
        for dtype in DTYPES:
            yield from _of(call, dtype)


def _reductions():
    for call in _small().values():
        for reduction in calls.REDUCTIONS.get(call.function, ()):
            if reduction != call.reduction:
                yield from _of(call, "float32", f", {reduction}", reduction=reduction)


def _few():
    """No row, and one or two."""
    for call in _small().values():
        for rows in range(3) if call.rows else ():
            few = call.take(slice(rows))
            yield from _of(few, "float32", f", {rows} rows")


def _shapes():
    """Around tiles, of one number and of many."""
    sizes = (
        dict(n=64, m=128, d=32, classes=9, lists=3, length=64),
        dict(n=65, m=131, d=1, classes=3, lists=3, length=65),
        dict(n=70, m=90, d=300, classes=40, lists=2, length=300),
    )
    for size in sizes:
        table = calls.table(**size)
        for call in calls.one_of_each().values():
            yield from _of(table[call.name], "float32", f", d = {size['d']}")


def _not_finite():
    """Infinite and no numbers among the points; and no numbers that have weight 0."""
    for call in calls.one_of_each().values():
        call = _small()[call.name]
        for name, points in call.points.items():
            if np.ndim(points) == 0:
                continue
            points = points.copy()
            points.flat[[10, -10, points.size // 2]] = np.nan, np.inf, -np.inf
            made = _changed(call, {name: points})
            yield from _of(made, "float32", f", {name} not finite")
    for call in _small().values():
        if not call.own or call.weight not in call.options:
            continue
        unweighted = call.options[call.weight] == 0
        own = {name: call.points[name].copy() for name in call.own}
        for points in own.values():
            points[unweighted] = np.nan
        yield from _of(_changed(call, own), "float32", ", no numbers of weight 0")


def _changed(call, points):
    return calls.Call(**{**vars(call), "points": {**call.points, **points}})


# ---- what is one family's own ----


def _families():
    for family in (_distance, _contrastive, _triplet, _softmax, _ranking, _neighbors):
        yield from family()


def _distance():
    yield from _batches()
    far = inputs.points(40, 8, offset=1e4)
    yield Case("pairwise_distance far away", "pairwise_distance", dict(x=far, y=far + 1), 1e-4)
    yield from _close_pairs()
    yield from _pairs_and_triplets("pairwise_distance", ("x", "y"))
    upstream = np.ones((6, 6), np.float32)
    yield from _pairs_and_triplets("pairwise_distance_gradient", ("x", "y"), upstream=upstream)
    upstream = np.ones(6, np.float32)
    yield from _pairs_and_triplets("paired_distance_gradient", ("x", "y"), upstream=upstream)


def _batches():
    """Of small problems and of larger ones, with points that are the same, zero or not finite."""
    few = inputs.points(3, 5, 7)
    few[1, 2] = 0
    lost = few.copy()
    lost[2, 1] = np.nan
    many = inputs.points(2, 70, 3)
    for metric in inputs.METRICS:
        for x, y in ((few, few[:, ::2].copy()), (few, None), (many, many[:, :66] / 2)):
            what = f"{metric} {x.shape[1]}{'' if y is None else ' others'}"
            arguments = dict(x=x, y=y, metric=metric)
            distances = arguments | dict(x=lost if x is few else x)
            yield Case(f"pairwise_distance batch {what}", "pairwise_distance", distances)
            columns = x if y is None else y
            shape = (*x.shape[:2], columns.shape[1])
            upstream = np.cos(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)
            upstream[1, 3, 2] = np.nan
            for dtype in DTYPES:
                of = in_dtype(dtype, {**arguments, "upstream": upstream})
                name = f"{dtype} pairwise_distance_gradient batch {what}"
                yield Case(name, "pairwise_distance_gradient", of)
    x = inputs.points(2, 180, 130)
    yield Case("pairwise_distance large batch", "pairwise_distance", dict(x=x, y=-x))


def in_dtype(dtype, arguments):
    """Arrays of float32 in a dtype."""
    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    return {
        name: value.astype(dtype) if getattr(value, "dtype", None) == np.float32 else value
        for name, value in arguments.items()
    }


def _close_pairs():
    """Some pairs nearly the same, in one of several tiles: the first, another, the last."""
    for first in (0, 290, 560):
        x, y = inputs.points(30, 8), inputs.points(590, 8, seed=1)
        y[first : first + 30] = x + np.float32(1e-3) * y[:30]
        for names in ("xy", "yx"):
            points = dict(zip(names, (x, y), strict=True))
            shape = len(points["x"]), len(points["y"])
            upstream = np.cos(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)
            arguments = dict(points, upstream=upstream)
            name = f"pairwise_distance_gradient close {names} {first}"
            yield Case(name, "pairwise_distance_gradient", arguments)


def _pairs_and_triplets(function, names, what="", **options):
    """Of points of many coordinates: apart, close, the same and zero."""
    points = {name: inputs.points(6, 2100, seed=i) for i, name in enumerate(names)}
    first, second = list(points.values())[:2]
    second[2] = first[2]
    second[3] = first[3] + np.float32(1e-3) * second[3]
    second[4] = 0
    for metric in inputs.METRICS:
        arguments = dict(points, metric=metric, **options)
        yield Case(f"{function} of many coordinates {metric}{what}", function, arguments, 1e-4)


def _contrastive():
    x = inputs.points(20, 6)
    soft = np.linspace(0, 1, 20)
    for similar in (0, 1):
        arguments = dict(x1=x, x2=x[::-1].copy(), labels=soft, similar_label=similar)
        yield Case(f"contrastive_loss soft {similar}", "contrastive_loss", arguments)
    similar = np.arange(40_000) % 2
    options = dict(labels=similar[:6], margin=90.0, with_gradient=True)
    yield from _pairs_and_triplets("contrastive_loss", ("x1", "x2"), **options)
    x = inputs.points(40_000, 2)  # more than a grid has warps
    arguments = dict(x1=x, x2=x[::-1].copy(), labels=similar, reduction="mean_nonzero")
    yield Case("contrastive_loss long", "contrastive_loss", dict(arguments, with_gradient=True))


def _triplet():
    names = ("anchors", "positives", "negatives")
    for swap in (False, True):
        options = dict(swap=swap, with_gradient=True)
        yield from _pairs_and_triplets("triplet_loss", names, f" swap {swap}", **options)
    x, labels = inputs.batch(33, 4, 3)
    for classes, of in (("one class", labels * 0), ("no pair", np.arange(33))):
        for mining in inputs.MININGS:
            arguments = dict(embeddings=x, labels=of.astype(np.int64), mining=mining, margin=0.3)
            yield Case(f"mine_triplets {mining} {classes}", "mine_triplets", arguments)
            arguments = dict(arguments, with_gradient=True)
            name = f"batch_triplet_loss {mining} {classes}"
            yield Case(name, "batch_triplet_loss", arguments)
    yield from _ties()


def _ties():
    """Equal distances, which have no rounding, of a few positives and of many."""
    for of, n, m, classes in (("few", 20, 70, 7), ("many", 3, 2600, 2), ("some", 2, 1100, 2)):
        rng = np.random.default_rng(m)
        for dtype in ("float32", "float64"):
            arguments = dict(
                embeddings=rng.integers(-3, 4, (n, 2)).astype(dtype),
                labels=rng.integers(0, classes, n),
                ref_embeddings=rng.integers(-3, 4, (m, 2)).astype(dtype),
                ref_labels=rng.integers(0, classes, m),
                metric="squared_euclidean",
            )
            for mining in inputs.MININGS:
                name = f"{dtype} {mining} of {of} equals"
                if mining != "all" or of == "few":
                    mined = dict(arguments, mining=mining, margin=2.0)
                    yield Case(f"mine_triplets {name}", "mine_triplets", mined)
                for margin in (2.0, None) if mining in inputs.SOFT_MININGS else (2.0,):
                    loss = dict(arguments, mining=mining, margin=margin, with_gradient=True)
                    yield Case(f"batch_triplet_loss {name}, {margin}", "batch_triplet_loss", loss)


def _softmax():
    x = inputs.points(24, 6)
    for temperature in (1e-3, 1e3):
        arguments = dict(queries=x, keys=x[::-1].copy(), temperature=temperature)
        name = f"info_nce_loss temperature {temperature}"
        yield Case(name, "info_nce_loss", dict(arguments, with_gradient=True), 1e-4)
    yield from _softmax_columns()
    yield from _softmax_labels()
    yield from _softmax_weights()


def _softmax_columns():
    """Around the columns that a block's threads have, and many at a time."""
    for m in (255, 257, 2047, 2049, 4100):
        arguments = dict(queries=inputs.points(3, 5), keys=inputs.points(m, 5, seed=1))
        arguments.update(positive_offset=m - 3, with_gradient=True)
        yield Case(f"info_nce_loss of {m}", "info_nce_loss", arguments)
        for bias in (-30.0, 30.0):
            name = f"sigmoid_contrastive_loss of {m}, bias {bias}"
            of = dict(arguments, scale=20.0, bias=bias)
            yield Case(name, "sigmoid_contrastive_loss", of)
    x = inputs.points(300, 5)
    arguments = dict(queries=x, keys=x + inputs.points(300, 5, seed=1), symmetric=True)
    yield Case("info_nce_loss symmetric 300", "info_nce_loss", dict(arguments, with_gradient=True))


def _softmax_labels():
    x, refs = inputs.points(33, 4), inputs.points(259, 4, seed=1)
    of_refs = inputs.labels(259, 5).astype(np.int64)
    for classes, labels in (
        ("one class", np.zeros(33, np.int64)),
        ("no pair", np.arange(33)),
        ("wide", inputs.labels(33, 3).astype(np.int64) << 32),
        ("pairs", np.arange(33) // 2),
    ):
        for function in ("supervised_contrastive_loss", "nt_xent_loss"):
            arguments = dict(embeddings=x, labels=labels, with_gradient=True)
            yield Case(f"{function} {classes}", function, arguments)
            # The own column's label is another's.
            arguments.update(ref_embeddings=refs, ref_labels=of_refs, self_offset=7)
            yield Case(f"{function} references {classes}", function, arguments)


def _softmax_weights():
    """That are all zero, before numbers that are none, and that cancel."""
    x = inputs.points(6, 4)
    none = np.full_like(x, np.nan)
    for what, points, weights in (("zero", none, [0] * 6), ("cancel", x, [1, -1] * 3)):
        for symmetric in (False, True):
            arguments = dict(queries=points, keys=x[::-1].copy(), symmetric=symmetric)
            arguments.update(sample_weight=np.float32(weights), with_gradient=True)
            name = f"info_nce_loss weights {what}, symmetric {symmetric}"
            yield Case(name, "info_nce_loss", arguments)


def _ranking():
    scores = inputs.points(3, 12)
    same = np.zeros((3, 12))
    for loss in ("logistic", "hinge", "soft_zero_one", "mse"):
        arguments = dict(scores=scores, relevance=same, loss=loss, with_gradient=True)
        yield Case(f"list_ranking_loss {loss} ties", "list_ranking_loss", arguments)
    yield from _ragged_lists()
    for pairs in (255, 256, 257):
        ahead, behind = inputs.points(2, pairs, seed=pairs)
        arguments = dict(scores_pos=ahead, scores_neg=behind, with_gradient=True)
        yield Case(f"pairwise_ranking_loss {pairs}", "pairwise_ranking_loss", arguments)


def _ragged_lists():
    """Lists around a block's items and its tiles, none among them, with scores and grades alike."""
    splits = np.cumsum([0, 0, 1, 2, 31, 0, 32, 33, 255, 257, 520, 0])
    n = splits[-1]
    lists = dict(
        scores=np.round(inputs.points(n), 1),
        relevance=np.arange(n) * 7 % 6 - 1.0,
        item_weight=inputs.weights(n),
        row_splits=splits,
        with_gradient=True,
    )
    ways = [("mse", None, "mean_nonzero"), ("mse", None, "mean_lists")]
    for weight in (None, "label_diff", "dcg", "ndcg"):
        ways += [("logistic", weight, "mean"), ("soft_zero_one", weight, "mean_lists")]
        ways += [("hinge", weight, "mean_nonzero"), ("hinge", weight, "none")]
    for loss, weight, reduction in ways:
        how = dict(loss=loss, lambda_weight=weight, reduction=reduction)
        name = f"list_ranking_loss ragged {loss} {weight} {reduction}"
        yield Case(name, "list_ranking_loss", lists | how)
    many = dict(
        scores=inputs.points(4000),
        relevance=np.arange(4000) % 3,
        row_splits=np.linspace(0, 4000, 2500).astype(np.int64),
        with_gradient=True,
    )
    for reduction in ("mean", "mean_lists"):
        name = f"list_ranking_loss of many lists {reduction}"
        yield Case(name, "list_ranking_loss", many | dict(reduction=reduction))
    poisoned = lists["scores"].copy()
    poisoned[[40, 400]] = np.nan, np.inf
    for loss in ("logistic", "mse"):
        how = dict(scores=poisoned, loss=loss, reduction="none")
        yield Case(f"list_ranking_loss ragged {loss} NaN", "list_ranking_loss", lists | how)


def _neighbors():
    x = np.repeat(inputs.points(10, 4), 3, axis=0)
    for k in (1, 29):
        arguments = dict(queries=x, k=k)
        yield Case(f"nearest_neighbors of copies {k}", "nearest_neighbors", arguments)
    # Points of a grid, whose distances are exact: thousands are equal.
    rng = np.random.default_rng(5)
    x, y = (rng.integers(0, 2, (rows, 3)).astype(np.float32) for rows in (5, 6000))
    labels = dict(query_labels=np.arange(5) % 3, key_labels=rng.integers(0, 3, 6000))
    for k in (1, 2, 31, 32, 33, 1000, 1024, 2500, 6001):
        for metric, only in (("manhattan", None), ("dot", "same_label"), ("dot", "other_label")):
            arguments = dict(queries=x, keys=y, k=k, metric=metric)
            arguments |= dict(labels, only=only) if only else {}
            name = f"nearest_neighbors of a grid {k} {metric} {only}"
            yield Case(name, "nearest_neighbors", arguments)
    for columns in (255, 256, 257, 2047, 2048, 2049):
        arguments = dict(queries=x, keys=y[:columns], k=300, metric="chebyshev")
        yield Case(f"nearest_neighbors among {columns}", "nearest_neighbors", arguments)
    y = inputs.points(2500, 3) * 10.0 ** np.arange(-12, 13).repeat(100)[:, None]
    for k in (3, 1200):
        for dtype in ("float32", "float64"):
            arguments = dict(queries=y[::500].astype(dtype), keys=y.astype(dtype), k=k)
            name = f"nearest_neighbors near and far {k} {dtype}"
            yield Case(name, "nearest_neighbors", dict(arguments, metric="chebyshev"))

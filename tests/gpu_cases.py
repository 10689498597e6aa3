"""The calls whose results on a GPU are compared with those on the host.

Most are those of the table over which all bindings are tested (calls.py): a new function, option
or metric has its lines there. What a family's kernels have to meet besides has its lines here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tests import calls, inputs

# Of the largest number of a result: sums of floats in another order.
TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "bfloat16": 1.6e-2, "float16": 2e-3}
DTYPES = tuple(TOLERANCE)


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


def _of(call, dtype, what="", **changed) -> Iterator[Case]:
    """The cases of a call of calls.py."""
    for function, arguments in calls.numpy_steps(call, call.arrays(dtype), **changed):
        gradient = " gradient" if function.endswith("_gradient") else ""
        yield Case(f"{dtype} {call.name}{gradient}{what}", function, arguments)


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
    x = inputs.points(3, 5, 7)
    for metric in inputs.METRICS:
        arguments = dict(x=x, y=x[:, ::2].copy(), metric=metric)
        yield Case(f"pairwise_distance batch {metric}", "pairwise_distance", arguments)
    far = inputs.points(40, 8, offset=1e4)
    yield Case("pairwise_distance far away", "pairwise_distance", dict(x=far, y=far + 1), 1e-4)


def _contrastive():
    x = inputs.points(20, 6)
    soft = np.linspace(0, 1, 20)
    for similar in (0, 1):
        arguments = dict(x1=x, x2=x[::-1].copy(), labels=soft, similar_label=similar)
        yield Case(f"contrastive_loss soft {similar}", "contrastive_loss", arguments)


def _triplet():
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


def _ranking():
    scores = inputs.points(3, 12)
    same = np.zeros((3, 12))
    for loss in ("logistic", "hinge", "soft_zero_one", "mse"):
        arguments = dict(scores=scores, relevance=same, loss=loss, with_gradient=True)
        yield Case(f"list_ranking_loss {loss} ties", "list_ranking_loss", arguments)


def _neighbors():
    x = np.repeat(inputs.points(10, 4), 3, axis=0)
    for k in (1, 29):
        arguments = dict(queries=x, k=k)
        yield Case(f"nearest_neighbors of copies {k}", "nearest_neighbors", arguments)

"""How exact are results? Of every function, value and gradient, against long double.

    python -m benchmarks.accuracy [OUT]        writes docs/accuracy.md, or OUT

Points are drawn, rounded to the type, and that is what both sides get: what is counted is the
error of the computation alone.
"""

import argparse
import datetime
import sys
import types

import numpy as np

if __package__:
    from . import truth
else:
    import truth

try:
    from benchmarks import accuracy_torch
except ImportError:  # PyTorch is not installed, and its column is empty
    accuracy_torch = None

DTYPES = ("float16", "bfloat16", "float32", "float64")
EPSILON = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
APIS = ("ours", "plain", "torch")
METRICS = ("euclidean", "squared_euclidean", "cosine", "manhattan", "chebyshev", "dot")
# More than 25 points: from there on torch.cdist multiplies matrices.
N, M, D, CLASSES, LISTS, LENGTH = 30, 28, 12, 5, 3, 16

# What the points are like. Those of float16 keep within its range.
DATA = {
    "spread": "from the normal distribution",
    "clusters": "each within a thousandth of one of 5 centres",
    "offset": "from the normal distribution, 1,000 from the origin (float16: 30)",
    "tiny": "of the size 1e-6 (float16: 0.01)",
    "huge": "of the size 1e6 (float16: 30)",
    "near": "sizes from 0.01 to 100, each point with a neighbour a few roundings away",
}


def draw(kind, dtype, seed=0):
    """Arrays of the type, and the options that go with their size."""
    import ml_dtypes

    random = np.random.default_rng(seed)
    type_of = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    half = dtype == "float16"
    labels = random.permutation(np.arange(N) % CLASSES)
    centres = random.normal(size=(CLASSES, D))

    def points(n):
        x = random.normal(size=(n, D))
        if kind == "clusters":
            x = centres[np.resize(labels, n)] + 1e-3 * x
        if kind == "offset":
            x = x + (30 if half else 1000)
        if kind in ("tiny", "huge"):
            x = x * {"tiny": 0.01 if half else 1e-6, "huge": 30 if half else 1e6}[kind]
        if kind == "near":
            x = x * 10.0 ** random.uniform(-2, 0 if half else 2, size=(n, 1))
            x[1::2] = x[: n // 2 * 2 : 2] * (
                1 + 6 * EPSILON[dtype] * random.normal(size=(n // 2, D))
            )
        return x.astype(type_of)

    made = types.SimpleNamespace(x=points(N), y=points(N), z=points(N), labels=labels)
    wide = [a.astype(np.float64) for a in (made.x, made.y)]
    made.distance = float(np.median(np.linalg.norm(wide[0] - wide[1], axis=1)))
    made.scores = points(LISTS * LENGTH)[:, 0].reshape(LISTS, LENGTH)
    made.relevance = (np.arange(LISTS * LENGTH) * 7 % 5).reshape(LISTS, LENGTH)
    return made


class Case:
    """A function with its options: `call(api, given, *points)`.

    Attributes:
      points: the names of the points in what is drawn.
      scale: what an element's error is held against, where not against its own size.
      leaves_out: data on which rounding alone decides which triplets there are.
    """

    def __init__(self, name, points, call, differentiable=True, scale=None, leaves_out=()):
        self.name, self.points, self.call = name, points.split(), call
        self.differentiable, self.scale, self.leaves_out = differentiable, scale, leaves_out


def _products(x, y):
    """What products of points are held against: a sum may be of parts that cancel."""
    return np.linalg.norm(x, axis=-1)[:, None] * np.linalg.norm(y, axis=-1)


def _cases():
    for metric in METRICS:
        yield Case(
            f"pairwise_distance {metric}",
            "x y",
            lambda api, given, x, y, m=metric: api.pairwise_distance(x, y[:M], m),
            scale=(lambda x, y: _products(x, y[:M])) if metric == "dot" else None,
        )
    yield Case(
        "nearest_neighbors",
        "x y",
        lambda api, given, x, y: api.nearest_neighbors(x, y, k=5)[0],
        differentiable=False,
    )
    yield Case(
        "contrastive_loss",
        "x y",
        lambda api, given, x, y: api.contrastive_loss(x, y, given.labels % 2, 1.1 * given.distance),
    )
    yield Case(
        "batch_contrastive_loss",
        "x",
        lambda api, given, x: api.batch_contrastive_loss(x, given.labels, given.distance),
    )
    yield Case(
        "triplet_loss",
        "x y z",
        lambda api, given, x, y, z: api.triplet_loss(x, y, z, given.distance**2),
    )
    for mining in ("all", "hard", "semi_hard", "semi_hard_all", "hard_all"):
        yield Case(
            f"batch_triplet_loss {mining}",
            "x",
            lambda api, given, x, m=mining: api.batch_triplet_loss(
                x, given.labels, 0.3 * given.distance, mining=m
            ),
            leaves_out=("near",) if "_" in mining else (),
        )
    yield Case(
        "info_nce_loss",
        "x y",
        lambda api, given, x, y: api.info_nce_loss(x, y, 0.1, symmetric=True),
    )
    for function in ("supervised_contrastive_loss", "nt_xent_loss"):
        yield Case(
            function,
            "x",
            lambda api, given, x, f=function: getattr(api, f)(x, given.labels, 0.2),
        )
    yield Case(
        "sigmoid_contrastive_loss",
        "x y",
        lambda api, given, x, y: api.sigmoid_contrastive_loss(x, y, 10.0, -5.0),
    )
    yield Case(
        "pairwise_ranking_loss",
        "scores",
        lambda api, given, s: api.pairwise_ranking_loss(s[:, ::2], s[:, 1::2]),
    )
    for loss in ("logistic", "hinge", "soft_zero_one", "mse"):
        yield Case(
            f"list_ranking_loss {loss}",
            "scores",
            lambda api, given, s, f=loss: api.list_ranking_loss(s, given.relevance, loss=f),
        )
    yield Case(
        "list_ranking_loss ndcg",
        "scores",
        lambda api, given, s: api.list_ranking_loss(s, given.relevance, lambda_weight="ndcg"),
    )


CASES = {case.name: case for case in _cases()}


def _upstream(shape):
    """The gradient of what comes after distances: anything that every type holds."""
    return (np.arange(np.prod(shape, dtype=int)) * 37 % 17 - 8.0).reshape(shape) / 8


def results(case, api, given):
    """(value, gradients) by TensorFlow, of the package or of its reference; or of PyTorch."""
    import tensorflow as tf

    if api is accuracy_torch:
        return accuracy_torch.results(case, given, M, _upstream)

    points = [tf.constant(getattr(given, name)) for name in case.points]
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = case.call(api, given, *points)
        total = value
        if value.shape.rank:
            total = tf.reduce_sum(tf.cast(value, tf.float64) * _upstream(value.shape))
    if not case.differentiable:
        return value.numpy(), []
    return value.numpy(), [g.numpy() for g in tape.gradient(total, points)]


def exact(case, given):
    """The same in long double."""
    points = [getattr(given, name).astype(truth.REAL) for name in case.points]
    value = case.call(truth, given, *[x.astype(truth.COMPLEX) for x in points])
    if not case.differentiable:
        return value.real, []

    def total(*points):
        made = case.call(truth, given, *points)
        return (made * _upstream(made.shape)).sum() if np.ndim(made) else made

    return np.real(value), truth.gradients(total, points)


def errors(case, given, made, expected):
    """The worst relative errors of the value's elements, and of the gradients' rows.

    A row's error is held against the longest row of its gradient: one whose parts cancel is as
    exact as what it is a sum of.
    """
    import ml_dtypes

    value, slopes = made
    true, true_slopes = expected
    # What is below the type's normal numbers has no more digits than the least of them.
    scale = np.maximum(np.abs(true), ml_dtypes.finfo(value.dtype).smallest_normal)
    if case.scale is not None:
        scale = case.scale(*(getattr(given, name).astype(float) for name in case.points))
    difference = np.abs(np.asarray(value, truth.REAL) - true)
    with np.errstate(all="ignore"):
        worst = np.max(np.where(difference == 0, 0, difference / scale), initial=0)
    if not slopes:
        return float(worst), None
    worst_slope = 0.0
    for slope, true_slope in zip(slopes, true_slopes, strict=True):
        longest = np.linalg.norm(true_slope.astype(float), axis=-1).max()
        apart = np.linalg.norm((slope.astype(truth.REAL) - true_slope).astype(float), axis=-1).max()
        worst_slope = max(worst_slope, apart / longest if longest else apart)
    return float(worst), float(worst_slope)


def measure(cases, kinds, dtypes, apis, progress=None):
    """{(name, kind, dtype, api's name): (value's error, gradient's error)}"""
    found = {}
    for kind in kinds:
        for dtype in dtypes:
            given = draw(kind, dtype)
            for case in cases:
                if kind in case.leaves_out:
                    continue
                if progress:
                    progress(f"{kind} {dtype} {case.name}")
                expected = exact(case, given)
                for name, api in apis.items():
                    made = results(case, api, given)
                    if made is not None:
                        found[case.name, kind, dtype, name] = errors(case, given, made, expected)
    return found


# ---- the report ----


def _number(value):
    if value is None:
        return ""
    # Less is the rounding of long double.
    return "0" if value < 1e-18 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def _table(head, rows):
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _cell(ours, plain, torch=None):
    """Ours, in bold where it is more than three times as wrong as another; the others."""
    if ours is None:
        return ""
    others = [other for other in (plain, torch) if other is not None]
    worse = any(ours > 3 * other for other in others) and ours > 0
    bold = "**" if worse else ""
    return " / ".join([f"{bold}{_number(ours)}{bold}", *map(_number, others)])


def report(found, command):
    from tf_pairwise import _numpy

    names = list(dict.fromkeys(name for name, *_ in found))
    kinds = list(dict.fromkeys(kind for _, kind, *_ in found))
    dtypes = list(dict.fromkeys(dtype for _, _, dtype, _ in found))

    def worst(part, name, dtype, api, of=None):
        errors = [found.get((name, k, dtype, api), (None, None))[part] for k in of or kinds]
        return max((error for error in errors if error is not None), default=None)

    def over_data(part):
        rows = []
        for name in names:
            cells = [_cell(*(worst(part, name, t, api) for api in APIS)) for t in dtypes]
            if any(cells):
                rows.append([name, *cells])
        return _table(["", *dtypes], rows)

    def by_data(part, dtype):
        rows = []
        for name in names:
            cells = [
                _cell(*(worst(part, name, dtype, api, [kind]) for api in APIS)) for kind in kinds
            ]
            if any(cells):
                rows.append([name, *cells])
        return _table(["", *kinds], rows)

    metrics = [f"pairwise_distance {metric}" for metric in METRICS if metric != "dot"]
    metrics = [name for name in metrics if name in names]
    claims = [
        ["float32 distances are within 1e-5 relative of the exact ones"]
        + [_number(max(worst(0, n, "float32", "ours") for n in metrics))],
        ["halves are computed in float32 and rounded once: 4.9e-4 (float16), 3.9e-3 (bfloat16)"]
        + [", ".join(_number(max(worst(0, n, t, "ours") for n in metrics)) for t in DTYPES[:2])],
    ]
    return _TEXT.format(
        command=command,
        torch=accuracy_torch.TORCH if accuracy_torch else "PyTorch (not installed, not measured)",
        today=datetime.date.today().isoformat(),
        isa=_numpy.isa(),
        sizes=f"{N} points of {D} coordinates, {LISTS} lists of {LENGTH}",
        bits=np.finfo(truth.REAL).nmant + 1,
        roundings=", ".join(f"{t} {EPSILON[t]:.1e}" for t in dtypes),
        kinds="\n".join(f"- {kind}: {DATA[kind]}" for kind in kinds),
        claims=_table(["claim", "worst found"], claims),
        values=over_data(0),
        gradients=over_data(1),
        float32_values=by_data(0, "float32"),
        float32_gradients=by_data(1, "float32"),
    )


_TEXT = """# How exact results are

Made by `{command}` on {today}, on a CPU, vectors: {isa}; {sizes}.

Every function against the same formula in long double ({bits} bits, `benchmarks/truth.py`), whose
derivatives are made by the complex step. Points are rounded to their type first, so that the error
is that of the computation. Beside each is `tf_pairwise.reference`, the same in plain TensorFlow and
of the same type, and then what {torch} has of it
(`benchmarks/accuracy_torch.py`; its `cdist` takes no halves on a CPU). An error is relative: of a
value to its exact one (dot products: to the product of the lengths), of a gradient's row to the
longest row. **Bold** where the fused function is more than three times as far off as one of the
others. A rounding is {roundings}.

The points are

{kinds}

## What is claimed

{claims}

## Values, worst over the data: fused / plain / torch

{values}

## Gradients, worst over the data: fused / plain / torch

{gradients}

## float32 by data, values: fused / plain / torch

{float32_values}

## float32 by data, gradients: fused / plain / torch

{float32_gradients}

Where both are far off, it is a small difference of large numbers, or rounding decides a choice: of
triplets, by distances that are nearly the same. On points that are nearly the same in pairs nothing
else decides what "semi_hard", "semi_hard_all" and "hard_all" mine: they are left out there.
"""


def main(arguments=None):
    import tf_pairwise as tpw

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", nargs="?", default="docs/accuracy.md")
    out = parser.parse_args(arguments).out
    apis = {"ours": tpw, "plain": tpw.reference}
    if accuracy_torch:
        apis["torch"] = accuracy_torch
    show = (
        (lambda text: print(f"\r{text:70}", end="", file=sys.stderr))
        if sys.stderr.isatty()
        else None
    )
    found = measure(CASES.values(), DATA, DTYPES, apis, show)
    with open(out, "w") as file:
        file.write(report(found, "python -m benchmarks.accuracy"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

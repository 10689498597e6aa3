"""Nearest neighbours: against all distances by matmul, then top_k."""

import tf_pairwise as tpw
from tf_pairwise import reference

from . import inputs
from .harness import Case, Target, one_call


def nearest(api, k, only=None):
    """The distances, which say what is found; indices of near ties are rounding."""

    def search(queries, keys, query_labels=None, key_labels=None):
        return api.nearest_neighbors(
            queries, keys, k, query_labels=query_labels, key_labels=key_labels, only=only
        )[0]

    return search


def itself(api, k):
    return lambda queries: api.nearest_neighbors(queries, k=k)[0]


def two_sets(n, d):
    return inputs.points(n, d, seed=1), inputs.points(n, d, seed=2)


def labelled(n, d, classes):
    x, labels = inputs.batch(n, d, classes, seed=1)
    y, key_labels = inputs.batch(n, d, classes, seed=2)
    return x, y, labels, key_labels


def one_product(n, d, **_):
    return 2 * n * n * d


# XLA sorts every row: minutes.
LARGE = dict(gradient_of=(), flops=one_product, xla=False, needs_gib=6)
SIZES = dict(sizes=dict(n=16384, d=128), quick=dict(n=1024))

CASES = [
    Case(
        name="nearest_neighbors(x, y), k=10",
        inputs=two_sets,
        fused=nearest(tpw, 10),
        reference=nearest(reference, 10),
        target=Target(reference=4, memory_mb=64),
        **SIZES,
        **LARGE,
    ),
    Case(
        name="nearest_neighbors(x), k=10",
        inputs=lambda n, d: (inputs.points(n, d, seed=1),),
        fused=itself(tpw, 10),
        reference=itself(reference, 10),
        target=Target(reference=4, memory_mb=64),
        **SIZES,
        **LARGE,
    ),
    Case(
        name="nearest_neighbors(x, y), k=10, other_label",
        sizes=dict(n=16384, d=128, classes=1000),
        quick=dict(n=1024, classes=100),
        inputs=labelled,
        fused=nearest(tpw, 10, "other_label"),
        reference=nearest(reference, 10, "other_label"),
        target=Target(reference=4, memory_mb=64),
        **LARGE,
    ),
    *(
        Case(
            name=f"nearest_neighbors(x, y), k={k}",
            sizes=dict(n=8192, d=128),
            quick=dict(n=1024),
            inputs=two_sets,
            fused=nearest(tpw, k),
            reference=nearest(reference, k),
            **LARGE,
        )
        for k in (1, 100, 1000)
    ),
    *one_call(
        "nearest_neighbors",
        sizes=dict(n=32, d=64),
        inputs=two_sets,
        fused=nearest(tpw, 10),
        reference=nearest(reference, 10),
        gradient_of=(),
    ),
]

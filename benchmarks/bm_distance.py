"""Distances of all pairs: the value alone, and with its gradient."""

from functools import partial

import tf_pairwise as tpw
from tf_pairwise import reference

from . import inputs
from .harness import Case, Target, one_call


def two_sets(n, d, m=None):
    return inputs.points(n, d, seed=1), inputs.points(m or n, d, seed=2)


def one_set(n, d):
    return (inputs.points(n, d, seed=1),)


def upstream(n, m=None, **_):
    return inputs.points(n, m or n, seed=3)


COMMON = dict(fused=tpw.pairwise_distance, reference=reference.pairwise_distance)
LARGE = dict(sizes=dict(n=4096, d=128), quick=dict(n=512), **COMMON)

CASES = [
    Case(
        name="pairwise_distance(x, y)",
        inputs=two_sets,
        gradient_of=(),
        flops=lambda n, d: 2 * n * n * d,
        target=Target(reference=2, xla=1.2, outputs_only=True),
        **LARGE,
    ),
    Case(
        name="pairwise_distance(x)",
        inputs=one_set,
        gradient_of=(),
        flops=lambda n, d: n * n * d,
        target=Target(reference=2, xla=1.2, outputs_only=True),
        **LARGE,
    ),
    Case(
        name="pairwise_distance(x, y), manhattan",
        inputs=two_sets,
        gradient_of=(),
        sizes=LARGE["sizes"],
        quick=LARGE["quick"],
        fused=partial(tpw.pairwise_distance, metric="manhattan"),
        reference=partial(reference.pairwise_distance, metric="manhattan"),
        needs_gib=18,  # 4,096 x 4,096 x 128 differences, twice
    ),
    Case(
        name="pairwise_distance(x, y), gradient",
        inputs=two_sets,
        gradient_of=(0, 1),
        upstream=upstream,
        flops=lambda n, d: 6 * n * n * d,
        **LARGE,
    ),
    Case(
        name="pairwise_distance(x), gradient",
        inputs=one_set,
        upstream=upstream,
        flops=lambda n, d: 3 * n * n * d,
        **LARGE,
    ),
    *one_call(
        "pairwise_distance",
        sizes=dict(n=32, d=64),
        inputs=two_sets,
        gradient_of=(0, 1),
        upstream=upstream,
        **COMMON,
    ),
    *one_call(
        "paired_distance",
        sizes=dict(n=32, d=64),
        inputs=two_sets,
        gradient_of=(0, 1),
        upstream=lambda n, d: inputs.points(n, seed=3),
        fused=tpw.paired_distance,
        reference=reference.paired_distance,
    ),
]

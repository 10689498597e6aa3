"""Ranking losses: over the pairs of items of each list, and of explicit pairs."""

from functools import partial

import numpy as np

import tf_pairwise as tpw
from tf_pairwise import reference

from .harness import Case, Target, one_call


def lists(b, length, grades=5, seed=0):
    """Scores and graded relevances [b, length]."""
    rng = np.random.default_rng(seed + 5000)
    scores = rng.normal(size=(b, length)).astype(np.float32)
    return scores, rng.integers(0, grades, (b, length)).astype(np.float32)


def pairs(n, seed=0):
    rng = np.random.default_rng(seed + 6000)
    return tuple(rng.normal(size=n).astype(np.float32) for _ in range(2))


def over_lists(name, target, needs_gib=4, **options):
    return Case(
        name=name,
        sizes=dict(b=128, length=512),
        quick=dict(b=16, length=64),
        inputs=lists,
        fused=partial(tpw.list_ranking_loss, **options),
        reference=partial(reference.list_ranking_loss, **options),
        target=target,
        needs_gib=needs_gib,
    )


CASES = [
    over_lists("list logistic", Target(reference=8, memory_mb=8)),
    over_lists("list hinge", Target(reference=30, memory_mb=8), loss="hinge"),
    over_lists("list logistic, ndcg", Target(reference=8, memory_mb=8), lambda_weight="ndcg"),
    over_lists("list mse", Target(reference=30, memory_mb=8), loss="mse"),
    Case(
        name="list logistic, long",
        sizes=dict(b=1, length=100_000),
        quick=dict(length=2000),
        inputs=lists,
        fused=tpw.list_ranking_loss,
        reference=reference.list_ranking_loss,
        target=Target(memory_mb=64),
        fused_only=True,
    ),
    Case(
        name="explicit ranking pairs",
        sizes=dict(n=1 << 20),
        quick=dict(n=4096),
        inputs=pairs,
        fused=tpw.pairwise_ranking_loss,
        reference=reference.pairwise_ranking_loss,
        gradient_of=(0, 1),
        target=Target(outputs_only=True),
    ),
    *one_call(
        "list_ranking_loss",
        sizes=dict(b=8, length=32),
        inputs=lists,
        fused=tpw.list_ranking_loss,
        reference=reference.list_ranking_loss,
    ),
]

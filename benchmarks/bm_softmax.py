"""Losses over the soft-max, or the sigmoids, of the dot products of a batch."""

from functools import partial

import tf_pairwise as tpw
from tf_pairwise import reference

from . import inputs
from .harness import Case, Target, one_call


def two_views(n, d):
    """Queries, and keys that are somewhat nearer to their own query than to the others."""
    x, y, _ = inputs.triplets(n, d)
    return x, y


# Without a saved matrix the dot products are made twice, for the sums and for the gradient: 2 n^2 d
# each of two sets, and as much for the gradient of either.
def two_sides(n, d, **_):
    return 8 * n * n * d


# Of a set with itself half of each.
def one_side(n, d, **_):
    return 4 * n * n * d


# Sigmoids need no sum first.
def sigmoid_sides(n, d, **_):
    return 6 * n * n * d


CASES = [
    Case(
        name="info_nce",
        sizes=dict(n=4096, d=128),
        quick=dict(n=512),
        inputs=two_views,
        fused=tpw.info_nce_loss,
        reference=reference.info_nce_loss,
        gradient_of=(0, 1),
        flops=two_sides,
        target=Target(reference=1, xla=1, memory_mb=16),
    ),
    Case(
        name="info_nce, large",
        sizes=dict(n=32768, d=128),
        quick=dict(n=1024),
        inputs=two_views,
        fused=tpw.info_nce_loss,
        reference=reference.info_nce_loss,
        gradient_of=(0, 1),
        flops=two_sides,
        target=Target(memory_mb=256),
        fused_only=True,
    ),
    Case(
        name="info_nce, symmetric",
        sizes=dict(n=2048, d=128),
        quick=dict(n=512),
        inputs=two_views,
        fused=partial(tpw.info_nce_loss, symmetric=True),
        reference=partial(reference.info_nce_loss, symmetric=True),
        gradient_of=(0, 1),
        flops=two_sides,
    ),
    Case(
        name="supervised contrastive",
        sizes=dict(n=2048, d=128, classes=256),
        quick=dict(n=512, classes=64),
        inputs=inputs.batch,
        fused=tpw.supervised_contrastive_loss,
        reference=reference.supervised_contrastive_loss,
        flops=one_side,
    ),
    Case(
        name="nt_xent",
        sizes=dict(n=2048, d=128, classes=1024),
        quick=dict(n=512, classes=256),
        inputs=inputs.batch,
        fused=tpw.nt_xent_loss,
        reference=reference.nt_xent_loss,
        flops=one_side,
    ),
    Case(
        name="nt_xent, small",
        sizes=dict(n=512, d=128, classes=256),
        quick=dict(n=128, classes=64),
        inputs=inputs.batch,
        fused=tpw.nt_xent_loss,
        reference=reference.nt_xent_loss,
        flops=one_side,
    ),
    Case(
        name="sigmoid contrastive",
        sizes=dict(n=2048, d=128),
        quick=dict(n=512),
        inputs=two_views,
        fused=partial(tpw.sigmoid_contrastive_loss, scale=10.0, bias=-10.0),
        reference=partial(reference.sigmoid_contrastive_loss, scale=10.0, bias=-10.0),
        gradient_of=(0, 1),
        flops=sigmoid_sides,
    ),
    *one_call(
        "info_nce_loss",
        sizes=dict(n=32, d=64),
        inputs=two_views,
        fused=tpw.info_nce_loss,
        reference=reference.info_nce_loss,
        gradient_of=(0, 1),
    ),
]

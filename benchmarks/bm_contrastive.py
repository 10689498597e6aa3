"""Contrastive losses: over the pairs of a batch, and of explicit pairs."""

import tf_pairwise as tpw
from tf_pairwise import reference

from . import inputs
from .harness import Case, Target, one_call


def pairs(n, d):
    """Explicit pairs and their labels."""
    x, y, _ = inputs.triplets(n, d)
    return x, y, inputs.labels(n, 2)


# A triangle of the distances, n^2 d, and the weights of both ends of its pairs times the points.
def triangle_and_gradient(n, d, **_):
    return 3 * n * n * d


CASES = [
    Case(
        name="batch contrastive",
        sizes=dict(n=4096, d=128, classes=512),
        quick=dict(n=512, classes=64),
        inputs=inputs.batch,
        fused=tpw.batch_contrastive_loss,
        reference=reference.batch_contrastive_loss,
        flops=triangle_and_gradient,
        target=Target(reference=7, xla=3, floor=1.5, memory_mb=16),
        needs_gib=1,
    ),
    Case(
        name="batch contrastive, large",
        sizes=dict(n=65536, d=64, classes=4096),
        quick=dict(n=1024, classes=64),
        inputs=inputs.batch,
        fused=tpw.batch_contrastive_loss,
        reference=reference.batch_contrastive_loss,
        flops=triangle_and_gradient,
        target=Target(memory_mb=256),
        fused_only=True,
    ),
    Case(
        name="explicit contrastive",
        sizes=dict(n=65536, d=128),
        quick=dict(n=4096),
        inputs=pairs,
        fused=tpw.contrastive_loss,
        reference=reference.contrastive_loss,
        gradient_of=(0, 1),
        target=Target(reference=2.5, xla=2, outputs_only=True),
    ),
    *one_call(
        "contrastive_loss",
        sizes=dict(n=32, d=64),
        inputs=pairs,
        fused=tpw.contrastive_loss,
        reference=reference.contrastive_loss,
        gradient_of=(0, 1),
    ),
    *one_call(
        "batch_contrastive_loss",
        sizes=dict(n=32, d=64, classes=8),
        inputs=inputs.batch,
        fused=tpw.batch_contrastive_loss,
        reference=reference.batch_contrastive_loss,
    ),
]

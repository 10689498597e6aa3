"""Triplet losses: over the triplets of a batch, and of explicit triplets."""

from functools import partial

import tf_pairwise as tpw
from tf_pairwise import reference

from . import inputs
from .harness import Case, Target, one_call


def mining(name, api):
    return partial(api.batch_triplet_loss, mining=name)


# One triangle of the distances, n^2 d: the gradient of "hard" and "semi_hard" has a few rows for
# each anchor or positive pair. That of "all" is another product with a full matrix, 2 n^2 d.
def distances(n, d, **_):
    return n * n * d


def distances_and_gradient(n, d, **_):
    return 3 * n * n * d


CASES = [
    Case(
        name="batch hard",
        sizes=dict(n=4096, d=128, classes=512),
        quick=dict(n=512, classes=64),
        inputs=inputs.batch,
        fused=mining("hard", tpw),
        reference=mining("hard", reference),
        flops=distances,
        target=Target(reference=15, xla=8, memory_mb=16),
        tolerance=1e-3,  # of equals in float32, either may be the hardest
    ),
    Case(
        name="batch semi-hard",
        sizes=dict(n=1024, d=128, classes=128),
        quick=dict(n=128, classes=16),
        inputs=inputs.batch,
        fused=mining("semi_hard", tpw),
        reference=mining("semi_hard", reference),
        flops=distances,
        target=Target(reference=50, memory_mb=16),
        tolerance=1e-3,
        needs_gib=8,
    ),
    Case(
        name="batch all",
        sizes=dict(n=512, d=128, classes=64),
        quick=dict(n=128, classes=16),
        inputs=inputs.batch,
        fused=mining("all", tpw),
        reference=mining("all", reference),
        flops=distances_and_gradient,
        target=Target(reference=60, xla=30, memory_mb=64),
        needs_gib=3,
    ),
    Case(
        name="batch all, large",
        sizes=dict(n=16384, d=64, classes=1000),
        quick=dict(n=256, classes=16),
        inputs=inputs.batch,
        fused=mining("all", tpw),
        reference=mining("all", reference),
        flops=distances_and_gradient,
        target=Target(seconds=10, memory_mb=256),
        fused_only=True,
    ),
    Case(
        name="explicit triplets",
        sizes=dict(n=65536, d=128),
        quick=dict(n=4096),
        inputs=inputs.triplets,
        fused=tpw.triplet_loss,
        reference=reference.triplet_loss,
        gradient_of=(0, 1, 2),
        target=Target(reference=2.5, xla=2, outputs_only=True),
    ),
    *one_call(
        "triplet_loss",
        sizes=dict(n=32, d=64),
        inputs=inputs.triplets,
        fused=tpw.triplet_loss,
        reference=reference.triplet_loss,
        gradient_of=(0, 1, 2),
    ),
]
for name in ("all", "hard", "semi_hard"):
    CASES += one_call(
        f"batch_triplet_loss, {name}",
        sizes=dict(n=32, d=64, classes=8),
        inputs=inputs.batch,
        fused=mining(name, tpw),
        reference=mining(name, reference),
    )

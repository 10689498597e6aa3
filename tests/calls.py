"""Every public function in a few ways, for tests of what surrounds a call: XLA, saved models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tests import inputs

# Large enough for several tiles, so that work is shared out among threads.
N, M, D, CLASSES = 130, 150, 20, 13


@dataclass(frozen=True)
class Call:
    """`function(api, *points)`, the api being tf_pairwise or its reference."""

    name: str
    function: Callable
    points: Sequence[np.ndarray]
    op: str  # of which it makes use, without the namespace
    reduced: bool = True  # a scalar
    differentiable: bool = True

    def tensors(self, dtype) -> list[tf.Tensor]:
        return [tf.cast(tf.constant(x, tf.float64), dtype) for x in self.points]


def _points(count=2, n=N, d=D):
    return [inputs.points(n, d, seed=seed, scale=d**-0.5) for seed in range(count)]


LABELS = inputs.labels(N, CLASSES)
PAIR_LABELS = inputs.labels(N, 2)
WEIGHTS = inputs.weights(N)
ANCHORS, ANCHOR_LABELS, REFS, REF_LABELS, OFFSET = inputs.references(N, M, D, CLASSES)
LISTS, LENGTH = 6, 21
SCORES = inputs.points(LISTS, LENGTH)
RELEVANCE = (inputs.labels(LISTS * LENGTH, 5).reshape(LISTS, LENGTH) - 1).astype(np.float32)
SPLITS = (0, 3, 3, 40, LISTS * LENGTH)


def ragged(values):
    return tf.RaggedTensor.from_row_splits(tf.reshape(values, [-1]), SPLITS, validate=False)


def _calls():
    x, y, z = _points(3)
    for metric in inputs.METRICS:
        yield Call(
            f"pairwise_distance {metric}",
            lambda api, x, y, m=metric: api.pairwise_distance(x, y, m),
            (x, y[:-9]),
            "PairwiseDistance",
            reduced=False,
        )
    yield Call(
        "pairwise_distance itself",
        lambda api, x: api.pairwise_distance(tf.reshape(x, [2, -1, D])),
        (x,),
        "PairwiseDistance",
        reduced=False,
    )
    yield Call(
        "paired_distance",
        lambda api, x, y: api.paired_distance(x, y),
        (x, y),
        "PairedDistance",
        reduced=False,
    )
    for reduction in inputs.REDUCTIONS:
        yield Call(
            f"triplet_loss {reduction}",
            lambda api, *p, r=reduction: api.triplet_loss(
                *p, 0.4, swap=True, sample_weight=WEIGHTS, reduction=r
            ),
            (x, y, z),
            "TripletLoss",
            reduced=reduction != "none",
        )
        yield Call(
            f"contrastive_loss {reduction}",
            lambda api, *p, r=reduction: api.contrastive_loss(
                *p, PAIR_LABELS, 1.2, sample_weight=WEIGHTS, reduction=r
            ),
            (x, y),
            "ContrastiveLoss",
            reduced=reduction != "none",
        )
    for mining in inputs.MININGS:
        yield Call(
            f"batch_triplet_loss {mining}",
            lambda api, x, m=mining: api.batch_triplet_loss(x, LABELS, 0.2, mining=m),
            (x,),
            "BatchTripletLoss",
        )
    for name, op in (
        ("batch_triplet_loss", "BatchTripletLoss"),
        ("batch_contrastive_loss", "BatchContrastiveLoss"),
    ):
        for reduction in ("none", "mean_nonzero"):
            yield Call(
                f"{name} references {reduction}",
                lambda api, x, y, f=name, r=reduction: getattr(api, f)(
                    x,
                    ANCHOR_LABELS,
                    ref_embeddings=y,
                    ref_labels=REF_LABELS,
                    self_offset=OFFSET,
                    sample_weight=WEIGHTS,
                    reduction=r,
                ),
                (ANCHORS, REFS),
                op,
                reduced=reduction != "none",
            )
    yield Call(
        "batch_contrastive_loss balanced",
        lambda api, x: api.batch_contrastive_loss(x, LABELS[:, None], reduction="balanced_mean"),
        (x,),
        "BatchContrastiveLoss",
    )
    temperature = np.float32(0.3)
    yield Call(
        "info_nce_loss",
        lambda api, q, k, t: api.info_nce_loss(q, k, t, symmetric=True),
        (x, y, temperature),
        "SoftmaxLoss",
    )
    yield Call(
        "supervised_contrastive_loss",
        lambda api, x, t: api.supervised_contrastive_loss(x, LABELS, t),
        (x, temperature),
        "SoftmaxLoss",
    )
    yield Call(
        "nt_xent_loss",
        lambda api, x, t: api.nt_xent_loss(x, LABELS, t),
        (x, temperature),
        "SoftmaxLoss",
    )
    yield Call(
        "sigmoid_contrastive_loss",
        lambda api, q, k, s, b: api.sigmoid_contrastive_loss(q, k, s, b),
        (x, y, np.float32(3), np.float32(-1)),
        "SoftmaxLoss",
    )
    yield Call(
        "info_nce_loss keys none",
        lambda api, q, k, t: api.info_nce_loss(
            q, k, t, positive_offset=OFFSET, sample_weight=WEIGHTS, reduction="none"
        ),
        (ANCHORS, REFS, temperature),
        "SoftmaxLoss",
        reduced=False,
    )
    yield Call(
        "supervised_contrastive_loss references",
        lambda api, x, y, t: api.supervised_contrastive_loss(
            x,
            ANCHOR_LABELS,
            t,
            ref_embeddings=y,
            ref_labels=REF_LABELS,
            self_offset=OFFSET,
            sample_weight=WEIGHTS,
        ),
        (ANCHORS, REFS, temperature),
        "SoftmaxLoss",
    )
    yield Call(
        "pairwise_ranking_loss",
        lambda api, p, n: api.pairwise_ranking_loss(p, n, loss="hinge"),
        (SCORES, SCORES[::-1]),
        "PairwiseRankingLoss",
    )
    for loss in ("logistic", "hinge", "soft_zero_one", "mse"):
        for reduction in ("none", "mean"):
            yield Call(
                f"list_ranking_loss {loss} {reduction}",
                lambda api, s, f=loss, r=reduction: api.list_ranking_loss(
                    s, RELEVANCE, loss=f, mask=SCORES > -1.5, reduction=r
                ),
                (SCORES,),
                "ListRankingLoss",
                reduced=reduction != "none",
            )
    yield Call(
        "list_ranking_loss ragged",
        lambda api, s: api.list_ranking_loss(
            ragged(s), ragged(RELEVANCE), lambda_weight="ndcg", topn=5
        ),
        (SCORES,),
        "ListRankingLoss",
    )
    yield Call(
        "nearest_neighbors",
        lambda api, x: api.nearest_neighbors(
            x, k=4, query_labels=LABELS, only="other_label", metric="cosine"
        ),
        (x,),
        "NearestNeighbors",
        reduced=False,
        differentiable=False,
    )


CALLS = {call.name: call for call in _calls()}


def value_and_gradients(function, points):
    """[values..., gradients...] of the sum of squares of what `function` gives."""
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = function(*points)
        total = tf.reduce_sum(tf.square(value))
    return [value, *tape.gradient(total, points)]


def run(api, call, points):
    """All that a call gives: its value, and its gradients if it has any."""
    if not call.differentiable:
        return list(call.function(api, *points))
    return value_and_gradients(lambda *p: call.function(api, *p), points)

"""A user's file, for type checkers alone (tests/test_typing.py): every function and class.

What is wrong on purpose carries an ignore; one that is not needed is an error too.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

import tf_pairwise as tpw
from tf_pairwise import numpy as tpn
from tf_pairwise import reference

x: npt.NDArray[np.float32] = np.ones((8, 4), np.float32)
y = np.zeros((8, 4), np.float32)
labels = np.arange(8) % 3
scores: list[list[float]] = [[0.3, 0.1], [0.2, 0.4]]
relevance = [[1, 0], [0, 2]]


def functions() -> list[Any]:
    distances, indices = tpw.nearest_neighbors(x, y, 3, metric="cosine")
    return [
        distances,
        indices,
        tpw.nearest_neighbors(x, k=2, query_labels=labels, only="other_label"),
        tpw.pairwise_distance(x),
        tpw.pairwise_distance(x, y, "manhattan"),
        tpw.paired_distance(x, y, metric="chebyshev"),
        tpw.contrastive_loss(x, y, labels % 2, 1.0, similar_label=1, reduction="sum"),
        tpw.batch_contrastive_loss(x, labels, squared=False, reduction="balanced_mean"),
        tpw.triplet_loss(x, y, x, None, swap=True),
        tpw.batch_triplet_loss(x, labels, 0.5, mining="hard", ref_embeddings=y, ref_labels=labels),
        tpw.mine_triplets(x, labels, 0.5, mining="semi_hard_all"),
        tpw.info_nce_loss(x, y, 0.1, symmetric=True, sample_weight=np.ones(8)),
        tpw.supervised_contrastive_loss(x, labels, temperature=0.1),
        tpw.nt_xent_loss(x, labels, normalize=False),
        tpw.sigmoid_contrastive_loss(x, y, 10.0, -10.0, positive_offset=0),
        tpw.pairwise_ranking_loss(x[0], y[0], loss="soft_zero_one"),
        tpw.list_ranking_loss(scores, relevance, lambda_weight="ndcg", topn=5),
        reference.batch_triplet_loss(x, labels, mining="all"),
        reference.list_ranking_loss(scores, relevance, loss="mse", reduction="mean_lists"),
    ]


def wrong() -> None:
    tpw.pairwise_distance(x, y, "l2")  # type: ignore[arg-type]
    tpw.batch_triplet_loss(x, labels, mining="hardest")  # type: ignore[arg-type]
    tpw.batch_triplet_loss(x, labels, "hard")  # type: ignore[arg-type]
    tpw.mine_triplets(x, labels, 0.5, "hard")  # type: ignore[call-arg]
    tpw.info_nce_loss(x, y, reduction="mean_nonzero")  # type: ignore[arg-type]
    tpw.list_ranking_loss(scores, relevance, lambda_weight="mrr")  # type: ignore[arg-type]
    tpw.nearest_neighbors(x, k=2.5)  # type: ignore[arg-type]
    tpn.contrastive_loss(x, y, labels, reduction="avg")  # type: ignore[arg-type]
    tpw.keras.losses.BatchTripletLoss(mining="easy")  # type: ignore[arg-type]
    tpw.keras.losses.NTXentLoss(reduction="mean_nonzero")  # type: ignore[arg-type]
    tpw.keras.layers.InfoNCE(symmetric="yes")  # type: ignore[arg-type]
    tpw.data.balanced_batches(x, labels, 2, 2, small_classes="drop")  # type: ignore[arg-type]


def arrays() -> list[Any]:
    loss, gradient = tpn.batch_triplet_loss(x, labels, with_gradient=True, threads=2)
    return [
        loss,
        gradient,
        tpn.pairwise_distance(x, y, "dot"),
        tpn.pairwise_distance_gradient(x, y, np.ones((8, 8), np.float32)),
        tpn.paired_distance(x, y),
        tpn.paired_distance_gradient(x, y, np.ones(8, np.float32)),
        tpn.nearest_neighbors(x, k=2),
        tpn.contrastive_loss(x, y, labels),
        tpn.batch_contrastive_loss(x, labels),
        tpn.triplet_loss(x, y, x),
        tpn.mine_triplets(x, labels, mining="hard"),
        tpn.info_nce_loss(x, y),
        tpn.supervised_contrastive_loss(x, labels),
        tpn.nt_xent_loss(x, labels),
        tpn.sigmoid_contrastive_loss(x, y, 10.0, -10.0),
        tpn.pairwise_ranking_loss(x[0], y[0]),
        tpn.list_ranking_loss(np.array(scores), np.array(relevance), loss="hinge"),
    ]


def in_keras() -> list[Any]:
    losses, layers, metrics = tpw.keras.losses, tpw.keras.layers, tpw.keras.metrics
    memory = tpw.keras.CrossBatchMemory(100, warmup=2, dimensions=4)
    return [
        losses.BatchContrastiveLoss(0.5, memory=memory),
        losses.BatchTripletLoss(None, mining="semi_hard", reduction="sum_over_batch_size"),
        losses.ContrastiveLoss(1.0, similar_label=1),
        losses.InfoNCELoss(0.1, symmetric=True, global_batch=True),
        losses.ListRankingLoss(loss="logistic", lambda_weight="dcg", topn=3),
        losses.NTXentLoss(0.5, reduction=None),
        losses.PairwiseRankingLoss(loss="hinge", margin=0.5),
        losses.SigmoidContrastiveLoss(10.0, -10.0, name="siglip"),
        losses.SupervisedContrastiveLoss(0.1, dtype="float32"),
        losses.TripletLoss(0.2, metric="cosine", swap=True),
        layers.InfoNCE(0.07, temperature_bounds=(0.01, None)),
        layers.NTXent(0.5),
        layers.SigmoidContrastive(10.0, -10.0),
        layers.SupervisedContrastive(0.1, trainable=False),
        metrics.RecallAtK(5, metric="cosine", capacity=1000),
        metrics.MeanAveragePrecisionAtR(),
        metrics.NDCG(10),
        metrics.PairwiseAccuracy(name="auc"),
        tpw.keras.callbacks.EvaluateEmbeddings(x, labels, metrics.RecallAtK(1), prefix="test_"),
    ]


def data_and_replicas() -> list[Any]:
    return [
        tpw.data.balanced_batches(x, labels, 2, 2, small_classes="skip", seed=1),
        tpw.data.pairs(x, labels, 4, seed=1),
        tpw.data.triplets(x, labels, 4, seed=1),
        tpw.distribute.batch_triplet_loss(x, labels, 0.5, mining="hard"),
        tpw.distribute.batch_contrastive_loss(x, labels),
        tpw.distribute.info_nce_loss(x, y),
        tpw.distribute.supervised_contrastive_loss(x, labels),
        tpw.distribute.nt_xent_loss(x, labels),
        tpw.distribute.sigmoid_contrastive_loss(x, y, 10.0, -10.0),
    ]


version: str = tpw.__version__

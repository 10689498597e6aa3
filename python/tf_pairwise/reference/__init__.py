"""The formulas of tf_pairwise in plain TensorFlow: readable, slow, and the oracle of every test.

Each function here has the name, the arguments and the results of its fused counterpart in
``tf_pairwise``. Nothing is clever: a loss over triplets builds the N x N x N tensor that the
fused kernels exist to avoid, and its gradient is what TensorFlow's autodiff makes of it.
"""

from tf_pairwise.reference.contrastive import batch_contrastive_loss, contrastive_loss
from tf_pairwise.reference.distance import paired_distance, pairwise_distance
from tf_pairwise.reference.neighbors import nearest_neighbors
from tf_pairwise.reference.ranking import list_ranking_loss, pairwise_ranking_loss
from tf_pairwise.reference.softmax import (
    info_nce_loss,
    nt_xent_loss,
    sigmoid_contrastive_loss,
    supervised_contrastive_loss,
)
from tf_pairwise.reference.triplet import batch_triplet_loss, mine_triplets, triplet_loss

__all__ = [
    "batch_contrastive_loss",
    "batch_triplet_loss",
    "contrastive_loss",
    "info_nce_loss",
    "list_ranking_loss",
    "mine_triplets",
    "nearest_neighbors",
    "nt_xent_loss",
    "paired_distance",
    "pairwise_distance",
    "pairwise_ranking_loss",
    "sigmoid_contrastive_loss",
    "supervised_contrastive_loss",
    "triplet_loss",
]

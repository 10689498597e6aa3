"""The functions of `tf_pairwise` on NumPy arrays, without TensorFlow.

The same kernels, arguments and meaning, and the same bits. What differs: a function that has a
gradient returns it with ``with_gradient=True``, or has a sibling ``..._gradient``; ``threads``
says how many threads to run on (None: one per processor), which no result depends on.

Arrays are float16, float32, float64, or ``ml_dtypes.bfloat16``; those that are not contiguous
are copied. Errors are ValueError and TypeError.

    >>> import numpy as np
    >>> from tf_pairwise import numpy as tpn
    >>> x = np.array([[0.0], [2.0], [3.0], [7.0]], np.float32)
    >>> float(tpn.batch_triplet_loss(x, np.array([0, 0, 1, 1]), 0.5, mining="hard"))
    1.25
"""

from tf_pairwise.numpy.contrastive import batch_contrastive_loss, contrastive_loss
from tf_pairwise.numpy.distance import (
    paired_distance,
    paired_distance_gradient,
    pairwise_distance,
    pairwise_distance_gradient,
)
from tf_pairwise.numpy.neighbors import nearest_neighbors
from tf_pairwise.numpy.ranking import list_ranking_loss, pairwise_ranking_loss
from tf_pairwise.numpy.softmax import (
    info_nce_loss,
    nt_xent_loss,
    sigmoid_contrastive_loss,
    supervised_contrastive_loss,
)
from tf_pairwise.numpy.triplet import batch_triplet_loss, mine_triplets, triplet_loss

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
    "paired_distance_gradient",
    "pairwise_distance",
    "pairwise_distance_gradient",
    "pairwise_ranking_loss",
    "sigmoid_contrastive_loss",
    "supervised_contrastive_loss",
    "triplet_loss",
]

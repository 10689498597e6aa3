"""The functions of `tf_pairwise` on NumPy arrays, without TensorFlow.

The same kernels, arguments and meaning, and the same bits. What differs: a function that has a
gradient returns it with ``with_gradient=True``, or has a sibling ``..._gradient``; ``threads``
says how many threads to run on (None: one per processor), which no result depends on.

Arrays are float16, float32, float64, or ``ml_dtypes.bfloat16``; those that are not contiguous
are copied. Errors are ValueError and TypeError.

Arrays on a GPU, of any library that has ``__cuda_array_interface__`` or DLPack, give results on
that GPU, losses included: PyTorch and CuPy get their own arrays, others a ``DeviceArray``, which
has both protocols and ``copy_to_host()``. All arrays of a call are on one GPU; ``row_splits`` may
be on the host, and is copied there, which waits. What has another type or order than is needed is
converted by its library, if it can. The work is put on the stream that is current in the library
(or that the array's interface names) and not waited for, but for libraries that do not say which
it is: JAX, say. ``threads`` is of no use there. No gradient is recorded: ask for
``with_gradient=True``. An array that says ``uint16`` by its interface and has no DLPack is
bfloat16.

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

"""Pairwise distances and the losses over pairs, as fused TensorFlow ops.

The public names, imported when they are first used, so that
`import tf_pairwise.numpy` needs no TensorFlow. The ops themselves are
registered as soon as TensorFlow is imported, before or after this package: a
SavedModel that holds one loads after `import tf_pairwise`.
"""

import importlib
from typing import TYPE_CHECKING

from tf_pairwise import _library

if TYPE_CHECKING:
    from tf_pairwise import data as data
    from tf_pairwise import distribute as distribute
    from tf_pairwise import keras as keras
    from tf_pairwise import numpy as numpy
    from tf_pairwise import reference as reference
    from tf_pairwise.contrastive import batch_contrastive_loss, contrastive_loss
    from tf_pairwise.distance import paired_distance, pairwise_distance
    from tf_pairwise.neighbors import nearest_neighbors
    from tf_pairwise.ranking import list_ranking_loss, pairwise_ranking_loss
    from tf_pairwise.softmax import (
        info_nce_loss,
        nt_xent_loss,
        sigmoid_contrastive_loss,
        supervised_contrastive_loss,
    )
    from tf_pairwise.triplet import batch_triplet_loss, mine_triplets, triplet_loss

    __version__: str

# Name of a function -> the family module that holds it.
_FUNCTIONS = {
    "batch_contrastive_loss": "contrastive",
    "batch_triplet_loss": "triplet",
    "list_ranking_loss": "ranking",
    "contrastive_loss": "contrastive",
    "info_nce_loss": "softmax",
    "mine_triplets": "triplet",
    "nearest_neighbors": "neighbors",
    "nt_xent_loss": "softmax",
    "paired_distance": "distance",
    "pairwise_distance": "distance",
    "pairwise_ranking_loss": "ranking",
    "sigmoid_contrastive_loss": "softmax",
    "supervised_contrastive_loss": "softmax",
    "triplet_loss": "triplet",
}
_MODULES = ("data", "distribute", "keras", "numpy", "reference")

# Without `numpy` and `keras`: `from tf_pairwise import *` leaves those names to their owners.
__all__ = [
    "__version__",
    "batch_contrastive_loss",
    "batch_triplet_loss",
    "contrastive_loss",
    "data",
    "distribute",
    "info_nce_loss",
    "list_ranking_loss",
    "mine_triplets",
    "nearest_neighbors",
    "nt_xent_loss",
    "paired_distance",
    "pairwise_distance",
    "pairwise_ranking_loss",
    "reference",
    "sigmoid_contrastive_loss",
    "supervised_contrastive_loss",
    "triplet_loss",
]


def __getattr__(name: str):
    if name in _FUNCTIONS:
        _library.ops()  # says what is missing before the family module trips over it
        module = importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}")
        value = getattr(module, name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    elif name == "__version__":
        value = _library.build_info()["version"]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


_library.load_with_tensorflow(sorted(set(_FUNCTIONS.values())))

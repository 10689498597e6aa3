"""Keras 3 losses, layers, metrics, cross-batch memory and callback over the fused ops.

Importing this module registers the classes, so that a .keras file which holds them loads.
"""

from tf_pairwise import _library

_library.ops()  # says what is missing before an import trips over it

import keras as _keras  # noqa: E402

if _keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"tf_pairwise.keras: Keras's backend is {_keras.backend.backend()!r}, expected "
        "'tensorflow', whose ops these are: set KERAS_BACKEND=tensorflow before importing Keras"
    )

from tf_pairwise.keras import callbacks, layers, losses, metrics  # noqa: E402
from tf_pairwise.keras.memory import CrossBatchMemory  # noqa: E402

__all__ = ["CrossBatchMemory", "callbacks", "layers", "losses", "metrics"]

"""Arrays on a GPU: a caller's as the functions read them, and results as the caller gets them.

What an array is, it says by DLPack or by `__cuda_array_interface__`; PyTorch and CuPy, where the
program has imported them, are asked for their stream and have their own arrays back.
"""

import numpy as np

from tf_pairwise import _numpy
from tf_pairwise.numpy import _libraries
from tf_pairwise.numpy._device_array import DEFAULT_STREAM, DeviceArray, handle


def argument(name, value):
    """`value` as an Argument, or None of what is on the host."""
    if isinstance(value, np.ndarray | list | tuple):
        return None
    library = _libraries.of(value)
    if library is None:
        return None
    _numpy.require_gpu()
    return Argument(name, value, library)


def check_together(name, value, first):
    """TypeError unless an Argument, or None, is where the first array of its call is."""
    first = first if isinstance(first, Argument) else None
    numbers = {array.device for array in (value, first) if array is not None} - {None}
    if (value is None) != (first is None) or len(numbers) > 1:
        raise TypeError(f"{name}: got an array on {_place(value)}, expected all on {_place(first)}")


def run(op, attributes, inputs):
    """The outputs of an op, as GpuArray, on the stream of the first Argument's library.

    Other streams than that are waited for before and, as nothing orders the end of their memory
    after this, so is the work itself.
    """
    arguments = [value for value in inputs if isinstance(value, Argument)]
    memory = arguments[0].memory
    streams = [other.stream for other in arguments if other.stream]
    stream, kept = streams[0] if streams else (DEFAULT_STREAM, None)
    others = {handle(other) for other, _ in streams} - {handle(stream)}
    for other in others:
        memory.wait_for(other)
    memories = [value.memory if isinstance(value, Argument) else value for value in inputs]
    made = _numpy.run_on_gpu(op, attributes, memories, stream, kept)
    if others or any(argument.lent for argument in arguments):
        memory.wait_for(stream)
    return made


class Argument:
    """A caller's array on a GPU, by the name of the argument.

    Attributes:
      array: the caller's.
      library: how its library does what is asked of it.
      memory: the array as the module reads it.
      stream: the handle of the stream it is made on and what owns that; None if it is ready.
      lent: whether its memory may be another's as soon as it is let go of, whatever the stream.
      dtype: NumPy's, or an object of that name and kind.
    """

    def __init__(self, name, array, library):
        self.name, self.array, self.library = name, array, library
        self.memory, self.stream, self.lent = library.read(name, array)
        self.dtype = _dtype(self.memory.dtype)

    @property
    def device(self):
        """The number of the GPU, or None of an array without elements."""
        return self.memory.device if self.memory.data else None

    def stored(self, dtype=None):
        """Contiguous, of a dtype."""
        dtype = self.dtype.name if dtype is None else np.dtype(dtype).name
        if self.memory.contiguous and self.dtype.name == dtype:
            return self
        made = self._made(dtype, self.library.convert, dtype)
        if not made.memory.contiguous or made.dtype.name != dtype:
            self._cannot(dtype, f", whose {type(self.array).__name__}.astype made {made}")
        return made

    def differs_from(self, label, dtype):
        """1 where an element does, else 0."""
        expected = f"{np.dtype(dtype).name}, 1 where dissimilar and 0 where similar"
        return self._made(expected, lambda array: array != label).stored(dtype)

    def complement(self):
        """1 - each element."""
        expected = f"{self.dtype.name} with similar_label=0"
        return self._made(expected, lambda array: 1 - array)

    def copy_to_host(self):
        """As an array of NumPy; waits for it."""
        stream, _ = self.stream or (DEFAULT_STREAM, None)
        return self.stored().memory.copy_to_host(stream)

    def points(self):
        """The same; what its interface calls uint16 is bfloat16, for which it has no name."""
        nameless = self.library is _libraries.Interface and not hasattr(self.array, "__dlpack__")
        if nameless and self.dtype == np.uint16:
            self.memory = self.memory.renamed("bfloat16")
            self.dtype = _dtype("bfloat16")
        return self

    def result(self, memory):
        """An output as an array of the caller's library."""
        return self.library.result(DeviceArray(memory))

    def __str__(self):
        order = "" if self.memory.contiguous else ", not contiguous"
        return f"{self.dtype.name} of shape {list(self.memory.shape)}{order}"

    def _made(self, expected, function, *arguments):
        """What a function of the library's makes of the array."""
        if not (hasattr(self.array, "astype") or self.library is _libraries.Torch):
            self._cannot(expected)
        made = Argument(self.name, function(self.array, *arguments), self.library)
        # Nobody but this call has it.
        made.lent = made.lent or self.library is _libraries.Interface
        return made

    def _cannot(self, expected, why=""):
        raise TypeError(
            f"{self.name}: got {self}, on a GPU, expected a contiguous array of {expected}; "
            f"convert it with its own library{why}"
        )


def _place(array):
    if array is None:
        return "the host"
    return "a GPU" if array.device is None else f"GPU {array.device}"


class _Named:
    """What the functions ask of a dtype, for one that NumPy has not got."""

    kind = "V"

    def __init__(self, name):
        self.name = name


def _dtype(name):
    if name == "bfloat16":
        return _Named(name)
    try:
        return np.dtype(name)
    except TypeError:
        return _Named(name)

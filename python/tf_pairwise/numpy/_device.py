"""Arrays on a GPU: a caller's as the functions read them, and results as the caller gets them.

What an array is, it says by DLPack or by `__cuda_array_interface__`; PyTorch and CuPy, where the
program has imported them, are asked for their stream and have their own arrays back.
"""

import sys

import numpy as np

from tf_pairwise import _numpy

_CUDA = (2, 13)  # DLPack's numbers of a GPU's memory and of managed memory
_LEGACY = 1  # the handle of the default stream


def argument(name, value):
    """`value` as an Argument, or None of what is on the host."""
    if isinstance(value, np.ndarray | list | tuple):
        return None
    library = _library_of(value)
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

    Of other streams than that, and of libraries that name none, work is waited for.
    """
    arguments = [value for value in inputs if isinstance(value, Argument)]
    first = arguments[0]
    stream, kept = next((other.stream for other in arguments if other.stream), (_LEGACY, None))
    for handle in {_named(other.stream[0]) for other in arguments if other.stream}:
        if handle != _named(stream):
            first.memory.wait_for(handle)
    memories = [value.memory if isinstance(value, Argument) else value for value in inputs]
    made = _numpy.run_on_gpu(op, attributes, memories, stream, kept)
    if any(other.lent for other in arguments):
        first.memory.wait_for(stream)
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
        handle = (self.stream or (_LEGACY, None))[0]
        return self.stored().memory.copy_to_host(handle)

    def points(self):
        """The same; what its interface calls uint16 is bfloat16, for which it has no name."""
        nameless = self.library is _Interface and not hasattr(self.array, "__dlpack__")
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
        if not (hasattr(self.array, "astype") or self.library is _Torch):
            self._cannot(expected)
        made = Argument(self.name, function(self.array, *arguments), self.library)
        # Nobody but this call has it.
        made.lent = made.lent or self.library is _Interface
        return made

    def _cannot(self, expected, why=""):
        raise TypeError(
            f"{self.name}: got {self}, on a GPU, expected a contiguous array of {expected}; "
            f"convert it with its own library{why}"
        )


class DeviceArray:
    """A result on a GPU, for every library: by DLPack or by `__cuda_array_interface__`.

    Its elements are in C's order. They are written by work that is put on a stream and perhaps
    not done: whoever takes the array over asks for it, and gets them in order. The memory is
    freed when this and all that was made of it is gone, in the order of that stream, which has
    to live as long.
    """

    def __init__(self, memory):
        self._memory = memory

    @property
    def shape(self):
        return self._memory.shape

    @property
    def dtype(self):
        """NumPy's; of bfloat16 that of ml_dtypes, where it is installed, else uint16."""
        name = self._memory.dtype
        return np.dtype(name) if name != "bfloat16" else _bfloat16_on_host()

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return int(np.prod(self.shape))

    @property
    def device(self):
        """The number of the GPU."""
        return self._memory.device

    def copy_to_host(self):
        """A copy as an array of NumPy."""
        copy = self._memory.copy_to_host(self._memory.stream)
        return copy.view(self.dtype)

    @property
    def __cuda_array_interface__(self):
        """bfloat16, for which it has no name, is uint16."""
        name = self._memory.dtype
        return dict(
            version=3,
            shape=self.shape,
            typestr=np.dtype("uint16" if name == "bfloat16" else name).str,
            data=(self._memory.data, False),
            strides=None,
            stream=_named(self._memory.stream),
        )

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("an array on a GPU is lent where it is, and not copied")
        if stream != -1 and _named(stream) != _named(self._memory.stream):
            self._memory.wait_for(self._memory.stream)
        return self._memory.to_dlpack()

    def __dlpack_device__(self):
        return _CUDA[0], self._memory.device

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of an array of shape ()")
        return self.shape[0]

    def __repr__(self):
        name, shape = self._memory.dtype, list(self.shape)
        return f"<DeviceArray: {name} of shape {shape} on GPU {self.device}>"


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


def _bfloat16_on_host():
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(np.uint16)
    return np.dtype(ml_dtypes.bfloat16)


def _named(stream):
    """A handle of a stream: the default stream has one name."""
    return stream or _LEGACY


# ---- libraries ----
#
# read(name, array)      the memory, stream and lent of an Argument
# convert(array, dtype)  contiguous, of the dtype of that name
# result(device_array)   the caller's array of it


class _Torch:
    @staticmethod
    def read(name, array):
        torch = sys.modules["torch"]
        if array.requires_grad and torch.is_grad_enabled():
            raise TypeError(
                f"{name}: got a tensor that requires a gradient, expected {name}.detach(): "
                "nothing here is recorded for one; ask for it by with_gradient"
            )
        memory = _numpy.GpuArray(
            data=array.data_ptr(),
            shape=tuple(array.shape),
            dtype=str(array.dtype).removeprefix("torch."),
            device=array.device.index,
            contiguous=array.is_contiguous(),
        )
        stream = torch.cuda.current_stream(array.device)
        return memory, (stream.cuda_stream, stream), False

    @staticmethod
    def convert(array, dtype):
        return array.detach().to(getattr(sys.modules["torch"], dtype)).contiguous()

    @staticmethod
    def result(made):
        return sys.modules["torch"].from_dlpack(made)


class _Interface:
    """Any array that says where it is, in the order in which it is asked."""

    @staticmethod
    def read(name, array):
        if isinstance(array, DeviceArray):
            return array._memory, (array._memory.stream, None), False
        interface = _interface(array)
        if interface is None:
            # The producer orders its work before what is put on this stream from here on.
            memory = _numpy.GpuArray.from_dlpack(array.__dlpack__(stream=_LEGACY))
            return memory, (_LEGACY, None), True
        memory = _read_interface(name, interface)
        stream = interface.get("stream")
        return memory, None if stream is None else (stream, None), stream is None

    @staticmethod
    def convert(array, dtype):
        return array.astype(dtype)

    @staticmethod
    def result(made):
        return made


class _CuPy(_Interface):
    @staticmethod
    def read(name, array):
        memory, _, _ = _Interface.read(name, array)
        with array.device:
            stream = sys.modules["cupy"].cuda.get_current_stream()
        return memory, (stream.ptr, stream), False

    @staticmethod
    def convert(array, dtype):
        return sys.modules["cupy"].ascontiguousarray(array, dtype)

    @staticmethod
    def result(made):
        return sys.modules["cupy"].from_dlpack(made)


def _library_of(value):
    """None of what is on the host. No library is imported: who has its arrays has it."""
    if isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ())):
        return _Torch if value.is_cuda else None
    if isinstance(value, getattr(sys.modules.get("cupy"), "ndarray", ())):
        return _CuPy
    if isinstance(value, DeviceArray) or _interface(value) is not None:
        return _Interface
    where = getattr(value, "__dlpack_device__", None)
    return _Interface if where is not None and where()[0] in _CUDA else None


def _interface(value):
    """The `__cuda_array_interface__`; None where there is none, and of what it has no name for."""
    try:
        return value.__cuda_array_interface__
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return None


def _read_interface(name, interface):
    if interface.get("mask") is not None:
        raise TypeError(f"{name}: got an array with a mask, expected one without")
    dtype = np.dtype(interface["typestr"])
    if not dtype.isnative:
        raise TypeError(f"{name}: got {dtype.str}, expected the processor's order of bytes")
    shape, data = tuple(interface["shape"]), interface["data"][0] or 0
    return _numpy.GpuArray(
        data=data,
        shape=shape,
        dtype="bfloat16" if interface["typestr"] == "<V2" else dtype.name,
        device=_numpy.gpu_of(data) if data else 0,
        contiguous=_contiguous(shape, interface.get("strides"), dtype.itemsize),
    )


def _contiguous(shape, strides, stride):
    if strides is None or 0 in shape:
        return True
    for size, found in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and found != stride:
            return False
        stride *= size
    return True

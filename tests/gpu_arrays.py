"""Arrays on a GPU for the tests: of the libraries that are here, or what stands in for them.

Without a GPU the arrays are on the fake one (tests/cuda_host), under another library's face.
"""

import importlib
import os
import sys
import types

import ml_dtypes
import numpy as np

from tests import cuda_host

ON_A_GPU = os.environ.get("TF_PAIRWISE_TEST_GPU") == "1"


def is_bfloat16(value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == ml_dtypes.bfloat16


class Maker:
    """Arrays of a library on a GPU, of those of NumPy and back.

    Attributes:
      name: of the library.
      bfloat16: whether it has that.
      converts: whether its arrays can be converted, to other types and to contiguous ones.
      stream: the handle of its current stream, if it has one.
    """

    bfloat16, converts, stream = True, True, None

    def install(self, monkeypatch):
        """What has to be there before a call."""

    def make(self, array):
        raise NotImplementedError

    def is_result(self, made):
        """Whether the library has its own arrays back."""
        return type(made).__name__ == "DeviceArray"

    def back(self, made):
        return made.copy_to_host()

    def __str__(self):
        return self.name


# ---- stand-ins, on the fake GPU ----


class Interface:
    """An array that says where it is, and nothing else."""

    def __init__(self, value, stream=None):
        self.value, self.stream = value, stream
        # What is not contiguous is there as its transpose.
        base = value if value.flags.c_contiguous else value.T
        self.held = cuda_host.use().array(base)

    @property
    def __cuda_array_interface__(self):
        value = self.value.view(np.uint16) if is_bfloat16(self.value) else self.value
        return dict(
            version=3,
            shape=value.shape,
            typestr=value.dtype.str,
            data=(self.held.address, False),
            strides=None if value.flags.c_contiguous else value.strides,
            stream=self.stream,
        )


class Convertible(Interface):
    """One with a few operations, as all libraries have them."""

    def astype(self, dtype):
        return type(self)(np.array(self.value, np.dtype(dtype), order="C"), self.stream)

    def __ne__(self, other):
        return type(self)(self.value != other, self.stream)

    def __rsub__(self, other):
        return type(self)(other - self.value, self.stream)


class OnInterface(Maker):
    name, converts = "__cuda_array_interface__", False

    def __init__(self, stream=None):
        self.stream = stream

    def make(self, array):
        return Interface(array, self.stream)


class OnConvertible(OnInterface):
    name, converts, bfloat16 = "astype", True, False

    def make(self, array):
        return Convertible(array, self.stream)


class FakeTensor:
    """What is asked of a tensor of PyTorch."""

    is_cuda, device = True, types.SimpleNamespace(index=0)
    requires_grad = False

    def __init__(self, value):
        self.value, self.shape = value, value.shape
        self.dtype = f"torch.{value.dtype.name}"
        self.held = cuda_host.use().array(value if self.is_contiguous() else value.T)

    def data_ptr(self):
        return self.held.address

    def is_contiguous(self):
        return self.value.flags.c_contiguous

    def detach(self):
        return self

    def to(self, dtype):
        return type(self)(self.value.astype(dtype.removeprefix("torch.")))

    def contiguous(self):
        return type(self)(np.ascontiguousarray(self.value))

    def __ne__(self, other):
        return type(self)(self.value != other)

    def __rsub__(self, other):
        return type(self)(other - self.value)


class OnTorch(Maker):
    name, stream = "fake torch", 0

    def install(self, monkeypatch):
        stream = types.SimpleNamespace(cuda_stream=self.stream)
        torch = types.SimpleNamespace(
            Tensor=FakeTensor,
            is_grad_enabled=lambda: True,
            cuda=types.SimpleNamespace(current_stream=lambda device: stream),
            from_dlpack=lambda made: FakeTensor(made.copy_to_host()),
            **{name: f"torch.{name}" for name in ("int64", "float32", "float64")},
        )
        monkeypatch.setitem(sys.modules, "torch", torch)

    def make(self, array):
        return FakeTensor(array)

    def is_result(self, made):
        return isinstance(made, FakeTensor)

    def back(self, made):
        return made.value


# ---- libraries ----


class Torch(Maker):
    name = "torch"

    def __init__(self):
        self.torch = importlib.import_module("torch")
        self.stream = self.torch.cuda.current_stream().cuda_stream

    def make(self, array):
        array = np.array(array)
        if is_bfloat16(array):
            bits = self.torch.from_numpy(array.view(np.int16))
            return bits.view(self.torch.bfloat16).cuda()
        return self.torch.from_numpy(array).cuda()

    def is_result(self, made):
        return isinstance(made, self.torch.Tensor) and made.is_cuda

    def back(self, made):
        if made.dtype == self.torch.bfloat16:
            return made.view(self.torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)
        return made.cpu().numpy()


class CuPy(Maker):
    name, bfloat16 = "cupy", False

    def __init__(self):
        self.cupy = importlib.import_module("cupy")
        self.stream = self.cupy.cuda.get_current_stream().ptr

    def make(self, array):
        return self.cupy.asarray(array)

    def is_result(self, made):
        return isinstance(made, self.cupy.ndarray)

    def back(self, made):
        return self.cupy.asnumpy(made)


class Jax(Maker):
    name = "jax"

    def __init__(self):
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self.jax = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)

    def make(self, array):
        return self.jax.device_put(array, self.jax.devices("gpu")[0])


class Numba(Maker):
    name, bfloat16, converts = "numba", False, False

    def __init__(self):
        self.cuda = importlib.import_module("numba.cuda")

    def make(self, array):
        return self.cuda.to_device(np.ascontiguousarray(array))


class OwnResults(Maker):
    """Results that are ours, of whatever is there to make arguments with."""

    name, converts = "DLPack", False

    def make(self, array):
        return _Lent(MAKERS[0].make(array))


class _Lent:
    """Another library's array without its face."""

    def __init__(self, array):
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


def _makers():
    if not ON_A_GPU:
        return [OnInterface(), OnConvertible(stream=2), OnTorch()]
    found = []
    for library in (Torch, CuPy, Jax, Numba):
        try:
            found.append(library())
        except (ImportError, RuntimeError):  # not here, or here without a GPU
            continue
    return found


MAKERS = _makers()


# ---- arguments ----


def on(gpu, arguments):
    """Arguments with their arrays on the GPU, in types that the library can tell."""

    def moved(value):
        if not isinstance(value, np.ndarray):
            return value
        if not gpu.converts and value.dtype.kind in "iu":
            value = value.astype(np.int64)
        return gpu.make(value)

    moved = {name: moved(value) for name, value in arguments.items()}
    if not gpu.converts:
        moved.update(_in_the_types_of_kernels(gpu, arguments))
        if "similar_label" in moved:
            moved["similar_label"] = 0
    return moved


def _in_the_types_of_kernels(gpu, arguments):
    """Of a library that converts nothing: what is read in the type of the losses, or as double."""
    names = ("x", "x1", "anchors", "embeddings", "queries", "scores", "scores_pos")
    points = next(arguments[name] for name in names if name in arguments)
    wide = np.float64 if points.dtype == np.float64 else np.float32
    types = dict(sample_weight=wide, item_weight=wide, relevance=np.float64)
    found = {name: arguments[name] for name in types if arguments.get(name) is not None}
    made = {name: np.asarray(value, types[name]) for name, value in found.items()}
    if "x1" in arguments:
        labels, similar = arguments["labels"], arguments.get("similar_label", 0)
        whole = labels.dtype.kind in "biu"
        dissimilar = labels != similar if whole else abs(labels.astype(wide) - similar)
        made["labels"] = np.asarray(dissimilar, wide)
    return {name: gpu.make(value) for name, value in made.items()}

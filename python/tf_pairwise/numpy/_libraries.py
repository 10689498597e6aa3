"""Libraries that have arrays on a GPU: what a function here asks of each.

read(name, array)      the memory, stream and lent of a `_device.Argument`
convert(array, dtype)  contiguous, of the dtype of that name
result(device_array)   the caller's array of it
"""

import sys

import numpy as np

from tf_pairwise import _numpy
from tf_pairwise.numpy._device_array import CUDA, DEFAULT_STREAM, DeviceArray


def of(value):
    """That of an array on a GPU; None of what is on the host.

    No library is imported: who has its arrays has it.
    """
    if isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ())):
        return Torch if value.is_cuda else None
    if isinstance(value, getattr(sys.modules.get("cupy"), "ndarray", ())):
        return CuPy
    if isinstance(value, DeviceArray) or _interface(value) is not None:
        return Interface
    where = getattr(value, "__dlpack_device__", None)
    return Interface if where is not None and where()[0] in CUDA else None


class Torch:
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


class Interface:
    """Any array that says where it is, in the order in which it is asked."""

    @staticmethod
    def read(name, array):
        if isinstance(array, DeviceArray):
            return array._memory, (array._memory.stream, None), False
        interface = _interface(array)
        if interface is None:
            # The producer orders its work before what is put on this stream from here on.
            memory = _numpy.GpuArray.from_dlpack(array.__dlpack__(stream=DEFAULT_STREAM))
            return memory, (DEFAULT_STREAM, None), True
        memory = _read_interface(name, interface)
        stream = interface.get("stream")
        return memory, None if stream is None else (stream, None), stream is None

    @staticmethod
    def convert(array, dtype):
        return array.astype(dtype)

    @staticmethod
    def result(made):
        return made


class CuPy(Interface):
    @staticmethod
    def read(name, array):
        memory, _, _ = Interface.read(name, array)
        with array.device:
            stream = sys.modules["cupy"].cuda.get_current_stream()
        return memory, (stream.ptr, stream), False

    @staticmethod
    def convert(array, dtype):
        return sys.modules["cupy"].ascontiguousarray(array, dtype)

    @staticmethod
    def result(made):
        return sys.modules["cupy"].from_dlpack(made)


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

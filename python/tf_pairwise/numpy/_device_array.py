"""A result on a GPU, where the caller's library has no arrays that it could come as."""

import numpy as np

CUDA = (2, 13)  # DLPack's numbers of a GPU's memory and of managed memory
DEFAULT_STREAM = 1  # the handle that both protocols have for it


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
            stream=handle(self._memory.stream),
        )

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("an array on a GPU is lent where it is, and not copied")
        if stream != -1 and handle(stream) != handle(self._memory.stream):
            self._memory.wait_for(self._memory.stream)
        return self._memory.to_dlpack()

    def __dlpack_device__(self):
        return CUDA[0], self._memory.device

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of an array of shape ()")
        return self.shape[0]

    def __repr__(self):
        name, shape = self._memory.dtype, list(self.shape)
        return f"<DeviceArray: {name} of shape {shape} on GPU {self.device}>"


def _bfloat16_on_host():
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(np.uint16)
    return np.dtype(ml_dtypes.bfloat16)


def handle(stream):
    """A handle of a stream: the default stream has one name."""
    return stream or DEFAULT_STREAM

"""The GPU's kernels on the host: a fake NVIDIA driver (fake_driver.cc) that runs them as C++.

`library()` builds it, once for what the sources say, and returns where it is. A process that has
TF_PAIRWISE_CUDA_DRIVER set to that before its first call of a GPU has a "Fake GPU": `environment()`
is for a subprocess, `use()` for this one. `Gpu` then puts NumPy arrays there and back.
"""

import ctypes
import functools
import hashlib
import os
import pathlib
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
CC = HERE.parent.parent / "cc"
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden", f"-I{CC}"]


def _sources():
    return [HERE / "fake_driver.cc", *sorted(CC.glob("*/*_gpu.cu"))]


@functools.cache
def library():
    """The path of libfake_cuda.so: TF_PAIRWISE_FAKE_CUDA, or built from this checkout."""
    made = os.environ.get("TF_PAIRWISE_FAKE_CUDA")
    if made and pathlib.Path(made).exists():
        return pathlib.Path(made).resolve()
    compiler = os.environ.get("CXX", "c++").split()
    texts = sorted([*HERE.glob("*.cc"), *HERE.glob("*.h"), *CC.rglob("*.h"), *CC.rglob("*.cu")])
    digest = hashlib.sha256(" ".join([*compiler, *FLAGS]).encode())
    for path in texts:
        digest.update(str(path).encode() + path.read_bytes())
    folder = pathlib.Path(tempfile.gettempdir()) / f"tf_pairwise_fake_cuda.{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    out = folder / f"libfake_cuda.{digest.hexdigest()[:16]}.so"
    if not out.exists():
        _build(compiler, out)
    return out


def _build(compiler, out):
    def run(*command):
        done = subprocess.run([*compiler, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stderr}")

    with tempfile.TemporaryDirectory(dir=out.parent) as folder:

        def compile_one(source):
            made = pathlib.Path(folder) / f"{source.parent.name}_{source.name}.o"
            run(*FLAGS, "-x", "c++", "-c", source, "-o", made)
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, _sources()))
        linked = pathlib.Path(folder) / out.name
        run("-shared", *objects, "-o", linked)
        linked.rename(out)  # at once, whoever else builds it


def environment(**settings):
    """os.environ with the fake driver, and its settings: environment(ORDER=2)."""
    own = {f"TF_PAIRWISE_FAKE_{name}": str(value) for name, value in settings.items()}
    return {**os.environ, "TF_PAIRWISE_CUDA_DRIVER": str(library()), **own}


class Gpu:
    """Arrays on the fake device, through the driver's own functions."""

    def __init__(self):
        self.driver = ctypes.CDLL(str(library()))
        for name in ("FakeLaunches", "FakeAllocations", "FakeWaiting"):
            getattr(self.driver, name).restype = ctypes.c_int64
        self.driver.cuInit(0)

    def call(self, name, *arguments):
        result = getattr(self.driver, name)(*arguments)
        if result:
            raise RuntimeError(f"{name}: {result}")

    def array(self, value, dtype=None):
        """A copy of a NumPy array, on the device."""
        return GpuArray(self, np.array(value, dtype, order="C"))

    def empty(self, shape, dtype):
        """What nobody has written: 0xFF bytes."""
        return GpuArray(self, np.empty(shape, dtype), copy=False)

    def order(self, order):
        """Blocks and threads run in order (0), backwards (1) or shuffled (2)."""
        os.environ["TF_PAIRWISE_FAKE_ORDER"] = str(order)

    def launches(self):
        return self.driver.FakeLaunches()

    def allocations(self):
        return self.driver.FakeAllocations()

    def waiting(self, stream=0):
        """How much was put on a stream and is not done."""
        return self.driver.FakeWaiting(ctypes.c_void_p(stream))


class GpuArray:
    """An array of the device that others find by __cuda_array_interface__."""

    def __init__(self, gpu, value, copy=True):
        self.gpu, self.shape, self.dtype = gpu, value.shape, value.dtype
        self.nbytes = value.nbytes
        address = ctypes.c_uint64(0)
        if self.nbytes:
            size = ctypes.c_size_t(self.nbytes)
            gpu.call("cuMemAlloc_v2", ctypes.byref(address), size)
        self.address = address.value
        if copy and self.nbytes:
            gpu.call(
                "cuMemcpyHtoD_v2", address, value.ctypes.data_as(ctypes.c_void_p), self._size()
            )

    def _size(self):
        return ctypes.c_size_t(self.nbytes)

    def __del__(self):
        if self.address:
            self.gpu.driver.cuMemFree_v2(ctypes.c_uint64(self.address))

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
        }

    def numpy(self):
        """A copy on the host, after all that waits."""
        value = np.empty(self.shape, self.dtype)
        if self.nbytes:
            pointer = value.ctypes.data_as(ctypes.c_void_p)
            self.gpu.call("cuMemcpyDtoH_v2", pointer, ctypes.c_uint64(self.address), self._size())
        return value


@functools.cache
def use():
    """The fake GPU in this process; before the first call of a GPU."""
    os.environ["TF_PAIRWISE_CUDA_DRIVER"] = str(library())
    return Gpu()

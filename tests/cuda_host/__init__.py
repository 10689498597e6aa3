"""The GPU's kernels on the host: a fake NVIDIA driver (fake_driver.cc) that runs them as C++.

`library()` builds it, once for what the sources say, and returns where it is. A process that has
TF_PAIRWISE_CUDA_DRIVER set to that before its first call of a GPU has a "Fake GPU": `environment()`
is for a subprocess, `use()` for this one. `Gpu` then puts NumPy arrays there and back.

`use_in_tensorflow()` shows the fake GPU to TensorFlow (fake_device.cc), and `use_in_xla()` to XLA
(fake_xla.cc); of a process of their own, for what they do cannot be undone.
"""

import ctypes
import functools
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
CC = TOP / "cc"
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", f"-I{CC}"]
KERNEL_FLAGS = [*FLAGS, "-ffp-contract=off", "-x", "c++"]


@functools.cache
def library():
    """The path of libfake_cuda.so."""
    return _library("fake_cuda", [HERE / "fake_driver.cc", *sorted(CC.glob("*/*_gpu.cu"))])


def _library(name, sources, flags=KERNEL_FLAGS, links=()):
    """The library that CMake made beside TF_PAIRWISE_FAKE_CUDA, or one built from this checkout."""
    beside = os.environ.get("TF_PAIRWISE_FAKE_CUDA")
    made = pathlib.Path(beside).with_name(f"lib{name}.so") if beside else None
    if made and made.exists():
        return made.resolve()
    compiler = os.environ.get("CXX", "c++").split()
    digest = hashlib.sha256(" ".join(map(str, [*compiler, *flags, *links])).encode())
    texts = [*HERE.glob("*.cc"), *HERE.glob("*.h"), *CC.rglob("*.h"), *CC.rglob("*.cu")]
    for path in sorted(texts):
        digest.update(str(path).encode() + path.read_bytes())
    folder = pathlib.Path(tempfile.gettempdir()) / f"tf_pairwise_fake_cuda.{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    out = folder / f"lib{name}.{digest.hexdigest()[:16]}.so"
    if not out.exists():
        _build(compiler, sources, flags, links, out)
    return out


def _build(compiler, sources, flags, links, out):
    def run(*command):
        done = subprocess.run([*compiler, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stderr}")

    with tempfile.TemporaryDirectory(dir=out.parent) as folder:

        def compile_one(source):
            made = pathlib.Path(folder) / f"{source.parent.name}_{source.name}.o"
            run(*flags, "-c", source, "-o", made)
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, sources))
        linked = pathlib.Path(folder) / out.name
        run("-shared", *objects, *links, "-o", linked)
        linked.rename(out)  # at once, whoever else builds it


@functools.cache
def _tensorflow():
    """What build_backend/find_tensorflow.py says of TensorFlow, which is not imported."""
    find = [sys.executable, TOP / "build_backend" / "find_tensorflow.py"]
    said = subprocess.run(find, capture_output=True, text=True, check=True).stdout
    return json.loads(said)


def _stand_in(name, linked):
    found = _tensorflow()
    definitions = [f"-D{definition}" for definition in (*found["definitions"], "NDEBUG")]
    flags = [f"-std=c++{found['cxx_standard']}", *FLAGS[1:], *definitions]
    links = [found["framework"]] if linked else []
    flags += ["-isystem", found["include"]]
    return _library(name, [HERE / f"{name}.cc"], flags, links)


def use_in_tensorflow():
    """Fake GPUs in this process's TensorFlow, before it has looked for devices."""
    gpu = use()
    path = _stand_in("fake_device", linked=True)
    import tensorflow as tf

    tf.load_library(str(path))
    return gpu


def use_in_xla():
    """XLA's programs for the CPU call the GPU's handlers; before TensorFlow is imported.

    Returns the driver, and the library that counts the handlers' calls.
    """
    assert "tensorflow" not in sys.modules
    gpu = use()
    xla = ctypes.CDLL(str(_stand_in("fake_xla", linked=False)), ctypes.RTLD_GLOBAL)
    for name in ("FakeXlaCalls", "FakeXlaScratch"):
        getattr(xla, name).restype = ctypes.c_int64
    return gpu, xla


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

"""What is said and done where a driver is missing, too old or failing, and on GPUs of each kind.

Each in a process of its own, on the fake driver.
"""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from tests import cuda_host
from tf_pairwise import _numpy

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILT = _numpy.gpu_architectures().split()

pytestmark = pytest.mark.skipif(not BUILT, reason="a build without NVRTC")

CALL = """
    import numpy as np
    from tests import cuda_host
    from tf_pairwise import _numpy, numpy as tpn

    gpu = cuda_host.Gpu()
    x = np.arange(12, dtype=np.float32).reshape(4, 3)

    class Array:
        def __init__(self):
            self.of = gpu.array(x)
            self.__cuda_array_interface__ = self.of.__cuda_array_interface__

    def call():
        return tpn.pairwise_distance(Array())
"""
ERROR = """
    try:
        WHAT
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


def run(code, driver=None, **settings):
    """What Python code prints, on the fake driver of these settings or on another."""
    environment = cuda_host.environment(**settings)
    environment["TF_PAIRWISE_FAKE_CUDA"] = str(cuda_host.library())
    if driver is not None:
        environment["TF_PAIRWISE_CUDA_DRIVER"] = str(driver)
    path = (str(TOP), os.environ.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(path).strip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return done.stdout.strip()


def error_of(what, driver=None, **settings):
    """The error of a line, "ValueError: ...", after that the set-up of CALL went well."""
    code = textwrap.dedent(CALL) + textwrap.dedent(ERROR).replace("WHAT", what)
    return run(code, driver, **settings)


# ---- no driver, or not a good one ----


@pytest.mark.parametrize("what", ["_numpy.require_gpu()", "_numpy.gpu_of(0)", "call()"])
def test_no_driver(what):
    said = error_of(what, driver="libnothing_of_that_name.so")
    assert said.startswith("NotImplementedError: no NVIDIA driver: libnothing_of_that_name.so was")


def test_the_host_needs_no_driver():
    code = textwrap.dedent(CALL) + "print(tpn.pairwise_distance(x).shape, _numpy.gpus())"
    assert run(code, driver="libnothing_of_that_name.so") == "(4, 4) []"


def test_a_library_that_is_no_driver():
    said = error_of("_numpy.require_gpu()", driver="libm.so.6")
    assert said.startswith("NotImplementedError: the NVIDIA driver is too old: got one without cu")


def test_a_driver_that_is_too_old():
    said = error_of("_numpy.require_gpu()", VERSION=11080)
    assert "too old: got one for CUDA 11.8, expected version 525 or newer (CUDA 12.0)" in said
    assert "" == error_of("_numpy.require_gpu()", VERSION=12000)


def test_no_gpu():
    said = error_of("_numpy.require_gpu()", DEVICES=0)
    assert said == "NotImplementedError: the NVIDIA driver sees no GPU"


# ---- calls that fail ----


@pytest.mark.parametrize("function", ["cuInit", "cuDeviceGetCount"])
def test_the_start_fails(function):
    # CALL has initialised the driver once by itself.
    count = 2 if function == "cuInit" else 1
    said = error_of("call()", FAIL=f"{function}:{count}")
    assert said == f"RuntimeError: {function}: CUDA_ERROR_UNKNOWN (999): said by the fake driver"


@pytest.mark.parametrize(
    "function, of",
    [
        ("cuCtxPushCurrent", ""),
        ("cuLibraryLoadData", " of "),
        ("cuLibraryGetKernel", " of "),
        ("cuKernelSetAttribute", " of "),
        ("cuLaunchKernel", " of "),
    ],
)
def test_a_call_fails_and_the_next_one_does_not(function, of):
    code = CALL + ERROR.replace("WHAT", "call()") + "    print(call().copy_to_host()[0, 1])"
    said = run(textwrap.dedent(code), FAIL=f"{function}:1").splitlines()
    assert len(said) == 2 and said[0].startswith(f"RuntimeError: {function}{of}")
    assert "CUDA_ERROR_UNKNOWN (999): said by the fake driver" in said[0]
    assert float(said[1]) == pytest.approx(27**0.5, rel=1e-6)


def test_the_first_context_fails_once():
    said = error_of("_numpy.gpu_of(0)", FAIL="cuDevicePrimaryCtxRetain:1")
    assert said.startswith("RuntimeError: cuDevicePrimaryCtxRetain: CUDA_ERROR_UNKNOWN")
    twice = ERROR.replace("WHAT", "_numpy.gpu_of(0)") + "    print(_numpy.gpu_of(0))"
    code = textwrap.dedent(CALL + twice)
    assert run(code, FAIL="cuDevicePrimaryCtxRetain:1").splitlines()[1:] == ["0"]


def test_no_memory_and_none_left_behind():
    code = textwrap.dedent(CALL + ERROR.replace("WHAT", "call()")) + textwrap.dedent("""
        print(gpu.allocations())
        call()
        gpu.call("cuStreamSynchronize", None)
        print(gpu.allocations())
    """)
    said, *left = run(code, FAIL="cuMemAllocAsync:1").splitlines()
    assert said.startswith("MemoryError: cuMemAllocAsync: CUDA_ERROR_OUT_OF_MEMORY (2)")
    assert left == ["0", "0"]


# ---- which kernels a GPU gets ----


def image_for(capability):
    """90 for machine code of sm_90, -90 for PTX, or None."""
    number = int(float(capability) * 10)
    of = {
        name: [int(a.split("_")[1]) for a in BUILT if a.startswith(name)] for name in ("sm", "co")
    }
    codes = [a for a in of["sm"] if a // 10 == number // 10 and a <= number]
    texts = [a for a in of["co"] if a <= number]
    return max(codes) if codes else -max(texts) if texts else None


@pytest.mark.parametrize(
    "capability", ["6.0", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
)
def test_kernels_of_a_capability(capability):
    expected = image_for(capability)
    if expected is None:
        said = error_of("call()", CAPABILITY=capability)
        built = " ".join(BUILT)
        assert said == (
            f"NotImplementedError: compute capability of the GPU: got {capability}, expected one "
            f"that tf_pairwise was built for ({built}); on the CPU it runs all the same (in "
            "TensorFlow: with tf.device('CPU'))"
        )
    else:
        code = CALL + "    call().copy_to_host()\n    print(gpu.driver.FakeImage())"
        assert run(textwrap.dedent(code), CAPABILITY=capability) == str(expected)


# The bits of a loss by CUDA cores, by default and by tensor cores.
PRODUCTS = """
    import os
    x = np.random.default_rng(0).normal(size=(150, 65)).astype(np.DTYPE)
    labels = gpu.array(np.arange(150) % 30)
    made = []
    for products in ("cuda_cores", "", "tensor_cores"):
        os.environ["TF_PAIRWISE_GPU_PRODUCTS"] = products
        loss = tpn.batch_triplet_loss(Array(), labels, margin=30.0, reduction="none")
        made.append(loss.copy_to_host().tobytes())
    print([bits != made[0] for bits in made])
"""


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("capability", ["7.0", "7.5", "8.0", "9.0"])
def test_tensor_cores_are_used_where_they_take_tf32(capability, dtype):
    if image_for(capability) is None:
        pytest.skip("a build without kernels for it")
    code = textwrap.dedent(CALL) + textwrap.dedent(PRODUCTS).replace("DTYPE", dtype)
    has = float(capability) >= 8
    expected = [False, has and dtype == "float16", has]
    assert run(code, CAPABILITY=capability) == str(expected)


def test_release_builds_serve_all_from_volta_on():
    if BUILT != ["sm_70", "sm_80", "sm_90", "compute_90"]:
        pytest.skip("a build for some")
    served = [image_for(c) for c in ("6.0", "7.0", "7.5", "8.6", "9.0", "10.0")]
    assert served == [None, 70, 70, 80, 90, -90]


# ---- python -m tf_pairwise info ----

INFO = "import sys\nfrom tf_pairwise import __main__ as m\nprint(m._gpu_lines())"


def test_info_of_a_gpu():
    assert _numpy.gpu_architectures() == " ".join(BUILT)
    lines = eval(run(INFO, DEVICES=2))  # a dict, as it prints itself
    runs = image_for("9.0") is not None
    assert lines["gpus"].startswith("0: Fake GPU, 9.0") and "; 1: Fake GPU, 9.0" in lines["gpus"]
    assert lines["numpy on gpu"].startswith("yes, where arrays are on one: " if runs else "no: ")


def test_info_says_why_not():
    lines = eval(run(INFO, CAPABILITY="6.0"))
    assert lines["gpus"] == "0: Fake GPU, 6.0 (no kernels for it)"
    assert lines["numpy on gpu"] == f"no: the kernels are built for {' '.join(BUILT)}"
    lines = eval(run(INFO, driver="libnothing_of_that_name.so"))
    assert lines["gpus"] == "none" and lines["numpy on gpu"].startswith("no: no NVIDIA driver: ")
    lines = eval(run(INFO, VERSION=11080))
    assert lines["numpy on gpu"].startswith("no: the NVIDIA driver is too old")
    lines = eval(run(INFO, FAIL="cuDeviceGetName:1"))
    assert lines["numpy on gpu"] == "no" and "cuDeviceGetName" in lines["gpus"]

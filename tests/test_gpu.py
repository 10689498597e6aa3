"""The NumPy functions on arrays of a GPU: as on the host, and in the caller's library.

With TF_PAIRWISE_TEST_GPU=1 (`make test-gpu`) on a GPU; else on the fake one (tests/cuda_host).
"""

import gc
import threading

import ml_dtypes
import numpy as np
import pytest

from tests import calls, cuda_host, gpu_arrays, gpu_cases, gpu_tiles, inputs
from tf_pairwise import _numpy
from tf_pairwise import numpy as tpn

TILES = gpu_tiles.cases()
ALL = gpu_cases.cases() | TILES
EACH = gpu_cases.one_of_each()
PRODUCTS = gpu_cases.of_products(ALL)
MANY = {case.name: case for case in gpu_tiles.many_columns()}
AGAIN = EACH | {name: case for name, case in TILES.items() if " euclidean" in name}


@pytest.fixture(autouse=True, scope="module")
def there_are_kernels():
    if not gpu_arrays.ON_A_GPU:
        cuda_host.use()
    try:
        _numpy.require_gpu()
    except NotImplementedError as error:  # a build without NVRTC
        pytest.skip(str(error))


@pytest.fixture(params=gpu_arrays.MAKERS, ids=str)
def gpu(request, monkeypatch):
    """Each library in turn."""
    request.param.install(monkeypatch)
    return request.param


def run(gpu, case):
    """The results of a case on the GPU, as they come."""
    return calls.flat(getattr(tpn, case.function)(**gpu_arrays.on(gpu, case.arguments)))


def assert_like(made, expected, tolerance=None):
    """Of the same types and shapes; integers the same, floats as near as sums in another order."""
    assert len(made) == len(expected)
    for i, (a, b) in enumerate(zip(made, expected, strict=True)):
        b = np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), i
        if b.dtype.kind == "i":
            np.testing.assert_array_equal(a, b, err_msg=f"result {i}")
            continue
        allowed = max(tolerance or 0, gpu_cases.TOLERANCE[b.dtype.name])
        a, b = a.astype(np.float64), b.astype(np.float64)
        scale = np.max(np.abs(b), initial=1e-20, where=np.isfinite(b))
        np.testing.assert_allclose(a, b, allowed, allowed * scale, err_msg=f"result {i}")


# ---- as on the host ----


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_like_the_host(case, monkeypatch):
    gpu = gpu_arrays.MAKERS[0]
    gpu.install(monkeypatch)
    expected = calls.flat(getattr(tpn, case.function)(**case.arguments))
    made = [gpu.back(array) for array in run(gpu, case)]
    assert_like(made, expected, case.tolerance)


@pytest.mark.parametrize("case", PRODUCTS.values(), ids=PRODUCTS)
def test_like_the_host_on_tensor_cores(case, monkeypatch):
    monkeypatch.setenv("TF_PAIRWISE_GPU_PRODUCTS", "tensor_cores")
    test_like_the_host(case, monkeypatch)


@pytest.mark.parametrize("products", ["cuda_cores", "tensor_cores"])
@pytest.mark.parametrize("case", MANY.values(), ids=MANY)
def test_many_columns_to_a_block(case, products, monkeypatch):
    """Where columns are not split, a block has all tiles of its rows, one after another."""
    monkeypatch.setenv("TF_PAIRWISE_GPU_PRODUCTS", products)
    monkeypatch.setenv("TF_PAIRWISE_GPU_BLOCKS", "1")
    test_like_the_host(case, monkeypatch)


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("dtype", gpu_cases.DTYPES)
def test_what_makes_products(dtype, metric, monkeypatch):
    """Seen by the last bits; double and what is no product have one way."""
    gpu = gpu_arrays.MAKERS[0]
    gpu.install(monkeypatch)
    of = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    x, labels = points(150, 65).astype(of), np.arange(150) % 30
    arguments = dict(embeddings=x, labels=labels, metric=metric, margin=30.0, reduction="none")
    case = gpu_cases.Case("", "batch_triplet_loss", arguments)
    made = {}
    for products in ("", "cuda_cores", "tensor_cores"):
        monkeypatch.setenv("TF_PAIRWISE_GPU_PRODUCTS", products)
        made[products] = gpu.back(run(gpu, case)[0]).tobytes()
    two_ways = dtype != "float64" and metric in gpu_cases.PRODUCTS
    assert (made["cuda_cores"] != made["tensor_cores"]) == two_ways
    assert made[""] == made["tensor_cores" if dtype in gpu_cases.HALVES else "cuda_cores"]


@pytest.mark.parametrize("shape", [(9, 5), (3, 9, 5), (2, 70, 3)], ids=str)
def test_a_point_is_at_no_distance_from_itself(gpu, shape):
    x = inputs.points(*shape)
    for metric in set(inputs.METRICS) - {"dot"}:
        distances = gpu.back(tpn.pairwise_distance(gpu.make(x), metric=metric))
        assert not np.diagonal(distances, axis1=-2, axis2=-1).any(), metric


@pytest.mark.parametrize("case", EACH.values(), ids=EACH)
def test_in_the_callers_library(gpu, case):
    expected = calls.flat(getattr(tpn, case.function)(**case.arguments))
    made = run(gpu, case)
    assert all(gpu.is_result(array) for array in made)
    assert_like([gpu.back(array) for array in made], expected)


@pytest.mark.parametrize("products", ["cuda_cores", "tensor_cores"])
@pytest.mark.parametrize("case", AGAIN.values(), ids=AGAIN)
def test_the_same_bits_again(case, products, monkeypatch):
    """On the fake GPU whatever comes first of blocks and threads."""
    monkeypatch.setenv("TF_PAIRWISE_GPU_PRODUCTS", products)
    gpu = gpu_arrays.MAKERS[0]
    gpu.install(monkeypatch)
    made = []
    for order in range(3):
        monkeypatch.setenv("TF_PAIRWISE_FAKE_ORDER", str(order))
        made.append([gpu.back(array).tobytes() for array in run(gpu, case)])
    assert made[0] == made[1] == made[2]


def points(*shape, seed=0):
    return inputs.points(*shape, seed=seed)


X, Y = points(9, 5), points(7, 5, seed=1)
LABELS = np.arange(9) % 3


# ---- arguments ----


def test_where_arguments_are(gpu):
    x, y = gpu.make(X), gpu.make(Y)
    for arguments, message in (
        ((x, Y), "y: got an array on the host, expected all on GPU 0"),
        ((X, y), "y: got an array on GPU 0, expected all on the host"),
        ((x, Y.tolist()), "y: got an array on the host"),
    ):
        with pytest.raises(TypeError, match=message):
            tpn.pairwise_distance(*arguments)
    for name, of in (
        ("labels", dict(labels=LABELS)),
        ("sample_weight", dict(labels=gpu.make(LABELS), sample_weight=np.ones(9))),
    ):
        with pytest.raises(TypeError, match=f"{name}: got an array on the host"):
            tpn.batch_triplet_loss(x, **of)
    with pytest.raises(TypeError, match="relevance: got an array on the host"):
        tpn.list_ranking_loss(x, X)
    with pytest.raises(TypeError, match="mask: got an array on the host"):
        tpn.list_ranking_loss(x, gpu.make(X.astype(float)), mask=X > 0)


def test_types(gpu):
    with pytest.raises(TypeError, match="x: got int32, expected float16, bfloat16, float32 or"):
        tpn.pairwise_distance(gpu.make(X.astype(np.int32)))
    with pytest.raises(TypeError, match="y: got float64, expected float32 as x"):
        tpn.pairwise_distance(gpu.make(X), gpu.make(Y.astype(np.float64)))
    with pytest.raises(TypeError, match="labels: got float32, expected an integer type"):
        tpn.batch_triplet_loss(gpu.make(X), gpu.make(X[:, 0].copy()))
    with pytest.raises(ValueError, match=r"y: got shape \[7, 4\], expected \[..., m, d\]"):
        tpn.pairwise_distance(gpu.make(X), gpu.make(Y[:, :4].copy()))
    with pytest.raises(ValueError, match="threads: got 0, expected"):
        tpn.pairwise_distance(gpu.make(X), threads=0)


def test_converted_by_its_library(gpu):
    labels, scores = LABELS.astype(np.int16), np.asfortranarray(X)
    transposed = gpu.make(scores)
    if not gpu.converts:
        with pytest.raises(TypeError, match=r"labels: got int16 of shape \[9\].*array of int64"):
            tpn.batch_triplet_loss(gpu.make(X), gpu.make(labels))
        with pytest.raises(TypeError, match="labels: got int16.*array of float32, 1 where"):
            tpn.contrastive_loss(gpu.make(X), gpu.make(X), gpu.make(labels))
        if not gpu_arrays.ON_A_GPU:
            with pytest.raises(TypeError, match="x: got float32 .*, not contiguous, on a GPU"):
                tpn.pairwise_distance(transposed)
        return
    assert_like([gpu.back(tpn.pairwise_distance(transposed))], [tpn.pairwise_distance(X)])
    for labels in (LABELS.astype(np.int16), LABELS == 0, np.linspace(0, 1, 9, dtype=np.float16)):
        case = gpu_cases.Case(
            *("", "contrastive_loss"), dict(x1=X, x2=-X, labels=labels, similar_label=1)
        )
        expected = tpn.contrastive_loss(**case.arguments)
        assert_like([gpu.back(made) for made in run(gpu, case)], [expected])


def test_row_splits_are_on_the_host_or_the_gpu(gpu):
    splits = np.array([0, 4, 4, 9])
    of = dict(scores=X[:, 0].copy(), relevance=LABELS.astype(np.float64))
    expected = tpn.list_ranking_loss(**of, row_splits=splits)
    for given in (splits, splits.tolist(), gpu.make(splits)):
        case = gpu_cases.Case("", "list_ranking_loss", dict(of))
        case.arguments["row_splits"] = given
        assert_like([gpu.back(made) for made in run(gpu, case)], [expected])


# ---- our own arrays, and any that say where they are ----


@pytest.fixture
def ours():
    """A maker whose results are ours."""
    return gpu_arrays.OwnResults() if gpu_arrays.ON_A_GPU else gpu_arrays.OnInterface(stream=2)


class Says:
    """An array that says of itself what it is told to."""

    def __init__(self, array, **changed):
        self.array = array  # kept
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **changed}


def test_interfaces(ours):
    made = tpn.pairwise_distance(ours.make(X))
    for array, message in (
        (Says(made, mask=made), "x: got an array with a mask, expected one without"),
        (Says(made, typestr=">f4"), "x: got >f4, expected the processor's order of bytes"),
    ):
        with pytest.raises(TypeError, match=message):
            tpn.pairwise_distance(array)


class Lends:
    """An array that is lent by DLPack alone."""

    def __init__(self, made):
        self.made, self.streams = made, []

    def __dlpack__(self, *, stream=None):
        self.streams.append(stream)
        return self.made.__dlpack__(stream=stream)

    def __dlpack_device__(self):
        return self.made.__dlpack_device__()


def test_a_result(ours):
    made = tpn.pairwise_distance(ours.make(X), ours.make(Y))
    assert repr(made) == "<DeviceArray: float32 of shape [9, 7] on GPU 0>"
    assert (made.shape, made.dtype, made.ndim, made.size, len(made), made.device) == (
        *((9, 7), np.float32, 2, 63, 9, 0),
    )
    interface = made.__cuda_array_interface__
    assert (interface["shape"], interface["typestr"], interface["version"]) == ((9, 7), "<f4", 3)
    assert interface["data"][0] and interface["stream"] == (ours.stream or 1)
    assert made.__dlpack_device__() == (2, 0)
    for asked in (dict(copy=True), dict(dl_device=(1, 0))):
        with pytest.raises(BufferError, match="lent where it is"):
            made.__dlpack__(**asked)
    batch = gpu_cases.Case("", "batch_contrastive_loss", dict(embeddings=X, labels=LABELS))
    (loss,) = run(ours, batch)
    assert loss.shape == () and loss.copy_to_host().dtype == np.float32
    with pytest.raises(TypeError, match="len"):
        len(loss)
    empty = tpn.pairwise_distance(ours.make(X[:0]), ours.make(Y))
    assert empty.shape == (0, 7) and empty.copy_to_host().shape == (0, 7)


def test_a_result_is_an_argument(ours):
    expected = tpn.pairwise_distance(tpn.pairwise_distance(X))
    made = tpn.pairwise_distance(ours.make(X))
    lent = Lends(made)
    for same in (made, lent, Says(made)):
        assert_like([tpn.pairwise_distance(same).copy_to_host()], [expected])
    assert lent.streams == [1]  # the default one: nobody knows another
    assert_like([tpn.pairwise_distance(lent, made).copy_to_host()], [expected])


def test_bfloat16_has_a_name_in_dlpack_alone(ours):
    half = X.astype(ml_dtypes.bfloat16)
    made = tpn.pairwise_distance(ours.make(half))
    expected = tpn.pairwise_distance(half)
    assert_like([made.copy_to_host()], [expected])
    assert made.__cuda_array_interface__["typestr"] == "<u2"
    expected = tpn.pairwise_distance(expected)
    for same in (made, Lends(made), Says(made)):
        assert_like([tpn.pairwise_distance(same).copy_to_host()], [expected])


def test_memory_lives_until_the_last_who_has_it(ours):
    made = tpn.pairwise_distance(ours.make(X))
    expected = tpn.pairwise_distance(X)
    capsule = made.__dlpack__()
    del made
    gc.collect()
    again = _numpy.GpuArray.from_dlpack(capsule)
    del capsule
    np.testing.assert_allclose(again.copy_to_host(0), expected, 1e-5, 1e-5)
    with pytest.raises(ValueError, match="PyCapsule"):
        _numpy.GpuArray.from_dlpack(again)
    lent = again.to_dlpack()
    del again, lent  # nobody takes it over


@pytest.mark.skipif(gpu_arrays.ON_A_GPU, reason="of what the fake GPU says of itself")
def test_nothing_is_waited_for_and_nothing_left(ours):
    fake, x = cuda_host.use(), ours.make(X)
    of_x = _numpy.GpuArray(x.held.address, X.shape, "float32", 0, True)
    of_x.wait_for(ours.stream)
    allocated = fake.allocations()
    made = tpn.pairwise_distance(x)
    assert fake.waiting(ours.stream)  # the kernels, and the end of their scratch
    assert not fake.waiting()
    assert_like([made.copy_to_host()], [tpn.pairwise_distance(X)])
    assert fake.allocations() == allocated + 1
    del made
    assert fake.waiting(ours.stream)
    of_x.wait_for(ours.stream)
    assert fake.allocations() == allocated
    # Of a library that names no stream.
    made = tpn.pairwise_distance(gpu_arrays.OnInterface().make(X))
    assert (made.size, fake.waiting()) == (81, 0)


def test_streams_other_than_the_first(ours):
    """Each has to be done with what it does for the other."""
    x, y = tpn.pairwise_distance(ours.make(X)), tpn.pairwise_distance(gpu_arrays.MAKERS[0].make(X))
    expected = tpn.pairwise_distance(tpn.pairwise_distance(X), tpn.pairwise_distance(X))
    assert_like([tpn.pairwise_distance(x, y).copy_to_host()], [expected])


def test_no_memory(ours, monkeypatch):
    x = ours.make(np.zeros((2**21 if gpu_arrays.ON_A_GPU else 3, 1), np.float32))
    if not gpu_arrays.ON_A_GPU:
        cuda_host.use().driver.FakeReset()  # how often what was called
        monkeypatch.setenv("TF_PAIRWISE_FAKE_FAIL", "cuMemAllocAsync:2")
    with pytest.raises(MemoryError):
        tpn.pairwise_distance(x)


def test_freed_by_other_threads(ours):
    made = [tpn.pairwise_distance(ours.make(X)) for _ in range(8)]
    threads = [threading.Thread(target=made.pop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_like([tpn.pairwise_distance(ours.make(X)).copy_to_host()], [tpn.pairwise_distance(X)])


def test_without_a_driver():
    checks = pytest.importorskip("tests.checks")  # which wants TensorFlow
    checks.in_a_new_process(
        """
        import sys
        import numpy as np
        from tf_pairwise import numpy as tpn

        class Array:
            __cuda_array_interface__ = {**np.ones((3, 2)).__array_interface__, "version": 3}

        try:
            tpn.pairwise_distance(Array())
        except RuntimeError as error:
            assert "libnothing.so" in str(error) or "libcuda" in str(error), error
        else:
            sys.exit("no error")
        """,
        TF_PAIRWISE_CUDA_DRIVER="libnothing.so",
    )

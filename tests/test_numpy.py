"""The NumPy functions: the same bits as the TensorFlow ones, without TensorFlow."""

import threading
import time

import numpy as np
import pytest

import tf_pairwise as tpw
from tests import callers, calls, checks, inputs
from tf_pairwise import _numpy
from tf_pairwise import numpy as tpn

N, D = 37, 11
SMALL = calls.table(n=37, m=53, d=11, classes=6, lists=4, length=19)


# ---- the same bits, of all functions ----


@pytest.mark.parametrize("dtype", checks.DTYPES)
@pytest.mark.parametrize("call", SMALL.values(), ids=SMALL)
def test_the_same_bits(call, dtype):
    """Gradients are those of the sum of what is not reduced."""
    made = calls.run_numpy(call, call.arrays(dtype))
    checks.assert_same_bits(made, calls.run(tpw, call, call.tensors(dtype)))


LOSSES = {name: call for name, call in SMALL.items() if call.reduction}


@pytest.mark.parametrize("call", LOSSES.values(), ids=LOSSES)
def test_the_same_bits_of_every_reduction(call):
    for reduction in calls.REDUCTIONS[call.function]:
        made = calls.run_numpy(call, call.arrays("float32"), reduction=reduction)
        expected = calls.run(tpw, call, call.tensors("float32"), reduction=reduction)
        checks.assert_same_bits(made, expected, reduction)


@pytest.mark.parametrize("call", LOSSES.values(), ids=LOSSES)
def test_with_and_without_the_gradient(call):
    ((function, arguments), *_) = calls.numpy_steps(call, call.arrays("float32"))
    assert arguments.pop("with_gradient")
    value = getattr(tpn, function)(**arguments)
    made = getattr(tpn, function)(**arguments, with_gradient=True)
    assert isinstance(made, tuple) and len(made) == 2
    checks.assert_same_bits([value], [made[0]])
    assert isinstance(value, np.floating if call.reduced else np.ndarray)


# ---- arrays ----


def _array(*shape, seed=0, dtype="float32"):
    return inputs.points(*shape, seed=seed).astype(dtype)


@pytest.mark.parametrize("layout", callers.LAYOUTS)
def test_arrays_of_any_layout(layout):
    for name, call in calls.one_of_each().items():
        expected = calls.run_numpy(call, call.arrays("float32"))
        checks.assert_same_bits(callers.run_as(layout, call, "float32"), expected, name)


def test_the_layouts_are_what_they_are_called():
    x = inputs.points(5, 4)
    flags = {name: np.asanyarray(change(x)).flags for name, change in callers.LAYOUTS.items()}
    assert not flags["unaligned"].aligned and flags["unaligned"].c_contiguous
    assert not flags["read-only"].writeable and flags["fortran"].f_contiguous
    assert not flags["strided"].c_contiguous and not flags["reversed"].c_contiguous
    assert not callers.LAYOUTS["byte-swapped"](x).dtype.isnative


def test_masked_arrays():
    x = np.ma.masked_invalid(inputs.points(5, 4))
    with pytest.raises(TypeError, match="x: got a masked array, expected one without a mask"):
        tpn.pairwise_distance(x)
    with pytest.raises(TypeError, match="labels: got a masked array"):
        tpn.batch_triplet_loss(x.data, np.ma.array(np.zeros(5, int)))


def test_arrays_that_another_thread_changes():
    callers.check_arrays_that_change(seconds=3)


def test_lists_and_labels():
    x = _array(N, D)
    assert tpn.pairwise_distance(x.tolist()).dtype == np.float64
    for dtype in (np.int8, np.uint16, np.int32, np.uint64):
        labels = inputs.labels(N, 4, dtype=dtype)
        assert tpn.batch_triplet_loss(x, labels) == tpn.batch_triplet_loss(x, labels.astype(int))


def test_results():
    x = _array(N, D)
    loss = tpn.batch_triplet_loss(x, inputs.labels(N, 4))
    assert isinstance(loss, np.float32)
    assert isinstance(tpn.paired_distance(x[0], x[1]), np.float32)
    assert tpn.pairwise_distance(x[:0], x).shape == (0, N)
    assert tpn.batch_triplet_loss(x[:0], np.zeros(0, int)) == 0.0
    assert tpn.mine_triplets(x[:0], np.zeros(0, int)).shape == (0, 3)


@pytest.mark.parametrize("call", calls.one_of_each().values(), ids=calls.one_of_each())
def test_threads_are_a_number_or_none(call):
    ((function, arguments), *_) = calls.numpy_steps(call, call.arrays("float32"))
    for threads, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"threads: got {threads}, expected"):
            getattr(tpn, function)(**arguments, threads=threads)


def test_errors_of_gradients():
    x = np.zeros((4, 3), np.float32)
    for gradient in (tpn.pairwise_distance_gradient, tpn.paired_distance_gradient):
        with pytest.raises(ValueError, match=r"upstream: got shape \[4, 3\]"):
            gradient(x, x, x)
        with pytest.raises(TypeError, match="upstream: got float64, expected float32"):
            gradient(x, x, np.zeros((4, 4)))


# ---- the native module ----


def paired(x, y, dtype="float32"):
    return _numpy.run("PairedDistance", {"T": dtype, "metric": "dot"}, [x, y], 1)


def test_the_module_checks_what_it_reads():
    """Whatever it is given: it never reads memory that is not there."""
    x = np.ones((4, 3), np.float32)
    assert np.array_equal(paired(x, x)[0], np.full(4, -3, np.float32))
    others = (x.astype(np.float64), np.asfortranarray(x), x[:, ::-1], [[1.0]], x.astype(">f4"))
    for other in (*others, callers.LAYOUTS["unaligned"](x)):
        with pytest.raises(
            TypeError, match="y: expected an aligned C-contiguous array of dtype float32"
        ):
            paired(x, other)
    with pytest.raises(TypeError, match="inputs: got 1, expected 2"):
        _numpy.run("PairedDistance", {"T": "float32", "metric": "dot"}, [x], 1)
    with pytest.raises(ValueError, match=r"y: got shape \[0\], expected \[..., d\]"):
        paired(x, None)
    with pytest.raises(ValueError, match='dtype: got "int8", expected one of float16'):
        paired(x, x, "int8")
    with pytest.raises(RuntimeError, match="metric: is no attribute of the call"):
        _numpy.run("PairedDistance", {"T": "float32"}, [x, x], 1)
    with pytest.raises(KeyError, match="Nothing"):
        _numpy.run("Nothing", {}, [], 1)


def test_no_memory():
    x = np.zeros((2**24, 1), np.float32)
    with pytest.raises(MemoryError):
        tpn.pairwise_distance(x)  # 2^48 of them


def test_other_threads_run_while_a_kernel_does():
    x = np.random.default_rng(0).normal(size=(3000, 256))
    worker = threading.Thread(target=tpn.pairwise_distance, args=(x,), kwargs={"threads": 1})
    started = time.perf_counter()
    worker.start()
    turns = 0
    while worker.is_alive():
        time.sleep(1e-3)
        turns += 1
    # Each would take as long as the kernel does if that held Python's lock.
    assert turns > 10, (turns, time.perf_counter() - started)


# ---- processes ----


def test_tensorflow_is_not_imported():
    checks.in_a_new_process(
        """
        import sys
        import numpy as np
        from tf_pairwise import numpy as tpn
        x = np.ones((3, 2), np.float32)
        tpn.batch_triplet_loss(x, [0, 0, 1], with_gradient=True)
        assert "tensorflow" not in sys.modules
        """
    )


def test_a_fork_has_threads_of_its_own():
    checks.in_a_new_process(
        """
        import os
        import numpy as np
        from tf_pairwise import numpy as tpn
        x = np.random.default_rng(0).normal(size=(600, 32))
        wanted = tpn.pairwise_distance(x, threads=4)
        for _ in range(5):
            child = os.fork()
            if child == 0:
                same = np.array_equal(tpn.pairwise_distance(x, threads=4), wanted)
                os._exit(0 if same else 3)
            assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(tpn.pairwise_distance(x, threads=4), wanted)
        """
    )

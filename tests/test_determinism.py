"""The same bits from run to run, for every number of threads and in every floating-point mode;
nearly the same on every instruction set. All functions, by `tests/calls.py`.
"""

import ctypes
import platform
import shutil
import subprocess
import threading

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, checks, inputs
from tf_pairwise import numpy as tpn
from tf_pairwise._tensors import XLA

# Large enough that work is split among threads in several ways.
LARGE = calls.table(n=390, m=530, d=24, classes=40, lists=40, length=300)


# ---- threads, and runs ----


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_threads_of_numpy(dtype):
    for name, call in LARGE.items():
        arrays = call.arrays(dtype)
        expected = calls.run_numpy(call, arrays, threads=1)
        for threads in (2, 5, 5, None):
            checks.assert_same_bits(calls.run_numpy(call, arrays, threads), expected, name)


def test_many_callers_at_once():
    """Of the pool of `tf_pairwise.numpy`, with several numbers of threads."""
    call = LARGE["batch_triplet_loss references mean_nonzero"]
    arrays = call.arrays("float32")
    expected = calls.run_numpy(call, arrays)
    made = []

    def work(threads):
        for _ in range(20):
            made.append(calls.run_numpy(call, arrays, threads))

    callers = [threading.Thread(target=work, args=(1 + i % 4,)) for i in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(made) == 8 * 20
    for one in made:
        checks.assert_same_bits(one, expected)


def second_derivatives(metric):
    """Of all distances of two sets, and of given pairs."""
    x, z = (tf.constant(inputs.points(260, 33, seed=seed)) for seed in (1, 2))
    for function, y in ((tpw.pairwise_distance, z[:-7]), (tpw.paired_distance, z)):
        with tf.GradientTape() as outer:
            outer.watch([x, y])
            with tf.GradientTape() as tape:
                tape.watch([x, y])
                distances = function(x, y, metric)
            upstream = tf.sin(tf.reshape(tf.range(tf.size(distances), dtype=x.dtype), [-1]))
            upstream = tf.reshape(upstream, distances.shape)
            first = tape.gradient(distances, [x, y], upstream)
        # Not x and y themselves: a distance is straight in that direction, second derivative 0.
        yield from outer.gradient(first, [x, y], [tf.roll(x, 1, 0), tf.roll(y, 1, 0)])


def results_of_tensorflow():
    """All functions as they are, and one call of each compiled by XLA."""
    found = {}
    for name, call in LARGE.items():
        for dtype in ("float32", "bfloat16"):
            found[f"{name} {dtype}"] = calls.run(tpw, call, call.tensors(dtype))
    for metric in inputs.METRICS:
        found[f"second derivatives {metric}"] = second_derivatives(metric)
    for name in calls.one_of_each(calls.compiles) if XLA else ():
        found[f"{name} compiled"] = compiled(LARGE[name])
    return {
        f"{name} {i}": (tf.bitcast(x, tf.uint16) if x.dtype == tf.bfloat16 else x).numpy()
        for name, results in found.items()
        for i, x in enumerate(results)
    }


def compiled(call):
    function = tf.function(
        lambda *points: calls.run(tpw, call, points), autograph=False, jit_compile=True
    )
    return function(*call.tensors("float32"))


IN_TENSORFLOW = """
    import sys
    import numpy as np
    import tensorflow as tf
    if "op_determinism" in sys.argv:  # has TensorFlow refuse what is not deterministic
        tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
    from tests import test_determinism
    np.savez(sys.argv[1], **test_determinism.results_of_tensorflow())
"""


def in_tensorflow(path, *arguments):
    checks.in_a_new_process(IN_TENSORFLOW, path, *arguments)
    return dict(np.load(path))


@pytest.fixture(scope="module")
def two_threads(tmp_path_factory):
    return in_tensorflow(tmp_path_factory.mktemp("results") / "made.npz", 2)


@pytest.mark.parametrize(
    "arguments", [(1,), (5,), (2, "op_determinism")], ids=["one", "five", "again"]
)
def test_threads_and_runs_of_tensorflow(arguments, two_threads, tmp_path):
    """Another number of threads; the same number again, under TensorFlow's own switch."""
    assert len(two_threads) > 300
    checks.assert_same_bits(in_tensorflow(tmp_path / "made.npz", *arguments), two_threads)


# ---- instruction sets ----


def leaves(results):
    return {
        f"{name} {i}": np.asarray(leaf)
        for name, result in results.items()
        for i, leaf in enumerate(tf.nest.flatten(result))
    }


@pytest.mark.parametrize("isa", ["sse4", "avx2", "avx512", "neon"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_instruction_sets_agree(isa, dtype, tmp_path):
    steps = {
        f"{name} {function}": (function, arguments)
        for name, call in LARGE.items()
        for function, arguments in calls.numpy_steps(call, call.arrays(dtype))
    }
    made = leaves(checks.run_on(isa, steps, tmp_path))
    expected = {name: getattr(tpn, function)(**of) for name, (function, of) in steps.items()}
    expected = leaves(expected)
    assert made.keys() == expected.keys() and len(made) > 2 * len(calls.CALLS)
    tolerance = 1e-9 if dtype == "float64" else 3e-5
    for name, array in expected.items():
        if array.dtype == np.int64:  # what is mined, or near
            np.testing.assert_array_equal(made[name], array, err_msg=name)
        else:
            checks.assert_close(made[name], array, tolerance, name)


# ---- floating-point modes ----

MODES = """
#include <immintrin.h>
unsigned get_mode(void) { return _mm_getcsr(); }
void set_mode(unsigned mode) { _mm_setcsr(mode); }
"""
FLUSH = 0x8000 | 0x0040  # results to zero, and denormals are zeros


@pytest.fixture(scope="module")
def modes(tmp_path_factory):
    """A library that reads and sets the calling thread's mode."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if platform.machine() not in ("x86_64", "AMD64") or compiler is None:
        pytest.skip("sets the mode of x86, and compiles that")
    folder = tmp_path_factory.mktemp("modes")
    (folder / "modes.c").write_text(MODES)
    command = [compiler, "-O1", "-shared", "-fPIC", "modes.c", "-o", "modes.so"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "modes.so"


def flushed(library, function):
    """What a function gives in a thread that flushes; the thread's mode is as it was."""
    modes, made = ctypes.CDLL(str(library)), []

    def work():
        mode = modes.get_mode() | FLUSH
        modes.set_mode(mode)
        made.append(function())
        made.append(modes.get_mode() & FLUSH == FLUSH)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    result, kept = made
    assert kept, "a kernel left another mode behind"
    return result


# Sizes at which coordinates, their squares or exponentials are denormal, of each type.
SCALES = {"float32": (1, 30, 1e-20, 1e-40), "float64": (1, 30, 1e-160, 1e-310), "float16": (1e-6,)}


@pytest.mark.parametrize("dtype", SCALES)
@pytest.mark.parametrize("call", calls.CALLS.values(), ids=calls.CALLS)
def test_the_callers_mode_does_not_change_a_bit(call, dtype, modes):
    with np.errstate(all="ignore"):
        for scale in SCALES[dtype]:
            arrays = [
                (x.astype(np.float64) * scale).astype(x.dtype) if np.ndim(x) else x
                for x in call.arrays(dtype)
            ]
            if "temperature" in call.points:
                arrays[list(call.points).index("temperature")] = 0.01
            for threads in (1, 3):
                expected = calls.run_numpy(call, arrays, threads)
                made = flushed(modes, lambda: calls.run_numpy(call, arrays, threads))  # noqa: B023
                checks.assert_same_bits(made, expected, f"{scale}, {threads} threads")


RANKING = """
    import ctypes, sys
    import numpy as np
    import tf_pairwise.numpy as tpn
    rng = np.random.default_rng(0)
    scores = (10 * rng.normal(size=(64, 300))).astype(np.float32)
    relevance = rng.integers(0, 5, (64, 300))
    options = dict(loss="logistic", lambda_weight="dcg", temperature=0.1, topn=6)
    options["reduction"] = "mean_nonzero"

    def numpy_values():
        return [
            float(tpn.list_ranking_loss(scores, relevance, threads=threads, **options))
            for threads in (1, 2, 5, None)
        ]

    if sys.argv[1] == "tf.data":
        # A thread of TensorFlow is the first to call, and so the pool's threads are its children.
        import tensorflow as tf
        import tf_pairwise as tpw
        called = lambda _: np.float64(numpy_values())
        data = tf.data.Dataset.range(1).map(lambda i: tf.numpy_function(called, [i], tf.float64))
        first = next(iter(data)).numpy().tolist()
        print(*first, float(tpw.list_ranking_loss(scores, relevance, **options)))
    print(*numpy_values())
"""


def test_tensorflows_threads_and_numpys_give_the_same():
    """TensorFlow's flush denormals; what is "nonzero" of a logistic loss does not hang on that."""
    values = [
        float(value)
        for first in ("numpy", "tf.data")
        for value in checks.in_a_new_process(RANKING, first).stdout.split()
    ]
    assert len(values) == 4 + 4 + 1 + 4 and values[0] > 0
    assert values == values[:1] * len(values)

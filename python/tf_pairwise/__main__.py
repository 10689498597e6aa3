"""python -m tf_pairwise info | check | bench

info    what this installation is and what it was built with
check   runs every function, value and gradient, against its reference in plain TensorFlow, also
        compiled by XLA where that is built in; exits 1 if one is wrong
bench   the benchmarks (`bench --help` for its options)
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import os
import platform
import sys
from collections.abc import Callable, Iterator

import numpy as np

from tf_pairwise import _library
from tf_pairwise._arguments import METRICS, MININGS


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _gpu_lines() -> dict[str, str]:
    """The GPUs, and whether the NumPy functions compute there or why not."""
    from tf_pairwise import _numpy

    def line(number: int, gpu: tuple[str, int, int, bool]) -> str:
        name, major, minor, runs = gpu
        return f"{number}: {name}, {major}.{minor}{'' if runs else ' (no kernels for it)'}"

    try:
        gpus = _numpy.gpus()
    except (RuntimeError, MemoryError) as error:
        return {"gpus": str(error), "numpy on gpu": "no"}
    lines = {"gpus": "; ".join(map(line, range(len(gpus)), gpus)) or "none"}
    try:
        _numpy.require_gpu()
    except RuntimeError as error:
        return {**lines, "numpy on gpu": f"no: {error}"}
    if not any(runs for *_, runs in gpus):
        built = _numpy.gpu_architectures()
        return {**lines, "numpy on gpu": f"no: the kernels are built for {built}"}
    count = len(_numpy.ops())
    return {**lines, "numpy on gpu": f"yes, where arrays are on one: all {count} ops"}


def _ops_on_gpu() -> str:
    """For how many of TensorFlow's ops a kernel is registered for GPUs."""
    from tensorflow.python.framework import kernels

    found: dict[str, bool] = {}
    for kernel in kernels.get_all_registered_kernels().kernel:
        if kernel.op.startswith("TfPairwise>"):
            found[kernel.op] = found.get(kernel.op, False) or kernel.device_type == "GPU"
    with_kernels = sum(found.values())
    if not with_kernels:
        return "no: they have kernels for the CPU alone"
    return f"{with_kernels} of {len(found)}"


def info() -> int:
    built = _library.build_info()
    lines = {
        "tf_pairwise": built["version"],
        "built for": f"TensorFlow {_library.built_for()}" if built["ops"] else "NumPy only",
        "compiler": f"{built['compiler']}, Highway {built['highway']}",
        "gpu kernels": built["cuda"] or "none in this build",
        "python": f"{platform.python_version()} on {platform.machine()}",
        "numpy": np.__version__,
    }
    if built["sanitize"]:
        lines["sanitizer"] = built["sanitize"]
    from tf_pairwise import _numpy

    if hasattr(_numpy, "isa"):
        forced = " (by TF_PAIRWISE_ISA)" if os.environ.get("TF_PAIRWISE_ISA") else ""
        lines["vectors"] = f"{_numpy.isa()}{forced}"
    lines.update(_gpu_lines())

    failed = False
    if not built["ops"]:
        pass
    elif not _has_tensorflow():
        lines["tensorflow"] = "not installed: only tf_pairwise.numpy works"
    else:
        try:
            ops = _library.ops()
        except ImportError as error:
            lines["tensorflow"] = str(error)
            failed = True
        else:
            import tensorflow as tf

            names = sorted(name for name in dir(ops) if name.startswith("tf_pairwise_"))
            names = [name.removeprefix("tf_pairwise_") for name in names]
            names = [name for name in names if not name.endswith("eager_fallback")]
            sees = len(tf.config.list_physical_devices("GPU"))
            lines["tensorflow"] = f"{tf.__version__}, Keras {_installed('keras')}, sees {sees} GPUs"
            lines["ops"] = f"{len(names)}: {', '.join(names)}"
            lines["xla"] = "yes" if _library.ops_info(tf.__version__)["xla"] else "no"
            lines["ops on gpu"] = _ops_on_gpu()
    for label, value in lines.items():
        print(f"{label + ':':14}{value}")
    return 1 if failed else 0


def _numpy_checks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(what, what came, what was expected), against the formulas in NumPy."""
    from tf_pairwise import numpy as tpn

    difference = x[:, None].astype(np.float64) - y[None]
    norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
    expected = {
        "euclidean": np.sqrt((difference**2).sum(-1)),
        "squared_euclidean": (difference**2).sum(-1),
        "cosine": 1 - x @ y.T / norms,
        "manhattan": np.abs(difference).sum(-1),
        "dot": -x @ y.T,
        "chebyshev": np.abs(difference).max(-1),
    }
    for metric, value in expected.items():
        yield f"numpy pairwise_distance {metric}", tpn.pairwise_distance(x, y, metric), value
        paired = tpn.paired_distance(x, y, metric)
        yield f"numpy paired_distance {metric}", paired, np.diagonal(value)


def _tensorflow_checks(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(what, what came, what was expected), against `reference`: values and gradients."""
    import tensorflow as tf

    import tf_pairwise as tpw
    from tf_pairwise import reference

    tf.get_logger().setLevel("ERROR")  # that a function is traced for each check is meant
    inputs = [tf.constant(array) for array in (x, y, z)]
    calls = list(_calls(labels))

    def results(call, api):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = call(api, *inputs)
        return [value, *tape.gradient(value, inputs, unconnected_gradients="zero")]

    for name, call in calls:
        made, expected = results(call, tpw), results(call, reference)
        parts = ("value", "dx", "dy", "dz")
        for part, a, b in zip(parts, made, expected, strict=True):
            yield f"{name} {part}", a.numpy(), b.numpy()
        if not _library.ops_info(tf.__version__)["xla"]:
            continue
        compiled = tf.function(
            lambda call=call: results(call, tpw), autograph=False, jit_compile=True
        )
        for part, a, b in zip(parts, compiled(), expected, strict=True):
            yield f"{name} {part}, compiled by XLA", a.numpy(), b.numpy()
    for mining in MININGS:
        fused, expected = (
            np.asarray(api.mine_triplets(x, labels, mining=mining)) for api in (tpw, reference)
        )
        yield f"mine_triplets {mining}", fused, expected
    for part, a, b in zip(
        ("distances", "indices"),
        tpw.nearest_neighbors(x, y, k=5),
        reference.nearest_neighbors(x, y, k=5),
        strict=True,
    ):
        yield f"nearest_neighbors {part}", a.numpy(), b.numpy()


def _calls(labels: np.ndarray) -> Iterator[tuple[str, Callable]]:
    """(name, a function of the package or its reference and three batches of points)."""
    for metric in METRICS:
        yield (
            f"pairwise_distance {metric}",
            lambda api, x, y, z, m=metric: api.pairwise_distance(x, y, m),
        )
        yield (
            f"paired_distance {metric}",
            lambda api, x, y, z, m=metric: api.paired_distance(x, y, m),
        )
    yield "contrastive_loss", lambda api, x, y, z: api.contrastive_loss(x, y, labels % 2, 8.0)
    yield "batch_contrastive_loss", lambda api, x, y, z: api.batch_contrastive_loss(x, labels, 8.0)
    yield "triplet_loss", lambda api, x, y, z: api.triplet_loss(x, y, z)
    for mining in MININGS:
        yield (
            f"batch_triplet_loss {mining}",
            lambda api, x, y, z, m=mining: api.batch_triplet_loss(x, labels, mining=m),
        )
    yield "info_nce_loss", lambda api, x, y, z: api.info_nce_loss(x, y, 0.5, symmetric=True)
    yield (
        "supervised_contrastive_loss",
        lambda api, x, y, z: api.supervised_contrastive_loss(x, labels, 0.5),
    )
    yield "nt_xent_loss", lambda api, x, y, z: api.nt_xent_loss(x, labels, 0.5)
    yield (
        "sigmoid_contrastive_loss",
        lambda api, x, y, z: api.sigmoid_contrastive_loss(x, y, 2.0, -1.0),
    )
    yield (
        "pairwise_ranking_loss",
        lambda api, x, y, z: api.pairwise_ranking_loss(x[:, 0], y[:, 0]),
    )
    relevance = np.arange(37 * 19).reshape(37, 19) % 5
    for loss in ("logistic", "hinge", "soft_zero_one", "mse"):
        yield (
            f"list_ranking_loss {loss}",
            lambda api, x, y, z, f=loss: api.list_ranking_loss(x, relevance, loss=f),
        )


def check() -> int:
    random = np.random.default_rng(0)
    x, y, z = random.normal(size=(3, 37, 19)).astype(np.float32)
    labels = np.repeat(np.arange(10), 4)[:37].astype(np.int64)
    checks = _numpy_checks(x, y)
    if _library.build_info()["ops"] and _has_tensorflow():
        checks = itertools.chain(checks, _tensorflow_checks(x, y, z, labels))
    else:
        print("no TensorFlow: only tf_pairwise.numpy is checked")
    count = wrong = 0
    for what, came, expected in checks:
        good = came.shape == expected.shape and np.allclose(came, expected, rtol=1e-4, atol=1e-4)
        count += 1
        wrong += not good
        if not good:
            _progress("")
            print(f"WRONG: {what}: got\n{came}\nexpected\n{expected}")
        _progress(f"{count} checked: {what}")
    _progress("")
    print(f"{count - wrong} of {count} checks passed")
    return 1 if wrong else 0


def _progress(text: str) -> None:
    """One line on a terminal, replaced by the next."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def bench(arguments: list[str]) -> int:
    from tf_pairwise._benchmarks import bench

    return bench.main(arguments) or 0


def main(arguments: list[str]) -> int:
    command, *rest = arguments or ["--help"]
    if command == "bench":
        return bench(rest)
    if command in ("info", "check") and not rest:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        return {"info": info, "check": check}[command]()
    print(__doc__.strip(), file=sys.stdout if command in ("-h", "--help") else sys.stderr)
    return 0 if command in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

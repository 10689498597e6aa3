"""Loads the op library with TensorFlow, and says what to do where it cannot be.

An op library is bound to the C++ ABI of one minor version of TensorFlow. There is one for each
version that the package was built for; `_build_info.json`, written by the build, says which.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_FOLDER = Path(__file__).parent
_lock = threading.Lock()
_ops: ModuleType | None = None


@functools.cache
def build_info() -> dict[str, Any]:
    """What the package was built for and with."""
    try:
        return json.loads((_FOLDER / "_build_info.json").read_text())
    except FileNotFoundError:
        raise ImportError(
            f"tf_pairwise in {_FOLDER} is not built: this is its source; "
            "`pip install .` in the checkout builds and installs it"
        ) from None


def _listing(words: Sequence[str], last: str) -> str:
    """a, b or c"""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def built_for() -> str:
    """The versions of TensorFlow that there are ops for, for a reader; "" if for none."""
    versions = [build["tensorflow"] for build in build_info()["ops"].values()]
    return _listing(versions, "and") if versions else ""


def ops_info(version: str) -> dict[str, Any] | None:
    """What the ops for this version of TensorFlow were built with; None if there are none."""
    return build_info()["ops"].get(".".join(version.split(".")[:2]))


def ops() -> ModuleType:
    """The generated Python wrappers of the ops, as a module."""
    global _ops
    if _ops is None:
        tensorflow = _import_tensorflow()  # not under the lock: it may come back here
        with _lock:
            if _ops is None:
                _ops = _load(tensorflow)
    return _ops


def _import_tensorflow() -> ModuleType:
    try:
        return importlib.import_module("tensorflow")
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ImportError(
            "tf_pairwise: TensorFlow is not installed, and all but tf_pairwise.numpy needs it: "
            f"{_how_to_install()}"
        ) from None


def _load(tensorflow: ModuleType) -> ModuleType:
    found = tensorflow.__version__
    if not build_info()["ops"]:
        raise ImportError(
            "tf_pairwise was built without TensorFlow (TF_PAIRWISE_TENSORFLOW=OFF): only "
            f"tf_pairwise.numpy is in it. {_how_to_build()}"
        )
    if ops_info(found) is None:
        raise ImportError(_mismatch(found))
    minor = ".".join(found.split(".")[:2])
    try:
        return tensorflow.load_op_library(str(_FOLDER / f"_ops_{minor}.so"))
    except (tensorflow.errors.OpError, OSError, RuntimeError) as error:
        raise ImportError(f"{_mismatch(found)}\nThe loader said: {error}") from None


def _how_to_install() -> str:
    builds = build_info()["ops"].values()
    wanted = [f'"tensorflow~={build["tensorflow"]}"' for build in builds] or ["tensorflow"]
    return f"pip install {_listing(wanted, 'or')} (or tensorflow-cpu)"


def _how_to_build() -> str:
    return (
        "Build it for the TensorFlow that is installed: `pip install --no-build-isolation "
        "--no-binary tf-pairwise --force-reinstall --no-deps tf-pairwise`, or "
        "`pip install --no-build-isolation --force-reinstall --no-deps .` in a checkout "
        "(needs a C++17 compiler and `pip install cmake ninja pybind11 setuptools`)."
    )


def _mismatch(found: str) -> str:
    return (
        f"tf_pairwise {build_info()['version']} was built for TensorFlow {built_for()} and cannot "
        f"be loaded into TensorFlow {found}: a custom-op library works with the minor version of "
        f"TensorFlow it was built for. Either: {_how_to_install()}. Or: {_how_to_build()}"
    )


def load_with_tensorflow(families: Sequence[str]) -> None:
    """Registers the ops and their gradients: now if TensorFlow is there, else when it comes.

    They have to be there without one of our functions being called: for a
    SavedModel to load, and before XLA's first compilation, which collects its
    kernels once. No device is initialised by it.
    """
    try:
        if not build_info()["ops"]:  # ops() says so
            return
    except ImportError:  # the bare source: build_info() says so
        return

    def load() -> None:
        ops()
        for family in families:
            importlib.import_module(f"tf_pairwise.{family}")

    if hasattr(sys.modules.get("tensorflow"), "load_op_library"):
        load()
    elif not any(isinstance(finder, _AfterTensorFlow) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterTensorFlow(load))


class _AfterTensorFlow:
    """A finder that finds what the others find, and calls `load` after TensorFlow's import."""

    def __init__(self, load):
        self._load = load

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(name, path, target)
            if spec is not None:
                self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader) -> None:
        # On the instance, so that the loader stays what it is for others.
        exec_module = getattr(loader, "exec_module", None)
        if exec_module is None or not hasattr(loader, "__dict__"):
            return

        def exec_and_load(module: ModuleType) -> None:
            del loader.exec_module
            exec_module(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            try:
                self._load()
            except ImportError as error:
                # TensorFlow itself is well: its import must not fail for us.
                # The first use of an op raises this error.
                warnings.warn(str(error), RuntimeWarning, stacklevel=2)

        loader.exec_module = exec_and_load

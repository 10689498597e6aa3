"""Finds the TensorFlow to build for, without importing it into this process.

    python find_tensorflow.py [--cache FILE | --highway]

prints, as JSON, its version, folder, include folder, compile flags and
libraries; with --highway, the folder of Highway's headers or nothing. The first
of these that holds a TensorFlow is taken:

1. the environment variable TF_PAIRWISE_TF_ROOT, the folder `tensorflow/` of an
   installation (or the site-packages folder around it), or several with ':'
   between them, for a wheel that serves more than one version;
2. what this interpreter would import, which in an isolated build is nothing or
   the TensorFlow that the build requirements brought, unless that was for
   Highway's headers (find_highway) and the interpreter has one of its own;
3. outside an isolated build: the active virtual or conda environment, this
   interpreter's site-packages, the user's, those of the interpreter that the
   build's virtual environment was made from.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.metadata
import json
import os
import platform
import re
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_DISTRIBUTION = "tensorflow-cpu" if platform.machine() in ("x86_64", "AMD64") else "tensorflow"
REQUIREMENT = f"{_DISTRIBUTION}>=2.19,<2.22"
# One whose wheel has the headers of Highway, which older ones lack.
WITH_HIGHWAY = f"{_DISTRIBUTION}>=2.21,<2.22"


def wanted() -> bool:
    """False if TF_PAIRWISE_TENSORFLOW=OFF asks for the NumPy module alone."""
    value = os.environ.get("TF_PAIRWISE_TENSORFLOW", "ON")
    return value.upper() not in ("OFF", "0", "NO", "FALSE")


def _framework(root: Path) -> Path | None:
    return next(iter(sorted(root.glob("libtensorflow_framework.so.*"))), None)


def _is_root(root: Path) -> bool:
    return (root / "include" / "tensorflow").is_dir() and _framework(root) is not None


def _site_folders() -> Iterator[str]:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(name)
        if prefix:
            # Not the default scheme, which is another in Debian's own Python.
            venv = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
            yield sysconfig.get_path("platlib", venv, vars={"platbase": prefix, "base": prefix})
    yield sysconfig.get_path("platlib")
    yield sysconfig.get_path("purelib")
    yield site.getusersitepackages()
    base = {"platbase": sys.base_exec_prefix, "base": sys.base_prefix}
    yield sysconfig.get_path("platlib", vars=base)


def _told(folder: str) -> Path:
    """The folder `tensorflow/` that a part of TF_PAIRWISE_TF_ROOT means."""
    for root in (Path(folder), Path(folder) / "tensorflow"):
        if _is_root(root):
            return root.resolve()
    raise SystemExit(
        f"TF_PAIRWISE_TF_ROOT={folder}: no TensorFlow there (expected "
        "include/tensorflow and libtensorflow_framework.so.2)"
    )


def find_roots() -> list[Path]:
    """The folders `tensorflow/` of the TensorFlows to build for: none, one, or those told."""
    override = os.environ.get("TF_PAIRWISE_TF_ROOT")
    if override:
        return [_told(folder) for folder in override.split(os.pathsep) if folder]
    found = _find_one()
    return [] if found is None else [found]


def find_root() -> Path | None:
    """The first of the TensorFlows to build for, or None."""
    return next(iter(find_roots()), None)


def _find_one() -> Path | None:
    # Not importlib.util.find_spec, which answers from sys.modules first.
    spec = importlib.machinery.PathFinder.find_spec("tensorflow")
    imported = map(Path, spec.submodule_search_locations or ()) if spec else ()
    outside = (Path(folder) / "tensorflow" for folder in _site_folders())
    imported, outside = (
        [r.resolve() for r in roots if _is_root(r)] for roots in (imported, outside)
    )
    if imported and not is_own(imported[0]):
        # Highway's headers were brought because one's own TensorFlow has none.
        outside = [root for root in outside if is_own(root) and not _has_highway(_highway_in(root))]
        return [*outside, *imported][0]
    return next(iter([*imported, *outside]), None)


def is_own(root: Path) -> bool:
    """Whether a TensorFlow is in this interpreter's folders, not in those of a build."""
    folders = (*map(sysconfig.get_path, ("platlib", "purelib")), site.getusersitepackages())
    return root.parent in {Path(folder).resolve() for folder in folders}


# ---- Highway ----


_SYSTEM = (Path("/usr/local/include"), Path("/usr/include"))


def _highway_in(root: Path) -> Path:
    return root / "include" / "external" / "com_google_highway"


def _has_highway(folder: Path) -> bool:
    return (folder / "hwy" / "highway.h").is_file()


def find_highway(roots: list[Path]) -> Path | None:
    """The folder of hwy/highway.h: of those TensorFlows, of the system, or of another TensorFlow.

    The other one is the build environment's (WITH_HIGHWAY), of which nothing else is used.
    """
    folders = [_highway_in(root) for root in roots]
    folders += _SYSTEM
    folders += [_highway_in(Path(folder) / "tensorflow") for folder in sys.path if folder]
    return next(filter(_has_highway, folders), None)


def wants_highway(roots: list[Path]) -> bool:
    """Whether a build for these needs another TensorFlow's headers of Highway beside them."""
    stays = os.environ.get("TF_PAIRWISE_TF_ROOT") or is_own(roots[0])
    return bool(stays) and find_highway(roots) is None


# ---- what TensorFlow says of itself ----


_QUESTION = """
import json
import tensorflow as tf
print("\\n" + json.dumps([tf.__version__, tf.sysconfig.get_compile_flags()]))
"""


def _ask(root: Path) -> tuple[str, list[str]]:
    """Version and compile flags, said by that TensorFlow in a process of its own."""
    environment = {
        **os.environ,
        # In the place of pip's build environment, whose sitecustomize hides
        # the packages that TensorFlow itself imports.
        "PYTHONPATH": str(root.parent),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    answer = subprocess.run(
        [sys.executable, "-c", _QUESTION],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == 0:
        version, flags = json.loads(answer.stdout.strip().splitlines()[-1])
        return version, flags
    # A TensorFlow for another Python, or one whose own requirements are
    # missing: what all Linux wheels from 2.19 to 2.21 have in common.
    for distribution in importlib.metadata.distributions(path=[str(root.parent)]):
        name = distribution.metadata["Name"] or ""
        if re.fullmatch(r"(intel[-_])?tensorflow([-_](cpu|rocm|gpu|cpu[-_]aws|intel))?", name):
            break
    else:
        raise SystemExit(f"the TensorFlow in {root} cannot be imported:\n{answer.stderr}")
    print(
        f"the TensorFlow in {root} cannot be imported; guessing its compile flags", file=sys.stderr
    )
    return distribution.version, [
        "-D_GLIBCXX_USE_CXX11_ABI=1",
        "--std=c++17",
        "-DEIGEN_MAX_ALIGN_BYTES=64",
    ]


def describe(root: Path, cache: Path | None = None) -> dict:
    """What a build needs to know of the TensorFlow in `root`; `cache` keeps it."""
    framework = _framework(root)
    stat = framework.stat()
    key = [str(framework), stat.st_mtime_ns, stat.st_size]
    if cache is not None and cache.exists():
        kept = json.loads(cache.read_text())
        if kept["key"] == key:
            return kept
    version, flags = _ask(root)
    libraries = sorted(str(path) for path in root.glob("libtensorflow_cc.so.*"))
    standard = next((f.split("++")[-1] for f in flags if "std=c++" in f), "17")
    found = {
        "key": key,
        "version": version,
        "root": str(root),
        "include": str(root / "include"),
        "framework": str(framework),
        "cc": libraries[0] if libraries else "",
        "cxx_standard": standard,
        "definitions": [flag[2:] for flag in flags if flag.startswith("-D")],
    }
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(found, indent=2))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--highway", action="store_true")
    arguments = parser.parse_args()
    if arguments.highway:
        print(find_highway(find_roots()) or "")
        return
    root = find_root()
    if root is None:
        raise SystemExit(
            f'no TensorFlow found: `pip install "{REQUIREMENT}"`, or set TF_PAIRWISE_TF_ROOT, '
            "or build without it: TF_PAIRWISE_TENSORFLOW=OFF"
        )
    print(json.dumps(describe(root, arguments.cache)))


if __name__ == "__main__":
    main()

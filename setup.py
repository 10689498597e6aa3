"""Builds the three native artefacts with CMake; the rest is in pyproject.toml.

Environment variables:
  TF_PAIRWISE_TF_ROOT     the TensorFlow to build for, or several (build_backend/find_tensorflow.py)
  TF_PAIRWISE_TENSORFLOW  OFF builds the kernels and the NumPy module alone
  TF_PAIRWISE_CMAKE_ARGS  more arguments for CMake's configure step
  TF_PAIRWISE_BUILD_DIR   CMake's folder, kept between builds (build/cmake-<python>)
  TF_PAIRWISE_JOBS        parallel compilations (all cores)
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SOURCE = Path(__file__).resolve().parent
sys.path.insert(0, str(SOURCE / "build_backend"))

import find_tensorflow  # noqa: E402


def tool(name):
    """The path of a program, also where this interpreter's environment is not active."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


class CMakeBuild(build_ext):
    def run(self):
        cmake = tool("cmake")
        if cmake is None:
            raise SystemExit("cmake not found: pip install cmake ninja")
        ninja = tool("ninja")
        configure = [
            cmake,
            f"-S{SOURCE}",
            "-GNinja" if ninja else "-GUnix Makefiles",
            f"-DTF_PAIRWISE_PYTHON={sys.executable}",
        ]
        if ninja:
            configure.append(f"-DCMAKE_MAKE_PROGRAM={ninja}")
        if find_tensorflow.wanted():
            roots = find_tensorflow.find_roots()
            if roots:  # else CMake says what to do
                configure.append(f"-DTF_PAIRWISE_TF_ROOT={';'.join(map(str, roots))}")
        else:
            configure.append("-DTF_PAIRWISE_TENSORFLOW=OFF")
        configure += shlex.split(os.environ.get("TF_PAIRWISE_CMAKE_ARGS", ""))

        # Kept between builds, so that only what changed is compiled again; begun
        # anew when a tool or TensorFlow is another one.
        default = SOURCE / "build" / f"cmake-{sys.implementation.cache_tag}"
        build = Path(os.environ.get("TF_PAIRWISE_BUILD_DIR") or default).absolute()
        key = build / "configure.json"
        said = json.dumps(configure, indent=2)
        if build.exists() and not (key.exists() and key.read_text() == said):
            shutil.rmtree(build)
        build.mkdir(parents=True, exist_ok=True)
        subprocess.run([*configure, f"-B{build}"], check=True)
        key.write_text(said)
        jobs = os.environ.get("TF_PAIRWISE_JOBS") or str(len(os.sched_getaffinity(0)))
        subprocess.run([cmake, "--build", str(build), "--parallel", jobs], check=True)

        in_place = self.inplace or getattr(self, "editable_mode", False)
        prefix = SOURCE / "python" if in_place else Path(self.build_lib).resolve()
        install = ["--install", str(build), "--prefix", str(prefix), "--component", "native"]
        subprocess.run([cmake, *install], check=True)


class FreshBuildPy(build_py):
    """Starts from an empty build/lib: a module that is gone from the source must not stay."""

    def run(self):
        if not getattr(self, "editable_mode", False):
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


packages = find_packages("python")
package_dir = {"": "python"}
if (SOURCE / "benchmarks").is_dir():
    packages.append("tf_pairwise._benchmarks")
    package_dir["tf_pairwise._benchmarks"] = "benchmarks"

setup(
    packages=packages,
    package_dir=package_dir,
    package_data={"tf_pairwise": ["py.typed"]},
    include_package_data=False,
    # No sources: it makes the wheel one of this platform and Python.
    ext_modules=[Extension("tf_pairwise._numpy", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "build_py": FreshBuildPy},
    zip_safe=False,
)

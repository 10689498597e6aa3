"""The rules of the house (CONTRIBUTING.md, cc/README.md), read off the sources."""

import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CC = ROOT / "cc"
SOURCES = sorted(path for ending in ("h", "cc") for path in CC.rglob(f"*.{ending}"))
PAIR_HEADERS = sorted(CC.rglob("*_pair.h"))

# Headers of the standard library that hold containers, and so templates that an object compiled
# for one instruction set would share with the others.
CONTAINERS = (
    "algorithm array deque forward_list functional list map memory optional queue set span sstream "
    "stack string string_view tuple unordered_map unordered_set utility variant vector"
).split()


def name(path):
    return path.relative_to(ROOT).as_posix()


def includes(path):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def offenders(may, matches):
    """(file, header) for each header that `matches` in a file that not `may` include it."""
    return [
        (name(path), header)
        for path in SOURCES
        if not may(path)
        for header in includes(path)
        if matches(header)
    ]


def test_sources_are_there():
    assert SOURCES and PAIR_HEADERS


def test_only_the_bindings_include_tensorflow():
    def may(path):
        return path.parent.name == "adapters" or path.name.endswith(("_op.cc", "_xla.cc"))

    foreign = ("tensorflow/", "xla/", "absl/", "tsl/", "unsupported/Eigen", "Eigen/", "google/")
    assert not offenders(may, lambda header: header.startswith(foreign))


def test_only_the_numpy_module_includes_pybind11_and_python():
    assert not offenders(
        lambda path: path.name == "numpy_module.cc",
        lambda header: header.startswith("pybind11/") or header in ("Python.h", "numpy/"),
    )


def test_only_simd_includes_highway():
    found = offenders(
        lambda path: path.parent.name == "simd", lambda header: header.startswith("hwy/")
    )
    # A family's kernel file has to be read once for each instruction set.
    allowed = "hwy/foreach_target.h"
    assert not [
        entry for entry in found if not (entry[0].endswith("_cpu.cc") and entry[1] == allowed)
    ]


def test_only_cuda_files_include_cuda():
    def may(path):
        return path.parent.name == "cuda" or path.name.endswith(".cu.cc")

    assert not offenders(may, lambda header: re.match(r"(cuda|cub/|cooperative_groups)", header))


def is_vocabulary(path):
    return path.suffix == ".h" and (path.parent.name == "core" or path.name.endswith("_pair.h"))


def test_formulas_and_core_hold_no_containers():
    assert not offenders(lambda path: not is_vocabulary(path), lambda header: header in CONTAINERS)
    containers = re.compile(r"\bstd::(vector|string|map|set|unordered_\w+|function|deque|list)\b")
    assert not [
        name(path)
        for path in SOURCES
        if is_vocabulary(path) and containers.search(path.read_text())
    ]


def test_kernels_neither_allocate_nor_start_threads_nor_throw():
    forbidden = re.compile(
        r"\b(new\s+[\w:]+[\[({;]|(std::)?(malloc|calloc|aligned_alloc)\s*\(|std::(thread|async|vector)"
        r"|throw\b|try\s*\{|pthread_create)"
    )

    def code(path):
        return re.sub(r"//[^\n]*", "", path.read_text())

    kernels = [
        path
        for path in SOURCES
        if path.parent.name in ("core", "simd") or path.name.endswith(("_cpu.cc", "_pair.h"))
        if not path.name.endswith("_test.cc")
    ]
    assert not [
        (name(path), forbidden.findall(code(path)))
        for path in kernels
        if forbidden.search(code(path))
    ]


def test_include_guards():
    """Each header's guard is its path; the ones read once for each target have none."""
    for path in SOURCES:
        text = path.read_text()
        if path.suffix != ".h" or path.name.endswith("-inl.h") or "foreach_target.h" in text:
            continue
        guard = re.sub(r"\W", "_", path.relative_to(CC).as_posix()).upper()
        assert f"#ifndef TF_PAIRWISE_{guard}_\n#define TF_PAIRWISE_{guard}_\n" in text, name(path)


@pytest.mark.parametrize("header", PAIR_HEADERS, ids=name)
def test_formulas_compile_for_a_gpu(header, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc")
    source = tmp_path / "formula.cu"
    source.write_text(f'#include "{header.relative_to(CC).as_posix()}"\n')
    command = [
        nvcc,
        "-x",
        "cu",
        "-c",
        "-std=c++17",
        f"-I{CC}",
        "-o",
        tmp_path / "formula.o",
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

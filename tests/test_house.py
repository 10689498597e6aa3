"""The rules of the house (CONTRIBUTING.md, cc/README.md), read off the sources."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CC = ROOT / "cc"
SOURCES = sorted(path for ending in ("h", "cc") for path in CC.rglob(f"*.{ending}"))
PAIR_HEADERS = sorted(CC.rglob("*_pair-inl.h"))

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


# The headers through which all of TensorFlow and XLA comes.
TENSORFLOW_RIM = ("tensorflow.h", "loss_shape.h", "op_kernel.h", "xla.h")


def is_registration(path):
    return path.name.endswith(("_op.cc", "_xla.cc"))


def test_only_the_rim_of_the_bindings_includes_tensorflow():
    """What an op does is the same for every binding: *_op.h and loss_op.h know none."""

    def may(path):
        return is_registration(path) or (
            path.parent.name == "adapters" and path.name in TENSORFLOW_RIM
        )

    foreign = ("tensorflow/", "xla/", "absl/", "tsl/", "unsupported/Eigen", "Eigen/", "google/")
    foreign += tuple(f"adapters/{name}" for name in TENSORFLOW_RIM)
    assert not offenders(may, lambda header: header.startswith(foreign))


def test_only_the_numpy_binding_includes_pybind11_and_python():
    rim = ("cc/numpy_module.cc", "cc/adapters/numpy.h", "cc/adapters/numpy_gpu.h")
    foreign = ("pybind11/", "Python.h", "numpy/", "adapters/numpy")
    assert not offenders(
        lambda path: name(path) in rim,
        lambda header: header.startswith(foreign),
    )


def test_ops_read_no_element_of_an_array():
    """A GPU's are not on the host: what an op may read goes through HostInteger or IsOne."""
    reads = re.compile(r"LoadCompute|StoreCompute|\*In<|In<[^;]*\)\[|\w+Cpu\(")
    text = (CC / "adapters" / "loss_op.h").read_text()
    assert not reads.findall(text)
    specs = [path for path in SOURCES if path.name.endswith("_op.h")]
    reads = re.compile(r"LoadCompute|StoreCompute|\*In<|In<[^;]*\)\[")
    assert specs and not [name(path) for path in specs if reads.search(path.read_text())]


def test_only_simd_includes_highway():
    assert not offenders(
        lambda path: path.parent.name == "simd", lambda header: header.startswith("hwy/")
    )
    # Its names are in what is read once for each target, and nowhere else.
    assert not [
        name(path)
        for path in SOURCES
        if path.parent.name != "simd"
        and not path.name.endswith(("-inl.h", "_cpu.cc", "_test.cc"))
        and re.search(r"\bhn::", path.read_text())
    ]


def test_only_cuda_files_include_cuda():
    def may(path):
        return path.parent.name == "cuda" or path.name.endswith(
            ("_gpu.cc", "_gpu-inl.h", "_gpu_test.cc")
        )

    # The driver's contract is the bindings', too.
    foreign = r"(cuda(?!/driver\.h)|cub/|cooperative_groups)"
    assert not offenders(may, lambda header: re.match(foreign, header))


def is_vocabulary(path):
    return path.suffix == ".h" and (
        path.parent.name in ("core", "metric") or path.name.endswith("_pair-inl.h")
    )


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
        if path.parent.name in ("core", "simd", "metric", "tile")
        or path.name.endswith(("_cpu.cc", "-inl.h"))
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


# ---- what a GPU will read ----

FORMULAS = CC / "cuda" / "formulas.cu"


def device_headers():
    """Vocabulary, metrics and formulas: what kernels of every device read."""
    vocabulary = ("block", "lanes-inl", "numerics-inl", "pairs-inl", "radix", "rounds", "types")
    return [
        *(f"core/{stem}.h" for stem in vocabulary),
        "metric/metric-inl.h",
        *(path.relative_to(CC).as_posix() for path in PAIR_HEADERS),
    ]


@pytest.mark.parametrize("header", device_headers())
def test_the_build_compiles_it_for_a_gpu(header):
    assert header in includes(FORMULAS)


def nvrtc(source, tmp_path):
    command = [sys.executable, ROOT / "cmake" / "nvrtc_compile.py", source, tmp_path / "out"]
    command += ["--include", CC, "--arch", "sm_80"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_formulas_compile_for_a_gpu(tmp_path):
    """The build does it too; here, that it is done, and that it can fail."""
    assert tf_pairwise_build_info()["device_formulas"] == "sm_70, sm_90"
    done = nvrtc(FORMULAS, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.sm_80.cubin").stat().st_size > 10_000

    broken = tmp_path / "broken.cu"
    broken.write_text(
        FORMULAS.read_text() + "__global__ void host_only(float* x) { *x = std::exp(*x); }\n"
    )
    done = nvrtc(broken, tmp_path)
    assert done.returncode == 1 and "std" in done.stderr


def tf_pairwise_build_info():
    from tf_pairwise import _library

    return _library.build_info()


def formula_names():
    """(file, function) of every formula at namespace scope."""
    pattern = re.compile(r"^TF_PAIRWISE_FORMULA [\w<>:, ]+?(\w+)\(", re.MULTILINE)
    formulas = [CC / "core" / "numerics-inl.h", CC / "core" / "pairs-inl.h", *PAIR_HEADERS]
    return [(path, function) for path in formulas for function in pattern.findall(path.read_text())]


def test_every_formula_has_a_caller():
    """Not counting the tests and the file that compiles all for a GPU."""
    texts = {path: path.read_text() for path in SOURCES if not path.name.endswith("_test.cc")}
    unused = []
    for path, function in formula_names():
        use = re.compile(rf"\b{function}\b *[(<]")
        uses = sum(len(use.findall(text)) for text in texts.values())
        definitions = len(
            re.findall(rf"^TF_PAIRWISE_FORMULA .*\b{function}\(", path.read_text(), re.M)
        )
        # Statistics of a row's parts are merged on a GPU alone, which is to come.
        if uses <= definitions and function != "Merged":
            unused.append((name(path), function))
    assert formula_names() and not unused


# ---- rooms ----


def test_metrics_are_named_in_their_own_folder():
    """Nothing but metric/ and core/ knows one metric from another."""
    rooms = ("metric", "core", "cuda")
    assert not [
        (name(path), line)
        for path in SOURCES
        if path.parent.name not in rooms and not path.name.endswith("_test.cc")
        for line in re.findall(r"\bMetric::k\w+", path.read_text())
    ]


def test_files_are_short():
    limits = {path: 350 if path.name.endswith("_cpu.cc") else 500 for path in SOURCES}
    long = {
        name(path): lines
        for path, limit in limits.items()
        if (lines := len(path.read_text().splitlines())) > limit
    }
    assert not long


def functions(path):
    """(first line, length) of the functions of a file that begin in its first column."""
    other = re.compile(r"(?!namespace|#|//|\}|struct|class|enum|union|HWY_|template)\S")
    start, opened = None, False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if start is None and other.match(line):
            start, opened = number, False
        if start is None:
            continue
        opened = opened or line.endswith("{")
        if line == "}":
            yield start, number - start + 1
            start = None
        elif not opened and line.endswith(";"):
            start = None  # a declaration


def test_functions_are_short():
    long = [
        (f"{name(path)}:{line}", length)
        for path in SOURCES
        for line, length in functions(path)
        if length > 80
    ]
    assert not long

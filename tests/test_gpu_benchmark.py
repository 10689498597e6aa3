"""benchmarks/gpu.py without a GPU: its options, what it makes of failures, its table.

And the estimates of benchmarks/gpu_estimates.py, without machine code.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import gpu, gpu_cases, gpu_estimates
from tests import cuda_host

ROOT = pathlib.Path(__file__).resolve().parent.parent


class FakeGpu:
    """Calls return what they take: (milliseconds, megabytes)."""

    def describe(self):
        return "Fake GPU"

    def clear(self):
        pass

    def ceilings(self, types):
        return {**dict.fromkeys(types, 1e12), "copy": 1e12}

    def milliseconds(self, call, budget):
        return call()[0]

    def megabytes(self, call):
        return call()[1]


class FakeCase:
    """A function of n^2 d products that takes 1 s at the ceiling where n = 10^4, d = 10^4."""

    has_points = True

    def __init__(self, name, **calls):
        self.name = name
        self.made = calls

    def calls(self, backend, n, d, dtype):
        return self.made

    def flops(self, n, d):
        return n * n * d

    def bytes(self, n, d, size):
        return n * d * size

    def difference(self, ours, eager):
        return 2e-6


def fails(error):
    def call():
        raise error

    return call


def of(milliseconds, megabytes):
    return lambda: (milliseconds, megabytes)


def report(cases, *arguments):
    options = gpu.parser().parse_args([*arguments])
    return gpu.run(FakeGpu(), cases, options, "the command", "0.1", say=lambda line: None)


def cells(text, name):
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.split("|")[1:-1]]


SMALL = ("--n", "1000", "--d", "100", "--types", "float32")


def test_table():
    case = FakeCase("loss", ours=of(0.4, 12.34), eager=of(1234.5, 1e6), compile=of(5.678, 99.6))
    made = report([case], *SMALL)
    text = gpu.markdown(made)
    assert text.startswith("Fake GPU; tf_pairwise 0.1; 20") and "`the command`" in text
    assert "1.0 TFLOP/s in float32" in text and "copy 1,000 GB/s" in text
    assert cells(text, "function")[4:11] == [
        *("ours, ms", "eager, ms", "compile, ms", "pml, ms", "ours, MB", "eager, MB", "compile, MB")
    ]
    assert cells(text, "loss") == [
        *("loss", "1,000", "100", "float32", "0.40", "1,234", "5.68", ""),
        *("12.3", "1,000,000", "99.6", "", "25 % (product)", "2e-06"),
    ]
    assert "Failed" not in text
    lengths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert lengths == {15}


def test_what_fails_is_said():
    case = FakeCase(
        "loss",
        ours=of(1, 2),
        eager=fails(RuntimeError("CUDA out of memory. Tried to allocate 16.00 GiB")),
        compile=fails(ValueError("no such graph\nand more")),
        pml=fails(MemoryError()),
    )
    text = gpu.markdown(report([case], *SMALL))
    assert cells(text, "loss")[4:8] == ["1.00", "out of memory", "failed", "out of memory"]
    said = text.split("Failed:")[1]
    assert said.strip() == (
        "- loss, N = 1,000, D = 100, float32: compile: ValueError: no such graph"
    )


def test_inputs_that_do_not_fit():
    case = FakeCase("loss")
    case.calls = lambda *_: fails(RuntimeError("out of memory"))()
    made = report([case], *SMALL)
    assert made["rows"][0]["errors"] == {"ours": "the inputs: out of memory"}
    assert cells(gpu.markdown(made), "loss")[4] == "out of memory"


def test_large_results_are_not_held():
    case = FakeCase("loss", ours=of(1, 1), eager=of(1, 1))
    rows = report([case], "--n", "8192", "65536", "--d", "8", "--types", "float32")["rows"]
    assert ["difference" in row for row in rows] == [True, False]


def test_options():
    everything = gpu.parser().parse_args([])
    quick = gpu.parser().parse_args(["--quick"])
    cases = [FakeCase("a"), FakeCase("b")]
    cases[1].has_points = False
    all_of = list(gpu.configurations(cases, everything))
    assert len(all_of) == 3 * (3 + 1) * 2
    assert [row[1] for row in all_of] == sorted(row[1] for row in all_of)
    assert {row[2] for row in gpu.configurations(cases[1:], everything)} == {0}
    assert {row[1:3] for row in gpu.configurations(cases[:1], quick)} == {(1024, 128), (8192, 128)}
    chosen = gpu.parser().parse_args(["--quick", "--n", "5", "--d", "6", "--types", "bfloat16"])
    assert [row[1:] for row in gpu.configurations(cases[:1], chosen)] == [(5, 6, "bfloat16")]
    with pytest.raises(SystemExit):
        gpu.parser().parse_args(["--types", "float64"])
    # Compiling takes longer than the rest of a quick run.
    assert "compile" not in report(cases[:1], "--quick")["against"]
    assert report(cases[:1], *SMALL, "--against", "pml")["against"] == ["pml"]


def test_files(tmp_path):
    case = FakeCase("loss", ours=of(1, 1), eager=of(2, 2))
    table, numbers = tmp_path / "gpu.md", tmp_path / "gpu.json"
    made = report([case], *SMALL, "--markdown", str(table), "--json", str(numbers))
    assert json.loads(numbers.read_text()) == json.loads(json.dumps(made))
    assert table.read_text() == gpu.markdown(made)


def test_into_the_documentation():
    """The table takes the place of what stands between the marks, time and again."""
    text = (ROOT / "docs" / "gpu.md").read_text()
    table = gpu.markdown(report([FakeCase("loss", ours=of(1, 1))], *SMALL))
    once = gpu.put_between(text, table)
    assert gpu.put_between(gpu.put_between(text, "other"), table) == once != text
    before, after = text.split(gpu.BEGIN)[0], text.split(gpu.END)[1]
    assert once == f"{before}{gpu.BEGIN}\n\n{table}\n{gpu.END}{after}"
    assert cells(once, "loss")[4] == "1.00"
    for broken in ("", gpu.BEGIN, gpu.END + gpu.BEGIN):
        with pytest.raises(SystemExit, match="--into"):
            gpu.put_between(broken, table)


@pytest.mark.parametrize("value", [0.0123, 0.5, 9.99, 10.04, 99.94, 100.2, 999.4, 1000, 123456.7])
def test_numbers(value):
    assert float(gpu.number(value).replace(",", "")) == pytest.approx(value, 0.01, 0.005)


def test_command():
    """As a script, from anywhere; without a GPU it says so."""
    script = str(ROOT / "benchmarks" / "gpu.py")
    done = subprocess.run(
        [sys.executable, script, "--list", "--ops", "triplet"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert "batch_triplet_loss, semi_hard" in done.stdout.splitlines()
    for arguments, message in ((("--ops", "no_such"), "--ops: got no_such"), ((), "PyTorch")):
        done = subprocess.run(
            [sys.executable, script, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            pytest.skip("there is a GPU")
        assert message in done.stderr and "Traceback" not in done.stderr


def run_all(out, **settings):
    command = [ROOT / "benchmarks" / "gpu_all.sh", pathlib.Path(sys.executable).parent, out]
    environment = cuda_host.environment() | settings
    return subprocess.run(
        [*command, "--list"], capture_output=True, text=True, check=False, env=environment
    )


def test_all_at_once(tmp_path):
    """make gpu: a step that fails stops no other, and the last lines say which did."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "made $*"\ncase $* in *racecheck*) exit 2 ;; esac\n')
    make.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run_all(tmp_path / "out", PATH=path)
    ends = [line.split()[:2] for line in done.stdout.rsplit("----\n", 1)[1].splitlines()]
    steps = ["tests", "memcheck", "racecheck", "initcheck", "synccheck", "benchmark"]
    assert [name for name, _ in ends] == steps
    assert [name for name, end in ends if end != "passed,"] == ["racecheck"], done.stdout
    assert done.returncode == 1
    said = (tmp_path / "out" / "initcheck.log").read_text()
    assert said == "made test-gpu SANITIZER=initcheck GPU_FLAGS=-k test_the_same_bits_again\n"
    assert "nearest_neighbors, k = 10" in (tmp_path / "out" / "benchmark.log").read_text()
    make.write_text("#!/bin/sh\n")
    assert run_all(tmp_path / "out", PATH=path).returncode == 0


def test_all_at_once_without_a_gpu(tmp_path):
    done = run_all(tmp_path, TF_PAIRWISE_CUDA_DRIVER="no_such_driver.so")
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("make gpu is for a machine with a GPU: ")
    assert "Traceback" not in done.stderr


def test_every_function_is_measured():
    from tf_pairwise import numpy as tpn

    text = (ROOT / "benchmarks" / "gpu_cases.py").read_text()
    assert not [name for name in tpn.__all__ if name not in text]
    names = [case.name for case in gpu_cases.CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", gpu_cases.CASES, ids=lambda case: case.name)
def test_peers_compute_the_same(case):
    """On the CPU, in float32: where PyTorch is installed."""
    torch = pytest.importorskip("torch")
    from benchmarks import gpu_torch
    from tf_pairwise import numpy as tpn

    torch.manual_seed(0)
    n = 40 if "k = 1000" not in case.name else 1500
    tensors = case.inputs(torch, n, 6, torch.float32, "cpu")
    eager = case.wrapped(gpu_torch, case.plain(gpu_torch))

    def ours():
        return case.ours(tpn, *(np.asarray(tensor) for tensor in tensors))

    assert case.difference(ours, lambda: eager(*tensors)) < 1e-4


# ---- the estimates ----


def test_every_kernel_is_described():
    """Each by one line of gpu_families.py."""
    names = gpu_estimates.kernel_table.shared_of(cuda_host.library())
    assert len({gpu_estimates.family_of(name).names for name in names}) > 50
    with pytest.raises(SystemExit, match="no_such_kernel_f32: got 0 lines"):
        gpu_estimates.family_of("no_such_kernel_f32")


def estimate(name, *parts, **options):
    """Of a kernel made of (times, operation) and of loops, which are lists of these."""
    operations, jumps = [], []

    def add(parts):
        for times, what in parts:
            begin = len(operations)
            if isinstance(what, list):
                add(what)
                operations.append("BRA")
                jumps.append((len(operations) - 1, begin, False))
            else:
                operations.extend(times * [what])

    add([*parts, (1, "EXIT"), (99, "STL")])
    return estimated(name, operations, jumps, **options)


def estimated(name, operations, jumps, **options):
    options = {"n": 8192, "d": 128, "k": 10, "l": 512, "ghz": 1.0, **options}
    return gpu_estimates.estimate(name, operations, jumps, argparse.Namespace(**options))


def test_a_loop_and_what_is_around_it():
    rest = (1, [(1, "LDG"), (1, "STG"), (8, "IMAD")])
    unrolled = (1, [(4, "LDG"), (4, "STG"), (3, "IMAD")])
    made = estimate("store_strip_f32", (32, "IMAD"), rest, unrolled)
    # 12 instructions for 4 pairs; 34 around the loops, for the 32 pairs of each of 32 lanes.
    assert made["instructions"] == pytest.approx(12 / 4 + 34 / 32, rel=0.01)
    assert made["bytes"] == 8 and made["signs"] == ""
    assert made["memory"]["H200"] == pytest.approx(8 * 8192**2 / 4.8e12)
    clocks = 8192**2 * made["instructions"] / 32 / 132 / 4
    assert made["part"] == "issue" and made["seconds"] == pytest.approx(clocks / 1e9)
    assert gpu_estimates.bound(made) == "memory"
    assert estimate("store_strip_f32", rest)["signs"] == "r"
    assert estimate("store_strip_f32", (1, [(4, "STG"), (1, "BSSY")]))["signs"] == "<"
    assert estimate("store_strip_f32", (1, [(4, "STG"), (1, "LDL")]))["signs"] == "s"
    assert estimate("centre_f32", unrolled)["signs"] == "b"


def test_loops_in_loops():
    """16 coordinates of a tile: a loop of packs that is turned 4 times, 8 of doubles."""
    made = estimate("distances_dot_f32", (1, [(10, "LDS"), (1, [(256, "FFMA"), (16, "LDS")])]))
    assert made["instructions"] == pytest.approx((11 + 4 * 273) / 1024, rel=0.01)
    made = estimate("distances_dot_f64", (1, [(10, "LDS"), (1, [(32, "DFMA"), (8, "LDS")])]))
    assert made["instructions"] == pytest.approx((11 + 8 * 41) / 256, rel=0.01)
    # Doubles are done by two in a clock, which four instructions are begun in.
    made = estimate("distances_dot_f64", (1, [(1, [(32, "DFMA")])]))
    assert made["part"] == "doubles"


def assembled(text):
    """Operations and branches of `name: 8 FFMA, if name, to name`: `if` may branch, `to` does."""
    operations, branches, labels = [], [], {}
    for word in text.replace(":", ":,").split(","):
        what = word.split()
        if what[-1].endswith(":"):
            labels[what[0].rstrip(":")] = len(operations)
        elif what[0] in ("if", "to"):
            branches.append((len(operations), what[1], what[0] == "to"))
            operations.append("BRA")
        else:
            operations += int(what[0]) * [what[1]]
    return operations, [(at, labels[to], always) for at, to, always in branches]


def test_a_tile_of_pairs():
    """The one way through it: of the metric with roots, without close pairs, sums now and then."""
    code = assembled(
        "tile: 2 BAR, 16 LDGSTS, product: 256 FFMA, 24 LDS, if product,"
        "if roots, 80 FADD, to made, roots: 32 MUFU, 60 FADD,"
        "made: if apart, 40 IMAD, close: 30 ATOMS, if close,"
        "apart: if kept, sums: 256 FFMA, 20 LDS, if sums,"
        "kept: if next, 64 STG, 36 LDG, next: if tile, 1 EXIT"
    )
    made = estimated("contrastive_pair_tiles_128", *code)
    often = 2 + 16 + 16 * 281 + 1 + 92 + 1 + 1 + 4 * 277 + 1 + 1
    assert made["instructions"] == pytest.approx((often + 100 / 8) / 32, rel=1e-3)
    assert made["signs"] == "" and made["part"] == "issue" and made["bounds"]["tensor"] == 0
    assert made["bytes"] == pytest.approx(4 * 128 * (1 / 64 + 4 / 8192) + 8 * 128 / 512)
    # Tensor cores: 16 coordinates a turn, and what they add to the sums is no loop.
    code = assembled("tile: product: 48 HMMA, 9 LDS, if product, 384 HMMA, if tile, 1 EXIT, 9 IMAD")
    made = estimated("contrastive_pair_tiles_tf32x3_128", *code)
    assert made["instructions"] == pytest.approx((8 * 58 + 385) / 32, rel=1e-3)
    assert made["part"] == "tensor"
    clocks = 8192**2 * (8 * 48 + 384) / 32 / 32 / 132 / 0.62
    assert made["bounds"]["tensor"] == pytest.approx(clocks / 1e9)


def test_a_loop_that_is_not_there():
    with pytest.raises(SystemExit, match="no loop of store_strip has STG"):
        estimate("store_strip_f32", (1, [(4, "LDG")]))

"""The table of registers and spills that the build makes, of logs as ptxas writes them."""

import pathlib
import subprocess
import sys

import pytest

from tests import cuda_host

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "cmake" / "kernel_table.py"

LOG = """ptxas info    : 44 bytes gmem
ptxas info    : Compiling entry function 'wide' for 'ARCH'
ptxas info    : Function properties for wide
ptxas         .     8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 128 registers, 64 bytes smem, 384 bytes cmem[0]
ptxas info    : Compiling entry function 'small' for 'ARCH'
ptxas info    : Function properties for small
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers
"""
PTX = b""".visible .entry wide(
	.param .align 8 .b8 wide_param_0[48]
)
.maxntid 256, 1, 1
.minnctapersm 1
"""


def made(folder, *endings):
    """The table's lines after the head, split, and what was printed."""
    for ending in endings:
        (folder / f"a_gpu.{ending}").write_bytes(PTX)
        log = LOG.replace("ARCH", ending.split(".")[0]) if ending.startswith("sm_") else ""
        (folder / f"a_gpu.{ending}").with_suffix(".log").write_text(log)
    images = [folder / f"a_gpu.{ending}" for ending in endings]
    command = [sys.executable, SCRIPT, folder / "out.txt", *images]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    head, *lines = (folder / "out.txt").read_text().splitlines()
    return head.split(), [line.split() for line in lines], done.stdout


def test_a_line_for_a_kernel(tmp_path):
    head, lines, said = made(tmp_path, "sm_80.cubin", "sm_100.cubin", "compute_90.ptx")
    assert head == ["kernel", "threads", "shared", "sm_80", "sm_100"]
    assert lines == [
        ["wide", "256", "64", "128/8!28", "x2", "128/8!28", "x2"],
        ["small", "-", "0", "18", "18"],
    ]
    assert "2 kernels" in said and "wide spills on sm_80: 28 bytes" in said and "small" not in said


def test_nothing_to_say(tmp_path):
    assert made(tmp_path)[1:] == (
        [],
        f"0 kernels of a GPU; registers and spills of each are in {tmp_path / 'out.txt'}\n",
    )


@pytest.fixture
def kernel_table(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import kernel_table

    return kernel_table


@pytest.mark.parametrize(
    "registers, threads, architecture, shared, expected",
    [
        (32, 256, "sm_90", 0, 8),
        (33, 256, "sm_90", 0, 6),
        (255, 256, "sm_70", 0, 1),
        (16, 32, "sm_80", 0, 32),
        (16, 256, "sm_75", 0, 4),
        (16, 512, "sm_86", 0, 3),
        # An SM has 228 KB, 1 KB of it beside what each block asks for; 96 KB, nothing beside.
        (32, 256, "sm_90", 75 * 1024, 3),
        (32, 256, "sm_90", 76 * 1024, 2),
        (32, 256, "sm_70", 48 * 1024, 2),
        (32, 256, "sm_86", 49 * 1024, 2),
    ],
)
def test_blocks(kernel_table, registers, threads, architecture, shared, expected):
    assert kernel_table.blocks(registers, threads, architecture, shared) == expected


def test_shared_memory(tmp_path, kernel_table):
    """What launches ask for is the tests' driver's to say."""
    shared = kernel_table.shared_of(cuda_host.library())
    assert shared["distances_euclidean_f32"] > 32768 > shared["store_strip_f32"]
    log = LOG.replace("ARCH", "sm_90").replace("wide", "distances_euclidean_f32")
    (tmp_path / "a_gpu.sm_90.log").write_text(log)
    (tmp_path / "a_gpu.ptx").write_bytes(PTX.replace(b"wide", b"distances_euclidean_f32"))
    images = [tmp_path / "a_gpu.sm_90.cubin", tmp_path / "a_gpu.ptx", cuda_host.library()]
    command = [sys.executable, SCRIPT, tmp_path / "out.txt", *images]
    subprocess.run(command, capture_output=True, check=True)
    _, line, _ = (tmp_path / "out.txt").read_text().splitlines()
    asked = shared["distances_euclidean_f32"]
    assert line.split()[:3] == ["distances_euclidean_f32", "256", str(64 + asked)]

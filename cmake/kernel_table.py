"""What each kernel takes of a GPU, by what ptxas said (the .log beside an image) and by PTX.

  python kernel_table.py OUT.txt FOLDER/softmax_softmax_gpu.sm_90.cubin FOLDER/... .ptx
  python kernel_table.py OUT.txt FOLDER/... libfake_cuda.so

A line for a kernel: threads of a block, its shared memory and, for each architecture, registers of
a thread, bytes on its stack (/n) and of spills (!n) where there are any, and how many blocks of it
an SM has room for (xn). The shared memory that a launch asks for, the size of the kernel's
`Shared`, is what the tests' driver says (libfake_cuda.so); without that, it is left out of shared
memory and room. What spills is printed, too.
"""

import ctypes
import pathlib
import re
import sys

REGISTERS = 65536  # of an SM
THREADS = {75: 1024, 86: 1536, 89: 1536, 120: 1536}  # of an SM, where not 2048
BLOCKS = {75: 16, 86: 16, 89: 24}  # the same, where not 32
SHARED = {70: 96, 75: 64, 80: 164, 87: 164, 90: 228, 100: 228}  # KB of an SM, where not 100
RESERVED = 1024  # bytes of shared memory that a block has besides, from 8.0 on

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'(.*?)(?=Compiling|\Z)", re.S)
THREADS_IN_PTX = re.compile(r"\.entry\s+(\w+)\s*\([^)]*\)\s*\.maxntid\s+(\d+)")


def number(pattern, text):
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def entries(log):
    """(kernel, architecture, its figures) of a log."""
    for name, architecture, text in ENTRY.findall(log):
        yield (
            name,
            architecture,
            dict(
                registers=number(r"Used (\d+) registers", text),
                stack=number(r"(\d+) bytes stack frame", text),
                spill=number(r"(\d+) bytes spill stores", text)
                + number(r"(\d+) bytes spill loads", text),
                shared=number(r"(\d+) bytes smem", text),
            ),
        )


def shared_of(library):
    """kernel -> bytes of shared memory that a launch asks for, of a libfake_cuda.so."""
    fake = ctypes.CDLL(str(library))
    fake.FakeKernel.restype = ctypes.c_char_p
    found, threads, shared = {}, ctypes.c_int(), ctypes.c_int64()
    while name := fake.FakeKernel(
        ctypes.c_int64(len(found)), ctypes.byref(threads), ctypes.byref(shared)
    ):
        found[name.decode()] = shared.value if shared.value > 1 else 0  # an empty struct is a byte
    return found


def blocks(registers, threads, architecture, shared=0):
    """Of a kernel on an SM: warps get registers by the 256, 8 for each of their threads."""
    capability = number(r"sm_(\d+)", architecture)
    warps = -(-threads // 32)
    by_registers = REGISTERS // (max(-(-registers // 8) * 8, 8) * 32) // warps
    by_threads = THREADS.get(capability, 2048) // threads
    reserved = RESERVED if capability >= 80 else 0
    by_shared = SHARED.get(capability, 100) * 1024 // max(1, shared + reserved)
    return min(by_registers, by_threads, by_shared, BLOCKS.get(capability, 32))


def read(images):
    """(kernel -> architecture -> figures, kernel -> threads), the kernels by file."""
    kernels, threads = {}, {}
    for path in sorted(images):
        if path.suffix == ".ptx":
            text = path.read_bytes().decode(errors="replace")
            threads.update((name, int(count)) for name, count in THREADS_IN_PTX.findall(text))
            continue
        for name, architecture, figures in entries(path.with_suffix(".log").read_text()):
            kernels.setdefault(name, {})[architecture] = figures
    return kernels, threads


def cell(figures, threads, architecture, asked):
    if figures is None:
        return "-"
    stack = f"/{figures['stack']}" if figures["stack"] else ""
    spill = f"!{figures['spill']}" if figures["spill"] else ""
    shared = figures["shared"] + asked
    fit = blocks(figures["registers"], threads, architecture, shared) if threads else 0
    times = f" x{fit}" if threads else ""
    return f"{figures['registers']}{stack}{spill}{times}"


def table(kernels, threads, asked):
    """The lines, in columns."""
    architectures = {name for of in kernels.values() for name in of}
    architectures = sorted(architectures, key=lambda name: (len(name), name))
    rows = [("kernel", "threads", "shared", *architectures)]
    for name, of in kernels.items():
        own = asked.get(name, 0)
        shared = max(figures["shared"] for figures in of.values()) + own
        count = threads.get(name)
        cells = (cell(of.get(a), count, a, own) for a in architectures)
        rows.append((name, str(count or "-"), str(shared), *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return list(lines)


def spilling(kernels):
    """What spills, as a line for each."""
    return [
        f"{name} spills on {architecture}: {figures['spill']} bytes"
        for name, of in kernels.items()
        for architecture, figures in of.items()
        if figures["spill"]
    ]


def main():
    out, *images = map(pathlib.Path, sys.argv[1:])
    asked = {}
    for library in [image for image in images if image.suffix == ".so"]:
        images.remove(library)
        asked = shared_of(library)
    kernels, threads = read(images)
    out.write_text("\n".join(table(kernels, threads, asked)) + "\n")
    print(f"{len(kernels)} kernels of a GPU; registers and spills of each are in {out}")
    for line in spilling(kernels):
        print(line)


if __name__ == "__main__":
    main()

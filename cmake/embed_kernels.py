"""Puts the compiled kernels into a C++ file, for the library to hold.

  python embed_kernels.py OUT.cc FOLDER/softmax_softmax_gpu.sm_90.cubin ...

The file defines the tables of cc/cuda/images.h: the code, read by the assembler, and which file
each kernel is in, by the names that the compiler gave its entry points.
"""

import pathlib
import re
import sys

HEAD = """// Made by cmake/embed_kernels.py.
#include "cuda/images.h"

"""


def entry_points(path):
    """The names of the kernels in a cubin (an entry point has constants of its own) or PTX."""
    if path.suffix == ".ptx":
        found = re.findall(rb"\.entry\s+(\w+)\s*\(", path.read_bytes())
    else:
        found = re.findall(rb"\.nv\.constant0\.(\w+)\0", path.read_bytes())
    return {name.decode() for name in found}


def embedded(paths):
    """The text of the C++ file."""
    stems = sorted({path.name.split(".")[0] for path in paths})
    code, images, kernels = [], [], {}
    for path in paths:
        stem, architecture, ending = path.name.split(".")
        symbol = f"tf_pairwise_image_{stem}_{architecture}"
        number = int(re.sub(r"\D", "", architecture))
        code.append(
            f'asm(".section .rodata\\n.balign 16\\n"\n'
            f'    ".globl {symbol}\\n.hidden {symbol}\\n"\n'
            f'    "{symbol}:\\n.incbin \\"{path}\\"\\n.byte 0\\n.previous\\n");\n'
            f'extern "C" const char {symbol}[];\n'
        )
        is_ptx = "true" if ending == "ptx" else "false"
        images.append(f"    {{{stems.index(stem)}, {number}, {is_ptx}, {symbol}}},\n")
        for name in entry_points(path):
            if kernels.setdefault(name, stem) != stem:
                raise SystemExit(f"{name} is a kernel of {stem} and of {kernels[name]}")
    rows = [f'    {{"{name}", {stems.index(kernels[name])}}},\n' for name in sorted(kernels)]
    architectures = sorted({path.name.split(".")[1] for path in paths})
    architectures.sort(key=lambda name: not name.startswith("sm_"))
    # An array of nothing is none of C++'s: one row closes each.
    return (
        HEAD
        + "".join(code)
        + "\nnamespace tf_pairwise {\n\n"
        + f'const char kDeviceArchitectures[] = "{" ".join(architectures)}";\n'
        + f"const int kDeviceImageCount = {len(images)};\n"
        + "const DeviceImage kDeviceImages[] = {\n"
        + "".join(images)
        + "    {-1, 0, false, nullptr}};\n"
        + f"const int kDeviceKernelCount = {len(rows)};\n"
        + "const DeviceKernel kDeviceKernels[] = {\n"
        + "".join(rows)
        + "    {nullptr, -1}};\n\n}  // namespace tf_pairwise\n"
    )


def main():
    out, *paths = map(pathlib.Path, sys.argv[1:])
    out.write_text(embedded(paths))


if __name__ == "__main__":
    main()

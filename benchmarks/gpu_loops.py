"""What the loops of a GPU's kernels are made of, read off their machine code: no GPU is needed.

    pip install nvidia-cuda-nvdisasm
    python benchmarks/gpu_loops.py build/gpu/device/*.sm_90.cubin
    python benchmarks/gpu_loops.py build/gpu/device/tile_*.sm_90.cubin --kernels 'distances_.*_f32'

A line for each kernel and, below it, for each of its loops that multiplies, the inner ones first:
instructions of one turn, how many of them are multiply-adds of floats or doubles, what reads and
writes shared memory, memory, and the stack (spills), and barriers. A loop counts what is in the
loops within it once. An SM issues one instruction of a warp a cycle to each of its four parts, so
that the share of multiply-adds bounds that of the peak; it says nothing of waiting.
"""

import argparse
import functools
import pathlib
import re
import shutil
import subprocess
import sys
from collections import Counter

KINDS = {
    "multiply-adds": r"FFMA|DFMA|HMMA|DMMA",
    "shared": r"LDS|STS|ATOMS",
    "global": r"LDG|STG|LDGSTS|ATOMG|RED",
    "stack": r"LDL|STL",
    "barriers": r"BAR",
}
LABEL = re.compile(r"^\s*(\.L_x_\d+):")
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?(\w+)\S*\s*(.*?);")
BRANCH = re.compile(r"`\((\.L_x_\d+)\)")


@functools.cache
def nvdisasm():
    found = shutil.which("nvdisasm")
    for folder in () if found else sys.path:
        found = next(map(str, pathlib.Path(folder or ".").glob("nvidia/cu*/bin/nvdisasm")), found)
    if not found:
        raise SystemExit("no nvdisasm: pip install nvidia-cuda-nvdisasm")
    return found


def kernels(cubin):
    """(name, [operation], [(at, to, always) of a branch]) of each kernel."""
    said = subprocess.run([nvdisasm(), "-c", cubin], capture_output=True, text=True, check=True)
    for part in re.split(r"^\.text\.", said.stdout, flags=re.M)[1:]:
        name, body = part.split(":", 1)
        operations, labels, branches = [], {}, []
        for line in body.splitlines():
            if label := LABEL.match(line):
                labels[label[1]] = len(operations)
            elif instruction := INSTRUCTION.search(line):
                predicate, operation, operands = instruction.groups()
                if operation == "BRA" and (target := BRANCH.search(operands)):
                    always = not predicate and operands.startswith("`")
                    branches.append((len(operations), target[1], always))
                operations.append(operation)
        jumps = [(at, labels[to], always) for at, to, always in branches if to in labels]
        yield name, operations, jumps


def loops_of(jumps):
    """(first, last) of each loop."""
    return [(to, at) for at, to, _ in jumps if to < at]


def mix(operations):
    """How many there are of each kind."""
    kinds = Counter()
    for operation in operations:
        kinds.update(kind for kind, names in KINDS.items() if re.fullmatch(names, operation))
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cubins", nargs="+", type=pathlib.Path)
    parser.add_argument("--kernels", default=".*", help="those whose names match this")
    parser.add_argument("--least", type=int, default=8, help="multiply-adds of a loop")
    arguments = parser.parse_args()
    print(f"{'kernel, loop':44}{'instructions':>13}" + "".join(f"{kind:>15}" for kind in KINDS))
    for cubin in arguments.cubins:
        for name, operations, jumps in kernels(cubin):
            if not re.fullmatch(arguments.kernels, name):
                continue
            rows = [(name, operations)]
            for first, last in sorted(loops_of(jumps), key=lambda loop: loop[1] - loop[0]):
                of = operations[first : last + 1]
                # A jump back from far behind is a cold path's return.
                if mix(of)["multiply-adds"] >= arguments.least and last - first < 4000:
                    rows.append((f"  {first}-{last}", of))
            for title, of in rows:
                counts = mix(of)
                print(f"{title:44}{len(of):13}" + "".join(f"{counts[kind]:15}" for kind in KINDS))


if __name__ == "__main__":
    main()

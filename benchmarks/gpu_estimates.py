"""How fast each kernel could be, by its machine code: estimates, not measurements. Needs no GPU.

    pip install nvidia-cuda-nvdisasm
    python benchmarks/gpu_estimates.py build/gpu/device
    python benchmarks/gpu_estimates.py build/gpu/device --kernels 'dist.*_f32' --n 8192 --d 512

A roofline. gpu_families.py says what a unit of a kernel's work is, how many a call has, and what
memory one reads and writes; the cubin says how many instructions one takes. The first bound is the
rate at which the SMs issue these, or one of their PARTS takes its share; the second is memory, as
if nothing came from a cache. Neither knows of waiting: for data, for a grid's last blocks, for a
launch. Instructions of a unit are those

- of the hottest loop: of the loops that do the kernel's work, unrolled, the dearest. What metric
  and options it is of is the caller's choice, so that others may be cheaper. Of pair tiles it is
  the one way through the loop over columns that does the most work, and of such ways the shortest:
  inner loops as often as gpu_families.py says, close pairs and the batch's edges not at all;
- of the code around the loops, once for what a warp takes of units.

Blocks are those that an SM has room for, shared memory counted where the build's libfake_cuda.so is
there to ask (--shared). Signs behind the instructions' number: `<` branches, so that no unit takes
all of them; `r` rolled, a unit a turn; `s` spills in the loop; `b` one block, on one SM.
"""

import argparse
import pathlib
import re
import sys
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "cmake")]

import kernel_table  # noqa: E402

from benchmarks import gpu_loops  # noqa: E402
from benchmarks.gpu_families import FAMILIES, Sizes  # noqa: E402

# The machine: H100 and H200 SXM, which have the same chip. SMs and bytes a second are of NVIDIA's
# data sheets. The clock is assumed (--ghz): the 66.9 TFLOP/s of these are at 1.98 GHz.
SMS, GHZ = 132, 1.755
BANDWIDTH = {"H200": 4.8e12, "H100": 3.35e12}
# Instructions of a warp that an SM takes in a clock: the CUDA programming guide's "Throughput of
# native arithmetic instructions" for compute capability 9.0, over 32.
PARTS = {
    "issue": (r".*", 4),
    "doubles": (r"D(FMA|ADD|MUL|SETP)", 2),
    "special": (r"MUFU|F2F|I2F|F2I", 0.5),
    "shared": (r"LDS|STS|ATOMS|SHFL", 1),  # of 4 bytes a lane: wider ones may take longer
    "alu": (r"I(ADD3|SETP|ABS)|V?IMNMX|VIADD|P?LOP3|F(SETP|SEL|MNMX)|SEL|SHF|PRMT|LEA", 2),
    # m16n8k8 of tf32. One a clock is the data sheet's 494.7 TFLOP/s (dense, at 1.83 GHz), of which
    # mma.sync reaches about 62 % on this chip (arXiv:2501.12084).
    "tensor": (r"HMMA", 0.62),
}
BRANCHES = r"BRA|BSSY|CALL|BRX"
COLUMNS = (
    "instructions bytes registers spills blocks ms,issue ms,tensor ms,H200 ms,H100 bound".split()
)
# What the one way through a tile's code is found by, and where sums are stored, the same.
WORK = r"FFMA|HMMA|MUFU|SHFL|LDGSTS"


def split(name):
    """A kernel's name without its type, and the type."""
    return re.fullmatch(r"(.*?)(?:_(f16|bf16|f32|f64))?", name).groups()


def family_of(name):
    found = [family for family in FAMILIES if re.fullmatch(family.names, split(name)[0])]
    if len(found) != 1:
        raise SystemExit(f"{name}: got {len(found)} lines for it in gpu_families.py, expected 1")
    return found[0]


def value(what, sizes):
    return what(sizes) if callable(what) else what


class Code:
    """A kernel's instructions and loops, but for its cold parts: those behind its last EXIT."""

    def __init__(self, operations, jumps):
        self.operations = operations
        self.end = max(i for i, name in enumerate(operations) if name == "EXIT")
        self.jumps = {at: (to, always) for at, to, always in jumps}
        self.loops = sorted({loop for loop in gpu_loops.loops_of(jumps) if loop[1] < self.end})

    def within(self, loop):
        return [o for o in self.loops if o != loop and loop[0] <= o[0] and o[1] <= loop[1]]

    def of(self, loop):
        return Counter(self.operations[loop[0] : loop[1] + 1])

    def own(self, loop):
        """Without those of the loops within it."""
        inside = {i for first, last in self.within(loop) for i in range(first, last + 1)}
        span = range(loop[0], loop[1] + 1)
        return Counter(self.operations[i] for i in span if i not in inside)

    def way(self, loop, turns, work):
        """What a turn takes by the way that has the most of `work`, and of these the shortest.

        turns: of the innermost loops.
        """
        first, last = loop
        times = dict.fromkeys(range(first, last + 1), 1)
        for inner, often in turns.items():
            times.update(dict.fromkeys(range(inner[0], inner[1] + 1), often))
        best = {last + 1: ((0, 0), None)}
        for i in range(last, first - 1, -1):
            worth = times[i] * bool(re.fullmatch(work, self.operations[i]))
            to, always = self.jumps.get(i, (None, False))
            after = [] if always else [i + 1]
            if to == first and (to, i) not in turns:
                after.append(last + 1)
            elif to is not None and i < to <= last:
                after.append(to)
            ways = [(best[to][0], to) for to in after if to in best]
            if ways:
                (of, cost), to = max(ways)
                best[i] = (of + worth, cost - times[i]), to
        taken, i = Counter(), first
        while i <= last:
            taken[self.operations[i]] += times[i]
            i = best[i][1]
        return taken

    def around(self, but=None):
        """What is in no innermost loop, and not in `but`."""
        inner = {i for loop in self.loops if not self.within(loop) for i in range(*loop)}
        inner.update(range(*but) if but else ())
        return Counter(name for i, name in enumerate(self.operations[: self.end]) if i not in inner)


def count(operations, names):
    return sum(times for name, times in operations.items() if re.fullmatch(names, name))


def turn_of(code, loop, family, sizes):
    """What a turn of a loop takes, and how many units it is."""
    operations, marks = code.of(loop), count(code.of(loop), family.mark)
    if family.nest is not None:
        within = [inner for inner in code.within(loop) if not code.within(inner)]
        inner = sum((code.of(one) for one in within), Counter())
        turns = value(family.nest, sizes)
        operations = code.own(loop)
        marks = count(inner, family.mark) * turns or marks
        for name, times in inner.items():
            operations[name] += turns * times
    each = family.each
    each = each[sizes.T == 8] if isinstance(each, tuple) else each
    return operations, family.turn or marks * each


def tile_of(code, family, sizes):
    """What a turn of the loop over tiles takes: that loop, its instructions, its signs."""
    loop = max((o for o in code.loops if count(code.of(o), family.mark)), key=lambda o: o[1] - o[0])
    inner = [o for o in code.within(loop) if not code.within(o)]
    product = min(o for o in inner if count(code.of(o), family.mark))
    turns = {o: family.turns(sizes, code.of(o), o == product) for o in inner}
    usual = code.way(loop, turns, WORK)
    stores = code.way(loop, turns, f"{WORK}|STG")
    names = [*usual, *stores]
    operations = Counter(
        {name: usual[name] + (stores[name] - usual[name]) / family.stores for name in names}
    )
    return loop, operations, "s" * (count(usual, gpu_loops.KINDS["stack"]) > 0)


def hottest(code, family, sizes):
    """What a turn of the hottest loop takes, its units, and its signs."""
    marked = [loop for loop in code.loops if count(code.of(loop), family.mark)]
    if family.nest is not None:
        marked = [loop for loop in marked if code.within(loop)]
    nested = [loop for loop in marked if set(code.within(loop)) & set(marked)]
    if family.outermost:
        marked = [max(marked, key=lambda loop: loop[1] - loop[0])]
    else:
        marked = [loop for loop in marked if loop not in nested]
    turns = [(*turn_of(code, loop, family, sizes), loop) for loop in marked]
    # No more units than a lane of a warp has; and of a loop and its rest, the loop.
    most = max(1, value(family.per, sizes) / 32) if family.per else float("inf")
    turns = [turn for turn in turns if turn[1] <= most] or turns
    if not family.rolled:
        turns = [turn for turn in turns if turn[1] >= 2] or turns
    if not turns:
        raise SystemExit(f"no loop of {family.names} has {family.mark}")
    operations, units, loop = max(turns, key=lambda turn: turn[0].total() / turn[1])
    backward = 1 + len(code.within(loop))
    branches = count(code.of(loop), BRANCHES) > backward
    spills = count(code.of(loop), gpu_loops.KINDS["stack"]) > 0
    return operations, units, "<" * branches + "r" * (units <= 1) + "s" * spills


def estimate(name, operations, jumps, options):
    """The figures of a kernel: of a unit, and the bounds of a call in seconds."""
    kind = split(name)[1]
    family = family_of(name)
    sizes = Sizes(options.n, options.d, options.k, options.l, kind or "f32")
    code = Code(operations, jumps)
    loop, units = None, family.turn
    if family.turns is not None:
        loop, turn, signs = tile_of(code, family, sizes)
    else:
        turn, units, signs = hottest(code, family, sizes)
    clock = options.ghz * 1e9 * (1 if family.alone else SMS)
    per = value(family.per, sizes) if family.per else float("inf")
    passes, around = value(family.passes, sizes), code.around(loop)

    def of_unit(names):
        """Instructions of a thread."""
        once = 32 * count(around, names) / family.ways / per
        return passes * count(turn, names) / units + once

    calls, moved = value(family.units, sizes), value(family.bytes, sizes)
    bounds = {
        part: calls * of_unit(names) / 32 / rate / clock for part, (names, rate) in PARTS.items()
    }
    return dict(
        unit=family.unit,
        instructions=of_unit(".*"),
        signs=signs + "b" * family.alone,
        bytes=moved,
        part=max(bounds, key=bounds.get),
        seconds=max(bounds.values()),
        bounds=bounds,
        memory={card: calls * moved / rate for card, rate in BANDWIDTH.items()},
    )


def bound(figures):
    """Which of both it is, and on which card where they differ."""
    kinds = {
        card: "memory" if seconds > figures["seconds"] else figures["part"]
        for card, seconds in figures["memory"].items()
    }
    if len(set(kinds.values())) == 1:
        return kinds["H200"]
    return ", ".join(f"{card} {kind}" for card, kind in kinds.items())


def short(number):
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.2g}" if number >= 1e-3 or number == 0 else "<0.001"


def line(name, figures, taken, threads, shared):
    fit = kernel_table.blocks(taken["registers"], threads, "sm_90", shared + taken["shared"])
    issue = max(time for part, time in figures["bounds"].items() if part != "tensor")
    tensor = figures["bounds"]["tensor"]
    memory = [short(1e3 * figures["memory"][card]) for card in ("H200", "H100")]
    return [
        *(name, figures["unit"]),
        f"{figures['instructions']:.3g}{figures['signs']}",
        f"{figures['bytes']:.2g}",
        *(str(number) for number in (taken["registers"], taken["spill"], fit)),
        *(short(1e3 * issue), short(1e3 * tensor) if tensor else "", *memory),
        bound(figures),
    ]


def estimates(options):
    """(name, figures, line) of a kernel, of all the folder's cubins for sm_90."""
    cubins = sorted(options.folder.glob("*_gpu.sm_90.cubin"))
    taken, threads = kernel_table.read([*cubins, *options.folder.glob("*_gpu.*.ptx")])
    shared = kernel_table.shared_of(options.shared) if options.shared else {}
    for cubin in cubins:
        for name, operations, jumps in gpu_loops.kernels(cubin):
            if re.fullmatch(options.kernels, name):
                figures = estimate(name, operations, jumps, options)
                has = taken[name]["sm_90"]
                asked = shared.get(name, 0)
                yield name, figures, line(name, figures, has, threads.get(name, 256), asked)


def slowest_of_families(made):
    """One for a line of FAMILIES: of floats, where it has any."""
    of = {}
    for name, figures, row in made:
        floats = split(name)[1] in (None, "f32")
        time = max(figures["seconds"], figures["memory"]["H200"])
        of.setdefault(family_of(name).names, []).append(((floats, time), name, figures, row))
    return [max(kernels, key=lambda one: one[0])[1:] for kernels in of.values()]


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path, help="of the build's cubins and logs: device/")
    parser.add_argument("--kernels", default=".*", help="those whose names match this")
    parser.add_argument("--families", action="store_true", help="of each family the slowest")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--shared", type=pathlib.Path, help="libfake_cuda.so; of the same build")
    for name, default in (("n", 65536), ("d", 128), ("k", 10), ("l", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ghz", type=float, default=GHZ)
    options = parser.parse_args(argv)
    beside = options.folder.parent / "libfake_cuda.so"
    options.shared = options.shared or (beside if beside.exists() else None)
    made = estimates(options)
    rows = [row for *_, row in (slowest_of_families(made) if options.families else made)]
    head = ["kernel", "unit", *(column.replace(",", " ") for column in COLUMNS)]
    print(
        f"Estimates: N = {options.n:,}, D = {options.d}, k = {options.k}, lists of {options.l}; "
        f"{SMS} SMs at {options.ghz} GHz" + ("" if options.shared else "; no shared memory counted")
    )
    if options.markdown:
        rows = [[f"`{row[0]}`", *row[1:]] for row in rows]
        print(
            "\n".join("| " + " | ".join(row) + " |" for row in [head, len(head) * ["---"], *rows])
        )
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])

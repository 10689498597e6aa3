"""The functions of tf_pairwise.numpy on a GPU, against PyTorch: a Markdown table for docs/gpu.md.

    python benchmarks/gpu.py                               all of it: an hour
    python benchmarks/gpu.py --quick                       some minutes
    python benchmarks/gpu.py --into docs/gpu.md            the table between that file's marks
    python benchmarks/gpu.py --ops triplet --n 8192 --d 128 --types float32 --against eager

No TensorFlow is needed. Each function takes and returns torch tensors on the device, value and
gradient; gpu_cases.py says what they are compared with: plain PyTorch ("eager"), the same under
torch.compile, and pytorch-metric-learning ("pml") where that is installed and has the loss.

What is measured:

- Time: CUDA events around one call, so what the host needs to start the work counts where the GPU
  waits for it; the median of the calls after a warm-up (which compiles).
- Memory: what cudaMemGetInfo says is gone while a call's work is still under way, of caches that
  were emptied before: temporaries, results and gradients, not the inputs. Not torch's own count,
  which does not see other allocators; so it comes in the allocators' pieces, 2 MiB and more.
- The part of the ceiling: the time that the function's multiplications take at the rate of
  torch.matmul [8192, 8192] in the points' type (TF32 off), or its bytes at that of a copy of 1 GiB,
  whichever is longer, over the time that was measured.
- Agreement, where N is at most 8,192: the largest difference of value and gradients from eager's,
  relative to the norm of these.
"""

import argparse
import datetime
import json
import statistics
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

N, D, TYPES = (1024, 8192, 65536), (128, 512, 1024), ("float32", "bfloat16")
QUICK_N, QUICK_D = (1024, 8192), (128,)
OURS, EAGER = "ours", "eager"
AGAINST = (EAGER, "compile", "pml")
MOST_CHECKED = 8192  # rows, so that no result is held where memory is short
# Lines of a file that the table is put between.
BEGIN, END = "<!-- measured: begin, by benchmarks/gpu.py --into -->", "<!-- measured: end -->"


class Gpu:
    """What is measured, and how: PyTorch's current device."""

    device = "cuda"

    def __init__(self, torch):
        self.torch = torch
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.manual_seed(0)

    def describe(self):
        properties = self.torch.cuda.get_device_properties(0)
        return (
            f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, compute capability "
            f"{properties.major}.{properties.minor}; PyTorch {self.torch.__version__}"
        )

    def milliseconds(self, call, budget):
        """The median of the calls that fit into `budget` milliseconds, 3 to 50."""
        call()
        samples = [self._sample(call)]
        count = int(min(50, max(3, budget / max(samples[0], 1e-3))))
        samples = [self._sample(call) for _ in range(count)]
        return statistics.median(samples)

    def _sample(self, call):
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.torch.cuda.synchronize()
        begin.record()
        result = call()
        end.record()
        end.synchronize()
        del result
        return begin.elapsed_time(end)

    def megabytes(self, call):
        self.clear()
        before, _ = self.torch.cuda.mem_get_info()
        result = call()
        # Before the host waits: then a pool gives back what it has.
        after, _ = self.torch.cuda.mem_get_info()
        self.torch.cuda.synchronize()
        del result
        return max(0, before - after) / 1e6

    def clear(self):
        self.torch.cuda.synchronize()
        self.torch.cuda.empty_cache()

    def ceilings(self, types):
        """FLOP/s of a product in each type, and bytes/s of a copy."""
        made = {}
        for name in types:
            x = self.torch.randn(8192, 8192, device=self.device, dtype=getattr(self.torch, name))
            made[name] = 2 * 8192**3 / (self.milliseconds(lambda x=x: x @ x, 1000) / 1e3)
        source = self.torch.zeros(2**28, device=self.device)
        to = self.torch.empty_like(source)
        made["copy"] = 2 * 2**30 / (self.milliseconds(lambda: to.copy_(source), 500) / 1e3)
        return made


def is_out_of_memory(error):
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def attempt(function, *arguments):
    """(what it returns, None), or (None, what is to be said of it)."""
    try:
        return function(*arguments), None
    except Exception as error:
        if is_out_of_memory(error):
            return None, "out of memory"
        lines = str(error).strip().splitlines() or [""]
        return None, f"{type(error).__name__}: {lines[0][:120]}"


def measure(backend, case, n, d, dtype, against, ceilings, budget):
    """A row of the table, ready for JSON."""
    row = {"op": case.name, "n": n, "d": d, "type": dtype, "ms": {}, "mb": {}, "errors": {}}
    backend.clear()
    calls, error = attempt(case.calls, backend, n, d, dtype)
    if error:
        row["errors"][OURS] = f"the inputs: {error}"
        return row
    calls = {name: call for name, call in calls.items() if name in (OURS, *against)}
    if n <= MOST_CHECKED and {OURS, EAGER} <= calls.keys():
        row["difference"], _ = attempt(case.difference, calls[OURS], calls[EAGER])
    for name, call in calls.items():
        made, error = attempt(backend.milliseconds, call, budget)
        if error is None:
            row["ms"][name] = made
            made, error = attempt(backend.megabytes, call)
        if error is None:
            row["mb"][name] = made
        else:
            row["errors"][name] = error
        backend.clear()
    if OURS in row["ms"]:
        size = 2 if dtype == "bfloat16" else 4
        least = {
            "product": case.flops(n, d) / ceilings[dtype],
            "copy": case.bytes(n, d, size) / ceilings["copy"],
        }
        row["bound"] = max(least, key=least.get)
        row["part"] = least[row["bound"]] / (row["ms"][OURS] / 1e3)
    return row


# ---- the table ----


def number(value):
    """Three digits; a thousand and more whole."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def cell(row, what, name):
    if name in row[what]:
        return number(row[what][name])
    if name not in row["errors"]:
        return ""
    return "out of memory" if "out of memory" in row["errors"][name] else "failed"


def markdown(report):
    against = report["against"]
    columns = ["function", "N", "D", "type", *(f"{name}, ms" for name in (OURS, *against))]
    columns += [f"{name}, MB" for name in (OURS, *against)]
    columns += ["of the ceiling", "difference"]
    rate = report["ceilings"]
    products = ", ".join(f"{rate[t] / 1e12:.1f} TFLOP/s in {t}" for t in report["types"])
    lines = [
        f"{report['hardware']}; tf_pairwise {report['version']}; {report['date']}.",
        f"Command: `{report['command']}`.",
        f"Ceilings: torch.matmul {products} (TF32 off), copy {rate['copy'] / 1e9:,.0f} GB/s.",
        "",
        "| " + " | ".join(columns) + " |",
        "| " + " | ".join("---" if c in ("function", "type") else "---:" for c in columns) + " |",
    ]
    for row in report["rows"]:
        cells = [row["op"], f"{row['n']:,}", f"{row['d']:,}" if row["d"] else "", row["type"]]
        cells += [cell(row, "ms", name) for name in (OURS, *against)]
        cells += [cell(row, "mb", name) for name in (OURS, *against)]
        part, difference = row.get("part"), row.get("difference")
        cells.append("" if part is None else f"{100 * part:.0f} % ({row['bound']})")
        cells.append("" if difference is None else f"{difference:.0e}")
        lines.append("| " + " | ".join(cells) + " |")
    said = {
        f"- {row['op']}, N = {row['n']:,}, D = {row['d']:,}, {row['type']}: {name}: {error}"
        for row in report["rows"]
        for name, error in row["errors"].items()
        if error != "out of memory"
    }
    return "\n".join([*lines, *(["", "Failed:", "", *sorted(said)] if said else []), ""])


def put_between(text, table):
    """A text whose lines between the marks are the table."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"--into: got a file without the lines {BEGIN} and {END}")
    return f"{before}{begin}\n\n{table.strip()}\n\n{end}{after}"


# ---- the run ----


def parser():
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--ops", nargs="+", metavar="PART", help="functions with this in the name")
    made.add_argument("--n", nargs="+", type=int, help=f"rows; {N}, quick {QUICK_N}")
    made.add_argument("--d", nargs="+", type=int, help=f"dimensions; {D}, quick {QUICK_D}")
    made.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    made.add_argument("--against", nargs="*", choices=AGAINST, default=list(AGAINST))
    made.add_argument("--quick", action="store_true", help="small sizes, few calls, no compile")
    made.add_argument("--list", action="store_true", help="the names of the functions")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="the table; else it is printed")
    made.add_argument("--into", type=Path, metavar="FILE", help="the table, between its marks")
    made.add_argument("--json", type=Path, metavar="FILE", help="all that was measured")
    return made


def sizes(options):
    return (
        options.n or (QUICK_N if options.quick else N),
        options.d or (QUICK_D if options.quick else D),
    )


def configurations(cases, options):
    """(case, n, d, type) of a run, the small ones first."""
    rows, dimensions = sizes(options)
    for n in rows:
        for case in cases:
            for d in dimensions if case.has_points else (0,):
                for dtype in options.types:
                    yield case, n, d, dtype


def run(backend, cases, options, command, version, say=lambda line: print(line, file=sys.stderr)):
    """Measures, and writes what there is after each function, so that a stop loses little."""
    against = [name for name in options.against if name != "compile" or not options.quick]
    report = {
        "hardware": backend.describe(),
        "version": version,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "command": command,
        "types": options.types,
        "against": against,
        "ceilings": backend.ceilings(options.types),
        "rows": [],
    }
    budget = 200 if options.quick else 1000
    for case, n, d, dtype in configurations(cases, options):
        row = measure(backend, case, n, d, dtype, against, report["ceilings"], budget)
        report["rows"].append(row)
        times = ", ".join(f"{name} {number(ms)} ms" for name, ms in row["ms"].items())
        errors = ", ".join(f"{name} {error}" for name, error in row["errors"].items())
        what = ", ".join(filter(None, (times, errors)))
        say(f"{case.name}, N = {n:,}, D = {d:,}, {dtype}: {what}")
        if options.json:
            options.json.write_text(json.dumps(report, indent=1))
        if options.markdown:
            options.markdown.write_text(markdown(report))
    return report


def main(argv):
    options = parser().parse_args(argv)
    from benchmarks import gpu_cases

    cases = [c for c in gpu_cases.CASES if not options.ops or any(o in c.name for o in options.ops)]
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    if not cases:
        raise SystemExit(f"--ops: got {' '.join(options.ops)}, see --list")
    try:
        import torch
    except ImportError:
        raise SystemExit("PyTorch is what this measures with and against: it is missing") from None
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU")
    from tf_pairwise import _library

    if options.into:  # before the hour
        put_between(options.into.read_text(), "")
    command = " ".join(["python benchmarks/gpu.py", *argv])
    report = run(Gpu(torch), cases, options, command, _library.build_info()["version"])
    if options.into:
        options.into.write_text(put_between(options.into.read_text(), markdown(report)))
    elif not options.markdown:
        print(markdown(report))
    return 1 if any(OURS in row["errors"] for row in report["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

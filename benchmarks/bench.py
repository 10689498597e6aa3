"""python -m tf_pairwise bench: the fused functions against plain TensorFlow, in one run.

For each case: the fused op under tf.function, (a) the reference under tf.function and (b) the
reference with jit_compile=True, value and gradient, alternating in one process; the peak memory of
each, in processes of their own; and the floor, the case's multiplications at the rate that
tf.matmul has in the same rounds. harness.py says what is measured, and how to add cases.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import json
import os
import pkgutil
import platform
import sys
from pathlib import Path
from typing import Any


def main(argv: list[str] | None = None) -> int:
    """1 if a fused function disagrees with its reference, else 0: a missed target is no error."""
    options = _parser().parse_args(argv)
    if options.plot:
        from . import sweep

        sweep.plot(*map(Path, options.plot))
        return 0
    if options.table:
        report = json.loads(Path(options.table).read_text())
        print(_markdown(report) if options.markdown else _text(report))
        if options.into:
            _put_into(Path(options.into), report)
        return 0

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # this is about the CPU
    import tensorflow as tf

    from . import harness, peers, sweep

    tf.get_logger().setLevel("ERROR")  # that a function is traced for each case is meant
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    names = _families()
    if options.memory_of:
        name, which = options.memory_of
        case = _case_of_name(name)
        if options.sizes:
            case = dataclasses.replace(case, sizes=json.loads(options.sizes))
        print(json.dumps(harness.memory_here(case, which, options.quick)))
        return 0

    if options.sweep:
        return sweep.main(_case_of_name(sweep.CASE), _machine(options.threads), options, _progress)

    for asked in options.family or ():
        if asked not in names:
            raise SystemExit(f"--family: got {asked!r}, expected one of {', '.join(names)}")
    chosen = [
        (family, case)
        for family in names
        if not options.family or family in options.family
        for case in _cases(family)
        if not options.case or any(part in case.name for part in options.case)
        if not options.xla or (case.xla and not case.eager and not case.fused_only)
        if not options.peers or peers.of_case(case.name)
    ]
    if options.list:
        for family, case in chosen:
            print(f"{family:12} {case.name}")
        return 0
    if not chosen:
        raise SystemExit("no such case: --list shows them")

    report: dict[str, Any] = {"machine": _machine(options.threads), "quick": options.quick}
    report["cases"] = []
    for i, (family, case) in enumerate(chosen):

        def say(what: str, case=case, i=i) -> None:
            done = 20 * i // len(chosen)
            bar = "█" * done + "░" * (20 - done)
            _progress(f"{bar} {i + 1}/{len(chosen)} {case.name}: {what}")

        result = harness.run(
            case,
            quick=options.quick,
            budget=options.budget if not options.quick else min(options.budget, 2.0),
            rounds=options.rounds,
            xla=not options.no_xla,
            inside_xla=options.xla,
            with_peers=options.peers,
            memory=not options.no_memory,
            threads=options.threads,
            say=say,
        )
        report["cases"].append({"family": family, **result})
        _progress("")
        if not options.markdown:
            row, columns = _layout(report)
            if i == 0:
                print("\n".join(_head(report["machine"], options.quick)))
                print(_line(columns, columns))
            print(_line(row(report["cases"][-1]), columns))
            for note in _notes(report["cases"][-1]):
                print("    " + note)
            sys.stdout.flush()
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    print(_markdown(report) if options.markdown else _summary(report))
    print(f"written: {options.json}", file=sys.stderr)
    if options.into:
        _put_into(Path(options.into), report)
    return 0 if all(case["agrees"] for case in report["cases"]) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tf_pairwise bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--family", action="append", metavar="NAME", help="this family's cases (repeatable)")
    add("--case", action="append", metavar="TEXT", help="cases whose name has TEXT (repeatable)")
    add("--list", action="store_true", help="list the cases and stop")
    add("--quick", action="store_true", help="small sizes: to see that it works")
    add("--rounds", type=int, metavar="N", help="so many of each variant, however slow it is")
    add(
        "--budget",
        type=float,
        default=12.0,
        metavar="S",
        help="seconds of timing a case (%(default)s)",
    )
    add("--xla", action="store_true", help="the fused functions inside programs of XLA, too")
    add("--peers", action="store_true", help="other packages that are installed, and their cases")
    add("--sweep", action="store_true", help="time and memory of one loss against the batch's size")
    add("--plot", nargs=2, metavar=("FILE", "PNG"), help="draw such a sweep, and measure nothing")
    add("--no-xla", action="store_true", help="without the reference under XLA")
    add("--no-memory", action="store_true", help="without the processes that measure memory")
    add("--threads", type=int, metavar="N", help="intra-op threads (TensorFlow's default)")
    add("--markdown", action="store_true", help="print one Markdown table, for docs/benchmarks.md")
    add("--into", metavar="FILE", help="put that table between the bench marks of FILE")
    add("--json", default="bench.json", metavar="FILE", help="what is written (%(default)s)")
    add("--table", metavar="FILE", help="print the table of such a file, and measure nothing")
    add("--sizes", help=argparse.SUPPRESS)
    add("--memory-of", nargs=2, metavar=("CASE", "VARIANT"), help=argparse.SUPPRESS)
    return parser


def _families() -> list[str]:
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    names = [name.removeprefix("bm_") for name in found if name.startswith("bm_")]
    order = ["distance", "contrastive", "softmax", "triplet", "ranking", "neighbors"]
    return sorted(names, key=lambda name: (order.index(name) if name in order else 99, name))


def _cases(family: str) -> list:
    return importlib.import_module(f"{__package__}.bm_{family}").CASES


def _case_of_name(name: str) -> Any:
    return next(case for family in _families() for case in _cases(family) if case.name == name)


def _machine(threads: int | None) -> dict[str, Any]:
    import keras
    import numpy as np
    import tensorflow as tf

    import tf_pairwise
    from tf_pairwise import _numpy

    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    forced = os.environ.get("TF_PAIRWISE_ISA")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads or "default",
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "isa": _numpy.isa() + (f" (TF_PAIRWISE_ISA={forced})" if forced else ""),
        "tf_pairwise": tf_pairwise.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


# ---- tables ----

COLUMNS = {
    "work": 44,
    "fused": 10,
    "(a) plain": 10,
    "(b) XLA": 10,
    "(a)/fused": 9,
    "(b)/fused": 9,
    "floor": 8,
    "x floor": 7,
    "MB fused": 8,
    "MB (a)": 8,
    "MB (b)": 8,
    "target": 0,
}


def _line(cells: Any, columns: dict[str, int] = COLUMNS) -> str:
    cells = list(cells)
    widths = list(columns.values())
    first = f"{cells[0]:<{widths[0]}}"
    rest = [f"{cell:>{width}}" for cell, width in zip(cells[1:-1], widths[1:-1], strict=True)]
    return "  ".join([first, *rest, cells[-1]]).rstrip()


def _time(seconds: float | None, call: bool) -> str:
    if seconds is None:
        return "-"
    if call or seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"


def _sizes(case: dict[str, Any]) -> str:
    return " ".join(f"{name[0].upper()}={size}" for name, size in case["sizes"].items())


def _name(case: dict[str, Any]) -> str:
    return case["name"] if case["call"] else f"{case['name']}, {_sizes(case)}"


INSIDE_COLUMNS = {
    "work, compiled by XLA": 44,
    "fused": 10,
    "fused in XLA": 12,
    "(b) XLA": 10,
    "(b)/fused in XLA": 16,
    "MB fused in XLA": 15,
    "MB (b)": 8,
    "target": 0,
}


def _inside_row(case: dict[str, Any]) -> list[str]:
    fused, inside, xla = (case["variants"].get(name, {}) for name in ("fused", "fused_xla", "xla"))
    return [
        _name(case),
        *(_time(v.get("seconds"), case["call"]) for v in (fused, inside, xla)),
        _number(xla.get("ratio"), "x"),
        *(_number(v.get("memory_mb")) for v in (inside, xla)),
        _verdicts(case),
    ]


def _is_inside(report: dict[str, Any]) -> bool:
    return any("fused_xla" in case["variants"] for case in report["cases"])


def _layout(report: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    """What makes a row of a case, and the columns."""
    return (_inside_row, INSIDE_COLUMNS) if _is_inside(report) else (_row, COLUMNS)


def _verdicts(case: dict[str, Any]) -> str:
    words = [f"{t['asked']} {'ok' if t['met'] else 'MISSED'}" for t in case["targets"]]
    if not case["agrees"]:
        words.insert(0, "DISAGREES with the reference")
    return ", ".join(words)


def _row(case: dict[str, Any]) -> list[str]:
    fused, plain, xla = (case["variants"].get(name, {}) for name in ("fused", "reference", "xla"))
    floor = case.get("floor", {})
    return [
        _name(case),
        *(_time(v.get("seconds"), case["call"]) for v in (fused, plain, xla)),
        *(_number(v.get("ratio"), "x") for v in (plain, xla)),
        _time(floor.get("seconds"), False),
        _number(floor.get("ratio"), "x"),
        *(_number(v.get("memory_mb")) for v in (fused, plain, xla)),
        _verdicts(case),
    ]


def _notes(case: dict[str, Any]) -> list[str]:
    notes = list(case["notes"])
    notes += [f"{k}: memory: {v['error']}" for k, v in case["variants"].items() if "error" in v]
    if not case["agrees"]:
        notes.append(f"differences {case['differences']}, tolerance {case['tolerance']}")
    return notes


def _head(machine: dict[str, Any], quick: bool) -> list[str]:
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['isa']}; threads: {machine['threads']}; "
        f"load {machine['load_at_start']} at the start",
        f"tf_pairwise {machine['tf_pairwise']}, TensorFlow {machine['tensorflow']}, "
        f"Keras {machine['keras']}, NumPy {machine['numpy']}, Python {machine['python']}; "
        f"{machine['date']}",
    ]
    if quick:
        lines.append("--quick: the sizes are small, and the targets are not for them")
    return lines


def _matmul_rate(report: dict[str, Any]) -> str:
    rates = [case["floor"]["matmul_gflops"] for case in report["cases"] if "floor" in case]
    if not rates:
        return ""
    return (
        f"tf.matmul of [4096, 128] x [128, 4096], float32: {min(rates):.0f} to {max(rates):.0f} "
        "Gflop/s, the best of each case's rounds"
    )


def _summary(report: dict[str, Any]) -> str:
    targets = [t for case in report["cases"] for t in case["targets"]]
    missed = sum(not t["met"] for t in targets)
    wrong = sum(not case["agrees"] for case in report["cases"])
    lines = [_matmul_rate(report)]
    if targets:
        lines.append(f"targets: {len(targets) - missed} of {len(targets)} met")
    if wrong:
        lines.append(f"{wrong} of {len(report['cases'])} cases DISAGREE with the reference")
    return "\n".join(line for line in lines if line)


def _text(report: dict[str, Any]) -> str:
    row, columns = _layout(report)
    lines = [*_head(report["machine"], report["quick"]), _line(columns, columns)]
    for case in report["cases"]:
        lines += [_line(row(case), columns), *("    " + note for note in _notes(case))]
    return "\n".join([*lines, _summary(report)])


def _markdown(report: dict[str, Any]) -> str:
    """Two tables: the work of a batch, and what one call costs."""
    if _is_inside(report):
        return _inside_markdown(report)
    if _has_peers(report):
        return _peers_markdown(report)
    lines = []
    batches = [case for case in report["cases"] if not case["call"]]
    if batches:
        lines += [
            "| float32; value and gradient unless it says value | fused | plain TensorFlow (a) | "
            "with XLA (b) | (a) / fused | (b) / fused | floor | peak memory: fused / (a) / (b) | "
            "target |",
            "|---|--:|--:|--:|--:|--:|--:|--:|---|",
        ]
    for case in batches:
        name, fused, plain, xla, over_plain, over_xla, floor, times, *memory, verdicts = _row(case)
        alone = ", value" if case["measured"] == "value" else ""
        floor = "-" if floor == "-" else f"{floor} ({times})"
        memory = " / ".join(memory) + " MB"
        cells = [name + alone, fused, plain, xla, over_plain, over_xla, floor, memory, verdicts]
        lines.append(f"| {' | '.join(cells)} |")
    calls: dict[str, dict[str, list[str]]] = {}
    for case in report["cases"]:
        if case["call"]:
            name = case["name"].split(": ", 1)[1]
            calls.setdefault(f"{name}, {_sizes(case)}", {})[case["mode"]] = _row(case)
    if calls:
        lines += [
            "",
            "| one call, value and gradient | fused | plain TensorFlow (a) | (a) / fused | "
            "fused, eager | plain, eager | plain / fused |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
    for name, modes in calls.items():
        cells = [name]
        for mode in ("tf.function", "eager"):
            row = modes.get(mode)
            cells += [row[1], row[2], row[4]] if row else ["-"] * 3
        lines.append(f"| {' | '.join(cells)} |")
    about = [*_head(report["machine"], report["quick"]), _matmul_rate(report)]
    return "\n".join([*lines, "", *(f"- {line}" for line in about if line)])


def _inside_markdown(report: dict[str, Any]) -> str:
    memory = any("memory_mb" in case["variants"]["fused"] for case in report["cases"])
    heads = ["inside a program of XLA", "fused, under tf.function", "fused, in XLA"]
    heads += ["reference, in XLA (b)", "(b) / fused in XLA"]
    heads += ["peak memory: fused in XLA / (b)"] * memory
    lines = [f"| {' | '.join([*heads, 'target'])} |", f"|---{'|--:' * (len(heads) - 1)}|---|"]
    for case in report["cases"]:
        *cells, inside, xla, verdicts = _inside_row(case)
        if case["measured"] == "value":
            cells[0] += ", value"
        cells += [f"{inside} / {xla} MB"] * memory
        lines.append(f"| {' | '.join([*cells, verdicts])} |")
    return "\n".join([*lines, "", *(f"- {line}" for line in _head(report["machine"], False))])


def _has_peers(report: dict[str, Any]) -> bool:
    return any("peers" in case for case in report["cases"])


def _time_and_memory(variant: dict[str, Any]) -> str:
    if "seconds" not in variant:
        return "-"
    return f"{_time(variant['seconds'], False)}, {_number(variant.get('memory_mb'))} MB"


def _peers_markdown(report: dict[str, Any]) -> str:
    lines = [
        "| float32; value and gradient unless it says value | fused | plain TensorFlow | with XLA "
        "| peers: time, memory, time / fused |",
        "|---|--:|--:|--:|---|",
    ]
    for case in report["cases"]:
        variants = case["variants"]
        cells = [_name(case) + (", value" if case["measured"] == "value" else "")]
        cells += [_time_and_memory(variants.get(n, {})) for n in ("fused", "reference", "xla")]
        made = []
        for name, about in case["peers"].items():
            words = f"{name} {about['version']}: {_time_and_memory(variants[name])}"
            words += f", {_number(variants[name]['ratio'], 'x')}"
            if about["formula"]:
                words += f" ({about['formula']})"
            elif about["difference"] > case["tolerance"]:
                words += f" (differs by {about['difference']:.0e})"
            made.append(words)
        lines.append(f"| {' | '.join([*cells, '<br>'.join(made)])} |")
    about = [*_head(report["machine"], report["quick"]), *_peers_notes(report)]
    return "\n".join([*lines, "", *(f"- {line}" for line in about)])


def _peers_notes(report: dict[str, Any]) -> list[str]:
    return [f"{case['name']}: {note}" for case in report["cases"] for note in _notes(case)]


BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
INSIDE_BEGIN, INSIDE_END = "<!-- bench --xla: begin -->\n", "<!-- bench --xla: end -->\n"
PEERS_BEGIN, PEERS_END = "<!-- bench --peers: begin -->\n", "<!-- bench --peers: end -->\n"


def _put_into(file: Path, report: dict[str, Any]) -> None:
    begin, end = BEGIN, END
    if _has_peers(report):
        begin, end = PEERS_BEGIN, PEERS_END
    elif _is_inside(report):
        begin, end = INSIDE_BEGIN, INSIDE_END
    before, rest = file.read_text().split(begin)
    _, after = rest.split(end)
    file.write_text(f"{before}{begin}{_markdown(report)}\n{end}{after}")
    print(f"table written into {file}", file=sys.stderr)


def _progress(text: str) -> None:
    """One line on a terminal, replaced by the next."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

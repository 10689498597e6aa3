"""Time and memory of one loss against the size of the batch: `bench --sweep`, `bench --plot`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CASE = "batch hard"
SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
ROWS_PER_CLASS = 8
# A variant is left out from where it would take more, going by the size before: four times as much.
MOST_MB, MOST_SECONDS = 8000.0, 30.0

LABELS = {
    "fused": "tf_pairwise",
    "reference": "plain TensorFlow",
    "xla": "plain TensorFlow, XLA",
}


def main(case: Any, machine: dict[str, Any], options: Any, progress: Callable[[str], None]) -> int:
    """Measures, and writes the report to options.json."""
    from . import harness

    report: dict[str, Any] = {"machine": machine, "case": case.name, "points": []}
    without: set[str] = set()
    for n in SIZES[:3] if options.quick else SIZES:
        sizes = {**case.sizes, "n": n, "classes": max(2, n // ROWS_PER_CLASS)}
        result = harness.run(
            dataclasses.replace(case, sizes=sizes, needs_gib=0.0),
            budget=min(options.budget, 2.0) if options.quick else options.budget,
            rounds=options.rounds,
            with_peers=True,
            without=without,
            memory=not options.no_memory,
            threads=options.threads,
            say=lambda what, n=n: progress(f"N={n}: {what}"),
        )
        progress("")
        point = {"n": n, "agrees": result["agrees"], "notes": result["notes"]}
        for name, variant in result["variants"].items():
            if name == harness.MATMUL:
                continue
            point[name] = {key: variant.get(key) for key in ("seconds", "memory_mb", "error")}
            memory, seconds = variant.get("memory_mb"), variant["seconds"]
            if memory is None and not options.no_memory:
                without.add(name)  # its process ran out of memory
            elif 4 * (memory or 0) > MOST_MB or 4 * seconds > MOST_SECONDS:
                without.add(name)
        report["points"].append(point)
        print(f"N={n}: {_words(point)}", flush=True)
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
        if "fused" in without:
            break
    print(f"written: {options.json}", file=sys.stderr)
    return 0 if all(point["agrees"] for point in report["points"]) else 1


def _words(point: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {1e3 * variant['seconds']:.2f} ms {variant['memory_mb'] or 0:.0f} MB"
        for name, variant in point.items()
        if isinstance(variant, dict)
    )


def plot(source: Path, target: Path) -> None:
    """Draws time and memory against N, of the report that `main` wrote."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    report = json.loads(source.read_text())
    names = dict.fromkeys(
        name for point in report["points"] for name, value in point.items() if name in LABELS
    )
    names |= dict.fromkeys(
        name
        for point in report["points"]
        for name, value in point.items()
        if isinstance(value, dict) and name not in LABELS
    )
    colours = dict(
        zip(names, ("#d62728", "#1f77b4", "#17becf", "#7f7f7f", "#bcbd22"), strict=False)
    )
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for ax, key, scale, title in (
        (axes[0], "seconds", 1e3, "time of value and gradient, ms"),
        (axes[1], "memory_mb", 1.0, "peak memory, MB"),
    ):
        for name in names:
            points = [
                (p["n"], scale * p[name][key])
                for p in report["points"]
                if name in p and p[name].get(key)
            ]
            if not points:
                continue
            ours = name == "fused"
            ax.plot(
                *zip(*points, strict=True),
                color=colours[name],
                linewidth=2.6 if ours else 1.6,
                marker="o",
                markersize=5 if ours else 4,
                label=LABELS.get(name, name),
            )
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ticks = [p["n"] for p in report["points"]]
        ax.set_xticks(ticks, [f"{n:,}" for n in ticks], rotation=30, ha="right")
        ax.minorticks_off()
        ax.set_title(title, loc="left")
        ax.set_xlabel("N, the rows of the batch")
        ax.grid(True, color="0.9")
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False
    )
    machine = report["machine"]
    figure.supxlabel(
        f"{report['case']}, D = 128, float32; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['date'][:10]}",
        size="small",
        color="0.4",
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
    print(f"written: {target}")

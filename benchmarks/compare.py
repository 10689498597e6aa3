"""Two builds of the package against each other: the fused functions of every case, alternating.

    python -m benchmarks.compare OLD NEW [--case NAME] [--without NAME] [--rounds N]

OLD and NEW are folders that hold an installed `tf_pairwise` (a wheel unpacked, a site-packages).
Each is loaded in a process of its own, and samples are taken in turn, so that what else the
machine does meets both. A ratio is the median of the rounds' ratios NEW / OLD; beside it stand the
two least times.
A case that a build has no function for is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


class Build:
    """A process in which one build is loaded."""

    def __init__(self, folder: str):
        # The package first, then this tree's benchmarks; not this tree's Python sources.
        path = os.pathsep.join([str(Path(folder).resolve()), str(TOP)])
        environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.compare", "--worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a build's process ended")
        return json.loads(line)


def worker() -> None:
    """Answers on the other end: `prepare` a case, take a `sample`."""
    # What the libraries print must not be in the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from . import bench, harness

    cases = {case.name: case for family in bench._families() for case in bench._cases(family)}
    call = None
    for line in sys.stdin:
        message = json.loads(line)
        if message["do"] == "list":
            answer = list(cases)
        elif message["do"] == "prepare":
            case = cases[message["case"]]
            try:
                tensors = harness._tensors(case, case.at(quick=False))
                function = harness.variant(case, harness.FUSED)
                call = lambda f=function, t=tensors: f(*t)  # noqa: E731
                call()
                answer = min(harness._sample(call, 1) for _ in range(3))
            except (TypeError, ValueError, AttributeError) as error:
                answer = f"{type(error).__name__}: {error}"
        else:
            answer = harness._sample(call, message["repeats"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builds", nargs="*", metavar="OLD NEW")
    parser.add_argument("--case", action="append", help="names that hold this text")
    parser.add_argument("--without", action="append", default=[], help="those are left out")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.05, help="of a sample, at least")
    parser.add_argument("--json")
    parser.add_argument("--worker", action="store_true")
    options = parser.parse_args()
    if options.worker:
        worker()
        return 0
    if len(options.builds) != 2:
        parser.error("expected two folders: OLD NEW")
    old, new = builds = [Build(folder) for folder in options.builds]
    names = [name for name in old.ask(do="list") if name in set(new.ask(do="list"))]
    print(f"{'case':48} {'old ms':>10} {'new ms':>10} {'new/old':>8}")
    rows = []
    for name in names:
        if options.case and not any(part in name for part in options.case):
            continue
        if any(part in name for part in options.without):
            continue
        estimates = [build.ask(do="prepare", case=name) for build in builds]
        if any(isinstance(estimate, str) for estimate in estimates):
            print(f"{name:48} left out: {next(e for e in estimates if isinstance(e, str))}")
            continue
        repeats = max(1, min(2000, round(options.seconds / max(estimates))))
        rounds = options.rounds if max(estimates) < 1 else max(5, options.rounds // 3)
        samples = []
        for i in range(rounds):
            turn = (old, new) if i % 2 == 0 else (new, old)
            taken = {build: build.ask(do="sample", repeats=repeats) for build in turn}
            samples.append((taken[old], taken[new]))
        ratio = statistics.median(b / a for a, b in samples)
        least = [min(column) for column in zip(*samples, strict=True)]
        rows.append(dict(case=name, old=least[0], new=least[1], ratio=ratio))
        print(f"{name:48} {least[0] * 1e3:10.3f} {least[1] * 1e3:10.3f} {ratio:8.3f}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

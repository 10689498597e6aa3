"""Times a fused function against its reference, and reads the memory that each takes.

To add cases, write `bm_<family>.py` beside this file with a list CASES; bench.py finds it by its
name. Complete, for one loss:

    import tf_pairwise as tpw
    from tf_pairwise import reference

    from . import inputs
    from .harness import Case, Target, one_call

    CASES = [
        Case(
            name="batch contrastive",
            sizes=dict(n=4096, d=128, classes=512),      # the sizes of DESIGN, section 4
            quick=dict(n=512, classes=64),               # what of them --quick makes smaller
            inputs=inputs.batch,                         # inputs(**sizes) -> arrays
            fused=tpw.batch_contrastive_loss,            # called with the arrays as tensors
            reference=reference.batch_contrastive_loss,
            gradient_of=(0,),                            # which of them; () is the value alone
            flops=lambda n, d, **_: 3 * n * n * d,       # the floor, at tf.matmul's rate
            target=Target(reference=7, xla=3, floor=1.5, memory_mb=16),
        ),
        *one_call("batch_contrastive_loss", sizes=dict(n=32, d=64, classes=4), inputs=...,
                  fused=..., reference=...),             # the cost of one call: graph and eager
    ]

Options of a function go into a lambda or functools.partial. `inputs` here is tests/inputs.py.
Case, below, says what else there is. `python -m benchmarks --case "batch contrastive" --quick`
in the checkout, with tf_pairwise installed, tries one case.

What is measured:

- Time. All variants of a case run in one process, in turn, one sample of each a round, starting
  with another one each round; a sample of a fast function is many calls. A ratio is the median of
  the rounds' ratios, a time the least that was seen. The slower a variant, the fewer its rounds.
  Beside them runs tf.matmul of [4096, 128] x [128, 4096], the machine's rate in these rounds.
- Agreement. Before that, loss and gradients of the fused function and of the reference: the norm
  of their difference is at most `tolerance` times the norm of the reference's, else it fails.
- Memory. For each variant a new process: TensorFlow warmed up with the variant at a tiny size,
  the inputs made, then one call. What is counted is the peak resident memory of the process
  during that call over its resident memory before: temporaries, results and gradients; not the
  inputs. XLA is given another call, so that what compiling takes and gives back is not counted
  (what XLA keeps between calls is). tf.matmul of [4096, 128] x [128, 4096] takes 7 MB beside its
  result by this measure.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from . import peers

FUSED, REFERENCE, XLA, MATMUL = "fused", "reference", "xla", "matmul"
FUSED_XLA = "fused_xla"  # the fused function in a program that XLA compiles
MATMUL_SIZES = (4096, 128)


@dataclass(frozen=True)
class Target:
    """What DESIGN.md section 4 asks for; None is nothing."""

    reference: float | None = None  # times as fast as the reference under tf.function
    xla: float | None = None  # ... and as the reference with jit_compile=True
    floor: float | None = None  # at most so many times the floor's time
    seconds: float | None = None
    memory_mb: float | None = None  # at most, results and gradients included
    outputs_only: bool = False  # memory: results and gradients, and at most 16 MB more


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str  # unique
    sizes: Mapping[str, int]
    inputs: Callable[..., Sequence[np.ndarray]]  # inputs(**sizes)
    fused: Callable  # fused(*tensors) -> a scalar, or a tensor
    reference: Callable  # of the same arguments
    quick: Mapping[str, int] = field(default_factory=dict)  # sizes that --quick replaces
    gradient_of: tuple[int, ...] = (0,)  # positions in `inputs`; () measures the value alone
    upstream: Callable[..., np.ndarray] | None = None  # upstream(**sizes), for a tensor's gradient
    flops: Callable[..., float] | None = None  # flops(**sizes); a matmul of n x k x m is 2 n k m
    target: Target = Target()
    tolerance: float = 1e-4
    eager: bool = False  # eager calls instead of tf.function, and no XLA
    xla: bool = True  # whether the reference is measured with jit_compile=True
    fused_only: bool = False  # the reference only serves to check, at the sizes of `quick`
    memory: bool = True  # whether memory is measured
    needs_gib: float = 0.0  # free memory that the reference needs; without it, it is left out
    call: bool = False  # the cost of one call: microseconds in the table, no sizes in its name

    def at(self, quick: bool) -> dict[str, int]:
        return {**self.sizes, **self.quick} if quick else dict(self.sizes)


def one_call(name: str, *, sizes: Mapping[str, int], **arguments) -> list[Case]:
    """The cases for what one call of a function costs: under tf.function, and eager."""
    common = dict(sizes=sizes, memory=False, call=True, **arguments)
    target = Target(reference=1)
    return [
        Case(name=f"one call: {name}", target=target, xla=False, **common),
        Case(name=f"one call, eager: {name}", target=target, eager=True, **common),
    ]


# ---- one variant of a case ----


def _tensors(case: Case, sizes: Mapping[str, int]) -> list[tf.Tensor]:
    arrays = list(case.inputs(**sizes))
    if case.upstream is not None:
        arrays.append(case.upstream(**sizes))
    return [tf.constant(array) for array in arrays]


def variant(case: Case, which: str) -> Callable:
    """A function of the tensors that returns [value, *gradients]."""
    function = case.fused if which in (FUSED, FUSED_XLA) else case.reference

    def value_and_gradients(*tensors):
        tensors, upstream = (
            (tensors, None) if case.upstream is None else (tensors[:-1], tensors[-1])
        )
        if not case.gradient_of:
            return [function(*tensors)]
        with tf.GradientTape() as tape:
            sources = [tensors[i] for i in case.gradient_of]
            tape.watch(sources)
            value = function(*tensors)
        return [value, *tape.gradient(value, sources, output_gradients=upstream)]

    if case.eager:
        return value_and_gradients
    return tf.function(value_and_gradients, autograph=False, jit_compile=which in (XLA, FUSED_XLA))


def _matmul() -> Callable[[], Any]:
    n, d = MATMUL_SIZES
    x, y = (tf.random.stateless_normal([n, d], [seed, 0]) for seed in (1, 2))
    product = tf.function(lambda x, y: tf.matmul(x, y, transpose_b=True), autograph=False)
    return lambda: product(x, y)


def matmul_flops() -> float:
    n, d = MATMUL_SIZES
    return 2.0 * n * n * d


def compare(case: Case, sizes: Mapping[str, int]) -> list[float]:
    """The differences of value and gradients, fused from reference, relative to their norms."""
    tensors = _tensors(case, sizes)
    # One after the other: the reference may need all the memory there is.
    made, expected = (
        [tf.cast(x, tf.float64).numpy() for x in variant(case, which)(*tensors)]
        for which in (FUSED, REFERENCE)
    )
    return [_difference(a, b) for a, b in zip(made, expected, strict=True)]


def _difference(made: np.ndarray, expected: np.ndarray) -> float:
    if made.shape != expected.shape or not np.isfinite(made).all():
        return float("inf")
    norm = np.linalg.norm(expected)
    return float(np.linalg.norm(made - expected) / (norm if norm > 0 else 1.0))


# ---- time ----


def _sample(call: Callable[[], Any], repeats: int) -> float:
    """Seconds of one call, the mean of `repeats`."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def alternate(
    calls: Mapping[str, Callable[[], Any]], budget: float, rounds: int | None = None
) -> dict[str, list[float]]:
    """Samples in seconds of each call, taken in turn; a call that is slow has fewer of them."""
    repeats, wanted = {}, {}
    for name, call in calls.items():
        estimate = _sample(call, 1)  # traces and compiles
        if estimate < 3.0:
            estimate = _sample(call, 1)
        if estimate < 0.02:
            estimate = _sample(call, 5)
        repeats[name] = max(1, min(1000, round(0.02 / estimate)))
        share = budget / len(calls) / (repeats[name] * estimate)
        least = 2 if estimate < budget else 1
        wanted[name] = rounds or int(max(least, min(share, 40)))
    names = list(calls)
    samples: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    try:
        for i in range(max(wanted.values())):
            turn = i % len(names)
            for name in names[turn:] + names[:turn]:
                if i < wanted[name]:
                    samples[name].append(_sample(calls[name], repeats[name]))
    finally:
        gc.enable()
    return samples


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """The median of the rounds' ratios, over the rounds that have both."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=False))


# ---- memory ----


def _status_kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


def _available_gib() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    return float("inf")


def release_memory() -> None:
    """Gives back to the system what is free on the heap."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):  # not every kernel allows it
        Path("/proc/self/clear_refs").write_text("5")


def peak_growth(call: Callable[[], Any], calls: int = 1) -> tuple[int, Any]:
    """The bytes by which the peak of resident memory in `call` exceeds that before, and its result.

    Of several calls, the peak in the last over the memory before the first.
    """
    release_memory()
    _forget_peak()
    ballast = []  # where the peak of the past stands, lifts the resident memory to it
    for _ in range(5):
        missing = _status_kib("VmHWM") - _status_kib("VmRSS")
        if missing <= 256:
            break
        ballast.append(np.ones(missing * 1024, np.uint8))
    before = _status_kib("VmRSS")
    result = call()
    for _ in range(calls - 1):
        del result
        release_memory()
        _forget_peak()
        result = call()
    growth = _status_kib("VmHWM") - before
    del ballast
    return max(growth, 0) * 1024, result


def memory_here(case: Case, which: str, quick: bool) -> dict[str, float]:
    """Megabytes of one call of a variant, or a peer, in this process, which has to be a new one."""
    sizes = case.at(quick)
    make = peers.of_case(case.name).get(which)
    if make is not None:
        return _memory_of_peer(case, make, sizes)
    function = variant(case, which)
    small = _tensors(case, {name: min(size, 32) for name, size in sizes.items()})
    for _ in range(3):
        function(*small)
    tensors = _tensors(case, sizes)
    growth, result = peak_growth(
        lambda: function(*tensors), calls=2 if which in (XLA, FUSED_XLA) else 1
    )
    outputs = sum(tf.size(x).numpy() * x.dtype.size for x in result)
    return {"memory_mb": growth / 1e6, "outputs_mb": float(outputs) / 1e6}


def _memory_of_peer(case: Case, make: Callable, sizes: Mapping[str, int]) -> dict[str, float]:
    small = make(*case.inputs(**{name: min(size, 32) for name, size in sizes.items()}))
    for _ in range(3):
        small()
    call = make(*case.inputs(**sizes))
    growth, result = peak_growth(call)
    return {"memory_mb": growth / 1e6, "outputs_mb": sum(map(_bytes, result)) / 1e6}


def _bytes(x: Any) -> float:
    return float(np.asarray(x).nbytes)


def memory_apart(case: Case, which: str, quick: bool, threads: int | None) -> dict[str, Any]:
    """`memory_here` in a process of its own."""
    command = [sys.executable, "-m", __package__, "--memory-of", case.name, which]
    command += ["--quick"] if quick else []
    command += ["--sizes", json.dumps(dict(case.sizes))]
    command += ["--threads", str(threads)] if threads else []
    # `__package__` is found from the folder above its own.
    top = Path(__file__).resolve().parents[len(__package__.split("."))]
    path = os.pathsep.join([str(top), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        return {"error": f"exit status {done.returncode}: {last[0]}"}
    return json.loads(done.stdout.splitlines()[-1])


# ---- a case ----


def run(
    case: Case,
    *,
    quick: bool = False,
    budget: float = 12.0,
    rounds: int | None = None,
    xla: bool = True,
    inside_xla: bool = False,
    with_peers: bool = False,
    without: Collection[str] = (),
    memory: bool = True,
    threads: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Checks and measures a case; what came out, ready for JSON.

    `inside_xla`: the fused function in a program that XLA compiles as well, and in place of the
    reference under tf.function. `with_peers`: what peers.py has of the case.
    `without`: variants and peers that are left out.
    """
    sizes = case.at(quick)
    result: dict[str, Any] = {
        "name": case.name,
        "sizes": sizes,
        "call": case.call,
        "mode": "eager" if case.eager else "tf.function",
        "measured": "value and gradient" if case.gradient_of else "value",
        "notes": [],
        "variants": {},
    }
    names = [FUSED]
    with_reference = not case.fused_only and REFERENCE not in without
    if with_reference and not quick and _available_gib() < case.needs_gib:
        result["notes"].append(
            f"{_available_gib():.0f} GiB free, and the reference needs {case.needs_gib:.0f}: "
            "it is left out, and the check is of the quick sizes"
        )
        with_reference = False
    if with_reference:
        names.append(FUSED_XLA if inside_xla else REFERENCE)
    xla_is_asked_for = with_reference or (REFERENCE in without and not case.fused_only)
    if xla_is_asked_for and xla and case.xla and not case.eager and XLA not in without:
        names.append(XLA)

    say("checking")
    checked = sizes if with_reference else case.at(quick=True)
    result["differences"] = compare(case, checked)
    result["checked_sizes"] = checked
    result["tolerance"] = case.tolerance
    result["agrees"] = max(result["differences"]) <= case.tolerance

    tensors = _tensors(case, sizes)
    calls = {}
    for name in names:
        function = variant(case, name)
        calls[name] = lambda function=function: function(*tensors)
        if name in (XLA, FUSED_XLA):
            try:
                say("compiling with XLA")
                calls[name]()
            except (tf.errors.OpError, ValueError) as error:
                result["notes"].append(f"XLA: {type(error).__name__}: {str(error)[:200]}")
                del calls[name]
    if case.flops is not None:
        calls[MATMUL] = _matmul()
    if with_peers:
        names += _add_peers(case, sizes, without, calls, result, say)
    say("timing")
    samples = alternate(calls, budget, rounds)
    for name, times in samples.items():
        result["variants"][name] = {"seconds": min(times), "samples": times}
    for name in samples:
        if name not in (FUSED, FUSED_XLA, MATMUL):
            fused = samples.get(FUSED_XLA, samples[FUSED])
            result["variants"][name]["ratio"] = ratio(samples[name], fused)
    if case.flops is not None:
        flops = case.flops(**sizes)
        share = flops / matmul_flops()
        floors = [share * seconds for seconds in samples[MATMUL]]
        result["floor"] = {
            "flops": flops,
            "matmul_gflops": matmul_flops() / min(samples[MATMUL]) / 1e9,
            "seconds": min(floors),
            "ratio": ratio(samples[FUSED], floors),
        }
    calls.clear()
    release_memory()

    if memory and case.memory:
        for name in names:
            if name in result["variants"]:
                say(f"memory of {name}")
                result["variants"][name].update(memory_apart(case, name, quick, threads))
    result["targets"] = [] if quick else judge(case.target, result)
    return result


def _add_peers(case: Case, sizes, without, calls, result, say) -> list[str]:
    """Adds the calls of the peers that can be made to `calls`; their names."""
    result["peers"] = {}
    arrays = case.inputs(**sizes)
    small = case.inputs(**case.at(quick=True))
    expected = [
        x.numpy().astype(np.float64)
        for x in variant(case, FUSED)(*_tensors(case, case.at(quick=True)))
    ]
    added = []
    for name, make in peers.of_case(case.name).items():
        if name in without:
            continue
        say(name)
        try:
            made = peers.arrays(make(*small)())
            calls[name] = make(*arrays)
            calls[name]()
        except (ImportError, MemoryError, RuntimeError) as error:
            calls.pop(name, None)
            result["notes"].append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
            continue
        added.append(name)
        result["peers"][name] = {
            "version": peers.version(name),
            "difference": max(_difference(a, b) for a, b in zip(made, expected, strict=True)),
            "formula": peers.FORMULAS.get((case.name, name), ""),
        }
    return added


def judge(target: Target, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each of the target's wishes: what was asked, what was measured, and whether it is met."""
    variants = result["variants"]
    fused = variants.get(FUSED_XLA, variants[FUSED])
    judged = []

    def add(what: str, asked: str, measured: float | None, met: Callable[[float], bool]):
        if measured is not None:
            judged.append(dict(what=what, asked=asked, measured=measured, met=met(measured)))

    for name, wish, label in ((REFERENCE, target.reference, "(a)"), (XLA, target.xla, "(b)")):
        if wish is not None:
            measured = variants.get(name, {}).get("ratio")
            add(name, f">= {wish:g}x {label}", measured, lambda m, wish=wish: m >= wish)
    if target.floor is not None and FUSED_XLA not in variants:
        measured = result.get("floor", {}).get("ratio")
        add("floor", f"<= {target.floor:g}x floor", measured, lambda m: m <= target.floor)
    if target.seconds is not None:
        add("seconds", f"< {target.seconds:g} s", fused["seconds"], lambda m: m < target.seconds)
    memory = fused.get("memory_mb")
    if target.memory_mb is not None:
        add("memory", f"< {target.memory_mb:g} MB", memory, lambda m: m < target.memory_mb)
    if target.outputs_only:
        most = fused.get("outputs_mb", 0.0) + 16.0
        add("memory", f"< outputs + 16 = {most:.0f} MB", memory, lambda m: m < most)
    return judged

"""Draws case after case, runs it, and says what was wrong and how to see it again."""

import argparse
import functools
import os
import sys
import time
import traceback
import zlib
from dataclasses import dataclass

import numpy as np

import tf_pairwise as tpw
from tests import callers, gpu_arrays
from tests.checks import value_and_gradients
from tests.fuzz import cases, compare, oracle
from tf_pairwise import _library
from tf_pairwise import numpy as tpn

# Set by --gpu: only a GPU's kernels are fuzzed, of the one that is here or of what plays one.
ON_A_GPU = "TF_PAIRWISE_FUZZ_GPU"


@dataclass
class Failure:
    seed: int
    case: int
    words: str
    what: str
    error: float

    def __str__(self):
        gpu = " --gpu" if ON_A_GPU in os.environ else ""
        again = f"python -m tests.fuzz --seed {self.seed} --case {self.case}{gpu}"
        return f"{self.what}\n    error {self.error:.1e}: {self.words}\n    {again}"


def tensorflow(case):
    """(values, gradients) of the op, as float64 arrays."""
    function = getattr(tpw, case.function)
    points = [case.arguments[name] for name in case.differentiable]
    if not points:
        values = case.call(function, case.arguments, [])
        values = values if isinstance(values, (tuple, list)) else [values]
        return [_widened(v.numpy()) for v in values], []
    if case.second is not None:
        return oracle.second(lambda *p: case.call(function, case.arguments, p), points, case)
    value, gradients = value_and_gradients(
        lambda *p: case.call(function, case.arguments, p), points, case.upstream, case.path
    )
    return [value], gradients


def _laid_out(case, arguments):
    """The arguments, some of whose arrays lie in other memory: as the case draws, and no list."""
    random = np.random.default_rng(zlib.crc32(str(case).encode()))
    layouts = [name for name in callers.LAYOUTS if name != "list"]
    moved = {}
    for name, value in arguments.items():
        layout = random.choice(layouts)
        if (
            isinstance(value, np.ndarray)
            and value.ndim
            and random.random() < 0.3
            and (layout != "byte-swapped" or value.dtype.isbuiltin == 1)  # bfloat16 has no other
        ):
            value = callers.LAYOUTS[layout](value)
        moved[name] = value
    return moved


def numpy(case, moved=None, back=np.asarray):
    """The same of the NumPy module; no gradients for an upstream that it does not take.

    `moved` puts arguments, by their names, where they are to be, and `back` brings a result.
    """
    function = getattr(tpn, case.function)
    moved = moved or functools.partial(_laid_out, case)
    points = [case.arguments[name] for name in case.differentiable]
    arguments = {**case.arguments}
    for name, point in zip(case.differentiable, points, strict=True):
        if not np.ndim(point):  # a parameter: a tensor there, a number here
            arguments[name] = float(point)
    arguments = moved(arguments)
    threads = case.threads
    if case.function.endswith("_distance"):
        x, y, metric = arguments["x"], arguments["y"], arguments["metric"]
        values = function(x, y, metric, threads=threads)
        gradient = getattr(tpn, f"{case.function}_gradient")
        upstream = moved({**case.arguments, "upstream": case.upstream})["upstream"]
        gradients = gradient(x, y, upstream, metric, threads=threads)
        return [_widened(back(values))], [_widened(back(g)) for g in _listed(gradients)]
    if not points:
        return [_widened(back(v)) for v in _listed(function(**arguments, threads=threads))], []
    value, gradients = function(**arguments, with_gradient=True, threads=threads)
    value, alone = back(value), back(function(**arguments, threads=threads))
    if not np.array_equal(alone, value, equal_nan=True):
        raise compare.Wrong("numpy value: with and without gradients it differs")
    gradients = _listed(gradients) if case.upstream is None else []
    return [_widened(value)], [_widened(back(g)) for g in gradients]


def gpu(case):
    """The same on arrays of a GPU, or of what plays one."""
    maker = gpu_arrays.MAKERS[0]
    return numpy(case, functools.partial(gpu_arrays.on, maker), maker.back)


def _listed(value):
    return list(value) if isinstance(value, tuple) else [value]


def _widened(array):
    array = np.asarray(array)
    return array if array.dtype.kind in "biu" else array.astype(np.float64)


def run_case(seed, number):
    """The failures of one case: none is right, and None says that it is not asked for."""
    case = cases.draw_case(seed, number)
    if case.skip:
        return None
    if ON_A_GPU in os.environ and case.words.get("data") == "denormal":
        return None  # a GPU keeps numbers that the reference and the host take for 0
    failures, made = [], {}

    def fail(error):
        if isinstance(error, compare.Wrong):
            what, size = str(error), error.error
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {str(error).splitlines()[0]} ({last.name})"
            size = np.inf
        failures.append(Failure(seed, number, str(case), f"{case.function} {what}", size))

    with np.errstate(all="ignore"):
        answer = None if case.skip else oracle.run(case)
        if compare.leave_aside(case, answer):
            return None
        for name, module in modules().items():
            if name != "tensorflow" and case.second is not None:
                continue
            try:
                made[name] = module(case)
                if not (len(made) == 2 and _equal(*made.values())):  # else it has been checked
                    compare.check(case, name, *made[name], answer)
            except Exception as error:  # whatever it is, it is a failure of this case
                fail(error)
        try:
            if len(made) == 2:
                compare.same_bits(case, *([*v, *g] for v, g in made.values()))
        except compare.Wrong as error:
            fail(error)
    return failures


@functools.cache
def modules():
    """What is fuzzed. A build of the kernels alone, without the ops, has the second only."""
    if ON_A_GPU in os.environ:
        return {"gpu": gpu}
    try:
        _library.ops()
    except ImportError:
        return {"numpy": numpy}
    return {"tensorflow": tensorflow, "numpy": numpy}


def _equal(first, second):
    """Whether all that the second module made is what the first did."""
    pairs = [(a, b) for i in (0, 1) for a, b in zip(first[i], second[i], strict=False)]
    return all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs
    )


def fuzz(seed, seconds, only="", most=10**9, first=0, on_failure=print):
    """Runs cases from number `first` on, for at most so long; (cases run, failures)."""
    start, count, failures = time.monotonic(), 0, []
    number = first
    while time.monotonic() - start < seconds and count < most:
        if only in cases.name_of(seed, number):
            found = run_case(seed, number)
            count += found is not None
            for failure in found or []:
                failures.append(failure)
                on_failure(failure)
        number += 1
    return count, failures


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this case alone")
    parser.add_argument("--only", default="", help="functions whose name holds this")
    parser.add_argument("--gpu", action="store_true", help="the kernels of a GPU")
    chosen = parser.parse_args(arguments)
    if chosen.gpu:
        os.environ[ON_A_GPU] = "1"
    if chosen.case is not None:
        case = cases.draw_case(chosen.seed, chosen.case)
        print(case)
        failures = run_case(chosen.seed, chosen.case)
        for failure in failures or []:
            print(failure)
        print("left aside" if failures is None else f"{len(failures)} failures")
        return int(bool(failures))
    count, failures = fuzz(chosen.seed, 60 * chosen.minutes, chosen.only)
    print(f"{count} cases of seed {chosen.seed}: {len(failures)} failures")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())

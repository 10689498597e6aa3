"""The numerical report: its long double against the reference, and that it sees what is wrong."""

import types

import numpy as np
import pytest

import tf_pairwise as tpw
from benchmarks import accuracy
from tf_pairwise import reference


@pytest.mark.parametrize("name", accuracy.CASES)
def test_long_double_agrees_with_the_reference(name):
    """Written apart from each other, values and derivatives."""
    case = accuracy.CASES[name]
    given = accuracy.draw("spread", "float64")
    value, gradient = accuracy.errors(
        case, given, accuracy.results(case, reference, given), accuracy.exact(case, given)
    )
    assert value < 1e-12 and (gradient is None or gradient < 1e-12)


def test_every_function_is_measured():
    functions = {name for name in tpw.__all__ if callable(getattr(tpw, name))}
    measured = {name.split()[0] for name in accuracy.CASES}
    # The distances of given pairs are those of all pairs; the miner has no numbers.
    assert functions - measured == {"paired_distance", "mine_triplets"}


def test_the_report_shows_an_error():
    def off(*args, **options):
        return tpw.triplet_loss(*args, **options) * 1.01

    wrong = types.SimpleNamespace(triplet_loss=off, pairwise_distance=tpw.pairwise_distance)
    cases = [accuracy.CASES[n] for n in ("triplet_loss", "pairwise_distance euclidean")]
    kinds = ("spread", "near")
    found = accuracy.measure(cases, kinds, accuracy.DTYPES, {"ours": wrong, "plain": reference})
    value, gradient = found["triplet_loss", "spread", "float32", "ours"]
    assert value == pytest.approx(0.01, rel=0.1) and gradient == pytest.approx(0.01, rel=0.1)
    text = accuracy.report(found, "a test")
    row = next(line for line in text.splitlines() if line.startswith("| triplet_loss"))
    assert "**1e-2** / " in row
    assert np.isfinite(list(found["pairwise_distance euclidean", "near", "float64", "ours"])).all()

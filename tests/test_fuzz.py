"""About a minute of the differential fuzzer (`make fuzz`), and that it finds what is wrong."""

import numpy as np
import pytest

from tests.fuzz import run

CASES = 1500  # a number, not a time: every machine runs the same ones
PARTS = 5


def cases_of(part, count):
    return run.fuzz(seed=0, seconds=np.inf, first=part * count, most=count, on_failure=lambda _: 0)


@pytest.mark.parametrize("part", range(PARTS))
def test_drawn_cases(part):
    count, failures = cases_of(part, CASES // PARTS)
    assert count == CASES // PARTS
    assert not failures, "\n\n".join(map(str, failures))


def test_drawn_cases_on_a_gpu(monkeypatch):
    """`python -m tests.fuzz --gpu`, on what plays one."""
    monkeypatch.setenv(run.ON_A_GPU, "1")
    monkeypatch.setattr(run, "modules", lambda: {"gpu": run.gpu})
    count, failures = cases_of(0, CASES // 2)
    assert count == CASES // 2
    assert not failures, "\n\n".join(map(str, failures))


@pytest.mark.parametrize("module", ["tensorflow", "numpy"])
def test_a_wrong_gradient_is_found(module, monkeypatch):
    def wrong(case):
        values, gradients = right(case)
        return values, [1.001 * g for g in gradients]

    right = run.modules()[module]
    monkeypatch.setattr(run, "modules", lambda: {module: wrong})
    count, failures = cases_of(0, 40)
    assert len(failures) > count / 5
    assert all("gradient" in failure.what or "derivative" in failure.what for failure in failures)

"""Batches of sizes around the edges of tiles: what is in which tile does not matter."""

import numpy as np
import pytest

from tests import calls, checks

# Around the sizes of register tiles, cache blocks and super-tiles, and odd ones between them.
SIZES = (63, 64, 65, 96, 97, 128, 192, 193, 256, 257)

# Batches against themselves: every row meets every other.
BATCHES = {
    name: call
    for name, call in calls.CALLS.items()
    if call.reduction and call.rows and "ref" not in name and "keys" not in name
    if call.function.startswith(("batch_", "info", "nt_", "sigmoid", "supervised"))
}


@pytest.mark.parametrize("name", BATCHES)
def test_the_order_of_a_batch_does_not_matter(name):
    """Its halves change places, and then all do: each row's loss and gradients go along."""
    for n in SIZES:
        call = calls.table(n=n, m=n, d=7, classes=n // 6)[name]
        expected = calls.run_numpy(call, call.arrays("float64"), reduction="none")
        assert np.count_nonzero(expected[0]) > n // 2
        halves = np.roll(np.arange(n), n // 2)
        for order in (halves, np.random.default_rng(n).permutation(n)):
            moved = call.take(order)
            made = calls.run_numpy(moved, moved.arrays("float64"), reduction="none")
            for a, b in zip(made, expected, strict=True):
                checks.assert_close(a, b[order] if np.ndim(b) else b, 1e-10, f"{n}")

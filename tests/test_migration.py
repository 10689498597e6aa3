"""docs/migration.md: each row's two calls give one number and one gradient."""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests.migration import page

# Both sides are float32, and round in an order of their own.
TOLERANCE, GRADIENT_TOLERANCE = 2e-5, 2e-4

ROWS = [(library, *row) for library, rows in page.rows().items() for row in rows]


def differs(peer, made):
    """What of a recorded row is not as it was made: names, or nothing."""
    wrong = []
    if not np.isclose(made["value"], peer["value"], rtol=TOLERANCE, atol=0):
        wrong.append("value")
    if made["gradients"].keys() != peer["gradients"].keys():
        wrong.append("which have a gradient")
    for name, (norm, along) in peer["gradients"].items():
        of_ours = made["gradients"].get(name, [np.nan, np.nan])
        if not np.allclose(of_ours, [norm, along], rtol=0, atol=GRADIENT_TOLERANCE * norm):
            wrong.append(f"gradient of {name}")
    return wrong


@pytest.mark.parametrize(
    ("library", "peer", "ours"), ROWS, ids=[f"{row[0]}-{i}" for i, row in enumerate(ROWS)]
)
def test_both_calls_of_a_row_give_one_number(library, peer, ours):
    made = page.tensorflow_numbers(ours, tf, {"tpw": tpw})
    recorded = page.recorded()[library]["rows"][peer]
    assert not differs(recorded, made), (peer, recorded, ours, made)


def test_every_row_is_recorded_and_every_record_has_a_row():
    recorded = page.recorded()
    on_page = {(library, peer) for library, peer, _ in ROWS}
    assert on_page == {
        (library, peer) for library in recorded for peer in recorded[library]["rows"]
    }
    assert len(on_page) == len(ROWS) > 40  # no two rows are one
    assert page.versions() == {library: recorded[library]["version"] for library in recorded}


def test_every_line_of_the_tables_is_a_row():
    """A line that the pattern of a row does not take would be a row without a test."""
    lines = [line for line in page.PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(lines) == len(ROWS)


def test_the_numbers_say_something():
    """No row is of two zeros, and every loss has a gradient that is not 0."""
    for library, of_library in page.recorded().items():
        for peer, row in of_library["rows"].items():
            assert abs(row["value"]) > 1e-3, (library, peer)
            metric = ".metrics." in peer
            assert bool(row["gradients"]) != metric, (library, peer)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"value": row["value"] * 1.0001},
        lambda row: row | {"gradients": {"x": [row["gradients"]["x"][0] * 1.001, 0.0]}},
        lambda row: row | {"gradients": {}},
    ],
)
def test_a_difference_is_seen(change):
    row = {"value": 0.5, "gradients": {"x": [2.0, 0.0]}}
    assert not differs(row, row) and differs(row, change(row))

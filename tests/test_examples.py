"""The examples on real input, run small; train_digits is in test_distribute, too, and train_ranker
has a file of its own."""

import pathlib
import re

import pytest

from tests import checks

pytest.importorskip("sklearn", reason="the examples need scikit-learn")

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"


def run(name, *arguments):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], None, '__main__')"
    )
    path = str(EXAMPLES / f"{name}.py")
    return checks.in_a_new_process(code, path, *arguments, CUDA_VISIBLE_DEVICES="").stdout


def test_two_towers(tmp_path):
    made = run("train_two_towers", "--epochs", "12", "--save", str(tmp_path / "towers.keras"))
    found = [float(share) for share in re.findall(r"among ten: (\S+)%", made)]
    assert len(found) == 7 and found[0] < 5 < 20 < found[-1], made
    temperatures = [float(t) for t in re.findall(r"temperature (\S+?),?\s", made + " ")]
    assert temperatures[0] == pytest.approx(0.2) and 0.01 < temperatures[-2] < 0.199, made
    assert temperatures[-1] == temperatures[-2], made  # loaded


def test_memory():
    made = run("train_with_memory", "--epochs", "3")
    rows = [[float(x) for x in re.findall(r"[\d.]+", line)] for line in made.splitlines()[2:]]
    assert [row[0] for row in rows] == [1, 2, 3], made
    _, alone, map_alone, remembered, map_remembered = rows[-1]
    assert min(alone, remembered) > 85 and map_remembered > map_alone, made


def test_digits(tmp_path):
    made = run("train_digits", "--epochs", "4", "--only-train")
    before, after = re.search(r"recall@1: (\S+)% before, (\S+)% after", made).groups()
    assert float(after) > float(before) + 15, made

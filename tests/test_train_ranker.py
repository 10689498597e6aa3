"""The example that trains a ranker: that it learns, its NDCG, and what it says of bad files."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

train_ranker = pytest.importorskip("train_ranker", reason="the examples need scikit-learn")


def write(path, queries, seed):
    """Documents whose grade is a noisy sum of three of six features."""
    rng = np.random.default_rng(seed)
    with open(path, "w") as file:
        for query in range(queries):
            n = rng.integers(1, 20)
            x = rng.uniform(size=(n, 6))
            grades = np.clip(np.round(2 * x[:, :3].sum(1) - 2 + rng.normal(size=n) * 0.1), 0, 4)
            for grade, features in zip(grades, x, strict=True):
                values = " ".join(f"{i}:{v:.4f}" for i, v in enumerate(features, 1))
                file.write(f"{grade:.0f} qid:{query} {values} # a comment\n")
    return path


def run(*arguments):
    environment = dict(os.environ, PYTHONWARNINGS="ignore")
    return subprocess.run(
        [sys.executable, ROOT / "examples" / "train_ranker.py", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_learns_and_is_seeded(tmp_path):
    train, test = write(tmp_path / "train.svm", 60, 0), write(tmp_path / "test.svm", 30, 1)
    arguments = ("--train", train, "--test", test, "--epochs", 6, "--learning-rate", 0.01)
    first, second = run(*arguments), run(*arguments)
    assert first.returncode == 0, first.stderr
    lines = [line for line in first.stdout.splitlines() if "NDCG@5" in line]
    assert len(lines) == 7
    assert lines == [line for line in second.stdout.splitlines() if "NDCG@5" in line]
    at10 = [float(line.split("NDCG@10 ")[1].split()[0]) for line in lines]
    assert at10[-1] > 0.9 and at10[-1] > at10[0] + 0.05
    assert "4/4" in first.stdout  # the progress bar


def test_batches_are_padded_with_what_does_not_exist(tmp_path):
    (tmp_path / "three.svm").write_text(GOOD + "0 qid:3 1:2\n0 qid:3 2:2\n")
    queries = train_ranker.Queries(str(tmp_path / "three.svm"))
    assert queries.relevant() == 2 and len(queries) == 3
    [(features, grades)] = queries.batches(3)
    assert features.shape == [3, 2, 3]
    np.testing.assert_array_equal(grades, [[1, 0], [2, -1], [0, 0]])
    np.testing.assert_array_equal(features[1], [[1, 0, 0], [0, 0, 0]])
    orders = {tuple(grades[:, 0].numpy()) for _ in range(9) for _, grades in queries.batches(3, 1)}
    again = {tuple(grades[:, 0].numpy()) for _ in range(9) for _, grades in queries.batches(3, 1)}
    assert orders == again and len(queries.batches(2)) == 2


GOOD = "1 qid:1 1:0.5 3:0.25\n0 qid:1 2:1e-3\n2 qid:2 1:1\n"


@pytest.mark.parametrize(
    "text, line, reason",
    [
        (GOOD + "one qid:3 1:0.5\n", 4, "the grade is 'one'"),
        (GOOD + "-1 qid:3 1:0.5\n", 4, "the grade is '-1', expected a number, 0 or more"),
        (GOOD + "nan qid:3 1:0.5\n", 4, "the grade is 'nan'"),
        (GOOD + "1 1:0.5\n", 4, "after the grade comes '1:0.5', expected qid:"),
        (GOOD + "# ranks\n1\n", 5, "after the grade comes nothing"),
        (GOOD + "1 qid:x 1:0.5\n", 4, "after the grade comes 'qid:x'"),
        (GOOD + "1 qid:3 1:0.5 2\n", 4, "a feature is '2', expected index:value"),
        (GOOD + "1 qid:3 a:0.5\n", 4, "a feature is 'a:0.5'"),
        (GOOD + "1 qid:3 1:x\n", 4, "feature 1 is 'x', expected a finite number"),
        (GOOD + "1 qid:3 1:inf\n", 4, "feature 1 is 'inf'"),
        (GOOD + "1 qid:3 2:1 1:1\n", 4, "feature 1 comes after feature 2"),
        (GOOD + "1 qid:1 2:1\n", 4, "qid 1 was seen before, from line 1 on"),
        ("1 1:0.5\n2 1:0.5\n", 1, "after the grade comes '1:0.5'"),
    ],
)
def test_malformed_files(tmp_path, text, line, reason):
    path = tmp_path / "bad.svm"
    path.write_text(text)
    with pytest.raises(train_ranker.BadFile) as raised:
        train_ranker.Queries(str(path))
    message = str(raised.value)
    assert message.startswith(f"{path}, line {line}: {reason}") and "\n" not in message


def test_other_bad_files(tmp_path):
    (tmp_path / "empty.svm").write_text("")
    for name, reason in (("empty.svm", "holds no documents"), ("none.svm", "No such file")):
        with pytest.raises(train_ranker.BadFile, match=reason):
            train_ranker.Queries(str(tmp_path / name))
    (tmp_path / "good.svm").write_text(GOOD)
    with pytest.raises(train_ranker.BadFile, match="features beyond the 2 of the training"):
        train_ranker.Queries(str(tmp_path / "good.svm"), features=2)
    good = train_ranker.Queries(str(tmp_path / "good.svm"))
    np.testing.assert_array_equal(good.splits, [0, 2, 3])
    np.testing.assert_array_equal(good.grades, [1, 0, 2])


def test_a_bad_file_ends_the_program(tmp_path):
    path = tmp_path / "bad.svm"
    path.write_text(GOOD + "1 qid:3 1:\n")
    with pytest.raises(SystemExit) as raised:
        train_ranker.main(["--train", str(path), "--test", str(path)])
    # A string is printed, and the status is 1.
    assert raised.value.code == (
        f"train_ranker: {path}, line 4: feature 1 is '', expected a finite number"
    )

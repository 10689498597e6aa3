"""The README: its Python runs, its names exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tf_pairwise as tpw
from tf_pairwise._tensors import XLA

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_it_has_code():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_its_code_runs(block, tmp_path):
    """As someone would who pastes it into a file."""
    if "jit_compile=True" in block and not XLA:
        pytest.skip("TensorFlow without XLA's headers")
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_its_map_is_the_public_functions():
    """Each function has a row, and each row's arguments are a function's."""
    import inspect

    rows = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", README, re.MULTILINE))
    functions = {name for name in tpw.__all__ if callable(getattr(tpw, name))}
    assert set(rows) == functions
    for name, arguments in rows.items():
        parameters = inspect.signature(getattr(tpw, name)).parameters
        for argument in arguments.split(", "):
            word, _, default = argument.partition("=")
            assert word in parameters, (name, word)
            assert not default or repr(parameters[word].default) == default, (name, word)


def test_its_files_exist():
    top = Path(__file__).resolve().parents[1]
    named = re.findall(r"\((?:https://raw\.\S+?/main/)?([\w/]+\.(?:png|md))\)", README)
    assert named
    for name in named:
        assert (top / name).is_file(), name

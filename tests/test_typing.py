"""The annotations: of everything public, and what type checkers make of a user's file."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tf_pairwise as tpw
from tf_pairwise import _arguments, _types

HERE = Path(__file__).resolve().parent
USER = HERE / "typing" / "user.py"
PACKAGE = Path(tpw.__file__).resolve().parent


def public():
    """(name, function) of all functions, constructors and methods that a user calls."""
    modules = [tpw, tpw.numpy, tpw.reference, tpw.data, tpw.distribute]
    modules += [
        tpw.keras,
        tpw.keras.losses,
        tpw.keras.layers,
        tpw.keras.metrics,
        tpw.keras.callbacks,
    ]
    for module in modules:
        names = getattr(module, "__all__", None) or [n for n in dir(module) if n[0] != "_"]
        for name in names:
            value = getattr(module, name)
            if not getattr(value, "__module__", "").startswith("tf_pairwise"):
                continue
            if inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value
            elif inspect.isclass(value):
                for method, inner in vars(value).items():
                    if inspect.isfunction(inner) and (method == "__init__" or method[0] != "_"):
                        yield f"{module.__name__}.{name}.{method}", inner


PUBLIC = dict(public())


def test_there_is_something_to_look_at():
    assert len(PUBLIC) > 80


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_annotated(name):
    signature = inspect.signature(PUBLIC[name])
    bare = [
        p.name
        for p in signature.parameters.values()
        if p.name not in ("self", "cls") and p.annotation is inspect.Parameter.empty
    ]
    assert not bare and signature.return_annotation is not inspect.Signature.empty


def test_names_are_said_once():
    for name in ("Metric", "Mining", "Only", "Reduction", "PairLoss", "ListLoss", "LambdaWeight"):
        words = getattr(_types, name).__args__
        assert any(words == value for value in vars(_arguments).values()), name


def test_the_users_file_has_every_name():
    text = USER.read_text()
    for name in tpw.__all__:
        if callable(getattr(tpw, name)):
            assert f"tpw.{name}(" in text and f"tpn.{name}(" in text
    keras = tpw.keras
    for module in (keras.losses, keras.layers):
        for name in module.__all__:
            assert f".{name}(" in text


def run(checker, *arguments):
    """What a checker says of the file, with the package that is imported here."""
    try:
        path = Path(sys.executable).parent / checker
        # mypy finds an installed package by itself, and wants it found so.
        source = {} if "site-packages" in PACKAGE.parts else {"MYPYPATH": str(PACKAGE.parent)}
        if not path.exists():
            raise FileNotFoundError(checker)
        return subprocess.run(
            [str(path), *map(str, arguments)],
            cwd=HERE.parent,
            env={**os.environ, **source},
            capture_output=True,
            text=True,
            timeout=600,
        )
    except FileNotFoundError:
        pytest.skip(f"{checker} is not installed")


def test_mypy(tmp_path):
    arguments = ["--strict", "--follow-imports=silent", "--python-executable", sys.executable]
    arguments += ["--cache-dir", tmp_path / "cache"]
    done = run("mypy", *arguments, USER)
    assert done.returncode == 0, done.stdout + done.stderr
    # Each ignore is needed: without them there are as many errors.
    bare = tmp_path / "bare.py"
    bare.write_text(re.sub(r"  # type: ignore.*", "", USER.read_text()))
    errors = run("mypy", *arguments, bare).stdout.splitlines()
    wanted = len(re.findall(r"# type: ignore", USER.read_text()))
    assert len([line for line in errors if ": error: " in line]) == wanted, errors


def test_pyright(tmp_path):
    config = tmp_path / "pyrightconfig.json"
    settings = {"include": [str(USER)], "extraPaths": [str(PACKAGE.parent)]}
    settings |= {"typeCheckingMode": "standard", "reportUnnecessaryTypeIgnoreComment": "error"}
    config.write_text(json.dumps(settings))
    done = run("basedpyright", "-p", config, "--pythonpath", sys.executable)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr

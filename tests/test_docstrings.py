"""Docstrings: their examples run and print what they say, and no entry only points elsewhere."""

import doctest
import inspect
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tf_pairwise import numpy as tpn


def documented():
    """Every public function and class that has examples or arguments, by its name."""
    modules = [tpw, tpw.data, tpw.distribute, tpw.keras, tpw.keras.losses, tpw.keras.layers]
    for module in [*modules, tpw.keras.metrics, tpw.keras.callbacks, tpn]:
        for name in getattr(module, "__all__", dir(module)):
            value = getattr(module, name)
            if getattr(value, "__module__", "").startswith("tf_pairwise") and name[0] != "_":
                if inspect.isfunction(value) or inspect.isclass(value):
                    yield f"{module.__name__}.{name}", value


OBJECTS = dict(documented())
WITH_EXAMPLES = [name for name, value in OBJECTS.items() if ">>>" in (value.__doc__ or "")]


def test_what_has_examples():
    """All functions, losses, layers, metrics; NumPy's are those of TensorFlow."""
    without = [
        name
        for name in OBJECTS
        if name not in WITH_EXAMPLES and not name.startswith("tf_pairwise.numpy.")
    ]
    assert without == []


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_print_what_they_say(name):
    scope = {"tpw": tpw, "tpn": tpn, "tf": tf, "np": np, "keras": keras}
    scope["__name__"] = "example"
    parsed = doctest.DocTestParser().get_doctest(OBJECTS[name].__doc__, scope, name, None, 0)
    said = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(parsed, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", OBJECTS)
def test_no_entry_only_points_elsewhere(name):
    text = inspect.getdoc(OBJECTS[name])
    arguments = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert name.startswith("tf_pairwise.numpy.") or arguments or "Example" in text
    entries = re.split(r"^  (?=\S)", arguments.group(1), flags=re.MULTILINE) if arguments else []
    vague = [e for e in entries if re.match(r"[\w, ]+: (so|as( in)? `[\w.]+`)\.?\s*$", e)]
    assert not vague
    assert not re.search(r"^Returns:\n  As `\w+`\.$", text, re.MULTILINE)

"""docs/migration.md: its rows, the arrays that they speak of, and how a cell of code is run.

NumPy and the standard library alone: the environments of the peers read it, too.
"""

import ast
import json
import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migration.md"
PEERS = Path(__file__).with_name("peers.json")


def rows(text=None):
    """Of each library (its name on the package index): a list of (peer's code, our code)."""
    text = PAGE.read_text() if text is None else text
    libraries = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading = re.match(r"[^\n]*\(`([\w-]+)` ([\w.+]+)\)\n", section)
        if heading:
            table = re.findall(r"^\| `([^`|]+)` \| `([^`|]+)` \| .+ \|$", section, re.MULTILINE)
            libraries[heading[1]] = table
    return libraries


def versions(text=None):
    """The version in the heading of each library."""
    text = PAGE.read_text() if text is None else text
    return dict(re.findall(r"^## .*\(`([\w-]+)` ([\w.+]+)\)$", text, re.MULTILINE))


def recorded():
    return json.loads(PEERS.read_text())


def arrays():
    """What the names in the cells stand for. Each float32 array may have a gradient."""
    rng = np.random.default_rng(20)

    def points(n, scale):
        return (scale * rng.normal(size=(n, 12))).astype(np.float32)

    labels = np.array([0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 6, 7, 7])
    labels = rng.permutation(labels)
    centres = points(8, 0.3)
    scores = rng.normal(size=(6, 9)).astype(np.float32)
    relevance = rng.integers(0, 5, size=(6, 9)).astype(np.float32)
    relevance[:, 0] = 3.0  # each list has a gain
    relevance[1, 7:] = relevance[4, 4:] = -1.0  # shorter lists
    return {
        "x": centres[labels] + points(20, 0.3),
        "labels": labels,
        "old": centres[labels[::-1]] + points(20, 0.3),
        "old_labels": labels[::-1].copy(),
        "x1": points(16, 0.25),
        "x2": points(16, 0.25),
        "same": rng.permutation(np.arange(16) % 2),
        "a": points(16, 0.3),
        "p": points(16, 0.3),
        "n": points(16, 0.3),
        "scores": scores,
        "relevance": relevance,
    }


# The gradients of these are held against each other; the rest is constant.
DIFFERENTIATED = ("x", "x1", "x2", "a", "p", "n", "scores")


def run(code, scope):
    """The value of the last expression of statements with `;` between them."""
    *before, last = ast.parse(code).body
    scope = dict(scope)
    exec(compile(ast.Module(before, []), "cell", "exec"), scope)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), scope)


def summary(gradient):
    """A gradient's norm, and its part along a fixed direction: a pair of numbers, both to 0."""
    flat = np.asarray(gradient, np.float64).ravel()
    along = np.sin(np.arange(1, flat.size + 1))
    return [float(np.linalg.norm(flat)), float(flat @ along)]


def tensorflow_numbers(code, tf, names):
    """{"value": ..., "gradients": {...}} of a cell, in TensorFlow."""
    tensors = {name: tf.constant(array) for name, array in arrays().items()}
    with tf.GradientTape() as tape:
        sources = {name: tensors[name] for name in DIFFERENTIATED}
        tape.watch(sources)
        value = tf.convert_to_tensor(run(code, {**names, **tensors, "tf": tf}))
    return numbers(value.numpy(), tape.gradient(value, sources))


def torch_numbers(code, torch, names):
    """The same in PyTorch."""
    tensors = {name: torch.tensor(array) for name, array in arrays().items()}
    sources = {name: tensors[name].requires_grad_() for name in DIFFERENTIATED}
    value = run(code, {**names, **tensors, "torch": torch})
    value.backward()
    return numbers(value.item(), {name: source.grad for name, source in sources.items()})


def numbers(value, gradients):
    made = {name: summary(g) for name, g in gradients.items() if g is not None}
    made = {name: pair for name, pair in made.items() if any(pair)}
    return {"value": float(value), "gradients": made}

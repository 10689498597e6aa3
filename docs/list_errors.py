"""Lists every error text of the sources in docs/errors.md: `python docs/list_errors.py`."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON, CC = ROOT / "python" / "tf_pairwise", ROOT / "cc"
# What fills a place that only the call knows.
HOLE = "…"
# How C++ makes an error: a status, or an exception of Python's.
CC_ERROR = re.compile(
    r"(?:InvalidArgument|Unimplemented|ResourceExhausted|FailedPrecondition|Internal|Cancelled|"
    r"Unavailable|py::(?:type|value)_error)\(\s*(?:std::string\()?((?:\"(?:[^\"\\]|\\.)*\"\s*)+)"
)
HEAD = """# All error texts

Made from the sources by `python docs/list_errors.py`; … stands for what the call puts there. Most
name the argument, what came and what was expected, and so say themselves what to do;
[When something goes wrong](troubleshooting.md) has those that need more words.

"""


def of_python(path):
    """(kind, text) of each error that is raised with a text of its own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        kind, arguments = ast.unparse(node.exc.func), node.exc.args
        texts = [template(argument) for argument in arguments]
        text = next((t for t in texts if t and t.strip(HOLE)), None)
        if text:
            yield kind.rpartition(".")[2], text


def template(node):
    """A text with holes, of what it is written as; None of what is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.Constant) else HOLE for v in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [template(side) or HOLE for side in (node.left, node.right)]
        return "".join(sides)
    return None


def of_cc(path):
    for literals in CC_ERROR.findall(path.read_text()):
        text = "".join(re.findall(r"\"((?:[^\"\\]|\\.)*)\"", literals)).replace('\\"', '"')
        text = re.sub(r"%(?:lld|d|g|s|zu)", HOLE, text)
        if text.strip(HOLE + " "):
            yield "InvalidArgumentError", text


def found():
    """{text: where it comes from}"""
    texts = {}
    for path in sorted(PYTHON.rglob("*.py")):
        name = ".".join(path.relative_to(PYTHON.parent).with_suffix("").parts)
        for kind, text in of_python(path):
            texts.setdefault(text, set()).add(f"{kind}, {name.removesuffix('.__init__')}")
    for pattern in ("*.h", "*.cc"):
        for path in sorted(CC.rglob(pattern)):
            if not path.name.endswith("_test.cc"):
                for _, text in of_cc(path):
                    texts.setdefault(text, set()).add(f"the kernels, {path.parent.name}")
    return texts


def page():
    groups = {}
    for text, places in found().items():
        word = re.match(r"([a-z_][\w.]*(?:, [a-z_]\w*)*):", text)
        groups.setdefault(word.group(1) if word else "", []).append((text, sorted(places)))
    lines = []
    for word in sorted(groups, key=lambda w: (w == "", w)):
        lines += [f"## {word or 'Others'}", ""]
        for text, places in sorted(groups[word]):
            shown = text.replace("\n", " ").replace("`", "'")
            lines.append(f"- `{shown}` ({'; '.join(places)})")
        lines.append("")
    return HEAD + "\n".join(lines).rstrip() + "\n"


def main():
    path = ROOT / "docs" / "errors.md"
    path.write_text(page())
    print(f"written: {path.name}, {len(found())} texts")


if __name__ == "__main__":
    main()

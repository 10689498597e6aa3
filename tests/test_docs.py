"""The pages of docs/: their Python runs, the errors are those that come, links and names exist."""

import importlib.util
import json
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import tf_pairwise as tpw
from tests import checks
from tf_pairwise._tensors import XLA

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
BLOCK = re.compile(r"^```python( raises)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GUIDES = [name for name, path in PAGES.items() if BLOCK.search(path.read_text())]


def blocks(name):
    """(code, whether it raises) of a page, in order."""
    return [(code, bool(raises)) for raises, code in BLOCK.findall(PAGES[name].read_text())]


def test_there_are_pages():
    assert len(GUIDES) >= 8 and "troubleshooting.md" in GUIDES


@pytest.mark.parametrize("name", GUIDES)
def test_a_page_runs(name, tmp_path):
    """Its blocks one after another, in a process of its own, as someone would who follows it."""
    checks.in_a_new_process(
        "import sys; from tests.test_docs import follow; follow(sys.argv[1])",
        name,
        folder=tmp_path,
        CUDA_VISIBLE_DEVICES="",
        MPLBACKEND="Agg",
    )


def follow(name):
    """Runs the blocks of a page; what is marked to raise ends in the comment that says what."""
    scope = {"__name__": "page"}
    for number, (code, raises) in enumerate(blocks(name)):
        if "jit_compile=True" in code and not XLA:
            continue
        program = compile(code, f"{name}, block {number}", "exec")
        if not raises:
            exec(program, scope)
            continue
        kind, _, words = code.rstrip().rpartition("\n# ")[2].partition(": ")
        try:
            exec(program, scope)
        except Exception as error:
            names = {c.__name__ for c in type(error).__mro__}
            if kind.rpartition(".")[2] not in names or words not in str(error):
                traceback.print_exc()
                sys.exit(f"{name}, block {number}: not {kind}: {words}")
        else:
            sys.exit(f"{name}, block {number}: raised nothing, not {kind}: {words}")


def test_a_block_that_does_not_raise_is_seen(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setitem(PAGES, "page.md", page)
    for code in ("1 / 1", "1 / 0", "[][0]"):
        page.write_text(f"```python raises\n{code}\n# IndexError: range\n```\n")
        if code == "[][0]":
            follow("page.md")
        else:
            with pytest.raises(SystemExit):
                follow("page.md")


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_exist(name):
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[\w-]+)?\)", PAGES[name].read_text()):
        if not target.startswith(("http://", "https://")):
            assert (PAGES[name].parent / target).exists(), target


@pytest.mark.parametrize("name", [*PAGES, "../README.md"])
def test_names_exist(name):
    text = (DOCS / name).read_text()
    for dotted in set(re.findall(r"\b(?:tpw|tf_pairwise)((?:\.[A-Za-z]\w*)+)", text)):
        value = tpw
        for part in dotted.split(".")[1:]:
            if part in ("so", "git"):
                break
            assert hasattr(value, part), (name, dotted)
            value = getattr(value, part)


def test_the_list_of_errors_is_that_of_the_sources():
    """`python docs/list_errors.py` makes it anew."""
    spec = importlib.util.spec_from_file_location("list_errors", DOCS / "list_errors.py")
    list_errors = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(list_errors)
    assert (DOCS / "errors.md").read_text() == list_errors.page()
    texts = list_errors.found()
    for text in (
        "metric: got the unknown value …",
        "metrics: got none, expected one or more",
        "…: got …, expected one of ……",
        "row_splits: got a list of … items, expected 0 to 2^31",
    ):
        assert text in texts, text


def test_the_site_has_every_page():
    listed = set(re.findall(r"[\w/]+\.(?:md|ipynb)", (ROOT / "mkdocs.yml").read_text()))
    notebooks = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.ipynb")}
    assert listed == set(PAGES) | notebooks


def test_every_public_name_is_in_the_reference():
    pages = "".join(path.read_text() for name, path in PAGES.items() if name.startswith("api/"))
    functions = {name for name in tpw.__all__ if callable(getattr(tpw, name))}
    assert functions == set(
        re.findall(
            r"::: tf_pairwise\.\w+\.(\w+_(?:loss|distance|neighbors|triplets))$", pages, re.M
        )
    )
    for module in (
        "keras.layers",
        "keras.metrics.retrieval",
        "data",
        "distribute",
        "numpy.triplet",
    ):
        assert f"::: tf_pairwise.{module}\n" in pages


def test_the_notebook_runs(tmp_path):
    notebook = json.loads((DOCS / "notebooks" / "embeddings.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "outputs are made anew"
    code = "\n\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code")
    (tmp_path / "notebook.py").write_text(code)
    done = checks.in_a_new_process(
        ["notebook.py"], folder=tmp_path, CUDA_VISIBLE_DEVICES="", MPLBACKEND="Agg"
    )
    recalls = [float(x) for x in re.findall(r"recall@1 ([\d.]+)%", done.stdout)]
    assert len(recalls) == 4 and recalls[-1] > recalls[0] + 5, done.stdout


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: make docs brings it")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]

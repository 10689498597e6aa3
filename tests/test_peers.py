"""`bench --peers`, `--sweep` and `--plot`: that they measure the same thing, and say so."""

import json

import numpy as np
import pytest

from benchmarks import bench, harness, peers, sweep

pytest.importorskip("sklearn", reason="the only peer among the tests' requirements")


def test_every_peer_is_of_a_case():
    names = {case.name for family in bench._families() for case in bench._cases(family)}
    assert set(peers.PEERS) <= names
    assert {name for name, _ in peers.FORMULAS} <= set(peers.PEERS)
    assert sweep.CASE in names


@pytest.mark.parametrize("name", peers.PEERS)
def test_peers_agree(name):
    """With the fused function, but for those of another formula."""
    case = bench._case_of_name(name)
    sizes = {**case.sizes, **{key: min(size, 64) for key, size in case.sizes.items()}}
    if "classes" in sizes:
        sizes["classes"] = 16
    expected = [
        np.asarray(x).astype(np.float64)
        for x in harness.variant(case, harness.FUSED)(*harness._tensors(case, sizes))
    ]
    for peer, make in peers.of_case(name).items():
        try:
            made = peers.arrays(make(*case.inputs(**sizes))())
        except ImportError:
            continue
        differences = [harness._difference(a, b) for a, b in zip(made, expected, strict=True)]
        same = max(differences) < 1e-3
        assert same == ((name, peer) not in peers.FORMULAS), (peer, differences)


def test_a_table_of_peers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    into = tmp_path / "page.md"
    into.write_text(f"before\n{bench.PEERS_BEGIN}{bench.PEERS_END}after\n")
    arguments = ["--peers", "--quick", "--rounds", "2", "--case", "manhattan"]
    assert bench.main([*arguments, "--markdown", "--into", str(into), "--json", "made.json"]) == 0
    report = json.loads((tmp_path / "made.json").read_text())
    assert [case["name"] for case in report["cases"]] == ["pairwise_distance(x, y), manhattan"]
    for case in report["cases"]:
        assert {"scikit-learn", "scipy"} <= set(case["peers"])
        for name, about in case["peers"].items():
            assert about["difference"] < 1e-5 and about["version"] == peers.version(name)
            variant = case["variants"][name]
            assert variant["seconds"] > 0 and variant["ratio"] > 0 and variant["memory_mb"] >= 0
    text = into.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "scipy" in text
    assert capsys.readouterr().out.strip() in text


def test_a_sweep_and_its_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "SIZES", (64, 128))
    # What takes as much as this is left out from the next size on.
    monkeypatch.setattr(sweep, "MOST_SECONDS", 1e-9)
    arguments = ["--sweep", "--rounds", "1", "--json", "sweep.json"]
    assert bench.main([*arguments, "--no-memory"]) == 0
    report = json.loads((tmp_path / "sweep.json").read_text())
    assert [point["n"] for point in report["points"]] == [64]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "SIZES", (64,))
    assert bench.main(arguments) == 0
    report = json.loads((tmp_path / "sweep.json").read_text())
    for point in report["points"]:
        assert point["agrees"] and {"fused", "reference", "xla"} <= set(point)
        assert all(point[name]["memory_mb"] >= 0 for name in ("fused", "reference", "xla"))
    pytest.importorskip("matplotlib")
    assert bench.main(["--plot", "sweep.json", "pictures/sweep.png"]) == 0
    assert (tmp_path / "pictures" / "sweep.png").read_bytes().startswith(b"\x89PNG")

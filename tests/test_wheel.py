"""The installed package: what is in it, how it loads, and what it says where it cannot.

Each import is made in a process of its own, outside the checkout.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import zipfile

import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tf_pairwise import _library

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = pathlib.Path(tpw.__file__).parent
FUNCTIONS = (
    "batch_contrastive_loss",
    "batch_triplet_loss",
    "contrastive_loss",
    "info_nce_loss",
    "list_ranking_loss",
    "mine_triplets",
    "nearest_neighbors",
    "nt_xent_loss",
    "paired_distance",
    "pairwise_distance",
    "pairwise_ranking_loss",
    "sigmoid_contrastive_loss",
    "supervised_contrastive_loss",
    "triplet_loss",
)
OPS = sorted(
    "TfPairwise>" + op
    for source in (ROOT / "cc").rglob("*_op.cc")
    for op in re.findall(r'REGISTER_OP\("(?:TfPairwise>)?(\w+)"', source.read_text())
)


def python(*arguments, folder, path=None, fails=False):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def run(tmp_path):
    def run_code(code, **options):
        return python("-c", textwrap.dedent(code), folder=tmp_path, **options)

    return run_code


# ---- what is in it ----


def check_files(names):
    native = [n for n in names if n.endswith(".so")]
    assert "tf_pairwise/libtf_pairwise_kernels.so" in native
    assert [n for n in native if re.fullmatch(r"tf_pairwise/_numpy\.[\w-]+\.so", n)]
    ops = {n for n in native if re.fullmatch(r"tf_pairwise/_ops_2\.\d+\.so", n)}
    assert ops and len(native) == 2 + len(ops)
    for expected in ("_build_info.json", "py.typed", "__init__.py", "reference/__init__.py"):
        assert f"tf_pairwise/{expected}" in names
    assert not [n for n in names if n.endswith((".cc", ".h", ".o"))]


def test_the_package_under_test_is_the_installed_one():
    assert ROOT / "python" not in PACKAGE.parents


def test_installed_files():
    check_files([file.as_posix() for file in importlib.metadata.files("tf_pairwise")])


def test_wheel_files():
    wheels = list((ROOT / "dist").glob("tf_pairwise-*.whl"))
    if not wheels:
        pytest.skip("no wheel in dist/")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            check_files(archive.namelist())
            # Nothing of the machine that built it.
            info = archive.read("tf_pairwise/_build_info.json").decode()
            assert "/" not in info


def test_metadata():
    metadata = importlib.metadata.metadata("tf_pairwise")
    assert metadata["Version"] == tpw.__version__
    required = [r for r in metadata.get_all("Requires-Dist") if "extra" not in r]
    assert [re.match(r"[\w-]+", r).group() for r in required] == ["numpy"]
    extras = set(metadata.get_all("Provides-Extra"))
    assert {"tensorflow", "tensorflow-cpu", "and-cuda", "demo", "docs", "test"} == extras
    # The extra asks for what the file of requirements does.
    asked = (ROOT / "requirements" / "test.txt").read_text().splitlines()
    asked = {re.match(r"[\w-]+", line).group() for line in asked if line and line[0] != "#"}
    extra = {r for r in metadata.get_all("Requires-Dist") if re.search(r"extra == .test.", r)}
    assert {re.match(r"[\w-]+", r).group() for r in extra} == asked - {"numpy"}


def test_build_info():
    built = json.loads((PACKAGE / "_build_info.json").read_text())
    assert built["version"] == tpw.__version__
    assert _library.ops_info(tf.__version__)["tensorflow"] in _library.built_for()
    assert built["sanitize"] is None
    # An op library for each version that is said to be there, and no other.
    libraries = {file.name for file in PACKAGE.glob("_ops*.so")}
    assert libraries == {f"_ops_{minor}.so" for minor in built["ops"]}
    for minor, build in built["ops"].items():
        assert build["tensorflow"].startswith(f"{minor}.") and build["cxx11_abi"] == 1


def needed(library):
    done = subprocess.run(["readelf", "-dW", library], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no readelf")
    libraries = re.findall(r"NEEDED.*\[(.*)\]", done.stdout)
    paths = re.findall(r"(?:RPATH|RUNPATH).*\[(.*)\]", done.stdout)
    return libraries, paths


def test_libraries_bring_nothing_in():
    system = re.compile(r"lib(stdc\+\+|gcc_s|c|m|pthread|dl|rt)\.so|ld-linux")
    allowed = {
        "libtf_pairwise_kernels.so": (),
        "_ops_": (
            "libtf_pairwise_kernels.so",
            "libtensorflow_framework.so.2",
            "libtensorflow_cc.so.2",
        ),
        "_numpy.": ("libtf_pairwise_kernels.so",),
    }
    for start, own in allowed.items():
        found = [file for file in PACKAGE.glob(f"{start}*") if file.suffix == ".so"]
        assert found
        for library in found:
            libraries, paths = needed(library)
            assert not [name for name in libraries if not system.match(name) and name not in own]
            assert paths in ([], ["$ORIGIN"])


def test_kernel_library_exports_only_ours():
    done = subprocess.run(
        ["nm", "-DC", "--defined-only", PACKAGE / "libtf_pairwise_kernels.so"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("no nm")
    names = [line.split(" ", 2)[2] for line in done.stdout.splitlines()]
    assert names
    assert not [name for name in names if not name.startswith("tf_pairwise::")]


# ---- how it loads ----


def test_public_names():
    assert set(tpw.__all__) <= set(dir(tpw))
    assert sorted(name for name in tpw.__all__ if callable(getattr(tpw, name))) == list(FUNCTIONS)
    for name in tpw.__all__:
        assert getattr(tpw, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tpw.no_such_name


def test_type_checkers_see_the_same_names():
    """The table that loads names and the block that type checkers read say the same."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (static,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in static.body if isinstance(node, ast.ImportFrom)]
    names = {name.name: node.module.split(".")[-1] for node in imports for name in node.names}
    assert {name: names.get(name) for name in tpw._FUNCTIONS} == tpw._FUNCTIONS
    starred = {*tpw._FUNCTIONS, *tpw._MODULES, "__version__"} - {"numpy", "keras"}
    assert sorted(starred) == sorted(tpw.__all__)


def test_public_names_are_lazy(run):
    run("""
        import sys
        import tf_pairwise
        assert "tensorflow" not in sys.modules
        assert "pairwise_distance" in dir(tf_pairwise)
        """)


def test_numpy_needs_no_tensorflow(run):
    run("""
        import sys
        sys.modules["tensorflow"] = None  # importing it is an error
        import numpy as np
        import tf_pairwise.numpy as tpn
        import tf_pairwise
        x = np.array([[0, 0], [3, 4]], np.float32)
        assert tpn.pairwise_distance(x).tolist() == [[0, 5], [5, 0]]
        try:
            tf_pairwise.pairwise_distance
        except ImportError as error:
            assert "tensorflow" in str(error), error
        else:
            raise AssertionError("no error")
        """)


# What has a gradient, and what is one.
DIFFERENTIABLE = [op for op in OPS if op.endswith("Grad") or f"{op}Grad" in OPS]
REGISTERED = f"""
        from tensorflow.python.framework import op_def_registry, ops
        for name in {OPS!r}:
            assert op_def_registry.get(name) is not None, name
        for name in {DIFFERENTIABLE!r}:
            ops.gradient_registry.lookup(name)
"""
DEVICES_ARE_FREE = """
        import tensorflow as tf
        from tensorflow.python.eager import context
        assert not context.context()._initialized
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.threading.set_intra_op_parallelism_threads(1)
        assert len(tf.config.list_logical_devices("CPU")) == 2
"""


@pytest.mark.parametrize("first", ["tensorflow", "tf_pairwise"])
def test_ops_are_registered_whichever_comes_first(run, first):
    second = {"tensorflow": "tf_pairwise", "tf_pairwise": "tensorflow"}[first]
    assert len(OPS) >= 20 and len(DIFFERENTIABLE) >= 18
    run(f"        import {first}\n        import {second}\n" + REGISTERED + DEVICES_ARE_FREE)


def test_ops_are_registered_when_keras_brings_tensorflow(run):
    run("        import tf_pairwise\n        import keras\n" + REGISTERED)


def test_looking_for_tensorflow_does_not_lose_it(run):
    run(
        """
        import importlib.util
        import sys
        import tf_pairwise
        before = list(sys.meta_path)
        spec = importlib.util.find_spec("tensorflow")
        assert type(spec.loader).__name__ == "SourceFileLoader"
        assert sys.meta_path == before
        """
        + REGISTERED
        + """
        assert not [f for f in sys.meta_path if "tf_pairwise" in type(f).__module__]
        assert "exec_module" not in vars(sys.modules["tensorflow"].__spec__.loader)
        """
    )


def test_saved_model_loads_in_a_new_process(run, tmp_path):
    model = tmp_path / "model"
    run(f"""
        import tensorflow as tf
        import tf_pairwise as tpw
        module = tf.Module()
        module.f = tf.function(
            lambda x: tpw.pairwise_distance(x),
            input_signature=[tf.TensorSpec([None, 2], tf.float32)])
        tf.saved_model.save(module, {str(model)!r})
        """)
    run(f"""
        import tf_pairwise
        import tensorflow as tf
        f = tf.saved_model.load({str(model)!r}).f
        x = tf.constant([[0.0, 0.0], [3.0, 4.0]])
        assert f(x).numpy().tolist() == [[0, 5], [5, 0]]
        """)


def test_threads_may_import_at_once(run):
    run("""
        import threading
        import tf_pairwise
        def use():
            tf_pairwise.pairwise_distance([[0.0, 0.0], [3.0, 4.0]])
        def other():
            import tensorflow
        threads = [threading.Thread(target=f) for f in (use, other, use, other)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        """)


# ---- what it says where it cannot ----


@pytest.fixture
def old_tensorflow(tmp_path):
    """A folder for PYTHONPATH with a TensorFlow of another version in it."""
    folder = tmp_path / "old" / "tensorflow"
    folder.mkdir(parents=True)
    folder.joinpath("__init__.py").write_text(
        '__version__ = "2.16.1"\n'
        "def load_op_library(path):\n"
        '    raise AssertionError("must not be reached")\n'
    )
    return folder.parent


def test_another_version_first_is_an_import_error(run, old_tensorflow):
    said = run("import tensorflow, tf_pairwise", path=old_tensorflow, fails=True)
    built = next(iter(_library.build_info()["ops"].values()))["tensorflow"]
    assert len(re.findall(r"^(\w*Error)", said, re.MULTILINE)) == 1
    for part in (built, "2.16.1", f"tensorflow~={built}", "--no-build-isolation"):
        assert part in said


def test_another_version_later_leaves_tensorflow_alone(run, old_tensorflow):
    said = run(
        """
        import tf_pairwise
        import tensorflow
        try:
            tf_pairwise.triplet_loss
        except ImportError as error:
            assert "2.16.1" in str(error)
        else:
            raise AssertionError("no error")
        import tf_pairwise.numpy
        """,
        path=old_tensorflow,
    )
    assert "RuntimeWarning" in said and "2.16.1" in said


def test_a_library_that_does_not_load_is_an_import_error(run, tmp_path):
    said = run(
        f"""
        import tensorflow, pathlib
        from tf_pairwise import _library
        _library._ops = None
        _library.build_info()
        _library._FOLDER = pathlib.Path({str(tmp_path)!r})
        _library.ops()
        """,
        fails=True,
    )
    assert "ImportError" in said and "The loader said" in said and "_ops_2." in said


# ---- which TensorFlow a build is for ----

FINDER = ROOT / "build_backend" / "find_tensorflow.py"


@pytest.fixture
def finder():
    spec = importlib.util.spec_from_file_location("find_tensorflow", FINDER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_build_finds_this_tensorflow_without_importing_it(run):
    run(f"""
        import pathlib, sys
        sys.path.insert(0, {str(FINDER.parent)!r})
        import find_tensorflow
        assert find_tensorflow.find_root() == pathlib.Path({tf.sysconfig.get_lib()!r}).resolve()
        assert "tensorflow" not in sys.modules
        """)


def test_isolated_build_finds_the_tensorflow_outside(tmp_path):
    # -S: no site-packages, as in an environment that a build tool made.
    environment = {"PATH": os.environ["PATH"], "VIRTUAL_ENV": sys.prefix}
    done = subprocess.run(
        [sys.executable, "-S", FINDER, "--cache", tmp_path / "found.json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["version"] == tf.__version__
    assert found["include"] == str(pathlib.Path(tf.sysconfig.get_include()).resolve())
    flags = tf.sysconfig.get_compile_flags()
    assert [f"-D{name}" for name in found["definitions"]] == [f for f in flags if f[:2] == "-D"]
    assert found == json.loads((tmp_path / "found.json").read_text())


def test_build_takes_the_tensorflow_it_is_told(finder, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_PAIRWISE_TF_ROOT", str(tmp_path))
    with pytest.raises(SystemExit, match="TF_PAIRWISE_TF_ROOT"):
        finder.find_root()
    (tmp_path / "tensorflow" / "include" / "tensorflow").mkdir(parents=True)
    (tmp_path / "tensorflow" / "libtensorflow_framework.so.2").touch()
    assert finder.find_root() == tmp_path.resolve() / "tensorflow"
    other = tmp_path / "other"
    (other / "include" / "tensorflow").mkdir(parents=True)
    (other / "libtensorflow_framework.so.2").touch()
    monkeypatch.setenv("TF_PAIRWISE_TF_ROOT", f"{tmp_path}:{other}")
    assert finder.find_roots() == [tmp_path.resolve() / "tensorflow", other.resolve()]
    monkeypatch.setenv("TF_PAIRWISE_TF_ROOT", f"{tmp_path}:{other / 'no_such'}")
    with pytest.raises(SystemExit, match="no_such"):
        finder.find_roots()


@pytest.fixture
def without_highway(finder, monkeypatch, tmp_path):
    """One's own TensorFlow lacks Highway's headers, as all before 2.21 do."""

    def make(folder):
        (folder / "tensorflow" / "include" / "tensorflow").mkdir(parents=True)
        (folder / "tensorflow" / "libtensorflow_framework.so.2").touch()
        return folder / "tensorflow"

    own, brought = make(tmp_path / "own"), make(tmp_path / "brought")
    monkeypatch.setattr(finder, "_site_folders", lambda: iter([str(own.parent)]))
    monkeypatch.setattr(finder, "is_own", lambda root: root == own)
    monkeypatch.setattr(finder, "_SYSTEM", ())
    return own, brought


def test_build_is_for_ones_own_tensorflow_beside_one_that_was_brought_for_highway(
    finder, without_highway, monkeypatch
):
    own, brought = without_highway
    monkeypatch.setattr(sys, "path", [])
    assert finder.find_root() == own and finder.find_highway([own]) is None
    highway = brought / "include" / "external" / "com_google_highway"
    (highway / "hwy").mkdir(parents=True)
    (highway / "hwy" / "highway.h").touch()
    monkeypatch.setattr(sys, "path", [str(brought.parent)])
    assert finder.find_root() == own and finder.find_highway([own]) == highway


def test_backend_brings_highway_where_there_is_none(finder, without_highway, monkeypatch):
    pytest.importorskip("setuptools", minversion="77")
    own, _ = without_highway
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(FINDER.parent)
    backend = importlib.import_module("tf_pairwise_build")
    monkeypatch.setattr(backend, "find_tensorflow", finder)
    monkeypatch.setattr(finder, "find_roots", lambda: [own])
    monkeypatch.setattr(finder, "find_highway", lambda roots: None)
    assert finder.WITH_HIGHWAY in backend._requirements()
    monkeypatch.setattr(finder, "find_highway", lambda roots: own)
    assert not [r for r in backend._requirements() if "tensorflow" in r]


def test_backend_requires_tensorflow_only_where_there_is_none(monkeypatch):
    pytest.importorskip("setuptools", minversion="77")
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(FINDER.parent)
    backend = importlib.import_module("tf_pairwise_build")
    found = backend.find_tensorflow
    monkeypatch.setattr(found, "find_roots", lambda: [pathlib.Path("somewhere")])
    assert not [r for r in backend._requirements() if "tensorflow" in r]
    monkeypatch.setattr(found, "find_roots", list)
    assert found.REQUIREMENT in backend._requirements()
    monkeypatch.setenv("TF_PAIRWISE_TENSORFLOW", "OFF")
    assert not [r for r in backend._requirements() if "tensorflow" in r]


# ---- python -m tf_pairwise ----


def test_info(tmp_path):
    said = python("-m", "tf_pairwise", "info", folder=tmp_path)
    for part in (tpw.__version__, tf.__version__, "pairwise_distance", "Highway"):
        assert part in said
    lines = dict(line.split(":", 1) for line in said.splitlines())
    built = lines["gpu kernels"].strip()
    assert built in (_library.build_info()["cuda"], "none in this build")
    assert lines["numpy on gpu"].split()[0].strip(",:") in ("yes", "no") and lines["gpus"].strip()
    on_gpu = f"{len(OPS)} of {len(OPS)}"
    if built == "none in this build":
        on_gpu = "no: they have kernels for the CPU alone"
    assert lines["ops on gpu"].strip() == on_gpu


def test_info_with_another_tensorflow(tmp_path, old_tensorflow):
    said = python("-m", "tf_pairwise", "info", folder=tmp_path, path=old_tensorflow, fails=True)
    assert "2.16.1" in said and "Traceback" not in said


def test_check(tmp_path):
    said = python("-m", "tf_pairwise", "check", folder=tmp_path)
    count = re.search(r"(\d+) of (\d+) checks passed", said)
    assert count and count[1] == count[2] and int(count[1]) > 40


CHECK = """
        import sys
        import tf_pairwise as tpw
        from tf_pairwise import __main__, numpy as tpn
        called = set()

        def changed(name, function, add=0):
            def call(*args, **options):
                called.add(name)
                return function(*args, **options) + add if add else function(*args, **options)
            return call
"""


def test_check_runs_every_function(run):
    run(
        CHECK
        + f"""
        for name in {FUNCTIONS!r}:
            setattr(tpw, name, changed(name, getattr(tpw, name)))
        assert __main__.check() == 0
        missing = set({FUNCTIONS!r}) - called
        assert not missing, missing
        """
    )


def test_check_finds_a_wrong_result(run):
    said = run(
        CHECK
        + """
        tpw.triplet_loss = changed("", tpw.triplet_loss, 0.01)
        tpn.paired_distance = changed("", tpn.paired_distance, 0.01)
        sys.exit(__main__.check())
        """,
        fails=True,
    )
    assert "Traceback" not in said
    wrong = re.findall(r"^WRONG: (.*): got$", said, re.MULTILINE)
    assert wrong and all("triplet_loss value" in w or "numpy paired" in w for w in wrong)
    assert any("triplet_loss value" in w for w in wrong) and any("numpy" in w for w in wrong)


def test_bench(tmp_path):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("no benchmarks in this checkout")
    assert "pairwise_distance" in python("-m", "tf_pairwise", "bench", "--list", folder=tmp_path)


def test_usage(tmp_path):
    assert "info" in python("-m", "tf_pairwise", "--help", folder=tmp_path)
    assert "info" in python("-m", "tf_pairwise", "no_such_command", folder=tmp_path, fails=True)

"""The wheel to give away and the sdist, each in environments of their own.

Minutes each, and packages from an index: all of it is for `make test-all`. TF_PAIRWISE_WHEEL may
name a wheel of `build_pip_pkg.sh --tf`, which is made here otherwise.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERSIONS = ("2.19", "2.20", "2.21")
OPS = 23

# A training step eager, in a graph and under XLA, of one's own and by Keras; each the same numbers.
TRAIN = """
import sys
import numpy as np
import tensorflow as tf
import tf_pairwise as tpw
from tf_pairwise import _library

version, has_xla = sys.argv[1], sys.argv[2] == "xla"
assert tf.__version__.startswith(version + "."), tf.__version__
ops = [name for name in dir(_library.ops()) if name.startswith("tf_pairwise_")]
assert len([name for name in ops if not name.endswith("fallback")]) == OPS, ops

random = np.random.default_rng(0)
images = random.normal(size=(96, 8)).astype(np.float32)
labels = random.integers(7, size=96)

def step(kernel, api=tpw):
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        points = tf.math.l2_normalize(images @ kernel, 1)
        loss = api.batch_triplet_loss(points, labels) + api.nt_xent_loss(points, labels, 0.5)
    return loss, kernel - 0.1 * tape.gradient(loss, kernel)

kernel = tf.constant(random.normal(size=(8, 4)).astype(np.float32))
expected = step(kernel, tpw.reference)
for function in [step, tf.function(step)] + [tf.function(step, jit_compile=True)] * has_xla:
    for made, value in zip(function(kernel), expected):
        np.testing.assert_allclose(made, value, rtol=1e-4, atol=1e-5)
if not has_xla:
    try:
        tf.function(step, jit_compile=True)(kernel)
    except NotImplementedError as error:
        assert "jit_compile=False" in str(error)
    else:
        raise AssertionError("no error under XLA")

losses = []
for jit_compile in (False, True)[: 1 + has_xla]:
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.layers.Dense(4)])
    loss = tpw.keras.losses.BatchTripletLoss()
    model.compile(tf.keras.optimizers.SGD(0.1), loss, jit_compile=jit_compile)
    losses += [model.fit(images, labels, batch_size=48, epochs=2, verbose=0).history["loss"]]
np.testing.assert_allclose(losses[-1], losses[0], rtol=1e-4)
""".replace("OPS", str(OPS))


def run(*command, folder, **environment):
    """What the command printed; it has to end well."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


def environment(folder, *requirements):
    """A Python that has these, and nothing else."""
    run(sys.executable, "-m", "venv", folder, folder=folder.parent)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", *requirements, folder=folder.parent)
    return python


def test_one_wheel_serves_every_tensorflow(tmp_path):
    wheel = os.environ.get("TF_PAIRWISE_WHEEL")
    if not wheel:
        build = ROOT / "build_pip_pkg.sh"
        run(build, "--tf", ",".join(VERSIONS), tmp_path, folder=ROOT, PYTHON=sys.executable)
        (wheel,) = tmp_path.glob("*.whl")
    # No newer system than the tag of TensorFlow's own wheels.
    tags = [int(tag) for tag in re.findall(r"manylinux_2_(\d+)_", str(wheel))]
    assert tags and min(tags) <= 28, wheel
    assert pathlib.Path(wheel).stat().st_size < 20e6
    for version in VERSIONS:
        python = environment(tmp_path / version, f"tensorflow-cpu=={version}.*", wheel)
        has_xla = "no" if version == "2.19" else "xla"
        run(python, "-c", TRAIN, version, has_xla, folder=tmp_path)
        said = run(python, "-m", "tf_pairwise", "check", folder=tmp_path)
        count = re.search(r"(\d+) of (\d+) checks passed", said)
        assert count and count[1] == count[2], said


def test_sdist_builds_where_nothing_is(tmp_path):
    backend = (
        "import sys; sys.path.insert(0, 'build_backend'); import tf_pairwise_build as backend; "
    )
    run(sys.executable, "-c", backend + f"backend.build_sdist({str(tmp_path)!r})", folder=ROOT)
    (sdist,) = tmp_path.glob("*.tar.gz")
    # The kernels and the NumPy module alone, with what the backend asks pip for.
    python = environment(tmp_path / "numpy", "numpy")
    run(
        *(python, "-m", "pip", "install", "-q", sdist),
        folder=tmp_path,
        TF_PAIRWISE_TENSORFLOW="OFF",
        TF_PAIRWISE_CMAKE_ARGS="-DTF_PAIRWISE_CUDA_ARCHITECTURES=sm_90",
    )
    said = run(python, "-m", "tf_pairwise", "check", folder=tmp_path)
    assert re.search(r"(\d+) of \1 checks passed", said), said

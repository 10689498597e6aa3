"""gpu_ops.py on the fake GPU, in processes that TensorFlow or XLA see it in."""

import pathlib
import subprocess
import sys

import pytest

from tests import cuda_host
from tf_pairwise import _numpy
from tf_pairwise._tensors import XLA

TOP = pathlib.Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(not _numpy.gpu_architectures(), reason="a build without NVRTC")


def run(plugin, least, **settings):
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider"]
    command += ["-p", f"tests.cuda_host.{plugin}", "tests/gpu_ops.py"]
    done = subprocess.run(
        command,
        cwd=TOP,
        env=cuda_host.environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr)[-6000:]
    assert done.returncode == 0, said
    passed = next(word for word in done.stdout.splitlines()[-1].split() if word.isdigit())
    assert int(passed) > least, said


def test_in_tensorflow():
    run("in_tensorflow", 400, DEVICES=2)


@pytest.mark.skipif(not XLA, reason="a build without XLA")
def test_in_xla():
    run("in_xla", 100)

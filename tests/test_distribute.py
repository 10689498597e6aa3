"""Losses over the global batch, in processes that have several replicas or are one of several."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tf_pairwise._tensors import XLA

HERE = Path(__file__).parent
TIMEOUT = 420  # seconds; each takes 10 to 45 where the cores are shared


def environment(**more):
    """No GPU, no proxy between processes of this machine, and the tests' own modules."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"CUDA_VISIBLE_DEVICES": "-1", "no_proxy": "127.0.0.1", "PYTHONPATH": path}
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **own, **more}


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def run_workers(command, folder, ports=None, workers=2, timeout=TIMEOUT):
    """Runs a command once for each worker of a cluster; their return codes and outputs.

    Ends them all as soon as one fails, or time is up: a worker whose peer is gone waits for it.
    """
    addresses = [f"127.0.0.1:{port}" for port in ports or free_ports(workers)]
    processes, outputs = [], [folder / f"worker{i}.txt" for i in range(workers)]
    try:
        for i, output in enumerate(outputs):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}
            with output.open("w") as file:
                processes.append(
                    subprocess.Popen(
                        command,
                        env=environment(TF_CONFIG=json.dumps(task)),
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            codes = [process.poll() for process in processes]
            if None not in codes or any(codes):
                break
            time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()
        codes = [process.wait() for process in processes]
    return codes, [output.read_text(errors="replace") for output in outputs]


def test_two_workers(tmp_path):
    command = [sys.executable, str(HERE / "distribute_worker.py")]
    codes, outputs = run_workers(command, tmp_path)
    if any("Address already in use" in output for output in outputs):
        codes, outputs = run_workers(command, tmp_path)  # taken since it was found to be free
    assert codes == [0, 0], "\n".join(
        f"---- worker {i}: {code} ----\n{output[-4000:]}"
        for i, (code, output) in enumerate(zip(codes, outputs, strict=True))
    )
    for output in outputs:
        assert "same: fit" in output


def test_a_dead_worker_ends_the_other(tmp_path):
    program = (
        "import json, os, sys, time\n"
        "sys.exit(3) if json.loads(os.environ['TF_CONFIG'])['task']['index'] else time.sleep(60)"
    )
    start = time.monotonic()
    codes, _ = run_workers([sys.executable, "-c", program], tmp_path)
    assert codes == [-9, 3] and time.monotonic() - start < 30


@pytest.mark.parametrize("replicas", [2, 3])
def test_mirrored(replicas):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "distribute_mirrored.py"],
        cwd=HERE,
        env=environment(REPLICAS=str(replicas)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


# Mining "all" is continuous in the distances; "semi_hard" chooses negatives, and once rounding
# has chosen another, two curves drift apart (in the demo's epochs 3 to 8, to 2e-3).
@pytest.mark.parametrize("mode", [["--jit"], ["--workers", "2"]], ids=["jit", "workers"])
def test_demo_learns_alike(mode):
    if mode == ["--jit"] and not XLA:
        pytest.skip("TensorFlow without XLA's headers")
    command = [sys.executable, str(HERE.parent / "examples" / "train_digits.py"), *mode]
    command += ["--only-train", "--mining", "all", "--epochs", "6"]
    demo = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, errors = demo.communicate(timeout=TIMEOUT)
    finally:
        demo.terminate()  # which ends its workers
    assert demo.returncode == 0, output[-4000:] + errors[-8000:]
    loss, recall = re.search(r"largest difference: loss (\S+) .*recall@1 (\S+)", output).groups()
    assert float(loss) < 1e-4 and float(recall) < 5e-3, output
    recalls = re.search(r"recall@1: (\S+)% before, (\S+)% after", output).groups()
    assert float(recalls[1]) > float(recalls[0]) + 10, output

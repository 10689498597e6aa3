"""The same bits from run to run and for every number of threads; nearly the same on every ISA.

Each process runs this file with the name of a file to write to: all results, under their names.
"""

import os
import subprocess
import sys

import numpy as np
import pytest


def results():
    """Values, gradients and second derivatives of calls that are large enough to be split."""
    import tensorflow as tf

    import tf_pairwise as tpw
    from tests import inputs

    for metric in inputs.METRICS:
        for dtype in ("float32", "float64", "bfloat16"):
            n = 520 if dtype == "float32" else 130
            x = tf.cast(inputs.points(n, 33, seed=1), dtype)
            y = tf.cast(inputs.points(n - 7, 33, seed=2), dtype)
            upstream = tf.cast(inputs.points(n, n - 7, seed=3), dtype)
            name = f"{metric} {dtype}"
            with tf.GradientTape() as outer:
                outer.watch([x, y])
                with tf.GradientTape() as tape:
                    tape.watch([x, y])
                    distances = tpw.pairwise_distance(x, y, metric)
                first = tape.gradient(distances, [x, y], upstream)
            # Not x and y themselves: a distance is straight in that direction, second derivative 0.
            second = outer.gradient(first, [x, y], [tf.roll(x, 1, 0), tf.roll(y, 1, 0)])
            yield f"{name} pairwise", [distances, *first, *second]
            with tf.GradientTape() as tape:
                tape.watch(x)
                distances = tpw.pairwise_distance(x, metric=metric)
            yield f"{name} itself", [distances, tape.gradient(distances, x)]
            with tf.GradientTape() as tape:
                tape.watch([x, y])
                distances = tpw.paired_distance(x[:-7], y, metric)
            yield f"{name} paired", [distances, *tape.gradient(distances, [x, y])]

            a, p, q = (tf.cast(z, dtype) for z in inputs.triplets(5000, 17))
            with tf.GradientTape() as tape:
                tape.watch([a, p, q])
                loss = tpw.triplet_loss(a, p, q, 0.3, metric=metric, swap=True)
            yield f"{name} triplets", [loss, *tape.gradient(loss, [a, p, q])]

    for mining in inputs.MININGS:
        for metric in ("euclidean", "cosine", "manhattan"):
            for dtype in ("float32", "float64", "bfloat16"):
                anchors, labels, refs, ref_labels, k = inputs.references(390, 530, 20, 25, seed=4)
                anchors, refs = tf.cast(anchors, dtype), tf.cast(refs, dtype)
                options = dict(mining=mining, metric=metric)
                of_refs = dict(ref_embeddings=refs, ref_labels=ref_labels, self_offset=k)
                weights = inputs.weights(390)
                name = f"{mining} {metric} {dtype}"
                yield f"{name} mined", [tpw.mine_triplets(anchors, labels, **options)]
                margins = (0.3, None) if mining in inputs.SOFT_MININGS else (0.3,)
                for margin in margins:
                    for reduction in ("mean", "mean_nonzero", "none"):
                        with tf.GradientTape(persistent=True) as tape:
                            tape.watch([anchors, refs])
                            itself = tpw.batch_triplet_loss(
                                anchors, labels, margin, reduction=reduction, **options
                            )
                            loss = tpw.batch_triplet_loss(
                                anchors,
                                labels,
                                margin,
                                sample_weight=weights,
                                reduction=reduction,
                                **options,
                                **of_refs,
                            )
                        made = [itself, tape.gradient(itself, anchors)]
                        made += [loss, *tape.gradient(loss, [anchors, refs])]
                        yield f"{name} margin={margin} {reduction}", made


def write(path, threads, op_determinism):
    import tensorflow as tf

    if op_determinism:
        tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    arrays = {}
    for name, tensors in results():
        for i, tensor in enumerate(tensors):
            tensor = tf.bitcast(tensor, tf.uint16) if tensor.dtype == tf.bfloat16 else tensor
            arrays[f"{name} {i}"] = tensor.numpy()
    np.savez(path, **arrays)


def run(path, threads=2, isa=None, op_determinism=False):
    environment = {k: v for k, v in os.environ.items() if k != "TF_PAIRWISE_ISA"}
    if isa is not None:
        environment["TF_PAIRWISE_ISA"] = isa
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [root, environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
    made = subprocess.run(
        [
            sys.executable,
            os.path.abspath(__file__),
            str(path),
            str(threads),
            *["op_determinism"] * op_determinism,
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert made.returncode == 0, made.stderr[-5000:]
    assert "TF_PAIRWISE_ISA" not in made.stderr, made.stderr[-5000:]
    return dict(np.load(path))


@pytest.fixture(scope="module")
def two_threads(tmp_path_factory):
    return run(tmp_path_factory.mktemp("results") / "two.npz", threads=2)


def assert_same_bits(made, expected):
    assert made.keys() == expected.keys() and len(made) > 500
    different = [name for name in made if made[name].tobytes() != expected[name].tobytes()]
    assert not different


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_do_not_change_a_bit(threads, two_threads, tmp_path):
    assert_same_bits(run(tmp_path / "made.npz", threads), two_threads)


def test_runs_do_not_change_a_bit(two_threads, tmp_path):
    assert_same_bits(run(tmp_path / "made.npz", threads=2), two_threads)


def test_op_determinism_changes_nothing(two_threads, tmp_path):
    """The switch that has TensorFlow refuse what is not deterministic."""
    assert_same_bits(run(tmp_path / "made.npz", op_determinism=True), two_threads)


ISA_FLAGS = {
    "sse4": {"sse4_2"},
    "avx2": {"avx2", "fma", "bmi2"},
    "avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


def cpu_flags():
    try:
        with open("/proc/cpuinfo") as lines:
            return set(next((x for x in lines if x.startswith("flags")), "").split())
    except OSError:
        return set()


@pytest.mark.parametrize("isa", ISA_FLAGS)
def test_instruction_sets_agree(isa, two_threads, tmp_path):
    if not ISA_FLAGS[isa] <= cpu_flags():
        pytest.skip(f"this processor has no {isa}")
    made = run(tmp_path / "made.npz", isa=isa)
    assert made.keys() == two_threads.keys()
    for name, expected in two_threads.items():
        if "mined" in name:
            np.testing.assert_array_equal(made[name], expected, err_msg=name)
            continue
        a, b = made[name], expected
        # Stored in a half: a difference in the last place; else of rounding in sums.
        tolerance = {"float64": 1e-12, "float32": 1e-5}.get(a.dtype.name, 1e-2)
        if "margin" in name and a.ndim == 2 and a.dtype == np.float32:
            # Among 10^5 hinges one may be on the other side of its kink.
            tolerance = 1e-3
        if a.dtype == np.uint16:
            a, b = ((x.astype(np.uint32) << 16).view(np.float32) for x in (a, b))
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, tolerance, tolerance * scale, err_msg=name)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), "op_determinism" in sys.argv)

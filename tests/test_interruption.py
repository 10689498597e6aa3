"""Long calls end early: by Ctrl-C in NumPy, by TensorFlow's cancellation in ops.

Each of these calls takes ten minutes and more where it is not stopped, and is given two.
"""

import threading

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import cancellation

import tf_pairwise as tpw
from tests import checks

LIMIT = 120  # seconds, of which a call that ends early takes about one

# A function of the package or its twin for NumPy, of points [N, D], their labels, and scores.
N, D = 400_000, 64
LONG = {
    "batch_triplet_loss tiles": "api.batch_triplet_loss(x, labels, mining='hard')",
    "batch_triplet_loss rows": "api.batch_triplet_loss(x, labels, mining='semi_hard')",
    "batch_triplet_loss hard rows": "api.batch_triplet_loss(x, labels, mining='hard', "
    "ref_embeddings=x, ref_labels=labels)",
    "batch_contrastive_loss": "api.batch_contrastive_loss(x, labels)",
    "nt_xent_loss": "api.nt_xent_loss(x, labels)",
    "sigmoid_contrastive_loss": "api.sigmoid_contrastive_loss(x, x, 10.0, -10.0)",
    "nearest_neighbors": "api.nearest_neighbors(x, x, k=2)",
    "list_ranking_loss": "api.list_ranking_loss(scores, relevance)",
}
# Its answer's size is counted first.
MINE = {"mine_triplets": "api.mine_triplets(x, labels, mining='hard')"}
INPUTS = f"""
    import numpy as np
    random = np.random.default_rng(0)
    x = random.normal(size=({N}, {D})).astype(np.float32)
    labels = random.integers(1000, size={N})
    scores = random.normal(size=(1, 2 * {N})).astype(np.float32)
    relevance = random.integers(5, size=(1, 2 * {N}))
"""
ON_NUMPY = (
    INPUTS
    + """
    import signal, sys
    from tf_pairwise import numpy as api
    gradient, threads = sys.argv[1:]
    options = {"threads": int(threads)}
    if gradient == "gradient":
        options["with_gradient"] = True

    def interrupt(number, frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(1)
    try:
        CALL
    except KeyboardInterrupt:
        pass
    else:
        raise SystemExit("not interrupted")
    # And the next call is what it is without one before.
    d = api.pairwise_distance(x[:300], threads=int(threads))
    assert np.allclose(d[1], np.linalg.norm(x[1] - x[:300], axis=1), rtol=1e-5)
"""
)


def interrupt(call, gradient, threads):
    code = ON_NUMPY.replace("CALL", call[:-1] + ", **options)")
    # Memory that is not what it was made as, but 0x5a or 0xa5: what was not computed is no index.
    for fill in ("90", "165"):
        checks.in_a_new_process(code, gradient, threads, timeout=LIMIT, MALLOC_PERTURB_=fill)


@pytest.mark.parametrize("gradient", ["value", "gradient"])
@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_in_numpy(name, gradient):
    if name == "nearest_neighbors" and gradient == "gradient":
        pytest.skip("has no gradient")
    interrupt(LONG[name], gradient, 2)


@pytest.mark.parametrize("name", [*MINE, "batch_triplet_loss rows"])
def test_ctrl_c_in_numpy_on_one_thread(name):
    interrupt({**LONG, **MINE}[name], "value", 1)


def test_a_handler_that_does_not_raise_lets_the_call_go_on():
    checks.in_a_new_process(
        INPUTS
        + """
    import signal
    from tf_pairwise import numpy as tpn
    x, labels = x[:40_000], labels[:40_000]
    expected = tpn.batch_triplet_loss(x, labels)
    called = []
    signal.signal(signal.SIGALRM, lambda number, frame: called.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.15, 0.15)
    value = tpn.batch_triplet_loss(x, labels)
    signal.setitimer(signal.ITIMER_REAL, 0)
    # Python runs a handler once, however often the signal came before it could.
    assert len(called) > 2, called
    assert value == expected
    """
    )


def test_another_thread_is_left_alone():
    checks.in_a_new_process(
        INPUTS
        + """
    import signal, threading
    from tf_pairwise import numpy as tpn
    x, labels = x[:30_000], labels[:30_000]
    expected = tpn.batch_triplet_loss(x, labels)
    made, done = [], threading.Event()

    def work():
        made.append(tpn.batch_triplet_loss(x, labels))
        done.set()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    threading.Thread(target=work).start()
    try:
        done.wait()
    except KeyboardInterrupt:
        done.wait()
    else:
        raise SystemExit("not interrupted")
    assert made == [expected]
    """
    )


@pytest.fixture(scope="module")
def arrays():
    made = {}
    exec("\n".join(line.strip() for line in INPUTS.splitlines()), made)
    return {name: made[name] for name in ("x", "labels", "scores", "relevance")}


@pytest.mark.parametrize("gradient", ["value", "gradient"])
@pytest.mark.parametrize("name", [*LONG, *MINE])
def test_cancelled_op(name, gradient, arrays):
    if name in ("nearest_neighbors", *MINE) and gradient == "gradient":
        pytest.skip("has no gradient")

    def call(**tensors):
        code = {**LONG, **MINE}[name]
        with tf.GradientTape() as tape:
            points = [tensors["x"], tensors["scores"]]
            tape.watch(points)
            value = eval(code, {"api": tpw, **tensors})
        return tape.gradient(value, points) if gradient == "gradient" else value

    tensors = {key: tf.constant(value) for key, value in arrays.items()}
    function = tf.function(call, autograph=False).get_concrete_function(**tensors)
    manager = cancellation.CancellationManager()
    function = manager.get_cancelable_function(function)
    ended = []

    def run():
        try:
            function(**tensors)
            ended.append("at its end")
        except tf.errors.CancelledError:
            ended.append("cancelled")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(1)
    assert not ended
    manager.start_cancel()
    thread.join(LIMIT)
    assert ended == ["cancelled"]
    small = tpw.pairwise_distance(arrays["x"][:300])
    difference = arrays["x"][1] - arrays["x"][:300]
    np.testing.assert_allclose(small[1], np.linalg.norm(difference, axis=1), rtol=1e-5, atol=1e-6)

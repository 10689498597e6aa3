"""Large, long and lopsided input against closed forms; no memory; callers side by side."""

import threading

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, checks, inputs
from tf_pairwise import numpy as tpn

METRICS = ("euclidean", "squared_euclidean", "cosine", "manhattan", "chebyshev", "dot")


def on_a_line(n, seed=0):
    """n numbers from the normal distribution as points [n, 1], and as float64."""
    x = np.random.default_rng(seed).normal(size=(n, 1)).astype(np.float32)
    return x, x[:, 0].astype(np.float64)


# ---- more pairs than 2^31 ----


@pytest.mark.slow
def test_pairs_past_2_31_of_one_label():
    """Half of the squared distance of every pair: twice the variance, and its slope."""
    n = 50_000
    x, wide = on_a_line(n)
    loss, gradient = tpn.batch_contrastive_loss(x, np.zeros(n, int), with_gradient=True)
    centred = wide - wide.mean()
    assert loss == pytest.approx((centred**2).sum() / (n - 1), rel=1e-6)
    expected = 2 * centred / (n - 1)
    np.testing.assert_allclose(gradient[:, 0], expected, rtol=1e-4, atol=1e-4 / n)


@pytest.mark.slow
def test_pairs_past_2_31_of_as_many_labels():
    """A margin that no pair is beyond: the mean of margin - distance, by sorting."""
    n = 50_000
    x, wide = on_a_line(n)
    loss, gradient = tpn.batch_contrastive_loss(
        x, np.arange(n), 100.0, squared=False, with_gradient=True
    )
    order = np.argsort(wide)
    rank = np.empty(n)
    rank[order] = np.arange(n)
    pairs = n * (n - 1)
    mean_distance = 2 * ((2 * rank - n + 1) * wide).sum() / pairs
    assert loss == pytest.approx(100 - mean_distance, rel=1e-6)
    # Each point is pushed away from those beneath it, and from those above.
    expected = -2 * (2 * rank - n + 1) / pairs
    distinct = np.isin(wide, wide[np.r_[True, np.diff(np.sort(wide)) > 0][np.argsort(order)]])
    np.testing.assert_allclose(gradient[distinct, 0], expected[distinct], rtol=1e-3, atol=1e-4 / n)


@pytest.mark.slow
def test_points_past_2_17_and_their_nearest():
    n, queries = 200_000, 4_000
    x, wide = on_a_line(n)
    q, wide_q = on_a_line(queries, seed=1)
    distances, indices = tpn.nearest_neighbors(q, x, 3)
    order = np.argsort(wide, kind="stable")
    at = np.searchsorted(wide[order], wide_q)
    near = order[np.clip(at[:, None] + np.arange(-4, 4), 0, n - 1)]
    apart = np.sort(np.abs(wide[near] - wide_q[:, None]), axis=1)
    # The ends are clipped to one point over and over: it counts once.
    inner = (at > 4) & (at < n - 4)
    np.testing.assert_allclose(distances[inner], apart[inner, :3], rtol=1e-5, atol=1e-7)
    made = np.abs(wide[indices] - wide_q[:, None])
    np.testing.assert_allclose(made, distances, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_batch_of_2_17_and_more():
    """200,000 points of 40 labels on a line, mined for the hardest: the ends and the next."""
    n = 200_000
    x, wide = on_a_line(n)
    labels = np.random.default_rng(1).integers(40, size=n)
    losses = tpn.batch_triplet_loss(x, labels, 0.0, mining="hard", reduction="none")
    some = np.random.default_rng(2).integers(n, size=200)
    for i in some:
        apart = np.abs(wide - wide[i])
        same = labels == labels[i]
        expected = apart[same].max() - apart[~same].min()
        assert losses[i] == pytest.approx(max(0, expected), rel=1e-5)


@pytest.mark.slow
def test_tuples_past_2_17():
    n, d = 300_000, 8
    random = np.random.default_rng(0)
    x, y, z = random.normal(size=(3, n, d)).astype(np.float32)
    xy, xz = (((x.astype(np.float64) - other) ** 2).sum(1) for other in (y, z))
    np.testing.assert_allclose(tpn.paired_distance(x, y), np.sqrt(xy), rtol=1e-5)
    loss = tpn.triplet_loss(x, y, z, 1.0)
    assert loss == pytest.approx(np.maximum(0, xy - xz + 1).mean(), rel=1e-6)
    loss = tpn.contrastive_loss(x, y, np.zeros(n, int), metric="euclidean")
    assert loss > 0


# ---- long points ----


@pytest.mark.parametrize("metric", METRICS)
def test_a_hundred_thousand_coordinates(metric):
    n, d = 9, 100_000
    x = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32) + 1
    wide = x.astype(np.float64)
    difference = wide[:, None] - wide
    lengths = np.linalg.norm(wide, axis=1)
    expected = {
        "euclidean": lambda: np.sqrt((difference**2).sum(-1)),
        "squared_euclidean": lambda: (difference**2).sum(-1),
        "cosine": lambda: 1 - wide @ wide.T / lengths[:, None] / lengths,
        "manhattan": lambda: np.abs(difference).sum(-1),
        "chebyshev": lambda: np.abs(difference).max(-1),
        "dot": lambda: -wide @ wide.T,
    }[metric]()
    made = tpn.pairwise_distance(x, metric=metric)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
    loss, gradient = tpn.batch_triplet_loss(
        x, np.arange(n) % 3, metric=metric, mining="all", with_gradient=True
    )
    with tf.GradientTape() as tape:
        points = tf.constant(wide)
        tape.watch(points)
        value = tpw.reference.batch_triplet_loss(
            points, np.arange(n) % 3, metric=metric, mining="all"
        )
    slope = tape.gradient(value, points).numpy()
    assert loss == pytest.approx(float(value), rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-4 * np.abs(slope).max())


# ---- lopsided labels ----

MINED = ("hard", "semi_hard", "all", "semi_hard_all", "hard_all")


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 20_000])
def test_one_label_or_as_many_as_points(classes):
    """No triplet, whatever is mined; the soft-max losses have a closed form for equal points."""
    n = 20_000
    x, _ = on_a_line(n)
    labels = np.arange(n) % classes
    for mining in MINED:
        loss, gradient = tpn.batch_triplet_loss(x, labels, mining=mining, with_gradient=True)
        assert loss == 0 and not gradient.any()
        assert tpn.mine_triplets(x, labels, mining=mining).shape == (0, 3)
    equal = np.full((n, 3), 0.7, np.float32)
    expected = np.log(n - 1) if classes == 1 else 0
    loss = tpn.supervised_contrastive_loss(equal, labels)
    assert loss == pytest.approx(expected, rel=1e-6)
    # Each pair of NT-Xent has the negatives beside it, of which there are none.
    assert tpn.nt_xent_loss(equal, labels) == 0


@pytest.mark.parametrize("mining", MINED)
def test_points_that_are_all_the_same(mining):
    """Every triplet is as hard as the margin; no direction to move in."""
    n = 1_200
    x = np.full((n, 7), -3.25, np.float32)
    labels = np.arange(n) % 10
    loss, gradient = tpn.batch_triplet_loss(
        x, labels, 0.75, mining=mining, reduction="mean", with_gradient=True
    )
    # No negative is beyond a positive; a hard one is as near or nearer.
    expected = 0 if mining == "semi_hard_all" else 0.75
    assert loss == pytest.approx(expected) and not gradient.any()


def test_labels_at_the_ends_of_int64():
    x = inputs.points(300, 6)
    classes = inputs.labels(300, 6)
    far = np.array([-(2**63), 2**63 - 1, 0, -1, 2**32, -(2**31)], np.int64)[classes]
    for name, call in calls.one_of_each().items():
        if "labels" not in call.options or call.function == "contrastive_loss":
            continue
        small = call.options["labels"] % 6
        refs = (
            {"ref_labels": call.options["ref_labels"] % 6} if "ref_labels" in call.options else {}
        )
        table = np.array([-(2**63), 2**63 - 1, 0, -1, 2**32, -(2**31)], np.int64)
        arrays = call.arrays("float32")
        expected = calls.run_numpy(call, arrays, labels=small, **refs)
        far_refs = {key: table[value] for key, value in refs.items()}
        made = calls.run_numpy(call, arrays, labels=table[small], **far_refs)
        checks.assert_same_bits(made, expected, name)
    assert tpn.batch_triplet_loss(x, far) == tpn.batch_triplet_loss(x, classes)
    unsigned = far.astype(np.uint64)  # those past int64 stay apart
    assert tpn.batch_triplet_loss(x, unsigned) == tpn.batch_triplet_loss(x, classes)


def test_more_neighbours_than_keys():
    x = inputs.points(5, 3)
    distances, indices = tpn.nearest_neighbors(x, k=40)
    assert np.isinf(distances[:, 4:]).all() and (indices[:, 4:] == -1).all()
    assert np.isfinite(distances[:, :4]).all()
    assert sorted(indices[0, :4]) == [1, 2, 3, 4]


# ---- memory that runs out ----


def test_no_memory_for_an_output_is_an_error_of_tensorflow():
    x = tf.zeros([2**20, 1])
    for call in (tpw.pairwise_distance, tf.function(tpw.pairwise_distance)):
        with pytest.raises(tf.errors.ResourceExhaustedError):
            call(x)  # 4 TB
    assert tpw.pairwise_distance(x[:3]).shape == [3, 3]


NO_MEMORY = """
    import resource, sys
    import numpy as np
    CONTENT
    x = np.ones((400_000, 128), np.float16)  # which is made float32, and has sums of a gradient
    labels = np.arange(len(x)) % 100
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 250_000_000, resource.RLIM_INFINITY))
    for function in FUNCTIONS:
        try:
            function(x)
        except ERROR as error:
            assert "memory" in str(error) or "OOM" in str(error), error
        else:
            raise SystemExit("no error")
        function(x[:50])
"""


def test_no_memory_for_scratch():
    code = NO_MEMORY.replace("CONTENT", "from tf_pairwise import numpy as api")
    code = code.replace("ERROR", "MemoryError").replace(
        "FUNCTIONS",
        "(lambda x: api.batch_triplet_loss(x, labels[:len(x)], mining='hard', with_gradient=True),"
        " lambda x: api.nt_xent_loss(x, labels[:len(x)], with_gradient=True))",
    )
    checks.in_a_new_process(code)


def test_no_memory_for_scratch_in_tensorflow():
    code = NO_MEMORY.replace(
        "CONTENT",
        "import tensorflow as tf; import tf_pairwise as api\n"
        "    api.batch_triplet_loss(tf.ones([50, 4]), np.arange(50) % 5)",
    )
    code = code.replace("ERROR", "tf.errors.ResourceExhaustedError").replace(
        "FUNCTIONS",
        "(lambda x: api.batch_triplet_loss(x, labels[:len(x)], mining='hard'),"
        " lambda x: api.nt_xent_loss(x, labels[:len(x)]))",
    )
    checks.in_a_new_process(code)


# ---- side by side ----


def test_two_threads_in_tensorflow():
    """Ops of one process at once, on its one pool of threads: the bits of one after the other."""
    table = calls.one_of_each()
    points = {name: call.tensors("float32") for name, call in table.items()}
    expected = {name: calls.run(tpw, call, points[name]) for name, call in table.items()}
    made, failed = [], []

    def work():
        try:
            for name, call in table.items():
                made.append((name, calls.run(tpw, call, points[name])))
        except Exception as error:  # it would be lost in the thread
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(made) == 2 * len(table)
    for name, one in made:
        checks.assert_same_bits(one, expected[name], name)

"""The input pipelines: what is in a batch and in an epoch, of arrays and of streams."""

import collections
import doctest
import math
import sys
import threading

import h5py
import hypothesis
import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import tf_pairwise as tpw
from tests import checks, inputs
from tf_pairwise import data as tpd
from tf_pairwise.data import _drawing

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def rows_of(sizes, seed=0):
    """Labels of classes of these sizes, in a random order."""
    labels = np.repeat(np.arange(len(sizes)) * 7 - 3, sizes)
    return np.random.default_rng(seed).permutation(labels)


def numbered(labels):
    """x and y whose x is the number of the row."""
    return np.arange(len(labels)), labels


def stream(labels, shape=()):
    return tf.data.Dataset.from_tensor_slices((np.arange(len(labels)), labels.reshape(-1, *shape)))


def listed(dataset):
    """One iteration, as NumPy arrays."""
    return list(dataset.as_numpy_iterator())


def xs(dataset):
    return np.array([x for x, _ in listed(dataset)])


def assert_balanced(batches, labels, p, k):
    """Batches of (rows, y) have P classes, the K rows of each together."""
    for rows, y in batches:
        assert rows.shape == y.shape == (p * k,)
        np.testing.assert_array_equal(y, labels[rows])
        of_class = y.reshape(p, k)
        assert np.all(of_class == of_class[:, :1])
        assert len(set(of_class[:, 0])) == p


def assert_even(counts):
    assert max(counts) - min(counts) <= 1


class Strict:
    """An array on disk as some libraries have it: one index, ascending, one reader at a time."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.reads, self.reader = [], threading.Lock()

    def __getitem__(self, index):
        assert isinstance(index, np.ndarray) and index.ndim == 1 and np.all(np.diff(index) > 0)
        assert self.reader.acquire(blocking=False), "two readers at once"
        self.reads.append(len(index))
        rows = self.array[index]
        self.reader.release()
        return rows


# ---- balanced batches of arrays ----


@hypothesis.given(
    sizes=st.lists(st.integers(1, 13), min_size=1, max_size=12),
    p=st.integers(1, 6),
    k=st.integers(1, 6),
    batches=st.sampled_from((1, 7, 40)),
    shuffle=st.booleans(),
    seed=st.integers(-3, 2**70),
)
def test_balanced_composition_and_evenness(sizes, p, k, batches, shuffle, seed):
    p = min(p, len(sizes))
    labels = rows_of(sizes)
    dataset = tpd.balanced_batches(
        *numbered(labels), p, k, shuffle=shuffle, seed=seed, batches_per_epoch=batches
    )
    made = listed(dataset)
    assert len(made) == batches
    assert_balanced(made, labels, p, k)
    visits = dict.fromkeys(labels, 0)
    used = {label: dict.fromkeys(np.flatnonzero(labels == label), 0) for label in visits}
    for rows, y in made:
        for label, group in zip(y[::k], rows.reshape(p, k), strict=True):
            assert max(collections.Counter(group).values()) == math.ceil(k / len(used[label]))
            visits[label] += 1
            for row in group:
                used[label][row] += 1
            assert_even(used[label].values())
        assert_even(visits.values())


@pytest.mark.parametrize("sizes, p, k", [([8] * 6, 3, 4), ([5, 5, 5], 3, 5), ([12, 12], 1, 3)])
def test_balanced_epoch_of_equal_classes_is_every_row_once(sizes, p, k):
    labels = rows_of(sizes)
    dataset = tpd.balanced_batches(*numbered(labels), p, k)
    for _ in range(2):
        np.testing.assert_array_equal(np.sort(xs(dataset).ravel()), np.arange(len(labels)))


@pytest.mark.parametrize("n, p, k", [(1, 1, 1), (24, 3, 4), (25, 3, 4), (100, 2, 7)])
def test_balanced_length_of_an_epoch(n, p, k):
    labels = inputs.labels(n, min(n, 5))
    dataset = tpd.balanced_batches(*numbered(labels), p, k)
    assert dataset.cardinality() == math.ceil(n / (p * k)) == len(listed(dataset))
    longer = tpd.balanced_batches(*numbered(labels), p, k, batches_per_epoch=23)
    assert longer.cardinality() == 23 == len(listed(longer))


def test_balanced_length_that_reaches_every_row():
    sizes, p, k = [3, 17, 9, 1, 6], 2, 4
    labels = rows_of(sizes)
    batches = math.ceil(len(sizes) * math.ceil(max(sizes) / k) / p)
    dataset = tpd.balanced_batches(*numbered(labels), p, k, batches_per_epoch=batches)
    assert set(xs(dataset).ravel()) == set(range(len(labels)))


def test_balanced_in_order():
    labels = np.array([5, 2, 5, 2, 9, 5, 9, 2])
    dataset = tpd.balanced_batches(*numbered(labels), 2, 2, shuffle=False)
    expected = [[0, 2, 1, 3], [4, 6, 5, 0]]
    for _ in range(2):
        assert xs(dataset).tolist() == expected


def test_every_order_is_equally_likely():
    """Three cards in hands of two: 6 first passes, and 4 seconds that keep hands distinct."""
    stacks = 24_000
    sizes, visits = np.full(stacks, 3), np.full(stacks, 3)
    dealt = _drawing.deal(_drawing.hashed(1), sizes, 2, visits).reshape(stacks, 6)
    _, counts = np.unique(dealt, axis=0, return_counts=True)
    assert len(counts) == 24
    expected = stacks / 24
    assert np.sum((counts - expected) ** 2 / expected) < 58  # 23 degrees of freedom, 1e-4


def test_runs_of_a_stack_differ():
    """Where a hand ends with a pass, what follows is drawn anew."""
    dealt = _drawing.deal(_drawing.hashed(1), np.array([20]), 10, np.array([20])).reshape(10, 20)
    assert len({tuple(run) for run in dealt}) == 10
    np.testing.assert_array_equal(np.sort(dealt, axis=1), np.tile(np.arange(20), (10, 1)))


# ---- seeds and shards, of all three ----

MAKERS = {
    "balanced": lambda data, labels, **options: tpd.balanced_batches(data, labels, 3, 4, **options),
    "pairs": lambda data, labels, **options: tpd.pairs(data, labels, 10, **options),
    "triplets": lambda data, labels, **options: tpd.triplets(data, labels, 10, **options),
}
makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
streamed = pytest.mark.parametrize("streamed", [False, True], ids=["arrays", "stream"])
LABELS = rows_of([30, 20, 25, 15, 40, 9])


def made_of(make, streamed, **options):
    return make(*((stream(LABELS), None) if streamed else numbered(LABELS)), **options)


@makers
@streamed
def test_seeds(make, streamed):
    first = made_of(make, streamed, seed=1)
    epochs = [xs(first) for _ in range(3)]
    again = made_of(make, streamed, seed=1)
    for epoch in epochs:
        np.testing.assert_array_equal(xs(again), epoch)
    others = [*epochs, xs(made_of(make, streamed, seed=2)), xs(made_of(make, streamed))]
    assert len({epoch.tobytes() for epoch in others}) == len(others)


@makers
@streamed
def test_an_epoch_that_is_left_does_not_change_the_next(make, streamed):
    whole, left = made_of(make, streamed, seed=1), made_of(make, streamed, seed=1)
    xs(whole), xs(left.take(1))
    np.testing.assert_array_equal(xs(whole), xs(left))


@makers
def test_the_global_seed(make):
    made = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        made.append(xs(made_of(make, False)))
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


@makers
@streamed
def test_without_shuffling_all_epochs_are_one(make, streamed):
    dataset = made_of(make, streamed, shuffle=False)
    np.testing.assert_array_equal(xs(dataset), xs(dataset))


@makers
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("num_shards", [3, 16])
def test_shards_of_arrays_are_the_batches(make, shuffle, num_shards):
    options = dict(seed=1, shuffle=shuffle)
    shards = [
        made_of(make, False, num_shards=num_shards, shard_index=index, **options)
        for index in range(num_shards)
    ]
    own = shards[0].cardinality().numpy()
    assert own >= 1 and {shard.cardinality().numpy() for shard in shards} == {own}
    whole = made_of(make, False, batches_per_epoch=own * num_shards, **options)
    for _ in range(2 if num_shards == 3 else 1):
        made = np.stack([xs(shard) for shard in shards], axis=1)
        np.testing.assert_array_equal(made.reshape(-1, *made.shape[2:]), xs(whole))


@makers
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_longer_epoch_goes_on(make, shuffle):
    options = dict(seed=1, shuffle=shuffle)
    default = xs(made_of(make, False, **options))
    for batches in (3, 40):
        epoch = xs(made_of(make, False, batches_per_epoch=batches, **options))
        both = min(batches, len(default))
        assert len(epoch) == batches
        np.testing.assert_array_equal(epoch[:both], default[:both])


@makers
def test_shards_of_a_stream_share_its_elements(make):
    rows = []
    for index in range(3):
        dataset = made_of(make, True, seed=1, num_shards=3, shard_index=index)
        rows.append(set(xs(dataset).ravel()))
        assert rows[-1] and all(row % 3 == index for row in rows[-1])
        counted = made_of(make, True, seed=1, num_shards=3, shard_index=index, batches_per_epoch=18)
        assert counted.cardinality() == 6 == len(listed(counted))


# ---- classes ----


def test_small_classes():
    labels = rows_of([2, 9, 8, 4, 1])
    rows, _ = numbered(labels)
    skipped = tpd.balanced_batches(rows, labels, 3, 4, small_classes="skip", batches_per_epoch=20)
    made = listed(skipped)
    assert_balanced(made, labels, 3, 4)
    assert {label for _, y in made for label in y} == {4, 11, 18}
    for rows_of_batch, _ in made:
        assert len(set(rows_of_batch)) == 12
    # An epoch counts only what is used.
    counted = tpd.balanced_batches(rows, labels, 3, 4, small_classes="skip")
    assert counted.cardinality() == math.ceil(21 / 12)
    with pytest.raises(ValueError, match=r"classes_per_batch: got 4 .* 3 classes that have 4 rows"):
        tpd.balanced_batches(rows, labels, 4, 4, small_classes="skip")


def test_one_class():
    made = listed(tpd.balanced_batches(*numbered(np.full(12, 5)), 1, 4))
    assert sorted(np.concatenate([rows for rows, _ in made])) == list(range(12))
    with pytest.raises(ValueError, match="classes_per_batch: got 2 with labels of 1 classes"):
        tpd.balanced_batches(*numbered(np.full(12, 5)), 2, 4)


def test_all_labels_different():
    labels = np.arange(12)
    made = xs(tpd.balanced_batches(*numbered(labels), 4, 1))
    assert sorted(made.ravel()) == list(range(12))
    for batch in xs(tpd.balanced_batches(*numbered(labels), 4, 3)):
        assert set(collections.Counter(batch).values()) == {3}


# ---- what data may be ----


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("column", [False, True])
def test_labels_keep_their_dtype(dtype, column):
    labels = np.tile(np.array([3, 100], dtype), 6)
    given = labels[:, None] if column else labels
    for dataset in (
        tpd.balanced_batches(np.arange(12), given, 2, 3),
        tpd.balanced_batches(np.arange(12), tf.constant(given), 2, 3),
        tpd.balanced_batches(stream(labels, (1,) if column else ()), None, 2, 3),
        tpd.triplets(np.arange(12), given, 6),
    ):
        assert dataset.element_spec[1] == tf.TensorSpec([6], dtype)
        for x, y in dataset:
            assert y.dtype == dtype
            np.testing.assert_array_equal(y, labels[x.numpy().reshape(6, -1)[:, 0]])


@pytest.mark.parametrize("base, dtype", [(2**53, "int64"), (2**64 - 4, "uint64")])
def test_large_labels_stay_apart(base, dtype):
    labels = np.array([base + i % 3 for i in range(12)], dtype)
    made = listed(tpd.balanced_batches(*numbered(labels), 3, 4))
    assert_balanced(made, labels, 3, 4)
    assert_balanced(listed(tpd.balanced_batches(stream(labels), None, 3, 4)), labels, 3, 4)


@makers
def test_structures_and_dtypes(make):
    Point = collections.namedtuple("Point", "near far")
    n = len(LABELS)
    number = np.arange(n)
    names = [f"{i}é" for i in number]
    data = {
        "half": number.astype(np.float16),
        "brain": (number % 7).astype(ml_dtypes.bfloat16),
        "point": Point(tf.range(n), np.stack([number] * 6, 1).reshape(n, 2, 3)),
        "list": [number.astype(">i4"), [names, np.array(names)]],
        "single": (number.astype(np.uint8),),
    }
    dataset = make(data, LABELS, seed=1)
    for x, _ in dataset:
        row = x["point"].near.numpy()
        assert isinstance(x["point"], Point) and isinstance(x["list"], tuple)
        dtypes = [x["half"], x["brain"], x["point"].near, x["list"][0], x["single"][0]]
        assert [leaf.dtype.name for leaf in dtypes] == [
            "float16",
            "bfloat16",
            "int32",
            "int32",
            "uint8",
        ]
        np.testing.assert_array_equal(x["half"], row.astype(np.float16))
        np.testing.assert_array_equal(tf.cast(x["brain"], tf.int32), row % 7)
        assert x["point"].far.shape == (*row.shape, 2, 3)
        np.testing.assert_array_equal(x["point"].far[..., 1, 2], row)
        np.testing.assert_array_equal(x["list"][0], row)
        for strings in x["list"][1]:
            np.testing.assert_array_equal(strings, encoded(names, row))
        np.testing.assert_array_equal(x["single"][0], row.astype(np.uint8))


def encoded(names, row):
    return np.array([names[i].encode() for i in row.ravel()], object).reshape(row.shape)


@makers
def test_structures_of_a_stream(make):
    n = len(LABELS)
    number = np.arange(n)
    x = {"a": number.astype(np.float16), "b": (np.stack([number] * 3, 1), number.astype(str))}
    dataset = make(tf.data.Dataset.from_tensor_slices((x, LABELS)), None)
    leading = dataset.element_spec[0]["a"].shape
    assert leading.is_fully_defined()
    assert dataset.element_spec[0] == {
        "a": tf.TensorSpec(leading, tf.float16),
        "b": (tf.TensorSpec([*leading, 3], tf.int64), tf.TensorSpec(leading, tf.string)),
    }
    for x, _ in dataset:
        row = x["a"].numpy().astype(int)
        np.testing.assert_array_equal(x["b"][0][..., 2], row)
        np.testing.assert_array_equal(x["b"][1], encoded([str(i) for i in number], row))


@pytest.mark.parametrize(
    "make, shape",
    list(zip(MAKERS.values(), ([12], [10, 2], [10, 3]), strict=True)),
    ids=MAKERS,
)
@streamed
def test_shapes_are_static(make, shape, streamed):
    x = inputs.points(len(LABELS), 5, 2)
    dataset = tf.data.Dataset.from_tensor_slices((x, LABELS))
    made = make(dataset, None) if streamed else make(x, LABELS)
    y = tf.int32 if len(shape) == 2 and shape[1] == 2 else tf.int64
    assert made.element_spec == (
        tf.TensorSpec([*shape, 5, 2], tf.float32),
        tf.TensorSpec(shape[:1], y),
    )
    for x, _ in made:
        assert x.shape == (*shape, 5, 2)


def test_ragged_rows():
    lengths = np.arange(len(LABELS)) % 4
    ragged = tf.RaggedTensor.from_row_lengths(np.repeat(np.arange(len(LABELS)), lengths), lengths)
    for (x, rows), _ in tpd.balanced_batches((ragged, np.arange(len(LABELS))), LABELS, 3, 4):
        assert x.to_list() == [[row] * lengths[row] for row in rows.numpy()]


def test_arrays_of_another_order_and_stride():
    x = np.asfortranarray(inputs.points(len(LABELS), 6))[:, ::-2]
    for batch, _ in tpd.balanced_batches((x, np.arange(len(LABELS))), LABELS, 3, 4):
        np.testing.assert_array_equal(batch[0], x[batch[1].numpy()])


@makers
def test_an_array_on_disk_is_read_by_rows(make):
    labels = inputs.labels(5000, 9)
    x = Strict(inputs.points(len(labels), 3))
    dataset = make((x, np.arange(len(labels))), labels, batches_per_epoch=40)
    assert not x.reads
    for batch, _ in dataset:
        np.testing.assert_array_equal(batch[0], x.array[batch[1].numpy()])
    assert max(x.reads) <= 16 * 30


def test_large_rows_are_read_a_batch_at_a_time():
    x = Strict(np.zeros((60, 2**16), np.float32))
    for _ in tpd.balanced_batches(x, inputs.labels(60, 6), 3, 4):
        pass
    assert x.reads and max(x.reads) <= 12


def test_hdf5(tmp_path):
    x = inputs.points(len(LABELS), 3)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=x)
        labels = file.create_dataset("labels", data=LABELS)
        rows = np.arange(len(LABELS))
        for batch, y in tpd.balanced_batches((stored, rows), labels, 3, 4, batches_per_epoch=9):
            np.testing.assert_array_equal(batch[0], x[batch[1].numpy()])
            np.testing.assert_array_equal(y, LABELS[batch[1].numpy()])


def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_memmap_is_not_loaded(tmp_path):
    path = tmp_path / "x.bin"
    n, width = 1024, 2**18
    with open(path, "wb") as file:
        file.truncate(n * width * 4)  # 1 GiB, of which nothing is on disk
    x = np.memmap(path, np.float32, "r", shape=(n, width))
    before = peak_mb()
    for data in (x, np.asarray(x)[:, ::-1]):  # the second is no longer of np.memmap's class
        for batch, _ in tpd.balanced_batches(data, inputs.labels(n, 4), 4, 2).take(3):
            assert batch.shape == (8, width)
    assert peak_mb() - before < 400


# ---- pairs ----


@hypothesis.given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=8).filter(lambda sizes: max(sizes) > 1),
    batch_size=st.integers(1, 12),
    fraction=st.sampled_from((0, 0.1, 0.29, 0.5, 0.75, 1)),
    similar_label=st.sampled_from((0, 1)),
    shuffle=st.booleans(),
)
def test_pairs(sizes, batch_size, fraction, similar_label, shuffle):
    labels = rows_of(sizes)
    options = dict(positive_fraction=fraction, similar_label=similar_label, shuffle=shuffle, seed=5)
    made = listed(tpd.pairs(*numbered(labels), batch_size, batches_per_epoch=30, **options))
    assert len(made) == 30
    first = {True: collections.Counter(), False: collections.Counter()}
    total = 0
    for rows, y in made:
        assert rows.shape == (batch_size, 2) and y.dtype == np.int32
        assert np.all(rows[:, 0] != rows[:, 1])
        similar = labels[rows[:, 0]] == labels[rows[:, 1]]
        np.testing.assert_array_equal(y, np.where(similar, similar_label, 1 - similar_label))
        exact = batch_size * fraction
        assert abs(similar.sum() - exact) < 1
        total += similar.sum()
        for row, kind in zip(rows[:, 0], similar, strict=True):
            first[kind][row] += 1
    assert abs(total - 30 * batch_size * fraction) <= 0.5
    partnered = [row for row in range(len(labels)) if np.sum(labels == labels[row]) > 1]
    assert_even([first[True][row] for row in partnered])
    assert_even([first[False][row] for row in range(len(labels))])


@pytest.mark.parametrize("shuffle", [True, False])
def test_pairs_every_row_is_the_first_of_one(shuffle):
    labels = rows_of([20, 12, 28])
    dataset = tpd.pairs(*numbered(labels), 10, shuffle=shuffle)
    assert dataset.cardinality() == 6
    for _ in range(2):
        assert sorted(xs(dataset)[..., 0].ravel()) == list(range(60))


def test_pairs_second_rows_are_drawn_uniformly():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    made = listed(tpd.pairs(*numbered(labels), 400, seed=1, batches_per_epoch=40))
    rows = np.concatenate([rows for rows, _ in made])
    counts = np.zeros((8, 8))
    np.add.at(counts, (rows[:, 0], rows[:, 1]), 1)
    same = labels[:, None] == labels
    for row in range(8):
        for others in (same[row] & (np.arange(8) != row), ~same[row]):
            seen = counts[row][others]
            if len(seen) > 1:
                expected = seen.mean()
                assert np.sum((seen - expected) ** 2 / expected) < 33  # 1e-4 for 7 or fewer


def test_pairs_are_what_the_contrastive_loss_takes():
    """Pairs of points that are their class: no similar pair has a loss, every other has all."""
    points = np.eye(6, dtype=np.float32)[np.searchsorted(np.unique(LABELS), LABELS)]
    for similar_label in (0, 1):
        for x, y in tpd.pairs(points, LABELS, 10, similar_label=similar_label):
            loss = tpw.contrastive_loss(
                x[:, 0], x[:, 1], y, margin=1.0, similar_label=similar_label
            )
            assert loss.numpy() == 0
    for x, y in tpd.pairs(points, LABELS, 10):
        assert tpw.contrastive_loss(x[:, 0], x[:, 1], y, 1.0, similar_label=1).numpy() > 0.4


# ---- triplets ----


@hypothesis.given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=8).filter(lambda sizes: max(sizes) > 1),
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
)
def test_triplets(sizes, batch_size, shuffle):
    labels = rows_of(sizes)
    dataset = tpd.triplets(*numbered(labels), batch_size, shuffle=shuffle)
    anchors = [row for row in range(len(labels)) if np.sum(labels == labels[row]) > 1]
    assert dataset.cardinality() == math.ceil(len(anchors) / batch_size)
    for _ in range(2):
        made = listed(dataset)
        for rows, y in made:
            assert rows.shape == (batch_size, 3)
            anchor, positive, negative = labels[rows].T
            np.testing.assert_array_equal(y, anchor)
            np.testing.assert_array_equal(positive, anchor)
            assert np.all(negative != anchor) and np.all(rows[:, 0] != rows[:, 1])
        counts = collections.Counter(np.concatenate([rows[:, 0] for rows, _ in made]))
        assert set(counts) == set(anchors)
        assert_even(counts.values())


def test_triplets_are_drawn_uniformly():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 3])
    dataset = tpd.triplets(*numbered(labels), 600, seed=1, batches_per_epoch=20)
    rows = np.concatenate(xs(dataset))
    for anchor in range(6):
        others = rows[rows[:, 0] == anchor][:, 1:]
        for drawn in others.T:
            _, seen = np.unique(drawn, return_counts=True)
            assert np.sum((seen - seen.mean()) ** 2 / seen.mean()) < 33
        same = labels == labels[anchor]
        assert set(others[:, 0]) == set(np.flatnonzero(same)) - {anchor}
        assert set(others[:, 1]) == set(np.flatnonzero(~same))


# ---- streams ----


@hypothesis.settings(max_examples=12)
@hypothesis.given(
    sizes=st.lists(st.integers(4, 30), min_size=3, max_size=10),
    p=st.integers(1, 3),
    k=st.integers(1, 4),
    longer=st.integers(0, 40),
    shuffle=st.booleans(),
)
def test_balanced_of_a_stream(sizes, p, k, longer, shuffle):
    labels = rows_of(sizes, seed=sum(sizes))
    buffer = max(p * k, (p - 1) * max(sizes) + p * k) + longer  # P classes are always there
    dataset = tpd.balanced_batches(stream(labels), None, p, k, shuffle=shuffle, buffer=buffer)
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    made = listed(dataset)
    assert made
    assert_balanced(made, labels, p, k)
    rows = np.concatenate([rows for rows, _ in made])
    assert len(set(rows)) == len(rows)


def test_a_stream_of_equal_classes_is_used_nearly_whole():
    labels = inputs.labels(1200, 12)
    for seed in range(3):
        dataset = tpd.balanced_batches(stream(labels), None, 6, 4, seed=seed, buffer=240)
        assert len(listed(dataset)) >= 46  # of 50


def test_a_stream_in_order():
    labels = np.array([5, 2, 5, 2, 9, 5, 9, 2, 5, 2])
    dataset = tpd.balanced_batches(stream(labels), None, 2, 2, shuffle=False)
    assert xs(dataset).tolist() == [[0, 2, 1, 3], [4, 6, 5, 8]]


def test_a_stream_that_one_class_fills():
    """The rows that have waited longest leave, so that others find room."""
    labels = np.where(np.random.default_rng(0).random(4000) < 0.95, 0, 1 + np.arange(4000) % 3)
    dataset = tpd.balanced_batches(stream(labels), None, 2, 2, buffer=40)
    made = listed(dataset)
    assert_balanced(made, labels, 2, 2)
    assert len(made) > 30
    assert max(rows.max() for rows, _ in made) > 3900
    rare = np.flatnonzero(labels > 0)
    assert len(rare) / 2 < sum(np.sum(y > 0) for _, y in made) <= len(rare)


@makers
def test_a_stream_waits_in_a_bounded_buffer(make):
    read, spread = [0], []
    n, rows_per_batch, buffer = 1500, 12, 100

    def rows():
        for i in range(n):
            read[0] = i + 1
            yield i, i % 5

    spec = (tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int64))
    dataset = make(tf.data.Dataset.from_generator(rows, output_signature=spec), None, buffer=buffer)
    assert read == [0]
    for number, (x, _) in enumerate(dataset.as_numpy_iterator()):
        rows_that_left = len(x) * number
        assert read[0] - rows_that_left <= buffer + 4 * rows_per_batch
        spread.append(read[0] - x.min())
    assert read == [n] and number > (0.9 * n - buffer) / rows_per_batch
    assert max(spread) > buffer  # it waited, and was drawn from all over


@pytest.mark.parametrize("fraction", [0, 0.3, 0.5, 1])
def test_pairs_of_a_stream(fraction):
    made = listed(tpd.pairs(stream(LABELS), None, 10, positive_fraction=fraction, similar_label=1))
    firsts = []
    for rows, y in made:
        assert np.all(rows[:, 0] != rows[:, 1])
        np.testing.assert_array_equal(y, LABELS[rows[:, 0]] == LABELS[rows[:, 1]])
        assert y.sum() == 10 * fraction
        firsts.extend(rows[:, 0])
    assert len(set(firsts)) == len(firsts) > 100


def test_triplets_of_a_stream():
    made = listed(tpd.triplets(stream(LABELS), None, 10, buffer=60))
    anchors = []
    for rows, y in made:
        anchor, positive, negative = LABELS[rows].T
        np.testing.assert_array_equal(y, anchor)
        np.testing.assert_array_equal(positive, anchor)
        assert np.all(negative != anchor) and np.all(rows[:, 0] != rows[:, 1])
        anchors.extend(rows[:, 0])
    assert len(set(anchors)) == len(anchors) >= 120  # of 139


def test_batches_per_epoch_reads_a_stream_again():
    dataset = tpd.balanced_batches(stream(LABELS), None, 3, 4, batches_per_epoch=25)
    assert dataset.cardinality() == 25
    for _ in range(2):
        made = listed(dataset)
        assert len(made) == 25
        assert_balanced(made, LABELS, 3, 4)
        assert all(len(set(rows)) == 12 for rows, _ in made)
        assert len({rows.tobytes() for rows, _ in made}) == 25


@pytest.mark.parametrize("batches_per_epoch", [None, 3])
@pytest.mark.parametrize("n", [0, 40])
def test_a_stream_without_a_batch(batches_per_epoch, n):
    few = stream(inputs.labels(n, 2))
    options = dict(batches_per_epoch=batches_per_epoch)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"data: got {n} rows.* 3 classes"):
        listed(tpd.balanced_batches(few, None, 3, 2, **options))
    different = stream(np.arange(n))
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"data: got {n} rows.* 4 pairs, 50%"):
        listed(tpd.pairs(different, None, 4, **options))
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"data: got {n} rows.* 4 triplets"):
        listed(tpd.triplets(different, None, 4, **options))


def test_a_stream_of_unequal_shapes():
    def rows():
        for i in range(12):
            yield np.zeros(3 if i < 6 else 4), i % 2

    spec = (tf.TensorSpec([None]), tf.TensorSpec([], tf.int32))
    dataset = tf.data.Dataset.from_generator(rows, output_signature=spec)
    made = tpd.balanced_batches(dataset, None, 2, 3)
    assert made.element_spec[0] == tf.TensorSpec([6, None])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"data: got .*\(4,\) after .*\(3,\)"):
        listed(made)


def test_a_stream_of_unknown_rank():
    dataset = stream(LABELS).map(
        lambda x, y: (tf.numpy_function(lambda x: np.stack([x, x]), [x], tf.int64), y)
    )
    for x, y in tpd.balanced_batches(dataset, None, 3, 4):
        np.testing.assert_array_equal(LABELS[x[:, 1]], y)


# ---- errors ----

X = np.zeros((12, 3), np.float32)
Y = np.arange(12) % 3
ROWS = tf.data.Dataset.from_tensor_slices((X, Y))
BALANCED, PAIRS, TRIPLETS = tpd.balanced_batches, tpd.pairs, tpd.triplets


class Frame:
    shape, dtype, iloc = (12, 3), np.dtype(np.float32), None


@pytest.mark.parametrize(
    "function, args, options, error, message",
    [
        (
            BALANCED,
            (X, Y, None, 2),
            {},
            TypeError,
            "classes_per_batch: got None, expected a Python integer",
        ),
        (BALANCED, (X, Y, 2, None), {}, TypeError, "samples_per_class: got None"),
        (BALANCED, (X, Y, 0, 2), {}, ValueError, "classes_per_batch: got 0, expected 1 or more"),
        (BALANCED, (X, Y, 2, 2.0), {}, TypeError, "samples_per_class: got 2.0"),
        (BALANCED, (X, Y, True, 2), {}, TypeError, "classes_per_batch: got True"),
        (BALANCED, (X, Y, 4, 2), {}, ValueError, "classes_per_batch: got 4 .* 3 classes"),
        (BALANCED, (X, None, 2, 2), {}, ValueError, "labels: got None"),
        (BALANCED, (X, [], 2, 2), {}, ValueError, "labels: got none"),
        (BALANCED, (X[:0], Y[:0], 1, 1), {}, ValueError, "labels: got none"),
        (BALANCED, (X, Y[:11], 2, 2), {}, ValueError, r"data: got the shape \(12, 3\) with 11 lab"),
        (BALANCED, ((X, X[:5]), Y, 2, 2), {}, ValueError, r"data: got the shape \(5, 3\)"),
        (BALANCED, (X, Y * 1.0, 2, 2), {}, TypeError, "labels: got an array of float64"),
        (BALANCED, (X, Y > 0, 2, 2), {}, TypeError, "labels: got an array of bool"),
        (
            BALANCED,
            (X, np.stack([Y, Y], 1), 2, 2),
            {},
            ValueError,
            r"labels: got the shape \(12, 2",
        ),
        (BALANCED, (X, [[1], [1, 2]], 2, 2), {}, ValueError, "labels: got no array"),
        (BALANCED, (X[0, 0], Y, 2, 2), {}, ValueError, r"data: got the shape \(\)"),
        (BALANCED, ([[0.5] * 12], Y, 2, 2), {}, TypeError, "data: got a float, expected an array"),
        (BALANCED, ("x", Y, 2, 2), {}, TypeError, "data: got a str"),
        (BALANCED, ((), Y, 2, 2), {}, ValueError, r"data: got \(\), expected at least one array"),
        (BALANCED, (Frame(), Y, 2, 2), {}, TypeError, "data: got a Frame"),
        (BALANCED, (tf.sparse.eye(12), Y, 2, 2), {}, TypeError, "data: got a SparseTensor"),
        (BALANCED, (X.astype("M8[s]"), Y, 2, 2), {}, TypeError, r"data: got an array of datetime"),
        (
            BALANCED,
            (X, Y, 2, 2),
            dict(small_classes="drop"),
            ValueError,
            "small_classes: got 'drop'",
        ),
        (BALANCED, (X, Y, 2, 2), dict(shuffle=1), TypeError, "shuffle: got 1"),
        (BALANCED, (X, Y, 2, 2), dict(seed=0.5), TypeError, "seed: got 0.5"),
        (BALANCED, (X, Y, 2, 2), dict(num_shards=0), ValueError, "num_shards: got 0"),
        (BALANCED, (X, Y, 2, 2), dict(shard_index=-1), ValueError, "shard_index: got -1"),
        (
            BALANCED,
            (X, Y, 2, 2),
            dict(seed=1, num_shards=2, shard_index=2),
            ValueError,
            "shard_index: got 2 with num_shards 2",
        ),
        (
            BALANCED,
            (X, Y, 2, 2),
            dict(num_shards=2),
            ValueError,
            "seed: got None with num_shards 2",
        ),
        (BALANCED, (X, Y, 2, 2), dict(batches_per_epoch=0), ValueError, "batches_per_epoch: got 0"),
        (
            BALANCED,
            (X, Y, 2, 2),
            dict(seed=1, num_shards=2, batches_per_epoch=3),
            ValueError,
            "batches_per_epoch: got 3 with num_shards 2, expected a multiple",
        ),
        (BALANCED, (X, Y, 2, 2), dict(buffer=9), ValueError, "buffer: got 9 with arrays"),
        (BALANCED, (ROWS, Y, 2, 2), {}, ValueError, "labels: got labels with a dataset"),
        (BALANCED, (ROWS, None, 2, 2), dict(buffer=3), ValueError, "buffer: got 3, expected 4"),
        (BALANCED, (ROWS, None, 2, 2), dict(buffer=4.5), TypeError, "buffer: got 4.5"),
        (
            BALANCED,
            (ROWS, None, 2, 2),
            dict(small_classes="repeat"),
            ValueError,
            "small_classes: got 'repeat' with a dataset",
        ),
        (
            BALANCED,
            (ROWS.batch(3), None, 2, 2),
            {},
            ValueError,
            r"data: .* shape \(None,\).*unbatch",
        ),
        (BALANCED, (ROWS.map(lambda x, y: x), None, 2, 2), {}, ValueError, "data: .* elements"),
        (
            BALANCED,
            (ROWS.map(lambda x, y: (x, x[0])), None, 2, 2),
            {},
            TypeError,
            "data: got a dataset with y .*float32.*expected integers",
        ),
        (
            BALANCED,
            (ROWS.map(lambda x, y: (tf.sparse.from_dense(x), y)), None, 2, 2),
            {},
            TypeError,
            "data: got a dataset of Sparse",
        ),
        (PAIRS, (X, Y, None), {}, TypeError, "batch_size: got None"),
        (PAIRS, (X, Y, 0), {}, ValueError, "batch_size: got 0"),
        (PAIRS, (X, Y, 4), dict(positive_fraction=1.5), ValueError, "positive_fraction: got 1.5"),
        (PAIRS, (X, Y, 4), dict(positive_fraction=-1), ValueError, "positive_fraction: got -1"),
        (
            PAIRS,
            (X, Y, 4),
            dict(positive_fraction="all"),
            TypeError,
            "positive_fraction: got 'all'",
        ),
        (
            PAIRS,
            (X, Y, 4),
            dict(similar_label=2),
            ValueError,
            "similar_label: got 2, expected 0 or",
        ),
        (PAIRS, (X, range(12), 4), {}, ValueError, "positive_fraction: got 0.5 with 12 labels of"),
        (PAIRS, (X, Y * 0, 4), {}, ValueError, "positive_fraction: got 0.5 with labels of 1 class"),
        (PAIRS, (ROWS, None, 4), dict(buffer=3), ValueError, "buffer: got 3, expected 4 or more"),
        (TRIPLETS, (X, Y, None), {}, TypeError, "batch_size: got None"),
        (TRIPLETS, (X, range(12), 4), {}, ValueError, "labels: got 12 labels of 12 classes"),
        (TRIPLETS, (X, Y * 0, 4), {}, ValueError, "labels: got 12 labels of 1 classes"),
        (TRIPLETS, (X, Y, 4), dict(num_shards=3), ValueError, "seed: got None with num_shards 3"),
    ],
)
def test_errors(function, args, options, error, message):
    with pytest.raises(error, match=message):
        function(*args, **options)


def test_pairs_of_one_kind_need_no_other():
    rows, labels = np.arange(12), np.arange(12)
    for _, y in tpd.pairs(rows, labels, 4, positive_fraction=0):
        assert np.all(y == 1)
    for _, y in tpd.pairs(rows, labels * 0, 4, positive_fraction=1):
        assert np.all(y == 0)


def test_graphs():
    @tf.function
    def traced(x, y):
        return tpd.balanced_batches(x, y, 2, 2).reduce(0, lambda count, _: count + 1)

    with pytest.raises(TypeError, match="labels: got a tensor of a graph"):
        traced(tf.constant(X), tf.constant(Y))

    @tf.function
    def closed(x):
        return tpd.balanced_batches(x, Y, 2, 2).reduce(0, lambda count, _: count + 1)

    with pytest.raises(TypeError, match="data: got a tensor of a graph"):
        closed(tf.constant(X))


# ---- in use ----


LOSSES = (
    tpw.keras.losses.BatchTripletLoss,
    tpw.keras.losses.ContrastiveLoss,
    tpw.keras.losses.TripletLoss,
)


@pytest.mark.parametrize("make, loss", list(zip(MAKERS.values(), LOSSES, strict=True)), ids=MAKERS)
@streamed
def test_keras_learns_from_it(make, loss, streamed):
    keras.utils.set_random_seed(1)
    x, labels = inputs.batch(240, 8, 6, spread=0.3)
    rows = tf.data.Dataset.from_tensor_slices((x, labels))
    options = dict(seed=1, batches_per_epoch=20)
    dataset = make(rows, None, **options) if streamed else make(x, labels, **options)
    model = keras.Sequential([keras.layers.Dense(4)])
    model.compile(keras.optimizers.Adam(0.01), loss(), jit_compile=False)
    history = model.fit(dataset, epochs=4, verbose=0).history["loss"]
    assert len(history) == 4 and history[-1] < 0.9 * history[0]
    assert model.optimizer.iterations == 80


IN_A_STRATEGY = """
import numpy as np, tensorflow as tf, tf_pairwise as tpw
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
labels = np.arange(240) % 12
rows = tf.data.Dataset.from_tensor_slices((np.arange(240), labels))
def shares(distributed):
    return [[np.array(part) for part in strategy.experimental_local_results(x)]
            for x, _ in distributed]
for make in (
    lambda **share: tpw.data.balanced_batches(np.arange(240), labels, 4, 3, seed=1, **share),
    lambda **share: tpw.data.balanced_batches(rows, None, 4, 3, seed=1, **share),
    lambda **share: tpw.data.pairs(np.arange(240), labels, 12, seed=1, **share),
    lambda **share: tpw.data.triplets(np.arange(240), labels, 12, seed=1, **share),
):
    whole = [x for x, _ in make().as_numpy_iterator()]
    split = shares(strategy.experimental_distribute_dataset(make()))
    assert len(split) == len(whole) > 10
    for parts, batch in zip(split, whole):
        np.testing.assert_array_equal(np.concatenate(parts), batch)
        assert len(parts) == 2 and len(parts[0]) == len(parts[1]) == 6
    def share(context):
        return make(num_shards=1, shard_index=0)
    pulled = shares(strategy.distribute_datasets_from_function(share))
    assert len(pulled) == len(whole) // 2
    np.testing.assert_array_equal(np.concatenate(sum(pulled, [])), np.concatenate(
        whole[: 2 * len(pulled)]))
print("well")
"""


def test_in_a_strategy():
    """In a process of its own, which has two devices."""
    done = checks.in_a_new_process(IN_A_STRATEGY)
    assert done.stdout.endswith("well\n"), done.stderr


def test_the_examples_of_the_docstrings():
    found = doctest.DocTestFinder().find(tpd, globs=dict(tf=tf, tpw=tpw, np=np))
    runner = doctest.DocTestRunner()
    for test in found:
        runner.run(test)
    assert runner.summarize().attempted >= 6 and runner.summarize().failed == 0

"""Metrics of retrieval: against counts in NumPy, scikit-learn and pytorch-metric-learning."""

import doctest
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tf_pairwise.keras import callbacks, metrics
from tf_pairwise.keras.metrics import retrieval

MADE = {
    "RecallAtK": lambda **o: metrics.RecallAtK(3, **o),
    "PrecisionAtK": lambda **o: metrics.PrecisionAtK(3, **o),
    "RPrecision": metrics.RPrecision,
    "MeanAveragePrecisionAtR": metrics.MeanAveragePrecisionAtR,
    "MRR": metrics.MRR,
}
each = pytest.mark.parametrize("name", MADE)


def draw(n=60, m=90, classes=7, d=5, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes + 1, d))
    # A label that only a query has, and one that is twice there.
    labels = np.concatenate([np.arange(n - 1) % classes, [classes]])
    gallery_labels = np.concatenate([np.arange(m - 2) % (classes - 1), [100, 100]])
    x = centres[labels] + rng.normal(size=(n, d))
    y = centres[gallery_labels % (classes + 1)] + rng.normal(size=(m, d))
    return x.astype(np.float32), labels, y.astype(np.float32), gallery_labels


def by_hand(name, x, labels, gallery=None, gallery_labels=None, weights=None):
    """From the whole matrix of distances, query by query."""
    itself = gallery is None
    keys, key_labels = (x, labels) if itself else (gallery, gallery_labels)
    values, counted = [], []
    for i in range(len(x)):
        distances = np.linalg.norm(keys.astype(np.float64) - x[i], axis=1)
        order = np.argsort(distances, kind="stable")
        order = order[order != i] if itself else order
        hits = key_labels[order] == labels[i]
        r = hits.sum()
        if not r:
            continue
        at = np.arange(1, len(hits) + 1)
        values.append(
            {
                "RecallAtK": float(hits[:3].any()),
                "PrecisionAtK": hits[:3].sum() / 3,
                "RPrecision": hits[:r].sum() / r,
                "MeanAveragePrecisionAtR": (np.cumsum(hits) / at * hits)[:r].sum() / r,
                "MRR": 1 / at[hits][0],
            }[name]
        )
        counted.append(1.0 if weights is None else weights[i])
    return np.average(values, weights=counted)


@each
@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_counts(name, gallery, weighted):
    x, labels, y, gallery_labels = draw()
    weights = np.random.default_rng(3).uniform(size=len(x)).astype(np.float32) if weighted else None
    metric = MADE[name]()
    if gallery:
        metric.set_gallery(gallery_labels, y)
    for i in (slice(0, 25), slice(25, None)):
        metric.update_state(labels[i], x[i], None if weights is None else weights[i])
    other = (y, gallery_labels) if gallery else (None, None)
    expected = by_hand(name, x, labels, *other, weights)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    assert 0.1 < expected < 0.95


@each
def test_in_pieces(name, monkeypatch):
    x, labels, y, gallery_labels = draw()
    expected = []
    for pieces in (False, True):
        if pieces:
            monkeypatch.setattr(retrieval, "_NEIGHBORS", 40)
            monkeypatch.setattr(retrieval, "_FIRST_LOOK", 1)
            monkeypatch.setattr(retrieval, "_FARTHER", 2)
        metric = MADE[name]()
        metric.update_state(labels, x)
        alone = float(metric.result())
        metric.set_gallery(gallery_labels, y)
        expected.append((alone, float(metric.result())))
    assert expected[0] == pytest.approx(expected[1], rel=1e-12)


@each
def test_a_gallery_stays_until_another_comes(name):
    x, labels, y, gallery_labels = draw()
    metric = MADE[name]()
    metric.set_gallery(gallery_labels, y)
    metric.update_state(labels, x)
    first = float(metric.result())
    metric.reset_state()
    metric.update_state(labels, x)
    assert float(metric.result()) == first
    metric.set_gallery(gallery_labels[:20, None], tf.constant(y[:20]))
    assert float(metric.result()) == pytest.approx(
        by_hand(name, x, labels, y[:20], gallery_labels[:20]), rel=1e-6
    )
    metric.set_gallery(None, None)
    assert float(metric.result()) == pytest.approx(by_hand(name, x, labels), rel=1e-6)


@each
def test_nothing_to_find(name):
    x, labels, y, gallery_labels = draw()
    metric = MADE[name]()
    metric.update_state(labels, x)
    metric.set_gallery(gallery_labels + 1000, y)
    assert float(metric.result()) == 0.0
    metric.set_gallery(gallery_labels[:0], y[:0])
    assert float(metric.result()) == 0.0
    metric.set_gallery(gallery_labels[:1], y[:1])  # one point, fewer than k
    expected = by_hand(name, x, labels, y[:1], gallery_labels[:1])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_gallery_errors():
    metric = metrics.RecallAtK(1)
    with pytest.raises(ValueError, match=r"y_pred: got shape \(3,\), expected \[m, d\]"):
        metric.set_gallery([0, 1, 2], tf.zeros([3]))
    with pytest.raises(ValueError, match=r"y_true: got shape \(2,\), expected \[3\]"):
        metric.set_gallery(tf.range(2), tf.zeros([3, 2]))
    with pytest.raises(TypeError, match="y_true: got float32, expected an integer type"):
        metric.set_gallery(tf.zeros([3]), tf.zeros([3, 2]))
    metric.set_gallery([0, 1, 2], tf.zeros([3, 2], tf.float64))
    metric.update_state([0, 1], tf.zeros([2, 2]))
    with pytest.raises(TypeError, match="gallery: got float64, expected float32 as the queries"):
        metric.result()
    with pytest.raises(RuntimeError, match="set_gallery in a graph"):
        tf.function(metric.set_gallery)(tf.range(3), tf.zeros([3, 2]))


def test_against_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    sk = pytest.importorskip("sklearn.metrics")
    x, labels, y, gallery_labels = draw()
    classifier = neighbors.KNeighborsClassifier(1, algorithm="brute").fit(y, gallery_labels)
    known = np.isin(labels, gallery_labels)
    recall = metrics.RecallAtK(1)
    recall.update_state(labels, x)
    recall.set_gallery(gallery_labels, y)
    accuracy = sk.accuracy_score(labels[known], classifier.predict(x[known]))
    assert float(recall.result()) == pytest.approx(accuracy, rel=1e-6)
    # A query's reciprocal rank, as that of a ranking with the nearest relevant point alone.
    reciprocal = []
    for query, label in zip(x[known], labels[known], strict=True):
        distances = np.linalg.norm(y - query, axis=1)
        relevant = np.zeros(len(y))
        of_label = np.flatnonzero(gallery_labels == label)
        relevant[of_label[np.argmin(distances[of_label])]] = 1
        reciprocal.append(
            sk.label_ranking_average_precision_score(relevant[None], -distances[None])
        )
    mrr = metrics.MRR()
    mrr.update_state(labels, x)
    mrr.set_gallery(gallery_labels, y)
    assert float(mrr.result()) == pytest.approx(np.mean(reciprocal), rel=1e-6)
    ndcg, rng = metrics.NDCG(5), np.random.default_rng(1)
    relevance, scores = rng.integers(0, 4, (9, 12)), rng.normal(size=(9, 12))
    ndcg.update_state(relevance, scores)
    expected = sk.ndcg_score(2.0**relevance - 1, scores, k=5)
    assert float(ndcg.result()) == pytest.approx(expected, rel=1e-6)


# AccuracyCalculator(k=...) of pytorch-metric-learning 2.9.0 with torch 2.13.0 and faiss 1.15.1 on
# what `draw` gives; without and with the gallery. By `python -m tests.test_evaluation`.
RECORDED = {
    "alone": {
        "mean_average_precision_at_r": 0.1881190187939583,
        "mean_reciprocal_rank": 0.5279326438903809,
        "precision_at_1": 0.3559322033898305,
        "r_precision": 0.29358353510895885,
    },
    "gallery": {
        "mean_average_precision_at_r": 0.21734329318362933,
        "mean_reciprocal_rank": 0.6943628191947937,
        "precision_at_1": 0.5686274509803921,
        "r_precision": 0.3531279178338002,
    },
}


@pytest.mark.parametrize("gallery", ["alone", "gallery"])
def test_against_pytorch_metric_learning(gallery):
    x, labels, y, gallery_labels = draw()
    names = {
        "precision_at_1": metrics.PrecisionAtK(1),
        "r_precision": metrics.RPrecision(),
        "mean_average_precision_at_r": metrics.MeanAveragePrecisionAtR(),
        "mean_reciprocal_rank": metrics.MRR(),
    }
    assert set(RECORDED[gallery]) == set(names)
    for name, metric in names.items():
        metric.update_state(labels, x)
        if gallery == "gallery":
            metric.set_gallery(gallery_labels, y)
        assert float(metric.result()) == pytest.approx(RECORDED[gallery][name], rel=1e-5), name


def test_docstring_examples():
    for name in (*MADE, "NDCG", "PairwiseAccuracy"):
        text = getattr(metrics, name).__doc__
        test = doctest.DocTestParser().get_doctest(text, {"tpw": tpw}, name, None, 0)
        assert test.examples and doctest.DocTestRunner().run(test).failed == 0
    text = callbacks.EvaluateEmbeddings.__doc__
    scope = {"tpw": tpw, "tf": tf, "keras": keras}
    test = doctest.DocTestParser().get_doctest(text, scope, "EvaluateEmbeddings", None, 0)
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0


# ---- the callback ----


def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input([5]), keras.layers.Dense(3)])
    made.compile("sgd", tpw.keras.losses.NTXentLoss())
    return made


def logs_of(follow, epochs=1):
    x, labels, *_ = draw()
    return model().fit(x, labels, epochs=epochs, verbose=0, callbacks=[follow]).history


def all_metrics():
    return [make() for make in MADE.values()]


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return tuple(array[i::4] for array in self.arrays)


@pytest.mark.parametrize("kind", ["dataset", "shuffled", "PyDataset", "list"])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_are_arrays(kind, weighted):
    x, labels, y, gallery_labels = draw()
    weights = np.random.default_rng(3).uniform(size=len(x)).astype(np.float32)
    arrays = (x, labels, weights) if weighted else (x, labels)

    def batches(*arrays):
        dataset = tf.data.Dataset.from_tensor_slices(arrays)
        if kind == "shuffled":
            dataset = dataset.shuffle(1000, reshuffle_each_iteration=True)
        made = {"PyDataset": lambda: Batches(*arrays), "list": lambda: list(dataset.batch(13))}
        return made.get(kind, lambda: dataset.batch(13))()

    expected = logs_of(
        callbacks.EvaluateEmbeddings(
            *(x, labels, all_metrics()),
            sample_weight=weights if weighted else None,
            gallery=(y, gallery_labels),
        )
    )
    made = logs_of(
        callbacks.EvaluateEmbeddings(
            batches(*arrays), metrics=all_metrics(), gallery=batches(y, gallery_labels)
        )
    )
    assert set(made) == {"loss", *(f"val_{metric.name}" for metric in all_metrics())}
    for name in made:
        assert made[name] == pytest.approx(expected[name], rel=1e-5), name


def test_a_gallery_is_predicted():
    x, labels, y, gallery_labels = draw()
    follow = callbacks.EvaluateEmbeddings(
        x, labels, metrics.RecallAtK(3), gallery=(y, gallery_labels), prefix="in_"
    )
    made = model()
    history = made.fit(x, labels, epochs=2, verbose=0, callbacks=[follow]).history
    expected = by_hand(
        "RecallAtK", made.predict(x, verbose=0), labels, made.predict(y, verbose=0), gallery_labels
    )
    assert history["in_recall_at_3"][-1] == pytest.approx(expected, rel=1e-6)


def test_every_n_epochs():
    x, labels, *_ = draw()
    seen = []
    follow = callbacks.EvaluateEmbeddings(x, labels, metrics.RecallAtK(1), every_n_epochs=2)
    see = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append("val_recall_at_1" in logs)
    )
    model().fit(x, labels, epochs=5, verbose=0, callbacks=[follow, see])
    assert seen == [False, True, False, True, False]


@pytest.mark.parametrize(
    "arguments, options, error, message",
    [
        ((draw()[0],), {}, TypeError, "x: got ndarray without y, expected labels with it"),
        ((3,), {}, TypeError, "x: got int without y"),
        ((tf.data.Dataset.range(3).repeat(),), {}, ValueError, r"expected x.take\(n\)"),
        ((tf.data.Dataset.range(3), [1]), {}, ValueError, "y: got labels with x a dataset"),
        ((draw()[0], draw()[1]), {"every_n_epochs": 0}, ValueError, "every_n_epochs: got 0"),
        (([],), {"sample_weight": [1]}, ValueError, "sample_weight: got weights with batches"),
    ],
)
def test_callback_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        callbacks.EvaluateEmbeddings(*arguments, metrics=metrics.RecallAtK(1), **options)


def test_more_callback_errors():
    x, labels, y, gallery_labels = draw()
    with pytest.raises(ValueError, match="metrics: got none"):
        callbacks.EvaluateEmbeddings(x, labels)
    with pytest.raises(TypeError, match="gallery: got one with the metric ndcg"):
        callbacks.EvaluateEmbeddings(x, labels, metrics.NDCG(), gallery=(y, gallery_labels))
    for batches, message in (([], "x: got no batch"), ([(x,)], "x: got batches without labels")):
        follow = callbacks.EvaluateEmbeddings(batches, metrics=metrics.RecallAtK(1))
        with pytest.raises(ValueError, match=message):
            logs_of(follow)


def record():
    """What pytorch-metric-learning says, as JSON."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    x, labels, y, gallery_labels = draw()
    include = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    calculator = AccuracyCalculator((*include, "mean_reciprocal_rank"), k=len(y))
    print(
        json.dumps(
            {
                "alone": calculator.get_accuracy(x, labels),
                "gallery": calculator.get_accuracy(x, labels, y, gallery_labels),
            },
            indent=4,
            default=float,
        )
    )


if __name__ == "__main__":
    record()

"""Trains an embedding of handwritten digits with a triplet loss over every batch: `make demo`.

The data are scikit-learn's 1,797 images of 8 x 8 pixels, half of them held out. A small Keras
network puts an image on a sphere; batch_triplet_loss pulls equal digits together there and pushes
others away. Recall@1 is the share of held-out images whose nearest other held-out image is of the
same digit. Then one training step is timed, and its memory measured, with the fused loss and with
the same formula in plain TensorFlow (tf_pairwise.reference). Writes before.png and after.png.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # t-SNE's threads crawl where a core is taken

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.model_selection import train_test_split

import tf_pairwise as tpw

SEED = 7
DIMENSIONS = 8
MARGIN = 0.3


def digits():
    """Images in [0, 1] and their digits, twice: to train on, and held out."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32)
    train, held_out, train_labels, held_out_labels = train_test_split(
        images, labels, test_size=0.5, stratify=labels, random_state=SEED
    )
    return train, train_labels, held_out, held_out_labels


class BalancedBatches(keras.utils.PyDataset):
    """Batches with every digit equally often, as a loss over pairs wants them."""

    def __init__(self, images, labels, batch_size):
        super().__init__()
        self.images, self.labels = images, labels
        self.of_digit = [np.flatnonzero(labels == digit) for digit in np.unique(labels)]
        self.each = max(2, batch_size // len(self.of_digit))
        self.random = np.random.default_rng(SEED)

    def __len__(self):
        return max(1, min(map(len, self.of_digit)) // self.each)

    def __getitem__(self, _):
        # An image twice in a batch is a pair at distance 0: only where there are too few.
        rows = [
            self.random.choice(rows, self.each, replace=self.each > len(rows))
            for rows in self.of_digit
        ]
        rows = self.random.permutation(np.concatenate(rows))
        return self.images[rows], self.labels[rows]


def make_model(batch_triplet_loss, mining):
    """The network, compiled with a loss that gets the digits and the embeddings of a batch."""

    def loss(labels, embeddings):
        return batch_triplet_loss(embeddings, tf.cast(labels, tf.int64), MARGIN, mining=mining)

    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.Input([64]),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(DIMENSIONS),
            keras.layers.UnitNormalization(),
        ]
    )
    model.compile(keras.optimizers.AdamW(2e-3, weight_decay=1e-2), loss, jit_compile=False)
    return model


def recall_at_1(embeddings, labels):
    """The share of the points whose nearest other point has their label."""
    distances = tpw.pairwise_distance(embeddings)
    distances = tf.linalg.set_diag(distances, tf.fill([len(labels)], np.float32(np.inf)))
    nearest = tf.argmin(distances, axis=1).numpy()
    return float(np.mean(labels[nearest] == labels))


class HeldOutRecall(keras.callbacks.Callback):
    """Puts the held-out recall@1 into each epoch's logs, and shows one progress bar for all."""

    def __init__(self, images, labels, epochs):
        super().__init__()
        self.images, self.labels = images, labels
        self.bar = keras.utils.Progbar(
            epochs, unit_name="epoch", stateful_metrics=["loss", "recall@1"]
        )

    def on_epoch_end(self, epoch, logs=None):
        embeddings = self.model.predict_on_batch(self.images)
        logs["recall@1"] = recall_at_1(embeddings, self.labels)
        self.bar.update(epoch + 1, [(name, logs[name]) for name in ("loss", "recall@1")])


def train(options):
    images, labels, held_out, held_out_labels = digits()
    model = make_model(tpw.batch_triplet_loss, options.mining)
    batches = BalancedBatches(images, labels, options.batch_size)
    before = model.predict_on_batch(held_out)
    print(
        f"{len(labels)} images to train on, {len(held_out_labels)} held out; "
        f"batches of {batches.each * len(batches.of_digit)}, mining {options.mining!r}"
    )
    stop = keras.callbacks.EarlyStopping(
        "recall@1", mode="max", patience=12, restore_best_weights=True
    )
    follow = HeldOutRecall(held_out, held_out_labels, options.epochs)
    history = model.fit(batches, epochs=options.epochs, verbose=0, callbacks=[follow, stop]).history
    after = model.predict_on_batch(held_out)
    ran, best = len(history["loss"]), 1 + int(np.argmax(history["recall@1"]))
    print(f"\nstopped after epoch {ran}; the weights are those of epoch {best}")
    recalls = [recall_at_1(embeddings, held_out_labels) for embeddings in (before, after)]
    print(f"held-out recall@1: {recalls[0]:.1%} before, {recalls[1]:.1%} after\n", flush=True)
    return (before, after), recalls, held_out_labels


# ---- fused against plain ----


def status_mb(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def measure(which, batch_size, mining):
    """The time of a training step, and the memory it adds to a process that has made small ones."""
    api = tpw if which == "fused" else tpw.reference
    images, labels, *_ = digits()
    model = make_model(api.batch_triplet_loss, mining)
    batches = BalancedBatches(images, labels, batch_size)
    small, large = BalancedBatches(images, labels, 20)[0], batches[0]
    for _ in range(3):
        model.train_on_batch(*small)
    before = status_mb("VmHWM")
    times, start = [], time.perf_counter()
    model.train_on_batch(*large)  # traces
    while not times or (len(times) < 50 and time.perf_counter() - start < 4.0):
        begin = time.perf_counter()
        model.train_on_batch(*large)
        times.append(time.perf_counter() - begin)
    peak = status_mb("VmHWM") - before
    return {"milliseconds": 1e3 * float(np.median(times)), "peak_mb": peak}


def measure_apart(which, batch_size, mining):
    """`measure` in a process of its own, whose peak is not that of another."""
    command = [sys.executable, __file__, "--measure", which]
    command += ["--batch-size", str(batch_size), "--mining", mining]
    done = subprocess.run(command, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def available_gb():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / 1e9
    return 0.0


def compare(options):
    print("one training step (network, loss, gradient, AdamW); memory is what it adds at its peak:")
    print(f"{'batch':>8}  {'fused':>22}  {'plain TensorFlow':>22}  {'':>7}")
    for size in dict.fromkeys((options.batch_size, 500, 2000)):
        fused = measure_apart("fused", size, options.mining)
        # N x N numbers for "hard", N x N x N for the others, and several copies.
        power = 2 if options.mining == "hard" else 3
        needs = 4e-9 * size**power
        fits = 5 * needs < available_gb()
        plain = measure_apart("plain", size, options.mining) if fits else None
        cells = [
            f"{m['milliseconds']:8.1f} ms {m['peak_mb']:7.0f} MB" if m else "failed"
            for m in (fused, plain)
        ]
        last = f"{plain['milliseconds'] / fused['milliseconds']:.1f}x" if fused and plain else ""
        if not fits:
            cells[1], last = f"N^{power} floats are {needs:.0f} GB", "not run"
        print(f"{size:8,}  {cells[0]:>22}  {cells[1]:>22}  {last:>7}", flush=True)
    print()


# ---- pictures ----


def draw(axes, flat, labels, title):
    """A map of points in the plane, each digit in its colour and its name at its middle."""
    import matplotlib
    from matplotlib import patheffects

    colours = matplotlib.colormaps["tab10"]
    for digit in np.unique(labels):
        own = flat[labels == digit]
        axes.scatter(*own.T, s=14, color=colours(digit), alpha=0.8, linewidths=0, label=str(digit))
        middle = own[np.argmin(np.linalg.norm(own - np.median(own, axis=0), axis=1))]
        axes.text(
            *middle,
            str(digit),
            size=15,
            weight="bold",
            color=colours(digit),
            ha="center",
            va="center",
            path_effects=[patheffects.withStroke(linewidth=3, foreground="white")],
        )
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, loc="left")
    for side in axes.spines.values():
        side.set_color("0.8")


def pictures(embeddings, recalls, labels, folder, both=None):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def legend(figure, axes):
        figure.legend(
            *axes.get_legend_handles_labels(),
            title="digit",
            loc="outside right center",
            frameon=False,
            markerscale=2,
        )

    note = f"t-SNE of the {DIMENSIONS}-D embeddings of {len(labels)} held-out images"
    titles = [
        f"{when} training: recall@1 {recall:.1%}"
        for when, recall in zip(("Before", "After"), recalls, strict=True)
    ]
    print("drawing", flush=True)
    maps = [TSNE(init="pca", random_state=SEED).fit_transform(x) for x in embeddings]
    folder.mkdir(parents=True, exist_ok=True)
    for name, points, title in zip(("before", "after"), maps, titles, strict=True):
        figure, axes = plt.subplots(figsize=(6.6, 5.6), layout="constrained")
        draw(axes, points, labels, title)
        legend(figure, axes)
        axes.set_xlabel(note, color="0.4")
        figure.savefig(folder / f"{name}.png", dpi=120)
        print(f"written: {folder / name}.png")
    if both:
        figure, pair = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
        for axes, points, title in zip(pair, maps, titles, strict=True):
            draw(axes, points, labels, title)
        legend(figure, pair[0])
        figure.supxlabel(note, size="medium", color="0.4")
        figure.savefig(both, dpi=80)
        print(f"written: {both}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--epochs", type=int, default=80, help="at most (%(default)s)")
    add("--batch-size", type=int, default=200, help="a multiple of 10 (%(default)s)")
    add("--mining", default="semi_hard", help="see batch_triplet_loss (%(default)s)")
    add("--out", type=Path, default=Path("."), metavar="DIR", help="for the pictures")
    add("--both", type=Path, metavar="FILE", help="also both pictures side by side, into FILE")
    add("--measure", choices=("fused", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.batch_size, options.mining)))
        return
    embeddings, recalls, labels = train(options)
    compare(options)
    pictures(embeddings, recalls, labels, options.out, options.both)


if __name__ == "__main__":
    main()

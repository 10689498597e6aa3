"""Trains an embedding of handwritten digits with a triplet loss over every batch: `make demo`.

The data are scikit-learn's 1,797 images of 8 x 8 pixels, half of them held out. A small Keras
network puts an image on a sphere; BatchTripletLoss pulls equal digits together there and pushes
others away. Recall@1 is the share of held-out images whose nearest other held-out image is of the
same digit. Then one training step is timed, and its memory measured, with the fused loss and with
the same formula in plain TensorFlow (tf_pairwise.reference). Writes before.png and after.png.

--jit compiles the model with XLA, the loss being one of its custom calls. --workers 2 trains in two
processes on this machine, with MultiWorkerMirroredStrategy: each has half of every batch, and the
loss is over the whole of it (global_batch=True). Both print how far their learning curve is
from that of the plain run.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
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
NOISE = 0.15  # of the pixels, while training
COMPARED_EPOCHS = 10  # of two learning curves
WORKERS_TIMEOUT = 1200  # seconds
RECALL = "val_recall_at_1"  # what EvaluateEmbeddings calls it


def digits():
    """Images in [0, 1] and their digits, twice: to train on, and held out."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32)
    train, held_out, train_labels, held_out_labels = train_test_split(
        images, labels, test_size=0.5, stratify=labels, random_state=SEED
    )
    return train, train_labels, held_out, held_out_labels


def balanced(images, labels, batch_size, worker=0, workers=1):
    """Batches of all digits with noise, one after another; of several workers, one's part of each.

    Noise depends on the seed and the batch's number alone: not on how training is run.
    """
    digits = len(np.unique(labels))
    each = max(2, batch_size // digits)
    batches = tpw.data.balanced_batches(
        images, labels, classes_per_batch=digits, samples_per_class=each, seed=SEED
    )
    part = slice(worker * digits * each // workers, (worker + 1) * digits * each // workers)

    def noisy(i, batch):
        images, labels = batch
        noise = tf.random.stateless_normal(tf.shape(images), [SEED, i], stddev=NOISE)
        return (images + noise)[part], labels[part]

    return batches.repeat().enumerate().map(noisy), int(batches.cardinality())


class Model(keras.Sequential):
    """A model that Keras 3 can also fit under MultiWorkerMirroredStrategy.

    It averages what a step returns over the first dimension there, which metrics do not have
    (https://github.com/keras-team/keras/issues/20585).
    """

    def compute_metrics(self, *args, **kwargs):
        metrics = super().compute_metrics(*args, **kwargs)
        if tf.distribute.has_strategy():
            metrics = {name: tf.reshape(value, [1]) for name, value in metrics.items()}
        return metrics


def make_model(mining, jit=False, strategy=None):
    """The network, compiled with the loss; of several workers, over the batch of all of them."""
    keras.utils.set_random_seed(SEED)
    model = Model(
        [
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(DIMENSIONS),
            keras.layers.UnitNormalization(),
        ]
    )
    # Keras 3 cannot fit a model under MultiWorkerMirroredStrategy that was made in its scope, but
    # one whose variables were made there.
    with strategy.scope() if strategy else contextlib.nullcontext():
        model.build([None, 64])
        optimizer = keras.optimizers.AdamW(2e-3, weight_decay=1e-2)
        loss = tpw.keras.losses.BatchTripletLoss(
            MARGIN, mining=mining, global_batch=strategy is not None
        )
        model.compile(optimizer, loss, jit_compile=jit and strategy is None)
    return model


def recall_at_1(embeddings, labels):
    """The share of the points whose nearest other point has their label."""
    recall = tpw.keras.metrics.RecallAtK(1)
    recall.update_state(labels, embeddings)
    return float(recall.result())


def progress(epochs, verbose):
    """One progress bar for all epochs, with what the callbacks before it put into the logs."""
    shown = {"loss": "loss", RECALL: "recall@1"}
    bar = keras.utils.Progbar(
        epochs, verbose=verbose, unit_name="epoch", stateful_metrics=shown.values()
    )
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: bar.update(
            epoch + 1, [(name, logs[key]) for key, name in shown.items()]
        )
    )


def fit(options, epochs, jit=False, strategy=None, verbose=True):
    """Trains; returns the held-out embeddings before and after, and the learning curve."""
    images, labels, held_out, held_out_labels = digits()
    model = make_model(options.mining, jit, strategy)
    data, in_epoch = balanced(images, labels, options.batch_size)
    if strategy:
        data = strategy.distribute_datasets_from_function(
            lambda context: balanced(
                *(images, labels, options.batch_size),
                *(context.input_pipeline_id, context.num_input_pipelines),
            )[0]
        )
    before = model(held_out).numpy()
    follow = tpw.keras.callbacks.EvaluateEmbeddings(
        held_out, held_out_labels, tpw.keras.metrics.RecallAtK(1)
    )
    stop = keras.callbacks.EarlyStopping(RECALL, mode="max", patience=12, restore_best_weights=True)
    warnings.filterwarnings("ignore", "`shuffle=True` was passed")  # of fit's own default
    with strategy.scope() if strategy else contextlib.nullcontext():
        history = model.fit(
            data,
            epochs=epochs,
            steps_per_epoch=in_epoch,
            verbose=0,
            callbacks=[follow, progress(epochs, verbose), stop],
        ).history
    return before, model(held_out).numpy(), {"loss": history["loss"], "recall@1": history[RECALL]}


def train(options):
    images, labels, _, held_out_labels = digits()
    size = balanced(images, labels, options.batch_size)[0].element_spec[1].shape[0]
    how = f", in {options.workers} workers" if options.workers > 1 else ""
    how += ", compiled with XLA" if options.jit else ""
    print(
        f"{len(labels)} images to train on, {len(held_out_labels)} held out; "
        f"batches of {size}, mining {options.mining!r}{how}",
        flush=True,
    )
    if options.workers > 1:
        before, after, curve = fit_in_workers(options)
    else:
        before, after, curve = fit(options, options.epochs, options.jit)
    ran, best = len(curve["loss"]), 1 + int(np.argmax(curve["recall@1"]))
    print(f"\nstopped after epoch {ran}; the weights are those of epoch {best}")
    recalls = [recall_at_1(embeddings, held_out_labels) for embeddings in (before, after)]
    print(f"held-out recall@1: {recalls[0]:.1%} before, {recalls[1]:.1%} after\n", flush=True)
    if options.jit or options.workers > 1:
        compare_curves(options, curve)
    return (before, after), recalls, held_out_labels


def compare_curves(options, curve):
    """Prints a learning curve's first epochs beside those of the plain run.

    Rounding differs between them. With mining "all" the loss is continuous in it, and curves stay
    together (1e-5 in 10 epochs); "semi_hard" chooses one negative of a pair, and drifts apart from
    where rounding first made it choose another (in epochs 3 to 8, to 2e-3 in the tenth).
    """
    epochs = min(COMPARED_EPOCHS, len(curve["loss"]))
    _, _, plain = fit(options, epochs, verbose=False)
    print("epoch        loss, plain run        recall@1, plain run")
    for i in range(epochs):
        cells = [f"{c[name][i]:.6f}" for name in ("loss", "recall@1") for c in (curve, plain)]
        print(f"{i + 1:>5}  {cells[0]:>10}  {cells[1]:>9}      {cells[2]:>10}  {cells[3]:>9}")
    loss, recall = (
        max(abs(a - b) / scale for a, b in zip(curve[name][:epochs], plain[name], strict=True))
        for name, scale in (("loss", plain["loss"][0]), ("recall@1", 1))
    )
    print(
        f"largest difference: loss {loss:.1e} of the first epoch's, recall@1 {recall:.1e}\n",
        flush=True,
    )


# ---- several workers ----


def be_worker(options):
    """What each of the processes does that `fit_in_workers` starts."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # nobody waits for this process any more

    threading.Thread(target=watch, daemon=True).start()
    tf.get_logger().setLevel("ERROR")
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    before, after, curve = fit(options, options.epochs, strategy=strategy)
    if strategy.cluster_resolver.task_id == 0:
        np.savez(options.out / "trained.npz", before=before, after=after, curve=json.dumps(curve))


def fit_in_workers(options):
    """`fit` in processes that this one starts, and ends: when one fails, or time is up."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(options.workers)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        stack.close()  # the ports are free again, and nobody else is likely to be given them
        command = [sys.executable, __file__, "--worker", "--out", folder]
        for name in ("epochs", "batch_size", "mining"):
            command += ["--" + name.replace("_", "-"), str(getattr(options, name))]
        processes, outputs = [], [Path(folder) / f"{i}.txt" for i in range(options.workers)]
        try:
            for i, output in enumerate(outputs):
                task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}
                own = {"TF_CONFIG": json.dumps(task), "no_proxy": "127.0.0.1"}
                own["CUDA_VISIBLE_DEVICES"] = "-1"  # one GPU is not for two
                with output.open("w") as file:
                    processes.append(
                        subprocess.Popen(
                            command,
                            env={**os.environ, **own},
                            stdout=file if i else None,  # the first shows the progress bar
                            stderr=file,
                        )
                    )
            end = time.monotonic() + WORKERS_TIMEOUT
            codes = [None]
            while None in codes and not any(codes) and time.monotonic() < end:
                time.sleep(0.05)
                codes = [process.poll() for process in processes]
        finally:
            for process in processes:
                process.kill()
            codes = [process.wait() for process in processes]
        if any(codes):
            for output in outputs:
                print(output.read_text(errors="replace")[-4000:], file=sys.stderr)
            sys.exit(f"the workers ended with {codes}")
        with np.load(Path(folder) / "trained.npz") as trained:
            return trained["before"], trained["after"], json.loads(str(trained["curve"]))


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
    model = make_model(mining)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = api.batch_triplet_loss(model(images), labels, MARGIN, mining=mining)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    small, large = (next(iter(balanced(images, labels, n)[0])) for n in (20, batch_size))
    for _ in range(3):
        step(*small)
    before = status_mb("VmHWM")
    times, start = [], time.perf_counter()
    step(*large)  # traces
    while not times or (len(times) < 50 and time.perf_counter() - start < 4.0):
        begin = time.perf_counter()
        step(*large).numpy()
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
    add("--jit", action="store_true", help="compile the model with XLA")
    add("--workers", type=int, default=1, metavar="N", help="train in N processes")
    add(
        "--only-train", action="store_true", help="no comparison with plain TensorFlow, no pictures"
    )
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    add("--measure", choices=("fused", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.workers < 1 or options.batch_size % options.workers:
        # Local batches of one size: else Keras shows a loss that weighs them unlike the loss does.
        parser.error(f"--workers: got {options.workers}, expected what divides --batch-size")
    if options.jit and options.workers > 1:
        parser.error("--jit: not with --workers, TensorFlow's collectives have no XLA kernels")
    if options.worker:
        be_worker(options)
        return
    if options.measure:
        print(json.dumps(measure(options.measure, options.batch_size, options.mining)))
        return
    embeddings, recalls, labels = train(options)
    if options.only_train:
        return
    compare(options)
    pictures(embeddings, recalls, labels, options.out, options.both)


if __name__ == "__main__":
    main()

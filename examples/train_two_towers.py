"""Trains two towers for retrieval, with InfoNCE and a temperature that is learned.

    python examples/train_two_towers.py

The queries are the upper halves of scikit-learn's 1,797 handwritten digits (4 x 8 pixels), the keys
their lower halves: find the half that belongs to one. Each tower is a small Keras network of its
own; `tpw.keras.layers.InfoNCE` adds the loss, in which each query's negatives are all other keys of
the batch, and owns the temperature, which is saved with the model. Half of the images are held out,
and the lower half of each is looked for among all of those: recall@k is the share of the queries
whose own key is among the k nearest (`tpw.nearest_neighbors`, which is exact).
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import tf_pairwise as tpw

SEED = 7
NOISE = 0.1  # of the pixels, while training


def halves():
    """Upper and lower halves [n, 32] in [0, 1]: of what is trained on, and of what is held out."""
    images = load_digits().images.astype(np.float32) / 16.0
    images = np.random.default_rng(SEED).permutation(images)
    upper, lower = images[:, :4].reshape(-1, 32), images[:, 4:].reshape(-1, 32)
    middle = len(images) // 2
    return (upper[:middle], lower[:middle]), (upper[middle:], lower[middle:])


def tower(name):
    return keras.Sequential(
        [
            keras.Input([32]),
            keras.layers.GaussianNoise(NOISE),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(64),
        ],
        name=name,
    )


def recalls(model, queries, keys):
    """Recall at 1 and 10, of the embeddings of held-out halves."""
    queries, keys = model.predict([queries, keys], batch_size=512, verbose=0)
    _, nearest = tpw.nearest_neighbors(queries, keys, k=10, metric="cosine")
    hits = nearest.numpy() == np.arange(len(queries))[:, None]
    return hits[:, 0].mean(), hits.any(axis=1).mean()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0.2, help="at first")
    parser.add_argument("--save", metavar="FILE.keras")
    options = parser.parse_args()

    keras.utils.set_random_seed(SEED)
    (upper, lower), held_out = halves()
    queries, keys = keras.Input([32]), keras.Input([32])
    info_nce = tpw.keras.layers.InfoNCE(options.temperature, symmetric=True)
    model = keras.Model([queries, keys], info_nce([tower("upper")(queries), tower("lower")(keys)]))
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-2))  # the layer adds the loss

    def show(epoch, loss):
        at_1, at_10 = recalls(model, *held_out)
        print(
            f"epoch {epoch}: {loss}, temperature {float(info_nce.temperature):.4f}, "
            f"of {len(held_out[0])} held-out halves found: {at_1:.1%}, among ten: {at_10:.1%}",
            flush=True,
        )

    show(0, "untrained")
    every = max(1, options.epochs // 6)
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (
            show(epoch + 1, f"loss {logs['loss']:.3f}")
            if (epoch + 1) % every == 0 or epoch + 1 == options.epochs
            else None
        )
    )
    batches = tf.data.Dataset.from_tensor_slices(((upper, lower),))
    batches = batches.shuffle(len(upper), SEED).batch(options.batch_size, drop_remainder=True)
    model.fit(batches, epochs=options.epochs, callbacks=[report], shuffle=False, verbose=0)
    if options.save:
        model.save(options.save)
        loaded = keras.saving.load_model(options.save)
        print(f"saved and loaded: temperature {float(loaded.layers[-1].temperature):.4f}")


if __name__ == "__main__":
    main()

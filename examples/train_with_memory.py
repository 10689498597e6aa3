"""Trains on small batches, with and without the embeddings of earlier ones as more references.

    python examples/train_with_memory.py

A batch of 20 of scikit-learn's handwritten digits has two of each, and so few pairs that are hard.
`CrossBatchMemory` (XBM, Wang et al. 2020) keeps the embeddings and labels of the latest batches,
and `BatchContrastiveLoss` holds the batch against those too: more pairs a step, at the price of
embeddings that are some steps old. Prints the held-out recall@1 and MAP@R of both as they train.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tf_pairwise as tpw

SEED = 7


def digits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32)
    return train_test_split(images, labels, test_size=0.5, stratify=labels, random_state=SEED)


def train(memory, options):
    """Recall@1 and MAP@R of the held-out digits after each epoch."""
    keras.utils.set_random_seed(SEED)
    images, held_out, labels, held_out_labels = digits()
    model = keras.Sequential(
        [
            keras.Input([64]),
            keras.layers.GaussianNoise(0.15),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(8),
            keras.layers.UnitNormalization(),
        ]
    )
    loss = tpw.keras.losses.BatchContrastiveLoss(margin=0.5, memory=memory)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    batches = tpw.data.balanced_batches(
        images, labels, classes_per_batch=10, samples_per_class=2, seed=SEED
    )
    metrics = [tpw.keras.metrics.RecallAtK(1), tpw.keras.metrics.MeanAveragePrecisionAtR()]
    follow = tpw.keras.callbacks.EvaluateEmbeddings(held_out, held_out_labels, metrics)
    history = model.fit(
        batches, epochs=options.epochs, callbacks=[follow], shuffle=False, verbose=0
    ).history
    return history["val_recall_at_1"], history["val_mean_average_precision_at_r"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--capacity", type=int, default=400, help="embeddings that are kept")
    options = parser.parse_args()
    alone = train(None, options)
    remembered = train(tpw.keras.CrossBatchMemory(options.capacity), options)
    print(f"{'':>5}  {'batches of 20':^20}  {f'and {options.capacity:,} remembered':^20}")
    print(f"epoch  {'recall@1':>10} {'MAP@R':>9}  {'recall@1':>10} {'MAP@R':>9}")
    for epoch, row in enumerate(zip(*alone, *remembered, strict=True), 1):
        print("{:>5}  {:>10.1%} {:>9.3f}  {:>10.1%} {:>9.3f}".format(epoch, *row))


if __name__ == "__main__":
    main()

"""Trains a ranker on query-grouped files, and follows NDCG on other queries.

    python examples/train_ranker.py --train train.svm --test test.svm

The files are in the format of LETOR and MSLR-WEB10K, a line per document and the lines of a query
together:

    grade qid:N index:value index:value ...

A small Keras network scores documents by their features; `ListRankingLoss` with the weights of
LambdaRank (lambda_weight="ndcg") compares the documents of a query. Queries have as many
documents as they have: the lists of a batch are padded to its longest with documents of grade -1,
which to the loss and the metrics do not exist.

NDCG@k is DCG@k over that of the best order, with gain 2^grade - 1 and discount 1 / log2(1 + rank);
documents of equal score keep the file's order. Queries without a relevant document have no best
order to compare with: they are left out of the mean, and counted in what is printed.
"""

import argparse
import os
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_svmlight_file

import tf_pairwise as tpw


class BadFile(Exception):
    """What is wrong with an input file, and where."""


class Queries:
    """The documents of a file: features [n, f], grades [n], and where each query begins."""

    def __init__(self, path, features=None):
        try:
            x, grades, qid = load_svmlight_file(path, query_id=True, n_features=features)
        except OSError as error:
            raise BadFile(f"{path}: {error.strerror}") from None
        except (ValueError, OverflowError) as error:
            if features is not None and "n_features" in str(error):
                raise BadFile(
                    f"{path}: has features beyond the {features} of the training file"
                ) from None
            check_lines(path)
            raise BadFile(f"{path}: {error}") from None
        x = x.toarray().astype(np.float32)
        starts = np.flatnonzero(np.diff(qid)) + 1
        fine = (
            len(qid) == len(grades)
            and len(np.unique(qid)) == len(starts) + 1
            and np.isfinite(grades).all()
            and (grades >= 0).all()
            and np.isfinite(x).all()
        )
        if not fine:
            check_lines(path)
            raise BadFile(f"{path}: holds no documents")
        self.features, self.grades = x, grades.astype(np.float32)
        self.splits = np.concatenate([[0], starts, [len(grades)]])

    def __len__(self):
        return len(self.splits) - 1

    def batches(self, size, seed=None):
        """A tf.data.Dataset of features [B, L, f] and grades [B, L]; in another order each time
        where there is a seed."""

        def queries():
            for begin, end in zip(self.splits[:-1], self.splits[1:], strict=True):
                yield self.features[begin:end], self.grades[begin:end]

        features = self.features.shape[1]
        dataset = tf.data.Dataset.from_generator(
            queries,
            output_signature=(
                tf.TensorSpec([None, features], tf.float32),
                tf.TensorSpec([None], tf.float32),
            ),
        ).apply(tf.data.experimental.assert_cardinality(len(self)))
        if seed is not None:
            dataset = dataset.shuffle(len(self), seed)
        return dataset.padded_batch(size, padding_values=(0.0, -1.0))

    def relevant(self):
        """How many queries have a relevant document."""
        return int(np.count_nonzero(np.maximum.reduceat(self.grades, self.splits[:-1]) > 0))


def check_lines(path):
    """Finds the first line that is not as it has to be. Only read when something is wrong."""
    first_line = {}
    previous = None
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            fields = line.split("#")[0].split()
            if not fields:
                continue
            reason = check_fields(fields)
            if reason is None:
                query = int(fields[1][4:])
                if query != previous and query in first_line:
                    reason = (
                        f"qid {query} was seen before, from line {first_line[query]} on: "
                        "the lines of a query have to be together"
                    )
                first_line.setdefault(query, number)
                previous = query
            if reason is not None:
                raise BadFile(f"{path}, line {number}: {reason}")


def check_fields(fields):
    """What is wrong with a line, or None."""
    grade = number_of(fields[0])
    if grade is None or grade < 0:
        return f"the grade is {fields[0]!r}, expected a number, 0 or more"
    if len(fields) < 2 or not re.fullmatch(r"qid:\d{1,18}", fields[1]):
        came = repr(fields[1]) if len(fields) > 1 else "nothing"
        return f"after the grade comes {came}, expected qid: and an integer"
    last = -1
    for field in fields[2:]:
        index, colon, value = field.partition(":")
        if not colon or not re.fullmatch(r"\d{1,9}", index):
            return f"a feature is {field!r}, expected index:value"
        value = number_of(value)
        if value is None or abs(value) > np.finfo(np.float32).max:
            return f"feature {index} is {field.partition(':')[2]!r}, expected a finite number"
        if int(index) <= last:
            return f"feature {index} comes after feature {last}, expected ascending indices"
        last = int(index)
    return None


def number_of(text):
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def make_scorer(train, temperature, learning_rate):
    normalize = keras.layers.Normalization()
    normalize.adapt(train.features)
    scorer = keras.Sequential(
        [
            keras.Input([None, train.features.shape[1]]),
            normalize,
            keras.layers.Dropout(0.3),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    scorer.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=1e-2),
        tpw.keras.losses.ListRankingLoss(
            lambda_weight="ndcg", temperature=temperature, reduction="sum_over_batch_size"
        ),
        metrics=[tpw.keras.metrics.NDCG(5), tpw.keras.metrics.NDCG(10)],
    )
    return scorer


def run(arguments):
    keras.utils.set_random_seed(arguments.seed)
    train = Queries(arguments.train)
    test = Queries(arguments.test, features=train.features.shape[1])
    print(
        f"train: {len(train)} queries, {len(train.grades)} documents; "
        f"test: {len(test)} queries, {len(test.grades)} documents; "
        f"{train.features.shape[1]} features"
    )
    counted = test.relevant()

    def report(epoch, trained, logs):
        print(
            f"epoch {epoch}: {trained}, test NDCG@5 {logs['ndcg_at_5']:.4f}, "
            f"NDCG@10 {logs['ndcg_at_10']:.4f} ({counted} of {len(test)} queries)",
            flush=True,
        )

    class Report(keras.callbacks.Callback):
        """A bar for each epoch, and below it what the epoch has come to."""

        def on_epoch_begin(self, epoch, logs=None):
            self.bar = keras.utils.Progbar(self.params["steps"], stateful_metrics=["loss"])

        def on_train_batch_end(self, batch, logs=None):
            self.bar.update(batch + 1, [("loss", logs["loss"])])

        def on_epoch_end(self, epoch, logs=None):
            of_test = {name: logs[f"val_{name}"] for name in ("ndcg_at_5", "ndcg_at_10")}
            report(epoch + 1, f"loss {logs['loss']:.4f}", of_test)

    scorer = make_scorer(train, arguments.temperature, arguments.learning_rate)
    held_out = test.batches(256)
    report(0, "untrained", scorer.evaluate(held_out, return_dict=True, verbose=0))
    scorer.fit(
        train.batches(arguments.batch_size, arguments.seed),
        validation_data=held_out,
        epochs=arguments.epochs,
        callbacks=[Report()],
        verbose=0,
    )


def positive(kind):
    def parse(text):
        value = kind(text)
        if not value > 0 or value != value or value == float("inf"):
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", required=True, metavar="FILE")
    parser.add_argument("--test", required=True, metavar="FILE")
    parser.add_argument("--epochs", type=positive(int), default=15)
    parser.add_argument("--batch-size", type=positive(int), default=16, help="queries a step")
    parser.add_argument("--learning-rate", type=positive(float), default=1e-3)
    parser.add_argument("--temperature", type=positive(float), default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    try:
        run(parser.parse_args(arguments))
    except BadFile as error:
        sys.exit(f"train_ranker: {error}")


if __name__ == "__main__":
    main()

"""Calls for the kernels of a GPU that hold a tile's pairs in registers (cc/tile/pair_walk.h).

Around their tiles of 64 rows and 64 or 32 columns, their widths of 64, 128 and 256 coordinates, and
the 512 columns after which their sums go to memory and close pairs are made.
"""

import numpy as np

from tests import inputs
from tests.gpu_cases import Case, in_dtype


def cases() -> dict[str, Case]:
    return {case.name: case for part in (pair_tiles, hard_tiles) for case in part()}


def pair_tiles():
    """batch_contrastive_loss around the tiles of the kernels that hold a pair in registers."""
    for n, d in ((1, 3), (2, 1), (63, 16), (64, 17), (65, 64), (129, 65), (70, 128), (66, 129),
                 (130, 250), (67, 256), (67, 257), (1100, 5)):  # fmt: skip
        metrics = inputs.METRICS if n < 100 else ("euclidean",)
        for metric in metrics:
            yield _batch_contrastive(n, d, metric=metric)
    for metric in ("euclidean", "squared_euclidean", "cosine", "dot"):
        yield from _close_batches(metric)
        x = inputs.points(70, 9)
        x[[3, 20, 69], [0, 8, 4]] = np.nan, np.inf, 1e30
        weights = np.zeros(70, np.float32)
        weights[[3, 11, 40, 41, 66]] = 1, 0.5, 2, 1, -1
        for what, of in (
            ("", weights),
            ("NaN has no weight, ", np.where(weights == 1, 0, weights)),
        ):
            name = f"{what}weights mostly zero, not finite"
            arguments = dict(metric=metric, sample_weight=of.astype(np.float32))
            yield _batch_contrastive(70, 9, name, embeddings=x, **arguments)
        for dtype in ("float32", "bfloat16", "float16"):
            for reduction in ("mean", "sum", "mean_nonzero"):
                yield from _contrastive_of_others(dtype, metric, reduction)


def many_columns():
    """Of many tiles, for kernels whose blocks have them all."""
    for metric in ("euclidean", "squared_euclidean", "cosine", "dot"):
        yield from _close_batches(metric)
    yield from (case for case in hard_tiles() if len(case.arguments["embeddings"]) >= 130)
    for n, d in ((600, 40), (530, 100), (520, 200)):
        for dtype in ("float32", "bfloat16"):
            yield _batch_contrastive(n, d, dtype=dtype)
            for function in ("supervised_contrastive_loss", "info_nce_loss"):
                x, y = inputs.points(n, d), inputs.points(n, d, seed=1)
                arguments = dict(temperature=0.5, with_gradient=True)
                if function == "info_nce_loss":
                    arguments.update(queries=x, keys=y, symmetric=d == 100)
                else:
                    labels = (np.arange(n) % 50).astype(np.int64)
                    arguments.update(embeddings=x, labels=labels, sample_weight=inputs.weights(n))
                name = f"{function} {n} x {d} {dtype}"
                yield Case(name, function, in_dtype(dtype, arguments))


def _batch_contrastive(n, d, what="", dtype="float32", **arguments):
    x = inputs.points(n, d, seed=d) if "embeddings" not in arguments else arguments["embeddings"]
    labels = (np.arange(n) * 7 % max(n // 4, 1)).astype(np.int64) << 31
    spread = np.float32(np.sqrt(2 * d))
    made = dict(embeddings=x, labels=labels, margin=float(1.2 * spread), with_gradient=True)
    made.update(sample_weight=inputs.weights(n), positive_margin=0.1)
    made.update(arguments)
    options = " ".join(str(v) for v in arguments.values() if isinstance(v, str))
    name = f"batch_contrastive_loss tiles {n} x {d} {options} {what} {dtype}"
    return Case(name, "batch_contrastive_loss", in_dtype(dtype, made))


def _close_batches(metric):
    """Pairs that are nearly the same, the same and zero, in tiles before and after a flush."""
    x = inputs.points(1050, 6)
    for i, j in ((0, 1), (5, 63), (62, 64), (7, 511), (8, 512), (9, 1049), (600, 1040)):
        x[j] = x[i] + np.float32(1e-3) * x[j]
    x[100] = x[900] = x[901]
    x[40] = x[41] = 0
    weights = inputs.weights(1050)
    weights[9] = 0
    options = dict(metric=metric, positive_margin=0.0, sample_weight=weights)
    yield _batch_contrastive(1050, 6, "close", embeddings=x, **options)


def _contrastive_of_others(dtype, metric, reduction):
    refs = inputs.points(150, 20, seed=7)
    refs[30:100] = inputs.points(70, 20, seed=20)  # the anchors themselves
    refs[101] = refs[35] * np.float32(1.01)
    options = dict(ref_embeddings=refs, ref_labels=(np.arange(150) % 9).astype(np.int64) << 31)
    options.update(self_offset=30, metric=metric, reduction=reduction)
    yield _batch_contrastive(70, 20, f"others {reduction} ", dtype, **options)


def hard_tiles():
    """Hard mining by kernels that store no distance: shapes, close pairs, weights of zero."""
    for n, m, d in ((65, None, 17), (130, None, 129), (33, 200, 250), (700, None, 6)):
        for metric in inputs.METRICS:
            yield _hard(n, m, d, metric=metric)
    x = inputs.points(300, 6)
    for i, j in ((0, 1), (5, 63), (62, 64), (7, 255), (8, 256), (9, 299), (200, 290)):
        x[j] = x[i] + np.float32(1e-3) * x[j]
    x[100] = x[200] = x[201]
    x[40] = x[41] = 0
    few = np.zeros(300, np.float32)
    few[[0, 100, 256, 299]] = 1, 2, -1, 0.5
    none = x.copy()
    none[[3, 299], [0, 5]] = np.nan, np.inf
    for metric in ("euclidean", "squared_euclidean", "cosine", "dot"):
        for margin in (1.0, None):
            yield _hard(300, None, 6, "close ", embeddings=x, metric=metric, margin=margin)
        for dtype in ("bfloat16", "float16"):
            yield _hard(65, 150, 20, "", dtype, metric=metric)
        yield _hard(300, None, 6, "few ", embeddings=none, metric=metric, sample_weight=few)
    one = np.zeros((90, 4), np.float32)  # whose nearest is the same for all
    one[1:, 0] = 1 + np.arange(89) / 64
    labels = np.minimum(np.arange(90), 1)
    yield _hard(90, None, 4, "one ", embeddings=one, labels=labels)


def _hard(n, m, d, what="", dtype="float32", **arguments):
    made = dict(embeddings=inputs.points(n, d, seed=d), labels=np.arange(n) * 7 % (n // 4))
    if m is not None:
        made.update(ref_embeddings=inputs.points(m, d, seed=3), ref_labels=np.arange(m) % (n // 4))
        made.update(self_offset=m - n)
    made.update(mining="hard", margin=float(d), sample_weight=inputs.weights(n), with_gradient=True)
    made.update(arguments)
    name = f"batch_triplet_loss hard {n} x {d} {what}{made.get('metric')} {made['margin']} {dtype}"
    return Case(name, "batch_triplet_loss", in_dtype(dtype, made))

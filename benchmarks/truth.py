"""The functions once more, in long double: what `accuracy` holds results against.

By the formulas of the docstrings, over all pairs and triplets, for a few points. Numbers may be
complex: the imaginary part of f(x + ih) / h, with an h too small to be seen in the real part, is
the derivative to the last digit (the complex step; Squire and Trapp 1998).
"""

import numpy as np

REAL, COMPLEX = np.longdouble, np.clongdouble
_STEP = REAL("1e-200")


def gradients(function, points):
    """The derivatives of function(*points), a number, with respect to each array."""
    points = [np.asarray(x, COMPLEX) for x in points]
    found = []
    for x in points:
        slope = np.zeros(x.shape, REAL)
        for at in np.ndindex(x.shape):
            kept = x[at]
            x[at] = kept + 1j * _STEP
            slope[at] = function(*points).imag / _STEP
            x[at] = kept
        found.append(slope)
    return found


# ---- of numbers ----


def _hinge(x):
    return np.where(x.real > 0, x, 0)


def _softplus(x):
    small = np.exp(np.where(x.real > 0, -x, x))
    log1p = np.log1p(small.real) + 1j * small.imag / (1 + small.real)
    return np.where(x.real > 0, x, 0) + log1p


def _root(x):
    return np.where(x.real > 0, np.sqrt(np.where(x.real > 0, x, 1)), 0)


def _log_sum(x, there):
    """log(sum(exp(x))) over the last axis, of what is there."""
    largest = np.where(there, x.real, -np.inf).max(-1, keepdims=True)
    total = np.where(there, np.exp(np.where(there, x - largest, 0)), 0).sum(-1)
    return np.log(total.real) + 1j * total.imag / total.real + largest[..., 0]


def _mean(values, counted):
    count = counted.sum()
    return np.where(counted, values, 0).sum() / count if count else COMPLEX(0)


# ---- distances ----


def _distance(x, y, metric):
    """Over the last axis."""
    difference = x - y
    if metric in ("euclidean", "squared_euclidean"):
        squared = (difference * difference).sum(-1)
        return squared if metric == "squared_euclidean" else _root(squared)
    if metric in ("manhattan", "chebyshev"):
        size = np.sign(difference.real) * difference
        if metric == "manhattan":
            return size.sum(-1)
        return np.take_along_axis(size, size.real.argmax(-1)[..., None], -1)[..., 0]
    if metric == "dot":
        return -(x * y).sum(-1)
    # Half the squared distance of unit vectors: 1 - cos would cancel.
    difference = x / _root((x * x).sum(-1))[..., None] - y / _root((y * y).sum(-1))[..., None]
    return (difference * difference).sum(-1) / 2


def pairwise_distance(x, y, metric="euclidean"):
    return _distance(x[:, None], y[None], metric)


def paired_distance(x, y, metric="euclidean"):
    return _distance(x, y, metric)


def nearest_neighbors(queries, keys, k):
    return np.sort(pairwise_distance(queries, keys).real, axis=1)[:, :k], None


# ---- losses of pairs and triplets ----


def contrastive_loss(x1, x2, labels, margin):
    distance = _distance(x1, x2, "euclidean")
    hinge = np.where(labels == 0, distance, _hinge(margin - distance))
    return (hinge * hinge).mean() / 2


def batch_contrastive_loss(embeddings, labels, margin):
    distance = pairwise_distance(embeddings, embeddings)
    same = labels[:, None] == labels
    hinge = np.where(same, distance, _hinge(margin - distance))
    return _mean(hinge * hinge / 2, ~np.eye(len(labels), dtype=bool))


def triplet_loss(anchors, positives, negatives, margin):
    to_positive, to_negative = (
        _distance(anchors, x, "squared_euclidean") for x in (positives, negatives)
    )
    return _hinge(to_positive - to_negative + margin).mean()


def batch_triplet_loss(embeddings, labels, margin, mining):
    distance = pairwise_distance(embeddings, embeddings)
    same = labels[:, None] == labels
    positive, negative = same & ~np.eye(len(labels), dtype=bool), ~same
    total, count = COMPLEX(0), 0
    for d, p, n in zip(distance, positive, negative, strict=True):
        d_p, d_n = d[p], d[n]
        if mining == "hard" and d_p.size and d_n.size:
            d_p, d_n = d_p[[d_p.real.argmax()]], d_n[[d_n.real.argmin()]]
        if mining == "semi_hard" and d_p.size and d_n.size:
            beyond = np.where(d_n.real > d_p.real[:, None], d_n.real, np.inf)
            nearest = np.where(np.isinf(beyond).all(1), d_n.real.argmax(), beyond.argmin(1))
            difference, counted = d_p - d_n[nearest], np.ones(d_p.size, bool)
        else:
            difference = d_p[:, None] - d_n
            counted = np.ones(difference.shape, bool)
            if mining == "semi_hard_all":
                counted = (difference.real < 0) & (difference.real >= -margin)
            if mining == "hard_all":
                counted = difference.real >= 0
        loss = _softplus(difference) if margin is None else _hinge(difference + margin)
        total, count = total + np.where(counted, loss, 0).sum(), count + counted.sum()
    return total / max(count, 1)


# ---- soft-max losses ----


def _similarities(x, y):
    x, y = (z / _root((z * z).sum(-1))[:, None] for z in (x, y))
    return x @ y.T


def info_nce_loss(queries, keys, temperature, symmetric=False):
    logits = _similarities(queries, keys) / temperature
    there = np.ones(logits.shape, bool)
    losses = _log_sum(logits, there) - np.diagonal(logits)
    if symmetric:
        losses = (losses + _log_sum(logits.T, there) - np.diagonal(logits)) / 2
    return losses.mean()


def _labelled(embeddings, labels, temperature):
    same = labels[:, None] == labels
    positive = same & ~np.eye(len(labels), dtype=bool)
    return _similarities(embeddings, embeddings) / temperature, positive, ~same


def supervised_contrastive_loss(embeddings, labels, temperature):
    logits, positive, negative = _labelled(embeddings, labels, temperature)
    count = positive.sum(1)
    of_positives = np.where(positive, logits, 0).sum(1) / np.maximum(count, 1)
    return _mean(_log_sum(logits, positive | negative) - of_positives, count > 0)


def nt_xent_loss(embeddings, labels, temperature):
    logits, positive, negative = _labelled(embeddings, labels, temperature)
    return _mean(_softplus(_log_sum(logits, negative)[:, None] - logits), positive)


def sigmoid_contrastive_loss(queries, keys, scale, bias):
    logits = scale * _similarities(queries, keys) + bias
    own = np.eye(len(logits), dtype=bool)
    return _softplus(np.where(own, -logits, logits)).sum(1).mean()


# ---- ranking ----


def _ranking(x, loss, margin=1.0):
    """Of the other's score less the preferred one's."""
    if loss == "logistic":
        return _softplus(x)
    if loss == "hinge":
        return _hinge(margin + x)
    small = np.exp(np.where(x.real > 0, -x, x))  # the sigmoid
    return np.where(x.real > 0, 1 / (1 + small), small / (1 + small))


def pairwise_ranking_loss(scores_pos, scores_neg, loss="logistic"):
    return _ranking(scores_neg - scores_pos, loss).mean()


def list_ranking_loss(scores, relevance, loss="logistic", lambda_weight=None):
    total, count = COMPLEX(0), 0
    for s, y in zip(scores, relevance, strict=True):
        pairs = y[:, None] > y
        value = _ranking(s[None] - s[:, None], loss)
        if loss == "mse":
            pairs = ~np.eye(len(y), dtype=bool)
            value = ((s[:, None] - s) - (y[:, None] - y)) ** 2
        if lambda_weight == "ndcg":
            gain = REAL(2) ** y - 1
            rank = np.argsort(np.argsort(-s.real, kind="stable"), kind="stable") + 1
            discount, best = (1 / np.log2(REAL(1) + r) for r in (rank, np.arange(1, len(y) + 1)))
            ideal = (np.sort(gain)[::-1] * best).sum()
            value = value * np.abs((gain[:, None] - gain) * (discount[:, None] - discount)) / ideal
        total, count = total + np.where(pairs, value, 0).sum(), count + pairs.sum()
    return total / count

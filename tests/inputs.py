"""Inputs that tests and benchmarks share: plain functions of sizes and a seed, NumPy arrays."""

import numpy as np

METRICS = ("euclidean", "squared_euclidean", "cosine", "manhattan", "dot", "chebyshev")
MININGS = ("all", "hard", "semi_hard", "semi_hard_all", "hard_all")
SOFT_MININGS = ("all", "hard", "semi_hard")
REDUCTIONS = ("none", "sum", "mean", "mean_nonzero")


def points(*shape, seed=0, scale=1.0, offset=0.0, dtype=np.float32):
    """Normally distributed points around `offset`."""
    values = np.random.default_rng(seed).normal(size=shape) * scale + offset
    return values.astype(dtype)


def labels(n, classes, seed=0, dtype=np.int32):
    """n labels of `classes` classes as even as they come, in a random order."""
    return np.random.default_rng(seed + 1000).permutation(np.arange(n) % classes).astype(dtype)


def batch(n, d, classes, seed=0, spread=1.0, dtype=np.float32):
    """Points [n, d] around a centre per class, and their labels [n]."""
    rng = np.random.default_rng(seed + 2000)
    of_class = labels(n, classes, seed)
    centres = rng.normal(size=(classes, d)) / np.sqrt(d)
    noise = rng.normal(size=(n, d)) * (spread / np.sqrt(d))
    return (centres[of_class] + noise).astype(dtype), of_class


def references(n, m, d, classes, seed=0, dtype=np.float32):
    """Anchors [n, d] that are rows k .. k + n of references [m, d], labels of both, and k."""
    points_of_refs, ref_labels = batch(m, d, classes, seed, dtype=dtype)
    k = (m - n) // 2
    own = slice(k, k + n)
    return points_of_refs[own].copy(), ref_labels[own].copy(), points_of_refs, ref_labels, k


def triplets(n, d, seed=0, dtype=np.float32):
    """Anchors, positives somewhat nearer to them than negatives: three of [n, d]."""
    rng = np.random.default_rng(seed + 3000)
    anchors = rng.normal(size=(n, d))
    positives = anchors + 0.8 * rng.normal(size=(n, d))
    negatives = anchors + 1.0 * rng.normal(size=(n, d))
    return tuple((x / np.sqrt(d)).astype(dtype) for x in (anchors, positives, negatives))


def weights(n, seed=0, dtype=np.float32):
    """Positive weights with some zeros among them."""
    values = np.random.default_rng(seed + 4000).uniform(0.2, 3.0, size=n)
    values[1::7] = 0.0
    return values.astype(dtype)

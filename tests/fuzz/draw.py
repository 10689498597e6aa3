"""What the fuzzer draws: sizes, points, labels, weights and scores, from one seeded generator.

A case is drawn in one order from one generator, so (seed, case) says all that is in it.
"""

import ml_dtypes
import numpy as np

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
# Around the edges of vectors, register blocks and tiles; the larger ones seldom.
SMALL = (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 63, 64, 65)
LARGE = (95, 96, 97, 127, 128, 129, 191, 193, 256, 257)
DEPTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100, 130, 257, 300)

# The powers of ten of "tiny", "huge" and "denormal" points. Those of float64 stop where the
# reference, whose squares are float64 too, is still right.
TINY = {"float16": (-6, -3), "bfloat16": (-30, -3), "float32": (-30, -3), "float64": (-100, -3)}
HUGE = {"float16": (2, 4.5), "bfloat16": (2, 30), "float32": (2, 30), "float64": (2, 130)}
DENORMAL = {"float16": -7, "bfloat16": -39.5, "float32": -41, "float64": -310}
# How far points may be from 0, the distances between them being about 1.
FAR = {"float16": 30.0, "bfloat16": 4.0, "float32": 3000.0, "float64": 1e6}

POINTS = {
    "normal": 5,
    "unit": 2,
    "offset": 2,
    "duplicates": 2,
    "near": 2,
    "same": 1,
    "grid": 2,
    "tiny": 1,
    "huge": 1,
    "denormal": 1,
    "zeros": 1,
    "mixed": 1,
    "apart": 1,
}
SCORES = {
    "normal": 5,
    "large": 2,
    "offset": 1,
    "grid": 2,
    "same": 1,
    "tiny": 1,
    "huge": 1,
    "denormal": 1,
    "zeros": 1,
    "mixed": 1,
}


class Draw:
    """The generator of a case, and the words that say what it has drawn."""

    def __init__(self, seed, case):
        self.rng = np.random.default_rng([seed, case])
        self.words = {}

    def one_of(self, name, values, weights=None):
        """One of the values, the choice of option `name`; a dict has its values' weights."""
        if isinstance(values, dict):
            values, weights = list(values), list(values.values())
        p = None if weights is None else np.asarray(weights) / np.sum(weights)
        value = values[self.rng.choice(len(values), p=p)]
        self.words[name] = value
        return value

    def chance(self, p):
        return bool(self.rng.uniform() < p)

    def dtype(self):
        return self.one_of("dtype", {"float32": 4, "float64": 3, "float16": 2, "bfloat16": 2})

    # ---- sizes ----

    def size(self, name, most):
        """A size up to `most`: an edge nearly always."""
        kind = self.rng.uniform()
        if kind < 0.15:
            value = int(self.rng.integers(most + 1))
        else:
            values = SMALL if kind < 0.7 else LARGE
            value = values[self.rng.integers(len(values))]
            while value > most:
                value = SMALL[self.rng.integers(len(SMALL))]
        self.words[name] = value
        return value

    def depth(self, pairs=1, most=2_000_000):
        """d, so small that `pairs` differences of such points are no more than `most`."""
        values = [d for d in DEPTHS if d * pairs <= most] or [1]
        self.words["d"] = d = 0 if self.chance(0.01) else values[self.rng.integers(len(values))]
        return d

    # ---- points ----

    def points(self, dtype, *shapes):
        """Arrays of points [..., n, d], all of one kind, or each of its own magnitude."""
        kind = self.one_of("data", POINTS)
        # Denormal halves are a grid too.
        grid = kind == "grid" or (kind == "denormal" and dtype in ("float16", "bfloat16"))
        if grid and self.words.get("metric") == "cosine":
            kind = self.words["data"] = "normal"  # its ties would be decided by rounding
        if kind in ("tiny", "huge"):
            low, high = (TINY if kind == "tiny" else HUGE)[dtype]
            scale = 10.0 ** self.rng.uniform(low, high)
            arrays = [self._normal(shape) * scale for shape in shapes]
        elif kind == "denormal":
            scale = 10.0 ** DENORMAL[dtype]
            arrays = [self._normal(shape) * scale for shape in shapes]
        elif kind == "apart":
            low, high = TINY[dtype][0] / 3, HUGE[dtype][1] / 3
            arrays = [self._normal(shape) * 10.0 ** self.rng.uniform(low, high) for shape in shapes]
        else:
            offset = FAR[dtype] * self.rng.uniform(0.01, 1.0)
            copied = [shape for shape in shapes if shape[-1] == shapes[0][-1]]
            some = self._normal((max(1, int(self.rng.integers(1, 9))), copied[0][-1]))
            arrays = [self._of_kind(kind, shape, offset, some) for shape in shapes]
        if kind not in ("tiny", "huge", "denormal", "apart", "unit"):
            size = self.one_of("scale", {1.0: 3, 0.1: 1, 5.0: 2})
            arrays = [x * size for x in arrays]
        return [self._in_range(x, dtype) for x in arrays]

    def _normal(self, shape):
        return self.rng.normal(size=shape) * max(shape[-1], 1) ** -0.5

    def _of_kind(self, kind, shape, offset, some):
        rng, x = self.rng, self._normal(shape)
        rows = shape[:-1]
        if kind == "unit":
            return x / np.maximum(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), 1e-30)
        if kind == "offset":
            return x + offset
        if kind == "same":
            return np.broadcast_to(some[0], shape)
        if kind == "duplicates":
            copies = some[rng.integers(len(some), size=rows)]
            return np.where(rng.uniform(size=(*rows, 1)) < 0.6, copies, x)
        if kind == "near":  # pairs much nearer to each other than to 0
            copies = some[rng.integers(len(some), size=rows)]
            return copies + x * 10.0 ** rng.uniform(-6, -1, size=(*rows, 1))
        if kind == "grid":  # ties that are exact in every type
            return np.round(x * max(shape[-1], 1) ** 0.5) * 0.5
        if kind == "zeros":
            x = np.where(rng.uniform(size=shape) < 0.6, 0.0, x)
            x = np.where(rng.uniform(size=(*rows, 1)) < 0.2, 0.0, x)
            return np.where(rng.uniform(size=shape) < 0.5, x, -x)
        if kind == "mixed":
            return x * 10.0 ** rng.uniform(-3, 3, size=(*rows, 1))
        return x

    def scores(self, dtype, shape):
        """Scores of the given shape."""
        rng, kind = self.rng, self.one_of("data", SCORES)
        x = rng.normal(size=shape)
        if kind == "large":
            x = x * 10.0
        elif kind == "offset":
            x = x + FAR[dtype] * rng.uniform(0.01, 1.0)
        elif kind == "grid":
            x = np.round(x * 2.0) * 0.5
        elif kind == "same":
            x = np.full(shape, rng.normal())
        elif kind == "zeros":
            x = np.where(rng.uniform(size=shape) < 0.6, 0.0, x) * rng.choice(
                [1.0, -1.0], size=shape
            )
        elif kind == "mixed":
            x = x * 10.0 ** rng.uniform(-3, 2, size=shape)
        elif kind == "denormal":
            x = x * 10.0 ** DENORMAL[dtype]
        elif kind in ("tiny", "huge"):
            x = x * 10.0 ** rng.uniform(*(TINY if kind == "tiny" else HUGE)[dtype])
        return self._in_range(x, dtype)

    def _in_range(self, x, dtype):
        most = float(ml_dtypes.finfo(DTYPES[dtype]).max) * 0.99
        return np.ascontiguousarray(np.clip(x, -most, most).astype(DTYPES[dtype]))

    # ---- labels and weights ----

    def labels(self, n, m=0):
        """Labels of n points and of m references, of one kind."""
        kind = self.one_of(
            "labels",
            {"even": 4, "one": 1, "distinct": 1, "pair": 2, "pairs": 2, "skewed": 1, "ends": 1},
        )
        rng, total = self.rng, n + m
        if kind == "even":
            labels = rng.integers(max(1, int(rng.choice([2, 4, 13, total // 4 + 1]))), size=total)
        elif kind == "one":
            labels = np.full(total, 7)
        elif kind == "pairs":
            labels = rng.permutation(np.arange(total) // 2)
        elif kind == "skewed":
            labels = np.minimum(rng.geometric(0.3, size=total), 9)
        elif kind == "ends":  # 2^32 and 2^63 apart, so that no narrower type holds them
            ends = np.array([-(2**63), 2**63 - 1, 0, -1, 2**32, 2**53 + 1, 2**53], np.int64)
            labels = rng.choice(ends, size=total)
        else:
            labels = rng.permutation(total)
            if kind == "pair" and total > 1:
                a, b = rng.choice(n, 2, replace=False) if n > 1 and not m else (0, total - 1)
                labels[a] = labels[b]
        dtype = np.int64 if kind == "ends" else rng.choice([np.int32, np.int64])
        labels = labels.astype(dtype)
        first, second = labels[:n], labels[n:]
        return (first[:, None] if self.chance(0.1) else first), second

    def weights(self, name, shape, dtype):
        """Weights, or None, in the type that the kernels hold them in."""
        kind = self.one_of(
            name,
            {"none": 5, "some": 1, "zeros": 2, "sparse": 2, "nothing": 0.5, "one": 0.5, "mixed": 1},
        )
        if kind == "none":
            return None
        rng = self.rng
        weights = rng.uniform(0.2, 3.0, size=shape)
        if kind == "zeros":
            weights *= rng.uniform(size=shape) < 0.6
        elif kind == "sparse":
            weights *= rng.uniform(size=shape) < 0.05
        elif kind == "nothing":
            weights *= 0.0
        elif kind == "one" and weights.size:
            one = rng.integers(weights.size)
            weights.reshape(-1)[np.arange(weights.size) != one] = 0.0
        elif kind == "mixed":
            weights *= 10.0 ** rng.uniform(-4, 4, size=shape)
        return weights.astype(np.float64 if dtype == "float64" else np.float32)

    def margin(self, typical, dtype):
        """A margin near the distances that there are; seldom 0, or far beyond them."""
        factor = self.one_of("margin", {0.3: 2, 1.0: 3, 1.7: 2, 0.0: 0.5, 1e3: 0.3})
        typical = float(typical) if np.isfinite(typical) and typical > 0 else 1.0
        # A short number that no distance is equal to but by design (0 and the grid).
        margin = float(f"{factor * typical * (1 if self.words['data'] == 'grid' else 1.0137):.4g}")
        computed = "float64" if dtype == "float64" else "float32"
        return margin if margin > float(ml_dtypes.finfo(DTYPES[computed]).smallest_normal) else 0.0

    def parameter(self, name, values, dtype):
        """A scalar that float32 holds exactly."""
        value = self.one_of(name, values)
        return (np.float64 if dtype == "float64" else np.float32)(np.float32(value))

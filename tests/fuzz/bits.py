"""Are they the same bits as before? What every public function gives, hashed.

    python -m tests.fuzz.bits record FILE [--only SUBSTRING]
    python -m tests.fuzz.bits compare FILE [--only SUBSTRING] [--verbose]

`record` runs a table of some 4,000 cases (function x dtype x metric x options, over shapes
around tile edges, ordinary data, weights with zeros) on `tf_pairwise.numpy` and stores a hash
and a sample of each result: values and gradients. `compare` runs the same table on the build
that is installed now, prints what differs, by how much and with which options, and exits with
status 1 if anything does. Neither imports TensorFlow. TF_PAIRWISE_ISA chooses the instruction
set, which the record remembers: bits of two sets are not the same.

The name of a case seeds all that is drawn in it, so a case stays what it is when others come.
"""

import argparse
import hashlib
import itertools
import json
import sys
import time
import zlib
from collections import Counter, defaultdict

import ml_dtypes
import numpy as np

from tests.inputs import METRICS, MININGS, REDUCTIONS, SOFT_MININGS
from tf_pairwise import _numpy
from tf_pairwise import numpy as tpn

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
SIZES = (0, 1, 2, 5, 63, 64, 65, 97, 130, 200, 513)
DEPTHS = (1, 3, 16, 33, 130, 300)
SOFTMAX_REDUCTIONS = ("none", "sum", "mean")
SAMPLE = 1024  # numbers of an array that the record keeps


# ---- drawing ----


class Draw:
    """All that is drawn in one case, and the words that say what it was."""

    def __init__(self, name, dtype):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.dtype = DTYPES[dtype]
        self.words = []

    def one_of(self, name, *values):
        """One of the values, for the option `name`."""
        value = values[self.rng.integers(len(values))]
        self.words.append(f"{name}={value}")
        return value

    def size(self):
        return self.one_of("n", *SIZES)

    def depth(self):
        return self.one_of("d", *DEPTHS)

    def points(self, *shapes):
        """Points of those shapes [..., n, d], of one kind."""
        kind = self.one_of("data", "normal", "normal", "offset", "unit", "duplicates", "grid")
        return [self._points(kind, shape) for shape in shapes]

    def _points(self, kind, shape):
        x = self.rng.normal(size=shape) * shape[-1] ** -0.5
        if kind == "offset":
            x += 3.0
        elif kind == "unit":
            x /= np.sqrt(np.sum(x * x, axis=-1, keepdims=True)) + 1e-30
        elif kind == "duplicates" and shape[-2]:
            x = x[..., self.rng.integers(max(shape[-2] // 2, 1), size=shape[-2]), :]
        elif kind == "grid":  # exact ties of distances
            x = np.round(x * shape[-1] ** 0.5) * 0.5
        return x.astype(self.dtype)

    def labels(self, n, classes=None):
        if classes is None:
            kind = self.one_of("labels", "fours", "fours", "two", "pairs", "few")
            classes = {"fours": max(n // 4, 1), "two": 2, "pairs": max(n // 2, 1), "few": n}[kind]
            labels = self.rng.permutation(np.arange(n) % max(classes, 1))
            if kind == "few" and n > 8:  # all distinct but for two of them
                labels[n // 2] = labels[n // 3]
            return labels
        return self.rng.integers(classes, size=n)

    def weights(self, name, shape):
        kind = self.one_of(name, "none", "none", "zeros", "sparse")
        if kind == "none":
            return None
        weights = self.rng.uniform(0.2, 3.0, size=shape)
        keep = 0.8 if kind == "zeros" else 0.05
        return weights * (self.rng.uniform(size=shape) < keep)

    def batch(self):
        """The arguments of a batch of labelled points, alone or with references."""
        n, d = self.size(), self.depth()
        kind = self.one_of("refs", "self", "self", "others", "own")
        if kind == "self":
            (x,) = self.points((n, d))
            return n, (x, self.labels(n)), {}
        m = self.one_of("m", *SIZES[1:-1])
        m, k = (m, None) if kind == "others" else (n + m, m // 2)
        x, refs = self.points((n, d), (m, d))
        labels = self.labels(max(n, m))
        if kind == "own":
            x = refs[k : k + n].copy()
            own = labels[k : k + n]
        else:
            own = self.rng.permutation(labels)[:n]
        return n, (x, own), dict(ref_embeddings=refs, ref_labels=labels[:m], self_offset=k)

    def threads(self):
        return self.one_of("threads", 1, 1, 1, 3)


# ---- the table ----
#
# A case function draws and gives a call: (function, positional, keywords), of which everything
# that comes out is hashed.


def _pairwise_distance(draw, metric, kind):
    n, d = draw.size(), draw.depth()
    if kind == "itself":
        (x,), y, shape = draw.points((n, d)), None, (n, n)
    else:
        m = draw.one_of("m", *SIZES[:-1])
        first = (2,) if kind == "stacked" else ()
        x, y = draw.points((*first, n, d), (*first, m, d))
        shape = (*first, n, m)
    upstream = draw.rng.normal(size=shape).astype(draw.dtype)
    threads = draw.threads()
    value = tpn.pairwise_distance(x, y, metric, threads=threads)
    return value, tpn.pairwise_distance_gradient(x, y, upstream, metric, threads=threads)


def _paired_distance(draw, metric, _):
    x, y = draw.points(*[(draw.size(), draw.depth())] * 2)
    upstream = draw.rng.normal(size=len(x)).astype(draw.dtype)
    threads = draw.threads()
    value = tpn.paired_distance(x, y, metric, threads=threads)
    return value, tpn.paired_distance_gradient(x, y, upstream, metric, threads=threads)


def _loss(draw, function, *arguments, **options):
    """The loss alone, then with its gradients: two ways through a kernel."""
    options["threads"] = draw.threads()
    return function(*arguments, **options), function(*arguments, **options, with_gradient=True)


def _contrastive(draw, metric, reduction):
    x, y = draw.points(*[(draw.size(), draw.depth())] * 2)
    return _loss(
        draw,
        tpn.contrastive_loss,
        *(x, y, draw.labels(len(x), 2), draw.one_of("margin", 0.3, 1.0, 1.5)),
        metric=metric,
        similar_label=draw.one_of("similar_label", 0, 1),
        sample_weight=draw.weights("weights", len(x)),
        reduction=reduction,
    )


def _batch_contrastive(draw, metric, reduction, form):
    n, arguments, options = draw.batch()
    return _loss(
        draw,
        tpn.batch_contrastive_loss,
        *(*arguments, draw.one_of("margin", 0.3, 1.0, 1.5)),
        metric=metric,
        squared=form == "squared",
        positive_margin=draw.one_of("positive_margin", 0.0, 0.0, 0.2),
        sample_weight=draw.weights("weights", n),
        reduction=reduction,
        **options,
    )


def _queries_and_keys(draw, function, normalize, reduction, *parameters, **options):
    n, d = draw.size(), draw.depth()
    offset = 0 if options.get("symmetric") else draw.one_of("offset", 0, 0, 3, 40)
    x, y = draw.points((n, d), (n + 2 * offset, d))
    return _loss(
        draw,
        function,
        *(x, y, *parameters),
        normalize=normalize == "normalize",
        positive_offset=offset,
        sample_weight=draw.weights("weights", n),
        reduction=reduction,
        **options,
    )


def _info_nce(draw, normalize, reduction):
    temperature = draw.one_of("temperature", 0.07, 0.5)
    symmetric = draw.one_of("symmetric", False, True)
    function = tpn.info_nce_loss
    return _queries_and_keys(draw, function, normalize, reduction, temperature, symmetric=symmetric)


def _sigmoid(draw, normalize, reduction):
    parameters = draw.one_of("scale", 1.0, 10.0), draw.one_of("bias", -10.0, 0.5)
    return _queries_and_keys(draw, tpn.sigmoid_contrastive_loss, normalize, reduction, *parameters)


def _of_labels(function):
    def case(draw, normalize, reduction):
        n, arguments, options = draw.batch()
        return _loss(
            draw,
            function,
            *(*arguments, draw.one_of("temperature", 0.1, 0.5)),
            normalize=normalize == "normalize",
            sample_weight=draw.weights("weights", n),
            reduction=reduction,
            **options,
        )

    return case


def _triplet(draw, metric, reduction):
    points = draw.points(*[(draw.size(), draw.depth())] * 3)
    return _loss(
        draw,
        tpn.triplet_loss,
        *(*points, draw.one_of("margin", 0.3, 1.0, None)),
        metric=metric,
        swap=draw.one_of("swap", False, True),
        sample_weight=draw.weights("weights", len(points[0])),
        reduction=reduction,
    )


def _batch_triplet(draw, metric, mining):
    n, arguments, options = draw.batch()
    margins = (0.2, 1.0, None) if mining in SOFT_MININGS else (0.2, 1.0)
    return _loss(
        draw,
        tpn.batch_triplet_loss,
        *(*arguments, draw.one_of("margin", *margins)),
        mining=mining,
        metric=metric,
        sample_weight=draw.weights("weights", n),
        reduction=draw.one_of("reduction", *REDUCTIONS),
        **options,
    )


def _mine(draw, metric, mining):
    n, arguments, options = draw.batch()
    if n > 200:  # as many triplets would take the time of all the rest
        arguments = tuple(a[:97] for a in arguments)
    margin = draw.one_of("margin", 0.2, 1.0)
    options |= {"mining": mining, "margin": margin, "metric": metric}
    return tpn.mine_triplets(*arguments, threads=draw.threads(), **options)


def _neighbors(draw, metric, only):
    n, d = draw.size(), draw.depth()
    k = draw.one_of("k", 1, 3, 10, 40)
    keys = draw.one_of("keys", "queries", "others")
    m = n if keys == "queries" else draw.one_of("m", *SIZES)
    queries, others = draw.points((n, d), (m, d))
    options = dict(k=k, metric=metric, threads=draw.threads())
    if only != "any":
        options["only"], options["query_labels"] = only, draw.labels(n, 7)
        if keys == "others":
            options["key_labels"] = draw.labels(m, 7)
    return tpn.nearest_neighbors(queries, None if keys == "queries" else others, **options)


def _pairwise_ranking(draw, loss, reduction):
    n = draw.size()
    positive, negative = draw.points((n, 1), (n, 1))
    return _loss(
        draw,
        tpn.pairwise_ranking_loss,
        *(positive[:, 0], negative[:, 0]),
        loss=loss,
        margin=draw.one_of("margin", 0.3, 1.0),
        temperature=draw.one_of("temperature", 0.1, 1.0),
        sample_weight=draw.weights("weights", n),
        reduction=reduction,
    )


def _list_ranking(draw, loss, reduction, layout):
    length, lists = draw.size(), draw.one_of("lists", 0, 1, 4, 9)
    n = lists * length
    (scores,) = draw.points((n, 1))
    shape = (n,) if layout == "ragged" else (lists, length)
    relevance = draw.rng.integers(-1, draw.one_of("grades", 2, 5, 100), size=shape)
    lambda_weight, topn = None, None
    if loss != "mse":
        lambda_weight = draw.one_of("lambda", None, None, "label_diff", "dcg", "ndcg")
        if lambda_weight in ("dcg", "ndcg"):
            topn = draw.one_of("topn", None, 5)
            relevance = np.minimum(relevance, 6)
    splits = None
    if layout == "ragged":
        inner = np.sort(draw.rng.integers(n + 1, size=max(lists - 1, 0)))
        splits = np.array([0, *inner, n] if lists else [0])
    mask = draw.rng.uniform(size=shape) < 0.9 if draw.one_of("mask", False, True) else None
    return _loss(
        draw,
        tpn.list_ranking_loss,
        *(scores.reshape(shape), relevance),
        loss=loss,
        lambda_weight=lambda_weight,
        topn=topn,
        margin=draw.one_of("margin", 0.3, 1.0),
        temperature=draw.one_of("temperature", 0.1, 1.0),
        item_weight=draw.weights("weights", shape),
        mask=mask,
        row_splits=splits,
        reduction=reduction,
    )


_SOFTMAX = (("normalize", "as_is"), SOFTMAX_REDUCTIONS)
# Function, its case, the axes that are gone through in full, and how many draws of each.
TABLE = (
    ("pairwise_distance", _pairwise_distance, (METRICS, ("itself", "two", "stacked")), 5),
    ("paired_distance", _paired_distance, (METRICS, ("given",)), 6),
    ("contrastive_loss", _contrastive, (METRICS, REDUCTIONS), 4),
    (
        "batch_contrastive_loss",
        _batch_contrastive,
        (METRICS, (*REDUCTIONS, "balanced_mean"), ("squared", "linear")),
        3,
    ),
    ("info_nce_loss", _info_nce, _SOFTMAX, 8),
    ("sigmoid_contrastive_loss", _sigmoid, _SOFTMAX, 8),
    ("supervised_contrastive_loss", _of_labels(tpn.supervised_contrastive_loss), _SOFTMAX, 8),
    ("nt_xent_loss", _of_labels(tpn.nt_xent_loss), _SOFTMAX, 8),
    ("triplet_loss", _triplet, (METRICS, REDUCTIONS), 4),
    ("batch_triplet_loss", _batch_triplet, (METRICS, MININGS), 7),
    ("mine_triplets", _mine, (METRICS, MININGS), 2),
    ("nearest_neighbors", _neighbors, (METRICS, ("any", "same_label", "other_label")), 4),
    (
        "pairwise_ranking_loss",
        _pairwise_ranking,
        (("logistic", "hinge", "soft_zero_one"), REDUCTIONS),
        3,
    ),
    (
        "list_ranking_loss",
        _list_ranking,
        (
            ("logistic", "hinge", "soft_zero_one", "mse"),
            (*REDUCTIONS, "mean_lists"),
            ("dense", "ragged"),
        ),
        4,
    ),
)


def cases(only=""):
    """(name, words -> results) of every case whose name holds `only`."""
    for function, case, axes, draws in TABLE:
        for dtype, options, i in itertools.product(DTYPES, itertools.product(*axes), range(draws)):
            name = " ".join([function, dtype, *options, f"#{i}"])
            if only in name:
                yield name, case, dtype, options


def run(name, case, dtype, options):
    """(what was drawn, the arrays of the result), or the type of its exception for these."""
    draw = Draw(name, dtype)
    try:
        result = case(draw, *options)
    except Exception as error:  # what it was is part of the record
        return " ".join(draw.words), type(error).__name__
    return " ".join(draw.words), list(_flat(result))


def _flat(result):
    if isinstance(result, tuple):
        for part in result:
            yield from _flat(part)
    else:
        yield np.asarray(result)


# ---- the record ----


def _digest(array):
    """Of the bits, and of the bits without denormals, signs of zeros and kinds of NaN."""
    exact = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=12).hexdigest()
    if array.dtype.kind == "i":
        return exact, exact
    smallest = float(ml_dtypes.finfo(array.dtype).smallest_normal)
    numbers = array.astype(np.float64)
    numbers[np.abs(numbers) < smallest] = 0.0
    numbers[np.isnan(numbers)] = np.nan
    return exact, hashlib.blake2b(numbers.tobytes(), digest_size=12).hexdigest()


def _sample(array):
    """At most SAMPLE of its numbers, evenly spread, after their sum and largest."""
    flat = array.reshape(-1).astype(np.float64)
    positions = np.linspace(0, max(flat.size - 1, 0), min(flat.size, SAMPLE)).astype(np.int64)
    finite = flat[np.isfinite(flat)]
    ends = [finite.sum(), np.max(np.abs(finite), initial=0.0)]
    return np.concatenate([ends, flat[positions]])


def describe(arrays):
    """What the record keeps of a result: a list for the index, and samples."""
    if isinstance(arrays, str):
        return arrays, []
    index = [[a.dtype.name, list(a.shape), *_digest(a)] for a in arrays]
    return index, [_sample(a) for a in arrays]


def record(path, only):
    index, samples, start = {}, [np.zeros(0)], 0
    for name, *how in cases(only):
        words, arrays = run(name, *how)
        described, sampled = describe(arrays)
        index[name] = [words, described, start]
        samples += sampled
        start += sum(map(len, sampled))
    meta = json.dumps({"isa": _numpy.isa(), "cases": index})
    with open(path, "wb") as file:
        np.savez_compressed(file, meta=np.array(meta), samples=np.concatenate(samples))
    return index


def _load(path):
    with np.load(path) as file:
        return json.loads(str(file["meta"])), file["samples"]


# ---- the comparison ----


def _difference(before, after, old, new):
    """None for the same bits, else (the largest difference over the largest number, in words)."""
    if isinstance(before, str) or isinstance(after, str):
        both = [b if isinstance(b, str) else "a result" for b in (before, after)]
        return None if both[0] == both[1] else (np.inf, " -> ".join(both))
    shapes = [[entry[:2] for entry in entries] for entries in (before, after)]
    if shapes[0] != shapes[1]:
        return np.inf, f"shapes {shapes[0]} -> {shapes[1]}"
    which = [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if b[2] != a[2]]
    if not which:
        return None
    if all(before[i][3] == after[i][3] for i in which):
        return 0.0, "denormals or signs of zeros alone"
    worst = 0.0
    for i in which:
        a, b = old[i], new[i]
        scale = max(a[1], b[1], 1e-300)
        with np.errstate(invalid="ignore"):
            apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        apart[np.isnan(apart)] = np.inf
        worst = max(worst, float(np.max(apart[1:], initial=0.0)) / scale)
    what = f"results {which} of {len(before)}, by {worst:.1e} of the largest number"
    return worst, what + ("" if worst else " (outside the sample)")


def compare(path, only, verbose):
    meta, samples = _load(path)
    if meta["isa"] != _numpy.isa():
        print(f"recorded for {meta['isa']}, compared on {_numpy.isa()}: the bits will differ")
    recorded, seen = meta["cases"], 0
    missing = {name for name in recorded if only in name}
    different, new_cases, compared = [], 0, defaultdict(Counter)
    for name, *how in cases(only):
        if name not in recorded:
            new_cases += 1
            continue
        missing.discard(name)
        seen += 1
        words, arrays = run(name, *how)
        compared[name.split()[0]].update(_words(name, words))
        described, sampled = describe(arrays)
        old_words, before, start = recorded[name]
        old = []
        for entry in [] if isinstance(before, str) else before:
            stop = start + 2 + min(int(np.prod(entry[1])), SAMPLE)
            old.append(samples[start:stop])
            start = stop
        if words != old_words and not isinstance(described, str) and not isinstance(before, str):
            found = np.inf, f"another case: {old_words}"
        else:
            found = _difference(before, described, old, sampled)
        if found:
            different.append((name, words, *found))
    _print(different, compared, verbose)
    for name in sorted(missing):
        print(f"  no longer there: {name}")
    print(
        f"{seen} cases on {_numpy.isa()}: {len(different)} differ"
        + (f", {len(missing)} are no longer there" if missing else "")
        + (f", {new_cases} are not in the record" if new_cases else "")
    )
    return bool(different or missing)


def _words(name, drawn):
    """The options of a case, but for its sizes."""
    words = {*name.split()[1:-1], *drawn.split()}
    return [word for word in words if not word.startswith(("n=", "d=", "m="))]


def _print(different, compared, verbose, lines=8):
    """By function: the options, the most afflicted first, then the cases."""
    by_function = defaultdict(list)
    for case in different:
        by_function[case[0].split()[0]].append(case)
    for function, found in by_function.items():
        largest = max(case[2] for case in found)
        print(f"{function}: {len(found)} differ, by up to {largest:.1e}")
        among = compared[function]
        words = Counter(word for name, drawn, *_ in found for word in _words(name, drawn))
        most = sorted(words, key=lambda word: (-words[word] / among[word], -words[word]))
        print("  " + ", ".join(f"{word} {words[word]}/{among[word]}" for word in most[:16]))
        found.sort(key=lambda case: -case[2])
        for name, drawn, _, what in found if verbose else found[:lines]:
            print(f"    {name} ({drawn}): {what}")
        if len(found) > lines and not verbose:
            print(f"    ... and {len(found) - lines} more (--verbose)")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.bits", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("file")
    parser.add_argument("--only", default="", help="the cases whose name holds this")
    parser.add_argument("--verbose", action="store_true", help="every case that differs")
    chosen = parser.parse_args(arguments)
    start = time.monotonic()
    if chosen.action == "compare":
        status = compare(chosen.file, chosen.only, chosen.verbose)
    else:
        index = record(chosen.file, chosen.only)
        raised = Counter(entry[1] for entry in index.values() if isinstance(entry[1], str))
        print(f"{len(index)} cases on {_numpy.isa()}, raised: {dict(raised) or 'none'}")
        status = False
    print(f"{time.monotonic() - start:.0f} s")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())

"""Every public function in a few ways: the table over which the tests of what surrounds it run.

XLA, graphs, gradients, NumPy, errors, weights, saved models, threads, instruction sets and
determinism are tested once for all functions, by this table. A new function, option or metric
has its lines here, and what is its own (formulas, edge cases) in the test of its family.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

try:
    import tensorflow as tf
except ImportError:  # the functions on NumPy and GPU arrays are tested without, too
    tf = None

from tests import inputs
from tf_pairwise import numpy as tpn

# Large enough for several tiles, so that work is shared out among threads.
N, M, D, CLASSES = 130, 150, 20, 13

_SOFTMAX = ("none", "sum", "mean")
REDUCTIONS = {
    "triplet_loss": inputs.REDUCTIONS,
    "contrastive_loss": inputs.REDUCTIONS,
    "batch_triplet_loss": inputs.REDUCTIONS,
    "batch_contrastive_loss": (*inputs.REDUCTIONS, "balanced_mean"),
    "info_nce_loss": _SOFTMAX,
    "supervised_contrastive_loss": _SOFTMAX,
    "nt_xent_loss": _SOFTMAX,
    "sigmoid_contrastive_loss": _SOFTMAX,
    "pairwise_ranking_loss": inputs.REDUCTIONS,
    "list_ranking_loss": (*inputs.REDUCTIONS, "mean_lists"),
}


@dataclass(frozen=True)
class Call:
    """A call of a public function, by the names of its arguments.

    Attributes:
      points: the arguments that have a gradient, in the order in which NumPy gives theirs.
      options: the other arguments.
      op: the op that it makes use of, without the namespace.
      rows: the arguments with an entry for each row of the result.
      own: those of the points that no other row reads.
      differentiable: whether there is a gradient at all.
    """

    name: str
    function: str
    points: Mapping[str, np.ndarray]
    options: Mapping[str, object]
    op: str
    rows: tuple[str, ...]
    own: tuple[str, ...] = ()
    differentiable: bool = True

    def __call__(self, api, *points, **changed):
        """Of tf_pairwise or its reference; what is ragged comes back as its values."""
        named = dict(zip(self.points, points, strict=True))
        arguments = {**self.options, **named, **changed}
        splits = arguments.pop("row_splits", None)
        if splits is not None:
            for name in ("scores", "relevance", "item_weight", "mask"):
                if arguments.get(name) is not None:
                    arguments[name] = tf.RaggedTensor.from_row_splits(
                        arguments[name], splits, validate=False
                    )
        value = getattr(api, self.function)(**arguments)
        return value.values if isinstance(value, tf.RaggedTensor) else value

    def tensors(self, dtype) -> list[tf.Tensor]:
        """The points in a dtype; parameters in that of the loss."""
        wide = tf.float64 if dtype == "float64" else tf.float32
        return [
            tf.cast(tf.constant(x, tf.float64), dtype if np.ndim(x) else wide)
            for x in self.points.values()
        ]

    def arrays(self, dtype) -> list:
        """The same for NumPy, where parameters are Python numbers."""
        numpy_dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        return [
            x.astype(np.float64).astype(numpy_dtype) if np.ndim(x) else float(x)
            for x in self.points.values()
        ]

    @property
    def arguments(self) -> dict:
        return {**self.points, **self.options}

    @property
    def reduction(self) -> str | None:
        """None of what is no loss."""
        return self.options.get("reduction", "mean") if self.function in REDUCTIONS else None

    @property
    def reduced(self) -> bool:
        """Whether it gives a scalar."""
        return self.reduction not in (None, "none")

    @property
    def weight(self) -> str | None:
        """The name of the argument for the weights."""
        if self.function not in REDUCTIONS:
            return None
        return "item_weight" if self.function == "list_ranking_loss" else "sample_weight"

    @property
    def weights_shape(self) -> tuple:
        """One for each score of a ranking, else for each row of the first points."""
        shape = np.shape(next(iter(self.points.values())))
        return shape if "ranking" in self.function else shape[:1]

    def take(self, index) -> Call:
        """The call of some rows."""
        rows = {*self.rows, self.weight} & self.arguments.keys()
        points, options = (
            {name: value[index] if name in rows else value for name, value in arguments.items()}
            for arguments in (self.points, self.options)
        )
        return Call(**{**vars(self), "points": points, "options": options})

    def upstream(self, value):
        """The gradient of what comes after it: of distances anything, of losses their sum."""
        if self.function in REDUCTIONS:
            return None
        numbers = tf.range(tf.size(value)) * 37 % 101 - 50
        return tf.reshape(tf.cast(numbers, value.dtype) / 64, tf.shape(value))


def _upstream(shape):
    """The same for NumPy; exact in a half."""
    return (np.arange(np.prod(shape, dtype=int)) * 37 % 101 - 50).reshape(shape) / 64


def run(api, call, points, **changed) -> list[tf.Tensor]:
    """All that a call gives: its values, and the gradients of their sum, if it has any."""
    if not call.differentiable:
        return tf.nest.flatten(call(api, *points, **changed))
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = call(api, *points, **changed)
    gradients = tape.gradient(value, points, call.upstream(value))
    return [value, *map(tf.convert_to_tensor, gradients)]


def numpy_steps(call, arrays, **changed) -> list[tuple[str, dict]]:
    """The NumPy functions that give the same, with their arguments."""
    arguments = {**call.options, **dict(zip(call.points, arrays, strict=True)), **changed}
    if call.function in REDUCTIONS:
        arguments["with_gradient"] = True
    steps = [(call.function, arguments)]
    if call.differentiable and call.function not in REDUCTIONS:
        x, y = arguments["x"], arguments.get("y")
        columns = () if call.function == "paired_distance" else (x if y is None else y).shape[-2:-1]
        upstream = _upstream((*x.shape[:-1], *columns)).astype(x.dtype)
        gradient = {"y": None, **arguments, "upstream": upstream}
        steps.append((f"{call.function}_gradient", gradient))
    return steps


def run_numpy(call, arrays, threads=None, **changed) -> list[np.ndarray]:
    """The same of the NumPy functions."""
    return flat(
        [
            getattr(tpn, function)(**arguments, threads=threads)
            for function, arguments in numpy_steps(call, arrays, **changed)
        ]
    )


def flat(made) -> list:
    """The arrays of nested lists and tuples."""
    if not isinstance(made, list | tuple):
        return [made]
    return [array for part in made for array in flat(part)]


def run_squared(api, call, points) -> list[tf.Tensor]:
    """A call's value, and the gradients of the sum of its squares."""
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = call(api, *points)
        total = tf.reduce_sum(tf.square(value))
    return [value, *tape.gradient(total, points)]


# ---- the table ----


def data(n=N, m=M, d=D, classes=CLASSES, lists=6, length=21):
    """The inputs that the calls share."""
    x, y, z = (inputs.points(n, d, seed=seed, scale=d**-0.5) for seed in range(3))
    anchors, anchor_labels, refs, ref_labels, offset = inputs.references(n, m, d, classes)
    scores = inputs.points(lists, length)
    relevance = inputs.labels(lists * length, 5).reshape(lists, length) - 1
    return types.SimpleNamespace(
        **dict(x=x, y=y, z=z, labels=inputs.labels(n, classes), weights=inputs.weights(n)),
        **dict(anchors=anchors, anchor_labels=anchor_labels, refs=refs, offset=offset),
        **dict(ref_labels=ref_labels, scores=scores, relevance=relevance.astype(np.float32)),
        item_weights=inputs.weights(lists * length, seed=1).reshape(lists, length),
        splits=np.array([0, 3, 3, length * 2, lists * length], np.int64),
    )


def _distances(of):
    for metric in inputs.METRICS:
        points = dict(x=of.x, y=of.y[:-9])
        name, options = f"pairwise_distance {metric}", dict(metric=metric)
        yield Call(name, "pairwise_distance", points, options, "PairwiseDistance", ("x",))
        points = dict(x=of.x, y=of.y)
        name = f"paired_distance {metric}"
        yield Call(name, "paired_distance", points, options, "PairedDistance", ("x", "y"))
    points = dict(x=of.x[: len(of.x) // 2 * 2].reshape(2, -1, of.x.shape[1]))
    name = "pairwise_distance itself"
    yield Call(name, "pairwise_distance", points, {}, "PairwiseDistance", ("x",))


def _given(of):
    """Losses of pairs and triplets that are given."""
    triplets = dict(anchors=of.x, positives=of.y, negatives=of.z)
    pairs = dict(x1=of.x, x2=of.y)
    for reduction in inputs.REDUCTIONS:
        weighted = dict(sample_weight=of.weights, reduction=reduction)
        options = dict(margin=0.4, swap=True, **weighted)
        name = f"triplet_loss {reduction}"
        yield Call(name, "triplet_loss", triplets, options, "TripletLoss", *[tuple(triplets)] * 2)
        options = dict(labels=of.labels % 2, margin=1.2, **weighted)
        name = f"contrastive_loss {reduction}"
        rows = (*pairs, "labels")
        yield Call(name, "contrastive_loss", pairs, options, "ContrastiveLoss", rows, tuple(pairs))
    options = dict(margin=None, metric="cosine")
    name = "triplet_loss soft"
    yield Call(name, "triplet_loss", triplets, options, "TripletLoss", *[tuple(triplets)] * 2)


def _labelled(of):
    """What takes a labelled batch: against itself, and against references."""
    itself = dict(embeddings=of.anchors), dict(labels=of.anchor_labels)
    points = dict(embeddings=of.anchors, ref_embeddings=of.refs)
    options = dict(
        labels=of.anchor_labels[:, None], ref_labels=of.ref_labels, self_offset=of.offset
    )
    rows = ("embeddings", "labels")
    weighted = dict(sample_weight=of.weights)

    def call(name, op, references=False, **more):
        function = name.split()[0]
        own = ("embeddings",) if references else ()
        where, base = (points, options) if references else itself
        if function in ("supervised_contrastive_loss", "nt_xent_loss"):
            where = {**where, "temperature": np.float32(0.3)}
        mined = function == "mine_triplets"
        return Call(name, function, where, {**base, **more}, op, rows, own, not mined)

    for mining in inputs.MININGS:
        batch = dict(margin=0.2, mining=mining)
        yield call(f"batch_triplet_loss {mining}", "BatchTripletLoss", **batch)
        yield call(f"mine_triplets {mining}", "MineTriplets", **batch)
    yield call("mine_triplets references", "MineTriplets", True, metric="manhattan")
    soft = dict(margin=None, mining="all", metric="squared_euclidean", **weighted)
    yield call("batch_triplet_loss soft", "BatchTripletLoss", **soft)
    for reduction in ("none", "mean_nonzero"):
        more = dict(reduction=reduction, **weighted)
        for name, op in (
            ("batch_triplet_loss", "BatchTripletLoss"),
            ("batch_contrastive_loss", "BatchContrastiveLoss"),
        ):
            yield call(f"{name} references {reduction}", op, True, **more)
    balanced = dict(reduction="balanced_mean", positive_margin=0.3)
    yield call("batch_contrastive_loss balanced", "BatchContrastiveLoss", **balanced)
    linear = dict(squared=False, metric="cosine", margin=0.9)
    yield call("batch_contrastive_loss linear", "BatchContrastiveLoss", **linear)
    for name in ("supervised_contrastive_loss", "nt_xent_loss"):
        yield call(name, "SoftmaxLoss")
        yield call(f"{name} references", "SoftmaxLoss", True, **weighted)
        yield call(f"{name} none", "SoftmaxLoss", normalize=False, reduction="none", **weighted)


def _two_sided(of):
    """Queries and keys."""
    temperature = dict(temperature=np.float32(0.3))
    logit = dict(scale=np.float32(3), bias=np.float32(-1))
    pairs, queue = dict(queries=of.x, keys=of.y), dict(queries=of.anchors, keys=of.refs)
    keys = dict(positive_offset=of.offset, sample_weight=of.weights)

    def call(name, points, parameters, rows, own=(), **options):
        function = name.split()[0]
        return Call(name, function, {**points, **parameters}, options, "SoftmaxLoss", rows, own)

    both, query = ("queries", "keys"), ("queries",)
    yield call("info_nce_loss", pairs, temperature, both, query)
    yield call("info_nce_loss symmetric", pairs, temperature, both, symmetric=True)
    yield call("sigmoid_contrastive_loss", pairs, logit, both, query)
    for name, parameters in (("info_nce_loss", temperature), ("sigmoid_contrastive_loss", logit)):
        for reduction in ("none", "mean"):
            more = dict(reduction=reduction, normalize=reduction == "mean", **keys)
            yield call(f"{name} keys {reduction}", queue, parameters, query, query, **more)


def _ranking(of):
    pairs = dict(scores_pos=of.scores, scores_neg=of.scores[::-1].copy())
    for loss, reduction in (("hinge", "mean"), ("logistic", "none"), ("soft_zero_one", "sum")):
        options = dict(loss=loss, reduction=reduction, sample_weight=of.item_weights)
        name, op = f"pairwise_ranking_loss {loss} {reduction}", "PairwiseRankingLoss"
        yield Call(name, "pairwise_ranking_loss", pairs, options, op, *[tuple(pairs)] * 2)
    name, op = "list_ranking_loss", "ListRankingLoss"
    rows = ("scores", "relevance", "mask")
    points = dict(scores=of.scores)
    lists = dict(relevance=of.relevance, mask=of.scores > -1.5)
    for loss in ("logistic", "hinge", "soft_zero_one", "mse"):
        for reduction in ("none", "mean"):
            options = dict(loss=loss, reduction=reduction, **lists)
            yield Call(f"{name} {loss} {reduction}", name, points, options, op, rows, ("scores",))
    for loss, weight in (("logistic", "dcg"), ("hinge", "ndcg"), ("soft_zero_one", "label_diff")):
        options = dict(loss=loss, lambda_weight=weight, reduction="mean_lists", **lists)
        options |= dict(item_weight=of.item_weights)
        options |= {} if weight == "label_diff" else dict(topn=4)
        yield Call(f"{name} {loss} {weight}", name, points, options, op, rows, ("scores",))
    points = dict(scores=of.scores.reshape(-1))
    options = dict(relevance=of.relevance.reshape(-1), row_splits=of.splits, topn=5)
    options |= dict(lambda_weight="ndcg", item_weight=of.item_weights.reshape(-1))
    yield Call(f"{name} ragged", name, points, options, op, ())


def _neighbors(of):
    name, op = "nearest_neighbors", "NearestNeighbors"
    itself = dict(k=4, query_labels=of.labels, only="other_label", metric="cosine")
    rows = ("queries", "query_labels")
    yield Call(f"{name} itself", name, dict(queries=of.x), itself, op, rows, (), False)
    points = dict(queries=of.anchors, keys=of.refs)
    yield Call(f"{name} keys", name, points, dict(k=17), op, ("queries",), (), False)


def table(**sizes) -> dict[str, Call]:
    """All calls, with inputs of the given sizes."""
    of = data(**sizes)
    families = (_distances, _given, _labelled, _two_sided, _ranking, _neighbors)
    return {call.name: call for family in families for call in family(of)}


CALLS = table()
FUNCTIONS = sorted({call.function for call in CALLS.values()})


def compiles(call) -> bool:
    """Whether XLA does: how many triplets are mined, it would not know."""
    return call.function != "mine_triplets"


def one_of_each(which=lambda call: True) -> dict[str, Call]:
    """The first call of each function, and of each set of points that it is given as."""
    found = {}
    for call in filter(which, CALLS.values()):
        kind = {"references", "keys", "itself", "ragged"} & set(call.name.split())
        found.setdefault((call.function, *kind), call)
    return {call.name: call for call in found.values()}

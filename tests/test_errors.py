"""Bad arguments of all functions: an error that says `argument: got ..., expected ...`.

Of a Python value it is a ValueError or a TypeError; of shapes an InvalidArgumentError, and while a
graph is traced with static shapes, or of NumPy, a ValueError. Nothing is computed.
"""

import inspect
import re

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, inputs
from tf_pairwise import numpy as tpn

N, M, D, B, L = 6, 9, 4, 2, 3


def f32(*shape):
    return np.zeros(shape, np.float32)


def i32(*shape):
    return np.zeros(shape, np.int32)


def required(call):
    """The arguments of a call without any option, of zeros."""
    parameters = inspect.signature(getattr(tpw, call.function)).parameters.values()
    named = {p.name: call.arguments[p.name] for p in parameters if p.default is p.empty}
    return {
        name: value if name in ("scale", "bias") else np.zeros_like(value)
        for name, value in named.items()
    }


# Arguments of a call that is well, all by name; each case replaces some of them.
_SMALL = calls.table(n=N, m=M, d=D, classes=3, lists=B, length=L)
GOOD = {}
for _call in _SMALL.values():
    GOOD.setdefault(_call.function, required(_call))
GOOD["pairwise_distance"] = dict(x=f32(N, D), y=f32(M, D))
REFS = dict(ref_embeddings=f32(M, D), ref_labels=i32(M))
KEYS = dict(keys=f32(M, D), query_labels=i32(N), key_labels=i32(M), only="same_label")

LABELLED = tuple(name for name in GOOD if "embeddings" in GOOD[name])
TWO_SIDED = ("info_nce_loss", "sigmoid_contrastive_loss")
SOFTMAX = (*TWO_SIDED, "supervised_contrastive_loss", "nt_xent_loss")
BATCH = ("batch_triplet_loss", "batch_contrastive_loss")
MINED = ("batch_triplet_loss", "mine_triplets")
TEMPERATURE = ("info_nce_loss", "supervised_contrastive_loss", "nt_xent_loss")
RANKING = ("pairwise_ranking_loss", "list_ranking_loss")
HINGES = ("triplet_loss", "contrastive_loss", *BATCH, "mine_triplets")
METRICS = ("pairwise_distance", "paired_distance", "nearest_neighbors", *HINGES)
LOSSES = tuple(calls.REDUCTIONS)


def cases(*rows):
    """(functions, argument, its bad values[, what else is changed]) -> one case for each value."""
    found = []
    for functions, argument, values, *more in rows:
        for function in (functions,) if isinstance(functions, str) else functions:
            changed = dict(*more)
            found += [(function, argument, changed | {argument: value}) for value in values]

    def show(value):
        shape = str(np.shape(value)).replace(" ", "")
        return f"{value.dtype}{shape}" if isinstance(value, np.ndarray) else repr(value)

    ids = [
        f"{function}-{','.join(f'{k}={show(v)}' for k, v in changed.items())}"
        for function, _, changed in found
    ]
    assert len(set(ids)) == len(ids)
    return pytest.mark.parametrize("name, argument, changed", found, ids=ids)


def shapes(make, *of):
    return [make(*shape) for shape in of]


POINTS = shapes(f32, (D,), (1, N, D), ())
LIKE_POINTS = shapes(f32, (N, D + 1), (N + 1, D), (1, D), (N * D,))
LABELS = shapes(i32, (N + 1,), (N, 2), (1, N), (), (0,))
WEIGHTS = shapes(f32, (N + 1,), (1,), (), (N, N))
SCORES = shapes(f32, (L,), (B, L, 1))

bad_shapes = cases(
    ("pairwise_distance", "x", shapes(f32, (D,), ())),
    ("pairwise_distance", "x", shapes(f32, (D,)), dict(y=None)),
    ("pairwise_distance", "y", shapes(f32, (D,), (M, D + 1), (1, M, D))),
    ("pairwise_distance", "y", shapes(f32, (3, M, D), (1, M, D), (M, D)), dict(x=f32(2, N, D))),
    ("paired_distance", "x", [f32()], dict(y=f32())),
    ("paired_distance", "y", [*LIKE_POINTS, f32(D)]),
    ("triplet_loss", "anchors", POINTS),
    ("triplet_loss", "positives", LIKE_POINTS),
    ("triplet_loss", "negatives", LIKE_POINTS),
    ("contrastive_loss", "x1", POINTS),
    ("contrastive_loss", "x2", LIKE_POINTS),
    ("contrastive_loss", "labels", LABELS),
    (LABELLED, "embeddings", POINTS),
    (LABELLED, "labels", LABELS),
    (LABELLED, "ref_embeddings", shapes(f32, (M, D + 1), (D,)), REFS),
    (LABELLED, "ref_labels", shapes(i32, (N,), (M, 2)), REFS),
    (TWO_SIDED, "queries", POINTS),
    (TWO_SIDED, "keys", shapes(f32, (N, D + 1), (N - 1, D), (M, D + 1), (1, D), (D,))),
    ("info_nce_loss", "keys", [f32(M, D)], dict(symmetric=True)),
    ("nearest_neighbors", "queries", shapes(f32, (D,), (1, N, D))),
    ("nearest_neighbors", "keys", shapes(f32, (M, D + 1), (D,), (1, M, D))),
    ("nearest_neighbors", "query_labels", LABELS, KEYS),
    ("nearest_neighbors", "key_labels", shapes(i32, (M + 1,), (M, 2), (1, M)), KEYS),
    ([name for name in LOSSES if name not in RANKING], "sample_weight", WEIGHTS),
    (BATCH + SOFTMAX[2:], "sample_weight", [f32(M)], REFS),
    (TWO_SIDED, "sample_weight", [f32(M)], dict(keys=f32(M, D))),
    ("pairwise_ranking_loss", "scores_neg", shapes(f32, (L, B), (B, 1), (B * L,))),
    ("pairwise_ranking_loss", "sample_weight", shapes(f32, (B,), (1, L), ())),
    ("list_ranking_loss", "scores", SCORES),
    ("list_ranking_loss", "relevance", shapes(i32, (B, L - 1), (L,), (L, B), (1, L))),
    ("list_ranking_loss", "item_weight", shapes(f32, (B,), (B, 1), ())),
    ("list_ranking_loss", "mask", [np.ones((B, 1), bool), np.ones(L, bool)]),
)

STRINGS = np.array(["a"] * N)
INTEGERS = [i32(N, D), np.zeros((N, D), np.complex64), np.zeros((N, D), bool)]
FLOATS = [f32(N).astype(np.float64), f32(N).astype(np.float16)]

bad_types = cases(
    ("pairwise_distance", "x", INTEGERS),
    ("pairwise_distance", "x", [i32(N, D)], dict(y=None)),
    ("paired_distance", "x", INTEGERS),
    (("pairwise_distance", "paired_distance"), "y", [f32(N, D).astype(np.float64)]),
    ("triplet_loss", "anchors", INTEGERS),
    ("triplet_loss", "positives", [f32(N, D).astype(np.float16)]),
    ("triplet_loss", "negatives", [f32(N, D).astype(np.float64), i32(N, D)]),
    ("contrastive_loss", "x1", INTEGERS),
    ("contrastive_loss", "x2", [f32(N, D).astype(np.float64), i32(N, D)]),
    ("contrastive_loss", "labels", [STRINGS]),
    ("contrastive_loss", "similar_label", [0.5, None, "0"]),
    (LABELLED, "embeddings", INTEGERS),
    (LABELLED, "labels", [*FLOATS, STRINGS, np.zeros(N, bool)]),
    (LABELLED, "ref_embeddings", [f32(M, D).astype(np.float64), i32(M, D)], REFS),
    (LABELLED, "ref_labels", [f32(M)], REFS),
    (LABELLED, "self_offset", [1.0, True, "0"], REFS),
    (TWO_SIDED, "queries", INTEGERS),
    (TWO_SIDED, "keys", [f32(N, D).astype(np.float64), i32(N, D)]),
    (TWO_SIDED, "positive_offset", [1.0, True, None]),
    (TEMPERATURE, "temperature", [None, True, "0.1"]),
    ("sigmoid_contrastive_loss", "scale", [None, True, "1"]),
    ("sigmoid_contrastive_loss", "bias", [None, True, "1"]),
    ("nearest_neighbors", "queries", INTEGERS),
    ("nearest_neighbors", "keys", [f32(M, D).astype(np.float64), i32(M, D)]),
    ("nearest_neighbors", "query_labels", [f32(N), np.zeros(N, bool)], KEYS),
    ("nearest_neighbors", "key_labels", [f32(M)], KEYS),
    ("nearest_neighbors", "k", [2.0, True, None]),
    ("nearest_neighbors", "only", [1], dict(query_labels=i32(N))),
    (HINGES, "margin", ["1", [1.0], True]),
    ("contrastive_loss", "margin", [None]),
    ("batch_contrastive_loss", "margin", [None]),
    ("batch_contrastive_loss", "positive_margin", [None, "1", True]),
    (MINED, "mining", [3, None]),
    (METRICS, "metric", [None, 3]),
    (LOSSES, "reduction", [None, 3]),
    ([name for name in LOSSES if name not in RANKING], "sample_weight", [STRINGS]),
    (
        [name for name in LOSSES if name not in RANKING],
        "sample_weight",
        [np.zeros(N, np.complex64), np.zeros(N, bool)],
    ),
    ("pairwise_ranking_loss", "scores_pos", [i32(B, L)]),
    ("pairwise_ranking_loss", "scores_neg", [f32(B, L).astype(np.float64)]),
    ("pairwise_ranking_loss", "sample_weight", [np.zeros((B, L), np.complex64)]),
    ("list_ranking_loss", "scores", [i32(B, L)]),
    ("list_ranking_loss", "relevance", [np.zeros((B, L), np.complex64)]),
    ("list_ranking_loss", "item_weight", [np.zeros((B, L), np.complex64)]),
    ("list_ranking_loss", "mask", [np.ones((B, L), np.int64), f32(B, L)]),
    ("list_ranking_loss", "topn", [1.5, True, "1"], dict(lambda_weight="ndcg")),
    ("list_ranking_loss", "lambda_weight", [3]),
    (RANKING, "loss", [3, None]),
    (RANKING, "margin", [None, "1", True]),
    (RANKING, "temperature", [None, "1", True]),
)

NOT_FINITE = (np.nan, np.inf, -np.inf)

bad_values = cases(
    (METRICS, "metric", ["euclid", ""]),
    (LOSSES, "reduction", ["average"]),
    (SOFTMAX, "reduction", ["mean_nonzero"]),
    (("contrastive_loss", *MINED[:1]), "reduction", ["balanced_mean"]),
    ("pairwise_ranking_loss", "reduction", ["mean_lists"]),
    (HINGES + RANKING, "margin", [*NOT_FINITE, -0.5]),
    ("batch_contrastive_loss", "positive_margin", NOT_FINITE),
    ("contrastive_loss", "similar_label", [2**63, -(2**63) - 1]),
    (MINED, "mining", ["semihard"]),
    (MINED, "margin", [None], dict(mining="semi_hard_all")),
    (MINED, "margin", [None], dict(mining="hard_all")),
    (LABELLED, "ref_labels", [None], dict(ref_embeddings=f32(M, D))),
    (LABELLED, "ref_embeddings", [None], dict(ref_labels=i32(M))),
    (LABELLED, "self_offset", [0]),
    (LABELLED, "self_offset", [-1, -2], REFS),
    (TWO_SIDED, "positive_offset", [-1]),
    ((*TEMPERATURE, *RANKING), "temperature", [*NOT_FINITE, 0.0, -1]),
    ("sigmoid_contrastive_loss", "scale", NOT_FINITE),
    ("sigmoid_contrastive_loss", "bias", NOT_FINITE),
    ("nearest_neighbors", "k", [0, -1, 2**31]),
    ("nearest_neighbors", "only", ["same"], dict(query_labels=i32(N))),
    ("nearest_neighbors", "query_labels", [None], dict(only="same_label")),
    ("nearest_neighbors", "query_labels", [i32(N)]),
    ("nearest_neighbors", "key_labels", [None], KEYS),
    ("nearest_neighbors", "key_labels", [i32(N)], dict(only="same_label", query_labels=i32(N))),
    (RANKING, "loss", ["mae"]),
    ("pairwise_ranking_loss", "loss", ["mse"]),
    ("list_ranking_loss", "lambda_weight", ["map"]),
    ("list_ranking_loss", "lambda_weight", ["dcg"], dict(loss="mse")),
    ("list_ranking_loss", "topn", [0, -1], dict(lambda_weight="ndcg")),
    ("list_ranking_loss", "topn", [5]),
    ("list_ranking_loss", "topn", [5], dict(lambda_weight="label_diff")),
)

# What an offset or a parameter may be depends on the sizes, or is a tensor's value.
bad_when_it_runs = cases(
    (LABELLED, "self_offset", [np.int64(M - N + 1), np.int64(2**62)], REFS),
    (TWO_SIDED, "positive_offset", [np.int64(1), np.int64(2**62)]),
    (TWO_SIDED, "positive_offset", [np.int64(M - N + 1)], dict(keys=f32(M, D))),
    ("info_nce_loss", "positive_offset", [np.int64(1)], dict(symmetric=True)),
)
bad_tensors = cases(
    (TEMPERATURE, "temperature", [np.float32(x) for x in (*NOT_FINITE, 0.0, -1.0)]),
    (TWO_SIDED, "positive_offset", [np.int64(-1)]),
)
bad_scalars = cases(
    (LABELLED, "self_offset", shapes(i32, (2,), (1,)), REFS),
    (TWO_SIDED, "positive_offset", shapes(i32, (1,))),
    (TEMPERATURE, "temperature", [np.ones(2, np.float32)]),
    ("sigmoid_contrastive_loss", "scale", [np.ones(2, np.float32)]),
    ("sigmoid_contrastive_loss", "bias", [np.ones(1, np.float32)]),
)
bad_types_of_tensors = cases(
    (LABELLED, "self_offset", [f32()], REFS),
    (TWO_SIDED, "positive_offset", [f32()]),
    (TEMPERATURE, "temperature", [np.ones((), np.int32)]),
    ("sigmoid_contrastive_loss", "scale", [np.ones((), np.int32)]),
    ("sigmoid_contrastive_loss", "bias", [np.ones((), np.int64)]),
)


# ---- how they are called ----


def names(argument, came=""):
    return rf"(?s){argument}: got {came}.*, expected "


def shape(value):
    return re.escape("shape [" + ", ".join(map(str, np.shape(value))) + "]")


def is_array(value):
    return isinstance(value, np.ndarray | np.generic)


def eager(name, arguments):
    getattr(tpw, name)(**{k: tf.constant(v) if is_array(v) else v for k, v in arguments.items()})


def traced(name, arguments, shape_of=np.shape):
    """A concrete function with static shapes; arrays become tensors, the rest is Python."""
    arrays = {k: v for k, v in arguments.items() if is_array(v)}
    rest = {k: v for k, v in arguments.items() if k not in arrays}
    signature = [tf.TensorSpec(shape_of(v), tf.as_dtype(v.dtype)) for v in arrays.values()]

    @tf.function(input_signature=signature, autograph=False)
    def call(*values):
        return getattr(tpw, name)(**dict(zip(arrays, values, strict=True)), **rest)

    return call.get_concrete_function()


def run_traced(name, arguments):
    """Where no shape is known before it runs."""
    function = traced(name, arguments, lambda _: None)
    function(*[tf.constant(v) for v in arguments.values() if is_array(v)])


def with_numpy(name, arguments):
    getattr(tpn, name)(**arguments)


INVALID = tf.errors.InvalidArgumentError


@pytest.mark.parametrize("name", GOOD)
def test_the_good_calls_are_good(name):
    more = {"nearest_neighbors": KEYS} | dict.fromkeys(LABELLED, REFS | dict(self_offset=0))
    for arguments in (GOOD[name], GOOD[name] | more.get(name, {})):
        for call in (eager, traced, run_traced, with_numpy):
            if call is not with_numpy or "temperature" not in arguments:
                call(name, arguments)


@bad_shapes
def test_bad_shapes(name, argument, changed):
    arguments = GOOD[name] | changed
    message = names(argument, shape(changed[argument]))
    for call, error in (
        *((eager, INVALID), (traced, ValueError), (run_traced, INVALID)),
        (with_numpy, ValueError),
    ):
        with pytest.raises(error, match=message):
            call(name, arguments)


def raises(error, calls_, name, argument, changed, came=""):
    for call in calls_:
        with pytest.raises(error, match=names(argument, came)):
            call(name, GOOD[name] | changed)


@bad_types
def test_bad_types(name, argument, changed):
    raises(TypeError, (eager, traced, with_numpy), name, argument, changed)
    with pytest.raises(TypeError, match=names(argument)):  # of arrays that are not tensors yet
        getattr(tpw, name)(**GOOD[name] | changed)


@bad_values
def test_bad_values(name, argument, changed):
    raises(ValueError, (eager, traced, with_numpy), name, argument, changed)


@bad_when_it_runs
def test_bad_when_it_runs(name, argument, changed):
    came = "" if argument == "self_offset" else str(changed[argument])
    raises(INVALID, (eager, run_traced), name, argument, changed, came)
    raises(ValueError, (with_numpy,), name, argument, changed, came)


@bad_tensors
def test_bad_values_of_tensors(name, argument, changed):
    raises(INVALID, (eager, run_traced), name, argument, changed)


@bad_scalars
def test_scalars_that_are_none(name, argument, changed):
    raises(INVALID, (eager, run_traced), name, argument, changed, shape(changed[argument]))


@bad_types_of_tensors
def test_types_of_tensors(name, argument, changed):
    raises(TypeError, (eager, traced), name, argument, changed, changed[argument].dtype.name)


@pytest.mark.parametrize("name", GOOD)
def test_unknown_arguments_are_python_errors(name):
    for api in (tpw, tpn):
        with pytest.raises(TypeError, match="no_such_argument"):
            getattr(api, name)(**GOOD[name], no_such_argument=True)


# ---- gradients ----

DIFFERENTIABLE = calls.one_of_each(lambda call: call.differentiable and call.rows)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_bad_upstream_gradient_is_an_error(name):
    """Of a graph that is asked for nothing but the gradient; the good one has the points' shape."""
    call = _SMALL[name]
    points = call.tensors("float32")
    changed = {} if call.reduction is None else dict(reduction="none")
    value = call(tpw, *points, **changed)

    @tf.function(
        input_signature=[tf.TensorSpec(None, value.dtype)] + [tf.TensorSpec(None)] * len(points),
        autograph=False,
    )
    def gradients(upstream, *points):
        return tf.gradients(call(tpw, *points, **changed), points, upstream)

    for gradient, x in zip(gradients(tf.ones_like(value), *points), points, strict=True):
        assert gradient.shape == x.shape
    for bad in (f32(*value.shape[:-1], value.shape[-1] + 1), f32(*value.shape, 1), f32()):
        with pytest.raises(INVALID, match=names("upstream", shape(bad))):
            gradients(bad, *points)
    with pytest.raises(INVALID, match=names("(" + "|".join(call.points) + ")", "shape")):
        gradients(tf.ones_like(value), f32(1), *points[1:])


# ---- messages in full ----


@pytest.mark.parametrize(
    "name, changed, message",
    [
        (
            "triplet_loss",
            dict(positives=f32(7, D)),
            "[7, 4], expected [n, d] where n = 6 as in anchors",
        ),
        ("paired_distance", dict(y=f32(D)), "[4], expected [..., d]"),
        ("pairwise_distance", dict(x=f32(D)), "[4], expected [..., n, d]"),
        (
            "pairwise_distance",
            dict(y=f32(M, 2)),
            "[9, 2], expected [..., m, d] where ... = [] as in x, d = 4 as in x",
        ),
        (
            "contrastive_loss",
            dict(labels=i32(3)),
            "[3], expected [n] or [n, 1] where n = 6 as in x1",
        ),
        (
            "nt_xent_loss",
            dict(labels=i32(3)),
            "[3], expected [n] or [n, 1] where n = 6 as in embeddings",
        ),
        (
            "contrastive_loss",
            dict(x2=f32(N, 2)),
            "[6, 2], expected [n, d] where n = 6 as in x1, d = 4 as in x1",
        ),
        (
            "info_nce_loss",
            dict(sample_weight=f32(3)),
            "[3], expected [n] where n = 6 as in queries",
        ),
        (
            "nearest_neighbors",
            dict(keys=f32(M, 2)),
            "[9, 2], expected [m, d] where d = 4 as in queries",
        ),
        (
            "nearest_neighbors",
            dict(KEYS, key_labels=i32(3)),
            "[3], expected [m] or [m, 1] where m = 9 as in keys",
        ),
        ("list_ranking_loss", dict(scores=f32(3)), "[3], expected [b, l]"),
    ],
)
def test_messages_of_shapes(name, changed, message):
    argument = list(changed)[0] if len(changed) == 1 else "key_labels"
    for call, error in ((eager, INVALID), (with_numpy, ValueError)):
        with pytest.raises(error, match=re.escape(f"{argument}: got shape {message}")):
            call(name, GOOD[name] | changed)


@pytest.mark.parametrize("name", TWO_SIDED)
def test_keys_may_be_more(name):
    for keys in (f32(3, D), f32(8, 2)):
        message = rf"keys: got {shape(keys)}, expected \[n, d\] where .*queries, or more rows"
        with pytest.raises(INVALID, match=message):
            eager(name, GOOD[name] | dict(keys=keys))
    with pytest.raises(INVALID, match=r"keys: got shape \[8, 4\], expected .*queries(?!, or)"):
        eager("info_nce_loss", GOOD["info_nce_loss"] | dict(keys=f32(8, D), symmetric=True))


def test_messages_of_offsets():
    for call, error in ((eager, INVALID), (with_numpy, ValueError)):
        for name, changed, message in (
            (
                "info_nce_loss",
                dict(positive_offset=1),
                "positive_offset: got 1 with 6 queries and 6 keys, expected 0 to the difference",
            ),
            (
                "info_nce_loss",
                dict(positive_offset=1, symmetric=True),
                "positive_offset: got 1, expected 0, since symmetric is true",
            ),
            (
                "nt_xent_loss",
                dict(REFS, self_offset=4),
                "self_offset: got 4 with 6 anchors and 9 references, expected at most the diff",
            ),
        ):
            with pytest.raises(error, match=message):
                call(name, GOOD[name] | changed)


@pytest.mark.parametrize("name", METRICS)
def test_the_message_lists_the_names(name):
    expected = "metric: got 'l2', expected one of " + ", ".join(inputs.METRICS)
    for call in (eager, with_numpy):
        with pytest.raises(ValueError, match=expected):
            call(name, GOOD[name] | dict(metric="l2"))


@pytest.mark.parametrize("name", LOSSES)
def test_the_message_lists_the_reductions(name):
    expected = "reduction: got 'x', expected one of " + ", ".join(calls.REDUCTIONS[name]) + "$"
    for call in (eager, with_numpy):
        with pytest.raises(ValueError, match=expected):
            call(name, GOOD[name] | dict(reduction="x"))

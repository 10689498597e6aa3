"""Bad arguments: an error that names the argument, what came and what was expected.

Of a Python value it is a ValueError or a TypeError; of shapes an InvalidArgumentError, and while
a graph is traced with static shapes a ValueError.
"""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import inputs

N, M, D = 6, 9, 4


def f32(*shape):
    return np.zeros(shape, np.float32)


def i32(*shape):
    return np.zeros(shape, np.int32)


# Arguments of a call that is well, all by name; each case replaces some of them.
GOOD = {
    "pairwise_distance": dict(x=f32(N, D), y=f32(M, D)),
    "paired_distance": dict(x=f32(N, D), y=f32(N, D)),
    "triplet_loss": dict(anchors=f32(N, D), positives=f32(N, D), negatives=f32(N, D)),
    "batch_triplet_loss": dict(embeddings=f32(N, D), labels=i32(N)),
    "mine_triplets": dict(embeddings=f32(N, D), labels=i32(N)),
}
REFS = dict(ref_embeddings=f32(M, D), ref_labels=i32(M))

# (functions, arguments, the argument that the message names)
BAD_SHAPES = [
    ("pairwise_distance", dict(x=f32(D)), "x"),
    ("pairwise_distance", dict(x=f32()), "x"),
    ("pairwise_distance", dict(x=f32(D), y=None), "x"),
    ("pairwise_distance", dict(y=f32(D)), "y"),
    ("pairwise_distance", dict(y=f32(M, D + 1)), "y"),
    ("pairwise_distance", dict(y=f32(1, M, D)), "y"),
    ("pairwise_distance", dict(x=f32(2, N, D), y=f32(3, M, D)), "y"),
    ("pairwise_distance", dict(x=f32(2, N, D), y=f32(1, M, D)), "y"),
    ("pairwise_distance", dict(x=f32(2, N, D), y=f32(M, D)), "y"),
    ("paired_distance", dict(x=f32(), y=f32()), "x"),
    ("paired_distance", dict(y=f32(M, D)), "y"),
    ("paired_distance", dict(y=f32(1, D)), "y"),
    ("paired_distance", dict(y=f32(N, D + 1)), "y"),
    ("paired_distance", dict(y=f32(D)), "y"),
    ("triplet_loss", dict(anchors=f32(D)), "anchors"),
    ("triplet_loss", dict(anchors=f32(1, N, D)), "anchors"),
    ("triplet_loss", dict(positives=f32(N, D + 1)), "positives"),
    ("triplet_loss", dict(positives=f32(N + 1, D)), "positives"),
    ("triplet_loss", dict(positives=f32(1, D)), "positives"),
    ("triplet_loss", dict(negatives=f32(N, D + 1)), "negatives"),
    ("triplet_loss", dict(negatives=f32(M, D)), "negatives"),
    ("triplet_loss", dict(negatives=f32(N * D)), "negatives"),
    ("triplet_loss", dict(sample_weight=f32(N + 1)), "sample_weight"),
    ("triplet_loss", dict(sample_weight=f32(1)), "sample_weight"),
    ("triplet_loss", dict(sample_weight=f32()), "sample_weight"),
    ("batch_triplet_loss", dict(sample_weight=f32(N + 1)), "sample_weight"),
    ("batch_triplet_loss", dict(sample_weight=f32(N, N)), "sample_weight"),
    ("batch_triplet_loss", dict(sample_weight=f32(M), **REFS), "sample_weight"),
]
for batch in ("batch_triplet_loss", "mine_triplets"):
    BAD_SHAPES += [
        (batch, dict(embeddings=f32(D)), "embeddings"),
        (batch, dict(embeddings=f32(1, N, D)), "embeddings"),
        (batch, dict(labels=i32(N + 1)), "labels"),
        (batch, dict(labels=i32(N, 2)), "labels"),
        (batch, dict(labels=i32(1, N)), "labels"),
        (batch, dict(labels=i32()), "labels"),
        (batch, dict(labels=i32(0)), "labels"),
        (batch, REFS | dict(ref_embeddings=f32(M, D + 1)), "ref_embeddings"),
        (batch, REFS | dict(ref_embeddings=f32(D)), "ref_embeddings"),
        (batch, REFS | dict(ref_labels=i32(N)), "ref_labels"),
        (batch, REFS | dict(ref_labels=i32(M, 2)), "ref_labels"),
        (batch, REFS | dict(self_offset=np.zeros(2, np.int64)), "self_offset"),
    ]

BAD_TYPES = [
    ("pairwise_distance", dict(x=i32(N, D)), "x"),
    ("pairwise_distance", dict(x=i32(N, D), y=None), "x"),
    ("pairwise_distance", dict(x=np.zeros((N, D), np.complex64)), "x"),
    ("pairwise_distance", dict(y=f32(M, D).astype(np.float64)), "y"),
    ("paired_distance", dict(x=np.zeros((N, D), bool)), "x"),
    ("paired_distance", dict(y=f32(N, D).astype(np.float16)), "y"),
    ("triplet_loss", dict(anchors=i32(N, D)), "anchors"),
    ("triplet_loss", dict(positives=f32(N, D).astype(np.float64)), "positives"),
    ("triplet_loss", dict(negatives=i32(N, D)), "negatives"),
    ("triplet_loss", dict(sample_weight=np.array(["a"] * N)), "sample_weight"),
    ("triplet_loss", dict(sample_weight=np.zeros(N, np.complex64)), "sample_weight"),
    ("triplet_loss", dict(margin="1"), "margin"),
    ("batch_triplet_loss", dict(sample_weight=np.zeros(N, np.complex64)), "sample_weight"),
    ("batch_triplet_loss", dict(sample_weight=np.zeros(N, bool)), "sample_weight"),
    ("batch_triplet_loss", dict(reduction=None), "reduction"),
]
for batch in ("batch_triplet_loss", "mine_triplets"):
    BAD_TYPES += [
        (batch, dict(embeddings=i32(N, D)), "embeddings"),
        (batch, dict(labels=f32(N)), "labels"),
        (batch, dict(labels=np.array(["a"] * N)), "labels"),
        (batch, dict(labels=np.zeros(N, bool)), "labels"),
        (batch, REFS | dict(ref_embeddings=f32(M, D).astype(np.float64)), "ref_embeddings"),
        (batch, REFS | dict(ref_labels=f32(M)), "ref_labels"),
        (batch, REFS | dict(self_offset=1.0), "self_offset"),
        (batch, REFS | dict(self_offset=f32()), "self_offset"),
        (batch, dict(margin="1"), "margin"),
        (batch, dict(margin=[1.0]), "margin"),
        (batch, dict(margin=True), "margin"),
        (batch, dict(mining=3), "mining"),
        (batch, dict(metric=None), "metric"),
    ]

BAD_VALUES = [(name, dict(metric="euclid"), "metric") for name in GOOD]
for loss in ("triplet_loss", "batch_triplet_loss"):
    BAD_VALUES += [(loss, dict(reduction="average"), "reduction")]
for loss in ("triplet_loss", "batch_triplet_loss", "mine_triplets"):
    BAD_VALUES += [(loss, dict(margin=m), "margin") for m in (np.nan, np.inf, -np.inf, -0.5)]
for batch in ("batch_triplet_loss", "mine_triplets"):
    BAD_VALUES += [
        (batch, dict(mining="semihard"), "mining"),
        (batch, dict(mining="semi_hard_all", margin=None), "margin"),
        (batch, dict(mining="hard_all", margin=None), "margin"),
        (batch, dict(ref_embeddings=f32(M, D)), "ref_labels"),
        (batch, dict(ref_labels=i32(M)), "ref_embeddings"),
        (batch, dict(self_offset=0), "self_offset"),
        (batch, REFS | dict(self_offset=-1), "self_offset"),
    ]


def ids(cases):
    def show(value):
        return str(value.shape).replace(" ", "") if isinstance(value, np.ndarray) else repr(value)

    names = []
    for function, changed, argument in cases:
        values = ",".join(f"{k}={show(v)}" for k, v in changed.items())
        names.append(f"{function}-{argument}-{values}")
    return names


def assert_names(error, argument, *words):
    message = str(error.value)
    assert f"{argument}: " in message, message
    for word in ("got", "expected", *words):
        assert word in message, message


def shape_text(value):
    return "[" + ", ".join(map(str, np.shape(value))) + "]"


def traced(function, arguments):
    """Traces a call with static shapes; arrays become arguments, the rest is Python."""
    arrays = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in arguments.items() if k not in arrays}
    return tf.function(lambda **arrays: function(**arrays, **rest)).get_concrete_function(
        **{k: tf.TensorSpec(v.shape, tf.as_dtype(v.dtype)) for k, v in arrays.items()}
    )


def as_tensors(arguments):
    return {k: tf.constant(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def arguments_of(name, changed):
    return GOOD[name] | changed


@pytest.mark.parametrize("name", GOOD)
def test_the_good_calls_are_good(name):
    function = getattr(tpw, name)
    function(**GOOD[name])
    traced(function, GOOD[name])
    if name in ("batch_triplet_loss", "mine_triplets"):
        function(**GOOD[name], **REFS, self_offset=np.int64(1))


@pytest.mark.parametrize("name,changed,argument", BAD_SHAPES, ids=ids(BAD_SHAPES))
def test_bad_shapes(name, changed, argument):
    function = getattr(tpw, name)
    arguments = arguments_of(name, changed)
    came = shape_text(arguments[argument])
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        function(**as_tensors(arguments))
    assert_names(error, argument, came)
    with pytest.raises(ValueError) as error:
        traced(function, arguments)
    assert_names(error, argument, came)


@pytest.mark.parametrize("name,changed,argument", BAD_SHAPES, ids=ids(BAD_SHAPES))
def test_bad_shapes_that_are_not_known_before(name, changed, argument):
    arguments = arguments_of(name, changed)
    arrays = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in arguments.items() if k not in arrays}
    unknown = [tf.TensorSpec(None, tf.as_dtype(v.dtype)) for v in arrays.values()]

    @tf.function(input_signature=unknown)
    def call(*values):
        return getattr(tpw, name)(**dict(zip(arrays, values, strict=True)), **rest)

    call.get_concrete_function()
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        call(*arrays.values())
    assert_names(error, argument, shape_text(arguments[argument]))


@pytest.mark.parametrize("name,changed,argument", BAD_TYPES, ids=ids(BAD_TYPES))
def test_bad_types(name, changed, argument):
    function = getattr(tpw, name)
    arguments = arguments_of(name, changed)
    for given in (arguments, as_tensors(arguments)):
        with pytest.raises(TypeError) as error:
            function(**given)
        assert_names(error, argument)
    with pytest.raises(TypeError) as error:
        traced(function, arguments)
    assert_names(error, argument)


@pytest.mark.parametrize("name,changed,argument", BAD_VALUES, ids=ids(BAD_VALUES))
def test_bad_values(name, changed, argument):
    function = getattr(tpw, name)
    arguments = arguments_of(name, changed)
    with pytest.raises(ValueError) as error:
        function(**arguments)
    assert_names(error, argument)
    with pytest.raises(ValueError) as error:
        traced(function, arguments)
    assert_names(error, argument)


@pytest.mark.parametrize("name", GOOD)
def test_unknown_arguments_are_python_errors(name):
    with pytest.raises(TypeError):
        getattr(tpw, name)(**GOOD[name], squared=True)


def test_a_message_in_full():
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tpw.triplet_loss(f32(3, 8), f32(4, 8), f32(3, 8))
    assert "positives: got shape [4, 8], expected [n, d]" in str(error.value)
    assert "n = 3 as in anchors" in str(error.value)
    with pytest.raises(ValueError) as error:
        tpw.pairwise_distance(f32(3, 8), metric="l2")
    for metric in inputs.METRICS:
        assert metric in str(error.value)


@pytest.mark.parametrize("wrong", ["labels", "embeddings"])
def test_gradients_of_bad_calls_are_errors_too(wrong):
    x, labels = tf.constant(f32(N, D)), i32(N)
    with tf.GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(tf.errors.InvalidArgumentError):
            tpw.batch_triplet_loss(
                x[None] if wrong == "embeddings" else x, labels[1:] if wrong == "labels" else labels
            )
    assert tape.gradient(x, x) is not None

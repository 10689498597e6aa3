"""Points near the ends of a type's range: values and gradients of all that is made of distances.

What is compared is in the range of the results' type; squares and products on the way need not be.
"""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import checks, inputs
from tf_pairwise import reference

N, D = 40, 16
LABELS = inputs.labels(N, 5)

# Functions of pairs of points, by the distance that they are made of.
OF_PAIRS = {
    "pairwise_distance": lambda api, metric: (
        lambda x, y: tf.linalg.diag_part(api.pairwise_distance(x, y, metric))
    ),
    "paired_distance": lambda api, metric: lambda x, y: api.paired_distance(x, y, metric),
    "triplet_loss": lambda api, metric: (
        lambda x, y: api.triplet_loss(x, y, tf.roll(y, 3, 0), None, metric=metric, reduction="sum")
    ),
    "contrastive_loss": lambda api, metric: (
        lambda x, y: api.contrastive_loss(
            x, y, np.arange(N) % 2, 0.9, metric=metric, reduction="sum"
        )
    ),
    "batch_triplet_loss": lambda api, metric: (
        lambda x, y: api.batch_triplet_loss(
            x, LABELS, 0.4, metric=metric, ref_embeddings=y, ref_labels=LABELS, reduction="sum"
        )
    ),
    "batch_contrastive_loss": lambda api, metric: (
        lambda x, y: api.batch_contrastive_loss(
            x, LABELS, 0.9, metric=metric, ref_embeddings=y, ref_labels=LABELS, reduction="sum"
        )
    ),
}


def points(scale, dtype):
    return [
        (scale * inputs.points(N, D, seed=seed, dtype=np.float64)).astype(dtype) for seed in (1, 2)
    ]


def assert_like_reference(call, args, tolerance=3e-5):
    wide = [np.asarray(x, np.float64) for x in args]
    value, gradients = checks.value_and_gradients(call(reference), wide)
    made, made_gradients = checks.value_and_gradients(call(tpw), args)
    for a, b in zip([made, *made_gradients], [value, *gradients], strict=True):
        assert np.isfinite(b).all()
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a / scale, b / scale, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("function", OF_PAIRS)
@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e-16, 1e16, 1e25, 1e30])
def test_cosine_of_float32(function, scale):
    """A direction has no size, and its gradient is 1 / |x| long."""
    call = OF_PAIRS[function]
    assert_like_reference(lambda api: call(api, "cosine"), points(scale, np.float32))


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
@pytest.mark.parametrize("function", ["pairwise_distance", "paired_distance"])
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_distances_of_float32(function, metric, scale):
    call = OF_PAIRS[function]
    assert_like_reference(lambda api: call(api, metric), points(scale, np.float32))


@pytest.mark.parametrize("metric", inputs.METRICS)
@pytest.mark.parametrize("function", ["contrastive_loss", "batch_contrastive_loss"])
@pytest.mark.parametrize("scale", [1e-100, 1e50, 1e100])
def test_float64_far_from_1(function, metric, scale):
    """Dot products and margins of 1e100, squares of 1e200."""
    power = 2 if metric in ("squared_euclidean", "dot") else 0 if metric == "cosine" else 1
    if power == 2:
        scale = min(max(scale, 1e-70), 1e70)  # a loss is a square
    margin = 2.0 * scale**power * (8.0 if metric != "cosine" else 0.3)

    def call(api):
        if function == "contrastive_loss":
            return lambda x, y: api.contrastive_loss(
                x, y, np.arange(N) % 2, margin, metric=metric, reduction="sum"
            )
        return lambda x, y: api.batch_contrastive_loss(
            *(x, LABELS, margin),
            **dict(metric=metric, ref_embeddings=y, ref_labels=LABELS, reduction="sum"),
        )

    assert_like_reference(call, points(scale, np.float64), 1e-9)


@pytest.mark.parametrize("function", ["pairwise_distance", "paired_distance"])
@pytest.mark.parametrize(
    "metric, scale",
    [("cosine", scale) for scale in (1e-16, 1e-14, 1e12, 1e16)]
    + [("euclidean", scale) for scale in (1e-25, 1e-18, 1e18, 1e20)],
)
@pytest.mark.parametrize("tangents", ["ones", "points"])
def test_second_derivatives_of_float32(function, metric, scale, tangents):
    """Of sum(v * gradient), v of size 1 or of the size of the points."""
    if tangents == "points":
        scale = scale**1.4  # 1 / |x|^2 may be out of range, but not what it is multiplied to
    args = points(scale, np.float32)
    size = 1.0 if tangents == "ones" else scale
    directions = [
        size * inputs.points(N, D, seed=seed).astype(np.float64).astype(np.float32)
        for seed in (3, 4)
    ]

    def second(api, args):
        args = [tf.convert_to_tensor(x) for x in args]
        with tf.GradientTape() as outer:
            outer.watch(args)
            with tf.GradientTape() as tape:
                tape.watch(args)
                value = OF_PAIRS[function](api, metric)(*args)
            first = tape.gradient(value, args)
            along = [
                tf.cast(v, x.dtype) * g for v, x, g in zip(directions, args, first, strict=True)
            ]
            total = tf.add_n([tf.reduce_sum(x) for x in along])
        return [checks.to_float64(g) for g in outer.gradient(total, args)]

    expected = second(reference, [x.astype(np.float64) for x in args])
    for a, b in zip(second(tpw, args), expected, strict=True):
        largest = np.max(np.abs(b))
        assert 1e-37 < largest < 1e38
        np.testing.assert_allclose(a / largest, b / largest, atol=1e-4)


@pytest.mark.parametrize("function", ["pairwise_distance", "paired_distance"])
def test_the_least_euclidean_distance_with_a_gradient(function):
    for distance, slope in ((3e-38, 0.0), (9e-38, 0.0), (2e-37, 1.0)):
        args = [np.float32([[distance, 0.0]]), np.zeros((1, 2), np.float32)]
        value, gradients = checks.value_and_gradients(OF_PAIRS[function](tpw, "euclidean"), args)
        np.testing.assert_allclose(value, [args[0][0, 0]], 1e-5)
        np.testing.assert_allclose(gradients, [[[slope, 0.0]], [[-slope, 0.0]]], 1e-6)


# ---- float16: a gradient is not made of a distance that has been rounded to it ----


def test_a_half_gradient_of_a_distance_past_its_range():
    x = tf.constant([[0.0, 0.0]], tf.float16)
    y = tf.constant([[60000.0, 60000.0]], tf.float16)
    value, gradients = checks.value_and_gradients(lambda x, y: tpw.pairwise_distance(x, y), [x, y])
    assert value == np.inf
    direction = np.float16(0.5**0.5)
    np.testing.assert_array_equal(gradients, [[[-direction] * 2], [[direction] * 2]])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_gradients_are_those_of_given_pairs(metric, dtype):
    scale = 1e-6 if dtype == "float16" else 1e-30  # of which a half has few digits
    x, y = (tf.cast(p, dtype) for p in points(scale if metric == "euclidean" else 1.0, np.float32))
    _, made = checks.value_and_gradients(OF_PAIRS["pairwise_distance"](tpw, metric), [x, y])
    _, given = checks.value_and_gradients(OF_PAIRS["paired_distance"](tpw, metric), [x, y])
    for a, b in zip(made, given, strict=True):
        checks.assert_close(a, b, 2 * checks.STORED_TOLERANCE[dtype])

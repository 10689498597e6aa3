"""The reference in float64, as it stands and with the rounding errors that a kernel may make.

A loss that is not smooth (a hinge at its kink, a mining with two distances that are equal up to
rounding) may rightly come out one way or the other. The reference is run again with noise as
large as the contract allows in every distance, dot product or argument of a ranking formula, and
what then comes out says what is well-defined and how well: no table of tolerances per function.
"""

import contextlib
import functools
import sys
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import tensorflow as tf

from tests.checks import value_and_gradients
from tests.fuzz.draw import DTYPES
from tf_pairwise import reference

# Relative to a distance (DESIGN.md: float32 distances are within 1e-5 of the truth) and to
# |x| |y| for a dot product or similarity, in the type of the computation.
DISTANCE_NOISE = {"float32": 1e-5, "float64": 1e-13}
PRODUCT_NOISE = {"float32": 1e-6, "float64": 1e-14}
# Relative to a coordinate of a normalised point: for gradients alone, in which the parts along
# the point cancel, and as its square for a cosine distance.
UNIT_NOISE = {"float32": 1e-6, "float64": 4e-15}


@dataclass
class Answer:
    """What the reference says."""

    values: list[np.ndarray]
    gradients: list[np.ndarray]
    # The largest number that a formula was of: a distance, or a similarity over the temperature.
    reach: float = 0.0

    @property
    def results(self):
        return [*self.values, *self.gradients]


def computed_in(dtype):
    return "float64" if dtype == "float64" else "float32"


def smallest(dtype):
    return float(ml_dtypes.finfo(DTYPES[dtype]).smallest_normal)


def largest(dtype):
    return float(ml_dtypes.finfo(DTYPES[dtype]).max)


def run(case, noise=None, unit=False):
    """The answer of the reference.

    `noise` is a NumPy generator, for one draw of the rounding errors; with `unit` in normalised
    points too.
    """
    arguments = {name: _exact(value) for name, value in case.for_reference().items()}
    points = [arguments[name] for name in case.differentiable]

    def function(*points):
        return case.call(getattr(reference, case.function), arguments, points)

    most = max((len(x) for x in points if np.ndim(x) > 1), default=0)
    with _rounding(computed_in(case.dtype), noise, unit, most) as reach:
        if case.second is not None:
            answer = Answer(*second(function, points, case))
        elif points:
            value, gradients = value_and_gradients(function, points, case.upstream)
            answer = Answer([value], gradients)
        else:
            values = function()
            values = values if isinstance(values, tuple | list) else [values]
            answer = Answer([np.asarray(v) for v in values], [])
    answer.reach = max(reach, default=0.0)
    if "temperature" in case.arguments:
        answer.reach /= float(case.arguments["temperature"])
    return answer


def second(function, points, case):
    """The gradient of sum(upstream * function), and the gradient of that times `case.second`."""
    points = [tf.convert_to_tensor(x) for x in points]
    with tf.GradientTape() as outer:
        outer.watch(points)
        with tf.GradientTape() as inner:
            inner.watch(points)
            value = function(*points)
            value *= tf.cast(case.upstream, value.dtype)
        first = inner.gradient(value, points)
        directions = [tf.cast(v, g.dtype) for v, g in zip(case.second, first, strict=True)]
        products = [tf.reduce_sum(g * v) for g, v in zip(first, directions, strict=True)]
        product = tf.add_n(products)
    gradients = outer.gradient(product, points, unconnected_gradients="zero")
    return tuple([tf.cast(g, tf.float64).numpy() for g in of] for of in (first, gradients))


def _exact(value):
    """Numbers as float64, all else as it is."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in "biu":
        return value.astype(np.float64)
    return value


@contextlib.contextmanager
def _rounding(computed, noise, unit, points):
    """The reference's formulas with noise; gives the list of how far their arguments reach.

    `points` are the most that there are in a sum.
    """
    reach = []

    def draw(x):
        return tf.constant(noise.uniform(-1.0, 1.0, size=x.shape))

    def seen(x):
        reach.append(float(np.nanmax(np.abs(x), initial=0.0)))
        return x

    def flushed(x):
        """What the type of the computation does not hold is 0: a distance, a loss to count.

        Near the least normal number it may be one or the other; and it is not, where a kernel
        makes it in double, as it does the losses of single triplets.
        """
        least = smallest(computed)
        if noise is not None:
            least *= noise.choice([0.0, 10.0 ** noise.uniform(-1.0, 1.0)])
        return tf.where(tf.abs(x) < least, tf.zeros_like(x), x)

    def pairs(function):
        def call(x, y, metric):
            distances = seen(function(x, y, metric))
            if metric == "dot":
                seen(_norms(x, y))
            distances += tf.stop_gradient(flushed(distances) - distances)
            if noise is None:
                return distances
            if metric == "cosine":
                distances += UNIT_NOISE[computed] ** 2 * draw(distances)
            if metric == "dot":
                return _product(distances, PRODUCT_NOISE[computed], _norms(x, y), draw)
            return distances * (1.0 + DISTANCE_NOISE[computed] * draw(distances))

        return call

    def similarities(function):
        def call(x, y, normalize):
            products = function(x, y, normalize)
            scale = 1.0 if normalize else seen(_norms(x[:, None, :], y[None, :, :]))
            if noise is None:
                return products
            return _product(products, PRODUCT_NOISE[computed], scale, draw)

        return call

    def normalised(function):
        def call(x):
            point = function(x)
            if noise is None or not unit:
                return point
            size = UNIT_NOISE[computed]
            # Of the point, and of what its gradient is projected from.
            sums = size * max(1.0, points / 32.0)
            along = sums * draw(x) * x / tf.stop_gradient(_zero_to_one(tf.norm(x, axis=-1)))
            return point * (1.0 + size * draw(x)) + along - tf.stop_gradient(along)

        return call

    def ranking(function):
        def call(x, loss, margin):
            x = seen(x)
            if noise is not None:
                x *= 1.0 + PRODUCT_NOISE[computed] * draw(x)
            return flushed(function(x, loss, margin))

        return call

    def triplet(function):
        return lambda *arguments: flushed(function(*arguments))

    with contextlib.ExitStack() as stack:
        stack.enter_context(_replaced("pairs", pairs))
        stack.enter_context(_replaced("_similarities", similarities))
        stack.enter_context(_replaced("_unit", normalised))
        stack.enter_context(_replaced("_loss", ranking, "ranking"))
        stack.enter_context(_replaced("_loss", triplet, "triplet"))
        yield reach


def _product(products, size, scale, draw):
    """Dot products with noise, and with noise in the gradients of each."""
    own = size * draw(products) * products
    return products + size * scale * draw(products) + own - tf.stop_gradient(own)


def _zero_to_one(norms):
    return tf.where(norms == 0.0, tf.ones_like(norms), norms)[..., None]


def _norms(x, y):
    return tf.stop_gradient(tf.norm(x, axis=-1) * tf.norm(y, axis=-1))


@functools.cache
def _modules(name, of_module):
    """The modules of the reference that have a function of that name."""
    prefix = f"{reference.__name__}.{of_module}"
    modules = [m for n, m in sys.modules.items() if n.startswith(prefix) and hasattr(m, name)]
    assert modules, f"no function {name} in tf_pairwise.reference"
    return modules


@contextlib.contextmanager
def _replaced(name, wrap, of_module=""):
    """Such a function is wrapped in all of them."""
    modules = _modules(name, of_module)
    before = [getattr(module, name) for module in modules]
    for module, function in zip(modules, before, strict=True):
        setattr(module, name, wrap(function))
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            setattr(module, name, function)

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
# Of a coordinate of a normalised point: for gradients alone, in which the parts along
# the point cancel, and as its square for a cosine distance.
UNIT_NOISE = {"float32": 2e-6, "float64": 1e-14}


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


def run(case, noise=None, number=0):
    """The answer of the reference; with the generator `noise`, of rounding errors of that number.

    Odd ones are in normalised points too, and every second pair of them keeps what is below the
    type's least normal number.
    """
    arguments = {name: _exact(value) for name, value in case.for_reference().items()}
    points = [arguments[name] for name in case.differentiable]

    def function(*points):
        return case.call(getattr(reference, case.function), arguments, points)

    most = max((len(x) for x in points if np.ndim(x) > 1), default=0)
    temperature = float(arguments.get("temperature", 1.0))
    rounding = _Rounding(computed_in(case.dtype), noise, number, most, temperature)
    with rounding.in_the_reference():
        if case.second is not None:
            answer = Answer(*second(function, points, case))
        elif points:
            value, gradients = value_and_gradients(function, points, case.upstream)
            answer = Answer([value], gradients)
        else:
            values = function()
            values = values if isinstance(values, tuple | list) else [values]
            answer = Answer([np.asarray(v) for v in values], [])
    answer.reach = rounding.reach
    if "temperature" in case.arguments:
        answer.reach /= temperature
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


class _Rounding:
    """The reference's formulas, with the rounding errors of a kernel."""

    def __init__(self, computed, noise, number, points, temperature):
        self.computed, self.noise = computed, noise
        self.unit, self.keep = number % 2 == 1, number % 4 >= 2
        self.points, self.temperature = points, temperature
        self.reach = 0.0  # how far the arguments of the formulas reach

    @contextlib.contextmanager
    def in_the_reference(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(_replaced("_pairs", self.pairs))
            stack.enter_context(_replaced("_similarities", self.similarities))
            stack.enter_context(_replaced("_unit", self.normalised))
            stack.enter_context(_replaced("_loss", self.ranking, "ranking"))
            stack.enter_context(_replaced("_loss", self.triplet, "triplet"))
            yield

    def pairs(self, function, x, y, metric):
        distances = self._seen(function(x, y, metric))
        if metric == "dot":
            self._seen(_norms(x, y))
        distances += tf.stop_gradient(self._flushed(distances) - distances)
        if self.noise is None:
            return distances
        if metric == "dot":
            return self._product(distances, _norms(x, y))
        if metric == "cosine":
            distances += UNIT_NOISE[self.computed] ** 2 * self._draw(distances)
        return distances * (1.0 + DISTANCE_NOISE[self.computed] * self._draw(distances))

    def similarities(self, function, x, y, normalize):
        products = self._seen(function(x, y, normalize))
        scale = 1.0 if normalize else self._seen(_norms(x[:, None, :], y[None, :, :]))
        # An exponential has the rounding of a logit of 1 at least.
        return products if self.noise is None else self._product(products, scale + self.temperature)

    def normalised(self, function, x):
        point = function(x)
        if self.noise is None or not self.unit or not x.shape[-1]:
            return point
        size = UNIT_NOISE[self.computed]
        # Of the point, and of what its gradient is projected from.
        sums = size * max(1.0, self.points / 32.0)
        along = sums * self._draw(x) * x / tf.stop_gradient(_zero_to_one(tf.norm(x, axis=-1)))
        rounded = size * (tf.abs(point) + int(x.shape[-1]) ** -0.5) * self._draw(x)
        return point + tf.stop_gradient(rounded - along) + along

    def ranking(self, function, x, loss, margin):
        self._seen(x)
        if self.noise is not None:
            x *= 1.0 + PRODUCT_NOISE[self.computed] * self._draw(x)
        return self._flushed(function(x, loss, margin))

    def triplet(self, function, *arguments):
        return self._flushed(function(*arguments))

    def _draw(self, x):
        return tf.constant(self.noise.uniform(-1.0, 1.0, size=x.shape))

    def _seen(self, x):
        self.reach = max(self.reach, float(np.nanmax(np.abs(x), initial=0.0)))
        return x

    def _flushed(self, x):
        """What the type of the computation does not hold is 0: a distance, a loss to count.

        Near the least normal number it may be one or the other; and it is not, where a kernel
        makes it in double, as it does the losses of single triplets.
        """
        least = smallest(self.computed)
        if self.noise is not None:
            least *= 0.0 if self.keep else 10.0 ** self.noise.uniform(-1.0, 1.0)
        return tf.where(tf.abs(x) < least, tf.zeros_like(x), x)

    def _product(self, products, scale):
        """Dot products with noise, and with noise in the gradient of each."""
        size = PRODUCT_NOISE[self.computed]
        own = size * self._draw(products) * products
        return products + size * scale * self._draw(products) + own - tf.stop_gradient(own)


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
        setattr(module, name, functools.partial(wrap, function))
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            setattr(module, name, function)

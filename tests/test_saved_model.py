"""Models that hold the ops of all functions, saved here and loaded in another process."""

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls, checks
from tf_pairwise import _tensors


class Model(tf.Module):
    """All calls, and one of each function with its gradients, of any number of rows."""

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(1.5, dtype=tf.float64)
        self.values = {
            name: self._of(call, lambda call, *p: call(tpw, *p))
            for name, call in calls.CALLS.items()
        }
        self.gradients = {
            name: self._of(call, lambda call, *p: calls.run(tpw, call, p))
            for name, call in calls.one_of_each().items()
        }

    def _of(self, call, function):
        signature = [tf.TensorSpec([None] * x.ndim, x.dtype) for x in call.tensors("float64")]
        return tf.function(
            lambda *p: function(call, *[self.scale * x for x in p]),
            autograph=False,
            input_signature=signature,
        )


def results(model):
    """Every value, every gradient of a loaded value, and what came with its gradient."""
    found = {}
    values, gradients = dict(model.values), dict(model.gradients)
    for name, call in calls.CALLS.items():
        points = call.tensors("float64")
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = values[name](*points)
        found[name] = tf.nest.flatten(value)
        if call.differentiable:
            found[f"{name} gradient"] = tape.gradient(value, [*points, model.scale])
        if name in gradients:
            found[f"{name} inside"] = gradients[name](*points)
    return {f"{name} {i}": x.numpy() for name, of in found.items() for i, x in enumerate(of)}


def training(model, steps=3):
    """The losses of a few steps of gradient descent on the model's one weight."""
    loss = dict(model.values)["batch_triplet_loss hard"]
    points = calls.CALLS["batch_triplet_loss hard"].tensors("float64")
    losses = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            value = loss(*points)
        model.scale.assign_sub(0.1 * tape.gradient(value, model.scale))
        losses.append(value.numpy())
    return np.array(losses)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("saved") / "model")
    model = Model()
    tf.saved_model.save(model, folder)
    return folder, model


LOAD = """
    import sys
    import numpy as np
    import tf_pairwise
    import tensorflow as tf
    from tests import test_saved_model
    model = tf.saved_model.load(sys.argv[1])
    results = test_saved_model.results(model)
    np.savez(sys.argv[2], losses=test_saved_model.training(model), **results)
"""


def test_loads_and_trains_on_after_the_import(saved, tmp_path):
    folder, model = saved
    checks.in_a_new_process(LOAD, folder, tmp_path / "made.npz")
    expected = results(model)
    assert len(expected) > 4 * len(calls.CALLS)
    expected["losses"] = training(model)
    assert expected["losses"][0] != expected["losses"][-1]
    checks.assert_same_bits(dict(np.load(tmp_path / "made.npz")), expected)


def test_without_the_import_the_error_names_the_op(saved):
    """TensorFlow's own; the README says what to do."""
    code = "import sys, tensorflow as tf; tf.saved_model.load(sys.argv[1])"
    done = checks.in_a_new_process(code, saved[0], fails=True)
    assert "Op type not registered 'TfPairwise>" in done.stderr


XLA = """
    import sys
    import numpy as np
    import tf_pairwise
    import tensorflow as tf
    from tests import calls
    model = tf.saved_model.load(sys.argv[1])
    for name, function in dict(model.gradients).items():
        call = calls.CALLS[name]
        if calls.compiles(call):
            points = call.tensors("float64")
            compiled = tf.function(lambda *p: function(*p), autograph=False, jit_compile=True)
            for a, b in zip(function(*points), compiled(*points), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=name)
            print(name)
"""


@pytest.mark.skipif(not _tensors.XLA, reason="built without XLA")
def test_loaded_functions_compile(saved):
    """A loaded function inside one that XLA compiles: its ops were traced elsewhere."""
    done = checks.in_a_new_process(XLA, saved[0])
    assert done.stdout.splitlines() == list(calls.one_of_each(calls.compiles))

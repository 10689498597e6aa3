"""Models that hold the ops, saved here and loaded in another process."""

import json

import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import calls
from tests.checks import in_a_new_process
from tf_pairwise import _library


class Model(tf.Module):
    """All calls, each with its gradients, for points of any number."""

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(1.5, dtype=tf.float64)
        self.functions = {name: self._of(call) for name, call in calls.CALLS.items()}
        self.loss = tf.function(
            lambda x, labels: tpw.batch_triplet_loss(self.scale * x, labels, mining="hard"),
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, calls.D], tf.float64),
                tf.TensorSpec([None], tf.int64),
            ],
        )

    def _of(self, call):
        return tf.function(
            lambda *p: calls.run(tpw, call, [self.scale * x for x in p]),
            autograph=False,
            input_signature=[tf.TensorSpec(x.shape, x.dtype) for x in call.tensors("float64")],
        )


def training(model, steps):
    """The losses of a few steps of gradient descent on the model's one weight."""
    x, labels = tf.constant(calls.ANCHORS, tf.float64), calls.ANCHOR_LABELS.astype(np.int64)
    losses = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = model.loss(x, labels)
        model.scale.assign_sub(0.1 * tape.gradient(loss, model.scale))
        losses.append(float(loss))
    return losses


def summary(model):
    """Numbers that tell all results."""
    return {
        name: [
            float(tf.reduce_sum(tf.cast(x, tf.float64) ** 2))
            for x in dict(model.functions)[name](*call.tensors("float64"))
        ]
        for name, call in calls.CALLS.items()
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("saved") / "model")
    model = Model()
    tf.saved_model.save(model, folder)
    return folder, model


LOAD = """
import json, sys
import tf_pairwise
import tensorflow as tf
from tests import test_saved_model
model = tf.saved_model.load(sys.argv[1])
print(json.dumps([test_saved_model.summary(model), test_saved_model.training(model, 3)]))
"""


def test_loads_and_trains_on_after_the_import(saved):
    folder, model = saved
    done = in_a_new_process(LOAD, folder)
    assert done.returncode == 0, done.stderr
    loaded, losses = json.loads(done.stdout.splitlines()[-1])
    expected = summary(model)
    assert loaded.keys() == expected.keys()
    for name, numbers in expected.items():
        np.testing.assert_allclose(loaded[name], numbers, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(losses, training(model, 3), rtol=1e-12)
    assert losses[0] != losses[-1]


def test_without_the_import_the_error_names_the_op(saved):
    """TensorFlow's own; the README says what to do."""
    code = "import sys, tensorflow as tf; tf.saved_model.load(sys.argv[1])"
    done = in_a_new_process(code, saved[0])
    assert done.returncode != 0
    assert "Op type not registered 'TfPairwise>" in done.stderr


XLA = """
import sys
import numpy as np
import tf_pairwise
import tensorflow as tf
from tests import calls
model = tf.saved_model.load(sys.argv[1])
call = calls.CALLS["batch_triplet_loss all"]
function = dict(model.functions)[call.name]
compiled = tf.function(lambda *p: function(*p), autograph=False, jit_compile=True)
for a, b in zip(function(*call.tensors("float64")), compiled(*call.tensors("float64"))):
    np.testing.assert_allclose(a, b, rtol=1e-12)
"""


@pytest.mark.skipif(not _library.build_info()["xla"], reason="built without XLA")
def test_loaded_functions_compile(saved):
    """A loaded function inside one that XLA compiles: its ops were traced elsewhere."""
    done = in_a_new_process(XLA, saved[0])
    assert done.returncode == 0, done.stderr

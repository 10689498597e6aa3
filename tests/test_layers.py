"""The layers that own a temperature, or scale and bias: against the functions, and in training."""

import doctest
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_pairwise as tpw
from tests import checks
from tf_pairwise._tensors import XLA
from tf_pairwise.keras import layers

N, D = 12, 5
LAYERS = {
    "InfoNCE": ("info_nce_loss", {"temperature": 0.3}),
    "SigmoidContrastive": ("sigmoid_contrastive_loss", {"scale": 4.0, "bias": -3.0}),
    "SupervisedContrastive": ("supervised_contrastive_loss", {"temperature": 0.4}),
    "NTXent": ("nt_xent_loss", {"temperature": 0.7}),
}
LABELLED = ("SupervisedContrastive", "NTXent")
each = pytest.mark.parametrize("name", LAYERS)


def make(name, **options):
    return getattr(layers, name)(**{**LAYERS[name][1], **options})


def draw(name, dtype="float32", n=N, seed=0):
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(n, D)), dtype)
    if name in LABELLED:
        return [x, tf.constant(np.arange(n) % 4, tf.int64)]
    return [x, tf.constant(rng.normal(size=(n, D)), dtype)]


def expected(name, inputs, **options):
    function, parameters = LAYERS[name]
    return getattr(tpw, function)(*inputs, **{**parameters, **options})


def test_there_is_a_layer_for_each():
    assert set(layers.__all__) == set(LAYERS)


@each
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_value_and_gradients_are_those_of_the_function(name, dtype):
    inputs = draw(name, dtype)
    weight = np.arange(N, dtype=np.float32) / 4  # which a half holds: Keras makes one of it
    layer = make(name, dtype=dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, sample_weight=weight)
        [loss] = layer.losses
    made = tape.gradient(loss, [inputs[0], *layer.trainable_variables])
    for output, given in zip(outputs, inputs, strict=True):
        np.testing.assert_array_equal(output, given)
    parameters = {
        parameter: tf.Variable(value, dtype="float64" if dtype == "float64" else "float32")
        for parameter, value in LAYERS[name][1].items()
    }
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        right = expected(name, inputs, sample_weight=weight, **parameters)
    slopes = tape.gradient(right, [inputs[0], *parameters.values()])
    assert float(loss) == pytest.approx(float(right), rel=2e-6)
    scale = np.abs(slopes[0]).max()
    tolerance = 2e-3 if dtype == "float16" else 2e-6
    np.testing.assert_allclose(made[0] / scale, slopes[0] / scale, atol=tolerance)
    # The weights are logarithms, but for the bias.
    for variable, slope, parameter in zip(
        layer.trainable_variables, slopes[1:], parameters, strict=True
    ):
        assert variable.dtype == ("float64" if dtype == "float64" else "float32")
        factor = 1.0 if parameter == "bias" else LAYERS[name][1][parameter]
        assert float(made[1 + list(parameters).index(parameter)]) == pytest.approx(
            factor * float(slope), rel=1e-5
        )
        assert variable.name == (parameter if parameter == "bias" else f"log_{parameter}")


@each
def test_options_are_those_of_the_function(name):
    inputs = draw(name)
    layer = make(name, normalize=False, reduction="sum")
    layer(inputs)
    right = expected(name, inputs, normalize=False, reduction="sum")
    assert float(layer.losses[0]) == pytest.approx(float(right), rel=1e-6)
    layer = make(name, reduction="sum_over_batch_size")
    layer(inputs)
    right = expected(name, inputs, reduction="sum") / N
    assert float(layer.losses[0]) == pytest.approx(float(right), rel=1e-6)


def test_both_directions():
    inputs = draw("InfoNCE")
    layer = make("InfoNCE", symmetric=True)
    layer(inputs)
    right = expected("InfoNCE", inputs, symmetric=True)
    assert float(layer.losses[0]) == pytest.approx(float(right), rel=1e-6)


def towers(name, **options):
    """A model that ends in the layer; of labels, or of a second tower."""
    keras.utils.set_random_seed(0)
    x = keras.Input([D])
    dense = keras.layers.Dense(3)
    if name in LABELLED:
        y = keras.Input([], dtype="int64")
        outputs = make(name, **options)([dense(x), y])
    else:
        y = keras.Input([D])
        outputs = make(name, **options)([dense(x), keras.layers.Dense(3)(y)])
    return keras.Model([x, y], outputs)


@each
@pytest.mark.parametrize("jit", [False, True] if XLA else [False])
def test_fit_trains_saves_and_trains_on(name, jit, tmp_path):
    inputs = [x.numpy() for x in draw(name)]
    model = towers(name)
    model.compile(keras.optimizers.Adam(0.05), jit_compile=jit)
    layer = model.layers[-1]
    start = [float(w) for w in layer.trainable_weights]
    options = {"batch_size": N, "shuffle": False, "verbose": 0}
    losses = model.fit(inputs, epochs=20, **options).history["loss"]
    assert losses[-1] < losses[0]
    assert all(float(w) != s for w, s in zip(layer.trainable_weights, start, strict=True))

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for w, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(w, other)
    assert loaded.layers[-1].get_config() == layer.get_config()
    more = [m.fit(inputs, epochs=3, **options).history["loss"] for m in (model, loaded)]
    assert more[0] == pytest.approx(more[1], rel=1e-6)
    assert model.evaluate(inputs, batch_size=N, verbose=0) == pytest.approx(
        loaded.evaluate(inputs, batch_size=N, verbose=0), rel=1e-6
    )
    for made, embeddings in zip(model.predict(inputs, verbose=0), loaded(inputs), strict=True):
        np.testing.assert_allclose(made, embeddings, rtol=1e-4, atol=1e-5)


@each
def test_a_checkpoint_has_the_weights(name, tmp_path):
    layer = make(name)
    for w in layer.weights:
        w.assign(w + 0.25)
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "point"))
    other = make(name)
    tf.train.Checkpoint(layer=other).restore(path).assert_existing_objects_matched()
    for w, again in zip(layer.weights, other.weights, strict=True):
        np.testing.assert_array_equal(w, again)


@each
def test_the_weight_stays_within_its_bounds(name):
    parameter = next(iter(LAYERS[name][1]))
    value = LAYERS[name][1][parameter]
    bounds = {f"{parameter}_bounds": (0.9 * value, 1.1 * value)}
    seen = set()
    for seed in range(2):
        # Positives that are near, and then far: the one way, and the other.
        queries, keys = draw(name, seed=seed)
        if name not in LABELLED:
            queries = tf.eye(D)
            keys = queries if seed else -queries
        else:
            queries = tf.one_hot(keys if seed else tf.range(N) // 4, D)
        layer = make(name, **bounds)
        optimizer = keras.optimizers.SGD(100.0)
        with tf.GradientTape() as tape:
            layer([queries, keys])
            loss = layer.losses[0]
        weights = layer.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        seen.add(round(float(getattr(layer, parameter)) / value, 5))
    assert seen == {0.9, 1.1}


def test_a_layer_that_does_not_learn():
    layer = make("InfoNCE", trainable=False)
    assert not layer.trainable_variables and len(layer.weights) == 1
    assert float(layer.temperature) == pytest.approx(0.3)


@each
def test_masked_rows_do_not_exist(name):
    first, second = draw(name)
    kept = np.arange(N) % 3 != 1
    layer = make(name)
    layer([first, second], mask=[tf.constant(kept), None])
    right = make(name)
    right([first[kept], second[kept]])
    assert float(layer.losses[0]) == pytest.approx(float(right.losses[0]), rel=1e-6)
    if name not in LABELLED:
        other = np.arange(N) % 4 != 2
        layer([first, second], mask=[tf.constant(kept), tf.constant(other)])
        right([first[kept & other], second[kept & other]])
        assert float(layer.losses[0]) == pytest.approx(float(right.losses[0]), rel=1e-6)


def test_a_mask_comes_from_the_model():
    x, y = (keras.Input([4, D]) for _ in range(2))
    pooled = keras.layers.Lambda(lambda x: x[:, 0], mask=lambda x, mask: mask[:, 0])
    queries = pooled(keras.layers.Masking()(x))
    model = keras.Model([x, y], make("InfoNCE")([queries, keras.layers.Flatten()(y)[:, :D]]))
    a, b = (np.random.default_rng(i).normal(size=(N, 4, D)).astype("float32") for i in (0, 1))
    a[::3] = 0.0
    model([a, b])
    kept = np.arange(N) % 3 != 0
    right = expected("InfoNCE", [a[kept, 0], b[kept, 0]])
    assert float(model.losses[0]) == pytest.approx(float(right), rel=1e-6)


def test_mixed_precision():
    model = towers("InfoNCE")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = towers("InfoNCE")
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(model.get_weights())
    inputs = draw("InfoNCE")
    outputs = mixed(inputs)
    model(inputs)
    assert outputs[0].dtype == tf.float16 and mixed.layers[-1].log_temperature.dtype == "float32"
    assert mixed.losses[0].dtype == tf.float32
    assert float(mixed.losses[0]) == pytest.approx(float(model.losses[0]), rel=1e-2)


@pytest.mark.parametrize(
    "name, options, error, message",
    [
        ("InfoNCE", {"temperature": 0.0}, ValueError, "temperature: got 0"),
        ("InfoNCE", {"temperature": tf.constant(0.1)}, TypeError, "temperature: got"),
        (
            "InfoNCE",
            {"temperature_bounds": 0.1},
            TypeError,
            "temperature_bounds: got 0.1, expected",
        ),
        ("InfoNCE", {"temperature_bounds": (0.5, None)}, ValueError, "temperature_bounds: got"),
        ("InfoNCE", {"temperature_bounds": (None, 0.2)}, ValueError, "expected them around the"),
        ("InfoNCE", {"temperature_bounds": (-1.0, None)}, ValueError, "temperature_bounds: got -1"),
        ("InfoNCE", {"reduction": "none"}, ValueError, "reduction: got 'none', expected one that"),
        ("InfoNCE", {"reduction": "avg"}, ValueError, "reduction: got 'avg'"),
        ("NTXent", {"global_batch": 1}, TypeError, "global_batch: got 1"),
        ("SigmoidContrastive", {"scale": -1.0}, ValueError, "scale: got -1"),
        ("SigmoidContrastive", {"bias": float("nan")}, ValueError, "bias: got nan"),
        ("SigmoidContrastive", {"scale_bounds": (None, 1.0)}, ValueError, "scale_bounds: got"),
    ],
)
def test_bad_options(name, options, error, message):
    with pytest.raises(error, match=message):
        make(name, **options)


@each
def test_bad_inputs(name):
    first, second = draw(name)
    layer = make(name)
    parts = "embeddings and labels" if name in LABELLED else "queries and keys"
    with pytest.raises(
        ValueError, match=f"inputs: got one tensor, expected a list of two, {parts}"
    ):
        layer(first)
    with pytest.raises(ValueError, match="inputs: got 3"):
        layer([first, second, second])
    which = "embeddings" if name in LABELLED else "queries"
    with pytest.raises(ValueError, match=rf"{which}: got shape \(12,\), expected \[n, d\]"):
        layer([first[:, 0], second])
    if name in LABELLED:
        with pytest.raises(TypeError, match="labels: got float32, expected an integer type"):
            layer([first, tf.cast(second, tf.float32)])
    assert not layer.losses


def test_docstring_examples():
    for name in layers.__all__:
        text = getattr(layers, name).__doc__
        test = doctest.DocTestParser().get_doctest(text, {"tpw": tpw, "tf": tf}, name, None, 0)
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0


def test_two_replicas():
    """Under a MirroredStrategy of two CPUs, by Keras's fit: of a global batch, training is that of
    one process on the whole batch; else each replica's loss counts half."""
    script = """
        import json
        import numpy as np, tensorflow as tf, keras
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        import tf_pairwise as tpw

        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=[16, 6]).astype(np.float32) for _ in range(2))

        def fit(**options):
            keras.utils.set_random_seed(0)
            a, b = keras.Input([6]), keras.Input([6])
            dense = keras.layers.Dense(3)
            layer = tpw.keras.layers.InfoNCE(0.5, **options)
            model = keras.Model([a, b], layer([dense(a), dense(b)]))
            model.compile(keras.optimizers.SGD(0.1))
            start = model.get_weights()
            loss = model.fit([x, y], batch_size=16, shuffle=False, verbose=0).history["loss"]
            return loss[0], *[w - s for w, s in zip(model.get_weights(), start)]

        def halves(**options):
            keras.utils.set_random_seed(0)
            dense = keras.layers.Dense(3)
            dense.build([None, 6])
            layer = tpw.keras.layers.InfoNCE(0.5, **options)
            with tf.GradientTape() as tape:
                loss = 0.0
                for half in (slice(0, 8), slice(8, 16)):
                    layer([dense(x[half]), dense(y[half])])
                    loss += layer.losses[0] / 2
            weights = [*dense.trainable_variables, *layer.trainable_variables]
            return float(loss), *[-0.1 * g.numpy() for g in tape.gradient(loss, weights)]

        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        apart = lambda a, b: [float(np.abs(p - q).max()) for p, q in zip(a, b, strict=True)]
        with strategy.scope():
            together, local = fit(global_batch=True), fit()
        print(json.dumps([apart(together, fit()), apart(local, halves())]))
    """
    done = checks.in_a_new_process(script, CUDA_VISIBLE_DEVICES="")
    for differences in json.loads(done.stdout.splitlines()[-1]):
        assert differences == pytest.approx([0.0] * 4, abs=1e-6)

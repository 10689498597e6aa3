"""What the public functions do with tensors before an op, and gradients after it."""

import tensorflow as tf
from tensorflow.python.eager import context, record
from tensorflow.python.framework import ops as framework
from tensorflow.python.ops import control_flow_util

from tf_pairwise import _arguments, _library

DTYPES = frozenset((tf.float16, tf.bfloat16, tf.float32, tf.float64))

ops = _library.ops()

XLA = _library.ops_info(tf.__version__)["xla"]
GPU_KERNELS = _library.build_info()["cuda"]


def points(name, value, like=None, like_name=None):
    """`value` as a tensor of a type that the ops take: that of `like`, if given."""
    if not tf.executing_eagerly() and in_xla():
        _refuse_xla()
    if not isinstance(value, tf.Tensor):
        # For a list: an array has a type, which a hint would silently cast.
        listed = like is not None and not hasattr(value, "dtype")
        value = tf.convert_to_tensor(value, dtype_hint=like.dtype if listed else None)
    dtype = value.dtype
    if dtype not in DTYPES:
        raise TypeError(f"{name}: got {dtype.name}, expected float16, bfloat16, float32 or float64")
    if like is not None and dtype != like.dtype:
        raise TypeError(f"{name}: got {dtype.name}, expected {like.dtype.name} as {like_name}")
    return value


def in_xla():
    """Whether what is traced is to be compiled by XLA."""
    return control_flow_util.GraphOrParentsInXlaContext(framework.get_default_graph())


def _refuse_xla():
    """Says what to do where XLA's own error would only name an op."""
    if not XLA:
        raise NotImplementedError(
            f"this build of tf_pairwise has no XLA kernels for TensorFlow {tf.__version__}, which "
            "lacks XLA's headers (2.20 and 2.21 have them), or it was made with "
            "TF_PAIRWISE_XLA=OFF; use jit_compile=False, or tf_pairwise.reference"
        )
    if not GPU_KERNELS and _compiles_for_gpu():
        raise NotImplementedError(
            "this build of tf_pairwise has no GPU kernels (TF_PAIRWISE_CUDA=OFF, or no NVRTC at "
            "build time), so XLA cannot compile its ops for a GPU: pass jit_compile=False (Keras: "
            "model.compile(..., jit_compile=False); its default is XLA where there is a GPU) and "
            "they run on the CPU; or call the compiled function within tf.device('CPU'), or use "
            "tf_pairwise.reference"
        )


def _compiles_for_gpu():
    """Whether the function that is traced is called where there is a GPU, and not on the CPU."""
    called_on = context.context().device_name or ""
    return "CPU" not in called_on.upper() and bool(tf.config.list_logical_devices("GPU"))


def labels(name, value, keras_class=""):
    """Labels of any integer type as int64; equal labels stay equal, others different.

    keras_class: the loss class of the function, which is what Keras's `compile` wants.
    """
    if not isinstance(value, tf.Tensor):
        hint = None if hasattr(value, "dtype") else tf.int64
        value = tf.convert_to_tensor(value, dtype_hint=hint)
    if not value.dtype.is_integer:
        message = f"{name}: got {value.dtype.name}, expected an integer type"
        if value.dtype.is_floating and keras_class:
            message += (
                "; Keras calls a loss with (y_true, y_pred), so give compile the class, "
                f"tf_pairwise.keras.losses.{keras_class}"
            )
        raise TypeError(message)
    many = _arguments.one_hot(value.shape)
    if many:
        message = f"{name}: got shape {value.shape.as_list()}, expected [n] or [n, 1]{many}"
        if tf.executing_eagerly():
            raise tf.errors.InvalidArgumentError(None, None, message)
        raise ValueError(message)
    return value if value.dtype == tf.int64 else tf.cast(value, tf.int64)


def accumulator(dtype):
    """The type of the losses of points of `dtype`."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def weights(value, dtype, name="sample_weight"):
    """Weights in `dtype`, and whether there are any."""
    if value is None:
        return constant(0.0, dtype), False
    if not isinstance(value, tf.Tensor):
        value = tf.convert_to_tensor(value)
    if not (value.dtype.is_floating or value.dtype.is_integer):
        raise TypeError(f"{name}: got {value.dtype.name}, expected a real type")
    return tf.cast(value, dtype), True


def self_offset(value):
    """self_offset as an int64 scalar, -1 for none."""
    return _offset("self_offset", value, _arguments.self_offset)


def positive_offset(value):
    """positive_offset as an int64 scalar."""
    return _offset("positive_offset", value, _arguments.positive_offset)


def _offset(name, value, check):
    # tf.is_tensor of what is not one takes as long as an op.
    if value is None or isinstance(value, int) or not tf.is_tensor(value):
        return constant(check(value), tf.int64, on_host=True)
    if not value.dtype.is_integer:
        raise TypeError(f"{name}: got {value.dtype.name}, expected an integer type")
    return tf.cast(value, tf.int64)


def batch(embeddings, batch_labels, ref_embeddings, ref_labels, offset, keras_class=""):
    """The inputs of a batch op, and whether the embeddings are their own references."""
    itself = not _arguments.references(ref_embeddings, ref_labels, offset)
    embeddings = points("embeddings", embeddings)
    batch_labels = labels("labels", batch_labels, keras_class)
    if itself:
        ref_embeddings, ref_labels = embeddings, batch_labels
    else:
        ref_embeddings = points("ref_embeddings", ref_embeddings, embeddings, "embeddings")
        ref_labels = labels("ref_labels", ref_labels)
    return (embeddings, batch_labels, ref_embeddings, ref_labels, self_offset(offset)), itself


_constants = {}


def constant(value, dtype, on_host=False):
    """A scalar where an op wants it; in eager mode made once, which is most of the cost of one."""
    if not tf.executing_eagerly():
        return tf.constant(value, dtype)
    device = "CPU:0" if on_host else context.context().device_name
    key = (value, dtype, device)
    if key not in _constants:
        if len(_constants) > 100:
            _constants.clear()
        with tf.device(device):
            _constants[key] = tf.constant(value, dtype)
    return _constants[key]


def recording(reduction, *inputs):
    """Whether a loss makes its gradient in the same pass: someone will ask for it.

    True where a tape records: in eager mode, in a tf.function with a tape of its own, in
    Keras's train step; not in its evaluation.
    """
    return reduction != "none" and record.should_record_backprop(inputs)


def missing_derivatives(op, differentiable, function, order="second"):
    """The gradient of an op that has none: fails when, and only when, it is computed.

    Raising here would be too early: TensorFlow builds derivatives of derivatives that it may
    never run, for a tf.function that is called under a persistent tape.
    """
    message = (
        f"tf_pairwise.{function} has no {order} derivative; "
        f"tf_pairwise.reference.{function}, of plain TensorFlow operations, has it"
    )
    return [
        ops.tf_pairwise_missing_derivative(value, message=message) if i in differentiable else None
        for i, value in enumerate(op.inputs)
    ]


def register_loss(name, points, attributes, function, read=None):
    """Registers the gradients of the op TfPairwise>`name`, a loss, and of its gradient op.

    The outputs of a loss op after the first are its gradient, saved, and what it counted; what
    comes in for them is not a gradient of the loss, and is left aside.

    Args:
      points: which inputs of the op have gradients.
      attributes: the names of the op's attributes but the types and `with_gradient`, in order.
      function: op -> the name of the public function.
      read: op -> which of the points have a gradient of their own; all without it.
    """
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    loss_grad = getattr(ops, f"tf_pairwise{snake}_grad")

    def own(op):
        return points if read is None else read(op)

    def options(op):
        return [op.get_attr(attribute) for attribute in attributes]

    @tf.RegisterGradient(f"TfPairwise>{name}")
    def first(op, upstream, *_):
        saved = op.outputs[1 : 1 + len(points)]
        gradients = loss_grad(
            *op.inputs, upstream, *saved, *options(op), op.get_attr("with_gradient")
        )
        gradients = dict(zip(points, _listed(gradients), strict=True))
        return [gradients[i] if i in own(op) else None for i in range(len(op.inputs))]

    @tf.RegisterGradient(f"TfPairwise>{name}Grad")
    def second(op, *tangents):
        inputs = len(op.inputs) - 1 - len(points)
        result = missing_derivatives(op, (*own(op), inputs), function(op))
        upstream = op.inputs[inputs]
        if upstream.shape.rank == 0:
            # The gradient op is linear in what comes from above. This derivative is what
            # forward-mode differentiation is made of.
            gradients = loss_grad(
                *op.inputs[:inputs],
                tf.ones_like(upstream),
                *op.inputs[inputs + 1 :],
                *options(op),
                op.get_attr("cached"),
            )
            result[inputs] = tf.add_n(
                [
                    tf.reduce_sum(tf.cast(tangent, upstream.dtype) * tf.cast(g, upstream.dtype))
                    for i, tangent, g in zip(points, tangents, _listed(gradients), strict=True)
                    if i in own(op) and tangent is not None
                ]
                or [tf.zeros_like(upstream)]
            )
        return result


def batch_points(op):
    """The points of a batch loss that have a gradient: a batch against itself has one."""
    return (0,) if op.get_attr("self") else (0, 2)


def _listed(outputs):
    """An op's outputs as a list, also where it has only one."""
    return [outputs] if tf.is_tensor(outputs) else list(outputs)

"""Keras losses over the fused functions: one class for each.

=========================== ============================= =======================================
class                       y_true                        y_pred
=========================== ============================= =======================================
BatchContrastiveLoss        labels [n] or [n, 1]          embeddings [n, d]
BatchTripletLoss            labels                        embeddings [n, d]
SupervisedContrastiveLoss   labels                        embeddings [n, d]
NTXentLoss                  labels                        embeddings [n, d]
ContrastiveLoss             labels of pairs [n] or [n, 1] [n, 2, d], the points of each pair
TripletLoss                 not used (None, or anything)  [n, 3, d]: anchor, positive, negative
InfoNCELoss                 not used                      [n, 2, d]: query, key
SigmoidContrastiveLoss      not used                      [n, 2, d]: query, key
PairwiseRankingLoss         not used                      scores [n, 2]: preferred item, other one
ListRankingLoss             relevance [B, L]              scores [B, L] (or [B, L, 1], or ragged)
=========================== ============================= =======================================

What all have in common, and where they differ from Keras's own losses:

dtype: y_pred is not cast, so that under mixed precision halves reach the kernels of halves; with
  `dtype` it is cast to that. The loss is float64 for float64 y_pred, else float32. Labels are
  never cast to floats, in which different ones would run into one: they have to be integers.
reduction: those of the function ("mean" by default, so that the loss is the same number as the
  function's; "sum"; "none" or None; and, where it has them, "mean_nonzero", "balanced_mean" and
  "mean_lists"), and Keras's "sum_over_batch_size", the sum over the number of samples, and
  "mean_with_sample_weight", the sum over the sum of the sample weights; a sample being an entry
  of y_pred's first axis that is not masked. Under tf.distribute all but "none" and "sum" are
  divided by the number of replicas, as Keras does, whose gradients are summed over the replicas.
sample_weight: a weight per entry of the first axis (anchor, pair, triplet or list), [n] or
  [n, 1]; for ListRankingLoss [B, L] as well, a weight per item.
masks: of a Keras mask on y_pred. To the losses of a batch a masked row does not exist, neither
  as an anchor nor as a positive or negative; nor does a masked item to ListRankingLoss. A masked
  pair or triplet has weight 0, and no mean counts it. With "none" masked rows have the loss 0.
saving: a loss saves with a compiled model to a .keras file; `import tf_pairwise.keras` before it
  is loaded.

Bad options are a ValueError or TypeError of the constructor, other bad arguments of the call.
"""

import importlib

import keras
import tensorflow as tf
from tensorflow.python.eager import record

from tf_pairwise import _arguments, _tensors, contrastive, ranking, softmax, triplet
from tf_pairwise.keras import _inputs
from tf_pairwise.keras.memory import CrossBatchMemory

_OVER_SAMPLES = ("sum_over_batch_size", "mean_with_sample_weight")
_SOFTMAX_REDUCTIONS = ("none", "sum", "mean")


class _Loss(keras.losses.Loss):
    """What the losses have in common: they differ in `_value`."""

    def __init__(self, function, options, reductions, *, reduction, name, dtype):
        super().__init__(name=name, dtype=dtype)
        reduction = "none" if reduction is None else reduction
        self.reduction = _arguments.one_of("reduction", reduction, (*reductions, *_OVER_SAMPLES))
        self._function, self._options = function, options
        self._cast_to = None if dtype is None else self.dtype
        if dtype is not None and tf.as_dtype(self.dtype) not in _tensors.DTYPES:
            raise TypeError(
                f"dtype: got {self.dtype}, expected float16, bfloat16, float32 or float64"
            )

    # Keras's own __call__ casts labels and embeddings to float32, and reduces outside of `call`.
    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            return self._value(y_true, y_pred, sample_weight, self.reduction)

    def call(self, y_true, y_pred):
        """The losses of the samples: those that reduction "none" gives."""
        return self._value(y_true, y_pred, None, "none")

    def get_config(self):
        for name, value in self._options.items():
            if _is_variable(value):
                raise ValueError(
                    f"{name}: got a variable, expected a Python number in a loss that is "
                    "serialized: the config cannot hold a variable, and its value alone would be "
                    "a constant when loaded. Save the weights (model.save_weights), or a model "
                    "that was not compiled with this loss"
                )
        return {
            **self._options,
            "reduction": self.reduction,
            "name": self.name,
            "dtype": self._cast_to,
        }

    def _value(self, y_true, y_pred, sample_weight, reduction):
        """The loss, of the Keras arguments."""
        raise NotImplementedError

    def _reduced(self, inputs, samples, reduction, **options):
        """The function of the inputs, reduced; `samples` is what a mean over samples divides by."""
        function, shared = self._distributed()
        over_samples = reduction in _OVER_SAMPLES
        options |= {**self._options, "reduction": "sum" if over_samples else reduction}
        loss = function(*inputs, **options)
        if over_samples:
            samples = tf.cast(samples, loss.dtype)
            if shared:
                samples = tf.distribute.get_replica_context().all_reduce("SUM", samples)
            loss = tf.math.divide_no_nan(loss, samples)
        replicas = 1 if shared or reduction in ("none", "sum") else _inputs.replicas()
        return loss if replicas == 1 else loss / replicas

    def _distributed(self):
        """The function to call, and whether it gives a replica's share of a global loss."""
        return self._function, False


class _GivenLoss(_Loss):
    """Losses of pairs or triplets that are given, stacked along axis 1."""

    parts, rank, stacked = 2, 3, "[n, 2, d]"
    labelled = False

    def _value(self, y_true, y_pred, sample_weight, reduction):
        mask = _inputs.row_mask(y_pred)
        inputs = _unstack(y_pred, self)
        if mask is not None:  # what is in masked rows, NaN too, has no effect
            rows = tf.reshape(mask, [-1] + [1] * (self.rank - 2))
            inputs = [tf.where(rows, x, tf.zeros_like(x)) for x in inputs]
        if self.labelled:
            inputs.append(_inputs.pair_labels(y_true, self._options["similar_label"]))
        weight = None if sample_weight is None else _inputs.weights(sample_weight, inputs[0])
        samples = tf.shape(inputs[0])[0]
        if mask is not None:
            kept = tf.cast(mask, tf.float32 if weight is None else weight.dtype)
            weight = kept if weight is None else kept * weight
            samples = tf.math.count_nonzero(mask)
        samples = _samples(samples, weight, reduction)
        return self._reduced(inputs, samples, reduction, sample_weight=weight)


class _BatchLoss(_Loss):
    """Losses in which every row of the batch meets every other."""

    def __init__(self, function, options, reductions, *, global_batch, **common):
        super().__init__(function, options, reductions, **common)
        self._global_batch = _boolean("global_batch", global_batch)

    def get_config(self):
        return {**super().get_config(), "global_batch": self._global_batch}

    def _operands(self, y_true, y_pred):
        """The tensors that the function takes, a row per sample each."""
        raise NotImplementedError

    def _value(self, y_true, y_pred, sample_weight, reduction):
        mask = _inputs.row_mask(y_pred)
        inputs = self._operands(y_true, y_pred)
        weight = None if sample_weight is None else _inputs.weights(sample_weight, inputs[0])
        if mask is not None:
            inputs = [tf.boolean_mask(x, mask) for x in inputs]
            weight = None if weight is None else tf.boolean_mask(weight, mask)
        loss = self._of_rows(inputs, weight, reduction)
        if mask is not None and reduction == "none":
            return tf.scatter_nd(tf.where(mask), loss, tf.shape(mask, out_type=tf.int64))
        return loss

    def _of_rows(self, inputs, weight, reduction, **references):
        samples = _samples(tf.shape(inputs[0])[0], weight, reduction)
        return self._reduced(inputs, samples, reduction, sample_weight=weight, **references)

    def _distributed(self):
        # Keras builds a model under a strategy by a call outside of the replicas: not global.
        if not (self._global_batch and _inputs.in_replica_of_several()):
            return super()._distributed()
        module = importlib.import_module("tf_pairwise.distribute")
        return getattr(module, self._function.__name__), True


class _QueriesAndKeysLoss(_BatchLoss):
    parts, rank, stacked = 2, 3, "[n, 2, d]"

    def _operands(self, y_true, y_pred):
        return _unstack(y_pred, self)


class _LabelledLoss(_BatchLoss):
    def __init__(self, function, options, reductions, *, memory, global_batch, **common):
        super().__init__(function, options, reductions, global_batch=global_batch, **common)
        if memory is not None and not isinstance(memory, CrossBatchMemory):
            raise TypeError(f"memory: got {memory!r}, expected a CrossBatchMemory or None")
        if memory is not None and global_batch:
            raise ValueError(
                "memory: got one with global_batch=True, expected None: the memory is of one "
                "replica"
            )
        self.memory = memory

    def get_config(self):
        return {**super().get_config(), "memory": self.memory}

    @classmethod
    def from_config(cls, config):
        memory = config.get("memory")
        if isinstance(memory, dict):
            config = {**config, "memory": keras.saving.deserialize_keras_object(memory)}
        return cls(**config)

    def _operands(self, y_true, y_pred):
        embeddings = _inputs.predictions(y_pred, self._cast_to)
        return [_inputs.expect_rank(embeddings, 2, "[n, d]"), _inputs.labels(y_true)]

    def _of_rows(self, inputs, weight, reduction):
        if self.memory is None or not record.should_record_backprop(inputs[:1]):
            return super()._of_rows(inputs, weight, reduction)
        refs, ref_labels = self.memory.with_batch(*inputs)
        references = {"ref_embeddings": refs, "ref_labels": ref_labels, "self_offset": 0}
        loss = super()._of_rows(inputs, weight, reduction, **references)
        self.memory.write(*inputs)
        return loss


@_inputs.register
class ContrastiveLoss(_GivenLoss):
    """`contrastive_loss` (Hadsell et al. 2006) of given pairs.

    0.5 D^2 for similar pairs, 0.5 max(0, margin - D)^2 for dissimilar ones. y_true: the pairs'
    labels [n] or [n, 1], by default 0 where similar, integers, bools or floats (soft labels from 0
    to 1, and whole numbers up to 2^24, which is what Keras makes of integers); y_pred: [n, 2, d].

    Args:
      margin, metric, similar_label: as `contrastive_loss`.
      reduction: "mean", "sum", "none" or None, "mean_nonzero", "sum_over_batch_size" or
        "mean_with_sample_weight": see this module, which also says the rest.
      name: of the loss.
      dtype: None to take y_pred in the dtype it has, or what it is cast to.
    """

    labelled = True

    def __init__(
        self,
        margin=1.0,
        *,
        metric="euclidean",
        similar_label=0,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = {
            "margin": _arguments.number("margin", margin, least=0),
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
            "similar_label": _arguments.similar_label(similar_label),
        }
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(contrastive.contrastive_loss, options, _arguments.REDUCTIONS, **common)


@_inputs.register
class TripletLoss(_GivenLoss):
    """`triplet_loss` (FaceNet, Schroff et al. 2015) of given triplets.

    max(0, D(a, p) - D(a, n) + margin). y_true is not used; y_pred: [n, 3, d], anchors, positives
    and negatives.

    Args:
      margin, metric, swap: as `triplet_loss`.
      reduction, name, dtype: as `ContrastiveLoss`.
    """

    parts, stacked = 3, "[n, 3, d]"

    def __init__(
        self,
        margin=1.0,
        *,
        metric="squared_euclidean",
        swap=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = {
            "margin": _margin(margin),
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
            "swap": _boolean("swap", swap),
        }
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(triplet.triplet_loss, options, _arguments.REDUCTIONS, **common)


@_inputs.register
class PairwiseRankingLoss(_GivenLoss):
    """`pairwise_ranking_loss` (RankNet, Burges et al. 2005) of given pairs of scores.

    With x = (the other's score - the preferred one's) / temperature: softplus(x),
    max(0, margin + x) or sigmoid(x). y_true is not used; y_pred: [n, 2], the scores of the
    preferred items and of the others.

    Args:
      loss, margin, temperature: as `pairwise_ranking_loss`.
      reduction, name, dtype: as `ContrastiveLoss`.
    """

    rank, stacked = 2, "[n, 2]"

    def __init__(
        self,
        *,
        loss="logistic",
        margin=1.0,
        temperature=1.0,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = _ranking_options(loss, _arguments.PAIR_LOSSES, margin, temperature)
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(ranking.pairwise_ranking_loss, options, _arguments.REDUCTIONS, **common)


@_inputs.register
class ListRankingLoss(_Loss):
    """`list_ranking_loss` over the pairs of items of each list.

    The pairs are those with relevance_i > relevance_j, of the loss of `PairwiseRankingLoss`, or
    for "mse" all; lambda weights make it LambdaRank (Burges et al. 2006) or LambdaLoss (Wang et
    al. 2018). y_true: relevance [B, L], of any real dtype; y_pred: scores [B, L] or [B, L, 1]; or
    both tf.RaggedTensor. An item that is masked, or of a relevance below 0, does not exist.

    Args:
      loss, lambda_weight, topn, margin, temperature: as `list_ranking_loss`.
      reduction: as `ContrastiveLoss`, and "mean_lists". "sum_over_batch_size" divides by the
        number of lists that are not masked whole.
      name, dtype: as `ContrastiveLoss`.
    """

    def __init__(
        self,
        *,
        loss="logistic",
        lambda_weight=None,
        topn=None,
        margin=1.0,
        temperature=1.0,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = _ranking_options(loss, _arguments.LIST_LOSSES, margin, temperature)
        _arguments.lambda_weight(lambda_weight, topn, loss)
        options |= {"lambda_weight": lambda_weight, "topn": topn}
        common = {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(ranking.list_ranking_loss, options, _arguments.LIST_REDUCTIONS, **common)

    def _value(self, y_true, y_pred, sample_weight, reduction):
        scores = _inputs.scores(y_pred, self._cast_to)
        mask = _inputs.item_mask(y_pred, scores)
        if y_true is None:
            raise TypeError("y_true: got None, expected the relevance of the items")
        relevance = _inputs.tensor(y_true)
        exists = relevance >= 0 if mask is None else mask & (relevance >= 0)
        lists = tf.reduce_any(exists, axis=1)
        samples, items = tf.math.count_nonzero(lists), None
        if sample_weight is not None:
            items, of_lists = _inputs.item_weights(sample_weight, scores)
            if reduction == "mean_with_sample_weight":
                counted = (exists, items) if of_lists is None else (lists, of_lists)
                samples = _inputs.sum_where(*counted)
        return self._reduced([scores, relevance], samples, reduction, item_weight=items, mask=mask)


@_inputs.register
class BatchContrastiveLoss(_LabelledLoss):
    """`batch_contrastive_loss` over all pairs of a labelled batch (Hadsell et al. 2006).

    With the hinge h = max(0, D - positive_margin) of two points of one label and
    max(0, margin - D) of others, 0.5 h^2, or h with `squared=False`. y_true: labels [n] or [n, 1]
    of any integer dtype; y_pred: embeddings [n, d].

    Args:
      margin, metric, positive_margin, squared: as `batch_contrastive_loss`.
      memory: a `CrossBatchMemory`, whose embeddings the anchors are paired with as well.
      global_batch: under tf.distribute, whether an anchor is paired with the embeddings of all
        replicas (`tf_pairwise.distribute`), or of its own only.
      reduction: as `ContrastiveLoss`, and "balanced_mean".
      name, dtype: as `ContrastiveLoss`.
    """

    def __init__(
        self,
        margin=1.0,
        *,
        metric="euclidean",
        positive_margin=0.0,
        squared=True,
        memory=None,
        global_batch=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = {
            "margin": _arguments.number("margin", margin, least=0),
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
            "positive_margin": _arguments.number("positive_margin", positive_margin),
            "squared": _boolean("squared", squared),
        }
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        reductions = _arguments.BATCH_CONTRASTIVE_REDUCTIONS
        super().__init__(contrastive.batch_contrastive_loss, options, reductions, **common)


@_inputs.register
class BatchTripletLoss(_LabelledLoss):
    """`batch_triplet_loss` over the triplets that `mining` takes of a labelled batch.

    max(0, D(a, p) - D(a, n) + margin) (Schroff et al. 2015, Hermans et al. 2017). y_true: labels
    [n] or [n, 1] of any integer dtype; y_pred: embeddings [n, d].

    Args:
      margin, mining, metric: as `batch_triplet_loss`.
      memory, global_batch: as `BatchContrastiveLoss`.
      reduction, name, dtype: as `ContrastiveLoss`.
    """

    def __init__(
        self,
        margin=1.0,
        *,
        mining="semi_hard",
        metric="euclidean",
        memory=None,
        global_batch=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        _arguments.one_of("mining", mining, _arguments.MININGS)
        options = {
            "margin": _margin(margin, mining),
            "mining": mining,
            "metric": _arguments.one_of("metric", metric, _arguments.METRICS),
        }
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(triplet.batch_triplet_loss, options, _arguments.REDUCTIONS, **common)


@_inputs.register
class SupervisedContrastiveLoss(_LabelledLoss):
    """`supervised_contrastive_loss` of a labelled batch (SupCon "out", Khosla et al. 2020).

    Per anchor, log(sum exp(s / temperature)) over all others minus the mean of s / temperature
    over its positives, s being dot products. y_true: labels [n] or [n, 1] of any integer dtype;
    y_pred: embeddings [n, d].

    Args:
      temperature: more than 0: a Python number, or a scalar tf.Variable or keras.Variable, which
        then has a gradient (it has to be a variable of the model to be trained by `fit`; the
        loss cannot be serialized with it).
      normalize: whether the embeddings are L2-normalised first.
      memory, global_batch: as `BatchContrastiveLoss`.
      reduction: "mean", "sum", "none" or None, "sum_over_batch_size" or
        "mean_with_sample_weight".
      name, dtype: as `ContrastiveLoss`.
    """

    def __init__(
        self,
        temperature=0.1,
        *,
        normalize=True,
        memory=None,
        global_batch=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = _softmax_options(temperature, normalize)
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        function = softmax.supervised_contrastive_loss
        super().__init__(function, options, _SOFTMAX_REDUCTIONS, **common)


@_inputs.register
class NTXentLoss(_LabelledLoss):
    """`nt_xent_loss` over the positive pairs of a labelled batch (SimCLR, Chen et al. 2020).

    Per ordered pair (i, p) of one label, -log(e_ip / (e_ip + the sum of e_in over points n of
    other labels)), e = exp(s / temperature). y_true: labels [n] or [n, 1] of any integer dtype;
    y_pred: embeddings [n, d].

    Args:
      temperature, normalize: as `SupervisedContrastiveLoss`.
      memory, global_batch: as `BatchContrastiveLoss`.
      reduction: as `SupervisedContrastiveLoss`.
      name, dtype: as `ContrastiveLoss`.
    """

    def __init__(
        self,
        temperature=0.5,
        *,
        normalize=True,
        memory=None,
        global_batch=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = _softmax_options(temperature, normalize)
        common = {"memory": memory, "global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(softmax.nt_xent_loss, options, _SOFTMAX_REDUCTIONS, **common)


@_inputs.register
class InfoNCELoss(_QueriesAndKeysLoss):
    """`info_nce_loss` of queries and their keys (van den Oord et al. 2018).

    Row i's positive is key i, all other keys are its negatives: log(sum_j exp(s_ij /
    temperature)) - s_ii / temperature; `symmetric=True` is CLIP's (Radford et al. 2021). y_true is
    not used; y_pred: [n, 2, d], queries and keys.

    Args:
      temperature, normalize: as `SupervisedContrastiveLoss`.
      symmetric: as `info_nce_loss`.
      global_batch: as `BatchContrastiveLoss`.
      reduction: as `SupervisedContrastiveLoss`.
      name, dtype: as `ContrastiveLoss`.
    """

    def __init__(
        self,
        temperature=0.07,
        *,
        symmetric=False,
        normalize=True,
        global_batch=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = _softmax_options(temperature, normalize)
        options["symmetric"] = _boolean("symmetric", symmetric)
        common = {"global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        super().__init__(softmax.info_nce_loss, options, _SOFTMAX_REDUCTIONS, **common)


@_inputs.register
class SigmoidContrastiveLoss(_QueriesAndKeysLoss):
    """`sigmoid_contrastive_loss` of queries and keys (SigLIP, Zhai et al. 2023).

    -log sigmoid(z_ij (scale s_ij + bias)), z = 1 for i = j and -1 for the rest, summed over the
    keys. y_true is not used; y_pred: [n, 2, d], queries and keys.

    Args:
      scale, bias: Python numbers, or scalar tf.Variables or keras.Variables, as
        `SupervisedContrastiveLoss`'s temperature; the paper starts at 10 and -10.
      normalize: as `SupervisedContrastiveLoss`.
      global_batch: as `BatchContrastiveLoss`.
      reduction: as `SupervisedContrastiveLoss`.
      name, dtype: as `ContrastiveLoss`.
    """

    def __init__(
        self,
        scale,
        bias,
        *,
        normalize=True,
        global_batch=False,
        reduction="mean",
        name=None,
        dtype=None,
    ):
        options = {
            "scale": _parameter("scale", scale),
            "bias": _parameter("bias", bias),
            "normalize": _boolean("normalize", normalize),
        }
        common = {"global_batch": global_batch}
        common |= {"reduction": reduction, "name": name, "dtype": dtype}
        function = softmax.sigmoid_contrastive_loss
        super().__init__(function, options, _SOFTMAX_REDUCTIONS, **common)


# ---- arguments ----


def _unstack(y_pred, loss):
    """The parts that a loss's y_pred is stacked of along axis 1."""
    y_pred = _inputs.predictions(y_pred, loss._cast_to)
    _inputs.expect_rank(y_pred, loss.rank, loss.stacked, loss.parts)
    return tf.unstack(y_pred, loss.parts, axis=1)


def _samples(samples, weight, reduction):
    """What a mean over samples divides by: their number, or the sum of their weights."""
    weighted = weight is not None and reduction == "mean_with_sample_weight"
    return tf.reduce_sum(tf.cast(weight, tf.float64)) if weighted else samples


def _boolean(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, expected True or False")
    return value


def _margin(value, mining="all"):
    _arguments.margin(value, mining)
    return None if value is None else float(value)


def _is_variable(value):
    return isinstance(value, (tf.Variable, keras.Variable))


def _parameter(name, value, **bounds):
    """A number, or a scalar float variable as it is."""
    if not _is_variable(value):
        if tf.is_tensor(value):
            raise TypeError(f"{name}: got a tensor, expected a Python number or a scalar variable")
        return _arguments.number(name, value, **bounds)
    if tuple(value.shape) != () or not tf.as_dtype(value.dtype).is_floating:
        raise TypeError(
            f"{name}: got a variable of shape {tuple(value.shape)} and dtype "
            f"{tf.as_dtype(value.dtype).name}, expected a scalar of a float dtype"
        )
    return value


def _softmax_options(temperature, normalize):
    return {
        "temperature": _parameter("temperature", temperature, above=0),
        "normalize": _boolean("normalize", normalize),
    }


def _ranking_options(loss, losses, margin, temperature):
    _arguments.ranking(loss, losses, margin, temperature, "mean", _arguments.REDUCTIONS)
    return {"loss": loss, "margin": float(margin), "temperature": float(temperature)}

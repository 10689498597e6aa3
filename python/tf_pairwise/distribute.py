"""The batch losses over the global batch of a `tf.distribute` strategy.

Under data parallelism each replica sees its part of a batch, and a loss over pairs that is made
of that part alone has fewer pairs, and easier negatives, the more replicas there are. The
functions here have the names and the options of the plain ones, and make the loss of the whole
batch: each replica takes its own rows as anchors, and the rows of all replicas, in the order of
the replicas, as their references. Gradients flow to the rows of all of them.

**Where.** In a replica context: in the function that `strategy.run` runs, or in the train step of
Keras. Under MirroredStrategy not inside a further tf.function there, since its replicas meet at
each collective (TensorFlow says so: `merge_call` called while defining a new tf.function). In a
cross-replica context, without a strategy, or with one replica, each function is the plain one.
TensorFlow has no XLA kernels of its collectives for CPUs: no `jit_compile` around them.

**What comes back.** The replica's share of the global loss: the shares of all replicas add up to
it, `strategy.reduce("SUM", shares, axis=None)`. Strategies sum the gradients of the replicas'
losses, so the gradient of each variable is that of the global loss, for any number of replicas
and any local batch sizes, also unequal and empty ones. Do not divide by the number of replicas.
With reduction "none": the values of the local anchors.

**In Keras**, `model.fit` under a strategy with a loss that gives such a share:

    with strategy.scope():
        model = ...
        model.compile("adam", tpw.keras.losses.BatchTripletLoss(0.3, global_batch=True))

(A function of labels and embeddings would get labels of which Keras has made float32, in which
those of 2^24 and more run together.) Keras hands on a scalar loss as it is, and sums the gradients:
training is that of one process on the whole batch. What it shows as `loss` is the share times the
number of replicas, averaged over the replicas: the global loss, where local batches have the same
size. (Where not, it averages each replica's steps by their local sizes, and the number shown is off
accordingly; gradients are not.)
Keras 3 itself cannot `fit` under MultiWorkerMirroredStrategy (keras-team/keras issue 20585) but for
a model that is made outside of the strategy's scope, has its variables made inside (`build`,
`compile`), is fitted inside, and overrides `compute_metrics` to give each metric a first dimension;
`examples/train_digits.py` does that for `--workers`.

**What it costs** per replica, with N rows of D numbers on all replicas, n of them here: time
O(n N D), memory O(N D): the gathered rows, and their gradient. Nothing of N x N, nor of n x N.
Each call gathers the rows (N D numbers of the embeddings' type; halves travel as halves) and,
where there are labels, N int64 pairs, else the replicas' sizes; a mean sums one number; and the
gradient sums N D numbers (in float32 for halves) over the replicas. `info_nce_loss` with
`symmetric` has 2 D in place of D.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from tf_pairwise import _tensors, contrastive, softmax, triplet
from tf_pairwise._types import (
    BatchContrastiveReduction,
    Metric,
    Mining,
    Reduction,
    SoftmaxReduction,
    TensorLike,
)


def batch_triplet_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    margin: float | None = 1.0,
    *,
    mining: Mining = "semi_hard",
    metric: Metric = "euclidean",
    sample_weight: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> tf.Tensor:
    """This replica's share of `tf_pairwise.batch_triplet_loss` over the global batch.

    Positives and negatives of the local anchors come from the rows of all replicas. See the
    module for where to call it, what the shares add up to, and what it costs.

    Args:
      embeddings: [n, d], the local rows; n may differ between replicas, and be 0.
      labels: [n] or [n, 1], of any integer dtype; labels that are equal on two replicas are one
        label.
      margin: a number, 0 or more, or None for the soft margin; the same on all replicas.
      mining: a name `tf_pairwise.batch_triplet_loss` takes; the same on all replicas.
      metric: a name `pairwise_distance` takes; the same on all replicas.
      sample_weight: [n], of the local anchors.
      reduction: "none" for the local anchors' values, "sum", "mean" or "mean_nonzero": the means
        divide by what is counted on all replicas.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 embeddings, else float32.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where
        `tf_pairwise.batch_triplet_loss` raises them.

    Examples:
      >>> strategy = tf.distribute.MirroredStrategy()
      >>> @tf.function
      ... def step(x, labels):  # PerReplica values of a distributed dataset
      ...     shares = strategy.run(tpw.distribute.batch_triplet_loss, (x, labels))
      ...     return strategy.reduce("SUM", shares, axis=None)  # the loss of the whole batch
    """
    return _labelled_share(
        triplet._batch_triplet_outputs,
        *(embeddings, labels),
        margin=margin,
        mining=mining,
        metric=metric,
        sample_weight=sample_weight,
        reduction=reduction,
    )


def batch_contrastive_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    margin: float = 1.0,
    *,
    metric: Metric = "euclidean",
    positive_margin: float = 0.0,
    squared: bool = True,
    sample_weight: TensorLike | None = None,
    reduction: BatchContrastiveReduction = "mean",
) -> tf.Tensor:
    """This replica's share of `tf_pairwise.batch_contrastive_loss` over the global batch.

    The local rows are paired with those of all replicas. See the module for where to call it,
    what the shares add up to, and what it costs.

    Args:
      embeddings: [n, d], the local rows; n may differ between replicas, and be 0.
      labels: [n] or [n, 1], of any integer dtype; labels that are equal on two replicas are one
        label.
      margin: a number, 0 or more; the same on all replicas.
      metric: a name `pairwise_distance` takes; the same on all replicas.
      positive_margin: how far apart points of one label may be at no loss, a number; the same on
        all replicas.
      squared: whether the loss is of squares; the same on all replicas.
      sample_weight: [n], of the local anchors.
      reduction: "none" for the local anchors' values, "sum", "mean", "mean_nonzero" or
        "balanced_mean": the means divide by what is counted on all replicas. "balanced_mean" is
        made as two means and takes twice the time; not for "cosine" and "dot", whose distances
        may be negative, so that no margin takes all the dissimilar pairs out of the first.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 embeddings, else float32.

    Raises:
      ValueError: "balanced_mean" with metric "cosine" or "dot" on several replicas.
      TypeError, tf.errors.InvalidArgumentError: where `tf_pairwise.batch_contrastive_loss` raises
        them.

    Examples:
      >>> strategy = tf.distribute.MirroredStrategy()
      >>> @tf.function
      ... def step(x, labels):  # PerReplica values of a distributed dataset
      ...     shares = strategy.run(tpw.distribute.batch_contrastive_loss, (x, labels))
      ...     return strategy.reduce("SUM", shares, axis=None)  # the loss of the whole batch
    """
    balanced = reduction == "balanced_mean" and _replica_context() is not None
    if balanced and metric in ("cosine", "dot"):
        raise ValueError(
            f"reduction: got 'balanced_mean' with metric {metric!r} on several replicas, expected "
            "another reduction, or a metric that is never negative"
        )
    batch = _gather_batch(embeddings, labels)
    options = {"metric": metric, "squared": squared, "sample_weight": sample_weight}

    def share(margin, positive_margin, reduction):
        outputs = contrastive._batch_contrastive_outputs(
            margin=margin,
            positive_margin=positive_margin,
            reduction=reduction,
            **batch,
            **options,
        )
        return _share(outputs, reduction)

    if not balanced:
        return share(margin, positive_margin, reduction)
    # The pairs of one kind are all within their margin, and not counted.
    similar = share(0.0, positive_margin, "mean_nonzero")
    return similar + share(margin, _BEYOND_ALL, "mean_nonzero")


def info_nce_loss(
    queries: TensorLike,
    keys: TensorLike,
    temperature: float | TensorLike = 0.07,
    *,
    symmetric: bool = False,
    normalize: bool = True,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """This replica's share of `tf_pairwise.info_nce_loss` over the global batch.

    Row i's positive is its own key, and its negatives are the other keys of all replicas. With
    `symmetric`, queries and keys are gathered, else keys alone. See the module for where to call
    it, what the shares add up to, and what it costs.

    Args:
      queries: [n, d], the local rows; n may differ between replicas, and be 0.
      keys: [n, d], theirs.
      temperature: more than 0: a Python number, or a scalar tensor or variable. The gradients that
        the replicas give it add up to that of the global loss.
      symmetric: whether to take the mean of both directions.
      normalize: whether the points are L2-normalised first.
      sample_weight: [n], of the local rows.
      reduction: "none" for the local rows' values, "sum", or "mean": over the rows of all
        replicas.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where
        `tf_pairwise.info_nce_loss` raises them.

    Examples:
      >>> strategy = tf.distribute.MirroredStrategy()
      >>> @tf.function
      ... def step(queries, keys):  # PerReplica values of a distributed dataset
      ...     shares = strategy.run(tpw.distribute.info_nce_loss, (queries, keys))
      ...     return strategy.reduce("SUM", shares, axis=None)  # the loss of the whole batch
    """
    return _queries_share(
        "info_nce",
        *(queries, keys),
        {"temperature": temperature},
        symmetric=symmetric,
        normalize=normalize,
        sample_weight=sample_weight,
        reduction=reduction,
    )


def supervised_contrastive_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    temperature: float | TensorLike = 0.1,
    *,
    normalize: bool = True,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """This replica's share of `tf_pairwise.supervised_contrastive_loss` over the global batch.

    The local anchors are held against the rows of all replicas. See the module for where to call
    it, what the shares add up to, and what it costs.

    Args:
      embeddings: [n, d], the local rows; n may differ between replicas, and be 0.
      labels: [n] or [n, 1], of any integer dtype; labels that are equal on two replicas are one
        label.
      temperature: more than 0: a Python number, or a scalar tensor or variable. The gradients that
        the replicas give it add up to that of the global loss.
      normalize: whether the points are L2-normalised first.
      sample_weight: [n], of the local anchors.
      reduction: "none" for the local anchors' values, "sum", or "mean": over the anchors of all
        replicas that have a positive.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where
        `tf_pairwise.supervised_contrastive_loss` raises them.

    Examples:
      >>> strategy = tf.distribute.MirroredStrategy()
      >>> @tf.function
      ... def step(x, labels):  # PerReplica values of a distributed dataset
      ...     shares = strategy.run(tpw.distribute.supervised_contrastive_loss, (x, labels))
      ...     return strategy.reduce("SUM", shares, axis=None)  # the loss of the whole batch
    """
    return _labelled_share(
        functools.partial(softmax._labelled_outputs, "supervised"),
        *(embeddings, labels),
        parameters={"temperature": temperature},
        normalize=normalize,
        sample_weight=sample_weight,
        reduction=reduction,
    )


def nt_xent_loss(
    embeddings: TensorLike,
    labels: TensorLike,
    temperature: float | TensorLike = 0.5,
    *,
    normalize: bool = True,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """This replica's share of `tf_pairwise.nt_xent_loss` over the global batch.

    The local anchors' positives and negatives are rows of all replicas: the two views of an
    image may be on two of them. See the module for where to call it, what the shares add up to,
    and what it costs.

    Args:
      embeddings: [n, d], the local rows; n may differ between replicas, and be 0.
      labels: [n] or [n, 1], of any integer dtype; labels that are equal on two replicas are one
        label.
      temperature: more than 0: a Python number, or a scalar tensor or variable. The gradients that
        the replicas give it add up to that of the global loss.
      normalize: whether the points are L2-normalised first.
      sample_weight: [n], of the local anchors.
      reduction: "none" for the local anchors' values, "sum", or "mean": over the positive pairs
        of the anchors of all replicas.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where
        `tf_pairwise.nt_xent_loss` raises them.

    Examples:
      >>> strategy = tf.distribute.MirroredStrategy()
      >>> @tf.function
      ... def step(x, labels):  # PerReplica values of a distributed dataset
      ...     shares = strategy.run(tpw.distribute.nt_xent_loss, (x, labels))
      ...     return strategy.reduce("SUM", shares, axis=None)  # the loss of the whole batch
    """
    return _labelled_share(
        functools.partial(softmax._labelled_outputs, "nt_xent"),
        *(embeddings, labels),
        parameters={"temperature": temperature},
        normalize=normalize,
        sample_weight=sample_weight,
        reduction=reduction,
    )


def sigmoid_contrastive_loss(
    queries: TensorLike,
    keys: TensorLike,
    scale: float | TensorLike,
    bias: float | TensorLike,
    *,
    normalize: bool = True,
    sample_weight: TensorLike | None = None,
    reduction: SoftmaxReduction = "mean",
) -> tf.Tensor:
    """This replica's share of `tf_pairwise.sigmoid_contrastive_loss` over the global batch.

    The local queries are held against the keys of all replicas. See the module for where to call
    it, what the shares add up to, and what it costs.

    Args:
      queries: [n, d], the local rows; n may differ between replicas, and be 0.
      keys: [n, d], theirs.
      scale: a Python number, or a scalar tensor or variable. The gradients that the replicas give
        it add up to that of the global loss.
      bias: likewise.
      normalize: whether the points are L2-normalised first.
      sample_weight: [n], of the local rows.
      reduction: "none" for the local rows' values, "sum", or "mean": over the rows of all replicas.

    Returns:
      A scalar, or [n] with reduction "none": float64 for float64 points, else float32.

    Raises:
      ValueError, TypeError, tf.errors.InvalidArgumentError: where
        `tf_pairwise.sigmoid_contrastive_loss` raises them.

    Examples:
      >>> strategy = tf.distribute.MirroredStrategy()
      >>> @tf.function
      ... def step(queries, keys):  # PerReplica values of a distributed dataset
      ...     loss = tpw.distribute.sigmoid_contrastive_loss
      ...     shares = strategy.run(loss, (queries, keys, 10.0, -10.0))
      ...     return strategy.reduce("SUM", shares, axis=None)  # the loss of the whole batch
    """
    return _queries_share(
        "sigmoid",
        *(queries, keys),
        {"scale": scale, "bias": bias},
        normalize=normalize,
        sample_weight=sample_weight,
        reduction=reduction,
    )


# A positive margin that no distance reaches, in float32 too.
_BEYOND_ALL = 3e38


# ---- a share ----


def _labelled_share(outputs, embeddings, labels, *, reduction, **options):
    """This replica's share of a loss of a labelled batch, of which `outputs` runs the op."""
    batch = _gather_batch(embeddings, labels)
    return _share(outputs(**batch, reduction=reduction, **options), reduction)


def _queries_share(kind, queries, keys, parameters, *, reduction, symmetric=False, **options):
    """The same of a soft-max loss of queries and keys."""
    options["reduction"] = reduction

    def outputs(queries, keys, **more):
        return softmax._queries_outputs(kind, queries, keys, parameters, **options, **more)

    context = _replica_context()
    if context is None:
        return outputs(queries, keys, symmetric=symmetric)[0]
    queries, keys = _own_keys(queries, keys)
    first = _first_row(context, keys)
    if not symmetric:
        all_keys = _gather_points(context, keys, first)
        return _share(outputs(queries, all_keys, positive_offset=first), reduction)
    both = _gather_points(context, tf.concat([queries, keys], axis=1), first)
    all_queries, all_keys = tf.split(both, 2, axis=1)
    forth = outputs(queries, all_keys, positive_offset=first)
    back = outputs(keys, all_queries, positive_offset=first)
    return _share([0.5 * (forth[0] + back[0]), forth[-1]], reduction)


def _share(outputs, reduction):
    """What the local anchors contribute to the reduction over all replicas.

    `outputs` are those of a loss's op: the loss first, and last, for a mean, what it divided by;
    the global mean divides by the sum of that over all replicas.
    """
    context = _replica_context()
    loss, counted = outputs[0], tf.stop_gradient(outputs[-1])
    if context is None or reduction in ("none", "sum"):
        return loss
    total = context.all_reduce("SUM", counted)
    return loss * tf.cast(tf.math.divide_no_nan(counted, total), loss.dtype)


# ---- what the replicas tell each other ----
#
# The order of collectives has to be the same on all replicas, in the backward pass too. In a
# tf.function TensorFlow keeps the order in which they were traced: the collectives of a replica
# share an ordering token, by which automatic control dependencies chain them. The replicas run
# the same Python code, and so trace them in the same order.


def _replica_context():
    """The replica context, or None where the local batch is all there is."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


def _gather_batch(embeddings, labels):
    """The arguments of a batch loss: the local rows, and those of all replicas as references."""
    context = _replica_context()
    if context is None:
        return {"embeddings": embeddings, "labels": labels}
    embeddings = _tensors.points("embeddings", embeddings)
    labels = _tensors.labels("labels", labels)
    # One collective for labels and offset: beside each label, the replica that it is from.
    flat = tf.reshape(labels, [-1])
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64)
    owned = tf.stack([flat, tf.fill(tf.shape(flat), replica)], axis=1)
    ref_labels, owners = tf.unstack(_all_gather(context, owned), axis=1)
    first = tf.math.count_nonzero(owners < replica)
    return {
        "embeddings": embeddings,
        "labels": labels,
        "ref_embeddings": _gather_points(context, embeddings, first),
        "ref_labels": ref_labels,
        "self_offset": first,
    }


def _own_keys(queries, keys):
    """Rows and their own keys: as many of them, which the op, given all keys, could not see."""
    queries = _tensors.points("queries", queries)
    keys = _tensors.points("keys", keys, queries, "queries")
    shapes = queries.shape, keys.shape
    message = "on each replica, the keys of its own queries"
    if not shapes[0].is_compatible_with(shapes[1]):
        raise ValueError(f"keys: got shape {shapes[1]}, expected {shapes[0]} as queries: {message}")
    if not all(shape.is_fully_defined() for shape in shapes):
        same = tf.debugging.assert_equal(
            tf.shape(keys), tf.shape(queries), f"keys: expected the shape of queries: {message}"
        )
        with tf.control_dependencies([same]):
            keys = tf.identity(keys)
    return queries, keys


def _first_row(context, rows):
    """The number of rows on the replicas before this one."""
    replica = context.replica_id_in_sync_group
    own = tf.one_hot(replica, context.num_replicas_in_sync, dtype=tf.int64)
    counts = context.all_reduce("SUM", own * tf.shape(rows, tf.int64)[0])
    return tf.reduce_sum(counts[:replica])


def _all_gather(context, rows):
    """The rows of all replicas, in the order of the replicas.

    TensorFlow crashes where there are none at all (2.21: a segmentation fault), so the last
    replica sends a row more; leaving that out again copies nothing.
    """
    last = context.replica_id_in_sync_group == context.num_replicas_in_sync - 1
    padding = [[0, tf.cast(last, tf.int32)], *[[0, 0]] * (rows.shape.rank - 1)]
    gathered = context.all_gather(tf.pad(rows, padding), axis=0)
    gathered.set_shape([None, *rows.shape[1:]])  # which TensorFlow loses
    return gathered[:-1]


def _gather_points(context, points, first):
    """[N, d], the points of all replicas; the local ones begin at row `first`.

    The gradient is the sum of the replicas' gradients, of which each takes its own rows: one
    all-reduce. (That of `all_gather` itself gathers the sizes again.)
    """

    @tf.custom_gradient
    def gather(points):
        def gradient(upstream):
            total = context.all_reduce("SUM", tf.cast(upstream, _tensors.accumulator(dtype)))
            return tf.cast(total[first : first + tf.shape(points, tf.int64)[0]], dtype)

        dtype = points.dtype
        if dtype != tf.bfloat16:
            return _all_gather(context, points), gradient
        # Collectives do not take bfloat16; a gather but moves bits, which float16 has as many of.
        bits = _all_gather(context, tf.bitcast(points, tf.float16))
        return tf.bitcast(bits, tf.bfloat16), gradient

    return gather(points)

"""What the arguments are, for readers and type checkers: the names, and what becomes a tensor.

The names are said here once: `_arguments` checks calls against them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy.typing as npt
    import tensorflow as tf

    # Whatever tf.convert_to_tensor takes.
    TensorLike: TypeAlias = tf.Tensor | tf.Variable | npt.ArrayLike
    RaggedLike: TypeAlias = TensorLike | tf.RaggedTensor
else:
    TensorLike = RaggedLike = Any

# An array of NumPy or what becomes one, or of a GPU: of PyTorch, CuPy, JAX.
ArrayLike: TypeAlias = Any
# An array of the arguments' library; with gradients, a tuple of those.
Arrays: TypeAlias = Any

Metric = Literal["euclidean", "squared_euclidean", "cosine", "manhattan", "dot", "chebyshev"]
Mining = Literal["all", "hard", "semi_hard", "semi_hard_all", "hard_all"]
Only = Literal["same_label", "other_label"]

SoftmaxReduction = Literal["none", "sum", "mean"]
Reduction = Literal["none", "sum", "mean", "mean_nonzero"]
BatchContrastiveReduction = Literal["none", "sum", "mean", "mean_nonzero", "balanced_mean"]
ListReduction = Literal["none", "sum", "mean", "mean_nonzero", "mean_lists"]
# What a Keras loss takes beside those of its function.
OverSamples = Literal["sum_over_batch_size", "mean_with_sample_weight"]

PairLoss = Literal["logistic", "hinge", "soft_zero_one"]
ListLoss = Literal["logistic", "hinge", "soft_zero_one", "mse"]
LambdaWeight = Literal["label_diff", "dcg", "ndcg"]

SmallClasses = Literal["repeat", "skip"]

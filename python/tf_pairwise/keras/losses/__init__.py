"""Keras losses over the fused functions: one class for each.

| class                       | y_true                          | y_pred                       |
|-----------------------------|---------------------------------|------------------------------|
| `BatchContrastiveLoss`      | labels `[n]` or `[n, 1]`        | embeddings `[n, d]`          |
| `BatchTripletLoss`          | labels                          | embeddings `[n, d]`          |
| `SupervisedContrastiveLoss` | labels                          | embeddings `[n, d]`          |
| `NTXentLoss`                | labels                          | embeddings `[n, d]`          |
| `ContrastiveLoss`           | labels of pairs `[n]`, `[n, 1]` | pairs `[n, 2, d]`            |
| `TripletLoss`               | not used (None, or anything)    | triplets `[n, 3, d]`         |
| `InfoNCELoss`               | not used                        | query and key `[n, 2, d]`    |
| `SigmoidContrastiveLoss`    | not used                        | query and key `[n, 2, d]`    |
| `PairwiseRankingLoss`       | not used                        | preferred, other `[n, 2]`    |
| `ListRankingLoss`           | relevance `[B, L]`              | scores `[B, L]`, or ragged   |

What all have in common, and where they differ from Keras's own losses:

- **dtype**: y_pred is not cast, so that under mixed precision halves reach the kernels of halves;
  with `dtype` it is cast to that. The loss is float64 for float64 y_pred, else float32. Labels are
  never cast to floats, in which different ones would run into one: they have to be integers.
- **reduction**: those of the function ("mean" by default, so that the loss is the same number as
  the function's; "sum"; "none" or None; and, where it has them, "mean_nonzero", "balanced_mean" and
  "mean_lists"), and Keras's "sum_over_batch_size", the sum over the number of samples, and
  "mean_with_sample_weight", the sum over the sum of the sample weights; a sample being an entry of
  y_pred's first axis that is not masked. Under tf.distribute all but "none" and "sum" are divided
  by the number of replicas, as Keras does, whose gradients are summed over the replicas.
- **sample_weight**: a weight per entry of the first axis (anchor, pair, triplet or list), [n] or
  [n, 1]; for ListRankingLoss [B, L] as well, a weight per item.
- **masks**: of a Keras mask on y_pred. To the losses of a batch a masked row does not exist,
  neither as an anchor nor as a positive or negative; nor does a masked item to ListRankingLoss. A
  masked pair or triplet has weight 0, and no mean counts it. With "none" masked rows have the loss
  0.
- **saving**: a loss saves with a compiled model to a .keras file; `import tf_pairwise.keras` before
  it is loaded.

Bad options are a ValueError or TypeError of the constructor, other bad arguments of the call.
"""

from tf_pairwise.keras.losses.contrastive import BatchContrastiveLoss, ContrastiveLoss
from tf_pairwise.keras.losses.ranking import ListRankingLoss, PairwiseRankingLoss
from tf_pairwise.keras.losses.softmax import (
    InfoNCELoss,
    NTXentLoss,
    SigmoidContrastiveLoss,
    SupervisedContrastiveLoss,
)
from tf_pairwise.keras.losses.triplet import BatchTripletLoss, TripletLoss

__all__ = [
    "BatchContrastiveLoss",
    "BatchTripletLoss",
    "ContrastiveLoss",
    "InfoNCELoss",
    "ListRankingLoss",
    "NTXentLoss",
    "PairwiseRankingLoss",
    "SigmoidContrastiveLoss",
    "SupervisedContrastiveLoss",
    "TripletLoss",
]

# Their files are nobody's business, least of all that of a .keras file, which names the module.
for _name in __all__:
    globals()[_name].__module__ = __name__

"""Keras metrics of retrieval and ranking, on `nearest_neighbors` and `list_ranking_loss`.

| metric                  | of                                                                    |
|-------------------------|-----------------------------------------------------------------------|
| RecallAtK               | queries: is one of their label among the k nearest?                   |
| PrecisionAtK            | queries: how many of the k nearest are of their label?                |
| RPrecision              | queries: of the R nearest, R being how many of their label there are? |
| MeanAveragePrecisionAtR | so, and the nearer ones count for more (MAP@R)                        |
| MRR                     | queries: one over the place of the first of their label               |
| NDCG                    | ranked lists with a relevance per item                                |
| PairwiseAccuracy        | pairs of items of such lists                                          |
"""

from tf_pairwise.keras.metrics.ranking import NDCG, PairwiseAccuracy
from tf_pairwise.keras.metrics.retrieval import (
    MRR,
    MeanAveragePrecisionAtR,
    PrecisionAtK,
    RecallAtK,
    RPrecision,
)

__all__ = [
    "MRR",
    "MeanAveragePrecisionAtR",
    "NDCG",
    "PairwiseAccuracy",
    "PrecisionAtK",
    "RPrecision",
    "RecallAtK",
]

# Their files are nobody's business, least of all that of a .keras file, which names the module.
for _name in __all__:
    globals()[_name].__module__ = __name__

"""Checks of the arguments that are Python values, for TensorFlow and NumPy alike."""

import difflib
import math
import numbers
from typing import get_args

from tf_pairwise import _types

METRICS = get_args(_types.Metric)
MININGS = get_args(_types.Mining)
SOFT_MININGS = ("all", "hard", "semi_hard")
ONLY = get_args(_types.Only)
REDUCTIONS = get_args(_types.Reduction)
BATCH_CONTRASTIVE_REDUCTIONS = get_args(_types.BatchContrastiveReduction)
SOFTMAX_REDUCTIONS = get_args(_types.SoftmaxReduction)
LIST_REDUCTIONS = get_args(_types.ListReduction)
PAIR_LOSSES = get_args(_types.PairLoss)
LIST_LOSSES = get_args(_types.ListLoss)
LAMBDA_WEIGHTS = get_args(_types.LambdaWeight)

# What other packages call them.
_SYNONYMS = {
    "l1": "manhattan",
    "cityblock": "manhattan",
    "taxicab": "manhattan",
    "l2": "euclidean",
    "squared_l2": "squared_euclidean",
    "squaredl2": "squared_euclidean",
    "sqeuclidean": "squared_euclidean",
    "linf": "chebyshev",
    "max": "chebyshev",
    "angular": "cosine",
    "inner_product": "dot",
    "innerproduct": "dot",
    "batch_all": "all",
    "batch_hard": "hard",
    "ranknet": "logistic",
    "lambdarank": "ndcg",
}


def one_of(name, value, allowed):
    """`value`, which has to be one of the strings `allowed`."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {value!r}, expected one of {', '.join(allowed)}")
    if value not in allowed:
        raise ValueError(
            f"{name}: got {value!r}, expected one of {', '.join(allowed)}{_meant(value, allowed)}"
        )
    return value


def _meant(value, allowed):
    word = value.lower().replace("-", "_").replace(" ", "_")
    near = [_SYNONYMS[word]] if word in _SYNONYMS else difflib.get_close_matches(word, allowed, 1)
    return f"; did you mean {near[0]!r}?" if near and near[0] in allowed else ""


def one_hot(shape):
    """What to say more of labels of this shape, of which a row looks like one of one-hot labels."""
    rank = shape.rank if hasattr(shape, "rank") else len(shape)  # TensorFlow's may be unknown
    if rank != 2 or shape[1] is None or shape[1] < 2:
        return ""
    return "; of one-hot labels take the argmax over the last axis"


def margin(value, mining="all"):
    """The margin as the kernels read it: a double's repr, or "soft" for None."""
    if value is None:
        if mining not in SOFT_MININGS:
            raise ValueError(
                f"margin: got None (the soft margin) with mining {mining!r}, expected a number, "
                f"or one of the minings {', '.join(SOFT_MININGS)}"
            )
        return "soft"
    if isinstance(value, str) and value in MININGS:
        raise TypeError(f"margin: got {value!r}, expected a number or None; or mining={value!r}?")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"margin: got {value!r}, expected a Python number or None")
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"margin: got {value!r}, expected a finite number, 0 or more, or None")
    return repr(number)


def number(name, value, least=-math.inf, above=-math.inf):
    """`value` as a float: a finite Python number, `least` or more, and more than `above`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: got {value!r}, expected a Python number")
    number = float(value)
    if not math.isfinite(number) or number < least or number <= above:
        bound = f", {least} or more" if math.isfinite(least) else ""
        bound += f", more than {above}" if math.isfinite(above) else ""
        raise ValueError(f"{name}: got {value!r}, expected a finite number{bound}")
    return number


def integer(name, value, least=-math.inf, below=math.inf):
    """`value` as an int: a Python integer, `least` or more, and less than `below`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {value!r}, expected a Python integer")
    if not least <= value < below:
        bound = f" and less than {below}" if math.isfinite(below) else ""
        raise ValueError(f"{name}: got {value!r}, expected {least} or more{bound}")
    return int(value)


def references(ref_embeddings, ref_labels, self_offset):
    """Whether there are references; they come with their labels or not at all."""
    if (ref_embeddings is None) != (ref_labels is None):
        missing, given = "ref_labels", "ref_embeddings"
        if ref_embeddings is None:
            missing, given = given, missing
        raise ValueError(f"{missing}: got None with {given} given, expected both or neither")
    if ref_embeddings is None and self_offset is not None:
        raise ValueError(
            "self_offset: got a value without ref_embeddings, expected None: "
            "embeddings that are their own references leave themselves out"
        )
    return ref_embeddings is not None


def self_offset(value):
    """A self_offset that is a Python integer, or -1 for none."""
    return -1 if value is None else _offset("self_offset", value, " or None", ", or None")


def positive_offset(value):
    """A positive_offset that is a Python integer."""
    return _offset("positive_offset", value)


def _offset(name, value, or_type="", or_value=""):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {value!r}, expected an integer{or_type}")
    if value < 0:
        raise ValueError(f"{name}: got {value!r}, expected 0 or more{or_value}")
    return int(value)


def similar_label(value, soft=False):
    """The label of similar pairs: a Python integer, or a bool for labels that are bools.

    `soft`: for labels that are floats, 0 for all similar to 1 for all dissimilar, or the other way.
    """
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"similar_label: got {value!r}, expected a Python integer")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"similar_label: got {value!r}, expected an integer of 64 bits")
    if soft and value not in (0, 1):
        raise ValueError(f"similar_label: got {value!r} with float labels, expected 0 or 1")
    return int(value)


def neighbors(keys, k, query_labels, key_labels, only):
    """k and `only`, "any" for None, as the kernels read them; labels come with `only` alone."""
    if isinstance(k, bool) or not isinstance(k, numbers.Integral):
        raise TypeError(f"k: got {k!r}, expected a Python integer")
    if not 1 <= k < 2**31:
        raise ValueError(f"k: got {k!r}, expected an integer, 1 or more")
    if only is not None:
        one_of("only", only, ONLY)
    for name, value in (("query_labels", query_labels), ("key_labels", key_labels)):
        if name == "key_labels" and keys is None:
            if value is not None:
                raise ValueError(
                    "key_labels: got labels with keys None, expected None: "
                    "queries that are their own keys have query_labels"
                )
        elif (value is None) != (only is None):
            came = "None" if value is None else "labels"
            raise ValueError(f"{name}: got {came} with only {only!r}, expected both or neither")
    return int(k), only or "any"


def ranking(loss, losses, margin, temperature, reduction, reductions):
    """Checks of the names; margin and temperature as the kernels read them, a double's repr."""
    one_of("loss", loss, losses)
    one_of("reduction", reduction, reductions)
    margin = number("margin", margin, least=0)
    return repr(margin), repr(number("temperature", temperature, above=0))


def lambda_weight(value, topn, loss):
    """lambda_weight and topn as the kernels read them: "none" and 0 for None."""
    if value is not None:
        one_of("lambda_weight", value, LAMBDA_WEIGHTS)
        if loss == "mse":
            raise ValueError(
                f"lambda_weight: got {value!r} with loss 'mse', expected None: it is over all "
                "ordered pairs, of which none is preferred"
            )
    if topn is None:
        return value or "none", 0
    if isinstance(topn, bool) or not isinstance(topn, numbers.Integral):
        raise TypeError(f"topn: got {topn!r}, expected a Python integer or None")
    if not 1 <= topn < 2**63:
        raise ValueError(f"topn: got {topn!r}, expected 1 or more, or None")
    if value not in ("dcg", "ndcg"):
        raise ValueError(
            f"topn: got {topn!r} with lambda_weight {value!r}, expected None, "
            "or one of the lambda weights dcg, ndcg"
        )
    return value, int(topn)

"""Checks of the arguments that are Python values, for TensorFlow and NumPy alike."""

import math
import numbers

METRICS = ("euclidean", "squared_euclidean", "cosine", "manhattan", "dot", "chebyshev")
MININGS = ("all", "hard", "semi_hard", "semi_hard_all", "hard_all")
SOFT_MININGS = ("all", "hard", "semi_hard")
ONLY = ("same_label", "other_label")
REDUCTIONS = ("none", "sum", "mean", "mean_nonzero")
BATCH_CONTRASTIVE_REDUCTIONS = (*REDUCTIONS, "balanced_mean")
SOFTMAX_REDUCTIONS = ("none", "sum", "mean")
LIST_REDUCTIONS = (*REDUCTIONS, "mean_lists")
PAIR_LOSSES = ("logistic", "hinge", "soft_zero_one")
LIST_LOSSES = (*PAIR_LOSSES, "mse")
LAMBDA_WEIGHTS = ("label_diff", "dcg", "ndcg")


def one_of(name, value, allowed):
    """`value`, which has to be one of the strings `allowed`."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: got {value!r}, expected one of {', '.join(allowed)}")
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(allowed)}")
    return value


def margin(value, mining="all"):
    """The margin as the kernels read it: a double's repr, or "soft" for None."""
    if value is None:
        if mining not in SOFT_MININGS:
            raise ValueError(
                f"margin: got None (the soft margin) with mining {mining!r}, expected a number, "
                f"or one of the minings {', '.join(SOFT_MININGS)}"
            )
        return "soft"
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

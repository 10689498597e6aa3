"""Is what came right? The tolerances, and the leeways one by one."""

import numpy as np

from tests.checks import LOSS_TOLERANCE, STORED_TOLERANCE
from tests.fuzz import oracle

NOISES = 8  # runs of the reference with other rounding errors, where the first says wrong


class Wrong(Exception):
    """What is wrong, and the error relative to the largest number that was expected."""

    def __init__(self, what, error=np.inf):
        super().__init__(what)
        self.error = error


def leave_aside(case, answer):
    """Why this case is not asked for, or "": what the contract or the reference does not reach."""
    if case.skip:
        return case.skip
    if case.function == "nearest_neighbors" and not answer.reach < oracle.largest(
        oracle.computed_in(case.dtype)
    ):
        return "neighbours at a distance beyond the range of the type"
    infinite = case.function == "nearest_neighbors"  # the distance of a missing neighbour
    if not infinite and not all(
        np.all(np.isfinite(x)) for x in answer.results if x.dtype.kind == "f"
    ):
        return "float64 itself, in which the reference computes, runs out of range"
    if case.dtype == "float64" and _of_unit_vectors(case) and _least(case) < 1e-150:
        return "the reference squares float64 points that are too small for that"
    denormal = case.words.get("data") == "denormal"
    if denormal and "scores" in case.arguments and case.dtype != "float16":
        return "denormal scores, or over their temperature, may be told apart or not"
    reach = answer.reach * answer.reach if _squares(case) else answer.reach
    most = oracle.largest(oracle.computed_in(case.dtype))
    small = case.words.get("data") in ("tiny", "denormal", "huge")
    counts = case.arguments.get("reduction") in ("mean_nonzero", "balanced_mean")
    if small and counts and _squares(case):
        return "whether squares below the range of the type, or their roots beside 1, are counted"
    margins = [case.arguments.get(name) or 0 for name in ("margin", "positive_margin")]
    squared = case.arguments.get("metric") == "squared_euclidean"
    if small and squared and any(type(m) is float and 0 < m < 1e-36 for m in margins):
        return "a margin at the least of the type, by which squares beneath that are told apart"
    if small and case.arguments.get("loss") == "mse" and not answer.reach > 1:
        return "scores that vanish beside the relevances that they are subtracted from"
    if case.second and case.words["d"] == 1 and case.arguments["metric"] in ("euclidean", "cosine"):
        return "a second derivative that is 0, but for rounding"
    if _is_softmax(case) and answer.reach > 1e28:
        return "logits beyond what the reference takes for that of no pair"
    made = case.function.endswith("_distance") and case.arguments["metric"] != "dot"
    if not made and not reach < most:
        return "a loss of distances or logits beyond the range of the type"
    return ""


def _is_softmax(case):
    return "normalize" in case.arguments


def _squares(case):
    squared = case.function == "contrastive_loss" or case.arguments.get("squared", False)
    return squared or case.arguments.get("loss") == "mse"


def check(case, name, values, gradients, answer):
    """`values` and `gradients`, of the module `name`, against the answer of the reference."""
    if case.function == "nearest_neighbors":
        return neighbors(case, name, values, answer.values)
    if case.function == "mine_triplets":
        return triplets(case, name, values[0], answer.values[0])
    made, runs = [*values, *gradients], _Noisy(case)
    for i, (which, dtype, tolerance) in enumerate(_results(case)):
        if i >= len(made):  # no gradients of this upstream
            break
        right = np.asarray(answer.results[i])
        if made[i].shape != right.shape:
            raise Wrong(f"{name} {which}: shape {made[i].shape}, expected {right.shape}")
        floor = _floor(case, dtype, which, answer)
        bad = _bad(made[i], right, dtype, tolerance, floor)
        if case.second is not None:  # a sum of parts, each of which may be beyond the range
            bad &= np.isfinite(made[i]) | (np.abs(right) < oracle.largest(dtype))
        if np.any(bad) and which != "value":
            bad &= ~_no_gradient(case, which, right)
        if np.any(bad):
            bad &= runs.outside(i, made[i], right, tolerance, floor)
        if np.any(bad):
            raise _wrong(f"{name} {which}", made[i], right, bad)


def _largest_coordinates(case, name):
    """Of each point, as a float64."""
    return np.max(np.abs(case.for_reference()[name].astype(np.float64)), axis=-1, initial=0.0)


def _least(case):
    """The largest coordinate of the least point that is not zero."""
    names = ("x", "y", "x1", "x2", "anchors", "positives", "negatives", "embeddings")
    names += ("ref_embeddings", "queries", "keys", "scores", "scores_pos", "scores_neg")
    points = [name for name in names if case.arguments.get(name) is not None]
    sizes = np.concatenate([_largest_coordinates(case, name).reshape(-1) for name in points])
    return np.min(sizes, initial=np.inf, where=sizes > 0)


def _no_gradient(case, which, right):
    """Where the type of the computation has none.

    A unit vector's is 1 / |x| long, and but for rounding 0 in one dimension. Distances (and
    differences of coordinates) below about 1e-37 in float32 are 0 to a kernel, and so is their
    gradient.
    """
    none = np.zeros(right.shape, bool)
    computed = oracle.computed_in(case.dtype)
    if right.ndim < 2:
        return none
    if _of_unit_vectors(case):
        if case.words.get("data") == "same" and not np.any(right):
            return ~none  # one direction, to which nothing is across but rounding
        too_short = _largest_coordinates(case, which.split()[-1]) < 1e4 / oracle.largest(computed)
        return none | too_short[..., None] | (right.shape[-1] == 1)
    kinked = case.arguments.get("metric") in ("euclidean", "manhattan", "chebyshev")
    return none | (kinked and _least(case) < 10.0 * oracle.smallest(computed))


def _of_unit_vectors(case):
    return case.arguments.get("normalize") or case.arguments.get("metric") == "cosine"


def same_bits(case, first, second):
    """Of the NumPy module and of TensorFlow: equal, but that either may flush denormals."""
    for which, a, b in zip(_names(case) or ["result"] * 2, first, second, strict=False):
        if a.shape != b.shape:
            raise Wrong(f"numpy and tensorflow differ: shapes {a.shape} and {b.shape}")
        smallest = oracle.smallest(oracle.computed_in(case.dtype))
        with np.errstate(invalid="ignore"):
            bad = ~((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= smallest))
        if np.any(bad):
            raise _wrong(f"numpy and tensorflow differ, {which}", a, b, bad)


def _names(case):
    """Of what comes: the value, and the gradients. A second derivative comes after the first."""
    if not case.second:
        return ["value", *(f"gradient of {name}" for name in case.differentiable)]
    orders = ("first derivative", "second derivative")
    return [f"{order} of {name}" for order in orders for name in case.differentiable]


def _results(case):
    """Name, dtype and tolerance of each result."""
    distance = case.function.endswith("_distance")
    for which in _names(case):
        dtype = case.dtype
        if which == "value" and not distance:
            dtype = oracle.computed_in(case.dtype)
        elif which.split()[-1] in case.arguments:
            dtype = case.arguments[which.split()[-1]].dtype.name
        tolerance = LOSS_TOLERANCE[case.dtype] if dtype != case.dtype else STORED_TOLERANCE[dtype]
        yield which, dtype, tolerance


def _floor(case, dtype, which="value", answer=None):
    """What is below the least normal number may be 0; float16 stores denormals, rounded.

    In a sum that holds for each of its terms, of which there are about as many as numbers came.
    """
    upstream = 1.0 if case.upstream is None else np.max(np.abs(case.upstream), initial=0.0)
    stored = 2.0**-24 if dtype == "float16" else oracle.smallest(dtype)
    computed = oracle.computed_in(case.dtype)
    if which == "value" and case.function.endswith(("_distance", "_neighbors")):
        cosine = case.arguments["metric"] == "cosine"
        return stored + cosine * oracle.UNIT_NOISE[computed] ** 2
    arrays = [v for v in case.arguments.values() if isinstance(v, np.ndarray)]
    weights = case.arguments.get("sample_weight", case.arguments.get("item_weight"))
    heaviest = 1.0 if weights is None else max(1.0, np.max(weights, initial=0.0))
    size = max(1.0, float(upstream))
    numbers = sum(a.size for a in arrays)
    floor = oracle.smallest(computed) * numbers * size
    if which != "value" and case.arguments.get("loss") == "soft_zero_one":
        # The reference, whose derivative is sigmoid (1 - sigmoid), loses it near 1.
        floor += 2e-16 * numbers * size / case.arguments["temperature"]
    if which == "gradient of temperature":
        # Minus the difference of two sums of logits over the temperature.
        rows = np.ones(len(case.arguments[case.differentiable[0]])) if weights is None else weights
        count = heaviest if case.arguments["reduction"] == "mean" else np.sum(rows)
        temperature = float(case.arguments["temperature"])
        noise = oracle.PRODUCT_NOISE[computed]
        floor += noise * answer.reach / temperature * count * size
    return floor * heaviest + stored * size


def _bad(made, right, dtype, tolerance, floor):
    """Where it is not what the reference says."""
    most = oracle.largest(dtype)
    # Beyond the range of the result's type: it has to be infinite, or nearly.
    over = np.abs(right) > most * (1.0 - tolerance)
    with np.errstate(invalid="ignore"):
        right_over = np.sign(made) * np.sign(right) * np.abs(made) >= most * (1.0 - 2.0 * tolerance)
        held = np.where(over | np.isnan(right), 0.0, right)
        bad = ~(np.abs(made - held) <= _limit(held, tolerance) + floor)
    return np.where(np.isnan(right), ~np.isnan(made), np.where(over, ~right_over, bad))


def _limit(right, tolerance):
    """Relative to the entry and to the largest of the array."""
    return tolerance * (np.abs(right) + np.max(np.abs(right), initial=0.0))


class _Noisy:
    """What else the reference says of a case, with rounding errors: made when it is needed."""

    def __init__(self, case):
        self.case, self.runs = case, []
        self.rng = np.random.default_rng(0)

    def outside(self, i, made, right, tolerance, floor):
        """Where result i is beyond all that rounding may make of the truth."""
        gradient = i > 0 or self.case.second is not None
        low, high = right, right
        for k in range(NOISES):
            unit = k % 2 == 1  # see oracle.run
            if len(self.runs) <= k:
                self.runs.append(oracle.run(self.case, self.rng, k).results)
            if unit and not gradient:
                continue
            run = np.where(np.isfinite(self.runs[k][i]), self.runs[k][i], right)
            low, high = np.minimum(low, run), np.maximum(high, run)
            # A few draws may agree by chance in an entry: the usual spread is allowed to all.
            spread = 2.0 * (high - low) + 3.0 * np.median(high - low)
            margin = spread + _limit(right, tolerance) + floor
            with np.errstate(invalid="ignore"):
                outside = ~((made >= low - margin) & (made <= high + margin))
            if not np.any(outside):
                break
        return outside


def _wrong(what, made, right, bad):
    held = np.where(np.isfinite(right), right, 0.0)
    largest = np.max(np.abs(held), initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = np.abs(made - right)
        apart = np.where(bad, np.where(np.isfinite(apart), apart, np.inf), -1.0)
        error = np.max(apart) / largest if largest else np.inf
    at = np.unravel_index(np.argmax(apart), apart.shape)
    place = f" at {list(map(int, at))}" if at else ""
    return Wrong(
        f"{what}: {np.count_nonzero(bad)} of {bad.size} wrong,{place} got {made[at]:.9g}, "
        f"expected {right[at]:.9g}, the largest being {largest:.3g}",
        float(error),
    )


# ---- what is discrete ----


def _distances(case, x, y):
    """[n, m] distances of float64, and what rounding may change them by."""
    from tf_pairwise import reference

    x = x.astype(np.float64)
    y = x if y is None else y.astype(np.float64)
    metric = case.arguments["metric"]
    distances = np.asarray(reference.pairwise_distance(x, y, metric))
    computed = oracle.computed_in(case.dtype)
    if metric == "dot":
        norms = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)[None, :]
        room = oracle.PRODUCT_NOISE[computed] * norms
    else:
        room = oracle.DISTANCE_NOISE[computed] * np.abs(distances)
        room += (metric == "cosine") * oracle.UNIT_NOISE[computed] ** 2
    return distances, room + oracle.smallest(computed)


def neighbors(case, name, values, expected):
    """Distances are those of the reference, and indices are of such keys."""
    distances, indices = values
    right, right_indices = expected
    queries, keys = case.arguments["queries"], case.arguments["keys"]
    computed = oracle.computed_in(case.dtype)
    if distances.shape != right.shape or indices.shape != right.shape:
        raise Wrong(f"{name}: shapes {distances.shape} and {indices.shape}")
    # A distance beyond the type it is computed in is no neighbour.
    most = oracle.largest(computed)
    right = np.where(np.abs(right) > most, np.inf, right)
    missing = np.isposinf(right)
    if np.any((indices < 0) != missing):
        raise Wrong(
            f"{name} indices: {np.count_nonzero((indices < 0) != missing)} are missing or too many"
        )
    tolerance = STORED_TOLERANCE[case.dtype]
    all_distances, room = _distances(case, queries, keys)
    at = np.where(missing, 0, indices)
    slack = np.take_along_axis(room, at, axis=1) if room.size else np.zeros(at.shape)
    floor = _floor(case, case.dtype)
    bad = ~missing & _bad(
        distances, np.where(missing, 0.0, right), case.dtype, tolerance, floor + slack
    )
    if np.any(bad):
        raise _wrong(f"{name} distances", distances, right, bad)
    of_index = np.take_along_axis(all_distances, at, axis=1) if room.size else np.zeros(at.shape)
    bad = ~missing & ~(np.abs(of_index - right) <= 2.0 * slack + 1e-300)
    if np.any(bad):
        raise _wrong(f"{name} distances of the indices", of_index, right, bad)
    _allowed(case, name, indices)
    if case.dtype in ("float32", "float64"):  # halves are ranked before they are rounded
        tied = (distances[:, 1:] == distances[:, :-1]) & ~missing[:, 1:]
        if np.any(tied & (indices[:, 1:] <= indices[:, :-1])):
            raise Wrong(f"{name} indices: equal distances not in the order of the indices")
    if np.any(distances[:, 1:] < distances[:, :-1]):
        raise Wrong(f"{name} distances: not ascending")


def _allowed(case, name, indices):
    arguments = case.arguments
    rows = np.arange(len(indices))[:, None]
    if arguments["keys"] is None and np.any(indices == rows):
        raise Wrong(f"{name} indices: a query is its own neighbour")
    ordered = np.sort(indices, axis=1)
    if np.any((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)):
        raise Wrong(f"{name} indices: a key twice")
    if arguments.get("only"):
        labels = arguments["query_labels"].reshape(-1)
        of_keys = arguments.get("key_labels", labels)
        if not of_keys.size:
            return
        same = labels[:, None] == of_keys[np.maximum(indices, 0)]
        if np.any((indices >= 0) & (same != (arguments["only"] == "same_label"))):
            raise Wrong(f"{name} indices: a label that is not asked for")


def triplets(case, name, made, expected):
    """The triplets are those of the reference but where two distances are equal up to rounding."""
    arguments = case.arguments
    distances, room = _distances(case, arguments["embeddings"], arguments.get("ref_embeddings"))
    if made.ndim != 2 or made.shape[1] != 3:
        raise Wrong(f"{name}: shape {made.shape}")
    order = np.lexsort(made.T[::-1])
    if np.any(order != np.arange(len(made))):
        raise Wrong(f"{name}: not in ascending order")
    if arguments["mining"] in ("hard", "semi_hard"):
        columns = slice(0, 1) if arguments["mining"] == "hard" else slice(0, 2)
        if made.shape != expected.shape or np.any(made[:, columns] != expected[:, columns]):
            raise Wrong(f"{name}: other anchors or positives than in the reference")
        other = np.any(made != expected, axis=1)
        pairs = zip(made[other], expected[other], strict=True)
        doubtful = [_as_far(case, distances, room, *pair) for pair in pairs]
        found = made[other]
    else:
        both = {tuple(t) for t in made.tolist()} ^ {tuple(t) for t in expected.tolist()}
        found = np.array(sorted(both), np.int64).reshape(-1, 3)
        doubtful = [_at_a_border(case, distances, room, *t) for t in found]
    if not all(doubtful):
        first = [int(i) for i in found[doubtful.index(False)]]
        raise Wrong(f"{name}: {len(doubtful) - sum(doubtful)} of {len(expected)} wrong, as {first}")


def _as_far(case, distances, room, made, expected):
    """The mined point is as far as the expected one; or D_an = D_ap is a matter of rounding."""
    a = made[0]
    if case.arguments["mining"] == "hard":
        return all(
            abs(distances[a, made[i]] - distances[a, expected[i]])
            <= room[a, made[i]] + room[a, expected[i]]
            for i in (1, 2)
        )
    p, n, right = made[1], made[2], expected[2]
    if abs(distances[a, n] - distances[a, right]) <= room[a, n] + room[a, right]:
        return True
    labels = case.arguments["labels"].reshape(-1)
    others = case.arguments.get("ref_labels", labels).reshape(-1) != labels[a]
    border = np.abs(distances[a] - distances[a, p]) <= room[a] + room[a, p]
    return bool(np.any(border & others))


def _at_a_border(case, distances, room, a, p, n):
    """D_an = D_ap, or D_an - margin = D_ap, up to rounding."""
    apart, slack = distances[a, n] - distances[a, p], room[a, n] + room[a, p]
    if case.arguments["mining"] == "all":
        return False
    if abs(apart) <= slack:
        return True
    margin = case.arguments["margin"]
    slack += 2e-7 * margin
    return case.arguments["mining"] == "semi_hard_all" and abs(apart - margin) <= slack

"""Callers of the NumPy functions: with arrays of any layout, many at once, changing them meanwhile.

For the tests, and under a sanitizer without TensorFlow: `python -m tests.callers`, with a number
of rounds and, where races of the caller's own are no finding, of seconds.
"""

import sys
import threading
import time

import numpy as np

if __name__ == "__main__":
    sys.modules["tensorflow"] = None  # which no sanitizer is for

from tests import calls
from tf_pairwise import numpy as tpn


def _unaligned(x):
    memory = np.empty(x.nbytes + 1, np.uint8)[1:]
    view = memory.view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def _strided(x):
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), x.dtype)
    wide[..., 1::2] = x
    return wide[..., 1::2]


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


class _Subclass(np.ndarray):
    """An array that is no plain one, as those of other packages."""


# The same array in other memory.
LAYOUTS = {
    "strided": _strided,
    "reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "fortran": np.asfortranarray,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "subclass": lambda x: x.copy().view(_Subclass),
    "list": lambda x: x.tolist(),
}


def run_as(layout, call, dtype):
    """What the call gives for arrays that lie so."""
    change = LAYOUTS[layout]

    def changed(value):
        if not isinstance(value, np.ndarray) or value.ndim == 0:
            return value
        return value if layout == "list" and value.dtype.kind == "f" else change(value)

    made = []
    for function, arguments in calls.numpy_steps(call, call.arrays(dtype)):
        arguments = {name: changed(value) for name, value in arguments.items()}
        made += calls.flat(getattr(tpn, function)(**arguments))
    return made


def check_callers_at_once(rounds):
    """Every function from four threads at once, on several threads each: the bits of one."""
    table = calls.one_of_each()
    wrong = []

    def work(number):
        for turn in range(rounds):
            for name, call in table.items():
                made = calls.run_numpy(call, arrays[name], threads=1 + (number + turn) % 4)
                for a, b in zip(made, expected[name], strict=True):
                    if a.tobytes() != b.tobytes():
                        wrong.append(name)

    arrays = {name: call.arrays("float32") for name, call in table.items()}
    expected = {name: calls.run_numpy(call, arrays[name], 1) for name, call in table.items()}
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, sorted(set(wrong))
    return 4 * rounds * len(table)


def check_arrays_that_change(seconds):
    """Calls whose arrays another thread writes to meanwhile end, whatever their numbers.

    What a kernel takes for an index (labels, splits, counts of mined triplets) must not be read
    twice. Points are close to each other, so that distances are made again from the caller's.
    """
    random = np.random.default_rng(0)
    n, d = 600, 5
    x = np.repeat(random.normal(size=(n // 4, d)), 4, axis=0).astype(np.float32) + 100
    y = x[::-1].copy()
    labels = random.integers(40, size=n)
    ref_labels = labels.copy()
    splits = np.linspace(0, n, 31).astype(np.int64)
    scores, weights = x[:, 0].copy(), np.ones(n, np.float32)
    relevance = labels.astype(np.float32)
    mask = np.ones((30, n // 30), bool)
    batch = dict(labels=labels, ref_embeddings=y, ref_labels=ref_labels, sample_weight=weights)
    minings = ("hard", "semi_hard", "all", "semi_hard_all", "hard_all")
    functions = [
        *(
            lambda m=m: tpn.batch_triplet_loss(x, mining=m, with_gradient=True, **batch)
            for m in minings
        ),
        *(
            lambda m=m, f=f: tpn.mine_triplets(x, labels, mining=m, metric=f)
            for m in minings
            for f in ("euclidean", "manhattan")
        ),
        lambda: tpn.batch_contrastive_loss(
            x, labels, reduction="balanced_mean", with_gradient=True
        ),
        lambda: tpn.supervised_contrastive_loss(x, labels, with_gradient=True),
        lambda: tpn.nt_xent_loss(x, labels, sample_weight=weights, with_gradient=True),
        lambda: tpn.info_nce_loss(x, y, symmetric=True, with_gradient=True),
        lambda: tpn.nearest_neighbors(
            x, y, 7, query_labels=labels, key_labels=ref_labels, only="same_label"
        ),
        lambda: tpn.contrastive_loss(x, y, labels, sample_weight=weights, with_gradient=True),
        lambda: tpn.pairwise_distance(x),
        *(
            lambda f=f: tpn.list_ranking_loss(
                scores,
                relevance,
                row_splits=splits,
                loss=f,
                item_weight=weights,
                with_gradient=True,
            )
            for f in ("logistic", "hinge", "mse")
        ),
        lambda: tpn.list_ranking_loss(
            scores.reshape(mask.shape),
            relevance.reshape(mask.shape),
            mask=mask,
            lambda_weight="ndcg",
            with_gradient=True,
        ),
    ]
    stop = threading.Event()

    def write(seed):
        random = np.random.default_rng(seed)
        while not stop.is_set():
            at = random.integers(n, size=50)
            kind = random.integers(4)
            x[at] = (100.0, np.nan, 1e30, -3.0)[kind]
            y[at] = x[at[::-1]]
            scores[at] = x[at, 0]
            weights[at] = (0, 1, np.nan, 2)[kind]
            labels[at] = random.integers(-(2**62), 2**62, size=50) if kind else at % 3
            ref_labels[at] = labels[at]
            relevance[at] = kind
            mask.flat[at] = kind > 1
            # Only in order now and then: what is seen in between is an error, or is taken whole.
            splits[1:-1] = (
                random.integers(-n, 2 * n, size=29)
                if kind == 3
                else np.sort(random.integers(n, size=29))
            )

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
    for writer in writers:
        writer.start()
    calls_made = 0
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for function in functions:
                try:
                    function()
                except ValueError as error:
                    assert "row_splits" in str(error), error
                calls_made += 1
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    return calls_made


if __name__ == "__main__":
    rounds, seconds = map(int, sys.argv[1:])
    print(f"{check_callers_at_once(rounds)} calls at once, ", end="")
    print(f"{check_arrays_that_change(seconds) if seconds else 0} with arrays that change")

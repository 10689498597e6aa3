"""What gpu.py measures: each function, its inputs, what it multiplies and moves, and its peers.

pytorch-metric-learning's losses are the nearest that it has, on points as they are where a loss
here does not normalise them: reductions, and the constant factors of some, differ.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

CLASS = 8  # points of one label
LIST = 512  # items of a list; there are n / 64 lists


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    ours: Callable  # (tf_pairwise.numpy, *tensors) -> what is made, nested
    eager: str | tuple  # in gpu_torch, or (name, argument)
    inputs: Callable  # (torch, n, d, dtype, device) -> tensors
    points: int = 0  # the first so many tensors have gradients; 0: the value alone
    upstream: bool = False  # the last tensor is a gradient that comes in, and gradients are made
    pml: Callable | None = None  # (pytorch_metric_learning) -> a loss of (embeddings, labels)
    flops: Callable = lambda n, d: 0  # multiplications and additions of the matrix products
    bytes: Callable = lambda n, d, size: 0  # moved at the least, of points of `size` bytes
    has_points: bool = True  # else D means nothing

    def calls(self, backend, n, d, dtype):
        """The functions to be timed, by name, each on inputs that are made here."""
        from benchmarks import gpu_torch
        from tf_pairwise import numpy as tpn

        torch = backend.torch
        tensors = self.inputs(torch, n, d, getattr(torch, dtype), backend.device)
        function = self.plain(gpu_torch)
        eager = self.wrapped(gpu_torch, function)
        torch.compiler.reset()  # else it gives up after some sizes
        compiled = self.wrapped(gpu_torch, torch.compile(function, dynamic=False))
        calls = {
            "ours": lambda: self.ours(tpn, *tensors),
            "eager": lambda: eager(*tensors),
            "compile": lambda: compiled(*tensors),
        }
        if self.pml is not None and importlib.util.find_spec("pytorch_metric_learning"):
            import pytorch_metric_learning.losses
            import pytorch_metric_learning.miners

            peer = gpu_torch.value_and_gradients(self.pml(pytorch_metric_learning), self.points)
            calls["pml"] = lambda: peer(*tensors)
        return calls

    def plain(self, gpu_torch):
        if isinstance(self.eager, tuple):
            return getattr(gpu_torch, self.eager[0])(*self.eager[1:])
        return getattr(gpu_torch, self.eager)

    def wrapped(self, gpu_torch, function):
        if self.upstream:
            return gpu_torch.with_upstream(function)
        if self.points:
            return gpu_torch.value_and_gradients(function, self.points)
        return gpu_torch.value(function)

    def difference(self, ours, eager):
        """The largest difference of the parts, each relative to the norm of eager's."""
        pairs = zip(flat(ours()), flat(eager()), strict=False)
        return max(float(relative(made, expected)) for made, expected in pairs)


def flat(made):
    if isinstance(made, (tuple, list)):
        return [part for parts in made for part in flat(parts)]
    return [made]


def relative(made, expected):
    import torch

    if not isinstance(made, torch.Tensor):
        made = torch.from_dlpack(made) if hasattr(made, "__dlpack__") else torch.tensor(made)
    made, expected = made.to(expected.device).double().reshape(-1), expected.double().reshape(-1)
    return (made - expected).norm() / expected.norm().clamp_min(1e-300)


# ---- inputs ----


def rows(torch, n, d, dtype, device):
    return (torch.randn(n, d, device=device) / d**0.5).to(dtype)


def two_sides(torch, n, d, dtype, device):
    x = rows(torch, n, d, dtype, device)
    return x, (x + 0.5 * rows(torch, n, d, dtype, device)).to(dtype)


def batch(torch, n, d, dtype, device):
    labels = (torch.arange(n, device=device) % max(1, n // CLASS))[torch.randperm(n, device=device)]
    centres = torch.randn(max(1, n // CLASS), d, device=device) / d**0.5
    return (0.5 * rows(torch, n, d, torch.float32, device) + centres[labels]).to(dtype), labels


def given_pairs(torch, n, d, dtype, device):
    return *two_sides(torch, n, d, dtype, device), torch.arange(n, device=device) % 2


def given_triplets(torch, n, d, dtype, device):
    return *two_sides(torch, n, d, dtype, device), rows(torch, n, d, dtype, device)


def with_matrix(torch, n, d, dtype, device):
    return *two_sides(torch, n, d, dtype, device), rows(torch, n, n, dtype, device)


def with_column(torch, n, d, dtype, device):
    return *two_sides(torch, n, d, dtype, device), rows(torch, n, 1, dtype, device)[
        :, 0
    ].contiguous()


def scores(torch, n, d, dtype, device):
    return tuple(torch.randn(64 * n, device=device).to(dtype) for _ in range(2))


def lists(torch, n, d, dtype, device):
    shape = (max(1, n // 64), LIST)
    relevance = torch.randint(0, 5, shape, device=device).float()
    return torch.randn(shape, device=device).to(dtype), relevance


# ---- pytorch-metric-learning ----


def _euclidean(pml):
    return pml.distances.LpDistance(normalize_embeddings=False)


def _contrastive(pml):
    return pml.losses.ContrastiveLoss(distance=_euclidean(pml))


def _mined(kind):
    def loss(pml):
        distance = _euclidean(pml)
        made = pml.losses.TripletMarginLoss(margin=1.0, distance=distance)
        if kind == "hard":
            miner = pml.miners.BatchHardMiner(distance=distance)
        else:
            miner = pml.miners.TripletMarginMiner(1.0, kind, distance=distance)
        return lambda x, labels: made(x, labels, miner(x, labels))

    return loss


# ---- the table ----


def matrix_products(count):
    """flops of so many products of [n, d] and [d, n]."""
    return lambda n, d: 2 * count * n * n * d


# Distances, and their weights times the points: of one side, and of two.
ONE_SIDE, TWO_SIDES = matrix_products(2), matrix_products(3)
GRADIENT = dict(with_gradient=True)


def _batch(name, function, eager, pml=None, **options):
    return Case(
        name=name,
        ours=lambda tpn, x, y: getattr(tpn, function)(x, y, **options, **GRADIENT),
        eager=eager,
        inputs=batch,
        points=1,
        pml=pml,
        flops=ONE_SIDE,
    )


def _sides(name, function, eager, *arguments, **options):
    return Case(
        name=name,
        # The gradients of parameters are not compared: they come last.
        ours=lambda tpn, x, y: getattr(tpn, function)(x, y, *arguments, **options, **GRADIENT),
        eager=eager,
        inputs=two_sides,
        points=2,
        flops=TWO_SIDES,
    )


def _nearest(k):
    return Case(
        name=f"nearest_neighbors, k = {k}",
        ours=lambda tpn, x, y: tpn.nearest_neighbors(x, y, k)[0],
        eager=("nearest_neighbors", k),
        inputs=two_sides,
        flops=matrix_products(1),
    )


def _lists(name, eager, **options):
    return Case(
        name=f"list_ranking_loss, {name}",
        ours=lambda tpn, s, y: tpn.list_ranking_loss(s, y, **options, **GRADIENT),
        eager=eager,
        inputs=lists,
        points=1,
        bytes=lambda n, d, size: max(1, n // 64) * LIST * (2 * size + 8),
        has_points=False,
    )


CASES = [
    Case(
        name="pairwise_distance",
        ours=lambda tpn, x, y: tpn.pairwise_distance(x, y),
        eager="distances",
        inputs=two_sides,
        flops=matrix_products(1),
        bytes=lambda n, d, size: (n * n + 2 * n * d) * size,
    ),
    Case(
        name="pairwise_distance_gradient",
        ours=lambda tpn, x, y, u: tpn.pairwise_distance_gradient(x, y, u),
        eager="distances",
        inputs=with_matrix,
        upstream=True,
        flops=TWO_SIDES,
        bytes=lambda n, d, size: (n * n + 4 * n * d) * size,
    ),
    Case(
        name="paired_distance_gradient",
        ours=lambda tpn, x, y, u: tpn.paired_distance_gradient(x, y, u),
        eager="paired_distance",
        inputs=with_column,
        upstream=True,
        bytes=lambda n, d, size: 4 * n * d * size,
    ),
    Case(
        name="contrastive_loss",
        ours=lambda tpn, x, y, labels: tpn.contrastive_loss(x, y, labels, **GRADIENT),
        eager="contrastive",
        inputs=given_pairs,
        points=2,
        bytes=lambda n, d, size: 4 * n * d * size,
    ),
    Case(
        name="triplet_loss",
        ours=lambda tpn, a, p, n: tpn.triplet_loss(a, p, n, **GRADIENT),
        eager="triplet",
        inputs=given_triplets,
        points=3,
        bytes=lambda n, d, size: 6 * n * d * size,
    ),
    _batch("batch_contrastive_loss", "batch_contrastive_loss", "batch_contrastive", _contrastive),
    _batch(
        *("batch_triplet_loss, hard", "batch_triplet_loss", "triplet_hard", _mined("hard")),
        mining="hard",
    ),
    _batch(
        *("batch_triplet_loss, semi_hard", "batch_triplet_loss", "triplet_semi_hard"),
        _mined("semihard"),
        mining="semi_hard",
    ),
    _batch(
        *("batch_triplet_loss, all", "batch_triplet_loss", "triplet_all", _mined("all")),
        mining="all",
    ),
    Case(
        name="mine_triplets, hard",
        ours=lambda tpn, x, labels: tpn.mine_triplets(x, labels, mining="hard"),
        eager="mine_hard",
        inputs=batch,
        flops=matrix_products(1),
    ),
    _sides("info_nce_loss", "info_nce_loss", "info_nce"),
    _sides("info_nce_loss, symmetric", "info_nce_loss", "info_nce_symmetric", symmetric=True),
    _batch(
        *("supervised_contrastive_loss", "supervised_contrastive_loss", "supervised_contrastive"),
        lambda pml: pml.losses.SupConLoss(temperature=0.1),
    ),
    _batch(
        *("nt_xent_loss", "nt_xent_loss", "nt_xent"),
        lambda pml: pml.losses.NTXentLoss(temperature=0.5),
    ),
    _sides(
        *("sigmoid_contrastive_loss", "sigmoid_contrastive_loss", "sigmoid_contrastive"),
        *(10.0, -10.0),
    ),
    _nearest(10),
    _nearest(1000),
    Case(
        name="pairwise_ranking_loss",
        ours=lambda tpn, preferred, other: tpn.pairwise_ranking_loss(preferred, other, **GRADIENT),
        eager="pairwise_ranking",
        inputs=scores,
        points=2,
        bytes=lambda n, d, size: 64 * n * 4 * size,
        has_points=False,
    ),
    _lists("logistic", "list_logistic"),
    _lists("ndcg", "list_ndcg", lambda_weight="ndcg"),
]

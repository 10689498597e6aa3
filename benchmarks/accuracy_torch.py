"""What PyTorch itself has of the functions, for `accuracy` to hold beside ours."""

import numpy as np
import torch
import torch.nn.functional as F

TORCH = f"PyTorch {torch.__version__}"


def _cosine(x, y):
    return 1 - F.cosine_similarity(x[:, None], y[None], dim=-1)


def _info_nce(given, x, y):
    logits = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T / 0.1
    positives = torch.arange(len(x))
    return (F.cross_entropy(logits, positives) + F.cross_entropy(logits.T, positives)) / 2


def _sigmoid(given, x, y):
    logits = 10.0 * (F.normalize(x, dim=1) @ F.normalize(y, dim=1).T) - 5.0
    return -F.logsigmoid((2 * torch.eye(len(x), dtype=x.dtype) - 1) * logits).sum(1).mean()


def _triplet(given, x, y, z):
    def squared(a, b):
        return (a - b).square().sum(-1)

    return F.triplet_margin_with_distance_loss(
        x, y, z, distance_function=squared, margin=given.distance**2
    )


def _distances(m):
    return {
        "pairwise_distance euclidean": lambda given, x, y: torch.cdist(x, y[:m]),
        "pairwise_distance squared_euclidean": lambda given, x, y: torch.cdist(x, y[:m]).square(),
        "pairwise_distance cosine": lambda given, x, y: _cosine(x, y[:m]),
        "pairwise_distance manhattan": lambda given, x, y: torch.cdist(x, y[:m], p=1),
        "pairwise_distance chebyshev": lambda given, x, y: torch.cdist(x, y[:m], p=float("inf")),
        "pairwise_distance dot": lambda given, x, y: -(x @ y[:m].T),
        "nearest_neighbors": lambda given, x, y: torch.cdist(x, y).topk(5, largest=False)[0],
    }


def results(case, given, m, upstream):
    """(value, gradients) by PyTorch on the CPU, or None where it has no such function or type."""
    functions = {
        **_distances(m),
        "triplet_loss": _triplet,
        "info_nce_loss": _info_nce,
        "sigmoid_contrastive_loss": _sigmoid,
        "pairwise_ranking_loss": lambda given, s: F.softplus(s[:, 1::2] - s[:, ::2]).mean(),
    }
    if case.name not in functions:
        return None
    points = [_tensor(getattr(given, name)).requires_grad_() for name in case.points]
    try:
        value = functions[case.name](given, *points)
        if case.differentiable:
            total = value.double()
            if value.dim():
                total = (total * torch.from_numpy(upstream(tuple(value.shape)))).sum()
            total.backward()
    except (RuntimeError, NotImplementedError) as error:  # cdist has no halves on a CPU
        if "not implemented for" not in str(error):
            raise
        return None
    dtype = given.x.dtype
    gradients = [_array(x.grad, dtype) for x in points] if case.differentiable else []
    return _array(value.detach(), dtype), gradients


def _tensor(array):
    """A copy, bfloat16 too, which `torch.from_numpy` does not know."""
    array = np.ascontiguousarray(array).copy()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _array(tensor, dtype):
    wide = tensor.dtype in (torch.float16, torch.bfloat16)
    return (tensor.float() if wide else tensor).numpy().astype(dtype)

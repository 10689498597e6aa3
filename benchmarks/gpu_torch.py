"""The losses in plain PyTorch, as one writes them: the whole matrix. What gpu.py compares with.

Points of bfloat16 are multiplied as they are; what is made of the products is float32.
"""

import torch
from torch.nn import functional


def products(x, y):
    return (x @ y.T).float()


def squares(x, y):
    of_x, of_y = (z.float().square().sum(1) for z in (x, y))
    return (of_x[:, None] + of_y - 2 * products(x, y)).clamp_min(0)


def distances(x, y):
    # No root of zero, whose gradient is infinite.
    return squares(x, y).clamp_min(1e-12).sqrt()


def paired_distance(x, y):
    return (x.float() - y.float()).square().sum(1).clamp_min(1e-12).sqrt()


def masks(labels):
    """Which pairs are of one label and which of two; none is of a point with itself."""
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def contrastive(x, y, labels):
    d = paired_distance(x, y)
    return 0.5 * torch.where(labels == 0, d, functional.relu(1 - d)).square().mean()


def batch_contrastive(x, labels):
    d = distances(x, x)
    same, other = masks(labels)
    loss = 0.5 * torch.where(same, d, functional.relu(1 - d)).square()
    return torch.where(same | other, loss, 0).sum() / (len(x) * (len(x) - 1))


def triplet(a, p, n):
    to_p, to_n = ((a.float() - z.float()).square().sum(1) for z in (p, n))
    return functional.relu(to_p - to_n + 1).mean()


def hardest(d, labels):
    same, other = masks(labels)
    farthest = torch.where(same, d, -torch.inf).max(1)
    nearest = torch.where(other, d, torch.inf).min(1)
    return farthest, nearest


def triplet_hard(x, labels):
    farthest, nearest = hardest(distances(x, x), labels)
    return functional.relu(farthest.values - nearest.values + 1).mean()


def mine_hard(x, labels):
    farthest, nearest = hardest(distances(x, x), labels)
    anchors = torch.arange(len(x), device=x.device)
    return torch.stack([anchors, farthest.indices, nearest.indices], 1)


def triplet_all(x, labels):
    d = distances(x, x)
    same, other = masks(labels)
    counted = same[:, :, None] & other[:, None, :]
    loss = functional.relu(d[:, :, None] - d[:, None, :] + 1)
    return torch.where(counted, loss, 0).sum() / counted.sum()


def triplet_semi_hard(x, labels):
    d = distances(x, x)
    same, other = masks(labels)
    farther = other[:, None, :] & (d[:, None, :] > d[:, :, None])
    nearest = torch.where(farther, d[:, None, :], torch.inf).min(2).values
    farthest = torch.where(other, d, -torch.inf).max(1, keepdim=True).values
    negative = torch.where(nearest < torch.inf, nearest, farthest)
    return torch.where(same, functional.relu(d - negative + 1), 0).sum() / same.sum()


def unit(x):
    return functional.normalize(x.float(), dim=1).to(x.dtype)


def info_nce(x, y):
    labels = torch.arange(len(x), device=x.device)
    return functional.cross_entropy(products(unit(x), unit(y)) / 0.07, labels)


def info_nce_symmetric(x, y):
    labels = torch.arange(len(x), device=x.device)
    logits = products(unit(x), unit(y)) / 0.07
    cross_entropy = functional.cross_entropy
    return 0.5 * (cross_entropy(logits, labels) + cross_entropy(logits.T, labels))


def supervised_contrastive(x, labels):
    logits = products(unit(x), unit(x)) / 0.1
    same, other = masks(labels)
    log_sum = torch.where(same | other, logits, -torch.inf).logsumexp(1)
    return (log_sum - torch.where(same, logits, 0).sum(1) / same.sum(1)).mean()


def nt_xent(x, labels):
    logits = products(unit(x), unit(x)) / 0.5
    same, other = masks(labels)
    log_sum = torch.where(other, logits, -torch.inf).logsumexp(1, keepdim=True)
    return torch.where(same, functional.softplus(log_sum - logits), 0).sum() / same.sum()


def sigmoid_contrastive(x, y):
    logits = 10 * products(unit(x), unit(y)) - 10
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    return functional.softplus(torch.where(itself, -logits, logits)).sum() / len(x)


def nearest_neighbors(k):
    def nearest(x, y):
        found = distances(x, y).topk(min(k, len(y)), dim=1, largest=False)
        return [found.values, found.indices]

    return nearest


def pairwise_ranking(preferred, other):
    return functional.softplus(other.float() - preferred.float()).mean()


def list_logistic(scores, relevance):
    s = scores.float()
    pairs = relevance[:, :, None] > relevance[:, None, :]
    loss = functional.softplus(s[:, None, :] - s[:, :, None])
    return torch.where(pairs, loss, 0).sum() / pairs.sum()


def list_ndcg(scores, relevance):
    s = scores.float()
    pairs = relevance[:, :, None] > relevance[:, None, :]
    gain = 2**relevance - 1
    rank = s.detach().argsort(dim=1, descending=True, stable=True).argsort(1) + 1
    discount = 1 / torch.log2(1 + rank.float())
    places = torch.arange(2, s.shape[1] + 2, device=s.device)
    ideal = (gain.sort(1, descending=True).values / torch.log2(places.float())).sum(1)
    weight = (gain[:, :, None] - gain[:, None, :]).abs()
    weight = weight * (discount[:, :, None] - discount[:, None, :]).abs() / ideal[:, None, None]
    loss = weight * functional.softplus(s[:, None, :] - s[:, :, None])
    return torch.where(pairs, loss, 0).sum() / pairs.sum()


def value_and_gradients(function, points):
    """A function of tensors -> [value, *gradients with respect to the first `points`]."""

    def made(*tensors):
        sources = [tensor.detach().requires_grad_() for tensor in tensors[:points]]
        value = function(*sources, *tensors[points:])
        return [value.detach(), *torch.autograd.grad(value, sources)]

    return made


def with_upstream(function):
    """The gradient alone: the last tensor is what comes in for the value."""

    def made(*tensors):
        *points, upstream = tensors
        sources = [tensor.detach().requires_grad_() for tensor in points]
        value = function(*sources)
        return list(torch.autograd.grad(value, sources, upstream.to(value.dtype)))

    return made


def value(function):
    def made(*tensors):
        with torch.no_grad():
            result = function(*tensors)
        return result if isinstance(result, list) else [result]

    return made

"""Unstructured pruning: weights set to zero one by one, and held there while a model goes on learning.

A layer whose weights are zero here and there takes as long as before. What it gains is size under compression.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import BadInput, LimbeckError

_SPARSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)


def set_to_zero(model: nn.Module, share: float) -> nn.Module:
    """The same model, ``share`` of its weights zero; how many, is rounded to the nearest whole number.

    They are those with the smallest score of their own layer's, w² / Σ v² over all weights v of the layer that are no smaller (Lee et al.
    2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning", section 2), so that no layer loses all.

    Raises:
        BadInput: so few weights would be left that layers went without any, or the model has none that could be zero.
    """
    weights = weights_of(model)
    count = sum(one.numel() for one in weights)
    zeros = zeros_wanted(count, share)
    if count - zeros < len(weights):
        raise BadInput(
            f"sparsity.share: {share:g} of the student's {count:,} weights cannot be zero, since each of its {len(weights)} layers "
            f"needs one that is not: give {_down(1 - len(weights) / max(1, count)):g} at most."
        )
    scores = [_scores(one.detach()) for one in weights]
    smallest = torch.cat(scores).argsort(stable=True)[:zeros]
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[smallest] = True
    with torch.no_grad():
        for one, those in zip(weights, chosen.split([one.numel() for one in weights]), strict=True):
            one.masked_fill_(those.view(one.shape).to(one.device), 0)
    return model


@contextmanager
def zeros_held(model: nn.Module) -> Iterator[nn.Module]:
    """The same model, whose weights that are zero stay so while it learns: their gradients are zero.

    An optimiser that has seen no other gradient of them does not move them, by momentum and weight decay neither, and so a moving average of the
    weights does not. Nothing is kept: which they are, the weights themselves say.

    Raises:
        LimbeckError: at the end, where a weight is not zero any more.
    """
    weights = weights_of(model)
    before = [int((one == 0).sum()) for one in weights]
    hooks = [one.register_hook(lambda slope, one=one: slope.masked_fill(one.detach() == 0, 0)) for one in weights]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()
    if any(int((one == 0).sum()) < then for one, then in zip(weights, before, strict=True)):
        raise LimbeckError(
            "sparsity: weights that were to stay zero did not: the student was trained by something that moves them."
        )


def weights_of(model: nn.Module) -> list[Tensor]:
    """Those that may be zero: of products, convolutions and tables of embeddings that learn; each once, whoever shares it."""
    found = {}
    for module in model.modules():
        if isinstance(module, _SPARSE):
            if parametrize.is_parametrized(module, "weight"):
                weight = module.parametrizations["weight"].original  # type: ignore[union-attr]
            else:
                weight = module.weight
            if weight.requires_grad:
                found[id(weight)] = weight
    return list(found.values())


def zeros_wanted(count: int, share: float) -> int:
    """How many of so many weights a share of them is."""
    return round(share * count)


def zeros_in(model: nn.Module) -> tuple[int, int]:
    """How many weights are zero, of how many."""
    weights = weights_of(model)
    return sum(int((one == 0).sum()) for one in weights), sum(one.numel() for one in weights)


def _scores(weight: Tensor) -> Tensor:
    """(N,) of a layer's N weights, on the CPU."""
    squares_N = weight.flatten().cpu().double().square()
    sorted_N, order_N = squares_N.sort(stable=True)
    rest_N = sorted_N.flip(0).cumsum(0).flip(0)  # of each the sum of those that are no smaller
    scores_N = torch.where(rest_N > 0, sorted_N / rest_N, 0)
    return torch.empty_like(scores_N).scatter_(0, order_N, scores_N)


def _down(share: float) -> float:
    """Three digits that are no more."""
    return int(share * 1000) / 1000

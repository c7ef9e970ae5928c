"""What the parts of a BERT-like classifier are worth, by which those that stay are chosen.

Either by what they carry on texts (:mod:`.importance`), or by the weights that make and read them: how large these are, or how much
the loss would change without them. Shapes: H hidden dimensions, A heads, D dimensions of a head, F feed-forward units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..randomness import torch_seed
from . import importance
from .anatomy import Layer, anatomy
from .importance import Measured

Energy = Callable[[Tensor], Tensor]
"""What each number of a parameter is worth, float64, in the parameter's shape."""


class LayerScores(NamedTuple):
    """Of one layer."""

    heads_A: Tensor
    scored_AD: Tensor  # the dimensions of queries and keys
    valued_AD: Tensor  # and of values
    units_F: Tensor


class Scores(NamedTuple):
    """Of all parts; larger is more important."""

    hidden_H: Tensor
    layers: tuple[LayerScores, ...]
    gathered_H: Tensor  # what `gather` gives


def measured(model: Any, seen: Measured, layers: Sequence[int]) -> Scores:
    """By what the parts were seen to carry; hidden dimensions in those ``layers`` alone, which are to stay."""
    parts, of_layers = anatomy(model), []
    for layer, moments in zip(parts.layers, seen.layers, strict=True):
        heads, width = parts.heads, layer.query.out_features // parts.heads
        of_layers.append(
            LayerScores(
                importance.head_importance(moments, layer.attended),
                importance.score_importance(moments, heads),
                importance.unit_importance(moments.context, layer.attended).unflatten(0, (heads, width)),
                importance.unit_importance(moments.units, layer.down),
            )
        )
    gathered_H = importance.unit_importance(seen.gathered, parts.answer)
    return Scores(importance.hidden_importance(seen, layers), tuple(of_layers), gathered_H)


def by_magnitude(model: Any, layers: Sequence[int]) -> Scores:
    """By the squares of all weights that make or read a part."""
    return _summed(model, layers, lambda one: one.detach().cpu().double().square())


def by_taylor(model: Any, layers: Sequence[int]) -> Scores:
    """By the weights times the gradients that lie in the parameters: what the loss would change by without them, to first order
    (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning")."""

    def energy(one: Tensor) -> Tensor:
        assert one.grad is not None, "a loss has left its gradients"
        return (one.detach().double() * one.grad.double()).abs().cpu()

    return _summed(model, layers, energy)


def by_chance(model: Any, seed: int) -> Scores:
    """Drawn from ``seed`` alone."""
    parts = anatomy(model)
    heads, width = parts.heads, parts.layers[0].query.out_features // parts.heads
    generator = torch.Generator().manual_seed(torch_seed(seed, "pruned"))

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    hidden_H, gathered_H = drawn(parts.hidden), drawn(parts.gather.out_features)
    layers = [
        LayerScores(drawn(heads), drawn(heads, width), drawn(heads, width), drawn(one.up.out_features))
        for one in parts.layers
    ]
    return Scores(hidden_H, tuple(layers), gathered_H)


def _summed(model: Any, layers: Sequence[int], energy: Energy) -> Scores:
    parts = anatomy(model)
    of_layers = tuple(_of_layer(one, parts.heads, energy) for one in parts.layers)
    hidden_H = sum(_on_hidden(parts, layers, energy), torch.zeros(parts.hidden, dtype=torch.float64))
    gathered_H = energy(parts.gather.weight).sum(1) + energy(parts.answer.weight).sum(0)
    return Scores(hidden_H, of_layers, gathered_H)


def _of_layer(layer: Layer, heads: int, energy: Energy) -> LayerScores:
    def rows(linear: nn.Linear) -> Tensor:
        return energy(linear.weight).sum(1)

    scored_AD = (rows(layer.query) + rows(layer.key)).unflatten(0, (heads, -1))
    valued_AD = (rows(layer.value) + energy(layer.attended.weight).sum(0)).unflatten(0, (heads, -1))
    units_F = rows(layer.up) + energy(layer.down.weight).sum(0)
    return LayerScores((scored_AD + valued_AD).sum(1), scored_AD, valued_AD, units_F)


def _on_hidden(parts: Any, layers: Sequence[int], energy: Energy) -> Iterator[Tensor]:
    """(H,): what each matrix, table and norm has of every hidden dimension."""
    for table in (parts.words, *parts.others):
        yield energy(table.weight).sum(0)
    yield energy(parts.embedding_norm.weight)
    for index in layers:
        layer = parts.layers[index]
        for reads in (layer.query, layer.key, layer.value, layer.up):
            yield energy(reads.weight).sum(0)
        for writes in (layer.attended, layer.down):
            yield energy(writes.weight).sum(1)
        yield energy(layer.attention_norm.weight)
        yield energy(layer.output_norm.weight)
    yield energy(parts.gather.weight).sum(0)

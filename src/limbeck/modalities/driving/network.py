"""The student: a multi-layer perceptron of standardised numbers, whose standardisation is folded into its first layer where it is deployed.

Shapes: B batch, F numbers of a state, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import BadInput
from ...models.seeding import seeded
from .episodes import Network
from .families import DEFAULTS, problems

LEAST_DEVIATION = 1e-3
"""Of a number of the state; one that varies less is taken as it is, so that nothing is blown up."""


class Standardise(nn.Module):
    """Each number of a state (B, F) less its mean, over its deviation."""

    mean_F: Tensor
    deviation_F: Tensor

    def __init__(self, mean_F: Tensor, deviation_F: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_F", mean_F.float())
        self.register_buffer("deviation_F", deviation_F.float())

    def forward(self, states_BF: Tensor) -> Tensor:
        return (states_BF - self.mean_F) / self.deviation_F


class MLP(nn.Module):
    """States (B, F) to logits (B, A): each number less its mean, over its deviation, then linear layers with ReLU between them.

    Ten metres are 0.05 in a state, so a network that is given states as they are learns to tell near from far last of all.
    """

    def __init__(self, mean_F: Tensor, deviation_F: Tensor, actions: int, width: int = 32, second: int = 28) -> None:
        super().__init__()
        self.standardise = Standardise(mean_F, deviation_F)
        sizes = [len(mean_F), width, *([second] if second else []), actions]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, states_BF: Tensor) -> Tensor:
        return self.layers(self.standardise(states_BF))

    @torch.no_grad()
    def folded(self) -> nn.Sequential:
        """The same function without standardisation: linear layers and ReLU alone."""
        mean_F, deviation_F = self.standardise.mean_F.double(), self.standardise.deviation_F.double()
        found = []
        for position, layer in enumerate(self.layers):
            if not isinstance(layer, nn.Linear):
                found.append(nn.ReLU())
                continue
            copied = nn.Linear(layer.in_features, layer.out_features)
            weight, bias = layer.weight.double(), layer.bias.double()
            if position == 0:
                bias = bias - weight @ (mean_F / deviation_F)
                weight = weight / deviation_F
            copied.weight.copy_(weight)
            copied.bias.copy_(bias)
            found.append(copied)
        return nn.Sequential(*found).eval()


def statistics(states_NF: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (F,) of each number; 0 and 1 of one that hardly varies."""
    states_NF = states_NF.double()
    mean_F, deviation_F = states_NF.mean(0), states_NF.std(0, unbiased=False)
    varies_F = deviation_F > LEAST_DEVIATION
    return torch.where(varies_F, mean_F, 0.0).float(), torch.where(varies_F, deviation_F, 1.0).float()


def build(
    knobs: Mapping[str, Any], mean_F: Tensor, deviation_F: Tensor, actions: int, seed: int, role: str = "student"
) -> MLP:
    """A fresh network. Raises :class:`BadInput` for a knob that it does not have, or one out of range."""
    for why in problems(knobs):
        raise BadInput(f"{role}{why}")
    with seeded(seed):
        return MLP(mean_F, deviation_F, actions, **{**DEFAULTS, **knobs})


def driver_of(model: MLP) -> Network:
    """The network as a driver, which asks it about one state at a time without torch: as it is deployed."""
    layers = [layer for layer in model.folded() if isinstance(layer, nn.Linear)]
    return Network(tuple((_array(layer.weight), _array(layer.bias)) for layer in layers))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()

"""Several teachers that answer as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..objectives.functional.teachers import by_confidence, mean_logits, mean_probabilities

COMBINATIONS = ("probabilities", "logits", "confidence")


class Together(nn.Module):
    """Logits (B, C), float32, of images (B, channels, H, W): what K teachers say of them, put together at temperature 1.

    ``probabilities``: the logarithm of their mean probability; ``logits``: their mean logit; ``confidence``: as the
    first, each weighing by how sure it is of the very image (by its entropy, since a teacher sees no label). See
    :mod:`limbeck.objectives.functional.teachers`. ``weights`` (K,) are for the first two; None: equal. Weights and
    the way are kept with the state: they are part of what identifies the module.
    """

    shares: Tensor
    way: Tensor

    def __init__(self, members: Sequence[nn.Module], combine: str, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members, self.combine, self.weights = nn.ModuleList(members), combine, weights
        self.register_buffer("shares", torch.tensor(weights or [1.0] * len(members), dtype=torch.float32))
        self.register_buffer("way", torch.tensor(COMBINATIONS.index(combine)))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits = [member(images_BCHW).float() for member in self.members]
        if self.combine == "logits":
            return mean_logits(logits, weights=self.weights)
        if self.combine == "confidence":
            return by_confidence(logits)
        return mean_probabilities(logits, weights=self.weights)

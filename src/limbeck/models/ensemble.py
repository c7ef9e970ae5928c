"""Several teachers that answer as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..objectives.functional.teachers import by_confidence, mean_logits, mean_probabilities

COMBINATIONS = ("probabilities", "logits", "confidence")


class Together(nn.Module):
    """Logits (B, C), float32, of what its members take: what K teachers say of it, put together at temperature 1.

    ``probabilities``: the logarithm of their mean probability; ``logits``: their mean logit; ``confidence``: as the
    first, each weighing by how sure it is of the very example (by its entropy, since a teacher sees no label). See
    :mod:`limbeck.objectives.functional.teachers`. ``weights`` (K,) are for the first two; None: equal. Weights and
    the way are kept with the state: they are part of what identifies the module.

    ``label_sets``: an example may have several labels, so that each logit is one of yes against no: probabilities are the
    labels' own, and each label weighs its teachers by itself.
    """

    shares: Tensor
    way: Tensor

    def __init__(
        self,
        members: Sequence[nn.Module],
        combine: str,
        weights: Sequence[float] | None = None,
        *,
        label_sets: bool = False,
    ) -> None:
        super().__init__()
        self.members, self.combine, self.weights = nn.ModuleList(members), combine, weights
        self.label_sets = label_sets
        self.register_buffer("shares", torch.tensor(weights or [1.0] * len(members), dtype=torch.float32))
        self.register_buffer("way", torch.tensor(COMBINATIONS.index(combine)))

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        logits = [member(*inputs, **named).float() for member in self.members]
        if self.combine == "logits":
            return mean_logits(logits, weights=self.weights)
        if not self.label_sets:
            return self._mean(logits)
        no_and_yes = self._mean([torch.stack([torch.zeros_like(one), one], dim=-1) for one in logits])
        return no_and_yes[..., 1] - no_and_yes[..., 0]

    def _mean(self, logits: Sequence[Tensor]) -> Tensor:
        if self.combine == "confidence":
            return by_confidence(logits)
        return mean_probabilities(logits, weights=self.weights)

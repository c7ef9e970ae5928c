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

    def mean_and_spread(self, *inputs: Tensor, **named: Tensor) -> tuple[Tensor, Tensor]:
        """Of numbers: the mean of its members, (B, D), which is what it answers, and their deviation from it, (B, D).

        ``sqrt(Σ_k w_k (t_k - t)²)`` with weights that sum to 1: that of the mixture of members that are each certain
        (Lakshminarayanan, Pritzel, Blundell 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
        section 2.4).
        """
        said = [member(*inputs, **named).float() for member in self.members]
        mean_BD = mean_logits(said, weights=self.weights)
        shares_K = self.shares / self.shares.sum()
        off_BD = sum(share * (one_BD - mean_BD).square() for share, one_BD in zip(shares_K, said, strict=True))
        assert isinstance(off_BD, Tensor)
        return mean_BD, off_BD.sqrt()

    def _mean(self, logits: Sequence[Tensor]) -> Tensor:
        if self.combine == "confidence":
            return by_confidence(logits)
        return mean_probabilities(logits, weights=self.weights)


class MeanAndSpread(nn.Module):
    """Numbers (B, D) of an ensemble and then the deviation of each, as one answer (B, 2 D): see :meth:`Together.mean_and_spread`."""

    def __init__(self, ensemble: Together) -> None:
        super().__init__()
        self.ensemble = ensemble

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        return torch.cat(self.ensemble.mean_and_spread(*inputs, **named), dim=-1)


def with_spread(model: nn.Module, wanted: bool) -> nn.Module:
    """The model, or, of an ensemble where it is ``wanted``, one that answers with the deviation beside its numbers."""
    return MeanAndSpread(model) if wanted and isinstance(model, Together) else model

"""Objectives on logits, as modules. Defaults are those of the papers (methods and settings in the docstrings)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...interfaces import Batch, DenseLogits, Needs, Output, Target, Term
from .. import functional
from ..functional.common import check_temperature
from ..schedules import Scheduled, extremes
from .base import Objective, labels_of, logits_of


class OnLogits(Objective):
    """One function of the logits at every position, under a name and with its settings.

    Args:
        name: of the term.
        values_of: the function's ``..._positions``.
        weight: factor of the term.
        labels: whether ``values_of`` takes class ids after the teacher's logits; positions without one do not count.
        settings: its hyper-parameters, ``temperature`` among them: numbers, or schedules.
    """

    def __init__(
        self, name: str, values_of: functional.Values, *, weight: Scheduled, labels: bool = False, **settings: Scheduled
    ) -> None:
        super().__init__(weight)
        for temperature in extremes(settings.get("temperature", 1.0)):
            check_temperature(temperature)
        self.name, self.values_of, self.settings = name, values_of, settings
        self.needs = Needs(labels=labels, target=(DenseLogits,))

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        logits = logits_of(student)
        others = [target.get(DenseLogits).logits.detach()]
        if self.needs.labels:
            others.append(class_ids(batch, self.name))
        values_of = partial(self.values_of, **{name: self.scheduled(value) for name, value in self.settings.items()})
        total = functional.total_of(values_of, logits, *others, counts=self._counted(batch))
        return {self.name: Term(self.scheduled(self.weight) * total, self.counts(batch)[self.name])}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        here = self._counted(batch)
        number = torch.tensor(len(batch.ids), device=batch.ids.device) if here is None else here.sum()
        return {self.name: number}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in {**self.settings, "weight": self.weight}.items())

    def _counted(self, batch: Batch) -> Tensor | None:
        if not self.needs.labels:
            return batch.mask
        there = class_ids(batch, self.name) != functional.IGNORED
        return there if batch.mask is None else there & batch.mask

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("settings", {})
        return settings[name] if name in settings else super().__getattr__(name)


class KD(OnLogits):
    """``T² KL(teacher || student)`` of softened probabilities; see :func:`limbeck.objectives.functional.kd`."""

    def __init__(self, temperature: Scheduled = 4.0, weight: Scheduled = 1.0) -> None:
        super().__init__("kd", functional.kd_positions, temperature=temperature, weight=weight)


class CrossEntropy(Objective):
    """Cross-entropy with the labels; see :func:`limbeck.objectives.functional.cross_entropy`."""

    needs = Needs(labels=True)

    def __init__(self, weight: Scheduled = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__(weight)
        self.label_smoothing = float(label_smoothing)

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        labels = labels_of(batch, "cross_entropy")
        values_of = partial(functional.cross_entropy_positions, label_smoothing=self.label_smoothing)
        total = functional.total_of(values_of, logits_of(student), labels, counts=_counted(batch, labels))
        return {"cross_entropy": Term(self.scheduled(self.weight) * total, self.counts(batch)["cross_entropy"])}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross_entropy": _counted(batch, labels_of(batch, "cross_entropy")).sum()}

    def extra_repr(self) -> str:
        return f"weight={self.weight}, label_smoothing={self.label_smoothing}"


def class_ids(batch: Batch, name: str) -> Tensor:
    """Labels as class ids. Raises ``ValueError`` where there are none, or only probabilities (mixes)."""
    labels = labels_of(batch, name)
    if labels.is_floating_point():
        raise ValueError(f"{name} needs one class for each example, and mixup or CutMix give shares: leave those out")
    return labels


def _counted(batch: Batch, labels: Tensor) -> Tensor:
    # class ids are integers, probabilities are not, and the latter have one dimension more
    there = functional.labelled(labels, labels.dim() if labels.is_floating_point() else labels.dim() + 1)
    return there if batch.mask is None else there & batch.mask

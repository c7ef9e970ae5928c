"""Objectives on logits: one function at every position or on the whole batch, and the labels' cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...interfaces import Batch, DenseLogits, Needs, Output, Target, Term
from .. import functional
from ..catalogue.entry import ONE_CLASS
from ..schedules import Scheduled
from .base import Objective, examples, labels_of, logits_of, number, try_settings


class OnLogits(Objective):
    """One function of the logits at every position, under a name and with its settings.

    Args:
        name: of the term.
        values_of: the function's ``..._positions``.
        weight: factor of the term.
        labels: whether ``values_of`` takes class ids after the teacher's logits; positions without one do not count.
        settings: its hyper-parameters, ``temperature`` among them: numbers, or schedules.

    Raises:
        ValueError: a setting that ``values_of`` refuses, at the start or the end of its schedule.
    """

    reads = ONE_CLASS

    def __init__(
        self, name: str, values_of: functional.Values, *, weight: Scheduled, labels: bool = False, **settings: Scheduled
    ) -> None:
        super().__init__(number(weight))
        self.name, self.values_of = name, values_of
        self.settings = {setting: number(value) for setting, value in settings.items()}
        self.needs = Needs(labels=labels, target=(DenseLogits,))
        row, label = torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)
        try_settings(values_of, self.settings, row, row, *([label] if labels else []))

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        total = self.total(student, target, batch, weight=self.scheduled(self.weight))
        return {self.name: Term(total, self.counts(batch)[self.name])}

    def total(self, student: Output, target: Target, batch: Batch, *, weight: float = 1.0) -> Tensor:
        """The sum over the positions that count, times the weight."""
        others = [target.get(DenseLogits).logits.detach()]
        if self.needs.labels:
            others.append(class_ids(batch, self.name))
        counts = self._counted(batch)
        return functional.total_of(self.values_now(), logits_of(student), *others, counts=counts, share=weight)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        here = self._counted(batch)
        return {self.name: examples(batch) if here is None else here.sum()}

    def values_now(self) -> functional.Values:
        """The function with its settings as they are now."""
        return partial(self.values_of, **{name: self.scheduled(value) for name, value in self.settings.items()})

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in {**self.settings, "weight": self.weight}.items())

    def _get_name(self) -> str:  # for repr, which names stages: two functions are two objectives
        return self.name if type(self) in (OnLogits, OnBatches) else super()._get_name()

    def _counted(self, batch: Batch) -> Tensor | None:
        if not self.needs.labels:
            return batch.mask
        there = class_ids(batch, self.name) != functional.IGNORED
        return there if batch.mask is None else there & batch.mask

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("settings", {})
        return settings[name] if name in settings else super().__getattr__(name)


class OnBatches(OnLogits):
    """One function of the logits of a whole batch, whose examples it compares with one another, under a name.
    ``values_of`` gives a scalar, the mean over the examples, from (..., C), (..., C) and a mask.
    """

    relational = True

    def total(self, student: Output, target: Target, batch: Batch, *, weight: float = 1.0) -> Tensor:
        value = self.values_now()(logits_of(student), target.get(DenseLogits).logits, mask=batch.mask)
        return weight * value * self.counts(batch)[self.name]


class CrossEntropy(Objective):
    """Cross-entropy with the labels; see :func:`limbeck.objectives.functional.cross_entropy`.

    With ``class_weights``, one positive number for each class, its count is the sum of the weights behind it, so that the
    loop's quotient is the weighted mean.
    """

    class_weights_C: Tensor | None

    needs = Needs(labels=True)
    reads = ONE_CLASS

    def __init__(
        self, weight: Scheduled = 1.0, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(number(weight))
        self.name = "cross_entropy"
        self.label_smoothing = float(label_smoothing)
        self.register_buffer("class_weights_C", weights_of(class_weights), persistent=False)

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        labels = labels_of(batch, "cross_entropy")
        if self.class_weights_C is not None:
            logits = logits_of(student)
            shares, _ = functional.weighted_labels(logits, labels, self.class_weights_C, self.label_smoothing)
            how = {"counts": _counted(batch, labels), "share": self.scheduled(self.weight)}
            total = functional.total_of(functional.cross_entropy_positions, logits, shares, **how)
            return {"cross_entropy": Term(total, self.counts(batch)["cross_entropy"])}
        values_of = partial(functional.cross_entropy_positions, label_smoothing=self.label_smoothing)
        counts, weight = _counted(batch, labels), self.scheduled(self.weight)
        total = functional.total_of(values_of, logits_of(student), labels, counts=counts, share=weight)
        return {"cross_entropy": Term(total, counts.sum())}

    def reading(self, student: Output, target: Target, batch: Batch) -> functional.Reading | None:
        labels = labels_of(batch, "cross_entropy")
        if self.label_smoothing or labels.is_floating_point() or self.class_weights_C is not None:
            return None
        return functional.label_reading(labels, counts=_counted(batch, labels))

    def as_terms(self, total: Tensor, batch: Batch) -> dict[str, Term]:
        return {"cross_entropy": Term(self.scheduled(self.weight) * total, self.counts(batch)["cross_entropy"])}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        labels = labels_of(batch, "cross_entropy")
        there = _counted(batch, labels)
        if (weights_C := self.class_weights_C) is None:
            return {"cross_entropy": there.sum()}
        weights_C = weights_C.to(labels.device)
        if labels.is_floating_point():
            weights = (labels * weights_C).sum(dim=-1)
        else:
            weights = weights_C[labels.masked_fill(~there, 0)]
        return {"cross_entropy": weights.masked_fill(~there, 0.0).sum()}

    def extra_repr(self) -> str:
        return f"weight={self.weight}, label_smoothing={self.label_smoothing}{told_weights(self.class_weights_C)}"


def weights_of(class_weights: Sequence[float] | None) -> Tensor | None:
    """(C,) float32. Raises ``ValueError`` unless they are positive numbers."""
    if class_weights is None:
        return None
    if isinstance(class_weights, str) or not len(class_weights):
        raise ValueError("class_weights must be one positive number for each class, in their order")
    weights_C = torch.as_tensor(class_weights, dtype=torch.float32).flatten()
    if not bool(((weights_C > 0) & weights_C.isfinite()).all()):
        raise ValueError(f"class_weights must be positive numbers, not {weights_C.tolist()}")
    return weights_C


def told_weights(class_weights_C: Tensor | None) -> str:
    """For ``extra_repr``, which names stages: nothing where there are none."""
    if class_weights_C is None:
        return ""
    return f", class_weights=({', '.join(f'{weight:.6g}' for weight in class_weights_C.tolist())})"


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

"""The objectives as modules for the training loop; weighted sums compose: ``0.9 * KD(temperature=4) + CrossEntropy()``.

Each gives named terms, a total and the count of positions behind it; the loop divides over the whole global batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..interfaces import Batch, DenseLogits, Needs, Output, Target, Term
from . import functional


class Objective(nn.Module):
    """Base of every objective. A subclass gives :attr:`needs`, :meth:`forward` and :meth:`counts`."""

    needs: Needs = Needs()

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        """Named terms, their weights multiplied in."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it asks of the student")

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The count of each term of :meth:`forward`, from the batch alone.

        The loop needs it before the first backward pass of a step, to divide every micro-batch by the same number.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how many positions count")

    def __add__(self, other: Objective) -> Sum:
        return Sum([(1.0, self), (1.0, other)])

    def __mul__(self, factor: float) -> Sum:
        return Sum([(float(factor), self)])

    __rmul__ = __mul__


class Sum(Objective):
    """A weighted sum of objectives. Terms of one name are told apart by a number: ``kd``, ``kd_2``."""

    def __init__(self, parts: Sequence[tuple[float, Objective]]) -> None:
        super().__init__()
        flat: list[tuple[float, Objective]] = []
        for weight, part in parts:
            inner = part.weighted if isinstance(part, Sum) else [(1.0, part)]
            flat += [(_not_negative(weight) * inner_weight, objective) for inner_weight, objective in inner]
        self.weights = tuple(weight for weight, _ in flat)
        self.parts = nn.ModuleList(objective for _, objective in flat)
        self.needs = Needs()
        for _, objective in flat:
            self.needs = self.needs | objective.needs

    @property
    def weighted(self) -> list[tuple[float, Objective]]:
        """The parts with their weights."""
        return [(w, part) for w, part in zip(self.weights, self.parts, strict=True) if isinstance(part, Objective)]

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        terms: dict[str, Term] = {}
        for weight, part in self.weighted:
            for name, term in part(student, target, batch).items():
                terms[_fresh(name, terms)] = Term(weight * term.total, term.count)
        return terms

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        counts: dict[str, Tensor] = {}
        for _, part in self.weighted:
            for name, count in part.counts(batch).items():
                counts[_fresh(name, counts)] = count
        return counts


class KD(Objective):
    """``T² KL(teacher || student)`` of softened probabilities; see :func:`limbeck.objectives.functional.kd`."""

    needs = Needs(target=(DenseLogits,))

    def __init__(self, temperature: float = 4.0, weight: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        self.temperature = float(temperature)
        self.weight = _not_negative(weight)

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        student_logits, teacher_logits = (
            functional.silenced(logits, batch.mask) for logits in (_logits(student), target.get(DenseLogits).logits)
        )
        values = functional.kd_positions(student_logits, teacher_logits, temperature=self.temperature)
        return {"kd": _term(self.weight * values, batch.mask)}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {"kd": _positions(batch, batch.mask)}

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, weight={self.weight}"


class CrossEntropy(Objective):
    """Cross-entropy with the labels; see :func:`limbeck.objectives.functional.cross_entropy`."""

    needs = Needs(labels=True)

    def __init__(self, weight: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.weight = _not_negative(weight)
        self.label_smoothing = float(label_smoothing)

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        logits = _logits(student)
        labels = _labels(batch)
        counts = functional.counted(logits, labels, batch.mask)
        values = functional.cross_entropy_positions(
            functional.silenced(logits, counts), labels, label_smoothing=self.label_smoothing
        )
        return {"cross_entropy": _term(self.weight * values, counts)}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        labels = _labels(batch)
        # class ids are integers, probabilities are not, and the latter have one dimension more
        dim = labels.dim() if labels.is_floating_point() else labels.dim() + 1
        there = functional.labelled(labels, dim)
        return {"cross_entropy": (there if batch.mask is None else there & batch.mask).sum()}

    def extra_repr(self) -> str:
        return f"weight={self.weight}, label_smoothing={self.label_smoothing}"


def _not_negative(weight: float) -> float:
    if not weight >= 0:  # NaN is refused too
        raise ValueError(f"the weight of an objective cannot be negative: {weight} was given")
    return float(weight)


def _logits(student: Output) -> Tensor:
    if student.logits is None:
        raise ValueError("this objective needs the student's logits, and the task gave none")
    return student.logits


def _labels(batch: Batch) -> Tensor:
    if batch.labels is None:
        raise ValueError("this objective needs labels, and the data has none: leave out cross_entropy")
    return batch.labels


def _term(values: Tensor, counts: Tensor | None) -> Term:
    if counts is None:
        return Term(values.sum(), torch.tensor(values.numel(), device=values.device))
    return Term(values.masked_fill(~counts, 0.0).sum(), counts.sum())


def _positions(batch: Batch, mask: Tensor | None) -> Tensor:
    return torch.tensor(len(batch.ids), device=batch.ids.device) if mask is None else mask.sum()


def _fresh(name: str, taken: dict) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"

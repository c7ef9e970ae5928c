"""Objectives on numbers: a regression's labels, and what a teacher says of them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...interfaces import Batch, Needs, Output, Target, Term, Values
from .. import functional
from ..catalogue.entry import NUMBERS
from ..schedules import Scheduled
from .base import Objective, examples, labels_of, number, try_settings


class OnValues(Objective):
    """One function of the numbers that are said of an example (or of each position), under a name and with its settings.

    Args:
        name: of the term.
        values_of: the function's ``..._positions``: of the student's numbers, then the teacher's, their deviation, then the labels.
        weight: factor of the term.
        labels: whether it takes the labels; examples without them do not count.
        teacher: whether it takes the teacher's numbers.
        spread: whether it takes their deviation, after them.
        settings: its hyper-parameters: numbers, or schedules.

    Raises:
        ValueError: a setting that ``values_of`` refuses, at the start or the end of its schedule.
    """

    reads = NUMBERS

    def __init__(
        self,
        name: str,
        values_of: functional.Values,
        *,
        weight: Scheduled,
        labels: bool = False,
        teacher: bool = False,
        spread: bool = False,
        **settings: Scheduled,
    ) -> None:
        super().__init__(number(weight))
        self.name, self.values_of = name, values_of
        self.settings = {setting: number(value) for setting, value in settings.items()}
        self.needs = Needs(labels=labels, target=(Values,) if teacher else (), spread=spread)
        try_settings(values_of, self.settings, *[torch.zeros(1, 2)] * (1 + teacher + spread + labels))

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        if student.values is None:
            raise ValueError(f"{self.name} compares numbers, and the task gave none: it is no regression")
        others = self._said(target) if self.needs.target else []
        if self.needs.labels:
            others.append(self._labels(batch))
        for other in others:
            functional.check_values(student.values, other)
        values_of = partial(self.values_of, **{name: self.scheduled(value) for name, value in self.settings.items()})
        counts, weight = self._counted(batch), self.scheduled(self.weight)
        total = functional.total_of(values_of, student.values, *others, counts=counts, share=weight)
        return {self.name: Term(total, self.counts(batch)[self.name])}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        here = self._counted(batch)
        return {self.name: examples(batch) if here is None else here.sum()}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in {**self.settings, "weight": self.weight}.items())

    def _get_name(self) -> str:  # for repr, which names stages: two functions are two objectives
        return self.name if type(self) is OnValues else super()._get_name()

    def _said(self, target: Target) -> list[Tensor]:
        said = target.get(Values)
        if not self.needs.spread:
            return [said.values.detach()]
        if said.spread is None:
            raise ValueError(
                f"{self.name} weighs the teacher's numbers by their deviation, and there is none: it takes a teacher of several "
                "(teacher.ensemble), or several views of each example and their mean (targets.views, targets.average)"
            )
        return [said.values.detach(), said.spread.detach()]

    def _labels(self, batch: Batch) -> Tensor:
        labels = labels_of(batch, self.name)
        if not labels.is_floating_point():
            raise ValueError(f"{self.name} needs numbers for labels, and these are class ids: it is for regressions")
        return labels

    def _counted(self, batch: Batch) -> Tensor | None:
        if not self.needs.labels:
            return batch.mask
        there = functional.known(self._labels(batch))
        return there if batch.mask is None else there & batch.mask

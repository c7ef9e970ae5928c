"""What every objective module is, and the weighted sum of several: ``0.9 * KD(temperature=4) + CrossEntropy()``.

Each gives named terms, a total and the count of positions behind it; the loop divides over the whole global batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from ...interfaces import Batch, Inside, Needs, Output, Sampled, Target, Term, TopK
from ..functional import Reading, totals_of
from ..schedules import Progress, Scheduled, Step, extremes, now


class Objective(nn.Module):
    """Base of every objective. A subclass gives :attr:`needs`, :meth:`forward` and :meth:`counts`.

    Attributes:
        needs: what it asks of the loop.
        relational: whether it compares the examples of a batch with one another, so that its value depends on how a
            batch is cut into micro-batches. Of all objectives only these may.
        reads: how it reads an answer, as its entry in the catalogue says: ``ONE_CLASS`` of several, a ``YES_OR_NO`` for each
            class, ``NUMBERS``, ``SYMBOLS`` over frames; None: not at all.
        finds_layers: whether it has to be told where the models' layers are, by :meth:`find`, before it is used.
        weight: factor of its terms.
        progress: where the run stands; None in a loop that does not say.
    """

    needs: Needs = Needs()
    relational: bool = False
    reads: str | None = None
    finds_layers: bool = False

    def __init__(self, weight: Scheduled = 1.0) -> None:
        super().__init__()
        for bound in extremes(weight):
            not_negative(bound)
        self.weight = weight
        self.progress: Progress | None = None

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        """Named terms, their weights multiplied in."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it asks of the student")

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The count of each term of :meth:`forward`, from the batch alone.

        The loop needs it before the first backward pass of a step, to divide every micro-batch by the same number.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how many positions count")

    def reading(self, student: Output, target: Target, batch: Batch) -> Reading | None:
        """What it reads of the student's logits, where that is a few of them and the log-sum-exp of the others.

        Objectives that can say so share a pass over a large vocabulary. Such a one gives :meth:`as_terms` too.
        """
        return None

    def as_terms(self, total: Tensor, batch: Batch) -> dict[str, Term]:
        """What :meth:`forward` gives, from the total of its :meth:`reading`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its reading means")

    def find(self, student: Inside, teacher: Inside) -> None:
        """Takes the layers that it compares from where they are in both models. Where :attr:`finds_layers`, called first.

        Raises ``ValueError`` where the two have no layers that it could compare.
        """

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        """Makes what depends on the models' shapes (adapters, memory banks), from the answers of one dry run.

        Called once, before the optimiser is made and under a seed, with what both models say of ``batch`` and the ids
        of all training examples. Parameters made here are trained, saved with the checkpoint, and left behind at export.
        """

    def at(self, progress: Progress) -> None:
        """Says where the run stands; called before every step."""
        self.progress = progress

    def scheduled(self, value: Scheduled) -> float:
        """A setting as it is now."""
        return now(value, self.progress)

    @property
    def idle(self) -> bool:
        """Whether its weight has stepped to 0, so that nothing of it has to be worked out now."""
        return isinstance(self.weight, Step) and self.progress is not None and self.scheduled(self.weight) == 0

    @property
    def weighted(self) -> list[tuple[float, Objective]]:
        """What it is a sum of, with the weights: itself, unless it is a :class:`Sum`."""
        return [(1.0, self)]

    @property
    def title(self) -> str:
        """What messages call it."""
        return str(getattr(self, "name", type(self).__name__.lower()))

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
            flat += [(not_negative(weight) * inner_weight, objective) for inner_weight, objective in part.weighted]
        self.weights = tuple(weight for weight, _ in flat)
        self.parts = nn.ModuleList(objective for _, objective in flat)
        self.needs = needs_of(objective for _, objective in flat)
        self.relational = any(objective.relational for _, objective in flat)
        self.finds_layers = any(objective.finds_layers for _, objective in flat)

    def extra_repr(self) -> str:
        return f"weights={self.weights}"

    @property
    def weighted(self) -> list[tuple[float, Objective]]:
        """The parts with their weights."""
        return [(w, part) for w, part in zip(self.weights, self.parts, strict=True) if isinstance(part, Objective)]

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        terms: dict[str, Term] = {}
        idle = {place for place, (_, part) in enumerate(self.weighted) if part.idle}
        if len(idle) == len(self.weighted):
            idle = set()  # a loss is made of something
        totals = self._totals_together(student, target, batch, idle)
        taken: dict[str, Tensor] = {}
        for place, (weight, part) in enumerate(self.weighted):
            if place in idle:
                taken |= {_fresh(name, taken): count for name, count in part.counts(batch).items()}
                continue
            total = totals.get(place)
            of_part = part(student, target, batch) if total is None else part.as_terms(total, batch)
            for name, term in of_part.items():
                name = _fresh(name, taken)
                taken[name] = term.count
                terms[name] = term if weight == 1 else Term(weight * term.total, term.count)
        return terms

    def _totals_together(self, student: Output, target: Target, batch: Batch, idle: set[int]) -> dict[int, Tensor]:
        """Totals by place, of the parts that read a few of the logits, where a sparse target lets two or more do so."""
        if student.logits is None or not any(isinstance(column, TopK | Sampled) for column in target.columns):
            return {}
        readings = {
            place: part.reading(student, target, batch)
            for place, (_, part) in enumerate(self.weighted)
            if place not in idle
        }
        there = {place: reading for place, reading in readings.items() if reading is not None}
        return dict(zip(there, totals_of(student.logits, list(there.values())))) if len(there) > 1 else {}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        counts: dict[str, Tensor] = {}
        for _, part in self.weighted:
            for name, count in part.counts(batch).items():
                counts[_fresh(name, counts)] = count
        return counts

    def find(self, student: Inside, teacher: Inside) -> None:
        for _, part in self.weighted:
            if part.finds_layers:
                part.find(student, teacher)
        self.needs = needs_of(part for _, part in self.weighted)

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        for _, part in self.weighted:
            part.build(student, target, batch, ids_N)

    def at(self, progress: Progress) -> None:
        super().at(progress)
        for _, part in self.weighted:
            part.at(progress)


def needs_of(parts: Iterable[Objective]) -> Needs:
    """What all the parts ask for together."""
    return reduce(Needs.__or__, (part.needs for part in parts), Needs())


def not_negative(weight: float) -> float:
    """The weight, as a float. Raises ``ValueError`` where it is below 0."""
    if not weight >= 0:  # NaN is refused too
        raise ValueError(f"the weight of an objective cannot be negative: {weight} was given")
    return float(weight)


def number(value: Scheduled) -> Scheduled:
    """A number as a float, a schedule as it is: what an objective is told enters the names of finished stages."""
    return float(value) if isinstance(value, int | float) else value


def try_settings(function: Callable[..., Tensor], settings: Mapping[str, Scheduled], *tensors: Tensor) -> None:
    """Asks a function about some tensors, with the settings at either end: it knows itself which are wrong."""
    for end in (0, -1):
        function(*tensors, **{name: extremes(value)[end] for name, value in settings.items()})


def logits_of(student: Output) -> Tensor:
    """The student's logits. Raises ``ValueError`` where the task gave none."""
    if student.logits is None:
        raise ValueError("this objective needs the student's logits, and the task gave none")
    return student.logits


def labels_of(batch: Batch, name: str) -> Tensor:
    """The labels. Raises ``ValueError`` where the data has none."""
    if batch.labels is None:
        raise ValueError(f"{name} needs labels, and the data has none: leave out {name}")
    return batch.labels


def examples(batch: Batch) -> Tensor:
    """How many examples a batch holds: the count of a term that has one value an example."""
    return torch.tensor(len(batch.ids), device=batch.ids.device)


def positions_of(batch: Batch) -> Tensor | None:
    """Which positions of the input features are compared at, (B, L) bool; None: all of them."""
    return batch.mask if batch.positions is None else batch.positions


def _fresh(name: str, taken: dict) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"

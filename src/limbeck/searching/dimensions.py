"""What varies in a search: fields of a recipe, their values, and under which choice of others they are asked. No torch.

A dimension is a field by its path. ``student.model`` (which family), ``objective`` (by the name of its teacher's term),
``teacher``, ``assistant`` and ``views`` (whole sections) are choices, and the knobs of a family and the settings of an objective are asked
only where it was chosen. :mod:`limbeck.searching.space` finds the dimensions of a
recipe, and :mod:`limbeck.searching.candidates` makes a recipe of what was asked.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..sections.knob import Knob

FAMILY, OBJECTIVE, TEACHER, VIEWS, STUDENT = "student.model", "objective", "teacher", "views", "student"
ASSISTANT = "assistant"


class Asking(Protocol):
    """What is asked of an Optuna trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class Dimension:
    """One field that varies.

    Attributes:
        name: the field's path in the recipe: ``student.width``.
        knob: its values.
        when: a choice that is asked before it, and the values of that under which it is asked; None: always.
        label: what the study calls it: the path, and where different choices ask for it in different ranges, which.
    """

    name: str
    knob: Knob
    when: tuple[str, tuple[Any, ...]] | None = None
    label: str = ""

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether it is asked, where its choice was asked already."""
        return self.when is None or (self.when[0] in values and values[self.when[0]] in self.when[1])

    @property
    def points(self) -> int | None:
        """How many values it has; None where it has a continuum of them."""
        knob = self.knob
        if knob.kind == "list":
            return len(knob.choices)
        assert knob.low is not None
        assert knob.high is not None
        step = knob.step if knob.step is not None else 1 if knob.integer else None
        return None if step is None else math.floor((knob.high - knob.low) / step + 1e-9) + 1

    @property
    def about(self) -> str:
        """Its values, in words: ``4 to 64, whole, log``."""
        knob = self.knob
        if knob.kind == "list":
            return ", ".join(_shown(one) for one in knob.choices)
        more = ["whole"] * knob.integer + ["log"] * (knob.kind == "log")
        if knob.step is not None and not (knob.integer and knob.step == 1):
            more.append(f"in steps of {knob.step:g}")
        return ", ".join([f"{knob.low:.6g} to {knob.high:.6g}", *more])


@dataclass(frozen=True)
class Space:
    """What varies, choices before what depends on them."""

    dimensions: tuple[Dimension, ...]

    @property
    def points(self) -> int | None:
        """How many candidates there are in all; None where there is a continuum of them."""
        if any(one.points is None for one in self.dimensions):
            return None
        counted = 1
        choices = {one.when[0] for one in self.dimensions if one.when}
        for choice in (one for one in self.dimensions if one.name in choices):
            below = [one for one in self.dimensions if one.when and one.when[0] == choice.name]
            counted *= sum(
                math.prod(one.points or 1 for one in below if one.applies({choice.name: value}))
                for value in choice.knob.choices
            )
        return counted * math.prod(
            one.points or 1 for one in self.dimensions if one.when is None and one.name not in choices
        )

    @property
    def of_student(self) -> Space:
        """The part that says how the student is built; the same architecture costs the same, however it is taught."""
        return Space(tuple(one for one in self.dimensions if one.name.split(".")[0] == STUDENT))

    def named(self, names: Iterable[str]) -> Space:
        """The part with these fields alone."""
        wanted = set(names)
        return Space(tuple(one for one in self.dimensions if one.name in wanted))


def asked(space: Space, trial: Asking) -> dict[str, Any]:
    """What a trial proposes, by the field of the recipe: define-by-run, so that only what applies is asked."""
    values: dict[str, Any] = {}
    for one in space.dimensions:
        if one.applies(values):
            values[one.name] = _suggested(one, trial)
    return values


def _suggested(dimension: Dimension, trial: Asking) -> Any:
    knob, label = dimension.knob, dimension.label or dimension.name
    if knob.kind == "list":
        told = {told_as(one): one for one in knob.choices}
        return plain(told[trial.suggest_categorical(label, list(told))])
    assert knob.low is not None
    assert knob.high is not None
    log = knob.kind == "log"
    if knob.integer:
        step = int(knob.step or 1)
        low, high = int(knob.low), int(knob.high)
        return trial.suggest_int(label, low, high if log else low + (high - low) // step * step, step=step, log=log)
    if knob.step is None:
        return trial.suggest_float(label, knob.low, knob.high, log=log)
    steps = math.floor((knob.high - knob.low) / knob.step + 1e-9)
    return trial.suggest_float(label, knob.low, knob.low + steps * knob.step, step=knob.step)


def _shown(choice: Any) -> str:
    """A choice in the recipe's words; of a section what is not off."""
    if isinstance(choice, str):
        return choice
    if choice is None:
        return "none"
    if not isinstance(choice, Mapping):
        return json.dumps(choice)
    said = {name: one for name, one in choice.items() if one not in (None, False, 0)}
    return f"{{{', '.join(f'{name}: {_shown(one)}' for name, one in said.items())}}}" if said else "none"


def told_as(choice: Any) -> Any:
    """A choice as a study holds it: what has parts is JSON text."""
    return choice if choice is None or isinstance(choice, str | int | float) else json.dumps(choice, sort_keys=True)


def plain(choice: Any) -> Any:
    """A choice as a recipe's file holds it."""
    return list(choice) if isinstance(choice, tuple) else choice


def enumerated(space: Space, most: int) -> list[dict[str, Any]] | None:
    """Every candidate of a space, where there are at most so many; else None."""
    if space.points is None or space.points > most:
        return None
    return list(_each(space.dimensions, {}))


def _each(dimensions: Sequence[Dimension], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not dimensions:
        yield values
        return
    first, *others = dimensions
    for more in [{first.name: value} for value in values_of(first)] if first.applies(values) else [{}]:
        yield from _each(others, {**values, **more})


def values_of(dimension: Dimension) -> list[Any]:
    """All the values of a dimension that has so many."""
    knob = dimension.knob
    if knob.kind == "list":
        return [plain(one) for one in knob.choices]
    assert knob.low is not None
    assert dimension.points is not None
    step = knob.step or 1
    numbers = itertools.islice(itertools.count(), dimension.points)
    return [int(knob.low + k * step) if knob.integer else knob.low + k * step for k in numbers]


def merged(found: Sequence[Dimension], within: Mapping[str, int]) -> list[Dimension]:
    """Dimensions of the same field and values as one, under all the choices that ask for it.

    ``within``: how many values each choice has; what is asked under all of them is asked always. Fields that keep several
    knobs are told apart by their labels.
    """
    joined: list[Dimension] = []
    for one in found:
        k = next((k for k, other in enumerate(joined) if (other.name, other.knob) == (one.name, one.knob)), None)
        before = None if k is None else joined[k].when
        if k is None or before is None or one.when is None:
            joined.append(one)
        else:
            joined[k] = replace(joined[k], when=(before[0], (*before[1], *one.when[1])))
    several = {one.name for one in joined if sum(other.name == one.name for other in joined) > 1}
    named = [
        replace(one, label=f"{one.name} of {', '.join(map(str, one.when[1]))}")
        if one.name in several and one.when
        else one
        for one in joined
    ]
    return [replace(one, when=None) if one.when and len(one.when[1]) == within[one.when[0]] else one for one in named]

"""Fields of a recipe that are worth trying at other values, and at which: what a search draws from. No torch.

A modality's ``knobs.py`` names its own (``student.width``), with those that any recipe has: how it is trained, how the teacher
is asked, and the settings of its objective, which are read off the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.settings import SHARE, Kind, Number, OneOf, Setting
from .recipe import Recipe
from .section import ORDINARY, Schedule
from .train import Train

_LARGEST_BATCH = 4_096
_COUNTS = (Kind.COUNT, Kind.WIDTH)  # those of DEPTH (heads, a kernel's side) must divide something, or be odd
_PATHS = (
    *(Kind.STUDENT_PATH, Kind.STUDENT_PATHS, Kind.STUDENT_LAYERS, Kind.TWO_PATHS),
    *(Kind.TEACHER_PATH, Kind.TEACHER_PATHS, Kind.TEACHER_LAYERS),
)
_IN_ORDER = ("t0", "t1")  # of TAID: the one must not pass the other


@dataclass(frozen=True)
class Knob:
    """A field of a recipe, and the values that are worth trying for it; each of them is right in that recipe.

    Attributes:
        kind: ``range``: any number from ``low`` to ``high``, both among them; ``log``: the same, with as many tries from 1
            to 2 as from 10 to 20; ``list``: one of ``choices``.
        low, high: the limits, in the field's unit; None of a list.
        step: between neighbours of a range, from ``low`` on; None: any.
        choices: the values of a list, as a recipe's file would hold them.
        integer: whether the numbers are whole.

    Raises:
        ValueError: the limits are not in order, a ``log`` starts at 0 or below, a list is empty, or a whole number has limits that
            are not whole.
    """

    kind: Literal["range", "log", "list"]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()
    integer: bool = False

    def __post_init__(self) -> None:
        if self.kind == "list":
            if not self.choices or (self.low, self.high, self.step) != (None, None, None):
                raise ValueError("a list has choices, and no limits")
            return
        if self.choices or self.low is None or self.high is None or not self.low <= self.high:
            raise ValueError(f"a {self.kind} has limits, low <= high, and no choices")
        if self.kind == "log" and (self.low <= 0 or self.step is not None):
            raise ValueError("a log starts above 0 and has no step")
        if self.integer and any(one is not None and one != int(one) for one in (self.low, self.high, self.step)):
            raise ValueError("the limits and the step of whole numbers are whole")

    def holds(self, value: Any) -> bool:
        """Whether a value is one of these; between the steps of a range too."""
        if self.kind == "list":
            return (tuple(value) if isinstance(value, list) else value) in self.choices
        assert self.low is not None
        assert self.high is not None
        number = isinstance(value, int if self.integer else int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high


def spread(low: float, high: float, *, step: float | None = None) -> Knob:
    """Any number from ``low`` to ``high``."""
    return Knob("range", low, high, step)


def whole(low: int, high: int, *, step: int = 1) -> Knob:
    """Any whole number from ``low`` to ``high``."""
    return Knob("range", low, max(low, high), step, integer=True)


def log(low: float, high: float) -> Knob:
    """Any number from ``low`` to ``high``, by its logarithm."""
    return Knob("log", low, high)


def whole_log(low: int, high: int) -> Knob:
    """Any whole number from ``low`` to ``high``, by its logarithm."""
    return Knob("log", low, max(low, high), integer=True)


def one_of(choices: Sequence[Any]) -> Knob:
    """One of these, each named once."""
    return Knob("list", choices=tuple(dict.fromkeys(choices)))


def around(value: float, factor: float) -> Knob:
    """From a ``factor``-th of a value above 0 to that many times it."""
    return log(value / factor or value, min(value * factor, ORDINARY))  # of the smallest number there is no part


def whole_around(value: int, factor: int, *, least: int = 1, most: int = ORDINARY) -> Knob:
    """The same of whole numbers, from ``least`` on."""
    low = max(least, value // factor)
    return whole_log(low, max(low, min(value * factor, most)))


def of_any_recipe(recipe: Recipe) -> dict[str, Knob]:
    """Those that do not depend on the modality: of ``train``, ``targets`` and ``objective``."""
    found = {f"train.{name}": knob for name, knob in of_train(recipe.train).items()}
    if not recipe.targets.live and recipe.targets.store is None and recipe.views != type(recipe.views)():
        found["targets.views"] = whole_around(recipe.targets.views, 4)
    return {**found, **of_objective(recipe)}


def of_train(train: Train) -> dict[str, Knob]:
    """Those of one training run, by the field of its section."""
    found = {}
    if not train.milestones:  # which are epochs of this very run
        found["epochs"] = whole_around(train.epochs, 4, least=max(1, math.ceil(train.warmup_epochs)))
    found["batch_size"] = one_of(
        [size for size in _doubled(train.batch_size) if train.micro_batches <= size <= _LARGEST_BATCH]
        or [train.batch_size]
    )
    found["learning_rate"] = around(train.peak, 10)
    if train.weight_decay > 0:
        found["weight_decay"] = around(train.weight_decay, 10)
    return found


def of_objective(recipe: Recipe) -> dict[str, Knob]:
    """The settings of every term that the recipe's objective has, ``objective.kd.temperature``: but those that a schedule
    changes over the run, and names and paths, which are not tried out."""
    found = {f"objective.{name}.{one.name}": _setting(one, value) for name, one, value in _settings(recipe)}
    return {path: knob for path, knob in found.items() if knob is not None}


def names_modules(recipe: Recipe) -> bool:
    """Whether the objective names modules of the two models, which others of another family or depth would not have."""
    return any(one.kind in _PATHS and value for _, one, value in _settings(recipe))


def _settings(recipe: Recipe) -> Iterator[tuple[str, Setting, Any]]:
    """The terms' settings and their values, as (term, setting, value)."""
    for name, term in recipe.objective.terms.items():
        for setting in CATALOGUE[name].settings:
            yield name, setting, getattr(term, setting.name)


def _setting(setting: Setting, value: Any) -> Knob | None:
    kind = setting.kind
    if isinstance(kind, OneOf):
        return one_of(kind.words)
    if value is None or isinstance(value, Schedule) or setting.name in _IN_ORDER:
        return None
    if kind in _COUNTS:
        return whole_around(value, 4)
    if kind is Kind.TEMPERATURE:
        return log(min(1.0, value), max(20.0, value))
    if kind is Kind.WEIGHT:
        return around(value, 10) if value > 0 else spread(0.0, 1.0)
    return _number(kind, value) if isinstance(kind, Number) else None


def _number(kind: Number, value: float) -> Knob | None:
    if kind == SHARE:
        return spread(0.0, max(0.9, value))
    if value == 0 or (kind.at_least, kind.at_most) == (0, 1):
        return spread(0.0, 1.0)
    if value < 0:
        return None
    return log(max(value / 10 or value, kind.at_least or 0), min(value * 10, kind.at_most or ORDINARY))


def _doubled(value: int) -> list[int]:
    """A quarter and a half of it, itself, twice and four times it, as whole numbers."""
    return [value * 4 // 16 or 1, value // 2 or 1, value, value * 2, value * 4]

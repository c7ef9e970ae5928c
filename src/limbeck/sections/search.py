"""How a recipe says what a search may vary, and what a student may cost. No torch."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from ..errors import shown
from .budget import Budget
from .section import ONE, SECTION, SEVERAL, Number, Positive, Section, Times

_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def seconds_of(time: str) -> float:
    """``2h``, ``90m``, ``1h30m`` or ``45s`` in seconds. Raises ``ValueError`` for anything else."""
    match = _TIME.fullmatch(time.replace(" ", ""))
    seconds = sum(float(part) * unit for part, unit in zip(match.groups(), (3600, 60, 1)) if part) if match else 0
    if not seconds > 0:
        raise ValueError(f"{shown(time)} is no time; write 2h, 90m, 1h30m or 45s")
    return seconds


def _time(time: str) -> str:
    seconds_of(time)
    return time


class Range(Section):
    """Numbers that a field may take."""

    low: Number
    """The smallest."""
    high: Number
    """The largest."""
    log: bool | None = None
    """Whether as many are tried from 1 to 2 as from 10 to 20; as the field is tried by itself where not given."""
    step: Positive | None = None
    """Between neighbours, from ``low`` on; any number (of a whole number's field: any whole number) where not given."""
    whole: bool = False
    """Whether the numbers are whole, for a knob of a person's own function; of a field it is known."""

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """``whole`` is left out where it is not given, so that what goes by these values stays as it was."""
        return {name: value for name, value in handler(self).items() if name != "whole" or value}

    @model_validator(mode="after")
    def _consistent(self) -> Range:
        if self.low == self.high:
            raise ValueError(f"low and high are both {self.low:g}, so there is one point: give {self.low:g} alone")
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g} and high {self.high:g}: low comes first")
        if self.log and self.low <= 0:
            raise ValueError(f"with log, low must be greater than 0, and it is {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together: leave out one")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"a step of {self.step:g} leads past high: there is one point")
        return self


def _several(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("the list is empty: give values to try, or null for the recipe's own")
    if len(values) == 1:
        raise ValueError(f"a list of one value is one point: give {shown(values[0])} alone, without brackets")
    if twice := [one for k, one in enumerate(values) if one in values[:k]]:
        raise ValueError(f"{shown(twice[0])} is given twice: keep one of the two")
    return values


def _kind(value: Any) -> str:
    if isinstance(value, Range) or (isinstance(value, dict) and {"low", "high"} & set(value)):
        return SECTION
    return SEVERAL if isinstance(value, list | tuple) else ONE


Varied = Annotated[
    Annotated[Range, Tag(SECTION)]
    | Annotated[tuple[Any, ...], AfterValidator(_several), Tag(SEVERAL)]
    | Annotated[Any, Tag(ONE)],
    Discriminator(_kind),
]
"""What a field may be in a search: numbers of a range, one of a list, or one value (null: what it is in the recipe)."""

_Share = Annotated[float, Field(gt=0, lt=1)]


class Search(Section):
    """What ``limbeck search`` varies, and what the student may cost; ``limbeck run`` takes no notice of it."""

    space: dict[str, Varied] = Field(default={})
    """By the path of a field (``student.width``): a list of values to try, a range ``{low: 4, high: 32, log: true, step: ...}``,
    or one value, which is not varied; ``null``: what it is in the recipe. Fields that are not named vary as
    ``limbeck search --plan`` shows."""
    budget: Budget = Field(default={})
    """What the exported student may cost at most: ``latency_ms``, ``size_kb``, ``memory_mb``, ``energy_mj``, ``macs``,
    ``parameters``."""
    trials: Times = 40
    """How many students are tried, the recipe's own first, and as many again without a teacher; what is over the budget is not
    counted, of which at most three times as many are looked at."""
    time: Annotated[str, AfterValidator(_time)] | None = None
    """No student is begun after so long: ``2h``, ``90m``."""
    rungs: tuple[_Share, ...] = (1 / 9, 1 / 3)
    """Shares of a student's epochs after which the weak stop; ``[]``: all are trained in full."""
    finalists: Times = 3
    """How many students of the front are trained anew, with the recipe's ``seeds``, and tested."""
    sampler: Literal["tpe", "random"] = "tpe"
    """What proposes the next student: Optuna's tree-structured Parzen estimator, or chance."""
    keep: float | None = Field(default=None, gt=0, le=1)
    """Say how small a student can be expected to keep this share of the teacher's quality: ``0.98``."""

    @field_validator("rungs")
    @classmethod
    def _rising(cls, rungs: tuple[float, ...]) -> tuple[float, ...]:
        if any(not before < after for before, after in pairwise(rungs)):
            raise ValueError("rungs must rise, such as [0.1, 0.3]")
        return rungs

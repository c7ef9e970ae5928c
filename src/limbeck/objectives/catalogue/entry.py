"""What the catalogue says of one objective. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .settings import REQUIRED, Setting

# What an objective needs.
LABELS = "labels"
LOGITS = "teacher's logits"
VALUES = "teacher's numbers"
SPREAD = "their deviation"
FEATURES = "features of both"
TOKENS = "teacher's sequences"
SPARSE = "a part of the teacher's logits"
TEACHERS = "logits of several teachers"

# How an objective reads an answer.
ONE_CLASS = "one class"  # of several
YES_OR_NO = "yes or no"  # for each class
NUMBERS = "numbers"
SYMBOLS = "symbols over frames"


@dataclass(frozen=True)
class Entry:
    """One objective: all that is said of it anywhere. Its recipe section and its module are made from this.

    In formulas p and q are the teacher's and the student's probabilities softened by T, y the label, t and s the
    teacher's and the student's logits (or numbers); at least one of ``module`` and ``function`` is there.
    """

    name: str  # as in a recipe, and of its term
    title: str
    authors: str
    paper: str
    year: int
    formula: str  # one line
    needs: tuple[str, ...]  # of LABELS, LOGITS, FEATURES, ...
    when: str  # to use it
    beware: str = ""
    module: str | None = None  # class in limbeck.objectives.modules: made from this, unless one is written there
    function: str | None = None  # in limbeck.objectives.functional
    asks: str = ""  # what the student is to do, as the recipe's page says it; empty: no recipe has it
    about: str = ""  # what it is, as the page says above its settings, and the module's docstring
    settings: tuple[Setting, ...] = ()  # in the order in which the module takes them
    reads: str | None = None  # ONE_CLASS, YES_OR_NO, NUMBERS or SYMBOLS; None: not the answers
    # what its recipe has besides: other terms; under its own name, settings that are no defaults
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    relational: bool = False  # compares the examples of a batch with one another

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the settings without a default."""
        return tuple(setting.name for setting in self.settings if setting.default is REQUIRED)

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the other settings, by name."""
        return {setting.name: setting.default for setting in self.settings if setting.default is not REQUIRED}

    @property
    def in_recipes(self) -> bool:
        """Whether a recipe may have it; else it is for a loop of one's own."""
        return bool(self.asks)

    @property
    def tells_the_class(self) -> bool:
        """Whether it tells an example's class from the others in the teacher's answer: then it needs one, and no mix."""
        return self.reads == ONE_CLASS and LABELS in self.needs and LOGITS in self.needs

    @property
    def reference(self) -> str:
        """Authors, title and year on one line."""
        return f'{self.authors}, "{self.paper}", {self.year}'

    @property
    def citation(self) -> str:
        """Authors and year as one says them: ``Zhao et al. 2022``."""
        names = self.authors.split(", ")
        return f"{names[0]} et al. {self.year}" if len(names) > 2 else f"{' and '.join(names)} {self.year}"


CROSS_ENTROPY = {"cross_entropy": {"weight": 1.0}}


def warmed_up(weight: float, epochs: int) -> dict[str, Any]:
    """A weight that rises from 0 over the first epochs, as a recipe says it."""
    return {"weight": {"linear": {"start": 0, "end": weight, "epochs": epochs}}}

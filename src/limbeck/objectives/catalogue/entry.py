"""What the catalogue says of one objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One objective.

    In formulas p and q are the teacher's and the student's probabilities softened by T, y the label, t and s the
    teacher's and the student's logits; at least one of ``module`` and ``function`` is there.
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
    module: str | None = None  # class in limbeck.objectives.modules
    function: str | None = None  # in limbeck.objectives.functional
    required: tuple[str, ...] = ()  # arguments of the module without a default
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of the module, or of the function where there is none
    # what its recipe has besides: other terms; under its own name, settings that are no defaults
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    relational: bool = False  # compares the examples of a batch with one another

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


LABELS = "labels"
LOGITS = "teacher's logits"
FEATURES = "features of both"
TOKENS = "teacher's sequences"
SPARSE = "a part of the teacher's logits"
TEACHERS = "logits of several teachers"

"""The page's sections of each kind of answer: a module with what it shows, a template beside it with how.

A module has ``about(names)``, what a page's heading says of the answers; ``untold(results)``, the names of figures that the
table of models does without; and ``sections(evidence)``, what its template is given under the name ``of``. A kind without a
module has what the page says of every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from ...evaluation.figure import Figure
from ..evidence import Evidence
from . import classes, frames, label_sets, values

KINDS: Mapping[str, ModuleType] = {"classes": classes, "label_sets": label_sets, "frames": frames, "values": values}


def template_of(kind: str) -> str | None:
    """The template that shows a kind's sections; None where it has none of its own."""
    return f"kinds/{kind}.html.j2" if kind in KINDS else None


def sections(evidence: Evidence) -> dict[str, Any]:
    """What the template is given."""
    return KINDS[evidence.kind].sections(evidence) if evidence.kind in KINDS else {}


def told(kind: str, results: dict[str, Any], figures: Sequence[Figure]) -> list[Figure]:
    """The figures that the table of models shows."""
    untold = KINDS[kind].untold(results) if kind in KINDS else frozenset()
    return [figure for figure in figures if figure.name not in untold]


def about(kind: str, names: Sequence[str]) -> str:
    """What a page's heading says of the answers: ``10 classes``."""
    return KINDS[kind].about(names) if kind in KINDS else ""

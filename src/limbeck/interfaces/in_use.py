"""What models are worth where they are used, of tasks whose answers to examples say little of that: as a page and a terminal tell it.

Whoever judges says all in words and plain values, so that a page need not know what was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """A line of a table: whose it is (a role of the run, such as ``student``, or None), its title, and its cells: a figure, and what stands small beside it."""

    role: str | None
    title: str
    cells: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Attributes:
    title, lead: what it is of; ``lead`` may be empty.
    columns: of each its heading, and a hint below it; the rows' titles have none.
    """

    title: str
    lead: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Drawing:
    """A picture of a page: an ``<svg>``, well-formed, in which all that data says is escaped; it may move, and asks for no file."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class InUse:
    """Attributes:
    headline: a sentence or two, in the place of what is said of answers to examples.
    findings: (``better``, ``worse``, ``level`` or ``doubt``; a word or two; a sentence), the most important first.
    tiles: (value, label, detail) of the figures that come first.
    tables: the first is the one that a terminal shows.
    misleads: why answers to examples mislead: sentences.
    figures: the figures themselves, as ``results.json`` has them.
    drawings: pictures.
    """

    headline: str
    findings: Sequence[tuple[Literal["better", "worse", "level", "doubt"], str, str]]
    tiles: Sequence[tuple[str, str, str]]
    tables: Sequence[Table]
    misleads: str
    figures: Mapping[str, Any]
    drawings: Sequence[Drawing] = field(default=(), compare=False)

    @property
    def plain(self) -> dict[str, Any]:
        """All of it but the pictures, as JSON takes it."""
        return {name: value for name, value in asdict(self).items() if name != "drawings"}

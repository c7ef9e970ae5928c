"""Figures of a kind of answer: what one is called, which way is better, how it is shown. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """One figure, as a person reads it.

    Attributes:
        name: in ``results.json``.
        title: in words, as it stands in a sentence: "accuracy", "NLL".
        better: whether more of it is better, or less.
        share: whether it is a share from 0 to 1, shown in percent; its differences are in points.
        unit: of what is shown, empty where it has none; of a share "%"; of one in the labels' own units what follows theirs, "²",
            until :func:`plain` knows them.
        digits: decimals of what is shown; significant digits where ``significant``.
        significant: whether it is in the labels' own units, of which nobody knows the size.
        least, most: what it can be at all, where it is no share; results do not hold it.
    """

    name: str
    title: str
    better: Literal["more", "less"]
    share: bool = False
    unit: str = ""
    digits: int = 3
    significant: bool = False
    least: float = -math.inf
    most: float = math.inf

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.better == "more" else -1

    @property
    def heading(self) -> str:
        """The title as it begins a line: "Accuracy", "NLL"."""
        return self.title[:1].upper() + self.title[1:]

    @property
    def way(self) -> str:
        """Which way is better: "more is better"."""
        return f"{self.better} is better"

    @property
    def difference_unit(self) -> str:
        """What differences are in: "points" of a share."""
        return "points" if self.share else self.unit

    def possible(self, other: float) -> tuple[float, float]:
        """Between which a difference from a model that has ``other`` of it lies; of shares from -1 to 1, whatever that has."""
        return (-1.0, 1.0) if self.share else (self.least - other, self.most - other)

    def decimals(self, value: float) -> int:
        """How many a value is shown with; of a figure with significant digits that depends on its size."""
        if self.significant and not self.share and value and math.isfinite(value):
            return max(0, self.digits - 1 - math.floor(math.log10(abs(value))))
        return self.digits

    def number(self, value: float, decimals: int | None = None) -> str:
        """The value as it is shown, without its unit: "97.31", "0.042"; ``decimals`` in place of its own."""
        decimals = self.decimals(value) if decimals is None else decimals
        return f"{100 * value if self.share else value:.{decimals}f}"


def read(results: Mapping[str, Any], field: str = "figures") -> list[Figure]:
    """The figures that ``results.json`` or ``compare.json`` names, ``fidelity_figures`` likewise; none of an older file."""
    return [Figure(**one) for one in results.get(field) or ()]


def plain(figures: Iterable[Figure], units: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The figures as results hold them; those in the labels' own units with the unit, where all labels have one (or its square)."""
    unit = units[0] if len(set(units)) == 1 else ""

    def of(one: Figure) -> str:
        whole = f"({unit})" if one.unit and " " in unit else unit  # the square of all of its words
        return f"{whole}{one.unit}" if unit else ""

    own = (replace(one, unit=of(one)) if one.significant else one for one in figures)
    return [{name: value for name, value in asdict(one).items() if name not in ("least", "most")} for one in own]


def share(name: str, title: str, better: Literal["more", "less"] = "more", digits: int = 2) -> Figure:
    """A figure that is a share."""
    return Figure(name, title, better, share=True, unit="%", digits=digits)

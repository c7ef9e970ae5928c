"""Figures of a kind of answer: what one is called, which way is better, and what all of them are made of. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Kept = Mapping[str, "Tensor"]
"""What is kept of a model's answers to a split: tensors (N, ...), the same example in the same row of each."""


@dataclass(frozen=True)
class Figure:
    """One figure, as a person reads it.

    Attributes:
        name: in ``results.json``.
        title: in words, as it stands in a sentence: "accuracy", "NLL".
        better: whether more of it is better, or less.
        share: whether it is a share from 0 to 1, shown in percent; its differences are in points.
        unit: of what is shown, empty where it has none; of a share "%".
        digits: decimals of what is shown; significant digits where ``significant``.
        significant: whether it is in the labels' own units, of which nobody knows the size.
    """

    name: str
    title: str
    better: Literal["more", "less"]
    share: bool = False
    unit: str = ""
    digits: int = 3
    significant: bool = False

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


def share(name: str, title: str, better: Literal["more", "less"] = "more", digits: int = 2) -> Figure:
    """A figure that is a share."""
    return Figure(name, title, better, share=True, unit="%", digits=digits)


def whole(answer: Tensor, labels: Tensor, teacher: Tensor | None = None) -> dict[str, Tensor]:
    """What is kept where answers are kept as they are: ``answer``, ``labels`` and, where there is one, the ``teacher``'s."""
    found = {"answer": answer, "labels": labels}
    return found if teacher is None else {**found, "teacher": teacher}


def largest_difference(a: Tensor, b: Tensor) -> float:
    """max |a - b|; infinity where one of them is no number, which max() would lose."""
    worst = float((a - b).abs().max())
    return math.inf if math.isnan(worst) else worst

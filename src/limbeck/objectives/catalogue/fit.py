"""Which objectives go with which answers, and what to take instead. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from . import CATALOGUE
from .entry import LABELS, NUMBERS, ONE_CLASS, SYMBOLS, YES_OR_NO

INSTEAD = {
    ONE_CLASS: ("cross_entropy", "kd"),
    YES_OR_NO: ("binary_cross_entropy", "binary_kd"),
    NUMBERS: ("mse", "mse_values"),
    SYMBOLS: ("ctc", "ctc_frame_kd"),
}
"""For answers that are read so: what to take for the labels, and for the teacher."""

_AS = {
    ONE_CLASS: "as one class of several",
    YES_OR_NO: "as a yes or no for each class",
    NUMBERS: "as numbers",
    SYMBOLS: "as symbols that lie somewhere among the frames",
}

HAS = {
    ONE_CLASS: "has one label",
    YES_OR_NO: "may have several labels, each a yes or no of its own",
    NUMBERS: "has numbers for a label",
    SYMBOLS: "has a transcript, whose symbols stand at no frame of their own",
}
"""What an example has whose answers are to be read so."""


class Part(NamedTuple):
    """One term of an objective."""

    name: str
    reads: str | None  # as `Entry.reads`
    asks_teacher: bool


def misfit(parts: Iterable[Part], reads: tuple[str, ...], why: str) -> str | None:
    """A sentence for the terms that read answers in another way than they are to be read, with what to take instead.

    Args:
        parts: of the objective; those that do not read the answers fit any.
        reads: how these answers may be read, the likeliest way first.
        why: what the answers or labels are: "here an example has one label".
    """
    wrong = [part for part in parts if part.reads is not None and part.reads not in reads]
    if not wrong:
        return None
    ways: dict[str, list[str]] = {}
    for part in wrong:
        names = ways.setdefault(_AS[part.reads or ""], [])
        names += [] if part.name in names else [part.name]
    told = ", ".join(
        f"{' and '.join(names)} {'reads' if len(names) == 1 else 'read'} an answer {way}" for way, names in ways.items()
    )
    instead = dict.fromkeys(INSTEAD[reads[0]][part.asks_teacher] for part in wrong)
    return f"objective: {told}, and {why}: take {' and '.join(instead)} instead"


def parts_of(terms: Iterable[str]) -> list[Part]:
    """The terms of an objective that a recipe names."""
    return [Part(name, CATALOGUE[name].reads, set(CATALOGUE[name].needs) != {LABELS}) for name in terms]

"""Symbols heard in recordings: which are taken for which, and transcripts beside what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...evaluation.alignment import aligned
from ...interfaces import IGNORED
from ..differences import SHOWN, most_different
from ..evidence import Evidence
from ..shown import Shown

CONFUSIONS = 10  # that are told
_NOTHING = "·"  # stands for what was not said, or should not have been
_SPACE = "␣"

Pair = tuple[int | None, int | None]  # what was heard and what was said, as class numbers


@dataclass(frozen=True)
class Run:
    """A piece of a transcript: ``same``, ``other`` (than was ``said``), ``more`` than was said, or ``less``."""

    kind: str
    text: str
    said: str = ""


@dataclass(frozen=True)
class Card:
    """One test example: what was said, and what each model heard (model, edits, pieces)."""

    position: int
    example: Shown | None
    said: str
    heard: tuple[tuple[str, int, tuple[Run, ...]], ...]


@dataclass(frozen=True)
class Group:
    """Cards of one kind."""

    title: str
    explanation: str
    cards: tuple[Card, ...]


def about(names: Sequence[str]) -> str:
    """In the page's heading."""
    return f"{len(names) - 1} symbols"


def untold(results: dict[str, Any]) -> frozenset[str]:
    """Nothing."""
    return frozenset()


def sections(evidence: Evidence) -> dict[str, Any]:
    """What ``frames.html.j2`` shows; nothing where it is not known what the models heard."""
    if not evidence.kept:
        return {}
    heard = {role: _symbols(kept["told"]) for role, kept in evidence.kept.items()}
    said = _symbols(evidence.labels)
    return {
        "keys": list(heard),
        "close": _letters(evidence.names),
        "confusions": _confusions(evidence.names, heard, said),
        "groups": _groups(evidence, heard, said),
    }


def pieces(names: Sequence[str], pairs: Sequence[Pair]) -> tuple[Run, ...]:
    """An alignment as a person reads it: what was heard, piece by piece, neighbours of one kind together."""
    runs: list[Run] = []
    between = "" if _letters(names) else " "
    for told, wanted in pairs:
        kind = "same" if told == wanted else "less" if told is None else "more" if wanted is None else "other"
        text, meant = (_name(names, one, kind) for one in (wanted if told is None else told, wanted))
        one = Run(kind, text, meant if kind == "other" else "")
        if runs and runs[-1].kind == kind:
            last = runs.pop()
            one = Run(
                kind,
                between.join((last.text, one.text)),
                between.join((last.said, one.said)).strip() if one.said else "",
            )
        runs.append(one)
    return tuple(runs)


def _groups(evidence: Evidence, heard: Mapping[str, list[list[int]]], said: list[list[int]]) -> list[Group]:
    """An example stands in one group at most."""
    errors = {role: kept["errors"] for role, kept in evidence.kept.items()}
    wanted = [
        (
            "What the student lost",
            "Where it has most more errors than the teacher.",
            errors["student"] - errors["teacher"],
        ),
        ("Where the teacher errs most", "Does the student inherit its mistakes?", errors["teacher"]),
    ]
    if "baseline" in errors:
        gained = "Where the same network without a teacher has most more errors than the student."
        wanted.insert(1, ("What the teacher gave", gained, errors["baseline"] - errors["student"]))
    free_N, made = np.ones(len(said), bool), []
    for title, explanation, score_N in wanted:
        found = most_different(np.where(free_N, score_N, -np.inf), evidence.show, shown=SHOWN)
        free_N[[position for position, _ in found]] = False
        cards = tuple(_card(evidence.names, heard, said, *one) for one in found)
        if cards:
            made.append(Group(title, explanation, cards))
    return made


def _card(
    names: Sequence[str],
    heard: Mapping[str, list[list[int]]],
    said: list[list[int]],
    position: int,
    example: Shown | None,
) -> Card:
    rows = []
    for role, of in heard.items():
        pairs = aligned(of[position], said[position])
        rows.append((role, sum(a != b for a, b in pairs), pieces(names, pairs)))
    between = "" if _letters(names) else " "
    return Card(position, example, between.join(names[one] for one in said[position]), tuple(rows))


def _confusions(
    names: Sequence[str], heard: Mapping[str, list[list[int]]], said: list[list[int]]
) -> list[tuple[str, str, tuple[int, ...]]]:
    """(what was said, what was heard, how often by each model): the student's commonest, of one test split."""
    counted = {
        role: Counter(
            pair for one, other in zip(of, said, strict=True) for pair in aligned(one, other) if pair[0] != pair[1]
        )
        for role, of in heard.items()
    }
    return [
        (
            _name(names, wanted, "other"),
            _name(names, told, "other"),
            tuple(count[told, wanted] for count in counted.values()),
        )
        for (told, wanted), _ in counted["student"].most_common(CONFUSIONS)
    ]


def _symbols(told_NW: np.ndarray) -> list[list[int]]:
    return [[one for one in row if one != IGNORED] for row in told_NW.tolist()]


def _letters(names: Sequence[str]) -> bool:
    """Whether symbols are letters, which stand close; words stand apart."""
    return all(len(name) <= 1 for name in names)


def _name(names: Sequence[str], symbol: int | None, kind: str) -> str:
    if symbol is None:
        return _NOTHING
    return _SPACE if names[symbol] == " " and kind != "same" else names[symbol]

"""Who paid, as rows of a table: classes, groups and words beside the teacher and the student that nobody taught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..evaluation.figure import Figure, share
from . import figures, formats
from .formats import dig, figure

SHOWN = 20  # classes, groups or words
_ROLES = ("teacher", "student", "baseline")
_MISSED = share("missed", "not heard", "less", digits=1)  # of the times that a word is said


@dataclass(frozen=True)
class Difference:
    """The student's against another model: ``points``, their ``interval`` (empty: not known), and what was found of it."""

    points: str
    interval: str
    finding: str | None


@dataclass(frozen=True)
class Loss:
    """One class, group or word: figures of the models, and the student's differences."""

    name: str
    examples: int
    shares: tuple[str, ...]  # teacher, student, no teacher
    differences: tuple[Difference, ...]  # against no teacher, against the teacher


@dataclass(frozen=True)
class Losses:
    """A table: what was lost by more than the noise first, then by what was lost."""

    title: str  # of the first column
    figure: str  # what the shares are; empty where there are none
    unit: str  # of differences
    rows: tuple[Loss, ...]
    count: int  # rows that there are, shown or not
    over: str = ""  # what is known of the difference over whole groups


def tables(results: dict[str, Any]) -> list[Losses]:
    """Of classes, and of groups and words where the results have them."""
    found = []
    sections = [dig(results, role, "per_class") or () for role in _ROLES]
    by_class = dig(results, "losses", "classes")
    if by_class:
        several = any("f1" in row for row in sections[1])
        shares = [[figure(row.get("f1" if several else "accuracy")) for row in section] for section in sections]
        together = list(zip(*shares)) if all(len(one) == len(by_class["baseline"]) for one in shares) else None
        found.append(_table("Class", "F1" if several else "recall", by_class, "class", together))
    groups, parts = dig(results, "losses", "groups"), dig(results, "parts", "groups")
    first = next(iter(figures.read(results)), None)
    if parts and parts["rows"] and first is not None:
        found.append(_of_groups(parts, first, groups or {}))
    elif groups and groups["baseline"]:  # of an earlier version
        found.append(_table(str(groups["column"]), "", groups, "group", None))
    if words := dig(results, "parts", "words", "rows"):
        rows = [_part(row, "word", row["examples"], _MISSED) for row in words]
        found.append(Losses("Word", _MISSED.title, "points", tuple(rows[:SHOWN]), len(rows)))
    return found


def _of_groups(parts: dict[str, Any], first: Figure, losses: dict[str, Any]) -> Losses:
    """Rows of groups, the worst against the student without a teacher first."""
    findings = [{row["group"]: row["finding"] for row in losses.get(other) or ()} for other in ("baseline", "teacher")]
    ordered = sorted(parts["rows"], key=lambda row: first.sign * row["minus_baseline"]["difference"])
    rows = [_part(row, "group", row["examples"], first, [one.get(row["group"]) for one in findings]) for row in ordered]
    said = []
    for other, whom in (("baseline", "the student without a teacher"), ("teacher", "the teacher")):
        if one := dig(parts, "over", other):
            difference, low, high = figures.interval(first, one)
            said.append(f"{difference} ({low} to {high}) against {whom}")
    over = f"{first.heading} over all, with whole groups drawn in place of examples: {'; '.join(said)}." if said else ""
    title = str(parts["column"])
    return Losses(title, first.title, first.difference_unit, tuple(rows[:SHOWN]), len(rows), over)


def _part(
    row: dict[str, Any], key: str, count: int, first: Figure, findings: Sequence[str | None] = (None, None)
) -> Loss:
    differences = tuple(
        _difference(*figures.interval(first, row[f"minus_{other}"]), finding)
        for other, finding in zip(("baseline", "teacher"), findings, strict=True)
    )
    return Loss(str(row[key]), count, tuple(figures.value(first, row[role]) for role in _ROLES), differences)


def _difference(points: str, low: str, high: str, finding: str | None) -> Difference:
    return Difference(points, "" if formats.MISSING in (low, high) else f"{low} to {high}", finding)


def _table(title: str, what: str, by_other: dict[str, Any], key: str, shares: list[Any] | None) -> Losses:
    rows = []
    for index, pair in enumerate(zip(by_other["baseline"], by_other["teacher"], strict=True)):
        if not pair[0]["examples"]:
            continue
        points, low, high = (
            [formats.signed(row.get(end), 1, 100) for row in pair] for end in ("difference", "low", "high")
        )
        findings = [row["finding"] for row in pair]
        differences = tuple(map(_difference, points, low, high, findings))
        told = tuple(formats.percent(one, 1) for one in shares[index]) if shares else ()
        loss = Loss(str(pair[0][key]), pair[0]["examples"], told, differences)
        lost = sum(row["finding"] == "lost" for row in pair)
        rows.append(((-lost, pair[0]["difference"], pair[1]["difference"], index), loss))
    ordered = tuple(loss for _, loss in sorted(rows, key=lambda row: row[0]))
    return Losses(title, what if shares else "", "points", ordered[:SHOWN], len(ordered))

"""Who paid, as rows of a table: classes and groups beside the teacher and the student that nobody taught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import formats
from .formats import dig, figure

SHOWN = 20  # classes or groups


@dataclass(frozen=True)
class Loss:
    """One class or group: figures of the models as shares, and the student's differences with what was found of them."""

    name: str
    examples: int
    shares: tuple[float | None, ...]  # teacher, student, no teacher
    differences: tuple[tuple[str, str | None], ...]  # against no teacher, against the teacher: points, and the finding


@dataclass(frozen=True)
class Losses:
    """A table: what was lost by more than the noise first, then by what was lost."""

    title: str  # of the first column
    figure: str  # what the shares are; empty where there are none
    rows: tuple[Loss, ...]
    count: int  # rows that there are, shown or not


def tables(results: dict[str, Any]) -> list[Losses]:
    """Of classes, and of groups where the data has them."""
    found = []
    sections = [dig(results, role, "per_class") or () for role in ("teacher", "student", "baseline")]
    by_class = dig(results, "losses", "classes")
    if by_class:
        several = any("f1" in row for row in sections[1])
        shares = [[figure(row.get("f1" if several else "accuracy")) for row in section] for section in sections]
        together = list(zip(*shares)) if all(len(one) == len(by_class["baseline"]) for one in shares) else None
        found.append(_table("Class", "F1" if several else "recall", by_class, "class", together))
    groups = dig(results, "losses", "groups")
    if groups and groups["baseline"]:
        found.append(_table(str(groups["column"]), "", groups, "group", None))
    return found


def _table(title: str, what: str, by_other: dict[str, Any], key: str, shares: list[Any] | None) -> Losses:
    rows = []
    for index, pair in enumerate(zip(by_other["baseline"], by_other["teacher"], strict=True)):
        if not pair[0]["examples"]:
            continue
        differences = tuple((formats.signed(row["difference"], 1, 100), row["finding"]) for row in pair)
        loss = Loss(str(pair[0][key]), pair[0]["examples"], tuple(shares[index]) if shares else (), differences)
        lost = sum(row["finding"] == "lost" for row in pair)
        rows.append(((-lost, pair[0]["difference"], pair[1]["difference"], index), loss))
    ordered = tuple(loss for _, loss in sorted(rows, key=lambda row: row[0]))
    return Losses(title, what if shares else "", ordered[:SHOWN], len(ordered))

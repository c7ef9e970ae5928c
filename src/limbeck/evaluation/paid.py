"""Who paid, in sentences: from the section ``losses`` of results.json. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .wording import counted, listed, quoted

_NAMED = 5  # classes or groups in a sentence; the report has them all
_WHOM = {"baseline": "the student without a teacher", "teacher": "the teacher"}


def paid(section: Mapping[str, Any] | None, what: str) -> list[tuple[bool, str, str]]:
    """(whether something was lost by more than the noise, about what, a sentence) of classes, of groups and of single examples."""
    if not section:
        return []
    seeds = section["examples"]["lost"]["n"]
    told = [_rows(section["classes"], "class", "classes", f"test {what}s", seeds)]
    groups = section.get("groups")
    if groups:
        if groups["baseline"] is None:
            told.append(
                (
                    False,
                    "Groups",
                    f"{quoted(groups['column'])} has {counted(groups['count'], 'group')} in the test split: not compared one by one.",
                )
            )
        else:
            told.append(_rows(groups, "group", f"groups of {quoted(groups['column'])}", f"test {what}s", seeds))
    return [*told, (False, "Examples", _examples(section["examples"], what))]


def too_few(examples: int, compared: int) -> bool:
    """Whether even losing every one of so few examples would not stand out among so many classes."""
    return compared * 2.0 ** (1 - examples) >= 0.05


def _rows(by_other: Mapping[str, Any], key: str, many: str, whats: str, seeds: int) -> tuple[bool, str, str]:
    parts, anything, count = [], False, 0
    for other, whom in _WHOM.items():
        rows = [row for row in by_other[other] if row["examples"]]
        count = len(rows)
        lost = sorted((row for row in rows if row["finding"] == "lost"), key=lambda row: row["difference"])
        anything = anything or bool(lost)
        named = [f"{quoted(row[key])} ({100 * row['difference']:+.1f} points)" for row in lost[:_NAMED]]
        if len(lost) > _NAMED:
            named.append(f"{len(lost) - _NAMED} more")
        parts.append(f"against {whom} {listed(named) if named else 'none'}")
    rows = [row for row in by_other["baseline"] if row["examples"]]
    few = sum(too_few(row["examples"], count) for row in rows)
    unknown = f"; {few} of them have too few {whats} to tell" if few else ""
    if seeds in (2, 3):
        unknown += f"; with {seeds} seeds only great losses stand out"
    text = f"{many[0].upper()}{many[1:]} that lost more than the noise, corrected for there being {count}: {', '.join(parts)}{unknown}."
    return anything, f"{key.title()}{'es' if key == 'class' else 's'}", text


def _examples(found: Mapping[str, Any], what: str) -> str:
    had, missed = found["teacher_right"], found["teacher_wrong"]
    lost, share, gained = found["lost"], found["lost_share"], found["gained"]
    if not had:
        return f"The teacher had no test {what} right."
    every = f", {found['lost_by_all']} of them with every seed" if lost["n"] > 1 else ""
    start = (
        f"Of the {counted(had, f'test {what}')} that the teacher had right the student lost {_count(lost)} "
        f"({100 * share['mean']:.1f} %){every}"
    )
    if not missed:
        return f"{start}; it had none wrong."
    return f"{start}; of the {missed:,} that it had wrong the student has {_count(gained)} right."


def _count(figure: Mapping[str, Any]) -> str:
    return f"{figure['mean']:,.1f}".removesuffix(".0")

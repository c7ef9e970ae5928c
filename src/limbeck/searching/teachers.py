"""Whether another teacher helps, or an assistant: what the students of each came to, where a search varies them. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..sections.budget import COSTS
from .front import chosen_of, eligible, front_of
from .trials import UNTRAINED, Trial


def by_teacher(
    trials: Sequence[Trial], budget: Mapping[str, float], better: int = 1, field: str = "teacher"
) -> list[dict[str, Any]]:
    """What ``search.json`` says of each teacher that was tried, or ``assistant``, the best first; empty where all had the same.

    A teacher is told by the section that was tried, or by those of its fields that varied (``teacher.model``).

    Each teacher's students are the best of so many: the more of them, the better the best looks.
    """
    groups: dict[str, list[Trial]] = {}
    for one in trials:
        told = _told(one, field)
        if told and one.fate not in UNTRAINED:
            groups.setdefault(json.dumps(told, sort_keys=True), []).append(one)
    if len(groups) < 2:
        return []
    on_front = {one.number for one in front_of(trials, budget, better)}
    found = []
    for ones in groups.values():
        best = chosen_of(front_of(ones, budget, better), budget, better)
        found.append(
            {
                **_told(ones[0], field),
                "trials": len(ones),
                "finished": len(eligible(ones, budget)),
                "on_front": sum(one.number in on_front for one in ones),
                "best": None if best is None else best.number,
                "quality": None if best is None else best.quality,
                "cost": {} if best is None else {name: best.cost[name] for name in COSTS if name in best.cost},
            }
        )
    return sorted(found, key=lambda one: -better * one["quality"] if one["quality"] is not None else float("inf"))


def _told(trial: Trial, field: str) -> dict[str, Any]:
    """Its section under the section's name, where that varied, or else under the same name the fields that did; empty where none did."""
    if field in trial.values:
        return {field: trial.values[field]}
    within = {name: value for name, value in trial.values.items() if name.startswith(f"{field}.")}
    return {field: {name.removeprefix(f"{field}."): value for name, value in within.items()}} if within else {}

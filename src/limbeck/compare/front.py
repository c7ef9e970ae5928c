"""Which rows of a comparison are on the front: no other is at least as good and at most as dear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.figure import Figure


def milliseconds(speed: Mapping[str, Any] | None) -> str:
    """Which field of ``latency_ms`` may be set side by side: of the clock, or of the processor where it was disturbed."""
    return "cpu_p50" if speed is not None and speed["disturbed"] else "p50"


def costs(section: Mapping[str, Any], speed: Mapping[str, Any] | None) -> dict[str, float | None]:
    """``bytes`` and ``ms`` of a model with these ``bytes`` and ``latency_ms``; None where not measured."""
    latency = section["latency_ms"]
    return {"bytes": section["bytes"], "ms": None if latency is None else latency[milliseconds(speed)]}


def front(points: Sequence[tuple[float, float]], better: int = 1) -> list[bool]:
    """For each (cost, value) whether no other is at most as dear and at least as good, and one of these truly.

    ``better`` is 1 where more of the value is better, -1 where less is.
    """
    return [
        not any(
            other <= cost and better * theirs >= better * value and (other, theirs) != (cost, value)
            for other, theirs in points
        )
        for cost, value in points
    ]


def with_fronts(
    rows: Sequence[dict[str, Any]], speed: Mapping[str, Any] | None, figures: Sequence[Figure]
) -> list[dict[str, Any]]:
    """The rows, each with its ``cost`` (:func:`costs`) and ``front``: by figure and cost whether it is on it.

    The front is that of the means over seeds, of all rows together; None where a row has no such cost.
    """
    found = [row | {"cost": costs(row, speed), "front": {figure.name: {} for figure in figures}} for row in rows]
    for figure in figures:
        measure = figure.name
        for name in ("bytes", "ms"):
            there = [row for row in found if row["cost"][name] is not None]
            points = [(row["cost"][name], row["metrics"][measure]["mean"]) for row in there]
            for row in found:
                row["front"][measure][name] = None
            for row, on in zip(there, front(points, figure.sign), strict=True):
                row["front"][measure][name] = on
    return found

"""The pictures of a search's page: fronts, the forecast, what mattered. From ``search.json`` alone, no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from ..evaluation.figure import Figure
from ..report import charts, figures, formats, svg
from ..report.svg import Scale, Tick, tag, text
from ..sections.budget import COSTS
from .budget import cost_text
from .precision import FLOAT32

LEAST_ERROR = 1e-3  # added to errors where an axis is logarithmic in them


class Placed(NamedTuple):
    """A model in a plane of cost and quality; ``kind`` is its colour, ``faint`` what is on no front."""

    kind: str
    cost: float
    value: float
    said: str
    faint: bool = False
    label: str | None = None


def front(results: Mapping[str, Any], cost: str, figure: Figure) -> Markup | None:
    """Quality over validation against one cost: students, those without a teacher, the teacher, the limit; None where nothing was trained."""
    places: list[Placed] = []
    lines: dict[str, list[tuple[float, float]]] = {}
    for arm, kind in (("baseline", "baseline"), ("student", "student")):
        on = set(results["fronts"][arm].get(cost, ()))
        for trial in results["trials"][arm]:
            value, at = formats.figure(trial["quality"]), formats.figure(trial["cost"].get(cost))
            if value is None or at is None or at <= 0:
                continue
            what = "with a teacher" if kind == "student" else "without a teacher"
            what += "" if trial.get("format", FLOAT32) == FLOAT32 else f", {trial['format']}"
            said = f"trial {trial['number']} {what}: {figures.with_unit(figure, value)} at {cost_text(cost, at)}"
            chosen = arm == "student" and trial["number"] == results["chosen"]
            label = f"trial {trial['number']}, chosen" if chosen else None
            places.append(Placed(kind, at, value, said, trial["number"] not in on and not chosen, label))
            if trial["number"] in on:
                lines.setdefault(kind, []).append((at, value))
    if not places:
        return None
    teacher = results["teacher"]
    taught, at = formats.figure(teacher["validation"]), formats.figure(teacher["cost"].get(cost))
    if taught is not None and at is not None and at > 0:
        said = f"teacher: {figures.with_unit(figure, taught)} at {cost_text(cost, at)}"
        places.append(Placed("teacher", at, taught, said, label="teacher"))
    limit = results["search"]["budget"].get(cost)
    x, y, axes = _plane(places, cost, figure, [limit] if limit else [])
    parts = [axes]
    if limit and x.low < limit < x.high:
        parts.append(tag("line", class_="limit", x1=x(limit), x2=x(limit), y1=y.start, y2=y.stop))
        parts.append(text(x(limit) - 4, y.start - 6, "budget", "end", class_="tick"))
    for kind, line in lines.items():
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in sorted(line))
        parts.append(tag("polyline", class_=f"line {kind}", points=points))
    for one in sorted(places, key=lambda one: not one.faint):
        size = 3.2 if one.faint else 5.5
        sign = svg.mark(one.kind, x(one.cost), y(one.value), size, one.said)
        parts.append(tag("g", sign, class_="faint") if one.faint else sign)
    parts += _labels([one for one in places if one.label], x, y)
    return svg.drawing(460, 330, f"{figure.heading} over validation against {COSTS[cost].words}", *parts)


def forecast(found: Mapping[str, Any], results: Mapping[str, Any], figure: Figure) -> Markup:
    """The curve through the front with its 80 % interval, over what was tried and a factor of two beyond."""
    cost, curve = found["cost"], found["curve"]
    places = []
    for trial in results["trials"]["student"]:
        at = trial["cost"].get(cost, trial["parameters"] if cost == "parameters" else None)
        value = formats.figure(trial["quality"])
        if value is not None and at and found["cheapest"] <= at:
            places.append(Placed("student", at, value, f"trial {trial['number']}", True))
    asked = found["keep"]
    ends = [
        Placed("student", c, v, "") for name in ("low", "high", "expected") for c, v in zip(curve["cost"], curve[name])
    ]
    x, y, axes = _plane([*places, *ends], cost, figure, [])
    there = [*zip(curve["cost"], curve["high"]), *reversed([*zip(curve["cost"], curve["low"])])]
    band = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in there)
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(curve["cost"], curve["expected"]))
    parts = [
        axes,
        tag("polygon", class_="band student", points=band),
        tag("polyline", class_="line student", points=line),
    ]
    if asked is not None and y.low <= asked["quality"] <= y.high:
        at_y = y(asked["quality"])
        parts.append(tag("line", class_="limit", x1=x.start, x2=x.stop, y1=at_y, y2=at_y))
        parts.append(text(x.start + 4, at_y - 5, f"{100 * asked['share']:g} % of the teacher's", class_="tick"))
    parts += [tag("g", svg.mark(one.kind, x(one.cost), y(one.value), 3.2, one.said), class_="faint") for one in places]
    return svg.drawing(460, 330, f"Forecast of {figure.title} against {COSTS[cost].words}", *parts)


def importances(settings: Sequence[Mapping[str, Any]]) -> Markup:
    """A bar a setting with its interval; a tick where chance ends."""
    width, step = 460.0, 40.0
    bottom = 8 + step * len(settings)
    most = max(max(one["high"], one["importance"], one["chance"]) for one in settings) or 1.0
    x, y = Scale(0, min(1.0, most * 1.05), 18, width - 24), Scale(0, len(settings), 4, bottom)
    parts = [
        svg.axes(
            x, y, svg.percent_ticks(svg.linear_ticks(0, x.high, 5)), [], "share of what tells the best third apart", ""
        )
    ]
    for index, one in enumerate(settings):
        at_y = y(index + 0.72)
        said = f"{100 * one['importance']:.0f} % ({100 * one['low']:.0f} to {100 * one['high']:.0f})"
        key = "student" if one["beyond_chance"] else "plain"
        parts.append(text(12, at_y - 12, svg.clip(one["setting"], 40), class_="label"))
        parts.append(text(width - 12, at_y - 12, said, "end", class_="label"))
        parts.append(tag("rect", class_=f"bar {key}", x=x(0), y=at_y - 5, width=x(one["importance"]) - x(0), height=10))
        parts.append(tag("line", class_="whisker", x1=x(one["low"]), x2=x(one["high"]), y1=at_y, y2=at_y))
        parts.append(tag("line", class_="chance", x1=x(one["chance"]), x2=x(one["chance"]), y1=at_y - 8, y2=at_y + 8))
    return svg.drawing(width, bottom + 42, "What mattered", *parts)


def _plane(
    places: Sequence[Placed], cost: str, figure: Figure, more_costs: Sequence[float]
) -> tuple[Scale, Scale, Markup]:
    """The scales of both axes, and the axes; shares are on an axis that is logarithmic in what is missing from 1."""
    x = Scale(*svg.padded_log([*(one.cost for one in places), *more_costs], 2.0), 58, 446, math.log10)
    values = [one.value for one in places]
    y_ticks: list[Tick]
    if figure.share and figure.sign > 0:
        low, high = max(0.0, min(values)), min(1.0, max(values))
        low, high = low - 0.1 * (high - low) - 0.002, min(1.0, high + 0.25 * (1 - high) + 0.002)
        y = Scale(max(0.0, low), high, 282, 30, lambda value: -math.log10(1 - value + LEAST_ERROR))
        y_ticks = svg.percent_ticks(svg.share_ticks(y.low, y.high, LEAST_ERROR))
    else:
        y = Scale(*svg.padded(values, 0.08, least=0.02 * max(map(abs, values)) or 0.01), 282, 30)
        y_ticks = charts.figure_ticks(figure, y)
    unit = "" if COSTS[cost].whole else f", {COSTS[cost].unit}"
    x_ticks = [(value, formats.short(value)) for value in svg.log_ticks(x.low, x.high, 5)]
    less = " (less is better)" if figure.sign < 0 else ""
    return x, y, svg.axes(x, y, x_ticks, y_ticks, f"{COSTS[cost].words}{unit}", f"validation {figure.title}{less}")


def _labels(places: Sequence[Placed], x: Scale, y: Scale) -> list[Markup]:
    here = sorted(places, key=lambda one: y(one.value))
    heights = charts.apart([y(one.value) - 9 for one in here], 14.0, y.stop + 4, y.start - 4)
    found = []
    for one, at_y in zip(here, heights):
        right = x(one.cost) > (x.start + x.stop) / 2
        found.append(
            text(x(one.cost) + (-9 if right else 9), at_y, str(one.label), "end" if right else "start", class_="label")
        )
    return found

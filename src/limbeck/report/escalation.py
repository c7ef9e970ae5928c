"""What comes of sending the examples that the student is least sure of to its teacher: a curve, and a few of its points"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from . import charts, formats, svg
from .formats import dig, figure
from .svg import Scale, tag, text

SHOWN = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # shares of validation, as rows of a table


def content(results: dict[str, Any]) -> dict[str, Any] | None:
    """``pictures`` and ``rows``; None where a student is not sure or unsure."""
    curve = dig(results, "escalation", "curve")
    if not curve:
        return None
    rows = []
    for one in curve:
        if one["share"] not in SHOWN:
            continue
        sent = formats.percent(one["sent"]["mean"], 1)
        ms = formats.with_unit(dig(one, "ms", "mean"), "ms")
        rows.append((sent, formats.percent(one["accuracy"]["mean"], 2), *(_points(one[name]) for name in _BESIDE), ms))
    teacher, student = (dig(results, "escalation", f"{role}_ms") for role in ("teacher", "student"))
    times = figure(teacher) is not None and figure(student) is not None
    pictures = [picture(curve), *([picture(curve, by="ms")] if times else [])]
    return {"pictures": pictures, "rows": rows, "timed": times}


_ROOM = 0.2  # of the heights above and below: a name fits between a mark and the axis
_BEFORE = 0.03  # of the width: the first mark does not touch what the upright axis says
_BESIDE = ("minus_student", "minus_teacher", "minus_random")


def picture(curve: list[dict[str, Any]], *, by: str = "sent") -> Markup:
    """Accuracy against the share that is sent, or by mean milliseconds, ``ms``; with the interval of what is gained over the student.

    What sending as many at random would give is a straight line in both.
    """
    width, height = 420.0, 300.0
    alone, taught = curve[0]["accuracy"]["mean"], curve[-1]["accuracy"]["mean"]
    means = [(one[by]["mean"], one["accuracy"]["mean"]) for one in curve]
    ends = [
        [(one[by]["mean"], min(max(alone + one["minus_student"][end], 0.0), 1.0)) for one in curve]
        for end in ("low", "high")
    ]
    first, last = means[0][0], means[-1][0]
    x = Scale(first - _BEFORE * (last - first), last, 58, width - 26)  # half a label fits beside
    y = Scale(*svg.padded([value for line in (means, *ends) for _, value in line], _ROOM, 0.004), height - 48, 30)
    if y.high > 1.0:
        y = Scale(y.low, 1.0, y.start, y.stop)
    values = svg.linear_ticks(first, last)
    named = svg.percent_ticks(values) if by == "sent" else [(value, f"{value:.4g}") for value in values]
    title = "share sent to the teacher" if by == "sent" else "mean milliseconds of one"
    ticks = svg.percent_ticks(svg.linear_ticks(y.low, y.high))
    up, down = (-12, 20) if taught > alone else (20, -12)
    parts = [
        svg.axes(x, y, named, ticks, title, "test accuracy"),
        tag("polygon", class_="band student", points=_drawn(x, y, [*ends[0], *ends[1][::-1]])),
        tag("line", class_="ideal", x1=x(first), y1=y(alone), x2=x(last), y2=y(taught)),
        tag("polyline", class_="line student", points=_drawn(x, y, means)),
        svg.mark("student", x(first), y(alone), label=f"Student alone: {formats.percent(alone, 2)}"),
        svg.mark("teacher", x(last), y(taught), label=f"Teacher alone: {formats.percent(taught, 2)}"),
        text(x(first) + 8, y(alone) + down, charts.NAMES["student"], class_="label"),
        text(x(last), y(taught) + up, charts.NAMES["teacher"], "end", class_="label"),
    ]
    return svg.drawing(width, height, f"accuracy on test against {title}", *parts)


def _drawn(x: Scale, y: Scale, line: list[tuple[float, float]]) -> str:
    return " ".join(f"{x(share):.1f},{y(value):.1f}" for share, value in line)


def _points(found: dict[str, Any]) -> str:
    """A difference in points, with its interval."""
    value, low, high = (formats.signed(found[name], 2, 100) for name in ("difference", "low", "high"))
    return f"{value} ({low} to {high})"

"""The pictures of the report, each one inline SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from . import formats, svg
from .evidence import Bins
from .svg import Scale, Tick, tag, text

NAMES = {
    "teacher": "Teacher",
    "student": "Student",
    "baseline": "No teacher",
    "smoothed": "Label smoothing",
}


class Point(NamedTuple):
    """A model in a plane of cost and accuracy."""

    key: str
    cost: float
    accuracy: float
    deviation: float | None


class Interval(NamedTuple):
    """A difference and where it lies with 95 % confidence."""

    label: str
    difference: float
    low: float
    high: float
    key: str = "student"


def trade_off(points: Sequence[Point], x_title: str, unit: str) -> Markup:
    """Accuracy (linear) against cost (logarithmic); bars are one standard deviation over seeds."""
    width, height = 420.0, 300.0
    reach = [p.accuracy + side * (p.deviation or 0) for p in points for side in (-1, 1)]
    x = Scale(*svg.padded_log([p.cost for p in points]), 58, width - 12, math.log10)
    low, high = svg.padded(reach, least=0.004)
    y = Scale(max(low, 0.0), min(high, 1.0), height - 48, 30)
    parts = [
        svg.axes(
            x,
            y,
            [(value, formats.short(value)) for value in svg.log_ticks(x.low, x.high, 5)],
            svg.percent_ticks(svg.linear_ticks(y.low, y.high)),
            x_title,
            "test accuracy",
        )
    ]
    middle = (x.start + x.stop) / 2
    beside = _side_by_side([(x(p.cost), y(p.accuracy)) for p in points])
    where = {point.key: at for point, at in zip(points, beside)}
    for side in (True, False):
        here = sorted((p for p in points if (x(p.cost) > middle) == side), key=lambda p: -p.accuracy)
        heights = apart([y(p.accuracy) for p in here], 16.0, y.stop + 4, y.start - 6)
        for point, label_y in zip(here, heights):
            (at_x, left, right), at_y = where[point.key], y(point.accuracy)
            if point.deviation:
                ends = {
                    "y1": y(max(point.accuracy - point.deviation, y.low)),
                    "y2": y(min(point.accuracy + point.deviation, y.high)),
                }
                parts.append(tag("line", class_=f"whisker {point.key}", x1=at_x, x2=at_x, **ends))
            said = f"{NAMES[point.key]}: {formats.percent(point.accuracy)} at {formats.number(point.cost)}{unit}"
            parts.append(svg.mark(point.key, at_x, at_y, label=said))
            place = (left - 13, "end") if side else (right + 13, "start")
            parts.append(text(place[0], label_y + 4, NAMES[point.key], place[1], class_="label"))
    return svg.drawing(width, height, f"Test accuracy against {x_title}", *parts)


def curves(
    series: dict[str, list[tuple[float, float]]],
    y_title: str,
    *,
    accuracy: bool = False,
    examples: float | None = None,
) -> Markup:
    """One line a model over epochs; losses on a logarithmic axis, accuracies on one logarithmic in error.

    ``examples``: of which accuracies were measured; an axis of few does not tell of thousandths.
    """
    width, height = 320.0, 250.0
    values = [value for line in series.values() for _, value in line]
    epochs = [epoch for line in series.values() for epoch, _ in line]
    x = Scale(min(epochs), max(epochs), 58, width - 12)
    y_ticks: list[Tick]
    if accuracy:
        least = max(1 / max(examples or 0.0, 1.0), LEAST_ERROR) if examples else LEAST_ERROR
        y = Scale(min(values), max(values), height - 52, 34, lambda value: -math.log10(1 - value + least))
        y_ticks = svg.percent_ticks(svg.accuracy_ticks(y.low, y.high, least))
    else:
        y = Scale(*svg.padded_log(values, 1.5), height - 52, 34, math.log10)
        y_ticks = [(value, f"{value:.3g}") for value in svg.log_ticks(y.low, y.high)]
    whole = [value for value in svg.linear_ticks(x.low, x.high, 6) if value == int(value)]
    parts = [svg.axes(x, y, [(value, f"{value:g}") for value in whole], y_ticks, "epoch", y_title)]
    for key, line in series.items():
        pixels = [(x(epoch), y(value)) for epoch, value in line]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in pixels)
        parts.append(tag("polyline", class_=f"line {key}", points=drawn))
        parts.append(svg.mark(key, *pixels[-1], size=4.5, label=NAMES[key]))
    return svg.drawing(width, height, f"{y_title} per epoch", *parts)


def reliability(bins: Bins, key: str) -> Markup:
    """Accuracy by confidence, with the share of answers in each bin below."""
    width, height = 300.0, 350.0
    x, y = Scale(0, 1, 46, width - 22), Scale(0, 1, 230, 30)
    ticks = svg.percent_ticks([0, 0.25, 0.5, 0.75, 1])
    total, number = max(1, int(bins.size.sum())), len(bins.size)
    share = Scale(0, float(bins.size.max()) / total or 1.0, 326, 284)
    parts = [svg.axes(x, y, ticks[::2], ticks, "", "accuracy")]
    for index in range(number):
        if not bins.size[index]:
            continue
        left, right = x(index / number) + 1, x((index + 1) / number) - 1
        said = (
            f"{bins.size[index]} answers at {formats.percent(bins.confidence[index], 1)} confidence: "
            f"{formats.percent(bins.accuracy[index], 1)} right"
        )
        few = " few" if bins.size[index] < 10 else ""
        top = y(float(bins.accuracy[index]))
        parts.append(_bar(f"bar {key}{few}", left, right, top, y.start, said))
        below = share(float(bins.size[index]) / total)
        parts.append(_bar("bar share", left, right, below, share.start, said))
    parts.append(tag("line", class_="ideal", x1=x(0), x2=x(1), y1=y(0), y2=y(1)))
    parts.append(text(0, 270, "share of answers", class_="title"))
    parts.append(text(x.stop, 345, "confidence", "end", class_="title"))
    return svg.drawing(width, height, f"{NAMES[key]}: accuracy by confidence", *parts)


def confusion(counts_CC: np.ndarray, classes: Sequence[str]) -> Markup:
    """Rows are true classes, columns the student's answers; mistakes are coloured by their number."""
    number = len(classes)
    cell = max(26.0, min(44.0, 400 / number))
    left, top, below = 112.0, 24.0, 92.0
    side = cell * number
    mistakes = counts_CC - np.diag(np.diag(counts_CC))
    worst = max(1, int(mistakes.max()))
    parts = [text(0, 12, "true class", class_="title")]
    for row, name in enumerate(classes):
        middle = top + (row + 0.5) * cell
        parts.append(_name(left - 8, middle + 4, name, 15, "end"))
        for column, answer in enumerate(classes):
            found = int(counts_CC[row, column])
            right = row == column
            share = found / max(1, int(counts_CC[row].sum())) if right else math.sqrt(found / worst)
            said = f"{name} taken for {answer}: {found}" if not right else f"{name}: {found} right"
            parts.append(
                tag(
                    "rect",
                    tag("title", said),
                    class_="right" if right else "wrong",
                    x=left + column * cell + 1,
                    y=top + row * cell + 1,
                    width=cell - 2,
                    height=cell - 2,
                    rx=2,
                    style=f"fill-opacity:{0.05 + 0.6 * share:.2f}" if found else None,
                )
            )
            if found:
                at_x = left + (column + 0.5) * cell
                parts.append(text(at_x, middle + 4, formats.short(found), "middle", class_="count"))
    for column, name in enumerate(classes):
        at_x, at_y = left + (column + 0.5) * cell + 4, top + side + 14
        turned = f"rotate(-40 {at_x:.1f} {at_y:.1f})"
        parts.append(_name(at_x, at_y, name, 15, "end", transform=turned))
    width, height = left + side + 8, top + side + below
    parts.append(text(width - 8, height - 2, "student's answer", "end", class_="title"))
    return svg.drawing(width, height, "Confusion matrix of the student", *parts, class_="chart matrix")


def per_class(rows: Sequence[tuple[str, float, float]]) -> Markup:
    """Teacher's and student's accuracy in each class: (name, teacher, student)."""
    step, left, width = 24.0, 112.0, 420.0
    bottom = 30 + step * len(rows)
    x = Scale(*_share_range([value for _, *both in rows for value in both]), left + 10, width - 14)
    y = Scale(0, len(rows), 26, bottom)
    ticks = svg.percent_ticks(svg.linear_ticks(x.low, x.high, 4))
    parts = [svg.axes(x, y, ticks, [], "test accuracy", "")]
    for index, (name, teacher, student) in enumerate(rows):
        at_y = y(index + 0.5)
        said = f"{name}: teacher {formats.percent(teacher, 1)}, student {formats.percent(student, 1)}"
        parts.append(_name(left - 2, at_y + 4, name, 15, "end"))
        parts.append(tag("line", class_="grid", x1=x.start, x2=x.stop, y1=at_y, y2=at_y))
        parts.append(tag("line", class_="link", x1=x(teacher), x2=x(student), y1=at_y, y2=at_y))
        parts.append(svg.mark("teacher", x(teacher), at_y, 5, said))
        parts.append(svg.mark("student", x(student), at_y, 5, said))
    return svg.drawing(width, bottom + 44, "Accuracy of teacher and student by class", *parts)


def intervals(rows: Sequence[Interval], x_title: str, digits: int) -> Markup:
    """Differences with their 95 % intervals, against a line at zero."""
    width, step = 420.0, 46.0
    bottom = 12 + step * len(rows)
    ends = [value for row in rows for value in (row.low, row.high, row.difference, 0.0)]
    x = Scale(*svg.padded(ends, 0.1, least=10.0**-digits), 26, width - 26)  # half a label fits beside
    y = Scale(0, len(rows), 8, bottom)
    ticks = [(v, formats.signed(v, digits)) for v in svg.linear_ticks(x.low, x.high)]
    if len({label for _, label in ticks}) < len(ticks):
        ticks = [(v, f"{v:+.2g}".replace("-", "−") if v else "0") for v, _ in ticks]
    parts = [svg.axes(x, y, ticks, [], x_title, "")]
    for index, row in enumerate(rows):
        at_y = y(index + 0.68)
        said = (
            f"{formats.signed(row.difference, digits)} "
            f"({formats.signed(row.low, digits)} to {formats.signed(row.high, digits)})"
        )
        parts.append(tag("line", class_="axis", x1=x(0), x2=x(0), y1=at_y - 9, y2=at_y + 9))
        parts.append(text(12, at_y - 16, row.label, class_="label"))
        parts.append(text(width - 12, at_y - 16, said, "end", class_="label"))
        parts.append(tag("line", class_=f"whisker {row.key}", x1=x(row.low), x2=x(row.high), y1=at_y, y2=at_y))
        parts.append(svg.mark(row.key, x(row.difference), at_y, label=said))
    return svg.drawing(width, bottom + 42, x_title, *parts)


def differences(comparison: dict[str, dict], measure: str, x_title: str, scale: float, digits: int) -> Markup | None:
    """The intervals of one measure over all that the student is compared with; None where there are none."""
    rows = []
    for key, label in (("baseline", "against no teacher"), ("smoothed", "against label smoothing")):
        found = formats.dig(comparison, key, measure)
        difference, low, high = (formats.figure(formats.dig(found, part)) for part in ("difference", "low", "high"))
        if difference is not None and low is not None and high is not None:
            rows.append(Interval(label, scale * difference, scale * low, scale * high))
    return intervals(rows, x_title, digits) if rows else None


LEAST_ERROR = 1e-4  # added to errors where an axis is logarithmic in them, so that none has its place
_NEAR = 12.0  # pixels, below which one marker covers another


def _side_by_side(at: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Of each point where its marker stands across, moved aside where it would cover another, and its neighbours' ends."""
    found: list[tuple[float, float, float]] = []
    for x, y in at:
        near = [index for index, (a, b) in enumerate(at) if abs(a - x) < _NEAR and abs(b - y) < _NEAR]
        places = [sum(at[i][0] for i in near) / len(near) + (k - (len(near) - 1) / 2) * _NEAR for k in range(len(near))]
        mine = next(k for k, index in enumerate(near) if index == len(found))
        found.append((places[mine], places[0], places[-1]) if len(near) > 1 else (x, x, x))
    return found


def _share_range(values: Sequence[float]) -> tuple[float, float]:
    low, high = svg.padded(values, 0.06, least=0.02)
    return max(0.0, low), min(1.0, high)


def apart(wanted: list[float], gap: float, top: float, bottom: float) -> list[float]:
    """Heights near the wanted ones (ascending) that keep ``gap`` apart and lie between top and bottom."""
    placed: list[float] = []
    for value in wanted:
        placed.append(max(value, placed[-1] + gap if placed else top))
    for index in range(len(placed) - 1, -1, -1):
        limit = bottom if index == len(placed) - 1 else placed[index + 1] - gap
        placed[index] = min(placed[index], limit)
    return placed


def _bar(class_: str, left: float, right: float, top: float, bottom: float, said: str) -> Markup:
    return tag(
        "rect",
        tag("title", said),
        class_=class_,
        x=left,
        y=top,
        width=right - left,
        height=max(1.0, bottom - top),
    )


def _name(x: float, y: float, name: str, length: int, anchor: str, transform: str | None = None) -> Markup:
    shown = svg.clip(name, length)
    # The whole name stays within reach where it had to be cut.
    inside = [shown, tag("title", name)] if shown != name else [shown]
    return text(x, y, Markup("").join(inside), anchor, class_="label", transform=transform)

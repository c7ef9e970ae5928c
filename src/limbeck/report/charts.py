"""The pictures that any kind of answer has, each one inline SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from ..evaluation.figure import Figure
from . import figures, formats, svg
from .svg import Scale, Tick, tag, text

NAMES = {
    "teacher": "Teacher",
    "student": "Student",
    "baseline": "No teacher",
    "smoothed": "Label smoothing",
}


class Point(NamedTuple):
    """A model in a plane of cost and quality."""

    key: str
    cost: float
    value: float
    deviation: float | None


class Interval(NamedTuple):
    """A difference and where it lies with 95 % confidence."""

    label: str
    difference: float
    low: float
    high: float
    key: str = "student"


def trade_off(points: Sequence[Point], x_title: str, unit: str, figure: Figure) -> Markup:
    """A figure (linear) against cost (logarithmic); bars are one standard deviation over seeds."""
    width, height = 420.0, 300.0
    reach = [p.value + side * (p.deviation or 0) for p in points for side in (-1, 1)]
    x = Scale(*svg.padded_log([p.cost for p in points]), 58, width - 12, math.log10)
    low, high = svg.padded(reach, least=0.004 if figure.share else 0.05 * max(map(abs, reach)) or 1.0)
    if figure.share:
        low, high = max(low, 0.0), min(high, 1.0)
    y = Scale(max(low, 0.0) if min(p.value for p in points) >= 0 else low, high, height - 48, 30)
    parts = [
        svg.axes(
            x,
            y,
            [(value, formats.short(value)) for value in svg.log_ticks(x.low, x.high, 5)],
            figure_ticks(figure, y),
            x_title,
            titled(figure),
        )
    ]
    middle = (x.start + x.stop) / 2
    beside = _side_by_side([(x(p.cost), y(p.value)) for p in points])
    where = {point.key: at for point, at in zip(points, beside)}
    for side in (True, False):
        here = sorted((p for p in points if (x(p.cost) > middle) == side), key=lambda p: y(p.value))
        heights = apart([y(p.value) for p in here], 16.0, y.stop + 4, y.start - 6)
        for point, label_y in zip(here, heights):
            (at_x, left, right), at_y = where[point.key], y(point.value)
            if point.deviation:
                ends = {
                    "y1": y(max(point.value - point.deviation, y.low)),
                    "y2": y(min(point.value + point.deviation, y.high)),
                }
                parts.append(tag("line", class_=f"whisker {point.key}", x1=at_x, x2=at_x, **ends))
            said = f"{NAMES[point.key]}: {figures.with_unit(figure, point.value)} at {formats.number(point.cost)}{unit}"
            parts.append(svg.mark(point.key, at_x, at_y, label=said))
            place = (left - 13, "end") if side else (right + 13, "start")
            parts.append(text(place[0], label_y + 4, NAMES[point.key], place[1], class_="label"))
    return svg.drawing(width, height, f"{figure.heading} on test against {x_title}", *parts)


def titled(figure: Figure, *, percent: bool = False) -> str:
    """What stands at an axis: ``test NLL, nats (less is better)``; ``percent`` where the ticks of a share do not say it."""
    unit = f", {figure.unit}" if figure.unit and (percent or not figure.share) else ""
    return f"test {figure.title}{unit}{' (less is better)' if figure.better == 'less' else ''}"


def figure_ticks(figure: Figure, scale: Scale) -> list[Tick]:
    """Round values, of a share in percent."""
    values = svg.linear_ticks(scale.low, scale.high)
    return (
        svg.percent_ticks(values) if figure.share else [(value, f"{value:.6g}".replace("-", "−")) for value in values]
    )


def curves(
    series: dict[str, list[tuple[float, float]]],
    y_title: str,
    *,
    share: bool = False,
    examples: float | None = None,
) -> Markup:
    """One line a model over epochs; losses and errors on a logarithmic axis, shares of 1 on one logarithmic in what is missing.

    ``examples``: of which shares were measured; an axis of few does not tell of thousandths.
    """
    width, height = 320.0, 250.0
    values = [value for line in series.values() for _, value in line]
    epochs = [epoch for line in series.values() for epoch, _ in line]
    x = Scale(min(epochs), max(epochs), 58, width - 12)
    y_ticks: list[Tick]
    if share:
        least = max(1 / max(examples or 0.0, 1.0), LEAST_ERROR) if examples else LEAST_ERROR
        y = Scale(min(values), max(values), height - 52, 34, lambda value: -math.log10(1 - value + least))
        y_ticks = svg.percent_ticks(svg.share_ticks(y.low, y.high, least))
    else:
        y = Scale(*svg.padded_log(values, 1.5), height - 52, 34, math.log10)
        round_ = svg.log_ticks(y.low, y.high)
        if len(round_) < 3:  # less than a decade
            round_ = svg.linear_ticks(y.low, y.high, 6)
        y_ticks = [(value, formats.short(value) if value >= 1000 else f"{value:.3g}") for value in round_]
    whole = [value for value in svg.linear_ticks(x.low, x.high, 6) if value == int(value)]
    parts = [svg.axes(x, y, [(value, f"{value:g}") for value in whole], y_ticks, "epoch", y_title)]
    for key, line in series.items():
        pixels = [(x(epoch), y(value)) for epoch, value in line]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in pixels)
        parts.append(tag("polyline", class_=f"line {key}", points=drawn))
        parts.append(svg.mark(key, *pixels[-1], size=4.5, label=NAMES[key]))
    return svg.drawing(width, height, f"{y_title} per epoch", *parts)


def intervals(rows: Sequence[Interval], x_title: str, digits: int) -> Markup:
    """Differences with their 95 % intervals, against a line at zero."""
    width, step = 420.0, 46.0
    bottom = 12 + step * len(rows)
    ends = [value for row in rows for value in (row.low, row.high, row.difference, 0.0)]
    x = Scale(*svg.padded(ends, 0.1, least=10.0**-digits), 26, width - 26)  # half a label fits beside
    y = Scale(0, len(rows), 8, bottom)
    values = svg.linear_ticks(x.low, x.high)
    needed = next((n for n in range(digits) if all(abs(v - round(v, n)) < 1e-9 for v in values)), digits)
    ticks = [(v, formats.signed(v, needed)) for v in values]
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


def differences(comparison: dict[str, dict], figure: Figure) -> Markup | None:
    """The intervals of one figure over all that the student is compared with; None where there are none."""
    rows, scale = [], 100 if figure.share else 1
    for key, label in (("baseline", "against no teacher"), ("smoothed", "against label smoothing")):
        found = formats.dig(comparison, key, figure.name)
        difference, low, high = (formats.figure(formats.dig(found, part)) for part in ("difference", "low", "high"))
        if difference is not None and low is not None and high is not None:
            rows.append(Interval(label, scale * difference, scale * low, scale * high))
    unit = "percentage points" if figure.share else figure.unit
    less = " (less is better)" if figure.better == "less" else ""
    title = f"difference in {figure.title}{f', {unit}' if unit else ''}{less}"
    return intervals(rows, title, decimals(figure, rows)) if rows else None


def decimals(figure: Figure, rows: Sequence[Interval]) -> int:
    """How many the ends of all intervals are shown with; of a figure with significant digits as the widest asks for."""
    return figure.decimals(max(max(abs(row.low), abs(row.high)) for row in rows))


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


def apart(wanted: list[float], gap: float, top: float, bottom: float) -> list[float]:
    """Heights near the wanted ones (ascending) that keep ``gap`` apart and lie between top and bottom."""
    placed: list[float] = []
    for value in wanted:
        placed.append(max(value, placed[-1] + gap if placed else top))
    for index in range(len(placed) - 1, -1, -1):
        limit = bottom if index == len(placed) - 1 else placed[index + 1] - gap
        placed[index] = min(placed[index], limit)
    return placed

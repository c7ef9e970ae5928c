"""The pictures of answers that are numbers: predicted against true, errors over the range of the truth, their distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from .. import formats, svg
from ..charts import NAMES
from ..svg import Scale, Tick, tag, text

CELLS = 48  # a side of the picture of predicted against true: however many examples, it stays small
SHADES = 5
BINS = 12  # of the range of the truth
STEPS = 40  # of a distribution of errors
FEW = 10  # examples in a bin, fewer of which say little


def predicted(truth_N: np.ndarray, answer_N: np.ndarray, key: str, within: tuple[float, float], what: str) -> Markup:
    """Predicted against true: the darker a cell, the more examples; what lies outside stands at the edge."""
    width, height = 300.0, 320.0
    x, y = Scale(*within, 52, width - 12), Scale(*within, height - 54, 30)
    ticks = ticks_of(*within)
    parts = [svg.axes(x, y, ticks, ticks, f"true {what}", "predicted")]
    count, _, _ = np.histogram2d(_inside(truth_N, within), _inside(answer_N, within), bins=CELLS, range=[within] * 2)
    parts.append(tag("line", class_="ideal", x1=x(x.low), x2=x(x.high), y1=y(x.low), y2=y(x.high)))
    side = (x.stop - x.start) / CELLS
    shade = np.ceil(SHADES * np.sqrt(count / max(1.0, count.max()))).astype(int)
    tall = (y.start - y.stop) / CELLS
    for level in range(1, SHADES + 1):
        drawn = [
            f"M{x.start + column * side:.1f} {y.start - row * tall:.1f}h{side:.1f}v{-tall:.1f}h{-side:.1f}z"
            for column, row in np.argwhere(shade == level).tolist()
        ]
        if drawn:
            parts.append(tag("path", class_=f"cells {key}", d="".join(drawn), fill_opacity=f"{level / SHADES:g}"))
    return svg.drawing(width, height, f"{NAMES[key]}: predicted against true {what}", *parts)


def over_range(truth_N: np.ndarray, errors: Mapping[str, np.ndarray], what: str, unit: str) -> Markup:
    """The root mean squared error of each model by the truth, with the share of examples in each bin below."""
    width, height = 420.0, 350.0
    low, high = span(truth_N)
    bin_N = np.clip(((truth_N - low) / (high - low) * BINS).astype(int), 0, BINS - 1)
    size = np.bincount(bin_N, minlength=BINS)
    there = np.flatnonzero(size)
    rmse = {
        key: np.sqrt(np.bincount(bin_N, weights=error_N**2, minlength=BINS)[there] / size[there])
        for key, error_N in errors.items()
    }
    x, y = Scale(low, high, 58, width - 12), Scale(0.0, max(float(np.max(list(rmse.values()))), 1e-12) * 1.08, 230, 30)
    share = Scale(0, float(size.max()) / max(1, len(truth_N)) or 1.0, 326, 284)
    parts = [svg.axes(x, y, ticks_of(low, high), ticks_of(y.low, y.high), "", f"RMSE{_of(unit)}")]
    middle = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    for key, of_bin in rmse.items():
        points = list(zip(there.tolist(), of_bin.tolist(), strict=True))
        known = " ".join(f"{x(middle[b]):.1f},{y(value):.1f}" for b, value in points if size[b] >= FEW)
        parts.append(tag("polyline", class_=f"line {key}", points=known))
        for b, value in points:
            said = f"{NAMES[key]}: {formats.number(value)}{unit and ' ' + unit} on {size[b]} examples about {formats.number(middle[b])}"
            drawn = svg.mark(key, x(middle[b]), y(value), 3.5, said)
            parts.append(tag("g", drawn, class_="few") if size[b] < FEW else drawn)
    for b in there.tolist():
        left, right = (x(low + (b + end) * (high - low) / BINS) for end in (0, 1))
        top = share(float(size[b]) / len(truth_N))
        at = {"x": left + 1, "y": top, "width": right - left - 2, "height": max(1.0, share.start - top)}
        parts.append(tag("rect", tag("title", f"{size[b]} examples"), class_="bar share", **at))
    parts.append(text(0, 270, "share of examples", class_="title"))
    parts.append(text(x.stop, 345, f"true {what}", "end", class_="title"))
    return svg.drawing(width, height, f"Error by the true {what}", *parts)


def distribution(errors: Mapping[str, np.ndarray], what: str, unit: str) -> Markup:
    """How the errors of each model spread about zero; the outermost steps hold what lies beyond."""
    width, height = 420.0, 300.0
    reach = max(float(np.quantile(np.abs(error_N), 0.99)) for error_N in errors.values()) or 1e-12
    within = (-1.05 * reach, 1.05 * reach)
    counts = {
        key: np.histogram(_inside(error_N, within), STEPS, within)[0] / len(error_N) for key, error_N in errors.items()
    }
    x = Scale(*within, 58, width - 12)
    y = Scale(0.0, 1.08 * float(np.max(list(counts.values()))), height - 48, 30)
    ticks = svg.percent_ticks(svg.linear_ticks(y.low, y.high))
    parts = [
        svg.axes(x, y, ticks_of(*within, signed=True), ticks, f"predicted minus true{_of(unit)}", "share of examples")
    ]
    parts.append(tag("line", class_="ideal", x1=x(0.0), x2=x(0.0), y1=y.start, y2=y.stop))
    edges = np.linspace(*within, STEPS + 1)
    for key, share in counts.items():
        steps = [(x(edges[i + end]), y(value)) for i, value in enumerate(share.tolist()) for end in (0, 1)]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in steps)
        parts.append(tag("polyline", tag("title", NAMES[key]), class_=f"line {key}", points=drawn))
    return svg.drawing(width, height, f"Distribution of the errors of {what}", *parts)


def by_deviation(parts: Sequence[Mapping[str, float]], what: str, unit: str) -> Markup:
    """The teacher's error by how far its members differ: on the dashed line the one is as large as the other."""
    width, height = 420.0, 300.0
    most = 1.08 * max(max(part["deviation"], part["rmse"]) for part in parts) or 1e-12
    x, y = Scale(0.0, most, 58, width - 12), Scale(0.0, most, height - 48, 30)
    ticks = ticks_of(0.0, most)
    drawn = [svg.axes(x, y, ticks, ticks, f"deviation of the members{_of(unit)}", f"RMSE{_of(unit)}")]
    drawn.append(tag("line", class_="ideal", x1=x.start, x2=x.stop, y1=y.start, y2=y.stop))
    points = [(x(part["deviation"]), y(part["rmse"]), part) for part in parts]
    drawn.append(tag("polyline", class_="line teacher", points=" ".join(f"{a:.1f},{b:.1f}" for a, b, _ in points)))
    for a, b, part in points:
        numbers = [formats.number(part[name]) + (unit and f" {unit}") for name in ("rmse", "deviation")]
        said = f"RMSE {numbers[0]} on {part['count']:.0f} examples whose members differ by {numbers[1]}"
        drawn.append(svg.mark("teacher", a, b, 4.5, said))
    return svg.drawing(width, height, f"Error of {what} by the deviation of the members", *drawn)


def strip(truth: float, answers: Mapping[str, float], within: tuple[float, float], what: str) -> Markup:
    """One example: the true number as a stroke, what each model says as its mark, below one another so that none covers another."""
    width, lane = 260.0, 12.0
    height = lane * len(answers) + 4
    x = Scale(*within, 8, width - 8)
    rows = [(key, value, 2 + lane * (row + 0.5)) for row, (key, value) in enumerate(answers.items())]
    parts = [tag("line", class_="grid", x1=x.start, x2=x.stop, y1=y, y2=y) for _, _, y in rows]
    at = x(min(max(truth, within[0]), within[1]))
    parts.append(tag("line", class_="truth", x1=at, x2=at, y1=1.0, y2=height - 1))
    for key, value, y in rows:
        said = f"{NAMES[key]}: {formats.number(value)}"
        parts.append(svg.mark(key, x(min(max(value, within[0]), within[1])), y, 4.5, said))
    return svg.drawing(width, height, f"{what}: true and predicted", *parts)


def span(truth_N: np.ndarray) -> tuple[float, float]:
    """The range of the truth, which is never empty."""
    low, high = float(truth_N.min()), float(truth_N.max())
    return (low, high) if high > low else (low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2)


def ticks_of(low: float, high: float, *, signed: bool = False) -> list[Tick]:
    """Round numbers as people write them."""
    return [(value, _tick(value, signed)) for value in svg.linear_ticks(low, high, 6)]


def _tick(value: float, signed: bool) -> str:
    text = formats.short(float(f"{value:.6g}")).replace("-", "−")
    return f"+{text}" if signed and value > 0 else text


def _of(unit: str) -> str:
    return f", {unit}" if unit else ""


def _inside(values_N: np.ndarray, within: Sequence[float]) -> np.ndarray:
    return np.clip(values_N, within[0], within[1])

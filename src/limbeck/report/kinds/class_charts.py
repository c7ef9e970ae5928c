"""The pictures of a classification: confidence against accuracy, confusion, accuracy by class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from .. import formats, svg
from ..charts import NAMES
from ..svg import Scale, tag, text
from .class_figures import Bins


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


def _share_range(values: Sequence[float]) -> tuple[float, float]:
    low, high = svg.padded(values, 0.06, least=0.02)
    return max(0.0, low), min(1.0, high)


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

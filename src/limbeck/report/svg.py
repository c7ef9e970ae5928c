"""Elements, scales and axes for inline SVG. What is not ``Markup`` is escaped, in attributes as in text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Tick = tuple[float, str]


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """An element. ``class_`` and ``text_anchor`` stand for ``class`` and ``text-anchor``; None: left out."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _brief(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, Markup("").join(children))


def drawing(width: float, height: float, title: str, *children: str, class_: str = "chart") -> Markup:
    """An ``<svg>`` that scales with its place; ``title`` is what a screen reader says."""
    return tag(
        "svg",
        *children,
        class_=class_,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=title,
    )


def text(x: float, y: float, content: str, anchor: str = "start", **attributes: object) -> Markup:
    """Text at a baseline."""
    return tag("text", content, x=x, y=y, text_anchor=anchor, **attributes)


def clip(name: str, length: int) -> str:
    """A name no longer than ``length`` characters."""
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


@dataclass(frozen=True)
class Scale:
    """From values between ``low`` and ``high`` to pixels between ``start`` and ``stop``, through ``bend``."""

    low: float
    high: float
    start: float
    stop: float
    bend: Callable[[float], float] = float

    def __call__(self, value: float) -> float:
        low, high = self.bend(self.low), self.bend(self.high)
        share = (self.bend(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.stop - self.start)


def padded(values: Sequence[float], share: float = 0.12, least: float = 0.01) -> tuple[float, float]:
    """A range around the values, at least ``least`` wide."""
    low, high = min(values), max(values)
    room = max((high - low) * share, (least - (high - low)) / 2)
    return low - room, high + room


def padded_log(values: Sequence[float], least: float = 4.0) -> tuple[float, float]:
    """A range around positive values for a logarithmic axis, at least a factor ``least`` wide."""
    low, high = padded([math.log10(value) for value in values], 0.14, math.log10(least))
    return 10**low, 10**high


def linear_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values between the two."""
    raw = (high - low) / max(1, about)
    if raw <= 0:
        return [low]
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * round_ for round_ in (1, 2, 5, 10) if size * round_ >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten between the two, with 2 and 5 where there is room; the ends where nothing is round."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**power for power in powers for m in mantissas if low <= m * 10.0**power <= high]
        if len(found) <= most:
            break
    while len(found) > most:
        found = found[::2]
    return found or [low, high]


def share_ticks(low: float, high: float, least: float) -> list[float]:
    """Round shares for an axis that is logarithmic in what is missing from 1, plus ``least``."""
    known = (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)
    known = (*(value for value in known if 1 - value >= 2 * least - 1e-9), 1.0)
    found = [value for value in known if low <= value <= high]
    while len(found) > 7:
        found = found[::-1][::2][::-1]
    return found if len(found) > 1 else linear_ticks(low, high, 4)


def percent_ticks(values: Sequence[float]) -> list[Tick]:
    """Shares labelled as percentages, with as many decimals as tell them apart."""
    digits = next(
        (d for d in range(4) if all(abs(v * 100 - round(v * 100, d)) < 1e-6 for v in values)),
        4,
    )
    return [(value, f"{value * 100:.{digits}f} %") for value in values]


def axes(x: Scale, y: Scale, x_ticks: list[Tick], y_ticks: list[Tick], x_title: str, y_title: str) -> Markup:
    """Grid, labels and titles; the title of the upright axis stands above it, where it can be read."""
    left, right = sorted((x.start, x.stop))
    top, bottom = sorted((y.start, y.stop))
    parts: list[Markup] = []
    for value, label in y_ticks:
        parts.append(tag("line", class_="grid", x1=left, x2=right, y1=y(value), y2=y(value)))
        parts.append(text(left - 7, y(value) + 4, label, "end", class_="tick"))
    for value, label in x_ticks:
        parts.append(tag("line", class_="grid", x1=x(value), x2=x(value), y1=bottom, y2=bottom + 4))
        parts.append(text(x(value), bottom + 18, label, "middle", class_="tick"))
    parts.append(tag("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom))
    parts.append(text(0, top - 14, y_title, class_="title"))
    parts.append(text(right, bottom + 36, x_title, "end", class_="title"))
    return Markup("").join(parts)


def mark(key: str, x: float, y: float, size: float = 5.5, label: str | None = None) -> Markup:
    """The sign of a model, told apart by shape as well as by colour."""
    inside = [tag("title", label)] if label else []
    if key == "teacher":
        side = size * 1.8
        return tag("rect", *inside, class_=f"mark {key}", x=x - side / 2, y=y - side / 2, width=side, height=side)
    if key == "baseline":
        r = size * 1.3
        points = f"{x:.1f},{y - r:.1f} {x + r:.1f},{y:.1f} {x:.1f},{y + r:.1f} {x - r:.1f},{y:.1f}"
        return tag("polygon", *inside, class_=f"mark {key}", points=points)
    if key == "smoothed":
        r = size * 1.25
        points = f"{x:.1f},{y - r:.1f} {x + r:.1f},{y + r * 0.8:.1f} {x - r:.1f},{y + r * 0.8:.1f}"
        return tag("polygon", *inside, class_=f"mark {key}", points=points)
    return tag("circle", *inside, class_=f"mark {key}", cx=x, cy=y, r=size)


def _brief(value: object) -> object:
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else value

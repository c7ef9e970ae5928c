"""Figures as a person reads them. What is missing, None, NaN or not a number is a dash."""

from __future__ import annotations

import math
import re
from typing import Any

from markupsafe import Markup, escape

MISSING = "–"


def dig(value: Any, *keys: str) -> Any:
    """``value[key][key]...``, or None where any step is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def figure(value: Any) -> float | None:
    """A finite float, also out of ``{"mean": ...}``; None for all else."""
    if isinstance(value, dict):
        value = value.get("mean")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def number(value: Any, digits: int = 3) -> str:
    """With so many significant digits and a true minus: 0.0123, −1.23, 1,230."""
    found = figure(value)
    if found is None:
        return MISSING
    if found == 0:
        return "0"
    if found < 0:
        return f"−{number(-found, digits)}"
    size = math.floor(math.log10(found))
    if size < -5:
        return f"{found:.1e}"
    return f"{found:,.{max(0, digits - 1 - size)}f}"


def count(value: Any) -> str:
    """Whole, with thousands set apart."""
    found = figure(value)
    return MISSING if found is None else f"{found:,.0f}"


def short(value: float) -> str:
    """For axes: 500, 20k, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def percent(value: Any, digits: int = 2) -> str:
    """A share as a percentage."""
    found = figure(value)
    return MISSING if found is None else f"{100 * found:.{digits}f} %"


def signed(value: Any, digits: int = 2, scale: float = 1.0) -> str:
    """With its sign, a true minus."""
    found = figure(value)
    if found is None:
        return MISSING
    text = f"{scale * found:+.{digits}f}"
    # Minus nothing is nothing.
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def times(value: float) -> str:
    """A ratio: 1.4×, 23×."""
    return f"{value:,.{1 if value < 9.95 else 0}f}×"


def size(value: Any) -> str:
    """Bytes as KB of 1000, and from a thousand of these as MB, from a thousand of these as GB."""
    found = figure(value)
    if found is None:
        return MISSING
    unit, of = next(((name, of) for name, of in (("GB", 1e9), ("MB", 1e6)) if found >= of), ("KB", 1e3))
    return f"{number(found / of)} {unit}"


def mean_count(value: Any) -> str:
    """A mean of counts: 0.5, 12, 1,230."""
    found = figure(value)
    return MISSING if found is None else f"{found:,.1f}".removesuffix(".0")


def things(value: Any, thing: str) -> str:
    """``1 view``, ``2,000 views``."""
    return f"{count(value)} {thing}{'' if figure(value) == 1 else 's'}"


_OPTION = re.compile(r"--[a-z][a-z-]*(?: [a-z]+)?")


def unbroken(sentence: str) -> Markup:
    """A sentence, escaped, in which no line ends within ``--option value``."""
    text, parts, end = str(sentence), [], 0
    for found in _OPTION.finditer(text):
        parts += [escape(text[end : found.start()]), Markup('<span class="whole">{}</span>').format(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def with_unit(value: Any, unit: str) -> str:
    """A figure with its unit, or a dash alone."""
    return MISSING if figure(value) is None else f"{number(value)} {unit}"


def duration(seconds: Any) -> str:
    """0.8 s, 45 s, 3 min 20 s, 2 h 5 min."""
    found = figure(seconds)
    if found is None:
        return MISSING
    if found < 59.5:
        return f"{found:.1f} s" if found < 9.95 else f"{found:.0f} s"
    minutes, rest = divmod(round(found), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def spread(value: Any, scale: float = 1.0, digits: int | None = None) -> str:
    """``± sd``, or nothing where there is no deviation to state."""
    deviation = figure(dig(value, "sd"))
    if deviation is None:
        return ""
    return f"± {scale * deviation:.{digits}f}" if digits is not None else f"± {number(deviation, 2)}"


def undisturbed(latency: Any) -> str:
    """Of how many runs the latency tells, where more than one in ten was disturbed; nothing otherwise."""
    told, disturbed = figure(dig(latency, "n")), figure(dig(latency, "disturbed"))
    if told is None or disturbed is None or disturbed <= 0.1 * (told + disturbed):
        return ""
    return f"{told:.0f} of {told + disturbed:.0f}"

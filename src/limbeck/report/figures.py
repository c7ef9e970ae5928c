"""The figures that results name, as a page says them. What is missing is a dash, here as everywhere."""

from __future__ import annotations

from typing import Any

from ..evaluation.figure import Figure
from . import formats
from .formats import MISSING, dig


def read(results: dict[str, Any], field: str = "figures") -> list[Figure]:
    """The figures of ``results``, or its ``fidelity_figures``; what is no figure is left out."""
    found = dig(results, field)
    return [figure for one in found or () if (figure := _figure(one)) is not None] if isinstance(found, list) else []


def hint(figure: Figure) -> str:
    """What stands small below its name: ``nats, less is better``."""
    unit = f"{figure.unit}, " if figure.unit and not figure.share else ""
    return f"{unit}{figure.way}"


def value(figure: Figure, found: Any) -> str:
    """``97.31 %``, ``0.0824``; the unit is told beside, but of a share. ``found`` is a number, or holds a mean."""
    number = formats.figure(found)
    if number is None:
        return MISSING
    text = _minus(figure.number(number))
    return f"{text} %" if figure.share else text


def with_unit(figure: Figure, found: Any) -> str:
    """The same with its unit: ``4.21°``, ``0.0824 nats``."""
    text = value(figure, found)
    return text if figure.share or not figure.unit or text == MISSING else joined(text, figure.unit)


def spread(figure: Figure, found: Any) -> str:
    """``± sd`` with the decimals of the mean, or nothing where there is no deviation to state."""
    mean, deviation = formats.figure(found), formats.figure(dig(found, "sd"))
    if deviation is None:
        return ""
    return f"± {figure.number(deviation, figure.decimals(deviation if mean is None else mean))}"


def signed(figure: Figure, difference: Any) -> str:
    """A difference with its sign, in points of a share."""
    found = formats.figure(difference)
    if found is None:
        return MISSING
    return formats.signed(found, figure.decimals(found), 100 if figure.share else 1)


def interval(figure: Figure, found: Any) -> tuple[str, str, str]:
    """A difference and the ends of its interval, with their signs and the decimals of the widest end."""
    ends = [formats.figure(dig(found, end)) for end in ("difference", "low", "high")]
    decimals = figure.decimals(max((abs(end) for end in ends[1:] if end is not None), default=ends[0] or 0.0))
    difference, low, high = (formats.signed(end, decimals, 100 if figure.share else 1) for end in ends)
    return difference, low, high


def joined(text: str, unit: str) -> str:
    """A number and its unit: degrees stand close."""
    return f"{text}{unit}" if unit.startswith("°") else f"{text} {unit}"


def _figure(one: Any) -> Figure | None:
    """None where something is of another type than it must be: pages show what they can."""
    try:
        figure = Figure(**one)
    except TypeError:
        return None
    names = isinstance(figure.name, str) and isinstance(figure.title, str) and isinstance(figure.unit, str)
    return figure if names and isinstance(figure.digits, int) else None


def _minus(text: str) -> str:
    return text.replace("-", "−")

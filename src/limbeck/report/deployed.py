"""The student in each format as rows of a table: what its file is worth and what it costs"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..evaluation.figure import Figure
from ..evaluation.wording import listed, short_of, what_of
from ..sections.recipe import QuantizationAware
from . import figures, formats
from .formats import MISSING, dig, figure

USUAL = QuantizationAware()
FIGURES = 3  # of the kind of answer, in their order


@dataclass(frozen=True)
class Deployed:
    """One format: cells in the order of :attr:`Table.columns`, or why there is no file."""

    name: str
    taken: bool  # whether limbeck predict takes it
    cells: tuple[tuple[str, str], ...]  # (figure, what stands small beside it)
    problem: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """All formats; the columns are (heading, hint)."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[Deployed, ...]
    further: tuple[
        str, ...
    ]  # sentences: which were timed on a busy machine, what the student lost by each and regained


def table(results: dict[str, Any], named: list[Figure]) -> Table | None:
    """None where the run has no more than its ONNX file."""
    files = dig(results, "formats", "files")
    if not isinstance(files, dict) or not files:
        return None
    told = named[:FIGURES]
    columns = [
        ("File", ""),
        *((one.heading, figures.hint(one)) for one in told),
        ("Agreement", "with the student"),
        ("Latency", "p50"),
        ("Speed", "of float32"),
        ("Throughput", "a second"),
        ("Memory", "peak"),
    ]
    whole = figure(dig(results, "student", "bytes"))
    rows = []
    for name, one in files.items():
        taken = name == dig(results, "formats", "preferred")
        if problem := dig(one, "problem"):
            rows.append(Deployed(name, taken, (), str(problem), ()))
            continue
        size = figure(dig(one, "bytes"))
        cells = [
            (formats.size(size), f"{size / whole:.2f} of float32" if size is not None and whole else ""),
            *((figures.value(of, dig(one, "metrics", of.name)), _change(of, one)) for of in told),
            (formats.percent(dig(one, "agreement")), ""),
            (
                formats.with_unit(dig(one, "latency_ms", "p50"), "ms"),
                formats.with_unit(dig(one, "latency_ms", "p95"), "ms"),
            ),
            (_times(dig(one, "speedup", "onnx")), _times(dig(one, "speedup", "teacher"))),
            (formats.number(dig(one, "throughput_per_s")), ""),
            (formats.with_unit(dig(one, "peak_memory_mb"), "MB"), ""),
        ]
        rows.append(Deployed(name, taken, tuple(cells), "", _notes(one, named, what_of(results))))
    busy = tuple(name for name, one in files.items() if dig(one, "disturbed"))
    said = (f"{listed(busy)} {'was' if len(busy) == 1 else 'were'} timed on a busy machine.",) if busy else ()
    return Table(tuple(columns), tuple(rows), said + _further(results, named))


def _further(results: dict[str, Any], named: list[Figure]) -> tuple[str, ...]:
    first, said = named[0], []
    examples = f"{dig(results, 'data', 'example')}s"
    told = dig(results, "formats", "quantization_aware") or {}
    for name, one in (dig(results, "formats", "files") or {}).items():
        lost = figure(dig(one, "parity", "lost"))
        if name not in told and lost is not None and lost > USUAL.when:
            said.append(
                f"{name} is {_against(first, lost)} than float32 on {formats.number(dig(one, 'parity', 'n'))} validation {examples}. "
                f"With export.quantization_aware.epochs={USUAL.epochs} in the recipe the student goes on, rounded as that file is."
            )
    for name, one in told.items():
        exact, before, after = (
            figures.value(first, dig(one, "validation", at)) for at in ("float32", "before", "after")
        )
        text = (
            f"{name} is {_against(first, dig(one, 'lost'))} than float32 on {formats.number(dig(one, 'n'))} validation {examples}: "
            f"{first.title} {exact} and {before}."
        )
        if not dig(one, "went_on"):
            said.append(f"{text} The recipe allows for that, and the student was left as it is.")
            continue
        epochs = dig(one, "epochs")
        text += f" The student went on for {epochs} epoch{'s' if epochs != 1 else ''}, rounded as that file is and taught as before"
        if problem := dig(one, "problem"):
            said.append(f"{text}, and then could not be held: {problem}")
            continue
        tested = (figures.value(first, dig(one, "test", at, first.name)) for at in ("float32", "before", "after"))
        kept = (
            "That is the file above."
            if dig(one, "taken")
            else "The file above is the first, which is no worse on validation."
        )
        said.append(
            f"{text}, and its file came to {after}, which is {_against(first, dig(one, 'lost_after'))} than float32 was. "
            "On test {0}: {1} in float32, {2} before and {3} after. {4}".format(examples, *tested, kept)
        )
    return tuple(said)


def _against(of: Figure, lost: Any) -> str:
    value = figure(lost)
    if value is None:
        return MISSING
    return f"{abs(value):.2f} {'points' if of.share else '%'} {'worse' if value >= 0 else 'better'}"


def _change(of: Figure, one: Any) -> str:
    """Of a file that is not float32 itself, how far the figure is from the trained student's."""
    here, there = (figure(dig(one, name, of.name)) for name in ("metrics", "metrics_float32"))
    if here is None or there is None or dig(one, "parity", "limits", "max_abs_difference") is not None:
        return ""
    return f"{figures.signed(of, here - there)}{' points' if of.share else ''}"


def _times(ratio: Any) -> str:
    value = figure(dig(ratio, "ratio"))
    return MISSING if value is None else f"{value:.2f}×" if value < 9.95 else f"{value:.0f}×"


def _notes(one: Any, named: list[Figure], example: str) -> tuple[str, ...]:
    notes = []
    if missed := short_of(dig(one, "parity") or {}, named, example):
        notes.append(f"not preferred, since {missed}")
    kernels = dig(one, "kernels") or {}
    for kind in ("int8", "float32"):
        of = dig(kernels, kind) or {}
        if kernels:
            told = ", ".join(f"{count} {name}" for name, count in of.items()) or "none"
            notes.append(f"products and convolutions in {kind}: {told}")
    return tuple(notes)

"""The report: one self-contained HTML page, opened offline, with the verdict first.

Everything that comes from data (names of classes, of models, of files; the recipe) is escaped: by Jinja2 in
the template, by ``svg.tag`` in the charts. The page's policy forbids scripts and the network besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from ..evaluation.figure import Figure
from ..sections.outline import Outline
from . import charts, deployed, escalation, figures, formats, in_use, kinds, losses, sparse
from .device import device, measured_here
from .evidence import Evidence
from .formats import dig, figure
from .html import write_html


@dataclass(frozen=True)
class Tile:
    """A figure to be seen from across the room."""

    value: str
    label: str
    detail: str


@dataclass(frozen=True)
class Row:
    """One line of the table of models: a cell a model, in the order of the columns."""

    label: str
    hint: str
    cells: tuple[tuple[str, str], ...]  # (figure, what stands small beside it)


def write_report(evidence: Evidence, path: Path) -> None:
    """Writes the page to ``path``, atomically. Raises :class:`LimbeckError` where it cannot be written."""
    write_html(path, "limbeck.report", "page.html.j2", _content(evidence))


def _content(evidence: Evidence) -> dict[str, Any]:
    results, outline = evidence.results, evidence.outline
    keys = [key for key in charts.NAMES if dig(results, key)]
    named = figures.read(results)
    first = named[0] if named else None
    return {
        "results": results,
        "headline": evidence.headline,
        "in_use": in_use.content(evidence),
        "findings": evidence.findings,
        "losses": losses.tables(results),
        "lost": dig(results, "losses", "examples"),
        "created": dig(results, "created"),
        "data": dig(results, "data") or {},
        "answers": kinds.about(evidence.kind, evidence.names),
        "outline": outline,
        "int8": _int8(results, first),
        "deployed": deployed.table(results, named),
        "sparse": sparse.content(results, first),
        "device": device(results, outline),
        "measured_here": measured_here(results) if dig(results, "student", "latency_ms") else "",
        "as_long": not dig(results, "recipe", "baseline", "epochs"),
        "first": first,
        "tiles": _tiles(results, outline, first),
        "keys": keys,
        "models": {key: dig(results, key, "model") for key in keys},
        "quality": [*_quality(results, keys, kinds.told(evidence.kind, results, named)), *_measured(results, keys)],
        "cost": _cost(results, keys, outline),
        "undisturbed": _undisturbed(results, keys, outline),
        "speed_note": dig(results, "speed", "note"),
        "seeds": _seeds(results, named[:2]),
        "seed_figures": named[:2],
        "differences": [
            picture
            for one in named
            if (picture := charts.differences(dig(results, "comparison") or {}, one)) is not None
        ],
        "trade_offs": _trade_offs(results, keys, first) if first is not None and not dig(results, "in_use") else [],
        "curve_keys": [key for key in charts.NAMES if evidence.histories.get(key)],
        "curves": _curves(evidence.histories, named[:2], figure(dig(results, "data", "validation"))),
        "fidelity": _fidelity(results),
        "diagnosis": _diagnosis(results),
        "escalation": escalation.content(results),
        "tested": len(evidence.labels),
        "kind": kinds.template_of(evidence.kind),
        "of": kinds.sections(evidence),
        "parity": dig(results, "export", "parity") or {},
        "export_path": dig(results, "export", "path"),
        "timings": _timings(results),
        "targets": dig(results, "targets"),
        "assistant": dig(results, "assistant"),
        "learnt_from_teacher": dig(results, "learnt_from_teacher") is not False,
        "student_over_teacher": figure(dig(results, "student_over_teacher_seconds")),
        "recipe": _yaml(dig(results, "recipe")),
        "records": [
            (title, _yaml(value))
            for title, value in (
                ("How the teacher was asked", dig(results, "targets", "asked")),
                ("Environment", dig(results, "environment")),
                ("Fingerprints", dig(results, "fingerprints")),
                ("Every reading of the test split", dig(results, "test_reads")),
                ("How the energy was obtained", dig(results, "student", "energy_mj", "how")),
            )
            if value
        ],
    }


def _tiles(results: dict[str, Any], outline: Outline, first: Figure | None) -> list[Tile]:
    if isinstance(judged := dig(results, "in_use"), dict):
        return [Tile(*one) for one in dig(judged, "tiles") or ()]
    tiles = []
    student, teacher = (
        figure(dig(results, key, "metrics", first.name)) if first is not None else None
        for key in ("student", "teacher")
    )
    if first is not None and student is not None:
        compared, unit = "", f", {first.unit}" if first.unit and not first.share else ""
        if teacher is not None:
            apart = f"{figures.signed(first, student - teacher)}{' points' if first.share else ''}"
            compared = f"teacher {figures.value(first, teacher)}: {apart}"
        tiles.append(Tile(figures.value(first, student), f"test {first.title}{unit}", compared))
    for label, ratio, keys, show in (
        ("fewer parameters", "parameters", ("parameters",), formats.count),
        (
            f"faster, one {outline.example} at a time",
            "latency",
            ("latency_ms", "p50"),
            lambda value: formats.with_unit(value, "ms"),
        ),
        ("smaller file", "bytes", ("bytes",), formats.size),
    ):
        times = figure(dig(results, "ratios", ratio))  # of latency missing as well where the machine was busy
        large, small = (show(dig(results, key, *keys)) for key in ("teacher", "student"))
        if times is not None and times > 0:
            tiles.append(Tile(formats.times(times), label, f"{large} → {small}"))
    gain = dig(results, "comparison", "baseline", first.name) if first is not None else None
    if first is not None and figure(dig(gain, "difference")) is not None:
        value, low, high = figures.interval(first, gain)
        detail = f"95 % interval {low} to {high}" if formats.MISSING not in (low, high) else ""
        beside = "the same network without a teacher"
        if first.share and first.better == "more":
            tiles.append(Tile(value, f"points over {beside}", detail))
        else:
            unit = f", {first.difference_unit}," if first.difference_unit else ""
            tiles.append(Tile(value, f"{first.title}{unit} beside {beside}; {first.way}", detail))
    return tiles


def _int8(results: dict[str, Any], first: Figure | None) -> dict[str, Any] | None:
    """What is known of the file in 8 bits, with the first figure of it and of the other file as they are shown."""
    if first is None or not (found := dig(results, "export", "int8")):
        return None
    here, there = (figures.with_unit(first, dig(found, name)) for name in (first.name, f"{first.name}_float32"))
    return {**found, "title": first.title, "here": here, "there": there}


def _quality(results: dict[str, Any], keys: list[str], told: list[Figure]) -> list[Row]:
    def cell(one: Figure, key: str) -> tuple[str, str]:
        found = dig(results, key, "metrics", one.name)
        return figures.value(one, found), figures.spread(one, found)

    return _told([Row(one.heading, figures.hint(one), tuple(cell(one, key) for key in keys)) for one in told])


def _measured(results: dict[str, Any], keys: list[str]) -> list[Row]:
    """The figures of the exported models that only running them told, whatever their modality calls them; not where they have a page's first place."""
    if dig(results, "in_use"):
        return []
    names = dict.fromkeys(name for key in keys for name in dig(results, "measured", key) or {})
    return [
        Row(
            name.replace("_", " ").capitalize(),
            "the exported one",
            tuple((formats.number(dig(results, "measured", key, name)), "") for key in keys),
        )
        for name in names
    ]


def _cost(results: dict[str, Any], keys: list[str], outline: Outline) -> list[Row]:
    def row(label: str, hint: str, path: tuple[str, ...], show: Any) -> Row:
        return Row(label, hint, tuple((show(dig(results, key, *path)), "") for key in keys))

    def ms(*path: str) -> Iterator[tuple[str, str]]:
        return ((formats.with_unit(dig(results, key, *path), "ms"), "") for key in keys)

    def of_usual(length: str) -> bool:
        return all(dig(results, key, "latency_by_length", length) == dig(results, key, "latency_ms") for key in keys)

    a_what, one = f"{outline.article} {outline.example}", f"one {outline.example}"
    lengths = list(dig(results, "student", "latency_by_length") or {})
    usual = next(filter(of_usual, lengths), None)
    of_usual_length = "" if usual is None else f" of {usual} {outline.positions}"
    energy = Row(
        "Energy",
        f"millijoules {a_what}",
        tuple(
            (formats.with_unit(value, "mJ"), str(dig(results, key, "energy_mj", "kind") or "")[:20])
            if figure(value := dig(results, key, "energy_mj", "value")) is not None
            else (formats.MISSING, "")
            for key in keys
        ),
    )
    return _told(
        [
            row("Parameters", "", ("parameters",), formats.count),
            row("MACs", f"multiply-adds {a_what}", ("macs",), formats.count),
            row("File", "ONNX", ("bytes",), formats.size),
            Row("Latency p50", f"{one}{of_usual_length}, one thread", tuple(ms("latency_ms", "p50"))),
            Row("Latency p95", f"{one}{of_usual_length}, one thread", tuple(ms("latency_ms", "p95"))),
            *(
                Row(
                    "Latency p50",
                    f"{one} of {n} {outline.positions}, one thread",
                    tuple(ms("latency_by_length", n, "p50")),
                )
                for n in lengths
                if n != usual
            ),
            row(
                "Throughput",
                f"{outline.examples} a second, in batches, one thread",
                ("throughput_per_s",),
                formats.number,
            ),
            row("Peak memory", "beside the runtime's own", ("peak_memory_mb",), lambda v: formats.with_unit(v, "MB")),
            energy,
        ]
    )


def _undisturbed(results: dict[str, Any], keys: list[str], outline: Outline) -> str:
    """Of which models, at which lengths, more than one run in ten was disturbed; empty where of none."""
    lengths = list(dig(results, "student", "latency_by_length") or {})
    of = [("", "latency_ms")] + [(f" at {n} {outline.positions}", n) for n in lengths]
    said = dict[str, None]()
    for key in keys:
        seen = []
        for where, name in of:
            latency = dig(results, key, name) if not where else dig(results, key, "latency_by_length", name)
            if latency not in seen and (runs := formats.undisturbed(latency)):
                said[f"{charts.NAMES[key]}{where} {runs}"] = None
            seen.append(latency)
    return ", ".join(said)


def _told(rows: list[Row]) -> list[Row]:
    """The rows that say anything."""
    return [row for row in rows if any(cell != formats.MISSING for cell, _ in row.cells)]


def _seeds(results: dict[str, Any], two: list[Figure]) -> list[tuple[str, Any, list[str], Any]]:
    """(model, seed, the first two figures, seconds) of every run, the teachers of an ensemble first."""
    taught = [
        (f"Teacher {k}: {dig(member, 'model')}", member)
        for k, member in enumerate(dig(results, "teacher", "members") or [], 1)
    ]
    keys = ("assistant", "student", "baseline", "smoothed")
    runs = [(charts.NAMES.get(key, "Assistant"), run) for key in keys for run in dig(results, key, "runs") or []]
    return [
        (
            name,
            dig(run, "seed"),
            [figures.value(one, dig(run, "metrics", one.name)) for one in two],
            dig(run, "seconds"),
        )
        for name, run in (*taught, *runs)
    ]


def _trade_offs(results: dict[str, Any], keys: list[str], first: Figure) -> list[Markup]:
    drawn = []
    latency = ("latency p50, ms", ("latency_ms", "p50"), " ms")
    if dig(results, "speed", "disturbed"):
        latency = ("processor time of one run, ms (the machine was busy)", ("latency_ms", "cpu_p50"), " ms")
    for title, path, unit in (("parameters", ("parameters",), " parameters"), latency):
        points = []
        for key in keys:
            cost, found = figure(dig(results, key, *path)), dig(results, key, "metrics", first.name)
            value = figure(found)
            if cost is not None and cost > 0 and value is not None:
                points.append(charts.Point(key, cost, value, figure(dig(found, "sd"))))
        if len(points) > 1:
            drawn.append(charts.trade_off(points, title, unit, first))
    return drawn


def _curves(histories: dict[str, list[dict[str, Any]]], two: list[Figure], examples: float | None) -> list[Markup]:
    drawn = []
    for title, field, one in (
        *(
            (
                f"validation {one.title}{f', {one.unit}' * bool(one.unit and not one.share)}",
                f"validation_{one.name}",
                one,
            )
            for one in two
        ),
        ("training loss", "train_loss", None),
    ):
        to_the_end = one is not None and one.share and one.better == "more"
        series = {}
        for key in charts.NAMES:
            points = [(figure(dig(e, "epoch")), figure(dig(e, field))) for e in histories.get(key) or []]
            # A loss that is not positive has no place on a logarithmic axis.
            line = [(a, b) for a, b in points if a is not None and b is not None and (to_the_end or b > 0)]
            if line:
                series[key] = line
        if series:
            drawn.append(charts.curves(series, title, share=to_the_end, examples=examples))
    return drawn


def _fidelity(results: dict[str, Any]) -> list[Row]:
    """How the student and the baseline stand to the teacher."""
    return _told(
        [
            Row(
                one.heading,
                figures.hint(one),
                tuple(
                    (figures.value(one, dig(results, key, one.name)), "") for key in ("fidelity", "fidelity_baseline")
                ),
            )
            for one in figures.read(results, "fidelity_figures")
        ]
    )


def _diagnosis(results: dict[str, Any]) -> dict[str, str] | None:
    """What keeps the student behind, and what to do next as a ``command`` to paste or a ``sentence``."""
    if not (text := dig(results, "diagnosis", "text")):
        return None
    said = str(dig(results, "diagnosis", "next", "text") or "")
    how = "sentence" if dig(results, "diagnosis", "next", "how") == "do" else "command"
    return {"text": str(text), how: said}


def _timings(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    """(stage, seconds, share of the longest)."""
    found = [(stage, figure(dig(value, "seconds"))) for stage, value in (dig(results, "timings") or {}).items()]
    told = [(stage, seconds) for stage, seconds in found if seconds is not None]
    longest = max((seconds for _, seconds in told), default=0.0) or 1.0
    return [(stage, seconds, seconds / longest) for stage, seconds in told]


def _yaml(value: Any) -> str:
    if not value or isinstance(value, str):
        return value or ""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=88, default_flow_style=False)

"""What a person reads in the terminal: the plan of a run, and its results as a table. No torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich import markup
from rich.console import Console
from rich.table import Table

from ..errors import printable
from ..evaluation.figure import Figure, read
from ..evaluation.verdict import findings, headline, one_sided
from ..evaluation.wording import listed, short_of, what_of
from ..modalities import TASKS, outline_of
from ..progress import bytes_text, seconds_text
from ..sections.outline import Outline

_FIGURES = 3  # of which the table tells, with their deviations over seeds
_LEAST_NAME = 8  # characters of a model's name that say anything
_CLASSES = 10  # of which the console tells, where accuracy says little
WIDE = 120  # columns that the whole table takes; assumed where the output is not a terminal


class PlannedStage(Protocol):
    """A stage as `--plan` shows it; `seconds` and `bytes` are estimates, None where nothing is known."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def bytes(self) -> int | None: ...


_DASH = "–"
_ROWS = (
    ("teacher", "teacher"),
    ("student", "student"),
    ("baseline", "student, no teacher"),
    ("smoothed", "student, smoothed labels"),
)


def quoted(text: str) -> str:
    """``text`` that may come from a file, as rich is to be given it: neither markup nor what cannot be seen."""
    return markup.escape(printable(text))


def print_plan(stages: Sequence[PlannedStage], console: Console | None = None) -> None:
    """The stages of a run: which are finished, which would run, and about what they take."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage")
    table.add_column("state")
    table.add_column("about", justify="right")
    table.add_column("disk", justify="right")
    table.add_column("detail", overflow="fold")
    styles = {"finished": "green", "unfinished": "yellow", "to do": "cyan"}
    for stage in stages:
        table.add_row(
            stage.name,
            f"[{styles.get(stage.state, 'default')}]{quoted(stage.state)}[/]",
            seconds_text(stage.seconds) if stage.seconds is not None else _DASH,
            bytes_text(stage.bytes) if stage.bytes is not None else _DASH,
            quoted(stage.detail),
        )
    console = console or Console()
    console.print(table)
    waiting = [stage for stage in stages if stage.state in ("unfinished", "to do")]
    unsure = sum(stage.state == "not known" for stage in stages)
    if not waiting and not unsure:
        console.print("\nEverything is finished; the same command shows the results.")
        return
    known = [stage.seconds for stage in waiting if stage.seconds is not None]
    disk = [stage.bytes for stage in waiting if stage.bytes is not None]
    parts = [f"{len(waiting)} of {len(stages)} stages to run"]
    if unsure:
        parts.append(f"{unsure} not known")
    if known:
        at_least = "" if len(known) == len(waiting) else "at least "
        parts.append(f"{at_least}about {seconds_text(sum(known))}")
    if disk:
        parts.append(f"{bytes_text(sum(disk))} of disk")
    console.print(f"\n{', '.join(parts)}. Nothing was run.")


def print_results(results: Mapping[str, Any], console: Console | None = None) -> None:
    """The results of a run (as in results.json): one row a model, the comparison, where things lie."""
    console = console or Console(width=None if sys.stdout.isatty() else WIDE)
    wide = console.width >= WIDE
    teacher, faster = results["teacher"], (results.get("ratios") or {}).get("latency")
    table = Table(
        box=None,
        header_style="bold",
        pad_edge=False,
        title=quoted(str(results["name"])),
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    figures = _told(results)
    headings = [_heading(figure, figures[0]) for figure in figures]
    headings += ["parameters", "size", "latency", "faster"]
    shown = [wide or heading != "size" for heading in headings]
    rows: list[tuple[str, str | None, list[str]]] = []
    for key, title in _ROWS:
        entry = results.get(key)
        if entry is None:
            continue
        latency = _latency(entry)
        metrics = entry["metrics"]
        spread = wide and len(figures) <= _FIGURES
        cells = [
            *(_figure(one, metrics.get(one.name), spread or one is figures[0]) for one in figures),
            _parameters(teacher, entry),
            bytes_text(entry["bytes"]) if entry.get("bytes") is not None else _DASH,
            f"{latency:.3g} ms" if latency is not None else _DASH,
            "" if key == "teacher" else _ratio(faster if entry.get("latency_ms") else None),
        ]
        rows.append((title, entry["model"] if key in ("teacher", "student") else None, cells))
    brief = not wide or console.width - _widths(headings, rows, shown) < max(len(title) for title, *_ in rows)
    least = max(len(title.rpartition(", ")[2] if brief else title) for title, *_ in rows)
    third = headings[2:3] if len(figures) > 2 else []
    for heading in ("size", *third, "faster"):  # what a terminal too narrow does without first
        if console.width - _widths(headings, rows, shown) < least:
            shown[headings.index(heading)] = False
    room = console.width - _widths(headings, rows, shown)
    for heading, told in zip(headings, shown, strict=True):
        if told:
            table.add_column(quoted(heading), justify="right", no_wrap=True)
    for title, model, cells in rows:
        name = title.rpartition(", ")[2] if brief else _named(title, model, room)
        table.add_row(name, *(cell for cell, told in zip(cells, shown, strict=True) if told))
    if results.get("in_use"):
        _print_in_use(results, console)
    console.print(table)
    if not results.get("in_use") and one_sided(results):
        _print_classes(results, console)
    if results.get("ratios") and results.get("comparison"):
        _print_verdict(results, console)
    for line in _verdicts(results):
        console.print(line)
    print_formats(results, console)
    out = Path(results["out"]) if results.get("out") else None
    if out is not None:
        console.print()
        for label, name in (
            ("report", "report.html"),
            ("results", "results.json"),
            *(("model", outline.student_file) for outline in _outlines(results)),
        ):
            if (out / name).exists():
                console.print(f"{label:<8} {quoted(str(out / name))}", soft_wrap=True)


def _print_in_use(results: Mapping[str, Any], console: Console) -> None:
    """What models are worth where they are used, before what misleads without it."""
    judged = results["in_use"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    said, *_ = judged["tables"]
    table.add_column(quoted(said["title"]), overflow="fold")
    for heading, _ in said["columns"]:
        table.add_column(quoted(heading), justify="right", overflow="fold")
    for row in said["rows"]:
        table.add_row(quoted(row["title"]), *(quoted(cell) for cell, _ in row["cells"]))
    console.print(table)
    console.print(f"\n{quoted(judged['misleads'])}\n")


def print_formats(results: Mapping[str, Any], console: Console | None = None) -> None:
    """The student in each format, a row each, where the run has several."""
    console = console or Console(width=None if sys.stdout.isatty() else WIDE)
    section, told = results.get("formats"), read(results)[:_FIGURES]
    if not section:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    headings = ["size", *(_heading(one, told[0]) for one in told), "latency", "memory", "to float32", "to teacher"]
    table.add_column("format", no_wrap=True)
    for heading in headings:
        table.add_column(quoted(heading), justify="right", no_wrap=True)
    files: Mapping[str, Mapping[str, Any]] = section["files"]
    for name, one in files.items():
        if "problem" in one:
            table.add_row(name, *(_DASH for _ in headings))
            continue
        latency, memory = _latency(one), one.get("peak_memory_mb")
        table.add_row(
            f"[bold]{name}[/]" if name == section["preferred"] else name,
            bytes_text(one["bytes"]),
            *(_figure(figure, one["metrics"].get(figure.name), False) for figure in told),
            _DASH if latency is None else f"{latency:.3g} ms",
            _DASH if memory is None else f"{memory:.3g} MB",
            *(f"{one['speedup'][to]['ratio']:.2f}×" if to in one["speedup"] else _DASH for to in ("onnx", "teacher")),
        )
    console.print()
    console.print(table)
    for name, one in files.items():
        if "problem" in one:
            console.print(quoted(f"{name}: {one['problem']}"))
        elif missed := short_of(one["parity"], read(results), what_of(results)):
            console.print(quoted(f"{name} is not preferred: {missed}."))
    console.print(
        quoted(f"limbeck predict takes {section['path']} ({section['preferred']}; prefer: {section['prefer']}).")
    )


def _outlines(results: Mapping[str, Any]) -> list[Outline]:
    """That of the task; none where results do not say, or say one that there is not."""
    return [outline_of(task)] if (task := results.get("task")) in TASKS else []


def _told(results: Mapping[str, Any]) -> list[Figure]:
    """The figures that the student is compared in, or the first of all."""
    figures = read(results)
    compared = (results.get("comparison") or {}).get("baseline") or {}
    return [figure for figure in figures if figure.name in compared] or figures[:_FIGURES]


def _heading(figure: Figure, first: Figure) -> str:
    """``NLL``, ``ECE %``; of a first figure "accuracy" also ``balanced %``."""
    title = figure.title.removesuffix(f" {first.title}")
    if figure.share:
        return f"{title} {figure.unit}"
    return f"{title}, {figure.unit}" if figure.significant and figure.unit else title


def _widths(headings: Sequence[str], rows: Sequence[tuple[str, str | None, list[str]]], shown: Sequence[bool]) -> int:
    """Columns that the figures take, with the two before each: names give way to them."""
    columns = zip(headings, shown, *(cells for *_, cells in rows), strict=True)
    return sum(2 + max(len(text) for text in (heading, *cells)) for heading, told, *cells in columns if told)


def _named(title: str, model: str | None, room: int) -> str:
    """A role with as much of its model's name as there is room for, the beginning and the end of it."""
    left = room - len(title) - 3
    if model is None or left < _LEAST_NAME:
        return title
    name = printable(str(model))
    if len(name) > left:
        name = f"{name[: left // 2]}…{name[len(name) - (left - left // 2 - 1) :]}"
    return f"{title} [dim]({markup.escape(name)})[/]"


def _print_verdict(results: Mapping[str, Any], console: Console) -> None:
    styles = {"better": "green", "worse": "red", "doubt": "yellow", "level": "default"}
    console.print(f"\n{quoted(headline(results))}")
    for kind, _, text in findings(results):
        console.print(f"[{styles[kind]}]•[/] {quoted(text)}")


def _print_classes(results: Mapping[str, Any], console: Console) -> None:
    """How each class is answered, the rarest first: accuracy hides them where one class has most of the examples."""
    roles = [
        (role, title) for role, title in _ROWS if role != "smoothed" and (results.get(role) or {}).get("per_class")
    ]
    if not roles:
        return
    by_role = {role: results[role]["per_class"] for role, _ in roles}
    key, what = ("f1", "F1") if "f1" in by_role[roles[0][0]][0] else ("accuracy", "right")
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", overflow="fold")
    for heading in ("test", *(f"{title}, {what} %" for _, title in roles)):
        table.add_column(heading, justify="right")
    order = sorted(range(len(by_role[roles[0][0]])), key=lambda c: by_role[roles[0][0]][c]["support"])
    for c in order[:_CLASSES]:
        found = [by_role[role][c] for role, _ in roles]
        shares = [_DASH if row[key] is None else f"{100 * row[key]:.1f}" for row in found]
        table.add_row(quoted(str(found[0]["class"])), f"{found[0]['support']:,}", *shares)
    console.print()
    console.print(table)
    if len(order) > _CLASSES:
        console.print(f"The {_CLASSES} rarest of {len(order)} classes.")


def print_comparison(results: Mapping[str, Any], console: Console | None = None) -> None:
    """The results of a comparison (as in compare.json): one row a student and objective, and where things lie."""
    console = console or Console(width=None if sys.stdout.isatty() else WIDE)
    wide = console.width >= WIDE
    several = len(results["students"]) > 1
    table = Table(
        box=None,
        header_style="bold",
        pad_edge=False,
        title=quoted(str(results["name"])),
        title_justify="left",
    )
    table.add_column("", overflow="fold")
    ms = "ms" if results["ms"] == "p50" else "CPU ms"
    first, *others = read(results)[:_FIGURES]
    others += read(results, "fidelity_figures")[:1]
    headings = [_heading(first, first), "over no teacher", *(_heading(one, first) for one in others)]
    headings += ["size", ms, "seconds", "teacher"]
    shown = headings if wide else [*headings[:3], *(["size", ms] if several else ["seconds"])]
    for heading in shown:
        table.add_column(quoted(heading), justify="right", no_wrap=True)
    teacher = results["teacher"]
    for row in (None, *results["rows"]):
        of = teacher if row is None else row
        metrics, cost = of["metrics"], of["cost"]
        cells = {
            headings[0]: _figure(first, metrics[first.name], wide),
            "over no teacher": "" if row is None else _gain(row, first),
            **{_heading(one, first): _figure(one, metrics.get(one.name), False, "") for one in others},
            "size": _DASH if cost["bytes"] is None else bytes_text(cost["bytes"]),
            ms: _DASH if cost["ms"] is None else f"{cost['ms']:.3g}",
            "seconds": f"{teacher['seconds']:.0f}" if row is None else f"{row['seconds']['mean']:.0f}",
            "teacher": "" if row is None else row["teacher"],
        }
        if row is None:
            title = f"teacher ({teacher['model']})"
        else:
            title = f"{row['student']}, {row['title']}" if several else row["title"]
        table.add_row(quoted(title), *(cells[heading] for heading in shown))
    console.print(table)
    console.print(f"\n{quoted(results['tuning'])}", soft_wrap=True)
    console.print(
        "In brackets: 95 % intervals, paired by seed and test example; none is corrected for there being many.",
        soft_wrap=True,
    )
    if note := (results["speed"] or {}).get("note"):
        console.print(quoted(note), soft_wrap=True)
    console.print()
    for label, name in (("page", "compare.html"), ("table", "compare.csv"), ("LaTeX", "compare.tex")):
        console.print(f"{label:<8} {quoted(str(Path(results['out']) / name))}", soft_wrap=True)


def _gain(row: Mapping[str, Any], first: Figure) -> str:
    gain = row["comparison"]["baseline"].get(first.name)
    if gain is None or row["name"] == gain["other"]:
        return _DASH
    decimals = first.decimals(max(abs(gain["low"]), abs(gain["high"])))
    scale = 100 if first.share else 1
    difference, low, high = (f"{scale * gain[end]:+.{decimals}f}" for end in ("difference", "low", "high"))
    return quoted(f"{difference} [{low}, {high}]")


def _latency(entry: Mapping[str, Any]) -> float | None:
    latency = entry.get("latency_ms")
    return latency.get("p50") if latency else None


def _figure(figure: Figure, found: float | Mapping[str, Any] | None, spread: bool, missing: str = _DASH) -> str:
    """`93.12 ± 0.10`; the deviation only where there was more than one seed and ``spread`` asks for it."""
    over_seeds = found if isinstance(found, Mapping) else {"mean": found}
    mean, deviation = over_seeds.get("mean"), over_seeds.get("sd")
    if mean is None:
        return missing
    if not spread or deviation is None or (over_seeds.get("n") or 1) < 2:
        return figure.number(mean)
    return f"{figure.number(mean)} ± {figure.number(deviation, figure.decimals(mean))}"


def _parameters(teacher: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """`4,122 (1/25)`: how many, and what part that is of the teacher's where it is less than half."""
    whole, own = teacher.get("parameters"), entry.get("parameters")
    if own is None:
        return _DASH
    return f"{own:,} (1/{whole / own:.0f})" if whole and own and whole >= 2 * own else f"{own:,}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return _DASH
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def _verdicts(results: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    fidelity = results.get("fidelity") or {}
    alike = [
        f"{figure.title} {_figure(figure, found, True)}{figure.unit and ' ' + figure.unit}"
        for figure in read(results, "fidelity_figures")
        if (found := fidelity.get(figure.name))
    ]
    if alike and results.get("learnt_from_teacher", True):
        examples = next((f" {outline.examples}" for outline in _outlines(results)), "")
        lines.append(quoted(f"The student on test{examples}: {listed(alike[:2])}."))
    if note := (results.get("speed") or {}).get("note"):
        lines.append(quoted(note))
    targets = results.get("targets") or {}
    if targets.get("seconds") is not None:
        count = targets["students"]
        whom = f"spread over {count} student{'s' * (count != 1)}"
        whom = "for the assistant to learn from" if results.get("assistant") else whom
        lines.append(f"The teacher's pass took {seconds_text(targets['seconds'])}, {whom}.")
    elif targets:
        lines.append(f"The teacher was not asked: the student learnt from {quoted(targets['store'])}.")
    share = results.get("student_over_teacher_seconds")
    if share is not None:
        too = " and the assistant" if results.get("assistant") else ""
        counted = f", the teacher's pass{too} counted in" if targets.get("seconds") is not None else ""
        lines.append(f"Training the student took {share:.2f} of the teacher's time{counted}.")
    return lines

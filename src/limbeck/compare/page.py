"""The page of a comparison: the rows as a table, and how far apart they are, seed by seed and in paired intervals.

Names of rows and students are a person's own text; they are escaped as all else is (see :mod:`limbeck.report.page`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markupsafe import Markup

from ..evaluation.figure import Figure, read
from ..modalities import outline_of
from ..report import charts, figures, formats, kinds, svg
from ..report.formats import dig
from ..report.html import write_html
from ..report.svg import Scale, tag, text

LABEL = 34  # signs of a row's name beside its figures in a chart


class Dots(NamedTuple):
    """A row's value under each seed."""

    key: str
    label: str
    values: Sequence[float]


class Columns(NamedTuple):
    """The figures of which the tables tell: those that rows are paired in, and others."""

    first: Figure
    others: list[Figure]  # of the student
    fidelity: list[Figure]  # to the teacher

    @classmethod
    def of(cls, results: dict[str, Any]) -> Columns:
        first, *others = read(results)[:3]
        return cls(first, others, read(results, "fidelity_figures")[:1])

    @property
    def paired(self) -> list[Figure]:
        return [self.first, *self.others[:1]]

    @property
    def all(self) -> list[Figure]:
        return [self.first, *self.others, *self.fidelity]


def write_page(results: dict[str, Any], path: Path) -> None:
    """Writes the page of ``compare.json``'s contents, atomically."""
    write_html(path, "limbeck.compare", "page.html.j2", _content(results))


def _content(results: dict[str, Any]) -> dict[str, Any]:
    columns = Columns.of(results)
    students = [_student(results, name, columns) for name in results["students"]]
    answers = results["answers"]
    return {
        "results": results,
        "outline": outline_of(results["task"]),
        "columns": columns,
        "figures": figures,
        "answers": kinds.about(answers["kind"], answers["names"]),
        "data": results["data"],
        "students": students,
        "several": len(students) > 1,
        "fronts": _fronts(results, columns),
        "clock": results["ms"] == "p50",
        "speed_note": dig(results, "speed", "note"),
        "unmeasured": [
            (row["title"], row["problem"])
            for row in (results["teacher"] | {"title": "Teacher"}, *results["rows"])
            if row.get("problem")
        ],
        "seeds": results["rows"][0]["metrics"][columns.first.name]["n"],
        "legend": [
            (svg.drawing(14, 14, "", svg.mark(key, 7, 7, 4.2), class_="key"), key, label)
            for key, label in (
                ("student", "with the teacher"),
                ("baseline", "no teacher"),
                ("smoothed", "no teacher, smoothed labels"),
            )
            if key == "student" or any(row["name"] == key for row in results["rows"])
        ],
        "records": [
            (title, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=88))
            for title, value in (
                ("Comparison file", results["comparison"]),
                ("Recipe", results["recipe"]),
                ("Environment", results["environment"]),
                ("Every reading of the test split", results["test_reads"]),
            )
        ],
    }


def _student(results: dict[str, Any], name: str, columns: Columns) -> dict[str, Any]:
    rows = [row for row in results["rows"] if row["student"] == name]
    against = results["against"]
    pictures: list[Markup | None] = [
        _dots(rows, figure, charts.titled(figure, percent=True)) for figure in columns.paired
    ]
    others = {"baseline": "no teacher"} | ({} if against in (None, "baseline") else {"against": str(against)})
    pictures += [
        _intervals(rows, role, figure, svg.clip(other, 20))
        for role, other in others.items()
        for figure in columns.paired
    ]
    pictures.append(
        dots([Dots(*_named(row), [run["seconds"] for run in row["runs"]]) for row in rows], "seconds of training", 0)
    )
    return {
        "name": name,
        "model": results["students"][name],
        "verdict": verdict(rows, columns.first),
        "rows": [(row, _key(row), brief(row["settings"])) for row in rows],
        "pictures": [picture for picture in pictures if picture is not None],
        "trials": [(row["title"], trial) for row in rows for trial in row["trials"]],
    }


def verdict(rows: Sequence[dict[str, Any]], first: Figure) -> str:
    """What the intervals of one student's rows allow to say of the first figure."""
    gains = [dig(row, "comparison", "baseline", first.name) for row in rows if row["kind"] == "objective"]
    more, less = (sum(gain["low"] > 0 for gain in gains if gain), sum(gain["high"] < 0 for gain in gains if gain))
    ahead, behind = (more, less) if first.sign > 0 else (less, more)
    best = max(rows, key=lambda row: first.sign * row["metrics"][first.name]["mean"])
    level = sum(row["level_with_best"][first.name] for row in rows if row is not best)
    others = f"{level} other rows cannot be told from it" if level != 1 else "one other row cannot be told from it"
    if not level:
        others = "every other row is behind it by more than the noise"
    return (
        f"In test {first.title}, {ahead} of {len(gains)} objectives are ahead of the same student without a teacher by more "
        f"than the noise, {behind} behind. The {'highest' if first.sign > 0 else 'lowest'} mean is that of "
        f"“{best['title']}”, {figures.with_unit(first, best['metrics'][first.name])}; {others}."
    )


def brief(settings: dict[str, Any]) -> str:
    """An objective on one line: ``kd(temperature 4, weight 0.9) + cross_entropy(weight 0.1)``."""
    return " + ".join(
        f"{name}({', '.join(f'{field} {_value(value)}' for field, value in term.items() if value is not None)})"
        for name, term in settings.items()
    )


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_value(inner)}" for key, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _key(row: dict[str, Any]) -> str:
    """Which of the report's colours and marks a row has."""
    return row["name"] if row["kind"] == "control" else "student"


def _named(row: dict[str, Any]) -> tuple[str, str]:
    return _key(row), row["title"]


def _dots(rows: Sequence[dict[str, Any]], figure: Figure, title: str) -> Markup:
    scale = 100 if figure.share else 1
    lines = [Dots(*_named(row), [scale * run["metrics"][figure.name] for run in row["runs"]]) for row in rows]
    return dots(lines, title, figure.decimals(max(abs(value) for line in lines for value in line.values)))


def _intervals(rows: Sequence[dict[str, Any]], role: str, figure: Figure, other: str) -> Markup | None:
    found, scale = [], 100 if figure.share else 1
    for row in rows:
        gain = dig(row, "comparison", role, figure.name)
        if gain is None or gain["other"] == row["name"]:
            continue
        difference, low, high = (scale * gain[end] for end in ("difference", "low", "high"))
        found.append(charts.Interval(svg.clip(row["title"], LABEL), difference, low, high, _key(row)))
    if figure.share and figure.sign > 0:
        title = f"points of {figure.title} over {other}"
    else:
        unit = f", {figure.difference_unit}" if figure.difference_unit else ""
        title = f"{figure.title} minus that of {other}{unit}{' (less is better)' if figure.sign < 0 else ''}"
    return charts.intervals(found, title, charts.decimals(figure, found)) if found else None


class Placed(NamedTuple):
    """A row in a plane of cost and quality."""

    key: str
    label: str
    cost: float
    value: float
    on_front: bool


def _fronts(results: dict[str, Any], columns: Columns) -> list[Markup]:
    """Quality against size and time of all rows together; none where all cost the same."""
    rows, teacher = results["rows"], results["teacher"]
    drawn = []
    clock = "latency p50" if results["ms"] == "p50" else "processor time (the machine was busy)"
    for cost, x_title, scale in (("bytes", "size of the ONNX file, KB", 1e-3), ("ms", f"{clock}, ms", 1.0)):
        for figure in columns.paired:
            measure, factor, points = figure.name, 100.0 if figure.share else 1.0, []
            for row in rows:
                x = row["cost"][cost]
                if x is not None:
                    label = f"{row['student']}, {row['title']}" if len(results["students"]) > 1 else row["title"]
                    y = factor * row["metrics"][measure]["mean"]
                    points.append(Placed(_key(row), label, scale * x, y, bool(row["front"][measure][cost])))
            if len({point.cost for point in points}) > 1:
                taught, x = teacher["metrics"][measure], teacher["cost"][cost]
                beside = None if x is None else Placed("teacher", "teacher", scale * x, factor * taught, False)
                drawn.append(front(points, beside, x_title, charts.titled(figure, percent=True), figure.sign))
    return drawn


def front(points: Sequence[Placed], teacher: Placed | None, x_title: str, y_title: str, better: int) -> Markup:
    """Quality against cost (logarithmic); a line through the rows on the front, which are named.

    ``better`` is 1 where more of the quality is better, -1 where less is.
    """
    width, height = 420.0, 320.0
    everything = [*points, *([teacher] if teacher else [])]
    low, high = svg.padded_log([point.cost for point in everything])
    low /= (high / low) ** 0.2  # room for the name of the cheapest
    x = Scale(low, high, 58, width - 14, math.log10)
    largest = max(abs(point.value) for point in everything)
    y = Scale(*svg.padded([point.value for point in everything], 0.15, least=min(0.01, 0.1 * largest)), height - 48, 30)
    parts = [
        svg.axes(
            x,
            y,
            [(value, formats.short(value)) for value in svg.log_ticks(x.low, x.high, 5)],
            [(value, f"{value:g}") for value in svg.linear_ticks(y.low, y.high)],
            x_title,
            y_title,
        )
    ]
    best = sorted({(point.cost, point.value) for point in points if point.on_front})
    line = " ".join(f"{x(cost):.1f},{y(value):.1f}" for cost, value in best)
    parts.append(tag("polyline", class_="line front", points=line))
    for point in everything:
        said = f"{point.label}: {formats.number(point.value, 4)} at {formats.number(point.cost)}"
        parts.append(svg.mark(point.key, x(point.cost), y(point.value), label=said))
    # nothing is both cheaper and better than a row on the front, so there is room for its name on that side
    up = -1 if better > 0 else 1
    named = {(point.cost, point.value): point for point in everything if point.on_front or point is teacher}
    here = sorted(named.values(), key=lambda p: up * y(p.value))
    reach = sorted((up * (y.stop + 2), up * (y.start - 6)))
    heights = charts.apart([up * y(p.value) + (12 if up > 0 else 7) for p in here], 13.0, *reach)
    for point, at_y in zip(here, heights, strict=True):
        label = svg.clip(point.label, 26)
        fits = x(point.cost) - 6.2 * len(label) > x.start
        place = (x(point.cost) - 5, "end") if fits else (max(x(point.cost) - 5, x.start), "start")
        parts.append(text(place[0], up * at_y + (4 if up > 0 else 0), label, place[1], class_="label"))
    return svg.drawing(width, height, f"{y_title} against {x_title}", *parts)


def dots(lines: Sequence[Dots], x_title: str, digits: int) -> Markup:
    """Each row's mean as its mark, and its seeds as small dots on one line."""
    width, step = 420.0, 40.0
    bottom = 8 + step * len(lines)
    values = [value for line in lines for value in line.values]
    x = Scale(*svg.padded(values, 0.06, least=10.0**-digits), 12, width - 12)
    y = Scale(0, len(lines), 4, bottom)
    ticks = [(value, f"{value:g}") for value in svg.linear_ticks(x.low, x.high, 4)]
    parts = [svg.axes(x, y, ticks, [], x_title, "")]
    for index, line in enumerate(lines):
        at_y = y(index + 0.7)
        mean = sum(line.values) / len(line.values)
        said = f"{mean:.{digits}f}"
        parts.append(text(12, at_y - 12, svg.clip(line.label, LABEL), class_="label"))
        parts.append(text(width - 12, at_y - 12, said, "end", class_="label"))
        parts.append(tag("line", class_="grid", x1=x.start, x2=x.stop, y1=at_y, y2=at_y))
        for value in line.values:
            parts.append(tag("circle", class_=f"seed {line.key}", cx=x(value), cy=at_y, r=2.6))
        parts.append(svg.mark(line.key, x(mean), at_y, label=f"{line.label}: {said}"))
    return svg.drawing(width, bottom + 42, x_title, *parts)

"""A comparison as CSV and as a LaTeX table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ..evaluation.figure import Figure, read
from ..report.formats import dig, figure, size, with_unit

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\symbol{96}",
    "-": "{-}", "±": r"$\pm$", "×": r"$\times$", "−": "$-$",
}  # fmt: skip


def csv_columns(results: dict[str, Any]) -> tuple[str, ...]:
    """``student``, ``row`` and ``seed``, all figures, and what else is known of a row."""
    return (
        "student", "row", "seed", *_metrics(results), "seconds", *(f"validation_{one.name}" for one in read(results)[:2]),
        "parameters", "bytes", "latency_ms", "cpu_ms",
        "teacher", "chosen", "settings", "fingerprint",
    )  # fmt: skip


def csv_text(results: dict[str, Any]) -> str:
    """One line a row and seed, figures with every digit; ``settings`` is JSON."""
    out = io.StringIO()
    validation = read(results)[:2]
    writer = csv.DictWriter(out, csv_columns(results), lineterminator="\n")
    writer.writeheader()
    for row in results["rows"]:
        for run in row["runs"]:
            writer.writerow(
                {name: run["metrics"].get(name) for name in _metrics(results)}
                | {f"validation_{one.name}": run["validation"][one.name] for one in validation}
                | {
                    "student": row["student"],
                    "row": row["name"],
                    "seed": run["seed"],
                    "seconds": run["seconds"],
                    "parameters": row["parameters"],
                    "bytes": row["bytes"],
                    "latency_ms": dig(row, "latency_ms", "p50"),
                    "cpu_ms": dig(row, "latency_ms", "cpu_p50"),
                    "teacher": row["teacher"],
                    "chosen": row["chosen"],
                    "settings": json.dumps(row["settings"], ensure_ascii=False),
                    "fingerprint": row["fingerprints"][str(run["seed"])],
                }
            )
    return out.getvalue()


def latex_text(results: dict[str, Any]) -> str:
    r"""A ``tabular`` in the style of booktabs (``\usepackage{booktabs}``), with its notes as comments.

    Bold is the best mean, and every row that its paired 95 % interval does not tell from it: with few seeds that is
    often several, and then no one of them is shown to be the best.
    """
    rows, students, columns = results["rows"], list(results["students"]), _columns(results)
    first, second = read(results)[:2]
    seeds = rows[0]["metrics"][first.name]["n"]
    unit = f", in {first.difference_unit}" if first.difference_unit else ""
    lines = [
        f"% {escape(results['name'])}: mean and standard deviation over {seeds} seed(s), "
        f"{results['data']['test']} test examples.",
        "% Bold: the best mean, and all that its paired 95 % bootstrap interval (seeds and test examples) does not tell",
        f"% from it; {first.title} and {second.title} only. Gain: {first.title} minus that of the same student without a",
        f"% teacher{unit}; {first.way}.",
        f"% {escape(results['tuning'])}",
        "% Needs \\usepackage{booktabs}.",
        "\\begin{tabular}{l" + "r" * (len(columns) + 2) + "}",
        "\\toprule",
        " & ".join(["Objective", *(_heading(one) for one in columns), "Gain", "Seconds"]) + r" \\",
        "\\midrule",
    ]
    teacher = results["teacher"]
    cells = [_cell(teacher["metrics"], one) if one.name in teacher["metrics"] else "" for one in columns]
    seconds = figure(teacher["seconds"])
    lines.append(_line([f"Teacher ({escape(teacher['model'])})", *cells, "", f"{seconds:.0f}" if seconds else ""]))
    for student in students:
        lines.append("\\midrule")
        if len(students) > 1:
            of = results["students"][student]
            title = f"{escape(student)} ({escape(', '.join([of['model'], *_costs(of, results)]))})"
            lines += [rf"\multicolumn{{{len(columns) + 3}}}{{l}}{{{title}}} \\", "\\midrule"]
        lines += [_line(_cells(row, columns)) for row in rows if row["student"] == student]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _costs(of: dict[str, Any], results: dict[str, Any]) -> list[str]:
    """Size of the file and time of one example, where they were measured."""
    held, ms = of["cost"]["bytes"], of["cost"]["ms"]
    unit = "ms" if results["ms"] == "p50" else "ms of processor time"
    return [*([size(held)] if held else []), *([with_unit(ms, unit)] if ms else [])]


def escape(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _metrics(results: dict[str, Any]) -> list[str]:
    """Names of all figures, the student's own first, as far as its rows have them."""
    named = [*read(results), *read(results, "fidelity_figures")]
    return [one.name for one in named if one.name in results["rows"][0]["metrics"]]


def _columns(results: dict[str, Any]) -> list[Figure]:
    return [*read(results)[:3], *read(results, "fidelity_figures")[:1]]


def _heading(one: Figure) -> str:
    unit = one.unit if one.share or one.significant else ""
    return escape(f"{one.heading}, {unit}" if unit else one.heading)


def _cells(row: dict[str, Any], columns: Sequence[Figure]) -> list[str]:
    cells = [escape(row["title"])]
    for one in columns:
        cell = _cell(row["metrics"], one)
        cells.append(rf"\textbf{{{cell}}}" if row["level_with_best"].get(one.name) else cell)
    first = columns[0]
    gain = row["comparison"]["baseline"].get(first.name)
    low_high = "" if gain is None or row["name"] == "baseline" else _interval(gain, first)
    seconds = row["seconds"]
    spread = "" if seconds["sd"] is None else f" $\\pm$ {seconds['sd']:.0f}"
    return [*cells, low_high, f"{seconds['mean']:.0f}{spread}"]


def _interval(gain: dict[str, Any], first: Figure) -> str:
    decimals, scale = first.decimals(max(abs(gain["low"]), abs(gain["high"]))), 100 if first.share else 1
    difference, low, high = (f"${scale * gain[end]:+.{decimals}f}$" for end in ("difference", "low", "high"))
    return f"{difference} [{low}, {high}]"


def _cell(metrics: dict[str, Any], one: Figure) -> str:
    mean, deviation = figure(dig(metrics, one.name)), figure(dig(metrics, one.name, "sd"))
    if mean is None:
        return "--"
    spread = "" if deviation is None else f" $\\pm$ {one.number(deviation, one.decimals(mean))}"
    return escape(one.number(mean)).replace("{-}", "$-$") + spread


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"

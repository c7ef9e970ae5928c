"""A comparison as CSV and as a LaTeX table."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from ..report.formats import dig, figure, size, with_unit

_RUN_METRICS = (
    "accuracy", "top5", "nll", "ece", "brier", "temperature", "nll_scaled", "ece_scaled",
    "agreement", "kl", "agreement_where_teacher_wrong", "agreement_where_teacher_right",
)  # fmt: skip
CSV_COLUMNS: tuple[str, ...] = (
    "student", "row", "seed", *_RUN_METRICS, "seconds", "validation_accuracy", "validation_nll",
    "parameters", "bytes", "latency_ms", "cpu_ms",
    "teacher", "chosen", "settings", "fingerprint",
)  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\symbol{96}",
    "-": "{-}", "±": r"$\pm$", "×": r"$\times$", "−": "$-$",
}  # fmt: skip
_COLUMNS = (
    # heading, figure, factor, digits, whether rows are paired in it (so that the best can be told)
    ("Accuracy, \\%", "accuracy", 100, 2, True),
    ("NLL", "nll", 1, 4, True),
    ("ECE, \\%", "ece", 100, 2, False),
    ("Agreement, \\%", "agreement", 100, 2, False),
)


def csv_text(results: dict[str, Any]) -> str:
    """One line a row and seed, figures with every digit; ``settings`` is JSON."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in results["rows"]:
        for run in row["runs"]:
            writer.writerow(
                {name: run["metrics"].get(name) for name in _RUN_METRICS}
                | {
                    "student": row["student"],
                    "row": row["name"],
                    "seed": run["seed"],
                    "seconds": run["seconds"],
                    "validation_accuracy": run["validation"]["accuracy"],
                    "validation_nll": run["validation"]["nll"],
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
    rows, students = results["rows"], list(results["students"])
    seeds = rows[0]["metrics"]["accuracy"]["n"]
    lines = [
        f"% {escape(results['name'])}: mean and standard deviation over {seeds} seed(s), "
        f"{results['data']['test']} test examples.",
        "% Bold: the best mean, and all that its paired 95 % bootstrap interval (seeds and test examples) does not tell",
        "% from it; accuracy and NLL only. Gain: accuracy minus that of the same student without a teacher, in points.",
        f"% {escape(results['tuning'])}",
        "% Needs \\usepackage{booktabs}.",
        "\\begin{tabular}{l" + "r" * (len(_COLUMNS) + 2) + "}",
        "\\toprule",
        " & ".join(["Objective", *(heading for heading, *_ in _COLUMNS), "Gain", "Seconds"]) + r" \\",
        "\\midrule",
    ]
    teacher = results["teacher"]
    cells = [_cell(teacher["metrics"], name, factor, digits) for _, name, factor, digits, _ in _COLUMNS[:3]]
    seconds = figure(teacher["seconds"])
    lines.append(_line([f"Teacher ({escape(teacher['model'])})", *cells, "", "", f"{seconds:.0f}" if seconds else ""]))
    for student in students:
        lines.append("\\midrule")
        if len(students) > 1:
            of = results["students"][student]
            title = f"{escape(student)} ({escape(', '.join([of['model'], *_costs(of, results)]))})"
            lines += [rf"\multicolumn{{{len(_COLUMNS) + 3}}}{{l}}{{{title}}} \\", "\\midrule"]
        lines += [_line(_cells(row)) for row in rows if row["student"] == student]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _costs(of: dict[str, Any], results: dict[str, Any]) -> list[str]:
    """Size of the file and time of one example, where they were measured."""
    held, ms = of["cost"]["bytes"], of["cost"]["ms"]
    unit = "ms" if results["ms"] == "p50" else "ms of processor time"
    return [*([size(held)] if held else []), *([with_unit(ms, unit)] if ms else [])]


def escape(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [escape(row["title"])]
    for _, name, factor, digits, paired in _COLUMNS:
        cell = _cell(row["metrics"], name, factor, digits)
        cells.append(rf"\textbf{{{cell}}}" if paired and row["level_with_best"][name] else cell)
    gain = row["comparison"]["baseline"].get("accuracy")
    low_high = "" if gain is None or row["name"] == "baseline" else _interval(gain)
    return [*cells, low_high, _cell(row, "seconds", 1, 0)]


def _interval(gain: dict[str, Any]) -> str:
    difference, low, high = (f"${100 * gain[end]:+.2f}$" for end in ("difference", "low", "high"))
    return f"{difference} [{low}, {high}]"


def _cell(figures: dict[str, Any], name: str, factor: float, digits: int) -> str:
    mean, deviation = figure(dig(figures, name)), figure(dig(figures, name, "sd"))
    if mean is None:
        return "--"
    return f"{factor * mean:.{digits}f}" + (f" $\\pm$ {factor * deviation:.{digits}f}" if deviation is not None else "")


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"

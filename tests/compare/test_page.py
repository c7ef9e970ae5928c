"""The page and the tables of a comparison whose answers are numbers: less is better, in the labels' units."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from limbeck.compare.front import with_fronts
from limbeck.compare.page import verdict, write_page
from limbeck.compare.tables import csv_text, latex_text
from limbeck.evaluation import values
from limbeck.evaluation.figure import plain, read
from tests.helpers.pages import Page, assert_harmless


def row(name: str, rmse: float, low: float, high: float, level: bool, size: int) -> dict[str, Any]:
    """A row of two seeds, half a degree to either side of its RMSE; it is compared with `baseline`, at 5 degrees."""
    runs = []
    for seed, own in enumerate((rmse - 0.5, rmse + 0.5)):
        found = {"rmse": own, "mse": own**2, "mae": own / 2, "r2": 0.9, "correlation": 0.95, "rmse_to_teacher": 1.25}
        runs.append({"seed": seed, "metrics": found, "validation": {"rmse": own, "mse": own**2}, "seconds": 3.0})
    gain = {"difference": rmse - 5, "low": low, "high": high, "other": "baseline"}
    return {
        "student": "small",
        "name": name,
        "title": name,
        "kind": "control" if name == "baseline" else "objective",
        "metrics": {
            figure: {"mean": (runs[0]["metrics"][figure] + runs[1]["metrics"][figure]) / 2, "sd": 0.707, "n": 2}
            for figure in runs[0]["metrics"]
        },
        "seconds": {"mean": 3.0, "sd": 0.1, "n": 2},
        "comparison": {"baseline": {"rmse": gain, "mse": gain}, "against": {}, "best": {}},
        "level_with_best": {"rmse": level, "mse": False},
        "runs": runs,
        "parameters": size // 4,
        "bytes": size,
        "latency_ms": {"p50": size / 1e4, "cpu_p50": size / 1e4},
        "teacher": "stored",
        "chosen": "as given",
        "trials": [{"settings": ["weight × 1"], "rmse": rmse, "mse": rmse**2, "seconds": 1.0}],
        "settings": {"mse_values": {"weight": 0.5}},
        "fingerprints": {"0": "aa", "1": "bb"},
    }


def comparison() -> dict[str, Any]:
    figures = {"figures": plain(values.FIGURES, ["°"]), "fidelity_figures": plain(values.FIDELITY, ["°"])}
    rows = [
        row("baseline", 5.0, 0.0, 0.0, False, 4000),
        row("near", 3.0, -2.5, -1.5, True, 4000),
        row("<b>far", 6.25, 1.0, 1.5, False, 8000),
    ]
    rows = with_fronts(rows, None, read(figures)[:2])
    cost = {"bytes": 90_000, "ms": 9.0}
    return {
        "name": "angles",
        "task": "image-classification",
        "answers": {"kind": "values", "width": 1, "names": ["angle"]},
        **figures,
        "created": "2026",
        "data": {"name": "turned", "train": 9, "validation": 8, "test": 7, "notes": []},
        "teacher": {
            "model": "large",
            "metrics": {"rmse": 2.5, "mse": 6.25, "mae": 1.2, "r2": 0.99, "correlation": 0.995},
            "parameters": 1000,
            "seconds": 60.0,
            "cost": cost,
        },
        "students": {
            "small": {"model": "small", "parameters": 1000, "cost": {"bytes": 4000, "ms": 0.4}, "speedup": None}
        },
        "speed": {"disturbed": False, "note": None},
        "ms": "p50",
        "tokens": None,
        "tuning": "nothing was tuned.",
        "against": None,
        "rows": rows,
        **{key: {"a": 1} for key in ("recipe", "comparison", "environment", "test_reads")},
    }


def test_less_is_better_where_the_figure_says_so(tmp_path: Path) -> None:
    results = comparison()
    said = verdict(results["rows"], read(results)[0])
    assert "1 of 2 objectives are ahead of the same student without a teacher by more than the noise, 1 behind" in said
    assert "The lowest mean is that of “near”, 3.00°" in said
    on_front = {one["name"]: one["front"]["rmse"]["bytes"] for one in results["rows"]}
    assert on_front == {"baseline": False, "near": True, "<b>far": False}

    write_page(results, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert_harmless(page)
    for text in (
        "one number: angle", "RMSE 2.50°, mean squared error 6.25°²", "down is better", "−2.00 −2.50 to −1.50",
        "RMSE minus that of no teacher, ° (less is better)", "test RMSE, ° (less is better)",
    ):  # fmt: skip
        assert text in " ".join(page.text.split()) or any(
            text == attrs.get("aria-label") for _, attrs in page.elements
        ), text
    shown = page.text[: page.text.index("How it was made")]
    assert "ccuracy" not in shown
    assert "None" not in shown.replace("None is corrected", "")


def test_the_tables_name_the_figures_and_their_units() -> None:
    results = comparison()
    first, *_ = csv.DictReader(io.StringIO(csv_text(results)))
    assert (first["rmse"], first["validation_mse"], first["rmse_to_teacher"]) == ("4.5", "20.25", "1.25")
    assert "accuracy" not in first
    table = latex_text(results).splitlines()
    heading = next(line for line in table if line.startswith("Objective"))
    assert heading == (
        "Objective & RMSE, ° & Mean squared error, °² & Mean absolute error, ° & RMSE from the teacher's answers, ° & Gain & Seconds \\\\"
    )
    near = next(line for line in table if line.startswith("near"))
    assert near.split(" & ")[1] == "\\textbf{3.00 $\\pm$ 0.71}"
    assert near.split(" & ")[5] == "$-2.00$ [$-2.50$, $-1.50$]"
    assert "% teacher, in °; less is better." in table

"""What the first command of the README shows, with three base seeds: does the teacher make a difference each time?

    python benchmarks/first_run.py

Runs `limbeck run recipes/digits.yaml --set seed=S` for S = 0, 100 and 200, five seeds of students and controls each, and
prints for each what the run prints, and student minus baseline in accuracy and NLL with the 95 % paired bootstrap over
seeds and test images. Exit code 1 where for one of them neither interval lies on the better side of 0. Four minutes on
2 cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, mean_sd, print_conditions, print_table

from limbeck.pipeline import run as pipeline
from limbeck.recipe.read import read

BASES = (0, 100, 200)
MODELS = ("teacher", "student", "baseline", "smoothed")


def rows_of(base: int, results: dict[str, Any]) -> list[list[str]]:
    """A line a model: accuracy, NLL and calibration error over its seeds."""
    rows = []
    for name in MODELS:
        runs = results[name]["runs"]
        figures = {key: [run["metrics"][key] for run in runs] for key in ("accuracy", "nll", "ece")}
        accuracy, ece = mean_sd(figures["accuracy"], 2, 100), mean_sd(figures["ece"], 2, 100)
        rows.append([str(base), name, accuracy, mean_sd(figures["nll"], 4), ece, f"{results[name]['parameters']:,}"])
    return rows


def interval(found: dict[str, Any], factor: float, digits: int) -> str:
    """``difference (low to high)``."""
    difference, low, high = (f"{factor * found[key]:+.{digits}f}" for key in ("difference", "low", "high"))
    return f"{difference} ({low} to {high})"


def main() -> int:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/digits.yaml"))
    parser.add_argument("--threads", type=int, help="CPU threads; torch decides otherwise")
    asked = parser.parse_args()
    began = time.monotonic()
    tables: list[list[str]] = []
    leads: list[list[str]] = []
    ahead = True
    for base in BASES:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            recipe = read(asked.recipe, [f"seed={base}"])
            results = pipeline.run(recipe, out=Path(folder) / "run", threads=asked.threads)
        tables += rows_of(base, results)
        for control in ("baseline", "smoothed"):
            accuracy, nll = (results["comparison"][control][key] for key in ("accuracy", "nll"))
            leads.append([str(base), control, interval(accuracy, 100, 2), interval(nll, 1, 4)])
            if control == "baseline":
                ahead = ahead and (accuracy["low"] > 0 or nll["high"] < 0)
        leads[-1].append(f"{time.monotonic() - started:.0f}")
        leads[-2].append("")
    print_table(["base seed", "model", "accuracy, %", "NLL", "ECE, %", "parameters"], tables)
    print()
    print_table(["base seed", "student minus", "accuracy, points (95 %)", "NLL (95 %)", "the run, s"], leads)
    print(f"\n{results['data']['test']} test images, {results['data']['train']} labelled ones to learn from.")
    print_conditions(", ".join(f"{base} to {base + recipe.seeds - 1}" for base in BASES), began)
    return int(not ahead)


if __name__ == "__main__":
    sys.exit(main())

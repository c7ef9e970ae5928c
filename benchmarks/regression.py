"""A regression's run beside trivial predictors: always 0, the training mean, and the number of the frame before.

    python benchmarks/regression.py runs/turned_digits
    LIMBECK_DATA=../shared/data python benchmarks/regression.py runs/udacity_track --threshold 0.05 --previous

The answers of all models and seeds are those that the run kept. ``--threshold``: the error, too, on the examples whose number is
larger, either way. ``--previous``: the examples are frames in the order of time. Figures are of the first number.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import safetensors.numpy

from limbeck import progress
from limbeck.modalities import modality_of
from limbeck.recipe.read import read


def figures(answer_N: np.ndarray, label_N: np.ndarray, threshold: float | None) -> list[float]:
    """RMSE, mean absolute error, correlation (NaN where an answer never changes), and RMSE where the number is large."""
    error_N = answer_N - label_N
    found = [
        float(np.sqrt((error_N**2).mean())),
        float(np.abs(error_N).mean()),
        float(np.corrcoef(answer_N, label_N)[0, 1]) if answer_N.std() > 0 else float("nan"),
    ]
    if threshold is not None:
        found.append(float(np.sqrt((error_N[np.abs(label_N) > threshold] ** 2).mean())))
    return found


def shown(rows: list[list[float]]) -> str:
    """Mean and deviation of each figure over the seeds, as cells of a table."""
    table = np.array(rows)
    cells = []
    for column in table.T:
        mean = "-" if np.isnan(column).any() else f"{column.mean():.4g}"
        cells.append(mean if len(column) < 2 or mean == "-" else f"{mean} ± {column.std(ddof=1):.2g}")
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--threshold", type=float, help="give the error on examples whose number is larger, too")
    parser.add_argument("--previous", action="store_true", help="the examples are frames in the order of time")
    given = parser.parse_args()

    results = json.loads((given.run / "results.json").read_text(encoding="utf-8"))
    kept = max(given.run.glob("stages/evaluate/*/answers.safetensors"), key=lambda file: file.stat().st_mtime)
    answers = safetensors.numpy.load_file(kept)
    recipe = read(given.run / "recipe.yaml")
    mean = float(modality_of(recipe).load(recipe, progress.bar).train.labels[:, 0].double().mean())

    names = ["RMSE", "MAE", "correlation"] + (
        [f"RMSE above {given.threshold:g}"] if given.threshold is not None else []
    )
    for split in ("validation", "test"):
        label_N = answers[f"{split}/labels"][:, 0].astype(np.float64)
        rows: dict[str, list[np.ndarray]] = {"always 0": [np.zeros_like(label_N)]}
        rows["the training mean"] = [np.full_like(label_N, mean)]
        if given.previous:
            rows["the frame before"] = [np.concatenate([[0.0], label_N[:-1]])]
        for role, title in (("teacher", "teacher"), ("student", "student"), ("baseline", "student, no teacher")):
            own = sorted(
                key for key in answers if key.partition("/")[2].partition("-")[0] == role and key.startswith(split)
            )
            parameters = results[role]["parameters"] if results.get(role) else None
            told = f"{title} ({parameters:,} parameters)" if parameters and role != "baseline" else title
            rows[told] = [answers[key][:, 0].astype(np.float64) for key in own]
        large = (
            ""
            if given.threshold is None
            else f", {int((np.abs(label_N) > given.threshold).sum())} above {given.threshold:g}"
        )
        print(f"\n{split}: {len(label_N)} examples{large}; {answers_in(results)}\n")
        print(f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
        for title, each in rows.items():
            if each:
                print(f"| {title} | {shown([figures(one, label_N, given.threshold) for one in each])} |")
    speed = results.get("speed") or {}
    if ratio := (speed.get("speedup") or {}).get("student"):
        busy = " (measured on a busy machine, in processor time)" if speed.get("busy") else ""
        low, high = ratio["low"], ratio["high"]
        print(
            f"\nlatency: the student is {ratio['ratio']:.3g} times as fast as the teacher ({low:.3g} to {high:.3g}){busy}"
        )


def answers_in(results: dict) -> str:
    """What the numbers are, and in what."""
    unit = (results["data"].get("unit") or [""])[0]
    return f"{results['answers']['names'][0]}{' in ' + unit if unit else ''}"


if __name__ == "__main__":
    main()

"""Evidence of a regression that was never made: pictures twice as wide as high, and what is said of their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.evaluation import values
from limbeck.evaluation.figure import plain
from limbeck.modalities import outline_of
from limbeck.report import Evidence
from limbeck.report.shown import Picture
from tests.helpers.evidence import make_evidence

UNIT = "°"


def values_evidence(names: tuple[str, ...] = ("angle",), count: int = 900, seed: int = 0) -> Evidence:
    """Numbers from -45 to 45 that the models say too near to the middle, the teacher least."""
    rng = np.random.default_rng(seed)
    labels_ND = rng.uniform(-45, 45, (count, len(names)))
    noise = {"teacher": (0.98, 2.0), "student": (0.93, 3.0), "baseline": (0.85, 5.0)}
    answers = {
        key: (flat * labels_ND + rng.normal(0, spread, labels_ND.shape)).astype(np.float32)
        for key, (flat, spread) in noise.items()
    }

    def picture(position: int) -> Picture:
        y, x = np.mgrid[-1:1:40j, -2:2:80j]
        slope = np.tan(np.radians(labels_ND[position, 0]))
        return Picture((255 * np.exp(-((y - slope * x) ** 2) * 8)).astype(np.uint8)[:, :, None])

    def figures(answer_ND: np.ndarray, n: int) -> dict[str, Any]:
        error = answer_ND - labels_ND
        mse = float((error**2).mean())
        found = {
            "rmse": mse**0.5,
            "mse": mse,
            "mae": float(np.abs(error).mean()),
            "r2": 1 - mse / float(labels_ND.var()),
            "correlation": float(np.corrcoef(answer_ND.ravel(), labels_ND.ravel())[0, 1]),
        }
        return {name: {"mean": value, "sd": value / 50 if n > 1 else None, "n": n} for name, value in found.items()}

    base = make_evidence(("a", "b"), 10)
    results = base.results | {
        "name": "turned_digits",
        "task": "image-regression",
        "answers": {"kind": "values", "width": len(names), "names": list(names)},
        "figures": plain(values.FIGURES, [UNIT]),
        "fidelity_figures": plain(values.FIDELITY, [UNIT]),
        "data": {
            "name": "digits",
            "train": 200,
            "validation": 340,
            "test": count,
            "about": "images 1×40×80",
            "unit": [UNIT],
        },
        "fidelity": {"rmse_to_teacher": {"mean": 3.4, "sd": 0.1, "n": 5}, "error_correlation": None},
        "fidelity_baseline": {"rmse_to_teacher": {"mean": 7.9, "sd": 0.2, "n": 5}, "error_correlation": None},
        "comparison": {
            "baseline": {
                "rmse": {"difference": -3.61, "low": -3.92, "high": -3.3},
                "correlation": {"difference": 0.0132, "low": 0.011, "high": 0.0154},
            },
            "smoothed": None,
        },
        "smoothed": None,
        "losses": None,
    }
    for key, answer_ND in answers.items():
        found = figures(answer_ND, 1 if key == "teacher" else 5)
        flat = {name: value["mean"] for name, value in found.items()}
        rows = [{"number": name, "rmse": 1.0 + d, "r2": 0.5, "correlation": None} for d, name in enumerate(names)]
        results[key] = {name: inner for name, inner in results[key].items() if name != "per_class"} | {
            "metrics": found,
            "per_number": rows,
            "runs": [run | {"metrics": flat} for run in results[key]["runs"]],
        }

    def history(epochs: int, floor: float) -> list[dict[str, Any]]:
        return [
            {
                "epoch": epoch + 1,
                "train_loss": floor + 90 * 0.8**epoch,
                "validation_rmse": (floor + 700 * 0.75**epoch) ** 0.5,
                "validation_mse": floor + 700 * 0.75**epoch,
            }
            for epoch in range(epochs)
        ]

    return Evidence(
        results=results,
        outline=outline_of("image-classification"),
        headline="The student has 1/101 of the teacher's parameters and answers 35x faster.",
        kind="values",
        names=names,
        labels=labels_ND.astype(np.float32),
        answers=answers,
        show=picture,
        histories={"teacher": history(12, 4.0), "student": history(30, 16.0), "baseline": history(30, 60.0)},
    )

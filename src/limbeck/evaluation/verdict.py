"""The results in two plain sentences, which claim no more than the figures do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def verdict(results: Mapping[str, Any]) -> str:
    """What the student gained and cost, then whether the teacher was worth it; takes results.json as read."""
    return f"{_against_teacher(results)} {_against_baseline(results['comparison']['baseline']['accuracy'])}"


def _against_teacher(results: Mapping[str, Any]) -> str:
    ratios = results["ratios"]
    size = ratios["parameters"] if ratios["parameters"] is not None else ratios["bytes"]
    traits = [
        _times(ratio, better, worse)
        for ratio, better, worse in ((size, "smaller", "larger"), (ratios["latency"], "faster", "slower"))
        if ratio is not None
    ]
    cost = f"is {' and '.join(traits)} than the teacher and " if traits else ""
    student, teacher = (_percent(results[role]["metrics"]["accuracy"]) for role in ("student", "teacher"))
    if ratios["accuracy_kept"] is None:
        return f"The student {cost}has an accuracy of {student} %; the teacher is never right."
    if (share := _no_better(results)) is not None:
        start = f"The student is {' and '.join(traits)} than the teacher. " if traits else ""
        return (
            f"{start}The teacher itself is no better than always naming the commonest class ({teacher} % vs {100 * share:.1f}), "
            "so what the student keeps of it means nothing; train it longer."
        )
    whose = "its" if traits else "the teacher's"
    kept = f"{100 * ratios['accuracy_kept']:.1f} %"
    return f"The student {cost}keeps {kept} of {whose} accuracy ({student} vs {teacher})."


def _no_better(results: Mapping[str, Any]) -> float | None:
    """The largest class's share of the test split, where the teacher is not above it by two standard errors."""
    supports = [row["support"] for row in results["teacher"].get("per_class") or ()]
    if not supports or results["data"].get("multi_label"):  # of label sets the commonest is not known here
        return None
    count = sum(supports)
    share = max(supports) / count
    error = math.sqrt(share * (1 - share) / count)
    return share if results["teacher"]["metrics"]["accuracy"]["mean"] <= share + 2 * error else None


def _against_baseline(accuracy: Mapping[str, Any]) -> str:
    start = f"Against the same student trained without a teacher it is {_points(accuracy['difference'])} points"
    interval = f"{100 * accuracy['level']:g} % interval {_points(accuracy['low'])} to {_points(accuracy['high'])}"
    if accuracy["seeds"] == 1:
        return f"{start} with one seed ({interval} over test examples alone): the noise between seeds is unknown."
    if accuracy["low"] > 0:
        finding = "ahead by more than the noise"
    elif accuracy["high"] < 0:
        finding = "behind by more than the noise"
    else:
        finding = "no difference that stands out from the noise"
    return f"{start} ({interval} over {accuracy['seeds']} seeds): {finding}."


def _times(ratio: float, better: str, worse: str) -> str:
    factor = max(ratio, 1 / ratio)
    if factor < 1.05:
        return f"no {better}"
    digits = 0 if factor >= 9.95 else 1
    return f"{factor:.{digits}f}x {better if ratio > 1 else worse}"


def _percent(accuracy: Mapping[str, Any]) -> str:
    spread = f" ± {100 * accuracy['sd']:.1f}" if accuracy["sd"] is not None else ""
    return f"{100 * accuracy['mean']:.1f}{spread}"


def _points(difference: float) -> str:
    """Percentage points with their sign; what rounds to nothing has none."""
    points = round(100 * difference, 2)
    return f"{points:+.2f}" if points else "0.00"

"""The unsure go up: what a student and its teacher come to where the teacher answers what the student is least sure of.

How sure a model is of an example is what its kind of answer says (``sureness``): of one class of several the largest probability; of
several labels, how likely the yes or no of the least sure class is. The threshold is chosen on validation, for a wanted share of examples
or for an accuracy; the test split is answered by it as it stands. Sending the same share at random is what any threshold is set beside.

Shapes: S seeds, N examples, K thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .intervals import mean_sd, paired_bootstraps, within_possible
from .keep import Kept
from .results import RunEvidence

SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of validation examples, sent to the teacher: the points of the curve."""
DRAWS = 2_000
_EVERYTHING = math.nextafter(1.0, 2.0)  # a threshold that no probability reaches


def section(
    by: ModuleType,
    student: Sequence[RunEvidence],
    teacher: RunEvidence,
    exported: int,
    ms: tuple[float | None, float | None],
) -> dict[str, Any] | None:
    """``escalation`` of ``results.json``; None where answers are not right or wrong, or do not tell how sure a model is.

    Args:
        by: the kind of answer.
        student: one a seed.
        teacher: the same for all seeds.
        exported: which of the students is deployed; its thresholds are the ones told.
        ms: milliseconds of one example, the student's and the teacher's; None where not measured.
    """
    sure = [(by.sureness(run.validation), by.sureness(run.test)) for run in student]
    if any(one is None or other is None for one, other in sure):
        return None
    validation_SN, test_SN = (np.stack([_numbers(pair[part]) for pair in sure]) for part in (0, 1))
    right_SN, taught_N = np.stack([_right(by, run.test) for run in student]), _right(by, teacher.test)
    thresholds = [[threshold_for(one_N, share) for one_N in validation_SN] for share in SHARES]
    sent_KSN = np.stack([test_SN < np.array(of)[:, None] for of in thresholds])
    answered_KSN = np.where(sent_KSN, taught_N, right_SN)
    sent_K = sent_KSN.mean(axis=(1, 2))
    random_KSN = right_SN + sent_KSN.mean(axis=2, keepdims=True) * (taught_N - right_SN)
    differences = {
        "student": answered_KSN - right_SN,
        "teacher": answered_KSN - taught_N,
        "random": answered_KSN - random_KSN,
    }
    found = paired_bootstraps(np.concatenate([*differences.values(), sent_KSN.astype(np.float64)]), draws=DRAWS)
    parts = {name: found[n * len(SHARES) : (n + 1) * len(SHARES)] for n, name in enumerate([*differences, "sent"])}
    validation = student[exported].validation, teacher.validation
    return {
        "seed": student[exported].seed,
        "student_ms": ms[0],
        "teacher_ms": ms[1],
        "validation": table(validation_SN[exported], *(_right(by, one) for one in validation)),
        "curve": [
            {
                "share": share,
                "threshold": thresholds[k][exported],
                "sent": _clipped(parts["sent"][k], "mean"),
                "accuracy": mean_sd(answered_KSN[k].mean(axis=1).tolist()),
                "random": float(random_KSN[k].mean()),
                **{f"minus_{name}": within_possible(parts[name][k]) for name in differences},
                "ms": _milliseconds(float(sent_K[k]), parts["sent"][k], ms),
            }
            for k, share in enumerate(SHARES)
        ],
    }


def threshold_for(sure_N: np.ndarray, share: float) -> float:
    """The largest threshold below which at most so large a share of the examples are: ties stay with the student."""
    sent = math.floor(share * len(sure_N) + 1e-9)
    if not sent:  # nor what is less sure than anything on validation
        return 0.0
    return _EVERYTHING if sent >= len(sure_N) else float(np.sort(sure_N)[sent])


def table(sure_N: np.ndarray, right_N: np.ndarray, taught_N: np.ndarray) -> dict[str, list[float]]:
    """Of validation, for each percent that may be sent: the ``threshold``, the ``share`` that is below it, the ``accuracy`` then."""
    of = [threshold_for(sure_N, percent / 100) for percent in range(101)]
    sent = [sure_N < one for one in of]
    return {
        "threshold": of,
        "share": [float(one.mean()) for one in sent],
        "accuracy": [float(np.where(one, taught_N, right_N).mean()) for one in sent],
    }


def _milliseconds(sent: float, share: dict[str, Any], ms: tuple[float | None, float | None]) -> dict[str, float] | None:
    """Every example costs the student's time, and what is sent the teacher's besides."""
    own, taught = ms
    if own is None or taught is None:
        return None
    low, high = (min(max(share[end], 0.0), 1.0) for end in ("low", "high"))
    return {"mean": own + sent * taught, "low": own + low * taught, "high": own + high * taught}


def _clipped(found: dict[str, Any], name: str) -> dict[str, float]:
    inside = within_possible(found, 0.0, 1.0)
    return {name: found["difference"], "low": inside["low"], "high": inside["high"]}


def _right(by: ModuleType, kept: Kept) -> np.ndarray:
    found = by.right(kept)
    assert found is not None, "what is sure of its answers has right ones"
    return _numbers(found[0])


def _numbers(of: Any) -> np.ndarray:
    return of.double().cpu().numpy()

"""The parity gate: does the exported model answer as the trained one does?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LimbeckError

BATCH = 256


def compared(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], path: Path, *, max_abs: float, agreement: float
) -> dict[str, Any]:
    """What :func:`check_parity` returns, of batches of logits (B, C): the model's, and those of the file at ``path``."""
    worst, same, count = 0.0, 0, 0
    for expected_BC, actual_BC in pairs:
        if actual_BC.shape != expected_BC.shape:
            raise LimbeckError(
                f"{path} answers with shape {actual_BC.shape} where the model answers "
                f"{expected_BC.shape}: the file is not an export of this model."
            )
        worst = _larger(worst, float(np.abs(actual_BC - expected_BC).max()))
        same += int((actual_BC.argmax(1) == expected_BC.argmax(1)).sum())
        count += len(expected_BC)
    share = same / count
    return {
        "max_abs_difference": worst,
        "agreement": share,
        "n": count,
        "limits": {"max_abs_difference": max_abs, "agreement": agreement},
        "passed": worst <= max_abs and share >= agreement,
    }


def require(parity: dict[str, Any], path: Path, *, what: str = "images") -> None:
    """Raises :class:`LimbeckError`, with the figures, where ``parity`` has not passed; ``what`` was compared."""
    if parity["passed"]:
        return
    limits = parity["limits"]
    difference = parity["max_abs_difference"]
    said = f"{difference:.3g}" if math.isfinite(difference) else "not finite"
    raise LimbeckError(
        f"{path} does not answer as the trained model does, on {parity['n']} {what}: the largest difference "
        f"of a logit is {said} (allowed: {limits['max_abs_difference']:g}), and both name the same class on "
        f"{parity['agreement']:.2%} (required: {limits['agreement']:.2%}). The export is refused; the limits "
        "are export.max_abs_difference and export.agreement in the recipe."
    )


def _larger(a: float, b: float) -> float:
    """The larger; infinity where either is not a number, since max() would lose it."""
    return math.inf if math.isnan(a) or math.isnan(b) else max(a, b)

"""The parity gate: does the exported model answer as the trained one does?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import LimbeckError
from ..evaluation.kinds import KINDS

BATCH = 256


def compared(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], path: Path, *, kind: str, max_abs: float, agreement: float
) -> dict[str, Any]:
    """Of batches of answers (B, ...) of a kind, the model's and those of the file at ``path``: how far they are alike.

    Args:
        pairs: of each batch the two answers.
        path: of the file, for messages.
        kind: in :data:`limbeck.evaluation.kinds.KINDS`.
        max_abs: the largest difference allowed, of numbers as a share of their standard deviation.
        agreement: the smallest share of examples on which both must say the same.

    Returns:
        ``max_abs_difference``, ``agreement``, ``n``, ``limits`` and ``passed``; an answer that is not finite never passes.

    Raises:
        LimbeckError: the file answers in another shape.
    """
    expected, actual = [], []
    for expected_BC, actual_BC in pairs:
        if actual_BC.shape != expected_BC.shape:
            raise LimbeckError(
                f"{path} answers with shape {actual_BC.shape} where the model answers "
                f"{expected_BC.shape}: the file is not an export of this model."
            )
        expected.append(torch.from_numpy(expected_BC))
        actual.append(torch.from_numpy(actual_BC))
    worst, share = KINDS[kind].alike(torch.cat(expected), torch.cat(actual))
    return {
        "max_abs_difference": worst,
        "agreement": share,
        "n": sum(map(len, expected)),
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
        f"is {said} (allowed: {limits['max_abs_difference']:g}), and both say the same on "
        f"{parity['agreement']:.2%} (required: {limits['agreement']:.2%}). The export is refused; the limits "
        "are export.max_abs_difference and export.agreement in the recipe."
    )

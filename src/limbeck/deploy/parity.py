"""The parity gate: does the exported model answer as the trained one does?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import LimbeckError
from ..models.asking import device_of
from .export import evaluating
from .runtime import open_session

BATCH = 256


def check_parity(model: nn.Module, path: Path, inputs_BCHW: Tensor, max_abs: float, agreement: float) -> dict[str, Any]:
    """Compares PyTorch's float32 logits (eval mode) with ONNX Runtime's over normalised images.

    ``max_abs`` is the largest difference allowed between two logits, ``agreement`` the smallest
    share of images on which both must name the same class. Returns ``max_abs_difference``, ``agreement``,
    ``n``, ``limits`` and ``passed``; a logit that is not finite never passes. See :func:`require`.
    """
    if len(inputs_BCHW) == 0:
        raise ValueError("parity needs at least one image")
    session = open_session(path)
    name = session.get_inputs()[0].name
    device = device_of(model)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for images_BCHW in inputs_BCHW.to(torch.float32).split(BATCH):
            expected_BC = model(images_BCHW.to(device)).float().cpu().numpy()
            yield expected_BC, np.asarray(session.run(None, {name: images_BCHW.cpu().numpy()})[0])

    with evaluating(model), torch.no_grad():
        return compared(pairs(), path, max_abs=max_abs, agreement=agreement)


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

"""The parity gate: does the exported model answer as the trained one does?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import LimbeckError
from ..evaluation.figure import Figure
from ..evaluation.kinds import KINDS
from ..interfaces import RaggedLogits

LEAST_AGREEMENT = 0.95
MOST_WORSE = 0.05
"""What a file that is not float32 must prove: so many answers alike, where answers are right or wrong, and a loss that is greater by
no more than this share of it."""


def compared(
    expected: Tensor | RaggedLogits,
    actual: Tensor | RaggedLogits,
    path: Path,
    *,
    kind: str,
    max_abs: float,
    agreement: float,
) -> dict[str, Any]:
    """Of a model's answers of a kind and those of its file, to the same examples: how far they are alike.

    Args:
        expected: (N, ...), or ragged.
        actual: likewise.
        path: of the file, for messages.
        kind: in :data:`limbeck.evaluation.kinds.KINDS`.
        max_abs: the largest difference allowed, of numbers as a share of their standard deviation.
        agreement: the smallest share of examples on which both must say the same.

    Returns:
        ``max_abs_difference``, ``agreement``, ``n``, ``limits`` and ``passed``; an answer that is not finite never passes.

    Raises:
        LimbeckError: the file answers in another shape.
    """
    theirs, own = (one.logits if isinstance(one, RaggedLogits) else one for one in (expected, actual))
    if own.shape != theirs.shape:
        raise LimbeckError(
            f"{path} answers with shape {tuple(own.shape)} where the model answers "
            f"{tuple(theirs.shape)}: the file is not an export of this model."
        )
    worst, share = KINDS[kind].alike(theirs, own)
    return {
        "max_abs_difference": worst,
        "agreement": share,
        "n": len(expected.lengths if isinstance(expected, RaggedLogits) else expected),
        "limits": {"max_abs_difference": max_abs, "agreement": agreement},
        "passed": worst <= max_abs and share >= agreement,
    }


def nearly(
    expected: Tensor | RaggedLogits,
    actual: Tensor | RaggedLogits,
    labels: Tensor,
    path: Path,
    *,
    kind: str,
    known: Tensor | RaggedLogits | None = None,
) -> dict[str, Any]:
    """The same of a file that is not float32, whose logits move while what they say stays: by agreement and loss.

    ``labels`` (N, ...) are of the examples. ``known`` are the answers of the model that the file stands for, where that is not the one
    that was written: a student that went on for its file has weights of its own, so that the file must say what that student says,
    ``expected``, and be worth as much as the known one. Beside what :func:`compared` gives stand the kind's first figure and its loss,
    by their names, of the file, and under those names with ``_float32`` behind them the known model's; and what the file has ``lost`` of
    the first: points of a share, per cent of any other, below 0 where it is better. The limits are ``agreement`` (of kinds that are
    right or wrong) and the loss.
    """
    found = compared(expected, actual, path, kind=kind, max_abs=math.inf, agreement=0)
    by = KINDS[kind]
    first, loss = by.FIGURES[:2]
    exact, ours = (by.figures(by.kept(one, labels.cpu())) for one in (expected if known is None else known, actual))
    limits = {**({"agreement": LEAST_AGREEMENT} if first.share else {}), loss.name: exact[loss.name] * (1 + MOST_WORSE)}
    return found | {
        **{
            name: found[of.name]
            for of in (first, loss)
            for name, found in ((of.name, ours), (f"{of.name}_float32", exact))
        },
        "lost": lost(first, exact[first.name], ours[first.name]),
        "limits": limits,
        "passed": math.isfinite(found["max_abs_difference"])
        and ours[loss.name] <= limits[loss.name]
        and found["agreement"] >= limits.get("agreement", 0),
    }


def lost(figure: Figure, exact: float, ours: float) -> float:
    """How much less good ``ours`` is than ``exact``: in points of a share, per cent of any other figure; below 0 where it is better."""
    worse = figure.sign * (exact - ours)
    return 100 * (worse if figure.share or exact == 0 else worse / abs(exact))


def require(parity: dict[str, Any], path: Path, *, what: str) -> None:
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

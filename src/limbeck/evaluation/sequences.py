"""Answers at every position of a sequence, with a label at each: of each token, which it is.

What a kind of answer offers, and what its functions take and give, is said in :mod:`limbeck.evaluation.kinds`. No (N, L, V) is
kept: of each example a few sums over its positions, float64. Shapes: N examples, B batch, L positions, V tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..interfaces import DenseLogits, RaggedLogits
from ..objectives.catalogue.entry import ONE_CLASS
from .figure import Figure, share
from .keep import Kept
from .positions import alike_at_positions, divergence, known, labels_of, log_probabilities, per_example, per_position

FIGURES = (
    share("accuracy", "token accuracy"),
    Figure("nll", "NLL of a token", "less", unit="nats", digits=4),
    share("whole", "sequences without an error"),
)
FIDELITY = (
    share("agreement", "agreement with the teacher"),
    Figure("kl", "KL from the teacher at a token", "less", unit="nats", digits=4),
)
PLAIN = "cross_entropy"
READS = ONE_CLASS
TARGET = DenseLogits
ROWS = None
WHOLE = False


def kept(
    answer: Tensor | RaggedLogits,
    labels: Tensor,
    teacher: Tensor | RaggedLogits | None = None,
    names: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Sums over the positions that have a label: ``positions``, ``right``, ``nll``; with a teacher ``agree`` and ``kl``; (B,) each.

    ``labels`` are (B, L), IGNORED where a position has none; ragged answers hold the first positions of each example. Raises
    ``BadInput`` where a label's probability is no number.
    """
    rows = []
    theirs = [None] * len(labels) if teacher is None else log_probabilities(teacher)
    for log_LV, teacher_LV, labels_L in zip(log_probabilities(answer), theirs, labels_of(labels), strict=True):
        here_L = known(labels_L)
        if here_L[len(log_LV) :].any():
            raise ValueError(f"an answer at {len(log_LV)} positions does not reach all labels")
        here_L = here_L[: len(log_LV)]
        log_LV, wanted_L = log_LV[here_L], labels_L[: len(here_L)][here_L]
        nll = -log_LV.gather(1, wanted_L[:, None]).sum().item()
        if not np.isfinite(nll):
            raise BadInput(
                "The model's outputs cannot be evaluated: a label has no probability, or one that is no number."
            )
        told_L = log_LV.argmax(1)
        row = {"positions": float(here_L.sum()), "right": float((told_L == wanted_L).sum()), "nll": nll}
        if teacher_LV is not None:
            teacher_LV = teacher_LV[: len(here_L)][here_L]
            row["agree"] = float((told_L == teacher_LV.argmax(1)).sum())
            row["kl"] = divergence(teacher_LV, log_LV).sum().item()
        rows.append(row)
    return per_example(rows)


def figures(kept: Kept, fitted_on: Kept | None = None) -> dict[str, float]:
    """``accuracy`` and ``nll`` over all positions, each counted alike, and ``whole``: the share of examples right throughout."""
    count = _positions(kept)
    return {
        "accuracy": kept["right"].sum().item() / count,
        "nll": kept["nll"].sum().item() / count,
        "whole": (kept["right"] == kept["positions"]).double().mean().item(),
    }


def fidelity(kept: Kept) -> dict[str, float | None]:
    """``agreement`` and mean ``kl`` (teacher || student) over all positions."""
    count = _positions(kept)
    return {"agreement": kept["agree"].sum().item() / count, "kl": kept["kl"].sum().item() / count}


def compared(kept: Kept) -> tuple[str, ...]:
    """All figures."""
    return "accuracy", "nll", "whole"


def scores(kept: Kept, figure: str) -> Tensor:
    """(N,) of ``whole``; (N, 2) of the others: what a position adds up to, and the positions."""
    if figure == "whole":
        return (kept["right"] == kept["positions"]).double()
    return torch.stack([kept[{"accuracy": "right", "nll": "nll"}[figure]], kept["positions"]], dim=1)


SUMS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {"accuracy": per_position, "nll": per_position}
alike = alike_at_positions


def commonest(labels: Tensor) -> float | None:
    """The share of the commonest token among all positions."""
    there = labels[known(labels)].cpu()
    return int(torch.bincount(there).max()) / len(there) if len(there) else None


def rows(kepts: Sequence[Kept], names: Sequence[str]) -> list[dict[str, Any]]:
    """None: tokens are many."""
    return []


def right(kept: Kept) -> None:
    """Nothing: an example is right in part."""
    return


def sureness(kept: Kept) -> None:
    """Nothing: what is not right or wrong is not held to how sure it was."""
    return


def about_labels(kepts: Mapping[str, Kept], names: Sequence[str]) -> dict[str, Any]:
    """``positions``: of the test split, how many have a label."""
    return {"positions": int(kepts["test"]["positions"].sum())}


def _positions(kept: Kept) -> float:
    count = kept["positions"].sum().item()
    if not count:
        raise BadInput("There is nothing to evaluate: no position of the split has a label.")
    return count

"""Answers at every frame, with labels that stand at none of them: what CTC learns from (Graves et al. 2006).

What a kind of answer offers, and what its functions take and give, is said in :mod:`limbeck.evaluation.kinds`. Class 0 is the
blank. No (N, L, V) is kept: of each example a few sums, float64. Shapes: N examples, B batch, L frames, T labels, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BadInput
from ..interfaces import DenseLogits, RaggedLogits
from ..objectives.catalogue.entry import SYMBOLS
from .figure import Figure, share
from .keep import Kept
from .positions import alike_at_positions, divergence, known, labels_of, log_probabilities, per_example, per_position

FIGURES = (
    share("error_rate", "label error rate", "less"),
    Figure("nll", "NLL of a label", "less", unit="nats", digits=4),
    share("whole", "sequences without an error"),
)
FIDELITY = (
    share("agreement", "agreement with the teacher at a frame"),
    Figure("kl", "KL from the teacher at a frame", "less", unit="nats", digits=4),
)
PLAIN = "ctc"
READS = SYMBOLS
TARGET = DenseLogits
ROWS = None
WHOLE = False
BLANK = 0


def kept(
    answer: Tensor | RaggedLogits, labels: Tensor, teacher: Tensor | RaggedLogits | None = None
) -> dict[str, Tensor]:
    """Of each example ``symbols`` (how many labels), ``errors`` (edits from the best path to them), ``nll`` (of all of them together).

    With a teacher also ``frames``, ``agree`` and ``kl``, sums over frames; (B,) each. ``labels`` are (B, T), IGNORED beyond an
    example's own; where its frames are too few for its labels, ``nll`` is that of the least probable float64. Answers of
    (B, L, V) are taken whole: those with padding come ragged.
    """
    rows = []
    theirs = [None] * len(labels) if teacher is None else log_probabilities(teacher)
    for log_LV, teacher_LV, labels_T in zip(log_probabilities(answer), theirs, labels_of(labels), strict=True):
        wanted_T = labels_T[known(labels_T)]
        row = {
            "symbols": float(len(wanted_T)),
            "errors": float(edits(best_path(log_LV), wanted_T.tolist())),
            "nll": _nll(log_LV, wanted_T),
        }
        if teacher_LV is not None:
            row["frames"] = float(len(log_LV))
            row["agree"] = float((log_LV.argmax(1) == teacher_LV.argmax(1)).sum())
            row["kl"] = divergence(teacher_LV, log_LV).sum().item()
        rows.append(row)
    return per_example(rows)


def figures(kept: Kept, fitted_on: Kept | None = None) -> dict[str, float]:
    """``error_rate`` (edits over labels), ``nll`` over labels, and ``whole``: the share of examples without an error."""
    count = _count(kept, "symbols")
    return {
        "error_rate": kept["errors"].sum().item() / count,
        "nll": kept["nll"].sum().item() / count,
        "whole": (kept["errors"] == 0).double().mean().item(),
    }


def fidelity(kept: Kept) -> dict[str, float | None]:
    """``agreement`` and mean ``kl`` (teacher || student) over all frames."""
    count = _count(kept, "frames")
    return {"agreement": kept["agree"].sum().item() / count, "kl": kept["kl"].sum().item() / count}


def compared(kept: Kept) -> tuple[str, ...]:
    """All figures."""
    return "error_rate", "nll", "whole"


def scores(kept: Kept, figure: str) -> Tensor:
    """(N,) of ``whole``; (N, 2) of the others: what an example adds, and its labels."""
    if figure == "whole":
        return (kept["errors"] == 0).double()
    return torch.stack([kept[{"error_rate": "errors", "nll": "nll"}[figure]], kept["symbols"]], dim=1)


SUMS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {"error_rate": per_position, "nll": per_position}
alike = alike_at_positions


def commonest(labels: Tensor) -> float | None:
    """1: whoever says nothing misses every label."""
    return 1.0 if bool(known(labels).any()) else None


def rows(kepts: Sequence[Kept], names: Sequence[str]) -> list[dict[str, Any]]:
    """None."""
    return []


def right(kept: Kept) -> None:
    """Nothing: an example is right in part."""
    return


def sureness(kept: Kept) -> None:
    """Nothing: what is not right or wrong is not held to how sure it was."""
    return


def about_labels(kepts: Mapping[str, Kept], names: Sequence[str]) -> dict[str, Any]:
    """``positions``: of the test split, how many labels there are."""
    return {"positions": int(kepts["test"]["symbols"].sum())}


def best_path(log_LV: Tensor) -> list[int]:
    """The likeliest symbol of each frame, repetitions and blanks left out (Graves et al. 2006, section 3.2)."""
    path_L = log_LV.argmax(-1).unique_consecutive()
    return path_L[path_L != BLANK].tolist()


def edits(told: Sequence[int], wanted: Sequence[int]) -> int:
    """The fewest insertions, deletions and substitutions from one to the other (Levenshtein 1966)."""
    before = list(range(len(wanted) + 1))
    for i, one in enumerate(told, 1):
        here = [i]
        for j, other in enumerate(wanted, 1):
            here.append(min(before[j] + 1, here[-1] + 1, before[j - 1] + (one != other)))
        before = here
    return before[-1]


def _nll(log_LV: Tensor, wanted_T: Tensor) -> float:
    sizes = torch.tensor([len(log_LV)]), torch.tensor([len(wanted_T)])
    nll = F.ctc_loss(log_LV[:, None], wanted_T[None], *sizes, blank=BLANK, reduction="sum").item()
    if np.isnan(nll):
        raise BadInput("The model's outputs cannot be evaluated: there is NaN among its logits.")
    return min(nll, -float(np.log(np.finfo(np.float64).tiny)) * max(len(wanted_T), 1))


def _count(kept: Kept, name: str) -> float:
    count = kept[name].sum().item()
    if not count:
        raise BadInput(f"There is nothing to evaluate: the split has no {name}.")
    return count
